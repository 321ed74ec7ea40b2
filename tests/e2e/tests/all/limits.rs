//! Rate limits: in the request path, and over HTTP.

use serde_json::{Value, json};
use spindrift_e2e::{Gate, Gateway, Origin, Redis, Reply, Request, Response, TOKEN, eventually};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// One limit that applies to every route.
fn limited(keys: &str) -> String {
    format!("limits = [\"a\"]\n[[limit]]\nname = \"a\"\n{keys}\n")
}

fn origin() -> Origin {
    Origin::always(Reply::ok("hello").header("cache-control", "no-store"))
}

/// Calls the API, which must answer 200.
#[track_caller]
fn ask(gateway: &Gateway, path: &str, question: &Value) -> Value {
    let response = gateway.manage(&format!("/_spindrift/v1/limits/{path}"), &question.to_string());
    assert_eq!(response.status, 200, "{response:?}");
    response.json()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[track_caller]
fn every_key_ends(redis: &Redis) {
    for key in redis.keys() {
        let ttl: i64 = redis.query(&["PTTL", &key]);
        assert_ne!(ttl, -1, "{key} never ends");
    }
}

#[test]
fn over_the_limit_is_a_429_with_its_fields() {
    let (origin, redis) = (origin(), Redis::start());
    let config = limited("limit = 2\nperiod = \"1h\"");
    let gateway = Gateway::before(&origin).redis(&redis).config(&config).start();
    for left in [1, 0] {
        let response = gateway.get("/a");
        assert_eq!(response.status, 200);
        assert_eq!(response.header("ratelimit"), Some(format!("\"a\";r={left};t=1800").as_str()));
        assert_eq!(response.header("ratelimit-policy"), Some("\"a\";q=2;w=3600"));
    }
    let refused = gateway.get("/b");
    let problem = refused.problem(429);
    assert_eq!(problem["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!(problem["violated-policies"], json!(["a"]));
    let retry: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1790..=1800).contains(&retry), "{refused:?}");
    assert_eq!(refused.header("ratelimit").unwrap(), format!("\"a\";r=0;t={retry}"));
    assert_eq!(refused.cache_status().detail(), Some("rate-limited"));
    assert_eq!(origin.count(), 2);
    every_key_ends(&redis);
}

#[test]
fn exactly_the_limit_is_let_through_of_two_thousand_by_many_instances_of_two_gateways() {
    let (origin, redis) = (origin(), Redis::start());
    let config = limited("limit = 100\nperiod = \"1h\"");
    let setup = Gateway::before(&origin).redis(&redis).config(&config).reuse(16, 4);
    let gateways = [setup.start(), setup.start()];
    let (allowed, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for number in 0..20 {
            let (gateway, allowed, refused) = (&gateways[number % 2], &allowed, &refused);
            scope.spawn(move || {
                let mut client = gateway.client();
                for _ in 0..100 {
                    match client.send(&Request::get("/a")).status {
                        200 => allowed.fetch_add(1, Ordering::SeqCst),
                        429 => refused.fetch_add(1, Ordering::SeqCst),
                        other => panic!("{other}"),
                    };
                }
            });
        }
    });
    assert_eq!((allowed.into_inner(), refused.into_inner()), (100, 1900));
    assert_eq!(origin.count(), 100);
    every_key_ends(&redis);
}

#[test]
fn a_hit_counts_as_any_request_unless_only_misses_do() {
    let (origin, redis) = (Origin::always(Reply::fresh("hello")), Redis::start());
    let hour = "limit = 2\nperiod = \"1h\"";
    let all = Gateway::before(&origin).redis(&redis).config(&limited(hour)).start();
    assert!(all.get("/a").cache_status().is_stored());
    redis.await_entries(1);
    assert!(all.get("/a").cache_status().is_hit());
    assert_eq!(all.get("/a").status, 429);
    let config = limited(&format!("{hour}\ncounts = \"misses\"\nkey = [\"host\"]"));
    let misses = Gateway::before(&origin).redis(&redis).config(&config).start();
    let at = |path: &str| misses.send(&Request::get(path).host("site.example")).status;
    assert_eq!(at("/1"), 200);
    redis.await_entries(2);
    for _ in 0..5 {
        assert_eq!(at("/1"), 200);
    }
    assert_eq!((at("/2"), at("/3")), (200, 429));
}

