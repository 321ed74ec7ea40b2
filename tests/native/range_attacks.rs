//! Attacks that use `Range`, each by its name.

use crate::support::exchange::{Got, get};
use crate::support::origin::reply;
use crate::support::ranged::{Representation, content};
use crate::support::{Instance, World, on_redis};
use std::cell::Cell;
use std::rc::Rc;

const A: &str = "http://h/a";

async fn range(instance: &Instance, value: &str) -> Got {
    instance.get_with(A, &[("range", value)]).await
}

/// Counts the bytes of content that the origin sends.
fn counting(world: &World, representation: &Representation) -> Rc<Cell<u64>> {
    let (representation, sent) = (representation.clone(), Rc::new(Cell::new(0)));
    let count = Rc::clone(&sent);
    world.origin.answers(move |seen| {
        let response = representation.answer(seen);
        count.set(count.get() + response.body().length().unwrap_or_default());
        Ok(response)
    });
    sent
}

#[test]
fn rangeamp_sbr_a_small_range_with_a_new_query_each_time_fetches_no_more_than_that_range() {
    on_redis(async |world| {
        let instance = world.instance();
        let sent = counting(world, &Representation::of(world, content(1 << 20, 0), "\"1\""));
        for number in 0..20 {
            let url = format!("http://h/a?{number}");
            let got = instance.get_with(&url, &[("range", "bytes=0-0")]).await;
            assert_eq!((got.status, got.bytes().len()), (206, 1));
        }
        assert_eq!(sent.get(), 20);
        // The same for a client that demands a fresh response where one is stored.
        instance.get(A).await;
        sent.set(0);
        for validators in [&[("etag", "\"1\"")][..], &[]] {
            for _ in 0..5 {
                let fields = [("range", "bytes=0-0"), ("cache-control", "no-cache")];
                assert_eq!(instance.get_with(A, &fields).await.bytes().len(), 1, "{validators:?}");
            }
        }
        assert_eq!(sent.get(), 0, "it validates");
    });
}

#[test]
fn rangeamp_sbr_what_has_no_validator_is_not_fetched_whole_for_a_byte_of_it() {
    on_redis(async |world| {
        let instance = world.instance();
        let representation = Representation::of(world, content(1 << 20, 0), "\"1\"");
        representation.becomes(content(1 << 20, 0), &[("cache-control", "max-age=60")]);
        instance.get(A).await;
        let sent = counting(world, &representation);
        for _ in 0..5 {
            let fields = [("range", "bytes=0-0"), ("cache-control", "no-cache")];
            assert_eq!(instance.get_with(A, &fields).await.bytes().len(), 1);
        }
        assert_eq!(sent.get(), 5);
    });
}

#[test]
fn rangeamp_obr_overlapping_ranges_never_give_more_than_the_whole() {
    on_redis(async |world| {
        for length in [1000, 600_000] {
            world.tell(&["FLUSHALL"]).await;
            let instance = world.instance_with("[cache]\nmax_ranges = 1000\n");
            Representation::of(world, content(length, 0), "\"1\"");
            instance.get(A).await;
            let all = |spec: &str| format!("bytes={}", vec![spec; 1000].join(","));
            let every = (0..1000).map(|at| format!("{at}-{at}")).collect::<Vec<_>>().join(",");
            let odd = (0..500).map(|at| format!("{0}-{0}", 2 * at)).collect::<Vec<_>>().join(",");
            for asked in [all("0-"), all("-1"), all("0-0"), format!("bytes={every}"), format!("bytes={odd}")]
            {
                let got = range(&instance, &asked).await;
                assert!(got.bytes().len() <= length, "{} bytes of {length}", got.bytes().len());
                assert!(got.is_hit());
            }
        }
    });
}

