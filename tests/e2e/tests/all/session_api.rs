//! Sessions through the management API.

use serde_json::{Value, json};
use spindrift_e2e::{Gateway, Origin, Redis, Reply, Request, Response, TOKEN};

const SESSIONS: &str = "/_spindrift/v1/sessions";

struct Api {
    gateway: Gateway,
    redis: Redis,
    origin: Origin,
}

impl Api {
    fn start() -> Self {
        Self::with("[session]\nmax_size = \"200B\"")
    }

    fn with(config: &str) -> Self {
        let origin = Origin::always(Reply::ok("of the origin"));
        let redis = Redis::start();
        let setup = Gateway::before(&origin).redis(&redis).managed().config(config);
        let gateway = setup.variable("session_keys", "0123456789abcdef0123456789abcdef").start();
        Self { gateway, redis, origin }
    }

    #[track_caller]
    fn send(&self, method: &str, target: &str, json: &Value) -> Response {
        self.send_if(method, target, &[], json)
    }

    #[track_caller]
    fn send_if(&self, method: &str, target: &str, fields: &[(&str, &str)], json: &Value) -> Response {
        let mut request = Request::new(method, target).bearer(TOKEN);
        if !json.is_null() {
            request = request.body(json.to_string());
        }
        for (name, value) in fields {
            request = request.header(name, value);
        }
        self.gateway.send(&request)
    }

    /// Sends what must be refused with 400 and a word about what was expected.
    #[track_caller]
    fn refuses(&self, method: &str, target: &str, json: &Value) {
        let problem = self.send(method, target, json).problem(400);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("expected "), "{method} {target} {json}: {problem}");
    }

    #[track_caller]
    fn get(&self, target: &str) -> Response {
        self.send("GET", target, &Value::Null)
    }

    /// Begins a session; returns the response and the path of the session.
    #[track_caller]
    fn begun(&self, json: &Value) -> (Value, String) {
        let response = self.send("POST", SESSIONS, json);
        assert_eq!(response.status, 201, "{response:?}");
        let answer = response.json();
        let place = response.header("location").unwrap().to_owned();
        (answer, place)
    }
}

#[track_caller]
fn ok(response: &Response) -> Value {
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("cache-control"), Some("no-store"), "{response:?}");
    let answer = response.json();
    if let Some(version) = answer["version"].as_u64() {
        assert_eq!(response.header("etag"), Some(&*format!("\"{version}\"")));
    }
    answer
}

#[test]
fn a_session_begins_is_read_changed_renewed_and_ended() {
    let api = Api::start();
    let (begun, place) = api.begun(&json!({"user": "anna", "data": {"a": 1.0}, "ttl": 60, "max_age": 600}));
    let id = begun["id"].as_str().unwrap();
    assert_eq!(place, format!("{SESSIONS}/{id}"));
    assert_eq!((&begun["chosen"], &begun["user"]), (&json!(false), &json!("anna")));
    let seconds = |name: &str| begun[name].as_u64().unwrap();
    assert_eq!(seconds("ends_at") - seconds("created_at"), 600);
    assert!((59..=60).contains(&(seconds("expires_at") - seconds("created_at"))));
    let read = ok(&api.get(&place));
    assert_eq!(
        (&read["data"], &read["version"], &read["token"]),
        (&json!({"a": 1.0}), &json!(1), &Value::Null)
    );
    let tag = [("if-match", "\"1\"")];
    let put = ok(&api.send_if("PUT", &place, &tag, &json!({"data": {"b": 2}})));
    assert_eq!(put["version"], 2);
    let late = api.send_if("PUT", &place, &tag, &json!({"data": {"c": 3}}));
    let _ = late.problem(412);
    let _ = api.send_if("PATCH", &place, &tag, &json!({"data": {"c": 3}})).problem(412);
    ok(&api.send("PATCH", &place, &json!({"data": {"b": null, "c": [3]}})));
    ok(&api.send_if("PATCH", &place, &[("if-match", "*")], &json!({"data": {"d": 4}})));
    assert_eq!(ok(&api.get(&place))["data"], json!({"c": [3], "d": 4}));
    let renewed = ok(&api.send("POST", &format!("{place}/rotate"), &Value::Null));
    assert_eq!(renewed["id"], begun["id"]);
    assert_ne!(renewed["token"], begun["token"]);
    assert_eq!(api.send("DELETE", &place, &Value::Null).status, 204);
    assert_eq!(api.send("DELETE", &place, &Value::Null).status, 204);
    for response in [
        api.get(&place),
        api.send("PUT", &place, &json!({"data": {}})),
        api.send_if("PUT", &place, &tag, &json!({"data": {}})),
        api.send("PATCH", &place, &json!({"data": {}})),
        api.send("POST", &format!("{place}/rotate"), &Value::Null),
    ] {
        let _ = response.problem(404);
    }
    assert_eq!(api.origin.count(), 0);
}

