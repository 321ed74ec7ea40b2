//! What a request wants from the cache.

use super::Incoming;
use super::search::Search;
use crate::app::{App, Shared};
use crate::cache::entry::Entry;
use crate::cache::key::ResourceKey;
use crate::cache::selecting::Selecting;
use crate::config::{CachePolicy, RangePolicy};
use crate::env::Env;
use crate::field::cache_control::RequestDirectives;
use crate::redis::hex;
use http::header::{AUTHORIZATION, IF_RANGE};
use std::rc::Rc;

/// What a request wants from the cache.
pub(super) struct Want<'a, E: Env> {
    pub(super) app: &'a Rc<App<E>>,
    pub(super) shared: &'a Shared<E>,
    pub(super) policy: &'a CachePolicy,
    pub(super) incoming: &'a Incoming,
    pub(super) selecting: Selecting<'a>,
    pub(super) key: ResourceKey,
    /// Where the route follows `No-Vary-Search`.
    pub(super) search: Option<Search>,
}

impl<E: Env> Want<'_, E> {
    /// What the client asks of a cache, as far as the route lets it.
    pub(super) fn directives(&self) -> RequestDirectives {
        let all = RequestDirectives::of(&self.incoming.headers);
        if self.policy.semantics.client_revalidation { all } else { all.without_revalidation() }
    }

    /// Whether what was found answers it, as far as its query is concerned.
    pub(super) fn admits(&self, entry: &Entry) -> bool {
        self.search.as_ref().is_none_or(|search| search.admits(entry))
    }

    /// Whether it may wait for the response to another request. One with `Authorization` mostly brings what
    /// is not for others (RFC 9111 §3.5), one with `If-Range` what is for those who have the rest.
    pub(super) fn may_wait(&self) -> bool {
        let alone = [AUTHORIZATION, IF_RANGE];
        !self.policy.collapse.is_zero() && !alone.iter().any(|name| self.incoming.headers.contains_key(name))
    }

    /// Those who want the same, of those who select `variant`. Who asks the origin for a part alone is with those
    /// who ask for the same part.
    pub(super) fn flight(&self, variant: &str) -> String {
        match &self.incoming.range {
            Some(range) if self.policy.range == RangePolicy::Pass => {
                format!("{variant}-{}", hex(&blake3::hash(range.to_string().as_bytes()).as_bytes()[..16]))
            }
            _ => variant.to_owned(),
        }
    }

    /// The same once more.
    pub(super) fn again(&self) -> Self {
        Self { key: self.key.clone(), search: self.search.clone(), ..*self }
    }
}
