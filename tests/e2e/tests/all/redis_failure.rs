//! Redis absent, refusing, silent, read-only or full: the origin answers, `Cache-Status` gives the reason, and
//! everything recovers by itself.

use crate::support::{EACH_REUSE, hit, miss, stored};
use spindrift_e2e::{FaultyRedis, Gate, Gateway, Origin, Redis, Reply, Request, Response, Setup};

/// Short deadlines, so that a test that runs into them is quick. On a busy machine they may also end operations that
/// would have worked: such tests repeat what must work in the end.
const SHORT: &str = "[redis]\ntimeout = \"200ms\"\nconnect_timeout = \"200ms\"";

fn page() -> Origin {
    Origin::always(Reply::fresh("page").header("cache-tag", "t"))
}

/// A gateway in front of the origin, with a proxy in front of Redis and short deadlines.
fn proxied(origin: &Origin) -> (Redis, FaultyRedis, Setup) {
    let redis = Redis::start();
    let proxy = FaultyRedis::before(redis.address());
    let setup = Gateway::before(origin).faulty(&proxy).config(SHORT);
    (redis, proxy, setup)
}

/// Checks that the response is the origin's, without the cache.
#[track_caller]
fn bypassed(response: &Response) -> String {
    assert_eq!((response.status, response.text()), (200, "page".into()), "{response:?}");
    let status = response.cache_status();
    assert_eq!((status.forward(), status.is_stored()), (Some("bypass"), false), "{response:?}");
    status.detail().unwrap().to_owned()
}

/// Checks for a response from Redis, if it is stored there, or from the origin, because Redis accepts no writes.
#[track_caller]
fn served(gateway: &Gateway, target: &str) {
    let response = gateway.get(target);
    assert_eq!((response.status, response.text()), (200, "page".into()), "{target}");
    let status = response.cache_status();
    assert!(status.is_hit() || status.detail() == Some("redis-unavailable"), "{response:?}");
}

/// Sends requests until the cache answers again.
#[track_caller]
fn recovered(gateway: &Gateway) {
    gateway.until(&Request::get("/a"), |response| response.cache_status().is_hit());
}

#[test]
fn without_redis_requests_go_to_the_origin() {
    for (requests, at_once) in EACH_REUSE {
        let origin = page();
        let gateway = Gateway::before(&origin).reuse(requests, at_once).start();
        for _ in 0..5 {
            let detail = bypassed(&gateway.get("/a"));
            assert!(["redis-unreachable", "redis-down"].contains(&detail.as_str()), "{detail}");
        }
        assert_eq!(origin.count(), 5);
        gateway.await_log("Redis cannot be reached");
    }
}

#[test]
fn a_redis_that_comes_is_used() {
    let origin = page();
    let redis = Redis::stopped();
    let gateway = Gateway::before(&origin).redis(&redis).one_instance().start();
    bypassed(&gateway.get("/a"));
    redis.restart();
    recovered(&gateway);
}

#[test]
fn a_redis_that_goes_and_comes_back_is_survived() {
    for (requests, at_once) in EACH_REUSE {
        let origin = page();
        let redis = Redis::start();
        let gateway = Gateway::before(&origin).redis(&redis).reuse(requests, at_once).start();
        stored(&gateway, &redis, &Request::get("/a"));
        hit(&gateway, &Request::get("/a"));
        redis.stop();
        for _ in 0..3 {
            let detail = bypassed(&gateway.get("/a"));
            assert!(["redis-unreachable", "redis-down"].contains(&detail.as_str()), "{detail}");
        }
        redis.restart();
        recovered(&gateway);
    }
}

