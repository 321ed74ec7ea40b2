//! Giving back the space of what was purged.
//!
//! A purge is a line in the ledger, or drops one key: what it means can be served no more, but most of it still
//! stands in Redis until its time is up. A sweep goes through the keys in small steps, judges each stored
//! response as a lookup would, and drops those that were purged. Nothing depends on it: one that is broken off
//! leaves the rest to the next, or to the end of its time. One sweeps at a time, on whatever instance.

use super::ledger::{Head, Purged, Subject};
use crate::cache::entry::head_length;
use crate::cache::partial::Record;
use crate::cache::store::Store;
use crate::codec::PREAMBLE;
use crate::env::Env;
use crate::redis::{Arg, Key, RedisError, Scan, Script, exactly, together};
use crate::time::millis;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

static DROP: Script = Script::new(include_str!("../redis/lua/drop.lua"));
static LET_GO: Script = Script::new(include_str!("../redis/lua/let_go.lua"));

/// How many keys Redis looks at in one step.
const STEP: u64 = 200;

/// How much of a stored response is read to judge it, in bytes: mostly its whole head.
const PEEK: usize = 2048;

/// How long a sweep may be without a sign of life before another may begin.
const HELD: Duration = Duration::from_secs(10);

/// For how long a sweep that was asked for is waited for: then somebody may ask again.
const ASKED: Duration = Duration::from_secs(60);

/// How long pieces of a body stay after their entry: responses that began before it was purged are read from them.
const READERS: Duration = Duration::from_secs(60);

/// How many pieces are let go in one call: the loop of the script is bounded.
const PIECES: usize = 500;

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Stored responses looked at.
    pub seen: u64,
    /// Of these, how many were purged and are gone now.
    pub dropped: u64,
    /// Whether it came to the end of all keys.
    pub finished: bool,
}

/// A stored response, as far as a sweep reads it.
struct Peeked {
    key: Key,
    /// Its beginning, by which it is recognised when it is dropped.
    beginning: Bytes,
    record: Record,
}

impl<E: Env> Store<E> {
    /// Drops what was purged, for no longer than `budget`. `None` when somebody else is at it: then they go through the keys
    /// once more.
    ///
    /// # Errors
    /// [`RedisError`]: then the rest stays.
    pub async fn sweep(&self, budget: Duration) -> Result<Option<Swept>, RedisError> {
        let (key, token) = (self.keys.sweep(), self.nonces.next());
        if !self.redis.set_new(&key, &token, HELD).await? {
            self.ask_for_sweep().await?;
            return Ok(None);
        }
        let swept = self.sweep_while_asked(self.env.elapsed().saturating_add(budget), &key).await;
        // Somebody else may have begun meanwhile, if this one was held up.
        self.redis.run(&DROP, &[&key], vec![Arg::from(token)]).await?;
        swept.map(Some)
    }

    /// What is purged behind the place where a sweep has come to is for the next.
    async fn sweep_while_asked(&self, until: Duration, held: &Key) -> Result<Swept, RedisError> {
        self.was_asked().await?;
        let mut all = Swept::default();
        loop {
            let Swept { seen, dropped, finished } = self.sweep_all(until, held).await?;
            all = Swept { seen: all.seen + seen, dropped: all.dropped + dropped, finished };
            if !finished || !self.was_asked().await? {
                return Ok(all);
            }
        }
    }

    /// Whether somebody asked for a sweep since this was last asked.
    async fn was_asked(&self) -> Result<bool, RedisError> {
        let removed = self.redis.call("UNLINK", vec![Arg::from(&self.keys.sweep_asked())]).await?;
        Ok(exactly::<1>(removed)?[0].int()? == 1)
    }

    /// Whether a sweep is to be had: nobody asked for one that has not begun.
    ///
    /// # Errors
    /// [`RedisError`]: then it is unknown.
    pub(super) async fn ask_for_sweep(&self) -> Result<bool, RedisError> {
        self.redis.set_new(&self.keys.sweep_asked(), &self.nonces.next(), ASKED).await
    }

