//! What the API of the queue refuses, and how it is described.

use super::{MAIL, request, stage};
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
    let token = r#""token":"1.abc""#;
    let cases = [
        ("POST", "/jobs".to_owned(), String::new()),
        ("POST", "/jobs".to_owned(), "{}".to_owned()),
        ("POST", "/jobs".to_owned(), "nonsense".to_owned()),
        ("POST", "/jobs".to_owned(), r#"{"data":1,"dely":1}"#.to_owned()),
        ("POST", "/jobs".to_owned(), r#"{"data":1,"delay":-1}"#.to_owned()),
        ("POST", "/jobs".to_owned(), r#"{"data":1,"delay":31536001}"#.to_owned()),
        ("POST", "/jobs".to_owned(), r#"{"data":1,"priority":4096}"#.to_owned()),
        ("POST", "/jobs".to_owned(), r#"{"data":1,"priority":-1}"#.to_owned()),
        ("POST", "/jobs".to_owned(), r#"{"data":1,"max_attempts":0}"#.to_owned()),
        ("POST", "/jobs".to_owned(), r#"{"jobs":[]}"#.to_owned()),
        ("POST", "/jobs".to_owned(), r#"{"jobs":[{}]}"#.to_owned()),
        ("POST", "/jobs".to_owned(), r#"{"jobs":[{"data":1}],"delay":1}"#.to_owned()),
        ("POST", "/jobs".to_owned(), format!("{{\"jobs\":[{}]}}", vec![r#"{"data":1}"#; 101].join(","))),
        (
            "POST",
            "/jobs".to_owned(),
            r#"{"jobs":[{"data":1,"idempotency_key":"k"},{"data":2,"idempotency_key":"k"}]}"#.to_owned(),
        ),
        ("POST", "/jobs?x=1".to_owned(), r#"{"data":1}"#.to_owned()),
        ("POST", "/claim".to_owned(), r#"{"count":0}"#.to_owned()),
        ("POST", "/claim".to_owned(), r#"{"count":101}"#.to_owned()),
        ("POST", "/claim".to_owned(), r#"{"lease":0.5}"#.to_owned()),
        ("POST", "/claim".to_owned(), r#"{"wait":21}"#.to_owned()),
        ("POST", "/claim".to_owned(), r#"{"wait":"1"}"#.to_owned()),
        ("POST", "/dequeue".to_owned(), r#"{"count":1}"#.to_owned()),
        ("POST", format!("/jobs/{id}/ack"), "{}".to_owned()),
        ("POST", format!("/jobs/{id}/ack"), r#"{"token":"x"}"#.to_owned()),
        ("POST", format!("/jobs/{id}/ack"), format!("{{{token},\"delay\":1}}")),
        ("POST", format!("/jobs/{id}/retry"), format!("{{{token},\"delay\":-1}}")),
        ("POST", format!("/jobs/{id}/extend"), format!("{{{token},\"lease\":0}}")),
        ("GET", "/jobs/a%20b".to_owned(), String::new()),
        ("GET", "/dead?limit=0".to_owned(), String::new()),
        ("GET", "/dead?after=x".to_owned(), String::new()),
        ("PUT", "/schedules/s".to_owned(), r#"{"cron":"* * * *","data":1}"#.to_owned()),
        ("PUT", "/schedules/s".to_owned(), r#"{"cron":"60 * * * *","data":1}"#.to_owned()),
        ("PUT", "/schedules/s".to_owned(), r#"{"cron":"0 0 31 2 *","data":1}"#.to_owned()),
        ("PUT", "/schedules/s".to_owned(), r#"{"cron":"* * * * *"}"#.to_owned()),
        ("PUT", "/schedules/s".to_owned(), r#"{"cron":"* * * * *","data":1,"missed":"all"}"#.to_owned()),
        ("PUT", "/schedules/a%20b".to_owned(), r#"{"cron":"* * * * *","data":1}"#.to_owned()),
    ];
    for (method, path, json) in cases {
        let problem = stage.send(method, &path, &json).problem(400);
        assert!(
            problem["detail"].as_str().unwrap().contains("expected"),
            "{method} {path} {json}: {problem}"
        );
    }
    let large = format!("{{\"data\":\"{}\"}}", "x".repeat(256 * 1024));
    let _ = stage.send("POST", "/jobs", &large).problem(413);
    let _ = stage
        .send(
            "PUT",
            "/schedules/s",
            &format!("{{\"cron\":\"* * * * *\",\"data\":\"{}\"}}", "x".repeat(16_384)),
        )
        .problem(413);
    assert_eq!(stage.ok("GET", "", "")["ready"], 1, "none of it did anything");
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
