//! Locks, semaphores and fences over HTTP.

use crate::support::{EACH_REUSE, managed, managed_behind, unanswered};
use serde_json::{Value, json};
use spindrift_e2e::{FaultyRedis, Gateway, Origin, Redis, Reply, Request, Response, TOKEN, eventually};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

fn started(redis: &Redis) -> Gateway {
    Gateway::before(&Origin::always(Reply::ok("x"))).redis(redis).managed().one_instance().start()
}

fn send(gateway: &Gateway, method: &str, target: &str, content: &Value) -> Response {
    let request = Request::new(method, &format!("/_spindrift/v1/{target}")).bearer(TOKEN);
    gateway.send(&if content.is_null() { request } else { request.body(content.to_string()) })
}

fn acquire(gateway: &Gateway, name: &str, content: &Value) -> Response {
    send(gateway, "POST", &format!("locks/{name}"), content)
}

/// The members of a lease.
#[track_caller]
fn lease(response: &Response) -> (String, u64) {
    assert_eq!(response.status, 200, "{response:?}");
    let json = response.json();
    assert!(json["valid_for"].as_f64().unwrap() > 0.0, "{json}");
    (json["token"].as_str().unwrap().to_owned(), json["fence"].as_u64().unwrap())
}

#[test]
fn a_lock_is_acquired_renewed_inspected_and_released() {
    let redis = Redis::start();
    let gateway = started(&redis);
    let first = acquire(&gateway, "jobs%2Fnightly", &json!({"ttl": 30}));
    let (token, fence) = lease(&first);
    assert_eq!(first.header("cache-control"), Some("no-store"));
    let now = redis.query::<Vec<u64>>(&["TIME"])[0] as f64;
    let expires_at = first.json()["expires_at"].as_f64().unwrap();
    assert!(expires_at > now && expires_at <= now + 31.0, "{expires_at} {now}");

    let held = acquire(&gateway, "jobs%2Fnightly", &json!({"ttl": 30, "wait": 0.1}));
    let problem = held.problem(409);
    assert_eq!(problem["reason"], "held");
    let retry: u64 = held.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&retry) && problem["retry_after"].as_f64().unwrap() <= 30.0, "{held:?}");

    let again = acquire(&gateway, "jobs%2Fnightly", &json!({"ttl": 30, "owner": token}));
    assert_eq!(lease(&again), (token.clone(), fence));
    let renewed = send(&gateway, "PUT", "locks/jobs%2Fnightly", &json!({"token": token, "ttl": 300.5}));
    assert_eq!(lease(&renewed).1, fence);
    assert!(renewed.json()["valid_for"].as_f64().unwrap() > 200.0);

    let state = send(&gateway, "GET", "locks/jobs%2Fnightly", &Value::Null).json();
    assert_eq!(
        (&state["held"], &state["permits"], &state["last_fence"]),
        (&json!(true), &json!(1), &json!(fence))
    );
    assert_eq!(state["holders"][0]["token"], *token);
    assert!(state["holders"][0]["expires_in"].as_f64().unwrap() > 200.0);

    let target = |token: &str| format!("locks/jobs%2Fnightly?token={token}");
    let wrong = send(&gateway, "DELETE", &target("somebody"), &Value::Null);
    assert_eq!((wrong.status, wrong.json()), (200, json!({"released": false, "reason": "held_by_others"})));
    let right = send(&gateway, "DELETE", &target(&token), &Value::Null);
    assert_eq!((right.status, right.json()), (200, json!({"released": true})));
    let twice = send(&gateway, "DELETE", "locks/jobs%2Fnightly", &json!({"token": token}));
    assert_eq!(twice.json(), json!({"released": false, "reason": "not_held"}));
    let problem =
        send(&gateway, "PUT", "locks/jobs%2Fnightly", &json!({"token": token, "ttl": 30})).problem(409);
    assert_eq!(problem["reason"], "ended");
    let state = send(&gateway, "GET", "locks/jobs%2Fnightly", &Value::Null).json();
    assert_eq!(state, json!({"held": false, "permits": null, "holders": [], "last_fence": fence}));
}

