//! Our own error responses, as problem details (RFC 9457): what was wrong, expected and found. Never a secret.

use crate::body::Body;
use crate::redis::RedisError;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};

/// An error response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    field: Option<(HeaderName, &'static str)>,
    members: serde_json::Map<String, serde_json::Value>,
}

impl Problem {
    /// Makes a problem of a status code and a sentence about this occurrence.
    #[must_use]
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), field: None, members: serde_json::Map::new() }
    }

    /// Adds a header field that the status code requires, such as `Allow` for 405.
    #[must_use]
    pub fn with_field(mut self, name: HeaderName, value: &'static str) -> Self {
        self.field = Some((name, value));
        self
    }

    /// Adds an extension member (RFC 9457 §3.2).
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<serde_json::Value>) -> Self {
        self.members.insert(member.to_owned(), value.into());
        self
    }

    /// Gives it a registered type in place of `about:blank` (RFC 9457 §3.1.1), with its title.
    #[must_use]
    pub fn of_type(self, uri: &str, title: &str) -> Self {
        self.with("type", uri).with("title", title)
    }

    /// Returns the status code.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the sentence about this occurrence.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Makes the response, `application/problem+json`. Without a type of its own it is `about:blank`, whose title is that
    /// of the status code (RFC 9457 §4.2.1). No cache may store it.
    #[must_use]
    pub fn into_response(self) -> Response<Body> {
        let mut members = self.members;
        let title = self.status.canonical_reason().unwrap_or("Error");
        members.entry("title").or_insert_with(|| title.into());
        members.insert("status".to_owned(), self.status.as_u16().into());
        members.insert("detail".to_owned(), self.detail.into());
        let mut response = Response::new(Body::from(serde_json::Value::Object(members).to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.field.map(|(name, value)| (name, HeaderValue::from_static(value))));
        response
    }
}

impl From<&RedisError> for Problem {
    /// A 503 with a `reason`, and an `outcome` that says whether the operation may have been carried out all the same.
    fn from(error: &RedisError) -> Self {
        let outcome = if error.was_not_carried_out() { "not_done" } else { "unknown" };
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
        problem.with("reason", error.reason()).with("outcome", outcome)
    }
}

impl From<RedisError> for Problem {
    /// As for `&RedisError`.
    fn from(error: RedisError) -> Self {
        Self::from(&error)
    }
}
