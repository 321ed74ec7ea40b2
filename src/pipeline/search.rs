//! Where a request is looked up on a route that follows `No-Vary-Search`, and which responses answer it.

use super::Incoming;
use crate::app::Shared;
use crate::cache::entry::Entry;
use crate::cache::key::{self, ResourceKey};
use crate::cache::variance::{self, Variances};
use crate::config::CachePolicy;
use crate::env::Env;
use crate::field::no_vary_search::SearchVariance;
use crate::redis::RedisError;
use http::{HeaderMap, StatusCode};

/// The query of a request, and the canonical one by which it is looked up.
#[derive(Clone, Debug)]
pub(super) struct Search {
    /// The resource without a query.
    path: ResourceKey,
    /// The part of the query that counts under the route's own rules.
    asked: Option<String>,
    /// The query by which it is looked up and stored.
    by: Option<String>,
}

impl Search {
    /// Decides where to look up a request whose own key is `key`. `None` if the route ignores `No-Vary-Search`, and for QUERY.
    ///
    /// # Errors
    /// [`RedisError`]: then the place is not known.
    pub(super) async fn of<E: Env>(
        shared: &Shared<E>,
        policy: &CachePolicy,
        incoming: &Incoming,
        key: &ResourceKey,
    ) -> Result<Option<(ResourceKey, Self)>, RedisError> {
        let applies = policy.semantics.no_vary_search && !incoming.is_query();
        let path = match incoming.uri.query() {
            _ if !applies => None,
            None => Some(key.clone()),
            Some(_) => ResourceKey::with_query(&incoming.uri, None),
        };
        let Some(path) = path else { return Ok(None) };
        let asked = key::query(&incoming.uri, &policy.key).map(std::borrow::Cow::into_owned);
        let variance = if asked.is_some() { shared.variances.of(&path).await? } else { None };
        let by = match &variance {
            Some(variance) => variance.canonical(asked.as_deref()),
            None => asked.clone(),
        };
        let place = if by == asked {
            Some(key.clone())
        } else {
            ResourceKey::with_query(&incoming.uri, by.as_deref())
        };
        Ok(place.map(|place| (place, Self { path, asked, by })))
    }

    /// Returns whether a response that was found there answers the request.
    pub(super) fn admits(&self, entry: &Entry) -> bool {
        variance::answers(&entry.headers, self.by.as_deref(), self.asked.as_deref())
    }

    /// Returns whether a response belongs where the request was looked up: its own declaration may lead elsewhere. If so, the
    /// next request for the same is looked up there.
    pub(super) fn keeps(&self, response: &HeaderMap) -> bool {
        match SearchVariance::of(response) {
            Some(variance) => variance.canonical(self.asked.as_deref()) == self.by,
            None => self.asked == self.by,
        }
    }

    /// Learns the declaration of a response, in the background. A 200 without one revokes what was known: otherwise its
    /// requests would go on being looked up elsewhere, and it would not be stored. An error mostly concerns one query only.
    pub(super) fn learn<E: Env>(
        &self,
        variances: &std::rc::Rc<Variances<E>>,
        env: &E,
        code: StatusCode,
        response: &HeaderMap,
    ) {
        let variance = SearchVariance::of(response);
        if variance.is_none() && (self.asked == self.by || code != StatusCode::OK) {
            return;
        }
        let (variances, path, log) = (std::rc::Rc::clone(variances), self.path.clone(), env.clone());
        env.spawn(async move {
            if let Err(error) = variances.learn(&path, variance).await {
                log.log(&format!("No-Vary-Search of {} was not stored: {error}", path.url()));
            }
        });
    }
}
