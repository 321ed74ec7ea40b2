//! Streams for pages of other origins (Fetch Standard §3.3), where the configuration names them.

use crate::api::call::Call;
use crate::api::reply;
use crate::body::Body;
use crate::env::Env;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderValue, Response};

/// What the origin of one request may do. Credentials (cookies) play no part: tokens say who reads.
pub(super) struct Rule {
    allowed: Option<HeaderValue>,
    depends: bool,
}

/// Whether the request asks what a page may do. Without configured origins there is no such question.
pub(super) fn is_preflight<E: Env>(call: &Call<'_, E>) -> bool {
    let headers = &call.incoming.headers;
    !call.app.config.topics.allow_origins.is_empty()
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

impl Rule {
    /// The rule for the origin of a request.
    pub(super) fn of<E: Env>(call: &Call<'_, E>) -> Self {
        Self::new(&call.app.config.topics.allow_origins, call.incoming.headers.get(ORIGIN))
    }

    fn new(origins: &[String], origin: Option<&HeaderValue>) -> Self {
        if origins.iter().any(|allowed| allowed == "*") {
            return Self { allowed: Some(HeaderValue::from_static("*")), depends: false };
        }
        let named =
            |origin: &&HeaderValue| origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes());
        Self { allowed: origin.filter(named).cloned(), depends: !origins.is_empty() }
    }

    /// The response, readable for the page.
    pub(super) fn allow(&self, mut response: Response<Body>) -> Response<Body> {
        let headers = response.headers_mut();
        if self.depends {
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        if let Some(allowed) = &self.allowed {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed.clone());
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("last-event-id"));
        }
        response
    }

    /// The answer to a preflight: pages may read, with a token in a field or in the query. They may not
    /// publish: that takes the management token, which no page should have.
    pub(super) fn preflight(&self) -> Response<Body> {
        let mut response = self.allow(reply::empty());
        let headers = response.headers_mut();
        if self.allowed.is_some() {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET"));
            headers.insert(
                ACCESS_CONTROL_ALLOW_HEADERS,
                HeaderValue::from_static("authorization, last-event-id"),
            );
            headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(origins: &[&str], origin: Option<&'static str>) -> (Option<HeaderValue>, bool) {
        let origins: Vec<String> = origins.iter().map(|&origin| origin.to_owned()).collect();
        let origin = origin.map(HeaderValue::from_static);
        let rule = Rule::new(&origins, origin.as_ref());
        (rule.allowed, rule.depends)
    }

    #[test]
    fn only_configured_origins_are_allowed() {
        let (a, b) = (Some("https://a.example"), Some("https://b.example"));
        assert_eq!(allowed(&[], a), (None, false));
        assert_eq!(allowed(&["https://a.example"], a), (a.map(HeaderValue::from_static), true));
        assert_eq!(allowed(&["https://a.example"], b), (None, true));
        assert_eq!(allowed(&["https://a.example"], Some("null")), (None, true));
        assert_eq!(allowed(&["https://a.example"], None), (None, true));
        assert_eq!(allowed(&["https://a.example", "*"], b), (Some(HeaderValue::from_static("*")), false));
    }
}
