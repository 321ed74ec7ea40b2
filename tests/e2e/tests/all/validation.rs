//! Stale responses are validated, and clients that already have a response get a 304 (RFC 9111 §4.3).

use crate::support::{hit, names, stored};
use spindrift_e2e::{Gateway, Origin, Redis, Reply, Request};

const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// Answers 304 to requests with `"1"`, and otherwise a page that is stale from the start.
fn validating(fresh_after: &'static str) -> Origin {
    Origin::start(move |exchange| {
        let has = exchange.request.header("if-none-match") == Some("\"1\"");
        let reply = if has {
            Reply::status(304)
                .header("etag", "\"1\"")
                .header("cache-control", fresh_after)
                .header("x-new", "2")
        } else {
            Reply::stale("page", "\"1\"").header("last-modified", MODIFIED).header("x-old", "1")
        };
        exchange.reply(&reply);
    })
}

#[test]
fn a_stale_response_is_validated_with_its_own_validators_and_refreshed_by_304() {
    let origin = validating("max-age=1000");
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    stored(&gateway, &redis, &Request::get("/a"));
    let before = redis.entries();
    let response = gateway.send(&Request::get("/a").header("x-client", "1"));
    assert_eq!((response.status, response.text()), (200, "page".into()));
    let status = response.cache_status();
    assert_eq!((status.forward(), status.forward_status()), (Some("stale"), Some("304")));
    let asked = origin.last();
    assert_eq!(asked.headers.all("if-none-match"), ["\"1\""]);
    assert_eq!(asked.headers.all("if-modified-since"), [MODIFIED]);
    assert_eq!(asked.header("x-client"), Some("1"));
    redis.await_other_entries(&before);
    let refreshed = hit(&gateway, &Request::get("/a"));
    assert_eq!((refreshed.text(), refreshed.header("x-old")), ("page".into(), Some("1")));
    assert_eq!(refreshed.header("x-new"), Some("2"), "a 304 updates the stored fields");
    assert_eq!(refreshed.header("content-length"), Some("4"));
    assert!(refreshed.cache_status().ttl().unwrap() > 900);
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_200_takes_the_place_of_what_was_stale() {
    let origin =
        Origin::sequence([Reply::stale("old", "\"1\""), Reply::fresh("new").header("etag", "\"2\"")]);
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    stored(&gateway, &redis, &Request::get("/a"));
    let before = redis.entries();
    let response = gateway.get("/a");
    assert_eq!(response.text(), "new");
    assert_eq!(response.cache_status().forward_status(), Some("200"));
    redis.await_other_entries(&before);
    let answer = hit(&gateway, &Request::get("/a"));
    assert_eq!((answer.text(), answer.header("etag")), ("new".into(), Some("\"2\"")));
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_304_that_forbids_storing_ends_it() {
    let origin = validating("no-store");
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    stored(&gateway, &redis, &Request::get("/a"));
    assert_eq!(gateway.get("/a").text(), "page");
    redis.await_entries(0);
    assert_eq!(gateway.get("/a").cache_status().forward(), Some("uri-miss"));
}

#[test]
fn a_client_that_has_the_stored_response_gets_304_from_the_cache() {
    let origin = Origin::always(
        Reply::fresh("page").header("etag", "\"1\"").header("last-modified", MODIFIED).header("vary", "x-a"),
    );
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    stored(&gateway, &redis, &Request::get("/a"));
    let mut client = gateway.client();
    for (name, value) in [
        ("if-none-match", "\"1\""),
        ("if-none-match", "W/\"1\""),
        ("if-none-match", "\"0\", \"1\""),
        ("if-none-match", "*"),
        ("if-modified-since", MODIFIED),
        ("if-modified-since", "Sunday, 06-Nov-94 08:49:37 GMT"),
        ("if-modified-since", "Mon, 07 Nov 1994 08:49:37 GMT"),
    ] {
        let answer = client.send(&Request::get("/a").header(name, value));
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{name}: {value}");
        assert!(answer.cache_status().is_hit());
        for field in ["etag", "date", "cache-control", "vary", "age"] {
            assert_eq!(answer.headers.all(field).len(), 1, "{field} in {answer:?}");
        }
        // Content in a 304 would be taken for the beginning of the next response.
        assert_eq!(client.send(&Request::get("/a")).text(), "page");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_client_that_has_something_else_gets_it_all_from_the_cache() {
    let origin =
        Origin::always(Reply::fresh("page").header("etag", "\"1\"").header("last-modified", MODIFIED));
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    stored(&gateway, &redis, &Request::get("/a"));
    for request in [
        Request::get("/a").header("if-none-match", "\"2\""),
        Request::get("/a").header("if-none-match", "\"2\"").header("if-modified-since", MODIFIED),
        Request::get("/a").header("if-modified-since", "Sat, 05 Nov 1994 08:49:37 GMT"),
        Request::get("/a").header("if-modified-since", "nonsense"),
    ] {
        let answer = hit(&gateway, &request);
        assert_eq!((answer.status, answer.text()), (200, "page".into()), "{request:?}");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_condition_of_the_client_does_not_reach_the_origin_on_a_miss_and_all_is_stored() {
    let origin = Origin::always(Reply::fresh("page").header("etag", "\"1\""));
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    let answer = stored(&gateway, &redis, &Request::get("/a").header("if-none-match", "\"1\""));
    assert_eq!((answer.status, answer.body.len()), (304, 0));
    assert!(!origin.last().headers.has("if-none-match"));
    assert_eq!(hit(&gateway, &Request::get("/a")).text(), "page");
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_condition_of_the_client_is_judged_against_what_was_validated() {
    let origin = validating("max-age=1000");
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    stored(&gateway, &redis, &Request::get("/a"));
    let other = gateway.send(&Request::get("/a").header("if-none-match", "\"other\""));
    assert_eq!((other.status, other.text()), (200, "page".into()));
    assert_eq!(origin.last().headers.all("if-none-match"), ["\"1\""]);
    let same = gateway.until(&Request::get("/a").header("if-none-match", "\"1\""), |it| it.status == 304);
    assert_eq!(same.body.len(), 0);
}

#[test]
fn a_304_the_origin_sends_unasked_is_not_stored() {
    let origin = Origin::always(Reply::status(304).header("cache-control", "max-age=60"));
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    for _ in 0..2 {
        let answer = gateway.get("/a");
        assert_eq!((answer.status, answer.cache_status().is_stored()), (304, false));
    }
    assert_eq!(origin.count(), 2);
}

#[test]
fn head_validates_without_losing_the_stored_content() {
    let origin = validating("max-age=1000");
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    stored(&gateway, &redis, &Request::get("/a"));
    let before = redis.entries();
    let mut client = gateway.client();
    let head = client.send(&Request::head("/a"));
    assert_eq!((head.status, head.header("content-length")), (200, Some("4")));
    redis.await_other_entries(&before);
    assert_eq!(client.send(&Request::get("/a")).text(), "page");
    assert_eq!(names(&origin).len(), 2);
}

#[test]
fn weak_and_missing_validators() {
    let weak = Reply::ok("x").header("cache-control", "no-cache").header("etag", "W/\"1\"");
    let origin = Origin::always(weak);
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    stored(&gateway, &redis, &Request::get("/a"));
    let _ = gateway.get("/a");
    assert_eq!(origin.last().headers.all("if-none-match"), ["W/\"1\""]);
    assert!(!origin.last().headers.has("if-modified-since"));
    // Stale immediately and without a validator: it could never be used.
    let origin = Origin::always(Reply::ok("x").header("cache-control", "max-age=0"));
    let gateway = Gateway::before(&origin).redis(&redis).start();
    assert_eq!(gateway.get("/b").cache_status().detail(), Some("no-freshness"));
}
