//! The response cache in Redis.
//!
//! | key | what it holds |
//! |---|---|
//! | `{id}` | of a resource that does not vary, `E` and its record; of another, `V` and the index of its variants |
//! | `{id}:v:<variant>` | the name of the index, and the record of the variant |
//! | `{id}:g` | the generation, while something is fetched |
//! | `{id}:f:`, `{id}:m:` | who leads a fetch, and what is not worth waiting for: see [`lease`](super::lease) |
//! | `{id}:<body>:<n>` | a piece of a large body, or of a part |
//! | `{purge}`, `{purge}:z` | the head and the entries of the purge ledger; in a cluster `{purge:<n>}`, sixteen of them |
//!
//! A record is a response, or a [`Partial`] of which only parts are there.
//!
//! A hit is one `MGET`, which a cluster gets in two parts at the same time: of the resource, of the ledger's head, and, for a request with fields that responses
//! usually vary on, of the variant these would select. Only for other variants, and when a purge happened
//! since this instance looked last, a second round trip is needed.
//!
//! A [`FillLease`] carries the generation in which its fetch began, and stores only into that same one. Purging a
//! resource drops its generation with it, so that what was purged, or lost to eviction, in between is not
//! brought back.

use super::entry::{Content, Entry, LedgerMark};
use super::key::{ResourceKey, Selecting, is_unbounded, variant};
use super::lease::FillLease;
use super::partial::{Partial, Record};
use crate::env::Env;
use crate::nonce::Nonces;
use crate::purge::ledger::{Head, Purged, Subject};
use crate::purge::{Book, Books};
use crate::redis::{Arg, Client, Key, Keys, RedisError, Script, Value, exactly};
use crate::time::{Timestamp, Ttl, millis};
use bytes::Bytes;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

static FORGET: Script = Script::new(include_str!("../redis/lua/forget.lua"));
static STORE: Script = Script::new(include_str!("../redis/lua/store.lua"));

/// How long a fetch may take before what it brings is not stored any more.
pub const FILL_TIME: Duration = Duration::from_secs(600);

/// How long a stale response is kept for validation and for times when the origin is away.
const KEEP: Duration = Duration::from_secs(3600);

/// What most responses vary on that vary at all.
const USUAL: &str = "accept-encoding";

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
    pub(crate) nonces: Rc<Nonces>,
    pub(crate) books: Books<E>,
    limits: StoreLimits,
    /// What the last varying response varied on: a good guess for the next.
    usual: RefCell<String>,
}

/// What a lookup found.
#[derive(Debug, Default)]
pub struct Lookup {
    /// The response that the request selects, where there is one that was not purged.
    pub entry: Option<Entry>,
    /// Parts of it, where it is not there as a whole.
    pub partial: Option<Partial>,
    /// It was purged softly: it counts as stale.
    pub soft_purged: bool,
    /// Something is stored for the resource, though not what the request selects.
    pub other_variants: bool,
    /// The purge ledger, where there is one.
    pub mark: Option<LedgerMark>,
    /// What the request selects of the resource, as far as that is known: requests that select the same are
    /// one flight. Empty where it is not known.
    pub flight: String,
}

/// The variant a request would select, if the resource varied on `spec`.
struct Guess {
    spec: String,
    values: String,
    name: String,
    key: Key,
    /// Nothing but what most responses vary on: no more than a guess.
    usual: bool,
}

impl<E: Env> Store<E> {
    /// A store over `redis`, with its keys made by `keys`.
    #[must_use]
    pub fn new(env: E, redis: Rc<Client<E>>, keys: Keys, nonces: Rc<Nonces>, limits: StoreLimits) -> Self {
        // A ledger outlives every entry that refers to it.
        let lifetime = Ttl::new(limits.max_ttl.saturating_mul(2)).unwrap_or(Ttl::MIN);
        let ledger = (keys.ledger(), keys.ledger_entries());
        let books = Books::new(&redis, &nonces, ledger, || keys.ledgers_of_shares(), lifetime);
        Self { env, redis, keys, nonces, books, limits, usual: RefCell::new(USUAL.to_owned()) }
    }

    /// Finds what is stored for `resource` and selected by `selecting`.
    ///
    /// # Errors
    /// [`RedisError`]: then nothing can be read.
    pub async fn lookup(
        &self,
        resource: &ResourceKey,
        selecting: Selecting<'_>,
    ) -> Result<Lookup, RedisError> {
        let guess = self.guess(resource, selecting);
        let book = self.books.of(resource.id());
        let mut keys = vec![Arg::from(self.keys.resource(resource.id())), Arg::from(book.head_key())];
        keys.extend(guess.as_ref().map(|guess| Arg::from(&guess.key)));
        let mut reply = self.redis.call("MGET", keys).await?.into_iter();
        let mut next = || reply.next().unwrap_or(Value::Nil).bytes();
        let (stored, head) = (next()?.filter(|stored| !stored.is_empty()), next()?);
        let head = head.map(|head| Book::<E>::parse(&head)).transpose()?;
        let (head, stored) = match (head, stored) {
            (Some(head), Some(stored)) => (head, stored),
            // Without a ledger nothing proves that what is stored was not purged.
            (head, _) => {
                let flight = guess.filter(|guess| !guess.usual).map(|guess| guess.name).unwrap_or_default();
                return Ok(Lookup { mark: head.map(|head| head.mark), flight, ..Lookup::default() });
            }
        };
        let varies = stored.first() == Some(&b'V');
        let (record, flight) = if varies {
            self.find_variant(&stored, resource, selecting, guess, next()?).await?
        } else {
            let record = stored.first().filter(|kind| **kind == b'E').is_some();
            let decode = || self.decode(&Bytes::from(stored).slice(1..), resource, "");
            (record.then(decode).flatten(), String::new())
        };
        let other_variants = varies && record.is_none();
        let (record, purged) = self.unpurged(record, &head, resource).await?;
        let (entry, partial) = match record {
            Some(Record::Whole(entry)) => (self.whole(entry, resource).await?, None),
            Some(Record::Part(partial)) => (None, Some(partial)),
            None => (None, None),
        };
        let (soft_purged, mark) = (purged == Purged::Soft, Some(head.mark));
        Ok(Lookup { entry, partial, soft_purged, other_variants, mark, flight })
    }

