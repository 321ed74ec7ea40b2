//! Setting and deleting values.

use super::many::AT_ONCE;
use super::read::{glance_of, stamp_of};
use super::record::{self, Head, Kind, Stamp};
use super::{EntityTag, Glance, NewValue, ValueError, ValueKey, Values};
use crate::cache::entry::LedgerMark;
use crate::env::Env;
use crate::redis::{Arg, Client, Key, RedisError, Script, exactly, together};
use crate::time::{Timestamp, Ttl};
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

static WRITE: Script = Script::new(include_str!("../redis/lua/value_write.lua"));

/// How often a condition is evaluated again because others have changed the value.
const TRIES: usize = 10;

/// The result of setting or deleting a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Whether something was stored at the key before, valid or not.
    pub replaced: bool,
    /// When the value that was set expires, by the clock of this instance; the present time for a deletion.
    pub expires_at: Timestamp,
}

/// A condition on the current value, under which another may replace it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition<'a> {
    /// There is no value.
    Absent,
    /// There is any value.
    Present,
    /// The value has one of these tags.
    OneOf(&'a [EntityTag]),
    /// The value has none of these tags, or does not exist.
    NoneOf(&'a [EntityTag]),
}

impl Condition<'_> {
    /// Returns whether it is true for a value with this tag, or for no value.
    #[must_use]
    pub fn holds(self, current: Option<EntityTag>) -> bool {
        match self {
            Self::Absent => current.is_none(),
            Self::Present => current.is_some(),
            Self::OneOf(tags) => current.is_some_and(|tag| tags.contains(&tag)),
            Self::NoneOf(tags) => !current.is_some_and(|tag| tags.contains(&tag)),
        }
    }
}

/// The result of setting or deleting a value under a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swap {
    /// It was carried out.
    Done(Written),
    /// The condition is false; this is the current value.
    Refused(Option<Glance>),
}

