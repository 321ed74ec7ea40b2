//! What is compressed before it is stored.

use crate::support::exchange::{Got, request};
use crate::support::on_redis;
use crate::support::origin::{reply, streamed};
use bytes::Bytes;
use spindrift::body::Body;
use std::io::Read as _;

const A: &str = "http://h/a";
const CONFIG: &str = "[cache]\ncompress = [\"br\", \"gzip\"]\n";
const FIELDS: &[(&str, &str)] =
    &[("cache-control", "max-age=10"), ("content-type", "text/html"), ("etag", "\"1\"")];

fn page() -> String {
    "All work and no play makes a dull page. ".repeat(10_000)
}

fn plain(got: &Got) -> String {
    let content = got.body.as_ref().unwrap().as_ref();
    let mut text = String::new();
    match got.header("content-encoding") {
        "br" => brotli::Decompressor::new(content, 4096).read_to_string(&mut text).unwrap(),
        "gzip" => flate2::read::GzDecoder::new(content).read_to_string(&mut text).unwrap(),
        _ => return got.text().to_owned(),
    };
    text
}

#[test]
fn each_client_gets_what_it_accepts_and_the_store_keeps_one_of_each() {
    on_redis(async |world| {
        let instance = world.instance_with(CONFIG);
        world.origin.answers(|_| {
            let pieces =
                page().into_bytes().chunks(50_000).map(|it| Ok(Bytes::copy_from_slice(it))).collect();
            Ok(streamed(200, FIELDS, pieces))
        });
        for (accepts, coding) in [
            ("gzip, deflate, br", "br"),
            ("gzip", "gzip"),
            ("", ""),
            ("br;q=0, gzip;q=0.1", "gzip"),
            ("zstd", ""),
        ] {
            for _ in 0..2 {
                let got = instance.get_with(A, &[("accept-encoding", accepts)]).await;
                assert_eq!(got.header("content-encoding"), coding, "{accepts}");
                assert_eq!(plain(&got), page(), "{accepts}");
                assert_eq!(got.header("vary"), "accept-encoding");
            }
        }
        let plain_client = instance.get(A).await;
        assert_eq!((plain_client.header("content-encoding"), plain_client.header("etag")), ("", "\"1\""));
        assert!(instance.get_with(A, &[("accept-encoding", "gzip, br")]).await.is_hit());
        assert!(instance.get_with(A, &[("accept-encoding", "gzip, br")]).await.body.unwrap().len() < 10_000);
    });
}

#[test]
fn a_compressed_response_is_validated_with_the_origins_tag() {
    on_redis(async |world| {
        let instance = world.instance_with(CONFIG);
        world.origin.answers(|seen| {
            let known = seen.header("if-none-match").contains("\"1\"");
            Ok(if known { reply(304, FIELDS, "") } else { reply(200, FIELDS, page()) })
        });
        let accepts = [("accept-encoding", "gzip")];
        let first = instance.get_with(A, &accepts).await;
        assert_eq!((first.header("etag"), first.header("content-encoding")), ("W/\"1\"", "gzip"));
        world.clock.advance_secs(11);
        let validated = instance.get_with(A, &accepts).await;
        assert_eq!((plain(&validated), validated.parameter("fwd-status")), (page(), "304"));
        assert_eq!((validated.header("etag"), validated.header("vary")), ("W/\"1\"", "accept-encoding"));
        let hit = instance.get_with(A, &[("accept-encoding", "gzip"), ("if-none-match", "W/\"1\"")]).await;
        assert_eq!((hit.status, hit.is_hit()), (304, true));
    });
}

#[test]
fn what_is_not_stored_is_not_compressed() {
    on_redis(async |world| {
        let instance = world.instance_with(CONFIG);
        world.origin.answers(|_| {
            Ok(reply(200, &[("cache-control", "private"), ("content-type", "text/html")], page()))
        });
        let got = instance.get_with(A, &[("accept-encoding", "gzip")]).await;
        assert_eq!(
            (got.header("content-encoding"), got.header("vary"), got.text()),
            ("", "", page().as_str())
        );
    });
}

#[test]
fn a_purge_reaches_every_coding() {
    on_redis(async |world| {
        let instance = world.instance_with(CONFIG);
        world.origin.answers(|_| Ok(reply(200, FIELDS, page())));
        for accepts in ["gzip", "br", "identity"] {
            instance.get_with(A, &[("accept-encoding", accepts)]).await;
        }
        instance.purge_url(A).await;
        for accepts in ["gzip", "br", "identity"] {
            assert!(!instance.get_with(A, &[("accept-encoding", accepts)]).await.is_hit(), "{accepts}");
        }
    });
}

