//! The whole request path, top to bottom.
//!
//! ```text
//! receive -> reserved? -> loop? -> route -> plan -+-> pass --------------------------------+-> respond
//!                                                 |                                        |
//!                                                 +-> key -> lookup -> evaluate            |
//!                                                       fresh ---------> answer -----------+
//!                                                       stale ---------> validate ---------+
//!                                                       missing -------> fetch -> absorb --+
//! ```
//! `receive`, `route`, `plan`, `key`, `evaluate`, `judge` and `head` are pure. Every way out ends in
//! [`respond`], which is the one place that writes `Cache-Status`.

mod content;
mod fetch;
mod incoming;

pub use incoming::{Incoming, receive};

use crate::api;
use crate::app::{App, Shared};
use crate::body::Body;
use crate::cache::entry::Entry;
use crate::cache::fill;
use crate::cache::invalidate;
use crate::cache::key::{ResourceKey, Selecting};
use crate::cache::respond::{self, Send};
use crate::cache::reuse::{Verdict, evaluate};
use crate::config::{CachePolicy, RoutePolicy};
use crate::env::{Env, UpstreamError};
use crate::field::cache_control::RequestDirectives;
use crate::field::cache_status::{CacheStatus, Forward};
use crate::field::{forward, hop};
use crate::problem::Problem;
use crate::redis::RedisError;
use crate::time::Timestamp;
use http::header::{CONTENT_LENGTH, IF_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE};
use http::{Method, Request, Response, StatusCode};
use std::rc::Rc;

/// An answer, and what the cache has to say of it.
pub struct Answer {
    response: Response<Body>,
    status: CacheStatus,
}

/// Answers one request.
pub async fn serve<E: Env>(app: &Rc<App<E>>, request: Request<Body>) -> Response<Body> {
    let incoming = receive(request, app.config.origin.trust_forwarded);
    if api::is_reserved(incoming.uri.path()) {
        let response = api::serve(app, incoming).await;
        return respond(app, Answer { response, status: CacheStatus::default().because("reserved-path") });
    }
    if forward::loops(&incoming.headers, app.config.name.as_str()) {
        return respond(app, loop_detected());
    }
    let route = app.config.route(incoming.authority(), incoming.uri.path());
    let answer = match plan(app, &route.policy, &incoming) {
        Plan::Pass(status) => pass(app, incoming, status).await,
        Plan::Cache { shared, policy, key } => cached(app, shared, policy, key, incoming).await,
    };
    respond(app, answer)
}

/// What to do with a request, before anything is asked of Redis.
enum Plan<'a, E: Env> {
    /// Hand it to the origin, and its response to the client.
    Pass(CacheStatus),
    /// Look it up.
    Cache { shared: &'a Shared<E>, policy: &'a CachePolicy, key: ResourceKey },
}

fn plan<'a, E: Env>(app: &'a App<E>, route: &'a RoutePolicy, incoming: &Incoming) -> Plan<'a, E> {
    let bypass = |why| Plan::Pass(CacheStatus::forward(Forward::Bypass).because(why));
    if incoming.method != Method::GET && incoming.method != Method::HEAD {
        return Plan::Pass(CacheStatus::forward(Forward::Method));
    }
    let RoutePolicy::Cache(policy) = route else { return bypass("route") };
    let Some(shared) = &app.shared else { return bypass("redis-disabled") };
    if let Some(why) = not_for_a_cache(incoming) {
        return bypass(why);
    }
    match ResourceKey::of(&incoming.uri, &policy.key) {
        Some(key) => Plan::Cache { shared, policy, key },
        None => bypass("no-authority"),
    }
}

/// Requests that only the origin can answer as they are: for a part of a response, under conditions that
/// are the origin's to judge (RFC 9111 §4.3.2), or with content, which has no meaning in a GET (RFC 9110
/// §9.3.1) but may well change what an origin answers.
fn not_for_a_cache(incoming: &Incoming) -> Option<&'static str> {
    let has = |name| incoming.headers.contains_key(name);
    if has(RANGE) || has(IF_RANGE) {
        return Some("range");
    }
    if has(IF_MATCH) || has(IF_UNMODIFIED_SINCE) {
        return Some("precondition");
    }
    let length = incoming.headers.get(CONTENT_LENGTH).map(http::HeaderValue::as_bytes);
    length.is_some_and(|length| length != b"0").then_some("request-content")
}

