//! Admission: whether the limits of its route let a request through.
//!
//! Limits that count every request are checked while the cache is looked up, so that a hit waits for Redis only once.
//! Limits that count misses are checked before the request goes to the origin. A request that one limit refuses
//! takes nothing from any other.

use super::{Answer, Incoming};
use crate::app::App;
use crate::body::{Body, BodyError};
use crate::config::{Counts, Limit, Route, route};
use crate::env::Env;
use crate::field::cache_status::{CacheStatus, Detail};
use crate::field::rate_limit;
use crate::limit::{Decision, Demand, Held, Identity, Standing, Subject, Verdict};
use crate::problem::Problem;
use crate::session::User;
use bytes::Bytes;
use futures_util::future::{Either, select};
use http::header::RETRY_AFTER;
use http::{HeaderValue, Response, StatusCode};
use std::cell::RefCell;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

/// `Retry-After` while limits cannot be checked: Redis is tried again within this time.
const AWAY: Duration = Duration::from_secs(5);

/// The limits of one request, and their results so far.
#[derive(Debug, Default)]
pub struct Admission {
    limits: Vec<Applied>,
    state: RefCell<State>,
}

/// A limit, and the identity on whose account it counts this request.
#[derive(Debug)]
struct Applied {
    limit: Rc<Limit>,
    identity: Identity,
}

#[derive(Debug, Default)]
struct State {
    /// Which limits were asked already, by what they count.
    asked: Vec<Counts>,
    /// The results, each with the index of its limit.
    said: Vec<(usize, Standing)>,
    /// What the limiter decided, each with the indices of the limits that were asked.
    decisions: Vec<(Vec<usize>, Decision)>,
    held: Vec<Held>,
}

impl Admission {
    /// Collects the limits of `route` that count this request.
    pub(super) fn of<E: Env>(app: &App<E>, route: &Route, incoming: &Incoming) -> Rc<Self> {
        Self::under(app, &route.limits, &route.name, incoming)
    }

    /// Answers a request to our own API with `answer`, under the limits of the API.
    pub(crate) async fn of_api<E: Env>(
        app: &Rc<App<E>>,
        incoming: Incoming,
        answer: impl AsyncFnOnce(Incoming) -> Response<Body>,
    ) -> Response<Body> {
        let limits = &app.config.api.limits;
        if limits.is_empty() {
            return answer(incoming).await;
        }
        let admission = Self::under(app, limits, "api", &incoming);
        let answer = pin!(async {
            match admission.origin(app).await {
                Ok(()) => Answer { response: answer(incoming).await, status: CacheStatus::default() },
                Err(refused) => *refused,
            }
        });
        admission.during(&app.env, answer).await.response
    }

    /// Collects those of `limits` that count this request, on the route named `route`.
    fn under<E: Env>(app: &App<E>, limits: &[Rc<Limit>], route: &str, incoming: &Incoming) -> Rc<Self> {
        let counted =
            |limit: &&Rc<Limit>| limit.methods.is_empty() || limit.methods.contains(&incoming.method);
        if !limits.iter().any(|limit| counted(&limit)) {
            return Rc::default();
        }
        let who = incoming.identity();
        let session = who.session.map(ToString::to_string);
        let host = route::host_name(incoming.authority()).to_ascii_lowercase();
        let subject = Subject {
            client: incoming.visitor,
            headers: &incoming.headers,
            method: incoming.method.as_str(),
            host: &host,
            path: &route::normal(incoming.uri.path()),
            route,
            session: session.as_deref(),
            user: who.user.map(User::as_str),
        };
        let limits = limits.iter().filter(counted).map(|limit| Applied {
            identity: app.limiter.identifier().of(&limit.key, &subject),
            limit: Rc::clone(limit),
        });
        Rc::new(Self { limits: limits.collect(), state: RefCell::default() })
    }

    /// Checks the limits that count every request. `Err` is the answer to a request that is refused.
    pub(super) async fn request<E: Env>(&self, app: &App<E>) -> Result<(), Box<Answer>> {
        self.ask_once(app, &[Counts::Requests]).await
    }

    /// Checks all limits that were not checked yet, before the request goes to the origin. `Err` is the answer to a
    /// request that is refused.
    pub(super) async fn origin<E: Env>(&self, app: &App<E>) -> Result<(), Box<Answer>> {
        self.ask_once(app, &[Counts::Requests, Counts::Misses]).await
    }

    async fn ask_once<E: Env>(&self, app: &App<E>, counts: &[Counts]) -> Result<(), Box<Answer>> {
        let which = self.unasked(counts);
        if which.is_empty() {
            return Ok(());
        }
        // Boxed: most requests have no limits, and need not carry its size.
        Box::pin(self.ask(app, &which)).await
    }

    /// Returns the limits that count one of `counts` and were not asked yet, and marks them as asked.
    fn unasked(&self, counts: &[Counts]) -> Vec<usize> {
        let asked = &mut self.state.borrow_mut().asked;
        let all = self.limits.iter().enumerate().map(|(at, one)| (at, one.limit.counts));
        let which = all.filter(|(_, its)| counts.contains(its) && !asked.contains(its)).map(|(at, _)| at);
        let which = which.collect();
        asked.extend(counts);
        which
    }

