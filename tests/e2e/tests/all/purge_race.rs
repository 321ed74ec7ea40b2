//! Purges that race with fetches in progress and with other gateways, and purges after Redis has lost keys.

use crate::support::{at, filled, hit, miss, stored, tagged};
use spindrift_e2e::{Gate, Gateway, Origin, Redis, Reply};

/// Every kind of purge that matches `/tagged/t`.
const PURGES: [&str; 9] = [
    r#"{"urls":["http://site.example/tagged/t"]}"#,
    r#"{"urls":["/tagged/t"]}"#,
    r#"{"tags":["t"]}"#,
    r#"{"patterns":["*/t"]}"#,
    r#"{"prefixes":["/tagged"]}"#,
    r#"{"urls":["http://site.example/tagged/t"],"soft":true}"#,
    r#"{"tags":["t"],"soft":true}"#,
    r#"{"patterns":["*/t"],"soft":true}"#,
    r#"{"prefixes":["/tagged"],"soft":true}"#,
];

/// A response that was being fetched during a purge is not a hit afterwards, whether or not it was stored.
#[track_caller]
fn purged(gateway: &Gateway, purge: &str) {
    // The fetch is over when the connection to Redis is idle.
    gateway.get("/_spindrift/health/redis");
    let after = gateway.send(&at("/tagged/t"));
    assert!(!after.cache_status().is_hit(), "{purge} {after:?}");
}

/// Purges while the origin holds its answer at the gate.
#[track_caller]
fn purged_while_held(gateway: &Gateway, gate: &Gate, purge: &str) {
    let mut client = gateway.client();
    client.start(&at("/tagged/t"));
    gate.await_arrivals(1);
    gateway.purge(purge);
    gate.open();
    assert_eq!(client.response(false).read().text(), "old");
    purged(gateway, purge);
}

#[test]
fn a_fetch_under_way_does_not_bring_back_what_is_purged_meanwhile() {
    for purge in PURGES {
        let gate = Gate::new();
        let held = gate.clone();
        let origin = Origin::start(move |exchange| {
            exchange.send(b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncache-tag: t\r\ntransfer-encoding: chunked\r\n\r\n3\r\nold\r\n");
            held.pass();
            exchange.send(b"0\r\n\r\n");
        });
        let redis = Redis::start();
        let gateway = Gateway::before(&origin).redis(&redis).managed().one_instance().start();
        let mut client = gateway.client();
        client.start(&at("/tagged/t"));
        let mut response = client.response(false);
        assert_eq!(response.exactly(3), b"old");
        gateway.purge(purge);
        gate.open();
        assert!(response.read().complete);
        purged(&gateway, purge);
    }
}

#[test]
fn a_purge_before_the_origin_answers_counts_too() {
    for purge in PURGES {
        let gate = Gate::new();
        let held = gate.clone();
        let origin = Origin::start(move |exchange| {
            held.pass();
            exchange.reply(&Reply::fresh("old").header("cache-tag", "t"));
        });
        let redis = Redis::start();
        let gateway = Gateway::before(&origin).redis(&redis).managed().start();
        purged_while_held(&gateway, &gate, purge);
    }
}

#[test]
fn a_purge_during_validation_is_not_undone_by_the_304() {
    for purge in PURGES {
        let gate = Gate::new();
        let held = gate.clone();
        let origin = Origin::start(move |exchange| {
            if exchange.request.headers.has("if-none-match") {
                held.pass();
                exchange.reply(&Reply::status(304).header("cache-control", "max-age=1000"));
            } else {
                exchange.reply(&Reply::stale("old", "\"1\"").header("cache-tag", "t"));
            }
        });
        let redis = Redis::start();
        let gateway = filled(Gateway::before(&origin), &redis, &["/tagged/t"]);
        purged_while_held(&gateway, &gate, purge);
    }
}

#[test]
fn a_purge_is_seen_by_other_gateways_at_once() {
    let origin = tagged();
    let redis = Redis::start();
    let here = filled(Gateway::before(&origin).one_instance(), &redis, &["/tagged/t", "/u"]);
    let there = Gateway::before(&origin).redis(&redis).managed().one_instance().start();
    hit(&there, &at("/tagged/t"));
    hit(&there, &at("/u"));
    here.purge(r#"{"tags":["t"],"urls":["http://site.example/u"]}"#);
    miss(&there, &at("/tagged/t"));
    miss(&there, &at("/u"));
}

#[test]
fn losing_any_one_key_never_brings_purged_content_back() {
    for purge in PURGES {
        let origin = tagged();
        let redis = Redis::start();
        let gateway = filled(Gateway::before(&origin), &redis, &["/tagged/t", "/other"]);
        // Another sweep appears to be running, so the purged responses stay in Redis.
        let _: String = redis.query(&["SET", "sd:{sweep}", "a test", "PX", "600000"]);
        gateway.purge(purge);
        for lost in redis.keys() {
            let bytes: Option<Vec<u8>> = redis.query(&["DUMP", &lost]);
            let ttl: i64 = redis.query(&["PTTL", &lost]);
            // Some keys live for seconds only.
            let Some(bytes) = bytes.filter(|_| ttl > 0) else { continue };
            let _: i64 = redis.query(&["UNLINK", &lost]);
            // Another gateway, which does not know of the purge yet.
            let other = Gateway::before(&origin).redis(&redis).start();
            let response = other.send(&at("/tagged/t").header("cache-control", "only-if-cached"));
            assert!(!response.cache_status().is_hit(), "{purge}, lost {lost}: {response:?}");
            let _: String = redis.query_bytes(&[
                b"RESTORE",
                lost.as_bytes(),
                ttl.to_string().as_bytes(),
                &bytes,
                b"REPLACE",
            ]);
        }
    }
}

#[test]
fn a_purge_still_works_after_redis_lost_any_one_key() {
    let origin = tagged();
    let redis = Redis::start();
    let gateway = filled(Gateway::before(&origin).one_instance(), &redis, &["/tagged/t"]);
    for lost in redis.keys() {
        let _: i64 = redis.query(&["UNLINK", &lost]);
        // Whichever response is stored now, the purge removes it.
        gateway.send(&at("/tagged/t"));
        redis.await_entries(1);
        hit(&gateway, &at("/tagged/t"));
        gateway.purge(r#"{"tags":["t"]}"#);
        miss(&gateway, &at("/tagged/t"));
    }
}

#[test]
fn many_purges_keep_the_ledger_short_and_stay_purges() {
    let origin = tagged();
    let redis = Redis::start();
    let gateway = filled(Gateway::before(&origin).one_instance(), &redis, &["/tagged/t", "/other"]);
    gateway.purge(r#"{"tags":["t"]}"#);
    for round in 0..11 {
        let tags: Vec<String> = (0..1000).map(|number| format!("\"{round}-{number}\"")).collect();
        gateway.purge(&format!(r#"{{"tags":[{}]}}"#, tags.join(",")));
    }
    let ledger =
        redis.keys().into_iter().find(|key| redis.query::<String>(&["TYPE", key]) == "zset").unwrap();
    let length: u64 = redis.query(&["ZCARD", &ledger]);
    assert!(length <= 10_000, "{length}");
    // The purge of t was dropped from the ledger; the responses that it purged are still gone.
    miss(&gateway, &at("/tagged/t"));
}

#[test]
fn purging_what_was_never_stored_is_no_mistake() {
    let origin = tagged();
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).managed().start();
    for purge in PURGES {
        gateway.purge(purge);
    }
    stored(&gateway, &redis, &at("/tagged/t"));
    hit(&gateway, &at("/tagged/t"));
}
