//! Waiting for a host that was just started.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::failure::{Result, fail};
use crate::process;

/// A large component takes a while to compile, and more so on a busy machine.
const READY_LIMIT: Duration = Duration::from_secs(120);

/// Until it listens; a failure when it ends before, as `ended` tells.
pub(crate) fn wait_until_ready(listen: SocketAddr, mut ended: impl FnMut() -> Option<String>) -> Result<()> {
    let end = Instant::now() + READY_LIMIT;
    while Instant::now() < end {
        if let Some(how) = ended() {
            process::check_interrupted()?;
            return fail(format!("the host ended at its start ({how}); what it printed above says why"));
        }
        if TcpStream::connect_timeout(&reachable(listen), Duration::from_secs(1)).is_ok() {
            return Ok(());
        }
        process::sleep(Duration::from_millis(30))?;
    }
    fail(format!("expected the host to listen on {listen} within {} s, it does not", READY_LIMIT.as_secs()))
}

/// The address to connect to: 0.0.0.0 and [::] are places to listen only.
pub(crate) fn reachable(listen: SocketAddr) -> SocketAddr {
    let local: IpAddr = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(local, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_to_listen_on_becomes_one_to_connect_to() {
        assert_eq!(reachable("0.0.0.0:3000".parse().unwrap()).to_string(), "127.0.0.1:3000");
        assert_eq!(reachable("[::]:3000".parse().unwrap()).to_string(), "[::1]:3000");
        assert_eq!(reachable("10.0.0.1:80".parse().unwrap()).to_string(), "10.0.0.1:80");
    }
}
