//! Pushing jobs: by the subscriber, by a tick, and in the background of requests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use spindrift_e2e::{Gateway, Origin, Received, Redis, Reply, Request, Setup, Subscriber, TOKEN, eventually};

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ORDERS: &str = "/_spindrift/v1/queues/orders";

/// Adds a queue whose jobs are pushed to this target.
fn pushing(setup: Setup, target: &Origin, more: &str) -> Setup {
    let config = format!(
        "[[queue]]\nname = \"orders\"\ntarget = \"{}/hook?of=us\"\nmax_attempts = 3\n{more}\n",
        target.url()
    );
    setup.config(&config).variable("webhook_keys", KEY).variable("webhook_host", &target.url())
}

fn gateway(redis: &Redis, target: &Origin, more: &str) -> Gateway {
    pushing(Gateway::before_demo().redis(redis).managed(), target, more).start()
}

fn subscriber(redis: &Redis, target: &Origin, more: &str) -> Subscriber {
    Subscriber::start_as(redis, "spindrift", |setup| pushing(setup, target, more))
}

#[track_caller]
fn put(gateway: &Gateway, data: &str) -> String {
    let put = gateway.manage(&format!("{ORDERS}/jobs"), &format!("{{\"data\":{data}}}"));
    assert_eq!(put.status, 201, "{put:?}");
    put.json()["id"].as_str().unwrap().to_owned()
}

fn job(gateway: &Gateway, id: &str) -> Value {
    gateway.send(&Request::get(&format!("{ORDERS}/jobs/{id}")).bearer(TOKEN)).json()
}

fn queue(gateway: &Gateway) -> Value {
    gateway.send(&Request::get(ORDERS).bearer(TOKEN)).json()
}

/// Prevents automatic ticks of the instances for a while.
fn quiet(redis: &Redis) {
    let _: String = redis.query(&["SET", "sd:{queues}:t", "somebody did", "EX", "600"]);
}

#[track_caller]
fn tick(gateway: &Gateway) -> Value {
    let ticked = gateway.manage("/_spindrift/v1/queues:tick", "{}");
    assert_eq!(ticked.status, 200, "{ticked:?}");
    ticked.json()
}

/// Verifies a message as its receiver would, with a different implementation of HMAC.
fn verified(message: &Received) -> bool {
    let field = |name| message.header(name).unwrap_or_default().to_owned();
    let mut signed = format!("{}.{}.", field("webhook-id"), field("webhook-timestamp")).into_bytes();
    signed.extend_from_slice(&message.body);
    let key = STANDARD.decode(KEY.strip_prefix("whsec_").unwrap()).unwrap();
    field("webhook-signature") == format!("v1,{}", STANDARD.encode(hmac_sha256::HMAC::mac(&signed, &key)))
}

