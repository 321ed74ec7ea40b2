//! Ranges of a response that is stored as a whole: which bytes, how many reads, and which requests.

use crate::support::exchange::{Got, get, request};
use crate::support::origin::reply;
use crate::support::ranged::{Representation, content};
use crate::support::{Instance, World, on_redis, property};
use proptest::prelude::*;
use spindrift::body::Body;
use spindrift::cache::pieces::CHUNK;
use spindrift::pipeline;

const A: &str = "http://h/a";

/// An instance that has stored a response of `length` bytes.
async fn stored(world: &World, length: usize) -> (Instance, Representation) {
    let instance = world.instance();
    let representation = Representation::of(world, content(length, 0), "\"1\"");
    assert!(instance.get(A).await.is_stored());
    (instance, representation)
}

async fn range(instance: &Instance, value: &str) -> Got {
    instance.get_with(A, &[("range", value)]).await
}

#[test]
fn a_stored_whole_answers_ranges_of_it() {
    on_redis(async |world| {
        for length in [11, 700_000] {
            world.tell(&["FLUSHALL"]).await;
            let (instance, representation) = stored(world, length).await;
            let before = world.origin.count();
            for (asked, start, end) in [
                ("bytes=0-1", 0, 2),
                ("bytes=1-", 1, length),
                ("bytes=-1", length - 1, length),
                ("bytes=0-", 0, length),
                ("bytes=5-99999999", 5, length),
                ("bytes=-99999999", 0, length),
                ("bytes=3-4,5-6,99999999-", 3, 7),
                ("BYTES=2-2", 2, 3),
            ] {
                let got = range(&instance, asked).await;
                assert_eq!((got.status, got.is_hit()), (206, true), "{asked} of {length}");
                assert_eq!(got.bytes(), &representation.slice(start, end), "{asked} of {length}");
                assert_eq!(got.header("content-range"), format!("bytes {start}-{}/{length}", end - 1));
                assert_eq!(got.header("content-length"), (end - start).to_string());
                assert_eq!((got.header("etag"), got.header("age")), ("\"1\"", "0"));
            }
            assert_eq!(world.origin.count(), before);
        }
    });
}

#[test]
fn ranges_that_do_not_count_get_the_whole() {
    on_redis(async |world| {
        let (instance, representation) = stored(world, 1000).await;
        let many = format!("bytes={}", ["0-0"; 17].join(","));
        for ignored in ["bytes=", "bytes=5-4", "items=0-1", "bytes=0-1,x", "0-1", &many] {
            let got = range(&instance, ignored).await;
            assert_eq!((got.status, got.is_hit()), (200, true), "{ignored}");
            assert_eq!(got.bytes(), &representation.slice(0, 1000));
            assert_eq!((got.header("content-range"), got.header("accept-ranges")), ("", "bytes"));
        }
        let twice = instance.get_with(A, &[("range", "bytes=0-1"), ("range", "bytes=2-3")]).await;
        assert_eq!(twice.status, 200);
        assert_eq!(world.origin.count(), 1);
    });
}

#[test]
fn a_range_beyond_the_end_is_416_with_the_length() {
    on_redis(async |world| {
        let (instance, _) = stored(world, 1000).await;
        for beyond in ["bytes=1000-", "bytes=-0", "bytes=1000-2000,5000-"] {
            let got = range(&instance, beyond).await;
            assert_eq!((got.status, got.header("content-range")), (416, "bytes */1000"), "{beyond}");
            assert_eq!(got.header("content-type"), "application/problem+json");
        }
        let (instance, _) = (world.instance(), world.tell(&["FLUSHALL"]).await);
        world.origin.gives(200, &[("cache-control", "max-age=60")], "");
        instance.get(A).await;
        assert_eq!(
            range(&instance, "bytes=0-").await.status,
            200,
            "nothing has no range that can be written"
        );
    });
}

