//! What of the query makes no difference on which path (`No-Vary-Search`), as the last response from there said.
//!
//! A response that says so is stored under the query that stands for all that make no difference to it
//! ([`SearchVariance::canonical`]), and looked up there. To know that query before anything is found, the last that a
//! response said is kept for each path, in Redis and, for a while, in the instance. It decides where to look and nothing
//! else: what is found there is used only if it says itself that it answers. "Cache implementations MAY fail to reuse a
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

/// For how long it does, and that nothing was known.
const REMEMBERED: Duration = Duration::from_secs(60);
const NOTHING: Duration = Duration::from_secs(5);

/// For how long Redis does.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// What is known of paths.
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
    /// Nothing is known yet. No key lives for longer than `longest`.
    #[must_use]
    pub fn new(env: E, redis: Rc<Client<E>>, keys: Keys, longest: Duration) -> Self {
        Self { env, redis, keys, longest, known: RefCell::default() }
    }

    /// What the last response from `path`, a resource without query, said. Mostly it is remembered.
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

    /// Takes note of what a response from `path` says, for other instances too: `None` where it says nothing any more.
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

/// Whether a response with these fields, stored under `stored`, answers a request with the query `asked`.
#[must_use]
pub fn answers(headers: &HeaderMap, stored: Option<&str>, asked: Option<&str>) -> bool {
    stored == asked
        || SearchVariance::of(headers).is_some_and(|variance| variance.canonical(asked).as_deref() == stored)
}
