//! HTTP semantics through the host: methods, fields and bytes that a component sees differently than a test of the
//! library.

use super::support::{hit, miss, stored};
use spindrift_e2e::{Exchange, Gateway, Origin, Redis, Reply, Request};

/// The complete content of a request.
fn content(exchange: &mut Exchange<'_>) -> Vec<u8> {
    std::iter::from_fn(|| exchange.piece()).flatten().collect()
}

fn query(target: &str, content: &str) -> Request {
    Request::new("QUERY", target).header("content-type", "text/plain").body(content)
}

#[test]
fn a_query_is_cached_by_its_content() {
    let redis = Redis::start();
    let origin = Origin::start(|exchange| {
        let content = content(exchange);
        exchange.reply(&Reply::fresh(content));
    });
    let gateway = Gateway::before(&origin).redis(&redis).start();
    let first = gateway.send(&query("/a", "one"));
    assert!(first.cache_status().is_stored() && first.text() == "one", "{first:?}");
    redis.await_keys_with("}:v:");
    assert_eq!(hit(&gateway, &query("/a", "one")).text(), "one");
    assert_eq!(miss(&gateway, &query("/a", "two")).text(), "two");
    assert_eq!(hit(&gateway, &query("/a", "one")).text(), "one");
    assert_eq!(origin.requests().iter().map(|it| it.method.as_str()).collect::<Vec<_>>(), ["QUERY", "QUERY"]);
}

#[test]
fn a_long_query_is_passed_on_whole() {
    let redis = Redis::start();
    let origin = Origin::start(|exchange| {
        let length = content(exchange).len().to_string();
        exchange.reply(&Reply::fresh(length));
    });
    let gateway = Gateway::before(&origin).redis(&redis).start();
    let long = "x".repeat(300_000);
    let response = miss(&gateway, &query("/a", &long));
    assert_eq!(
        (response.text(), response.cache_status().detail()),
        ("300000".to_owned(), Some("request-content"))
    );
}

#[test]
fn a_targeted_field_decides_and_is_passed_on() {
    let redis = Redis::start();
    let origin = Origin::start(|exchange| {
        let reply = Reply::ok("x").header("cache-control", "no-store");
        exchange.reply(&reply.header("cdn-cache-control", "max-age=60"));
    });
    let gateway = Gateway::before(&origin).redis(&redis).start();
    stored(&gateway, &redis, &Request::get("/a"));
    let response = hit(&gateway, &Request::get("/a"));
    assert_eq!(response.headers.get("cdn-cache-control"), Some("max-age=60"));
    assert_eq!(response.headers.get("cache-control"), Some("no-store"));
}

#[test]
fn a_post_answers_a_get_and_urls_that_make_no_difference_share_it() {
    let redis = Redis::start();
    let origin = Origin::start(|exchange| {
        let reply = Reply::fresh("posted").header("content-location", "/a");
        exchange.reply(&reply.header("no-vary-search", "params=(\"u\")"));
    });
    let config = "[cache]\nstore_post = true\nno_vary_search = true";
    let gateway = Gateway::before(&origin).redis(&redis).config(config).start();
    stored(&gateway, &redis, &Request::post("/a", "x"));
    assert_eq!(hit(&gateway, &Request::get("/a")).text(), "posted");
    miss(&gateway, &Request::get("/a?u=1"));
    assert_eq!(hit(&gateway, &Request::get("/a?u=2")).text(), "posted");
}

#[test]
fn the_groups_of_an_origin_are_invalidated_by_its_unsafe_responses() {
    let redis = Redis::start();
    let origin = Origin::start(|exchange| {
        let groups = exchange.request.method == "POST";
        let field = if groups { "cache-group-invalidation" } else { "cache-groups" };
        exchange.reply(&Reply::fresh("x").header(field, "\"g\""));
    });
    let gateway = Gateway::before(&origin).redis(&redis).start();
    stored(&gateway, &redis, &Request::get("/a"));
    gateway.send(&Request::post("/b", "x").host("other.example"));
    hit(&gateway, &Request::get("/a"));
    gateway.send(&Request::post("/b", "x"));
    miss(&gateway, &Request::get("/a"));
}

#[test]
fn the_key_is_shown_to_those_who_are_trusted() {
    let redis = Redis::start();
    let origin = Origin::start(|exchange| exchange.reply(&Reply::fresh("x")));
    let shown = |config: &str| {
        let gateway = Gateway::before(&origin).redis(&redis).config(config).start();
        let response = gateway.send(&Request::get("/a?b"));
        response.headers.get("cache-status").map(str::to_owned)
    };
    let all = shown("[cache]\ntrusted = [\"127.0.0.0/8\"]").unwrap();
    assert!(all.contains("; key=\"http://") && all.ends_with("/a?b\""), "{all}");
    assert!(!shown("").unwrap().contains("key="));
    assert_eq!(shown("[cache]\ncache_status = \"trusted\"\ntrusted = [\"10.0.0.0/8\"]"), None);
}
