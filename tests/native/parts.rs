//! Parts of a response that is not stored as a whole: stored, combined, completed, discarded.

use crate::support::exchange::{Got, get};
use crate::support::origin::{Outcome, reply, streamed};
use crate::support::ranged::{Representation, content};
use crate::support::{Instance, World, on_redis};
use bytes::Bytes;
use spindrift::body::BodyError;
use spindrift::pipeline;

pub(crate) const A: &str = "http://h/a";

pub(crate) async fn range(instance: &Instance, value: &str) -> Got {
    instance.get_with(A, &[("range", value)]).await
}

/// An instance, and an origin with 1000 bytes.
pub(crate) fn thousand(world: &World) -> (Instance, Representation) {
    (world.instance(), Representation::of(world, content(1000, 0), "\"1\""))
}

/// Requests these parts, each of which must come from the origin and be stored.
pub(crate) async fn put(instance: &Instance, parts: &[&str]) {
    for part in parts {
        let got = range(instance, part).await;
        assert!(got.status == 206 && got.is_stored() && !got.is_hit(), "{part}: {got:?}");
    }
}

/// Whether this range is answered without the origin.
pub(crate) async fn answers(instance: &Instance, range: &str) -> bool {
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
        // The same for a part that is not stored.
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

/// Answers the first request for a part with `wrong`, and every other request correctly.
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
fn a_gap_of_another_length_breaks_the_body_and_is_not_stored() {
    on_redis(async |world| {
        let short = vec![Ok(Bytes::from(vec![b'!'; 499]))];
        let long = vec![Ok(Bytes::from(vec![b'!'; 501]))];
        for pieces in [short, long] {
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
fn a_gap_that_breaks_is_a_502_and_what_is_stored_stays() {
    on_redis(async |world| {
        let (instance, representation) = thousand(world);
        put(&instance, &["bytes=0-499"]).await;
        answers_the_gap_with(world, &representation, || {
            let fields = [("etag", "\"1\""), ("content-range", "bytes 500-999/1000")];
            let broken = vec![Ok(Bytes::from(vec![b'!'; 10])), Err(BodyError("reset".to_owned()))];
            Ok(streamed(206, &fields, broken))
        });
        assert_eq!(instance.get(A).await.status, 502);
        assert!(answers(&instance, "bytes=0-499").await && !answers(&instance, "bytes=0-500").await);
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
        // A part that a client did not wait for is not stored either.
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

/// Digests of the content of a message: for a part, the digest of that part.
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
