//! Reading values.

use super::record::{self, Beginning, Head, Kind};
use super::{EntityTag, MediaType, Value, ValueKey, Values};
use crate::codec::Corrupt;
use crate::env::Env;
use crate::metrics::Series;
use crate::purge::Book;
use crate::purge::ledger::{Head as LedgerHead, Purged, Subject};
use crate::redis::{Arg, RedisError, Value as Reply, exactly};
use crate::time::Timestamp;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// How many bytes of a value are read when more may not be necessary: enough for nearly every head, and all of a
/// small value.
const FIRST: usize = 4096;

/// Everything of a value but its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glance {
    /// The media type of its content.
    pub media_type: MediaType,
    /// Its tags.
    pub tags: Vec<String>,
    /// When it expires, by the clock of the instance that set it.
    pub expires_at: Timestamp,
    /// The entity tag of media type and content.
    pub etag: EntityTag,
    /// The size of its content, in bytes.
    pub length: u64,
}

/// What is stored at a key, whether it counts or not.
pub(super) struct Look {
    /// The record, if it is intact and was not invalidated.
    pub(super) record: Option<(Head, Bytes)>,
    /// The stamp of what is stored, empty for nothing. A script compares it.
    pub(super) seen: Vec<u8>,
    /// The ledger, if it has begun.
    pub(super) ledger: Option<LedgerHead>,
}

impl<E: Env> Values<E> {
    /// Returns the value of `key`. One round trip, and a second one if something was invalidated that this instance has
    /// not read yet.
    ///
    /// # Errors
    /// [`RedisError`]: then it is unknown.
    pub async fn get(&self, key: &ValueKey) -> Result<Option<Value>, RedisError> {
        let found = value(self.look(key).await?.record);
        self.count_reads([found.is_some()]);
        Ok(found)
    }

    /// Counts reads, each as a hit or a miss.
    pub(super) fn count_reads(&self, found: impl IntoIterator<Item = bool>) {
        for found in found {
            let outcome = if found { "hit" } else { "miss" };
            self.metrics.count(Series::Other("value_reads_total", Some(("outcome", outcome.to_owned()))));
        }
    }

    /// Returns whether `key` has a value.
    ///
    /// # Errors
    /// As [`Values::get`].
    pub async fn exists(&self, key: &ValueKey) -> Result<bool, RedisError> {
        Ok(self.glance(key).await?.is_some())
    }

    /// Returns everything but the content of the value of `key`, which is not read.
    ///
    /// # Errors
    /// As [`Values::get`].
    pub async fn glance(&self, key: &ValueKey) -> Result<Option<Glance>, RedisError> {
        Ok(self.glance_many(std::slice::from_ref(key)).await?.pop().flatten())
    }

    /// Reads what is stored at `key`.
    pub(super) async fn look(&self, key: &ValueKey) -> Result<Look, RedisError> {
        let (heads, mut all) = self.whole(std::slice::from_ref(key)).await?;
        let ledger = heads.into_of(self.ledger_of(key));
        let bytes = all.pop().unwrap_or_default();
        let seen = stamp_of(&bytes);
        let record = match self.decoded(key, bytes) {
            Some(found) => self.judged(key, ledger.as_ref(), found).await?,
            None => None,
        };
        Ok(Look { record, seen, ledger })
    }

    /// Reads the heads of the ledgers and all of these records, empty if there is none, in one `MGET`.
    pub(super) async fn whole(&self, keys: &[ValueKey]) -> Result<(Heads, Vec<Vec<u8>>), RedisError> {
        let (ledgers, mut arguments) = self.ledgers_of(keys);
        arguments.extend(keys.iter().map(|key| Arg::from(&self.keys.value(key.as_str()))));
        let mut reply = self.redis.call("MGET", arguments).await?.into_iter();
        let heads = heads::<E>(ledgers, &mut reply)?;
        let all =
            reply.map(|value| Ok(value.bytes()?.unwrap_or_default())).collect::<Result<_, RedisError>>()?;
        Ok((heads, all))
    }

    /// Reads the heads of the ledgers of these values.
    pub(super) async fn heads(&self, keys: &[ValueKey]) -> Result<Heads, RedisError> {
        let (ledgers, arguments) = self.ledgers_of(keys);
        let reply = match ledgers.len() {
            0 => Vec::new(),
            1 => self.redis.call("GET", arguments).await?,
            _ => self.redis.call("MGET", arguments).await?,
        };
        heads::<E>(ledgers, &mut reply.into_iter())
    }

    /// Returns the number of the ledger with the invalidations of a value.
    pub(super) fn ledger_of(&self, key: &ValueKey) -> usize {
        self.books.number_of(self.keys.value(key.as_str()).as_str())
    }

    /// Returns the ledgers of these values, each once, and the keys of their heads.
    fn ledgers_of(&self, keys: &[ValueKey]) -> (BTreeSet<usize>, Vec<Arg>) {
        let ledgers: BTreeSet<usize> = keys.iter().map(|key| self.ledger_of(key)).collect();
        let heads = ledgers.iter().map(|ledger| Arg::from(self.books.numbered(*ledger).head_key())).collect();
        (ledgers, heads)
    }

    /// Reads the first bytes of what is stored at `key`, empty for nothing.
    pub(super) async fn first(&self, key: &ValueKey) -> Result<Vec<u8>, RedisError> {
        self.beginning(key, FIRST).await
    }

