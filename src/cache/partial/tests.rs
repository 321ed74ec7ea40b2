use super::*;
use crate::cache::entry::{LedgerMark, Policy};
use crate::field::lines::map;
use crate::time::{DeltaSeconds, Timestamp};
use bytes::Bytes;
use http::{HeaderName, StatusCode};
use proptest::prelude::*;
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn entry(after: u64, fields: &[(&'static str, &str)]) -> Entry {
    Entry {
        key: "4:http1:h2:/a-".to_owned(),
        selecting: String::new(),
        received: NOW.plus(Duration::from_secs(after)),
        initial_age: 0,
        policy: Policy {
            lifetime: DeltaSeconds::from_secs(60 + after),
            always_validate: false,
            forbids_stale: false,
            immutable: false,
            stale_if_error: DeltaSeconds::ZERO,
            stale_while_revalidate: DeltaSeconds::ZERO,
        },
        ledger: LedgerMark { id: "ab".to_owned(), seq: after },
        status: StatusCode::PARTIAL_CONTENT,
        headers: map(fields),
        tags: vec![],
        content: Content::Inline(Bytes::from_static(b"none of its business")),
    }
}

fn span(start: u64, end: u64) -> Span {
    Span::new(start, end).unwrap()
}

fn run(start: u64, end: u64) -> Run {
    Run { span: span(start, end), body: format!("{start}-{end}") }
}

/// A part of a representation of 100 bytes, received after `after` seconds.
fn part(tag: &str, after: u64, (start, end): (u64, u64)) -> Partial {
    Partial::new(entry(after, &[("etag", tag)]), 100, run(start, end)).unwrap()
}

/// Parts of one representation, combined one after the other.
fn parts(all: &[(u64, u64)]) -> Partial {
    let mut all = all.iter().enumerate();
    let (_, first) = all.next().unwrap();
    all.fold(part("\"1\"", 0, *first), |stored, (after, bounds)| {
        part("\"1\"", after as u64, *bounds).combined(Some(stored), 1000).unwrap()
    })
}

fn has(partial: &Partial, spans: &[Span]) -> bool {
    spans.iter().all(|span| covers(partial.runs(), *span))
}

fn bounds(partial: &Partial) -> Vec<(u64, u64)> {
    partial.runs.iter().map(|run| (run.span.start(), run.span.end())).collect()
}

#[test]
fn without_a_strong_validator_there_is_no_part() {
    let new = |fields: &[(&'static str, &str)]| {
        Partial::new(entry(0, fields), 100, run(0, 5)).map(|_| ()).unwrap_err()
    };
    for fields in [&[][..], &[("etag", "W/\"1\"")], &[("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")]] {
        assert_eq!(new(fields), Unstorable::NoValidator, "{fields:?}");
    }
}

#[test]
fn a_part_is_kept_as_an_incomplete_200() {
    let fields =
        [("etag", "\"1\""), ("content-range", "bytes 0-4/100"), ("content-length", "5"), ("x-a", "1")];
    let partial = Partial::new(entry(0, &fields), 100, run(0, 5)).unwrap();
    assert_eq!(partial.entry.status, StatusCode::OK);
    let names: Vec<_> = partial.headers().keys().map(HeaderName::as_str).collect();
    assert_eq!((names, partial.entry.content.length()), (vec!["etag", "x-a"], 0));
}

#[test]
fn a_206_must_say_what_it_carries_and_not_contradict_itself() {
    let of = |fields: &[(&'static str, &str)], declared| Carried::of(&map(fields), declared);
    let range = ("content-range", "bytes 4-9/10");
    assert_eq!(of(&[range], Some(6)), Ok(Carried { span: span(4, 10), complete: 10 }));
    assert!(of(&[range], None).is_ok());
    let refused = Err(Unstorable::ContentRange);
    // The public suite's own example: six bytes are named and five sent.
    assert_eq!(of(&[range], Some(5)), refused);
    assert_eq!(of(&[], Some(6)), refused);
    assert_eq!(of(&[range, range], Some(6)), refused);
    assert_eq!(of(&[range, ("content-type", "Multipart/ByteRanges; boundary=x")], Some(6)), refused);
    for other in ["bytes 4-9/*", "bytes */10", "bytes 9-4/10", "items 4-9/10", "bytes 4-10/10", ""] {
        assert_eq!(of(&[("content-range", other)], None), refused, "{other}");
    }
}

#[test]
fn parts_of_one_representation_add_up() {
    let partial = parts(&[(0, 10), (20, 30), (10, 15)]);
    assert_eq!(bounds(&partial), [(0, 10), (20, 30), (10, 15)]);
    assert!(has(&partial, &[span(0, 15)]) && has(&partial, &[span(3, 12), span(20, 30)]));
    assert!(!has(&partial, &[span(0, 16)]) && !has(&partial, &[span(0, 5), span(19, 21)]));
}

#[test]
fn a_part_that_others_cover_goes() {
    assert_eq!(bounds(&parts(&[(0, 10), (5, 15), (0, 15)])), [(0, 15)]);
    assert_eq!(bounds(&parts(&[(0, 10), (10, 20), (5, 15)])), [(0, 10), (10, 20)]);
    assert_eq!(bounds(&parts(&[(0, 10), (0, 10)])), [(0, 10)]);
}

#[test]
fn a_part_with_another_validator_discards_what_is_older_and_yields_to_what_is_newer() {
    let combined = |tag, after, stored| part(tag, after, (0, 5)).combined(Some(stored), 1000);
    let stored = || part("\"1\"", 10, (50, 60));
    assert_eq!(bounds(&combined("\"2\"", 11, stored()).unwrap()), [(0, 5)]);
    assert_eq!(combined("\"2\"", 9, stored()), None);
    let mut longer = stored();
    longer.complete = 101;
    assert_eq!(bounds(&combined("\"1\"", 11, longer).unwrap()), [(0, 5)], "of another length");
}

#[test]
fn the_fields_of_the_newer_part_replace_those_of_the_older_and_the_rest_stays() {
    let older =
        || Partial::new(entry(0, &[("etag", "\"1\""), ("a", "1"), ("b", "1")]), 100, run(0, 5)).unwrap();
    let newer = || Partial::new(entry(7, &[("etag", "\"1\""), ("a", "2")]), 100, run(5, 9)).unwrap();
    for combined in [newer().combined(Some(older()), 100), older().combined(Some(newer()), 100)] {
        let combined = combined.unwrap();
        assert_eq!(
            (&combined.headers()["a"], &combined.headers()["b"]),
            (&"2".parse().unwrap(), &"1".parse().unwrap())
        );
        assert_eq!(combined.entry.received, NOW.plus(Duration::from_secs(7)));
        assert_eq!((combined.entry.policy.lifetime.as_secs(), combined.entry.ledger.seq), (67, 7));
        assert!(has(&combined, &[span(0, 9)]));
    }
}

#[test]
fn the_gap_reaches_from_the_first_missing_byte_to_the_last() {
    let gap = |all: &[(u64, u64)]| parts(all).gap().map(|gap| (gap.start(), gap.end()));
    assert_eq!(gap(&[(0, 5)]), Some((5, 100)));
    assert_eq!(gap(&[(95, 100)]), Some((0, 95)));
    assert_eq!(gap(&[(0, 5), (95, 100)]), Some((5, 95)));
    assert_eq!(gap(&[(40, 50)]), Some((0, 100)));
    assert_eq!(gap(&[(0, 5), (40, 50), (95, 100)]), Some((5, 95)));
    assert_eq!(gap(&[(0, 60), (50, 100)]), None);
}

#[test]
fn only_the_gap_of_the_same_representation_continues_it() {
    let partial = part("\"1\"", 0, (0, 5));
    let gap = partial.gap().unwrap();
    let continued = |tag: &str, range: &str, declared| {
        partial.is_continued_by(&map(&[("etag", tag), ("content-range", range)]), declared, gap)
    };
    assert!(continued("\"1\"", "bytes 5-99/100", Some(95)) && continued("\"1\"", "bytes 5-99/100", None));
    assert!(!continued("\"2\"", "bytes 5-99/100", Some(95)));
    assert!(!continued("W/\"1\"", "bytes 5-99/100", Some(95)));
    assert!(!continued("\"1\"", "bytes 5-99/100", Some(94)));
    for other in ["bytes 5-98/100", "bytes 4-99/100", "bytes 5-99/*", "bytes 5-100/101", "bytes 0-99/100"] {
        assert!(!continued("\"1\"", other, None), "{other}");
    }
}

#[test]
fn many_small_parts_do_not_drive_out_a_long_one() {
    let long = (50, 100);
    let all: Vec<_> = [long].into_iter().chain((0..49).map(|at| (at, at + 1))).collect();
    let partial = parts(&all);
    assert_eq!(partial.runs.len(), MAX_RUNS);
    assert!(has(&partial, &[span(50, 100)]));
}

#[test]
fn the_shortest_go_when_there_are_too_many_bytes() {
    let stored = parts(&[(0, 20), (30, 35)]);
    let combined = part("\"1\"", 9, (40, 50)).combined(Some(stored), 30).unwrap();
    assert_eq!(bounds(&combined), [(0, 20), (40, 50)]);
}

#[test]
fn what_is_written_is_read_and_nothing_else() {
    let partial = parts(&[(0, 10), (20, 30)]);
    let bytes = Bytes::from(partial.encode());
    assert!(matches!(Record::decode(&bytes), Ok(Record::Part(read)) if *read == partial));
    for cut in 0..bytes.len() {
        assert!(Record::decode(&bytes.slice(..cut)).is_err(), "{cut}");
    }
    assert!(Entry::decode(&bytes).is_err(), "an instance that knows no parts takes it for none");
    let whole = Bytes::from(partial.entry.encode());
    assert!(matches!(Record::decode(&whole), Ok(Record::Whole(_))));
}

#[test]
fn a_record_with_impossible_runs_is_damaged() {
    let mut partial = parts(&[(0, 10)]);
    partial.complete = 9;
    assert_eq!(Record::decode(&partial.encode().into()).unwrap_err(), crate::cache::entry::Corrupt::Damaged);
    let mut partial = parts(&[(0, 10)]);
    partial.runs.clear();
    assert!(Record::decode(&partial.encode().into()).is_err());
    let mut partial = parts(&[(0, 10)]);
    partial.entry.headers.clear();
    assert!(Record::decode(&partial.encode().into()).is_err());
}

proptest! {
    #[test]
    fn no_changed_byte_goes_unnoticed(at in 0usize..400, flip in 1u8..) {
        let mut bytes = parts(&[(0, 10), (20, 30)]).encode();
        let at = at % bytes.len();
        bytes[at] ^= flip;
        prop_assert!(Record::decode(&bytes.into()).is_err());
    }

    #[test]
    fn any_bytes_are_a_record_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Record::decode(&[b"Q".to_vec(), bytes].concat().into());
    }

    #[test]
    fn what_is_together_is_what_came_and_the_gap_is_what_did_not(
        all in proptest::collection::vec((0u64..99, 1u64..40), 1..12)
    ) {
        let all: Vec<_> = all.into_iter().map(|(start, length)| (start, (start + length).min(100))).collect();
        let partial = parts(&all);
        let came = |at| all.iter().any(|(start, end)| *start <= at && at < *end);
        for at in 0..100 {
            prop_assert_eq!(has(&partial, &[span(at, at + 1)]), came(at), "{}", at);
        }
        let missing: Vec<_> = (0..100).filter(|at| !came(*at)).collect();
        let expected = missing.first().zip(missing.last()).map(|(first, last)| span(*first, last + 1));
        prop_assert_eq!(partial.gap(), expected);
    }
}
