//! The running server and its description agree: every operation is called in every possible way, valid and invalid,
//! with Redis and without.

mod description;
mod schema;

use crate::support::exchange::{Got, request};
use crate::support::{Instance, World, on_redis};
use description::{Description, Operation};
use serde_json::{Value, json};
use spindrift::body::Body;
use spindrift::pipeline;
use std::cell::RefCell;
use std::collections::BTreeSet;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const KEYS: (&str, &str) = ("session_keys", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");

const CONFIG: &str = r#"
[metrics]
enabled = true
[api]
failures = 0
[[limit]]
name = "per-client"
limit = 5
period = "1h"
[[limit]]
name = "slots"
algorithm = "concurrency"
limit = 2
[[queue]]
name = "mail"
[[queue]]
name = "pushed"
target = "http://hooks.test/"
[[webhook]]
name = "hook"
topics = ["orders"]
target = "http://hooks.test/"
[topics]
allow_origins = ["https://pages.example"]
"#;

/// A client that checks every response against the description.
struct Client<'w> {
    instance: Instance,
    description: Description,
    used: RefCell<BTreeSet<(String, String, u16)>>,
    token: Option<&'w str>,
}

impl<'w> Client<'w> {
    async fn new(world: &World, given: &[(&str, &str)], token: Option<&'w str>) -> Self {
        let mut all = vec![KEYS];
        all.extend(given);
        let instance = world.instance_given(&all, CONFIG);
        let document = instance.get("http://h/_spindrift/openapi.json").await;
        let description = Description(serde_json::from_str(document.text()).unwrap());
        Self { instance, description, used: RefCell::default(), token }
    }

    /// Sends a request below `/_spindrift/` and checks the response.
    async fn send(&self, method: &str, target: &str, fields: &[(&str, &str)], content: &str) -> Got {
        let target = format!("/_spindrift/{target}");
        let bearer = self.token.map(|token| format!("Bearer {token}"));
        let bearer = bearer.as_deref().map(|bearer| ("authorization", bearer));
        let own = bearer.into_iter().filter(|_| !fields.iter().any(|(name, _)| *name == "authorization"));
        let fields: Vec<_> =
            own.chain(fields.iter().copied()).filter(|(_, value)| !value.is_empty()).collect();
        let body = Body::from(content.as_bytes().to_vec());
        let got = self.receive(request(method, &format!("http://h{target}"), &fields, body)).await;
        let operation = self.description.operation(method, &target);
        let operation = operation.unwrap_or_else(|| panic!("{method} {target} is not described"));
        let wrong = self.description.judge(&operation, &got);
        assert!(wrong.is_empty(), "{method} {target} {content}: {wrong:#?}\n{got:?}");
        assert_eq!(got.header("cache-control"), "no-store", "{method} {target}");
        self.used.borrow_mut().insert((operation.path.to_owned(), operation.method, got.status));
        got
    }

    /// A stream does not end while the clock stands still, so its content is not read.
    async fn receive(&self, request: http::Request<Body>) -> Got {
        let response = Box::pin(pipeline::serve(&self.instance.app, request)).await;
        let (head, body) = response.into_parts();
        let streams = head.headers.get("content-type").is_some_and(|it| it == "text/event-stream");
        let body =
            if streams { Ok(bytes::Bytes::from_static(b"...")) } else { body.collect(usize::MAX).await };
        Got { status: head.status.as_u16(), headers: head.headers, body }
    }

    /// The same, with JSON and a certain status.
    async fn ask(&self, status: u16, method: &str, target: &str, content: Value) -> Value {
        let text = if content.is_null() { String::new() } else { content.to_string() };
        let got = self.send(method, target, &[("content-type", "application/json")], &text).await;
        assert_eq!(got.status, status, "{method} {target}: {got:?}");
        self.agrees(method, target, &content, got.status);
        serde_json::from_slice(got.body.as_ref().unwrap()).unwrap_or_default()
    }

    /// Content that the server accepted must be valid in the description.
    fn agrees(&self, method: &str, target: &str, content: &Value, status: u16) {
        let operation = self.description.operation(method, &format!("/_spindrift/{target}")).unwrap();
        let schema = self.description.content(&operation).filter(|_| !content.is_null() && status < 300);
        if let Some(schema) = schema {
            let wrong = schema::mistakes(&self.description.0, schema, content);
            assert!(wrong.is_empty(), "{method} {target} was taken: {wrong:#?}");
        }
    }