    async fn beginning(&self, key: &ValueKey, bytes: usize) -> Result<Vec<u8>, RedisError> {
        let end = Arg::from(bytes.saturating_sub(1) as u64);
        let arguments = vec![Arg::from(&self.keys.value(key.as_str())), Arg::Int(0), end];
        let [first] = exactly(self.redis.call("GETRANGE", arguments).await?)?;
        Ok(first.bytes()?.unwrap_or_default())
    }

    /// Decodes the head of a record from its first bytes, and returns the content among these, too. More is read if
    /// the head is longer.
    pub(super) async fn head_of(
        &self,
        key: &ValueKey,
        first: Vec<u8>,
    ) -> Result<Option<(Head, Bytes)>, RedisError> {
        if first.is_empty() {
            return Ok(None);
        }
        let mut first = Bytes::from(first);
        let mut beginning = Head::decode(&first);
        if let Ok(Beginning::Longer(length)) = beginning {
            first = self.beginning(key, length).await?.into();
            beginning = Head::decode(&first);
        }
        match beginning {
            Ok(Beginning::Whole(head, end)) => Ok(Some((head, first.slice(end..)))),
            Ok(Beginning::Longer(_)) => Ok(self.corrupt(key, Corrupt::Damaged)),
            Err(corrupt) => Ok(self.corrupt(key, corrupt)),
        }
    }

    /// Returns the head of a value that counts, with the content among its first bytes.
    pub(super) async fn valid(
        &self,
        key: &ValueKey,
        ledger: Option<&LedgerHead>,
        first: Vec<u8>,
    ) -> Result<Option<(Head, Bytes)>, RedisError> {
        let Some(found) = self.head_of(key, first).await? else { return Ok(None) };
        let counts = self.judged(key, ledger, found).await?;
        Ok(counts.filter(|(head, _)| head.kind == Kind::Value))
    }

    pub(super) fn decoded(&self, key: &ValueKey, bytes: Vec<u8>) -> Option<(Head, Bytes)> {
        if bytes.is_empty() {
            return None;
        }
        record::decode(&bytes.into()).map_err(|corrupt| self.corrupt::<()>(key, corrupt)).ok()
    }

    pub(super) fn is_whole(&self, key: &ValueKey, head: &Head, content: &[u8]) -> bool {
        record::digest(&head.media_type, content) == head.digest
            || self.corrupt(key, Corrupt::Checksum).unwrap_or(false)
    }

    fn corrupt<T>(&self, key: &ValueKey, why: Corrupt) -> Option<T> {
        self.env.log(&format!("ignoring the value of {:?}: {why}", key.as_str()));
        None
    }

    /// Returns `found`, unless it was invalidated; then it is removed in the background. Without a ledger nothing
    /// proves that it was not.
    pub(super) async fn judged<T>(
        &self,
        key: &ValueKey,
        ledger: Option<&LedgerHead>,
        found: (Head, T),
    ) -> Result<Option<(Head, T)>, RedisError> {
        if self.counts(key, ledger, &found.0).await? {
            return Ok(Some(found));
        }
        self.remove_later(key, &found.0.stamp);
        Ok(None)
    }

    /// Returns whether a value was not invalidated.
    pub(super) async fn counts(
        &self,
        key: &ValueKey,
        ledger: Option<&LedgerHead>,
        head: &Head,
    ) -> Result<bool, RedisError> {
        let Some(ledger) = ledger else { return Ok(false) };
        let subject = Subject { mark: &head.mark, url: key.as_str(), tags: &head.tags };
        Ok(self.books.numbered(self.ledger_of(key)).judge(ledger, subject).await? == Purged::No)
    }
}

/// The heads of ledgers by number, if these have begun.
pub(super) struct Heads(BTreeMap<usize, LedgerHead>);

impl Heads {
    /// Returns the head of the ledger with this number.
    pub(super) fn of(&self, ledger: usize) -> Option<&LedgerHead> {
        self.0.get(&ledger)
    }

    fn into_of(mut self, ledger: usize) -> Option<LedgerHead> {
        self.0.remove(&ledger)
    }
}

fn heads<E: Env>(
    ledgers: BTreeSet<usize>,
    reply: &mut impl Iterator<Item = Reply>,
) -> Result<Heads, RedisError> {
    let mut heads = BTreeMap::new();
    for ledger in ledgers {
        if let Some(head) = reply.next().unwrap_or(Reply::Nil).bytes()? {
            heads.insert(ledger, Book::<E>::parse(&head)?);
        }
    }
    Ok(Heads(heads))
}

/// Returns the stamp, as the scripts read it: `GETRANGE key 9 24`.
pub(super) fn stamp_of(record: &[u8]) -> Vec<u8> {
    record.get(9..).map(|rest| rest[..rest.len().min(16)].to_vec()).unwrap_or_default()
}

/// Converts a record to a value; a remembered failure is not one.
pub(super) fn value(record: Option<(Head, Bytes)>) -> Option<Value> {
    let (head, content) = record.filter(|(head, _)| head.kind == Kind::Value)?;
    Some(Value::of(head, content))
}

pub(super) fn glance_of(head: Head) -> Glance {
    let Head { media_type, tags, expires_at, digest, length, .. } = head;
    Glance { media_type, tags, expires_at, etag: EntityTag(digest), length }
}
