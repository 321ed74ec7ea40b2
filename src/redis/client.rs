//! One connection to one Redis server, with a deadline on every call and backoff while it is down.

use super::{Arg, Key, RedisError, Script, Value};
use crate::env::{Connection, Env};
use crate::metrics::{Metrics, Series, Timed};
use crate::time::Timestamp;
use futures_util::future::{Either, select};
use std::cell::{OnceCell, RefCell};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::time::Duration;

/// How long Redis may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For one command.
    pub command: Duration,
    /// For opening the connection.
    pub connect: Duration,
}

/// A client of one Redis server. It opens its connection when it is first needed.
pub struct Client<E: Env> {
    env: E,
    address: String,
    limits: Limits,
    link: RefCell<Link<E::Connection>>,
    /// Weak: it holds this client.
    metrics: OnceCell<Weak<Metrics<E>>>,
}

enum Link<C> {
    Closed,
    /// Somebody is opening it; `after` is the outage that this try may end.
    Opening {
        after: Option<Outage>,
    },
    /// `failures` in a row before it: forgotten once a command is answered, so that a server which accepts
    /// connections and never answers is left alone for longer and longer.
    Open {
        connection: Rc<C>,
        failures: u32,
    },
    Down(Outage),
}

#[derive(Clone, Debug)]
struct Outage {
    failures: u32,
    until: Timestamp,
    last: String,
}

/// How often a call looks whether another one's connection stands. Tasks of a wasm instance cannot wake
/// one another, so it has to look; it happens only at the start of an instance.
const OPENING_POLL: Duration = Duration::from_millis(1);

impl<E: Env> Client<E> {
    /// A client for the server at `address`, a `redis://` or `rediss://` URL. Does nothing yet.
    #[must_use]
    pub const fn new(env: E, address: String, limits: Limits) -> Self {
        Self { env, address, limits, link: RefCell::new(Link::Closed), metrics: OnceCell::new() }
    }

    /// From now on every command is counted.
    pub fn observe(&self, metrics: &Rc<Metrics<E>>) {
        let _ = self.metrics.set(Rc::downgrade(metrics));
    }

    /// Carries out a command that may safely be sent twice: when a connection that was open turns out to
    /// be broken, it is opened anew and the command sent once more.
    ///
    /// # Errors
    /// [`RedisError`]; after [`RedisError::TimedOut`] or [`RedisError::Unreachable`] the outcome is unknown.
    pub async fn call(&self, command: &str, arguments: Vec<Arg>) -> Result<Vec<Value>, RedisError> {
        let (connection, fresh) = self.connection().await?;
        let again = (!fresh).then(|| arguments.clone());
        match (self.execute(&connection, command, arguments).await, again) {
            (Err(RedisError::Unreachable(why)), Some(arguments)) => {
                // Whatever becomes of the second, the first may have been carried out.
                let Ok((connection, _)) = self.reopen(&connection).await else {
                    return Err(RedisError::Unreachable(why));
                };
                self.execute(&connection, command, arguments).await
            }
            (result, _) => result,
        }
    }