#[test]
fn a_forwarded_address_counts_only_from_a_trusted_proxy() {
    let (origin, redis) = (origin(), Redis::start());
    let one = limited("limit = 1\nperiod = \"1h\"");
    let from = |gateway: &Gateway, claim: &str| {
        let request =
            Request::get("/a").header("x-forwarded-for", claim).header("spin-client-addr", "9.9.9.9:1");
        gateway.send(&request).status
    };
    let plain = Gateway::before(&origin).redis(&redis).config(&one).start();
    assert_eq!((from(&plain, "192.0.2.1"), from(&plain, "192.0.2.2")), (200, 429));
    let config = format!("{one}[client]\ntrusted_proxies = [\"127.0.0.0/8\"]\n");
    let proxied = Gateway::before(&origin).redis(&redis).config(&config).start();
    assert_eq!((from(&proxied, "6.6.6.6, 192.0.2.1"), from(&proxied, "7.7.7.7, 192.0.2.1")), (200, 429));
    assert_eq!(from(&proxied, "192.0.2.2"), 200);
}

#[test]
fn without_redis_the_mode_holds_and_service_returns_by_itself() {
    let (origin, redis) = (origin(), Redis::start());
    let start = |mode: &str| {
        let config = limited(&format!("limit = 1000\nperiod = \"1h\"\nmode = \"{mode}\""));
        Gateway::before(&origin).redis(&redis).config(&config).one_instance().start()
    };
    let (open, closed) = (start("open"), start("closed"));
    assert_eq!((open.get("/a").status, closed.get("/a").status), (200, 200));
    redis.stop();
    assert_eq!(open.get("/a").status, 200);
    let refused = closed.until(&Request::get("/a"), |response| response.status != 200);
    let problem = refused.problem(503);
    assert_eq!(problem["type"], "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity");
    assert!(refused.header("retry-after").is_some());
    redis.restart();
    closed.until(&Request::get("/a"), |response| response.status == 200);
    open.until(&Request::get("/a"), |response| response.header("ratelimit").is_some());
}

#[test]
fn an_instance_on_its_own_lets_its_share_through() {
    let origin = origin();
    let config = limited("limit = 6\nperiod = \"1h\"\nmode = \"local\"\ninstances = 2");
    let gateway =
        Gateway::before(&origin).config(&config).variable("redis_enabled", "false").one_instance().start();
    let statuses: Vec<u16> = (0..5).map(|_| gateway.get("/a").status).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
}

/// An origin whose content ends when the gate is opened.
fn slow(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::start(move |exchange| {
        exchange.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
        gate.pass();
        exchange.send(b"5\r\nworld\r\n0\r\n\r\n");
    })
}

const ONE_AT_ONCE: &str = "algorithm = \"concurrency\"\nlimit = 1";

#[test]
fn a_slot_is_held_until_the_last_byte_has_been_sent() {
    let (gate, redis) = (Gate::new(), Redis::start());
    let origin = slow(&gate);
    let gateway = Gateway::before(&origin).redis(&redis).config(&limited(ONE_AT_ONCE)).start();
    let mut client = gateway.client();
    client.start(&Request::get("/a"));
    let mut streaming = client.response(false);
    assert_eq!((streaming.status, streaming.headers.get("ratelimit")), (200, Some("\"a\";r=0")));
    assert_eq!(streaming.exactly(5), b"hello");
    assert_eq!(gateway.get("/b").status, 429);
    gate.open();
    assert_eq!(streaming.read().text(), "world");
    assert_eq!(gateway.until(&Request::get("/b"), |response| response.status == 200).text(), "helloworld");
    eventually("no slot is held", || redis.keys().iter().all(|key| !key.contains("{limit:")));
}

#[test]
fn a_client_that_leaves_lets_go_of_its_slot() {
    let (gate, redis) = (Gate::new(), Redis::start());
    let origin = slow(&gate);
    let gateway = Gateway::before(&origin).redis(&redis).config(&limited(ONE_AT_ONCE)).start();
    let mut client = gateway.client();
    client.start(&Request::get("/a"));
    assert_eq!(client.response(false).exactly(5), b"hello");
    drop(client);
    gate.open();
    assert_eq!(gateway.until(&Request::get("/b"), |response| response.status == 200).status, 200);
}

