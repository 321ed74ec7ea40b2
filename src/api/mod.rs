//! The reserved paths below `/_spindrift/`.

mod auth;

use crate::app::{App, Shared};
use crate::body::{Body, CollectError};
use crate::env::Env;
use crate::pipeline::Incoming;
use crate::problem::Problem;
use crate::purge::Purge;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};
use serde_json::json;

/// The prefix of our own paths.
pub const PREFIX: &str = "/_spindrift/";

/// The largest request content of the management API, in bytes.
const MAX_CONTENT: usize = 1024 * 1024;

/// Whether a path is one of ours.
#[must_use]
pub fn is_reserved(path: &str) -> bool {
    path.starts_with(PREFIX) || path == "/_spindrift"
}

/// Answers a request to one of our paths.
pub async fn serve<E: Env>(app: &App<E>, incoming: Incoming) -> Response<Body> {
    let path = incoming.uri.path().strip_prefix(PREFIX).unwrap_or_default().to_owned();
    let result = match (path.as_str(), &incoming.method) {
        ("health", &Method::GET) => Ok(health()),
        ("health/redis", &Method::GET) => Ok(redis_health(app).await),
        ("stats", &Method::GET) => stats(app, &incoming).await,
        ("v1/purge", &Method::POST) => purge(app, incoming).await,
        ("health" | "health/redis" | "stats", _) => Err(method_not_allowed("GET")),
        ("v1/purge", _) => Err(method_not_allowed("POST")),
        _ => Err(Problem::new(StatusCode::NOT_FOUND, format!("there is nothing at {PREFIX}{path}"))),
    };
    result.unwrap_or_else(Problem::into_response)
}

type Outcome = Result<Response<Body>, Problem>;

fn method_not_allowed(allowed: &'static str) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("expected {allowed}")).with_field(ALLOW, allowed)
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The instance runs.
fn health() -> Response<Body> {
    json(StatusCode::OK, &json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

/// Redis answers.
async fn redis_health<E: Env>(app: &App<E>) -> Response<Body> {
    let Some(shared) = &app.shared else {
        return json(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": "disabled"}));
    };
    let started = app.env.now();
    match shared.redis.call("PING", Vec::new()).await {
        Ok(_) => {
            let took = app.env.now().since(started).as_millis();
            json(
                StatusCode::OK,
                &json!({"status": "ok", "latency_ms": u64::try_from(took).unwrap_or(u64::MAX)}),
            )
        }
        Err(error) => {
            json(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": "unavailable", "reason": error.reason()}))
        }
    }
}

async fn stats<E: Env>(app: &App<E>, incoming: &Incoming) -> Outcome {
    auth::check(app, incoming)?;
    let counters = shared(app)?.channel.counters().await.map_err(|error| unavailable(&error))?;
    let counters: serde_json::Map<_, _> =
        counters.into_iter().map(|(name, value)| (name, value.into())).collect();
    Ok(json(StatusCode::OK, &json!({"counters": counters})))
}

/// Purges at once, then announces it.
async fn purge<E: Env>(app: &App<E>, incoming: Incoming) -> Outcome {
    auth::check(app, &incoming)?;
    let shared = shared(app)?;
    let content = incoming.body.collect(MAX_CONTENT).await.map_err(|error| unreadable(&error))?;
    let purge: Purge = serde_json::from_slice(&content).map_err(|error| {
        let form = r#"{"urls":[],"tags":[],"patterns":[],"prefixes":[],"soft":false}"#;
        Problem::new(StatusCode::BAD_REQUEST, format!("expected {form}: {error}"))
    })?;
    let targets = purge.targets().map_err(|problems| {
        Problem::new(StatusCode::BAD_REQUEST, "the purge names something it cannot").with("errors", problems)
    })?;
    let report = shared.purger.purge(&targets, purge.soft).await.map_err(|error| unavailable(&error))?;
    let announced = shared.channel.announce_purge(&purge).await;
    if let Err(error) = &announced {
        app.env.log(&format!("a purge was done but not announced: {error}"));
    }
    Ok(json(
        StatusCode::OK,
        &json!({"urls": report.urls, "ledger": report.ledger, "message": announced.ok()}),
    ))
}

fn shared<E: Env>(app: &App<E>) -> Result<&Shared<E>, Problem> {
    app.shared.as_ref().ok_or_else(|| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Redis is switched off: redis_enabled is false")
    })
}

fn unavailable(error: &crate::redis::RedisError) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()).with("reason", error.reason())
}

fn unreadable(error: &CollectError) -> Problem {
    let status = match error {
        CollectError::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        CollectError::Broken(_) => StatusCode::BAD_REQUEST,
    };
    Problem::new(status, error.to_string())
}
