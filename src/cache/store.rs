//! The response cache in Redis.
//!
//! | key | what it holds |
//! |---|---|
//! | `{id}` | if the resource does not vary, `E` and its record; otherwise `V` and the index of its variants |
//! | `{id}:v:<variant>` | the name of the index, and the record of the variant |
//! | `{id}:g` | the generation, while something is fetched |
//! | `{id}:f:`, `{id}:m:` | who leads a fetch, and what is not worth waiting for: see [`lease`](super::lease) |
//! | `{id}:<body>:<n>` | a piece of a large body, or of a part |
//! | `{purge}`, `{purge}:z` | the head and the entries of the purge ledger; in a cluster `{purge:<n>}`, sixteen of them |
//!
//! A record is a response, or a [`Partial`](super::partial::Partial) of which only parts are there.
//!
//! A hit is one `MGET` (in a cluster, two parts of one at the same time): of the resource, of the ledger's head, and, for a
//! request with fields that responses usually vary on, of the variant that these would select. A second round trip is
//! needed only for other variants, and when something was purged since this instance last looked.
//!
//! A [`FillLease`] carries the generation in which its fetch began, and stores only into that generation. Purging a
//! resource drops its generation with it, so that what was purged meanwhile, or lost to eviction, is not
//! brought back. A lease for a validated response stores only if the record that was read is still there: a 304 that
//! took long may be older than what has been stored meanwhile.

use super::entry::{Content, Entry};
use super::key::ResourceKey;
use super::lease::FillLease;
use super::partial::Record;
use super::selecting::{is_unbounded, variant};
use crate::env::Env;
use crate::nonce::Nonces;
use crate::purge::Books;
use crate::redis::{Arg, Client, Key, Keys, RedisError, Script, exactly};
use crate::time::{Timestamp, Ttl, millis};
use bytes::Bytes;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

static FORGET: Script = Script::new(include_str!("../redis/lua/forget.lua"));
static FORGET_BODY: Script = Script::new(include_str!("../redis/lua/forget_body.lua"));
static STORE: Script = Script::new(include_str!("../redis/lua/store.lua"));

/// How long a fetch may take and still be stored.
pub const FILL_TIME: Duration = Duration::from_secs(600);

/// How long a stale response is kept at least, to be validated, or used while the origin is away.
const KEEP: Duration = Duration::from_secs(3600);

/// What most varying responses vary on.
const USUAL: &str = "accept-encoding";

/// The bounds of the store.
#[derive(Clone, Copy, Debug)]
pub struct StoreLimits {
    /// The longest time to live of any entry.
    pub max_ttl: Duration,
    /// The most variants of one resource.
    pub max_variants: u64,
}

/// The store of one instance.
pub struct Store<E: Env> {
    pub(crate) env: E,
    pub(crate) redis: Rc<Client<E>>,
    pub(crate) keys: Keys,
    pub(crate) nonces: Rc<Nonces>,
    pub(crate) books: Books<E>,
    limits: StoreLimits,
    /// The fields that the last varying response varied on: a good guess for the next one.
    pub(super) usual: RefCell<String>,
}

impl<E: Env> Store<E> {
    /// Makes a store on `redis`, with the names of its keys from `keys`.
    #[must_use]
    pub fn new(env: E, redis: Rc<Client<E>>, keys: Keys, nonces: Rc<Nonces>, limits: StoreLimits) -> Self {
        // The ledger outlives every entry that refers to it.
        let lifetime = Ttl::new(limits.max_ttl.saturating_mul(2)).unwrap_or(Ttl::MIN);
        let ledger = (keys.ledger(), keys.ledger_entries());
        let books = Books::new(&redis, &nonces, ledger, || keys.ledgers_of_shares(), lifetime);
        Self { env, redis, keys, nonces, books, limits, usual: RefCell::new(USUAL.to_owned()) }
    }

