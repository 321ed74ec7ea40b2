//! `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10): the quota that a client has left.
//!
//! ```text
//! RateLimit-Policy: "per-client";q=100;w=60, "uploads";q=5;qu="concurrent-requests"
//! RateLimit: "per-client";r=42;t=1, "uploads";r=4
//! ```
//! Both are lists of strings with parameters (RFC 9651 §3.1). `t` is "the number of seconds until additional quota
//! associated with the quota policy is made available", rounded up.

use crate::limit::{Algorithm, Policy, Standing, Verdict};
use http::{HeaderMap, HeaderName, HeaderValue};
use sfv::{Integer, KeyRef, ListSerializer, StringRef};
use std::time::Duration;

/// The field with the remaining quotas.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The field with the quota policies.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

const QUOTA: &KeyRef = KeyRef::constant("q");
const UNIT: &KeyRef = KeyRef::constant("qu");
const WINDOW: &KeyRef = KeyRef::constant("w");
const REMAINING: &KeyRef = KeyRef::constant("r");
const MORE_IN: &KeyRef = KeyRef::constant("t");
const CONCURRENT: &StringRef = StringRef::constant("concurrent-requests");

/// Writes both fields, replacing any that are there. A policy whose level is unknown appears in `RateLimit-Policy` only.
pub fn write<'a>(headers: &mut HeaderMap, all: impl Iterator<Item = (&'a Policy, &'a Standing)> + Clone) {
    set(headers, RATE_LIMIT_POLICY, policies(all.clone().map(|(policy, _)| policy)));
    set(headers, RATE_LIMIT, levels(all));
}

fn set(headers: &mut HeaderMap, name: HeaderName, list: Option<String>) {
    match list.and_then(|list| HeaderValue::try_from(list).ok()) {
        Some(list) => headers.insert(name, list),
        None => headers.remove(name),
    };
}

fn policies<'a>(policies: impl Iterator<Item = &'a Policy>) -> Option<String> {
    let mut list = ListSerializer::new();
    for policy in policies {
        let Ok(name) = StringRef::from_str(policy.name()) else { continue };
        let mut item = list.bare_item(name).parameter(QUOTA, Integer::from(policy.quota().limit().get()));
        let period = policy.period();
        if policy.algorithm() == Algorithm::Concurrency {
            item = item.parameter(UNIT, CONCURRENT);
        } else if period.subsec_nanos() == 0 {
            // "Sub-second precision is not supported."
            item = item.parameter(WINDOW, integer(period.as_secs()));
        }
        let _ = item;
    }
    list.finish()
}

fn levels<'a>(all: impl Iterator<Item = (&'a Policy, &'a Standing)>) -> Option<String> {
    let mut list = ListSerializer::new();
    for (policy, standing) in all {
        let (Ok(name), Some(level)) = (StringRef::from_str(policy.name()), standing.level) else { continue };
        let item = list.bare_item(name).parameter(REMAINING, integer(level.remaining));
        // Nobody knows when a slot becomes free, unless the identity is blocked until then.
        let blocked = matches!(standing.verdict, Verdict::Blocked { .. });
        let is_known = blocked || policy.algorithm() != Algorithm::Concurrency;
        if !level.more_after.is_zero() && is_known {
            let _ = item.parameter(MORE_IN, integer(seconds(level.more_after)));
        }
    }
    list.finish()
}

/// Clamps a number to the 15 digits of an integer in structured fields.
fn integer(number: u64) -> Integer {
    Integer::try_from(number).unwrap_or(Integer::MAX)
}