#[test]
fn a_policy_of_the_configuration_is_asked_by_http_too() {
    let (origin, redis) = (origin(), Redis::start());
    let config = limited("limit = 3\nperiod = \"1h\"\nkey = [\"header:x-user\"]");
    let gateway = Gateway::before(&origin).redis(&redis).config(&config).managed().start();
    let one = json!({"key": "ann"});
    let first = ask(&gateway, "a/check", &one);
    assert_eq!(
        (&first["allowed"], &first["remaining"], &first["limit"]),
        (&json!(true), &json!(2), &json!(3))
    );
    assert_eq!((&first["verdict"], &first["source"]), (&json!("allowed"), &json!("redis")));
    assert_eq!((&first["retry_after"], &first["policy"]), (&Value::Null, &json!("a")));
    let reset = first["reset_at"].as_u64().unwrap();
    assert!((now() + 1190..=now() + 1201).contains(&reset), "{first}");
    // The same identity in the request path.
    let by_path = gateway.send(&Request::get("/x").header("x-user", "ann"));
    assert_eq!(by_path.header("ratelimit"), Some("\"a\";r=1;t=1200"));
    assert_eq!(ask(&gateway, "a/peek", &json!({"key": "ann", "cost": 2}))["verdict"], "exhausted");
    assert_eq!(ask(&gateway, "a/check", &json!({"key": ["ann"], "cost": 1}))["remaining"], 0);
    let refused = ask(&gateway, "a/check", &one);
    assert_eq!((&refused["allowed"], &refused["remaining"]), (&json!(false), &json!(0)));
    let retry = refused["retry_after"].as_u64().unwrap();
    assert!((1190..=1200).contains(&retry), "{refused}");
    assert_eq!(retry, refused["retry_after_ms"].as_u64().unwrap().div_ceil(1000));
    assert_eq!(ask(&gateway, "a/check", &json!({"key": "bob", "cost": 4}))["verdict"], "impossible");
    assert_eq!(ask(&gateway, "a/refund", &json!({"key": "ann", "cost": 2}))["remaining"], 2);
    assert_eq!(ask(&gateway, "a/penalty", &json!({"key": "ann", "cost": 9}))["remaining"], 0);
    assert_eq!(ask(&gateway, "a/penalty", &json!({"key": "bob", "block": 60}))["blocked_for"], 60.0);
    assert_eq!(ask(&gateway, "a/check", &json!({"key": "bob"}))["verdict"], "blocked");
    for who in ["ann", "bob"] {
        let reset = Request::new("DELETE", &format!("/_spindrift/v1/limits/a?key={who}")).bearer(TOKEN);
        for _ in 0..2 {
            assert_eq!(gateway.send(&reset).status, 204);
        }
        let question = json!({"key": who});
        let free = |answer: &Value| answer["remaining"] == 3;
        // Another instance may remember the block for a second.
        eventually("it is forgotten", || free(&ask(&gateway, "a/peek", &question)));
    }
    every_key_ends(&redis);
}

#[test]
fn a_caller_may_bring_a_policy_of_its_own() {
    let (origin, redis) = (origin(), Redis::start());
    let gateway = Gateway::before(&origin).redis(&redis).managed().one_instance().start();
    for algorithm in ["gcra", "window", "log"] {
        let question = json!({"key": "user:1", "limit": 5, "period": 3600, "algorithm": algorithm});
        let path = format!("{algorithm}-of-mine/check");
        for left in (0..5).rev() {
            let answer = ask(&gateway, &path, &question);
            assert_eq!((&answer["allowed"], &answer["remaining"]), (&json!(true), &json!(left)), "{answer}");
            assert!(answer["reset_at"].as_u64().unwrap() > now());
        }
        assert_eq!(ask(&gateway, &path, &question)["allowed"], false);
        let refund = json!({"key": "user:1", "cost": 1, "limit": 5, "period": 3600, "algorithm": algorithm});
        assert_eq!(ask(&gateway, &path.replace("check", "refund"), &refund)["remaining"], 1);
        let target = format!("/_spindrift/v1/limits/{algorithm}-of-mine?key=user:1");
        assert_eq!(gateway.send(&Request::new("DELETE", &target).bearer(TOKEN)).status, 204);
        assert_eq!(ask(&gateway, &path.replace("check", "peek"), &question)["remaining"], 5);
    }
    let own = json!({"key": "user:1", "limit": 5, "period": 3600});
    assert_eq!(ask(&gateway, "other/check", &own)["remaining"], 4, "another name is another count");
    every_key_ends(&redis);
}

