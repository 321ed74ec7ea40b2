//! The job queue over HTTP.

mod api;
mod life;
mod push;

use serde_json::Value;
use spindrift_e2e::{Gateway, Origin, Redis, Reply, Request, Response, TOKEN};

const MAIL: &str = "/_spindrift/v1/queues/mail";

struct Stage {
    redis: Redis,
    gateway: Gateway,
    _origin: Origin,
}

fn stage() -> Stage {
    let (origin, redis) = (Origin::always(Reply::ok("page")), Redis::start());
    let gateway = Gateway::before(&origin).redis(&redis).managed().start();
    Stage { redis, gateway, _origin: origin }
}

impl Stage {
    /// A request below the queue `mail` with JSON content, empty for no content.
    #[track_caller]
    fn send(&self, method: &str, path: &str, json: &str) -> Response {
        self.gateway.send(&request(method, path, json))
    }

    #[track_caller]
    fn ok(&self, method: &str, path: &str, json: &str) -> Value {
        let response = self.send(method, path, json);
        assert!((200..300).contains(&response.status), "{method} {path}: {response:?}");
        if response.status == 204 { Value::Null } else { response.json() }
    }

    #[track_caller]
    fn put(&self, json: &str) -> String {
        let put = self.ok("POST", "/jobs", json);
        put["id"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    fn claim(&self, count: usize) -> Vec<Value> {
        let claimed = self.ok("POST", "/claim", &format!("{{\"count\":{count}}}"));
        claimed["jobs"].as_array().unwrap().clone()
    }

    /// Ends every lease, as if its time were over.
    fn expire_leases(&self) {
        let leases = "sd:{q:mail}:l";
        for id in self.redis.query::<Vec<String>>(&["ZRANGE", leases, "0", "-1"]) {
            let _: i64 = self.redis.query(&["ZADD", leases, "XX", "1", &id]);
        }
    }
}

fn request(method: &str, path: &str, json: &str) -> Request {
    let request = Request::new(method, &format!("{MAIL}{path}")).bearer(TOKEN);
    if json.is_empty() { request } else { request.body(json).header("content-type", "application/json") }
}

fn with_token(job: &Value, more: &str) -> String {
    format!("{{\"token\":{}{more}}}", job["token"])
}
