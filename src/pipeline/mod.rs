//! The whole request path, top to bottom.
//!
//! ```text
//! receive -> reserved? -> loop? -> route -> identify -> plan
//!   -+-> pass ------------------------------------+-> respond
//!    |                                            |
//!    +-> key -> lookup -> evaluate                |
//!          fresh ------------> answer ------------+
//!          stale but usable -> answer, refresh ---+
//!          stale, missing ---> turn               |
//!            first ----------> fetch -> absorb ---+
//!            others ---------> lookup again ...   |
//! ```
//! `receive`, `route`, `identify`, `plan`, `key`, `evaluate`, `judge` and `head` are pure. Every way out ends in
//! [`respond`], which is the one place that writes `Cache-Status`.

mod collapse;
mod content;
mod fetch;
mod incoming;
mod refresh;
mod session;
pub mod warm;

pub use collapse::Flights;
pub use incoming::{Incoming, receive};
pub use session::{Identity, Visit};

use crate::api;
use crate::app::{App, Shared};
use crate::body::Body;
use crate::cache::entry::{Content, Entry};
use crate::cache::key::{ResourceKey, Selecting};
use crate::cache::pieces::{self, Following};
use crate::cache::respond::{self, Send};
use crate::cache::reuse::{Stale, Verdict, evaluate};
use crate::cache::{invalidate, lease::FillLease, tags};
use crate::config::{CachePolicy, KeyRules, Route, RoutePolicy, Shown};
use crate::env::{Env, UpstreamError};
use crate::field::cache_control::RequestDirectives;
use crate::field::cache_status::{CacheStatus, Forward};
use crate::field::{forward, hop};
use crate::job;
use crate::metrics::{self, Series, Timed};
use crate::problem::Problem;
use crate::purge::Target;
use crate::redis::RedisError;
use crate::role::Role;
use crate::time::Timestamp;
use collapse::{Follow, Step, Waiting};
use fetch::Fetch;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, IF_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use std::rc::Rc;
use std::time::Duration;

/// An answer, and what the cache has to say of it.
pub struct Answer {
    response: Response<Body>,
    status: CacheStatus,
}

/// Answers one request.
pub async fn serve<E: Env>(app: &Rc<App<E>>, request: Request<Body>) -> Response<Body> {
    let incoming = receive(request, app.role, app.config.origin.trust_forwarded);
    let shown = app.config.cache.cache_status.shows(incoming.client);
    job::opportunity(app);
    if api::is_reserved(incoming.uri.path()) {
        let response = api::serve(app, incoming).await;
        let status = CacheStatus::default().because("reserved-path");
        return respond(app, Answer { response, status }, shown, None);
    }
    if app.role == Role::Gateway && forward::loops(&incoming.headers, app.config.name.as_str()) {
        return respond(app, loop_detected(), shown, None);
    }
    let began = app.env.elapsed();
    let (number, route) = app.config.route_number(incoming.authority(), incoming.uri.path());
    let (answer, looked_up) = visited(app, route, incoming).await;
    count(app, number, &answer, began);
    respond(app, answer, shown, looked_up.filter(|_| shown == Shown::Everything).as_deref())
}

/// Answers a request with its session, where the route has sessions. Says also what key it was looked up by.
async fn visited<E: Env>(
    app: &Rc<App<E>>,
    route: &Route,
    mut incoming: Incoming,
) -> (Answer, Option<String>) {
    let claim = session::identify(app, route, &mut incoming);
    if let Err(answer) = session::enter(app, claim, &mut incoming).await {
        return (answer, None);
    }
    let visit = incoming.visit.clone();
    let (answer, key) = match plan(app, &route.policy, &incoming) {
        Plan::Pass(status) => (pass(app, incoming, status).await, None),
        Plan::Cache { shared, policy, key } => {
            let url = key.url().to_owned();
            (cached(app, shared, policy, key, incoming.shareable()).await, Some(url))
        }
    };
    (session::leave(visit, answer), key)
}

/// Counts a request in the instance; Redis hears of it later.
fn count<E: Env>(app: &App<E>, route: usize, answer: &Answer, began: Duration) {
    let outcome = metrics::outcome(answer.response.status(), &answer.status);
    app.metrics.count(Series::Requests(route, outcome));
    app.metrics.time(Timed::Response(outcome), app.env.elapsed().saturating_sub(began));
    if answer.status.stored {
        app.metrics.count(Series::Stored);
    }
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
    let is_query = incoming.is_query() && app.config.cache.max_query_content > 0;
    if incoming.method != Method::GET && incoming.method != Method::HEAD && !is_query {
        return Plan::Pass(CacheStatus::forward(Forward::Method));
    }
    if let Some(why) = incoming.kept_from_cache() {
        return bypass(why);
    }
    let RoutePolicy::Cache(policy) = route else { return bypass("route") };
    let Some(shared) = &app.shared else { return bypass("redis-disabled") };
    if let Some(why) = not_for_a_cache(incoming) {
        return bypass(why);
    }
    match ResourceKey::of(&incoming.uri, &policy.key) {
        Some(key) => Plan::Cache { shared, policy, key: if is_query { key.of_query() } else { key } },
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
    (!incoming.is_query() && length.is_some_and(|length| length != b"0")).then_some("request-content")
}

/// What a request wants from the cache.
pub(crate) struct Want<'a, E: Env> {
    app: &'a Rc<App<E>>,
    shared: &'a Shared<E>,
    policy: &'a CachePolicy,
    incoming: &'a Incoming,
    selecting: Selecting<'a>,
    key: ResourceKey,
}