    /// Stores a response that was fetched under `lease`. `false` when its resource was purged meanwhile, or when another
    /// record is there than the one that the lease may replace.
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
        self.write(lease, spec, entry, entry.encode(), now).await
    }

    /// Writes `record`, the encoding of `entry` or of parts with its fields.
    pub(super) async fn write(
        &self,
        lease: &FillLease,
        spec: &str,
        entry: &Entry,
        record: Vec<u8>,
        now: Timestamp,
    ) -> Result<bool, RedisError> {
        let id = lease.resource.id();
        let (resource, variant) = (self.keys.resource(id), variant(&entry.selecting));
        let variant_key = if spec.is_empty() { resource.clone() } else { self.keys.variant(id, &variant) };
        let pieces = match &entry.content {
            Content::Chunked { chunks, length, .. } => format!("{chunks} {length}"),
            Content::Inline(_) => String::new(),
        };
        let (lead, of_lead) = self.lead_arguments(lease, pieces);
        let mut arguments = vec![
            Arg::from(lease.generation.clone()),
            Arg::from(spec),
            Arg::from(variant),
            Arg::from(record),
            Arg::from(self.ttl(entry, now)),
            Arg::from(if is_unbounded(spec) { 0 } else { self.limits.max_variants }),
            Arg::from(&self.keys.variant(id, "")),
        ];
        arguments.extend(of_lead);
        arguments.push(Arg::from(lease.over.clone()));
        let keys = [&self.keys.generation(id), &resource, &variant_key, &lead];
        let stored = exactly::<1>(self.redis.run(&STORE, &keys, arguments).await?)?[0].int()? == 1;
        self.books.of(id).prolong().await?;
        Ok(stored)
    }

    /// Writes back an entry that was validated, and prolongs its pieces, if any, accordingly.
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

    /// Drops a resource with all its variants, and the right of all fetches under way to store. Pieces of its bodies stay for
    /// a minute, for those who are reading them.
    ///
    /// # Errors
    /// [`RedisError`]: then it may or may not be gone.
    pub async fn forget(&self, resource: &ResourceKey) -> Result<(), RedisError> {
        let id = resource.id();
        let keys = [&self.keys.generation(id), &self.keys.resource(id)];
        let arguments = vec![Arg::from(self.keys.variant(id, ""))];
        for head in self.redis.run(&FORGET, &keys, arguments).await? {
            let Some(Ok(record)) = head.bytes()?.map(|head| Record::decode_head(&Bytes::from(head))) else {
                continue;
            };
            // It is gone already. Pieces that live on for longer take room, and are read by nobody.
            _ = self.let_go(id, &record).await;
        }
        Ok(())
    }

    /// Drops the record with this body, of which a piece was lost. Other records of the resource stay, including those that
    /// were stored since.
    ///
    /// # Errors
    /// [`RedisError`]: then it may or may not be gone.
    pub(super) async fn forget_body(&self, resource: &ResourceKey, body: &str) -> Result<(), RedisError> {
        let id = resource.id();
        let arguments = vec![Arg::from(body), Arg::from(self.keys.variant(id, ""))];
        self.redis.run(&FORGET_BODY, &[&self.keys.resource(id)], arguments).await.map(|_| ())
    }

    /// Returns how long an entry stays in Redis: while it is fresh, and after that for validation or for times when the
    /// origin fails.
    #[must_use]
    pub fn ttl(&self, entry: &Entry, now: Timestamp) -> Ttl {
        let fresh = Duration::from_secs(u64::try_from(entry.ttl(now)).unwrap_or(0));
        let policy = &entry.policy;
        let keep = policy.stale_if_error.max(policy.stale_while_revalidate).to_duration().max(KEEP);
        let whole = fresh.saturating_add(keep).min(self.limits.max_ttl).max(Duration::from_millis(1));
        Ttl::new(whole).unwrap_or(Ttl::MIN)
    }

    pub(crate) fn chunk_key(&self, resource: &ResourceKey, body: &str, number: u32) -> Key {
        self.keys.chunk(resource.id(), body, number)
    }
}