    /// A job of the queue, claimed: its id and its token.
    async fn claimed(&self) -> (String, String) {
        self.ask(201, "POST", "v1/queues/mail/jobs", json!({"data": 1})).await;
        let claimed = self.ask(200, "POST", "v1/queues/mail/claim", json!({"lease": 30, "count": 1})).await;
        let job = &claimed["jobs"][0];
        (job["id"].as_str().unwrap().to_owned(), job["token"].as_str().unwrap().to_owned())
    }
}

async fn use_what_is_public(client: &Client<'_>) {
    for path in ["", "health", "health/redis", "openapi.json", "stats", "metrics"] {
        assert_eq!(client.send("GET", path, &[], "").await.status, 200, "{path}");
    }
}

async fn use_purge_and_warm(client: &Client<'_>) {
    let all = json!({
        "urls": ["http://h/a", "/b"], "tags": ["t"], "patterns": ["*.css"], "prefixes": ["/img/"],
        "groups": [{"origin": "https://h", "group": "g"}], "soft": true,
    });
    client.ask(200, "POST", "v1/purge", all).await;
    client.ask(400, "POST", "v1/purge", json!({"urls": ["x"]})).await;
    client.ask(200, "POST", "v1/warm", json!({"urls": ["http://h/a", "http://h/b"]})).await;
    client.ask(400, "POST", "v1/warm", json!({"urls": ["/a"]})).await;
}

async fn use_limits(client: &Client<'_>) {
    let key = json!({"key": "192.0.2.1"});
    client.ask(200, "GET", "v1/limits", Value::Null).await;
    for what in ["check", "peek"] {
        client
            .ask(200, "POST", &format!("v1/limits/per-client/{what}"), json!({"key": "192.0.2.1", "cost": 2}))
            .await;
        client.ask(404, "POST", &format!("v1/limits/nothing/{what}"), key.clone()).await;
        client.ask(400, "POST", &format!("v1/limits/per-client/{what}"), json!({})).await;
        let several = json!({"checks": [{"policy": "per-client", "key": "192.0.2.2"}, {"policy": "slots", "key": "192.0.2.2"}]});
        client.ask(200, "POST", &format!("v1/limits/{what}"), several).await;
        client
            .ask(400, "POST", &format!("v1/limits/{what}"), json!({"checks": [{"policy": "x", "key": "a"}]}))
            .await;
    }
    let own = json!({"key": ["a", "b"], "limit": 3, "period": 60, "algorithm": "window", "mode": "closed"});
    client.ask(200, "POST", "v1/limits/own/check", own).await;
    let leased = client.ask(200, "POST", "v1/limits/slots/check", key.clone()).await;
    let lease = leased["lease"].as_str().unwrap();
    client.ask(200, "POST", "v1/limits/slots/refund", json!({"key": "192.0.2.1", "lease": lease})).await;
    client.ask(200, "POST", "v1/limits/per-client/refund", json!({"key": "192.0.2.1", "cost": 1})).await;
    client.ask(400, "POST", "v1/limits/slots/refund", key.clone()).await;
    client.ask(404, "POST", "v1/limits/nothing/refund", key.clone()).await;
    client.ask(200, "POST", "v1/limits/per-client/penalty", json!({"key": "192.0.2.1", "cost": 5})).await;
    client.ask(200, "POST", "v1/limits/per-client/penalty", json!({"key": "192.0.2.1", "block": 60})).await;
    client.ask(404, "POST", "v1/limits/nothing/penalty", key.clone()).await;
    client.ask(200, "POST", "v1/limits/per-client/check", key).await;
    client.ask(204, "DELETE", "v1/limits/per-client?key=192.0.2.1", Value::Null).await;
    client.ask(400, "DELETE", "v1/limits/per-client", Value::Null).await;
}

