//! Requests that end at the gateway: those that passed through it before, that concern no resource of the origin, or that
//! have reached the end of their `Max-Forwards`.

use super::Incoming;
use super::answer::Answer;
use crate::app::App;
use crate::body::Body;
use crate::env::Env;
use crate::field::cache_status::{CacheStatus, Detail, Forward};
use crate::field::{forward, max_forwards};
use crate::problem::Problem;
use crate::role::Role;
use http::{Method, Response, StatusCode};

/// Returns the answer to a request that ends here; `None` if it goes on. A middleware is no separate hop from the component
/// behind it, and lets everything through.
pub(super) fn here<E: Env>(app: &App<E>, incoming: &Incoming) -> Option<Answer> {
    if app.role != Role::Gateway {
        return None;
    }
    if forward::loops(&incoming.headers, app.config.name.as_str()) {
        return Some(loop_detected());
    }
    let (response, detail) = final_recipient(incoming)?;
    Some(Answer { response, status: CacheStatus::default().because(detail) })
}

fn loop_detected() -> Answer {
    let response = refused(
        StatusCode::LOOP_DETECTED,
        "this request has already passed through this cache: the origin sends requests back to it",
    );
    Answer { response, status: CacheStatus::forward(Forward::Bypass).because(Detail::Loop) }
}

/// Answers as the final recipient where this cache is it or has to stand in for it, and why.
fn final_recipient(incoming: &Incoming) -> Option<(Response<Body>, Detail)> {
    let method = &incoming.method;
    if *method == Method::CONNECT {
        // RFC 9110 §9.3.6 is about proxies: a gateway has no tunnels.
        return Some((
            refused(StatusCode::NOT_IMPLEMENTED, "this cache does not support tunnels"),
            Detail::Connect,
        ));
    }
    if incoming.uri.path() == "*" {
        // The server as a whole (RFC 9110 §9.3.7), which to clients is this one. Components cannot send such a request.
        return Some((
            options(method, StatusCode::BAD_REQUEST, "the request target * is only for OPTIONS"),
            Detail::ServerWide,
        ));
    }
    // RFC 9110 §7.6.2: with a value of zero an intermediary "MUST NOT forward the request; instead, the intermediary MUST
    // respond as the final recipient".
    let is_last = max_forwards::left(method, &incoming.headers) == Some(0);
    let trace = "this cache does not answer TRACE requests";
    is_last.then(|| (options(method, StatusCode::NOT_IMPLEMENTED, trace), Detail::MaxForwards))
}

/// OPTIONS has an empty answer; another method is refused.
fn options(method: &Method, status: StatusCode, detail: &str) -> Response<Body> {
    if *method != Method::OPTIONS {
        return refused(status, detail);
    }
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn refused(status: StatusCode, detail: &str) -> Response<Body> {
    Problem::new(status, detail).into_response()
}
