use super::*;
use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

fn sample(content: Content) -> Entry {
    let mut headers = HeaderMap::new();
    headers.append("content-type", HeaderValue::from_static("text/plain"));
    headers.append("x-twice", HeaderValue::from_static("1"));
    headers.append("x-twice", HeaderValue::from_bytes(b"\xff2").unwrap());
    Entry {
        key: "4:http7:example2:/x-".to_owned(),
        selecting: "accept:x\n".to_owned(),
        received: Timestamp::from_millis(1_700_000_000_123),
        initial_age: 7,
        policy: Policy {
            lifetime: DeltaSeconds::from_secs(60),
            always_validate: true,
            forbids_stale: false,
            immutable: true,
            stale_if_error: DeltaSeconds::from_secs(5),
            stale_while_revalidate: DeltaSeconds::from_secs(6),
        },
        ledger: LedgerMark { id: "ab12".to_owned(), seq: 9 },
        status: StatusCode::OK,
        headers,
        tags: vec!["a".to_owned(), "b".to_owned()],
        content,
    }
}

#[test]
fn what_is_written_is_read() {
    let chunked = Content::Chunked { body: "b1".to_owned(), chunks: 3, length: 700_000 };
    for content in
        [Content::Inline(Bytes::new()), Content::Inline(Bytes::from_static(b"\0hello\xff")), chunked]
    {
        let entry = sample(content);
        assert_eq!(Entry::decode(&entry.encode().into()), Ok(entry));
    }
}

#[test]
fn more_fields_than_a_response_can_have_are_no_entry() {
    let mut entry = sample(Content::Inline(Bytes::new()));
    for _ in 0..40_000 {
        entry.headers.append("a", HeaderValue::from_static(""));
    }
    assert_eq!(Entry::decode(&entry.encode().into()), Err(Corrupt::Damaged));
}

#[test]
fn another_version_is_no_entry() {
    let mut bytes = sample(Content::Inline(Bytes::new())).encode();
    bytes[0] = 99;
    assert_eq!(Entry::decode(&bytes.into()), Err(Corrupt::Version { expected: VERSION, found: 99 }));
    assert_eq!(Entry::decode(&Bytes::new()), Err(Corrupt::Damaged));
}

#[test]
fn the_ttl_is_what_is_left_of_the_lifetime() {
    let entry = sample(Content::Inline(Bytes::new()));
    let later = |seconds: u64| entry.received.plus(std::time::Duration::from_secs(seconds));
    assert_eq!((entry.age(later(3)), entry.ttl(later(3))), (10, 50));
    assert_eq!(entry.ttl(later(100)), -47);
}

#[test]
fn a_304_updates_every_field_but_those_the_content_depends_on() {
    let mut entry = sample(Content::Inline(Bytes::new()));
    entry.headers.insert(AGE, HeaderValue::from_static("50"));
    entry.headers.insert(ETAG, HeaderValue::from_static("\"2\""));
    entry.headers.insert("cache-tag", HeaderValue::from_static("a, b"));
    let mut update = HeaderMap::new();
    for (name, value) in [
        ("x-twice", "3"),
        ("content-type", "x/y"),
        ("content-length", "9"),
        ("etag", "W/\"2\""),
        ("cache-tag", "c"),
    ] {
        update.append(name, HeaderValue::from_static(value));
    }
    assert!(entry.freshen(&update, "http://h"));
    assert_eq!(entry.headers.get_all("x-twice").iter().collect::<Vec<_>>(), ["3"]);
    assert_eq!(entry.headers["content-type"], "x/y");
    assert_eq!(entry.headers["etag"], "W/\"2\"");
    assert!(!entry.headers.contains_key("content-length") && !entry.headers.contains_key(AGE));
    assert_eq!(entry.tags, ["c"]);
}

#[test]
fn a_304_about_another_representation_updates_nothing() {
    let mut entry = sample(Content::Inline(Bytes::new()));
    entry.headers.insert(ETAG, HeaderValue::from_static("\"a\""));
    let update = |tag: &'static str| {
        let mut update = HeaderMap::new();
        update.insert(ETAG, HeaderValue::from_static(tag));
        update.insert("x-new", HeaderValue::from_static("1"));
        update
    };
    assert!(!entry.freshen(&update("\"b\""), "http://h"));
    assert!(!entry.headers.contains_key("x-new"));
    assert_eq!(entry.headers[ETAG], "\"a\"");
    assert!(entry.freshen(&update("\"a\""), "http://h"));
    assert!(entry.headers.contains_key("x-new"));
}

