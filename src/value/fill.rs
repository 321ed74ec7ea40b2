//! Cache-aside: one caller makes a value while the others wait for it.

use super::read::Look;
use super::record::Kind;
use super::write::Only;
use super::{NewValue, Value, ValueError, ValueKey, Values, Written};
use crate::cache::entry::LedgerMark;
use crate::env::Env;
use crate::redis::{Arg, RedisError, Script, exactly};
use crate::time::{Ttl, millis};
use crate::wait::Patience;
use futures_util::future::join;
use std::fmt::Display;
use std::time::Duration;

static LEASE: Script = Script::new(include_str!("../redis/lua/value_lease.lua"));
static UNLEASE: Script = Script::new(include_str!("../redis/lua/value_unlease.lua"));

/// The longest text of a failure that is remembered, in bytes.
const MAX_FAILURE: usize = 1024;

/// The terms on which one caller makes a value for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long the value lives; `None` for the default of all values.
    pub ttl: Option<Duration>,
    /// How long making it may take. A caller that takes longer counts as dead: another one makes the value, and what comes
    /// too late is not stored. Default 10 s.
    pub lease: Duration,
    /// How long the others wait before each makes the value for itself, without storing it. Default 5 s.
    pub wait: Duration,
    /// How long a failure is remembered and returned to all callers; `None` for not at all, so that the
    /// next caller tries again. Default `None`.
    pub remember_failure: Option<Duration>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            ttl: None,
            lease: Duration::from_secs(10),
            wait: Duration::from_secs(5),
            remember_failure: None,
        }
    }
}

/// A value, and how it was obtained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filled {
    /// The value.
    pub value: Value,
    /// How it was obtained.
    pub how: How,
}

/// How a value was obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It existed, or another caller made it meanwhile.
    Found,
    /// It was made here, and stored for all.
    Stored,
    /// It was made here and not stored: the wait for another caller was over, the key was set, deleted or invalidated
    /// meanwhile, making it took longer than its lease, or Redis failed.
    NotStored,
}

/// Why a value could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FillError<X> {
    /// Making it failed just now.
    #[error("{0}")]
    Failed(X),
    /// Making it failed not long ago, with this message.
    #[error("{0}")]
    Remembered(String),
}

/// The right to fill a value, granted before the value began to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct FillLease {
    key: ValueKey,
    lease: String,
    mark: LedgerMark,
}

/// What a caller that found no value does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing: the value exists.
    Found(Value),
    /// Nothing: making it failed not long ago, with this message.
    Failed(String),
    /// Make it, for all callers.
    Fill(FillLease),
    /// Wait: another caller makes it.
    Wait {
        /// The time until that caller counts as dead.
        ends_in: Duration,
    },
}

impl FillLease {
    /// Encodes it as text, for a caller that makes the value elsewhere.
    #[must_use]
    pub fn token(&self) -> String {
        format!("{}.{}.{}", self.lease, self.mark.id, self.mark.seq)
    }

    /// Parses the text of [`FillLease::token`] for this key; `None` for anything else.
    #[must_use]
    pub fn of_token(key: ValueKey, token: &str) -> Option<Self> {
        let mut parts = token.splitn(3, '.');
        let hexadecimal = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let (lease, id) = (parts.next().filter(hexadecimal)?, parts.next().filter(hexadecimal)?);
        let mark = LedgerMark { id: id.to_owned(), seq: parts.next()?.parse().ok()? };
        Some(Self { key, lease: lease.to_owned(), mark })
    }
}

impl<E: Env> Values<E> {
    /// Returns the value of `key`, made by `make` if there is none. Of many callers on any number of instances one
    /// makes it, and the others wait, on the given `terms`.
    ///
    /// The made value is not stored if the key was set, deleted or invalidated since `make` began. Without Redis
    /// every caller makes it.
    ///
    /// # Errors
    /// [`FillError`], when it could not be made. A failure of Redis alone is never an error.
    pub async fn get_or_set<X: Display>(
        &self,
        key: &ValueKey,
        terms: &Terms,
        make: impl AsyncFnOnce() -> Result<NewValue, X>,
    ) -> Result<Filled, FillError<X>> {
        let lease = match self.turn_within(key, terms.lease, terms.wait).await {
            Ok(Turn::Found(value)) => return Ok(Filled { value, how: How::Found }),
            Ok(Turn::Failed(words)) => return Err(FillError::Remembered(words)),
            Ok(Turn::Fill(lease)) => Some(lease),
            Ok(Turn::Wait { .. }) => None,
            Err(error) => {
                self.env.log(&format!("the value of {:?} is computed without Redis: {error}", key.as_str()));
                None
            }
        };
        match make().await {
            Ok(made) => Ok(self.keep(lease, made, terms.ttl).await),
            Err(failure) => {
                if let Some(lease) = lease {
                    self.fail(lease, &failure.to_string(), terms.remember_failure).await;
                }
                Err(FillError::Failed(failure))
            }
        }
    }

    /// Stores a made value, if it may be stored, and returns it in any case.
    async fn keep(&self, lease: Option<FillLease>, made: NewValue, ttl: Option<Duration>) -> Filled {
        let stored = match lease {
            Some(lease) => self.fill(&lease, &made, ttl).await.unwrap_or_else(|error| {
                self.env.log(&format!("the value of {:?} is not stored: {error}", lease.key.as_str()));
                None
            }),
            None => None,
        };
        let how = if stored.is_some() { How::Stored } else { How::NotStored };
        let expires_at = stored.map_or_else(|| self.env.now(), |written| written.expires_at);
        Filled { value: made.found(expires_at), how }
    }

