//! The examples for Node.js.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac_sha256::HMAC;
use spindrift_e2e::{Gateway, Headers, Program, Redis, Request, Response, Script, TOKEN, eventually};
use std::time::{SystemTime, UNIX_EPOCH};

const SESSION_KEY: &str = "a-session-key-of-the-tests-0123456789";
const WEBHOOK_KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn node(path: &str, gateway: &Gateway) -> Script {
    let url = format!("http://{}", gateway.address());
    Script::node(path).variable("SPINDRIFT_URL", &url).variable("SPINDRIFT_TOKEN", TOKEN)
}

/// A server that prints the port on which it listens.
fn serving(script: &Script) -> (Program, String) {
    let program = script.start();
    let port = program.line(|line| line.strip_prefix("listening on ").map(str::to_owned));
    (program, format!("http://127.0.0.1:{port}"))
}

/// The events that `follow.mjs` printed, without their ids.
fn events(printed: &str) -> Vec<&str> {
    let events = printed.lines().filter(|line| !line.starts_with('#'));
    events.map(|line| line.split_once(' ').map_or(line, |(_, rest)| rest)).collect()
}

#[test]
fn events_are_followed_and_taken_up_where_the_reader_stood() {
    let redis = Redis::start();
    let config = "[topics]\nstream_time = \"1s\"\nretry = \"10ms\"\nmax_delay = \"50ms\"\n";
    let gateway = Gateway::before_demo()
        .redis(&redis)
        .managed()
        .variable("session_keys", SESSION_KEY)
        .config(config)
        .start();
    let publish = |data: &[&str]| {
        let printed =
            node("events/publish.mjs", &gateway).arguments(&["orders", "created"]).arguments(data).succeed();
        printed.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let follow = |more: &[&str]| {
        let script = node("events/follow.mjs", &gateway).variable("SESSION_KEY", SESSION_KEY);
        script.argument("orders").arguments(more)
    };
    let ids = publish(&["one", "two"]);
    let all = follow(&["--from", "earliest", "--count", "2"]).succeed();
    let whole: Vec<&str> = all.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(whole, [format!("{} created: one", ids[0]), format!("{} created: two", ids[1])]);
    let behind = follow(&["--from", &ids[0], "--count", "1"]).succeed();
    assert_eq!(events(&behind), ["created: two"]);
    // A reader whose stream ends reconnects with the last id that it saw, here after a second at most.
    let reading = follow(&["--from", &ids[1], "--count", "2"]).start();
    publish(&["three"]);
    let three = reading.line(|line| line.strip_suffix(" created: three").map(str::to_owned));
    reading.line(|line| line.contains(&format!("orders from {three} on")).then_some(()));
    publish(&["four"]);
    let finished = reading.finish();
    assert_eq!(events(&finished.printed), ["created: three", "created: four"]);
}

#[test]
fn a_token_for_another_topic_or_of_another_key_is_refused() {
    let redis = Redis::start();
    let gateway =
        Gateway::before_demo().redis(&redis).managed().variable("session_keys", SESSION_KEY).start();
    let answer = gateway.manage("/_spindrift/v1/channels:token", r#"{"topics":["chat"]}"#).json();
    let follow = node("events/follow.mjs", &gateway).argument("orders");
    let other = follow.clone().variable("STREAM_TOKEN", answer["token"].as_str().unwrap()).run();
    assert!(other.status != Some(0) && other.printed.contains("403"), "{}", other.printed);
    let forged = follow.variable("SESSION_KEY", "another-key-0123456789").run();
    assert!(forged.status != Some(0) && forged.printed.contains("401"), "{}", forged.printed);
}

#[test]
fn the_client_does_what_the_service_before_it_did() {
    let redis = Redis::start();
    let gateway = Gateway::before_demo().redis(&redis).managed().start();
    let printed = node("cache-client/demo.mjs", &gateway).succeed();
    let expected = [
        r#"get: {"name":"Ada"}"#,
        "exists: false",
        r#"getOrSet, eight at once: {"made":1}"#,
        "the factory ran: 1",
        "batch: [201,200,404,204]",
        "after invalidatePattern: nothing",
        "delete: true",
        "after delete: nothing",
        "checkRateLimit, 3 an hour: [true,true,true,false]",
        r#"getSession: {"items":2}"#,
        "after deleteSession: nothing",
        "acquireLock again: nothing",
        "releaseLock: true",
        r#"dequeue: {"to":"Ann"}"#,
        "dequeue from an empty queue: nothing",
        r#"publish: "string""#,
        r#"invalidateRoute: "done""#,
        "checkRateLimit of a key that is too long: 400",
        "get from nobody: nothing",
        r#"getOrSet from nobody: {"made":2}"#,
        "checkRateLimit by nobody: true",
        "enqueue to nobody: 0",
    ];
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn the_receiver_takes_what_is_signed_once_and_nothing_else() {
    let redis = Redis::start();
    let receiver =
        Script::node("webhook-receiver/receiver.mjs").argument("0").variable("WEBHOOK_KEY", WEBHOOK_KEY);
    let (receiver, url) = serving(&receiver);
    let config = format!(
        "[metrics]\n[[webhook]]\nname = \"demo\"\ntopics = [\"orders\"]\ntarget = \"{url}/\"\nbackoff = \"1ms\"\n"
    );
    let gateway = Gateway::before_demo().redis(&redis).managed().config(&config);
    let gateway = gateway.variable("webhook_keys", WEBHOOK_KEY).variable("webhook_host", &url).start();
    let published = gateway.manage("/_spindrift/v1/channels/orders", r#"{"type":"created","data":{"id":7}}"#);
    assert_eq!(published.status, 200, "{published:?}");
    eventually("a push", || {
        assert_eq!(gateway.manage("/_spindrift/v1/queues:tick", "{}").status, 200);
        receiver.printed().contains(r#""data":{"id":7}"#)
    });
    assert_eq!(receiver.printed().matches("received").count(), 1);

    let address = url.strip_prefix("http://").unwrap().parse().unwrap();
    let send = |request: Request| spindrift_e2e::Client::connect(address).send(&request).status;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(send(Request::post("/", "{}")), 401, "not signed at all");
    let signed = signature("mine", now, r#"{"n":1}"#);
    assert_eq!(send(message("mine", now, &signed, r#"{"n":2}"#)), 401, "other content than was signed");
    assert_eq!(send(message("other", now, &signed, r#"{"n":1}"#)), 401, "another id than was signed");
    let old = signature("mine", now - 3600, r#"{"n":1}"#);
    assert_eq!(send(message("mine", now - 3600, &old, r#"{"n":1}"#)), 401, "too old to be believed");
    let rotated = format!("v1,{} {signed}", "A".repeat(43) + "=");
    for _ in 0..2 {
        assert_eq!(send(message("mine", now, &rotated, r#"{"n":1}"#)), 204, "one of two keys signed it");
    }
    // Lines are printed in order: when the last one is there, all others are.
    let last = signature("last", now, "{}");
    assert_eq!(send(message("last", now, &last, "{}")), 204);
    receiver.line(|line| line.contains("received last").then_some(()));
    assert_eq!(receiver.printed().matches("received").count(), 3, "each once: {}", receiver.printed());
}

/// A signature according to Standard Webhooks.
fn signature(id: &str, timestamp: u64, content: &str) -> String {
    let key = STANDARD.decode(WEBHOOK_KEY.strip_prefix("whsec_").unwrap()).unwrap();
    format!("v1,{}", STANDARD.encode(HMAC::mac(format!("{id}.{timestamp}.{content}"), key)))
}

fn message(id: &str, timestamp: u64, signature: &str, content: &str) -> Request {
    let request = Request::post("/", content).header("webhook-id", id).header("webhook-signature", signature);
    request.header("webhook-timestamp", &timestamp.to_string())
}

/// The cookies that a response sets, as a browser sends them back.
fn cookie(headers: &Headers) -> Option<String> {
    let all: Vec<&str> = headers.all("set-cookie").iter().filter_map(|it| it.split(';').next()).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

#[test]
fn an_origin_that_keeps_nothing_knows_its_visitors() {
    let redis = Redis::start();
    let script = Script::node("stateless-origin/origin.mjs").argument("0");
    let (origin, url) = serving(&script);
    let (_other, other_url) = serving(&script);
    let setup = |url: &str| {
        let setup = Gateway::before_url(url).redis(&redis).variable("session_keys", SESSION_KEY);
        setup.config("[[route]]\npath = \"/account*\"\nsession = true\n").start()
    };
    let gateway = setup(&url);
    let with = |gateway: &Gateway, request: Request, cookie: &str| -> Response {
        gateway.send(&request.header("cookie", cookie))
    };
    let first = gateway.get("/account");
    assert_eq!(first.text(), "somebody, visit 1\n", "{first:?}");
    let visitor = cookie(&first.headers).expect("a cookie");
    assert_eq!(with(&gateway, Request::get("/account"), &visitor).text(), "somebody, visit 2\n");
    let login = with(&gateway, Request::post("/account/login", r#"{"user":"anna"}"#), &visitor);
    let anna = cookie(&login.headers).expect("another cookie");
    assert_ne!(anna, visitor);
    // Another process of the origin knows her as well; there may be any number of them.
    drop(origin);
    let gateway = setup(&other_url);
    assert_eq!(with(&gateway, Request::get("/account"), &anna).text(), "anna, visit 3\n");
    assert_eq!(with(&gateway, Request::post("/account/logout", ""), &anna).text(), "goodbye\n");
    assert_eq!(with(&gateway, Request::get("/account"), &anna).text(), "somebody, visit 1\n");
    assert!(gateway.get("/").cache_status().is_stored());
    redis.await_entries(1);
    assert!(gateway.get("/").cache_status().is_hit());
}