#[test]
fn several_policies_are_asked_all_or_none() {
    let (origin, redis) = (origin(), Redis::start());
    let config = "[[limit]]\nname = \"a\"\nlimit = 10\nperiod = \"1h\"\n";
    let gateway = Gateway::before(&origin).redis(&redis).config(config).managed().one_instance().start();
    let question = json!({"checks": [
        {"policy": "a", "key": "192.0.2.1", "cost": 2},
        {"policy": "b", "key": "x", "limit": 1, "period": 3600},
        {"policy": "c", "key": "x", "limit": 5, "period": 3600, "algorithm": "log"},
    ]});
    let left = |answer: &Value| -> Vec<u64> {
        answer["checks"].as_array().unwrap().iter().map(|it| it["remaining"].as_u64().unwrap()).collect()
    };
    assert_eq!(left(&ask(&gateway, "peek", &question)), [10, 1, 5]);
    let first = ask(&gateway, "check", &question);
    assert_eq!((&first["allowed"], left(&first)), (&json!(true), vec![8, 0, 4]));
    let refused = ask(&gateway, "check", &question);
    assert_eq!(refused["allowed"], false);
    assert_eq!(
        (&refused["checks"][0]["allowed"], &refused["checks"][1]["allowed"]),
        (&json!(true), &json!(false))
    );
    eventually("what was taken is given back", || left(&ask(&gateway, "peek", &question)) == [8, 0, 4]);
}

#[test]
fn leases_are_taken_renewed_and_given_back_by_http() {
    let (origin, redis) = (origin(), Redis::start());
    let gateway = Gateway::before(&origin).redis(&redis).managed().start();
    let with = |more: Value| {
        let mut question = json!({"key": "x", "limit": 2, "period": 60, "algorithm": "concurrency"});
        question.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        question
    };
    let first = ask(&gateway, "slots/check", &with(json!({})));
    let lease = first["lease"].as_str().unwrap();
    assert_eq!((first["remaining"].as_u64(), lease.len()), (Some(1), 40));
    assert_eq!(ask(&gateway, "slots/check", &with(json!({"lease": lease})))["remaining"], 1, "renewed");
    assert_eq!(ask(&gateway, "slots/check", &with(json!({"lease": "mine"})))["lease"], "mine");
    assert_eq!(ask(&gateway, "slots/check", &with(json!({})))["verdict"], "exhausted");
    assert_eq!(ask(&gateway, "slots/refund", &with(json!({"lease": lease})))["remaining"], 1);
    assert_eq!(ask(&gateway, "slots/refund", &with(json!({"lease": lease})))["remaining"], 1, "once");
    let without = gateway.manage("/_spindrift/v1/limits/slots/refund", &with(json!({})).to_string());
    assert!(without.problem(400)["detail"].as_str().unwrap().contains("lease"));
}

#[test]
fn the_policies_of_the_configuration_are_listed() {
    let origin = origin();
    let config = "[[limit]]\nname = \"a\"\nlimit = 10\nperiod = \"1m\"\nburst = 5\nkey = [\"client\", \"path\"]\n\
                  [[limit]]\nname = \"b\"\nlimit = 3\nalgorithm = \"concurrency\"\nmode = \"local\"\ninstances = 2\n\
                  methods = [\"POST\"]\ncounts = \"misses\"\nshadow = true\n";
    let gateway = Gateway::before(&origin).config(config).managed().start();
    let response = gateway.send(&Request::get("/_spindrift/v1/limits").bearer(TOKEN));
    let expected = json!({"limits": [
        {"name": "a", "algorithm": "gcra", "limit": 10, "period": 60.0, "burst": 5, "key": ["client", "path"],
         "cost": 1, "methods": [], "counts": "requests", "mode": "open", "instances": null, "shadow": false},
        {"name": "b", "algorithm": "concurrency", "limit": 3, "period": 30.0, "burst": 3, "key": ["client"],
         "cost": 1, "methods": ["POST"], "counts": "misses", "mode": "local", "instances": 2, "shadow": true},
    ]});
    assert_eq!((response.status, response.json()), (200, expected));
}