impl<E: Env> Want<'_, E> {
    /// What the client asks of a cache, as far as the route lets it.
    fn directives(&self) -> RequestDirectives {
        let all = RequestDirectives::of(&self.incoming.headers);
        if self.policy.semantics.client_revalidation { all } else { all.without_revalidation() }
    }

    /// Whether it may wait for the response to another request. One with `Authorization` mostly brings what
    /// is not for others (RFC 9111 §3.5).
    fn may_wait(&self) -> bool {
        !self.policy.collapse.is_zero() && !self.incoming.headers.contains_key(AUTHORIZATION)
    }
}

/// From the cache, or into it.
async fn cached<E: Env>(
    app: &Rc<App<E>>,
    shared: &Shared<E>,
    policy: &CachePolicy,
    key: ResourceKey,
    mut incoming: Incoming,
) -> Answer {
    if incoming.is_query() && !incoming.hold(app.config.cache.max_query_content).await {
        return pass(app, incoming, CacheStatus::forward(Forward::Bypass).because("request-content")).await;
    }
    incoming.reduce(&policy.key);
    let selecting = Selecting::of(&incoming.headers, &policy.key).with_content(incoming.digest());
    let want = Want { app, shared, policy, incoming: &incoming, selecting, key };
    match find(&want).await {
        Ok(Found::Answer(answer)) => answer,
        Ok(Found::Stale(stale, status, lease)) => Fetch { want, lease }.stale(*stale, status).await,
        Ok(Found::Missing(status, lease)) => Fetch { want, lease: Some(lease) }.missing(status).await,
        Err(Unfound::Pass(status)) => pass(app, incoming, status).await,
        Err(Unfound::Redis(error)) => without_redis(app, incoming, &error).await,
    }
}

/// What came of looking a request up, and of waiting for others who want the same.
enum Found {
    /// This.
    Answer(Answer),
    /// A stale response; without a lease what comes back is not stored, but what is stored may still be good.
    Stale(Box<Stale>, CacheStatus, Option<FillLease>),
    /// Nothing, and a turn to fetch it.
    Missing(CacheStatus, FillLease),
}

/// Why a request goes to the origin as it is.
enum Unfound {
    Pass(CacheStatus),
    Redis(RedisError),
}

