//! The whole request path, top to bottom.
//!
//! ```text
//! receive -> reserved? -> ends? -> route -> identify -> plan
//!   -+-> admit -> pass ---------------------------+-> respond
//!    |                                            |
//!    +-> key -> admit + lookup -> evaluate        |
//!          fresh ------------> answer ------------+
//!          stale but usable -> answer, refresh ---+
//!          stale, missing ---> turn               |
//!            first -> admit -> fetch -> absorb ---+
//!            others ---------> lookup again ...   |
//! ```
//! How requests for ranges and stored parts differ is in `ranged` and `parts`.
//!
//! `receive`, `route`, `identify`, `plan`, `key`, `evaluate`, `judge` and `head` are pure. Every way out ends in
//! `respond`, which is the one place that writes `Cache-Status`.

mod absorb;
mod admit;
mod answer;
mod collapse;
mod content;
mod cut;
mod ends;
mod fetch;
mod held;
mod incoming;
mod outward;
mod parts;
mod pass;
mod plan;
mod ranged;
mod refresh;
mod resume;
mod search;
mod selected;
mod session;
mod validated;
mod want;
pub mod warm;

pub use admit::Admission;
pub use collapse::Flights;
pub use incoming::{Incoming, receive};
pub use session::{Identity, Visit};

use crate::api;
use crate::app::{App, Shared};
use crate::body::Body;
use crate::cache::key::ResourceKey;
use crate::cache::lease::FillLease;
use crate::cache::lookup::Lookup;
use crate::cache::reuse::{Demand, Verdict, evaluate};
use crate::cache::selecting::Selecting;
use crate::config::{CachePolicy, Route, Shown};
use crate::env::Env;
use crate::field::cache_status::{CacheStatus, Detail, Forward};
use crate::job;
use crate::redis::RedisError;
use answer::{Answer, answer, count, following, respond, unsatisfiable, upstream_failed};
use collapse::{Place, Step, Waiting};
use fetch::Fetch;
use futures_util::future::join;
use held::Held;
use http::{Method, Request, Response};
use pass::{end_to_end, pass, without_redis};
use plan::{Plan, plan};
use search::Search;
use std::pin::pin;
use std::rc::Rc;
use want::Want;

/// Answers one request.
pub async fn serve<E: Env>(app: &Rc<App<E>>, request: Request<Body>) -> Response<Body> {
    let incoming = receive(request, app.role, &app.config);
    let shown = app.config.cache.cache_status.shows(incoming.client);
    job::opportunity(app);
    if api::is_reserved(incoming.uri.path()) {
        let response = Box::pin(api::serve(app, incoming)).await;
        let status = CacheStatus::default().because(Detail::ReservedPath);
        return respond(app, Answer { response, status }, shown, None);
    }
    if let Some(answer) = ends::here(app, &incoming) {
        return respond(app, answer, shown, None);
    }
    let began = app.env.instant();
    let (number, route) = app.config.route_number(incoming.authority(), incoming.uri.path());
    let (answer, looked_up) = visited(app, route, incoming).await;
    count(app, number, &answer, began);
    let key = looked_up.filter(|_| shown == Shown::Everything);
    respond(app, answer, shown, key.as_ref().map(ResourceKey::url))
}

/// Answers a request with its session, where the route has sessions. Also returns the key of the lookup.
async fn visited<E: Env>(
    app: &Rc<App<E>>,
    route: &Route,
    mut incoming: Incoming,
) -> (Answer, Option<ResourceKey>) {
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
        Plan::Cache { key, .. } => Some(key.clone()),
    };
    let answer = {
        // Dropped before the next await, so that the two share their room.
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
        admission.during(&app.env, answer).await
    };
    let answer = outward::adjust(&route.policy, answer);
    let answer = match visit {
        // Boxed, with the answer: it is rare, and the future of every request has room for the rest only.
        Some(visit) if visit.is_to_sign() => Box::pin(session::sign_and_leave(app, visit, answer)).await,
        visit => session::leave(visit, answer),
    };
    (answer, looked_up)
}

