//! Events that are pushed to webhooks.

use serde_json::{Value, json};
use spindrift_e2e::{Gateway, Origin, Received, Redis, Reply, Request, Setup, Subscriber, TOKEN, eventually};
use std::sync::atomic::{AtomicUsize, Ordering};

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Adds a webhook for orders. Pub/sub delivers a message once, so the deadlines are longer than a busy machine needs.
fn hooked(setup: Setup, target: &Origin) -> Setup {
    let config = format!(
        "[metrics]\n[redis]\ntimeout = \"10s\"\nconnect_timeout = \"10s\"\n[[webhook]]\nname = \"billing\"\ntopics = [\"orders.*\"]\ntarget = \"{}/hook\"\n\
         backoff = \"1ms\"\n",
        target.url()
    );
    setup.config(&config).variable("webhook_keys", KEY).variable("webhook_host", &target.url())
}

fn gateway(redis: &Redis, target: &Origin) -> Gateway {
    // Prevents automatic ticks of the instances for a while.
    let _: String = redis.query(&["SET", "sd:{queues}:t", "somebody did", "EX", "600"]);
    hooked(Gateway::before_demo().redis(redis).managed(), target).start()
}

fn subscriber(redis: &Redis, target: &Origin) -> Subscriber {
    Subscriber::start_as(redis, "spindrift", |setup| hooked(setup, target))
}

fn publish(gateway: &Gateway, channel: &str, json: &Value) -> String {
    let response = gateway.manage(&format!("/_spindrift/v1/channels/{channel}"), &json.to_string());
    assert_eq!(response.status, 200, "{response:?}");
    response.json()["ids"][0].as_str().unwrap().to_owned()
}

fn payload(received: &Received) -> Value {
    serde_json::from_slice(&received.body).unwrap()
}

/// The numbers that the target received, sorted, with repetitions.
fn numbers(target: &Origin) -> Vec<u64> {
    let number = |it: &Received| serde_json::from_slice::<Value>(&it.body).ok()?["data"]["n"].as_u64();
    // The last request may not be complete yet.
    let mut all: Vec<u64> = target.requests().iter().filter_map(number).collect();
    all.sort_unstable();
    all
}

/// Waits until the queue of the webhook has finished this many jobs.
#[track_caller]
fn await_completed(gateway: &Gateway, count: u64) {
    let statistics = Request::get("/_spindrift/v1/queues/billing").bearer(TOKEN);
    gateway.until(&statistics, |response| response.json()["counts"]["completed"] == count);
}

#[test]
fn an_event_is_pushed_signed_to_the_webhook_that_wants_it() {
    let (redis, target) = (Redis::start(), Origin::always(Reply::status(204)));
    let gateway = gateway(&redis, &target);
    let _subscriber = subscriber(&redis, &target);
    publish(&gateway, "refunds", &json!({"data": {"n": 1}}));
    let id = publish(&gateway, "orders.eu", &json!({"data": {"n": 2}, "type": "order.created"}));
    target.await_requests(1);
    let received = target.last();
    let expected = json!({
        "type": "order.created",
        "timestamp": payload(&received)["timestamp"],
        "data": {"n": 2},
        "topic": "orders.eu",
        "id": id,
    });
    assert_eq!(payload(&received), expected);
    assert_eq!((received.method.as_str(), received.target.as_str()), ("POST", "/hook"));
    assert!(received.header("webhook-id").is_some());
    assert!(received.header("webhook-signature").unwrap().starts_with("v1,"));
    await_completed(&gateway, 1);
    assert_eq!(target.count(), 1);
    assert_eq!(gateway.counter("webhook_events_total"), 1);
}

#[test]
fn what_was_published_while_no_subscriber_ran_is_pushed_when_one_is_back() {
    let (redis, target) = (Redis::start(), Origin::always(Reply::status(204)));
    let gateway = gateway(&redis, &target);
    for number in 0..30 {
        publish(&gateway, &format!("orders.{}", number % 2), &json!({"data": {"n": number}}));
    }
    assert_eq!(target.count(), 0);
    let subscriber = subscriber(&redis, &target);
    // The first notification delivers all earlier events as well.
    publish(&gateway, "orders.2", &json!({"data": {"n": 30}}));
    eventually("all are pushed", || numbers(&target) == (0..=30).collect::<Vec<_>>());
    drop(subscriber);
    eventually("nobody listens", || redis.subscribers("spindrift") == 0);
    publish(&gateway, "orders.0", &json!({"data": {"n": 31}}));
    let ticked = gateway.manage("/_spindrift/v1/queues:tick", "{}");
    assert_eq!(ticked.status, 200, "{ticked:?}");
    eventually("a tick needs no subscriber", || numbers(&target) == (0..=31).collect::<Vec<_>>());
}

#[test]
fn a_target_that_fails_gets_the_event_again_under_the_same_id() {
    let redis = Redis::start();
    let count = AtomicUsize::new(0);
    let target = Origin::start(move |exchange| {
        let status = if count.fetch_add(1, Ordering::SeqCst) < 3 { 500 } else { 204 };
        exchange.reply(&Reply::status(status));
    });
    let gateway = gateway(&redis, &target);
    let _subscriber = subscriber(&redis, &target);
    let id = publish(&gateway, "orders.eu", &json!({"data": {"n": 1}}));
    eventually("it is pushed until it is taken", || {
        gateway.manage("/_spindrift/v1/queues:tick", "{}");
        target.count() == 4
    });
    let received = target.requests();
    for one in &received {
        assert_eq!(one.header("webhook-id"), received[0].header("webhook-id"));
        assert_eq!(payload(one)["id"], id.as_str());
    }
}

#[test]
fn several_subscribers_push_each_event_once() {
    let (redis, target) = (Redis::start(), Origin::always(Reply::status(204)));
    let gateway = gateway(&redis, &target);
    let _subscribers = [(); 3].map(|()| subscriber(&redis, &target));
    for number in 0..60 {
        publish(&gateway, "orders.eu", &json!({"data": {"n": number}}));
    }
    eventually("all are pushed", || target.count() >= 60);
    await_completed(&gateway, 60);
    assert_eq!(numbers(&target), (0..60).collect::<Vec<_>>());
}

#[test]
fn a_message_of_others_publishes_an_event() {
    let (redis, target) = (Redis::start(), Origin::always(Reply::status(204)));
    let gateway = gateway(&redis, &target);
    let _subscribers = [(); 2].map(|()| subscriber(&redis, &target));
    let message = r#"{"v":1,"topic":"event","id":"order-7","data":{"topic":"orders.eu","data":{"n":7}}}"#;
    let heard: i64 = redis.query(&["PUBLISH", "spindrift", message]);
    assert_eq!(heard, 2);
    target.await_requests(1);
    eventually("both heard it", || gateway.counter("messages_duplicate") == 1);
    assert_eq!(numbers(&target), [7]);
}
