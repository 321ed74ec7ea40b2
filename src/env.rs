//! The ports: everything the library needs of the world around it.
//!
//! A host implements [`Env`] once. Spin's adapter does it with spin-sdk; the tests do it with the `redis`
//! crate against a real server. A wasm instance is one thread, so nothing here is `Send`.

use crate::body::Body;
use crate::redis::{Arg, RedisError, Value};
use crate::time::Timestamp;
use http::{Request, Response};
use std::borrow::Cow;
use std::time::Duration;

/// The time of day, and waiting.
pub trait Clock {
    /// The wall clock.
    fn now(&self) -> Timestamp;

    /// Time since some point in the past, to the microsecond: for measuring how long something took.
    fn elapsed(&self) -> Duration;

    /// Returns after `duration`.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;
}

/// Unpredictable bytes.
pub trait Entropy {
    /// Fills `buffer` with bytes that nobody can guess.
    fn fill(&self, buffer: &mut [u8]);
}

/// Work that goes on after the response has been handed over.
pub trait Background {
    /// Runs `work` to its end, without anybody waiting for it.
    fn spawn(&self, work: impl Future<Output = ()> + 'static);
}

/// Lines for the operator. Never give it a secret.
pub trait Log {
    /// Writes one line, as it is.
    fn write_line(&self, line: &str);

    /// Says something in one line, whatever a client put into it.
    fn log(&self, line: &str) {
        self.write_line(&one_line(line));
    }
}

/// `line` as a log and a terminal take it for one line and nothing else. What is asked for stands in lines, and a URL may
/// have characters that end a line (U+0085, U+2028) or command a terminal (U+009B): these are escaped.
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
    /// Sends one command and gives its reply, flattened as Spin does it.
    ///
    /// Several may be under way on one connection at once.
    ///
    /// # Errors
    /// What the server or the connection said.
    async fn execute(&self, command: &str, arguments: Vec<Arg>) -> Result<Vec<Value>, RedisError>;
}

/// Opens connections to Redis. Neither this nor the connection has a deadline of its own.
pub trait Connect {
    /// What is opened.
    type Connection: Connection + 'static;

    /// Opens a connection to `address`, a `redis://` or `rediss://` URL with credentials.
    ///
    /// # Errors
    /// The address is not allowed, or the server cannot be reached.
    async fn connect(&self, address: &str) -> Result<Self::Connection, RedisError>;
}

/// How long an upstream may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands.
    pub connect: Duration,
    /// From then until the first byte of the response.
    pub first_byte: Duration,
    /// Between two pieces of the response body.
    pub between_bytes: Duration,
}

/// Why the upstream gave no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// It took longer than the [`Timeouts`] allow.
    #[error("the origin did not answer in time: {0}")]
    TimedOut(String),
    /// No connection, or it broke.
    #[error("the origin could not be reached: {0}")]
    Unreachable(String),
    /// The host forbids it: the origin is missing in `allowed_outbound_hosts`.
    #[error("the host does not allow requests to this origin: {0}")]
    Denied(String),
    /// What came back is not HTTP.
    #[error("the origin did not answer with valid HTTP: {0}")]
    Invalid(String),
    /// The host does not send so large fields. That is about this request alone, whoever else asks for the same.
    #[error("the fields of the request are too large: {0}")]
    TooLarge(String),
    /// The next component of the app gave an error in place of a response.
    #[error("the component behind the cache failed: {0}")]
    Failed(String),
}

/// Sends requests: to the origin over the network, or to the next component of a middleware chain.
pub trait Upstream {
    /// Sends `request`, whose URI is absolute, and gives the final response once its head is there.
    ///
    /// # Errors
    /// [`UpstreamError`] when no response head came.
    async fn send(&self, request: Request<Body>, timeouts: Timeouts)
    -> Result<Response<Body>, UpstreamError>;

    /// The same over the network, whoever is behind: to where the URI points.
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
