//! Whether the instance runs, and whether Redis answers.

use super::reply::json;
use crate::app::App;
use crate::body::Body;
use crate::env::Env;
use http::{Response, StatusCode};
use serde_json::json;

/// The instance runs.
pub(super) fn instance() -> Response<Body> {
    json(StatusCode::OK, &json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

/// Redis answers.
pub(super) async fn redis<E: Env>(app: &App<E>) -> Response<Body> {
    let Some(shared) = &app.shared else {
        return json(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": "disabled"}));
    };
    let started = app.env.now();
    match shared.redis.call("PING", Vec::new()).await {
        Ok(_) => {
            let took = crate::time::millis(app.env.now().since(started));
            json(StatusCode::OK, &json!({"status": "ok", "latency_ms": took}))
        }
        Err(error) => {
            let value = json!({"status": "unavailable", "reason": error.reason()});
            json(StatusCode::SERVICE_UNAVAILABLE, &value)
        }
    }
}