    /// Carries out a command that must not be sent twice.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn once(&self, command: &str, arguments: Vec<Arg>) -> Result<Vec<Value>, RedisError> {
        let (connection, _) = self.connection().await?;
        self.execute(&connection, command, arguments).await
    }

    /// Runs a script that may safely run twice: by its digest, and by its text where the server does not
    /// know it yet.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn run(
        &self,
        script: &Script,
        keys: &[&Key],
        arguments: Vec<Arg>,
    ) -> Result<Vec<Value>, RedisError> {
        let by_digest = script_call(script.digest(), keys, arguments.iter().cloned());
        match self.call("EVALSHA", by_digest).await {
            Err(RedisError::NoScript) => {
                self.call("EVAL", script_call(script.source(), keys, arguments)).await
            }
            result => result,
        }
    }

    /// Runs a script that must not run twice.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn run_once(
        &self,
        script: &Script,
        keys: &[&Key],
        arguments: Vec<Arg>,
    ) -> Result<Vec<Value>, RedisError> {
        let by_digest = script_call(script.digest(), keys, arguments.iter().cloned());
        match self.once("EVALSHA", by_digest).await {
            // It did not run.
            Err(RedisError::NoScript) => {
                self.once("EVAL", script_call(script.source(), keys, arguments)).await
            }
            result => result,
        }
    }

    /// Runs a script that must not run twice, and is not counted: it is what counts.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub(crate) async fn run_uncounted(
        &self,
        script: &Script,
        keys: &[&Key],
        arguments: Vec<Arg>,
    ) -> Result<Vec<Value>, RedisError> {
        let (connection, _) = self.connection().await?;
        let by_digest = script_call(script.digest(), keys, arguments.iter().cloned());
        match self.attempt(&connection, "EVALSHA", by_digest).await {
            Err(RedisError::NoScript) => {
                self.attempt(&connection, "EVAL", script_call(script.source(), keys, arguments)).await
            }
            result => result,
        }
    }

    async fn execute(
        &self,
        connection: &Rc<E::Connection>,
        command: &str,
        arguments: Vec<Arg>,
    ) -> Result<Vec<Value>, RedisError> {
        let began = self.env.elapsed();
        let result = self.attempt(connection, command, arguments).await;
        self.counted(began, result.as_ref().err());
        result
    }

    async fn attempt(
        &self,
        connection: &Rc<E::Connection>,
        command: &str,
        arguments: Vec<Arg>,
    ) -> Result<Vec<Value>, RedisError> {
        let result = self.within(self.limits.command, connection.execute(command, arguments)).await;
        match &result {
            Err(error) if error.breaks_connection() => self.drop_connection(connection, error),
            _ => self.answered(),
        }
        result
    }

    fn counted(&self, began: Duration, error: Option<&RedisError>) {
        let Some(metrics) = self.metrics.get().and_then(Weak::upgrade) else { return };
        metrics.time(Timed::Redis, self.env.elapsed().saturating_sub(began));
        if let Some(error) = error.filter(|error| **error != RedisError::NoScript) {
            metrics.count(Series::RedisErrors(error.reason()));
        }
    }

    fn answered(&self) {
        if let Link::Open { failures, .. } = &mut *self.link.borrow_mut() {
            *failures = 0;
        }
    }

    /// A broken connection is closed. One that timed out means that the server hangs: calls then fail at
    /// once for a while rather than wait one after the other.
    fn drop_connection(&self, broken: &Rc<E::Connection>, error: &RedisError) {
        let mut link = self.link.borrow_mut();
        if let Link::Open { connection, failures } = &*link
            && Rc::ptr_eq(connection, broken)
        {
            *link = match error {
                RedisError::TimedOut(_) => Link::Down(self.outage(*failures, error)),
                _ => Link::Closed,
            };
        }
    }

    async fn reopen(&self, broken: &Rc<E::Connection>) -> Result<(Rc<E::Connection>, bool), RedisError> {
        self.drop_connection(broken, &RedisError::Unreachable(String::new()));
        self.connection().await
    }

    /// The open connection, and whether this call opened it.
    async fn connection(&self) -> Result<(Rc<E::Connection>, bool), RedisError> {
        if let Link::Open { connection, .. } = &*self.link.borrow() {
            return Ok((Rc::clone(connection), false));
        }
        let started = self.env.now();
        loop {
            let now = self.env.now();
            let after = match &*self.link.borrow() {
                Link::Open { connection, .. } => return Ok((Rc::clone(connection), false)),
                Link::Down(outage) if now < outage.until => return Err(outage.error(now)),
                Link::Opening { after: Some(outage) } => return Err(outage.error(now)),
                Link::Opening { after: None } => None,
                Link::Down(outage) => Some(Some(outage.clone())),
                Link::Closed => Some(None),
            };
            match after {
                Some(after) => return self.open(after).await.map(|connection| (connection, true)),
                None if now.since(started) >= self.limits.connect => {
                    return Err(RedisError::TimedOut(self.limits.connect));
                }
                None => self.env.sleep(OPENING_POLL).await,
            }
        }
    }

    async fn open(&self, after: Option<Outage>) -> Result<Rc<E::Connection>, RedisError> {
        let failures = after.as_ref().map_or(0, |outage| outage.failures);
        *self.link.borrow_mut() = Link::Opening { after };
        let attempt = Attempt { client: self };
        let opened = self.within(self.limits.connect, self.env.connect(&self.address)).await;
        std::mem::forget(attempt);
        match opened {
            Ok(connection) => {
                let connection = Rc::new(connection);
                let open = Link::Open { connection: Rc::clone(&connection), failures };
                *self.link.borrow_mut() = open;
                Ok(connection)
            }
            Err(error) => {
                let outage = self.outage(failures, &error);
                self.env.log(&format!(
                    "{error}; next try in {} ms",
                    outage.until.since(self.env.now()).as_millis()
                ));
                *self.link.borrow_mut() = Link::Down(outage);
                Err(error)
            }
        }
    }

    fn outage(&self, failures: u32, error: &RedisError) -> Outage {
        let failures = failures.saturating_add(1);
        let mut random = [0];
        self.env.fill(&mut random);
        let delay = backoff(failures, random[0]);
        Outage { failures, until: self.env.now().plus(delay), last: error.reason().to_owned() }
    }

    async fn within<T>(
        &self,
        deadline: Duration,
        work: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, RedisError> {
        match select(pin!(work), pin!(self.env.sleep(deadline))).await {
            Either::Left((result, _)) => result,
            Either::Right(((), _)) => Err(RedisError::TimedOut(deadline)),
        }
    }
}

/// The arguments of `EVAL` and `EVALSHA`.
fn script_call(code: &str, keys: &[&Key], arguments: impl IntoIterator<Item = Arg>) -> Vec<Arg> {
    let head = [Arg::from(code), Arg::from(keys.len() as u64)];
    head.into_iter().chain(keys.iter().map(|key| Arg::from(*key))).chain(arguments).collect()
}

impl Outage {
    fn error(&self, now: Timestamp) -> RedisError {
        RedisError::Down { last: self.last.clone(), retry_in: self.until.since(now) }
    }
}

/// Frees the link when the task that was opening it goes away half way.
struct Attempt<'a, E: Env> {
    client: &'a Client<E>,
}

impl<E: Env> Drop for Attempt<'_, E> {
    fn drop(&mut self) {
        *self.client.link.borrow_mut() = Link::Closed;
    }
}

/// How long to leave the server alone after so many failures in a row: 50 ms doubled each time up to 5 s,
/// and up to 200 ms more so that instances do not come back all at once.
fn backoff(failures: u32, random: u8) -> Duration {
    let doubled = 50u64.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(5_000);
    Duration::from_millis(doubled + u64::from(random) * 200 / 256)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_five_seconds_with_jitter() {
        let base: Vec<_> = (1..=9).map(|n| backoff(n, 0).as_millis()).collect();
        assert_eq!(base, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(backoff(u32::MAX, 255), Duration::from_millis(5199));
    }
}
