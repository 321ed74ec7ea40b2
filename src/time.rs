//! Points in time and times to live. There is no clock here: `now` is always passed in.

mod http_date;

use std::num::NonZeroU64;
use std::time::Duration;

/// A point in time, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Makes the point `millis` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Returns milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// Returns how long after `earlier` this is; zero if it is not later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Returns the point `by` later, saturating.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(millis(by)))
    }

    /// Parses an HTTP-date (RFC 9110 §5.6.7), in any of its three forms and in any case.
    ///
    /// `None` for anything else, and for years before 1970.
    #[must_use]
    pub fn from_http_date(text: &str) -> Option<Self> {
        http_date::parse(text).map(|seconds| Self(seconds.saturating_mul(1000)))
    }

    /// Formats this point as an IMF-fixdate (RFC 9110 §5.6.7).
    #[must_use]
    pub fn to_http_date(self) -> String {
        // `httpdate` panics for years after 9999: clamp to the last second it can format.
        const YEAR_9999: u64 = 253_402_300_799;
        httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(self.as_secs().min(YEAR_9999)))
    }
}

/// A point in time by a stopwatch, to measure how long something took: the wall clock may be set back. Unlike a duration, it
/// cannot be added to another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(Duration);

impl Instant {
    /// Makes the point this long after the stopwatch was started.
    #[must_use]
    pub const fn after(started: Duration) -> Self {
        Self(started)
    }

    /// Returns how long after `earlier` this is; zero if it is not later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Returns the point `by` later, saturating.
    #[must_use]
    pub const fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by))
    }
}

/// Returns the whole milliseconds of a duration, saturating.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How long a key lives in Redis. Never zero, because `PX 0` is an error, and every key must expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ttl(NonZeroU64);

impl Ttl {
    /// The shortest, one millisecond.
    pub const MIN: Self = Self(NonZeroU64::MIN);

    /// Makes a time to live of `duration`, rounded up to a millisecond; `None` for zero.
    #[must_use]
    pub fn new(duration: Duration) -> Option<Self> {
        let rounded = duration.checked_add(Duration::from_nanos(999_999)).unwrap_or(duration);
        NonZeroU64::new(millis(rounded)).map(Self)
    }

    /// Makes a time to live of `millis` milliseconds.
    #[must_use]
    pub const fn from_millis(millis: NonZeroU64) -> Self {
        Self(millis)
    }

    /// Returns milliseconds, as `PX` and `PEXPIRE` take them.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0.get()
    }
}

/// A non-negative number of seconds as header fields carry it, saturating at 2^31.
///
/// RFC 9111 §1.2.2: a cache that cannot represent a value "MUST consider the value to be 2147483648 (2^31)
/// or the greatest positive integer it can conveniently represent".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeltaSeconds(u32);

impl DeltaSeconds {
    /// The value at which it saturates.
    pub const MAX: Self = Self(1 << 31);
    /// Zero seconds.
    pub const ZERO: Self = Self(0);

    /// Parses `1*DIGIT`. Anything else is `None`, the empty string and signs included.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Some(text.parse::<u64>().map_or(Self::MAX, Self::from_secs))
    }

    /// Makes it of a number of seconds, saturating at [`DeltaSeconds::MAX`].
    #[must_use]
    pub fn from_secs(seconds: u64) -> Self {
        u32::try_from(seconds).map_or(Self::MAX, |seconds| Self(seconds.min(Self::MAX.0)))
    }

    /// Returns the number of seconds.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 as u64
    }

    /// Converts it to a [`Duration`].
    #[must_use]
    pub const fn to_duration(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_between_two_instants_is_never_negative() {
        let (early, second) = (Instant::default(), Duration::from_secs(1));
        let late = early.plus(second);
        assert_eq!((late.since(early), early.since(late)), (second, Duration::ZERO));
        assert_eq!(Instant::after(Duration::MAX).plus(second), Instant::after(Duration::MAX));
    }

    #[test]
    fn delta_seconds_saturate_and_refuse_what_is_not_digits() {
        assert_eq!(DeltaSeconds::parse("3600"), Some(DeltaSeconds::from_secs(3600)));
        for large in ["2147483648", "2147483649", "99999999999999999999999999"] {
            assert_eq!(DeltaSeconds::parse(large), Some(DeltaSeconds::MAX), "{large}");
        }
        for bad in ["", "-1", "+1", "1.0", " 1", "1 ", "a", "0x1"] {
            assert_eq!(DeltaSeconds::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_ttl_is_never_zero_and_rounds_up() {
        assert_eq!(Ttl::new(Duration::ZERO), None);
        assert_eq!(Ttl::new(Duration::from_nanos(1)).map(Ttl::as_millis), Some(1));
        assert_eq!(Ttl::new(Duration::from_micros(1500)).map(Ttl::as_millis), Some(2));
    }

    #[test]
    fn http_dates_in_all_three_forms() {
        let expected = Some(Timestamp::from_millis(784_111_777_000));
        for text in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(Timestamp::from_http_date(text), expected, "{text}");
        }
        assert_eq!(Timestamp::from_http_date("yesterday"), None);
    }
}
