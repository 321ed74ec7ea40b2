//! Answers of our API.

use crate::body::Body;
use crate::problem::Problem;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

/// The result of an endpoint: an answer or a problem.
pub(super) type Outcome = Result<Response<Body>, Problem>;

/// Makes an answer in JSON, which no cache stores.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let text = serde_json::to_vec(value).unwrap_or_default();
    typed(status, "application/json", text)
}

/// Makes an answer of this media type, which no cache stores.
pub(super) fn typed(
    status: StatusCode,
    media_type: &'static str,
    content: impl Into<Body>,
) -> Response<Body> {
    let mut response = Response::new(content.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Makes a 204, which no cache stores.
pub(super) fn empty() -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
