//! Which part of a stored response answers a range request, and how the response is composed (RFC 9110 §14.2,
//! §15.3.7).

use crate::field::digest;
use crate::field::range::{ContentRange, Ranges, Span, refused};
use crate::field::validator::{StrongValidator, if_range_holds};
use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use std::fmt::Display;

/// What a range request gets of a representation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selected {
    /// The whole, as if there were no `Range`: 200.
    Whole,
    /// A single range: 206.
    One(Span),
    /// Several ranges: 206 with `multipart/byteranges`.
    Several(Multipart),
    /// Nothing, because no requested range lies within the representation: 416.
    Unsatisfiable,
}

impl Selected {
    /// Returns the spans of content that are needed; `None` for all of it.
    #[must_use]
    pub fn spans(&self) -> Option<Vec<Span>> {
        match self {
            Self::Whole => None,
            Self::One(span) => Some(vec![*span]),
            Self::Several(multipart) => Some(multipart.parts.iter().map(|(_, span)| *span).collect()),
            Self::Unsatisfiable => Some(vec![]),
        }
    }
}

/// Selects what a request for `ranges` gets of a 200 with the fields `stored` and `complete` bytes of content.
///
/// The other conditions must have been evaluated before: `If-Range` comes last (RFC 9110 §13.2.2).
/// `boundary` returns a delimiter that nobody can have put into the content.
#[must_use]
pub fn select(
    ranges: &Ranges,
    request: &HeaderMap,
    stored: &HeaderMap,
    complete: u64,
    boundary: impl FnOnce() -> String,
) -> Selected {
    // An empty representation has no range that `Content-Range` could express.
    if complete == 0 || !may_be_cut(stored) || !if_range_holds(request, stored) {
        return Selected::Whole;
    }
    let spans = ranges.of_representation(complete);
    match spans[..] {
        [] => Selected::Unsatisfiable,
        [span] => Selected::One(span),
        _ => {
            let multipart = Multipart::new(spans, stored.get(CONTENT_TYPE), complete, boundary());
            // The parts and the delimiters between them must not be longer than the whole.
            if multipart.length < complete { Selected::Several(multipart) } else { Selected::Whole }
        }
    }
}

/// A `multipart/byteranges` content (RFC 9110 §14.6), without the bytes of its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multipart {
    boundary: String,
    /// Each part: the delimiter and fields that precede it, and its span.
    pub parts: Vec<(Bytes, Span)>,
    /// The closing delimiter.
    pub end: Bytes,
    /// The length of the content in bytes, parts included.
    pub length: u64,
}

impl Multipart {
    fn new(spans: Vec<Span>, media_type: Option<&HeaderValue>, complete: u64, boundary: String) -> Self {
        let parts: Vec<_> = spans
            .into_iter()
            .enumerate()
            .map(|(number, span)| (part_head(number, span, media_type, complete, &boundary), span))
            .collect();
        let end = Bytes::from(format!("\r\n--{boundary}--\r\n"));
        let length = parts.iter().map(|(head, span)| head.len() as u64 + span.length()).sum::<u64>();
        Self { length: length + end.len() as u64, boundary, parts, end }
    }
}

