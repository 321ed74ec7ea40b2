//! An origin server that does what the test says, and remembers the requests.

use crate::message::Headers;
use crate::reply::Reply;
use crate::wait::eventually;
use crate::wire::{Framing, Wire};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// The method.
    pub method: String,
    /// The text between method and version.
    pub target: String,
    /// The header fields in their order.
    pub headers: Headers,
    /// The part of the content that was read.
    pub body: Vec<u8>,
}

impl Received {
    /// The value of the first field of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }
}

/// The origin; it ends with the test.
pub struct Origin {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Received>>>,
}

/// One request, and the way to answer it.
pub struct Exchange<'a> {
    wire: &'a mut Wire,
    framing: Framing,
    requests: &'a Mutex<Vec<Received>>,
    index: usize,
    closed: bool,
    /// The request, without its content.
    pub request: Received,
}

type Handler = dyn Fn(&mut Exchange<'_>) + Send + Sync;

impl Origin {
    /// An origin that hands every request to `handler`.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn start(handler: impl Fn(&mut Exchange<'_>) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (handler, all): (Arc<Handler>, _) = (Arc::new(handler), Arc::clone(&requests));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (handler, all) = (Arc::clone(&handler), Arc::clone(&all));
                std::thread::spawn(move || serve(stream, &*handler, &all));
            }
        });
        Self { address, requests }
    }

    /// An origin that always gives the same answer.
    #[must_use]
    pub fn always(reply: Reply) -> Self {
        Self::start(move |exchange| exchange.reply(&reply))
    }

    /// An origin that sends one reply after the other, and then repeats the last one.
    ///
    /// # Panics
    /// Without any reply.
    #[must_use]
    pub fn sequence(replies: impl Into<Vec<Reply>>) -> Self {
        let replies: Vec<Reply> = replies.into();
        assert!(!replies.is_empty());
        let next = AtomicUsize::new(0);
        Self::start(move |exchange| {
            let at = next.fetch_add(1, Ordering::SeqCst).min(replies.len() - 1);
            exchange.reply(&replies[at]);
        })
    }

    /// Where it listens, `http://host:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its `host:port`.
    #[must_use]
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Every request so far.
    ///
    /// # Panics
    /// If a handler has panicked.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.requests.lock().unwrap().clone()
    }

    /// The number of requests so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.requests().len()
    }

    /// The last request.
    ///
    /// # Panics
    /// When there was none.
    #[must_use]
    #[track_caller]
    pub fn last(&self) -> Received {
        self.requests().pop().expect("the origin was asked")
    }

    /// Waits for this many requests.
    #[track_caller]
    pub fn await_requests(&self, count: usize) {
        eventually("requests to the origin", || self.count() >= count);
    }
}

impl Exchange<'_> {
    /// The next piece of the request's content; `None` at its end or when the connection ends before.
    ///
    /// # Panics
    /// If another handler has panicked.
    pub fn piece(&mut self) -> Option<Vec<u8>> {
        let Ok(piece) = self.wire.piece(&mut self.framing) else {
            self.closed = true;
            return None;
        };
        if let Some(piece) = &piece {
            self.requests.lock().unwrap()[self.index].body.extend_from_slice(piece);
        }
        piece
    }

    /// Reads all of the request's content, then answers.
    pub fn reply(&mut self, reply: &Reply) {
        while self.piece().is_some() {}
        self.send(&reply.bytes(self.request.method == "HEAD"));
        if !reply.keeps_open() {
            self.close();
        }
    }

    /// Sends bytes. Errors are left to the receiver to notice.
    pub fn send(&mut self, bytes: &[u8]) {
        if self.wire.write(bytes).is_err() {
            self.closed = true;
        }
    }

    /// Whether the peer has closed the connection, as far as is known.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Ends the connection.
    pub fn close(&mut self) {
        self.closed = true;
        self.wire.close();
    }
}

fn serve(stream: TcpStream, handler: &Handler, requests: &Mutex<Vec<Received>>) {
    let mut wire = Wire::new(stream);
    while let Ok(Some(head)) = wire.head() {
        let mut words = head.start.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let framing = Framing::of(&head.headers, Framing::Length(0));
        let request = Received { method, target, headers: head.headers, body: vec![] };
        let index = {
            let mut requests = requests.lock().unwrap();
            requests.push(request.clone());
            requests.len() - 1
        };
        let mut exchange = Exchange { wire: &mut wire, framing, requests, index, closed: false, request };
        handler(&mut exchange);
        while !exchange.closed && exchange.piece().is_some() {}
        if exchange.closed {
            return;
        }
    }
}
