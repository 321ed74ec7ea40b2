//! Byte ranges (RFC 9110 §14): `Range`, `Content-Range` and `Accept-Ranges`.
//!
//! No parser fails: a range that is malformed or of another unit, or too many of them, count as none, and the request
//! as one without: "A server MAY ignore the Range header field" (§14.2).

use super::list;
use http::header::{ACCEPT_RANGES, CONTENT_RANGE, RANGE};
use http::{HeaderMap, HeaderName, Method};
use std::fmt;

/// Consecutive bytes of a representation, at least one: from `start` up to, but not including, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    start: u64,
    end: u64,
}

impl Span {
    /// Makes the span from `start` up to, but not including, `end`; `None` if that is empty.
    #[must_use]
    pub const fn new(start: u64, end: u64) -> Option<Self> {
        if start < end { Some(Self { start, end }) } else { None }
    }

    /// Returns the position of the first byte.
    #[must_use]
    pub const fn start(self) -> u64 {
        self.start
    }

    /// Returns the position after the last byte.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.end
    }

    /// Returns the number of bytes.
    #[must_use]
    pub const fn length(self) -> u64 {
        self.end - self.start
    }

    /// Returns whether it contains all of `other`.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Returns the bytes that both have.
    #[must_use]
    pub fn common(self, other: Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }
}

/// Formats it as the first and the last position of the range.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start, self.end - 1)
    }
}

/// Joins spans that overlap or touch, and returns them in ascending order.
#[must_use]
pub fn union(spans: impl IntoIterator<Item = Span>) -> Vec<Span> {
    let mut sorted: Vec<Span> = spans.into_iter().collect();
    sorted.sort_unstable();
    sorted.into_iter().fold(Vec::new(), |mut joined: Vec<Span>, span| {
        match joined.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => joined.push(span),
        }
        joined
    })
}

/// Joins spans like [`union`], in the order in which the first span of each was given: parts are sent "in the same order
/// that the corresponding range-spec appeared in the received Range header field" (§15.3.7.2).
fn coalesced(spans: &[Span]) -> Vec<Span> {
    let mut joined = union(spans.iter().copied());
    joined.sort_by_cached_key(|whole| spans.iter().position(|span| whole.contains(*span)));
    joined
}

/// One requested range (`range-spec`, §14.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RangeSpec {
    /// `first-last`, both included.
    FromTo(u64, u64),
    /// `first-`: the rest.
    From(u64),
    /// `-length`: this many bytes at the end.
    Suffix(u64),
}

impl RangeSpec {
    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        match (first, last) {
            ("", length) => number(length).map(Self::Suffix),
            (first, "") => number(first).map(Self::From),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                // "An int-range is invalid if the last-pos value is present and less than first-pos."
                (first <= last).then_some(Self::FromTo(first, last))
            }
        }
    }

    /// Resolves it for a representation of `complete` bytes; `None` when that has no byte of it.
    fn of(self, complete: u64) -> Option<Span> {
        match self {
            Self::FromTo(first, last) => Span::new(first, complete.min(last + 1)),
            Self::From(first) => Span::new(first, complete),
            // "If the selected representation is shorter than the specified suffix-length, the entire
            // representation is used."
            Self::Suffix(length) => Span::new(complete.saturating_sub(length), complete),
        }
    }
}

impl fmt::Display for RangeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FromTo(first, last) => write!(f, "{first}-{last}"),
            Self::From(first) => write!(f, "{first}-"),
            Self::Suffix(length) => write!(f, "-{length}"),
        }
    }
}

/// The greatest position. Greater numbers are reduced to it, which makes no difference: no representation is that long.
const LAST: u64 = u64::MAX - 1;

/// Parses digits, to at most [`LAST`].
fn number(digits: &str) -> Option<u64> {
    is_number(digits).then(|| digits.parse().unwrap_or(LAST).min(LAST))
}

