//! Requests are forwarded to the origin, and its responses to the client.

use crate::support::{names, streams_from_the_client, streams_to_the_client};
use spindrift_e2e::{Gateway, Origin, Redis, Reply, Request};

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
        // A QUERY would be looked up if there were a Redis.
        let why = if method == "QUERY" { "bypass" } else { "method" };
        assert_eq!(response.cache_status().forward(), Some(why), "{method}");
    }
}

#[test]
fn a_request_without_content_reaches_the_origin_without_any() {
    let origin = Origin::always(Reply::ok("done"));
    let redis = Redis::start();
    let stores = "[cache]\nstore_post = true\n";
    for gateway in
        [Gateway::before(&origin).start(), Gateway::before(&origin).redis(&redis).config(stores).start()]
    {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY", "PROPFIND"] {
            let mut client = gateway.client();
            client.write(format!("{method} /m HTTP/1.1\r\nhost: h\r\n\r\n").as_bytes());
            assert_eq!(client.response(false).read().text(), "done", "{method}");
            // RFC 9112 §6.3: without either field there is no content, and a TRACE must not have any.
            let asked = origin.last();
            assert_eq!((asked.method.as_str(), asked.header("transfer-encoding")), (method, None));
        }
    }
}

#[test]
fn what_is_about_no_resource_or_has_no_hops_left_ends_here() {
    let origin = Origin::always(Reply::ok("done"));
    let gateway = Gateway::before(&origin).start();
    let ask = |head: &str| {
        let mut client = gateway.client();
        client.write(format!("{head}\r\nhost: h:80\r\n\r\n").as_bytes());
        client.response(false).read()
    };
    for (head, status) in [
        ("OPTIONS * HTTP/1.1", 204),
        ("GET * HTTP/1.1", 400),
        ("OPTIONS /a HTTP/1.1\r\nmax-forwards: 0", 204),
        ("TRACE /a HTTP/1.1\r\nmax-forwards: 0", 501),
    ] {
        let response = ask(head);
        assert_eq!(response.status, status, "{head}");
        let _ = response.cache_status();
    }
    assert_eq!(origin.count(), 0);
    for (head, left) in [
        ("OPTIONS /a HTTP/1.1\r\nmax-forwards: 10", "9"),
        ("TRACE /a HTTP/1.1\r\nmax-forwards: 1", "0"),
        ("OPTIONS /a HTTP/1.1\r\nmax-forwards: many", "many"),
        ("GET /a HTTP/1.1\r\nmax-forwards: 0", "0"),
    ] {
        assert_eq!((ask(head).status, origin.last().header("max-forwards")), (200, Some(left)), "{head}");
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
fn content_streams_to_the_client_before_the_origin_has_sent_it_all() {
    streams_to_the_client(Gateway::before);
}

#[test]
fn content_streams_to_the_origin_before_the_client_has_sent_it_all() {
    streams_from_the_client(Gateway::before);
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
