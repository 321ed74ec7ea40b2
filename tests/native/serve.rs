//! The request path end to end: misses, hits, HEAD, conditions, bodies.

use crate::support::exchange::{get, request};
use crate::support::origin::{reply, streamed, with_body};
use crate::support::{Instance, World, on_redis};
use bytes::Bytes;
use futures_util::StreamExt as _;
use spindrift::body::{Body, BodyError};
use spindrift::pipeline;
use std::cell::Cell;
use std::rc::Rc;

const A: &str = "http://h/a";

#[test]
fn a_miss_is_stored_and_the_next_request_is_a_hit_on_every_instance() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let miss = one.get(A).await;
        assert_eq!((miss.status, miss.text(), miss.forwarded()), (200, "hello", "uri-miss"));
        assert!(miss.is_stored() && !miss.is_hit());
        world.clock.advance_secs(7);
        let hit = other.get(A).await;
        assert_eq!((hit.status, hit.text(), hit.header("age")), (200, "hello", "7"));
        assert!(hit.is_hit() && !hit.is_stored() && hit.forwarded().is_empty());
        assert_eq!((hit.ttl(), world.origin.count()), (53, 1));
    });
}

#[test]
fn a_hit_is_one_command() {
    on_redis(async |world| {
        let instance = world.instance();
        instance.get(A).await;
        instance.env.wire().take_commands();
        let before = world.commandstats().await;
        assert!(instance.get(A).await.is_hit());
        assert_eq!(instance.env.wire().take_commands(), ["MGET"]);
        let after = world.commandstats().await.into_iter();
        let more = after.map(|(name, count)| (count - before.get(&name).unwrap_or(&0), name));
        let ran: Vec<_> = more.filter(|(count, name)| *count > 0 && name != "info").collect();
        assert_eq!(ran, [(1, "mget".to_owned())]);
    });
}

#[test]
fn hosts_and_queries_are_kept_apart() {
    on_redis(async |world| {
        let instance = world.instance();
        world.origin.answers(|seen| {
            let body = format!("{} {}", seen.header("x-forwarded-host"), seen.uri.path_and_query().unwrap());
            Ok(reply(200, &[("cache-control", "max-age=60")], body))
        });
        let urls = ["http://one/a", "http://two/a", "http://one/a?", "http://one/a?b", "http://one/a?b&c"];
        let mut first = Vec::new();
        for url in urls {
            first.push(instance.get(url).await.text().to_owned());
        }
        for (url, text) in urls.iter().zip(&first) {
            let hit = instance.get(url).await;
            assert!(hit.is_hit(), "{url}");
            assert_eq!(hit.text(), text, "{url}");
        }
        assert_eq!(world.origin.count(), urls.len());
    });
}

#[test]
fn head_is_answered_from_what_get_stored_and_stores_nothing_itself() {
    on_redis(async |world| {
        let instance = world.instance();
        let head = async || instance.send(request("HEAD", A, &[], Body::Empty)).await;
        world.origin.answers(|seen| {
            let body = if seen.method == "HEAD" { "" } else { "hello" };
            Ok(reply(200, &[("cache-control", "max-age=60"), ("etag", "\"1\"")], body))
        });
        assert!(!head().await.is_stored());
        assert_eq!(world.origin.last().method, "HEAD");
        assert!(instance.get(A).await.is_stored());
        let hit = head().await;
        assert!(hit.is_hit());
        assert_eq!((hit.text(), hit.header("content-length"), hit.header("etag")), ("", "5", "\"1\""));
    });
}

#[test]
fn a_client_that_has_it_gets_a_304() {
    on_redis(async |world| {
        let instance = world.instance();
        world.origin.gives(200, &[("cache-control", "max-age=60"), ("etag", "\"1\"")], "hello");
        let fields = [("if-none-match", "\"0\", W/\"1\"")];
        let miss = instance.get_with(A, &fields).await;
        assert_eq!((miss.status, miss.text(), miss.is_stored()), (304, "", true));
        assert_eq!(world.origin.last().header("if-none-match"), "", "all of it is asked for, to be stored");
        let hit = instance.get_with(A, &fields).await;
        assert_eq!((hit.status, hit.text(), hit.header("etag")), (304, "", "\"1\""));
        assert!(hit.is_hit());
        let other = instance.get_with(A, &[("if-none-match", "\"2\"")]).await;
        assert_eq!((other.status, other.text()), (200, "hello"));
    });
}

#[test]
fn there_are_no_tunnels_through_a_gateway() {
    on_redis(async |world| {
        let got = world.instance().send(request("CONNECT", "http://h:80/", &[], Body::Empty)).await;
        assert_eq!((got.status, got.detail(), world.origin.count()), (501, "method", 0));
    });
}