/// Logs users in: the data of a visitor is taken along, that of another user is not.
async fn log_in(client: &Client<'_>) {
    let new = client.ask(201, "POST", "v1/sessions", json!({"data": {"a": 1}})).await;
    let mut id = new["id"].as_str().unwrap().to_owned();
    for (user, data) in [("eve", json!({"a": 1})), ("ben", json!({}))] {
        let login = client.ask(200, "POST", &format!("v1/sessions/{id}/rotate"), json!({"user": user})).await;
        let opened = client.ask(200, "POST", "v1/sessions:verify", json!({"token": login["token"]})).await;
        assert_eq!((&opened["user"], &opened["data"]), (&json!(user), &data));
        login["id"].as_str().unwrap().clone_into(&mut id);
    }
    let place = format!("v1/sessions/{id}/rotate");
    let span = |it: &Value, from: &str, to: &str| it[to].as_u64().unwrap() - it[from].as_u64().unwrap();
    client.ask(400, "POST", &place, json!({"max_age": 60})).await;
    client.ask(400, "POST", &place, json!({"user": "eve", "ttl": 0})).await;
    let renewed = client.ask(200, "POST", &place, json!({"ttl": 7000})).await;
    assert!((6999..8000).contains(&span(&renewed, "created_at", "expires_at")), "{renewed}");
    let kept = client.ask(200, "POST", &place, json!({"user": "ben", "max_age": 60})).await;
    assert_eq!(kept["ends_at"], renewed["ends_at"], "it is ben's already");
    let login = client.ask(200, "POST", &place, json!({"user": "eve", "ttl": 60, "max_age": 900})).await;
    assert_eq!(span(&login, "created_at", "ends_at"), 900);
    assert!((59..=61).contains(&span(&login, "created_at", "expires_at")), "{login}");
}

