//! The reserved paths below `/_spindrift/`.
//!
//! Health checks and the description of the API are public. Everything else requires the management token, except
//! streams of topics, which may be read with a token signed for them.

mod auth;
mod batch;
mod call;
mod channels;
mod cors;
mod dashboard;
mod failures;
mod gauges;
mod health;
mod idempotency;
mod limits;
mod locks;
mod openapi;
mod purge;
mod queue;
mod reply;
mod routes;
mod seconds;
mod session;
mod stats;
mod values;
mod warm;

use crate::app::App;
use crate::body::Body;
use crate::env::Env;
use crate::pipeline::{Admission, Incoming};
use crate::problem::Problem;
use call::Call;
pub(crate) use failures::NAME as FAILURES;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, LOCATION, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Response, StatusCode};
use reply::Outcome;
use std::rc::Rc;

/// The prefix of our own paths.
pub const PREFIX: &str = "/_spindrift/";

/// Returns whether a path is one of ours.
#[must_use]
pub fn is_reserved(path: &str) -> bool {
    path.starts_with(PREFIX) || path == "/_spindrift"
}

/// Answers a request to one of our paths.
pub async fn serve<E: Env>(app: &Rc<App<E>>, incoming: Incoming) -> Response<Body> {
    let rule = cors::Rule::new(&app.config.api.allow_origins, &incoming.headers);
    let is_head = incoming.method == Method::HEAD;
    let is_probe = incoming.uri.path().starts_with("/_spindrift/health");
    let response = if is_probe {
        answer(app, incoming, &rule).await
    } else {
        Admission::of_api(app, incoming, async |incoming| answer(app, incoming, &rule).await).await
    };
    finished(rule.allow(response), is_head)
}

async fn answer<E: Env>(app: &Rc<App<E>>, incoming: Incoming, rule: &cors::Rule) -> Response<Body> {
    let client = incoming.visitor;
    let with_token = auth::is_tried(&incoming);
    let result = match Call::new(app, incoming) {
        Ok((call, segments)) => {
            let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
            routed(call, &segments, rule).await
        }
        Err(problem) => Err(problem),
    };
    let response = result.unwrap_or_else(Problem::into_response);
    if with_token && response.status() == StatusCode::UNAUTHORIZED {
        return failures::count(app, client, response).await;
    }
    response
}

/// Adds the fields that all answers have.
fn finished(mut response: Response<Body>, is_head: bool) -> Response<Body> {
    let length = response.body().length();
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.entry(X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    if is_head {
        if let Some(length) = length.filter(|length| *length > 0) {
            headers.entry(CONTENT_LENGTH).or_insert(length.into());
        }
        *response.body_mut() = Body::Empty;
    }
    response
}

/// Dispatches by path and method. Without a token it does not reveal which paths and methods exist, unless they are public.
async fn routed<E: Env>(mut call: Call<'_, E>, segments: &[&str], rule: &cors::Rule) -> Outcome {
    if call.incoming.uri.path() == "/_spindrift" {
        return Ok(to_dashboard());
    }
    let methods = routes::methods(segments);
    let method = call.incoming.method.clone();
    if method == Method::OPTIONS && !methods.is_empty() {
        return Ok(options(&call, segments, &methods.join(", "), rule));
    }
    let is_there = methods.contains(&method.as_str());
    if !is_there && matches!(segments, ["v1", ..]) {
        call.authorised()?;
    }
    if !is_there {
        let nothing = methods.is_empty();
        return if nothing {
            Err(nothing_here(&call))
        } else {
            Ok(not_allowed(&methods.join(", "), &method))
        };
    }
    // A value has its own answer to HEAD.
    if method == Method::HEAD && !matches!(segments, ["v1", "cache", ..]) {
        call.incoming.method = Method::GET;
    }
    dispatch(call, segments).await
}

/// 405 with the allowed methods.
fn not_allowed(methods: &str, found: &Method) -> Response<Body> {
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("expected {methods}, found {found}"));
    with_allow(problem.into_response(), methods)
}

fn with_allow(mut response: Response<Body>, methods: &str) -> Response<Body> {
    response.headers_mut().extend(HeaderValue::from_str(methods).map(|methods| (ALLOW, methods)));
    response
}

/// Answers `OPTIONS` (RFC 9110 §9.3.7), including preflights.
fn options<E: Env>(
    call: &Call<'_, E>,
    segments: &[&str],
    methods: &str,
    rule: &cors::Rule,
) -> Response<Body> {
    let headers = &call.incoming.headers;
    if cors::is_preflight(headers) {
        if rule.allows() {
            let fields = "authorization, cache-tag, content-type, idempotency-key, if-match, if-none-match, \
                          last-event-id";
            return rule.preflight(methods, fields);
        }
        // Pages may read streams with a token in a field or in the query. They may not publish: that requires the
        // management token, which no page should have.
        let of_streams = cors::Rule::new(&call.app.config.topics.allow_origins, headers);
        if matches!(segments, ["v1", "channels", _]) {
            return with_allow(of_streams.preflight("GET", "authorization, last-event-id"), methods);
        }
    }
    with_allow(rule.allow(reply::empty()), methods)
}

/// 308 to the path of the dashboard, which ends with a slash.
fn to_dashboard() -> Response<Body> {
    let mut response = reply::empty();
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(LOCATION, HeaderValue::from_static(PREFIX));
    response
}

async fn dispatch<E: Env>(call: Call<'_, E>, segments: &[&str]) -> Outcome {
    let method = call.incoming.method.clone();
    match segments {
        [""] => dashboard::page(&call),
        ["health"] => Ok(health::instance()),
        ["health", "redis"] => Ok(health::redis(call.app).await),
        ["openapi.json"] => Ok(openapi::document()),
        ["stats"] => {
            call.authorised()?;
            stats::json(call).await
        }
        ["metrics"] => {
            call.authorised()?;
            stats::prometheus(call).await
        }
        // A stream may be read with a token of its own.
        ["v1", "channels", rest @ ..] => channels::serve(call, rest, method).await,
        ["v1", rest @ ..] => {
            call.authorised()?;
            version_1(call, rest, method).await
        }
        _ => Err(nothing_here(&call)),
    }
}

async fn version_1<E: Env>(call: Call<'_, E>, segments: &[&str], method: Method) -> Outcome {
    match (segments, method) {
        (["purge"], Method::POST) => purge::purge(call).await,
        (["warm"], Method::POST) => warm::serve(call).await,
        (["limits", rest @ ..], method) => limits::serve(call, rest, method).await,
        (["queues:tick"], Method::POST) => queue::tick(call).await,
        (["queues", rest @ ..], method) => queue::serve(call, rest, method).await,
        (["sessions" | "sessions:verify", ..] | ["users", _, "sessions"], method) => {
            session::serve(call, segments, method).await
        }
        (["cache"], Method::DELETE) => values::invalidate(call).await,
        (["cache", key @ ..], method) => values::one(call, &key.join("/"), method).await,
        (["cache:batch"], Method::POST) => batch::batch(call).await,
        (["locks", name], method) => locks::lock(call, name, method).await,
        (["fences", resource, "check"], Method::POST) => locks::check(call, resource).await,
        (["channels:token"], Method::POST) => channels::token(call).await,
        _ => Err(nothing_here(&call)),
    }
}

fn nothing_here<E: Env>(call: &Call<'_, E>) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("there is nothing at {}", call.incoming.uri.path()))
}