#[test]
fn a_token_opens_its_session_until_another_takes_its_place() {
    let api = Api::start();
    let (begun, place) = api.begun(&json!({"data": {"a": 1}}));
    let verify = |token: &Value| api.send("POST", &format!("{SESSIONS}:verify"), &json!({"token": token}));
    let opened = ok(&verify(&begun["token"]));
    assert_eq!((&opened["id"], &opened["data"]), (&begun["id"], &json!({"a": 1})));
    let renewed = ok(&api.send("POST", &format!("{place}/rotate"), &json!({})));
    ok(&api.send("PATCH", &place, &json!({"data": {"a": 2}})));
    let past = ok(&verify(&begun["token"]));
    assert_eq!((&past["data"], &past["read_only"]), (&json!({"a": 1}), &json!(true)));
    assert_eq!(ok(&verify(&renewed["token"]))["data"], json!({"a": 2}));
    let login = ok(&api.send("POST", &format!("{place}/rotate"), &json!({"user": "anna"})));
    assert_ne!(login["id"], begun["id"]);
    let opened = ok(&verify(&login["token"]));
    assert_eq!((&opened["user"], &opened["data"]), (&json!("anna"), &json!({"a": 2})));
    for token in ["", "x", &begun["token"].as_str().unwrap().to_uppercase()] {
        let _ = verify(&json!(token)).problem(404);
    }
}

#[test]
fn what_the_predecessor_did_with_ids_of_the_callers_own() {
    let api = Api::start();
    let place = format!("{SESSIONS}/user%3A42%2F%C3%A9");
    let set = api.send("PUT", &place, &json!({"data": {"a": 1}, "ttl": 3600}));
    assert_eq!((set.status, set.header("location")), (201, Some(&*place)));
    assert_eq!((&set.json()["id"], &set.json()["chosen"]), (&json!("user:42/é"), &json!(true)));
    assert_eq!(ok(&api.get(&place))["data"], json!({"a": 1}));
    let again = ok(&api.send("PUT", &place, &json!({"data": {"b": 2}, "ttl": 60})));
    assert!(again["version"].as_u64() > set.json()["version"].as_u64());
    assert!(again["expires_at"].as_u64().unwrap() < again["ends_at"].as_u64().unwrap());
    assert_eq!(ok(&api.get(&place))["data"], json!({"b": 2}));
    let touched = ok(&api.get(&format!("{place}?touch=true")));
    assert_eq!(touched["data"], json!({"b": 2}));
    let taken = api.send("POST", SESSIONS, &json!({"id": "user:42/é"}));
    let _ = taken.problem(409);
    let _ = api.send_if("PUT", &place, &[("if-none-match", "*")], &json!({"data": {}})).problem(412);
    let _ = api.send("POST", &format!("{place}/rotate"), &Value::Null).problem(409);
    assert_eq!(api.send("DELETE", &place, &Value::Null).status, 204);
    let _ = api.get(&place).problem(404);
    let _ = api.send_if("PUT", &place, &[("if-match", "*")], &json!({"data": {}})).problem(404);
    let _ = api.send_if("PUT", &place, &[("if-match", "\"1\"")], &json!({"data": {}})).problem(412);
    let once = api.send_if("PUT", &place, &[("if-none-match", "*")], &json!({"data": {}}));
    assert_eq!(once.status, 201);
}

