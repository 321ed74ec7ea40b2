//! The response cache in Redis.
//!
//! A resource is one hash: `g` its generation, `s` how often it was purged softly, `v` the request fields its
//! responses vary on, and one field an entry for each response (`e` and the SHA-1 of the selecting values).
//! Purging it is one `UNLINK`. A fetch carries the generation it began with, and stores only into that same
//! generation: what was purged, or lost to eviction, in between is not brought back.
//!
//! A lookup is one script and one round trip; it also reads the head of the purge ledger. Only when a purge
//! happened since this instance looked last are the new entries of the ledger read, in a second one.

use super::entry::{Content, Entry, LedgerMark};
use super::key::{ResourceKey, Selecting, entry_field};
use crate::env::{Entropy, Env};
use crate::purge::ledger::{Head, Ledger, Purged, Subject};
use crate::redis::{Arg, Client, Key, Keys, RedisError, Script, Value, exactly, hex};
use crate::time::{Timestamp, Ttl, millis};
use bytes::Bytes;
use futures_util::future::try_join;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

static LOOKUP: Script = Script::new(include_str!("../redis/lua/lookup.lua"));
static STORE: Script = Script::new(include_str!("../redis/lua/store.lua"));

/// How long a fetch may take before what it brings is not stored any more.
pub const FILL_TIME: Duration = Duration::from_secs(60);

/// How long a stale response is kept for validation and for times when the origin is away.
const KEEP: Duration = Duration::from_secs(3600);

/// What bounds the store.
#[derive(Clone, Copy, Debug)]
pub struct StoreLimits {
    /// Nothing lives longer in Redis.
    pub max_ttl: Duration,
    /// The most responses of one resource.
    pub max_variants: u64,
}

/// The store, as one instance holds it.
pub struct Store<E: Env> {
    pub(crate) env: E,
    pub(crate) redis: Rc<Client<E>>,
    pub(crate) keys: Keys,
    limits: StoreLimits,
    ledger: RefCell<Ledger>,
}

/// What a lookup found.
#[derive(Debug)]
pub struct Lookup {
    /// The right to store what is fetched now.
    pub lease: FillLease,
    /// The response that the request selects, where there is one that was not purged.
    pub entry: Option<Entry>,
    /// It was purged softly: it counts as stale.
    pub soft_purged: bool,
    /// Something is stored for the resource, though not what the request selects.
    pub other_variants: bool,
}

/// The right to store a response, from the lookup that preceded its fetch.
#[derive(Debug)]
#[must_use]
pub struct FillLease {
    /// What will be stored.
    pub resource: ResourceKey,
    generation: Vec<u8>,
    soft: u64,
    ledger: LedgerMark,
}

impl FillLease {
    /// How many soft purges the resource had seen when the fetch began.
    #[must_use]
    pub const fn soft(&self) -> u64 {
        self.soft
    }

    /// The purge ledger as it was when the fetch began.
    #[must_use]
    pub const fn ledger(&self) -> &LedgerMark {
        &self.ledger
    }
}

impl<E: Env> Store<E> {
    /// A store over `redis`, with its keys made by `keys`.
    #[must_use]
    pub fn new(env: E, redis: Rc<Client<E>>, keys: Keys, limits: StoreLimits) -> Self {
        Self { env, redis, keys, limits, ledger: RefCell::default() }
    }

    /// Finds what is stored for `resource` and selected by `selecting`.
    ///
    /// # Errors
    /// [`RedisError`]: then nothing can be read or stored.
    pub async fn lookup(&self, resource: ResourceKey, selecting: &Selecting) -> Result<Lookup, RedisError> {
        let key = self.keys.resource(resource.id());
        let reply =
            self.redis.run(&LOOKUP, &[&key, &self.keys.ledger()], self.lookup_arguments(selecting)).await?;
        let [generation, soft, ledger, vary, entry] = exactly(reply)?;
        let head = head(ledger)?;
        let lease = FillLease {
            resource,
            generation: generation.bytes()?.unwrap_or_default(),
            soft: u64::try_from(soft.int()?).unwrap_or(0),
            ledger: head.mark.clone(),
        };
        let entry =
            entry.bytes()?.and_then(|bytes| self.decode(bytes.into(), &lease.resource, selecting, &vary));
        let other_variants = entry.is_none() && !matches!(&vary, Value::Nil);
        let (entry, purged) = self.unpurged(entry, &head, &lease.resource).await?;
        let entry = self.whole(entry, &lease.resource).await?;
        let soft_purged =
            entry.as_ref().is_some_and(|entry| purged == Purged::Soft || entry.soft < lease.soft);
        Ok(Lookup { lease, entry, soft_purged, other_variants })
    }

    fn lookup_arguments(&self, selecting: &Selecting) -> Vec<Arg> {
        vec![
            Arg::from(self.nonce()),
            Arg::from(millis(FILL_TIME)),
            Arg::from(self.new_ledger()),
            Arg::from(self.ledger_ttl()),
            Arg::from(selecting.lines()),
        ]
    }

    /// A damaged entry, one of another version or of another key (a collision) counts as none.
    fn decode(
        &self,
        bytes: Bytes,
        resource: &ResourceKey,
        selecting: &Selecting,
        vary: &Value,
    ) -> Option<Entry> {
        let entry = match Entry::decode(bytes) {
            Ok(entry) => entry,
            Err(corrupt) => {
                self.env.log(&format!("ignoring a stored response of {}: {corrupt}", resource.url()));
                return None;
            }
        };
        let spec = match vary {
            Value::Bytes(spec) => std::str::from_utf8(spec).ok()?,
            _ => "",
        };
        (entry.key == resource.text() && entry.selecting == selecting.values(spec)).then_some(entry)
    }

