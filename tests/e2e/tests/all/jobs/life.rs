//! The life of a job over HTTP.

use super::{request, stage, with_token};
use serde_json::{Value, json};
use spindrift_e2e::{Request, TOKEN, eventually};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn the_simple_form_is_first_in_first_out_with_any_json() {
    let stage = stage();
    let all = [r#"{"b":1,"a":[null]}"#, "12345678901234567890123", "null", "\"größe\"", "[]"];
    for data in all {
        stage.put(&format!("{{\"data\":{data}}}"));
    }
    for data in all {
        let response = stage.send("POST", "/dequeue", "");
        assert!(response.text().contains(&format!("\"data\":{data}")), "byte for byte: {response:?}");
        assert_eq!(response.json()["job"]["attempt"], 1);
    }
    assert_eq!(stage.ok("POST", "/dequeue", "{}"), json!({"job": null}));
}

#[test]
fn a_job_is_enqueued_claimed_extended_and_acknowledged() {
    let stage = stage();
    let put = stage.send("POST", "/jobs", r#"{"data":{"to":"Ann"},"priority":5,"max_attempts":3}"#);
    assert_eq!((put.status, put.json()["new"].as_bool()), (201, Some(true)));
    let place = put.header("location").unwrap().to_owned();
    let seen = |state: &str| {
        let job = stage.gateway.send(&Request::get(&place).bearer(TOKEN)).json();
        assert_eq!(job["state"], state, "{job}");
        job
    };
    assert_eq!(seen("ready")["data"], json!({"to": "Ann"}));
    let jobs = stage.claim(10);
    let job = &jobs[0];
    assert_eq!(
        (jobs.len(), &job["attempt"], &job["priority"], &job["max_attempts"]),
        (1, &json!(1), &json!(5), &json!(3))
    );
    let path = |what: &str| format!("/jobs/{}/{what}", job["id"].as_str().unwrap());
    let extended = stage.ok("POST", &path("extend"), &with_token(job, ",\"lease\":3600"));
    let later = extended["lease_expires_at"].as_f64().unwrap() - job["lease_expires_at"].as_f64().unwrap();
    assert!(later > 3000.0, "{extended} {job}");
    assert_eq!(seen("leased")["at"], extended["lease_expires_at"]);
    let done = json!({"state": "done", "due_at": null});
    assert_eq!(stage.ok("POST", &path("ack"), &with_token(job, "")), done);
    assert_eq!(stage.ok("POST", &path("ack"), &with_token(job, "")), done, "the reply may have been lost");
    let other = stage.send("POST", &path("retry"), &with_token(job, "")).problem(409);
    assert_eq!(other["reason"], "ended");
    assert_eq!(seen("done")["data"], Value::Null);
    let statistics = stage.ok("GET", "", "");
    assert_eq!((&statistics["ready"], &statistics["leased"]), (&json!(0), &json!(0)));
    assert_eq!(statistics["counts"]["completed"], 1);
}

#[test]
fn a_stale_worker_is_refused() {
    let stage = stage();
    let id = stage.put(r#"{"data":1}"#);
    let stale = stage.claim(1).remove(0);
    stage.expire_leases();
    let current = stage.claim(1).remove(0);
    assert_eq!((current["id"].as_str(), &current["attempt"]), (Some(id.as_str()), &json!(2)));
    for what in ["ack", "retry", "release", "bury", "extend"] {
        let refused = stage.send("POST", &format!("/jobs/{id}/{what}"), &with_token(&stale, ""));
        assert_eq!(refused.problem(409)["reason"], "lease-lost", "{what}");
    }
    stage.ok("POST", &format!("/jobs/{id}/ack"), &with_token(&current, ""));
    let none = stage.send("POST", "/jobs/none/ack", &with_token(&current, "")).problem(404);
    assert_eq!(none["reason"], "no-such-job");
}

#[test]
fn a_job_is_retried_released_buried_and_replayed() {
    let stage = stage();
    let id = stage.put(r#"{"data":1}"#);
    let end = |what: &str, more: &str| {
        let job = stage.claim(1).remove(0);
        assert_eq!(job["id"], id.as_str());
        (stage.ok("POST", &format!("/jobs/{id}/{what}"), &with_token(&job, more)), job)
    };
    assert_eq!(end("release", "").0["state"], "ready");
    let (again, job) = end("retry", r#","delay":0,"error":"busy""#);
    assert_eq!((&again["state"], &job["attempt"]), (&json!("ready"), &json!(1)));
    assert_eq!(stage.ok("GET", &format!("/jobs/{id}"), "")["error"], "busy");
    assert_eq!(end("bury", r#","error":"nobody can""#).0["state"], "dead");
    let dead = stage.ok("GET", "/dead", "");
    assert_eq!((dead["jobs"].as_array().unwrap().len(), &dead["next"]), (1, &Value::Null));
    assert_eq!(
        (&dead["jobs"][0]["error"], &dead["jobs"][0]["state"]),
        (&json!("nobody can"), &json!("dead"))
    );
    assert_eq!(stage.ok("POST", &format!("/dead/{id}/replay"), "")["state"], "ready");
    let (delayed, job) = end("retry", r#","delay":600"#);
    assert_eq!((&delayed["state"], &job["attempt"]), (&json!("delayed"), &json!(1)));
    assert!(delayed["due_at"].as_f64().unwrap() > 1.7e9);
    assert!(stage.claim(1).is_empty());
    assert_eq!(stage.send("DELETE", &format!("/jobs/{id}"), "").status, 204);
    let _ = stage.send("DELETE", &format!("/jobs/{id}"), "").problem(404);
}

#[test]
fn dead_letters_have_pages_and_go_all_at_once() {
    let stage = stage();
    for number in 0..5 {
        stage.put(&format!("{{\"data\":{number}}}"));
    }
    for job in stage.claim(5) {
        stage.ok("POST", &format!("/jobs/{}/bury", job["id"].as_str().unwrap()), &with_token(&job, ""));
    }
    let first = stage.ok("GET", "/dead?limit=3", "");
    let next = first["next"].as_str().unwrap();
    let second = stage.ok("GET", &format!("/dead?limit=3&after={next}"), "");
    let numbers = |page: &Value| -> Vec<i64> {
        page["jobs"].as_array().unwrap().iter().map(|job| job["data"].as_i64().unwrap()).collect()
    };
    assert_eq!(
        (numbers(&first), numbers(&second), &second["next"]),
        (vec![0, 1, 2], vec![3, 4], &Value::Null)
    );
    let id = first["jobs"][0]["id"].as_str().unwrap();
    assert_eq!(stage.send("DELETE", &format!("/dead/{id}"), "").status, 204);
    assert_eq!(stage.ok("POST", "/dead/replay", ""), json!({"replayed": 4, "left": 0}));
    assert_eq!(stage.claim(9).len(), 4);
    assert_eq!(stage.ok("DELETE", "/dead", ""), json!({"dropped": 0, "left": 0}));
}

#[test]
fn a_queue_is_emptied_of_all_but_the_jobs_in_flight() {
    let stage = stage();
    for job in [r#"{"data":1}"#, r#"{"data":2}"#, r#"{"data":3,"delay":60}"#] {
        stage.put(job);
    }
    let claimed = stage.claim(1);
    assert_eq!(stage.ok("DELETE", "/jobs?state=dead&state=ready", ""), json!({"removed": 1, "left": 0}));
    assert_eq!(stage.ok("DELETE", "/jobs", ""), json!({"removed": 1, "left": 0}));
    let place = format!("/jobs/{}/ack", claimed[0]["id"].as_str().unwrap());
    stage.ok("POST", &place, &with_token(&claimed[0], ""));
    let problem = stage.send("DELETE", "/jobs?state=leased", "").problem(400);
    assert_eq!(problem["detail"], "state: expected ready, delayed or dead, found \"leased\"");
}

#[test]
fn an_idempotency_key_enqueues_once_and_says_so() {
    let stage = stage();
    let send = |key: &str, json: &str| {
        stage.gateway.send(&request("POST", "/jobs", json).header("idempotency-key", key))
    };
    let first = send("\"order-7\"", r#"{"data":1}"#);
    let again = send("order-7", r#"{"data":1}"#);
    assert_eq!((first.status, again.status), (201, 200));
    assert_eq!((&first.json()["id"], again.json()["new"].as_bool()), (&again.json()["id"], Some(false)));
    assert_eq!(send("order-7", r#"{"data":2}"#).problem(422)["reason"], "key-reused");
    let _ = send("two words", r#"{"data":1}"#).problem(400);
    let batch = r#"{"jobs":[{"data":1,"idempotency_key":"order-7"},{"data":2,"idempotency_key":"order-8"}]}"#;
    let _ = send("order-9", batch).problem(400);
    let batch = stage.ok("POST", "/jobs", batch);
    assert_eq!((&batch["jobs"][0]["new"], &batch["jobs"][1]["new"]), (&json!(false), &json!(true)));
    assert_eq!(stage.ok("GET", "", "")["ready"], 2);
}

#[test]
fn a_paused_queue_is_listed_as_such_and_goes_on() {
    let stage = stage();
    stage.put(r#"{"data":1}"#);
    assert_eq!(stage.ok("POST", "/pause", ""), json!({"paused": true}));
    assert!(stage.claim(1).is_empty());
    let queues = stage.gateway.send(&Request::get("/_spindrift/v1/queues").bearer(TOKEN)).json();
    let queue = &queues["queues"][0];
    assert_eq!(
        (&queue["name"], &queue["paused"], &queue["ready"]),
        (&json!("mail"), &json!(true), &json!(1))
    );
    assert!(queue["oldest_age"].is_number() && queues["next"].is_null(), "{queues}");
    stage.ok("POST", "/resume", "");
    assert_eq!(stage.claim(1).len(), 1);
}

#[test]
fn a_claim_waits_until_there_is_a_job() {
    let stage = stage();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| stage.ok("POST", "/claim", r#"{"wait":20}"#));
        let looking = "sd:{q:mail}";
        eventually("the claim looks", || {
            let stats: String = stage.redis.query(&["INFO", "commandstats"]);
            stats.contains("cmdstat_evalsha")
        });
        assert!(!stage.redis.keys().contains(&looking.to_owned()), "looking leaves nothing behind");
        stage.put(r#"{"data":"at last"}"#);
        assert_eq!(waiting.join().unwrap()["jobs"][0]["data"], "at last");
    });
}

#[test]
fn a_schedule_is_set_read_fired_by_a_tick_and_removed() {
    let stage = stage();
    let set =
        stage.send("PUT", "/schedules/nightly", r#"{"cron":"0 3 * * *","data":{"n":1},"missed":"run_once"}"#);
    assert_eq!(set.status, 201, "{set:?}");
    assert_eq!((&set.json()["cron"], &set.json()["missed"]), (&json!("0 3 * * *"), &json!("run_once")));
    assert_eq!(
        stage
            .send("PUT", "/schedules/nightly", r#"{"cron":"0 4 * * *","data":{"n":2},"missed":"run_once"}"#)
            .status,
        200
    );
    let read = stage.ok("GET", "/schedules/nightly", "");
    assert_eq!((&read["data"], &read["max_attempts"]), (&json!({"n": 2}), &Value::Null));
    let tick = || stage.gateway.send(&Request::post("/_spindrift/v1/queues:tick", "").bearer(TOKEN)).json();
    assert_eq!(tick()["fired"], 0);
    let _: i64 = stage.redis.query(&["ZADD", "sd:{q:mail}:n", "XX", "1700000000000", "nightly"]);
    assert_eq!(tick(), json!({"fired": 1, "delivered": 0, "failed": 0, "died": 0}));
    assert_eq!(tick()["fired"], 0);
    assert_eq!(stage.claim(9).len(), 1);
    assert_eq!(stage.ok("GET", "/schedules", "")["schedules"].as_array().unwrap().len(), 1);
    assert_eq!(stage.send("DELETE", "/schedules/nightly", "").status, 204);
    for method in ["GET", "DELETE"] {
        let _ = stage.send(method, "/schedules/nightly", "").problem(404);
    }
}

#[test]
fn workers_that_die_at_random_lose_no_job() {
    const COUNT: usize = 300;
    let stage = stage();
    for batch in 0..COUNT / 100 {
        let jobs: Vec<String> = (0..100)
            .map(|number| format!("{{\"data\":{},\"max_attempts\":1000}}", batch * 100 + number))
            .collect();
        stage.ok("POST", "/jobs", &format!("{{\"jobs\":[{}]}}", jobs.join(",")));
    }
    let done = Mutex::new(BTreeMap::<i64, usize>::new());
    let (dice, died) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while done.lock().unwrap().len() < COUNT {
                    let jobs = stage.claim(5);
                    if jobs.is_empty() {
                        stage.expire_leases();
                    }
                    for job in jobs {
                        // Every seventh time the worker dies before it can acknowledge the job.
                        if dice.fetch_add(1, Ordering::SeqCst) % 7 == 6 {
                            died.fetch_add(1, Ordering::SeqCst);
                            continue;
                        }
                        let path = format!("/jobs/{}/ack", job["id"].as_str().unwrap());
                        if stage.send("POST", &path, &with_token(&job, "")).status == 200 {
                            *done.lock().unwrap().entry(job["data"].as_i64().unwrap()).or_default() += 1;
                        }
                    }
                }
            });
        }
    });
    let done = done.into_inner().unwrap();
    assert!(done.len() == COUNT && done.values().all(|times| *times == 1), "{done:?}");
    assert!(died.load(Ordering::SeqCst) > 20);
    let statistics = stage.ok("GET", "", "");
    assert_eq!(
        (&statistics["ready"], &statistics["leased"], &statistics["dead"]),
        (&json!(0), &json!(0), &json!(0))
    );
    for key in stage.redis.keys() {
        assert!(stage.redis.query::<i64>(&["PTTL", &key]) > 0, "{key} never ends");
    }
}