/// Returns whole seconds, rounded up, so that a client that waits as long does not come too early.
#[must_use]
pub fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// Removes the rate limit fields of an upstream, under all names in use. They are about the one request that was sent
/// to it, so a stored response must not keep them.
pub fn strip(headers: &mut HeaderMap) {
    let says = |name: &HeaderName| {
        let name = name.as_str();
        ["ratelimit-", "x-ratelimit-", "x-rate-limit-"].iter().any(|begin| name.starts_with(begin))
            || name == "ratelimit"
    };
    let all: Vec<HeaderName> = headers.keys().filter(|name| says(name)).cloned().collect();
    for name in all {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::{Level, Quota, Source};
    use crate::time::Timestamp;
    use std::num::NonZeroU32;

    fn policy(name: &str, algorithm: Algorithm, limit: u32, millis: u64) -> Policy {
        let quota = Quota::new(NonZeroU32::new(limit).unwrap(), Duration::from_millis(millis)).unwrap();
        Policy::new(name, algorithm, quota).unwrap()
    }

    fn standing(remaining: u64, more_micros: u64) -> Standing {
        let more_after = Duration::from_micros(more_micros);
        let level = Level { remaining, more_after, reset_at: Timestamp::from_millis(0) };
        Standing { verdict: Verdict::Allowed, level: Some(level), source: Source::Redis }
    }

    fn written(all: &[(Policy, Standing)]) -> (String, String) {
        let mut headers = HeaderMap::new();
        headers.append("ratelimit", HeaderValue::from_static("\"of the origin\";r=1"));
        headers.append("ratelimit", HeaderValue::from_static("\"of another\";r=1"));
        write(&mut headers, all.iter().map(|(policy, standing)| (policy, standing)));
        let line = |name| {
            assert!(headers.get_all(&name).iter().count() < 2);
            headers.get(name).map_or(String::new(), |value| value.to_str().unwrap().to_owned())
        };
        (line(RATE_LIMIT), line(RATE_LIMIT_POLICY))
    }

    #[test]
    fn policies_and_levels_are_lists_of_strings_with_parameters() {
        let all = [
            (policy("per-client", Algorithm::Gcra, 100, 60_000), standing(42, 600_000)),
            (policy("daily", Algorithm::Window, 1000, 86_400_000), standing(0, 60_000_001)),
            (policy("fine", Algorithm::Gcra, 5, 500), standing(5, 0)),
            (policy("uploads", Algorithm::Concurrency, 5, 30_000), standing(4, 30_000_000)),
        ];
        let (levels, policies) = written(&all);
        assert_eq!(levels, r#""per-client";r=42;t=1, "daily";r=0;t=61, "fine";r=5, "uploads";r=4"#);
        assert_eq!(
            policies,
            r#""per-client";q=100;w=60, "daily";q=1000;w=86400, "fine";q=5, "uploads";q=5;qu="concurrent-requests""#
        );
        let list: sfv::List = sfv::Parser::new(&levels).parse().unwrap();
        assert_eq!(list.len(), 4, "an independent parser reads it");
    }

    #[test]
    fn a_block_says_when_it_ends_even_for_slots() {
        let verdict = Verdict::Blocked { retry_after: Duration::from_secs(600) };
        let blocked = Standing { verdict, ..standing(0, 600_000_000) };
        let all = [
            (policy("a", Algorithm::Gcra, 5, 1000), blocked),
            (policy("b", Algorithm::Concurrency, 5, 1000), blocked),
        ];
        assert_eq!(written(&all).0, r#""a";r=0;t=600, "b";r=0;t=600"#);
    }

    #[test]
    fn what_is_not_known_is_not_said() {
        let unknown = Standing { level: None, ..standing(0, 0) };
        let all = [(policy("a", Algorithm::Gcra, 1, 1000), unknown)];
        assert_eq!(written(&all), (String::new(), "\"a\";q=1;w=1".to_owned()));
        assert_eq!(written(&[]), (String::new(), String::new()));
    }

    #[test]
    fn seconds_are_rounded_up() {
        for (micros, expected) in [(0, 0), (1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2)] {
            assert_eq!(seconds(Duration::from_micros(micros)), expected);
        }
    }

    #[test]
    fn limits_of_an_upstream_are_known_by_all_their_names() {
        let mut headers = HeaderMap::new();
        for name in [
            "ratelimit",
            "RateLimit-Policy",
            "ratelimit-limit",
            "X-RateLimit-Remaining",
            "x-rate-limit-reset",
            "retry-after",
            "x-ratelimited",
        ] {
            headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::from_static("1"));
        }
        strip(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["retry-after", "x-ratelimited"]);
    }
}