#[test]
fn a_head_response_is_about_it_when_validators_and_length_match() {
    let mut entry = sample(Content::Inline(Bytes::from_static(b"body")));
    entry.headers.insert(ETAG, HeaderValue::from_static("\"a\""));
    let matches = |lines: &[(&'static str, &'static str)]| {
        let head = lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        entry.matches_head(&head.collect())
    };
    assert!(matches(&[]) && matches(&[("etag", "\"a\""), ("content-length", "4")]));
    assert!(!matches(&[("etag", "\"b\"")]) && !matches(&[("content-length", "5")]));
    assert!(!matches(&[("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")]));
}

proptest! {
    /// RFC 9111 §4.2.3, for every clock: an age never shrinks, and the remaining lifetime never grows.
    #[test]
    fn ages_saturate(initial in any::<u64>(), received in any::<u64>(), now in any::<u64>(), later in any::<u64>(), lifetime in any::<u64>()) {
        let mut entry = sample(Content::NONE);
        entry.initial_age = initial;
        entry.received = Timestamp::from_millis(received);
        entry.policy.lifetime = DeltaSeconds::from_secs(lifetime);
        let now = Timestamp::from_millis(now);
        let later = now.plus(std::time::Duration::from_millis(later));
        prop_assert!(entry.age(now) >= initial && entry.age(later) >= entry.age(now));
        prop_assert!(entry.ttl(later) <= entry.ttl(now));
        prop_assert!(entry.ttl(now) <= i64::try_from(entry.policy.lifetime.as_secs()).unwrap());
        prop_assert_eq!(entry.ttl(now) > 0, entry.age(now) < entry.policy.lifetime.as_secs());
    }

    #[test]
    fn any_bytes_are_an_entry_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Entry::decode(&bytes.into());
    }

    #[test]
    fn no_changed_byte_of_the_head_goes_unnoticed(at in 0usize..200, flip in 1u8..) {
        let mut bytes = sample(Content::Inline(Bytes::from_static(b"body"))).encode();
        let at = at % (bytes.len() - 4);
        bytes[at] ^= flip;
        prop_assert!(Entry::decode(&bytes.into()).is_err());
    }

    #[test]
    fn no_truncated_entry_is_read(cut in 1usize..200) {
        let mut bytes = sample(Content::Inline(Bytes::from_static(b"body"))).encode();
        bytes.truncate(bytes.len().saturating_sub(cut));
        prop_assert!(Entry::decode(&bytes.into()).is_err());
    }

    #[test]
    fn any_entry_is_read_as_it_was_written(
        texts in proptest::array::uniform3("\\PC{0,20}"),
        numbers in proptest::array::uniform4(any::<u64>()),
        flags in any::<[bool; 3]>(),
        status in 200u16..600,
        fields in proptest::collection::vec(("[a-z-]{1,8}", proptest::collection::vec(any::<u8>(), 0..20)), 0..6),
        tags in proptest::collection::vec("\\PC{0,10}", 0..5),
        content in proptest::collection::vec(any::<u8>(), 0..100),
        pieces in proptest::option::of((0u32..9, "[0-9a-f]{1,8}")),
    ) {
        let seconds = DeltaSeconds::from_secs;
        let fields = fields.iter().filter_map(|(name, value)| {
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(value).ok()?))
        });
        let content = match pieces {
            Some((chunks, body)) => Content::Chunked { body, chunks, length: numbers[3] },
            None => Content::Inline(content.into()),
        };
        let [key, selecting, id] = texts;
        let policy = Policy {
            lifetime: seconds(numbers[2]),
            always_validate: flags[0],
            forbids_stale: flags[1],
            immutable: flags[2],
            stale_if_error: seconds(numbers[1]),
            stale_while_revalidate: seconds(numbers[3]),
        };
        let entry = Entry {
            key,
            selecting,
            received: Timestamp::from_millis(numbers[0]),
            initial_age: numbers[1],
            policy,
            ledger: LedgerMark { id, seq: numbers[2] },
            status: StatusCode::from_u16(status)?,
            headers: fields.collect(),
            tags,
            content,
        };
        let read = Entry::decode(&entry.encode().into());
        prop_assert_eq!(read.as_ref().map(Entry::preamble), Ok(entry.preamble()));
        prop_assert_eq!(read, Ok(entry));
    }

    #[test]
    fn no_changed_byte_of_the_content_goes_unnoticed(at in 0usize..5, flip in 1u8..) {
        let mut bytes = sample(Content::Inline(Bytes::from_static(b"hello"))).encode();
        let place = bytes.len() - 5 + at;
        bytes[place] ^= flip;
        prop_assert_eq!(Entry::decode(&bytes.into()), Err(Corrupt::Checksum));
    }
}
