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
    /// The lookup by `No-Vary-Search`, on a route that follows it.
    pub(super) search: Option<Search>,
}

impl<E: Env> Want<'_, E> {
    /// Returns the client's cache directives, as far as the route accepts them.
    pub(super) fn directives(&self) -> RequestDirectives {
        let all = RequestDirectives::of(&self.incoming.headers);
        if self.policy.semantics.client_revalidation { all } else { all.without_revalidation() }
    }

    /// Returns whether the response that was found answers this request's query.
    pub(super) fn admits(&self, entry: &Entry) -> bool {
        self.search.as_ref().is_none_or(|search| search.admits(entry))
    }

    /// Returns whether it may wait for the response to another request. The response to one with `Authorization` is mostly
    /// not for others (RFC 9111 §3.5), and that to one with `If-Range` is for a client that has the rest.
    pub(super) fn may_wait(&self) -> bool {
        let alone = [AUTHORIZATION, IF_RANGE];
        !self.policy.collapse.is_zero() && !alone.iter().any(|name| self.incoming.headers.contains_key(name))
    }

    /// Returns the flight of all requests that want the same: `variant`, and for a range that is asked of the origin by
    /// itself, the same range.
    pub(super) fn flight(&self, variant: &str) -> String {
        match &self.incoming.range {
            Some(range) if self.policy.range == RangePolicy::Pass => {
                format!("{variant}-{}", hex(&blake3::hash(range.to_string().as_bytes()).as_bytes()[..16]))
            }
            _ => variant.to_owned(),
        }
    }

    /// Makes a copy for another fetch.
    pub(super) fn again(&self) -> Self {
        Self { key: self.key.clone(), search: self.search.clone(), ..*self }
    }
}
