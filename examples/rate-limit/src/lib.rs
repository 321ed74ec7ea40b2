//! An API whose callers have keys, and may use as much of it as the plan of their key allows.
//!
//! | request | cost |
//! |---|---|
//! | `GET /search` | 1 unit |
//! | `GET /export` | 5 units |
//!
//! | `X-Api-Key` | plan |
//! |---|---|
//! | `demo-free` | 10 units in any minute, counted exactly |
//! | `demo-paid` | 600 units per minute, at most 60 at once |

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use spin_sdk::wasip3;
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{self, ErrorCode};
use spindrift::body::Body;
use spindrift::field::rate_limit;
use spindrift::limit::{Algorithm, Decision, Demand, Mode, Policy, Quota};
use spindrift::problem::Problem;
use std::fmt::Display;
use std::num::NonZeroU32;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

struct Search;

wasip3::http::service::export!(Search);

impl Guest for Search {
    async fn handle(request: types::Request) -> Result<types::Response, ErrorCode> {
        // Rather than `#[http_service]`, which hands the content over later than the head: see `answer`.
        spindrift_adapter::answer(request, serve).await
    }
}

async fn serve(request: Request<Body>) -> Result<Response<Body>, Problem> {
    let cost = match request.uri().path() {
        "/search" => 1,
        "/export" => 5,
        _ => return Err(Problem::new(StatusCode::NOT_FOUND, "expected /search or /export")),
    };
    let key = api_key(request.headers())?;
    let policy = policy(key)?;
    let app = spindrift_adapter::app().await?;
    // Redis gets a hash of the key, never the key itself.
    let identity = app.limiter.identifier().of_caller(&[key.to_owned()]);
    let decision = app.limiter.check(&[Demand { policy: &policy, identity: &identity, cost }]).await;
    let mut response = if decision.allowed {
        Response::new(Body::from(format!("{} found something\n", request.uri().path())))
    } else {
        refused(&policy, &decision)
    };
    rate_limit::write(response.headers_mut(), decision.standings.iter().map(|its| (&policy, its)));
    Ok(response)
}

fn api_key(headers: &HeaderMap) -> Result<&str, Problem> {
    let key = headers.get("x-api-key").and_then(|key| key.to_str().ok());
    key.ok_or_else(|| Problem::new(StatusCode::UNAUTHORIZED, "expected a key in X-Api-Key, found none"))
}

/// The plan of a key. Only known keys are counted, because anybody can make up others.
fn policy(key: &str) -> Result<Policy, Problem> {
    let number = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    let policy = match key {
        "demo-free" => {
            let quota = Quota::new(number(10), MINUTE).map_err(|error| wrong(&error))?;
            Policy::new("free", Algorithm::Log, quota)
        }
        "demo-paid" => {
            let quota = Quota::new(number(600), MINUTE).and_then(|quota| quota.with_burst(number(60)));
            Policy::new("paid", Algorithm::Gcra, quota.map_err(|error| wrong(&error))?)
        }
        _ => {
            return Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "expected a key that is known, found another",
            ));
        }
    };
    // While Redis is unavailable, each of four instances allows a quarter of the plan.
    let mode = Mode::Local { instances: number(4) };
    Ok(policy.map_err(|error| wrong(&error))?.with_mode(mode))
}

fn refused(policy: &Policy, decision: &Decision) -> Response<Body> {
    let detail = format!("the limit of the plan {:?} is reached", policy.name());
    let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, detail)
        .of_type("https://iana.org/assignments/http-problem-types#quota-exceeded", "Quota exceeded")
        .with("violated-policies", vec![policy.name().to_owned()]);
    let mut response = problem.into_response();
    if let Some(wait) = decision.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(rate_limit::seconds(wait)));
    }
    response
}

fn wrong(error: &dyn Display) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}
