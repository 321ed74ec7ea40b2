//! Parts of a response that is not stored as a whole: kept, put together, made complete, discarded.

use crate::support::exchange::{Got, get};
use crate::support::origin::{Outcome, reply, streamed};
use crate::support::ranged::{Representation, content};
use crate::support::{Instance, World, on_redis, property};
use bytes::Bytes;
use proptest::prelude::*;
use spindrift::body::BodyError;
use spindrift::pipeline;
use spindrift::purge::Purge;

const A: &str = "http://h/a";

async fn range(instance: &Instance, value: &str) -> Got {
    instance.get_with(A, &[("range", value)]).await
}

/// An instance, and an origin with 1000 bytes.
fn thousand(world: &World) -> (Instance, Representation) {
    (world.instance(), Representation::of(world, content(1000, 0), "\"1\""))
}

/// Stores these parts, each of which must come from the origin.
async fn put(instance: &Instance, parts: &[&str]) {
    for part in parts {
        let got = range(instance, part).await;
        assert!(got.status == 206 && got.is_stored() && !got.is_hit(), "{part}: {got:?}");
    }
}

/// How much of it is stored: the parts that answer without the origin.
async fn answers(instance: &Instance, range: &str) -> bool {
    let fields = [("range", range), ("cache-control", "only-if-cached")];
    instance.get_with(A, &fields).await.status == 206
}

#[test]
fn a_part_is_stored_and_answers_the_ranges_within_it_on_every_instance() {
    on_redis(async |world| {
        let (one, representation) = thousand(world);
        let other = world.instance();
        let miss = range(&one, "bytes=100-599").await;
        assert_eq!((miss.status, miss.forwarded(), miss.ttl()), (206, "uri-miss", 60));
        assert_eq!(miss.header("content-range"), "bytes 100-599/1000");
        assert!(miss.is_stored());
        world.clock.advance_secs(7);
        for (asked, start, end) in [
            ("bytes=100-599", 100, 600),
            ("bytes=100-100", 100, 101),
            ("bytes=300-400", 300, 401),
            ("bytes=599-599", 599, 600),
        ] {
            let hit = range(&other, asked).await;
            assert_eq!(
                (hit.status, hit.is_hit(), hit.header("age"), hit.ttl()),
                (206, true, "7", 53),
                "{asked}"
            );
            assert_eq!(hit.header("content-range"), format!("bytes {start}-{}/1000", end - 1));
            assert_eq!(hit.header("content-length"), (end - start).to_string());
            assert_eq!(hit.bytes(), &representation.slice(start, end));
        }
        let several = range(&other, "bytes=100-101,200-201").await;
        assert_eq!((several.is_hit(), several.multipart().len()), (true, 2));
        assert_eq!(world.origin.count(), 1);
    });
}

#[test]
fn a_range_at_the_end_or_beyond_it_is_known_by_the_complete_length() {
    on_redis(async |world| {
        let (instance, representation) = thousand(world);
        put(&instance, &["bytes=-100"]).await;
        assert_eq!(range(&instance, "bytes=950-").await.bytes(), &representation.slice(950, 1000));
        assert_eq!(range(&instance, "bytes=-10").await.bytes(), &representation.slice(990, 1000));
        let beyond = range(&instance, "bytes=1000-").await;
        assert_eq!((beyond.status, beyond.header("content-range")), (416, "bytes */1000"));
        assert_eq!(world.origin.count(), 1);
        assert!(!range(&instance, "bytes=-101").await.is_hit());
    });
}

#[test]
fn parts_of_the_same_representation_answer_together() {
    on_redis(async |world| {
        let (instance, representation) = thousand(world);
        put(&instance, &["bytes=0-99", "bytes=300-399", "bytes=100-299"]).await;
        let hit = range(&instance, "bytes=50-349").await;
        assert_eq!((hit.is_hit(), hit.bytes()), (true, &representation.slice(50, 350)));
        let more = range(&instance, "bytes=50-400").await;
        assert_eq!((more.forwarded(), more.bytes()), ("partial", &representation.slice(50, 401)));
        assert_eq!(
            world.origin.last().header("range"),
            "bytes=50-400",
            "what the client asked, as it asked it"
        );
    });
}

#[test]
fn once_all_parts_are_there_it_is_a_whole() {
    on_redis(async |world| {
        for length in [1000, 900_000] {
            world.tell(&["FLUSHALL"]).await;
            let instance = world.instance();
            let representation = Representation::of(world, content(length, 0), "\"1\"");
            let (third, two) = (length / 3, 2 * length / 3);
            for (start, end) in [(two, length), (0, third + 50), (third, two)] {
                put(&instance, &[&format!("bytes={start}-{}", end - 1)]).await;
            }
            let asked = world.origin.count();
            instance.env.wire().take_commands();
            let hit = instance.get(A).await;
            assert_eq!((hit.status, hit.is_hit(), hit.header("content-range")), (200, true, ""));
            assert_eq!(hit.bytes(), &representation.slice(0, length));
            assert_eq!(hit.header("content-length"), length.to_string());
            if length == 1000 {
                assert_eq!(instance.env.wire().take_commands(), ["MGET"], "a hit like any other");
            }
            assert_eq!(world.origin.count(), asked);
        }
    });
}