fn is_number(digits: &str) -> bool {
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The byte ranges of a request, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranges(Vec<RangeSpec>);

impl Ranges {
    /// Reads `Range` of a request. `None` if it is missing or does not count: the method is not GET, for others
    /// "range handling is not defined" (§14.2), the unit is another, a range is invalid, there are several field
    /// lines, or more than `max` ranges (§17.15).
    #[must_use]
    pub fn of(method: &Method, request: &HeaderMap, max: u16) -> Option<Self> {
        let text = only(request, &RANGE).filter(|_| *method == Method::GET)?;
        Self::parse(text, usize::from(max))
    }

    /// Parses `bytes=`, case-insensitively, and at most `max` ranges.
    #[must_use]
    pub fn parse(text: &str, max: usize) -> Option<Self> {
        let (unit, set) = text.split_once('=')?;
        let specs = set.split(',').map(|spec| spec.trim_matches([' ', '\t'])).filter(|spec| !spec.is_empty());
        let specs: Vec<_> = specs.take(max.saturating_add(1)).map(RangeSpec::parse).collect::<Option<_>>()?;
        (unit.eq_ignore_ascii_case("bytes") && (1..=max).contains(&specs.len())).then_some(Self(specs))
    }

    /// Resolves the ranges for a representation of `complete` bytes, with overlapping and touching ones joined. Empty
    /// when the representation has no byte of them.
    #[must_use]
    pub fn of_representation(&self, complete: u64) -> Vec<Span> {
        let spans: Vec<_> = self.0.iter().filter_map(|spec| spec.of(complete)).collect();
        coalesced(&spans)
    }

    /// Returns the same ranges for a representation of unknown length, to ask the origin for: ranges that overlap or
    /// touch are joined, and of several suffixes the longest is kept. So no byte is requested more than
    /// twice, however often the client named it (RangeAmp, "overlapping byte ranges").
    #[must_use]
    pub fn coalesced(&self) -> Self {
        let (mut spans, mut suffixes) = (Vec::new(), Vec::new());
        for spec in &self.0 {
            match *spec {
                RangeSpec::FromTo(first, last) => spans.extend(Span::new(first, last + 1)),
                RangeSpec::From(first) => spans.extend(Span::new(first, u64::MAX)),
                RangeSpec::Suffix(length) => suffixes.push(length),
            }
        }
        let joined = coalesced(&spans);
        if joined.len() + suffixes.len().min(1) == self.0.len() {
            return self.clone();
        }
        let specs = joined.into_iter().map(|span| match span.end {
            u64::MAX => RangeSpec::From(span.start),
            end => RangeSpec::FromTo(span.start, end - 1),
        });
        Self(specs.chain(suffixes.into_iter().max().map(RangeSpec::Suffix)).collect())
    }

    /// Returns the number of ranges.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.0.len()
    }
}

/// Formats them as the value of `Range`.
impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let specs: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        write!(f, "bytes={}", specs.join(","))
    }
}

/// The value of `Content-Range` (§14.4): which part of a representation a response carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentRange {
    /// The response carries this part.
    Bytes {
        /// The bytes.
        span: Span,
        /// The length of the whole in bytes, if known; greater than every position in `span`.
        complete: Option<u64>,
    },
    /// The response (416) carries no part, because none of the requested ranges lies within the representation.
    Unsatisfied {
        /// The length of the whole in bytes.
        complete: u64,
    },
}

impl ContentRange {
    /// Reads the field; `None` if it is missing, malformed, of another unit, or present several times.
    #[must_use]
    pub fn of(response: &HeaderMap) -> Option<Self> {
        Self::parse(only(response, &CONTENT_RANGE)?)
    }

    /// Parses the value. "A Content-Range field value is invalid if it contains a range-resp that has a
    /// last-pos value less than its first-pos value, or a complete-length value less than or equal to its
    /// last-pos value."
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = text.split_once(' ')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (range, complete) = rest.split_once('/')?;
        let exact = |digits: &str| digits.parse().ok().filter(|number| *number <= LAST && is_number(digits));
        if range == "*" {
            return exact(complete).map(|complete| Self::Unsatisfied { complete });
        }
        let (first, last) = range.split_once('-')?;
        let span = Span::new(exact(first)?, exact(last)? + 1)?;
        let complete = if complete == "*" { None } else { Some(exact(complete)?) };
        complete.is_none_or(|complete| span.end <= complete).then_some(Self::Bytes { span, complete })
    }
}

impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes { span, complete: Some(complete) } => write!(f, "bytes {span}/{complete}"),
            Self::Bytes { span, complete: None } => write!(f, "bytes {span}/*"),
            Self::Unsatisfied { complete } => write!(f, "bytes */{complete}"),
        }
    }
}

