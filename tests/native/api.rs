//! What all parts of the management API have in common: who may use it, how often and from where, and what it
//! refuses.

use crate::support::exchange::{Got, request};
use crate::support::{Instance, PREFIX, World, on_redis};
use serde_json::{Value, json};
use spindrift::body::Body;
use spindrift::redis::Keys;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";

impl World {
    fn managed(&self, config: &str) -> Instance {
        self.instance_given(&[("admin_token", TOKEN)], config)
    }
}

impl Instance {
    async fn calls(&self, method: &str, path: &str, fields: &[(&str, &str)], content: &str) -> Got {
        let body = Body::from(content.as_bytes().to_vec());
        self.send(request(method, &format!("http://h/_spindrift/{path}"), fields, body)).await
    }

    async fn tries_token(&self, token: &str, client: &str) -> Got {
        let bearer = format!("Bearer {token}");
        let address = format!("{client}:4711");
        let fields = [("authorization", bearer.as_str()), ("spin-client-addr", &address)];
        self.calls("GET", "v1/limits", &fields, "").await
    }
}

fn problem(got: &Got) -> Value {
    assert_eq!(got.header("content-type"), "application/problem+json", "{got:?}");
    let problem: Value = serde_json::from_str(got.text()).unwrap();
    assert_eq!(problem["status"], got.status, "{problem}");
    problem
}

#[test]
fn any_of_several_tokens_is_good_while_they_change() {
    on_redis(async |world| {
        let both = format!("{OTHER}, {TOKEN}");
        let instance = world.instance_given(&[("admin_token", &both)], "");
        for (token, status) in [(TOKEN, 200), (OTHER, 200), (&both, 401), ("", 401), (&TOKEN[1..], 401)] {
            assert_eq!(instance.tries_token(token, "192.0.2.1").await.status, status, "{token}");
        }
    });
}