#[test]
fn a_part_that_is_everything_is_stored_as_a_whole_and_needs_no_validator() {
    on_redis(async |world| {
        let (instance, representation) = thousand(world);
        representation.becomes(content(1000, 0), &[("cache-control", "max-age=60")]);
        put(&instance, &["bytes=0-"]).await;
        let hit = instance.get(A).await;
        assert_eq!((hit.status, hit.is_hit(), hit.header("content-range")), (200, true, ""));
        assert_eq!(hit.bytes(), &representation.slice(0, 1000));
    });
}

#[test]
fn who_wants_all_gets_the_missing_part_from_the_origin_and_the_rest_from_the_store() {
    on_redis(async |world| {
        for (part, asked) in
            [("bytes=0-4", "bytes=5-"), ("bytes=-5", "bytes=0-994"), ("bytes=0-299", "bytes=300-")]
        {
            world.tell(&["FLUSHALL"]).await;
            let (instance, representation) = thousand(world);
            put(&instance, &[part]).await;
            world.clock.advance_secs(5);
            let got = instance.get(A).await;
            assert_eq!((got.status, got.forwarded(), got.parameter("fwd-status")), (200, "partial", "206"));
            assert_eq!((got.header("content-range"), got.header("content-length")), ("", "1000"));
            assert_eq!(got.bytes(), &representation.slice(0, 1000));
            assert!(got.is_stored() && got.ttl() == 60);
            let seen = world.origin.last();
            assert_eq!((seen.header("range"), seen.header("if-range")), (asked, "\"1\""));
            let hit = instance.get(A).await;
            assert_eq!((hit.status, hit.is_hit(), hit.bytes()), (200, true, &representation.slice(0, 1000)));
        }
    });
}

#[test]
fn the_gap_in_the_middle_is_filled_from_first_to_last_byte() {
    on_redis(async |world| {
        let instance = world.instance();
        let representation = Representation::of(world, content(900_000, 0), "\"1\"");
        put(&instance, &["bytes=0-299999", "bytes=-100000", "bytes=500000-500099"]).await;
        let got = instance.get(A).await;
        assert_eq!(world.origin.last().header("range"), "bytes=300000-799999");
        assert_eq!((got.status, got.bytes()), (200, &representation.slice(0, 900_000)));
        assert_eq!(instance.get(A).await.bytes(), &representation.slice(0, 900_000));
    });
}

#[test]
fn a_client_that_has_the_whole_gets_304_and_the_whole_is_stored_all_the_same() {
    on_redis(async |world| {
        let (instance, representation) = thousand(world);
        put(&instance, &["bytes=0-499"]).await;
        let got = instance.get_with(A, &[("if-none-match", "\"1\"")]).await;
        assert_eq!((got.status, got.is_stored()), (304, true));
        assert_eq!(instance.get(A).await.bytes(), &representation.slice(0, 1000));
        assert_eq!(world.origin.count(), 2);
        // The same for a part that is not there.
        let other =
            instance.get_with("http://h/b", &[("if-none-match", "\"1\""), ("range", "bytes=0-1")]).await;
        assert_eq!((other.status, other.header("content-range")), (304, ""));
    });
}

#[test]
fn the_origin_changed_its_mind_and_gives_all_of_the_new_representation() {
    on_redis(async |world| {
        let (instance, representation) = thousand(world);
        put(&instance, &["bytes=0-499"]).await;
        representation.becomes(content(800, 2), &[("cache-control", "max-age=60"), ("etag", "\"2\"")]);
        let got = instance.get(A).await;
        assert_eq!((got.status, got.bytes(), got.is_stored()), (200, &representation.slice(0, 800), true));
        assert_eq!(range(&instance, "bytes=0-9").await.bytes(), &representation.slice(0, 10));
    });
}

/// Answers the first request for all of it by `wrong`, if it asks for a part only, and everything else well.
fn answers_the_gap_with(
    world: &World,
    representation: &Representation,
    mut wrong: impl FnMut() -> Outcome + 'static,
) {
    let good = representation.clone();
    world.origin.answers(
        move |seen| {
            if seen.header("if-range").is_empty() { Ok(good.answer(seen)) } else { wrong() }
        },
    );
}

#[test]
fn what_does_not_fit_the_gap_is_discarded_and_the_whole_is_asked_for() {
    on_redis(async |world| {
        let part = |tag: &'static str, range: &'static str, length: usize| {
            let fields = [("cache-control", "max-age=60"), ("etag", tag), ("content-range", range)];
            move || Ok(reply(206, &fields, vec![b'!'; length]))
        };
        type Answers = Box<dyn FnMut() -> Outcome>;
        let wrong: [(&str, Answers); 8] = [
            ("another tag", Box::new(part("\"2\"", "bytes 500-999/1000", 500))),
            ("a weak tag", Box::new(part("W/\"1\"", "bytes 500-999/1000", 500))),
            ("another range", Box::new(part("\"1\"", "bytes 400-899/1000", 500))),
            ("less", Box::new(part("\"1\"", "bytes 500-998/1000", 499))),
            ("another length", Box::new(part("\"1\"", "bytes 500-999/1001", 500))),
            ("no range", Box::new(|| Ok(reply(206, &[("etag", "\"1\"")], vec![b'!'; 500])))),
            ("403", Box::new(|| Ok(reply(403, &[("cache-control", "max-age=60")], "forbidden")))),
            ("416", Box::new(|| Ok(reply(416, &[("content-range", "bytes */9")], "")))),
        ];
        for (what, wrong) in wrong {
            world.tell(&["FLUSHALL"]).await;
            let (instance, representation) = thousand(world);
            put(&instance, &["bytes=0-499"]).await;
            answers_the_gap_with(world, &representation, wrong);
            let got = instance.get(A).await;
            assert_eq!((got.status, got.bytes()), (200, &representation.slice(0, 1000)), "{what}");
            assert_eq!(world.origin.last().header("range"), "", "{what}");
            let hit = instance.get(A).await;
            assert!(hit.is_hit() && hit.bytes() == &representation.slice(0, 1000), "{what}");
        }
    });
}