/// Answers from the cache, or fills it. The futures that ask the origin are boxed: they are large, and a hit should be small.
async fn cached<E: Env>(
    app: &Rc<App<E>>,
    shared: &Shared<E>,
    policy: &CachePolicy,
    key: ResourceKey,
    mut incoming: Incoming,
) -> Answer {
    if incoming.is_query() && !incoming.hold(app.config.cache.max_query_content).await {
        let status = CacheStatus::forward(Forward::Bypass).because(Detail::RequestContent);
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

/// What came of looking a request up, and of waiting for others that want the same.
enum Found {
    /// The answer.
    Answer(Answer),
    /// Nothing that answers, and a turn to ask the origin. Without a lease the response is not stored, but what is held
    /// may still serve.
    Fetch(Held, CacheStatus, Option<FillLease>),
}

/// Why a request is passed to the origin.
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
    let directives = want.directives();
    let mut waiting = Waiting::new(want.app.env.now(), want.app.env.instant());
    let mut lost = false;
    loop {
        let admitted = want.incoming.admission.request(want.app);
        let (admitted, found) = join(admitted, want.shared.store.lookup(&want.key, want.selecting)).await;
        if let Err(refused) = admitted {
            return Ok(Found::Answer(*refused));
        }
        let mut found = found?;
        found.entry = found.entry.filter(|entry| want.admits(entry));
        found.partial = found.partial.filter(|partial| want.admits(partial.entry()));
        let demand = Demand { directives: &directives, waited: waiting.waited(), now: want.app.env.now() };
        let place = Place { flight: waiting.flight(want.flight(&found.flight)), mark: found.mark.clone() };
        let next = match judge(want, demand, found).await? {
            Judgement::Answer(answer) => Some(Found::Answer(answer)),
            Judgement::Ask(held, status) => Box::pin(ask(want, held, status, place, &mut waiting)).await?,
        };
        let mut answer = match next {
            None => continue,
            Some(Found::Answer(answer)) => answer,
            Some(fetch) => return Ok(fetch),
        };
        match answer.response.body_mut().begin().await {
            // A followed fetch brings the whole response: a range is cut out of it.
            Ok(()) => return Ok(Found::Answer(cut::out_of(want, answer))),
            // Its content was lost since the lookup, or its fetch failed. The next lookup will mostly find nothing.
            Err(_) if !lost => lost = true,
            Err(_) if directives.only_if_cached => return Ok(Found::Answer(unsatisfiable())),
            Err(_) => {
                let status = CacheStatus::forward(Forward::UriMiss).because(Detail::ContentLost);
                return Ok(Found::Fetch(Held::Nothing, status, collapse::alone(want).await));
            }
        }
    }
}

/// Takes a turn at asking the origin, where what is `held` does not answer. Returns `None` to look again.
async fn ask<E: Env>(
    want: &Want<'_, E>,
    held: Held,
    status: CacheStatus,
    place: Place,
    waiting: &mut Waiting,
) -> Result<Option<Found>, Unfound> {
    let turn = collapse::turn(want, place, held.can_be_shared(), waiting).await;
    Ok(Some(match (turn, held) {
        (Ok(Step::LookAgain), _) => return Ok(None),
        (Ok(Step::Fetch(lease)), held) => Found::Fetch(held, status, Some(lease)),
        (Ok(Step::Follow(follow)), _) => Found::Answer(following(want, *follow, status, want.app.env.now())),
        (Ok(Step::Failed(failure)), held) => {
            Found::Answer(held::failed_elsewhere(want, failure, held, status).await)
        }
        (Err(error), Held::Nothing | Held::Parts(_)) => return Err(Unfound::Redis(error)),
        (Err(_), held) => Found::Fetch(held, status, None),
    }))
}

/// What to do after a lookup.
enum Judgement {
    Answer(Answer),
    Ask(Held, CacheStatus),
}

async fn judge<E: Env>(want: &Want<'_, E>, demand: Demand<'_>, found: Lookup) -> Result<Judgement, Unfound> {
    let Demand { directives, waited, now } = demand;
    if let Some(partial) = found.partial.filter(|_| want.incoming.method == Method::GET) {
        let judged = parts::judge(want, demand, *partial, found.soft_purged);
        return Ok(Box::pin(judged).await);
    }
    let missing = if found.other_variants { Forward::VaryMiss } else { Forward::UriMiss };
    Ok(match evaluate(demand, found.entry, found.soft_purged) {
        Verdict::Fresh(fresh) => {
            let status = match waited {
                None => CacheStatus::hit(fresh.entry.ttl(now)),
                Some(_) => CacheStatus::collapsed(missing, fresh.entry.ttl(now)),
            };
            Judgement::Answer(answer(want, fresh.entry, status, now))
        }
        // A background refresh has no visitor: a response for one is validated by their request, but not with only-if-cached.
        Verdict::Refresh(_) if want.selecting.is_personal() && directives.only_if_cached => {
            Judgement::Answer(unsatisfiable())
        }
        Verdict::Refresh(stale) if want.selecting.is_personal() => {
            let status = CacheStatus::forward(stale.reason);
            Judgement::Ask(Held::Stale(Box::new(stale)), status)
        }
        Verdict::Refresh(stale) => Judgement::Answer(refresh::behind(
            want,
            stale,
            Place { flight: found.flight, mark: found.mark },
            now,
        )),
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
