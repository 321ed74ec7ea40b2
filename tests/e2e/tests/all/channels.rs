//! Publishing to channels over HTTP, and tokens for readers.

use spindrift_e2e::{Events, Gateway, Origin, Redis, Reply, Request, Response, Setup, TOKEN, eventually};

const KEY: &str = "a-signing-key-of-the-tests";

fn setup(redis: &Redis) -> Setup {
    let origin = Origin::always(Reply::fresh("of the origin"));
    Gateway::before(&origin).redis(redis).managed().variable("session_keys", KEY)
}

/// The data of all events of a channel.
fn all(gateway: &Gateway, channel: &str, count: usize) -> Vec<String> {
    let request = Request::get(&format!("/_spindrift/v1/channels/{channel}?last_event_id=earliest"));
    let mut client = gateway.client();
    Events::open(&mut client, &request.bearer(TOKEN)).data(count)
}

fn raw(target: &str, media_type: &str, body: impl Into<Vec<u8>>) -> Request {
    Request::post(target, body).bearer(TOKEN).header("content-type", media_type)
}

fn token(gateway: &Gateway, json: &str) -> String {
    let response = gateway.manage("/_spindrift/v1/channels:token", json);
    assert_eq!(response.status, 200, "{response:?}");
    response.json()["token"].as_str().unwrap().to_owned()
}

