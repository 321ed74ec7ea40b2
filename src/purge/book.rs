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

/// The most entries of a ledger: beyond, the oldest are dropped, and what is older than those counts as
/// purged.
const MAX_ENTRIES: u64 = 10_000;

/// What purges changed of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The number of the last purge before them.
    pub before: u64,
    /// The head after them.
    pub after: Head,
}

/// One ledger, and what this instance has read of it.
pub struct Book<E: Env> {
    redis: Rc<Client<E>>,
    nonces: Rc<Nonces>,
    head: Key,
    entries: Key,
    lifetime: Ttl,
    known: RefCell<Ledger>,
}

impl<E: Env> Book<E> {
    /// What was purged, scored by when in the ledger's own count.
    pub(super) const fn entries(&self) -> &Key {
        &self.entries
    }

    /// The ledger at the keys `head` and `entries`, which share a hash tag. It lives for `lifetime` after it was
    /// last used, which must be longer than anything that refers to it.
    #[must_use]
    pub fn new(redis: Rc<Client<E>>, nonces: Rc<Nonces>, keys: (Key, Key), lifetime: Ttl) -> Self {
        let (head, entries) = keys;
        Self { redis, nonces, head, entries, lifetime, known: RefCell::default() }
    }

    /// The key of its head, which is read together with what it may have purged.
    #[must_use]
    pub const fn head_key(&self) -> &Key {
        &self.head
    }

    fn beginning(&self) -> String {
        format!("{}:0:0", self.nonces.next())
    }

    /// The head as it is now; the ledger begins here where there is none. At least three quarters of its lifetime
    /// are left, so what is stored right after this may refer to it.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn begin(&self) -> Result<Head, RedisError> {
        let arguments = vec![Arg::from(self.beginning()), Arg::from(self.lifetime)];
        let [head] = exactly(self.redis.run(&BEGIN, &[&self.head, &self.entries], arguments).await?)?;
        Self::parse(&head.bytes()?.unwrap_or_default())
    }

    /// Reads a head as it stands in Redis.
    ///
    /// # Errors
    /// [`RedisError::Reply`] when it is none.
    pub fn parse(bytes: &[u8]) -> Result<Head, RedisError> {
        let text = String::from_utf8_lossy(bytes);
        Head::parse(&text)
            .ok_or_else(|| RedisError::reply("a purge ledger id:seq:floor", &format!("{text:?}")))
    }

    /// Whether `subject` was purged, by the ledger whose head is `head` now. Reads what this instance has not
    /// read yet.
    ///
    /// # Errors
    /// [`RedisError`]: then it is unknown.
    pub async fn judge(&self, head: &Head, subject: Subject<'_>) -> Result<Purged, RedisError> {
        let missing = self.known.borrow().missing(head, subject.mark);
        let Some(from) = missing else { return Ok(self.known.borrow().judge(head, subject)) };
        let entries = self.read(from).await?;
        let mut head = head.clone();
        if entries.len() as u64 >= MAX_ENTRIES {
            // A purge may have dropped the oldest entry of a full ledger just before: then the floor says so by now. What
            // was purged after the others were read is for the next to read.
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

    /// Writes purges, as [`member`](super::ledger::member) makes them, and says what that changed; `None` where there are
    /// none.
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

    /// Makes it outlive what was just stored under it.
    ///
    /// # Errors
    /// [`RedisError`]: then it may end too early, which counts as a purge of everything.
    pub async fn prolong(&self) -> Result<(), RedisError> {
        let prolong = |key: &Key| self.redis.call("PEXPIRE", vec![Arg::from(key), Arg::from(self.lifetime)]);
        together::both(prolong(&self.head), prolong(&self.entries)).await.map(|_| ())
    }
}
