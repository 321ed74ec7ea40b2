//! Reading many values at once.

use super::read::{Heads, glance_of, value};
use super::{Glance, Value, ValueKey, Values};
use crate::env::Env;
use crate::redis::{RedisError, together};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

/// Values whose total size cannot exceed this, in bytes, are read as a whole at once.
const WHOLE: u64 = 8 << 20;
/// How many commands are in flight at once.
pub(super) const AT_ONCE: usize = 256;
/// Large values are read in groups of this size, in bytes.
const GROUP: u64 = 4 << 20;

/// One of many values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// It does not exist.
    Missing,
    /// It was read.
    Value(Value),
    /// It exists, but there was no room left for it.
    LeftOut(Glance),
}

impl<E: Env> Values<E> {
    /// Returns everything but the content of many values, in the order of the keys. One round trip for up to 256.
    ///
    /// # Errors
    /// As [`Values::get`].
    pub async fn glance_many(&self, keys: &[ValueKey]) -> Result<Vec<Option<Glance>>, RedisError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let firsts = stream::iter(keys).map(|key| self.first(key)).buffered(AT_ONCE).try_collect::<Vec<_>>();
        let (heads, firsts) = together::both(self.heads(keys), firsts).await?;
        let mut all = Vec::with_capacity(keys.len());
        for (key, first) in keys.iter().zip(firsts) {
            let found = self.valid(key, heads.of(self.ledger_of(key)), first).await?;
            all.push(found.map(|(head, _)| glance_of(head)));
        }
        Ok(all)
    }

    /// Returns many values, in the order of the keys. All are in memory at once.
    ///
    /// # Errors
    /// As [`Values::get`].
    pub async fn get_many(&self, keys: &[ValueKey]) -> Result<Vec<Option<Value>>, RedisError> {
        let all = self.read_many(keys, u64::MAX).await?.into_iter();
        Ok(all.map(|read| if let Read::Value(value) = read { Some(value) } else { None }).collect())
    }

    /// Returns many values, in the order of the keys, with at most `room` bytes of content in all: values that do not
    /// fit are left out. One round trip for a few, two for up to 256, and one more for every 4 MiB of values
    /// over 4 KiB.
    ///
    /// # Errors
    /// As [`Values::get`].
    pub async fn read_many(&self, keys: &[ValueKey], room: u64) -> Result<Vec<Read>, RedisError> {
        let all = self.read_all(keys, room).await?;
        self.count_reads(all.iter().map(|read| *read != Read::Missing));
        Ok(all)
    }

    async fn read_all(&self, keys: &[ValueKey], room: u64) -> Result<Vec<Read>, RedisError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        if (keys.len() as u64).saturating_mul(self.limits.max_size) <= WHOLE {
            let (heads, all) = self.whole(keys).await?;
            return self.fitting(keys, &heads, all, room).await;
        }
        let firsts = stream::iter(keys).map(|key| self.first(key)).buffered(AT_ONCE).try_collect::<Vec<_>>();
        let (heads, firsts) = together::both(self.heads(keys), firsts).await?;
        let (mut all, mut large, mut room) = (Vec::with_capacity(keys.len()), Vec::new(), Room(room));
        for (at, (key, first)) in keys.iter().zip(firsts).enumerate() {
            all.push(match self.valid(key, heads.of(self.ledger_of(key)), first).await? {
                Some((head, _)) if !room.take(head.length) => Read::LeftOut(glance_of(head)),
                Some((head, content)) if (content.len() as u64) < head.length => {
                    large.push((at, head.length));
                    Read::Missing
                }
                Some((head, content)) if self.is_whole(key, &head, &content) => {
                    Read::Value(Value::of(head, content))
                }
                _ => Read::Missing,
            });
        }
        self.read_large(keys, &large, &mut all).await?;
        Ok(all)
    }

    /// As [`Values::read_many`], with a result for each value: one server may be away, or a key may be used by something
    /// else.
    pub async fn read_each(&self, keys: &[ValueKey], room: u64) -> Vec<Result<Read, RedisError>> {
        match self.read_many(keys, room).await {
            Ok(all) => return all.into_iter().map(Ok).collect(),
            Err(error) if keys.len() == 1 => return vec![Err(error)],
            Err(_) => {}
        }
        let (mut all, mut room) = (Vec::with_capacity(keys.len()), Room(room));
        for key in keys {
            let read = self.read_many(std::slice::from_ref(key), room.0).await;
            let read = read.map(|mut one| one.pop().unwrap_or(Read::Missing));
            if let Ok(Read::Value(value)) = &read {
                room.take(value.content.len() as u64);
            }
            all.push(read);
        }
        all
    }

    /// As [`Values::glance_many`], with a result for each value.
    pub async fn glance_each(&self, keys: &[ValueKey]) -> Vec<Result<Option<Glance>, RedisError>> {
        match self.glance_many(keys).await {
            Ok(all) => all.into_iter().map(Ok).collect(),
            Err(error) if keys.len() == 1 => vec![Err(error)],
            Err(_) => stream::iter(keys).map(|key| self.glance(key)).buffered(AT_ONCE).collect().await,
        }
    }

    /// Reads those values as a whole whose first bytes were not enough.
    async fn read_large(
        &self,
        keys: &[ValueKey],
        large: &[(usize, u64)],
        all: &mut [Read],
    ) -> Result<(), RedisError> {
        let mut rest = large;
        while !rest.is_empty() {
            let mut bytes = 0u64;
            let count = rest.iter().take_while(|(_, length)| {
                bytes = bytes.saturating_add(*length);
                bytes <= GROUP
            });
            let (group, others) = rest.split_at(count.count().max(1));
            rest = others;
            let group_keys: Vec<ValueKey> =
                group.iter().filter_map(|(at, _)| keys.get(*at).cloned()).collect();
            let (heads, whole) = self.whole(&group_keys).await?;
            let read = self.fitting(&group_keys, &heads, whole, u64::MAX).await?;
            for ((at, _), read) in group.iter().zip(read) {
                if let Some(place) = all.get_mut(*at) {
                    *place = read;
                }
            }
        }
        Ok(())
    }

    /// Returns which of `records` are valid and fit.
    async fn fitting(
        &self,
        keys: &[ValueKey],
        heads: &Heads,
        records: Vec<Vec<u8>>,
        room: u64,
    ) -> Result<Vec<Read>, RedisError> {
        let (mut all, mut room) = (Vec::with_capacity(keys.len()), Room(room));
        for (key, bytes) in keys.iter().zip(records) {
            let found = match self.decoded(key, bytes) {
                Some(found) => value(self.judged(key, heads.of(self.ledger_of(key)), found).await?),
                None => None,
            };
            all.push(match found {
                None => Read::Missing,
                Some(value) if room.take(value.content.len() as u64) => Read::Value(value),
                Some(value) => Read::LeftOut(glance(value)),
            });
        }
        Ok(all)
    }
}

/// The bytes that may still be taken.
struct Room(u64);

impl Room {
    /// Takes this many, if there are enough.
    fn take(&mut self, bytes: u64) -> bool {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

fn glance(value: Value) -> Glance {
    let length = value.content.len() as u64;
    let Value { media_type, tags, expires_at, etag, .. } = value;
    Glance { media_type, tags, expires_at, etag, length }
}
