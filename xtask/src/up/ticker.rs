//! Ticks the job queues every few seconds, as a cron job would: the host runs nothing by itself.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const EACH: Duration = Duration::from_secs(5);
/// The time limit of a tick, which begins deliveries for 5 s and then awaits them.
const PATIENCE: Duration = Duration::from_secs(90);

/// Calls `POST /_spindrift/v1/queues:tick`, one call at a time.
pub(super) struct Ticker {
    address: SocketAddr,
    token: String,
    next: Instant,
    calling: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Makes a ticker whose first call is after one interval.
    pub(super) fn new(address: SocketAddr, token: String) -> Self {
        Self { address, token, next: Instant::now() + EACH, calling: None }
    }

    /// Calls if it is time; to be called often. A failure is ignored, since the next call follows.
    pub(super) fn tick(&mut self) {
        let busy = self.calling.as_ref().is_some_and(|call| !call.is_finished());
        if busy || Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + EACH;
        let (address, request) = (self.address, request(self.address, &self.token));
        self.calling = Some(std::thread::spawn(move || drop(call(address, &request))));
    }
}

fn request(address: SocketAddr, token: &str) -> String {
    format!(
        "POST /_spindrift/v1/queues:tick HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: 0\r\nConnection: close\r\n\r\n"
    )
}

fn call(address: SocketAddr, request: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, EACH)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut beginning = [0; 12];
    stream.read_exact(&mut beginning)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;

    #[test]
    fn it_calls_when_its_time_has_come_and_once_at_a_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut ticker = Ticker::new(listener.local_addr().unwrap(), "secret".to_owned());
        ticker.tick();
        assert!(ticker.calling.is_none());
        ticker.next = Instant::now();
        ticker.tick();
        let (mut stream, _) = listener.accept().unwrap();
        ticker.next = Instant::now();
        ticker.tick();
        assert!(ticker.next <= Instant::now(), "the first call is not answered yet");
        let lines: Vec<String> = BufReader::new(&stream)
            .lines()
            .map_while(Result::ok)
            .take_while(|line| !line.is_empty())
            .collect();
        assert_eq!(lines[0], "POST /_spindrift/v1/queues:tick HTTP/1.1");
        assert!(lines.contains(&"Authorization: Bearer secret".to_owned()));
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        ticker.calling.take().unwrap().join().unwrap();
    }
}
