//! Looking up stored responses.

use super::entry::{Content, Entry, LedgerMark};
use super::key::ResourceKey;
use super::partial::{Partial, Record};
use super::selecting::{Selecting, variant};
use super::store::Store;
use crate::env::Env;
use crate::purge::Book;
use crate::purge::ledger::{Head, Purged, Subject};
use crate::redis::{Arg, Key, RedisError, Value, exactly};
use bytes::Bytes;

/// What a lookup found.
#[derive(Debug, Default)]
pub struct Lookup {
    /// The response that the request selects, if there is one that was not purged.
    pub entry: Option<Entry>,
    /// Parts of that response, if it is not stored as a whole.
    pub partial: Option<Box<Partial>>,
    /// Whether it was purged softly, and so counts as stale.
    pub soft_purged: bool,
    /// Whether something is stored for the resource, but not what the request selects.
    pub other_variants: bool,
    /// The state of the purge ledger, if there is one.
    pub mark: Option<LedgerMark>,
    /// The name of what the request selects of the resource, as far as that is known: requests that select the same
    /// are one flight. Empty where it is not known.
    pub flight: String,
}

/// The variant that a request would select, if the resource varied on `spec`.
struct Guess {
    spec: String,
    values: String,
    name: String,
    key: Key,
    /// Whether it rests only on what most responses vary on, and may be wrong.
    usual: bool,
}

impl<E: Env> Store<E> {
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
            // Without a ledger nothing proves that a stored response was not purged.
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

    /// Returns the variant that an index leads to, and its name: the guessed one, or else it is read now.
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
        // Variants under an earlier index were purged together with that index.
        let current = found.starts_with(name.as_bytes()) && found.get(name.len()) == Some(&b' ');
        let record = current.then(|| self.decode(&found.slice(name.len() + 1..), resource, &guess.values));
        Ok((record.flatten(), guess.name))
    }

    /// Decodes a record. A damaged one, one of another version or of another key (a collision) counts as none.
    fn decode(&self, bytes: &Bytes, resource: &ResourceKey, values: &str) -> Option<Record> {
        let is_of = |entry: &Entry| entry.key == resource.text() && entry.selecting == values;
        let why = match Record::decode(bytes) {
            Ok(record) if is_of(record.entry()) => return Some(record),
            Ok(_) => "it belongs to another request".to_owned(),
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

    /// Returns the entry if its content is complete: a body in pieces counts only if all pieces are there.
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
}

/// Parses an index into its name and the fields it varies on: `V<name> <spec> <variants>`.
fn parse_index(index: &[u8]) -> Option<(&str, &str)> {
    let mut words = std::str::from_utf8(index).ok()?.strip_prefix('V')?.split(' ');
    Some((words.next()?, words.next()?))
}
