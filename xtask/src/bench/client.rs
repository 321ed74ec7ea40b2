//! One client: a keep-alive connection with the default socket options, including delayed
//! acknowledgements. A cleverer client would not notice delays from which browsers and proxies suffer.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::response::{Response, Responses};

const LIMIT: Duration = Duration::from_secs(20);

/// A connection.
pub(super) struct Client {
    stream: TcpStream,
    responses: Responses<TcpStream>,
}

impl Client {
    /// Connects.
    pub(super) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        let responses = Responses::new(stream.try_clone()?);
        Ok(Self { stream, responses })
    }

    /// Sends one request in one write, and waits for the last byte of its response.
    pub(super) fn get(&mut self, target: &str) -> io::Result<(Response, Duration)> {
        let request = format!("GET {target} HTTP/1.1\r\nhost: bench.example\r\naccept: */*\r\n\r\n");
        let started = Instant::now();
        self.stream.write_all(request.as_bytes())?;
        let response = self.responses.read()?;
        Ok((response, started.elapsed()))
    }
}