#[test]
fn a_gap_that_breaks_or_has_another_length_breaks_the_body_and_is_not_stored() {
    on_redis(async |world| {
        let short = vec![Ok(Bytes::from(vec![b'!'; 499]))];
        let long = vec![Ok(Bytes::from(vec![b'!'; 501]))];
        let broken = vec![Ok(Bytes::from(vec![b'!'; 10])), Err(BodyError("reset".to_owned()))];
        for pieces in [short, long, broken] {
            world.tell(&["FLUSHALL"]).await;
            let (instance, representation) = thousand(world);
            put(&instance, &["bytes=0-499"]).await;
            answers_the_gap_with(world, &representation, move || {
                let fields = [("etag", "\"1\""), ("content-range", "bytes 500-999/1000")];
                Ok(streamed(206, &fields, pieces.clone()))
            });
            assert!(instance.get(A).await.body.is_err());
            assert!(instance.env.logged("not stored: http://h/a"), "{:?}", instance.env.log_lines());
            assert!(answers(&instance, "bytes=0-499").await && !answers(&instance, "bytes=0-500").await);
        }
    });
}

#[test]
fn a_part_with_another_validator_discards_those_before() {
    on_redis(async |world| {
        let (instance, representation) = thousand(world);
        put(&instance, &["bytes=0-499"]).await;
        representation.becomes(content(1000, 2), &[("cache-control", "max-age=60"), ("etag", "\"2\"")]);
        put(&instance, &["bytes=500-999"]).await;
        assert!(!answers(&instance, "bytes=0-499").await);
        let got = range(&instance, "bytes=450-549").await;
        assert_eq!((got.is_hit(), got.bytes()), (false, &representation.slice(450, 550)));
        let whole = instance.get(A).await;
        assert_eq!(whole.bytes(), &representation.slice(0, 1000));
    });
}

#[test]
fn what_must_not_be_stored_as_a_whole_is_not_stored_in_parts() {
    on_redis(async |world| {
        for (field, detail) in [
            (("cache-control", "no-store"), "no-store"),
            (("cache-control", "private, max-age=60"), "private"),
            (("set-cookie", "sid=1"), "set-cookie"),
            (("vary", "*"), "vary"),
            (("vary", "range"), "vary"),
            (("etag", "W/\"1\""), "no-validator"),
        ] {
            let (instance, representation) = thousand(world);
            let mut fields = vec![("cache-control", "max-age=60"), ("etag", "\"1\"")];
            fields.retain(|(name, _)| *name != field.0);
            fields.push(field);
            representation.becomes(content(1000, 0), &fields);
            let got = range(&instance, "bytes=0-9").await;
            assert_eq!((got.status, got.is_stored(), got.detail()), (206, false, detail), "{field:?}");
            assert_eq!(got.bytes(), &representation.slice(0, 10));
            assert!(!answers(&instance, "bytes=0-9").await);
        }
        let (instance, _) = thousand(world);
        let got = instance.get_with(A, &[("range", "bytes=0-9"), ("authorization", "Basic x")]).await;
        assert_eq!(got.detail(), "authorization");
        let got = instance.get_with(A, &[("range", "bytes=0-9"), ("cache-control", "no-store")]).await;
        assert_eq!(got.detail(), "request-no-store");
    });
}

#[test]
fn a_206_that_contradicts_itself_is_passed_on_and_not_stored() {
    on_redis(async |world| {
        let good = ("content-range", "bytes 4-9/10");
        let multipart = ("content-type", "multipart/byteranges; boundary=x");
        let wrong: [(&[(&str, &str)], usize); 6] = [
            (&[], 6),
            (&[good], 5),
            (&[good], 7),
            (&[("content-range", "bytes 4-9/*")], 6),
            (&[("content-range", "bytes 4-9/9")], 6),
            (&[good, multipart], 6),
        ];
        for (fields, length) in wrong {
            for declared in [true, false] {
                let instance = world.instance();
                let fields: Vec<_> = fields.to_vec();
                world.origin.answers(move |_| {
                    let size = length.to_string();
                    let mut all = vec![("cache-control", "max-age=60"), ("etag", "\"1\"")];
                    all.extend(fields.iter().copied());
                    let body = Bytes::from(vec![b'x'; length]);
                    if declared {
                        all.push(("content-length", &size));
                        return Ok(reply(206, &all, body));
                    }
                    Ok(streamed(206, &all, vec![Ok(body)]))
                });
                let got = range(&instance, "bytes=-6").await;
                assert_eq!((got.status, got.bytes().len()), (206, length));
                assert!(!declared || got.detail() == "content-range", "{got:?}");
                assert!(!answers(&instance, "bytes=4-4").await, "{length} {declared}");
            }
        }
    });
}