async fn use_sessions(client: &Client<'_>) {
    let new =
        client.ask(201, "POST", "v1/sessions", json!({"user": "ann", "data": {"a": 1}, "ttl": 60})).await;
    let (id, token) = (new["id"].as_str().unwrap(), new["token"].as_str().unwrap());
    let of_nobody = client.ask(201, "POST", "v1/sessions", Value::Null).await;
    assert_eq!((&of_nobody["user"], &of_nobody["data"]), (&Value::Null, &json!({})));
    client.ask(200, "POST", "v1/sessions:verify", json!({"token": token})).await;
    client.ask(404, "POST", "v1/sessions:verify", json!({"token": "nonsense"})).await;
    let one = format!("v1/sessions/{id}");
    client.ask(200, "GET", &one, Value::Null).await;
    client.ask(200, "GET", &format!("{one}?touch=true"), Value::Null).await;
    client.ask(400, "GET", &format!("{one}?touch=yes"), Value::Null).await;
    client.ask(200, "PUT", &one, json!({"data": {"b": [null, "x"]}})).await;
    client.ask(200, "PATCH", &one, json!({"data": {"b": null, "c": {}}, "ttl": 60})).await;
    client.ask(400, "PATCH", &one, json!({"data": 1})).await;
    let stale = client.send("PUT", &one, &[("if-match", "\"nothing\"")], r#"{"data":{}}"#).await;
    assert!([400, 412].contains(&stale.status), "{stale:?}");
    client.ask(200, "POST", &format!("{one}/rotate"), Value::Null).await;
    log_in(client).await;
    client.ask(201, "PUT", "v1/sessions/cart-1", json!({"data": {}})).await;
    client.ask(200, "PUT", "v1/sessions/cart-1", json!({"data": {}})).await;
    client.ask(409, "POST", "v1/sessions", json!({"id": "cart-1", "data": {}})).await;
    client.ask(409, "POST", "v1/sessions/cart-1/rotate", json!({})).await;
    client.ask(200, "GET", "v1/users/ann/sessions", Value::Null).await;
    client.ask(200, "DELETE", "v1/users/ann/sessions", Value::Null).await;
    client.ask(400, "DELETE", "v1/users/ann/sessions?except=x", Value::Null).await;
    client.ask(400, "DELETE", &format!("v1/users/ann/sessions?except={id}&except={id}"), Value::Null).await;
    for (method, content) in [("GET", Value::Null), ("PATCH", json!({"data": {}}))] {
        client.ask(404, method, &one, content).await;
    }
    client.ask(204, "DELETE", "v1/sessions/cart-1", Value::Null).await;
    client.ask(400, "GET", "v1/users/%01/sessions", Value::Null).await;
}

async fn use_values(client: &Client<'_>) {
    let put = client.send("PUT", "v1/cache/a?ttl=60&tags=t", &[("content-type", "text/plain")], "x").await;
    assert_eq!(put.status, 201);
    assert_eq!(client.send("PUT", "v1/cache/a", &[], "y").await.status, 204);
    let etag = client.send("GET", "v1/cache/a", &[], "").await;
    let etag = etag.header("etag").to_owned();
    assert_eq!(client.send("GET", "v1/cache/a", &[("if-none-match", &etag)], "").await.status, 304);
    assert_eq!(client.send("GET", "v1/cache/a", &[("if-match", "\"x\"")], "").await.status, 412);
    assert_eq!(client.send("HEAD", "v1/cache/a", &[], "").await.status, 200);
    assert_eq!(client.send("HEAD", "v1/cache/a", &[("if-none-match", &etag)], "").await.status, 304);
    assert_eq!(client.send("HEAD", "v1/cache/none", &[], "").await.status, 404);
    assert_eq!(client.send("PUT", "v1/cache/a", &[("if-none-match", "*")], "z").await.status, 412);
    assert_eq!(client.send("PUT", "v1/cache/a", &[("content-encoding", "gzip")], "z").await.status, 415);
    assert_eq!(client.send("PUT", "v1/cache/a?ttl=-1", &[], "z").await.status, 400);
    assert_eq!(client.send("DELETE", "v1/cache/a", &[("if-match", "\"x\"")], "").await.status, 412);
    client.ask(404, "GET", "v1/cache/filled?lease=5", Value::Null).await;
    client.ask(202, "GET", "v1/cache/filled?lease=5", Value::Null).await;
    client.ask(204, "DELETE", "v1/cache/a", Value::Null).await;
    client.ask(200, "DELETE", "v1/cache?match=user:*&tag=t", Value::Null).await;
    client.ask(400, "DELETE", "v1/cache", Value::Null).await;
    let batch = json!({"operations": [
        {"op": "set", "key": "b", "value": {"c": null}, "ttl": 5, "tags": ["t"]},
        {"op": "set", "key": "d", "text": "e", "type": "text/css"},
        {"op": "get", "key": "filled"}, {"op": "get", "key": "none"}, {"op": "exists", "key": "f"}, {"op": "delete", "key": "g"},
    ]});
    client.ask(200, "POST", "v1/cache:batch", batch).await;
    client.ask(400, "POST", "v1/cache:batch", json!({"operations": []})).await;
}

async fn use_locks(client: &Client<'_>) {
    let held = client.ask(200, "POST", "v1/locks/a", json!({"ttl": 30, "wait": 0})).await;
    client.ask(409, "POST", "v1/locks/a", json!({"ttl": 30})).await;
    client.ask(400, "POST", "v1/locks/a", json!({"ttl": -1})).await;
    client.ask(200, "GET", "v1/locks/a", Value::Null).await;
    client.ask(200, "PUT", "v1/locks/a", json!({"token": held["token"], "ttl": 30})).await;
    client.ask(409, "PUT", "v1/locks/a", json!({"token": "another", "ttl": 30})).await;
    client.ask(200, "DELETE", "v1/locks/a", json!({"token": held["token"]})).await;
    client.ask(200, "DELETE", "v1/locks/a?token=another", Value::Null).await;
    client.ask(200, "POST", "v1/fences/a/check", json!({"fence": 17})).await;
    client.ask(409, "POST", "v1/fences/a/check", json!({"fence": 16})).await;
    client.ask(200, "GET", "v1/locks/none", Value::Null).await;
}

async fn use_channels(client: &Client<'_>) {
    client.ask(200, "POST", "v1/channels/orders", json!({"data": {"a": 1}, "type": "created"})).await;
    client.ask(200, "POST", "v1/channels/orders", json!([{"data": "x"}, {"data": null}])).await;
    client.ask(200, "POST", "v1/channels/orders?durable=false", json!({"data": "x"})).await;
    for (content, status) in [("1", 200), ("1", 200), ("2", 422)] {
        let fields = [("content-type", "text/plain"), ("idempotency-key", "k")];
        assert_eq!(client.send("POST", "v1/channels/orders?type=t", &fields, content).await.status, status);
    }
    client.ask(400, "POST", "v1/channels/__x", json!({"data": 1})).await;
    assert_eq!(client.send("GET", "v1/channels/orders?last_event_id=earliest", &[], "").await.status, 200);
    let token = client.ask(200, "POST", "v1/channels:token", json!({"topics": ["orders"], "ttl": 60})).await;
    let token = token["token"].as_str().unwrap();
    let bare = [("authorization", "")];
    assert_eq!(client.send("GET", &format!("v1/channels/orders?token={token}"), &bare, "").await.status, 200);
    assert_eq!(client.send("GET", &format!("v1/channels/other?token={token}"), &bare, "").await.status, 403);
    let page = [("origin", "https://pages.example"), ("access-control-request-method", "GET")];
    assert_eq!(client.send("OPTIONS", "v1/channels/orders", &page, "").await.status, 204);
}

async fn use_queues(client: &Client<'_>) {
    let jobs = json!({"data": {"to": "Ann"}, "delay": 1.5, "priority": 5, "max_attempts": 3});
    client.ask(201, "POST", "v1/queues/mail/jobs", jobs).await;
    client
        .ask(
            201,
            "POST",
            "v1/queues/mail/jobs",
            json!({"jobs": [{"data": 1, "idempotency_key": "a"}, {"data": null}]}),
        )
        .await;
    for (content, status) in [(r#"{"data":1}"#, 201), (r#"{"data":1}"#, 200), (r#"{"data":2}"#, 422)] {
        let got = client.send("POST", "v1/queues/mail/jobs", &[("idempotency-key", "k")], content).await;
        assert_eq!(got.status, status);
    }
    client.ask(200, "GET", "v1/queues", Value::Null).await;
    client.ask(200, "GET", "v1/queues/mail", Value::Null).await;
    client.ask(200, "POST", "v1/queues/mail/dequeue", json!({"wait": 0})).await;
    for _ in 0..5 {
        client.ask(200, "POST", "v1/queues/mail/dequeue", Value::Null).await;
    }
    use_leases(client).await;
    client.ask(200, "POST", "v1/queues/mail/pause", Value::Null).await;
    client.ask(200, "POST", "v1/queues/mail/claim", json!({})).await;
    client.ask(200, "GET", "v1/queues/mail", Value::Null).await;
    client.ask(200, "POST", "v1/queues/mail/resume", Value::Null).await;
    client.ask(200, "POST", "v1/queues:tick", json!({"budget": 1})).await;
    let schedule = json!({"cron": "*/5 * * * *", "data": 1, "missed": "skip", "priority": 1});
    client.ask(201, "PUT", "v1/queues/mail/schedules/s", schedule.clone()).await;
    client.ask(200, "PUT", "v1/queues/mail/schedules/s", schedule).await;
    client.ask(200, "GET", "v1/queues/mail/schedules", Value::Null).await;
    client.ask(200, "GET", "v1/queues/mail/schedules/s", Value::Null).await;
    client.ask(204, "DELETE", "v1/queues/mail/schedules/s", Value::Null).await;
    client.ask(404, "GET", "v1/queues/mail/schedules/s", Value::Null).await;
    client.ask(404, "DELETE", "v1/queues/mail/schedules/s", Value::Null).await;
}

async fn use_leases(client: &Client<'_>) {
    for (what, more) in [
        ("ack", json!({})),
        ("retry", json!({"delay": 1, "error": "busy"})),
        ("release", json!({})),
        ("extend", json!({"lease": 60})),
    ] {
        let (id, token) = client.claimed().await;
        let mut content = more;
        content["token"] = token.as_str().into();
        let place = format!("v1/queues/mail/jobs/{id}");
        client.ask(200, "GET", &place, Value::Null).await;
        client.ask(409, "DELETE", &place, Value::Null).await;
        client.ask(200, "POST", &format!("{place}/{what}"), content).await;
        client.ask(409, "POST", &format!("{place}/bury"), json!({"token": "1.abc"})).await;
        client.ask(404, "POST", &format!("v1/queues/mail/jobs/none/{what}"), json!({"token": "1.abc"})).await;
        client.ask(200, "GET", &place, Value::Null).await;
    }
    let mut buried = Vec::new();
    while buried.len() < 4 {
        let (id, token) = client.claimed().await;
        let error = json!({"token": token, "error": "no such address"});
        client.ask(200, "POST", &format!("v1/queues/mail/jobs/{id}/bury"), error).await;
        buried.push(id);
    }
    client.ask(200, "GET", "v1/queues/mail/dead?limit=1", Value::Null).await;
    client.ask(200, "POST", &format!("v1/queues/mail/dead/{}/replay", buried[0]), Value::Null).await;
    client.ask(404, "POST", "v1/queues/mail/dead/none/replay", Value::Null).await;
    client.ask(204, "DELETE", &format!("v1/queues/mail/dead/{}", buried[1]), Value::Null).await;
    client.ask(404, "DELETE", "v1/queues/mail/dead/none", Value::Null).await;
    client.ask(200, "POST", "v1/queues/mail/dead/replay", Value::Null).await;
    client.ask(200, "DELETE", "v1/queues/mail/dead", Value::Null).await;
    client.ask(200, "DELETE", "v1/queues/mail/jobs?state=ready&state=dead", Value::Null).await;
    client.ask(200, "DELETE", "v1/queues/mail/jobs", Value::Null).await;
    client.ask(400, "DELETE", "v1/queues/mail/jobs?state=leased", Value::Null).await;
    let waiting = client.ask(201, "POST", "v1/queues/mail/jobs", json!({"data": 1, "delay": 60})).await;
    let place = format!("v1/queues/mail/jobs/{}", waiting["id"].as_str().unwrap());
    client.ask(204, "DELETE", &place, Value::Null).await;
    client.ask(404, "GET", "v1/queues/mail/jobs/none", Value::Null).await;
}

/// A path for an operation, with any values for its parameters.
fn place(operation: &Operation<'_>) -> String {
    let parts = operation.path.strip_prefix("/_spindrift/").unwrap().split('/');
    let parts: Vec<&str> = parts.map(|part| if part.starts_with('{') { "x" } else { part }).collect();
    parts.join("/")
}

fn is_public(operation: &Operation<'_>) -> bool {
    operation.said["security"].as_array().is_some_and(Vec::is_empty)
}

#[test]
fn every_operation_used_rightly_answers_as_described() {
    on_redis(async |world| {
        let client = Client::new(world, &[("admin_token", TOKEN)], Some(TOKEN)).await;
        use_what_is_public(&client).await;
        use_purge_and_warm(&client).await;
        use_limits(&client).await;
        use_sessions(&client).await;
        use_values(&client).await;
        use_locks(&client).await;
        use_channels(&client).await;
        use_queues(&client).await;
        use_what_is_public(&client).await;
        let used = client.used.borrow().clone();
        for operation in client.description.operations() {
            let statuses: Vec<u16> = used
                .iter()
                .filter(|(path, method, _)| path == operation.path && *method == operation.method)
                .map(|(_, _, status)| *status)
                .collect();
            assert!(
                statuses.iter().any(|it| (200..300).contains(it)),
                "{} {}",
                operation.method,
                operation.path
            );
        }
        client.instance.env.settle().await;
    });
}

#[test]
fn every_operation_used_wrongly_answers_as_described() {
    on_redis(async |world| {
        let client = Client::new(world, &[("admin_token", TOKEN)], Some(TOKEN)).await;
        for operation in client.description.operations() {
            let (method, place) = (operation.method.as_str(), place(&operation));
            if method == "OPTIONS" {
                continue;
            }
            let got = async |target: &str, fields: &[(&str, &str)], content: &str| {
                client.send(method, target, fields, content).await.status
            };
            assert_eq!(got(&format!("{place}?a=%zz"), &[], "").await, 400, "{method} {place}");
            assert_eq!(got(&format!("{place}?a=%ff"), &[], "").await, 400, "{method} {place}");
            if !is_public(&operation) {
                for wrong in ["", "Bearer x", "Basic x"] {
                    let fields = [("authorization", wrong)];
                    assert_eq!(got(&place, &fields, "").await, 401, "{method} {place} {wrong}");
                }
                assert_eq!(got(&format!("{place}?nonsense=1"), &[], "").await, 400, "{method} {place}");
            }
            if client.description.content(&operation).is_some() {
                for wrong in [
                    "{",
                    "[[]]",
                    r#"[["http://h/a"],[],[],[],[],true]"#,
                    "nonsense",
                    "1",
                    r#"{"nonsense":1}"#,
                    "\u{0}",
                ] {
                    assert_eq!(got(&place, &[], wrong).await, 400, "{method} {place} {wrong}");
                }
                let fields = [("content-type", "text/html")];
                assert_eq!(got(&place, &fields, "{}").await, 415, "{method} {place}");
                let fields = [("content-encoding", "gzip")];
                assert_eq!(got(&place, &fields, "{}").await, 415, "{method} {place}");
                let long = " ".repeat((16 << 20) + 1);
                assert_eq!(got(&place, &[], &long).await, 413, "{method} {place}");
            }
        }
    });
}

#[test]
fn without_redis_and_without_a_token_answers_are_as_described() {
    on_redis(async |world| {
        let (away, off) = (("redis_url", "redis://127.0.0.1:1"), ("redis_enabled", "false"));
        let token = ("admin_token", TOKEN);
        for (given, statuses) in
            [(vec![away, token], [200, 503]), (vec![off, token], [200, 503]), (vec![away], [200, 403])]
        {
            let client = Client::new(world, &given, Some(TOKEN)).await;
            for operation in client.description.operations() {
                let (method, place) = (operation.method.as_str(), place(&operation));
                let page = [("origin", "https://pages.example"), ("access-control-request-method", "GET")];
                let fields = if method == "OPTIONS" { &page[..] } else { &[] };
                let status = client.send(method, &place, fields, "").await.status;
                let other = given.contains(&token) && [202, 204, 400, 404, 409].contains(&status);
                assert!(
                    statuses.contains(&status)
                        || other
                        || (method == "OPTIONS" && status == 204)
                        || (status == 503 && place == "health/redis"),
                    "{method} {place}: {status}"
                );
            }
        }
    });
}

#[test]
fn no_method_is_served_that_is_not_described() {
    on_redis(async |world| {
        let client = Client::new(world, &[("admin_token", TOKEN)], Some(TOKEN)).await;
        let bearer = format!("Bearer {TOKEN}");
        for operation in client.description.operations() {
            let place = place(&operation);
            // In place of a literal segment a parameter may match as well.
            let methods: BTreeSet<String> = client
                .description
                .operations()
                .iter()
                .filter(|other| {
                    let (one, other): (Vec<_>, Vec<_>) =
                        (operation.path.split('/').collect(), other.path.split('/').collect());
                    one.len() == other.len()
                        && one.iter().zip(&other).all(|(one, other)| {
                            one == other || (other.starts_with('{') && !other.contains("key"))
                        })
                })
                .map(|other| other.method.clone())
                .chain(["OPTIONS".to_owned()])
                .collect();
            let url = format!("http://h/_spindrift/{place}");
            let brewed =
                client.receive(request("BREW", &url, &[("authorization", &bearer)], Body::Empty)).await;
            let allowed: BTreeSet<String> =
                brewed.header("allow").split(", ").map(str::to_owned).filter(|it| it != "HEAD").collect();
            let methods: BTreeSet<String> = methods.into_iter().filter(|it| it != "HEAD").collect();
            assert_eq!((brewed.status, &allowed), (405, &methods), "{place}");
            let asked = client.receive(request("OPTIONS", &url, &[], Body::Empty)).await;
            assert_eq!((asked.status, asked.header("allow")), (204, brewed.header("allow")), "{place}");
        }
        for nothing in [
            "x",
            "health/",
            "health/x",
            "v1",
            "v1/",
            "v1/purge/",
            "v1/locks",
            "v1/queues/q/jobs/x/steal",
            "v2/purge",
        ] {
            let url = format!("http://h/_spindrift/{nothing}");
            let got = client.receive(request("GET", &url, &[("authorization", &bearer)], Body::Empty)).await;
            assert_eq!(
                (got.status, got.header("content-type")),
                (404, "application/problem+json"),
                "{nothing}"
            );
        }
    });
}

#[test]
fn head_is_get_without_content() {
    on_redis(async |world| {
        let client = Client::new(world, &[("admin_token", TOKEN)], Some(TOKEN)).await;
        let bearer = format!("Bearer {TOKEN}");
        for operation in client.description.operations().iter().filter(|one| one.method == "GET") {
            let url = format!("http://h/_spindrift/{}", place(operation));
            let fields = [("authorization", bearer.as_str())];
            let got = client.receive(request("GET", &url, &fields, Body::Empty)).await;
            let head = client.receive(request("HEAD", &url, &fields, Body::Empty)).await;
            assert_eq!(
                (head.status, head.header("content-type")),
                (got.status, got.header("content-type")),
                "{url}"
            );
            if got.header("content-type") != "text/event-stream" {
                assert!(head.body.unwrap().is_empty(), "{url}");
            }
        }
    });
}