    async fn sweep_all(&self, until: Duration, held: &Key) -> Result<Swept, RedisError> {
        let mut swept = Swept::default();
        let mut scan = Scan::new(self.keys.pattern_of_resources(), STEP);
        while self.env.elapsed() < until {
            let found = scan.next(&self.redis).await?;
            let keys = found.iter().filter_map(|key| self.keys.of_response(key)).collect();
            let mut heads = BTreeMap::new();
            for peeked in self.peek(keys).await? {
                swept.seen += 1;
                swept.dropped += u64::from(self.drop_purged(&mut heads, peeked).await?);
            }
            self.redis.call("PEXPIRE", vec![Arg::from(held), Arg::from(millis(HELD))]).await?;
            if scan.is_finished() {
                return Ok(Swept { finished: scan.is_complete(), ..swept });
            }
        }
        Ok(swept)
    }

    async fn peek(&self, keys: Vec<Key>) -> Result<Vec<Peeked>, RedisError> {
        let peeked = together::all(keys.into_iter().map(|key| self.peek_at(key))).await?;
        Ok(peeked.into_iter().flatten().collect())
    }

    async fn peek_at(&self, key: Key) -> Result<Option<Peeked>, RedisError> {
        let mut beginning = self.range(&key, PEEK).await?;
        // A variant stands after the name of its index, anything else after one letter.
        let Some(at) = start_of_entry(&key, &beginning) else { return Ok(None) };
        let needed = head_length(&beginning[at..]).map(|length| at + PREAMBLE + length);
        let Some(needed) = needed else { return Ok(None) };
        if needed > beginning.len() {
            beginning = self.range(&key, needed).await?;
        }
        if beginning.len() < needed {
            return Ok(None);
        }
        let record = Record::decode_head(&beginning.slice(at..needed)).ok();
        Ok(record.map(|record| Peeked { key, beginning: beginning.slice(..needed), record }))
    }

    async fn range(&self, key: &Key, length: usize) -> Result<Bytes, RedisError> {
        let arguments = vec![Arg::from(key), Arg::Int(0), Arg::from(length.saturating_sub(1) as u64)];
        let [bytes] = exactly(self.redis.call("GETRANGE", arguments).await?)?;
        Ok(bytes.bytes()?.unwrap_or_default().into())
    }

    /// `heads` are those of the ledgers that were read in this step.
    async fn drop_purged(
        &self,
        heads: &mut BTreeMap<usize, Head>,
        peeked: Peeked,
    ) -> Result<bool, RedisError> {
        let Peeked { key, beginning, record } = peeked;
        let Some(id) = key.resource() else { return Ok(false) };
        let (book, number) = (self.books.of(id), self.books.number_of(id));
        let head = match heads.entry(number) {
            Entry::Occupied(head) => head.into_mut(),
            Entry::Vacant(place) => place.insert(book.begin().await?),
        };
        let entry = record.entry();
        let Some(url) = crate::cache::key::url_of(&entry.key) else { return Ok(false) };
        let subject = Subject { mark: &entry.ledger, url: &url, tags: &entry.tags };
        if book.judge(head, subject).await? != Purged::Hard {
            return Ok(false);
        }
        let gone = exactly::<1>(self.redis.run(&DROP, &[&key], vec![Arg::from(beginning.to_vec())]).await?)?;
        for (body, chunks) in record.bodies() {
            let pieces: Vec<Key> = (0..chunks).map(|number| self.keys.chunk(id, body, number)).collect();
            for some in pieces.chunks(PIECES) {
                let keys: Vec<&Key> = some.iter().collect();
                self.redis.run(&LET_GO, &keys, vec![Arg::from(millis(READERS))]).await?;
            }
        }
        Ok(gone[0].int()? == 1)
    }
}

/// Where the entry begins: after `E`, or after the name of an index and a blank.
fn start_of_entry(key: &Key, beginning: &[u8]) -> Option<usize> {
    if key.as_str().contains("}:v:") {
        return beginning.iter().position(|byte| *byte == b' ').map(|at| at + 1);
    }
    (beginning.first() == Some(&b'E')).then_some(1)
}