#[test]
fn a_head_request_has_no_ranges() {
    on_redis(async |world| {
        let (instance, _) = stored(world, 1000).await;
        let got = instance.send(request("HEAD", A, &[("range", "bytes=0-1")], Body::Empty)).await;
        assert_eq!((got.status, got.is_hit(), got.header("content-length")), (200, true, "1000"));
        assert_eq!(got.header("content-range"), "");
    });
}

#[test]
fn other_conditions_come_before_the_range() {
    on_redis(async |world| {
        let (instance, _) = stored(world, 1000).await;
        let with = async |name, value, range| instance.get_with(A, &[(name, value), ("range", range)]).await;
        assert_eq!(with("if-none-match", "\"1\"", "bytes=0-1").await.status, 304);
        assert_eq!(with("if-none-match", "\"1\"", "bytes=1000-").await.status, 304);
        assert_eq!(with("if-none-match", "\"2\"", "bytes=0-1").await.status, 206);
        assert_eq!(with("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT", "bytes=0-1").await.status, 304);
    });
}

#[test]
fn if_range_decides_between_the_part_and_the_whole() {
    on_redis(async |world| {
        let (instance, representation) = stored(world, 1000).await;
        let fields = [
            ("cache-control", "max-age=60"),
            ("etag", "\"2\""),
            ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ];
        representation.becomes(content(1000, 2), &fields);
        instance.get_with(A, &[("cache-control", "no-cache")]).await;
        for (condition, status) in [
            ("\"2\"", 206),
            ("\"1\"", 200),
            ("W/\"2\"", 200),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 206),
            ("Sun, 06 Nov 1994 08:49:38 GMT", 200),
            ("nonsense", 200),
        ] {
            let got = instance.get_with(A, &[("range", "bytes=0-1"), ("if-range", condition)]).await;
            assert_eq!((got.status, got.is_hit()), (status, true), "{condition}");
            let beyond = instance.get_with(A, &[("range", "bytes=1000-"), ("if-range", condition)]).await;
            assert_eq!(beyond.status, if status == 206 { 416 } else { 200 }, "{condition}");
        }
        let alone = instance.get_with(A, &[("if-range", "\"2\"")]).await;
        assert_eq!((alone.status, alone.is_hit()), (200, true), "without a range it says nothing");
    });
}

#[test]
fn only_a_200_has_ranges() {
    on_redis(async |world| {
        let instance = world.instance();
        for status in [404, 203, 301] {
            world.tell(&["FLUSHALL"]).await;
            world.origin.gives(status, &[("cache-control", "max-age=60")], "hello");
            instance.get(A).await;
            let got = range(&instance, "bytes=0-1").await;
            assert_eq!((got.status, got.is_hit(), got.text()), (status, true, "hello"));
            assert_eq!(range(&instance, "bytes=9-").await.status, status);
        }
    });
}

#[test]
fn an_origin_that_refuses_ranges_is_heard() {
    on_redis(async |world| {
        let instance = world.instance();
        world.origin.gives(200, &[("cache-control", "max-age=60"), ("accept-ranges", "none")], "hello");
        instance.get(A).await;
        let got = range(&instance, "bytes=0-1").await;
        assert_eq!((got.status, got.text(), got.header("accept-ranges")), (200, "hello", "none"));
    });
}

#[test]
fn a_small_range_is_one_command_and_of_a_large_body_one_piece_is_read() {
    on_redis(async |world| {
        let (instance, _) = stored(world, 1000).await;
        instance.env.wire().take_commands();
        range(&instance, "bytes=10-20").await;
        assert_eq!(instance.env.wire().take_commands(), ["MGET"]);
        let (instance, representation) =
            (world.instance(), Representation::of(world, content(2_000_000, 0), "\"1\""));
        instance.get("http://h/large").await;
        let (chunk, all) = (CHUNK as u64, 8);
        for (asked, pieces) in [
            ("bytes=0-0".to_owned(), 1),
            ("bytes=-1".to_owned(), 1),
            (format!("bytes={}-{}", chunk, 2 * chunk - 1), 1),
            (format!("bytes={}-{}", chunk - 1, chunk), 2),
            ("bytes=0-0,-1".to_owned(), 2),
            ("bytes=0-".to_owned(), all),
        ] {
            instance.env.wire().take_commands();
            let got = instance.get_with("http://h/large", &[("range", &asked)]).await;
            assert_eq!(got.status, 206);
            let expected: Vec<_> = ["MGET", "EXISTS"].into_iter().chain(vec!["GET"; pieces]).collect();
            assert_eq!(instance.env.wire().take_commands(), expected, "{asked}");
        }
        assert_eq!(representation.slice(0, 1), content(1, 0));
    });
}

