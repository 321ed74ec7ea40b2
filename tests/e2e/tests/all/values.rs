//! The key-value cache over HTTP.

use crate::support::{EACH_REUSE, managed, managed_behind, stored, unanswered};
use serde_json::{Value, json};
use spindrift_e2e::{FaultyRedis, Gateway, Origin, Redis, Reply, Request, Response, TOKEN, eventually};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

fn started(redis: &Redis) -> Gateway {
    started_with(redis, "")
}

fn started_with(redis: &Redis, config: &str) -> Gateway {
    let origin = Origin::always(Reply::fresh("page").header("cache-tag", "t"));
    Gateway::before(&origin).redis(redis).managed().one_instance().config(config).start()
}

fn request(method: &str, target: &str) -> Request {
    Request::new(method, &format!("/_spindrift/v1/cache{target}")).bearer(TOKEN)
}

fn get(gateway: &Gateway, key: &str) -> Response {
    gateway.send(&request("GET", &format!("/{key}")))
}

#[track_caller]
fn put(gateway: &Gateway, target: &str, content: &str) -> Response {
    let response = gateway.send(&request("PUT", &format!("/{target}")).body(content));
    assert!(response.status == 201 || response.status == 204, "{response:?}");
    response
}

#[track_caller]
fn batch(gateway: &Gateway, operations: &Value) -> Vec<Value> {
    let response =
        gateway.manage("/_spindrift/v1/cache:batch", &json!({"operations": operations}).to_string());
    assert_eq!(response.status, 200, "{response:?}");
    response.json()["results"].as_array().unwrap().clone()
}

#[test]
fn a_value_is_set_found_and_deleted() {
    for reuse in EACH_REUSE {
        let redis = Redis::start();
        let gateway = managed(&redis, reuse);
        let problem = get(&gateway, "user:1").problem(404);
        assert!(problem["fill"].is_null(), "{problem}");
        let set = request("PUT", "/user:1?ttl=60.5&tags=a,b")
            .header("content-type", "application/vnd.user+json; v=1")
            .header("cache-tag", "c, a")
            .body("{\"name\": \"Ada\"}");
        let created = gateway.send(&set);
        assert_eq!((created.status, created.header("content-length")), (201, Some("0")));
        let etag = created.header("etag").unwrap().to_owned();
        assert_eq!(gateway.send(&set).status, 204);

        let found = get(&gateway, "user:1");
        assert_eq!((found.status, found.text()), (200, "{\"name\": \"Ada\"}".to_owned()));
        for (name, expected) in [
            ("content-type", "application/vnd.user+json; v=1"),
            ("etag", etag.as_str()),
            ("cache-tag", "a, b, c"),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("content-length", "15"),
        ] {
            assert_eq!(found.header(name), Some(expected), "{found:?}");
        }
        assert!(found.header("expires").is_some());
        let head = gateway.send(&request("HEAD", "/user:1"));
        assert_eq!((head.status, head.header("content-length")), (200, Some("15")));
        assert_eq!((head.header("etag"), head.body.len()), (Some(etag.as_str()), 0));
        assert_eq!(gateway.send(&request("HEAD", "/user:2")).status, 404);

        for _ in 0..2 {
            assert_eq!(gateway.send(&request("DELETE", "/user:1")).status, 204);
        }
        let _ = get(&gateway, "user:1").problem(404);
        let _ = gateway.send(&Request::get("/_spindrift/v1/cache/user:1")).problem(401);
    }
}

#[test]
fn bytes_are_kept_as_they_are() {
    let redis = Redis::start();
    let gateway = started(&redis);
    let all: Vec<u8> = (0..=255).collect::<Vec<u8>>().repeat(4096);
    for content in [&b""[..], b"\0", b"\r\n\r\n", &all] {
        let set = gateway.send(&request("PUT", "/bytes").body(content));
        assert!(set.status == 201 || set.status == 204, "{set:?}");
        let found = get(&gateway, "bytes");
        assert_eq!(found.header("content-type"), Some("application/octet-stream"));
        assert!(found.body == content && found.complete, "{} bytes", content.len());
        assert_eq!(found.header("content-length"), Some(content.len().to_string().as_str()));
    }
    let large = gateway.send(&request("PUT", "/bytes").body([&all[..], b"x"].concat()));
    assert!(large.problem(413)["detail"].as_str().unwrap().contains("1048576"), "{large:?}");
}

