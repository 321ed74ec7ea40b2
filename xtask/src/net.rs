//! Free ports for servers that are started.

use std::net::{Ipv4Addr, TcpListener};

use crate::failure::{Context, Result};

/// How many ports are tried.
const ATTEMPTS: u32 = 3;

/// Starts a server with a free port. Another process may take the port before the server does; then the next port is
/// tried.
pub(crate) fn on_free_port<T>(mut start: impl FnMut(u16) -> Result<T>) -> Result<T> {
    for _ in 1..ATTEMPTS {
        let port = free_port()?;
        let started = start(port);
        // A server that has failed has given the port back, if it had it.
        if started.is_ok() || listen(port).is_ok() {
            return started;
        }
    }
    start(free_port()?)
}

/// Returns a port that nobody listens on at this moment.
fn free_port() -> Result<u16> {
    let address = listen(0).and_then(|listener| listener.local_addr());
    Ok(address.cannot("find a free port")?.port())
}

fn listen(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::fail;

    #[test]
    fn another_port_is_tried_only_if_somebody_else_has_taken_the_first() {
        let mut others = Vec::new();
        let mut attempts = 0;
        let port = on_free_port(|port| {
            attempts += 1;
            if attempts < 3 {
                others.push(listen(port).unwrap());
                return fail("the port is taken");
            }
            Ok(port)
        });
        assert_eq!(attempts, 3);
        assert!(port.is_ok_and(|port| others.iter().all(|it| it.local_addr().unwrap().port() != port)));

        attempts = 0;
        let failure = on_free_port(|_| -> Result<()> {
            attempts += 1;
            fail("a wrong option")
        });
        assert_eq!((failure.unwrap_err().to_string().as_str(), attempts), ("a wrong option", 1));
    }
}
