//! HTTP/1.1 on the wire, as read by both ends of the tests.

use crate::message::Headers;
use crate::wait::PATIENCE;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

/// A connection, and bytes that were read too early.
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// The head of a message.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// The request or status line.
    pub(crate) start: String,
    pub(crate) headers: Headers,
}

/// How the content of a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// After this many more bytes.
    Length(u64),
    /// After the chunk of length zero.
    Chunked,
    /// With the connection.
    UntilClose,
}

impl Framing {
    /// According to the fields of a head; `otherwise` if they do not say.
    pub(crate) fn of(headers: &Headers, otherwise: Self) -> Self {
        let length = headers.get("content-length").and_then(|value| value.parse().ok());
        match (headers.get("transfer-encoding"), length) {
            (Some(_), _) => Self::Chunked,
            (None, Some(length)) => Self::Length(length),
            (None, None) => otherwise,
        }
    }
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Ends both directions.
    pub(crate) fn close(&mut self) {
        _ = self.stream.shutdown(Shutdown::Both);
    }

    /// The next head; `None` if the connection ends before one.
    pub(crate) fn head(&mut self) -> io::Result<Option<Head>> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at;
            }
            match self.fill() {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof && self.buffer.is_empty() => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        Ok(Some(Head { start, headers: Headers::new(headers) }))
    }

    /// The next piece of content; `None` at its end, an error if the connection ends before.
    pub(crate) fn piece(&mut self, framing: &mut Framing) -> io::Result<Option<Vec<u8>>> {
        match framing {
            Framing::Length(0) => Ok(None),
            Framing::Length(left) => {
                if self.buffer.is_empty() {
                    self.fill()?;
                }
                let most = usize::try_from(*left).unwrap_or(usize::MAX).min(self.buffer.len());
                *left -= most as u64;
                Ok(Some(self.buffer.drain(..most).collect()))
            }
            Framing::Chunked => {
                let chunk = self.chunk()?;
                if chunk.is_none() {
                    *framing = Framing::Length(0);
                }
                Ok(chunk)
            }
            Framing::UntilClose => match self.some() {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
                other => other.map(Some),
            },
        }
    }

    fn some(&mut self) -> io::Result<Vec<u8>> {
        if self.buffer.is_empty() {
            self.fill()?;
        }
        Ok(std::mem::take(&mut self.buffer))
    }

    fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let line = self.line()?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| invalid(&line))?;
        if size == 0 {
            while !self.line()?.is_empty() {}
            return Ok(None);
        }
        while self.buffer.len() < size + 2 {
            self.fill()?;
        }
        let chunk = self.buffer.drain(..size).collect();
        self.buffer.drain(..2);
        Ok(Some(chunk))
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 2);
                return Ok(line);
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut piece = [0; 64 * 1024];
        match self.stream.read(&mut piece)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            read => {
                self.buffer.extend_from_slice(&piece[..read]);
                Ok(())
            }
        }
    }
}

fn invalid(line: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("expected the size of a chunk, found {line:?}"))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