    /// Gives the lease back, so that the next caller tries at once; or stores the failure in place of a value.
    async fn fail(&self, lease: FillLease, words: &str, remember: Option<Duration>) {
        let ttl = remember.and_then(Ttl::new).filter(|ttl| ttl.as_millis() <= millis(self.limits.max_ttl));
        let done = match ttl {
            None => self.abandon(&lease).await.map(|_| ()),
            Some(ttl) => {
                let end = (0..=MAX_FAILURE.min(words.len())).rev().find(|at| words.is_char_boundary(*at));
                let failure = NewValue::text(&words[..end.unwrap_or(0)]);
                let (record, _) = self.record_of(Kind::Failure, &failure, ttl, &lease.mark);
                self.write(&lease.key, Only::Lease(&lease.lease), record, ttl).await.map(|_| ())
            }
        };
        if let Err(error) = done {
            self.env.log(&format!(
                "the lease to fill {:?} was not released and will expire: {error}",
                lease.key.as_str()
            ));
        }
    }

    /// Asks for the turn to make the value of `key`, again and again until it is this caller's, the value
    /// exists, or `wait` is over; `lease` is how long making it may take.
    ///
    /// # Errors
    /// [`RedisError`]; a lease that was taken all the same ends by itself.
    pub async fn turn_within(
        &self,
        key: &ValueKey,
        lease: Duration,
        wait: Duration,
    ) -> Result<Turn, RedisError> {
        let turn = self.wait_for_turn(key, lease, wait).await?;
        self.count_reads([matches!(turn, Turn::Found(_) | Turn::Failed(_))]);
        Ok(turn)
    }

    async fn wait_for_turn(
        &self,
        key: &ValueKey,
        lease: Duration,
        wait: Duration,
    ) -> Result<Turn, RedisError> {
        let mut patience = Patience::new(wait, self.env.now());
        loop {
            let turn = self.turn(key, lease).await?;
            let Turn::Wait { ends_in } = turn else { return Ok(turn) };
            let mut random = [0];
            self.env.fill(&mut random);
            match patience.pause(self.env.now(), Some(ends_in), random[0]) {
                Some(pause) => self.env.sleep(pause).await,
                None => return Ok(turn),
            }
        }
    }

    async fn turn(&self, key: &ValueKey, time: Duration) -> Result<Turn, RedisError> {
        let lease = self.nonces.next();
        loop {
            let Look { record, seen, ledger } = self.look(key).await?;
            match record {
                Some((head, content)) if head.kind == Kind::Failure => {
                    return Ok(Turn::Failed(String::from_utf8_lossy(&content).into_owned()));
                }
                Some((head, content)) => return Ok(Turn::Found(Value::of(head, content))),
                None => {}
            }
            // From before the value begins to be made, so that every later invalidation applies to it.
            let mark = match ledger {
                Some(ledger) => ledger.mark,
                None => self.books.numbered(self.ledger_of(key)).begin().await?.mark,
            };
            let (code, ends_in) = self.take(key, &lease, time, seen).await?;
            match code {
                1 => return Ok(Turn::Fill(FillLease { key: key.clone(), lease, mark })),
                0 => return Ok(Turn::Wait { ends_in }),
                // The value was written since, so it is read again.
                _ => {}
            }
        }
    }

    async fn take(
        &self,
        key: &ValueKey,
        lease: &str,
        time: Duration,
        seen: Vec<u8>,
    ) -> Result<(i64, Duration), RedisError> {
        let keys = [self.keys.value(key.as_str()), self.keys.value_lease(key.as_str())];
        let arguments = vec![Arg::from(lease), Arg::from(millis(time).max(1)), Arg::from(seen)];
        let [code, ends_in] = exactly(self.redis.run(&LEASE, &[&keys[0], &keys[1]], arguments).await?)?;
        Ok((code.int()?, Duration::from_millis(u64::try_from(ends_in.int()?).unwrap_or(0))))
    }

    /// Stores a value that was made under `lease`. `None` if the lease has ended, or the key was set or deleted
    /// since it was taken. A value that was invalidated since is stored, but does not count.
    ///
    /// # Errors
    /// [`ValueError`]; if Redis leaves the outcome unknown, it may be stored.
    pub async fn fill(
        &self,
        lease: &FillLease,
        value: &NewValue,
        ttl: Option<Duration>,
    ) -> Result<Option<Written>, ValueError> {
        let ttl = self.check(value, ttl)?;
        let (record, expires_at) = self.record(value, ttl, &lease.mark);
        let write = self.write(&lease.key, Only::Lease(&lease.lease), record, ttl);
        // Its time to live begins again, so that the ledger outlives the value.
        let ledger = self.books.numbered(self.ledger_of(&lease.key));
        let (written, opened) = join(write, ledger.begin()).await;
        let (done, replaced) = written?;
        opened?;
        Ok(done.then_some(Written { replaced, expires_at }))
    }

    /// Gives the right to fill a value back, so that another caller gets it at once. `false` if it had ended.
    ///
    /// # Errors
    /// [`RedisError`]: then it ends by itself, or giving it back again is safe.
    pub async fn abandon(&self, lease: &FillLease) -> Result<bool, RedisError> {
        let key = self.keys.value_lease(lease.key.as_str());
        let reply = self.redis.run(&UNLEASE, &[&key], vec![Arg::from(lease.lease.as_str())]).await?;
        let [code] = exactly(reply)?;
        Ok(code.int()? == 1)
    }
}
