//! Stale responses: validated, replaced, or used because the origin fails.

use crate::support::exchange::request;
use crate::support::origin::{reply, streamed};
use crate::support::{Instance, World, on_redis};
use bytes::Bytes;
use futures_util::future::join;
use spindrift::body::{Body, BodyError};
use spindrift::env::UpstreamError;
use spindrift::purge::Purge;
use std::cell::Cell;
use std::rc::Rc;

const A: &str = "http://h/a";

/// Stores "hello" with an entity tag and these directives, then lets it become stale.
async fn stale(world: &World, cache_control: &'static str) -> Instance {
    let instance = world.instance();
    world.origin.answers(move |_| {
        Ok(reply(200, &[("cache-control", cache_control), ("etag", "\"1\""), ("x-old", "1")], "hello"))
    });
    assert!(instance.get(A).await.is_stored());
    world.clock.advance_secs(61);
    instance
}

#[test]
fn a_304_makes_it_fresh_again_and_updates_its_fields() {
    on_redis(async |world| {
        let instance = stale(world, "max-age=60").await;
        world.origin.gives(304, &[("cache-control", "max-age=30"), ("x-old", "2"), ("x-new", "3")], "");
        let validated = instance.get(A).await;
        assert_eq!(world.origin.last().header("if-none-match"), "\"1\"");
        assert_eq!((validated.status, validated.text(), validated.forwarded()), (200, "hello", "stale"));
        assert_eq!(validated.parameter("fwd-status"), "304");
        world.clock.advance_secs(10);
        let hit = instance.get(A).await;
        assert!(hit.is_hit());
        assert_eq!((hit.text(), hit.ttl(), hit.header("age")), ("hello", 20, "10"));
        assert_eq!((hit.header("x-old"), hit.header("x-new"), hit.header("etag")), ("2", "3", "\"1\""));
        assert_eq!(world.origin.count(), 2);
    });
}

/// A 304 says that there is a 200 now (RFC 9110 §15.4.5).
#[test]
fn no_304_makes_an_error_or_a_redirect_fresh_again() {
    on_redis(async |world| {
        let validators = [
            ("cache-control", "max-age=60"),
            ("etag", "\"1\""),
            ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ];
        for status in [404, 410, 301, 503] {
            world.tell(&["FLUSHALL"]).await;
            let instance = world.instance();
            world.origin.answers(move |_| Ok(reply(status, &validators, "gone")));
            assert!(instance.get(A).await.is_stored(), "{status}");
            world.clock.advance_secs(61);
            world.origin.answers(move |seen| {
                let asks =
                    ["if-none-match", "if-modified-since"].iter().any(|name| !seen.header(name).is_empty());
                Ok(if asks { reply(304, &[], "") } else { reply(200, &validators, "there") })
            });
            for (field, value) in [("accept", "*/*"), ("range", "bytes=0-1")] {
                let got = instance.get_with(A, &[(field, value)]).await;
                assert!(got.text().starts_with("th") && got.status < 300, "{status} {field}: {got:?}");
            }
        }
    });
}

#[test]
fn after_a_304_about_another_representation_the_origin_is_asked_for_all_of_it() {
    on_redis(async |world| {
        for cache_control in ["max-age=60", "max-age=60, must-revalidate", "no-cache"] {
            world.tell(&["FLUSHALL"]).await;
            let instance = stale(world, cache_control).await;
            world.origin.answers(|seen| {
                let (status, content) =
                    if seen.header("if-none-match").is_empty() { (200, "new") } else { (304, "") };
                Ok(reply(status, &[("cache-control", "max-age=60"), ("etag", "\"2\"")], content))
            });
            let got = instance.get(A).await;
            assert_eq!((got.status, got.text(), got.header("x-old")), (200, "new", ""), "{cache_control}");
            assert_eq!(
                (got.forwarded(), got.parameter("fwd-status"), got.is_stored()),
                ("stale", "200", true)
            );
            assert_eq!(got.detail(), "another-validator");
            let hit = instance.get(A).await;
            assert_eq!((hit.is_hit(), hit.text()), (true, "new"));
        }
    });
}

