//! Requests that may change something invalidate stored responses (RFC 9111 §4.4).

use crate::support::{hit, miss, stored, stored_as};
use spindrift_e2e::{Gateway, Origin, Redis, Reply, Request};

/// GETs are fresh for a minute; anything else is answered with `reply`.
fn changing(reply: Reply) -> Origin {
    Origin::start(move |exchange| {
        let reply = if exchange.request.method == "GET" { Reply::fresh("page") } else { reply.clone() };
        exchange.reply(&reply);
    })
}

#[test]
fn an_unsafe_request_that_succeeds_invalidates_its_target() {
    let origin = changing(Reply::ok("done"));
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    for method in ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "BREW"] {
        stored(&gateway, &redis, &Request::get("/a?x"));
        let _ = gateway.send(&Request::new(method, "/a?x").body(""));
        // Before the client has its response, not some time after.
        assert_eq!(redis.entries().len(), 0, "{method}");
        miss(&gateway, &Request::get("/a?x"));
        redis.await_entries(1);
        gateway.send(&Request::new(method, "/a?x").body(""));
    }
}

#[test]
fn safe_requests_and_errors_invalidate_nothing() {
    for (method, status) in [
        ("HEAD", 200),
        ("OPTIONS", 200),
        ("QUERY", 200),
        ("POST", 400),
        ("POST", 404),
        ("PUT", 500),
        ("DELETE", 503),
    ] {
        let origin = changing(Reply::status(status));
        let redis = Redis::start();
        let gateway = Gateway::before(&origin).redis(&redis).start();
        stored(&gateway, &redis, &Request::get("/a"));
        let _ = gateway.send(&Request::new(method, "/a"));
        hit(&gateway, &Request::get("/a"));
    }
}

#[test]
fn redirects_count_as_success() {
    let origin = changing(Reply::status(303).header("location", "/elsewhere"));
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    stored(&gateway, &redis, &Request::get("/a"));
    let _ = gateway.send(&Request::post("/a", "x"));
    miss(&gateway, &Request::get("/a"));
}

#[test]
fn location_and_content_location_of_the_same_origin_are_invalidated_too() {
    for field in ["location", "content-location"] {
        for (value, gone) in [
            ("/b?y", true),
            ("b?y", true),
            ("http://site.example/b?y", true),
            ("http://other.example/b?y", false),
            ("https://site.example/b?y", false),
            ("http://site.example:81/b?y", false),
        ] {
            let origin = changing(Reply::status(201).header(field, value));
            let redis = Redis::start();
            let gateway = Gateway::before(&origin).redis(&redis).start();
            let other = Request::get("/b?y").host("site.example");
            stored(&gateway, &redis, &other);
            stored_as(&gateway, &redis, &Request::get("/b?y").host("other.example"), 2);
            let _ = gateway.send(&Request::post("/a", "x").host("site.example"));
            assert_eq!(!gateway.send(&other).cache_status().is_hit(), gone, "{field}: {value}");
            hit(&gateway, &Request::get("/b?y").host("other.example"));
        }
    }
}

#[test]
fn all_variants_go_and_other_urls_stay() {
    let origin = Origin::start(|exchange| exchange.reply(&Reply::fresh("x").header("vary", "x-a")));
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    let ask = |a: &str| Request::get("/a").header("x-a", a);
    stored_as(&gateway, &redis, &ask("1"), 1);
    stored_as(&gateway, &redis, &ask("2"), 2);
    stored_as(&gateway, &redis, &Request::get("/a?q"), 3);
    let _ = gateway.send(&Request::post("/a", "x"));
    redis.await_entries(1);
    miss(&gateway, &ask("1"));
    hit(&gateway, &Request::get("/a?q"));
}

#[test]
fn a_fetch_that_began_before_the_change_is_not_stored() {
    use spindrift_e2e::Gate;
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |exchange| {
        if exchange.request.method == "GET" {
            held.pass();
        }
        exchange.reply(&Reply::fresh("before the change"));
    });
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    let mut client = gateway.client();
    client.start(&Request::get("/a"));
    gate.await_arrivals(1);
    let _ = gateway.send(&Request::post("/a", "change"));
    gate.open();
    assert_eq!(client.response(false).read().text(), "before the change");
    gateway.await_log("not stored");
    miss(&gateway, &Request::get("/a"));
}

#[test]
fn an_invalidation_that_redis_could_not_do_is_said() {
    let origin = changing(Reply::ok("done"));
    let gateway = Gateway::before(&origin).start();
    let response = gateway.send(&Request::post("/a", "x"));
    assert_eq!((response.status, response.text()), (200, "done".into()));
    assert_eq!(response.cache_status().detail(), Some("invalidation-failed"));
}
