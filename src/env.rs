//! The ports: everything the library needs from its host.
//!
//! A host implements [`Env`] once. Spin's adapter does it with spin-sdk; the tests do it with the `redis`
//! crate against a real server. A wasm instance is one thread, so nothing here is `Send`.

use crate::body::Body;
use crate::redis::{Arg, RedisError, Value};
use crate::time::{Instant, Timestamp};
use http::{Request, Response};
use std::borrow::Cow;
use std::time::Duration;

/// The time of day, a stopwatch, and sleeping.
pub trait Clock {
    /// Returns the wall-clock time.
    fn now(&self) -> Timestamp;

    /// Returns the point in time by a stopwatch that is never set back, to the microsecond, to measure how long something took.
    fn instant(&self) -> Instant;

    /// Waits for `duration`.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;
}

/// A source of unpredictable bytes.
pub trait Entropy {
    /// Fills `buffer` with bytes that cannot be guessed.
    fn fill(&self, buffer: &mut [u8]);
}

/// Work that continues after the response has been handed to the host.
pub trait Background {
    /// Runs `work` to its end without anybody waiting for it.
    fn spawn(&self, work: impl Future<Output = ()> + 'static);
}

/// The log for the operator. Secrets must not be written to it.
pub trait Log {
    /// Writes `line` unchanged.
    fn write_line(&self, line: &str);

    /// Logs `line`, with whatever a client put into it escaped so that it stays one line.
    fn log(&self, line: &str) {
        self.write_line(&one_line(line));
    }
}

/// Escapes what would make a log or a terminal see more than plain text on one line. Log lines quote URLs, which may hold
/// characters that end a line (U+0085, U+2028) or control a terminal (U+009B).
fn one_line(line: &str) -> Cow<'_, str> {
    let commands = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    if !line.contains(commands) {
        return Cow::Borrowed(line);
    }
    let mut plain = String::with_capacity(line.len() + 16);
    for c in line.chars() {
        if commands(c) {
            plain.extend(c.escape_default());
        } else {
            plain.push(c);
        }
    }
    Cow::Owned(plain)
}

/// An open connection to one Redis server.
pub trait Connection {
    /// Sends one command and returns its reply, flattened as Spin does it.
    ///
    /// Several commands may be in flight on one connection at once.
    ///
    /// # Errors
    /// The error of the server or of the connection.
    async fn execute(&self, command: &str, arguments: Vec<Arg>) -> Result<Vec<Value>, RedisError>;
}

/// Opens connections to Redis. Neither this nor the connection has a deadline of its own.
pub trait Connect {
    /// The type of its connections.
    type Connection: Connection + 'static;

    /// Opens a connection to `address`, a `redis://` or `rediss://` URL with credentials.
    ///
    /// # Errors
    /// The address is not allowed, or the server cannot be reached.
    async fn connect(&self, address: &str) -> Result<Self::Connection, RedisError>;
}

/// How long an upstream may take to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection is established.
    pub connect: Duration,
    /// From then until the first byte of the response.
    pub first_byte: Duration,
    /// Between two pieces of the response body.
    pub between_bytes: Duration,
}

/// Why the upstream gave no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// The upstream took longer than the [`Timeouts`] allow.
    #[error("the origin did not answer in time: {0}")]
    TimedOut(String),
    /// No connection could be made, or it broke.
    #[error("the origin could not be reached: {0}")]
    Unreachable(String),
    /// The host forbids the request: the origin is missing in `allowed_outbound_hosts`.
    #[error("the host does not allow requests to this origin: {0}")]
    Denied(String),
    /// The response is not valid HTTP.
    #[error("the origin did not answer with valid HTTP: {0}")]
    Invalid(String),
    /// The host refuses to send fields this large. This concerns only this request, not others for the same resource.
    #[error("the fields of the request are too large: {0}")]
    TooLarge(String),
    /// The next component of the app returned an error instead of a response.
    #[error("the component behind the cache failed: {0}")]
    Failed(String),
}

/// Sends requests: to the origin over the network, or to the next component of a middleware chain.
pub trait Upstream {
    /// Sends `request`, whose URI is absolute, and returns the final response once its head has arrived.
    ///
    /// # Errors
    /// [`UpstreamError`] when no response head came.
    async fn send(&self, request: Request<Body>, timeouts: Timeouts)
    -> Result<Response<Body>, UpstreamError>;

    /// Like [`Upstream::send`], but always over the network to where the URI points, even where the upstream is a component.
    ///
    /// # Errors
    /// As for [`Upstream::send`].
    async fn send_abroad(
        &self,
        request: Request<Body>,
        timeouts: Timeouts,
    ) -> Result<Response<Body>, UpstreamError> {
        self.send(request, timeouts).await
    }
}

/// All ports together.
pub trait Env: Clock + Entropy + Background + Log + Connect + Upstream + Clone + 'static {}

impl<T: Clock + Entropy + Background + Log + Connect + Upstream + Clone + 'static> Env for T {}