#[test]
fn what_a_304_is_not_about_goes_where_what_comes_then_is_not_stored() {
    on_redis(async |world| {
        let instance = stale(world, "max-age=60, stale-if-error=600").await;
        world.origin.answers(|seen| {
            let (status, content) =
                if seen.header("if-none-match").is_empty() { (200, "new") } else { (304, "") };
            Ok(reply(status, &[("cache-control", "no-store"), ("etag", "\"2\"")], content))
        });
        assert_eq!(instance.get(A).await.text(), "new");
        world.origin.is_away();
        assert_eq!(instance.get(A).await.status, 502);
    });
}

#[test]
fn a_head_response_updates_what_is_stored_where_it_matches() {
    on_redis(async |world| {
        let instance = stale(world, "max-age=60").await;
        world.origin.gives(200, &[("cache-control", "max-age=30"), ("etag", "\"1\""), ("x-new", "3")], "");
        let head = instance.send(request("HEAD", A, &[], Body::Empty)).await;
        assert_eq!(
            (head.status, head.text(), head.header("x-old"), head.header("x-new")),
            (200, "", "1", "3")
        );
        let hit = instance.get(A).await;
        assert!(hit.is_hit());
        assert_eq!((hit.text(), hit.header("x-new"), hit.ttl()), ("hello", "3", 30));
    });
}

#[test]
fn a_head_response_about_another_representation_ends_what_is_stored() {
    on_redis(async |world| {
        let instance = stale(world, "max-age=60").await;
        world.origin.gives(200, &[("cache-control", "max-age=30"), ("etag", "\"2\"")], "");
        let head = instance.send(request("HEAD", A, &[], Body::Empty)).await;
        assert_eq!((head.status, head.header("etag"), head.is_stored()), (200, "\"2\"", false));
        assert_eq!(instance.get(A).await.forwarded(), "uri-miss");
    });
}

#[test]
fn a_head_response_for_one_client_does_not_end_what_is_stored_for_all() {
    on_redis(async |world| {
        for (asked, given) in [
            (&[("authorization", "Bearer x")][..], &[("cache-control", "max-age=30"), ("etag", "\"2\"")][..]),
            (&[], &[("cache-control", "max-age=30"), ("etag", "\"2\""), ("set-cookie", "a=b")]),
            (&[("cache-control", "no-store")], &[("cache-control", "max-age=30"), ("etag", "\"2\"")]),
        ] {
            world.tell(&["FLUSHALL"]).await;
            let instance = stale(world, "max-age=60").await;
            world.origin.gives(200, given, "");
            let head = instance.send(request("HEAD", A, asked, Body::Empty)).await;
            assert_eq!((head.status, head.header("etag")), (200, "\"2\""));
            world.origin.gives(304, &[("etag", "\"1\"")], "");
            let got = instance.get(A).await;
            assert_eq!((got.text(), got.parameter("fwd-status")), ("hello", "304"), "{asked:?} {given:?}");
        }
    });
}

/// The origin has a page of several pieces, and answers 304 to its entity tag.
fn gives_a_large_page(world: &World) {
    world.origin.answers(|seen| {
        let fields = [("cache-control", "max-age=60"), ("etag", "\"1\"")];
        let known = seen.header("if-none-match") == "\"1\"";
        Ok(if known { reply(304, &fields, "") } else { reply(200, &fields, vec![b'x'; 600_000]) })
    });
}

#[test]
fn the_status_is_that_of_the_last_request_where_a_piece_was_lost_meanwhile() {
    on_redis(async |world| {
        let instance = world.instance();
        gives_a_large_page(world);
        instance.get(A).await;
        world.clock.advance_secs(61);
        world.origin.hold();
        let loss = async {
            world.origin.asked(2).await;
            world.tell(&["DEL", &world.chunks().await[1]]).await;
            world.origin.release();
        };
        let (got, ()) = join(instance.get(A), loss).await;
        assert_eq!((got.status, got.forwarded(), got.parameter("fwd-status")), (200, "stale", "200"));
        assert!(got.is_stored() && instance.get(A).await.is_hit());
    });
}

