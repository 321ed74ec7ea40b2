//! The configuration, as operators see it.

use crate::support::{hit, miss, stored, stored_as};
use spindrift_e2e::{Gateway, Origin, Redis, Reply, Request, Setup};

#[test]
fn every_problem_is_reported_at_once_with_its_place() {
    let origin = Origin::always(Reply::ok("x"));
    let config =
        "nmae = \"x\"\n[redis]\ntimeout = \"soon\"\n[cache]\nmax_variants = 0\n[[route]]\npath = \"api\"\n";
    let gateway = Gateway::before(&origin).config(config).variable("redis_enabled", "maybe").start();
    let problem = gateway.get("/a").problem(500);
    let errors: Vec<&str> =
        problem["errors"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    for expected in [
        "variable config:1:1: nmae",
        "variable config:3:",
        "redis.timeout",
        "variable config:5:",
        "cache.max_variants",
        "variable config:7:",
        "route[0].path",
        "variable redis_enabled",
    ] {
        assert!(errors.iter().any(|error| error.contains(expected)), "{expected} in {errors:#?}");
    }
    assert!(errors.len() >= 5, "{errors:#?}");
    gateway.await_log("redis.timeout");
    assert_eq!(origin.count(), 0, "nothing is half applied");
    let _ = gateway.get("/_spindrift/health").problem(500);
}

#[test]
fn text_that_is_no_toml_is_reported_with_its_place() {
    let gateway = Gateway::before_demo().config("[cache\nx = ").start();
    let problem = gateway.get("/").problem(500);
    assert!(problem["errors"][0].as_str().unwrap().starts_with("variable config:1:"), "{problem}");
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem_of_the_configuration() {
    let gateway = Setup::of("tests/e2e/unreadable.toml").start();
    let problem = gateway.get("/").problem(500);
    let expected = "spindrift.toml:1:1: expected a file that can be read: ";
    assert!(problem["errors"][0].as_str().unwrap().starts_with(expected), "{problem}");
    gateway.await_log(expected);
}

#[test]
fn redis_host_that_disagrees_with_redis_url_says_what_it_should_be() {
    let setup = Gateway::before_demo().variable("redis_url", "redis://:secret-word@cache.example:7000/1");
    let gateway = setup.start();
    let response = gateway.get("/");
    let problem = response.problem(500);
    assert!(problem["errors"][0].as_str().unwrap().contains("redis://cache.example:7000"), "{problem}");
    assert!(!response.text().contains("secret-word") && !gateway.log().contains("secret-word"));
}

#[test]
fn a_wrong_origin_is_a_problem_of_the_configuration() {
    for (url, expected) in [
        ("http://user:hidden@origin.example", "origin_url"),
        ("http://origin.example/path", "origin_url"),
        ("ftp://origin.example", "origin_url"),
        ("origin.example", "origin_url"),
    ] {
        let gateway = Gateway::before_url(url).start();
        let response = gateway.get("/");
        assert!(response.problem(500)["errors"][0].as_str().unwrap().contains(expected), "{url}");
        assert!(!response.text().contains("hidden"));
    }
}

#[test]
fn routes_bypass_the_cache_and_set_lifetimes() {
    let origin = Origin::start(|exchange| {
        let reply = match exchange.request.target.as_str() {
            "/never" => Reply::ok("x").header("cache-control", "no-store"),
            _ => Reply::fresh("x"),
        };
        exchange.reply(&reply);
    });
    let config = "[[route]]\npath = \"/api/*\"\ncache.mode = \"bypass\"\n\
                  [[route]]\nhost = \"*.example\"\npath = \"/assets/*\"\ncache.ttl = \"7d\"\n";
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).config(config).start();
    for _ in 0..2 {
        let status = gateway.get("/api/x").cache_status();
        assert_eq!((status.forward(), status.detail()), (Some("bypass"), Some("route")));
    }
    assert!(redis.keys().is_empty(), "a bypassed route asks nothing of Redis");
    let asset = Request::get("/assets/x").host("www.example");
    let status = stored(&gateway, &redis, &asset).cache_status();
    assert_eq!(status.ttl(), Some(7 * 86_400));
    let other = Request::get("/assets/x").host("www.other");
    assert_eq!(stored_as(&gateway, &redis, &other, 2).cache_status().ttl(), Some(60));
    hit(&gateway, &asset);
    assert_eq!(gateway.get("/never").cache_status().detail(), Some("no-store"));
}

#[test]
fn redis_switched_off_is_a_plain_proxy() {
    let origin = Origin::always(Reply::fresh("x"));
    let setup = Gateway::before(&origin).variable("redis_enabled", "false");
    let gateway = setup.variable("redis_url", "not even a url").start();
    for _ in 0..2 {
        let status = gateway.get("/a").cache_status();
        assert_eq!((status.forward(), status.detail()), (Some("bypass"), Some("redis-disabled")));
    }
    assert_eq!(gateway.send(&Request::post("/a", "x")).cache_status().detail(), None);
}

#[test]
fn the_name_is_that_of_cache_status_via_and_cdn_loop() {
    let origin = Origin::always(Reply::ok("x"));
    let gateway = Gateway::before(&origin).config("name = \"edge-7\"").start();
    assert_eq!(gateway.get("/a").cache_status().cache, "edge-7");
    assert_eq!(origin.last().header("via"), Some("1.1 edge-7"));
    assert_eq!(origin.last().header("cdn-loop"), Some("edge-7"));
    let _ = gateway.send(&Request::get("/a").header("cdn-loop", "edge-7")).problem(508);
    assert_eq!(gateway.send(&Request::get("/a").header("cdn-loop", "spindrift")).status, 200);
}

#[test]
fn objects_larger_than_the_limit_pass_through_unstored() {
    for chunked in [false, true] {
        let origin = Origin::start(move |exchange| {
            let length = exchange.request.target[1..].parse().unwrap();
            let body = vec![b'x'; length];
            let fresh = Reply::fresh("");
            exchange.reply(&if chunked { fresh.chunks(&[&body]) } else { fresh.body(body) });
        });
        let redis = Redis::start();
        let gateway =
            Gateway::before(&origin).redis(&redis).config("[cache]\nmax_object_size = \"1000B\"").start();
        stored(&gateway, &redis, &Request::get("/1000"));
        hit(&gateway, &Request::get("/1000"));
        let large = gateway.get("/1001");
        assert_eq!((large.body.len(), large.complete), (1001, true));
        if chunked {
            gateway.await_log("not stored");
        } else {
            assert_eq!(large.cache_status().detail(), Some("too-large"));
        }
        miss(&gateway, &Request::get("/1001"));
    }
}