#[test]
fn a_broken_connection_is_opened_anew_without_anybody_noticing() {
    let origin = page();
    let redis = Redis::start();
    let proxy = FaultyRedis::before(redis.address());
    let gateway = Gateway::before(&origin).faulty(&proxy).one_instance().start();
    stored(&gateway, &redis, &Request::get("/a"));
    hit(&gateway, &Request::get("/a"));
    let before = proxy.accepted();
    for round in 1..=3 {
        proxy.cut();
        hit(&gateway, &Request::get("/a"));
        assert_eq!(proxy.accepted(), before + round);
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_redis_that_accepts_and_never_answers_costs_its_deadline_once() {
    let origin = page();
    let (_redis, proxy, setup) = proxied(&origin);
    let gateway = setup.one_instance().start();
    recovered(&gateway);
    proxy.silence();
    // The first request notices it; the ones after it know.
    assert_eq!(bypassed(&gateway.get("/a")), "redis-timeout");
    let details: Vec<String> = (0..20).map(|_| bypassed(&gateway.get("/a"))).collect();
    // Redis is tried again after 50 ms, 100 ms, 200 ms ...: most requests do not wait, however slow the machine is.
    let waited = details.iter().filter(|detail| *detail != "redis-down").count();
    assert!(waited <= 10, "{details:?}");
    proxy.speak();
    recovered(&gateway);
}

#[test]
fn a_redis_that_is_silent_from_the_start_is_survived() {
    for (requests, at_once) in EACH_REUSE {
        let origin = page();
        let (_redis, proxy, setup) = proxied(&origin);
        proxy.silence();
        let gateway = setup.reuse(requests, at_once).start();
        assert_eq!(bypassed(&gateway.get("/a")), "redis-timeout");
        let _ = bypassed(&gateway.get("/a"));
        proxy.speak();
        recovered(&gateway);
    }
}

#[test]
fn a_halted_redis_is_survived() {
    let origin = page();
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).config(SHORT).one_instance().start();
    recovered(&gateway);
    redis.pause();
    assert_eq!(bypassed(&gateway.get("/a")), "redis-timeout");
    let response = gateway.send(&Request::post("/a", "x"));
    assert_eq!((response.status, response.text()), (200, "page".into()));
    assert_eq!(response.cache_status().detail(), Some("invalidation-failed"));
    redis.resume();
    recovered(&gateway);
}

#[test]
fn many_requests_at_the_same_time_are_all_answered_while_redis_is_silent() {
    let origin = page();
    let (_redis, proxy, setup) = proxied(&origin);
    let gateway = setup.one_instance().start();
    recovered(&gateway);
    proxy.silence();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..3 {
                    let _ = bypassed(&gateway.get("/a"));
                }
            });
        }
    });
    proxy.speak();
    recovered(&gateway);
}

#[test]
fn late_answers_are_never_taken_for_those_of_other_requests() {
    let origin = Origin::start(|exchange| {
        let target = exchange.request.target.clone();
        exchange.reply(&Reply::fresh(target));
    });
    let (redis, proxy, setup) = proxied(&origin);
    let gateway = setup.one_instance().start();
    let target = |number: usize| format!("/{number}");
    for number in 0..10 {
        assert_eq!(gateway.get(&target(number)).text(), target(number));
    }
    redis.await_entries(10);
    for round in 0..5 {
        proxy.silence();
        assert_eq!(gateway.get(&target(round)).text(), target(round));
        proxy.speak();
        for number in 0..10 {
            assert_eq!(gateway.get(&target(number)).text(), target(number));
        }
    }
}

#[test]
fn a_redis_that_goes_while_the_origin_answers_costs_nothing_but_the_storing() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |exchange| {
        held.pass();
        exchange.reply(&Reply::fresh("page"));
    });
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).config(SHORT).start();
    let mut client = gateway.client();
    client.start(&Request::get("/a"));
    gate.await_arrivals(1);
    redis.stop();
    gate.open();
    let response = client.response(false).read();
    assert_eq!((response.text(), response.complete), ("page".into(), true));
    gateway.await_log("not stored");
}

#[test]
fn a_large_body_that_redis_stops_taking_still_reaches_the_client_whole() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |exchange| {
        exchange.send(b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 2000000\r\n\r\n");
        exchange.send(&vec![b'x'; 1_000_000]);
        held.pass();
        exchange.send(&vec![b'x'; 1_000_000]);
    });
    let (redis, proxy, setup) = proxied(&origin);
    let gateway = setup.start();
    let mut client = gateway.client();
    client.start(&Request::get("/a"));
    gate.await_arrivals(1);
    let mut response = client.response(false);
    let _ = response.piece();
    proxy.silence();
    gate.open();
    assert!(response.read().complete);
    gateway.await_log("not stored");
    assert!(redis.entries().is_empty());
}

