//! Stored responses answer later requests.

use crate::support::{EACH_REUSE, hit, names, stored, stored_as};
use spindrift_e2e::{Gateway, Origin, Redis, Reply, Request};

#[test]
fn a_miss_is_stored_and_the_next_request_is_a_hit() {
    for (requests, at_once) in EACH_REUSE {
        let origin = Origin::always(Reply::fresh("page").header("x-custom", "kept"));
        let redis = Redis::start();
        let gateway = Gateway::before(&origin).redis(&redis).reuse(requests, at_once).start();
        let miss = gateway.get("/a");
        assert_eq!((miss.status, miss.text()), (200, "page".into()));
        let status = miss.cache_status();
        assert_eq!((status.forward(), status.is_stored(), status.ttl()), (Some("uri-miss"), true, Some(60)));
        redis.await_entries(1);
        let hit = gateway.get("/a");
        assert_eq!((hit.status, hit.text(), hit.header("x-custom")), (200, "page".into(), Some("kept")));
        assert!(hit.cache_status().is_hit(), "{hit:?}");
        assert_eq!(origin.count(), 1);
    }
}

#[test]
fn every_kind_of_answer_carries_one_cache_status_of_ours() {
    let origin = Origin::start(|exchange| {
        let reply = match exchange.request.target.as_str() {
            "/fresh" => Reply::fresh("x").header("cache-status", "behind; hit; ttl=5"),
            "/stale" if exchange.request.headers.has("if-none-match") => Reply::status(304),
            "/stale" => Reply::stale("x", "\"1\""),
            "/private" => Reply::fresh("x").header("cache-control", "private"),
            _ => Reply::raw(""),
        };
        exchange.reply(&reply);
    });
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).config("name = \"edge-1\"").start();
    let mine = |request: &Request| {
        let status = gateway.send(request).cache_status();
        assert_eq!(status.cache, "edge-1");
        status
    };
    assert_eq!(mine(&Request::get("/fresh")).forward(), Some("uri-miss"));
    assert_eq!(mine(&Request::get("/stale")).forward(), Some("uri-miss"));
    redis.await_entries(2);
    assert!(mine(&Request::get("/fresh")).is_hit());
    assert!(mine(&Request::head("/fresh")).is_hit());
    let validated = mine(&Request::get("/stale"));
    assert_eq!((validated.forward(), validated.forward_status()), (Some("stale"), Some("304")));
    let private = mine(&Request::get("/private"));
    assert_eq!(
        (private.forward(), private.is_stored(), private.detail()),
        (Some("uri-miss"), false, Some("private"))
    );
    assert_eq!(mine(&Request::post("/private", "x")).forward(), Some("method"));
    assert_eq!(mine(&Request::get("/gone")).forward(), Some("uri-miss"));
    let only = Request::get("/none").header("cache-control", "only-if-cached");
    assert_eq!(mine(&only).detail(), Some("only-if-cached"));
    assert_eq!(gateway.get("/fresh").headers.all("cache-status").len(), 1);
}

#[test]
fn cache_status_can_be_kept_from_clients() {
    let origin = Origin::always(Reply::fresh("x"));
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).config("[cache]\ncache_status = \"none\"").start();
    assert!(!gateway.get("/a").headers.has("cache-status"));
    redis.await_entries(1);
    assert!(!gateway.get("/a").headers.has("cache-status"));
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_hit_repeats_every_field_but_those_of_the_connection() {
    let reply = Reply::fresh("page")
        .header("x-many", "1")
        .header("x-many", "2")
        .header("x-empty", "")
        .header("x-utf8", "grün")
        .header("content-type", "text/plain; charset=utf-8")
        .header("content-language", "de")
        .header("link", "</a>; rel=preload, </b>")
        .header("keep-alive", "timeout=5")
        .header("trailer", "x");
    let origin = Origin::always(reply);
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    let miss = stored(&gateway, &redis, &Request::get("/a"));
    let answer = hit(&gateway, &Request::get("/a"));
    let mut expected = miss.headers.names();
    // A stored response has an age, and supports ranges.
    expected.extend(["age", "accept-ranges"]);
    let found = answer.headers.names();
    expected.sort_unstable();
    expected.retain(|name| *name != "transfer-encoding");
    let mut found: Vec<_> = found.into_iter().filter(|name| *name != "transfer-encoding").collect();
    found.sort_unstable();
    assert_eq!(found, expected);
    for name in
        ["x-many", "x-empty", "x-utf8", "content-type", "content-language", "link", "date", "cache-control"]
    {
        assert_eq!(answer.headers.all(name), miss.headers.all(name), "{name}");
    }
}

