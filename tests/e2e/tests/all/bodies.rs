//! Content of every size, and content that is incomplete or damaged.

use crate::support::{EACH_REUSE, hit, miss, names, stored, stored_as};
use spindrift_e2e::{Gate, Gateway, Origin, Redis, Reply, Request, Streaming, eventually};
use std::io::Read;

const CHUNK: usize = 256 * 1024;

/// Content in which every part is different.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 251 + at % 251) as u8).collect()
}

/// An origin whose path determines the length of its page, and whether it is sent in chunks.
fn sized() -> Origin {
    Origin::start(|exchange| {
        let target = exchange.request.target.clone();
        let body = content(target.rsplit('/').next().unwrap().parse().unwrap());
        let pieces: Vec<&[u8]> = body.chunks(10_000).collect();
        let chunked = target.starts_with("/chunked/");
        exchange.reply(&if chunked { Reply::fresh("").chunks(&pieces) } else { Reply::fresh(body.clone()) });
    })
}

#[test]
fn content_of_any_length_is_stored_and_repeated_byte_for_byte() {
    for (requests, at_once) in EACH_REUSE {
        let origin = sized();
        let redis = Redis::start();
        let gateway = Gateway::before(&origin).redis(&redis).reuse(requests, at_once).start();
        let mut count = 0;
        for length in
            [0, 1, 1000, 16_384, 65_536, 65_537, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7]
        {
            for kind in ["plain", "chunked"] {
                count += 1;
                let request = Request::get(&format!("/{kind}/{length}"));
                let first = stored_as(&gateway, &redis, &request, count);
                assert!(first.complete && first.body == content(length), "{kind} {length}");
                let again = hit(&gateway, &request);
                assert!(again.complete && again.body == content(length), "{kind} {length}");
                assert_eq!(again.header("content-length"), Some(&*length.to_string()));
            }
        }
        assert_eq!(origin.count(), count);
    }
}

/// Text of this length that can be compressed, but not to nothing.
fn text(length: usize) -> Vec<u8> {
    let letter = |at: usize| b"etaoin shrdlu"[(at * at / 7 + at / 11) % 13];
    (0..length).map(letter).collect()
}

fn expanded(coding: &str, content: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    match coding {
        "br" => brotli::Decompressor::new(content, 4096).read_to_end(&mut all),
        _ => flate2::read::GzDecoder::new(content).read_to_end(&mut all),
    }
    .unwrap();
    all
}

#[test]
fn compressed_content_is_the_same_content() {
    let origin = Origin::start(|exchange| {
        let length = exchange.request.target[1..].parse().unwrap();
        exchange.reply(&Reply::fresh(text(length)).header("content-type", "text/plain"));
    });
    let redis = Redis::start();
    let config = "[cache]\ncompress = [\"br\", \"gzip\"]";
    let gateway = Gateway::before(&origin).redis(&redis).config(config).start();
    for length in [1000, 60_000, 2 * CHUNK] {
        for coding in ["br", "gzip"] {
            let request = Request::get(&format!("/{length}")).header("accept-encoding", coding);
            let first = gateway.send(&request);
            assert!(first.cache_status().is_stored(), "{first:?}");
            eventually("it is stored", || gateway.send(&request).cache_status().is_hit());
            for reply in [first, hit(&gateway, &request)] {
                assert_eq!(reply.header("content-encoding"), Some(coding), "{length}");
                assert!(expanded(coding, &reply.body) == text(length), "{coding} {length}");
            }
        }
    }
}

#[test]
fn large_content_stands_in_pieces_and_small_does_not() {
    let origin = sized();
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    stored_as(&gateway, &redis, &Request::get(&format!("/plain/{CHUNK}")), 1);
    assert_eq!(redis.chunks().len(), 0);
    stored_as(&gateway, &redis, &Request::get(&format!("/plain/{}", 3 * CHUNK + 1)), 2);
    assert_eq!(redis.chunks().len(), 4);
    for bytes in redis.entries().values() {
        assert!(bytes.len() <= CHUNK + 1000);
    }
}