#[test]
fn content_that_neither_the_client_nor_the_store_wants_is_not_read() {
    on_redis(async |world| {
        let instance = world.instance();
        let stale = "max-age=10, stale-while-revalidate=20";
        for (refreshes, fields) in [(false, &[("if-none-match", "*")][..]), (true, &[])] {
            world.tell(&["FLUSHALL"]).await;
            world.origin.answers(move |_| Ok(reply(200, &[("cache-control", stale)], "old")));
            if refreshes {
                assert!(instance.get(A).await.is_stored());
                world.clock.advance_secs(15);
            }
            let read = Rc::new(Cell::new(0));
            let counter = Rc::clone(&read);
            world.origin.answers(move |_| {
                let counter = Rc::clone(&counter);
                let pieces = futures_util::stream::iter(0..1000).map(move |_| {
                    counter.set(counter.get() + 1);
                    Ok(Bytes::from(vec![b'x'; 64 * 1024]))
                });
                let body = Body::from_pieces(None, pieces);
                Ok(with_body(200, &[("cache-control", "no-store"), ("etag", "\"1\"")], body))
            });
            let got = instance.get_with(A, fields).await;
            assert_eq!((got.status, got.text()), if refreshes { (200, "old") } else { (304, "") });
            assert!((1..100).contains(&read.get()), "{} pieces of 64 KiB were read", read.get());
        }
    });
}

#[test]
fn variants_are_found_by_the_fields_they_vary_on() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        world.origin.answers(|seen| {
            let fields = [("cache-control", "max-age=60"), ("vary", "Accept-Language")];
            Ok(reply(200, &fields, seen.header("accept-language").to_owned()))
        });
        let de = [("accept-language", "de")];
        assert_eq!(one.get_with(A, &de).await.text(), "de");
        let en = other.get_with(A, &[("accept-language", "en")]).await;
        assert_eq!((en.text(), en.forwarded()), ("en", "vary-miss"));
        for instance in [&one, &other] {
            let hit = instance.get_with(A, &de).await;
            assert!(hit.is_hit());
            assert_eq!(hit.text(), "de");
        }
        assert!(!one.get(A).await.is_hit());
    });
}

fn pieces(sizes: &[usize]) -> Vec<Result<Bytes, BodyError>> {
    sizes.iter().enumerate().map(|(at, size)| Ok(Bytes::from(vec![b'a' + at as u8; *size]))).collect()
}

#[test]
fn a_streamed_body_of_any_size_is_stored_as_it_passes_by() {
    on_redis(async |world| {
        let instance = world.instance();
        for sizes in [&[0][..], &[1], &[5, 0, 7], &[262_144], &[262_144, 1], &[100_000; 7], &[700_000, 3]] {
            world.tell(&["FLUSHALL"]).await;
            let sizes = sizes.to_vec();
            let all: Vec<u8> = pieces(&sizes).into_iter().flat_map(Result::unwrap).collect();
            world
                .origin
                .answers(move |_| Ok(streamed(200, &[("cache-control", "max-age=60")], pieces(&sizes))));
            let miss = instance.get(A).await;
            assert_eq!(miss.body.as_ref().unwrap(), &all);
            let hit = instance.get(A).await;
            assert!(hit.is_hit());
            assert_eq!(hit.body.as_ref().unwrap(), &all);
            assert_eq!(hit.header("content-length"), all.len().to_string());
        }
    });
}

#[test]
fn a_body_that_breaks_is_not_stored() {
    on_redis(async |world| {
        let instance = world.instance();
        for first in [300_000, 10] {
            world.origin.answers(move |_| {
                let broken = [pieces(&[first, first]), vec![Err(BodyError("reset".to_owned()))]].concat();
                Ok(streamed(200, &[("cache-control", "max-age=60")], broken))
            });
            let got = instance.get(A).await;
            // If the head had not been sent yet, the client gets an error.
            assert_eq!((got.status, got.body.is_err()), if first > 10 { (200, true) } else { (502, false) });
            assert!(!instance.get(A).await.is_hit());
        }
        let lines = instance.env.log_lines();
        for told in ["not stored: http://h/a", "its content ended early: the body ended early: reset"] {
            assert!(lines.iter().any(|line| line.contains(told)), "{lines:?}");
        }
    });
}

#[test]
fn a_body_of_another_length_than_declared_is_not_stored() {
    on_redis(async |world| {
        let instance = world.instance();
        for declared in ["4", "6", "300000"] {
            world.origin.answers(move |_| {
                let fields = [("cache-control", "max-age=60"), ("content-length", declared)];
                Ok(streamed(
                    200,
                    &fields,
                    vec![Ok(Bytes::from_static(b"he")), Ok(Bytes::from_static(b"llo"))],
                ))
            });
            instance.get(A).await;
            assert!(!instance.get(A).await.is_hit(), "{declared}");
        }
    });
}

