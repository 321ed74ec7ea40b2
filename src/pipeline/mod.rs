//! The whole request path, top to bottom.
//!
//! ```text
//! receive -> reserved? -> loop? -> route -> identify -> plan
//!   -+-> admit -> pass ---------------------------+-> respond
//!    |                                            |
//!    +-> key -> admit + lookup -> evaluate        |
//!          fresh ------------> answer ------------+
//!          stale but usable -> answer, refresh ---+
//!          stale, missing ---> turn               |
//!            first -> admit -> fetch -> absorb ---+
//!            others ---------> lookup again ...   |
//! ```
//! What is different where a request is for a part, or only parts are stored, is in `ranged` and `parts`.
//!
//! `receive`, `route`, `identify`, `plan`, `key`, `evaluate`, `judge` and `head` are pure. Every way out ends in
//! [`respond`], which is the one place that writes `Cache-Status`.

mod admit;
mod collapse;
mod content;
mod cut;
mod fetch;
mod held;
mod incoming;
mod outward;
mod parts;
mod pass;
mod ranged;
mod refresh;
mod search;
mod selected;
mod session;
pub mod warm;

pub use admit::Admission;
pub use collapse::Flights;
pub use incoming::{Incoming, receive};
pub use session::{Identity, Visit};

use crate::api;
use crate::app::{App, Shared};
use crate::body::Body;
use crate::cache::entry::{Content, Entry};
use crate::cache::key;
use crate::cache::key::{ResourceKey, Selecting};
use crate::cache::lease::FillLease;
use crate::cache::pieces::{self, Following};
use crate::cache::range::accept;
use crate::cache::respond::{self, Send};
use crate::cache::reuse::{Verdict, evaluate};
use crate::cache::store::Lookup;
use crate::config::{CachePolicy, RangePolicy, Route, RoutePolicy, Shown, Visitor};
use crate::env::{Env, UpstreamError};
use crate::field::cache_control::RequestDirectives;
use crate::field::cache_status::{CacheStatus, Forward};
use crate::field::forward;
use crate::job;
use crate::metrics::{self, Series, Timed};
use crate::problem::Problem;
use crate::redis::{RedisError, hex};
use crate::role::Role;
use crate::time::Timestamp;
use collapse::{Follow, Step, Waiting};
use fetch::Fetch;
use futures_util::future::join;
use held::Held;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, IF_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use pass::{end_to_end, pass, without_redis};
use search::Search;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

/// An answer, and what the cache has to say of it.
pub struct Answer {
    response: Response<Body>,
    status: CacheStatus,
}

/// Answers one request.
pub async fn serve<E: Env>(app: &Rc<App<E>>, request: Request<Body>) -> Response<Body> {
    let incoming = receive(request, app.role, &app.config);
    let shown = app.config.cache.cache_status.shows(incoming.client);
    job::opportunity(app);
    if api::is_reserved(incoming.uri.path()) {
        let response = Box::pin(api::serve(app, incoming)).await;
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
    incoming.admission = Admission::of(app, route, &incoming);
    let admission = Rc::clone(&incoming.admission);
    let plan = plan(app, &route.policy, &incoming);
    let looked_up = match &plan {
        Plan::Pass(_) | Plan::Post { .. } => None,
        Plan::Cache { key, .. } => Some(key.url().to_owned()),
    };
    let answer = pin!(async {
        match plan {
            Plan::Pass(status) => Box::pin(pass(app, incoming, status)).await,
            Plan::Post { shared, policy, key } => {
                Box::pin(pass::post(app, shared, policy, key, incoming)).await
            }
            Plan::Cache { shared, policy, key } => {
                let answer = cached(app, shared, policy, key, incoming.shareable()).await;
                selected::ahead(&app.env, answer).await
            }
        }
    });
    let answer = outward::adjust(&route.policy, admission.during(&app.env, answer).await);
    (session::leave(visit, answer), looked_up)
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
    /// The same, and keep the response for a GET where it says that it may answer one.
    Post { shared: &'a Shared<E>, policy: &'a CachePolicy, key: ResourceKey },
    /// Look it up.
    Cache { shared: &'a Shared<E>, policy: &'a CachePolicy, key: ResourceKey },
}

fn plan<'a, E: Env>(app: &'a App<E>, route: &'a RoutePolicy, incoming: &Incoming) -> Plan<'a, E> {
    let bypass = |why| Plan::Pass(CacheStatus::forward(Forward::Bypass).because(why));
    let is_query = incoming.is_query() && app.config.cache.max_query_content > 0;
    if incoming.method == Method::POST {
        return plan_post(app, route, incoming);
    }
    if incoming.method != Method::GET && incoming.method != Method::HEAD && !is_query {
        return Plan::Pass(CacheStatus::forward(Forward::Method));
    }
    let RoutePolicy::Cache(policy) = route else {
        return bypass(incoming.kept_from_cache(Visitor::Nobody).unwrap_or("route"));
    };
    if let Some(why) = incoming.kept_from_cache(policy.key.visitor) {
        return bypass(why);
    }
    let Some(shared) = &app.shared else { return bypass("redis-disabled") };
    if !policy.rules.methods.contains(&incoming.method) {
        return Plan::Pass(CacheStatus::forward(Forward::Method));
    }
    let named = || policy.rules.bypass.why(&incoming.uri, &incoming.headers);
    if let Some(why) = not_for_a_cache(incoming).or_else(named) {
        return bypass(why);
    }
    match ResourceKey::of(&incoming.uri, &policy.key) {
        Some(key) => Plan::Cache { shared, policy, key: if is_query { key.of_query() } else { key } },
        None => bypass("no-authority"),
    }
}

fn plan_post<'a, E: Env>(app: &'a App<E>, route: &'a RoutePolicy, incoming: &Incoming) -> Plan<'a, E> {
    let pass = Plan::Pass(CacheStatus::forward(Forward::Method));
    let (RoutePolicy::Cache(policy), Some(shared)) = (route, &app.shared) else { return pass };
    if incoming.kept_from_cache(Visitor::Nobody).is_some() {
        return pass;
    }
    // What the origin sees of the query is what a GET would be looked up by.
    let whole = key::query(&incoming.uri, &policy.key).as_deref() == incoming.uri.query();
    match ResourceKey::of(&incoming.uri, &policy.key) {
        Some(key) if policy.semantics.store_post && whole => Plan::Post { shared, policy, key },
        _ => pass,
    }
}

/// Requests that only the origin can answer as they are: under conditions that are the origin's to judge (RFC
/// 9111 §4.3.2), or with content, which has no meaning in a GET (RFC 9110 §9.3.1) but may well change what an
/// origin answers.
fn not_for_a_cache(incoming: &Incoming) -> Option<&'static str> {
    let has = |name| incoming.headers.contains_key(name);
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
    /// Where the route follows `No-Vary-Search`.
    search: Option<Search>,
}