#[test]
fn a_part_in_memory_leaves_with_its_head() {
    on_redis(async |world| {
        let (instance, _) = stored(world, 700_000).await;
        for asked in ["bytes=0-9", "bytes=300000-300009", "bytes=0-9,600000-600009"] {
            let response = pipeline::serve(&instance.app, get(A, &[("range", asked)])).await;
            assert!(matches!(response.body(), Body::Full(_)), "{asked}: {:?}", response.body());
        }
    });
}

#[test]
fn several_ranges_are_parts_that_can_be_read() {
    on_redis(async |world| {
        for length in [2000, 700_000] {
            world.tell(&["FLUSHALL"]).await;
            let instance = world.instance();
            let representation = Representation::of(world, content(length, 0), "\"1\"");
            let fields = [
                ("cache-control", "max-age=60"),
                ("etag", "\"1\""),
                ("content-type", "text/plain; charset=x"),
            ];
            representation.becomes(content(length, 0), &fields);
            instance.get(A).await;
            let got = range(&instance, "bytes=500-509,0-9,505-519,-5").await;
            assert_eq!((got.status, got.header("content-range")), (206, ""));
            assert_eq!(got.header("content-length"), got.bytes().len().to_string());
            let expected: Vec<_> = [(500, 520), (0, 10), (length - 5, length)]
                .into_iter()
                .map(|(start, end)| {
                    let range = format!("bytes {start}-{}/{length}", end - 1);
                    (range, "text/plain; charset=x".to_owned(), representation.slice(start, end))
                })
                .collect();
            assert_eq!(got.multipart(), expected);
        }
    });
}

#[test]
fn a_stale_whole_is_validated_and_then_answers_the_range() {
    on_redis(async |world| {
        let (instance, representation) = stored(world, 1000).await;
        world.clock.advance_secs(61);
        let got = range(&instance, "bytes=0-9").await;
        assert_eq!((got.status, got.forwarded(), got.parameter("fwd-status")), (206, "stale", "304"));
        assert_eq!((got.bytes(), got.is_stored()), (&representation.slice(0, 10), true));
        let asked = world.origin.last();
        assert_eq!((asked.header("range"), asked.header("if-none-match")), ("bytes=0-9", "\"1\""));
        assert!(range(&instance, "bytes=0-9").await.is_hit());
        // The representation has changed: the part comes from the origin, and the stored response is discarded.
        world.clock.advance_secs(61);
        representation.becomes(content(1000, 2), &[("cache-control", "max-age=60"), ("etag", "\"2\"")]);
        let got = range(&instance, "bytes=0-9").await;
        assert_eq!((got.status, got.header("etag")), (206, "\"2\""));
        assert_eq!(got.bytes(), &representation.slice(0, 10));
        let whole = instance.get(A).await;
        assert_eq!((whole.status, whole.bytes()), (200, &representation.slice(0, 1000)));
    });
}

#[test]
fn a_stale_whole_answers_a_range_while_the_origin_is_away() {
    on_redis(async |world| {
        let (instance, representation) = stored(world, 1000).await;
        world.clock.advance_secs(61);
        world.origin.is_away();
        let got = range(&instance, "bytes=0-9").await;
        assert_eq!((got.status, got.detail(), got.ttl()), (206, "origin-unreachable", -1));
        assert_eq!(got.bytes(), &representation.slice(0, 10));
    });
}

