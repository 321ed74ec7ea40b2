//! Parts that are stale or superseded: validated, replaced, or discarded with their representation.

use crate::parts::{A, answers, put, range, thousand};
use crate::support::on_redis;
use crate::support::origin::reply;
use crate::support::ranged::content;

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
        // Stale again, and the request needs more than is stored: a 304 could not answer it.
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