#[test]
fn rangeamp_obr_overlapping_ranges_do_not_reach_the_origin() {
    on_redis(async |world| {
        let instance = world.instance();
        world.origin.gives(206, &[("content-type", "multipart/byteranges; boundary=x")], "--x--");
        for (asked, sent) in [
            ("bytes=0-,0-,0-,0-,0-,0-", "bytes=0-"),
            ("bytes=-1024,-1024,-1024", "bytes=-1024"),
            ("bytes=0-0,0-1,0-2,5-9", "bytes=0-2,5-9"),
            ("bytes=1-,0-9", "bytes=0-"),
        ] {
            let got = range(&instance, asked).await;
            assert_eq!((got.status, got.detail()), (206, "content-range"), "passed on and not stored");
            assert_eq!(world.origin.last().header("range"), sent);
        }
        let many =
            format!("bytes={}", (0..17).map(|at| format!("{0}-{0}", 2 * at)).collect::<Vec<_>>().join(","));
        range(&instance, &many).await;
        assert_eq!(world.origin.last().header("range"), "", "too many are as good as none");
    });
}

#[test]
fn a_stored_part_never_answers_a_request_without_range() {
    on_redis(async |world| {
        let instance = world.instance();
        let representation = Representation::of(world, content(1000, 0), "\"1\"");
        for part in ["bytes=0-499", "bytes=500-", "bytes=-1"] {
            world.tell(&["FLUSHALL"]).await;
            assert!(range(&instance, part).await.is_stored());
            for fields in
                [&[][..], &[("range", "bytes=x")], &[("range", "items=0-1")], &[("if-range", "\"1\"")]]
            {
                let got = instance.get_with(A, fields).await;
                assert_eq!((got.status, got.header("content-range")), (200, ""), "{fields:?}");
                assert_eq!(got.bytes(), &representation.slice(0, 1000), "{fields:?}");
            }
        }
    });
}

#[test]
fn an_unasked_206_is_not_stored_for_anybody() {
    on_redis(async |world| {
        let instance = world.instance();
        let fields = [("cache-control", "max-age=60"), ("etag", "\"1\""), ("content-range", "bytes 0-3/10")];
        world.origin.gives(206, &[], "part");
        world.origin.answers(move |_| Ok(reply(206, &fields, "part")));
        assert_eq!(instance.get(A).await.detail(), "status");
        world.origin.gives(200, &[("cache-control", "max-age=60")], "whole page");
        let got = range(&instance, "bytes=0-3").await;
        assert_eq!((got.is_hit(), got.text()), (false, "whol"));
    });
}

#[test]
fn cpdos_a_416_or_another_error_for_a_range_is_not_stored_for_who_asks_for_the_page() {
    on_redis(async |world| {
        let instance = world.instance();
        let representation = Representation::of(world, content(1000, 0), "\"1\"");
        let got = range(&instance, "bytes=1000-").await;
        assert_eq!((got.status, got.is_stored(), got.header("content-range")), (416, false, "bytes */1000"));
        assert_eq!(instance.get(A).await.bytes(), &representation.slice(0, 1000));
        for status in [400, 403, 404, 416, 501] {
            world.tell(&["FLUSHALL"]).await;
            world.origin.answers(move |seen| {
                let bad = !seen.header("range").is_empty();
                let fields = [("cache-control", "max-age=60")];
                Ok(if bad { reply(status, &fields, "no") } else { reply(200, &fields, "page") })
            });
            let got = range(&instance, "bytes=0-1").await;
            assert_eq!((got.status, got.is_stored(), got.detail()), (status, false, "status"));
            assert_eq!(instance.get(A).await.text(), "page");
        }
    });
}

#[test]
fn if_range_with_a_weak_tag_never_gives_a_part() {
    on_redis(async |world| {
        let instance = world.instance();
        let representation = Representation::of(world, content(1000, 0), "W/\"1\"");
        instance.get(A).await;
        for tag in ["W/\"1\"", "\"1\""] {
            let got = instance.get_with(A, &[("range", "bytes=0-9"), ("if-range", tag)]).await;
            assert_eq!((got.status, got.is_hit()), (200, true), "{tag}");
        }
        // Parts with a weak entity tag are not stored, so that none can be combined with another.
        world.tell(&["FLUSHALL"]).await;
        assert_eq!(range(&instance, "bytes=0-499").await.detail(), "no-validator");
        representation.becomes(content(1000, 2), &[("cache-control", "max-age=60"), ("etag", "W/\"1\"")]);
        range(&instance, "bytes=500-999").await;
        assert_eq!(instance.get(A).await.bytes(), &representation.slice(0, 1000));
    });
}

