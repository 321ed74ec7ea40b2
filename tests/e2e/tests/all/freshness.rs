//! How long a stored response may be used (RFC 9111 §4.2), tested with ages that the origin declares, not by waiting.

use crate::support::{hit, stored};
use spindrift_e2e::{Gateway, Origin, Redis, Reply, Request, Response};

/// The response to the second request if the origin answers like this.
fn second(reply: Reply) -> Response {
    second_with("", reply)
}

fn second_with(config: &str, reply: Reply) -> Response {
    let origin = Origin::always(reply.header("etag", "\"1\""));
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).config(config).start();
    let _ = gateway.get("/a");
    redis.await_entries(1);
    gateway.get("/a")
}

fn lifetime(reply: Reply) -> Option<i64> {
    let status = second(reply).cache_status();
    status.is_hit().then(|| status.ttl().unwrap())
}

fn with(cache_control: &str) -> Reply {
    Reply::ok("x").header("cache-control", cache_control)
}

/// Checks that a lifetime is `seconds`, less the duration of the test.
fn about(found: Option<i64>, seconds: i64) {
    let found = found.expect("a hit");
    assert!((seconds - 15..=seconds).contains(&found), "expected {seconds} or a little less, found {found}");
}

#[test]
fn s_maxage_comes_before_max_age_and_that_before_expires() {
    about(lifetime(with("max-age=20, s-maxage=1000")), 1000);
    about(lifetime(with("max-age=1000").header("expires", "Thu, 01 Jan 1970 00:00:00 GMT")), 1000);
    assert_eq!(lifetime(with("max-age=1000, s-maxage=0")), None);
    assert_eq!(lifetime(with("max-age=0, max-age=1000")), None);
}

#[test]
fn expires_counts_from_the_date() {
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    // A lifetime of 1000 seconds, but decades old according to its date.
    let old = Reply::ok("x").header("date", date).header("expires", "Sun, 06 Nov 1994 09:06:17 GMT");
    assert_eq!(lifetime(old), None);
    let long = Reply::ok("x").header("date", date).header("expires", "Fri, 01 Jan 2100 00:00:00 GMT");
    assert!(lifetime(long).is_some());
    for invalid in ["0", "-1", "tomorrow", "Fri, 01 Jan 2100 00:00:00 CET"] {
        assert_eq!(lifetime(Reply::ok("x").header("expires", invalid)), None, "{invalid}");
    }
}

#[test]
fn directives_are_read_without_regard_to_case_quotes_and_lines() {
    about(lifetime(with("MAX-AGE=1000")), 1000);
    about(lifetime(with("max-age=\"1000\"")), 1000);
    about(lifetime(with("foo=\"no-store, private\"").header("Cache-Control", "max-age=1000")), 1000);
    assert_eq!(lifetime(with("max-age=nonsense")), None);
}

#[test]
fn age_of_the_origin_counts_and_is_passed_on() {
    let response = second(with("max-age=1000").header("age", "100"));
    let status = response.cache_status();
    assert!(status.is_hit());
    let age: i64 = response.header("age").unwrap().parse().unwrap();
    assert!((100..115).contains(&age), "{age}");
    assert_eq!(age + status.ttl().unwrap(), 1000);
    assert_eq!(lifetime(with("max-age=1000").header("age", "1000")), None);
    assert!(lifetime(with("max-age=1000").header("age", "0, 7200")).is_some());
    assert!(lifetime(with("max-age=1000").header("age", "-7200")).is_some());
}

#[test]
fn a_hit_has_exactly_one_age_and_a_miss_keeps_the_origins() {
    let origin = Origin::always(with("max-age=1000").header("age", "7"));
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    let miss = stored(&gateway, &redis, &Request::get("/a"));
    assert_eq!(miss.headers.all("age"), ["7"]);
    let answer = hit(&gateway, &Request::get("/a"));
    assert_eq!(answer.headers.all("age").len(), 1);
    assert_eq!(answer.headers.all("date"), miss.headers.all("date"));
}

