//! Seconds in the API: numbers that may have a fraction, to the millisecond.

use serde::de::{Deserialize, Deserializer, Error, Unexpected};
use std::time::Duration;

use crate::time::{Timestamp, millis};

/// A time in seconds, zero or more, such as `30` or `0.5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seconds(pub(super) Duration);

/// Above this, a number of milliseconds is not exact any more.
const MOST: f64 = 9e12;

impl Seconds {
    fn new(seconds: f64) -> Option<Self> {
        (0.0..=MOST).contains(&seconds).then(|| Self(Duration::from_millis((seconds * 1000.0).ceil() as u64)))
    }

    /// Parses digits with an optional fraction; `None` for anything else, including signs and exponents.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let whole = text.starts_with(|c: char| c.is_ascii_digit()) && !text.ends_with('.');
        if plain && whole { text.parse().ok().and_then(Self::new) } else { None }
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        Self::new(number).ok_or_else(|| {
            D::Error::invalid_value(Unexpected::Float(number), &"a number of seconds, zero or more")
        })
    }
}

/// Returns a duration in seconds.
pub(super) fn seconds(duration: Duration) -> f64 {
    millis(duration) as f64 / 1000.0
}

/// Returns a point in time in seconds since the Unix epoch.
pub(super) fn unix(time: Timestamp) -> f64 {
    time.as_millis() as f64 / 1000.0
}

/// Returns a duration for `Retry-After` (RFC 9110 §10.2.3): whole seconds, rounded up, at least one.
pub(super) fn retry_after(duration: Duration) -> u64 {
    millis(duration).div_ceil(1000).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_may_have_a_fraction_and_nothing_else() {
        let parsed = |text| Seconds::parse(text).map(|it| it.0.as_millis());
        assert_eq!(
            ["0", "30", "0.5", "1.0005", "007"].map(parsed),
            [Some(0), Some(30_000), Some(500), Some(1001), Some(7000)]
        );
        for bad in
            ["", ".", "-1", "+1", "1e3", "1.", ".5", "1s", " 1", "NaN", "inf", "1.2.3", "99999999999999"]
        {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }

    #[test]
    fn json_takes_numbers_only() {
        let read = |text| serde_json::from_str::<Seconds>(text).map(|it| it.0.as_millis()).ok();
        assert_eq!(["30", "0.5", "1e1", "0"].map(read), [Some(30_000), Some(500), Some(10_000), Some(0)]);
        assert_eq!(["-1", "\"30\"", "null", "true", "1e99"].map(read), [None; 5]);
    }

    #[test]
    fn retry_after_is_rounded_up() {
        let of = |ms| retry_after(Duration::from_millis(ms));
        assert_eq!([of(0), of(1), of(1000), of(1001)], [1, 1, 1, 2]);
    }
}