impl<E: Env> Want<'_, E> {
    /// What the client asks of a cache, as far as the route lets it.
    fn directives(&self) -> RequestDirectives {
        let all = RequestDirectives::of(&self.incoming.headers);
        if self.policy.semantics.client_revalidation { all } else { all.without_revalidation() }
    }

    /// Whether what was found answers it, as far as its query is concerned.
    fn admits(&self, entry: &Entry) -> bool {
        self.search.as_ref().is_none_or(|search| search.admits(entry))
    }

    /// Whether it may wait for the response to another request. One with `Authorization` mostly brings what
    /// is not for others (RFC 9111 §3.5), one with `If-Range` what is for those who have the rest.
    fn may_wait(&self) -> bool {
        let alone = [AUTHORIZATION, IF_RANGE];
        !self.policy.collapse.is_zero() && !alone.iter().any(|name| self.incoming.headers.contains_key(name))
    }

    /// Those who want the same, of those who select `variant`. Who asks the origin for a part alone is with those
    /// who ask for the same part.
    fn flight(&self, variant: &str) -> String {
        match &self.incoming.range {
            Some(range) if self.policy.range == RangePolicy::Pass => {
                format!("{variant}-{}", hex(&blake3::hash(range.to_string().as_bytes()).as_bytes()[..16]))
            }
            _ => variant.to_owned(),
        }
    }

    /// The same once more.
    fn again(&self) -> Self {
        Self { key: self.key.clone(), search: self.search.clone(), ..*self }
    }
}

/// From the cache, or into it. What asks the origin is boxed: it is large, and a hit should not carry its room.
async fn cached<E: Env>(
    app: &Rc<App<E>>,
    shared: &Shared<E>,
    policy: &CachePolicy,
    key: ResourceKey,
    mut incoming: Incoming,
) -> Answer {
    if incoming.is_query() && !incoming.hold(app.config.cache.max_query_content).await {
        let status = CacheStatus::forward(Forward::Bypass).because("request-content");
        return Box::pin(pass(app, incoming, status)).await;
    }
    let (key, search) = match Search::of(shared, policy, &incoming, &key).await {
        Ok(Some((key, search))) => (key, Some(search)),
        Ok(None) => (key, None),
        Err(error) => return without_redis(app, incoming, &error).await,
    };
    incoming.reduce(policy);
    let selecting = Selecting::of(&incoming.headers, &policy.key)
        .with_content(incoming.digest())
        .with_visitor(incoming.told_apart(policy.key.visitor));
    let want = Want { app, shared, policy, incoming: &incoming, selecting, key, search };
    match find(&want).await {
        Ok(Found::Answer(answer)) => answer,
        Ok(Found::Fetch(held, status, lease)) => Box::pin(Fetch { want, lease }.fetch(held, status)).await,
        Err(Unfound::Pass(status)) => Box::pin(pass(app, incoming, status)).await,
        Err(Unfound::Redis(error)) => Box::pin(without_redis(app, incoming, &error)).await,
    }
}