#[test]
fn a_304_keeps_a_large_body() {
    on_redis(async |world| {
        let instance = world.instance();
        gives_a_large_page(world);
        for _ in 0..3 {
            let got = instance.get(A).await;
            assert_eq!(got.body.unwrap(), vec![b'x'; 600_000]);
            assert!(instance.get(A).await.is_hit());
            world.clock.advance_secs(61);
        }
    });
}

#[test]
fn another_200_takes_its_place() {
    on_redis(async |world| {
        let instance = stale(world, "max-age=60").await;
        world.origin.gives(200, &[("cache-control", "max-age=60"), ("etag", "\"2\"")], "new");
        let replaced = instance.get(A).await;
        assert_eq!((replaced.text(), replaced.forwarded(), replaced.is_stored()), ("new", "stale", true));
        let hit = instance.get(A).await;
        assert_eq!((hit.text(), hit.is_hit(), hit.header("x-old")), ("new", true, ""));
    });
}

#[test]
fn a_304_that_forbids_storing_drops_what_is_stored() {
    on_redis(async |world| {
        let instance = stale(world, "max-age=60").await;
        world.origin.gives(304, &[("cache-control", "no-store")], "");
        assert_eq!(instance.get(A).await.text(), "hello");
        world.origin.gives(200, &[("cache-control", "max-age=60")], "new");
        let next = instance.get(A).await;
        assert_eq!((next.text(), next.forwarded()), ("new", "uri-miss"));
    });
}

#[test]
fn an_error_is_covered_for_as_long_as_the_response_allows() {
    on_redis(async |world| {
        let instance = stale(world, "max-age=60, stale-if-error=100").await;
        for status in [500, 502, 503, 504] {
            world.origin.gives(status, &[], "error");
            let got = instance.get(A).await;
            assert_eq!((got.status, got.text(), got.detail()), (200, "hello", "stale-if-error"));
            assert_eq!(got.parameter("fwd-status"), status.to_string());
        }
        world.origin.gives(404, &[], "not found");
        assert_eq!(instance.get(A).await.status, 404);
        world.origin.gives(503, &[], "error");
        world.clock.advance_secs(100);
        assert_eq!(instance.get(A).await.status, 503);
    });
}

#[test]
fn an_error_is_not_covered_unless_allowed() {
    on_redis(async |world| {
        for cache_control in ["max-age=60", "max-age=60, stale-if-error=100, must-revalidate"] {
            world.tell(&["FLUSHALL"]).await;
            let instance = stale(world, cache_control).await;
            world.origin.gives(503, &[], "error");
            assert_eq!(instance.get(A).await.status, 503, "{cache_control}");
            world.origin.gives(304, &[("cache-control", "max-age=60")], "");
            assert_eq!(instance.get(A).await.text(), "hello", "the error took nothing away");
        }
    });
}

#[test]
fn a_stale_response_is_used_while_the_origin_is_away() {
    on_redis(async |world| {
        let instance = stale(world, "max-age=60").await;
        world.origin.is_away();
        let got = instance.get(A).await;
        assert_eq!((got.status, got.text(), got.detail()), (200, "hello", "origin-unreachable"));
        assert_eq!((got.header("age"), got.ttl()), ("61", -1));
        world.origin.gives(200, &[("cache-control", "max-age=60")], "back");
        assert_eq!(instance.get(A).await.text(), "back");
    });
}

#[test]
fn a_stale_response_that_must_be_validated_is_not() {
    on_redis(async |world| {
        for directive in ["must-revalidate", "proxy-revalidate", "s-maxage=60", "no-cache"] {
            world.tell(&["FLUSHALL"]).await;
            let text: &'static str = Box::leak(format!("max-age=60, {directive}").into_boxed_str());
            let instance = stale(world, text).await;
            world.origin.is_away();
            assert_eq!(instance.get(A).await.status, 502, "{directive}");
        }
    });
}