#[test]
fn who_waits_gets_the_lock_when_it_is_released() {
    let redis = Redis::start();
    let gateway = started(&redis);
    let (token, fence) = lease(&acquire(&gateway, "a", &json!({"ttl": 60})));
    let next = thread::scope(|scope| {
        let waiting = scope.spawn(|| acquire(&gateway, "a", &json!({"ttl": 60, "wait": 10})));
        eventually("somebody waits", || {
            redis.query::<String>(&["INFO", "commandstats"]).contains("cmdstat_evalsha:calls=")
                && calls(&redis, "evalsha") >= 3
        });
        let _ = send(&gateway, "DELETE", &format!("locks/a?token={token}"), &Value::Null);
        waiting.join().unwrap()
    });
    assert!(lease(&next).1 > fence);
}

fn calls(redis: &Redis, command: &str) -> u64 {
    let stats: String = redis.query(&["INFO", "commandstats"]);
    let begin = format!("cmdstat_{command}:calls=");
    let line = stats.lines().find_map(|line| line.strip_prefix(&begin));
    line.and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap_or(0)
}

#[test]
fn fifty_contenders_hold_a_lock_one_at_a_time() {
    for reuse in EACH_REUSE {
        let redis = Redis::start();
        let gateway = managed(&redis, reuse);
        let holders = AtomicUsize::new(0);
        let fences = Arc::new(Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for number in 0..50 {
                let (gateway, holders, fences) = (&gateway, &holders, Arc::clone(&fences));
                scope.spawn(move || {
                    let content = json!({"ttl": 60, "wait": 10, "owner": format!("c{number}")});
                    let mut answer = acquire(gateway, "a", &content);
                    while answer.status == 409 {
                        answer = acquire(gateway, "a", &content);
                    }
                    let (token, fence) = lease(&answer);
                    assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "{token} is not alone");
                    fences.lock().unwrap().push(fence);
                    assert_eq!(holders.fetch_sub(1, Ordering::SeqCst), 1, "{token} is not alone");
                    let released = send(gateway, "DELETE", &format!("locks/a?token={token}"), &Value::Null);
                    assert_eq!(released.json()["released"], true);
                });
            }
        });
        let fences = fences.lock().unwrap();
        assert_eq!(fences.len(), 50);
        assert!(fences.is_sorted_by(|one, next| one < next), "{fences:?}");
    }
}

#[test]
fn a_semaphore_has_as_many_holders_as_permits() {
    let redis = Redis::start();
    let gateway = started(&redis);
    let permit = |owner: &str| acquire(&gateway, "s", &json!({"ttl": 60, "permits": 2, "owner": owner}));
    let (one, other) = (lease(&permit("1")), lease(&permit("2")));
    assert!(other.1 > one.1);
    assert_eq!(permit("3").problem(409)["reason"], "held");
    assert_eq!(acquire(&gateway, "s", &json!({"ttl": 60})).problem(409)["reason"], "permits");
    let _ = send(&gateway, "DELETE", "locks/s?token=1", &Value::Null);
    let _ = lease(&permit("3"));
    let state = send(&gateway, "GET", "locks/s", &Value::Null).json();
    assert_eq!((state["holders"].as_array().unwrap().len(), &state["permits"]), (2, &json!(2)));
}

#[test]
fn a_lower_fence_than_the_greatest_is_409() {
    let redis = Redis::start();
    let gateway = started(&redis);
    let check = |fence: u64| send(&gateway, "POST", "fences/table%2F1/check", &json!({"fence": fence}));
    assert_eq!((check(17).status, check(17).json()), (200, json!({"accepted": true, "greatest": 17})));
    assert_eq!(check(18).status, 200);
    let problem = check(17).problem(409);
    assert_eq!(
        (&problem["reason"], &problem["accepted"], &problem["greatest"]),
        (&json!("fenced"), &json!(false), &json!(18))
    );
    assert_eq!(send(&gateway, "POST", "fences/table%2F2/check", &json!({"fence": 1})).status, 200);
    for method in ["GET", "PUT", "DELETE"] {
        let response = send(&gateway, method, "fences/a/check", &Value::Null);
        let _ = response.problem(405);
        assert_eq!(response.header("allow"), Some("OPTIONS, POST"));
    }
}