/// What came of looking a request up, and of waiting for others who want the same.
enum Found {
    /// This.
    Answer(Answer),
    /// Not enough, and a turn to ask the origin; without a lease what comes back is not stored, but what is stored may
    /// still be good.
    Fetch(Held, CacheStatus, Option<FillLease>),
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
        let admitted = want.incoming.admission.request(want.app);
        let (admitted, found) = join(admitted, want.shared.store.lookup(&want.key, want.selecting)).await;
        if let Err(refused) = admitted {
            return Ok(Found::Answer(*refused));
        }
        let mut found = found?;
        found.entry = found.entry.filter(|entry| want.admits(entry));
        found.partial = found.partial.filter(|partial| want.admits(partial.entry()));
        let waited = waiting.has_waited().then_some(arrived);
        let (flight, mark) = (want.flight(&found.flight), found.mark.clone());
        let (held, status) = match judge(want, &wanted, found, waited).await? {
            Judgement::Answer(answer) => return Ok(Found::Answer(answer)),
            Judgement::Ask(held, status) => (held, status),
        };
        let turn = Box::pin(collapse::turn(want, &flight, mark, held.can_be_shared(), &mut waiting)).await;
        match (turn, held) {
            (Ok(Step::LookAgain), _) => {}
            (Ok(Step::Fetch(lease)), held) => return Ok(Found::Fetch(held, status, Some(lease))),
            (Ok(Step::Follow(follow)), _) => {
                let answer = following(want, *follow, status, want.app.env.now());
                return Ok(Found::Answer(cut::out_of(want, answer)));
            }
            (Ok(Step::Failed(code)), held) => {
                return Ok(Found::Answer(Box::pin(held::failed_elsewhere(want, code, held, status)).await));
            }
            (Err(error), Held::Nothing | Held::Parts(_)) => return Err(Unfound::Redis(error)),
            (Err(_), held) => return Ok(Found::Fetch(held, status, None)),
        }
    }
}

/// What is to be done with what was found.
enum Judgement {
    Answer(Answer),
    Ask(Held, CacheStatus),
}

async fn judge<E: Env>(
    want: &Want<'_, E>,
    wanted: &RequestDirectives,
    found: Lookup,
    waited: Option<Timestamp>,
) -> Result<Judgement, Unfound> {
    let now = want.app.env.now();
    if let Some(partial) = found.partial.filter(|_| want.incoming.method == Method::GET) {
        let judged = parts::judge(want, wanted, partial, (found.soft_purged, waited), now);
        return Ok(Box::pin(judged).await);
    }
    let missing = if found.other_variants { Forward::VaryMiss } else { Forward::UriMiss };
    Ok(match evaluate(wanted, found.entry, found.soft_purged, waited, now) {
        Verdict::Fresh(fresh) => {
            let status = match waited {
                None => CacheStatus::hit(fresh.entry.ttl(now)),
                Some(_) => CacheStatus::collapsed(missing, fresh.entry.ttl(now)),
            };
            Judgement::Answer(answer(want, fresh.entry, status, now))
        }
        // A refresh is nobody's request: what is for one visitor is validated by theirs.
        Verdict::Refresh(stale) if want.selecting.is_personal() => {
            let status = CacheStatus::forward(stale.reason);
            Judgement::Ask(Held::Stale(Box::new(stale)), status)
        }
        Verdict::Refresh(stale) => {
            Judgement::Answer(refresh::behind(want, stale, (found.flight, found.mark), now))
        }
        Verdict::Unsatisfiable => Judgement::Answer(unsatisfiable()),
        Verdict::Missing if want.incoming.method == Method::HEAD => {
            return Err(Unfound::Pass(CacheStatus::forward(missing)));
        }
        Verdict::Missing => Judgement::Ask(Held::Nothing, CacheStatus::forward(missing)),
        Verdict::Stale(stale) => {
            let status = CacheStatus::forward(stale.reason);
            Judgement::Ask(Held::Stale(Box::new(stale)), status)
        }
    })
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

/// The answer that a stored response gives.
fn answer<E: Env>(want: &Want<'_, E>, mut entry: Entry, status: CacheStatus, now: Timestamp) -> Answer {
    let (code, mut headers, send) =
        respond::head(&want.incoming.method, &want.incoming.headers, &mut entry, now);
    if code == StatusCode::OK {
        accept(&mut headers);
        if let Some(response) = selected::of_stored(want, &mut headers, &entry.content) {
            return Answer { response, status };
        }
    }
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