#[test]
fn what_is_stored_by_get_answers_head_with_the_length_and_no_content() {
    for (requests, at_once) in EACH_REUSE {
        let origin = Origin::always(Reply::fresh("twelve bytes"));
        let redis = Redis::start();
        let gateway = Gateway::before(&origin).redis(&redis).reuse(requests, at_once).start();
        stored(&gateway, &redis, &Request::get("/a"));
        let mut client = gateway.client();
        let head = client.send(&Request::head("/a"));
        assert!(head.cache_status().is_hit());
        assert_eq!((head.header("content-length"), head.body.len()), (Some("12"), 0));
        // Content in the response to HEAD would be taken for the beginning of the next response.
        assert_eq!(client.send(&Request::get("/a")).text(), "twelve bytes");
        assert_eq!(origin.count(), 1);
    }
}

#[test]
fn head_passes_through_with_the_origins_length_and_stores_nothing() {
    let origin = Origin::always(Reply::fresh("twelve bytes"));
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    let mut client = gateway.client();
    let head = client.send(&Request::head("/a"));
    assert_eq!((head.status, head.header("content-length")), (200, Some("12")));
    assert_eq!(client.send(&Request::get("/a")).text(), "twelve bytes");
    assert_eq!(names(&origin), ["HEAD /a", "GET /a"]);
    redis.await_entries(1);
    hit(&gateway, &Request::get("/a"));
}

#[test]
fn several_clients_at_once_get_the_same_hit() {
    let origin = Origin::always(Reply::fresh("page"));
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    stored(&gateway, &redis, &Request::get("/a"));
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut client = gateway.client();
                for _ in 0..20 {
                    let answer = client.send(&Request::get("/a"));
                    assert!(answer.cache_status().is_hit(), "{answer:?}");
                    assert_eq!(answer.text(), "page");
                }
            });
        }
    });
    assert_eq!(origin.count(), 1);
}

#[test]
fn two_gateways_share_what_they_store() {
    let origin = Origin::always(Reply::fresh("page"));
    let redis = Redis::start();
    let [one, other] =
        [Gateway::before(&origin), Gateway::before(&origin)].map(|it| it.redis(&redis).start());
    stored(&one, &redis, &Request::get("/a").host("site.example"));
    hit(&other, &Request::get("/a").host("site.example"));
    assert_eq!(origin.count(), 1);
}

#[test]
fn requests_that_only_the_origin_can_answer_pass_by_the_cache() {
    let origin = Origin::always(Reply::fresh("page").header("etag", "\"1\""));
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    stored(&gateway, &redis, &Request::get("/a"));
    for (name, value, detail) in [
        ("if-match", "\"1\"", "precondition"),
        ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT", "precondition"),
    ] {
        let response = gateway.send(&Request::get("/a").header(name, value));
        let status = response.cache_status();
        assert_eq!((status.forward(), status.detail()), (Some("bypass"), Some(detail)), "{name}");
        assert_eq!(origin.last().header(name), Some(value));
    }
    let fat = gateway.send(&Request::get("/a").body("content of a GET"));
    assert_eq!(fat.cache_status().detail(), Some("request-content"));
    assert_eq!(origin.last().body, b"content of a GET");
    assert_eq!(origin.count(), 4);
    hit(&gateway, &Request::get("/a"));
}

#[test]
fn a_partial_response_is_never_stored() {
    let part =
        Reply::status(206).header("content-range", "bytes 0-3/10").header("cache-control", "max-age=60");
    let origin = Origin::sequence([part.body("part"), Reply::fresh("whole")]);
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    // An origin that answers 206 to a request without `Range`.
    let first = gateway.get("/a");
    assert_eq!((first.status, first.cache_status().detail()), (206, Some("status")));
    assert_eq!(gateway.get("/a").text(), "whole");
}

