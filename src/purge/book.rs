//! A purge ledger in Redis, as one instance reads and writes it.

use super::ledger::{Head, Ledger, Purged, Subject};
use crate::env::Env;
use crate::nonce::Nonces;
use crate::redis::{Arg, Client, Key, RedisError, Script, exactly, together};
use crate::time::Ttl;
use std::cell::RefCell;
use std::rc::Rc;

static BEGIN: Script = Script::new(include_str!("../redis/lua/begin_ledger.lua"));
static LEDGER: Script = Script::new(include_str!("../redis/lua/ledger.lua"));

/// The most entries of a ledger. Beyond that the oldest are dropped, and responses older than these count as
/// purged.
const MAX_ENTRIES: u64 = 10_000;

/// A change of a ledger by one or more purges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The number of the last purge before the change.
    pub before: u64,
    /// The head after the change.
    pub after: Head,
}

/// A ledger, and what this instance has read of it.
pub struct Book<E: Env> {
    redis: Rc<Client<E>>,
    nonces: Rc<Nonces>,
    head: Key,
    entries: Key,
    lifetime: Ttl,
    known: RefCell<Ledger>,
}

impl<E: Env> Book<E> {
    /// Returns the key of the entries, which are scored by their number.
    pub(super) const fn entries(&self) -> &Key {
        &self.entries
    }

    /// Makes the ledger at the keys `head` and `entries`, which share a hash tag. It lives for `lifetime` after its last
    /// use, which must be longer than anything that refers to it.
    #[must_use]
    pub fn new(redis: Rc<Client<E>>, nonces: Rc<Nonces>, keys: (Key, Key), lifetime: Ttl) -> Self {
        let (head, entries) = keys;
        Self { redis, nonces, head, entries, lifetime, known: RefCell::default() }
    }

    /// Returns the key of the head, which is read together with what it may have purged.
    #[must_use]
    pub const fn head_key(&self) -> &Key {
        &self.head
    }

    fn beginning(&self) -> String {
        format!("{}:0:0", self.nonces.next())
    }

    /// Returns the current head, and begins a ledger if there is none. At least three quarters of its lifetime
    /// are left, so that what is stored right after this may refer to it.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn begin(&self) -> Result<Head, RedisError> {
        let arguments = vec![Arg::from(self.beginning()), Arg::from(self.lifetime)];
        let [head] = exactly(self.redis.run(&BEGIN, &[&self.head, &self.entries], arguments).await?)?;
        Self::parse(&head.bytes()?.unwrap_or_default())
    }

    /// Parses a head as it is stored in Redis.
    ///
    /// # Errors
    /// [`RedisError::Reply`] when it is not a head.
    pub fn parse(bytes: &[u8]) -> Result<Head, RedisError> {
        let text = String::from_utf8_lossy(bytes);
        Head::parse(&text)
            .ok_or_else(|| RedisError::reply("a purge ledger id:seq:floor", &format!("{text:?}")))
    }

    /// Returns whether `subject` was purged, by the ledger whose current head is `head`. Reads the entries that this
    /// instance has not read yet.
    ///
    /// # Errors
    /// [`RedisError`]: then the answer is unknown.
    pub async fn judge(&self, head: &Head, subject: Subject<'_>) -> Result<Purged, RedisError> {
        let missing = self.known.borrow().missing(head, subject.mark);
        let Some(from) = missing else { return Ok(self.known.borrow().judge(head, subject)) };
        let entries = self.read(from).await?;
        let mut head = head.clone();
        if entries.len() as u64 >= MAX_ENTRIES {
            // A purge may just have dropped the oldest entry of a full ledger: then the floor now shows that. What
            // was purged after the entries were read is left to the next reader.
            let Some(now) = self.read_head().await?.filter(|now| now.mark.id == head.mark.id) else {
                return Ok(Purged::Hard);
            };
            head.floor = now.floor;
        }
        self.known.borrow_mut().learn(&head, entries);
        Ok(self.known.borrow().judge(&head, subject))
    }

    async fn read_head(&self) -> Result<Option<Head>, RedisError> {
        let [head] = exactly(self.redis.call("GET", vec![Arg::from(&self.head)]).await?)?;
        head.bytes()?.map(|head| Self::parse(&head)).transpose()
    }

    async fn read(&self, after: u64) -> Result<Vec<(String, u64)>, RedisError> {
        let arguments = vec![
            Arg::from(&self.entries),
            Arg::from(format!("({after}")),
            Arg::from("+inf"),
            Arg::from("WITHSCORES"),
        ];
        let reply = self.redis.call("ZRANGEBYSCORE", arguments).await?;
        let mut entries = Vec::with_capacity(reply.len() / 2);
        let mut reply = reply.into_iter();
        while let (Some(member), Some(score)) = (reply.next(), reply.next()) {
            let member = String::from_utf8(member.bytes()?.unwrap_or_default())
                .map_err(|_| RedisError::reply("a ledger entry in UTF-8", "other bytes"))?;
            entries.push((member, u64::try_from(score.int()?).unwrap_or(0)));
        }
        Ok(entries)
    }

    /// Writes purges, in the form of [`member`](super::ledger::member), and returns the change of the ledger; `None` if there
    /// are none.
    ///
    /// # Errors
    /// [`RedisError`]: then some of them may not be written. Writing them again is safe.
    pub async fn write(&self, members: Vec<String>) -> Result<Option<Change>, RedisError> {
        if members.is_empty() {
            return Ok(None);
        }
        let mut arguments =
            vec![Arg::from(self.beginning()), Arg::from(self.lifetime), Arg::from(MAX_ENTRIES)];
        arguments.extend(members.into_iter().map(Arg::from));
        let keys = [&self.head, &self.entries];
        let [head, before] = exactly(self.redis.run(&LEDGER, &keys, arguments).await?)?;
        let (after, before) = (Self::parse(&head.bytes()?.unwrap_or_default())?, before.bytes()?);
        let before = String::from_utf8_lossy(&before.unwrap_or_default()).parse();
        let before = before.map_err(|_| RedisError::reply("the number of a purge", "something else"))?;
        Ok(Some(Change { before, after }))
    }

    /// Prolongs the ledger, so that it outlives what was just stored with its mark.
    ///
    /// # Errors
    /// [`RedisError`]: then it may end too early, which has the effect of a purge of everything.
    pub async fn prolong(&self) -> Result<(), RedisError> {
        let prolong = |key: &Key| self.redis.call("PEXPIRE", vec![Arg::from(key), Arg::from(self.lifetime)]);
        together::both(prolong(&self.head), prolong(&self.entries)).await.map(|_| ())
    }
}