impl From<RedisError> for Unfound {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

async fn find<E: Env>(want: &Want<'_, E>) -> Result<Found, Unfound> {
    let arrived = want.app.env.now();
    let wanted = want.directives();
    let mut waiting = Waiting::new();
    loop {
        let found = want.shared.store.lookup(&want.key, want.selecting).await?;
        let now = want.app.env.now();
        let waited = waiting.has_waited().then_some(arrived);
        let missing = if found.other_variants { Forward::VaryMiss } else { Forward::UriMiss };
        let stale = match evaluate(&wanted, found.entry, found.soft_purged, waited, now) {
            Verdict::Fresh(fresh) => {
                let status = match waited {
                    None => CacheStatus::hit(fresh.entry.ttl(now)),
                    Some(_) => CacheStatus::collapsed(missing, fresh.entry.ttl(now)),
                };
                return Ok(Found::Answer(answer(want, fresh.entry, status, now)));
            }
            Verdict::Refresh(stale) => {
                let place = (found.flight, found.mark);
                return Ok(Found::Answer(refresh::behind(want, stale, place, now)));
            }
            Verdict::Unsatisfiable => return Ok(Found::Answer(unsatisfiable())),
            Verdict::Missing if want.incoming.method == Method::HEAD => {
                return Err(Unfound::Pass(CacheStatus::forward(missing)));
            }
            Verdict::Missing => None,
            Verdict::Stale(stale) => Some(stale),
        };
        let status = CacheStatus::forward(stale.as_ref().map_or(missing, |stale| stale.reason));
        match (collapse::turn(want, &found.flight, found.mark, stale.as_ref(), &mut waiting).await, stale) {
            (Ok(Step::LookAgain), _) => {}
            (Ok(Step::Fetch(lease)), Some(stale)) => {
                return Ok(Found::Stale(Box::new(stale), status, Some(lease)));
            }
            (Ok(Step::Fetch(lease)), None) => return Ok(Found::Missing(status, lease)),
            (Ok(Step::Follow(follow)), _) => return Ok(Found::Answer(following(want, *follow, status, now))),
            (Ok(Step::Failed(code)), stale) => {
                return Ok(Found::Answer(fetch::failed_elsewhere(want, code, stale, status)));
            }
            (Err(_), Some(stale)) => return Ok(Found::Stale(Box::new(stale), status, None)),
            (Err(error), None) => return Err(Unfound::Redis(error)),
        }
    }
}

/// The answer that a response gives which is just coming to somebody else.
fn following<E: Env>(want: &Want<'_, E>, follow: Follow, mut status: CacheStatus, now: Timestamp) -> Answer {
    let Follow { streaming, flight, token } = follow;
    let mut entry = streaming.entry;
    status.collapsed = true;
    status.ttl = Some(entry.ttl(now));
    let Content::Chunked { body, length, .. } = std::mem::replace(&mut entry.content, Content::NONE) else {
        return answer(want, entry, status, now);
    };
    let declared = Some(length).filter(|length| *length != u64::MAX);
    let (code, mut headers, send) =
        respond::head(&want.incoming.method, &want.incoming.headers, &mut entry, now);
    let following =
        Following { store: Rc::clone(&want.shared.store), resource: want.key.clone(), flight, token, body };
    headers.remove(CONTENT_LENGTH);
    let content = match send {
        Send::Content => following.into_body(declared),
        Send::HeadOnly => Body::Empty,
    };
    if let (Some(length), Send::Content) = (declared, send) {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    assembled(code, headers, content, status)
}

/// Redis did not answer: the origin does.
async fn without_redis<E: Env>(app: &App<E>, incoming: Incoming, error: &RedisError) -> Answer {
    pass(app, incoming, CacheStatus::forward(Forward::Bypass).because(error.reason())).await
}

/// The answer that a stored response gives.
fn answer<E: Env>(want: &Want<'_, E>, mut entry: Entry, status: CacheStatus, now: Timestamp) -> Answer {
    let (code, headers, send) = respond::head(&want.incoming.method, &want.incoming.headers, &mut entry, now);
    let body = match send {
        Send::Content => pieces::content(&want.shared.store, want.key.clone(), entry.content),
        Send::HeadOnly => Body::Empty,
    };
    assembled(code, headers, body, status)
}

fn assembled(code: StatusCode, headers: HeaderMap, body: Body, status: CacheStatus) -> Answer {
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
    let began = app.env.elapsed();
    match app.env.send(request, fetch::timeouts(app)).await {
        Ok(mut response) => {
            app.metrics.time(Timed::Origin, app.env.elapsed().saturating_sub(began));
            session::settle(app, &incoming, response.headers_mut()).await;
            if invalidate::is_unsafe(&incoming.method) && !forget(app, &incoming, &response).await {
                status = status.because("invalidation-failed");
            }
            end_to_end(app, response.headers_mut());
            let (head, body) = response.into_parts();
            let body = content::first_piece(&app.env, body, fetch::declared_length(&head.headers)).await;
            Answer { response: Response::from_parts(head, body), status }
        }
        Err(error) => Answer { response: upstream_failed(app, &incoming, &error), status },
    }
}

/// Leaves of an origin's fields those that are for the client.
fn end_to_end<E: Env>(app: &App<E>, headers: &mut HeaderMap) {
    hop::strip(headers);
    if app.config.cache.strip_tags {
        tags::strip(headers);
    }
}

/// Forgets what an unsafe request made invalid; `false` when Redis did not do it.
async fn forget<E: Env>(app: &App<E>, incoming: &Incoming, response: &Response<Body>) -> bool {
    let Some(shared) = &app.shared else { return true };
    let targets = invalidate::targets(&incoming.uri, response.status(), response.headers());
    let origin = ResourceKey::of(&incoming.uri, &KeyRules::default());
    let groups = origin.map(|key| invalidate::groups(key.origin(), response.status(), response.headers()));
    let groups = groups.into_iter().flatten().map(Target::Tag);
    let targets: Vec<_> = targets.into_iter().map(Target::Url).chain(groups).collect();
    targets.is_empty() || shared.purger.purge(&targets, false).await.is_ok()
}

/// The one way out: marks the response as handled by us, for those who may see it.
fn respond<E: Env>(app: &App<E>, answer: Answer, shown: Shown, key: Option<&str>) -> Response<Body> {
    let Answer { mut response, status } = answer;
    session::strip(app, response.headers_mut());
    if shown != Shown::Nothing {
        status.write(response.headers_mut(), app.config.name.as_str(), key);
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
        // As the host answers for a component that fails with no cache before it.
        UpstreamError::Failed(_) => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the component behind the cache failed")
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
