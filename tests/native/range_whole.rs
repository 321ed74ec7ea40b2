//! A route with `range = "whole"`: the origin sends the whole representation, the client gets its part.

use crate::support::exchange::{Got, get};
use crate::support::origin::streamed;
use crate::support::ranged::{Representation, content};
use crate::support::{Instance, World, on_redis};
use bytes::Bytes;
use spindrift::body::BodyError;
use spindrift::pipeline;

const A: &str = "http://h/a";
const WHOLE: &str = "[cache]\nrange = \"whole\"\nmax_object_size = \"1MiB\"\n";

fn set_up(world: &World, length: usize) -> (Instance, Representation) {
    (world.instance_with(WHOLE), Representation::of(world, content(length, 0), "\"1\""))
}

async fn range(instance: &Instance, value: &str) -> Got {
    instance.get_with(A, &[("range", value)]).await
}

/// Has the origin send the representation in pieces, with its length declared.
fn in_pieces(world: &World, all: &Bytes, size: usize) {
    let all = all.clone();
    world.origin.answers(move |seen| {
        assert_eq!(seen.header("range"), "");
        let length = all.len().to_string();
        let fields = [("cache-control", "max-age=60"), ("etag", "\"1\""), ("content-length", &length)];
        Ok(streamed(200, &fields, all.chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect()))
    });
}

#[test]
fn the_part_is_cut_out_and_everything_is_stored() {
    on_redis(async |world| {
        for (length, size) in [(1000, 1000), (1000, 7), (700_000, 700_000), (700_000, 10_000)] {
            for (asked, start, end) in [
                ("bytes=0-9", 0, 10),
                ("bytes=5-", 5, length),
                ("bytes=-5", length - 5, length),
                ("bytes=0-", 0, length),
                ("bytes=100-899", 100, 900),
            ] {
                world.tell(&["FLUSHALL"]).await;
                let instance = world.instance_with(WHOLE);
                let all = content(length, 0);
                in_pieces(world, &all, size);
                let before = world.origin.count();
                let got = range(&instance, asked).await;
                assert_eq!(
                    (got.status, got.forwarded(), got.is_stored()),
                    (206, "uri-miss", true),
                    "{asked}"
                );
                assert_eq!(got.parameter("fwd-status"), "200", "the origin gave everything");
                assert_eq!(got.header("content-range"), format!("bytes {start}-{}/{length}", end - 1));
                assert_eq!(got.header("content-length"), (end - start).to_string());
                assert!(got.bytes() == &all.slice(start..end), "{asked} of {length} in {size}");
                let hit = instance.get(A).await;
                assert!(hit.is_hit() && hit.bytes() == &all, "{asked} of {length} in {size}");
                assert_eq!(world.origin.count(), before + 1);
            }
        }
    });
}

