//! Access to the API for pages of other origins (Fetch Standard §3.3), if the configuration allows them.

use super::reply;
use crate::body::Body;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Response};

/// The response fields that pages may read besides those that they always may.
const EXPOSED: &str = "allow, cache-status, cache-tag, etag, last-event-id, location, ratelimit, ratelimit-policy, \
                       retry-after, www-authenticate";

/// What the origin of one request may do. Credentials (cookies) are never allowed, and not needed: tokens identify
/// the caller.
pub(super) struct Rule {
    allowed: Option<HeaderValue>,
    depends: bool,
}

/// Returns whether the request is a preflight.
pub(super) fn is_preflight(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

impl Rule {
    /// Makes the rule for a request with these fields, where `origins` are allowed.
    pub(super) fn new(origins: &[String], headers: &HeaderMap) -> Self {
        let origin = headers.get(ORIGIN);
        if origins.iter().any(|allowed| allowed == "*") {
            return Self { allowed: Some(HeaderValue::from_static("*")), depends: false };
        }
        let named =
            |origin: &&HeaderValue| origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes());
        Self { allowed: origin.filter(named).cloned(), depends: !origins.is_empty() }
    }

    /// Returns whether the origin is allowed.
    pub(super) const fn allows(&self) -> bool {
        self.allowed.is_some()
    }

    /// Makes a response readable for the page, if its origin is allowed.
    pub(super) fn allow(&self, mut response: Response<Body>) -> Response<Body> {
        let headers = response.headers_mut();
        if self.depends && !headers.contains_key(VARY) {
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        if let Some(allowed) = &self.allowed {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed.clone());
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        }
        response
    }

    /// Answers a preflight: pages may use these methods, with these fields.
    pub(super) fn preflight(&self, methods: &str, fields: &'static str) -> Response<Body> {
        let mut response = self.allow(reply::empty());
        let headers = response.headers_mut();
        if self.allows() {
            headers.remove(ACCESS_CONTROL_EXPOSE_HEADERS);
            headers.extend(HeaderValue::from_str(methods).map(|it| (ACCESS_CONTROL_ALLOW_METHODS, it)));
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(fields));
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
        let origin = origin.map(|origin| (ORIGIN, HeaderValue::from_static(origin)));
        let rule = Rule::new(&origins, &origin.into_iter().collect());
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