#[test]
fn what_is_asked_wrongly_is_400_and_says_what_is_right() {
    let redis = Redis::start();
    let gateway = started(&redis);
    let detail = |response: Response| response.problem(400)["detail"].as_str().unwrap().to_owned();
    for (content, expected) in [
        (json!({}), "missing field `ttl`"),
        (json!({"ttl": 0.05}), "expected a lease of 0.1 to 86400 seconds, found 0.05"),
        (json!({"ttl": 86401}), "expected a lease of 0.1 to 86400 seconds, found 86401"),
        (json!({"ttl": -1}), "a number of seconds, zero or more"),
        (json!({"ttl": "30"}), "expected f64"),
        (json!({"ttl": 30, "wait": 10.5}), "expected a wait of 0 to 10 seconds, found 10.5"),
        (json!({"ttl": 30, "permits": 0}), "expected 1 to 100 permits, found 0"),
        (json!({"ttl": 30, "permits": 101}), "expected 1 to 100 permits, found 101"),
        (json!({"ttl": 30, "owner": "a b"}), "expected an owner of 1 to 128 visible ASCII characters"),
        (json!({"ttl": 30, "owner": ""}), "expected an owner of 1 to 128 visible ASCII characters"),
        (json!({"ttl": 30, "tll": 1}), "unknown field `tll`"),
    ] {
        let found = detail(acquire(&gateway, "a", &content));
        assert!(found.contains(expected), "{content}: {found}");
    }
    let long = "a".repeat(513);
    for (name, expected) in [("", "found 0"), (long.as_str(), "found 513"), ("a%0Ab", "control characters")] {
        let found = detail(acquire(&gateway, name, &json!({"ttl": 30})));
        assert!(found.contains(expected), "{name}: {found}");
    }
    let found = detail(send(&gateway, "DELETE", "locks/a", &Value::Null));
    assert!(found.contains("?token="), "{found}");
    for content in [json!({"fence": -1}), json!({"fence": 1u64 << 53}), json!({"fence": 1.5}), json!({})] {
        let _ = send(&gateway, "POST", "fences/a/check", &content).problem(400);
    }
    for target in ["locks/a?x=1", "fences/a/check?x=1"] {
        assert!(detail(send(&gateway, "POST", target, &json!({"ttl": 1}))).contains("\"x\""));
    }
    let response = send(&gateway, "PATCH", "locks/a", &Value::Null);
    let _ = response.problem(405);
    assert_eq!(response.header("allow"), Some("DELETE, GET, HEAD, OPTIONS, POST, PUT"));
    let _ = gateway.send(&Request::post("/_spindrift/v1/locks/a", r#"{"ttl":30}"#)).problem(401);
    assert!(redis.keys().is_empty(), "{:?}", redis.keys());
}

#[test]
fn without_redis_locks_are_503_and_say_whether_they_may_be_held() {
    let redis = Redis::start();
    let proxy = FaultyRedis::before(redis.address());
    let gateway = managed_behind(&proxy);
    let lock = |name: &str| {
        let content = json!({"ttl": 30, "owner": name}).to_string();
        Request::post(&format!("/_spindrift/v1/locks/{name}"), content).bearer(TOKEN)
    };
    // The call is a single script, which Redis must already know: the first lock loads it.
    let problem = unanswered(&gateway, &proxy, &lock("warm"), &lock("a"));
    let token = problem["token"].as_str().unwrap();
    // The command arrives after all: the lock is held, by an owner that the client knows.
    proxy.speak();
    let known = Request::get("/_spindrift/v1/locks/a").bearer(TOKEN);
    let state = gateway.until(&known, |it| it.status == 200 && it.json()["held"] == true).json();
    assert_eq!(state["holders"][0]["token"], *token);
    let again = acquire(&gateway, "a", &json!({"ttl": 30, "owner": token}));
    assert_eq!(lease(&again).1, state["holders"][0]["fence"].as_u64().unwrap());

    let origin = Origin::always(Reply::ok("x"));
    let down = Gateway::before(&origin).managed().start();
    let problem = acquire(&down, "a", &json!({"ttl": 30})).problem(503);
    assert!(problem["reason"].as_str().unwrap().starts_with("redis-"), "{problem}");
    let off = Gateway::before(&origin).managed().variable("redis_enabled", "false").start();
    let problem = acquire(&off, "a", &json!({"ttl": 30})).problem(503);
    assert!(problem["detail"].as_str().unwrap().contains("redis_enabled"), "{problem}");
}