/// Returns whether the origin does not support ranges: `Accept-Ranges: none` (§14.3).
#[must_use]
pub fn refused(response: &HeaderMap) -> bool {
    list::members(response, ACCEPT_RANGES).any(|unit| unit.eq_ignore_ascii_case("none"))
}

/// Returns the value of a field that must have exactly one line, without white space around it.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next().filter(|_| lines.next().is_none())?;
    first.to_str().ok().map(|text| text.trim_matches([' ', '\t']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Option<Ranges> {
        Ranges::parse(text, 16)
    }

    /// The spans of a text, as half-open pairs.
    fn spans(text: &str, complete: u64) -> Vec<(u64, u64)> {
        let ranges = parsed(text).unwrap();
        ranges.of_representation(complete).into_iter().map(|span| (span.start, span.end)).collect()
    }

    #[test]
    fn ranges_are_what_the_rfc_says() {
        for (text, complete, expected) in [
            ("bytes=0-499", 10_000, &[(0, 500)][..]),
            ("bytes=500-999", 10_000, &[(500, 1000)]),
            ("bytes=-500", 10_000, &[(9500, 10_000)]),
            ("bytes=9500-", 10_000, &[(9500, 10_000)]),
            ("bytes=0-0,-1", 10_000, &[(0, 1), (9999, 10_000)]),
            ("bytes= 0-999, 4500-5499,, -1000", 10_000, &[(0, 1000), (4500, 5500), (9000, 10_000)]),
            ("BYTES=0-", 1, &[(0, 1)]),
            ("bytes=5-99", 10, &[(5, 10)]),
            ("bytes=-99", 10, &[(0, 10)]),
            ("bytes=10-", 10, &[]),
            ("bytes=-0", 10, &[]),
            ("bytes=10-20,5-5", 10, &[(5, 6)]),
            ("bytes=0-99999999999999999999999", 10, &[(0, 10)]),
            ("bytes=99999999999999999999999-", 10, &[]),
            ("bytes=-99999999999999999999999", 10, &[(0, 10)]),
            ("bytes=0-", 0, &[]),
            ("bytes=-1", 0, &[]),
        ] {
            assert_eq!(spans(text, complete), expected, "{text} of {complete}");
        }
    }

    #[test]
    fn what_is_malformed_or_of_another_unit_is_no_range() {
        for text in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=1",
            "bytes=5-4",
            "bytes=0-1,x",
            "bytes=0-1,5-4",
            "bytes=+1-2",
            "bytes=0x1-2",
            "bytes=1 - 2",
            "bytes=--1",
            "bytes=1-2-3",
            "bytes =0-1",
            "bytes:0-1",
            "items=0-1",
            "bytes=0-1;q=1",
            "0-1",
        ] {
            assert_eq!(parsed(text), None, "{text:?}");
        }
    }

    fn of(method: &Method, lines: &[&'static str]) -> Option<Ranges> {
        let headers = lines.iter().map(|line| (RANGE, HeaderValue::from_static(line))).collect();
        Ranges::of(method, &headers, 2)
    }

    #[test]
    fn range_counts_for_get_in_one_line_and_up_to_the_limit() {
        assert!(of(&Method::GET, &["bytes=0-1,2-3"]).is_some());
        assert_eq!(of(&Method::GET, &["bytes=0-1,2-3,4-5"]), None);
        assert_eq!(of(&Method::GET, &["bytes=0-1", "bytes=2-3"]), None);
        assert_eq!(of(&Method::HEAD, &["bytes=0-1"]), None);
        assert_eq!(of(&Method::GET, &[]), None);
    }

    #[test]
    fn overlapping_and_adjacent_ranges_become_one_in_the_order_they_came() {
        assert_eq!(spans("bytes=0-4,5-9", 100), [(0, 10)]);
        assert_eq!(spans("bytes=0-,0-,0-,0-", 100), [(0, 100)]);
        assert_eq!(spans("bytes=50-59,0-9,55-64,5-14", 100), [(50, 65), (0, 15)]);
        assert_eq!(spans("bytes=0-4,6-9", 100), [(0, 5), (6, 10)]);
    }

    #[test]
    fn what_goes_to_the_origin_names_no_byte_over_and_over() {
        for (text, sent) in [
            ("bytes=0-4", "bytes=0-4"),
            ("bytes=-5,0-4", "bytes=-5,0-4"),
            ("bytes=9-,0-4", "bytes=9-,0-4"),
            ("bytes=0-,0-,0-", "bytes=0-"),
            ("bytes=5-,0-9,-3,-7", "bytes=0-,-7"),
            ("bytes=0-0,0-0,2-2,1-1", "bytes=0-2"),
            ("bytes=0-18446744073709551615,1-", "bytes=0-"),
        ] {
            assert_eq!(parsed(text).unwrap().coalesced().to_string(), sent, "{text}");
        }
    }

    #[test]
    fn content_range_is_read_as_it_is_written() {
        let bytes =
            |start, end, complete| ContentRange::Bytes { span: Span::new(start, end).unwrap(), complete };
        for (text, value) in [
            ("bytes 42-1233/1234", bytes(42, 1234, Some(1234))),
            ("bytes 42-1233/*", bytes(42, 1234, None)),
            ("bytes 0-0/1", bytes(0, 1, Some(1))),
            ("bytes */1234", ContentRange::Unsatisfied { complete: 1234 }),
            ("bytes */0", ContentRange::Unsatisfied { complete: 0 }),
        ] {
            assert_eq!(ContentRange::parse(text), Some(value), "{text}");
            assert_eq!(value.to_string(), text);
        }
        for bad in [
            "",
            "bytes",
            "bytes 5-4/10",
            "bytes 0-10/10",
            "bytes 0-9/9",
            "bytes 0-9",
            "bytes -5/10",
            "bytes 5-/10",
            "bytes */*",
            "bytes=0-1/2",
            "bytes 0-1/2/3",
            "bytes 0-18446744073709551615/*",
            "items 0-1/2",
            "bytes  0-1/2",
            "bytes 0-1/-2",
        ] {
            assert_eq!(ContentRange::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn accept_ranges_none_refuses() {
        let refused = |text: &'static str| {
            refused(&[(ACCEPT_RANGES, HeaderValue::from_static(text))].into_iter().collect())
        };
        assert!(refused("none") && refused("NONE"));
        assert!(!refused("bytes") && !refused(""));
    }

    fn any_spec() -> impl Strategy<Value = RangeSpec> {
        prop_oneof![
            (0u64..40, 0u64..40).prop_map(|(first, more)| RangeSpec::FromTo(first, first + more)),
            (0u64..40).prop_map(RangeSpec::From),
            (0u64..40).prop_map(RangeSpec::Suffix),
        ]
    }

    fn any_ranges() -> impl Strategy<Value = Ranges> {
        proptest::collection::vec(any_spec(), 1..10).prop_map(Ranges)
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}", set in "bytes=[-0-9, ]{0,30}") {
            for text in [&text, &set] {
                let _ = (parsed(text), ContentRange::parse(text));
            }
        }

        #[test]
        fn a_written_range_is_read_as_the_same(ranges in any_ranges()) {
            prop_assert_eq!(Ranges::parse(&ranges.to_string(), 10), Some(ranges));
        }

        #[test]
        fn every_byte_asked_for_is_there_once(ranges in any_ranges(), complete in 0u64..60) {
            let spans = ranges.of_representation(complete);
            for byte in 0..complete {
                let at = Span::new(byte, byte + 1).unwrap();
                let asked = ranges.0.iter().filter_map(|spec| spec.of(complete)).any(|span| span.contains(at));
                let times = spans.iter().filter(|span| span.contains(at)).count();
                prop_assert_eq!(times, usize::from(asked), "{}", byte);
            }
            prop_assert!(spans.iter().all(|span| span.end <= complete));
        }

        #[test]
        fn coalescing_for_the_origin_asks_for_the_same_bytes_at_most_twice(ranges in any_ranges(), complete in 0u64..60) {
            let sent = ranges.coalesced();
            prop_assert!(sent.count() <= ranges.count());
            let sum = |ranges: &Ranges| union(ranges.0.iter().filter_map(|spec| spec.of(complete)));
            prop_assert_eq!(sum(&sent), sum(&ranges));
            let bytes: u64 = sent.0.iter().filter_map(|spec| spec.of(complete)).map(Span::length).sum();
            prop_assert!(bytes <= 2 * complete);
        }
    }
}