#[test]
fn a_client_that_leaves_half_way_does_not_spoil_the_entry() {
    on_redis(async |world| {
        let instance = world.instance();
        world
            .origin
            .answers(|_| Ok(streamed(200, &[("cache-control", "max-age=60")], pieces(&[300_000; 3]))));
        let mut response = pipeline::serve(&instance.app, get(A, &[])).await;
        assert!(response.body_mut().chunk().await.unwrap().is_ok());
        drop(response);
        instance.env.settle().await;
        let hit = instance.get(A).await;
        assert!(hit.is_hit());
        assert_eq!(hit.body.unwrap().len(), 900_000);
    });
}

#[test]
fn what_is_larger_than_allowed_is_delivered_and_not_stored() {
    on_redis(async |world| {
        let instance = world.instance_with("[cache]\nmax_object_size = \"300000B\"\n");
        world
            .origin
            .answers(|_| Ok(streamed(200, &[("cache-control", "max-age=60")], pieces(&[200_000; 2]))));
        for _ in 0..2 {
            let got = instance.get(A).await;
            assert!(!got.is_hit());
            assert_eq!(got.body.unwrap().len(), 400_000);
        }
        world.origin.answers(|_| {
            let fields = [("cache-control", "max-age=60"), ("content-length", "400000")];
            Ok(reply(200, &fields, vec![b'x'; 400_000]))
        });
        assert_eq!(instance.get(A).await.detail(), "too-large");
    });
}

#[test]
fn a_stored_body_with_a_missing_piece_is_fetched_again() {
    on_redis(async |world| {
        let instance = world.instance();
        world
            .origin
            .answers(|_| Ok(streamed(200, &[("cache-control", "max-age=60")], pieces(&[300_000; 2]))));
        instance.get(A).await;
        world.tell(&["DEL", &world.chunks().await[0]]).await;
        let again = instance.get(A).await;
        assert!(!again.is_hit() && again.is_stored());
        assert!(instance.get(A).await.is_hit());
    });
}

async fn in_pieces(world: &World) -> Instance {
    let instance = world.instance();
    world.origin.answers(|_| {
        let fields = [("cache-control", "max-age=60"), ("content-length", "600000")];
        Ok(streamed(200, &fields, pieces(&[300_000; 2])))
    });
    instance.get(A).await;
    assert!(instance.get(A).await.is_hit());
    instance
}

#[test]
fn what_cannot_be_begun_from_the_store_is_fetched_and_stored_anew() {
    on_redis(async |world| {
        let instance = in_pieces(world).await;
        world.tell(&["SET", &world.chunks().await[0], "damaged", "KEEPTTL"]).await;
        let again = instance.get(A).await;
        assert!(!again.is_hit() && again.is_stored());
        assert_eq!(again.body.unwrap().len(), 600_000);
        assert!(instance.get(A).await.is_hit());
    });
}

#[test]
fn what_cannot_be_read_though_it_is_there_comes_from_the_origin() {
    on_redis(async |world| {
        let instance = in_pieces(world).await;
        let first = &world.chunks().await[0];
        world.tell(&["DEL", first]).await;
        world.tell(&["LPUSH", first, "no piece"]).await;
        world.tell(&["EXPIRE", first, "60"]).await;
        let asked = world.origin.count();
        assert_eq!(instance.get_with(A, &[("cache-control", "only-if-cached")]).await.status, 504);
        assert_eq!(world.origin.count(), asked);
        let again = instance.get(A).await;
        assert_eq!((again.status, again.detail(), again.is_stored()), (200, "content-lost", true));
        assert_eq!(again.body.unwrap().len(), 600_000);
        assert!(instance.get(A).await.is_hit(), "it is not looked for in vain for ever");
    });
}

#[test]
fn a_body_that_breaks_half_way_breaks_once() {
    on_redis(async |world| {
        let instance = in_pieces(world).await;
        world.tell(&["SET", &world.chunks().await[1], "damaged", "KEEPTTL"]).await;
        let broken = instance.get(A).await;
        assert!(broken.is_hit() && broken.body.is_err());
        let again = instance.get(A).await;
        assert!(!again.is_hit() && again.is_stored());
        assert_eq!(again.body.unwrap().len(), 600_000);
    });
}

/// The future of every request has the size of its longest path, and is moved with it: calls to the origin are boxed.
#[test]
fn what_answers_a_request_takes_little_room() {
    on_redis(async |world| {
        let instance = world.instance();
        let serving = pipeline::serve(&instance.app, get("http://h/a", &[]));
        let bytes = size_of_val(&serving);
        assert!(bytes <= 13 * 1024, "{bytes} bytes");
    });
}
