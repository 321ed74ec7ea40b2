//! Strong validators and `If-Range` (RFC 9110 §8.8, §13.1.5): whether two responses carry bytes of the same
//! representation.

use super::conditional::{EntityTag, single_date};
use crate::time::Timestamp;
use http::header::{CONTENT_ENCODING, DATE, ETAG, IF_RANGE, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue};
use std::time::Duration;

/// How much later than `Last-Modified` the `Date` must be for `Last-Modified` to be strong. §8.8.2.2 asks for
/// "enough difference between the Last-Modified and Date values to make clock synchronization issues
/// unlikely"; RFC 7232 said 60 seconds.
const ENOUGH: Duration = Duration::from_secs(60);

/// A validator that changes whenever a byte of the representation does (§8.8.1).
#[derive(Clone, Copy, Debug)]
pub enum StrongValidator<'a> {
    /// An entity tag that is not weak.
    Tag(EntityTag<'a>),
    /// A time of modification, by the rules of §8.8.2.2.
    Modified(Timestamp),
}

impl<'a> StrongValidator<'a> {
    /// Returns the strong validator of a response. If its entity tag is weak it has none: `Last-Modified` does not make
    /// up for that.
    #[must_use]
    pub fn of(response: &'a HeaderMap) -> Option<Self> {
        if response.contains_key(ETAG) {
            return tag(response).filter(EntityTag::is_strong).map(Self::Tag);
        }
        strong_date(response).map(Self::Modified)
    }

    /// Returns whether both identify the same representation.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tag(one), Self::Tag(other)) => one.strong_eq(other),
            (Self::Modified(one), Self::Modified(other)) => one == other,
            _ => false,
        }
    }

    /// Returns the value of `If-Range` that asks for this representation only.
    #[must_use]
    pub fn value(response: &HeaderMap) -> Option<&HeaderValue> {
        match StrongValidator::of(response)? {
            StrongValidator::Tag(_) => response.get(ETAG),
            StrongValidator::Modified(_) => response.get(LAST_MODIFIED),
        }
    }
}

/// Returns whether two responses carry bytes of the same representation (RFC 9110 §15.3.7.3).
#[must_use]
pub fn same_representation(one: &HeaderMap, other: &HeaderMap) -> bool {
    match (StrongValidator::of(one), StrongValidator::of(other)) {
        (Some(one), Some(other)) => one.matches(&other),
        _ => false,
    }
}

/// Evaluates `If-Range`, which is true for a request without it (§13.1.5). If it is false, `Range` is
/// ignored: also for a weak tag, a date that is not strong, and a value that is neither.
#[must_use]
pub fn if_range_holds(request: &HeaderMap, response: &HeaderMap) -> bool {
    if !request.contains_key(IF_RANGE) {
        return true;
    }
    let asked = only_text(request).and_then(|text| {
        let tag = EntityTag::parse(text).map(StrongValidator::Tag);
        tag.or_else(|| single_date(request, &IF_RANGE).map(StrongValidator::Modified))
    });
    match asked {
        Some(StrongValidator::Tag(asked)) => tag(response).is_some_and(|stored| asked.strong_eq(&stored)),
        // "exactly matches the Last-Modified field value", and only where that is strong.
        Some(StrongValidator::Modified(asked)) => strong_date(response) == Some(asked),
        None => false,
    }
}

fn only_text(request: &HeaderMap) -> Option<&str> {
    let mut lines = request.get_all(IF_RANGE).iter();
    lines.next().filter(|_| lines.next().is_none())?.to_str().ok().map(str::trim)
}

fn tag(response: &HeaderMap) -> Option<EntityTag<'_>> {
    response.get(ETAG)?.to_str().ok().and_then(EntityTag::parse)
}

/// The date of encoded content is that of the original, and so is the same for all its codings: it does not tell their
/// bytes apart.
fn strong_date(response: &HeaderMap) -> Option<Timestamp> {
    if response.contains_key(CONTENT_ENCODING) {
        return None;
    }
    let (modified, date) = (single_date(response, &LAST_MODIFIED)?, single_date(response, &DATE)?);
    (date.since(modified) >= ENOUGH).then_some(modified)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::lines::map;

    const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const SOON: &str = "Sun, 06 Nov 1994 08:50:36 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:50:37 GMT";

    #[test]
    fn a_weak_or_malformed_tag_is_no_strong_validator() {
        for tag in ["W/\"1\"", "1", "", "\"1"] {
            let response = map(&[("etag", tag), ("last-modified", MODIFIED), ("date", LATER)]);
            assert!(StrongValidator::of(&response).is_none(), "{tag}");
        }
        assert!(StrongValidator::of(&map(&[("etag", "\"1\"")])).is_some());
    }

    #[test]
    fn a_time_of_modification_is_strong_a_minute_later() {
        let of = |date| StrongValidator::of(&map(&[("last-modified", MODIFIED), ("date", date)])).is_some();
        assert_eq!((of(MODIFIED), of(SOON), of(LATER)), (false, false, true));
        assert!(StrongValidator::of(&map(&[("last-modified", MODIFIED)])).is_none());
        assert!(StrongValidator::of(&map(&[])).is_none());
    }

    #[test]
    fn only_equal_strong_validators_are_of_the_same_representation() {
        let tagged = |tag| map(&[("etag", tag)]);
        let dated = map(&[("last-modified", MODIFIED), ("date", LATER)]);
        assert!(same_representation(&tagged("\"1\""), &tagged("\"1\"")));
        assert!(!same_representation(&tagged("\"1\""), &tagged("\"2\"")));
        assert!(!same_representation(&tagged("W/\"1\""), &tagged("W/\"1\"")));
        assert!(same_representation(&dated, &dated));
        assert!(!same_representation(&tagged("\"1\""), &dated));
        assert!(!same_representation(&map(&[]), &map(&[])));
    }

    #[test]
    fn if_range_holds_for_the_strong_tag_and_the_strong_date_alone() {
        let response = map(&[("etag", "\"1\""), ("last-modified", MODIFIED), ("date", LATER)]);
        let holds = |value| if_range_holds(&map(&[("if-range", value)]), &response);
        assert!(holds("\"1\"") && holds(MODIFIED) && holds("Sunday, 06-Nov-94 08:49:37 GMT"));
        for value in ["W/\"1\"", "\"2\"", "1", "", LATER, SOON, "\"1\", \"2\"", "*"] {
            assert!(!holds(value), "{value}");
        }
        assert!(if_range_holds(&map(&[]), &response));
        let twice = map(&[("if-range", "\"1\""), ("if-range", "\"1\"")]);
        assert!(!if_range_holds(&twice, &response));
    }

    #[test]
    fn if_range_never_holds_for_a_weak_tag_or_date_of_the_response() {
        let weak = map(&[("etag", "W/\"1\"")]);
        for value in ["\"1\"", "W/\"1\""] {
            assert!(!if_range_holds(&map(&[("if-range", value)]), &weak), "{value}");
        }
        let fresh = map(&[("last-modified", MODIFIED), ("date", SOON)]);
        assert!(!if_range_holds(&map(&[("if-range", MODIFIED)]), &fresh));
    }

    #[test]
    fn if_range_never_holds_for_the_date_of_encoded_content() {
        let encoded = map(&[
            ("etag", "\"1\""),
            ("last-modified", MODIFIED),
            ("date", LATER),
            ("content-encoding", "gzip"),
        ]);
        let holds = |value| if_range_holds(&map(&[("if-range", value)]), &encoded);
        assert_eq!((holds(MODIFIED), holds("\"1\"")), (false, true));
    }
}
