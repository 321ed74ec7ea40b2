//! Responses read from the wire: enough of HTTP/1.1 to know where one ends.

use std::io::{self, Read};

/// Reads responses from one connection.
pub(super) struct Responses<R> {
    stream: R,
    buffer: Vec<u8>,
    /// The positions in the buffer up to which it is consumed, and filled.
    start: usize,
    end: usize,
}

/// The properties of a response that are checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    /// The value of `Cache-Status`, or the empty text.
    pub(super) cache_status: String,
    /// The length of the body.
    pub(super) length: usize,
}

enum Framing {
    Length(usize),
    Chunked,
}

impl<R: Read> Responses<R> {
    /// Reads from the beginning of a connection.
    pub(super) fn new(stream: R) -> Self {
        Self { stream, buffer: vec![0; 256 * 1024], start: 0, end: 0 }
    }

    /// Reads the next response, to its last byte.
    pub(super) fn read(&mut self) -> io::Result<Response> {
        let head = self.until(b"\r\n\r\n")?;
        let (status, cache_status, framing) = parse_head(&head)?;
        let length = match framing {
            Framing::Length(length) => self.skip(length)?,
            Framing::Chunked => self.skip_chunks()?,
        };
        Ok(Response { status, cache_status, length })
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        match self.stream.read(&mut self.buffer[self.end..])? {
            0 => Err(io::Error::other("the connection ended in the middle of a response")),
            length => {
                self.end += length;
                Ok(())
            }
        }
    }

    /// Returns the text before `mark`, and consumes both.
    fn until(&mut self, mark: &[u8]) -> io::Result<String> {
        loop {
            let filled = &self.buffer[self.start..self.end];
            if let Some(at) = filled.windows(mark.len()).position(|window| window == mark) {
                let text = String::from_utf8_lossy(&filled[..at]).into_owned();
                self.start += at + mark.len();
                return Ok(text);
            }
            if filled.len() == self.buffer.len() {
                return Err(io::Error::other("the head of the response is too long"));
            }
            self.fill()?;
        }
    }

    fn skip(&mut self, length: usize) -> io::Result<usize> {
        let mut left = length;
        while left > 0 {
            if self.start == self.end {
                self.fill()?;
            }
            let step = left.min(self.end - self.start);
            self.start += step;
            left -= step;
        }
        Ok(length)
    }

    fn skip_chunks(&mut self) -> io::Result<usize> {
        let mut total = 0;
        loop {
            let line = self.until(b"\r\n")?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
            if size == 0 {
                while !self.until(b"\r\n")?.is_empty() {}
                return Ok(total);
            }
            total += self.skip(size)?;
            self.skip(2)?;
        }
    }
}

fn parse_head(head: &str) -> io::Result<(u16, String, Framing)> {
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("expected a status line, found {head:?}")))?;
    let mut framing = Framing::Length(0);
    let mut cache_status = String::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => framing = Framing::Length(value.parse().map_err(io::Error::other)?),
            "transfer-encoding" => framing = Framing::Chunked,
            "cache-status" => value.clone_into(&mut cache_status),
            _ => {}
        }
    }
    Ok((status, cache_status, framing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_end_where_they_say() {
        let wire = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nCache-Status: spindrift; hit\r\n\r\nabc\
                    HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n4;x=y\r\nabcd\r\n2\r\nef\r\n0\r\n\r\n\
                    HTTP/1.1 204 No Content\r\n\r\n";
        let mut responses = Responses::new(wire.as_bytes());
        let one = responses.read().unwrap();
        assert_eq!(one, Response { status: 200, cache_status: "spindrift; hit".to_owned(), length: 3 });
        assert_eq!(responses.read().unwrap().length, 6);
        assert_eq!(responses.read().unwrap().status, 204);
        assert!(responses.read().is_err());
    }

    /// One byte at a time, as a slow network delivers.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let some = into.len().min(1);
            self.0.read(&mut into[..some])
        }
    }

    #[test]
    fn pieces_do_not_matter() {
        let wire =
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabHTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n";
        let mut responses = Responses::new(Drip(wire));
        assert_eq!(responses.read().unwrap().length, 2);
        assert_eq!(responses.read().unwrap().status, 500);
    }
}