#[test]
fn a_part_that_breaks_is_not_stored() {
    on_redis(async |world| {
        let (instance, representation) = (world.instance(), content(600_000, 0));
        world.origin.answers(move |_| {
            let fields = [
                ("cache-control", "max-age=60"),
                ("etag", "\"1\""),
                ("content-range", "bytes 0-599999/900000"),
            ];
            let pieces = vec![Ok(representation.slice(..400_000)), Err(BodyError("reset".to_owned()))];
            Ok(streamed(206, &fields, pieces))
        });
        assert!(range(&instance, "bytes=0-599999").await.body.is_err());
        assert!(!answers(&instance, "bytes=0-0").await);
        // Neither is what a client did not wait for.
        let response = pipeline::serve(&instance.app, get(A, &[("range", "bytes=0-599999")])).await;
        drop(response);
        instance.env.settle().await;
        assert!(!answers(&instance, "bytes=0-0").await);
    });
}

#[test]
fn a_206_for_if_range_may_lack_fields_and_only_adds_to_what_is_stored() {
    on_redis(async |world| {
        let (instance, representation) = thousand(world);
        let resumed =
            async |from: &str| instance.get_with(A, &[("range", from), ("if-range", "\"1\"")]).await;
        let bare = [("cache-control", "max-age=60"), ("etag", "\"1\"")];
        representation.becomes(content(1000, 0), &bare);
        let got = resumed("bytes=500-").await;
        assert_eq!((got.status, got.is_stored(), got.detail()), (206, false, "if-range"));
        representation.becomes(content(1000, 0), &[bare[0], bare[1], ("content-type", "text/plain")]);
        put(&instance, &["bytes=0-499"]).await;
        representation.becomes(content(1000, 0), &bare);
        assert!(resumed("bytes=500-").await.is_stored());
        let hit = instance.get(A).await;
        assert_eq!((hit.is_hit(), hit.header("content-type")), (true, "text/plain"));
        assert_eq!(hit.bytes(), &representation.slice(0, 1000));
    });
}

#[test]
fn a_client_with_another_validator_is_answered_by_the_origin() {
    on_redis(async |world| {
        let (instance, representation) = thousand(world);
        put(&instance, &["bytes=0-499"]).await;
        let got = instance.get_with(A, &[("range", "bytes=0-9"), ("if-range", "\"0\"")]).await;
        assert_eq!((got.status, got.bytes()), (200, &representation.slice(0, 1000)));
        assert_eq!(world.origin.last().header("if-range"), "\"0\"");
    });
}

#[test]
fn stale_parts_are_validated_or_replaced() {
    on_redis(async |world| {
        let (instance, representation) = thousand(world);
        put(&instance, &["bytes=0-499"]).await;
        world.clock.advance_secs(61);
        let got = range(&instance, "bytes=100-199").await;
        assert_eq!((got.status, got.forwarded(), got.parameter("fwd-status")), (206, "stale", "304"));
        assert!(got.is_stored() && got.bytes() == &representation.slice(100, 200));
        let asked = world.origin.last();
        assert_eq!((asked.header("range"), asked.header("if-none-match")), ("bytes=100-199", "\"1\""));
        assert!(range(&instance, "bytes=0-499").await.is_hit());
        // Stale again, and asked for more than there is: no 304 could answer that.
        world.clock.advance_secs(61);
        let got = range(&instance, "bytes=400-599").await;
        assert_eq!(
            (got.status, got.forwarded(), got.bytes()),
            (206, "stale", &representation.slice(400, 600))
        );
        assert_eq!(world.origin.last().header("if-none-match"), "");
        assert!(
            range(&instance, "bytes=0-599").await.is_hit(),
            "the same validator: the older part is good again"
        );
        world.clock.advance_secs(61);
        representation.becomes(content(1000, 2), &[("cache-control", "max-age=60"), ("etag", "\"2\"")]);
        let got = range(&instance, "bytes=100-199").await;
        assert_eq!((got.status, got.bytes()), (206, &representation.slice(100, 200)));
        assert!(!answers(&instance, "bytes=0-99").await && answers(&instance, "bytes=100-199").await);
    });
}

#[test]
fn stale_parts_stand_in_for_an_origin_that_is_away_for_what_they_have() {
    on_redis(async |world| {
        let (instance, representation) = thousand(world);
        put(&instance, &["bytes=0-499"]).await;
        world.clock.advance_secs(61);
        world.origin.is_away();
        let got = range(&instance, "bytes=0-9").await;
        assert_eq!((got.status, got.detail(), got.ttl()), (206, "origin-unreachable", -1));
        assert_eq!(got.bytes(), &representation.slice(0, 10));
        assert_eq!(range(&instance, "bytes=0-500").await.status, 502);
        assert_eq!(instance.get(A).await.status, 502, "parts are no whole");
        world.origin.gives(503, &[("cache-control", "max-age=60")], "failed");
        assert_eq!(range(&instance, "bytes=0-9").await.status, 503, "no stale-if-error");
        assert_eq!(range(&instance, "bytes=0-9").await.status, 503, "and the error is not stored");
    });
}

