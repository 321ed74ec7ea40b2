//! Messages on the pub/sub channel, and the subscriber that handles them.

use crate::support::{hit, miss, stored_as};
use spindrift_e2e::{Gate, Gateway, Origin, Redis, Reply, Request, Subscriber, eventually};
use std::sync::Arc;

fn pages() -> Origin {
    Origin::start(|exchange| {
        exchange.reply(&Reply::fresh("page").header("cache-tag", "t").header("etag", "\"1\""));
    })
}

fn publish(redis: &Redis, message: &[u8]) {
    let heard: i64 = redis.query_bytes(&[b"PUBLISH", b"spindrift", message]);
    assert!(heard >= 1, "nobody listens");
}

fn request() -> Request {
    Request::get("/dir/page?q").host("site.example")
}

#[test]
fn a_published_purge_is_carried_out_by_every_kind_of_target() {
    for (data, soft) in [
        (r#""urls":["http://site.example/dir/page?q"]"#, false),
        (r#""urls":["/dir/page?q"]"#, false),
        (r#""tags":["t"]"#, false),
        (r#""patterns":["*/dir/*"]"#, false),
        (r#""prefixes":["/dir/"]"#, false),
        (r#""tags":["t"],"soft":true"#, true),
        (r#""urls":["http://site.example/dir/page?q"],"soft":true"#, true),
    ] {
        let origin = pages();
        let redis = Redis::start();
        let subscriber = Subscriber::start(&redis);
        let gateway = Gateway::before(&origin).redis(&redis).managed().start();
        stored_as(&gateway, &redis, &request(), 1);
        let message = format!(r#"{{"v":1,"topic":"purge","data":{{{data}}}}}"#);
        publish(&redis, message.as_bytes());
        eventually("the message is counted", || gateway.counter("messages_done") == 1);
        let status = miss(&gateway, &request()).cache_status();
        assert_eq!(status.forward(), Some(if soft { "stale" } else { "uri-miss" }), "{data}");
        subscriber.await_log("purged");
    }
}

#[test]
fn malformed_messages_are_logged_and_counted_and_do_no_harm() {
    let origin = pages();
    let redis = Redis::start();
    let subscriber = Subscriber::start(&redis);
    let gateway = Gateway::before(&origin).redis(&redis).managed().start();
    stored_as(&gateway, &redis, &request(), 1);
    let long = vec![b' '; 1024 * 1024 + 1];
    let deep = "[".repeat(100_000);
    let malformed: [&[u8]; 14] = [
        b"",
        b"nonsense",
        b"\xff\xfe\x00",
        b"{}",
        b"[]",
        b"null",
        br#"{"v":2,"topic":"purge","data":{"tags":["t"]}}"#,
        br#"{"v":1,"topic":"explode","data":{"tags":["t"]}}"#,
        br#"{"v":1,"topic":"purge"}"#,
        br#"{"v":1,"topic":"purge","data":{"tags":[]}}"#,
        br#"{"v":1,"topic":"purge","data":{"tag":["t"]}}"#,
        br#"{"v":1,"topic":"purge","id":"a b","data":{"tags":["t"]}}"#,
        &long,
        deep.as_bytes(),
    ];
    for message in malformed {
        publish(&redis, message);
    }
    let expected = i64::try_from(malformed.len()).unwrap();
    eventually("the messages are counted", || gateway.counter("messages_malformed") == expected);
    subscriber.await_log("a message of 0 bytes was dropped");
    subscriber.await_log("expected version 1, found 2");
    subscriber.await_log("explode");
    assert_eq!(gateway.counter("messages_done"), 0);
    hit(&gateway, &request());
    publish(&redis, br#"{"v":1,"topic":"purge","data":{"tags":["t"]}}"#);
    eventually("a good message is still handled", || gateway.counter("messages_done") == 1);
    miss(&gateway, &request());
}

#[test]
fn a_message_with_an_id_is_handled_once_however_many_subscribers_hear_it() {
    let redis = Redis::start();
    let _subscribers = [Subscriber::start(&redis), Subscriber::start(&redis), Subscriber::start(&redis)];
    let origin = pages();
    let gateway = Gateway::before(&origin).redis(&redis).managed().start();
    for _ in 0..2 {
        publish(&redis, br#"{"v":1,"topic":"purge","id":"once-1","data":{"tags":["t"]}}"#);
    }
    eventually("all are counted", || {
        gateway.counter("messages_done") + gateway.counter("messages_duplicate") == 6
    });
    assert_eq!(gateway.counter("messages_done"), 1);
}

#[test]
fn a_message_without_an_id_is_handled_by_every_subscriber() {
    let redis = Redis::start();
    let _subscribers = [Subscriber::start(&redis), Subscriber::start(&redis)];
    let origin = pages();
    let gateway = Gateway::before(&origin).redis(&redis).managed().start();
    publish(&redis, br#"{"v":1,"topic":"purge","data":{"tags":["t"]}}"#);
    eventually("both are counted", || gateway.counter("messages_done") == 2);
}

#[test]
fn a_purge_by_http_is_announced_and_not_done_a_second_time() {
    let origin = pages();
    let redis = Redis::start();
    let _subscriber = Subscriber::start(&redis);
    let gateway = Gateway::before(&origin).redis(&redis).managed().start();
    let report = gateway.purge(r#"{"tags":["t"]}"#);
    assert!(report["message"].as_str().is_some_and(|id| id.len() == 32), "{report}");
    eventually("the subscriber heard it", || gateway.counter("messages_duplicate") == 1);
    assert_eq!(gateway.counter("messages_done"), 0);
}

#[test]
fn the_channel_is_configurable() {
    let origin = pages();
    let redis = Redis::start();
    let _subscriber = Subscriber::start_with(&redis, "elsewhere", "");
    let setup = Gateway::before(&origin).redis(&redis).managed().variable("redis_channel", "elsewhere");
    let gateway = setup.start();
    gateway.purge(r#"{"tags":["t"]}"#);
    eventually("the subscriber heard it", || gateway.counter("messages_duplicate") == 1);
}

#[test]
fn messages_are_handled_in_a_burst_without_losing_any() {
    let origin = pages();
    let redis = Redis::start();
    let _subscriber = Subscriber::start(&redis);
    let gateway = Gateway::before(&origin).redis(&redis).managed().start();
    for number in 0..50 {
        let message =
            format!(r#"{{"v":1,"topic":"purge","id":"b-{number}","data":{{"tags":["t{number}"]}}}}"#);
        publish(&redis, message.as_bytes());
    }
    eventually("all are handled", || gateway.counter("messages_done") == 50);
}

#[test]
fn a_purge_does_not_wait_for_what_takes_long() {
    let gate = Arc::new(Gate::new());
    let origin = {
        let gate = Arc::clone(&gate);
        Origin::start(move |exchange| {
            if exchange.request.target.starts_with("/slow") {
                gate.pass();
            }
            exchange.reply(&Reply::fresh("page").header("cache-tag", "t"));
        })
    };
    let redis = Redis::start();
    let subscriber =
        Subscriber::start_as(&redis, "spindrift", |setup| setup.variable("origin_url", &origin.url()));
    let gateway = Gateway::before(&origin).redis(&redis).managed().start();
    stored_as(&gateway, &redis, &request(), 1);
    publish(&redis, br#"{"v":1,"topic":"warm","data":{"urls":["http://site.example/slow"]}}"#);
    gate.await_arrivals(1);
    publish(&redis, br#"{"v":1,"topic":"purge","data":{"tags":["t"]}}"#);
    eventually("the purge is done", || gateway.counter("messages_done") == 1);
    miss(&gateway, &request());
    gate.open();
    subscriber.await_log("warmed 1 of 1 URLs");
    eventually("the warm-up is counted", || gateway.counter("messages_done") == 2);
    assert_eq!(gateway.counter("messages_handed_over"), 1);
}

#[test]
fn the_subscriber_ends_when_its_connection_does_so_that_a_supervisor_can_start_it_again() {
    let redis = Redis::start();
    let mut subscriber = Subscriber::start(&redis);
    redis.restart();
    subscriber.await_end();
    let _again = Subscriber::start(&redis);
    publish(&redis, b"nonsense");
}

#[test]
fn what_a_message_says_is_to_be_warmed_is_a_hit_for_the_first_client() {
    let origin = pages();
    let redis = Redis::start();
    let subscriber =
        Subscriber::start_as(&redis, "spindrift", |setup| setup.variable("origin_url", &origin.url()));
    let gateway = Gateway::before(&origin).redis(&redis).managed().start();
    let urls: Vec<String> = (0..20).map(|number| format!("\"http://site.example/warm/{number}\"")).collect();
    let message = format!(r#"{{"v":1,"topic":"warm","id":"w-1","data":{{"urls":[{}]}}}}"#, urls.join(","));
    publish(&redis, message.as_bytes());
    subscriber.await_log("warmed 20 of 20 URLs, 0 left for later");
    let hits = || (0..20).map(|number| Request::get(&format!("/warm/{number}")).host("site.example"));
    for request in hits() {
        hit(&gateway, &request);
    }
    assert_eq!(origin.count(), 20);
    publish(&redis, message.as_bytes());
    eventually("it is done once", || gateway.counter("messages_duplicate") == 1);
}

#[test]
fn a_subscriber_without_an_origin_says_that_it_cannot_warm() {
    let redis = Redis::start();
    let subscriber = Subscriber::start(&redis);
    publish(&redis, br#"{"v":1,"topic":"warm","data":{"urls":["http://site.example/a"]}}"#);
    subscriber.await_log("warmed 0 of 1 URLs, 0 left for later; not http://site.example/a: status 502");
}
