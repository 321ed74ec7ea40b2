//! `Cache-Status` (RFC 9211): how this cache handled the request.

mod detail;

pub use detail::Detail;

use super::forward::append_member;
use http::{HeaderMap, HeaderName, StatusCode};
use std::fmt::Write as _;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Why a request was forwarded (RFC 9211 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// The cache was configured not to handle the request.
    Bypass,
    /// The method of the request requires it.
    Method,
    /// Nothing is stored for the URI.
    UriMiss,
    /// Something is stored for the URI, but nothing that the request's fields select.
    VaryMiss,
    /// The stored response is fresh, but the request demands more.
    Request,
    /// The stored response is stale.
    Stale,
    /// Parts are stored, but not all of the requested bytes.
    Partial,
}

impl Forward {
    const fn token(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

/// How one request was handled. Every answer carries one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStatus {
    /// Whether it was answered without being forwarded.
    pub hit: bool,
    /// Why it was forwarded.
    pub forward: Option<Forward>,
    /// The status code of the response to the forwarded request, where it differs from the client's.
    pub forward_status: Option<u16>,
    /// Whether the response is being stored.
    pub stored: bool,
    /// Whether another request was forwarded, whose response answers this one, too.
    pub collapsed: bool,
    /// The seconds of freshness left; negative when stale.
    pub ttl: Option<i64>,
    /// More about it: why it was not stored, or what failed.
    pub detail: Option<Detail>,
}

impl CacheStatus {
    /// A request answered from the store, fresh for `ttl` more seconds.
    #[must_use]
    pub fn hit(ttl: i64) -> Self {
        Self { hit: true, ttl: Some(ttl), ..Self::default() }
    }

    /// A request answered with the response to another one, fresh for `ttl` more seconds.
    #[must_use]
    pub fn collapsed(reason: Forward, ttl: i64) -> Self {
        Self { forward: Some(reason), collapsed: true, ttl: Some(ttl), ..Self::default() }
    }

    /// A request forwarded because of `reason`.
    #[must_use]
    pub fn forward(reason: Forward) -> Self {
        Self { forward: Some(reason), ..Self::default() }
    }

    /// Adds the status code with which the origin answered, where the client gets another: without `fwd-status` both would be
    /// taken to be the same (RFC 9211 §2.3).
    #[must_use]
    pub const fn made_of(mut self, code: StatusCode) -> Self {
        if self.forward_status.is_none() {
            self.forward_status = Some(code.as_u16());
        }
        self
    }

    /// Adds a detail.
    #[must_use]
    pub const fn because(mut self, detail: Detail) -> Self {
        self.detail = Some(detail);
        self
    }

    /// Appends our member to the field: the cache closest to the client comes last (RFC 9211 §2). `key` is the key of the
    /// lookup, for clients that may know it (§2.8, §6).
    pub fn write(&self, headers: &mut HeaderMap, name: &str, key: Option<&str>) {
        let mut member = self.member(name);
        if let Some(key) = key {
            member.push_str("; key=");
            push_string(&mut member, key);
        }
        append_member(headers, &CACHE_STATUS, &member);
    }

    fn member(&self, name: &str) -> String {
        let mut member = String::with_capacity(64);
        member.push_str(name);
        if self.hit {
            member.push_str("; hit");
        }
        if let Some(forward) = self.forward {
            let _ = write!(member, "; fwd={}", forward.token());
        }
        if let Some(status) = self.forward_status {
            let _ = write!(member, "; fwd-status={status}");
        }
        if self.stored {
            member.push_str("; stored");
        }
        if self.collapsed {
            member.push_str("; collapsed");
        }
        if let Some(ttl) = self.ttl {
            let _ = write!(member, "; ttl={ttl}");
        }
        if let Some(detail) = self.detail {
            let _ = write!(member, "; detail={detail}");
        }
        member
    }
}

/// Writes a string of structured fields (RFC 9651 §3.3.3). A character that is not visible ASCII, which no URL has, becomes `?`.
fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(if c.is_ascii_graphic() || c == ' ' { c } else { '?' });
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn parameters_stand_in_one_order() {
        let mut status = CacheStatus::forward(Forward::Stale).because(Detail::StaleIfError);
        status.forward_status = Some(503);
        status.ttl = Some(-5);
        assert_eq!(
            status.member("spindrift"),
            "spindrift; fwd=stale; fwd-status=503; ttl=-5; detail=stale-if-error"
        );
        assert_eq!(CacheStatus::hit(30).member("edge"), "edge; hit; ttl=30");
    }

    #[test]
    fn our_member_comes_after_those_of_caches_behind_us() {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_STATUS, HeaderValue::from_static("origin; hit"));
        CacheStatus::forward(Forward::UriMiss).write(&mut headers, "spindrift", None);
        assert_eq!(headers[CACHE_STATUS], "origin; hit, spindrift; fwd=uri-miss");
    }

    #[test]
    fn the_key_is_a_string() {
        let mut headers = HeaderMap::new();
        CacheStatus::hit(1).write(&mut headers, "edge", Some("http://h/a\"b\\\u{e9}\n"));
        assert_eq!(headers[CACHE_STATUS], "edge; hit; ttl=1; key=\"http://h/a\\\"b\\\\??\"");
    }
}