#[test]
fn a_304_that_forbids_storing_drops_the_parts() {
    on_redis(async |world| {
        let (instance, representation) = thousand(world);
        put(&instance, &["bytes=0-499"]).await;
        world.clock.advance_secs(61);
        representation.becomes(content(1000, 0), &[("cache-control", "no-store"), ("etag", "\"1\"")]);
        let got = range(&instance, "bytes=0-9").await;
        assert_eq!((got.status, got.detail(), got.bytes()), (206, "no-store", &representation.slice(0, 10)));
        assert_eq!(range(&instance, "bytes=0-9").await.forwarded(), "uri-miss");
    });
}

#[test]
fn a_304_for_a_part_says_what_the_origin_gave() {
    on_redis(async |world| {
        let (instance, _) = thousand(world);
        let fields = [("range", "bytes=0-9"), ("if-modified-since", "Fri, 01 Jan 2038 00:00:00 GMT")];
        world.origin.answers(|_| {
            let fields = [
                ("cache-control", "max-age=60"),
                ("last-modified", "Thu, 01 Jan 2015 00:00:00 GMT"),
                ("content-range", "bytes 0-9/1000"),
            ];
            Ok(reply(206, &fields, "0123456789"))
        });
        let got = instance.get_with(A, &fields).await;
        assert_eq!((got.status, got.forwarded(), got.parameter("fwd-status")), (304, "uri-miss", "206"));
    });
}

#[test]
fn parts_that_a_304_is_not_about_are_asked_for_anew() {
    on_redis(async |world| {
        let (instance, _) = thousand(world);
        put(&instance, &["bytes=0-499"]).await;
        world.clock.advance_secs(61);
        world.origin.answers(|seen| {
            let fields =
                [("cache-control", "max-age=60"), ("etag", "\"2\""), ("content-range", "bytes 0-9/1000")];
            let known = !seen.header("if-none-match").is_empty();
            Ok(if known { reply(304, &fields[..2], "") } else { reply(206, &fields, "0123456789") })
        });
        let got = range(&instance, "bytes=0-9").await;
        assert_eq!((got.status, got.text(), got.header("etag")), (206, "0123456789", "\"2\""));
        assert!(answers(&instance, "bytes=0-9").await && !answers(&instance, "bytes=10-19").await);
    });
}

#[test]
fn what_a_part_of_another_representation_supersedes_goes_where_that_is_not_stored() {
    on_redis(async |world| {
        for stored in ["bytes=0-499", ""] {
            world.tell(&["FLUSHALL"]).await;
            let (instance, representation) = thousand(world);
            representation.becomes(
                content(1000, 0),
                &[("cache-control", "max-age=60, stale-if-error=600"), ("etag", "\"1\"")],
            );
            if stored.is_empty() {
                instance.get(A).await;
            } else {
                put(&instance, &[stored]).await;
            }
            world.clock.advance_secs(61);
            representation.becomes(content(1000, 1), &[("cache-control", "no-store"), ("etag", "\"2\"")]);
            let got = range(&instance, "bytes=0-9").await;
            assert_eq!((got.status, got.bytes()), (206, &representation.slice(0, 10)));
            world.origin.gives(503, &[], "error");
            assert_eq!(range(&instance, "bytes=0-9").await.status, 503, "{stored}");
        }
    });
}

#[test]
fn parts_that_do_not_answer_go_too_where_a_part_of_another_representation_is_not_stored() {
    on_redis(async |world| {
        let (instance, representation) = thousand(world);
        let fields = [("cache-control", "max-age=60, stale-if-error=600"), ("etag", "\"1\"")];
        representation.becomes(content(1000, 0), &fields);
        put(&instance, &["bytes=0-499"]).await;
        world.clock.advance_secs(61);
        representation.becomes(content(1000, 1), &[("cache-control", "no-store"), ("etag", "\"2\"")]);
        let got = range(&instance, "bytes=600-609").await;
        assert_eq!((got.status, got.bytes()), (206, &representation.slice(600, 610)));
        world.origin.gives(503, &[], "error");
        assert_eq!(range(&instance, "bytes=0-9").await.status, 503);
    });
}

#[test]
fn what_several_parts_of_another_representation_supersede_goes_and_of_the_same_it_stays() {
    on_redis(async |world| {
        for (tag, status) in [("\"1\"", 206), ("\"2\"", 503)] {
            world.tell(&["FLUSHALL"]).await;
            let (instance, representation) = thousand(world);
            let fields = [("cache-control", "max-age=60, stale-if-error=600"), ("etag", "\"1\"")];
            representation.becomes(content(1000, 0), &fields);
            put(&instance, &["bytes=0-499"]).await;
            let multipart = [("content-type", "multipart/byteranges; boundary=b"), ("etag", tag)];
            world.origin.answers(move |_| Ok(reply(206, &multipart, "--b--")));
            let got = range(&instance, "bytes=600-609,800-809").await;
            assert_eq!((got.status, got.detail()), (206, "content-range"));
            world.clock.advance_secs(61);
            world.origin.gives(503, &[], "error");
            assert_eq!(range(&instance, "bytes=0-9").await.status, status);
        }
    });
}