#[test]
fn an_origin_that_is_away_with_nothing_stored_is_an_error_that_names_no_origin() {
    on_redis(async |world| {
        let instance = world.instance();
        let failures = [
            (UpstreamError::Unreachable("origin.test:80".into()), 502),
            (UpstreamError::TimedOut("origin.test".into()), 504),
            (UpstreamError::Denied("origin.test".into()), 502),
            (UpstreamError::Invalid("origin.test".into()), 502),
        ];
        for (error, status) in failures {
            let text = error.to_string();
            world.origin.answers(move |_| Err(error.clone()));
            let got = instance.get(A).await;
            assert_eq!((got.status, got.header("content-type")), (status, "application/problem+json"));
            assert!(!got.text().contains("origin.test"), "{}", got.text());
            assert!(instance.env.logged(&text), "{:?}", instance.env.log_lines());
        }
        world.origin.gives(200, &[], "back");
        assert_eq!(instance.get(A).await.status, 200);
    });
}

#[test]
fn only_if_cached_never_asks_the_origin() {
    on_redis(async |world| {
        let instance = world.instance();
        let only = [("cache-control", "only-if-cached")];
        let nothing = instance.get_with(A, &only).await;
        assert_eq!((nothing.status, nothing.detail()), (504, "only-if-cached"));
        assert_eq!(world.origin.count(), 0);
        instance.get(A).await;
        let hit = instance.get_with(A, &only).await;
        assert_eq!((hit.status, hit.text()), (200, "hello"));
        world.clock.advance_secs(61);
        assert_eq!(instance.get_with(A, &only).await.status, 504);
        assert_eq!(world.origin.count(), 1);
    });
}

#[test]
fn a_client_may_ask_for_more_than_fresh_and_for_less() {
    on_redis(async |world| {
        let instance = stale(world, "max-age=60").await;
        let lenient = instance.get_with(A, &[("cache-control", "max-stale=5")]).await;
        assert!(lenient.is_hit());
        assert_eq!((lenient.text(), lenient.ttl()), ("hello", -1));
        world.origin.gives(200, &[("cache-control", "max-age=60")], "new");
        let strict = instance.get_with(A, &[("cache-control", "max-stale=0")]).await;
        assert_eq!(strict.text(), "new");
        world.origin.gives(200, &[("cache-control", "max-age=60")], "newer");
        let forced = instance.get_with(A, &[("cache-control", "no-cache")]).await;
        assert_eq!((forced.text(), forced.forwarded()), ("newer", "request"));
        assert_eq!(instance.get(A).await.text(), "newer");
    });
}

#[test]
fn a_request_whose_response_is_not_for_the_store_takes_nothing_from_it() {
    on_redis(async |world| {
        for field in [("cache-control", "no-store"), ("authorization", "Basic eDp5")] {
            world.tell(&["FLUSHALL"]).await;
            let instance = stale(world, "max-age=60").await;
            world.origin.gives(304, &[("cache-control", "max-age=60")], "");
            let got = instance.get_with(A, &[field]).await;
            assert_eq!((got.text(), got.is_stored()), ("hello", false), "{field:?}");
            let next = instance.get(A).await;
            assert_eq!(
                (next.text(), next.forwarded(), next.is_stored()),
                ("hello", "stale", true),
                "{field:?}"
            );
        }
    });
}

#[test]
fn who_has_something_validated_gets_the_cookie_that_came_with_it() {
    on_redis(async |world| {
        let instance = world.instance_with("[cache]\nset_cookie = \"strip\"\n");
        world.origin.gives(200, &[("cache-control", "max-age=60"), ("etag", "\"1\"")], "hello");
        instance.get(A).await;
        world.clock.advance_secs(61);
        world.origin.gives(304, &[("cache-control", "max-age=60"), ("set-cookie", "a=1")], "");
        let got = instance.get(A).await;
        assert_eq!((got.text(), got.header("set-cookie"), got.is_stored()), ("hello", "a=1", true));
        let hit = instance.get(A).await;
        assert_eq!((hit.is_hit(), hit.header("set-cookie")), (true, ""));
    });
}

