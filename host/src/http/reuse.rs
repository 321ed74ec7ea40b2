//! The lifetime of an instance, and how many requests it serves.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::str::FromStr;
use std::time::Duration;

/// A number, or a range from which every new instance draws its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range<T> {
    /// Always this.
    Value(T),
    /// From the first to the second, which is exclusive.
    Bounds(T, T),
}

impl Range<usize> {
    /// Draws a number from the range.
    #[must_use]
    pub fn sample(self) -> usize {
        match self {
            Self::Value(value) => value,
            Self::Bounds(start, end) => start + random_below(end.saturating_sub(start) as u64) as usize,
        }
    }
}

impl Range<Duration> {
    /// Draws a duration from the range.
    #[must_use]
    pub fn sample(self) -> Duration {
        match self {
            Self::Value(value) => value,
            Self::Bounds(start, end) => {
                let span = end.saturating_sub(start).as_nanos().try_into().unwrap_or(u64::MAX);
                start + Duration::from_nanos(random_below(span))
            }
        }
    }
}

/// Random enough to spread lifetimes; nothing here is secret.
fn random_below(end: u64) -> u64 {
    RandomState::new().hash_one(0) % end.max(1)
}

/// The lifetime of instances of HTTP components, with the options of `spin up`.
#[derive(Clone, Copy, Debug)]
pub struct Reuse {
    /// How many requests an instance serves in all.
    pub requests: Range<usize>,
    /// How many requests an instance serves at the same time.
    pub concurrent: Range<usize>,
    /// How long a request may take; `None` is without limit.
    pub request_timeout: Option<Range<Duration>>,
    /// How long an instance waits for another request.
    pub idle: Range<Duration>,
}

impl Default for Reuse {
    fn default() -> Self {
        Self {
            requests: Range::Value(128),
            concurrent: Range::Value(16),
            request_timeout: None,
            idle: Range::Value(Duration::from_secs(1)),
        }
    }
}

/// Parses `8` or `1..8`.
///
/// # Errors
/// Anything else, and a range without a number in it.
pub fn parse_count(text: &str) -> Result<Range<usize>, String> {
    let number =
        |it: &str| usize::from_str(it).map_err(|_| format!("expected a number or 1..8, found {text:?}"));
    parse(text, number)
}

/// Parses `8`, `8s`, `100ms`, `100us`, `100ns`, or two of them with `..` between.
///
/// # Errors
/// Anything else, and a range without a duration in it.
pub fn parse_duration(text: &str) -> Result<Range<Duration>, String> {
    parse(text, |it| {
        one_duration(it)
            .ok_or_else(|| format!("expected seconds, or a number with s, ms, us or ns, found {text:?}"))
    })
}

fn one_duration(text: &str) -> Option<Duration> {
    type Unit = (&'static str, fn(u64) -> Duration);
    let units: [Unit; 5] = [
        ("ms", Duration::from_millis),
        ("us", Duration::from_micros),
        ("μs", Duration::from_micros),
        ("ns", Duration::from_nanos),
        ("s", Duration::from_secs),
    ];
    let suffixed = |(suffix, from): Unit| Some(from(text.strip_suffix(suffix)?.parse().ok()?));
    text.parse().ok().map(Duration::from_secs).or_else(|| units.into_iter().find_map(suffixed))
}

fn parse<T: PartialOrd>(text: &str, one: impl Fn(&str) -> Result<T, String>) -> Result<Range<T>, String> {
    let Some((start, end)) = text.split_once("..") else {
        return one(text).map(Range::Value);
    };
    let (start, end) = (one(start)?, one(end)?);
    if start < end {
        Ok(Range::Bounds(start, end))
    } else {
        Err(format!("expected a range that is not empty, found {text:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_durations_are_read_as_spin_does() {
        assert_eq!(parse_count("8"), Ok(Range::Value(8)));
        assert_eq!(parse_count("1..8"), Ok(Range::Bounds(1, 8)));
        assert!(parse_count("8..1").is_err() && parse_count("x").is_err() && parse_count("-1").is_err());
        assert_eq!(parse_duration("2"), Ok(Range::Value(Duration::from_secs(2))));
        assert_eq!(parse_duration("2s"), Ok(Range::Value(Duration::from_secs(2))));
        assert_eq!(parse_duration("5ms"), Ok(Range::Value(Duration::from_millis(5))));
        let bounds = Range::Bounds(Duration::from_secs(1), Duration::from_secs(8));
        assert_eq!(parse_duration("1..8s"), Ok(bounds));
        assert!(parse_duration("1m").is_err());
    }

    #[test]
    fn samples_stay_in_their_range() {
        for _ in 0..100 {
            assert!((3..6).contains(&Range::Bounds(3, 6).sample()));
            let (low, high) = (Duration::from_millis(5), Duration::from_millis(7));
            assert!((low..high).contains(&Range::Bounds(low, high).sample()));
        }
        assert_eq!(Range::Value(4_usize).sample(), 4);
    }
}