#[test]
fn statuses_with_explicit_freshness_are_stored_and_repeated() {
    let origin = Origin::start(|exchange| {
        let status = exchange.request.target[1..].parse().unwrap();
        exchange.reply(&Reply::status(status).header("cache-control", "max-age=60").header("location", "/x"));
    });
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    let statuses = [200, 203, 204, 299, 301, 302, 307, 308, 400, 404, 410, 451, 500, 502, 503, 599];
    for (number, status) in statuses.into_iter().enumerate() {
        let target = format!("/{status}");
        assert_eq!(gateway.get(&target).status, status);
        redis.await_entries(number + 1);
        assert_eq!(hit(&gateway, &Request::get(&target)).status, status);
    }
    assert_eq!(origin.count(), statuses.len());
}

#[test]
fn nothing_is_stored_that_says_nothing_of_freshness() {
    let origin = Origin::always(Reply::ok("state"));
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    for _ in 0..3 {
        let response = gateway.get("/state");
        assert_eq!(response.cache_status().detail(), Some("no-freshness"));
    }
    assert_eq!(origin.count(), 3);
    assert!(redis.entries().is_empty());
}

#[test]
fn what_the_client_wants_of_a_cache_is_heard() {
    let origin = Origin::always(Reply::fresh("page").header("age", "10").header("etag", "\"1\""));
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    stored(&gateway, &redis, &Request::get("/a"));
    let asked = |directive: &str| gateway.send(&Request::get("/a").header("cache-control", directive));
    for directive in ["max-age=30", "min-fresh=10", "max-stale", "only-if-cached", "nonsense"] {
        assert!(asked(directive).cache_status().is_hit(), "{directive}");
    }
    assert_eq!(origin.count(), 1);
    for directive in ["no-cache", "max-age=5", "min-fresh=59"] {
        assert_eq!(asked(directive).cache_status().forward(), Some("request"), "{directive}");
    }
    assert_eq!(origin.count(), 4);
    let missing = gateway.send(&Request::get("/b").header("cache-control", "only-if-cached"));
    let _ = missing.problem(504);
    let unstored = gateway.send(&Request::get("/c").header("cache-control", "no-store"));
    assert_eq!(unstored.cache_status().detail(), Some("request-no-store"));
    assert!(!gateway.get("/c").cache_status().is_hit());
}

#[test]
fn a_warm_hit_is_one_command_to_redis() {
    let origin = Origin::start(|exchange| {
        let fresh = Reply::fresh("page").header("etag", "\"1\"");
        let varies = exchange.request.target == "/varies";
        exchange.reply(&if varies { fresh.header("vary", "accept-encoding") } else { fresh });
    });
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).one_instance().start();
    let plain = Request::get("/a").header("accept-encoding", "gzip");
    let varies = Request::get("/varies").header("accept-encoding", "gzip");
    stored_as(&gateway, &redis, &plain, 1);
    stored_as(&gateway, &redis, &varies, 2);
    let mut monitor = redis.monitor();
    let requests = [
        Request::get("/a"),
        Request::head("/a"),
        Request::get("/a").header("if-none-match", "\"1\""),
        plain,
        varies,
    ];
    for request in requests {
        hit(&gateway, &request);
        let _ = monitor.commands();
        for _ in 0..3 {
            hit(&gateway, &request);
        }
        let commands = monitor.commands();
        assert_eq!(commands.len(), 3, "{request:?}: {commands:?}");
    }
}

#[test]
fn a_script_that_redis_forgot_is_sent_again() {
    let origin = Origin::always(Reply::fresh("page"));
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).one_instance().start();
    stored(&gateway, &redis, &Request::get("/a"));
    let _: String = redis.query(&["SCRIPT", "FLUSH"]);
    hit(&gateway, &Request::get("/a"));
    stored_as(&gateway, &redis, &Request::get("/b"), 2);
    hit(&gateway, &Request::get("/b"));
    assert_eq!(origin.count(), 2);
}