#[test]
fn wrong_tokens_are_limited_for_each_address_over_all_instances() {
    on_redis(async |world| {
        let config = "[api]\nfailures = 3\n";
        let (one, other) = (world.managed(config), world.managed(config));
        for instance in [&one, &other, &one] {
            let refused = instance.tries_token("wrong", "192.0.2.1").await;
            assert_eq!(
                (refused.status, refused.header("www-authenticate")),
                (401, "Bearer realm=\"spindrift\"")
            );
        }
        for instance in [&one, &other] {
            let limited = instance.tries_token("wrong", "192.0.2.1").await;
            assert_eq!((limited.status, limited.header("retry-after")), (429, "20"), "{limited:?}");
            let problem = problem(&limited);
            assert_eq!(problem["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
            assert!(
                !problem.to_string().contains(TOKEN) && !limited.headers.contains_key("www-authenticate")
            );
        }
        assert_eq!(one.tries_token("wrong", "192.0.2.2").await.status, 401, "another address");
        assert_eq!(
            one.tries_token(TOKEN, "192.0.2.1").await.status,
            200,
            "nobody is kept out by the guesses of another"
        );
        let none = one.calls("GET", "v1/limits", &[("spin-client-addr", "192.0.2.1:1")], "").await;
        assert_eq!(none.status, 401, "who brings no token does not guess");
    });
}

#[test]
fn wrong_tokens_of_streams_are_limited_however_the_parameter_is_spelled() {
    on_redis(async |world| {
        let instance = world.managed("[api]\nfailures = 3\n");
        let mut statuses = Vec::new();
        for query in ["token=a.b.c", "%74oken=a.b.c", "topic=o&tok%65n=a.b.c", "%74oken=a.b.c"] {
            let path = format!("v1/channels/orders?{query}");
            let got = instance.calls("GET", &path, &[("spin-client-addr", "192.0.2.1:1")], "").await;
            statuses.push(got.status);
        }
        assert_eq!(statuses, [401, 401, 401, 429]);
    });
}

#[test]
fn wrong_tokens_are_limited_without_redis_and_any_number_is_let_through_where_it_is_so_configured() {
    on_redis(async |world| {
        let away = world.instance_given(
            &[("admin_token", TOKEN), ("redis_url", "redis://127.0.0.1:1")],
            "[api]\nfailures = 3\n",
        );
        let off = world
            .instance_given(&[("admin_token", TOKEN), ("redis_enabled", "false")], "[api]\nfailures = 3\n");
        for instance in [away, off] {
            let mut statuses = Vec::new();
            for _ in 0..5 {
                statuses.push(instance.tries_token("wrong", "192.0.2.1").await.status);
            }
            assert_eq!(statuses, [401, 401, 401, 429, 429]);
        }
        let open = world.managed("[api]\nfailures = 0\n");
        for _ in 0..150 {
            assert_eq!(open.tries_token("wrong", "192.0.2.1").await.status, 401);
        }
    });
}

#[test]
fn limits_of_the_api_hold_for_all_of_it_but_health() {
    on_redis(async |world| {
        let instance = world
            .managed("[api]\nlimits = [\"api\"]\n[[limit]]\nname = \"api\"\nlimit = 2\nperiod = \"1h\"\n");
        let first = instance.tries_token(TOKEN, "192.0.2.1").await;
        assert_eq!((first.status, first.header("ratelimit")), (200, "\"api\";r=1;t=1800"));
        assert_eq!(
            instance.calls("GET", "openapi.json", &[("spin-client-addr", "192.0.2.1:1")], "").await.status,
            200
        );
        let refused = instance.tries_token(TOKEN, "192.0.2.1").await;
        assert_eq!((refused.status, refused.header("retry-after")), (429, "1800"));
        assert_eq!(problem(&refused)["violated-policies"][0], "api");
        assert_eq!(instance.tries_token(TOKEN, "192.0.2.2").await.status, 200);
        let health = instance.calls("GET", "health", &[("spin-client-addr", "192.0.2.1:1")], "").await;
        assert_eq!(health.status, 200);
        assert_eq!(instance.get("http://h/a").await.status, 200, "routes have limits of their own");
    });
}

#[test]
fn pages_of_other_origins_get_nothing_unless_theirs_is_named() {
    on_redis(async |world| {
        let page = [("origin", "https://ops.example"), ("access-control-request-method", "PUT")];
        let closed = world.managed("");
        let preflight = closed.calls("OPTIONS", "v1/cache/a", &page, "").await;
        assert_eq!((preflight.status, preflight.header("allow")), (204, "DELETE, GET, HEAD, OPTIONS, PUT"));
        let answer = closed.calls("GET", "health", &page, "").await;
        for got in [&preflight, &answer] {
            assert!(!got.headers.keys().any(|name| name.as_str().starts_with("access-control")), "{got:?}");
        }
        let open = world.managed("[api]\nallow_origins = [\"https://ops.example\"]\n");
        let preflight = open.calls("OPTIONS", "v1/cache/a", &page, "").await;
        assert_eq!(preflight.header("access-control-allow-origin"), "https://ops.example");
        assert_eq!(preflight.header("access-control-allow-methods"), "DELETE, GET, HEAD, OPTIONS, PUT");
        assert!(preflight.header("access-control-allow-headers").contains("authorization"));
        assert_eq!((preflight.header("vary"), preflight.header("access-control-max-age")), ("origin", "600"));
        for (origin, allowed) in
            [("https://ops.example", "https://ops.example"), ("https://evil.example", ""), ("null", "")]
        {
            for (path, status) in [("health", 200), ("stats", 401), ("v1/nothing", 401), ("x", 404)] {
                let got = open.calls("GET", path, &[("origin", origin)], "").await;
                assert_eq!(
                    (got.status, got.header("access-control-allow-origin")),
                    (status, allowed),
                    "{path}"
                );
                assert!(
                    allowed.is_empty() || got.header("access-control-expose-headers").contains("retry-after")
                );
                assert_eq!(got.header("vary"), "origin", "{path}");
                assert_eq!(got.header("access-control-allow-credentials"), "");
            }
        }
        let any = world.managed("[api]\nallow_origins = [\"*\"]\n");
        let got = any.calls("GET", "health", &[("origin", "https://x.example")], "").await;
        assert_eq!((got.header("access-control-allow-origin"), got.header("vary")), ("*", ""));
        assert_eq!(got.header("access-control-allow-credentials"), "");
    });
}

#[test]
fn what_is_malformed_says_what_was_expected_and_found() {
    on_redis(async |world| {
        let instance = world.managed("");
        let bearer = format!("Bearer {TOKEN}");
        let long = format!("v1/cache/{}", "k".repeat(10_000));
        for (method, path, content, expected) in [
            ("GET", "v1/cache/%zz", "", "two hexadecimal digits after each % in the path, found \"%zz\""),
            ("GET", "v1/cache/a%", "", "found \"%\""),
            ("GET", "v1/cache/%ff", "", "expected UTF-8 in the percent-encoding of the path"),
            ("GET", "v1/cache/a?x=%a", "", "in the query, found \"%a\""),
            ("GET", "v1/cache/a?x=1", "", "expected query parameters: lease, wait; found \"x\""),
            ("GET", "v1/cache/a?lease=1&wait=2&lease=3", "", "expected \"lease\" once in the query"),
            (
                "DELETE",
                "v1/users/ann/sessions?except=a&except=b",
                "",
                "expected \"except\" once in the query",
            ),
            ("GET", long.as_str(), "", "expected"),
            ("GET", "v1/cache/", "", "expected"),
            ("GET", "v1/queues/%00", "", "expected"),
            ("GET", "v1/locks/%0a", "", "expected"),
            ("POST", "v1/purge", "[]", "expected {\"urls\":[]"),
            ("POST", "v1/purge", r#"{"url":[]}"#, "unknown field `url`"),
        ] {
            let got = instance.calls(method, path, &[("authorization", &bearer)], content).await;
            let path = &path[..path.len().min(40)];
            assert_eq!(got.status, 400, "{method} {path}: {got:?}");
            let detail = problem(&got)["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains(expected) && detail.contains("expected"), "{method} {path}: {detail}");
            assert_eq!(got.header("cache-control"), "no-store");
        }
        for (content_type, status) in [
            ("application/json", 200),
            ("Application/JSON; charset=utf-8", 200),
            ("application/merge-patch+json", 200),
            ("application/x-www-form-urlencoded", 200),
            ("text/plain", 415),
            ("text/json", 415),
            ("multipart/form-data; boundary=x", 415),
        ] {
            let fields = [("authorization", bearer.as_str()), ("content-type", content_type)];
            let got = instance.calls("POST", "v1/purge", &fields, r#"{"tags":["t"]}"#).await;
            assert_eq!(got.status, status, "{content_type}");
            assert_eq!(got.header("accept"), if status == 415 { "application/json" } else { "" });
        }
        let fields = [("authorization", bearer.as_str()), ("content-encoding", "gzip")];
        let got = instance.calls("POST", "v1/purge", &fields, "{}").await;
        assert_eq!((got.status, got.header("accept-encoding")), (415, "identity"));
    });
}

#[test]
fn the_dashboard_is_one_page_that_holds_no_secret_and_needs_no_redis() {
    on_redis(async |world| {
        for instance in [
            world.managed(""),
            world.instance(),
            world.instance_given(&[("admin_token", TOKEN), ("redis_enabled", "false")], ""),
            world
                .instance_given(&[("admin_token", TOKEN), ("redis_url", "redis://:hunter2@127.0.0.1:1")], ""),
        ] {
            let got = instance.calls("GET", "", &[], "").await;
            assert_eq!((got.status, got.header("content-type")), (200, "text/html; charset=utf-8"));
            assert!(!got.text().contains(TOKEN) && !got.text().contains("hunter2"));
            let policy = got.header("content-security-policy");
            for directive in
                ["default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"]
            {
                assert!(policy.contains(directive), "{policy}");
            }
            assert!(!policy.contains("unsafe"), "{policy}");
            for (name, value) in [
                ("cache-control", "no-store"),
                ("x-content-type-options", "nosniff"),
                ("x-frame-options", "DENY"),
                ("referrer-policy", "no-referrer"),
            ] {
                assert_eq!(got.header(name), value, "{name}");
            }
        }
        let instance = world.managed("");
        let moved = instance.send(request("GET", "http://h/_spindrift", &[], Body::Empty)).await;
        assert_eq!((moved.status, moved.header("location")), (308, "/_spindrift/"));
        let off = world.managed("[api]\ndashboard = false\n");
        assert_eq!(off.calls("GET", "", &[], "").await.status, 404);
        assert_eq!(world.origin.count(), 0);
    });
}

/// Each name used to be compared with all previous ones, and a URL has room for thousands.
#[test]
fn a_stranger_who_asks_for_many_channels_is_refused_at_the_first_too_many() {
    on_redis(async |world| {
        let topics: Vec<String> = (0..6000).map(|number| format!("topic={number:x}")).collect();
        let got =
            world.managed("").calls("GET", &format!("v1/channels/x?{}", topics.join("&")), &[], "").await;
        assert_eq!(got.status, 400);
        assert_eq!(problem(&got)["detail"], "expected at most 16 channels, found more");
    });
}

#[test]
fn an_operation_of_a_batch_that_fails_keeps_no_other_from_its_answer() {
    on_redis(async |world| {
        let instance = world.managed("");
        let bearer = format!("Bearer {TOKEN}");
        let fields = [("authorization", bearer.as_str())];
        assert_eq!(instance.calls("PUT", "v1/cache/a", &fields, "text").await.status, 201);
        let foreign = Keys::new(PREFIX).value("b");
        world.tell(&["LPUSH", foreign.as_str(), "of another type"]).await;
        world.tell(&["EXPIRE", foreign.as_str(), "99"]).await;
        // As in a single request: `GET` finds no value there, and `HEAD` fails.
        for (op, of_foreign) in [("get", 404), ("exists", 503)] {
            // Enough keys that they are not read whole in one command.
            let others = (0..20).map(|number| format!("none-{number}"));
            let keys = ["a".to_owned(), "b".to_owned()].into_iter().chain(others);
            let operations: Vec<Value> = keys.map(|key| json!({"op": op, "key": key})).collect();
            let batch = json!({"operations": operations}).to_string();
            let got = instance.calls("POST", "v1/cache:batch", &fields, &batch).await;
            let answer: Value = serde_json::from_str(got.text()).unwrap();
            let statuses = [0, 1, 2].map(|at| answer["results"][at]["status"].as_u64());
            assert_eq!(statuses, [Some(200), Some(of_foreign), Some(404)], "{op}: {answer}");
        }
    });
}

#[test]
fn of_several_idempotency_keys_none_counts() {
    on_redis(async |world| {
        let instance = world.managed("");
        let bearer = format!("Bearer {TOKEN}");
        let fields =
            [("authorization", bearer.as_str()), ("idempotency-key", "one"), ("idempotency-key", "other")];
        for path in ["v1/queues/mail/jobs", "v1/channels/orders"] {
            let got = instance.calls("POST", path, &fields, r#"{"data":1}"#).await;
            assert_eq!(got.status, 400, "{path}");
            assert!(problem(&got)["detail"].as_str().unwrap().contains("expected one line"), "{path}");
        }
    });
}

#[test]
fn a_value_is_looked_at_under_the_condition_under_which_it_is_read() {
    on_redis(async |world| {
        let instance = world.managed("");
        let bearer = format!("Bearer {TOKEN}");
        let fields = [("authorization", bearer.as_str())];
        let set = instance.calls("PUT", "v1/cache/a", &fields, "text").await;
        let (tag, other) = (set.header("etag").to_owned(), "\"0123456789abcdef0123456789abcdef\"");
        for (condition, path, status) in [
            (tag.as_str(), "v1/cache/a", 200),
            ("*", "v1/cache/a", 200),
            (other, "v1/cache/a", 412),
            (other, "v1/cache/b", 404),
            ("no tag", "v1/cache/a", 400),
        ] {
            let fields = [fields[0], ("if-match", condition)];
            for method in ["GET", "HEAD"] {
                let got = instance.calls(method, path, &fields, "").await;
                assert_eq!(got.status, status, "{method} {path} {condition}");
            }
        }
    });
}

#[test]
fn where_redis_is_switched_off_the_reason_is_said_and_nothing_is_done() {
    on_redis(async |world| {
        let off = world.instance_given(&[("admin_token", TOKEN), ("redis_enabled", "false")], "");
        let bearer = format!("Bearer {TOKEN}");
        for (method, path) in [("PUT", "v1/cache/a"), ("GET", "v1/locks/a"), ("POST", "v1/queues/a/claim")] {
            let got = off.calls(method, path, &[("authorization", &bearer)], "").await;
            let problem = problem(&got);
            assert_eq!((got.status, &problem["reason"]), (503, &json!("redis-disabled")), "{method} {path}");
            assert_eq!(problem["outcome"], "not_done", "{method} {path}");
        }
    });
}

#[test]
fn where_redis_is_away_every_503_says_whether_it_was_done() {
    on_redis(async |world| {
        let away = [("admin_token", TOKEN), ("redis_url", "redis://127.0.0.1:1"), ("session_keys", OTHER)];
        let instance = world.instance_given(&away, "");
        let bearer = format!("Bearer {TOKEN}");
        let fields = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        for (path, content) in [
            ("v1/purge", r#"{"urls":["/a"]}"#),
            ("v1/queues/a/jobs", r#"{"data":1}"#),
            ("v1/channels/a", r#"{"type":"e","data":1}"#),
            ("v1/sessions", "{}"),
            ("v1/locks/a", r#"{"ttl":30}"#),
        ] {
            let got = instance.calls("POST", path, &fields, content).await;
            assert_eq!(
                (got.status, &problem(&got)["outcome"]),
                (503, &json!("not_done")),
                "{path} {}",
                got.text()
            );
        }
    });
}

#[test]
fn a_queue_that_cannot_be_looked_at_hides_no_other() {
    on_redis(async |world| {
        let instance = world.managed("");
        let bearer = format!("Bearer {TOKEN}");
        let list = async || {
            let got = instance.calls("GET", "v1/queues", &[("authorization", &bearer)], "").await;
            (got.status, serde_json::from_str::<Value>(got.text()).unwrap())
        };
        for queue in ["mail", "other"] {
            let path = format!("v1/queues/{queue}/jobs");
            let put = instance.calls("POST", &path, &[("authorization", &bearer)], r#"{"data":1}"#).await;
            assert_eq!(put.status, 201);
        }
        let damage = async |queue| {
            let ready = Keys::new(PREFIX).queue_part(queue, "r");
            world.tell(&["SET", ready.as_str(), "x", "PX", "9000"]).await;
        };
        damage("mail").await;
        let (status, found) = list().await;
        assert_eq!(
            (status, &found["queues"][0]["name"], &found["next"]),
            (200, &json!("other"), &Value::Null)
        );
        assert_eq!(found["failed"].as_array().unwrap().len(), 1);
        assert_eq!(found["failed"][0]["name"], "mail");
        damage("other").await;
        assert_eq!(list().await.0, 503);
    });
}
