//! Where messages end, and attempts to make that ambiguous (RFC 9112 §6.3, §11.2).

use crate::support::{hit, names, stored};
use spindrift_e2e::{Gateway, Origin, Redis, Reply, Request, eventually};

#[test]
fn a_request_of_unclear_length_is_refused_and_nothing_of_it_is_taken_for_another() {
    let origin = Origin::always(Reply::ok("x"));
    let gateway = Gateway::before(&origin).start();
    for fields in [
        "content-length: 5\r\ncontent-length: 6",
        "content-length: +5",
        "content-length: 5, 6",
        "content-length: -1",
        "content-length: 99999999999999999999999",
        "transfer-encoding: xchunked",
        "transfer-encoding: chunked, identity",
    ] {
        let mut client = gateway.client();
        let smuggled = "GET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n";
        client.write(format!("POST /a HTTP/1.1\r\nhost: h\r\n{fields}\r\n\r\n{smuggled}").as_bytes());
        if let Some(response) = client.try_response(false) {
            assert!((400..500).contains(&response.status), "{fields}: {}", response.status);
        }
    }
    assert_eq!(gateway.get("/next").text(), "x");
    assert_eq!(names(&origin), ["GET /next"]);
}

#[test]
fn a_request_with_both_length_and_chunks_never_reaches_the_origin_as_two() {
    let origin = Origin::always(Reply::ok("x"));
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    let body = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: h\r\nx: ";
    let head = format!("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n", body.len());
    client.write(format!("{head}transfer-encoding: chunked\r\n\r\n{body}").as_bytes());
    let _ = client.try_response(false).map(spindrift_e2e::Streaming::read);
    assert_eq!(gateway.get("/next").text(), "x");
    for request in origin.requests() {
        assert!(!(request.headers.has("content-length") && request.headers.has("transfer-encoding")));
        assert_ne!(request.target, "/smuggled");
    }
}

#[test]
fn content_of_a_request_that_the_cache_answers_is_not_taken_for_the_next() {
    let origin = Origin::always(Reply::fresh("page"));
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    stored(&gateway, &redis, &Request::get("/a"));
    let mut client = gateway.client();
    client.write(
        b"GET /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n\
          27\r\nGET /smuggled HTTP/1.1\r\nhost: h\r\n\r\nxxx\r\n0\r\n\r\n\
          GET /after HTTP/1.1\r\nhost: h\r\n\r\n",
    );
    for _ in 0..2 {
        // The connection may also be closed instead of sending the second response.
        let Some(response) = client.try_response(false) else { break };
        assert_eq!(response.read().text(), "page");
    }
    assert!(!names(&origin).contains(&"GET /smuggled".to_owned()), "{:?}", names(&origin));
}

#[test]
fn a_client_that_waits_for_100_continue_gets_it() {
    let origin = Origin::always(Reply::ok("thanks"));
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    client.write(b"PUT /a HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n");
    eventually("the origin is asked", || origin.count() == 1);
    client.write(b"four");
    assert_eq!(client.response(false).read().text(), "thanks");
    assert_eq!(client.interim(), [100]);
    assert_eq!(origin.last().body, b"four");
}

#[test]
fn a_304_with_a_length_leaves_the_connection_whole() {
    let origin = Origin::start(|exchange| {
        let has_it = exchange.request.headers.has("if-none-match");
        let not_modified = "HTTP/1.1 304 Not Modified\r\netag: \"1\"\r\ncontent-length: 4\r\n\r\n";
        if has_it {
            exchange.send(not_modified.as_bytes());
        } else {
            exchange.reply(&Reply::stale("page", "\"1\""));
        }
    });
    let redis = Redis::start();
    for gateway in [Gateway::before(&origin).start(), Gateway::before(&origin).redis(&redis).start()] {
        let mut client = gateway.client();
        for _ in 0..3 {
            let answer = client.send(&Request::get("/a").header("if-none-match", "\"1\""));
            assert_eq!((answer.status, answer.body.len()), (304, 0));
            assert_eq!(client.send(&Request::get("/a")).text(), "page");
        }
    }
}

#[test]
fn oversized_heads_are_refused_and_harm_nobody() {
    let origin = Origin::start(|exchange| {
        let length = exchange.request.target[1..].parse().unwrap_or(0);
        exchange.reply(&Reply::fresh("x").header("x-long", &"x".repeat(length)));
    });
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    assert_eq!(gateway.send(&Request::get("/50000").header("x-long", &"x".repeat(50_000))).status, 200);
    redis.await_entries(1);
    assert_eq!(hit(&gateway, &Request::get("/50000")).header("x-long").unwrap().len(), 50_000);
    for request in [
        Request::get("/0").header("x-long", &"x".repeat(200_000)),
        Request::get("/0").header("x-long", &"x".repeat(2_000_000)),
        Request::get(&format!("/0?{}", "x".repeat(200_000))),
        Request::get("/200000"),
        Request::get("/2000000"),
    ] {
        let mut client = gateway.client();
        let answer = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| client.start(&request)));
        if answer.is_ok()
            && let Some(response) = client.try_response(false)
        {
            assert!(response.status >= 400 || response.headers.has("cache-status"), "{}", response.status);
        }
        hit(&gateway, &Request::get("/50000"));
    }
}

#[test]
fn fields_that_the_host_does_not_send_on_are_431() {
    let origin = Origin::always(Reply::fresh("x"));
    let redis = Redis::start();
    for gateway in [Gateway::before(&origin).start(), Gateway::before(&origin).redis(&redis).start()] {
        // The host accepts these fields, but refuses them together with the ones that we add.
        let response = gateway.send(&Request::get("/a").header("x-long", &"x".repeat(131_000)));
        let _ = response.problem(431);
        let _ = response.cache_status();
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn several_content_lengths_are_one_where_they_agree_and_an_error_where_not() {
    for (lengths, status) in [
        ("content-length: 4\r\ncontent-length: 4\r\n", 200),
        ("content-length: 4, 4\r\n", 200),
        ("content-length: 4\r\ncontent-length: 5\r\n", 502),
        ("content-length: +4\r\n", 502),
    ] {
        let raw =
            format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncache-control: max-age=60\r\n{lengths}\r\npage");
        let origin = Origin::always(Reply::raw(raw));
        let redis = Redis::start();
        for gateway in [Gateway::before(&origin).start(), Gateway::before(&origin).redis(&redis).start()] {
            let response = gateway.get("/a");
            let _ = response.cache_status();
            assert_eq!(response.status, status, "{lengths}");
            if status == 200 {
                assert_eq!(
                    (response.headers.all("content-length"), response.text()),
                    (vec!["4"], "page".into())
                );
            }
        }
    }
}

#[test]
fn a_length_that_a_client_sends_twice_reaches_the_origin_once() {
    let origin = Origin::always(Reply::ok("thanks"));
    let gateway = Gateway::before(&origin).start();
    let request = Request::post("/a", "four").header("content-length", "4");
    assert_eq!(gateway.send(&request).text(), "thanks");
    assert_eq!(origin.last().headers.all("content-length"), ["4"]);
    assert_eq!(origin.last().body, b"four");
}