#[test]
fn a_lost_or_damaged_piece_is_never_served_as_whole() {
    let origin = sized();
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    let length = 3 * CHUNK;
    let request = Request::get(&format!("/plain/{length}"));
    stored(&gateway, &redis, &request);
    for lost in redis.chunks() {
        gateway.until(&request, |response| response.cache_status().is_hit());
        let _: i64 = redis.query(&["UNLINK", &lost]);
        let answer = gateway.send(&request);
        assert!(answer.complete && answer.body == content(length), "without {lost}");
    }
    let before = redis.entries();
    let _: i64 = redis.query_bytes(&[b"UNLINK", before.keys().next().unwrap().as_bytes()]);
    stored(&gateway, &redis, &request);
    // The gateway notices a damaged piece after it has sent the head: then it closes the connection.
    let name = |key: &String| key.rsplit_once(':').unwrap().0.to_owned();
    let pieces = redis.chunks();
    let current = pieces.iter().find(|key| {
        let bytes = redis.entries().into_values().next().unwrap();
        let body = name(key).rsplit_once(':').unwrap().1.to_owned();
        bytes.windows(body.len()).any(|window| window == body.as_bytes())
    });
    let current = name(current.unwrap());
    redis.replace(&format!("{current}:1"), b"nonsense");
    let answer = gateway.send(&request);
    assert!(!answer.complete && answer.body == content(length)[..answer.body.len()]);
}

#[test]
fn twenty_megabytes_pass_through_and_are_stored_and_read_back() {
    let length = 20_000_000;
    let origin = sized();
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    for kind in ["plain", "chunked"] {
        let request = Request::get(&format!("/{kind}/{length}"));
        let first = gateway.send(&request);
        assert!(first.complete && first.body == content(length), "{kind}");
        let again = gateway.until(&request, |response| response.cache_status().is_hit());
        assert!(again.complete && again.body == content(length), "{kind}");
    }
}

#[test]
fn twenty_megabytes_pass_through_to_the_origin() {
    let origin = Origin::always(Reply::ok("thanks"));
    let gateway = Gateway::before(&origin).start();
    let body = content(20_000_000);
    assert_eq!(gateway.send(&Request::new("PUT", "/up").body(body.clone())).text(), "thanks");
    assert!(origin.last().body == body);
}

#[test]
fn content_that_ends_early_is_never_stored_nor_passed_off_as_whole() {
    let cut =
        "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n";
    let replies = [
        Reply::fresh("half").declaring(8),
        Reply::fresh(content(CHUNK * 2)).declaring(CHUNK * 3),
        Reply::raw(cut),
        Reply::raw(format!("{cut}ff\r\nless")),
        Reply::raw(format!("{cut}nonsense\r\n")),
    ];
    for reply in replies {
        let origin = Origin::always(reply);
        let redis = Redis::start();
        let gateway = Gateway::before(&origin).redis(&redis).start();
        for asked in 1..=2 {
            let mut client = gateway.client();
            client.start(&Request::get("/a"));
            // The connection may be closed even before the head was sent.
            let response = client.try_response(false).map(Streaming::read);
            assert!(response.is_none_or(|response| !response.complete || response.status == 502));
            assert_eq!(origin.count(), asked);
        }
        assert!(redis.entries().is_empty());
    }
}

#[test]
fn content_longer_than_declared_is_cut_at_its_length_or_not_stored() {
    let origin = Origin::always(Reply::fresh("page and more").declaring(4));
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    for _ in 0..3 {
        let response = gateway.get("/a");
        assert_eq!((response.text(), response.complete), ("page".into(), true));
    }
    // Leftover bytes are not taken for the response to another request.
    assert_eq!(gateway.get("/b").text(), "page");
}

#[test]
fn content_that_ends_with_the_connection_is_whole() {
    let origin = Origin::always(Reply::fresh("").until_close("to the end"));
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    assert_eq!(stored(&gateway, &redis, &Request::get("/a")).text(), "to the end");
    let again = hit(&gateway, &Request::get("/a"));
    assert_eq!((again.text(), again.header("content-length")), ("to the end".into(), Some("10")));
}