#[test]
fn a_content_range_at_odds_with_the_content_is_not_put_together_with_anything() {
    on_redis(async |world| {
        let instance = world.instance();
        let representation = Representation::of(world, content(1000, 0), "\"1\"");
        assert!(range(&instance, "bytes=0-499").await.is_stored());
        for (content_range, length) in [
            ("bytes 500-999/1000", 499),
            ("bytes 500-999/1000", 501),
            ("bytes 500-999/1001", 500),
            ("bytes 500-999/*", 500),
            ("bytes 500-1000/1000", 501),
            ("bytes */1000", 500),
            ("500-999/1000", 500),
        ] {
            world.origin.answers(move |_| {
                let fields =
                    [("cache-control", "max-age=60"), ("etag", "\"1\""), ("content-range", content_range)];
                Ok(reply(206, &fields, vec![b'!'; length]))
            });
            range(&instance, "bytes=500-999").await;
            let origin = representation.clone();
            world.origin.answers(move |seen| Ok(origin.answer(seen)));
            let whole = instance.get(A).await;
            assert_eq!(whole.bytes(), &representation.slice(0, 1000), "{content_range} {length}");
            world.tell(&["FLUSHALL"]).await;
            assert!(range(&instance, "bytes=0-499").await.is_stored());
        }
    });
}

/// http-tests/cache-tests issue 146: a browser cache sent its stored part with a wrong `Content-Range` when the
/// request for the rest failed.
#[test]
fn overlapping_parts_with_a_403_in_between_do_not_make_a_wrong_content_range() {
    on_redis(async |world| {
        let instance = world.instance();
        let representation = Representation::of(world, content(1000, 0), "\"1\"");
        assert!(range(&instance, "bytes=0-499").await.is_stored());
        world.origin.gives(403, &[("cache-control", "max-age=60")], "forbidden");
        let refused = range(&instance, "bytes=250-749").await;
        assert_eq!((refused.status, refused.text(), refused.header("content-range")), (403, "forbidden", ""));
        assert_eq!(world.origin.last().header("range"), "bytes=250-749", "the whole range, no remainder");
        let within = range(&instance, "bytes=250-499").await;
        assert_eq!((within.status, within.header("content-range")), (206, "bytes 250-499/1000"));
        assert_eq!(within.bytes(), &representation.slice(250, 500));
        let origin = representation.clone();
        world.origin.answers(move |seen| Ok(origin.answer(seen)));
        let again = range(&instance, "bytes=250-749").await;
        assert_eq!((again.status, again.header("content-range")), (206, "bytes 250-749/1000"));
        assert_eq!(again.bytes(), &representation.slice(250, 750));
    });
}

#[test]
fn many_small_parts_take_bounded_room() {
    on_redis(async |world| {
        let instance = world.instance();
        Representation::of(world, content(10_000, 0), "\"1\"");
        range(&instance, "bytes=5000-9999").await;
        for at in 0..40 {
            range(&instance, &format!("bytes={0}-{0}", 10 * at)).await;
        }
        let id = world.keys().await.into_iter().find(|key| key.ends_with('}')).unwrap();
        assert!(world.ask::<u64>(&["STRLEN", &id]).await < 4096);
        assert!(range(&instance, "bytes=5000-9999").await.is_hit(), "the long part is still there");
    });
}

#[test]
fn while_redis_is_switched_off_ranges_pass() {
    on_redis(async |world| {
        let instance = world.instance_with("[[route]]\npath = \"/a\"\ncache.mode = \"bypass\"\n");
        let representation = Representation::of(world, content(1000, 0), "\"1\"");
        let got = instance.send(get(A, &[("range", "bytes=0-9")])).await;
        assert_eq!((got.status, got.detail(), got.bytes()), (206, "route", &representation.slice(0, 10)));
    });
}