#[test]
fn what_ended_early_is_not_stored_because_it_was_compressed() {
    on_redis(async |world| {
        let instance = world.instance_with(CONFIG);
        let short = page().into_bytes()[..2000].to_vec();
        world.origin.answers(move |_| {
            let fields = [FIELDS, &[("content-length", "5000")]].concat();
            Ok(streamed(200, &fields, vec![Ok(short.clone().into())]))
        });
        for accepts in ["gzip", "br", ""] {
            for _ in 0..2 {
                let got = instance.get_with(A, &[("accept-encoding", accepts)]).await;
                assert!(!got.is_hit(), "{accepts}");
            }
        }
    });
}

#[test]
fn nothing_compressed_is_still_something_that_can_be_read() {
    on_redis(async |world| {
        let instance = world.instance_with(CONFIG);
        world.origin.answers(|_| Ok(reply(200, FIELDS, "")));
        for accepts in ["gzip", "br"] {
            for _ in 0..2 {
                let got = instance.get_with(A, &[("accept-encoding", accepts)]).await;
                assert_eq!(plain(&got), "", "{accepts}");
            }
        }
    });
}

#[test]
fn a_date_that_is_of_both_does_not_let_one_be_continued_with_the_other() {
    on_redis(async |world| {
        let instance = world.instance_with(CONFIG);
        let modified = "Sun, 06 Nov 1994 08:49:37 GMT";
        world.origin.answers(move |_| {
            let fields =
                [("cache-control", "max-age=10"), ("content-type", "text/html"), ("last-modified", modified)];
            Ok(reply(200, &fields, page()))
        });
        let accepts = ("accept-encoding", "gzip");
        assert_eq!(instance.get_with(A, &[accepts]).await.header("accept-ranges"), "");
        let fields = [accepts, ("range", "bytes=5-9"), ("if-range", modified)];
        let got = instance.get_with(A, &fields).await;
        assert_eq!((got.status, got.is_hit(), plain(&got)), (200, true, page()));
        assert_eq!(got.header("accept-ranges"), "");
    });
}

#[test]
fn a_head_of_what_came_says_nothing_against_what_is_stored() {
    on_redis(async |world| {
        let instance = world.instance_with(CONFIG);
        world.origin.answers(|seen| {
            let length = page().len().to_string();
            let fields = [FIELDS, &[("content-length", length.as_str())]].concat();
            Ok(reply(200, &fields, if seen.method == "HEAD" { String::new() } else { page() }))
        });
        let accepts = [("accept-encoding", "gzip")];
        instance.get_with(A, &accepts).await;
        world.clock.advance_secs(11);
        let head = instance.send(request("HEAD", A, &accepts, Body::Empty)).await;
        assert_eq!((head.status, head.header("content-encoding"), head.header("etag")), (200, "", "\"1\""));
        world.origin.is_away();
        let got = instance.get_with(A, &accepts).await;
        assert_eq!((plain(&got), got.detail()), (page(), "origin-unreachable"));
    });
}

#[test]
fn a_digest_of_what_came_is_none_of_what_is_stored() {
    on_redis(async |world| {
        let instance = world.instance_with(CONFIG);
        let digests = ["repr-digest", "content-digest", "digest", "content-md5"];
        world.origin.answers(move |seen| {
            let mut fields = FIELDS.to_vec();
            fields.extend(digests.map(|name| (name, "sha-256=:AA==:")));
            fields.push(("accept-ranges", "bytes"));
            let known = seen.header("if-none-match").contains("\"1\"");
            Ok(if known { reply(304, &fields, "") } else { reply(200, &fields, page()) })
        });
        let accepts = [("accept-encoding", "gzip")];
        for status in ["", "304"] {
            let got = instance.get_with(A, &accepts).await;
            assert_eq!((plain(&got), got.parameter("fwd-status")), (page(), status));
            for name in digests.iter().chain(&["accept-ranges"]) {
                assert_eq!(got.header(name), "", "{name}");
            }
            world.clock.advance_secs(11);
        }
        let as_it_came = instance.get(A).await;
        assert_eq!(as_it_came.header("repr-digest"), "sha-256=:AA==:");
    });
}
