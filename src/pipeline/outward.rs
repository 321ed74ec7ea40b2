//! What a route changes in its answers, wherever they come from.

use super::Answer;
use crate::cache::freshness::age_value;
use crate::config::RoutePolicy;
use crate::field::list;
use http::header::{CACHE_CONTROL, EXPIRES, PRAGMA};
use http::{HeaderMap, HeaderValue};
use std::time::Duration;

/// Removes the fields that clients must not see, and sets how long clients may keep a shared response.
pub(super) fn adjust(route: &RoutePolicy, mut answer: Answer) -> Answer {
    let RoutePolicy::Cache(policy) = route else { return answer };
    let headers = answer.response.headers_mut();
    for name in &policy.rules.strip_response {
        headers.remove(name);
    }
    let shared = answer.status.hit || answer.status.stored || answer.status.collapsed;
    if let Some(ttl) = policy.rules.client_ttl.filter(|_| shared) {
        tell(headers, ttl);
    }
    answer
}

/// The directives about how long a response may be used.
const LIFETIMES: [&str; 4] = ["max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"];

/// Replaces what the response says about its lifetime. `max-age` counts from when it was generated (RFC 9111 §4.2), so
/// its age is added. All other directives stay.
fn tell(headers: &mut HeaderMap, ttl: Duration) {
    let age = age_value(headers);
    let is_lifetime = |member: &&str| {
        let name = member.split('=').next().unwrap_or_default().trim();
        LIFETIMES.iter().any(|known| name.eq_ignore_ascii_case(known))
    };
    let lifetime = format!("max-age={}", age.saturating_add(ttl.as_secs()));
    // Bytes that are not UTF-8 must not take the other directives of their line away.
    let lines = headers.get_all(CACHE_CONTROL).iter();
    let lines: Vec<_> = lines.map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
    let kept = lines.iter().flat_map(|line| list::split(line)).filter(|member| !is_lifetime(member));
    let stale = if ttl.is_zero() { Some("no-cache") } else { None };
    let all: Vec<&str> = kept.chain(stale).chain([lifetime.as_str()]).collect();
    let value = HeaderValue::try_from(all.join(", "));
    for name in [EXPIRES, PRAGMA, CACHE_CONTROL] {
        headers.remove(name);
    }
    if let Ok(value) = value {
        headers.insert(CACHE_CONTROL, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lifetime_counts_from_now_and_the_rest_stays() {
        let told = |lines: &[(&'static str, &'static str)], seconds| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(*name, HeaderValue::from_static(value));
            }
            tell(&mut headers, Duration::from_secs(seconds));
            assert!(!headers.contains_key(EXPIRES));
            headers[CACHE_CONTROL].to_str().unwrap().to_owned()
        };
        let cache_control =
            ("cache-control", "public, S-MaxAge=9, max-age=5, no-transform, x=\"max-age=1, y\"");
        assert_eq!(
            told(&[cache_control, ("age", "30")], 60),
            "public, no-transform, x=\"max-age=1, y\", max-age=90"
        );
        assert_eq!(told(&[("expires", "0"), ("age", "7")], 0), "no-cache, max-age=7");
        assert_eq!(told(&[("age", "100, 0")], 1), "max-age=101");
        assert_eq!(told(&[("cache-control", "no-cache")], 60), "no-cache, max-age=60");
    }
}
