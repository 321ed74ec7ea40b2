//! The origin: `/<n>k?cache=<seconds|no>` answers n kilobytes that are fresh for this long, or never stored.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use crate::failure::{Context, Result};

const LARGEST: usize = 1024 * 1024;

/// An origin that listens for as long as the process lives.
pub(super) struct Origin {
    address: SocketAddr,
}

impl Origin {
    /// Starts it on a free port.
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").cannot("start the origin")?;
        let address = listener.local_addr().cannot("start the origin")?;
        let body: Arc<[u8]> =
            (0..LARGEST).map(|index| b'a' + u8::try_from(index % 26).unwrap_or(0)).collect();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let body = Arc::clone(&body);
                thread::spawn(move || answer_all(&stream, &body));
            }
        });
        Ok(Self { address })
    }

    /// Returns its address.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Answers the requests of one connection, one after the other; they have no bodies.
fn answer_all(stream: &TcpStream, body: &[u8]) -> Option<()> {
    // As production origins do; what is measured is the way from the cache to the client.
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream);
    let mut message = Vec::new();
    loop {
        let target = read_request(&mut reader)?;
        message.clear();
        write_response(&mut message, &target, body);
        (&*stream).write_all(&message).ok()?;
    }
}

/// Returns the target of the next request.
fn read_request(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let target = line.split_whitespace().nth(1)?.to_owned();
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    }
    Some(target)
}

fn write_response(message: &mut Vec<u8>, target: &str, body: &[u8]) {
    let (length, cache) = asked(target);
    let control = match cache {
        "no" => "no-store".to_owned(),
        seconds => format!("max-age={seconds}"),
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\ncache-control: {control}\r\n\r\n"
    );
    message.extend_from_slice(head.as_bytes());
    message.extend_from_slice(&body[..length]);
}

/// Parses `/20k?cache=60&n=1` to `(20480, "60")`.
fn asked(target: &str) -> (usize, &str) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let name = path.rsplit('/').next().unwrap_or_default();
    let kilobytes: usize = name.strip_suffix('k').and_then(|number| number.parse().ok()).unwrap_or(1);
    let cache = query.split('&').find_map(|pair| pair.strip_prefix("cache=")).unwrap_or("no");
    (kilobytes.saturating_mul(1024).min(LARGEST), cache)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_and_query_say_what_is_answered() {
        assert_eq!(asked("/20k?cache=60&n=1"), (20480, "60"));
        assert_eq!(asked("/200k?n=1"), (204_800, "no"));
        assert_eq!(asked("/99999999k"), (LARGEST, "no"));
    }

    #[test]
    fn requests_are_read_one_by_one() {
        let mut reader = &b"GET /1k HTTP/1.1\r\nhost: a\r\n\r\nGET /2k HTTP/1.1\r\n\r\n"[..];
        assert_eq!(read_request(&mut reader).as_deref(), Some("/1k"));
        assert_eq!(read_request(&mut reader).as_deref(), Some("/2k"));
        assert_eq!(read_request(&mut reader), None);
    }
}
