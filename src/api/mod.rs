//! The reserved paths below `/_spindrift/`.
//!
//! Health and the description of the API are for everybody. Everything else needs the management token, but
//! for streams of topics, which may be read with a token signed for them.

mod auth;
mod batch;
mod call;
mod channels;
mod health;
mod limits;
mod locks;
mod openapi;
mod purge;
mod queue;
mod reply;
mod seconds;
mod session;
mod stats;
mod values;
mod warm;

use crate::app::App;
use crate::body::Body;
use crate::env::Env;
use crate::pipeline::Incoming;
use crate::problem::Problem;
use call::{Call, method_not_allowed};
use http::{Method, Response, StatusCode};
use reply::Outcome;
use std::rc::Rc;

/// The prefix of our own paths.
pub const PREFIX: &str = "/_spindrift/";

/// Whether a path is one of ours.
#[must_use]
pub fn is_reserved(path: &str) -> bool {
    path.starts_with(PREFIX) || path == "/_spindrift"
}

/// Answers a request to one of our paths.
pub async fn serve<E: Env>(app: &Rc<App<E>>, incoming: Incoming) -> Response<Body> {
    let result = match Call::new(app, incoming) {
        Ok((call, segments)) => {
            let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
            dispatch(call, &segments).await
        }
        Err(problem) => Err(problem),
    };
    result.unwrap_or_else(Problem::into_response)
}

async fn dispatch<E: Env>(call: Call<'_, E>, segments: &[&str]) -> Outcome {
    let method = call.incoming.method.clone();
    match (segments, method) {
        (["health"], Method::GET) => Ok(health::instance()),
        (["health", "redis"], Method::GET) => Ok(health::redis(call.app).await),
        (["openapi.json"], Method::GET) => Ok(openapi::document()),
        (["health" | "openapi.json"] | ["health", "redis"] | ["stats" | "metrics"], method)
            if method != Method::GET =>
        {
            Err(method_not_allowed("GET"))
        }
        (["stats"], _) => {
            call.authorised()?;
            stats::json(call).await
        }
        (["metrics"], _) => {
            call.authorised()?;
            stats::prometheus(call).await
        }
        // A stream may be read with a token of its own.
        (["v1", "channels", rest @ ..], method) => channels::serve(call, rest, method).await,
        (["v1", rest @ ..], method) => {
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
        (["queues:tick"], method) => queue::tick(call, method).await,
        (["queues", rest @ ..], method) => queue::serve(call, rest, method).await,
        (["sessions" | "sessions:verify", ..] | ["users", _, "sessions"], method) => {
            session::serve(call, segments, method).await
        }
        (["cache"], method) => values::invalidate(call, method).await,
        (["cache", key @ ..], method) => values::one(call, &key.join("/"), method).await,
        (["cache:batch"], Method::POST) => batch::batch(call).await,
        (["cache:batch"], _) => Err(method_not_allowed("POST")),
        (["locks", name], method) => locks::lock(call, name, method).await,
        (["fences", resource, "check"], Method::POST) => locks::check(call, resource).await,
        (["fences", _, "check"], _) => Err(method_not_allowed("POST")),
        (["channels:token"], Method::POST) => channels::token(call).await,
        (["purge" | "warm" | "channels:token"], _) => Err(method_not_allowed("POST")),
        _ => Err(nothing_here(&call)),
    }
}

fn nothing_here<E: Env>(call: &Call<'_, E>) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("there is nothing at {}", call.incoming.uri.path()))
}
