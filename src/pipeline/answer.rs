//! Answers: from a stored response, from one that another request is fetching, and our own.

use super::Incoming;
use super::collapse::Follow;
use super::resume::{self, Stored};
use super::selected;
use super::session;
use super::want::Want;
use crate::app::App;
use crate::body::Body;
use crate::cache::entry::{Content, Entry};
use crate::cache::lease::FlightFailure;
use crate::cache::pieces::{self, Following};
use crate::cache::range::accept;
use crate::cache::respond::{self, Send};
use crate::config::Shown;
use crate::env::{Env, UpstreamError};
use crate::field::cache_status::{CacheStatus, Detail};
use crate::metrics::{self, Series, Timed};
use crate::problem::Problem;
use crate::time::{Instant, Timestamp};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Response, StatusCode};
use std::fmt::Display;
use std::rc::{Rc, Weak};

/// An answer, and what `Cache-Status` says of it.
pub(super) struct Answer {
    pub(super) response: Response<Body>,
    pub(super) status: CacheStatus,
}

/// Makes the answer from a response that another request is fetching.
pub(super) fn following<E: Env>(
    want: &Want<'_, E>,
    follow: Follow,
    mut status: CacheStatus,
    now: Timestamp,
) -> Answer {
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
    let (store, resource) = (Rc::clone(&want.shared.store), want.key.clone());
    let following = Following { store, resource, flight, token, body, fetch: Weak::new() };
    headers.remove(CONTENT_LENGTH);
    let content = match (send, declared) {
        (Send::Content, Some(length)) => {
            let body = following.into_body(declared);
            resume::guarded(want, Stored::whole(&headers, length), body)
        }
        (Send::Content, None) => following.into_body(None),
        (Send::HeadOnly, _) => Body::Empty,
    };
    if let (Some(length), Send::Content) = (declared, send) {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    if code != entry.status {
        status = status.made_of(entry.status);
    }
    assembled(code, headers, content, status)
}

/// Makes the answer from a stored response.
pub(super) fn answer<E: Env>(
    want: &Want<'_, E>,
    mut entry: Entry,
    status: CacheStatus,
    now: Timestamp,
) -> Answer {
    let (code, mut headers, send) =
        respond::head(&want.incoming.method, &want.incoming.headers, &mut entry, now);
    if code == StatusCode::OK {
        accept(&mut headers);
        if let Some(response) = selected::of_stored(want, &mut headers, &entry.content) {
            return Answer { response, status };
        }
    }
    let body = match send {
        Send::Content => {
            let length = entry.content.length();
            let body = pieces::content(&want.shared.store, want.key.clone(), entry.content);
            resume::guarded(want, Stored::whole(&headers, length), body)
        }
        Send::HeadOnly => Body::Empty,
    };
    assembled(code, headers, body, status)
}

pub(super) fn assembled(code: StatusCode, headers: HeaderMap, body: Body, status: CacheStatus) -> Answer {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    *response.headers_mut() = headers;
    Answer { response, status }
}

/// Finishes every answer: removes what no response may have, and adds `Cache-Status`, as far as the client may see it.
pub(super) fn respond<E: Env>(
    app: &App<E>,
    answer: Answer,
    shown: Shown,
    key: Option<&str>,
) -> Response<Body> {
    let Answer { mut response, status } = answer;
    session::strip(app, response.headers_mut());
    // RFC 9110 §8.6: none "in any response with a status code of 1xx (Informational) or 204 (No Content)".
    if response.status() == StatusCode::NO_CONTENT {
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    if shown != Shown::Nothing {
        status.write(response.headers_mut(), app.config.name.as_str(), key);
    }
    response
}

/// Answers that the origin gave no response.
pub(super) fn upstream_failed<E: Env>(
    app: &App<E>,
    incoming: &Incoming,
    error: &UpstreamError,
) -> Response<Body> {
    log_failure(app, incoming, error);
    let problem = match FlightFailure::of(error) {
        Some(failure) => failure.problem(),
        None => Problem::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "the header fields of the request are too large to be forwarded",
        ),
    };
    problem.into_response()
}

/// Logs why the origin gave no response. The text of the error names the origin, which clients must not learn.
pub(super) fn log_failure<E: Env>(app: &App<E>, incoming: &Incoming, error: impl Display) {
    app.env.log(&format!("{} {}: {error}", incoming.method, incoming.uri.path()));
}

/// RFC 9111 §5.2.1.7: "SHOULD respond with a 504 (Gateway Timeout) status code".
pub(super) fn unsatisfiable() -> Answer {
    let problem = Problem::new(
        StatusCode::GATEWAY_TIMEOUT,
        "only-if-cached: no stored response can answer the request",
    );
    Answer { response: problem.into_response(), status: CacheStatus::default().because(Detail::OnlyIfCached) }
}

/// Counts a request in this instance; Redis gets the counts later.
pub(super) fn count<E: Env>(app: &App<E>, route: usize, answer: &Answer, began: Instant) {
    let outcome = metrics::outcome(answer.response.status(), &answer.status);
    app.metrics.count(Series::Requests(route, outcome));
    app.metrics.time(Timed::Response(outcome), app.env.instant().since(began));
    if answer.status.stored {
        app.metrics.count(Series::Stored);
    }
}
