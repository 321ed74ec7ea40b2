//! Combining a part that came with the parts that are stored.

use super::{Carried, Partial};
use crate::cache::entry::Entry;
use crate::cache::fill::{Abandoned, Fill};
use crate::cache::key::ResourceKey;
use crate::cache::lease::FillLease;
use crate::cache::selecting::{Digest, Selecting};
use crate::cache::slice::{Run, Source, read};
use crate::cache::storable::Unstorable;
use crate::cache::store::{FILL_TIME, Store};
use crate::config::KeyRules;
use crate::env::Env;
use crate::field::range::Span;
use crate::field::validator::same_representation;
use crate::redis::RedisError;
use crate::time::{Timestamp, millis};
use http::HeaderMap;
use std::rc::Rc;

/// A part on its way into the store, and the request for which it came.
#[derive(Clone, Debug)]
pub struct Part {
    /// The bytes it carries.
    pub carried: Carried,
    /// The fields of the request.
    pub request: HeaderMap,
    /// The key rules of its route.
    pub rules: KeyRules,
    /// The visitor who asked, where the route tells visitors apart.
    pub visitor: Option<Digest>,
    /// Whether the request had `If-Range`. If so, the 206 may lack the fields that the client is known to have
    /// (RFC 9110 §15.3.7), so that the part can only be added to stored ones.
    pub for_if_range: bool,
}

impl Part {
    /// Stores the part, whose fields are in `entry` and whose bytes are `run`, together with what is there.
    ///
    /// Two that do this at once may lose one of their parts, but nothing else: each writes what it read, all of the
    /// same representation.
    pub(in crate::cache) async fn join<E: Env>(
        &self,
        store: &Rc<Store<E>>,
        lease: &FillLease,
        spec: &str,
        entry: Entry,
        run: Run,
        limit: u64,
    ) -> Result<(), Abandoned> {
        let new = Partial::new(entry, self.carried.complete, run).map_err(Abandoned::Unstorable)?;
        let selecting = Selecting::of(&self.request, &self.rules).with_visitor(self.visitor);
        let found = store.lookup(&lease.resource, selecting).await?;
        if found.entry.is_some_and(|whole| new.yields_to(&whole)) {
            return Err(Abandoned::Superseded);
        }
        let stored = match found.partial.map(|partial| *partial) {
            Some(stored) if same_representation(stored.headers(), new.headers()) => {
                let ttl = store.lifetime(&new.entry).max(store.lifetime(&stored.entry));
                store.prolonged(&lease.resource, stored, ttl).await?
            }
            _ if self.for_if_range => return Err(Abandoned::Unstorable(Unstorable::IfRange)),
            other => other,
        };
        let mut combined = new.combined(stored, limit).ok_or(Abandoned::Superseded)?;
        combined.entry.selecting = selecting.values(spec);
        if !store.store_partial(lease, spec, &combined, store.env.now()).await? {
            return Err(Abandoned::Purged);
        }
        complete(store, lease, spec, combined, limit).await;
        Ok(())
    }
}

impl Partial {
    /// Returns whether a whole response that was stored meanwhile stays, because it is newer or contains all of this.
    fn yields_to(&self, whole: &Entry) -> bool {
        whole.received > self.entry.received || same_representation(&whole.headers, self.headers())
    }
}

/// Stores a whole response if all parts are there: "If the union consists of the entire range of the representation,
/// then the client MUST process the combined response as if it were a complete 200 (OK) response" (RFC 9110
/// §15.3.7.3).
async fn complete<E: Env>(store: &Rc<Store<E>>, lease: &FillLease, spec: &str, partial: Partial, limit: u64) {
    let Some(span) = Span::new(0, partial.complete).filter(|_| partial.gap().is_none()) else { return };
    let body = read(store, &lease.resource, &Source::Runs(partial.runs.into()), span);
    // The lead ended when the part was stored.
    let lease = FillLease { lead: None, ..lease.clone() };
    let fill =
        Fill::begin(Rc::clone(store), lease, spec.to_owned(), partial.entry, Some(span.length()), limit);
    if let Ok(fill) = fill {
        let mut body = Box::pin(fill.pass(body)).await;
        while let Some(Ok(_)) = body.chunk().await {}
    }
}

impl<E: Env> Store<E> {
    /// Stores a partial response, whose pieces are there already, in place of what is stored. `false` when
    /// its resource was purged meanwhile.
    ///
    /// # Errors
    /// [`RedisError`]: then it may or may not be stored.
    pub async fn store_partial(
        &self,
        lease: &FillLease,
        spec: &str,
        partial: &Partial,
        now: Timestamp,
    ) -> Result<bool, RedisError> {
        self.write(lease, spec, &partial.entry, partial.encode(), now).await
    }

    /// Writes back parts that were validated, and prolongs their pieces accordingly.
    ///
    /// # Errors
    /// [`RedisError`]: then they may or may not be refreshed.
    pub async fn refresh_partial(
        &self,
        lease: &FillLease,
        spec: &str,
        partial: Partial,
        now: Timestamp,
    ) -> Result<bool, RedisError> {
        let ttl = self.lifetime(&partial.entry);
        match self.prolonged(&lease.resource, partial, ttl).await? {
            Some(partial) => self.store_partial(lease, spec, &partial, now).await,
            None => Ok(false),
        }
    }

    /// Returns the same with runs that live for `ttl` milliseconds from now, without those that lost a piece; `None`
    /// when none is left.
    async fn prolonged(
        &self,
        resource: &ResourceKey,
        partial: Partial,
        ttl: u64,
    ) -> Result<Option<Partial>, RedisError> {
        let mut gone = Vec::new();
        for run in &partial.runs {
            if !self.prolong(resource, run, ttl).await? {
                gone.push(run.clone());
            }
        }
        Ok(partial.retain(|run| !gone.contains(run)))
    }

    /// Returns how long the pieces of a part live, in milliseconds: longer than the record that refers to them.
    fn lifetime(&self, entry: &Entry) -> u64 {
        millis(FILL_TIME) + self.ttl(entry, entry.received).as_millis()
    }
}
