//! A client that sends exactly what it is given.

use crate::message::{Headers, Request, Response};
use crate::wire::{Framing, Wire};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};

/// One connection to a server.
pub struct Client {
    wire: Wire,
    host: String,
    interim: Vec<u16>,
}

/// A response whose content is still being received.
pub struct Streaming<'a> {
    wire: &'a mut Wire,
    framing: Framing,
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub headers: Headers,
}

impl Client {
    /// Opens a connection.
    ///
    /// # Panics
    /// If no server listens there.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        Self { wire: Wire::new(stream), host: address.to_string(), interim: vec![] }
    }

    /// Sends a request and reads its response; the connection stays open.
    ///
    /// # Panics
    /// When there is no response.
    #[track_caller]
    pub fn send(&mut self, request: &Request) -> Response {
        self.start(request);
        self.response(request.is_head()).read()
    }

    /// Sends a request without waiting for its response.
    ///
    /// # Panics
    /// When the connection is broken.
    #[track_caller]
    pub fn start(&mut self, request: &Request) {
        let bytes = request.bytes(&self.host);
        self.write(&bytes);
    }

    /// Sends bytes.
    ///
    /// # Panics
    /// When the connection is broken.
    #[track_caller]
    pub fn write(&mut self, bytes: &[u8]) {
        self.wire.write(bytes).unwrap();
    }

    /// The interim responses (1xx) that came before the final ones.
    #[must_use]
    pub fn interim(&self) -> &[u16] {
        &self.interim
    }

    /// Waits for the head of the next response; `to_head` if the request was HEAD.
    ///
    /// # Panics
    /// When there is no response.
    #[track_caller]
    pub fn response(&mut self, to_head: bool) -> Streaming<'_> {
        self.try_response(to_head).unwrap_or_else(|| panic!("the connection ended without a response"))
    }

    /// The same; `None` if the connection ends without a response.
    ///
    /// # Panics
    /// When neither comes.
    #[track_caller]
    pub fn try_response(&mut self, to_head: bool) -> Option<Streaming<'_>> {
        loop {
            let head = self.wire.head();
            assert!(!head.as_ref().is_err_and(is_late), "neither a response nor the end of the connection");
            let head = head.ok()??;
            let status: u16 = head.start.split(' ').nth(1)?.parse().ok()?;
            if (100..200).contains(&status) {
                self.interim.push(status);
                continue;
            }
            let none = to_head || status == 204 || status == 304;
            let framing =
                if none { Framing::Length(0) } else { Framing::of(&head.headers, Framing::UntilClose) };
            return Some(Streaming { wire: &mut self.wire, framing, status, headers: head.headers });
        }
    }
}

/// Nothing arrived within the time limit, which is never what a test waits for.
fn is_late(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

impl Streaming<'_> {
    /// The next piece of content; `None` at its end.
    ///
    /// # Panics
    /// When the connection ends before the content does.
    #[track_caller]
    pub fn piece(&mut self) -> Option<Vec<u8>> {
        self.wire.piece(&mut self.framing).expect("the content goes on or ends")
    }

    /// The next bytes of the content, exactly this many.
    ///
    /// # Panics
    /// When the content ends before.
    #[track_caller]
    pub fn exactly(&mut self, length: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < length {
            all.extend(self.piece().expect("more content"));
        }
        assert_eq!(all.len(), length, "{:?}", String::from_utf8_lossy(&all));
        all
    }

    /// The rest of the content.
    ///
    /// # Panics
    /// When the content stops without an end.
    #[must_use]
    pub fn read(mut self) -> Response {
        let mut body = Vec::new();
        let complete = loop {
            match self.wire.piece(&mut self.framing) {
                Ok(Some(piece)) => body.extend(piece),
                Ok(None) => break true,
                Err(error) => {
                    assert!(!is_late(&error), "the content neither goes on nor ends");
                    break false;
                }
            }
        };
        Response { status: self.status, headers: self.headers, body, complete }
    }
}
