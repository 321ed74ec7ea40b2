//! One fetch for many requests, across instances and processes.

use crate::support::{EACH_REUSE, hit, stored};
use spindrift_e2e::{Gate, Gateway, Origin, Redis, Reply, Request, eventually};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// How often scripts were run, according to the server.
fn scripts(redis: &Redis) -> u64 {
    let text: String = redis.query(&["INFO", "commandstats"]);
    let calls = |line: &str| -> Option<u64> {
        let (_, rest) = line.strip_prefix("cmdstat_evalsha:")?.split_once("calls=")?;
        rest.split(',').next()?.parse().ok()
    };
    text.lines().find_map(calls).unwrap_or(0)
}

/// An origin that answers once the gate is open.
fn behind(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::start(move |exchange| {
        gate.pass();
        exchange.reply(&Reply::fresh("page"));
    })
}

#[test]
fn a_thousand_requests_for_a_cold_key_on_four_gateways_are_one_fetch() {
    const EACH: u64 = 250;
    let gate = Gate::new();
    let origin = behind(&gate);
    let redis = Redis::start();
    let gateways: Vec<_> = (0..4).map(|_| Gateway::before(&origin).redis(&redis).start()).collect();
    let request = Request::get("/a").host("site.example");
    thread::scope(|scope| {
        let ask = |gateway| {
            let request = &request;
            scope.spawn(move || Gateway::send(gateway, request))
        };
        let all: Vec<_> = gateways.iter().flat_map(|it| (0..EACH).map(move |_| it)).map(ask).collect();
        // Each request has asked for the lease before the origin answers.
        eventually("a thousand turns", || scripts(&redis) >= 4 * EACH);
        gate.open();
        for answer in all {
            let answer = answer.join().unwrap();
            assert_eq!((answer.status, answer.text()), (200, "page".into()), "{answer:?}");
        }
    });
    assert_eq!(origin.count(), 1);
    for gateway in &gateways {
        hit(gateway, &request);
    }
}

#[test]
fn a_client_that_stalls_holds_up_nobody_who_follows_it() {
    let content: Vec<u8> = (0..30_000_000u32).map(|at| (at / 251) as u8).collect();
    let origin = Origin::always(Reply::fresh(content.clone()));
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    let mut stalled = gateway.client();
    stalled.start(&Request::get("/a"));
    let mut begun = stalled.response(false);
    let first = begun.piece().unwrap();
    let followed = gateway.get("/a");
    assert!(followed.complete && followed.body == content, "{} bytes", followed.body.len());
    let rest = begun.read();
    assert!(rest.complete && [first, rest.body].concat() == content);
    assert_eq!(origin.count(), 1);
}

#[test]
fn those_who_wait_are_told_when_the_origin_is_away() {
    let redis = Redis::start();
    for (requests, at_once) in EACH_REUSE {
        let gateway =
            Gateway::before_url("http://127.0.0.1:9").redis(&redis).reuse(requests, at_once).start();
        let answers: Vec<_> = thread::scope(|scope| {
            let ask = |_| scope.spawn(|| gateway.get("/a").status);
            let all: Vec<_> = (0..20).map(ask).collect();
            all.into_iter().map(|it| it.join().unwrap()).collect()
        });
        assert!(answers.iter().all(|status| *status == 502), "{answers:?}");
    }
}

#[test]
fn a_stale_page_is_given_at_once_and_refreshed_behind_it() {
    let gate = Gate::new();
    let origin = {
        let (gate, answered) = (gate.clone(), AtomicUsize::new(0));
        Origin::start(move |exchange| {
            let first = answered.fetch_add(1, Ordering::SeqCst) == 0;
            if !first {
                gate.pass();
            }
            let (text, age) = if first { ("old", "2") } else { ("new", "0") };
            let reply = Reply::ok(text).header("cache-control", "max-age=1, stale-while-revalidate=600");
            exchange.reply(&reply.header("age", age));
        })
    };
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    let request = Request::get("/a");
    stored(&gateway, &redis, &request);
    // The origin does not answer, and no client waits for it.
    let stale = hit(&gateway, &request);
    assert_eq!((stale.text(), stale.cache_status().detail()), ("old".into(), Some("stale-while-revalidate")));
    gate.open();
    gateway.until(&request, |answer| answer.text() == "new");
}