#[test]
fn the_sessions_of_a_user_are_listed_and_ended() {
    let api = Api::start();
    let all = "/_spindrift/v1/users/anna%40example.com/sessions";
    let [(one, place), (two, _), (_, others)] = ["anna@example.com", "anna@example.com", "ben"]
        .map(|user| api.begun(&json!({"user": user, "data": {"a": 1}})));
    let mut listed: Vec<Value> = ok(&api.get(all))["sessions"].as_array().unwrap().clone();
    assert!(listed.iter().all(|it| it["data"].is_null() && it["ends_at"].is_u64()), "{listed:?}");
    listed.sort_by_key(|it| it["id"] != one["id"]);
    assert_eq!((&listed[0]["id"], &listed[1]["id"], listed.len()), (&one["id"], &two["id"], 2));
    let except = format!("{all}?except={}", two["id"].as_str().unwrap());
    assert_eq!(ok(&api.send("DELETE", &except, &Value::Null)), json!({"ended": 1}));
    let _ = api.get(&place).problem(404);
    assert_eq!(ok(&api.get(all))["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(ok(&api.send("DELETE", all, &Value::Null)), json!({"ended": 1}));
    assert_eq!(ok(&api.send("DELETE", all, &Value::Null)), json!({"ended": 0}));
    assert_eq!(ok(&api.get(all)), json!({"sessions": []}));
    ok(&api.get(&others));
}

#[test]
fn what_is_asked_wrongly_is_refused_with_what_was_expected() {
    let api = Api::start();
    let (begun, place) = api.begun(&json!({"user": "anna"}));
    let id = begun["id"].as_str().unwrap();
    refuses_beginnings(&api, id);
    refuses_calls(&api, &place, id);
    refuses_conditions(&api, &place);
    refuses_too_much_data(&api, &place);
    assert_eq!(ok(&api.get(&place))["data"], json!({}));
}

fn refuses_beginnings(api: &Api, id: &str) {
    for json in [
        json!({"user": ""}),
        json!({"user": "x".repeat(257)}),
        json!({"user": "a\nb"}),
        json!({"data": []}),
        json!({"data": "x"}),
        json!({"ttl": 0}),
        json!({"ttl": -1}),
        json!({"ttl": 31_536_001}),
        json!({"max_age": 0}),
        json!({"users": "anna"}),
        json!({"id": "mine", "user": "anna"}),
        json!({"id": id}),
        json!({"id": "sid_x"}),
        json!([]),
    ] {
        api.refuses("POST", SESSIONS, &json);
    }
}

fn refuses_calls(api: &Api, place: &str, id: &str) {
    for (method, target, json) in [
        ("PUT", place, json!({})),
        ("PUT", place, json!({"data": null})),
        ("PATCH", place, json!({"a": 1})),
        ("GET", &format!("{place}?touch=yes"), Value::Null),
        ("GET", &format!("{place}?ttl=1"), Value::Null),
        ("GET", &format!("{SESSIONS}/sid_x"), Value::Null),
        ("GET", &format!("{SESSIONS}/{}", "x".repeat(257)), Value::Null),
        ("GET", &format!("{SESSIONS}/a%00"), Value::Null),
        ("POST", &format!("{place}/rotate"), json!({"user": ""})),
        ("POST", &format!("{place}/rotate"), json!({"data": {}})),
        ("POST", "/_spindrift/v1/sessions:verify", json!({})),
        ("GET", "/_spindrift/v1/users/a%0A/sessions", Value::Null),
        ("DELETE", "/_spindrift/v1/users/anna/sessions?except=mine", Value::Null),
        ("DELETE", &format!("/_spindrift/v1/users/ben/sessions?except={id}"), Value::Null),
    ] {
        api.refuses(method, target, &json);
    }
}

fn refuses_conditions(api: &Api, place: &str) {
    for tags in [
        &[("if-match", "W/\"1\"")][..],
        &[("if-match", "1")],
        &[("if-match", "\"1\", \"2\"")],
        &[("if-match", "\"1\""), ("if-match", "\"2\"")],
        &[("if-none-match", "\"1\"")],
        &[("if-match", "*"), ("if-none-match", "*")],
    ] {
        let _ = api.send_if("PUT", place, tags, &json!({"data": {}})).problem(400);
    }
}

fn refuses_too_much_data(api: &Api, place: &str) {
    let large = json!({"data": {"a": "x".repeat(200)}});
    for (method, target) in [("POST", SESSIONS), ("PUT", place), ("PATCH", place)] {
        let _ = api.send(method, target, &large).problem(413);
    }
    let many: serde_json::Map<_, _> = (0..101).map(|number| (number.to_string(), json!(0))).collect();
    let _ = api.send("PATCH", place, &json!({"data": many})).problem(400);
}

#[test]
fn every_path_says_which_methods_it_has_and_needs_the_token() {
    let api = Api::start();
    let any = format!("{SESSIONS}/mine");
    for (target, allowed) in [
        (SESSIONS.to_owned(), "OPTIONS, POST"),
        (format!("{SESSIONS}:verify"), "OPTIONS, POST"),
        (any.clone(), "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
        (format!("{any}/rotate"), "OPTIONS, POST"),
        ("/_spindrift/v1/users/anna/sessions".to_owned(), "DELETE, GET, HEAD, OPTIONS"),
    ] {
        let response = api.send("BREW", &target, &Value::Null);
        let _ = response.problem(405);
        assert_eq!(response.header("allow"), Some(allowed), "{target}");
        let _ = api.gateway.send(&Request::new("GET", &target)).problem(401);
    }
    for nothing in [format!("{any}/x"), format!("{SESSIONS}:x"), "/_spindrift/v1/users/anna".to_owned()] {
        let _ = api.get(&nothing).problem(404);
    }
}

#[test]
fn the_description_has_every_path_of_sessions() {
    let api = Api::start();
    let description = api.get("/_spindrift/openapi.json").json();
    for (path, methods) in [
        ("/_spindrift/v1/sessions", &["post"][..]),
        ("/_spindrift/v1/sessions:verify", &["post"]),
        ("/_spindrift/v1/sessions/{id}", &["get", "put", "patch", "delete"]),
        ("/_spindrift/v1/sessions/{id}/rotate", &["post"]),
        ("/_spindrift/v1/users/{user}/sessions", &["get", "delete"]),
    ] {
        for method in methods {
            assert!(description["paths"][path][method].is_object(), "{method} {path}");
        }
    }
}

#[test]
fn without_redis_or_keys_it_says_so() {
    let api = Api::start();
    let (_, place) = api.begun(&json!({"user": "anna"}));
    api.redis.stop();
    for (method, target) in
        [("GET", place.as_str()), ("DELETE", &place), ("GET", "/_spindrift/v1/users/anna/sessions")]
    {
        let problem = api.send(method, target, &Value::Null).problem(503);
        assert!(problem["reason"].as_str().unwrap().starts_with("redis-"), "{problem}");
    }
    let redis = Redis::start();
    let keyless = Gateway::before(&api.origin).redis(&redis).managed().start();
    let begun = keyless.manage(SESSIONS, "{}");
    assert_eq!((begun.status, &begun.json()["token"]), (201, &Value::Null));
    let problem = keyless.manage(&format!("{}/rotate", begun.header("location").unwrap()), "").problem(409);
    assert!(problem["detail"].as_str().unwrap().contains("SPIN_VARIABLE_SESSION_KEYS"), "{problem}");
}
