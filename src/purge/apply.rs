//! Carrying out purges.

use super::{Change, Target, ledger};
use crate::cache::key::ResourceKey;
use crate::cache::store::Store;
use crate::config::{Config, KeyRules, RoutePolicy};
use crate::env::Env;
use crate::redis::{RedisError, together};
use serde::Serialize;
use std::rc::Rc;
use std::time::Duration;

/// Carries out purges of one store.
#[derive(Clone)]
pub struct Purger<E: Env> {
    store: Rc<Store<E>>,
    config: Rc<Config>,
}

/// The result of a purge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The number of URLs purged at their own keys.
    pub urls: usize,
    /// The number of targets written to the ledger.
    pub ledger: usize,
}

/// The ledger entries written by an invalidation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The change of the ledger, or of each ledger of a cluster; empty if nothing was written.
    pub changes: Vec<Change>,
}

impl<E: Env> Purger<E> {
    /// Makes a purger of `store`, with the key rules of the routes in `config`.
    #[must_use]
    pub const fn new(store: Rc<Store<E>>, config: Rc<Config>) -> Self {
        Self { store, config }
    }

    /// Purges `targets`. Once this returns, every later request on any instance sees the purge.
    ///
    /// # Errors
    /// [`RedisError`]: then some of the targets may not be purged. Repeating the purge is safe.
    pub async fn purge(&self, targets: &[Target], soft: bool) -> Result<Report, RedisError> {
        self.purge_but(targets, soft, None).await.map(|(report, _)| report)
    }

    /// Purges what an unsafe request made invalid, except `kept`, which was replaced, and returns the ledger entries written.
    ///
    /// # Errors
    /// As for [`Purger::purge`].
    pub async fn invalidate(
        &self,
        targets: &[Target],
        kept: Option<&ResourceKey>,
    ) -> Result<Written, RedisError> {
        self.purge_but(targets, false, kept).await.map(|(_, written)| written)
    }

    async fn purge_but(
        &self,
        targets: &[Target],
        soft: bool,
        kept: Option<&ResourceKey>,
    ) -> Result<(Report, Written), RedisError> {
        let mut members: Vec<String> =
            targets.iter().filter_map(|target| ledger::member(target, soft)).collect();
        let resources = targets.iter().flat_map(|target| self.resources(target));
        let resources: Vec<ResourceKey> = resources.filter(|resource| Some(resource) != kept).collect();
        let report = Report { urls: targets.len() - members.len(), ledger: members.len() };
        members.extend(targets.iter().filter_map(|target| self.of_any_query(target, soft)));
        if soft {
            members.extend(resources.iter().map(|resource| ledger::soft_url(resource.url())));
            members.dedup();
        } else {
            together::all_parts(resources.iter().map(|resource| self.store.forget(resource))).await?;
        }
        let changes = self.store.books.write(members).await;
        // URLs are purged by then.
        let changes =
            if soft || resources.is_empty() { changes } else { changes.map_err(RedisError::in_part) };
        Ok((report, Written { changes: changes? }))
    }

    /// Returns the keys of a URL as http and as https: behind a proxy that terminates TLS, users see another scheme than
    /// Spindrift does.
    fn resources(&self, target: &Target) -> Vec<ResourceKey> {
        let Target::Url(uri) = target else { return Vec::new() };
        let none = KeyRules::default();
        let host = uri.authority().map_or("", |authority| authority.as_str());
        let rules = match &self.config.route(host, uri.path()).policy {
            RoutePolicy::Cache(policy) => &policy.key,
            RoutePolicy::Bypass => &none,
        };
        let keys = ResourceKey::of(uri, rules).into_iter().chain(ResourceKey::other_scheme(uri, rules));
        let queries = self.config.cache.max_query_content > 0;
        keys.flat_map(|key| [queries.then(|| key.of_query()), Some(key)]).flatten().collect()
    }

    /// Returns the ledger entry for a URL where `No-Vary-Search` is followed. A response stored under another query may have
    /// answered the URL, so it is purged with every query.
    fn of_any_query(&self, target: &Target, soft: bool) -> Option<String> {
        let follows = |policy: &RoutePolicy| matches!(policy, RoutePolicy::Cache(policy) if policy.semantics.no_vary_search);
        match target {
            Target::Url(uri) => {
                let host = uri.authority().map_or("", |authority| authority.as_str());
                let follows = follows(&self.config.route(host, uri.path()).policy);
                let path = ResourceKey::with_query(uri, None).filter(|_| follows)?;
                Some(ledger::any_query(path.url(), soft))
            }
            Target::Path(text) => {
                let path = text.split_once('?').map_or(text.as_str(), |(path, _)| path);
                let mut routes = self.config.routes_of_path(path).into_iter();
                routes.any(|route| follows(&route.policy)).then(|| ledger::any_query(text, soft))
            }
            _ => None,
        }
    }

    /// Requests a sweep for what was just purged; `true` if no earlier request is pending, so that the caller has to start it.
    pub(crate) async fn ask_for_sweep(&self) -> bool {
        self.store.ask_for_sweep().await.unwrap_or(false)
    }

    /// Frees the space of what was purged by tag, prefix, pattern or path, for at most `budget`. Nobody waits for the
    /// result: errors are logged.
    pub async fn sweep(&self, budget: Duration) {
        let env = &self.store.env;
        match self.store.sweep(budget).await {
            Ok(Some(swept)) => env.log(&format!(
                "swept: {} of {} stored responses were purged and have been removed{}",
                swept.dropped,
                swept.seen,
                if swept.finished { "" } else { "; the next sweep removes the rest" }
            )),
            Ok(None) => {}
            Err(error) => env.log(&format!("a sweep failed: {error}")),
        }
    }
}