#[test]
fn a_client_that_goes_away_leaves_the_gateway_whole() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |exchange| {
        if exchange.request.target == "/slow" {
            exchange.send(b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 9\r\n\r\nfirst");
            held.pass();
            exchange.send(b"rest");
        } else {
            exchange.reply(&Reply::fresh("other"));
        }
    });
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).one_instance().start();
    for _ in 0..3 {
        let mut client = gateway.client();
        client.start(&Request::get("/slow"));
        assert_eq!(client.response(false).exactly(5), b"first");
        drop(client);
        assert_eq!(gateway.get("/other").text(), "other");
    }
    gate.open();
    let whole = gateway.until(&Request::get("/slow"), |response| response.cache_status().is_hit());
    assert_eq!((whole.text(), whole.complete), ("firstrest".into(), true));
}

#[test]
fn an_upload_that_breaks_off_is_not_passed_on_as_whole() {
    let origin = Origin::always(Reply::ok("thanks"));
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    client.write(b"POST /up HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\nhalf");
    origin.await_requests(1);
    eventually("the first half arrives", || origin.last().body == b"half");
    drop(client);
    // The origin would answer after the complete content; the gateway keeps serving others.
    assert_eq!(gateway.get("/next").text(), "thanks");
    assert_eq!(names(&origin), ["POST /up", "GET /next"]);
    assert_eq!(origin.requests()[0].body, b"half");
}

#[test]
fn responses_without_content_stay_so() {
    let origin = Origin::start(|exchange| {
        let reply = match exchange.request.target.as_str() {
            "/204" => Reply::status(204).header("cache-control", "max-age=60"),
            _ => Reply::fresh(""),
        };
        exchange.reply(&reply);
    });
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    let mut client = gateway.client();
    for (count, target) in ["/204", "/empty"].into_iter().enumerate() {
        stored_as(&gateway, &redis, &Request::get(target), count + 1);
        for request in [Request::get(target), Request::head(target)] {
            let answer = client.send(&request);
            assert!(answer.cache_status().is_hit() && answer.body.is_empty() && answer.complete);
        }
    }
    assert!(!client.send(&Request::get("/204")).headers.has("content-length"));
}

#[test]
fn an_empty_response_does_not_take_the_place_of_a_page_unless_it_may_be_stored() {
    let origin = Origin::sequence([Reply::stale("page", "\"1\""), Reply::status(204), Reply::fresh("page")]);
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    stored(&gateway, &redis, &Request::get("/a"));
    assert_eq!(gateway.get("/a").status, 204);
    assert_eq!(miss(&gateway, &Request::get("/a")).text(), "page");
}

/// Sends a gigabyte in one response, and returns the length that arrived.
fn gigabyte(config: &str) -> u64 {
    const PIECE: usize = 1 << 20;
    let origin = Origin::start(|exchange| {
        let head =
            format!("HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: {}\r\n\r\n", 1 << 30);
        exchange.send(head.as_bytes());
        let piece = vec![b'x'; PIECE];
        for _ in 0..1024 {
            exchange.send(&piece);
        }
    });
    let redis = Redis::start();
    let gateway =
        Gateway::before(&origin).redis(&redis).config(config).one_instance().max_memory(64 << 20).start();
    let mut client = gateway.client();
    client.start(&Request::get("/a"));
    let mut answer = client.response(false);
    let mut length = 0;
    while let Some(piece) = answer.piece() {
        length += piece.len() as u64;
    }
    // The instance still runs: it would have ended if it had needed more memory.
    assert_eq!(gateway.get("/_spindrift/health").status, 200);
    length
}

#[test]
fn a_gigabyte_passes_an_instance_of_64_mib() {
    assert_eq!(gigabyte(""), 1 << 30);
}

#[test]
fn a_gigabyte_is_stored_from_an_instance_of_64_mib() {
    // The response is stored as a whole, in pieces.
    assert_eq!(gigabyte("[cache]\nmax_object_size = \"2GiB\""), 1 << 30);
}
