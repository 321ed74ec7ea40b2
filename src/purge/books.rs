//! The purge ledgers of a cache: one, or in a cluster one for each share of the slots.
//!
//! Every lookup reads the head of a ledger. If there were only one, its node would be asked at every lookup on any node,
//! and nothing could be served while it is away. So a cluster has sixteen, each for what is in a sixteenth of the
//! slots, and with its own keys in one of these, mostly on the same node. A purge by tag or pattern is written into
//! all of them.

use super::{Book, Change};
use crate::env::Env;
use crate::nonce::Nonces;
use crate::redis::{Client, Key, RedisError, Slot, together};
use crate::time::Ttl;
use std::rc::Rc;

/// All purge ledgers of a cache.
pub struct Books<E: Env> {
    first: Book<E>,
    /// The ledgers of the other shares of a cluster.
    others: Vec<Book<E>>,
}

impl<E: Env> Books<E> {
    /// Makes the ledgers of what is stored in `redis`, each as by [`Book::new`]: the one at `keys`, or those of the
    /// shares of a cluster.
    #[must_use]
    pub fn new(
        redis: &Rc<Client<E>>,
        nonces: &Rc<Nonces>,
        keys: (Key, Key),
        of_shares: impl FnOnce() -> Vec<(Key, Key)>,
        lifetime: Ttl,
    ) -> Self {
        let book = |keys| Book::new(Rc::clone(redis), Rc::clone(nonces), keys, lifetime);
        let mut shares = if redis.is_cluster() { of_shares() } else { Vec::new() }.into_iter();
        let first = shares.next().unwrap_or(keys);
        Self { first: book(first), others: shares.map(book).collect() }
    }

    /// Returns the number of the ledger for what is stored at `key`, which may be just its hash tag.
    #[must_use]
    pub fn number_of(&self, key: &str) -> usize {
        if self.others.is_empty() { 0 } else { Slot::of(key.as_bytes()).share() }
    }

    /// Returns the ledger with this number.
    #[must_use]
    pub fn numbered(&self, number: usize) -> &Book<E> {
        number.checked_sub(1).and_then(|at| self.others.get(at)).unwrap_or(&self.first)
    }

    /// Returns the ledger for what is stored at `key`, which may be just its hash tag.
    #[must_use]
    pub fn of(&self, key: &str) -> &Book<E> {
        self.numbered(self.number_of(key))
    }

    /// Returns the key of the entries of one ledger: all have the same entries.
    #[must_use]
    pub fn entries(&self) -> &Key {
        self.first.entries()
    }

    /// Writes purges into all of them, and returns the change of each; none if there are no purges.
    ///
    /// # Errors
    /// [`RedisError`]: then some of the purges may not be written everywhere. Writing them again is safe.
    pub async fn write(&self, members: Vec<String>) -> Result<Vec<Change>, RedisError> {
        if self.others.is_empty() {
            return Ok(self.first.write(members).await?.into_iter().collect());
        }
        let all = std::iter::once(&self.first).chain(&self.others);
        let written = together::all_parts(all.map(|book| book.write(members.clone()))).await?;
        Ok(written.into_iter().flatten().collect())
    }
}