#[test]
fn parts_that_do_not_help_to_complete_it_go_too_where_the_whole_is_not_stored() {
    on_redis(async |world| {
        let (instance, representation) = thousand(world);
        let fields = [("cache-control", "max-age=60, stale-if-error=600"), ("etag", "\"1\"")];
        representation.becomes(content(1000, 0), &fields);
        put(&instance, &["bytes=100-199"]).await;
        world.clock.advance_secs(61);
        representation.becomes(content(1000, 1), &[("cache-control", "no-store"), ("etag", "\"2\"")]);
        assert_eq!(instance.get(A).await.bytes(), &representation.slice(0, 1000));
        world.origin.gives(503, &[], "error");
        assert_eq!(range(&instance, "bytes=100-199").await.status, 503);
    });
}

#[test]
fn what_is_not_found_any_more_covers_no_error_though_only_a_part_was_asked_for() {
    on_redis(async |world| {
        let (instance, representation) = thousand(world);
        let fields = [("cache-control", "max-age=60, stale-if-error=600"), ("etag", "\"1\"")];
        representation.becomes(content(1000, 0), &fields);
        instance.get(A).await;
        world.clock.advance_secs(61);
        world.origin.gives(404, &[("cache-control", "max-age=60")], "gone");
        assert_eq!(range(&instance, "bytes=0-9").await.status, 404);
        world.origin.gives(503, &[], "error");
        assert_eq!(instance.get(A).await.status, 503);
    });
}

#[test]
fn purges_are_for_parts_too() {
    on_redis(async |world| {
        let (instance, representation) = thousand(world);
        let fields = [("cache-control", "max-age=60"), ("etag", "\"1\""), ("cache-tag", "news")];
        representation.becomes(content(1000, 0), &fields);
        put(&instance, &["bytes=0-499", "bytes=600-699"]).await;
        instance.purge_url(A).await;
        assert!(!answers(&instance, "bytes=0-499").await);
        put(&instance, &["bytes=0-499"]).await;
        instance.purge_tag("news").await;
        assert!(!answers(&instance, "bytes=0-499").await);
        put(&instance, &["bytes=0-499"]).await;
        assert!(
            !answers(&instance, "bytes=600-699").await,
            "what was purged does not come back with the next part"
        );
        let soft = Purge { tags: vec!["news".to_owned()], soft: true, ..Purge::default() };
        instance.purge(&soft).await.unwrap();
        let got = range(&instance, "bytes=0-9").await;
        assert_eq!((got.forwarded(), got.parameter("fwd-status")), ("stale", "304"));
        assert!(range(&instance, "bytes=0-9").await.is_hit(), "validated since");
        instance.send(crate::support::exchange::request("POST", A, &[], spindrift::body::Body::Empty)).await;
        assert!(!answers(&instance, "bytes=0-9").await, "and an unsafe request invalidates them");
    });
}

#[test]
fn a_part_whose_resource_was_purged_while_it_was_fetched_is_not_stored() {
    on_redis(async |world| {
        for purge in ["url", "tag"] {
            let (instance, representation) = thousand(world);
            let fields = [("cache-control", "max-age=60"), ("etag", "\"1\""), ("cache-tag", "news")];
            representation.becomes(content(1000, 0), &fields);
            world.tell(&["FLUSHALL"]).await;
            put(&instance, &["bytes=0-499"]).await;
            let asked = world.origin.count();
            world.origin.hold();
            let purged = async {
                world.origin.asked(asked + 1).await;
                match purge {
                    "url" => instance.purge_url(A).await,
                    _ => instance.purge_tag("news").await,
                }
                world.origin.release();
            };
            let (got, ()) = futures_util::future::join(range(&instance, "bytes=500-599"), purged).await;
            assert_eq!(got.status, 206);
            assert!(
                !answers(&instance, "bytes=500-599").await && !answers(&instance, "bytes=0-0").await,
                "{purge}"
            );
        }
    });
}

#[test]
fn a_whole_that_came_meanwhile_is_not_replaced_by_a_part() {
    on_redis(async |world| {
        let (instance, representation) = thousand(world);
        let asked = world.origin.count();
        world.origin.hold();
        let whole = async {
            world.origin.asked(asked + 1).await;
            world.origin.release();
            let other = world.instance();
            other.get(A).await
        };
        let (part, whole) = futures_util::future::join(range(&instance, "bytes=0-9"), whole).await;
        assert!(part.status == 206 && whole.is_stored());
        let hit = instance.get(A).await;
        assert_eq!((hit.is_hit(), hit.bytes()), (true, &representation.slice(0, 1000)));
    });
}

#[test]
fn parts_of_variants_keep_apart() {
    on_redis(async |world| {
        let instance = world.instance();
        world.origin.answers(|seen| {
            let text = format!("all that is in {}", seen.header("accept-language"));
            let tag = format!("\"{}\"", seen.header("accept-language"));
            let fields = [
                ("cache-control", "max-age=60"),
                ("vary", "accept-language"),
                ("etag", &tag),
                ("content-range", &format!("bytes 12-16/{}", text.len())),
            ];
            Ok(reply(206, &fields, text[12..17].to_owned()))
        });
        let part = async |language| {
            instance.get_with(A, &[("accept-language", language), ("range", "bytes=12-16")]).await
        };
        for language in ["de", "en"] {
            assert_eq!(part(language).await.text(), format!("in {language}"));
        }
        for language in ["de", "en"] {
            let hit = part(language).await;
            assert_eq!((hit.is_hit(), hit.text().to_owned()), (true, format!("in {language}")));
        }
        assert_eq!(world.origin.count(), 2);
    });
}