#[test]
fn a_body_whose_pieces_redis_stops_giving_breaks_off_and_is_not_passed_off_as_whole() {
    let origin = Origin::always(Reply::fresh(vec![b'x'; 8_000_000]));
    let (_redis, proxy, setup) = proxied(&origin);
    let gateway = setup.start();
    recovered(&gateway);
    let mut client = gateway.client();
    client.start(&Request::get("/a"));
    let mut response = client.response(false);
    assert_eq!(response.headers.get("content-length"), Some("8000000"));
    let first = response.piece().unwrap().len();
    proxy.silence();
    let rest = response.read();
    // The bytes that were already on their way may have been the complete rest.
    assert_eq!(rest.complete, first + rest.body.len() == 8_000_000);
    proxy.speak();
    let again = gateway.until(&Request::get("/a"), |it| it.cache_status().is_hit());
    assert_eq!((again.body.len(), again.complete), (8_000_000, true));
}

#[test]
fn a_full_redis_serves_what_it_has_and_the_origin_the_rest() {
    let origin = page();
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).managed().one_instance().start();
    stored(&gateway, &redis, &Request::get("/a"));
    let _: String = redis.query(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    let _: String = redis.query(&["CONFIG", "SET", "maxmemory", "1"]);
    for target in ["/a", "/b", "/b"] {
        served(&gateway, target);
    }
    for _ in 0..2 {
        // Whether or not there is memory for the purge: if it is acknowledged, it is done.
        let purged = gateway.manage("/_spindrift/v1/purge", r#"{"tags":["t"]}"#);
        if purged.status == 200 {
            miss(&gateway, &Request::get("/a"));
        } else {
            assert_eq!(purged.problem(503)["reason"], "redis-unavailable");
        }
    }
    let _: String = redis.query(&["CONFIG", "SET", "maxmemory", "0"]);
    recovered(&gateway);
    gateway.until(&Request::get("/b"), |response| response.cache_status().is_hit());
}

#[test]
fn a_read_only_redis_serves_what_it_has_and_the_origin_the_rest() {
    let origin = page();
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).managed().one_instance().start();
    stored(&gateway, &redis, &Request::get("/a"));
    // A replica without a reachable master: it keeps its data and accepts no writes.
    let port = Redis::stopped().address().port().to_string();
    let _: String = redis.query(&["REPLICAOF", "127.0.0.1", &port]);
    for target in ["/a", "/b"] {
        served(&gateway, target);
    }
    let refused = gateway.manage("/_spindrift/v1/purge", r#"{"tags":["t"]}"#);
    assert_eq!(refused.problem(503)["reason"], "redis-unavailable");
    let _: String = redis.query(&["REPLICAOF", "NO", "ONE"]);
    recovered(&gateway);
}

#[test]
fn a_password_that_is_wrong_or_missing_is_said_and_kept_secret() {
    let origin = page();
    let redis = Redis::start();
    let _: String = redis.query(&["CONFIG", "SET", "requirepass", "right-word"]);
    let authority = redis.address();
    for (url, works) in [
        (format!("redis://:right-word@{authority}"), true),
        (format!("redis://:wrong-word@{authority}"), false),
        (format!("redis://{authority}"), false),
    ] {
        let gateway = Gateway::before(&origin).redis(&redis).variable("redis_url", &url).start();
        if works {
            gateway.until(&Request::get("/a"), |response| response.cache_status().is_hit());
        } else {
            let detail = bypassed(&gateway.get("/a"));
            assert!(detail.starts_with("redis-"), "{detail}");
        }
        let log = gateway.log();
        assert!(!log.contains("right-word") && !log.contains("wrong-word"), "{log}");
    }
}

#[test]
fn a_database_in_the_url_is_the_one_that_is_used() {
    let origin = page();
    let redis = Redis::start();
    let url = format!("{}/3", redis.url());
    let gateway = Gateway::before(&origin).redis(&redis).variable("redis_url", &url).start();
    gateway.until(&Request::get("/a"), |response| response.cache_status().is_hit());
    assert!(redis.keys().is_empty());
    let _: String = redis.query(&["SELECT", "3"]);
    assert!(!redis.keys().is_empty());
}