#[test]
fn keys_may_have_any_character_that_can_be_seen() {
    let redis = Redis::start();
    let gateway = started(&redis);
    let keys = [
        ("a%2Fb", "sd:{value:a/b}"),
        ("a%20b", "sd:{value:a%20b}"),
        ("%7Bx%7D", "sd:{value:%7Bx%7D}"),
        ("%C3%A9", "sd:{value:%C3%A9}"),
        ("%25", "sd:{value:%25}"),
        ("user:1", "sd:{value:user:1}"),
        ("a%2Bb", "sd:{value:a+b}"),
        ("*%3F", "sd:{value:%2A%3F}"),
    ];
    for (key, _) in keys {
        put(&gateway, key, key);
    }
    for (key, at) in keys {
        assert_eq!(get(&gateway, key).text(), key);
        assert_eq!(redis.query::<i64>(&["EXISTS", at]), 1, "{at}");
    }
    // A slash need not be encoded.
    assert_eq!(get(&gateway, "a/b").text(), "a%2Fb");
    for at in redis.keys() {
        assert!(redis.query::<i64>(&["PTTL", &at]) > 0, "{at}");
    }
}

#[test]
fn conditions_are_those_of_http() {
    let redis = Redis::start();
    let gateway = started(&redis);
    let put = |content: &str, name: &str, value: &str| {
        gateway.send(&request("PUT", "/a").header(name, value).body(content))
    };
    assert!(put("1", "if-match", "*").problem(412)["etag"].is_null());
    let one = put("1", "if-none-match", "*");
    assert_eq!(one.status, 201);
    let one = one.header("etag").unwrap().to_owned();
    assert_eq!(put("2", "if-none-match", "*").problem(412)["etag"], *one);
    assert_eq!(put("2", "if-match", "\"other\"").problem(412)["etag"], *one);
    assert_eq!(put("2", "if-match", &format!("W/{one}")).problem(412)["etag"], *one);
    let two = put("2", "if-match", &format!("\"other\", {one}"));
    assert_eq!(two.status, 204);
    let two = two.header("etag").unwrap().to_owned();
    assert_eq!(put("3", "if-none-match", &two).problem(412)["etag"], *two);
    let _ = put("3", "if-match", "unquoted").problem(400);

    let read = |name: &str, value: &str| gateway.send(&request("GET", "/a").header(name, value));
    let same = read("if-none-match", &two);
    assert_eq!((same.status, same.header("etag"), same.body.len()), (304, Some(two.as_str()), 0));
    assert_eq!(read("if-none-match", &one).text(), "2");
    assert_eq!(read("if-match", &two).text(), "2");
    let _ = read("if-match", &one).problem(412);
    let head = gateway.send(&request("HEAD", "/a").header("if-none-match", &two));
    assert_eq!((head.status, head.body.len()), (304, 0));

    let _ = gateway.send(&request("DELETE", "/a").header("if-match", &one)).problem(412);
    assert_eq!(gateway.send(&request("DELETE", "/a").header("if-match", &two)).status, 204);
    let _ = get(&gateway, "a").problem(404);
}

#[test]
fn of_many_who_set_what_is_absent_one_does() {
    for reuse in EACH_REUSE {
        let redis = Redis::start();
        let gateway = managed(&redis, reuse);
        let created = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..24 {
                scope.spawn(|| {
                    let set = request("PUT", "/a").header("if-none-match", "*").body("same");
                    match gateway.send(&set).status {
                        201 => created.fetch_add(1, Ordering::SeqCst),
                        412 => 0,
                        other => panic!("{other}"),
                    }
                });
            }
        });
        assert_eq!(created.into_inner(), 1);
    }
}

