//! Sessions of visitors, with the real components.

use crate::support::EACH_REUSE;
use spindrift_e2e::{
    Exchange, Gate, Gateway, Origin, Redis, Reply, Request, Response, Setup, Subscriber, TOKEN, eventually,
};
use std::sync::Arc;

const KEYS: &str = "0123456789abcdef0123456789abcdef";
const ROUTES: &str = "[[route]]\npath = \"/s*\"\nsession = true\n\
                      [[route]]\npath = \"/pay\"\nsession = { on_redis_failure = \"refuse\" }\n";

/// `{"a":1}`
const A1: &str = "eyJhIjoxfQ";
/// `{"b":2}`
const B2: &str = "eyJiIjoyfQ";
/// `{"a":1,"b":2}`
const A1_B2: &str = "eyJhIjoxLCJiIjoyfQ";

/// A stateless origin: the path determines the change of the session, the answer shows its previous data.
fn origin() -> Origin {
    Origin::start(|exchange| {
        let reply = told(exchange);
        exchange.reply(&reply);
    })
}

fn told(exchange: &Exchange<'_>) -> Reply {
    let request = &exchange.request;
    let seen = |name: &str| request.header(name).unwrap_or("none").to_owned();
    let body = format!("{} {}", seen("spindrift-session"), seen("spindrift-session-user"));
    let reply = Reply::fresh(body);
    match request.target.split('?').next().unwrap().rsplit('/').next().unwrap() {
        "begin" => reply.header("Spindrift-Session-Set", A1),
        "merge" => reply.header("Spindrift-Session-Merge", B2),
        "login" => reply.header("Spindrift-Session-User", "anna").header("spindrift-session-merge", B2),
        "rotate" => reply.header("Spindrift-Session-Rotate", "?1"),
        "logout" => reply.header("Spindrift-Session-Destroy", "1"),
        _ => reply,
    }
}

fn before(origin: &Origin, redis: &Redis) -> Setup {
    Gateway::before(origin).redis(redis).config(ROUTES).variable("session_keys", KEYS)
}

/// A request to a site on another machine, for which the cookie needs TLS; TLS ends in front of the gateway.
fn ask(target: &str, cookie: &str) -> Request {
    let request = Request::get(target).host("site.example");
    if cookie.is_empty() { request } else { request.header("cookie", cookie) }
}

/// The cookie that a response sets, as a browser sends it back.
#[track_caller]
fn cookie(response: &Response) -> Option<String> {
    let all = response.headers.all("set-cookie");
    assert!(all.len() <= 1, "{all:?}");
    all.first().map(|line| line.split(';').next().unwrap().to_owned())
}

#[track_caller]
fn begun(gateway: &Gateway) -> String {
    let response = gateway.send(&ask("/s/begin", ""));
    assert_eq!(response.status, 200, "{response:?}");
    cookie(&response).expect("a session begins")
}