    fn guess(&self, resource: &ResourceKey, selecting: Selecting<'_>) -> Option<Guess> {
        if let Some(least) = selecting.least() {
            return Some(self.guess_of(resource, selecting, least));
        }
        let usual = Some(self.usual.borrow().clone()).filter(|spec| selecting.concerns(spec))?;
        Some(Guess { usual: true, ..self.guess_of(resource, selecting, usual) })
    }

    fn guess_of(&self, resource: &ResourceKey, selecting: Selecting<'_>, spec: String) -> Guess {
        let values = selecting.values(&spec);
        let name = variant(&values);
        let key = self.keys.variant(resource.id(), &name);
        Guess { spec, values, name, key, usual: false }
    }

    /// The variant that an index leads to, and its name: the one that was guessed, or else it is read now.
    async fn find_variant(
        &self,
        index: &[u8],
        resource: &ResourceKey,
        selecting: Selecting<'_>,
        guess: Option<Guess>,
        guessed: Option<Vec<u8>>,
    ) -> Result<(Option<Record>, String), RedisError> {
        let Some((name, spec)) = parse_index(index) else { return Ok((None, String::new())) };
        let (guess, found) = match guess.filter(|guess| guess.spec == spec) {
            Some(guess) => (guess, guessed),
            None => {
                spec.clone_into(&mut self.usual.borrow_mut());
                let guess = self.guess_of(resource, selecting, spec.to_owned());
                let [found] = exactly(self.redis.call("GET", vec![Arg::from(&guess.key)]).await?)?;
                (guess, found.bytes()?)
            }
        };
        let Some(found) = found.map(Bytes::from) else { return Ok((None, guess.name)) };
        // A variant of an older index was purged with it.
        let current = found.starts_with(name.as_bytes()) && found.get(name.len()) == Some(&b' ');
        let record = current.then(|| self.decode(&found.slice(name.len() + 1..), resource, &guess.values));
        Ok((record.flatten(), guess.name))
    }

    /// A damaged record, one of another version or of another key (a collision) counts as none.
    fn decode(&self, bytes: &Bytes, resource: &ResourceKey, values: &str) -> Option<Record> {
        let is_of = |entry: &Entry| entry.key == resource.text() && entry.selecting == values;
        let why = match Record::decode(bytes) {
            Ok(record) if is_of(record.entry()) => return Some(record),
            Ok(_) => "it is of another request".to_owned(),
            Err(corrupt) => corrupt.to_string(),
        };
        self.env.log(&format!("ignoring a stored response of {}: {why}", resource.url()));
        None
    }

    async fn unpurged(
        &self,
        record: Option<Record>,
        head: &Head,
        resource: &ResourceKey,
    ) -> Result<(Option<Record>, Purged), RedisError> {
        let Some(record) = record else { return Ok((None, Purged::No)) };
        let entry = record.entry();
        let subject = Subject { mark: &entry.ledger, url: resource.url(), tags: &entry.tags };
        let purged = self.books.of(resource.id()).judge(head, subject).await?;
        Ok(((purged != Purged::Hard).then_some(record), purged))
    }

    /// A body in pieces is there as a whole or not at all.
    pub(crate) async fn whole(
        &self,
        entry: Entry,
        resource: &ResourceKey,
    ) -> Result<Option<Entry>, RedisError> {
        let Content::Chunked { body, chunks, .. } = &entry.content else { return Ok(Some(entry)) };
        let keys = (0..*chunks).map(|number| Arg::from(&self.chunk_key(resource, body, number)));
        let there = exactly::<1>(self.redis.call("EXISTS", keys.collect()).await?)?[0].int()?;
        Ok((there == i64::from(*chunks)).then_some(entry))
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
        self.write(lease, spec, entry, entry.encode(), now).await
    }

    /// Writes `record`, whose fields are those of `entry`.
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
        let keys = [&self.keys.generation(id), &resource, &variant_key, &lead];
        let stored = exactly::<1>(self.redis.run(&STORE, &keys, arguments).await?)?[0].int()? == 1;
        self.books.of(id).prolong().await?;
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

    /// Drops a resource with all its variants, and with it the right of every fetch under way to store.
    ///
    /// # Errors
    /// [`RedisError`]: then it may or may not be gone.
    pub async fn forget(&self, resource: &ResourceKey) -> Result<(), RedisError> {
        let id = resource.id();
        let keys = [&self.keys.generation(id), &self.keys.resource(id)];
        let arguments = vec![Arg::from(self.keys.variant(id, ""))];
        self.redis.run(&FORGET, &keys, arguments).await.map(|_| ())
    }

    /// How long an entry stays in Redis: while it is fresh, and then for validation or for times when the
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

/// The name of an index and the fields it varies on: `V<name> <spec> <variants>`.
fn parse_index(index: &[u8]) -> Option<(&str, &str)> {
    let mut words = std::str::from_utf8(index).ok()?.strip_prefix('V')?.split(' ');
    Some((words.next()?, words.next()?))
}
