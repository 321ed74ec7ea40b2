//! Freeing the space of purged responses.
//!
//! A purge is a line in the ledger, or drops one key: what it covers is not served any more, but most of it remains
//! in Redis until it expires. A sweep goes through the keys in small steps, judges each stored response as a
//! lookup would, and drops those that were purged. Nothing depends on it: what an interrupted sweep leaves is
//! dropped by the next, or expires. One sweep runs at a time, over all instances.

use super::ledger::{Head, Purged, Subject};
use crate::cache::entry::head_length;
use crate::cache::partial::Record;
use crate::cache::store::Store;
use crate::codec::PREAMBLE;
use crate::env::Env;
use crate::redis::{Arg, Key, RedisError, Scan, Script, exactly, together};
use crate::time::{Instant, millis};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

static DROP: Script = Script::new(include_str!("../redis/lua/drop.lua"));
static LET_GO: Script = Script::new(include_str!("../redis/lua/let_go.lua"));

/// How many keys Redis looks at in one step.
const STEP: u64 = 200;

/// How much of a stored response is read to judge it, in bytes: mostly enough for its whole head.
const PEEK: usize = 2048;

/// How long a sweep may go without renewal before another may begin.
const HELD: Duration = Duration::from_secs(10);

/// How long a requested sweep may fail to begin before another may be requested.
const ASKED: Duration = Duration::from_secs(60);

/// How long the pieces of a body outlive its entry: responses begun before the purge are read from them.
const READERS: Duration = Duration::from_secs(60);

/// How many pieces are given their time to live in one call, so that the loop of the script is bounded.
const PIECES: usize = 500;

/// The result of a sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// The number of stored responses that were judged.
    pub seen: u64,
    /// How many of these were purged and are dropped now.
    pub dropped: u64,
    /// Whether it went through all keys.
    pub finished: bool,
}

/// A stored response, as far as a sweep reads it.
struct Peeked {
    key: Key,
    /// Its first bytes, by which it is recognised when it is dropped.
    beginning: Bytes,
    record: Record,
}

impl<E: Env> Store<E> {
    /// Drops what was purged, for at most `budget`. `None` while another sweep is running, which then goes through the keys
    /// once more.
    ///
    /// # Errors
    /// [`RedisError`]: then the rest is not dropped.
    pub async fn sweep(&self, budget: Duration) -> Result<Option<Swept>, RedisError> {
        let (key, token) = (self.keys.sweep(), self.nonces.next());
        if !self.redis.set_new(&key, &token, HELD).await? {
            self.ask_for_sweep().await?;
            return Ok(None);
        }
        let swept = self.sweep_while_asked(self.env.instant().plus(budget), &key).await;
        // If this one was held up, another may have begun, which must keep its lock.
        self.redis.run(&DROP, &[&key], vec![Arg::from(token)]).await?;
        swept.map(Some)
    }

    /// Sweeps until no further sweep is requested: what is purged behind the position of a sweep needs another.
    async fn sweep_while_asked(&self, until: Instant, held: &Key) -> Result<Swept, RedisError> {
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

    /// Returns whether a sweep was requested since this was last called.
    async fn was_asked(&self) -> Result<bool, RedisError> {
        let removed = self.redis.call("UNLINK", vec![Arg::from(&self.keys.sweep_asked())]).await?;
        Ok(exactly::<1>(removed)?[0].int()? == 1)
    }

    /// Requests a sweep; `true` if no earlier request is pending.
    ///
    /// # Errors
    /// [`RedisError`]: then it is unknown.
    pub(super) async fn ask_for_sweep(&self) -> Result<bool, RedisError> {
        self.redis.set_new(&self.keys.sweep_asked(), &self.nonces.next(), ASKED).await
    }

    async fn sweep_all(&self, until: Instant, held: &Key) -> Result<Swept, RedisError> {
        let mut swept = Swept::default();
        let mut scan = Scan::new(self.keys.pattern_of_resources(), STEP);
        while self.env.instant() < until {
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

    /// Drops a response if it was purged. `heads` are those of the ledgers that were read in this step.
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
        self.let_go(id, &record).await?;
        Ok(gone[0].int()? == 1)
    }

    /// Shortens the life of the pieces of a record that was dropped, of the resource `id`.
    pub(crate) async fn let_go(&self, id: &str, record: &Record) -> Result<(), RedisError> {
        for (body, chunks) in record.bodies() {
            let pieces: Vec<Key> = (0..chunks).map(|number| self.keys.chunk(id, body, number)).collect();
            for some in pieces.chunks(PIECES) {
                let keys: Vec<&Key> = some.iter().collect();
                self.redis.run(&LET_GO, &keys, vec![Arg::from(millis(READERS))]).await?;
            }
        }
        Ok(())
    }
}

/// Returns where the entry begins: after `E`, or after the name of an index and a blank.
fn start_of_entry(key: &Key, beginning: &[u8]) -> Option<usize> {
    if key.as_str().contains("}:v:") {
        return beginning.iter().position(|byte| *byte == b' ').map(|at| at + 1);
    }
    (beginning.first() == Some(&b'E')).then_some(1)
}