    async fn ask<E: Env>(&self, app: &App<E>, which: &[usize]) -> Result<(), Box<Answer>> {
        let demands: Vec<Demand<'_>> = which.iter().map(|&at| self.demand(at)).collect();
        let decision = app.limiter.check(&demands).await;
        let mut state = self.state.borrow_mut();
        state.held.extend(app.limiter.hold(&demands, &decision));
        state.said.extend(which.iter().copied().zip(decision.standings.iter().copied()));
        if decision.allowed {
            state.decisions.push((which.to_vec(), decision));
            return Ok(());
        }
        state.held.clear();
        // A refused check takes no units.
        for (which, decision) in &state.decisions {
            let demands: Vec<Demand<'_>> = which.iter().map(|&at| self.demand(at)).collect();
            app.limiter.give_units_back(&demands, decision);
        }
        Err(Box::new(refused(&demands, &decision)))
    }

    fn demand(&self, at: usize) -> Demand<'_> {
        let Applied { limit, identity } = &self.limits[at];
        Demand { policy: &limit.policy, identity, cost: limit.cost.get() }
    }

    /// Waits for the answer and renews the leases that are held meanwhile. Then adds the state of the limits to the answer,
    /// and holds the leases until its content has been sent.
    pub(super) async fn during<E: Env>(
        &self,
        env: &E,
        mut answer: Pin<&mut impl Future<Output = Answer>>,
    ) -> Answer {
        let leases = self.limits.iter().map(|one| &one.limit.policy).filter(|policy| policy.leases());
        let Some(every) = leases.map(|policy| policy.period() / 3).min() else {
            return self.mark(answer.await);
        };
        loop {
            match select(answer.as_mut(), pin!(env.sleep(every))).await {
                Either::Left((answer, _)) => {
                    let held = std::mem::take(&mut self.state.borrow_mut().held);
                    let Answer { response, status } = self.mark(answer);
                    let response = response.map(|body| holding(env, every, held, body));
                    return Answer { response, status };
                }
                Either::Right(_) => self.state.borrow().held.iter().for_each(Held::renew),
            }
        }
    }

    fn mark(&self, mut answer: Answer) -> Answer {
        let state = self.state.borrow();
        let told = state.said.iter().filter_map(|(at, standing)| {
            let policy = &self.limits.get(*at)?.limit.policy;
            (!policy.shadow() && standing.verdict != Verdict::Unasked).then_some((policy, standing))
        });
        if told.clone().next().is_some() {
            rate_limit::write(answer.response.headers_mut(), told);
        }
        answer
    }
}

/// The answer to a request that the limits refuse.
fn refused(demands: &[Demand<'_>], decision: &Decision) -> Answer {
    let refusals = demands.iter().zip(&decision.standings);
    let refusals =
        refusals.filter(|(demand, standing)| !demand.policy.shadow() && standing.verdict.refuses());
    let names: Vec<&str> = refusals.clone().map(|(demand, _)| demand.policy.name()).collect();
    let away = refusals.clone().all(|(_, standing)| standing.verdict == Verdict::Unavailable);
    let retry = refusals.filter_map(|(_, standing)| standing.verdict.retry_after()).max();
    let (problem, retry, detail) = if away {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "limits cannot be checked now").of_type(
            "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
            "Request cannot be satisfied due to temporary server capacity constraints",
        );
        (problem, Some(AWAY), Detail::LimitsUnavailable)
    } else {
        let detail = format!("over the limit: {}", names.join(", "));
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).of_type(
            "https://iana.org/assignments/http-problem-types#quota-exceeded",
            "Request cannot be satisfied as assigned quota has been exceeded",
        );
        (problem, retry, Detail::RateLimited)
    };
    let mut response = problem.with("violated-policies", names).into_response();
    if let Some(retry) = retry {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(rate_limit::seconds(retry).max(1)));
    }
    Answer { response, status: CacheStatus::default().because(detail) }
}

/// Makes a body that keeps the leases `held` until it ends or is dropped.
fn holding<E: Env>(env: &E, every: Duration, held: Vec<Held>, body: Body) -> Body {
    // Content in memory has left the origin, which is not working on this request any more.
    if held.is_empty() || !matches!(body, Body::Stream(_)) {
        return body;
    }
    let (length, env) = (body.length(), env.clone());
    let holding = Holding { body, held, renewal: renewal(env.clone(), every) };
    let pieces = futures_util::stream::unfold(holding, move |mut holding| {
        let env = env.clone();
        async move {
            let piece = holding.next(&env, every).await?;
            Some((piece, holding))
        }
    });
    Body::from_pieces(length, pieces)
}

struct Holding {
    body: Body,
    held: Vec<Held>,
    renewal: Pin<Box<dyn Future<Output = ()>>>,
}

fn renewal<E: Env>(env: E, every: Duration) -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async move { env.sleep(every).await })
}

impl Holding {
    async fn next<E: Env>(&mut self, env: &E, every: Duration) -> Option<Result<Bytes, BodyError>> {
        loop {
            match select(pin!(self.body.chunk()), self.renewal.as_mut()).await {
                Either::Left((piece, _)) => return piece,
                Either::Right(_) => self.held.iter().for_each(Held::renew),
            }
            self.renewal = renewal(env.clone(), every);
        }
    }
}