#[test]
fn a_question_with_mistakes_is_400_and_says_which() {
    let (origin, redis) = (origin(), Redis::start());
    let config = "[[limit]]\nname = \"a\"\nlimit = 10\nperiod = \"1m\"\nkey = [\"client\", \"path\"]\n\
                  [[limit]]\nname = \"log\"\nalgorithm = \"log\"\nlimit = 1000\nperiod = \"1m\"\n";
    let gateway = Gateway::before(&origin).redis(&redis).config(config).managed().start();
    let post =
        |path: &str, question: &str| gateway.manage(&format!("/_spindrift/v1/limits/{path}"), question);
    for (path, question, detail) in [
        ("a/check", "", "expected {\"key\":\"..\",\"cost\":1}"),
        ("a/check", r#"{"kee":"x"}"#, "unknown field `kee`"),
        ("a/check", r#"{"key":1}"#, "a text, or an array of texts"),
        ("a/check", r#"{"key":"x"}"#, "expected a value for each of: client, path; found 1"),
        ("a/check", r#"{"key":["x","y"],"cost":-1}"#, "invalid value"),
        ("a/check", r#"{"key":["x","y"],"cost":10000001}"#, "expected a cost from 0 to 10000000"),
        ("a/check", r#"{"key":["x","y"],"limit":5}"#, "the configuration defines the policy \"a\""),
        ("a/check", r#"{"key":["x","y"],"lease":"z"}"#, "expected no lease"),
        ("a/check", r#"{"key":["x","y"],"block":5}"#, "expected no block here"),
        ("a/check", r#"{"policy":"a","key":["x","y"]}"#, "expected no policy here"),
        ("a%20b/check", r#"{"key":"x","limit":1,"period":1}"#, "expected a name of 1 to 64"),
        ("x/check", r#"{"key":"x","limit":1}"#, "expected period in seconds, found none"),
        ("x/check", r#"{"key":"x","period":1}"#, "expected limit, found none"),
        ("x/check", r#"{"key":"x","limit":0,"period":1}"#, "expected a limit of at least 1, found 0"),
        ("x/check", r#"{"key":"x","limit":1,"period":0}"#, "expected a period of 0.001 to"),
        ("x/check", r#"{"key":"x","limit":1,"period":31536001}"#, "expected a period of 0.001 to"),
        ("x/check", r#"{"limit":1,"period":1}"#, "key: expected a value, found none"),
        (
            "x/check",
            r#"{"key":"x","limit":1,"period":1,"algorithm":"fixed"}"#,
            "expected gcra, window, log or concurrency",
        ),
        ("x/check", r#"{"key":"x","limit":1,"period":1,"mode":"local"}"#, "expected open or closed"),
        ("x/check", r#"{"key":"x","limit":1,"period":1,"algorithm":"log","burst":2}"#, "only gcra has one"),
        ("a/penalty", r#"{"key":["x","y"]}"#, "expected either cost or block"),
        ("a/penalty", r#"{"key":["x","y"],"cost":1,"block":1}"#, "expected either cost or block"),
        ("a/penalty", r#"{"key":["x","y"],"block":0}"#, "expected a block of 0.001 to"),
        ("log/penalty", r#"{"key":"x","cost":101}"#, "expected a cost of at most 100, found 101"),
        ("log/refund", r#"{"key":"x","cost":101}"#, "expected a cost of at most 100, found 101"),
        ("check", r#"{"checks":[]}"#, "expected 1 to 16 checks, found 0"),
    ] {
        let problem = post(path, question).problem(400);
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{path} {question}: {problem}");
    }
    let problem = post("check", r#"{"checks":[{"key":"x"},{"policy":"b","key":"x"}]}"#).problem(400);
    let errors: Vec<&str> =
        problem["errors"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    assert!(errors[0].starts_with("checks[0]: expected policy"), "{errors:?}");
    assert!(errors[1].starts_with("checks[1]: there is no policy \"b\""), "{errors:?}");
    let _ = post("unknown/check", r#"{"key":"x"}"#).problem(404);
    let _ = post("a/nothing", r#"{"key":"x"}"#).problem(404);
    let long = format!(r#"{{"key":"{}","limit":1,"period":1}}"#, "x".repeat(9000));
    let _ = post("x/check", &long).problem(400);
    assert!(redis.keys().iter().all(|key| !key.contains("{limit:")), "nothing was counted");
}

#[test]
fn methods_and_tokens_of_the_api_are_checked() {
    let (origin, redis) = (origin(), Redis::start());
    let gateway = Gateway::before(&origin).redis(&redis).managed().start();
    for (target, right) in [
        ("/_spindrift/v1/limits", "GET, HEAD, OPTIONS"),
        ("/_spindrift/v1/limits/a", "DELETE, OPTIONS"),
        ("/_spindrift/v1/limits/check", "DELETE, OPTIONS, POST"),
        ("/_spindrift/v1/limits/a/check", "OPTIONS, POST"),
        ("/_spindrift/v1/limits/a/penalty", "OPTIONS, POST"),
    ] {
        let response: Response = gateway.send(&Request::new("PUT", target).bearer(TOKEN));
        let _ = response.problem(405);
        assert_eq!(response.header("allow"), Some(right), "{target}");
        let _ = gateway.send(&Request::new("POST", target)).problem(401);
    }
}

#[test]
fn what_needs_redis_is_503_without_it_and_a_check_is_decided_by_its_mode() {
    let origin = origin();
    let gateway = Gateway::before(&origin).managed().start();
    let with = |mode: &str| json!({"key": "x", "limit": 1, "period": 60, "mode": mode});
    for _ in 0..3 {
        let open = ask(&gateway, "a/check", &with("open"));
        assert_eq!(
            (&open["allowed"], &open["source"], &open["remaining"]),
            (&json!(true), &json!("mode"), &Value::Null)
        );
        let closed = ask(&gateway, "a/check", &with("closed"));
        assert_eq!((&closed["allowed"], &closed["verdict"]), (&json!(false), &json!("unavailable")));
    }
    let question = json!({"key": "x", "cost": 1, "limit": 1, "period": 60}).to_string();
    for act in ["refund", "penalty"] {
        let problem = gateway.manage(&format!("/_spindrift/v1/limits/a/{act}"), &question).problem(503);
        assert!(problem["outcome"].is_string() && problem["reason"].is_string(), "{problem}");
    }
    let reset = Request::new("DELETE", "/_spindrift/v1/limits/a?key=x").bearer(TOKEN);
    let _ = gateway.send(&reset).problem(503);
}

#[test]
fn statistics_count_what_became_of_requests() {
    let (origin, redis) = (origin(), Redis::start());
    let config = format!("{}[metrics]\nenabled = true\n", limited("limit = 2\nperiod = \"1h\""));
    let gateway = Gateway::before(&origin).redis(&redis).config(&config).managed().start();
    for _ in 0..4 {
        gateway.get("/a");
    }
    let counter = |policy: &str, outcome: &str| {
        gateway.counter(&format!("limit_decisions_total{{policy=\"{policy}\",outcome=\"{outcome}\"}}"))
    };
    eventually("what was let through is counted", || counter("a", "allowed") == 2);
    let refused = || counter("a", "denied") + counter("a", "denied_from_memory");
    eventually("what was refused is counted", || refused() == 2);
    ask(&gateway, "of-a-caller/check", &json!({"key": "x", "limit": 1, "period": 60}));
    eventually("callers' own policies are counted together", || counter("*", "allowed") == 1);
    let stats = || gateway.send(&Request::get("/_spindrift/stats").bearer(TOKEN)).json();
    eventually("requests that were refused are no errors", || stats()["requests"]["refused"] == 2);
    assert_eq!(stats()["requests"]["errors"], 0);
    every_key_ends(&redis);
}