#[test]
fn a_part_with_a_missing_piece_is_asked_of_the_origin_and_goes_with_the_next() {
    on_redis(async |world| {
        let instance = world.instance();
        let representation = Representation::of(world, content(900_000, 0), "\"1\"");
        put(&instance, &["bytes=0-299999"]).await;
        world.tell(&["DEL", &world.chunks().await[1]]).await;
        assert!(range(&instance, "bytes=0-9").await.is_hit(), "the other piece is there");
        let got = range(&instance, "bytes=270000-270009").await;
        assert_eq!((got.forwarded(), got.bytes()), ("partial", &representation.slice(270_000, 270_010)));
        assert!(answers(&instance, "bytes=270000-270009").await);
        let whole = instance.get(A).await;
        assert_eq!((whole.status, whole.bytes()), (200, &representation.slice(0, 900_000)));
    });
}

#[test]
fn pieces_live_as_long_as_the_last_part_that_came() {
    on_redis(async |world| {
        let (instance, _) = thousand(world);
        put(&instance, &["bytes=0-99"]).await;
        world.tell(&["PEXPIRE", &world.chunks().await[0], "1000"]).await;
        put(&instance, &["bytes=200-299"]).await;
        for key in world.chunks().await {
            assert!(world.ask::<i64>(&["PTTL", &key]).await > 3_600_000, "{key}");
        }
        world.clock.advance_secs(61);
        for key in world.chunks().await {
            world.tell(&["PEXPIRE", &key, "1000000"]).await;
        }
        assert_eq!(range(&instance, "bytes=0-9").await.parameter("fwd-status"), "304");
        for key in world.chunks().await {
            assert!(world.ask::<i64>(&["PTTL", &key]).await > 3_600_000, "{key}");
        }
    });
}

#[test]
fn parts_of_what_is_too_large_to_be_stored_are_stored_up_to_the_limit() {
    on_redis(async |world| {
        let instance = world.instance_with("[cache]\nmax_object_size = \"500B\"\n");
        let representation = Representation::of(world, content(1000, 0), "\"1\"");
        put(&instance, &["bytes=0-299", "bytes=300-399"]).await;
        put(&instance, &["bytes=500-749"]).await;
        assert!(answers(&instance, "bytes=0-299").await && !answers(&instance, "bytes=300-399").await);
        let got = range(&instance, "bytes=0-500").await;
        assert_eq!((got.is_stored(), got.detail()), (false, "too-large"));
        let whole = instance.get(A).await;
        assert_eq!(whole.detail(), "too-large");
        assert!(whole.bytes() == &representation.slice(0, 1000));
        assert_eq!(world.origin.last().header("range"), "", "what cannot be stored is not put together");
    });
}

#[test]
fn two_instances_may_store_parts_at_the_same_time() {
    on_redis(async |world| {
        let (one, representation) = thousand(world);
        let other = world.instance();
        let (a, b) =
            futures_util::future::join(range(&one, "bytes=0-99"), range(&other, "bytes=200-299")).await;
        assert!(a.is_stored() && b.is_stored());
        for (asked, start) in [("bytes=0-99", 0), ("bytes=200-299", 200)] {
            assert_eq!(range(&one, asked).await.bytes(), &representation.slice(start, start + 100));
        }
        assert_eq!(one.get(A).await.bytes(), &representation.slice(0, 1000));
    });
}

#[test]
fn head_is_not_answered_by_parts() {
    on_redis(async |world| {
        let (instance, _) = thousand(world);
        put(&instance, &["bytes=0-99"]).await;
        let head = crate::support::exchange::request(
            "HEAD",
            A,
            &[("range", "bytes=0-9")],
            spindrift::body::Body::Empty,
        );
        let got = instance.send(head).await;
        assert!(!got.is_hit());
        assert_eq!(world.origin.last().method, "HEAD");
    });
}

#[test]
fn only_if_cached_is_answered_by_what_parts_have_and_nothing_else() {
    on_redis(async |world| {
        let (instance, _) = thousand(world);
        put(&instance, &["bytes=0-99"]).await;
        let cached = ("cache-control", "only-if-cached");
        assert_eq!(instance.get_with(A, &[cached, ("range", "bytes=0-9")]).await.status, 206);
        assert_eq!(instance.get_with(A, &[cached, ("range", "bytes=0-100")]).await.status, 504);
        assert_eq!(instance.get_with(A, &[cached]).await.status, 504);
        world.clock.advance_secs(61);
        assert_eq!(instance.get_with(A, &[cached, ("range", "bytes=0-9")]).await.status, 504);
        assert_eq!(world.origin.count(), 1);
    });
}

/// What happens in a history.
#[derive(Clone, Debug)]
enum Step {
    Range(usize, usize, usize),
    Whole(usize),
    Change,
    Purge,
    Wait(u64),
    Lose(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0usize..2, 0usize..600_000, 1usize..300_000).prop_map(|(by, start, length)| Step::Range(by, start, length)),
        3 => (0usize..2).prop_map(Step::Whole),
        1 => Just(Step::Change),
        1 => Just(Step::Purge),
        1 => (1u64..70).prop_map(Step::Wait),
        1 => (0usize..9).prop_map(Step::Lose),
    ]
}

