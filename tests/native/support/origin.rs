//! An origin that answers by a script, remembers the requests, and waits where a test wants it to.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri};
use spindrift::body::{Body, BodyError};
use spindrift::env::UpstreamError;
use std::cell::{Cell, RefCell};
use tokio::sync::Notify;

/// What the origin returns.
pub(crate) type Outcome = Result<Response<Body>, UpstreamError>;

type Script = Box<dyn FnMut(&Seen) -> Outcome>;
type Filter = Box<dyn Fn(&Seen) -> bool>;

/// A request as the origin saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Its method.
    pub(crate) method: Method,
    /// Its URI.
    pub(crate) uri: Uri,
    /// Its fields.
    pub(crate) headers: HeaderMap,
    /// Its content.
    pub(crate) body: Bytes,
}

impl Seen {
    /// A field of it, empty where it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// The origin, shared by all instances of one test.
pub(crate) struct Origin {
    script: RefCell<Script>,
    seen: RefCell<Vec<Seen>>,
    changed: Notify,
    held: Cell<bool>,
    passes: RefCell<Filter>,
    released: Notify,
}

impl Origin {
    /// An origin that answers every request with 200, fresh for a minute.
    pub(crate) fn new() -> Self {
        let script: Script = Box::new(|_| Ok(reply(200, &[("cache-control", "max-age=60")], "hello")));
        Self {
            script: RefCell::new(script),
            seen: RefCell::default(),
            changed: Notify::new(),
            held: Cell::new(false),
            passes: RefCell::new(Box::new(|_| false)),
            released: Notify::new(),
        }
    }

    /// From now on it answers by `script`.
    pub(crate) fn answers(&self, script: impl FnMut(&Seen) -> Outcome + 'static) {
        *self.script.borrow_mut() = Box::new(script);
    }

    /// From now on it always returns this.
    pub(crate) fn gives(
        &self,
        status: u16,
        fields: &'static [(&'static str, &'static str)],
        body: &'static str,
    ) {
        self.answers(move |_| Ok(reply(status, fields, body)));
    }

    /// From now on it is unreachable.
    pub(crate) fn is_away(&self) {
        self.answers(|_| Err(UpstreamError::Unreachable("connection refused".to_owned())));
    }

    /// From now on answers are generated at once, but sent only after [`Origin::release`].
    pub(crate) fn hold(&self) {
        self.held.set(true);
    }

    /// The same, except for requests with this method.
    pub(crate) fn hold_all_but(&self, method: &'static str) {
        self.held.set(true);
        *self.passes.borrow_mut() = Box::new(move |seen| seen.method == method);
    }

    /// The same, but only for requests with this field.
    pub(crate) fn hold_those_with(&self, field: &'static str) {
        self.held.set(true);
        *self.passes.borrow_mut() = Box::new(move |seen| !seen.headers.contains_key(field));
    }

    /// Sends the held answers.
    pub(crate) fn release(&self) {
        self.held.set(false);
        self.released.notify_waiters();
    }

    /// Returns once it has received `count` requests in total.
    pub(crate) async fn asked(&self, count: usize) {
        while self.count() < count {
            self.changed.notified().await;
        }
    }

    /// After [`Origin::hold`]: waits until there are `expected` requests, checks whether more arrive, sends the held
    /// answers, and returns how many requests there were until then.
    pub(crate) async fn asked_at_once(&self, expected: usize) -> usize {
        self.asked(expected).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let at_once = self.count();
        self.release();
        at_once
    }

    /// The number of requests so far.
    pub(crate) fn count(&self) -> usize {
        self.seen.borrow().len()
    }

    /// The last request.
    pub(crate) fn last(&self) -> Seen {
        self.seen.borrow().last().expect("the origin was asked").clone()
    }

    pub(super) async fn answer(&self, request: Request<Body>) -> Outcome {
        let (parts, body) = request.into_parts();
        let body = body.collect(usize::MAX).await.map_err(|e| UpstreamError::Invalid(e.to_string()))?;
        let seen = Seen { method: parts.method, uri: parts.uri, headers: parts.headers, body };
        let outcome = (self.script.borrow_mut())(&seen);
        let passes = (self.passes.borrow())(&seen);
        self.seen.borrow_mut().push(seen);
        self.changed.notify_waiters();
        while self.held.get() && !passes {
            self.released.notified().await;
        }
        outcome
    }
}

/// A response with `body` as a whole.
pub(crate) fn reply(status: u16, fields: &[(&str, &str)], body: impl Into<Bytes>) -> Response<Body> {
    with_body(status, fields, Body::from(body.into()))
}

/// A response whose body arrives in `pieces`; a piece that is an error ends it early.
pub(crate) fn streamed(
    status: u16,
    fields: &[(&str, &str)],
    pieces: Vec<Result<Bytes, BodyError>>,
) -> Response<Body> {
    with_body(status, fields, Body::from_pieces(None, futures_util::stream::iter(pieces)))
}

/// A response with this body.
pub(crate) fn with_body(status: u16, fields: &[(&str, &str)], body: Body) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    response.body(body).unwrap()
}