/// From the cache, or into it.
async fn cached<E: Env>(
    app: &Rc<App<E>>,
    shared: &Shared<E>,
    policy: &CachePolicy,
    key: ResourceKey,
    incoming: Incoming,
) -> Answer {
    let selecting = Selecting::of(&incoming.headers, &policy.key);
    let found = match shared.store.lookup(&key, selecting).await {
        Ok(found) => found,
        Err(error) => return without_redis(app, incoming, &error).await,
    };
    let wanted = RequestDirectives::of(&incoming.headers);
    let now = app.env.now();
    let miss = CacheStatus::forward(if found.other_variants { Forward::VaryMiss } else { Forward::UriMiss });
    let verdict = match evaluate(&wanted, found.entry, found.soft_purged, now) {
        Verdict::Fresh(fresh) => {
            let status = CacheStatus::hit(fresh.entry.ttl(now));
            return answer(shared, &incoming, key, fresh.entry, status, now);
        }
        Verdict::Unsatisfiable => return unsatisfiable(),
        Verdict::Missing if incoming.method == Method::HEAD => return pass(app, incoming, miss).await,
        verdict => verdict,
    };
    let lease = shared.store.begin(key.clone()).await;
    match (verdict, lease) {
        (Verdict::Stale(stale), lease) => {
            // Without a lease what comes back is not stored; what is stored may still be good.
            let fetch =
                fetch::Fetch { app, shared, policy, incoming: &incoming, selecting, key, lease: lease.ok() };
            fetch.stale(stale).await
        }
        (_, Ok(lease)) => {
            let fetch =
                fetch::Fetch { app, shared, policy, incoming: &incoming, selecting, key, lease: Some(lease) };
            fetch.missing(miss).await
        }
        (_, Err(error)) => without_redis(app, incoming, &error).await,
    }
}

/// Redis did not answer: the origin does.
async fn without_redis<E: Env>(app: &App<E>, incoming: Incoming, error: &RedisError) -> Answer {
    pass(app, incoming, CacheStatus::forward(Forward::Bypass).because(error.reason())).await
}

/// The answer that a stored response gives.
fn answer<E: Env>(
    shared: &Shared<E>,
    incoming: &Incoming,
    resource: ResourceKey,
    mut entry: Entry,
    status: CacheStatus,
    now: Timestamp,
) -> Answer {
    let (code, headers, send) = respond::head(&incoming.method, &incoming.headers, &mut entry, now);
    let body = match send {
        Send::Content => fill::content(&shared.store, resource, entry.content),
        Send::HeadOnly => Body::Empty,
    };
    let mut response = Response::new(body);
    *response.status_mut() = code;
    *response.headers_mut() = headers;
    Answer { response, status }
}

/// Hands the request to the origin and its response to the client, streaming both ways. A request that may
/// have changed something makes what is stored for it invalid before its answer is given (RFC 9111 §4.4).
async fn pass<E: Env>(app: &App<E>, mut incoming: Incoming, mut status: CacheStatus) -> Answer {
    let body = std::mem::take(&mut incoming.body);
    let request = incoming.outgoing(app, None, body);
    match app.env.send(request, fetch::timeouts(app)).await {
        Ok(mut response) => {
            if invalidate::is_unsafe(&incoming.method) && !forget(app, &incoming, &response).await {
                status = status.because("invalidation-failed");
            }
            hop::strip(response.headers_mut());
            let (head, body) = response.into_parts();
            let body = content::first_piece(&app.env, body, fetch::declared_length(&head.headers)).await;
            Answer { response: Response::from_parts(head, body), status }
        }
        Err(error) => Answer { response: upstream_failed(app, &incoming, &error), status },
    }
}

/// Forgets what an unsafe request made invalid; `false` when Redis did not do it.
async fn forget<E: Env>(app: &App<E>, incoming: &Incoming, response: &Response<Body>) -> bool {
    let Some(shared) = &app.shared else { return true };
    let targets = invalidate::targets(&incoming.uri, response.status(), response.headers());
    let targets: Vec<_> = targets.into_iter().map(crate::purge::Target::Url).collect();
    targets.is_empty() || shared.purger.purge(&targets, false).await.is_ok()
}

/// The one way out: marks the response as handled by us.
fn respond<E: Env>(app: &App<E>, answer: Answer) -> Response<Body> {
    let Answer { mut response, status } = answer;
    if app.config.cache.cache_status {
        status.write(response.headers_mut(), app.config.name.as_str());
    }
    response
}

fn upstream_failed<E: Env>(app: &App<E>, incoming: &Incoming, error: &UpstreamError) -> Response<Body> {
    app.env.log(&format!("{} {}: {error}", incoming.method, incoming.uri.path()));
    // The text of the error names the origin, which is nobody's business: it goes to the log alone.
    match error {
        UpstreamError::TimedOut(_) => {
            Problem::new(StatusCode::GATEWAY_TIMEOUT, "the origin did not answer in time")
        }
        UpstreamError::Unreachable(_) => {
            Problem::new(StatusCode::BAD_GATEWAY, "the origin could not be reached")
        }
        UpstreamError::Denied(_) => Problem::new(
            StatusCode::BAD_GATEWAY,
            "the origin is missing in allowed_outbound_hosts: check the variable origin_url",
        ),
        UpstreamError::Invalid(_) => {
            Problem::new(StatusCode::BAD_GATEWAY, "the origin did not answer with valid HTTP")
        }
    }
    .into_response()
}

fn loop_detected() -> Answer {
    let problem = Problem::new(
        StatusCode::LOOP_DETECTED,
        "the request came through here before: the origin sends requests back to this cache",
    );
    Answer {
        response: problem.into_response(),
        status: CacheStatus::forward(Forward::Bypass).because("loop"),
    }
}

/// RFC 9111 §5.2.1.7: "SHOULD respond with a 504 (Gateway Timeout) status code".
fn unsatisfiable() -> Answer {
    let problem =
        Problem::new(StatusCode::GATEWAY_TIMEOUT, "only-if-cached: nothing stored answers the request");
    Answer { response: problem.into_response(), status: CacheStatus::default().because("only-if-cached") }
}