#[test]
fn events_are_published_in_every_form() {
    let redis = Redis::start();
    let gateway = setup(&redis).config("[metrics]\n").start();
    let target = "/_spindrift/v1/channels/orders";
    let one = gateway.manage(target, r#"{"data":"a \"text\"\nof two lines"}"#);
    assert_eq!((one.status, one.json()["repeated"].as_bool()), (200, Some(false)), "{one:?}");
    assert_eq!(one.json()["ids"].as_array().unwrap().len(), 1);
    let several =
        gateway.manage(target, r#" [{"data":{"n": 1.0}},{"data":12345678901234567890123},{"data":null}]"#);
    assert_eq!(several.json()["ids"].as_array().unwrap().len(), 3, "{several:?}");
    assert_eq!(gateway.send(&raw(target, "text/plain; charset=utf-8", "{raw}")).status, 200);
    assert_eq!(gateway.send(&raw(&format!("{target}?type=t"), "application/octet-stream", "")).status, 200);
    let expected =
        ["a \"text\"\nof two lines", "{\"n\": 1.0}", "12345678901234567890123", "null", "{raw}", ""];
    assert_eq!(all(&gateway, "orders", 6), expected);
    eventually("they are counted", || gateway.counter("events_published_total") == 6);
}

#[test]
fn a_request_with_an_idempotency_key_publishes_once() {
    let redis = Redis::start();
    let gateway = setup(&redis).start();
    let publish = |key: &str, data: &str| {
        let request = Request::post("/_spindrift/v1/channels/orders", format!("{{\"data\":\"{data}\"}}"));
        gateway.send(&request.bearer(TOKEN).header("idempotency-key", key))
    };
    let (first, again) = (publish("\"k-1\"", "a"), publish("k-1", "a"));
    assert_eq!(first.json()["ids"], again.json()["ids"]);
    assert_eq!(
        (first.json()["repeated"].as_bool(), again.json()["repeated"].as_bool()),
        (Some(false), Some(true))
    );
    let _ = publish("k-1", "b").problem(422);
    let _ = publish("", "b").problem(400);
    assert_eq!(publish("k-2", "b").status, 200);
    assert_eq!(all(&gateway, "orders", 2), ["a", "b"]);
}

#[test]
fn what_cannot_be_published_is_refused_with_the_reason() {
    let redis = Redis::start();
    let gateway = setup(&redis).config("[topics]\nmax_event = \"10B\"\n").start();
    let target = "/_spindrift/v1/channels/orders";
    for (json, reason) in [
        ("", "expected {\"data\""),
        ("nonsense", "expected {\"data\""),
        ("{}", "missing field `data`"),
        ("[]", "expected 1 to 100 events, found 0"),
        (r#"{"data":1,"id":"x"}"#, "unknown field `id`"),
        (r#"[{"data":1},{"data":2,"type":"a\nb"}]"#, "event 1: type: expected"),
        (r#"{"data":1,"type":"gap"}"#, "event 0: type: expected"),
    ] {
        let problem = gateway.manage(target, json).problem(400);
        assert!(problem["detail"].as_str().unwrap().contains(reason), "{json}: {problem}");
    }
    let _ = gateway.manage(target, r#"[{"data":"x"},{"data":"12345678901"}]"#).problem(413);
    let _ = gateway.manage(target, &format!("{{\"data\":\"{}\"}}", "x".repeat(1024 * 1024))).problem(413);
    let many = format!("[{}]", [r#"{"data":1}"#; 101].join(","));
    let _ = gateway.manage(target, &many).problem(400);
    let _ = gateway.send(&raw(target, "text/plain", b"\xff".to_vec())).problem(400);
    let _ = gateway.manage(&format!("{target}?type=x"), r#"{"data":1}"#).problem(400);
    let _ = gateway.manage(&format!("{target}?durable=maybe"), r#"{"data":1}"#).problem(400);
    let _ = gateway.manage(&format!("{target}?x=1"), r#"{"data":1}"#).problem(400);
    for name in ["a%20b", "a*", "%00", "__redis__:invalidate", "%C3%A4", ""] {
        let _ = gateway.manage(&format!("/_spindrift/v1/channels/{name}"), r#"{"data":1}"#).problem(400);
    }
    for method in ["PUT", "DELETE"] {
        let refused = gateway.send(&Request::new(method, target).bearer(TOKEN));
        assert_eq!(
            (refused.status, refused.header("allow")),
            (405, Some("GET, HEAD, OPTIONS, POST")),
            "{method}"
        );
    }
    assert!(!redis.keys().iter().any(|key| key.contains("topic")), "{:?}", redis.keys());
}

#[test]
fn only_the_management_token_publishes() {
    let redis = Redis::start();
    let gateway = setup(&redis).start();
    let signed = token(&gateway, r#"{"topics":["*"]}"#);
    let publish = Request::post("/_spindrift/v1/channels/orders", r#"{"data":1}"#);
    let _ = gateway.send(&publish).problem(401);
    let _ = gateway.send(&publish.bearer(&signed)).problem(401);
    let in_query = format!("/_spindrift/v1/channels/orders?token={signed}");
    let _ = gateway.send(&Request::post(&in_query, r#"{"data":1}"#)).problem(401);
    let _ = gateway
        .send(&Request::post("/_spindrift/v1/channels:token", r#"{"topics":["*"]}"#).bearer(&signed))
        .problem(401);
}

#[test]
fn plain_subscribers_of_redis_are_reached() {
    let redis = Redis::start();
    let gateway = setup(&redis).config("[topics]\nchannel_prefix = \"\"\nmirror = [\"m.*\"]\n").start();
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let mut subscriber = connection.as_pubsub();
    subscriber.subscribe(&["plain", "m.x"]).unwrap();
    let mut heard = || -> (String, String) {
        let message = subscriber.get_message().unwrap();
        (message.get_channel_name().to_owned(), message.get_payload().unwrap())
    };
    let sent =
        gateway.manage("/_spindrift/v1/channels/plain?durable=false", r#"[{"data":"a"},{"data":"b"}]"#);
    assert_eq!(sent.json(), serde_json::json!({"receivers": [1, 1]}));
    assert_eq!(gateway.manage("/_spindrift/v1/channels/m.x", r#"{"data":"c"}"#).status, 200);
    let expected = [("plain", "a"), ("plain", "b"), ("m.x", "c")];
    assert_eq!([heard(), heard(), heard()], expected.map(|(name, data)| (name.to_owned(), data.to_owned())));
    let own = gateway.manage("/_spindrift/v1/channels/spindrift?durable=false", r#"{"data":"x"}"#);
    assert!(own.problem(400)["detail"].as_str().unwrap().contains("redis_channel"));
    let keyed = Request::post("/_spindrift/v1/channels/plain?durable=false", r#"{"data":1}"#).bearer(TOKEN);
    let _ = gateway.send(&keyed.header("idempotency-key", "k")).problem(400);
}

#[test]
fn without_redis_publishing_is_503_and_says_why() {
    let origin = Origin::always(Reply::fresh("of the origin"));
    let publish =
        |gateway: &Gateway| gateway.manage("/_spindrift/v1/channels/orders", r#"{"data":1}"#).problem(503);
    let gone = publish(&Gateway::before(&origin).managed().start());
    assert!(gone["reason"].as_str().unwrap().starts_with("redis-"), "{gone}");
    let off = publish(&Gateway::before(&origin).managed().variable("redis_enabled", "false").start());
    assert!(off["detail"].as_str().unwrap().contains("redis_enabled"), "{off}");
    let stream = Request::get("/_spindrift/v1/channels/orders").bearer(TOKEN);
    let _ = Gateway::before(&origin).managed().start().send(&stream).problem(503);
}

/// Requests a stream with a token in a field, and with one in the query.
fn ask(gateway: &Gateway, target: &str, token: &str) -> [Response; 2] {
    let separator = if target.contains('?') { '&' } else { '?' };
    let in_query = Request::get(&format!("{target}{separator}token={token}"));
    [Request::get(target).bearer(token), in_query].map(|request| gateway.send(&request))
}

#[test]
fn a_signed_token_reads_its_topics_and_no_others() {
    let redis = Redis::start();
    let gateway = setup(&redis).config("[topics]\nstream_time = \"1s\"\n").start();
    let token = token(&gateway, r#"{"topics":["orders","chat.*"],"ttl":60}"#);
    for target in ["orders", "chat.7", "orders?topic=chat.1&topic=chat.2"] {
        for response in ask(&gateway, &format!("/_spindrift/v1/channels/{target}"), &token) {
            assert_eq!((response.status, response.complete), (200, true), "{response:?}");
        }
    }
    for target in ["order", "orders2", "chat", "secret", "orders?topic=secret"] {
        for response in ask(&gateway, &format!("/_spindrift/v1/channels/{target}"), &token) {
            let challenge = response.header("www-authenticate").unwrap_or_default().to_owned();
            assert!(challenge.contains("insufficient_scope"), "{response:?}");
            assert!(!response.problem(403).to_string().contains(&token));
        }
    }
    assert!(!gateway.log().contains(&token));
}

#[test]
fn a_forged_token_reads_nothing() {
    let redis = Redis::start();
    let gateway = setup(&redis).start();
    let other = setup(&redis).variable("session_keys", "another-key-of-the-tests").start();
    let good = token(&gateway, r#"{"topics":["orders"]}"#);
    let foreign = token(&other, r#"{"topics":["orders"]}"#);
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("{good}") };
    let [_, wide, _] = foreign.split('.').collect::<Vec<_>>()[..] else { panic!("{foreign}") };
    let none = "eyJhbGciOiJub25lIn0";
    for forged in [
        foreign.clone(),
        format!("{header}.{wide}x.{signature}"),
        format!("{header}.{payload}."),
        format!("{none}.{payload}."),
        format!("{none}.{payload}.{signature}"),
        good[..good.len() - 2].to_owned(),
        "a.b.c".to_owned(),
    ] {
        for response in ask(&gateway, "/_spindrift/v1/channels/orders", &forged) {
            assert!(response.header("www-authenticate").unwrap().contains("invalid_token"), "{response:?}");
            assert!(!response.problem(401).to_string().contains(&forged));
        }
    }
    for wrong in ["x", "", &TOKEN[1..]] {
        for response in ask(&gateway, "/_spindrift/v1/channels/orders", wrong) {
            let _ = response.problem(401);
        }
    }
    let in_query = gateway.get(&format!("/_spindrift/v1/channels/orders?token={TOKEN}"));
    let _ = in_query.problem(401);
    let _ = gateway.get("/_spindrift/v1/channels/orders").problem(401);
}

#[test]
fn an_expired_token_reads_nothing_and_a_stream_ends_with_its_token() {
    let redis = Redis::start();
    let gateway = setup(&redis).config("[topics]\nstream_time = \"1h\"\n").start();
    let token = token(&gateway, r#"{"topics":["orders"],"ttl":1}"#);
    let mut client = gateway.client();
    let request = Request::get(&format!("/_spindrift/v1/channels/orders?token={token}"));
    Events::open(&mut client, &request).rest();
    for response in ask(&gateway, "/_spindrift/v1/channels/orders", &token) {
        assert!(response.problem(401)["detail"].as_str().unwrap().contains("expired"));
    }
}

#[test]
fn an_older_key_is_good_until_it_is_taken_away() {
    let redis = Redis::start();
    let before = setup(&redis).start();
    let token = token(&before, r#"{"topics":["orders"]}"#);
    let config = "[topics]\nstream_time = \"1s\"\n";
    let rotated =
        setup(&redis).config(config).variable("session_keys", &format!("a-newer-key-of-the-tests,{KEY}"));
    for response in ask(&rotated.start(), "/_spindrift/v1/channels/orders", &token) {
        assert_eq!(response.status, 200);
    }
    let removed = setup(&redis).variable("session_keys", "a-newer-key-of-the-tests").start();
    for response in ask(&removed, "/_spindrift/v1/channels/orders", &token) {
        let _ = response.problem(401);
    }
}

#[test]
fn a_request_for_a_token_is_checked() {
    let redis = Redis::start();
    let gateway = setup(&redis).start();
    let target = "/_spindrift/v1/channels:token";
    for json in [
        "",
        "{}",
        r#"{"topics":[]}"#,
        r#"{"topics":["a b"]}"#,
        r#"{"topics":["a"],"ttl":0}"#,
        r#"{"topics":["a"],"ttl":86401}"#,
        r#"{"topics":["a"],"ttl":-1}"#,
        r#"{"topics":["a"],"publish":true}"#,
    ] {
        let _ = gateway.manage(target, json).problem(400);
    }
    let good = gateway.manage(target, r#"{"topics":["a"],"ttl":86400}"#);
    assert!(good.json()["expires_at"].as_u64().unwrap() > 1_700_000_000, "{good:?}");
    let _ = gateway.send(&Request::get(target).bearer(TOKEN)).problem(405);
    let _ = gateway.send(&Request::post(target, r#"{"topics":["a"]}"#)).problem(401);
    let without = setup(&redis).variable("session_keys", "").start();
    let problem = without.manage(target, r#"{"topics":["a"]}"#).problem(403);
    assert!(problem["detail"].as_str().unwrap().contains("session_keys"), "{problem}");
}