/// Writes the delimiter and the fields that precede a part.
fn part_head(
    number: usize,
    span: Span,
    media_type: Option<&HeaderValue>,
    complete: u64,
    boundary: &str,
) -> Bytes {
    let line_end = if number == 0 { "" } else { "\r\n" };
    let mut head = format!("{line_end}--{boundary}\r\n").into_bytes();
    if let Some(media_type) = media_type {
        head.extend_from_slice(b"Content-Type: ");
        head.extend_from_slice(media_type.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    let range = ContentRange::Bytes { span, complete: Some(complete) };
    head.extend_from_slice(format!("Content-Range: {range}\r\n\r\n").as_bytes());
    head.into()
}

/// Turns the fields of a 200 into those of the 206 with what was selected of its `complete` bytes.
pub fn describe(headers: &mut HeaderMap, selected: &Selected, complete: u64) {
    if matches!(selected, Selected::One(_) | Selected::Several(_)) {
        for of_the_whole in digest::OF_CONTENT {
            headers.remove(of_the_whole);
        }
    }
    match selected {
        Selected::Whole | Selected::Unsatisfiable => {}
        Selected::One(span) => {
            let range = ContentRange::Bytes { span: *span, complete: Some(complete) };
            headers.insert(CONTENT_RANGE, text(range));
            headers.insert(CONTENT_LENGTH, HeaderValue::from(span.length()));
        }
        Selected::Several(multipart) => {
            // "MUST NOT generate a Content-Range header field in the HTTP header section of a multiple part
            // response" (§15.3.7.2).
            headers.remove(CONTENT_RANGE);
            headers.insert(
                CONTENT_TYPE,
                text(format_args!("multipart/byteranges; boundary={}", multipart.boundary)),
            );
            headers.insert(CONTENT_LENGTH, HeaderValue::from(multipart.length));
        }
    }
}

/// Returns the `Content-Range` of a 416.
#[must_use]
pub fn unsatisfied(complete: u64) -> HeaderValue {
    text(ContentRange::Unsatisfied { complete })
}

/// Announces that ranges of a stored 200 may be requested, unless the origin said otherwise (§14.3).
pub fn accept(headers: &mut HeaderMap) {
    if may_be_cut(headers) {
        headers.entry(ACCEPT_RANGES).or_insert(HeaderValue::from_static("bytes"));
    }
}

/// Returns whether ranges of a stored 200 make sense: not if the origin says `Accept-Ranges: none`, and not of content that
/// was encoded, by us or by the origin, unless a strong validator guarantees the same bytes each time.
fn may_be_cut(stored: &HeaderMap) -> bool {
    !refused(stored) && (!stored.contains_key(CONTENT_ENCODING) || StrongValidator::of(stored).is_some())
}

/// Makes a field value of text that is always visible ASCII.
fn text(value: impl Display) -> HeaderValue {
    HeaderValue::try_from(value.to_string()).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::lines::map;
    use proptest::prelude::*;

    fn selected(range: &str, request: &HeaderMap, stored: &HeaderMap, complete: u64) -> Selected {
        let ranges = Ranges::parse(range, 16).unwrap();
        select(&ranges, request, stored, complete, || "BOUNDARY".to_owned())
    }

    fn plain(range: &str, complete: u64) -> Selected {
        selected(range, &map(&[]), &map(&[]), complete)
    }

    fn one(start: u64, end: u64) -> Selected {
        Selected::One(Span::new(start, end).unwrap())
    }

    #[test]
    fn one_range_is_one_part_even_if_it_is_everything() {
        assert_eq!(plain("bytes=0-1", 10), one(0, 2));
        assert_eq!(plain("bytes=0-", 10), one(0, 10));
        assert_eq!(plain("bytes=0-1,2-3", 10), one(0, 4));
        assert_eq!(plain("bytes=0-1,99-", 10), one(0, 2));
    }

    #[test]
    fn nothing_of_it_is_416_but_for_an_empty_representation() {
        assert_eq!(plain("bytes=10-", 10), Selected::Unsatisfiable);
        assert_eq!(plain("bytes=-0", 10), Selected::Unsatisfiable);
        assert_eq!(plain("bytes=0-", 0), Selected::Whole);
        assert_eq!(unsatisfied(10), "bytes */10");
    }

    #[test]
    fn several_parts_that_cost_more_than_the_whole_are_the_whole() {
        assert_eq!(plain("bytes=0-0,5-5", 100), Selected::Whole);
        assert!(matches!(plain("bytes=0-0,5-5", 10_000), Selected::Several(_)));
    }

    #[test]
    fn an_origin_that_refuses_ranges_is_heard() {
        let refusing = map(&[("accept-ranges", "none")]);
        assert_eq!(selected("bytes=0-1", &map(&[]), &refusing, 10), Selected::Whole);
    }

    #[test]
    fn what_was_encoded_on_the_way_has_no_parts() {
        let gzip = ("content-encoding", "gzip");
        for (stored, expected) in [
            (&[gzip][..], Selected::Whole),
            (&[gzip, ("etag", "W/\"1\"")], Selected::Whole),
            (&[gzip, ("etag", "\"1\"")], one(0, 2)),
            (&[("etag", "W/\"1\"")], one(0, 2)),
        ] {
            let mut stored = map(stored);
            assert_eq!(selected("bytes=0-1", &map(&[]), &stored, 10), expected);
            accept(&mut stored);
            assert_eq!(stored.contains_key(ACCEPT_RANGES), expected != Selected::Whole);
        }
    }

    #[test]
    fn a_failed_if_range_is_as_good_as_no_range() {
        let stored = map(&[("etag", "\"1\"")]);
        let with = |tag| selected("bytes=99-", &map(&[("if-range", tag)]), &stored, 10);
        assert_eq!(with("\"1\""), Selected::Unsatisfiable);
        assert_eq!(with("\"2\""), Selected::Whole);
        assert_eq!(with("W/\"1\""), Selected::Whole);
    }

    #[test]
    fn the_fields_of_a_part_say_which_it_is() {
        let mut headers = map(&[("content-type", "text/plain"), ("content-length", "10")]);
        describe(&mut headers, &one(2, 5), 10);
        assert_eq!(
            (&headers[CONTENT_RANGE], &headers[CONTENT_LENGTH]),
            (&"bytes 2-4/10".parse().unwrap(), &"3".parse().unwrap())
        );
        assert_eq!(headers[CONTENT_TYPE], "text/plain");
    }

    #[test]
    fn parts_carry_type_and_range_and_the_head_does_not() {
        let stored = map(&[("content-type", "text/plain")]);
        let selected = selected("bytes=0-1,-1", &map(&[]), &stored, 1000);
        let Selected::Several(multipart) = &selected else { panic!("{selected:?}") };
        let heads: Vec<_> =
            multipart.parts.iter().map(|(head, _)| std::str::from_utf8(head).unwrap()).collect();
        assert_eq!(
            heads,
            [
                "--BOUNDARY\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/1000\r\n\r\n",
                "\r\n--BOUNDARY\r\nContent-Type: text/plain\r\nContent-Range: bytes 999-999/1000\r\n\r\n",
            ]
        );
        let mut headers = stored;
        describe(&mut headers, &selected, 1000);
        assert_eq!(headers[CONTENT_TYPE], "multipart/byteranges; boundary=BOUNDARY");
        assert!(!headers.contains_key(CONTENT_RANGE));
        let heads: usize = heads.iter().map(|head| head.len()).sum();
        assert_eq!(headers[CONTENT_LENGTH], (heads + 3 + "\r\n--BOUNDARY--\r\n".len()).to_string());
    }

    proptest! {
        #[test]
        fn no_answer_is_longer_than_the_whole(set in "[0-9]{1,3}-(,-?[0-9]{1,3}-?){0,9}", complete in 0u64..2000) {
            if let Some(ranges) = Ranges::parse(&format!("bytes={set}"), 16) {
                let sent = match select(&ranges, &map(&[]), &map(&[]), complete, || "B".repeat(32)) {
                    Selected::Whole => complete,
                    Selected::One(span) => span.length(),
                    Selected::Several(multipart) => multipart.length,
                    Selected::Unsatisfiable => 0,
                };
                prop_assert!(sent <= complete);
            }
        }
    }
}
