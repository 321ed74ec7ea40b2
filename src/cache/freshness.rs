//! How long a response is fresh, and how old it is (RFC 9111 §4.2).

use crate::config::Fraction;
use crate::field::cache_control::Seconds;
use crate::field::conditional::single_date;
use crate::field::list;
use crate::field::targeted::Governing;
use crate::time::{DeltaSeconds, Timestamp};
use http::header::{AGE, DATE, EXPIRES, LAST_MODIFIED};
use http::{HeaderMap, StatusCode};
use std::time::Duration;

/// How freshness is estimated where the origin does not specify it (RFC 9111 §4.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heuristic {
    /// The fraction of the time since the last modification. "A typical setting of this fraction might be 10%."
    pub fraction: Fraction,
    /// The upper bound of the estimate.
    pub max: Duration,
}

/// Where a freshness lifetime comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// The origin specified it.
    Explicit(DeltaSeconds),
    /// Estimated from `Last-Modified`.
    Heuristic(DeltaSeconds),
    /// Neither specified nor estimated.
    Unknown,
}

impl Lifetime {
    /// Returns the lifetime in seconds; zero if unknown.
    #[must_use]
    pub const fn seconds(self) -> DeltaSeconds {
        match self {
            Self::Explicit(seconds) | Self::Heuristic(seconds) => seconds,
            Self::Unknown => DeltaSeconds::ZERO,
        }
    }
}

/// Determines the freshness lifetime (RFC 9111 §4.2.1). `received` stands in for a missing `Date` (RFC 9110 §6.6.1).
#[must_use]
pub fn lifetime(
    status: StatusCode,
    headers: &HeaderMap,
    governing: &Governing,
    heuristic: Heuristic,
    received: Timestamp,
) -> Lifetime {
    // "If the cache is shared and the s-maxage response directive is present, use its value, or if the
    // max-age response directive is present, use its value": an invalid one means stale.
    for directive in [governing.directives.s_maxage, governing.directives.max_age] {
        match directive {
            Seconds::Is(seconds) => return Lifetime::Explicit(seconds),
            Seconds::Invalid => return Lifetime::Explicit(DeltaSeconds::ZERO),
            Seconds::Absent => {}
        }
    }
    let date = date_or(headers, received);
    // "or if the Expires response header field is present, use its value minus the value of the Date". More
    // than one, or one that is no date, means already expired (§5.3). Beside a targeted field it does not count
    // (RFC 9213 §2.2).
    if headers.contains_key(EXPIRES) && !governing.targeted {
        let left = single_date(headers, &EXPIRES).map_or(0, |expires| expires.since(date).as_secs());
        return Lifetime::Explicit(DeltaSeconds::from_secs(left));
    }
    guess(status, headers, governing.directives.public, heuristic, date)
}

fn guess(
    status: StatusCode,
    headers: &HeaderMap,
    public: bool,
    heuristic: Heuristic,
    date: Timestamp,
) -> Lifetime {
    if !is_heuristically_cacheable(status) && !public {
        return Lifetime::Unknown;
    }
    single_date(headers, &LAST_MODIFIED).map_or(Lifetime::Unknown, |modified| {
        let guessed = heuristic.fraction.of(date.since(modified)).min(heuristic.max);
        Lifetime::Heuristic(DeltaSeconds::from_secs(guessed.as_secs()))
    })
}

/// Returns whether a status code is one of those "defined as heuristically cacheable" (RFC 9110 §15.1).
#[must_use]
pub const fn is_heuristically_cacheable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Returns whether a 304 can confirm a stored response of this status: it says that the request "would have resulted in a
/// 200 (OK) response" (RFC 9110 §15.4.5), so an error or a redirect is outdated by it. Parts are of a 200.
#[must_use]
pub const fn can_be_confirmed(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 206)
}

