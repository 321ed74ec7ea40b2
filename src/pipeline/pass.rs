//! Requests that are passed to the origin as they are, and the invalidation that they cause.

use super::fetch::Fetch;
use super::{Answer, Incoming, Want, content, fetch, session, unsatisfiable, upstream_failed};
use crate::app::{App, Shared};
use crate::body::Body;
use crate::cache::invalidate;
use crate::cache::key::ResourceKey;
use crate::cache::lease::FillLease;
use crate::cache::selecting::Selecting;
use crate::cache::tags;
use crate::config::{CachePolicy, KeyRules};
use crate::env::Env;
use crate::field::cache_control::RequestDirectives;
use crate::field::cache_status::{CacheStatus, Detail, Forward};
use crate::field::groups::CACHE_GROUP_INVALIDATION;
use crate::field::hop;
use crate::metrics::Timed;
use crate::purge::{Target, Written};
use crate::redis::RedisError;
use http::{HeaderMap, Response, StatusCode};
use std::rc::Rc;
use std::time::Duration;

/// Passes the request to the origin and its response to the client, streaming both ways. A request that may
/// have changed something invalidates what is stored for it before it is answered (RFC 9111 §4.4).
pub(super) async fn pass<E: Env>(app: &App<E>, mut incoming: Incoming, mut status: CacheStatus) -> Answer {
    if let Err(refused) = incoming.admission.origin(app).await {
        return *refused;
    }
    let body = content::of_request(&app.env, std::mem::take(&mut incoming.body)).await;
    let request = incoming.outgoing(app, None, body);
    let began = app.env.instant();
    match app.env.send(request, fetch::timeouts(app)).await {
        Ok(mut response) => {
            app.metrics.time(Timed::Origin, app.env.instant().since(began));
            session::settle(app, &incoming, response.headers_mut()).await;
            if forget(app, &incoming, response.status(), response.headers(), None).await.is_none() {
                status = status.because(Detail::InvalidationFailed);
            }
            end_to_end(app, response.headers_mut());
            let begun = content::begun(app, response, incoming.range.is_some()).await;
            let response = begun.unwrap_or_else(|error| upstream_failed(app, &incoming, &error));
            Answer { response, status }
        }
        Err(error) => Answer { response: upstream_failed(app, &incoming, &error), status },
    }
}

/// Passes the request because Redis did not answer, unless the client wants a stored response or none (RFC 9111 §5.2.1.7).
pub(super) async fn without_redis<E: Env>(app: &App<E>, incoming: Incoming, error: &RedisError) -> Answer {
    if RequestDirectives::of(&incoming.headers).only_if_cached {
        return unsatisfiable();
    }
    pass(app, incoming, CacheStatus::forward(Forward::Bypass).because(Detail::Redis(error.reason()))).await
}

/// Removes the fields of the origin's response that are not for the client.
pub(super) fn end_to_end<E: Env>(app: &App<E>, headers: &mut HeaderMap) {
    hop::strip(headers);
    if app.config.cache.strip_tags {
        tags::strip(headers);
    }
}

/// Drops what an unsafe request made invalid, except `kept`; `None` when Redis did not do it.
async fn forget<E: Env>(
    app: &App<E>,
    incoming: &Incoming,
    status: StatusCode,
    response: &HeaderMap,
    kept: Option<&ResourceKey>,
) -> Option<Written> {
    let Some(shared) = app.shared.as_ref().filter(|_| invalidate::is_unsafe(&incoming.method)) else {
        return Some(Written::default());
    };
    let mut targets: Vec<_> =
        invalidate::targets(&incoming.uri, status, response).into_iter().map(Target::Url).collect();
    if response.contains_key(CACHE_GROUP_INVALIDATION)
        && let Some(key) = ResourceKey::of(&incoming.uri, &KeyRules::default())
    {
        targets.extend(invalidate::groups(key.origin(), status, response).into_iter().map(Target::Tag));
    }
    if targets.is_empty() {
        return Some(Written::default());
    }
    shared.purger.invalidate(&targets, kept).await.ok()
}

/// The name of the flight of a POST. Nobody waits for one.
const POST: &str = "post";

/// Handles a POST whose response may answer a later GET (RFC 9110 §9.3.3). The lease to store it must be taken before
/// the origin is asked.
pub(super) async fn post<E: Env>(
    app: &Rc<App<E>>,
    shared: &Shared<E>,
    policy: &CachePolicy,
    key: ResourceKey,
    incoming: Incoming,
) -> Answer {
    let status = CacheStatus::forward(Forward::Method);
    if let Err(refused) = incoming.admission.origin(app).await {
        return *refused;
    }
    let Ok(begun) = shared.store.begin(&key, POST, None, "", Duration::ZERO).await else {
        return pass(app, incoming, status).await;
    };
    // What comes back may answer others, as with a GET.
    let mut incoming = incoming.shareable();
    incoming.reduce(policy);
    let body = content::of_request(&app.env, std::mem::take(&mut incoming.body)).await;
    let request = incoming.outgoing(app, None, body);
    let selecting = Selecting::of(&incoming.headers, &policy.key);
    let want = Want { app, shared, policy, incoming: &incoming, selecting, key, search: None };
    Fetch { want, lease: Some(begun.lease) }.posted(request, status).await
}

/// Drops what a POST made invalid, before its response is stored under `lease`. The lease is `None` if it is lost, because
/// something was purged meanwhile or Redis failed; the flag is `false` if some of it may not have been dropped.
pub(super) async fn change<E: Env>(
    want: &Want<'_, E>,
    lease: FillLease,
    response: &Response<Body>,
) -> (Option<FillLease>, bool) {
    let kept = want.shared.store.replace(lease).await.ok().flatten();
    let key = kept.is_some().then_some(&want.key);
    let done = forget(want.app, want.incoming, response.status(), response.headers(), key).await;
    // Ledger entries that this invalidation wrote itself, for the rest of the path, do not keep the response from being stored.
    let ledger = want.shared.store.books.number_of(want.key.id());
    let kept = kept.and_then(|lease| lease.after(done.as_ref()?, ledger));
    (kept, done.is_some())
}

/// Drops what a POST made invalid; `false` if some of it may not have been dropped.
pub(super) async fn changed<E: Env>(want: &Want<'_, E>, response: &Response<Body>) -> bool {
    forget(want.app, want.incoming, response.status(), response.headers(), None).await.is_some()
}
