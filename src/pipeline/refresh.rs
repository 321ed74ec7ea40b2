//! Refreshing a stale response in the background, after it was used as an answer (RFC 5861 §3).

use super::collapse::Place;
use super::fetch::Fetch;
use super::search::Search;
use super::{Answer, Incoming, Want, answer, session};
use crate::app::App;
use crate::cache::key::ResourceKey;
use crate::cache::lease::{FillLease, Turn};
use crate::cache::reuse::{Demand, Stale, Verdict, evaluate};
use crate::cache::selecting::Selecting;
use crate::config::RoutePolicy;
use crate::env::Env;
use crate::field::cache_control::RequestDirectives;
use crate::field::cache_status::{CacheStatus, Detail};
use crate::redis::RedisError;
use crate::time::Timestamp;
use std::rc::Rc;

/// Answers with a stale response and refreshes it in the background, unless another request is doing so.
pub(super) fn behind<E: Env>(want: &Want<'_, E>, stale: Stale, place: Place, now: Timestamp) -> Answer {
    let status = CacheStatus::hit(stale.ttl(now)).because(Detail::StaleWhileRevalidate);
    let entry = stale.while_refreshed();
    let (app, key, search) = (Rc::clone(want.app), want.key.clone(), want.search.clone());
    let incoming = want.incoming.as_plain_get();
    want.app.env.spawn(async move { refresh(&app, incoming, key, search, stale, place).await });
    answer(want, entry, status, now)
}

async fn refresh<E: Env>(
    app: &Rc<App<E>>,
    mut incoming: Incoming,
    key: ResourceKey,
    search: Option<Search>,
    stale: Stale,
    place: Place,
) {
    let route = app.config.route(incoming.authority(), incoming.uri.path());
    incoming.visit = session::of_nobody(app, route, &incoming.uri);
    let (RoutePolicy::Cache(policy), Some(shared)) = (&route.policy, &app.shared) else { return };
    let selecting = Selecting::of(&incoming.headers, &policy.key).with_content(incoming.digest());
    let want = Want { app, shared, policy, incoming: &incoming, selecting, key, search };
    match turn(&want, stale, place).await {
        Ok(Some((stale, lease))) => {
            let status = CacheStatus::forward(stale.reason);
            // Nobody gets the answer. The store reads on what is being stored of its content.
            drop(Fetch { want, lease: Some(lease) }.stale(stale, status).await);
        }
        Ok(None) => {}
        Err(error) => app.env.log(&format!("not refreshed: {}: {error}", want.key.url())),
    }
}

/// Takes the lease to refresh a stale response. `None` if another request is doing so or has just done so, or if the last
/// response could not be stored: since nobody waits for a refresh, there would be one after every answer.
async fn turn<E: Env>(
    want: &Want<'_, E>,
    stale: Stale,
    place: Place,
) -> Result<Option<(Stale, FillLease)>, RedisError> {
    let store = &want.shared.store;
    let Place { flight, mark } = place;
    let begin =
        async |after: &str, mark| store.begin(&want.key, &flight, mark, after, want.policy.collapse).await;
    let begun = begin("", mark).await?;
    let ended = match begun.turn {
        Turn::Lead => return Ok(Some((stale, begun.lease))),
        Turn::Wait(_) | Turn::Solo => return Ok(None),
        Turn::LookAgain(token) => token,
    };
    let found = store.lookup(&want.key, want.selecting).await?;
    let directives = RequestDirectives::default();
    let demand = Demand { directives: &directives, waited: None, now: want.app.env.now() };
    let stale = match evaluate(demand, found.entry, found.soft_purged) {
        Verdict::Refresh(stale) | Verdict::Stale(stale) => stale,
        Verdict::Fresh(_) | Verdict::Missing | Verdict::Unsatisfiable => return Ok(None),
    };
    let begun = begin(&ended, found.mark).await?;
    Ok((begun.turn == Turn::Lead).then_some((stale, begun.lease)))
}