#[test]
fn patterns_and_tags_invalidate_many_at_once_and_leave_responses_alone() {
    let redis = Redis::start();
    let gateway = started(&redis);
    stored(&gateway, &redis, &Request::get("/page"));
    for key in ["user:1", "user:2", "other"] {
        put(&gateway, key, key);
    }
    put(&gateway, "tagged?tags=t", "x");
    let done = gateway.send(&request("DELETE", "?match=user:*&match=o%3Fher&tag=t"));
    assert_eq!((done.status, done.json()), (200, json!({"patterns": 2, "tags": 1})));
    for key in ["user:1", "user:2", "other", "tagged"] {
        let _ = get(&gateway, key).problem(404);
    }
    assert!(gateway.get("/page").cache_status().is_hit());
    put(&gateway, "user:1?tags=t", "again");
    gateway.purge(r#"{"patterns":["*"],"tags":["t"],"prefixes":["/"]}"#);
    assert!(!gateway.get("/page").cache_status().is_hit());
    assert_eq!(get(&gateway, "user:1").text(), "again");
    let _ = gateway.send(&request("DELETE", "")).problem(400);
    let _ = gateway.send(&request("DELETE", "?match=")).problem(400);
    let _ = gateway.send(&request("DELETE", "?pattern=x")).problem(400);
    for method in ["GET", "PUT", "POST"] {
        let response = gateway.send(&request(method, ""));
        let _ = response.problem(405);
        assert_eq!(response.header("allow"), Some("DELETE, OPTIONS"));
    }
}

#[test]
fn a_batch_gives_each_operation_its_own_result() {
    let redis = Redis::start();
    let gateway = started_with(&redis, "[values]\nmax_size = \"100B\"");
    let results = batch(
        &gateway,
        &json!([
            {"op": "set", "key": "json", "value": {"b": 1, "a": [null, 1.50]}, "ttl": 60, "tags": ["x"]},
            {"op": "set", "key": "null", "value": null},
            {"op": "set", "key": "text", "text": "grün", "type": "text/css"},
            {"op": "set", "key": "bytes", "base64": "AP8="},
            {"op": "set", "key": "large", "text": "x".repeat(101)},
            {"op": "set", "key": "", "text": "x"},
            {"op": "set", "key": "none"},
            {"op": "set", "key": "two", "text": "x", "value": 1},
            {"op": "set", "key": "wrong", "base64": "?"},
            {"op": "set", "key": "long", "text": "x", "ttl": 1e9},
            {"op": "get", "key": "missing"},
            {"op": "get", "key": "more", "ttl": 1},
            {"op": "exists", "key": "missing"},
            {"op": "delete", "key": "gone"},
        ]),
    );
    let statuses: Vec<u64> = results.iter().map(|result| result["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [201, 201, 201, 201, 413, 400, 400, 400, 400, 400, 404, 400, 404, 204]);
    assert!(results[4]["detail"].as_str().unwrap().contains("at most 100 bytes, found 101"), "{results:?}");
    assert_eq!(get(&gateway, "json").header("etag"), results[0]["etag"].as_str());

    let found = batch(
        &gateway,
        &json!([
            {"op": "get", "key": "json"}, {"op": "get", "key": "null"}, {"op": "get", "key": "text"},
            {"op": "get", "key": "bytes"}, {"op": "exists", "key": "text"}, {"op": "get", "key": "json"},
        ]),
    );
    assert_eq!(found[0]["value"], json!({"b": 1, "a": [null, 1.5]}));
    assert_eq!((&found[0]["type"], &found[0]["tags"]), (&json!("application/json"), &json!(["x"])));
    assert!(found[0]["expires_at"].as_f64().unwrap() > 1.7e9);
    assert!(found[1]["status"] == 200 && found[1].get("value") == Some(&Value::Null), "{}", found[1]);
    assert_eq!((&found[2]["text"], &found[2]["type"]), (&json!("grün"), &json!("text/css")));
    assert_eq!(found[3]["base64"], "AP8=");
    assert_eq!((&found[4]["status"], &found[4]["length"]), (&json!(200), &json!(5)));
    assert_eq!(found[5], found[0]);
    let gone = batch(&gateway, &json!([{"op": "delete", "key": "json"}, {"op": "exists", "key": "null"}]));
    assert_eq!((&gone[0]["status"], &gone[1]["status"]), (&json!(204), &json!(200)));
    let _ = get(&gateway, "json").problem(404);
}

#[test]
fn json_of_a_batch_is_kept_byte_for_byte() {
    let redis = Redis::start();
    let gateway = started(&redis);
    let exact = r#"{"b":12345678901234567890123, "a":1.10,"a":2}"#;
    let content = format!(r#"{{"operations":[{{"op":"set","key":"a","value":{exact}}}]}}"#);
    assert_eq!(gateway.manage("/_spindrift/v1/cache:batch", &content).status, 200);
    assert_eq!(get(&gateway, "a").text(), exact);
    let read = gateway.manage("/_spindrift/v1/cache:batch", r#"{"operations":[{"op":"get","key":"a"}]}"#);
    assert!(read.text().contains(&format!(r#""value":{exact}"#)), "{}", read.text());
}

#[test]
fn a_thousand_operations_go_in_one_batch() {
    let redis = Redis::start();
    let gateway = started(&redis);
    let operations = |op: &str| {
        let one = |n: usize| match op {
            "set" => json!({"op": op, "key": format!("k{n}"), "value": n}),
            _ => json!({"op": op, "key": format!("k{n}")}),
        };
        Value::Array((0..1000).map(one).collect())
    };
    let of = |results: &[Value], status: u64| results.iter().filter(|it| it["status"] == status).count();
    assert_eq!(of(&batch(&gateway, &operations("get")), 404), 1000);
    assert_eq!(of(&batch(&gateway, &operations("set")), 201), 1000);
    let read = batch(&gateway, &operations("get"));
    assert!(read.iter().enumerate().all(|(n, it)| it["value"] == n), "{:?}", read.first());
    assert_eq!(of(&batch(&gateway, &operations("exists")), 200), 1000);
    assert_eq!(of(&batch(&gateway, &operations("delete")), 204), 1000);
    assert_eq!(of(&batch(&gateway, &operations("exists")), 404), 1000);
}

#[test]
fn a_batch_that_is_not_one_is_400() {
    let redis = Redis::start();
    let gateway = started(&redis);
    let manage = |content: &str| gateway.manage("/_spindrift/v1/cache:batch", content);
    let many = format!(r#"{{"operations":[{}]}}"#, vec![r#"{"op":"get","key":"a"}"#; 1001].join(","));
    let twice =
        r#"{"operations":[{"op":"get","key":"b"},{"op":"get","key":"a"},{"op":"set","key":"a","value":1}]}"#;
    for (content, expected) in [
        ("", "expected {\"operations\""),
        ("[]", "expected {\"operations\""),
        (r#"{"operations":[]}"#, "expected 1 to 1000 operations, found 0"),
        (many.as_str(), "expected 1 to 1000 operations, found 1001"),
        (twice, "each key that is set or deleted only once, found \"a\" in operations[1] and operations[2]"),
        (r#"{"operations":[{"op":"incr","key":"a"}]}"#, "unknown variant `incr`"),
        (r#"{"operations":[{"op":"get","key":"a","x":1}]}"#, "unknown field `x`"),
    ] {
        let problem = manage(content).problem(400);
        assert!(problem["detail"].as_str().unwrap().contains(expected), "{content:.80}: {problem}");
    }
    let _ = manage(&" ".repeat((8 << 20) + 1)).problem(413);
    let response = gateway.send(&Request::get("/_spindrift/v1/cache:batch").bearer(TOKEN));
    let _ = response.problem(405);
    assert_eq!(response.header("allow"), Some("OPTIONS, POST"));
}

#[test]
fn what_is_asked_wrongly_is_400_and_says_what_is_right() {
    let redis = Redis::start();
    let gateway = started(&redis);
    let long = "k".repeat(513);
    for (method, target, expected) in [
        ("GET", "/", "expected a key of 1 to 512 bytes, found 0"),
        ("PUT", &format!("/{long}"), "expected a key of 1 to 512 bytes, found 513"),
        ("GET", "/a%00b", "expected a key without control characters"),
        ("PUT", "/a?ttl=x", "expected seconds like 30 or 0.5 in ?ttl=, found \"x\""),
        ("PUT", "/a?ttl=-1", "expected seconds like 30 or 0.5 in ?ttl="),
        ("PUT", "/a?ttl=0", "expected a ttl above 0 and up to 2592000 seconds, found 0"),
        ("PUT", "/a?ttl=2592001", "expected a ttl above 0 and up to 2592000 seconds, found 2592001"),
        ("PUT", "/a?tt=1", "found \"tt\""),
        ("PUT", "/a?fill=x", "expected the token of a fill in ?fill=, found \"x\""),
        ("GET", "/a?lease=0.01", "expected a lease of 0.1 to 3600 seconds, found 0.01"),
        ("GET", "/a?lease=1&wait=11", "expected a wait of 0 to 10 seconds, found 11"),
        ("GET", "/a?wait=1", "expected ?lease= together with ?wait=, found none"),
        ("GET", "/a?x=1", "found \"x\""),
    ] {
        let problem = gateway.send(&request(method, target)).problem(400);
        assert!(problem["detail"].as_str().unwrap().contains(expected), "{target}: {problem}");
    }
    let put = |name: &str, value: &str| gateway.send(&request("PUT", "/a").header(name, value).body("x"));
    let _ = put("content-type", "text").problem(400);
    let _ = put("content-range", "bytes 0-0/2").problem(400);
    let _ = put("content-encoding", "gzip").problem(415);
    assert_eq!(put("content-encoding", "identity").status, 201);
    let tags: Vec<String> = (0..65).map(|n| n.to_string()).collect();
    let problem = put("cache-tag", &tags.join(",")).problem(400);
    assert!(problem["detail"].as_str().unwrap().contains("at most 64 tags, found 65"), "{problem}");
    let response = gateway.send(&request("PATCH", "/a"));
    let _ = response.problem(405);
    assert_eq!(response.header("allow"), Some("DELETE, GET, HEAD, OPTIONS, PUT"));
}

#[test]
fn of_many_who_ask_for_a_lease_one_fills_the_value_and_the_others_find_it() {
    for reuse in EACH_REUSE {
        let redis = Redis::start();
        let gateway = managed(&redis, reuse);
        let made = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| {
                    loop {
                        let response = gateway.send(&request("GET", "/a?lease=60&wait=10"));
                        match response.status {
                            200 => return assert_eq!(response.text(), "made"),
                            202 => {
                                assert_eq!(response.header("retry-after"), Some("1"));
                            }
                            _ => {
                                let problem = response.problem(404);
                                assert_eq!(problem["lease"], 60.0);
                                made.fetch_add(1, Ordering::SeqCst);
                                let target = format!("a?ttl=60&fill={}", problem["fill"].as_str().unwrap());
                                assert_eq!(put(&gateway, &target, "made").status, 201);
                            }
                        }
                    }
                });
            }
        });
        assert_eq!(made.into_inner(), 1);
    }
}

#[test]
fn a_fill_that_was_overtaken_is_refused() {
    let redis = Redis::start();
    let gateway = started(&redis);
    let lease = |key: &str| {
        let problem = gateway.send(&request("GET", &format!("/{key}?lease=60"))).problem(404);
        problem["fill"].as_str().unwrap().to_owned()
    };
    let fill =
        |key: &str, token: &str| gateway.send(&request("PUT", &format!("/{key}?fill={token}")).body("old"));
    let token = lease("set");
    assert_eq!(gateway.send(&request("GET", "/set?lease=60")).status, 202);
    put(&gateway, "set", "new");
    assert_eq!(fill("set", &token).problem(409)["reason"], "lease-lost");
    assert_eq!(get(&gateway, "set").text(), "new");

    let token = lease("deleted");
    let _ = gateway.send(&request("DELETE", "/deleted"));
    let _ = fill("deleted", &token).problem(409);

    let token = lease("matched");
    let _ = gateway.send(&request("DELETE", "?match=mat*"));
    assert_eq!(fill("matched", &token).status, 201);
    let _ = get(&gateway, "matched").problem(404);

    let token = lease("given:back");
    assert_eq!(gateway.send(&request("DELETE", &format!("/given:back?fill={token}"))).status, 204);
    let again = lease("given:back");
    assert_eq!(fill("given:back", &again).status, 201);
    let both = request("PUT", &format!("/x?fill={again}")).header("if-match", "*").body("x");
    let _ = gateway.send(&both).problem(400);
}

#[test]
fn a_lease_that_ends_goes_to_the_next_who_waits() {
    let redis = Redis::start();
    let gateway = started(&redis);
    let first = gateway.send(&request("GET", "/a?lease=0.1")).problem(404);
    let next = gateway.send(&request("GET", "/a?lease=60&wait=10")).problem(404);
    assert_ne!(first["fill"], next["fill"]);
    let late = format!("/a?fill={}", first["fill"].as_str().unwrap());
    let _ = gateway.send(&request("PUT", &late).body("x")).problem(409);
}

#[test]
fn values_end() {
    let redis = Redis::start();
    let gateway = started(&redis);
    put(&gateway, "short?ttl=0.05", "x");
    eventually("the value ends", || get(&gateway, "short").status == 404);
    put(&gateway, "default", "x");
    let left: i64 = redis.query(&["TTL", "sd:{value:default}"]);
    assert!((3500..=3600).contains(&left), "{left}");
    let short = started_with(&redis, "[values]\ndefault_ttl = \"10s\"");
    put(&short, "default", "x");
    let left: i64 = redis.query(&["TTL", "sd:{value:default}"]);
    assert!((1..=10).contains(&left), "{left}");
}

#[test]
fn without_redis_values_are_503_and_say_whether_it_was_done() {
    let redis = Redis::start();
    let proxy = FaultyRedis::before(redis.address());
    let gateway = managed_behind(&proxy);
    put(&gateway, "a", "1");
    let _ = unanswered(&gateway, &proxy, &request("GET", "/a"), &request("PUT", "/a").body("2"));
    proxy.speak();
    gateway.until(&request("GET", "/a"), |it| it.status == 200);

    let origin = Origin::always(Reply::ok("x"));
    let down = Gateway::before(&origin).managed().start();
    let batch = json!({"operations": [{"op": "get", "key": "a"}, {"op": "set", "key": "b", "value": 1}]});
    for request in [
        request("GET", "/a"),
        request("GET", "/a?lease=1"),
        request("PUT", "/a").body("x"),
        request("DELETE", "/a"),
        request("DELETE", "?match=*"),
        Request::post("/_spindrift/v1/cache:batch", batch.to_string()).bearer(TOKEN),
    ] {
        let problem = down.send(&request).problem(503);
        assert!(problem["reason"].as_str().unwrap().starts_with("redis-"), "{problem}");
        assert!(problem["outcome"].is_string(), "{problem}");
    }
    assert_eq!(down.send(&request("HEAD", "/a")).status, 503);
    let off = Gateway::before(&origin).managed().variable("redis_enabled", "false").start();
    let problem = off.send(&request("GET", "/a")).problem(503);
    assert!(problem["detail"].as_str().unwrap().contains("redis_enabled"), "{problem}");
}