#[test]
fn no_history_ever_mixes_two_representations_or_misplaces_a_byte() {
    let steps = proptest::collection::vec(any_step(), 1..25);
    property(60, &steps, &async |world, steps: Vec<Step>| {
        let instances = [world.instance(), world.instance()];
        let mut version = 1;
        let length = |version: usize| 600_000 + version;
        let fresh = |version: usize| content(length(version), u8::try_from(version).unwrap());
        let representation = Representation::of(world, fresh(version), "\"1\"");
        for step in steps {
            let got = match step {
                Step::Range(by, start, size) => {
                    range(&instances[by], &format!("bytes={start}-{}", start + size - 1)).await
                }
                Step::Whole(by) => instances[by].get(A).await,
                Step::Change => {
                    version += 1;
                    let tag = format!("\"{version}\"");
                    representation
                        .becomes(fresh(version), &[("cache-control", "max-age=60"), ("etag", &tag)]);
                    continue;
                }
                Step::Purge => {
                    instances[0].purge_url(A).await;
                    continue;
                }
                Step::Wait(seconds) => {
                    world.clock.advance_secs(seconds);
                    continue;
                }
                Step::Lose(number) => {
                    let chunks = world.chunks().await;
                    if let Some(key) = chunks.get(number) {
                        world.tell(&["DEL", key]).await;
                    }
                    continue;
                }
            };
            let of: usize = got.header("etag").trim_matches('"').parse().unwrap();
            let whole = fresh(of);
            match (got.status, got.header("content-range")) {
                (200, "") => assert_eq!(got.bytes(), &whole),
                (206, range) => {
                    let (span, complete) = range.strip_prefix("bytes ").unwrap().split_once('/').unwrap();
                    let (first, last) = span.split_once('-').unwrap();
                    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
                    assert_eq!(complete, length(of).to_string());
                    assert_eq!(got.bytes(), &whole.slice(first..=last));
                }
                other => panic!("{other:?}"),
            }
        }
    });
}

/// A digest of the content of a message: of a part, where that is a part.
const DIGESTS: [&str; 2] = ["content-digest", "content-md5"];

#[test]
fn the_digest_of_a_part_is_not_that_of_the_whole() {
    on_redis(async |world| {
        let (instance, representation) = thousand(world);
        let digests = DIGESTS.map(|name| (name, "x"));
        let fields = [&[("cache-control", "max-age=60"), ("etag", "\"1\"")][..], &digests].concat();
        representation.becomes(content(1000, 0), &fields);
        let first = range(&instance, "bytes=0-499").await;
        assert_eq!((first.status, first.header("content-digest")), (206, "x"), "it is the part that came");
        let within = range(&instance, "bytes=0-9").await;
        let joined = instance.get(A).await;
        let whole = instance.get(A).await;
        assert_eq!((within.is_hit(), joined.forwarded(), whole.is_hit()), (true, "partial", true));
        for name in DIGESTS {
            assert_eq!([&within, &joined, &whole].map(|got| got.header(name)), [""; 3], "{name}");
        }
    });
}

#[test]
fn a_request_whose_response_is_not_for_the_store_takes_no_parts_from_it() {
    on_redis(async |world| {
        let (instance, _) = thousand(world);
        put(&instance, &["bytes=0-499"]).await;
        world.clock.advance_secs(61);
        let fields = [("cache-control", "no-store"), ("range", "bytes=0-9")];
        assert_eq!(instance.get_with(A, &fields).await.detail(), "request-no-store");
        assert_eq!(range(&instance, "bytes=0-9").await.forwarded(), "stale");
    });
}

#[test]
fn only_if_cached_does_not_have_parts_validated_that_might_be_refreshed_later() {
    on_redis(async |world| {
        let (instance, representation) = thousand(world);
        let fields = [("cache-control", "max-age=60, stale-while-revalidate=60"), ("etag", "\"1\"")];
        representation.becomes(content(1000, 0), &fields);
        put(&instance, &["bytes=0-99"]).await;
        world.clock.advance_secs(61);
        let cached = ("cache-control", "only-if-cached");
        assert_eq!(instance.get_with(A, &[cached, ("range", "bytes=0-9")]).await.status, 504);
        assert_eq!(world.origin.count(), 1);
    });
}

#[test]
fn parts_of_what_is_superseded_by_what_must_not_be_stored_are_not_used_again() {
    on_redis(async |world| {
        for asked in ["bytes=0-9", ""] {
            world.tell(&["FLUSHALL"]).await;
            let (instance, _) = thousand(world);
            put(&instance, &["bytes=0-499"]).await;
            world.clock.advance_secs(61);
            world.origin.gives(200, &[("cache-control", "no-store")], "new");
            let fields = [("range", asked)];
            let got = instance.get_with(A, if asked.is_empty() { &[] } else { &fields }).await;
            assert_eq!((got.status, got.text()), (200, "new"));
            world.origin.is_away();
            assert_eq!(range(&instance, "bytes=0-9").await.status, 502, "{asked}");
        }
    });
}