#[test]
fn tags_are_stripped_from_what_is_validated_and_not_stored() {
    on_redis(async |world| {
        let instance = world.instance_with("[cache]\nstrip_tags = true\n");
        world.origin.gives(200, &[("cache-control", "max-age=60"), ("etag", "\"1\"")], "hello");
        instance.get(A).await;
        world.clock.advance_secs(61);
        world.origin.gives(304, &[("cache-control", "no-store"), ("cache-tag", "a")], "");
        let got = instance.get(A).await;
        assert_eq!((got.text(), got.detail(), got.header("cache-tag")), ("hello", "no-store", ""));
    });
}

#[test]
fn what_is_superseded_by_what_must_not_be_stored_is_not_used_again() {
    on_redis(async |world| {
        for (status, cache_control) in [(200, "no-store"), (200, "private"), (404, "no-cache"), (410, "")] {
            world.tell(&["FLUSHALL"]).await;
            let instance = stale(world, "max-age=60, stale-while-revalidate=600, stale-if-error=600").await;
            world.origin.answers(move |_| Ok(reply(status, &[("cache-control", cache_control)], "new")));
            assert_eq!(instance.get(A).await.text(), "hello", "it is refreshed behind the answer");
            let next = instance.get(A).await;
            assert_eq!((next.status, next.text()), (status, "new"), "{cache_control}");
        }
    });
}

#[test]
fn what_is_stale_stays_where_the_answer_is_about_one_request() {
    on_redis(async |world| {
        let authorised = ("authorization", "Basic eDp5");
        for (status, field, asked) in [
            (401, ("x", "y"), ("x", "y")),
            (403, ("cache-control", "no-store"), ("x", "y")),
            (429, ("x", "y"), ("x", "y")),
            (200, ("set-cookie", "a=1"), ("x", "y")),
            (200, ("cache-control", "private"), authorised),
        ] {
            world.tell(&["FLUSHALL"]).await;
            let instance = stale(world, "max-age=60, stale-if-error=600").await;
            world.origin.answers(move |_| Ok(reply(status, &[field], "new")));
            assert_eq!(instance.get_with(A, &[asked]).await.text(), "new");
            world.origin.is_away();
            assert_eq!(instance.get(A).await.text(), "hello", "{status}");
        }
    });
}

#[test]
fn a_304_for_a_client_says_what_the_origin_gave() {
    on_redis(async |world| {
        let instance = world.instance();
        world.origin.gives(200, &[("cache-control", "max-age=60"), ("etag", "\"1\"")], "hello");
        let got = instance.get_with(A, &[("if-none-match", "\"1\"")]).await;
        assert_eq!((got.status, got.forwarded(), got.parameter("fwd-status")), (304, "uri-miss", "200"));
        let got = instance.get(A).await;
        assert_eq!((got.status, got.is_hit(), got.parameter("fwd-status")), (200, true, ""));
    });
}

#[test]
fn what_was_purged_softly_covers_no_error_without_stale_if_error() {
    on_redis(async |world| {
        for (cache_control, status) in [("max-age=60", 503), ("max-age=60, stale-if-error=600", 200)] {
            world.tell(&["FLUSHALL"]).await;
            let instance = world.instance();
            world.origin.answers(move |_| Ok(reply(200, &[("cache-control", cache_control)], "hello")));
            instance.get(A).await;
            let soft = Purge { urls: vec![A.to_owned()], soft: true, ..Purge::default() };
            instance.purge(&soft).await.unwrap();
            world.origin.gives(503, &[], "error");
            assert_eq!(instance.get(A).await.status, status, "{cache_control}");
            world.origin.is_away();
            let got = instance.get(A).await;
            assert_eq!((got.text(), got.ttl()), ("hello", 0), "it is there, and the origin is not");
        }
    });
}

#[test]
fn a_cookie_beside_a_304_is_no_reason_to_drop_what_is_stored() {
    on_redis(async |world| {
        let instance = stale(world, "max-age=60, stale-if-error=600").await;
        world.origin.gives(304, &[("cache-control", "max-age=60"), ("set-cookie", "a=1")], "");
        let got = instance.get(A).await;
        assert_eq!((got.text(), got.header("set-cookie"), got.is_stored()), ("hello", "a=1", false));
        world.origin.is_away();
        let next = instance.get(A).await;
        assert_eq!((next.text(), next.header("set-cookie"), next.forwarded()), ("hello", "", "stale"));
    });
}