/// The condition of the script.
pub(super) enum Only<'a> {
    Always,
    /// What is stored has this stamp, empty for nothing.
    Seen(&'a [u8]),
    /// As `Seen`, and a fill under way may continue.
    Drop(&'a [u8]),
    /// The fill still has this lease.
    Lease(&'a str),
}

impl<E: Env> Values<E> {
    /// Sets the value of `key`, to live for `ttl`. Two round trips.
    ///
    /// # Errors
    /// [`ValueError`]; if Redis leaves the outcome unknown, setting it again is safe.
    pub async fn set(
        &self,
        key: &ValueKey,
        value: &NewValue,
        ttl: Option<Duration>,
    ) -> Result<Written, ValueError> {
        let ttl = self.check(value, ttl)?;
        let mark = self.books.numbered(self.ledger_of(key)).begin().await?.mark;
        self.set_at(key, value, ttl, &mark).await
    }

    /// Sets many values concurrently, each with its time to live: two round trips for up to 256. The results
    /// are in the order of the values.
    pub async fn set_many(
        &self,
        values: &[(ValueKey, NewValue, Option<Duration>)],
    ) -> Vec<Result<Written, ValueError>> {
        if values.is_empty() {
            return Vec::new();
        }
        let ledgers: BTreeSet<usize> = values.iter().map(|(key, ..)| self.ledger_of(key)).collect();
        let begun = ledgers.into_iter().map(async |ledger| {
            let head = self.books.numbered(ledger).begin().await;
            (ledger, head.map(|head| head.mark))
        });
        let marks: BTreeMap<usize, Result<LedgerMark, RedisError>> =
            join_all(begun).await.into_iter().collect();
        let set = async |(key, value, ttl): &(ValueKey, NewValue, Option<Duration>)| {
            let ttl = self.check(value, *ttl)?;
            match marks.get(&self.ledger_of(key)) {
                Some(Ok(mark)) => self.set_at(key, value, ttl, mark).await,
                Some(Err(error)) => Err(error.clone().into()),
                None => Err(RedisError::reply("the ledger of a value", "none").into()),
            }
        };
        stream::iter(values).map(set).buffered(AT_ONCE).collect().await
    }

    async fn set_at(
        &self,
        key: &ValueKey,
        value: &NewValue,
        ttl: Ttl,
        mark: &LedgerMark,
    ) -> Result<Written, ValueError> {
        let (record, expires_at) = self.record(value, ttl, mark);
        let (_, replaced) = self.write(key, Only::Always, record, ttl).await?;
        Ok(Written { replaced, expires_at })
    }

    /// Sets the value of `key` if `condition` is true for the current one. Two round trips.
    ///
    /// # Errors
    /// [`ValueError`]; if Redis leaves the outcome unknown, the tag of the value then shows it.
    pub async fn set_if(
        &self,
        key: &ValueKey,
        value: &NewValue,
        ttl: Option<Duration>,
        condition: Condition<'_>,
    ) -> Result<Swap, ValueError> {
        let ttl = self.check(value, ttl)?;
        self.swap(key, condition, |mark| Some(self.record(value, ttl, mark)), ttl).await
    }

    /// Deletes the value of `key`. A fill of it under way is not stored.
    ///
    /// # Errors
    /// [`RedisError`]; deleting it again is safe.
    pub async fn delete(&self, key: &ValueKey) -> Result<Written, RedisError> {
        let (_, replaced) = self.write(key, Only::Always, Vec::new(), Ttl::MIN).await?;
        Ok(Written { replaced, expires_at: self.env.now() })
    }

    /// Deletes the value of `key` if `condition` is true for it.
    ///
    /// # Errors
    /// As [`Values::set_if`].
    pub async fn delete_if(&self, key: &ValueKey, condition: Condition<'_>) -> Result<Swap, ValueError> {
        self.swap(key, condition, |_| None, Ttl::MIN).await
    }

    /// Deletes many values concurrently. The results are in the order of the keys.
    pub async fn delete_many(&self, keys: &[ValueKey]) -> Vec<Result<Written, RedisError>> {
        stream::iter(keys).map(|key| self.delete(key)).buffered(AT_ONCE).collect().await
    }

    async fn swap(
        &self,
        key: &ValueKey,
        condition: Condition<'_>,
        record: impl Fn(&LedgerMark) -> Option<(Vec<u8>, Timestamp)>,
        ttl: Ttl,
    ) -> Result<Swap, ValueError> {
        for _ in 0..TRIES {
            let ledger = self.books.numbered(self.ledger_of(key));
            let (ledger, first) = together::both(ledger.begin(), self.first(key)).await?;
            let seen = stamp_of(&first);
            let current = match self.head_of(key, first).await? {
                Some((head, _)) => self.judged(key, Some(&ledger), (head, ())).await?,
                None => None,
            };
            let current = current.map(|(head, ())| head).filter(|head| head.kind == Kind::Value);
            if !condition.holds(current.as_ref().map(|head| EntityTag(head.digest))) {
                return Ok(Swap::Refused(current.map(glance_of)));
            }
            let (record, expires_at) = record(&ledger.mark).unwrap_or((Vec::new(), self.env.now()));
            let (done, _) = self.write(key, Only::Seen(&seen), record, ttl).await?;
            if done {
                return Ok(Swap::Done(Written { replaced: current.is_some(), expires_at }));
            }
        }
        Err(ValueError::Contended)
    }

    /// Checks the bounds of a value.
    pub(super) fn check(&self, value: &NewValue, ttl: Option<Duration>) -> Result<Ttl, ValueError> {
        let (limit, found) = (self.limits.max_size, value.content.len() as u64);
        if found > limit {
            return Err(ValueError::TooLarge { limit, found });
        }
        Ok(self.ttl(ttl)?)
    }

    /// Returns the record of `value`, and when it expires.
    pub(super) fn record(&self, value: &NewValue, ttl: Ttl, mark: &LedgerMark) -> (Vec<u8>, Timestamp) {
        self.record_of(Kind::Value, value, ttl, mark)
    }

    pub(super) fn record_of(
        &self,
        kind: Kind,
        value: &NewValue,
        ttl: Ttl,
        mark: &LedgerMark,
    ) -> (Vec<u8>, Timestamp) {
        let mut stamp = Stamp::default();
        self.env.fill(&mut stamp);
        let expires_at = self.env.now().plus(Duration::from_millis(ttl.as_millis()));
        let head = Head {
            stamp,
            kind,
            digest: record::digest(&value.media_type, &value.content),
            length: value.content.len() as u64,
            expires_at,
            mark: mark.clone(),
            media_type: value.media_type.clone(),
            tags: record::tag_texts(&value.tags),
        };
        (head.encode(&value.content), expires_at)
    }

    /// Returns whether it was carried out, and whether something was stored before.
    pub(super) async fn write(
        &self,
        key: &ValueKey,
        only: Only<'_>,
        record: Vec<u8>,
        ttl: Ttl,
    ) -> Result<(bool, bool), RedisError> {
        let keys = [self.keys.value(key.as_str()), self.keys.value_lease(key.as_str())];
        write(&self.redis, &keys, only, record, ttl).await
    }

    /// Removes the record with this stamp, in the background.
    pub(super) fn remove_later(&self, key: &ValueKey, stamp: &Stamp) {
        let removal = self.remove(key, stamp);
        self.env.spawn(async move {
            // The record does not count any more in any case.
            let _ = removal.await;
        });
    }

    /// Removes the record with this stamp; `false` if something else is stored by now.
    pub(super) fn remove(
        &self,
        key: &ValueKey,
        stamp: &Stamp,
    ) -> impl Future<Output = Result<bool, RedisError>> + use<E> {
        let keys = [self.keys.value(key.as_str()), self.keys.value_lease(key.as_str())];
        let (redis, stamp) = (Rc::clone(&self.redis), *stamp);
        async move {
            let (done, there) = write(&redis, &keys, Only::Drop(&stamp), Vec::new(), Ttl::MIN).await?;
            Ok(done && there)
        }
    }
}

async fn write<E: Env>(
    redis: &Client<E>,
    keys: &[Key; 2],
    only: Only<'_>,
    record: Vec<u8>,
    ttl: Ttl,
) -> Result<(bool, bool), RedisError> {
    let (mode, expected) = match only {
        Only::Always => ("always", Vec::new()),
        Only::Seen(stamp) => ("stamp", stamp.to_vec()),
        Only::Drop(stamp) => ("drop", stamp.to_vec()),
        Only::Lease(lease) => ("lease", lease.as_bytes().to_vec()),
    };
    let arguments = vec![Arg::from(mode), Arg::from(expected), Arg::from(record), Arg::from(ttl)];
    let [done, before] = exactly(redis.run(&WRITE, &[&keys[0], &keys[1]], arguments).await?)?;
    Ok((done.int()? == 1, before.int()? == 1))
}