#[test]
fn a_part_at_the_beginning_does_not_wait_for_the_rest() {
    on_redis(async |world| {
        let (instance, _) = set_up(world, 0);
        let (all, (give, rest)) = (content(900_000, 0), tokio::sync::oneshot::channel::<()>());
        let first = all.slice(..300_000);
        let last = all.slice(300_000..);
        let held = std::cell::RefCell::new(Some((rest, first, last)));
        world.origin.answers(move |_| {
            let (rest, first, last) = held.borrow_mut().take().unwrap();
            let pieces = futures_util::StreamExt::chain(
                futures_util::stream::iter([Ok(first)]),
                futures_util::stream::once(async move {
                    let _ = rest.await;
                    Ok(last)
                }),
            );
            let mut response = http::Response::new(spindrift::body::Body::from_pieces(None, pieces));
            for (name, value) in [("cache-control", "max-age=60"), ("content-length", "900000")] {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            Ok(response)
        });
        let got = instance.send_only(get(A, &[("range", "bytes=0-9")])).await;
        assert_eq!((got.status, got.bytes()), (206, &all.slice(..10)));
        give.send(()).unwrap();
        instance.env.settle().await;
        assert!(instance.get(A).await.bytes() == &all, "the rest was read for the store");
    });
}

#[test]
fn what_cannot_be_stored_is_asked_for_again_in_part() {
    on_redis(async |world| {
        for (fields, length, detail) in [
            (&[("cache-control", "max-age=60"), ("etag", "\"1\"")][..], 2_000_000, "too-large"),
            (&[("cache-control", "no-store"), ("etag", "\"1\"")], 1000, "no-store"),
            (
                &[("cache-control", "max-age=60"), ("etag", "\"1\""), ("set-cookie", "a=1")],
                1000,
                "set-cookie",
            ),
        ] {
            world.tell(&["FLUSHALL"]).await;
            let (instance, representation) = set_up(world, length);
            representation.becomes(content(length, 0), fields);
            let before = world.origin.count();
            let got = range(&instance, "bytes=10-19").await;
            assert_eq!((got.status, got.detail()), (206, detail));
            assert_eq!(got.bytes(), &representation.slice(10, 20));
            assert_eq!(world.origin.count(), before + 2);
            assert_eq!(world.origin.last().header("range"), "bytes=10-19");
            // A part may be stored if the whole is too large.
            assert_eq!(range(&instance, "bytes=10-19").await.is_hit(), detail == "too-large");
        }
    });
}

#[test]
fn the_status_is_that_of_the_last_request_where_it_is_asked_for_again() {
    on_redis(async |world| {
        let (instance, representation) = set_up(world, 1000);
        assert!(range(&instance, "bytes=10-19").await.is_stored());
        world.clock.advance_secs(61);
        representation.becomes(content(1000, 1), &[("cache-control", "no-store"), ("etag", "\"2\"")]);
        let got = range(&instance, "bytes=10-19").await;
        assert_eq!((got.status, got.bytes()), (206, &representation.slice(10, 20)));
        assert_eq!((got.forwarded(), got.parameter("fwd-status")), ("stale", ""));
    });
}

#[test]
fn what_says_nothing_of_its_length_and_is_short_is_cut_too() {
    on_redis(async |world| {
        let instance = world.instance_with(WHOLE);
        let fields = [("cache-control", "max-age=60")];
        let pieces = || vec![Ok(Bytes::from_static(b"hel")), Ok(Bytes::from_static(b"lo"))];
        world.origin.answers(move |_| Ok(streamed(200, &fields, pieces())));
        let got = range(&instance, "bytes=0-1").await;
        assert_eq!((got.status, got.text(), got.is_stored()), (206, "he", true));
        assert_eq!(range(&instance, "bytes=0-1").await.text(), "he");
    });
}

#[test]
fn several_parts_come_as_a_whole_and_what_is_not_there_is_416() {
    on_redis(async |world| {
        let (instance, representation) = set_up(world, 2000);
        let got = range(&instance, "bytes=0-0,-1").await;
        assert_eq!((got.status, got.bytes()), (200, &representation.slice(0, 2000)));
        world.tell(&["FLUSHALL"]).await;
        let got = range(&instance, "bytes=2000-").await;
        assert_eq!((got.status, got.header("content-range"), got.is_stored()), (416, "bytes */2000", true));
        assert!(instance.get(A).await.is_hit());
    });
}

#[test]
fn if_range_and_the_other_conditions_hold_for_what_passes() {
    on_redis(async |world| {
        let (instance, representation) = set_up(world, 1000);
        for (fields, status) in [
            (&[("range", "bytes=0-9"), ("if-range", "\"1\"")][..], 206),
            (&[("range", "bytes=0-9"), ("if-range", "\"0\"")], 200),
            (&[("range", "bytes=0-9"), ("if-range", "W/\"1\"")], 200),
            (&[("range", "bytes=0-9"), ("if-none-match", "\"1\"")], 304),
        ] {
            world.tell(&["FLUSHALL"]).await;
            let got = instance.get_with(A, fields).await;
            assert_eq!((got.status, got.is_stored()), (status, true), "{fields:?}");
            assert_eq!(world.origin.last().header("if-range"), "");
            assert_eq!(instance.get(A).await.bytes(), &representation.slice(0, 1000));
        }
    });
}

#[test]
fn errors_of_the_origin_are_passed_on() {
    on_redis(async |world| {
        let instance = world.instance_with(WHOLE);
        world.origin.gives(404, &[("cache-control", "max-age=60"), ("content-length", "4")], "none");
        let got = range(&instance, "bytes=0-1").await;
        assert_eq!((got.status, got.text(), got.is_stored()), (404, "none", true));
        world.origin.is_away();
        assert_eq!(instance.get_with("http://h/b", &[("range", "bytes=0-1")]).await.status, 502);
    });
}

#[test]
fn a_whole_that_breaks_breaks_the_part_unless_it_was_there_already() {
    on_redis(async |world| {
        let instance = world.instance_with(WHOLE);
        world.origin.answers(|_| {
            let fields = [("cache-control", "max-age=60"), ("content-length", "1000")];
            let pieces = vec![Ok(content(500, 0)), Err(BodyError("reset".to_owned()))];
            Ok(streamed(200, &fields, pieces))
        });
        assert_eq!(range(&instance, "bytes=0-9").await.bytes(), &content(10, 0));
        assert!(range(&instance, "bytes=400-599").await.body.is_err());
        world.origin.answers(|_| {
            let fields = [("cache-control", "max-age=60"), ("content-length", "1000")];
            Ok(streamed(200, &fields, vec![Ok(content(500, 0))]))
        });
        assert!(range(&instance, "bytes=400-599").await.body.is_err());
        assert!(!instance.get(A).await.is_hit());
    });
}

#[test]
fn a_client_that_leaves_before_its_part_is_there_leaves_the_whole_for_others() {
    on_redis(async |world| {
        let instance = world.instance_with(WHOLE);
        in_pieces(world, &content(900_000, 0), 100_000);
        let mut response = pipeline::serve(&instance.app, get(A, &[("range", "bytes=0-600000")])).await;
        assert!(response.body_mut().chunk().await.unwrap().is_ok());
        drop(response);
        instance.env.settle().await;
        let got = instance.get(A).await;
        assert!(got.is_hit());
        assert_eq!(got.bytes(), &content(900_000, 0));
    });
}

#[test]
fn a_stale_whole_that_changed_is_cut_from_what_passes() {
    on_redis(async |world| {
        let (instance, representation) = set_up(world, 1000);
        instance.get(A).await;
        world.clock.advance_secs(61);
        representation.becomes(content(1000, 2), &[("cache-control", "max-age=60"), ("etag", "\"2\"")]);
        let got = range(&instance, "bytes=0-9").await;
        assert_eq!((got.status, got.forwarded(), got.bytes()), (206, "stale", &representation.slice(0, 10)));
        assert!(instance.get(A).await.is_hit());
    });
}