#[test]
fn a_visitor_is_remembered_from_the_first_word_to_the_logout() {
    for (requests, at_once) in EACH_REUSE {
        let (origin, redis) = (origin(), Redis::start());
        let gateway = before(&origin, &redis).reuse(requests, at_once).start();
        let first = gateway.send(&ask("/s/begin", ""));
        let line = first.header("set-cookie").unwrap();
        assert!(line.starts_with("__Host-sid="), "{line}");
        assert!(line.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax"), "{line}");
        let visitor = cookie(&first).unwrap();
        let mut said = Vec::new();
        for target in ["/s/x", "/s/merge", "/s/x"] {
            let response = gateway.send(&ask(target, &visitor));
            let status = response.cache_status();
            assert_eq!(
                (status.detail(), status.is_stored(), status.is_hit()),
                (Some("session"), false, false)
            );
            assert_eq!(response.header("cache-control"), Some("max-age=60, private"));
            assert_eq!((cookie(&response), response.header("vary")), (None, Some("cookie")));
            said.push(response.text());
        }
        assert_eq!(said, [format!("{A1} none"), format!("{A1} none"), format!("{A1_B2} none")]);
        let login = gateway.send(&ask("/s/login", &visitor));
        let anna = cookie(&login).unwrap();
        assert_eq!(gateway.send(&ask("/s/x", &anna)).text(), format!("{A1_B2} anna"));
        assert_eq!(gateway.send(&ask("/s/x", &visitor)).text(), format!("{A1_B2} none"), "within its grace");
        let logout = gateway.send(&ask("/s/logout", &anna));
        assert!(logout.header("set-cookie").unwrap().contains("Max-Age=0"), "{logout:?}");
        assert_eq!(gateway.send(&ask("/s/x", &anna)).text(), "none none");
        assert!(redis.entries().len() <= 1, "only what nobody's session was used for");
        for key in redis.keys() {
            let ttl: i64 = redis.query(&["PTTL", &key]);
            assert!(ttl > 0 && key.starts_with("sd:{"), "{key} lives for {ttl} ms");
        }
    }
}

#[test]
fn fields_between_us_and_the_origin_are_nobody_elses() {
    let (origin, redis) = (origin(), Redis::start());
    let gateway = before(&origin, &redis).start();
    for target in ["/s/x", "/other/x"] {
        let forged = ask(target, "")
            .header("Spindrift-Session", A1)
            .header("spindrift-session-user", "admin")
            .header("Spindrift_Session_User", "admin");
        assert_eq!(gateway.send(&forged).text(), "none none", "{target}");
        let names = origin.last().headers.names().join(" ").to_ascii_lowercase();
        assert!(!names.contains("spindrift"), "{names}");
    }
    let visitor = begun(&gateway);
    for target in ["/other/logout", "/other/login", "/other/begin"] {
        for _ in 0..2 {
            let response = gateway.send(&ask(target, &visitor));
            let names = response.headers.names().join(" ").to_ascii_lowercase();
            assert!(!names.contains("spindrift-session") && cookie(&response).is_none(), "{response:?}");
            assert_eq!(origin.last().header("cookie"), None);
        }
    }
    for bytes in redis.entries().values() {
        assert!(!String::from_utf8_lossy(bytes).contains("spindrift-session"));
    }
    let named =
        ask("/s/x", &visitor).header("connection", "spindrift-session").header("spindrift-session", B2);
    assert_eq!(gateway.send(&named).text(), format!("{A1} none"));
}

#[test]
fn what_is_one_visitors_is_given_to_no_other() {
    let (origin, redis) = (origin(), Redis::start());
    let gateway = before(&origin, &redis).one_instance().start();
    let (one, other) = (begun(&gateway), cookie(&gateway.send(&ask("/s/login", ""))).unwrap());
    for _ in 0..3 {
        assert_eq!(gateway.send(&ask("/s/page", &one)).text(), format!("{A1} none"));
        assert_eq!(gateway.send(&ask("/s/page", &other)).text(), format!("{B2} anna"));
        assert_eq!(gateway.send(&ask("/s/page", "")).text(), "none none");
    }
    gateway.until(&ask("/s/page", ""), |it| it.cache_status().is_hit());
    assert_eq!(gateway.send(&ask("/s/page", &one)).text(), format!("{A1} none"));
}

#[test]
fn ids_that_are_forged_broken_twice_or_too_long_are_nobody() {
    let (origin, redis) = (origin(), Redis::start());
    let gateway = before(&origin, &redis).one_instance().start();
    let visitor = begun(&gateway);
    let _ = gateway.until(&ask("/s/page", ""), |it| it.cache_status().is_hit());
    let mut monitor = redis.monitor();
    let changed = visitor.replace("sid=", "sid=A");
    let long = format!("__Host-sid={}", "x".repeat(30_000));
    let twice = format!("{visitor}; {visitor}");
    for wrong in ["__Host-sid=", "__Host-sid=x.y.z", &visitor[..visitor.len() - 1], &changed, &long, &twice] {
        let response = gateway.send(&ask("/s/page", wrong));
        assert!(response.cache_status().is_hit() && cookie(&response).is_none(), "{response:?}");
    }
    assert_eq!(monitor.commands(), ["MGET"; 6], "Redis is not asked for any of them");
    assert_eq!(gateway.send(&ask("/s/page", &visitor)).text(), format!("{A1} none"));
}

#[test]
fn of_ten_requests_at_once_one_renews_the_id_and_all_are_answered() {
    let gate = Gate::new();
    let door = Arc::new(gate.clone());
    let origin = Origin::start(move |exchange| {
        if exchange.request.target == "/s/rotate" {
            door.pass();
        }
        let reply = told(exchange);
        exchange.reply(&reply);
    });
    let redis = Redis::start();
    let gateway = before(&origin, &redis).one_instance().start();
    let visitor = begun(&gateway);
    let answers: Vec<Response> = std::thread::scope(|scope| {
        let all: Vec<_> =
            (0..10).map(|_| scope.spawn(|| gateway.send(&ask("/s/rotate", &visitor)))).collect();
        gate.await_arrivals(10);
        gate.open();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|it| it.status == 200 && it.text() == format!("{A1} none")), "{answers:?}");
    let new: Vec<String> = answers.iter().filter_map(cookie).collect();
    assert_eq!(new.len(), 1);
    assert_eq!(gateway.send(&ask("/s/x", &new[0])).text(), format!("{A1} none"));
    assert_eq!(gateway.send(&ask("/s/x", &visitor)).text(), format!("{A1} none"));
}

#[test]
fn a_logout_wins_over_a_request_that_is_still_under_way() {
    let gate = Gate::new();
    let door = gate.clone();
    let origin = Origin::start(move |exchange| {
        if exchange.request.target == "/s/merge" {
            door.pass();
        }
        let reply = told(exchange);
        exchange.reply(&reply);
    });
    let redis = Redis::start();
    let gateway = before(&origin, &redis).managed().start();
    let anna = cookie(&gateway.send(&ask("/s/login", ""))).unwrap();
    let late = std::thread::scope(|scope| {
        let slow = scope.spawn(|| gateway.send(&ask("/s/merge", &anna)));
        gate.await_arrivals(1);
        let all = Request::new("DELETE", "/_spindrift/v1/users/anna/sessions").bearer(TOKEN);
        assert_eq!(gateway.send(&all).json()["ended"], 1);
        gate.open();
        slow.join().unwrap()
    });
    assert_eq!((late.status, late.cache_status().detail()), (200, Some("session-ended")));
    assert_eq!(gateway.send(&ask("/s/x", &anna)).text(), "none none");
}

#[test]
fn a_token_of_the_api_is_a_cookie_and_keys_can_be_changed() {
    let (origin, redis) = (origin(), Redis::start());
    let old = before(&origin, &redis).managed().start();
    let begun = old.manage("/_spindrift/v1/sessions", r#"{"user":"anna","data":{"a":1}}"#).json();
    let pair = format!("__Host-sid={}", begun["token"].as_str().unwrap());
    assert_eq!(old.send(&ask("/s/x", &pair)).text(), format!("{A1} anna"));
    let both = format!("another-key-of-32-characters----,{KEYS}");
    let new = before(&origin, &redis).variable("session_keys", &both).start();
    let signed_anew = cookie(&new.send(&ask("/s/x", &pair))).expect("a cookie of the new key");
    let last = before(&origin, &redis).variable("session_keys", "another-key-of-32-characters----").start();
    assert_eq!(last.send(&ask("/s/x", &pair)).text(), "none none");
    let response = last.send(&ask("/s/x", &signed_anew));
    assert_eq!((response.text(), cookie(&response)), (format!("{A1} anna"), None));
}

#[test]
fn without_redis_a_route_does_what_it_says_and_recovers() {
    let (origin, redis) = (origin(), Redis::start());
    let gateway = before(&origin, &redis).start();
    let visitor = begun(&gateway);
    redis.stop();
    let anonymous = gateway.send(&ask("/s/x", &visitor));
    assert_eq!((anonymous.status, anonymous.text()), (200, "none none".to_owned()));
    assert!(anonymous.cache_status().detail().unwrap().starts_with("redis-"), "{anonymous:?}");
    let refused = gateway.send(&ask("/pay", &visitor));
    assert!(refused.problem(503)["reason"].as_str().unwrap().starts_with("redis-"), "{refused:?}");
    let logout = gateway.send(&ask("/s/logout", &visitor));
    let _ = logout.problem(503);
    assert_eq!(cookie(&logout), None);
    redis.restart();
    let again = gateway.until(&ask("/s/begin", ""), |it| it.headers.has("set-cookie"));
    let visitor = cookie(&again).unwrap();
    assert_eq!(gateway.send(&ask("/pay", &visitor)).text(), format!("{A1} none"));
}

#[test]
fn on_this_machine_over_plain_http_a_browser_needs_no_tls() {
    let (origin, redis) = (origin(), Redis::start());
    let gateway = before(&origin, &redis).start();
    let first = gateway.get("/s/begin");
    let line = first.header("set-cookie").unwrap();
    assert!(line.starts_with("sid=") && !line.contains("Secure"), "{line}");
    let pair = cookie(&first).unwrap();
    assert_eq!(gateway.send(&Request::get("/s/x").header("cookie", &pair)).text(), format!("{A1} none"));
}

#[test]
fn routes_with_sessions_and_no_keys_are_a_mistake_that_says_how_to_mend_it() {
    let origin = origin();
    let gateway = Gateway::before(&origin).config(ROUTES).start();
    let problem = gateway.get("/s/x").problem(500);
    let error = problem["errors"][0].as_str().unwrap();
    assert!(error.contains("session_keys") && error.contains("SPIN_VARIABLE_SESSION_KEYS"), "{error}");
    assert_eq!(origin.count(), 0);
}

#[test]
fn the_subscriber_needs_no_keys() {
    let (origin, redis) = (origin(), Redis::start());
    let _subscriber = Subscriber::start_with(&redis, "spindrift", ROUTES);
    let gateway = before(&origin, &redis).managed().start();
    let message = r#"{"v":1,"topic":"purge","id":"m","data":{"tags":["t"]}}"#;
    let _: i64 = redis.query(&["PUBLISH", "spindrift", message]);
    eventually("the message is done", || gateway.counter("messages_done") == 1);
}
