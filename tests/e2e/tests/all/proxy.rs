//! Requests pass through to the origin, and its responses back.

use crate::support::{EACH_REUSE, beginning_with, names};
use spindrift_e2e::{Gate, Gateway, Origin, Redis, Reply, Request};

#[test]
fn any_method_reaches_the_origin_with_its_content() {
    let origin = Origin::always(Reply::ok("done"));
    let gateway = Gateway::before(&origin).start();
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "QUERY", "PROPFIND", "M-SEARCH", "BREW"] {
        let response = gateway.send(&Request::new(method, "/m?x=1").body("content"));
        assert_eq!((response.status, response.text()), (200, "done".into()), "{method}");
        let asked = origin.last();
        assert_eq!((asked.method.as_str(), asked.target.as_str()), (method, "/m?x=1"));
        assert_eq!(asked.body, b"content", "{method}");
        let status = response.cache_status();
        assert_eq!(status.forward(), Some("method"), "{method}");
    }
}

#[test]
fn any_status_comes_back_with_its_content() {
    let origin = Origin::start(|exchange| {
        let status = exchange.request.target[1..].parse().unwrap();
        exchange.reply(&Reply::status(status).body("said").header("x-status", "kept"));
    });
    let gateway = Gateway::before(&origin).start();
    for status in [200, 201, 202, 203, 206, 299, 301, 400, 401, 403, 404, 410, 418, 451, 500, 503, 599] {
        let response = gateway.get(&format!("/{status}"));
        assert_eq!((response.status, response.text()), (status, "said".into()));
        assert_eq!(response.header("x-status"), Some("kept"));
        let _ = response.cache_status();
    }
    assert_eq!(gateway.get("/204").body, b"");
}

#[test]
#[ignore = "the adapter answers a bare 500: the host takes 100 to 599 only (components/adapter/src/outgoing.rs)"]
fn a_status_that_no_component_may_send_is_502() {
    let origin = Origin::always(Reply::status(999));
    let gateway = Gateway::before(&origin).start();
    let response = gateway.get("/");
    let _ = response.problem(502);
    let _ = response.cache_status();
}

