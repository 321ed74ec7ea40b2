//! Where a request is looked up, and what answers it, on a route that follows `No-Vary-Search`.

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

/// One request's query, and the one that stands for it.
#[derive(Clone, Debug)]
pub(super) struct Search {
    /// The resource without query.
    path: ResourceKey,
    /// What counts of the query under the route's own rules.
    asked: Option<String>,
    /// What it is looked up and stored by.
    by: Option<String>,
}

impl Search {
    /// Where to look up a request whose own key is `key`. `None` where its query is all that counts.
    ///
    /// # Errors
    /// [`RedisError`]: then it is not known.
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

    /// Whether a response that was found answers the request.
    pub(super) fn admits(&self, entry: &Entry) -> bool {
        variance::answers(&entry.headers, self.by.as_deref(), self.asked.as_deref())
    }

    /// Whether a response belongs where the request was looked up: what it says itself may lead elsewhere. Then the next
    /// request for the same finds its place.
    pub(super) fn keeps(&self, response: &HeaderMap) -> bool {
        match SearchVariance::of(response) {
            Some(variance) => variance.canonical(self.asked.as_deref()) == self.by,
            None => self.asked == self.by,
        }
    }

    /// Takes note of what a response says, in the background. One that says nothing takes back what was known: as long as that
    /// is, it is looked up elsewhere and not stored. But not an error, which is mostly about one query.
    pub(super) fn learn<E: Env>(
        &self,
        variances: &std::rc::Rc<Variances<E>>,
        env: &E,
        (code, response): (StatusCode, &HeaderMap),
    ) {
        let variance = SearchVariance::of(response);
        if variance.is_none() && (self.asked == self.by || code != StatusCode::OK) {
            return;
        }
        let (variances, path, log) = (std::rc::Rc::clone(variances), self.path.clone(), env.clone());
        env.spawn(async move {
            if let Err(error) = variances.learn(&path, variance).await {
                log.log(&format!("No-Vary-Search of {} was not noted: {error}", path.url()));
            }
        });
    }
}
