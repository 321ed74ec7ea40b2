//! Carrying out a purge.

use super::{Change, Target, ledger};
use crate::cache::key::ResourceKey;
use crate::cache::store::Store;
use crate::config::{Config, KeyRules, RoutePolicy};
use crate::env::Env;
use crate::redis::{RedisError, together};
use serde::Serialize;
use std::rc::Rc;
use std::time::Duration;

/// Purges what a [`Purge`](super::Purge) names.
#[derive(Clone)]
pub struct Purger<E: Env> {
    store: Rc<Store<E>>,
    config: Rc<Config>,
}

/// What a purge did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// URLs purged at their own key.
    pub urls: usize,
    /// Targets written into the ledger.
    pub ledger: usize,
}

/// What an invalidation wrote into the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// What that changed of it, in a cluster of each; empty where nothing was written.
    pub changes: Vec<Change>,
}

impl<E: Env> Purger<E> {
    /// A purger of `store`, with the key rules of the routes in `config`.
    #[must_use]
    pub const fn new(store: Rc<Store<E>>, config: Rc<Config>) -> Self {
        Self { store, config }
    }

    /// Purges. Once this returns, every later request on any instance finds it done.
    ///
    /// # Errors
    /// [`RedisError`]: then some of the targets may not be purged. Purging again is safe.
    pub async fn purge(&self, targets: &[Target], soft: bool) -> Result<Report, RedisError> {
        self.purge_but(targets, soft, None).await.map(|(report, _)| report)
    }

    /// Purges what an unsafe request made invalid, but for `kept`, which was replaced. Says what was written for that.
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
            together::all(resources.iter().map(|resource| self.store.forget(resource))).await?;
        }
        Ok((report, Written { changes: self.store.books.write(members).await? }))
    }

    /// A URL is purged as http and as https: behind a proxy that ends TLS, users see another scheme than
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

    /// Where `No-Vary-Search` is followed, a URL may have been answered by what is stored under another query: it is purged
    /// with every query.
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

    /// Whether a sweep is to be had for what was just purged: nobody asked for one that has not begun.
    pub(crate) async fn ask_for_sweep(&self) -> bool {
        self.store.ask_for_sweep().await.unwrap_or(false)
    }

    /// Gives back the space of what was purged by tag, prefix, pattern or path, for no longer than `budget`. Nobody
    /// waits for it: what goes wrong is logged.
    pub async fn sweep(&self, budget: Duration) {
        let env = &self.store.env;
        match self.store.sweep(budget).await {
            Ok(Some(swept)) => env.log(&format!(
                "swept: {} of {} stored responses were purged and are gone{}",
                swept.dropped,
                swept.seen,
                if swept.finished { "" } else { "; the rest another time" }
            )),
            Ok(None) => {}
            Err(error) => env.log(&format!("a sweep broke off: {error}")),
        }
    }
}
