//! Private responses are never sent to others.

use crate::support::{hit, miss, stored};
use spindrift_e2e::{Gateway, Origin, Redis, Reply, Request};

/// Sends the request twice, as different people; expects two requests to the origin, and nothing in Redis.
#[track_caller]
fn never_shared(config: &str, reply: Reply, request: &Request, detail: &str) {
    let origin = Origin::always(reply);
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).config(config).start();
    for asked in 1..=2 {
        let response = gateway.send(request);
        let status = response.cache_status();
        assert_eq!((status.is_stored(), status.detail()), (false, Some(detail)), "{response:?}");
        assert_eq!(origin.count(), asked);
    }
    assert!(redis.entries().is_empty() && redis.chunks().is_empty());
}

fn with(cache_control: &str) -> Reply {
    Reply::ok("secret").header("cache-control", cache_control)
}

#[test]
fn no_store_and_private_responses_are_not_stored_in_any_spelling() {
    let request = Request::get("/account");
    for cache_control in
        ["no-store", "max-age=60, no-store", "NO-STORE", "no-store=\"x\"", "public, no-store"]
    {
        never_shared("", with(cache_control), &request, "no-store");
    }
    for cache_control in
        ["private", "max-age=60, Private", "private, s-maxage=60", "private=\"bad name\", max-age=60"]
    {
        never_shared("", with(cache_control), &request, "private");
    }
    let two_lines = with("max-age=60").header("cache-control", "private");
    never_shared("", two_lines, &request, "private");
}

#[test]
fn a_configured_ttl_never_overrides_what_is_private() {
    let config = "[cache]\nttl = \"1h\"\nttl_by_status = { 2xx = \"1h\" }";
    let request = Request::get("/account/x.css");
    never_shared(config, with("no-store"), &request, "no-store");
    never_shared(config, with("private"), &request, "private");
    never_shared(config, Reply::ok("x").header("set-cookie", "sid=1"), &request, "set-cookie");
    never_shared(config, Reply::ok("x"), &request.header("authorization", "Basic x"), "authorization");
}

#[test]
fn answers_to_authorised_requests_need_permission_to_be_shared() {
    let request = Request::get("/a").header("authorization", "Bearer one");
    never_shared("", with("max-age=60"), &request, "authorization");
    for permission in ["public, max-age=60", "s-maxage=60", "max-age=60, must-revalidate"] {
        let origin = Origin::always(with(permission));
        let redis = Redis::start();
        let gateway = Gateway::before(&origin).redis(&redis).start();
        stored(&gateway, &redis, &request);
        hit(&gateway, &Request::get("/a"));
        assert_eq!(origin.last().header("authorization"), Some("Bearer one"));
    }
}

#[test]
fn credentials_stay_out_of_redis() {
    let origin = Origin::always(with("public, max-age=60"));
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    let request =
        Request::get("/a").header("authorization", "Bearer hidden-1").header("cookie", "sid=hidden-2");
    stored(&gateway, &redis, &request);
    for bytes in redis.entries().values() {
        let text = String::from_utf8_lossy(bytes);
        assert!(!text.contains("hidden-1") && !text.contains("hidden-2"));
    }
    assert_eq!(origin.last().header("cookie"), Some("sid=hidden-2"));
}

#[test]
fn a_response_that_sets_a_cookie_is_not_shared_unless_told() {
    let cookie = || Reply::fresh("x").header("set-cookie", "sid=1; HttpOnly");
    never_shared("", cookie(), &Request::get("/a"), "set-cookie");
    for (policy, kept) in [("strip", false), ("store", true)] {
        let origin = Origin::always(cookie());
        let redis = Redis::start();
        let config = format!("[cache]\nset_cookie = \"{policy}\"");
        let gateway = Gateway::before(&origin).redis(&redis).config(&config).start();
        let first = stored(&gateway, &redis, &Request::get("/a"));
        assert_eq!(first.header("set-cookie"), Some("sid=1; HttpOnly"), "whose it is gets it");
        assert_eq!(hit(&gateway, &Request::get("/a")).headers.has("set-cookie"), kept, "{policy}");
    }
}

#[test]
fn a_304_that_sets_a_cookie_hands_it_to_nobody_else() {
    let origin = Origin::start(|exchange| {
        let reply = if exchange.request.headers.has("if-none-match") {
            Reply::status(304).header("set-cookie", "sid=1").header("cache-control", "max-age=60")
        } else {
            Reply::stale("page", "\"1\"")
        };
        exchange.reply(&reply);
    });
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    stored(&gateway, &redis, &Request::get("/a"));
    assert_eq!(gateway.get("/a").text(), "page");
    for _ in 0..3 {
        let response = gateway.get("/a");
        let from_cache = response.cache_status().is_hit();
        assert!(!(from_cache && response.headers.has("set-cookie")), "{response:?}");
    }
    for bytes in redis.entries().values() {
        assert!(!String::from_utf8_lossy(bytes).contains("sid=1"));
    }
}

#[test]
fn fields_named_by_private_and_no_cache_are_not_stored() {
    let reply = Reply::ok("x")
        .header("cache-control", "max-age=60, private=\"x-user\", no-cache=\"x-once, set-cookie\"")
        .header("x-user", "anna")
        .header("x-once", "1")
        .header("x-all", "2");
    let origin = Origin::always(reply);
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    let first = stored(&gateway, &redis, &Request::get("/a"));
    assert_eq!((first.header("x-user"), first.header("x-once")), (Some("anna"), Some("1")));
    let answer = hit(&gateway, &Request::get("/a"));
    assert!(!answer.headers.has("x-user") && !answer.headers.has("x-once"));
    assert_eq!(answer.header("x-all"), Some("2"));
}

#[test]
fn a_path_that_looks_like_a_file_makes_nothing_cacheable() {
    let origin = Origin::always(Reply::ok("account"));
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    for target in [
        "/account/x.css",
        "/account%2Fx.css",
        "/account;x.css",
        "/account%0Ax.css",
        "/account%00.js",
        "/static/..%2Faccount",
    ] {
        let response = gateway.get(target);
        assert!(!response.cache_status().is_stored(), "{target}");
        assert_eq!(origin.last().target, target);
    }
    assert!(redis.entries().is_empty());
}

#[test]
fn errors_that_a_broken_request_provokes_are_not_kept_for_others() {
    let origin = Origin::start(|exchange| {
        let broken = exchange.request.headers.has("x-oversized");
        exchange.reply(&if broken { Reply::status(400).body("bad") } else { Reply::fresh("page") });
    });
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    let poison = Request::get("/a").header("x-oversized", &"x".repeat(4000));
    assert_eq!(gateway.send(&poison).status, 400);
    assert_eq!(gateway.get("/a").text(), "page");
}

#[test]
fn a_no_store_response_does_not_keep_the_older_one_alive() {
    let origin = Origin::sequence([Reply::stale("old", "\"1\""), with("no-store")]);
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    stored(&gateway, &redis, &Request::get("/a"));
    assert_eq!(gateway.get("/a").text(), "secret");
    assert_eq!(miss(&gateway, &Request::get("/a")).text(), "secret");
}