#[test]
fn content_streams_to_the_client_before_the_origin_has_sent_it_all() {
    for (requests, at_once) in EACH_REUSE {
        let gate = Gate::new();
        let held = gate.clone();
        let origin = Origin::start(move |exchange| {
            exchange
                .send(b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n");
            exchange.send(b"5\r\nfirst\r\n");
            held.pass();
            exchange.send(b"6\r\nsecond\r\n0\r\n\r\n");
        });
        let redis = Redis::start();
        for setup in [Gateway::before(&origin), Gateway::before(&origin).redis(&redis)] {
            let gateway = setup.reuse(requests, at_once).start();
            let mut client = gateway.client();
            client.start(&Request::get("/stream"));
            let mut response = client.response(false);
            // A gateway that waits for the end would wait for ever: only what comes next opens the gate.
            assert_eq!(response.exactly(5), b"first");
            gate.open();
            let rest = response.read();
            assert_eq!((rest.text(), rest.complete), ("second".into(), true));
        }
    }
}

#[test]
fn content_streams_to_the_origin_before_the_client_has_sent_it_all() {
    let gate = Gate::new();
    let arrived = gate.clone();
    let origin = Origin::start(move |exchange| {
        assert_eq!(exchange.piece().as_deref(), Some(&b"first"[..]));
        arrived.pass();
        exchange.reply(&Reply::ok("thanks"));
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    client.write(b"POST /up HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    gate.await_arrivals(1);
    gate.open();
    client.write(b"6\r\nsecond\r\n0\r\n\r\n");
    assert_eq!(client.response(false).read().text(), "thanks");
    assert_eq!(origin.last().body, b"firstsecond");
}

#[test]
fn the_path_reaches_the_origin_byte_for_byte() {
    let origin = Origin::always(Reply::ok("x"));
    let redis = Redis::start();
    for gateway in [Gateway::before(&origin).start(), Gateway::before(&origin).redis(&redis).start()] {
        for target in [
            "/",
            "//",
            "//x//y/",
            "/%2F",
            "/%2f",
            "/a%2Fb",
            "/./x",
            "/../x",
            "/a/../b",
            "/a;v=1",
            "/a,b",
            "/?",
            "/a?",
            "/a?b",
            "/a?b=&c",
            "/a??b?",
            "/a?x=%20+%26",
            "/a?u=http://h/p?q",
            "/%41",
            "/%00",
            "/a|b",
            "/~!$&'()*+,;=:@",
            "/a?[]{}|",
            "/%E4%B8%AD",
            "/%zz",
            "/a%",
            "/\"q\"",
            "/A/a",
            "/a.",
            "/_spindriftx",
        ] {
            let response = gateway.get(target);
            assert_eq!(response.status, 200, "{target} {response:?}");
            assert_eq!(origin.last().target, target);
        }
    }
}

#[test]
fn a_request_in_absolute_form_is_for_its_own_authority() {
    let origin = Origin::always(Reply::ok("x"));
    let gateway = Gateway::before(&origin).start();
    let response = gateway.send(&Request::get("http://site.example/a?b").host("site.example"));
    assert_eq!(response.status, 200);
    let asked = origin.last();
    assert_eq!(asked.target, "/a?b");
    assert_eq!(asked.header("x-forwarded-host"), Some("site.example"));
}

#[test]
fn hop_by_hop_fields_end_at_the_gateway_in_both_directions() {
    let origin = Origin::always(
        Reply::ok("x")
            .header("keep-alive", "timeout=5")
            .header("proxy-authenticate", "Basic")
            .header("proxy-authentication-info", "x")
            .header("proxy-connection", "keep-alive")
            .header("trailer", "x-t")
            .header("te", "trailers")
            .header("upgrade", "h2c")
            .header("x-end-to-end", "kept"),
    );
    let gateway = Gateway::before(&origin).start();
    let request = Request::post("/h", "x")
        .header("keep-alive", "timeout=5")
        .header("proxy-authorization", "Basic c2VjcmV0")
        .header("proxy-connection", "keep-alive")
        .header("te", "trailers")
        .header("trailer", "x-t")
        .header("upgrade", "h2c")
        .header("http2-settings", "AAMAAABkAAQAAP__")
        .header("x-end-to-end", "kept");
    let response = gateway.send(&request);
    let asked = origin.last();
    for name in [
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
        "http2-settings",
    ] {
        assert!(!asked.headers.has(name), "to the origin: {name}");
        assert!(!response.headers.has(name), "to the client: {name}");
    }
    assert_eq!(asked.header("x-end-to-end"), Some("kept"));
    assert_eq!(response.header("x-end-to-end"), Some("kept"));
}

#[test]
fn fields_keep_their_number_and_order_and_odd_values() {
    let origin = Origin::always(
        Reply::ok("x")
            .header("x-many", "1")
            .header("x-many", "2, 3")
            .header("x-empty", "")
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2; HttpOnly")
            .header("x-utf8", "grün"),
    );
    let gateway = Gateway::before(&origin).start();
    let request = Request::get("/f")
        .header("x-many", "1")
        .header("x-many", "2, 3")
        .header("x-empty", "")
        .header("cookie", "a=1; b=2")
        .header("x-utf8", "grün");
    let response = gateway.send(&request);
    for headers in [&origin.last().headers, &response.headers] {
        assert_eq!(headers.all("x-many"), ["1", "2, 3"]);
        assert_eq!(headers.all("x-empty"), [""]);
        assert_eq!(headers.all("x-utf8"), ["grün"]);
    }
    assert_eq!(origin.last().headers.all("cookie"), ["a=1; b=2"]);
    assert_eq!(response.headers.all("set-cookie"), ["a=1", "b=2; HttpOnly"]);
}

#[test]
fn the_origin_learns_who_asked_for_what_and_through_whom() {
    let origin = Origin::always(Reply::ok("x"));
    let gateway = Gateway::before(&origin).start();
    let _ = gateway.send(&Request::get("/a").host("site.example:8080"));
    let asked = origin.last();
    assert_eq!(asked.headers.all("host"), [origin.authority()]);
    assert_eq!(asked.headers.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(asked.headers.all("x-forwarded-host"), ["site.example:8080"]);
    assert_eq!(asked.headers.all("x-forwarded-proto"), ["http"]);
    assert_eq!(asked.headers.all("forwarded"), ["for=127.0.0.1;host=\"site.example:8080\";proto=http"]);
    assert_eq!(asked.headers.all("via"), ["1.1 spindrift"]);
    assert_eq!(asked.headers.all("cdn-loop"), ["spindrift"]);
}

#[test]
fn claims_of_the_client_about_itself_do_not_reach_the_origin() {
    let origin = Origin::always(Reply::ok("x"));
    let gateway = Gateway::before(&origin).start();
    let request = Request::get("/a")
        .host("site.example")
        .header("x-forwarded-for", "6.6.6.6")
        .header("x-forwarded-host", "evil.example")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-port", "6")
        .header("x-real-ip", "6.6.6.6")
        .header("forwarded", "for=6.6.6.6;host=evil.example");
    let _ = gateway.send(&request);
    let asked = origin.last();
    assert_eq!(asked.headers.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(asked.headers.all("x-forwarded-host"), ["site.example"]);
    assert_eq!(asked.headers.all("x-forwarded-proto"), ["http"]);
    assert_eq!(asked.headers.all("forwarded"), ["for=127.0.0.1;host=\"site.example\";proto=http"]);
    assert!(!asked.headers.has("x-real-ip") && !asked.headers.has("x-forwarded-port"));
}

#[test]
fn a_trusted_proxy_in_front_is_added_to() {
    let origin = Origin::always(Reply::ok("x"));
    let gateway =
        Gateway::before(&origin).config("[origin]\ntrust_forwarded = true\nforwarded = false").start();
    let request = Request::get("/a")
        .header("x-forwarded-for", "192.0.2.7")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "public.example")
        .header("via", "2 front")
        .header("cdn-loop", "front");
    let _ = gateway.send(&request);
    let asked = origin.last();
    assert_eq!(asked.headers.all("x-forwarded-for"), ["192.0.2.7, 127.0.0.1"]);
    assert_eq!(asked.headers.all("x-forwarded-proto"), ["https"]);
    assert_eq!(asked.headers.all("x-forwarded-host"), ["public.example"]);
    assert_eq!(asked.headers.all("via"), ["2 front, 1.1 spindrift"]);
    assert_eq!(asked.headers.all("cdn-loop"), ["front, spindrift"]);
    assert!(!asked.headers.has("forwarded"));
}

#[test]
fn fields_between_spin_and_the_component_never_reach_the_origin() {
    let origin = Origin::always(Reply::ok("x"));
    let gateway = Gateway::before(&origin).start();
    let request = Request::get("/a")
        .header("spin-client-addr", "6.6.6.6:1")
        .header("Spin-Full-Url", "http://evil.example/")
        .header("spin-anything", "x")
        .header("spinner", "kept");
    let _ = gateway.send(&request);
    let asked = origin.last();
    assert_eq!(beginning_with(&asked.headers, "spin-"), Vec::<&str>::new());
    assert_eq!(asked.header("spinner"), Some("kept"));
    // What Spin says of the client comes last, and only that counts.
    assert_eq!(asked.headers.all("x-forwarded-for"), ["127.0.0.1"]);
}

#[test]
fn a_loop_ends_with_508() {
    let origin = Origin::always(Reply::ok("x"));
    let gateway = Gateway::before(&origin).start();
    let response = gateway.send(&Request::get("/a").header("CDN-Loop", "other; v=1, Spindrift"));
    let _ = response.problem(508);
    assert_eq!(response.cache_status().detail(), Some("loop"));
    assert_eq!(origin.count(), 0);
    assert_eq!(gateway.send(&Request::get("/a").header("cdn-loop", "spindrift2")).status, 200);
}

#[test]
fn an_origin_that_cannot_be_reached_is_502_without_its_name() {
    let nobody = Redis::stopped().url().replace("redis://", "http://");
    let gateway = Gateway::before_url(&nobody).start();
    for request in [Request::get("/secret-path"), Request::post("/secret-path", "x"), Request::head("/")] {
        let response = gateway.send(&request);
        assert_eq!(response.status, 502);
        assert!(!response.text().contains("127.0.0.1"), "{response:?}");
        let _ = response.cache_status();
    }
    let _ = gateway.get("/").problem(502);
    gateway.await_log("GET /secret-path");
}

#[test]
fn an_origin_that_breaks_off_before_its_response_is_502() {
    for nonsense in ["", "HTTP/1.1 200 OK\r\nx-half: ", "220 smtp.example ready\r\n\r\n"] {
        let origin = Origin::always(Reply::raw(nonsense));
        let gateway = Gateway::before(&origin).start();
        let response = gateway.get("/");
        let _ = response.problem(502);
        let _ = response.cache_status();
        assert_eq!(origin.count(), 1, "a request is never repeated: {nonsense:?}");
    }
}

#[test]
fn an_origin_that_does_not_answer_in_time_is_504() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |_| held.pass());
    let gateway = Gateway::before(&origin).config("[origin]\nfirst_byte_timeout = \"200ms\"").start();
    let response = gateway.get("/");
    let _ = response.problem(504);
    let _ = response.cache_status();
    gate.open();
}

#[test]
fn an_origin_that_stalls_in_the_middle_breaks_the_connection_off() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |exchange| {
        exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
        held.pass();
    });
    let gateway = Gateway::before(&origin).config("[origin]\nbetween_bytes_timeout = \"200ms\"").start();
    let response = gateway.get("/");
    assert_eq!((response.status, response.text(), response.complete), (200, "half".into(), false));
    gate.open();
}

#[test]
fn interim_responses_do_not_reach_the_client_and_do_no_harm() {
    let origin = Origin::always(Reply::raw(
        "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n\
         HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nfinal",
    ));
    let gateway = Gateway::before(&origin).start();
    let response = gateway.get("/");
    assert_eq!((response.status, response.text()), (200, "final".into()));
    assert!(!response.headers.has("link"));
}

#[test]
fn redirects_and_errors_of_the_origin_are_the_clients_business() {
    let origin = Origin::always(Reply::status(302).header("location", "http://127.0.0.1:1/elsewhere"));
    let gateway = Gateway::before(&origin).start();
    let response = gateway.get("/");
    assert_eq!((response.status, response.header("location")), (302, Some("http://127.0.0.1:1/elsewhere")));
    assert_eq!(origin.count(), 1);
}

#[test]
fn one_client_connection_serves_many_requests() {
    let origin = Origin::start(|exchange| {
        let target = exchange.request.target.clone();
        exchange.reply(&Reply::ok(target));
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    for number in 0..20 {
        let target = format!("/{number}");
        assert_eq!(client.send(&Request::get(&target)).text(), target);
        assert_eq!(client.send(&Request::post(&target, "x")).text(), target);
        assert_eq!(
            client.send(&Request::head(&target)).header("content-length"),
            Some(&*target.len().to_string())
        );
    }
    assert_eq!(names(&origin).len(), 60);
}

#[test]
fn without_an_origin_of_its_own_the_demo_origin_answers() {
    let redis = Redis::start();
    let gateway = Gateway::before_demo().redis(&redis).start();
    let first = gateway.get("/hello");
    assert!(first.text().contains("/hello"), "{first:?}");
    assert_eq!(first.cache_status().forward(), Some("uri-miss"));
    redis.await_entries(1);
    let second = gateway.get("/hello");
    assert!(second.cache_status().is_hit());
    assert_eq!(second.body, first.body);
}