#[test]
fn a_date_is_added_where_the_origin_sends_none() {
    let origin = Origin::always(with("max-age=1000"));
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    let miss = stored(&gateway, &redis, &Request::get("/a"));
    let [date] = miss.headers.all("date")[..] else { panic!("{miss:?}") };
    assert!(date.ends_with(" GMT"), "{date}");
    assert_eq!(hit(&gateway, &Request::get("/a")).headers.all("date"), [date]);
}

#[test]
fn no_cache_is_stored_but_never_used_unasked() {
    let response = second(with("max-age=1000, no-cache"));
    assert_eq!(response.cache_status().forward(), Some("stale"));
}

#[test]
fn a_heuristic_lifetime_comes_from_last_modified() {
    // A tenth of decades exceeds the limit of one day.
    let old = Reply::ok("x").header("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    about(lifetime(old.clone()), 86_400);
    let off = second_with("[cache]\nheuristic_fraction = 0", old.clone());
    assert!(!off.cache_status().is_hit());
    let shorter = second_with("[cache]\nheuristic_max = \"100s\"", old);
    about(shorter.cache_status().ttl(), 100);
}

#[test]
fn a_configured_ttl_replaces_the_origins_and_a_default_fills_in() {
    let plain = || Reply::ok("x");
    let ttl = |config: &str, reply: Reply| second_with(config, reply).cache_status().ttl();
    about(ttl("[cache]\nttl = \"1000s\"", with("max-age=5")), 1000);
    about(ttl("[cache]\ndefault_ttl = \"1000s\"", plain()), 1000);
    about(ttl("[cache]\ndefault_ttl = \"5s\"", with("max-age=1000")), 1000);
    about(ttl("[cache]\nttl_by_status = { 404 = \"1000s\" }", Reply::status(404)), 1000);
    about(ttl("[cache]\nttl_by_status = { 4xx = \"1000s\" }", Reply::status(410)), 1000);
}

#[test]
fn stale_responses_are_used_when_the_origin_is_away_and_nothing_forbids_it() {
    let origin = Origin::sequence([Reply::stale("old", "\"1\""), Reply::raw("")]);
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    stored(&gateway, &redis, &Request::get("/a"));
    let response = gateway.get("/a");
    assert_eq!((response.status, response.text()), (200, "old".into()));
    let status = response.cache_status();
    assert_eq!((status.forward(), status.detail()), (Some("stale"), Some("origin-unreachable")));
    assert!(status.ttl().unwrap() < 0);
}

#[test]
fn must_revalidate_and_its_kin_rule_stale_responses_out() {
    for directive in ["must-revalidate", "proxy-revalidate", "s-maxage=50", "no-cache"] {
        let stale = with(&format!("max-age=60, {directive}")).header("age", "100").header("etag", "\"1\"");
        let origin = Origin::sequence([stale, Reply::raw("")]);
        let redis = Redis::start();
        let gateway = Gateway::before(&origin).redis(&redis).start();
        stored(&gateway, &redis, &Request::get("/a"));
        let _ = gateway.get("/a").problem(502);
    }
}

#[test]
fn stale_if_error_covers_errors_of_the_origin_within_its_window() {
    let error = || Reply::status(503).body("down");
    for (cache_control, config, covered) in [
        ("max-age=60, stale-if-error=1000", "", true),
        ("max-age=60, stale-if-error=10", "", false),
        ("max-age=60", "[cache]\nstale_if_error = \"1000s\"", true),
        ("max-age=60", "", false),
        ("max-age=60, must-revalidate, stale-if-error=1000", "", false),
    ] {
        let stale = with(cache_control).header("age", "100").header("etag", "\"1\"");
        let origin = Origin::sequence([stale, error()]);
        let redis = Redis::start();
        let gateway = Gateway::before(&origin).redis(&redis).config(config).start();
        stored(&gateway, &redis, &Request::get("/a"));
        let response = gateway.get("/a");
        assert_eq!(response.status, if covered { 200 } else { 503 }, "{cache_control} {config}");
        assert_eq!(response.cache_status().forward_status(), Some("503"));
    }
}