#[test]
fn what_is_superseded_goes_also_where_only_its_end_shows_that_it_is_too_large() {
    on_redis(async |world| {
        let instance = world.instance_with("[cache]\nmax_object_size = \"300000B\"\n");
        world
            .origin
            .answers(|_| Ok(reply(200, &[("cache-control", "max-age=60, stale-if-error=600")], "hello")));
        instance.get(A).await;
        world.clock.advance_secs(61);
        world.origin.answers(|_| {
            let pieces = (0..4).map(|_| Ok(Bytes::from(vec![b'x'; 100_000]))).collect();
            Ok(streamed(200, &[("cache-control", "max-age=60")], pieces))
        });
        assert_eq!(instance.get(A).await.body.unwrap().len(), 400_000);
        world.origin.is_away();
        assert_eq!(instance.get(A).await.status, 502);
    });
}

/// The origin changes while an older 304 is still on its way. The response to a request in between is stored, and
/// stays.
async fn overtaken(world: &World, vary: &'static str, late: &[(&'static str, &str)]) {
    world.tell(&["FLUSHALL"]).await;
    let instance = world.instance_with("[cache]\ncollapse = \"0s\"\n");
    let (tag, before) = (Rc::new(Cell::new("\"1\"")), world.origin.count());
    let now = Rc::clone(&tag);
    world.origin.answers(move |seen| {
        let fields = [("cache-control", "max-age=60"), ("etag", now.get()), ("vary", vary)];
        let (known, part) = (seen.header("if-none-match") == now.get(), !seen.header("range").is_empty());
        let ranged = [&fields[..], &[("content-range", "bytes 0-1/3")]].concat();
        Ok(match (known, part) {
            (true, _) => reply(304, &fields, ""),
            (false, true) => reply(206, &ranged, &now.get().as_bytes()[..2]),
            (false, false) => reply(200, &fields, now.get()),
        })
    });
    instance.get_with(A, late).await;
    world.clock.advance_secs(61);
    world.origin.hold_those_with("x-slow");
    let late = async {
        let got = instance.get_with(A, &[late, &[("x-slow", "1")]].concat()).await;
        assert_eq!((got.parameter("fwd-status"), &got.text()[..2]), ("304", "\"1"));
    };
    let newer = async {
        world.origin.asked(before + 2).await;
        tag.set("\"2\"");
        let got = instance.get(A).await;
        assert_eq!((got.text(), got.is_stored()), ("\"2\"", true));
        world.origin.release();
    };
    join(late, newer).await;
    instance.env.settle().await;
    let hit = instance.get(A).await;
    assert_eq!((hit.is_hit(), hit.text()), (true, "\"2\""), "{vary}");
}

#[test]
fn a_304_that_was_long_under_way_does_not_undo_what_was_stored_meanwhile() {
    on_redis(async |world| {
        for vary in ["", "accept"] {
            overtaken(world, vary, &[]).await;
            overtaken(world, vary, &[("range", "bytes=0-1")]).await;
        }
    });
}

#[test]
fn what_is_stale_stands_in_for_a_response_that_breaks_off_before_it_has_begun() {
    on_redis(async |world| {
        for (cache_control, status) in [("max-age=60", 200), ("max-age=60, must-revalidate", 502)] {
            world.tell(&["FLUSHALL"]).await;
            let instance = stale(world, cache_control).await;
            world.origin.answers(|_| {
                let broken = vec![Ok(Bytes::from_static(b"he")), Err(BodyError("reset".to_owned()))];
                Ok(streamed(200, &[("cache-control", "max-age=60")], broken))
            });
            let got = instance.get(A).await;
            assert_eq!((got.status, got.text() == "hello"), (status, status == 200), "{cache_control}");
            // The stored response remains.
            world.origin.answers(|_| Ok(reply(304, &[("etag", "\"1\"")], "")));
            assert_eq!(instance.get(A).await.text(), "hello");
        }
    });
}