#[test]
fn the_subscriber_is_woken_and_pushes_what_was_enqueued() {
    let (redis, target) = (Redis::start(), Origin::always(Reply::status(204)));
    let _subscriber = subscriber(&redis, &target, "");
    let gateway = gateway(&redis, &target, "");
    let id = put(&gateway, r#"{"größe":[1,2.50]}"#);
    target.await_requests(1);
    eventually("the job is done", || job(&gateway, &id)["state"] == "done");
    let message = target.last();
    assert_eq!((message.method.as_str(), message.target.as_str()), ("POST", "/hook?of=us"));
    assert_eq!(message.body, r#"{"größe":[1,2.50]}"#.as_bytes());
    assert_eq!(message.header("content-type"), Some("application/json"));
    assert_eq!(message.header("webhook-id"), Some(id.as_str()));
    assert!(verified(&message), "{message:?}");
    for number in 0..50 {
        put(&gateway, &number.to_string());
    }
    eventually("all are done", || queue(&gateway)["counts"]["completed"] == 51);
    assert_eq!(target.count(), 51, "each of them once");
    assert!(target.requests().iter().all(verified));
}

#[test]
fn a_lost_doorbell_is_made_up_for_by_a_tick() {
    let (redis, target) = (Redis::start(), Origin::always(Reply::ok("thanks")));
    quiet(&redis);
    let gateway = gateway(&redis, &target, "");
    // There is no subscriber: the notification reaches nobody.
    let id = put(&gateway, "1");
    assert_eq!((job(&gateway, &id)["state"].as_str(), target.count()), (Some("ready"), 0));
    assert_eq!(tick(&gateway), json!({"fired": 0, "delivered": 1, "failed": 0, "died": 0}));
    assert_eq!((job(&gateway, &id)["state"].as_str(), target.count()), (Some("done"), 1));
}

#[test]
fn a_tick_finds_delayed_jobs_and_leases_that_are_over() {
    let (redis, target) = (Redis::start(), Origin::always(Reply::ok("")));
    quiet(&redis);
    let gateway = gateway(&redis, &target, "");
    let leased = put(&gateway, "1");
    gateway.manage(&format!("{ORDERS}/claim"), r#"{"lease":3600}"#);
    let delayed = gateway.manage(&format!("{ORDERS}/jobs"), r#"{"data":2,"delay":3600}"#).json();
    assert_eq!(tick(&gateway)["delivered"], 0);
    for (key, id) in
        [("sd:{q:orders}:l", leased.as_str()), ("sd:{q:orders}:d", delayed["id"].as_str().unwrap())]
    {
        let _: i64 = redis.query(&["ZADD", key, "XX", "1", id]);
    }
    assert_eq!((tick(&gateway)["delivered"].clone(), target.count()), (json!(2), 2));
}

#[test]
fn a_failure_is_tried_again_and_dies_in_the_end() {
    let (redis, target) = (Redis::start(), Origin::always(Reply::status(500)));
    let gateway = gateway(&redis, &target, "backoff = \"1ms\"\nmax_backoff = \"1ms\"");
    let id = put(&gateway, "1");
    eventually("three attempts", || {
        tick(&gateway);
        job(&gateway, &id)["state"] == "dead"
    });
    assert_eq!(target.count(), 3);
    let ids: Vec<Option<String>> =
        target.requests().iter().map(|it| it.header("webhook-id").map(str::to_owned)).collect();
    assert!(ids.iter().all(|it| it.as_deref() == Some(id.as_str())), "{ids:?}");
    assert_eq!(job(&gateway, &id)["error"], "the target answered 500");
    gateway.await_log("attempt 3 of 3: the target answered 500");
}

#[test]
fn a_redirect_is_a_failure_and_is_not_followed() {
    let (redis, elsewhere) = (Redis::start(), Origin::always(Reply::ok("")));
    let target = Origin::always(Reply::status(307).header("location", &elsewhere.url()));
    let gateway = gateway(&redis, &target, "");
    let id = put(&gateway, "1");
    eventually("it failed", || {
        tick(&gateway);
        job(&gateway, &id)["state"] == "delayed"
    });
    assert_eq!((target.count(), elsewhere.count()), (1, 0));
}

#[test]
fn a_target_that_is_gone_is_not_asked_again_until_somebody_says_so() {
    let (redis, target) = (Redis::start(), Origin::sequence([Reply::status(410), Reply::ok("")]));
    let gateway = gateway(&redis, &target, "concurrency = 1");
    put(&gateway, "1");
    eventually("the queue is paused", || {
        tick(&gateway);
        queue(&gateway)["paused_because"] == "gone"
    });
    put(&gateway, "2");
    assert_eq!((tick(&gateway)["delivered"].clone(), target.count()), (json!(0), 1));
    assert_eq!(gateway.manage(&format!("{ORDERS}/resume"), "").status, 200);
    eventually("both are done", || {
        tick(&gateway);
        queue(&gateway)["counts"]["completed"] == 2
    });
}

#[test]
fn a_busy_target_is_left_alone_for_as_long_as_it_asks() {
    for status in [429, 503] {
        let (redis, target) =
            (Redis::start(), Origin::always(Reply::status(status).header("retry-after", "3600")));
        let gateway = gateway(&redis, &target, "concurrency = 1");
        let id = put(&gateway, "1");
        eventually("it was asked", || {
            tick(&gateway);
            job(&gateway, &id)["state"] == "delayed"
        });
        put(&gateway, "2");
        assert_eq!((tick(&gateway)["delivered"].clone(), target.count()), (json!(0), 1), "{status}");
        assert!(queue(&gateway)["held_for"].as_f64().unwrap() > 3500.0, "{status}");
    }
}

#[test]
fn a_target_that_never_answers_costs_its_timeout_and_no_more() {
    let (redis, target) = (
        Redis::start(),
        Origin::start(|exchange| {
            while exchange.piece().is_some() {}
            // Until the peer closes the connection.
            while !exchange.is_closed() {
                std::thread::sleep(std::time::Duration::from_millis(5));
                exchange.send(b"");
            }
        }),
    );
    let gateway = gateway(&redis, &target, "timeout = \"100ms\"");
    let id = put(&gateway, "1");
    eventually("it is delayed", || {
        tick(&gateway);
        job(&gateway, &id)["state"] == "delayed"
    });
    assert_eq!(job(&gateway, &id)["error"], "the target did not answer within 100 ms");
}

#[test]
fn what_the_host_does_not_allow_is_not_sent_and_costs_no_attempt() {
    let (redis, target) = (Redis::start(), Origin::always(Reply::ok("")));
    let setup = pushing(Gateway::before_demo().redis(&redis).managed(), &target, "");
    let gateway = setup.variable("webhook_host", "").start();
    let id = put(&gateway, "1");
    eventually("it was tried", || {
        tick(&gateway);
        queue(&gateway)["held_for"].as_f64().unwrap() > 0.0
    });
    let found = job(&gateway, &id);
    assert_eq!((&found["state"], &found["attempts"], target.count()), (&json!("ready"), &json!(0), 0));
    gateway.await_log("allowed_outbound_hosts");
}

#[test]
fn an_instance_looks_after_the_queues_behind_requests() {
    let (redis, target) = (Redis::start(), Origin::always(Reply::ok("")));
    let gateway = gateway(&redis, &target, "");
    put(&gateway, "1");
    eventually("some request finds it", || {
        let _: i64 = redis.query(&["DEL", "sd:{queues}:t"]);
        gateway.get("/uncached");
        target.count() == 1
    });
}

#[test]
fn keys_that_are_missing_are_a_mistake_that_is_told() {
    let (redis, target) = (Redis::start(), Origin::always(Reply::ok("")));
    let setup = pushing(Gateway::before_demo().redis(&redis).managed(), &target, "keys = \"billing\"");
    let problem = setup.start().get("/").problem(500);
    let errors = problem["errors"].to_string();
    assert!(
        errors.contains("variable webhook_keys: expected <ring>=whsec_<base64> for the ring in `keys`"),
        "{errors}"
    );
    assert!(!errors.contains("MfKQ"), "{errors}");
}
