//! The query parameters that make no difference (`No-Vary-Search`), by path, as the last response from there declared.
//!
//! A response with such a declaration is stored, and looked up, under a canonical query that stands for all queries that
//! make no difference to it ([`SearchVariance::canonical`]). To know that query before anything is found, the last
//! declaration of each path is kept in Redis and, for a while, in the instance. It decides only where to look: what is
//! found there is used only if its own declaration covers the request. "Cache implementations MAY fail to reuse a
//! stored response ... if the cache has more recently stored a response which ... has a No-Vary-Search field value
//! different" (draft-ietf-httpbis-no-vary-search-10 §7).

use super::key::ResourceKey;
use crate::env::Env;
use crate::field::no_vary_search::SearchVariance;
use crate::redis::{Arg, Client, Keys, RedisError, exactly};
use crate::time::{Timestamp, millis};
use http::HeaderMap;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// How many paths an instance remembers.
const PATHS: usize = 512;

/// How long an instance remembers a declaration, and that there was none.
const REMEMBERED: Duration = Duration::from_secs(60);
const NOTHING: Duration = Duration::from_secs(5);

/// How long Redis keeps a declaration.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// The declarations that are known.
pub struct Variances<E: Env> {
    env: E,
    redis: Rc<Client<E>>,
    keys: Keys,
    longest: Duration,
    known: RefCell<HashMap<String, Known>>,
}

#[derive(Clone)]
struct Known {
    variance: Option<Rc<SearchVariance>>,
    until: Timestamp,
}

impl<E: Env> Variances<E> {
    /// Makes an empty collection. No key in Redis lives longer than `longest`.
    #[must_use]
    pub fn new(env: E, redis: Rc<Client<E>>, keys: Keys, longest: Duration) -> Self {
        Self { env, redis, keys, longest, known: RefCell::default() }
    }

    /// Returns the declaration of the last response from `path`, a resource without a query. It is mostly in memory.
    ///
    /// # Errors
    /// [`RedisError`]: then it is not known.
    pub async fn of(&self, path: &ResourceKey) -> Result<Option<Rc<SearchVariance>>, RedisError> {
        if let Some(known) = self.remembered(path) {
            return Ok(known.variance);
        }
        let [found] = exactly(self.redis.call("GET", vec![Arg::from(self.keys.variance(path.id()))]).await?)?;
        let variance = found.bytes()?.and_then(|text| SearchVariance::from_field(&text)).map(Rc::new);
        self.remember(path, variance.clone());
        Ok(variance)
    }

    /// Records the declaration of a response from `path`, for other instances too; `None` revokes the former one.
    ///
    /// # Errors
    /// [`RedisError`]: then other instances may not know of it.
    pub async fn learn(
        &self,
        path: &ResourceKey,
        variance: Option<SearchVariance>,
    ) -> Result<(), RedisError> {
        let key = Arg::from(self.keys.variance(path.id()));
        let Some(variance) = variance else {
            self.remember(path, None);
            return self.redis.call("UNLINK", vec![key]).await.map(|_| ());
        };
        let known = self.remembered(path).and_then(|known| known.variance);
        if known.as_deref() == Some(&variance) {
            return Ok(());
        }
        let arguments = vec![
            key,
            Arg::from(variance.to_field()),
            Arg::from("PX"),
            Arg::from(millis(KEPT.min(self.longest).max(Duration::from_millis(1)))),
        ];
        self.remember(path, Some(Rc::new(variance)));
        self.redis.call("SET", arguments).await.map(|_| ())
    }

    fn remembered(&self, path: &ResourceKey) -> Option<Known> {
        self.known.borrow().get(path.id()).filter(|known| known.until > self.env.now()).cloned()
    }

    fn remember(&self, path: &ResourceKey, variance: Option<Rc<SearchVariance>>) {
        let mut known = self.known.borrow_mut();
        if known.len() >= PATHS {
            known.clear();
        }
        let time = if variance.is_some() { REMEMBERED } else { NOTHING };
        known.insert(path.id().to_owned(), Known { variance, until: self.env.now().plus(time) });
    }
}

/// Returns whether a response with these fields, stored under the query `stored`, answers a request with the query `asked`.
#[must_use]
pub fn answers(headers: &HeaderMap, stored: Option<&str>, asked: Option<&str>) -> bool {
    stored == asked
        || SearchVariance::of(headers).is_some_and(|variance| variance.canonical(asked).as_deref() == stored)
}
