//! What the API of the queues refuses, and how it is described.

use super::{MAIL, Stage, request, stage};
use spindrift_e2e::{Gateway, Origin, Reply, Request, TOKEN};

#[test]
fn queues_may_have_any_name() {
    let stage = stage();
    for name in ["a%2Fb", "%7Bx%7D", "gr%C3%B6%C3%9Fe", "jobs", "%20"] {
        let path = |rest: &str| format!("/_spindrift/v1/queues/{name}{rest}");
        let put = stage
            .gateway
            .send(&Request::post(&path("/jobs"), format!("{{\"data\":\"{name}\"}}")).bearer(TOKEN));
        assert_eq!(put.status, 201, "{put:?}");
        let place = put.header("location").unwrap().to_owned();
        assert_eq!(stage.gateway.send(&Request::get(&place).bearer(TOKEN)).json()["data"], name);
        let taken = stage.gateway.send(&Request::post(&path("/dequeue"), "").bearer(TOKEN)).json();
        assert_eq!(taken["job"]["data"], name);
    }
    for name in ["", "a%0Ab", &"x".repeat(129)] {
        let refused =
            stage.gateway.send(&Request::get(&format!("/_spindrift/v1/queues/{name}")).bearer(TOKEN));
        let _ = refused.problem(400);
    }
}

#[test]
fn what_is_said_wrong_is_400_and_says_what_was_expected() {
    let stage = stage();
    let id = stage.put(r#"{"data":1}"#);
    refuses_jobs(&stage);
    refuses_claims(&stage, &id);
    refuses_questions(&stage);
    refuses_schedules(&stage);
    refuses_too_much_data(&stage);
    assert_eq!(stage.ok("GET", "", "")["ready"], 1, "none of it did anything");
}

#[track_caller]
fn refused(stage: &Stage, method: &str, path: &str, json: &str) {
    let problem = stage.send(method, path, json).problem(400);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("expected"), "{method} {path} {json}: {problem}");
}

fn refuses_jobs(stage: &Stage) {
    for json in [
        "",
        "{}",
        "nonsense",
        r#"{"data":1,"dely":1}"#,
        r#"{"data":1,"delay":-1}"#,
        r#"{"data":1,"delay":31536001}"#,
        r#"{"data":1,"priority":4096}"#,
        r#"{"data":1,"priority":-1}"#,
        r#"{"data":1,"max_attempts":0}"#,
        r#"{"jobs":[]}"#,
        r#"{"jobs":[{}]}"#,
        r#"{"jobs":[{"data":1}],"delay":1}"#,
        &format!("{{\"jobs\":[{}]}}", vec![r#"{"data":1}"#; 101].join(",")),
        r#"{"jobs":[{"data":1,"idempotency_key":"k"},{"data":2,"idempotency_key":"k"}]}"#,
    ] {
        refused(stage, "POST", "/jobs", json);
    }
    refused(stage, "POST", "/jobs?x=1", r#"{"data":1}"#);
}

fn refuses_claims(stage: &Stage, id: &str) {
    for json in
        [r#"{"count":0}"#, r#"{"count":101}"#, r#"{"lease":0.5}"#, r#"{"wait":21}"#, r#"{"wait":"1"}"#]
    {
        refused(stage, "POST", "/claim", json);
    }
    refused(stage, "POST", "/dequeue", r#"{"count":1}"#);
    for (what, json) in [
        ("ack", "{}"),
        ("ack", r#"{"token":"x"}"#),
        ("ack", r#"{"token":"1.abc","delay":1}"#),
        ("retry", r#"{"token":"1.abc","delay":-1}"#),
        ("extend", r#"{"token":"1.abc","lease":0}"#),
    ] {
        refused(stage, "POST", &format!("/jobs/{id}/{what}"), json);
    }
}

fn refuses_questions(stage: &Stage) {
    for path in ["/jobs/a%20b", "/dead?limit=0", "/dead?after=x"] {
        refused(stage, "GET", path, "");
    }
}

fn refuses_schedules(stage: &Stage) {
    for json in [
        r#"{"cron":"* * * *","data":1}"#,
        r#"{"cron":"60 * * * *","data":1}"#,
        r#"{"cron":"0 0 31 2 *","data":1}"#,
        r#"{"cron":"* * * * *"}"#,
        r#"{"cron":"* * * * *","data":1,"missed":"all"}"#,
    ] {
        refused(stage, "PUT", "/schedules/s", json);
    }
    refused(stage, "PUT", "/schedules/a%20b", r#"{"cron":"* * * * *","data":1}"#);
}

fn refuses_too_much_data(stage: &Stage) {
    let large = format!("{{\"data\":\"{}\"}}", "x".repeat(256 * 1024));
    let _ = stage.send("POST", "/jobs", &large).problem(413);
    let schedule = format!("{{\"cron\":\"* * * * *\",\"data\":\"{}\"}}", "x".repeat(16_384));
    let _ = stage.send("PUT", "/schedules/s", &schedule).problem(413);
}

#[test]
fn a_wrong_method_is_405_and_every_path_needs_the_token() {
    let stage = stage();
    for (path, allowed) in [
        ("", "GET, HEAD, OPTIONS"),
        ("/jobs", "DELETE, OPTIONS, POST"),
        ("/claim", "OPTIONS, POST"),
        ("/dequeue", "OPTIONS, POST"),
        ("/pause", "OPTIONS, POST"),
        ("/resume", "OPTIONS, POST"),
        ("/jobs/x", "DELETE, GET, HEAD, OPTIONS"),
        ("/jobs/x/ack", "OPTIONS, POST"),
        ("/dead", "DELETE, GET, HEAD, OPTIONS"),
        ("/dead/replay", "DELETE, OPTIONS, POST"),
        ("/dead/x", "DELETE, OPTIONS"),
        ("/dead/x/replay", "OPTIONS, POST"),
        ("/schedules", "GET, HEAD, OPTIONS"),
        ("/schedules/x", "DELETE, GET, HEAD, OPTIONS, PUT"),
    ] {
        let wrong = stage.send("BREW", path, "");
        let _ = wrong.problem(405);
        assert_eq!(wrong.header("allow"), Some(allowed), "{path}");
        let _ = stage.gateway.get(&format!("{MAIL}{path}")).problem(401);
    }
    for path in ["/x", "/jobs/x/x", "/jobs/x/ack/x", "/dead/x/x", "/schedules/x/x"] {
        let _ = stage.send("POST", path, "").problem(404);
    }
    let _ = stage.gateway.send(&Request::get("/_spindrift/v1/queues:tick").bearer(TOKEN)).problem(405);
    let _ = stage.gateway.send(&Request::post("/_spindrift/v1/queues", "").bearer(TOKEN)).problem(405);
}

#[test]
fn without_redis_the_queue_is_503_with_the_reason() {
    let origin = Origin::always(Reply::ok("page"));
    let gateway = Gateway::before(&origin).managed().start();
    for (method, path, json) in [("POST", "/jobs", r#"{"data":1}"#), ("POST", "/claim", ""), ("GET", "", "")]
    {
        let problem = gateway.send(&request(method, path, json)).problem(503);
        assert!(problem["reason"].as_str().unwrap().starts_with("redis-"), "{problem}");
    }
}

#[test]
fn the_description_of_the_api_has_every_path_of_the_queue() {
    let stage = stage();
    let document = stage.gateway.get("/_spindrift/openapi.json").json();
    let paths = document["paths"].as_object().unwrap();
    let of_queues: Vec<&String> = paths.keys().filter(|path| path.contains("/v1/queues")).collect();
    assert_eq!(of_queues.len(), 20, "{of_queues:?}");
}