/// The times of an exchange with the origin, under their names in RFC 9111 §4.2.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When the request was sent.
    pub request_time: Timestamp,
    /// When the response was received.
    pub response_time: Timestamp,
}

/// Computes `corrected_initial_age` in seconds (RFC 9111 §4.2.3).
#[must_use]
pub fn initial_age(headers: &HeaderMap, times: Times) -> u64 {
    let Times { request_time, response_time } = times;
    let apparent_age = response_time.since(date_or(headers, response_time)).as_secs();
    let response_delay = response_time.since(request_time).as_secs();
    let corrected_age_value = age_value(headers).saturating_add(response_delay);
    apparent_age.max(corrected_age_value)
}

/// Returns the value of `Age` in seconds: the first member if it is a list, 0 if it is missing or invalid (RFC 9111 §5.1).
#[must_use]
pub fn age_value(headers: &HeaderMap) -> u64 {
    list::members(headers, AGE).next().and_then(DeltaSeconds::parse).map_or(0, DeltaSeconds::as_secs)
}

fn date_or(headers: &HeaderMap, received: Timestamp) -> Timestamp {
    single_date(headers, &DATE).unwrap_or(received)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::targeted::Targets;
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const HEURISTIC: Heuristic = Heuristic { fraction: Fraction::TENTH, max: Duration::from_secs(86_400) };

    fn map(lines: &[(&'static str, String)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn at(offset: i64) -> String {
        Timestamp::from_millis(NOW.as_millis().checked_add_signed(offset * 1000).unwrap()).to_http_date()
    }

    fn life(status: u16, lines: &[(&'static str, String)]) -> Lifetime {
        let headers = map(lines);
        let governing = Governing::of(&headers, &Targets::default());
        lifetime(StatusCode::from_u16(status).unwrap(), &headers, &governing, HEURISTIC, NOW)
    }

    fn explicit(seconds: u64) -> Lifetime {
        Lifetime::Explicit(DeltaSeconds::from_secs(seconds))
    }

    #[test]
    fn s_maxage_beats_max_age_beats_expires() {
        let expires = ("expires", at(300));
        let with = |cc: &str| vec![("cache-control", cc.to_owned()), expires.clone()];
        assert_eq!(life(200, &with("max-age=20, s-maxage=10")), explicit(10));
        assert_eq!(life(200, &with("max-age=20")), explicit(20));
        assert_eq!(life(200, &with("max-age=x")), explicit(0));
        assert_eq!(life(200, &[expires]), explicit(300));
    }

    #[test]
    fn expires_counts_from_the_date_and_must_be_one_date() {
        assert_eq!(life(200, &[("expires", at(300)), ("date", at(-100))]), explicit(400));
        assert_eq!(life(200, &[("expires", at(-1))]), explicit(0));
        for bad in ["0", "-1", "Thu, 18 Aug 2050 02:01:18 UTC", "Thu 18 Aug 2050 02:01:18 GMT", ""] {
            assert_eq!(life(200, &[("expires", bad.to_owned())]), explicit(0), "{bad}");
        }
        assert_eq!(life(200, &[("expires", at(300)), ("expires", at(300))]), explicit(0));
    }

    #[test]
    fn a_targeted_field_leaves_no_say_to_the_others() {
        let with = |target: &str| {
            let lines = [("cdn-cache-control", target.to_owned()), ("cache-control", "max-age=1".to_owned())];
            life(200, &[lines.to_vec(), vec![("expires", at(300))]].concat())
        };
        assert_eq!(with("max-age=60"), explicit(60));
        assert_eq!(with("must-revalidate"), Lifetime::Unknown);
        assert_eq!(with("max-age"), explicit(1));
    }

    #[test]
    fn heuristics_need_last_modified_and_a_status_that_allows_them() {
        let modified = vec![("last-modified", at(-1000))];
        assert_eq!(life(200, &modified), Lifetime::Heuristic(DeltaSeconds::from_secs(100)));
        assert_eq!(life(201, &modified), Lifetime::Unknown);
        assert_eq!(life(200, &[]), Lifetime::Unknown);
        let public = vec![("last-modified", at(-1000)), ("cache-control", "public".to_owned())];
        assert_eq!(life(599, &public), Lifetime::Heuristic(DeltaSeconds::from_secs(100)));
        assert_eq!(life(200, &[("last-modified", at(-100_000_000))]).seconds().as_secs(), 86_400);
        assert_eq!(life(200, &[("last-modified", at(100))]).seconds().as_secs(), 0);
    }

    /// An exchange that took this many seconds, and ended now.
    fn after(seconds: u64) -> Times {
        Times { request_time: Timestamp::from_millis(NOW.as_millis() - seconds * 1000), response_time: NOW }
    }

    #[test]
    fn age_takes_the_first_member_and_ignores_what_is_no_number() {
        let age = |value: &str| initial_age(&map(&[("age", value.to_owned())]), after(0));
        assert_eq!((age("7200, 0"), age("0, 7200")), (7200, 0));
        for bad in ["abc", "-7200", "7200.0", ""] {
            assert_eq!(age(bad), 0, "{bad}");
        }
        assert_eq!(age("99999999999999999999"), DeltaSeconds::MAX.as_secs());
    }

    #[test]
    fn age_is_at_least_what_the_date_says_and_includes_the_delay() {
        assert_eq!(initial_age(&map(&[("date", at(-60))]), after(5)), 60);
        assert_eq!(initial_age(&map(&[("date", at(-60)), ("age", "100".to_owned())]), after(5)), 105);
        assert_eq!(initial_age(&map(&[("date", at(60))]), after(0)), 0);
    }

    /// A field line of any bytes, or one that is nearly valid.
    fn line() -> impl Strategy<Value = (HeaderName, HeaderValue)> {
        let names = prop::sample::select(vec![
            "age",
            "date",
            "expires",
            "last-modified",
            "cache-control",
            "cdn-cache-control",
        ]);
        let near = prop_oneof![
            "[0-9]{1,24}",
            "-?[0-9]{1,3}(, ?[0-9]{1,12}){0,2}",
            "(max-age|s-maxage|public|no-cache)(=\"?[0-9a-z]{0,22}\"?)?",
            "(Mon|Sun), [0-9]{2} (Jan|Feb|Dec) [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT",
        ];
        let bytes = prop_oneof![near.prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..30)];
        (names, bytes).prop_filter_map("no field value", |(name, bytes)| {
            Some((HeaderName::from_static(name), HeaderValue::from_bytes(&bytes).ok()?))
        })
    }

    proptest! {
        /// Any fields at any time give an age and a lifetime, and the age is at least the response delay.
        #[test]
        fn no_fields_and_no_clock_break_it(lines in prop::collection::vec(line(), 0..8), status in 200u16..600,
                                          requested in any::<u64>(), received in any::<u64>()) {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(name, value);
            }
            let (requested, received) = (Timestamp::from_millis(requested), Timestamp::from_millis(received));
            let governing = Governing::of(&headers, &Targets::default());
            let life = lifetime(StatusCode::from_u16(status).unwrap(), &headers, &governing, HEURISTIC, received);
            prop_assert!(life.seconds() <= DeltaSeconds::MAX);
            let times = Times { request_time: requested, response_time: received };
            prop_assert!(initial_age(&headers, times) >= received.since(requested).as_secs());
        }

        #[test]
        fn age_never_shrinks_as_the_response_gets_later(age in 0u64..1 << 33, delay in 0u64..1 << 33, later in 0u64..1 << 33) {
            let headers = map(&[("age", age.to_string())]);
            let request_time = Timestamp::from_millis(0);
            let age = |delay| initial_age(&headers, Times { request_time, response_time: Timestamp::from_millis(delay) });
            prop_assert!(age(delay + later) >= age(delay));
        }
    }
}