    async fn unpurged(
        &self,
        entry: Option<Entry>,
        head: &Head,
        resource: &ResourceKey,
    ) -> Result<(Option<Entry>, Purged), RedisError> {
        let Some(entry) = entry else { return Ok((None, Purged::No)) };
        let missing = self.ledger.borrow().missing(head, &entry.ledger);
        if let Some(from) = missing {
            let entries = self.ledger_entries(from).await?;
            self.ledger.borrow_mut().learn(head, entries);
        }
        let subject = Subject { mark: &entry.ledger, url: resource.url(), tags: &entry.tags };
        let purged = self.ledger.borrow().judge(head, subject);
        Ok(((purged != Purged::Hard).then_some(entry), purged))
    }

    async fn ledger_entries(&self, after: u64) -> Result<Vec<(String, u64)>, RedisError> {
        let arguments = vec![
            Arg::from(&self.keys.ledger_entries()),
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

    /// A body in pieces is there as a whole or not at all.
    async fn whole(&self, entry: Option<Entry>, resource: &ResourceKey) -> Result<Option<Entry>, RedisError> {
        let (keys, chunks): (Vec<_>, _) = match entry.as_ref().map(|entry| &entry.content) {
            Some(Content::Chunked { body, chunks, .. }) => (
                (0..*chunks).map(|number| Arg::from(&self.chunk_key(resource, body, number))).collect(),
                *chunks,
            ),
            Some(Content::Inline(_)) | None => return Ok(entry),
        };
        let there = exactly::<1>(self.redis.call("EXISTS", keys).await?)?[0].int()?;
        Ok(entry.filter(|_| there == i64::from(chunks)))
    }

    /// Stores a response that was fetched under `lease`. `false` when its resource was purged meanwhile.
    ///
    /// # Errors
    /// [`RedisError`]: then it may or may not be stored.
    pub async fn store(
        &self,
        lease: &FillLease,
        spec: &str,
        entry: &Entry,
        now: Timestamp,
    ) -> Result<bool, RedisError> {
        let key = self.keys.resource(lease.resource.id());
        let arguments = vec![
            Arg::from(lease.generation.clone()),
            Arg::from(spec),
            Arg::from(entry_field(&entry.selecting)),
            Arg::from(entry.encode()),
            Arg::from(self.ttl(entry, now)),
            Arg::from(self.limits.max_variants),
        ];
        let stored = exactly::<1>(self.redis.run(&STORE, &[&key], arguments).await?)?[0].int()? == 1;
        self.prolong_ledger().await?;
        Ok(stored)
    }

    /// Writes back an entry that was validated: its pieces, if it has any, live as long as it does.
    ///
    /// # Errors
    /// [`RedisError`]: then it may or may not be refreshed.
    pub async fn refresh(
        &self,
        lease: &FillLease,
        spec: &str,
        entry: &Entry,
        now: Timestamp,
    ) -> Result<bool, RedisError> {
        if let Content::Chunked { body, chunks, .. } = &entry.content {
            let ttl = millis(FILL_TIME) + self.ttl(entry, now).as_millis();
            for number in 0..*chunks {
                let key = self.chunk_key(&lease.resource, body, number);
                self.redis.call("PEXPIRE", vec![Arg::from(&key), Arg::from(ttl)]).await?;
            }
        }
        self.store(lease, spec, entry, now).await
    }

    /// A ledger outlives every entry that refers to it.
    async fn prolong_ledger(&self) -> Result<(), RedisError> {
        let prolong =
            |key: Key| self.redis.call("PEXPIRE", vec![Arg::from(&key), Arg::from(self.ledger_ttl())]);
        try_join(prolong(self.keys.ledger()), prolong(self.keys.ledger_entries())).await.map(|_| ())
    }

    /// Drops a resource with all its variants, and with it the right of every fetch under way to store.
    ///
    /// # Errors
    /// [`RedisError`]: then it may or may not be gone.
    pub async fn forget(&self, resource: &ResourceKey) -> Result<(), RedisError> {
        self.redis.call("UNLINK", vec![Arg::from(&self.keys.resource(resource.id()))]).await.map(|_| ())
    }

    /// How long an entry stays in Redis: while it is fresh, and then for validation or for times when the
    /// origin fails.
    #[must_use]
    pub fn ttl(&self, entry: &Entry, now: Timestamp) -> Ttl {
        let fresh = Duration::from_secs(u64::try_from(entry.ttl(now)).unwrap_or(0));
        let keep = KEEP.max(entry.policy.stale_if_error.to_duration());
        let whole = fresh.saturating_add(keep).min(self.limits.max_ttl).max(Duration::from_millis(1));
        Ttl::new(whole).unwrap_or(Ttl::MIN)
    }

    pub(crate) fn nonce(&self) -> String {
        nonce(&self.env)
    }

    pub(crate) fn new_ledger(&self) -> String {
        format!("{}:0:0", self.nonce())
    }

    pub(crate) fn ledger_ttl(&self) -> Ttl {
        Ttl::new(self.limits.max_ttl.saturating_mul(2)).unwrap_or(Ttl::MIN)
    }

    pub(crate) fn chunk_key(&self, resource: &ResourceKey, body: &str, number: u32) -> Key {
        self.keys.chunk(resource.id(), body, number)
    }
}

/// 128 random bits in hexadecimal.
pub(crate) fn nonce(entropy: &impl Entropy) -> String {
    let mut random = [0; 16];
    entropy.fill(&mut random);
    hex(&random)
}

fn head(value: Value) -> Result<Head, RedisError> {
    let bytes = value.bytes()?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    Head::parse(&text).ok_or_else(|| RedisError::reply("a purge ledger id:seq:floor", &format!("{text:?}")))
}
