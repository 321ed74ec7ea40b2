//! Attacks on where a message ends. What the host's listener accepts is tested end to end, in `framing.rs` there.

use super::FRESH;
use crate::support::exchange::{get, request};
use crate::support::on_redis;
use crate::support::origin::{reply, streamed, with_body};
use bytes::Bytes;
use proptest::prelude::*;
use spindrift::body::{Body, BodyError};

const A: &str = "http://h/a";

/// Attack 23.
#[test]
fn undrained_request_content_of_a_hit_is_read_by_nobody_as_a_request() {
    on_redis(async |world| {
        let instance = world.instance();
        instance.get(A).await;
        let smuggled = Bytes::from_static(b"GET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n");
        let pieces = futures_util::stream::iter([Ok(smuggled)]);
        let got = instance.send(request("GET", A, &[], Body::from_pieces(None, pieces))).await;
        assert!(got.is_hit() && got.text() == "hello");
        assert_eq!(world.origin.count(), 1);
    });
}

/// Attack 24.
#[test]
fn smuggling_fields_of_framing_never_reach_the_origin() {
    on_redis(async |world| {
        let instance = world.instance();
        let fields = [
            ("transfer-encoding", "chunked, identity"),
            ("connection", "close, content-length, x-hop"),
            ("x-hop", "1"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABkAARAAAAAAAIAAAAA"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
        ];
        for method in ["GET", "POST"] {
            let url = format!("http://h/{method}");
            instance.send(request(method, &url, &fields, Body::Empty)).await;
            let seen = world.origin.last();
            for (name, _) in fields {
                assert!(!seen.headers.contains_key(name), "{method} {name}");
            }
        }
    });
}

/// Attack 25.
#[test]
fn truncated_or_overlong_content_is_never_stored_as_complete() {
    on_redis(async |world| {
        let instance = world.instance();
        let piece = |length: usize| Ok(Bytes::from(vec![b'x'; length]));
        let broken = || Err(BodyError("reset".to_owned()));
        for (declared, pieces) in [
            ("10", vec![piece(9)]),
            ("10", vec![]),
            ("10", vec![piece(5), broken()]),
            ("600000", vec![piece(300_000), piece(299_999)]),
            ("600000", vec![piece(300_000), broken()]),
            ("", vec![piece(5), broken()]),
            ("", vec![piece(600_000), broken()]),
            ("10", vec![piece(11)]),
            ("300000", vec![piece(300_001)]),
        ] {
            world.tell(&["FLUSHALL"]).await;
            let mut pieces = Some(pieces);
            world.origin.answers(move |_| {
                let fields = [("cache-control", "max-age=60"), ("content-length", declared)];
                let count = if declared.is_empty() { 1 } else { 2 };
                Ok(streamed(200, &fields[..count], pieces.take().unwrap()))
            });
            instance.send_only(get(A, &[])).await;
            instance.env.settle().await;
            world.origin.gives(200, FRESH, "whole");
            let got = instance.get(A).await;
            assert!(!got.is_hit() && got.text() == "whole", "{declared}: {got:?}");
        }
    });
}

/// Attack 26.
#[test]
fn header_injection_no_value_that_is_stored_becomes_another_field() {
    let value = proptest::collection::vec(any::<u8>(), 0..40);
    crate::support::property(24, &proptest::collection::vec(value, 1..8), &async |world, values| {
        let instance = world.instance();
        let valid: Vec<http::HeaderValue> =
            values.iter().filter_map(|bytes| http::HeaderValue::from_bytes(bytes).ok()).collect();
        let given = valid.clone();
        world.origin.answers(move |_| {
            let mut response = reply(200, FRESH, "x");
            for value in &given {
                response.headers_mut().append("x-value", value.clone());
            }
            Ok(response)
        });
        let first = instance.get(A).await;
        let again = instance.get(A).await;
        assert!(first.is_stored() && again.is_hit());
        for got in [first, again] {
            assert_eq!(got.headers.get_all("x-value").iter().cloned().collect::<Vec<_>>(), valid);
            assert!(
                got.headers.keys().all(|name| {
                    [
                        "x-value",
                        "cache-control",
                        "cache-status",
                        "age",
                        "date",
                        "accept-ranges",
                        "content-length",
                        "via",
                    ]
                    .contains(&name.as_str())
                }),
                "{:?}",
                got.headers
            );
        }
    });
}

/// Attack 27.
#[test]
fn content_where_there_is_none_is_neither_stored_nor_taken_for_more() {
    on_redis(async |world| {
        let instance = world.instance();
        // Content in the response to HEAD.
        world.origin.answers(|_| Ok(reply(200, FRESH, "smuggled")));
        let head = instance.send(request("HEAD", A, &[], Body::Empty)).await;
        assert!(!head.is_stored());
        world.origin.answers(|_| Ok(reply(200, FRESH, "page")));
        assert_eq!(instance.get(A).await.text(), "page");
        let head = instance.send(request("HEAD", A, &[], Body::Empty)).await;
        assert_eq!((head.is_hit(), head.text(), head.header("content-length")), (true, "", "4"));
        // A 304 to a request without conditions.
        world.tell(&["FLUSHALL"]).await;
        world.origin.answers(|_| Ok(reply(304, FRESH, "smuggled")));
        let unasked = instance.get(A).await;
        assert!(!unasked.is_stored());
        world.origin.answers(|_| Ok(reply(200, FRESH, "page")));
        assert_eq!(instance.get(A).await.text(), "page");
        // A storable 204 has no content when it is served from the cache.
        world.tell(&["FLUSHALL"]).await;
        let fields = [("cache-control", "max-age=60"), ("content-length", "8")];
        world.origin.answers(move |_| Ok(with_body(204, &fields, Body::Empty)));
        for method in ["POST", "GET", "GET"] {
            let got = instance.send(request(method, A, &[], Body::Empty)).await;
            assert_eq!((got.status, got.header("content-length"), got.text()), (204, "", ""), "{method}");
        }
        // A 206 without `Content-Range`.
        world.tell(&["FLUSHALL"]).await;
        world
            .origin
            .answers(|_| Ok(reply(206, &[("cache-control", "max-age=60"), ("etag", "\"1\"")], "part")));
        for fields in [&[][..], &[("range", "bytes=0-3")]] {
            assert!(!instance.get_with(A, fields).await.is_stored());
        }
    });
}

/// Attack 26: Whatever URL is requested, a log line stays one line and contains no terminal escape sequences.
#[test]
fn log_injection_no_url_becomes_another_line_of_the_log() {
    on_redis(async |world| {
        let instance = world.instance();
        world.origin.is_away();
        instance.get("http://h/a\u{85}forged\u{2028}forged\u{9b}31m").await;
        assert!(
            instance.env.logged("/a\\u{85}forged\\u{2028}forged\\u{9b}31m"),
            "{:?}",
            instance.env.log_lines()
        );
    });
}