#[test]
fn a_missing_piece_is_a_miss_and_asked_of_the_origin() {
    on_redis(async |world| {
        let (instance, representation) = stored(world, 700_000).await;
        world.tell(&["DEL", &world.chunks().await[0]]).await;
        let got = range(&instance, "bytes=600000-600009").await;
        assert_eq!((got.status, got.forwarded()), (206, "uri-miss"));
        assert_eq!(got.bytes(), &representation.slice(600_000, 600_010));
    });
}

#[test]
fn a_range_of_a_variant_is_of_that_variant() {
    on_redis(async |world| {
        let instance = world.instance();
        world.origin.answers(|seen| {
            let fields = [("cache-control", "max-age=60"), ("vary", "accept-language")];
            Ok(reply(200, &fields, format!("in {}", seen.header("accept-language"))))
        });
        for language in ["de", "en"] {
            instance.get_with(A, &[("accept-language", language)]).await;
        }
        for language in ["de", "en"] {
            let got = instance.get_with(A, &[("accept-language", language), ("range", "bytes=3-")]).await;
            assert_eq!((got.status, got.text(), got.is_hit()), (206, language, true));
        }
    });
}

#[test]
fn any_ranges_of_any_body_are_slices_of_the_whole() {
    let specs = prop_oneof![
        (0usize..900_000, 0usize..300_000).prop_map(|(first, more)| format!("{first}-{}", first + more)),
        (0usize..900_000).prop_map(|first| format!("{first}-")),
        (0usize..900_000).prop_map(|length| format!("-{length}")),
    ];
    let values = (
        prop_oneof![1usize..2000, 262_000usize..263_000, 524_280usize..900_000],
        proptest::collection::vec(specs, 1..5),
    );
    property(40, &values, &async |world, (length, specs): (usize, Vec<String>)| {
        let (instance, representation) = stored(world, length).await;
        let got = range(&instance, &format!("bytes={}", specs.join(","))).await;
        let slice_of = |range: &str| {
            let (span, complete) = range.strip_prefix("bytes ").unwrap().split_once('/').unwrap();
            assert_eq!(complete, length.to_string());
            let (first, last) = span.split_once('-').unwrap();
            representation.slice(first.parse().unwrap(), last.parse::<usize>().unwrap() + 1)
        };
        match (got.status, got.header("content-range")) {
            (200, "") => assert_eq!(got.bytes(), &representation.slice(0, length)),
            (206, "") => {
                for (range, _, bytes) in got.multipart() {
                    assert_eq!(bytes, slice_of(&range), "{range}");
                }
            }
            (206, range) => assert_eq!(got.bytes(), &slice_of(range), "{range}"),
            (416, range) => assert_eq!(range, format!("bytes */{length}")),
            other => panic!("{other:?}"),
        }
        assert!(got.status == 416 || got.bytes().len() <= length);
    });
}

#[test]
fn the_digest_of_the_whole_is_not_that_of_a_part() {
    on_redis(async |world| {
        for config in ["", "[cache]\nrange = \"whole\"\n"] {
            world.tell(&["FLUSHALL"]).await;
            let instance = world.instance_with(config);
            let fields = &[
                ("cache-control", "max-age=60"),
                ("content-digest", "sha-256=:AA==:"),
                ("content-md5", "x"),
                ("repr-digest", "sha-256=:AA==:"),
            ];
            world.origin.answers(|_| Ok(reply(200, fields, content(5000, 0))));
            if config.is_empty() {
                assert_eq!(instance.get(A).await.header("content-digest"), "sha-256=:AA==:");
            }
            for asked in ["bytes=0-9", "bytes=0-9,50-59"] {
                let got = range(&instance, asked).await;
                assert_eq!(
                    (got.status, got.header("content-digest"), got.header("content-md5")),
                    (206, "", ""),
                    "{asked}"
                );
                assert_eq!(got.header("repr-digest"), "sha-256=:AA==:", "of the whole in any case");
            }
        }
    });
}
