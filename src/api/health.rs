//! Health checks of the instance and of Redis.

use super::reply::json;
use crate::app::App;
use crate::body::Body;
use crate::env::Env;
use crate::redis::{ClusterState, NodeState};
use http::{Response, StatusCode};
use serde_json::{Value, json};

/// Reports that the instance runs.
pub(super) fn instance() -> Response<Body> {
    json(StatusCode::OK, &json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

/// Reports whether Redis answers.
pub(super) async fn redis<E: Env>(app: &App<E>) -> Response<Body> {
    let Some(shared) = &app.shared else {
        return json(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": "disabled"}));
    };
    if let Some(state) = shared.redis.probe().await {
        return cluster(&state);
    }
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

/// Reports whether every slot of the cluster is served.
fn cluster(state: &ClusterState) -> Response<Body> {
    let nodes: Vec<_> = state.nodes.iter().map(node).collect();
    let (code, status) = match (state.is_whole(), state.serves_some()) {
        (true, _) => (StatusCode::OK, "ok"),
        (false, true) => (StatusCode::SERVICE_UNAVAILABLE, "degraded"),
        (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    };
    json(code, &json!({"status": status, "nodes": nodes, "slots_without_owner": state.unowned}))
}

fn node(state: &NodeState) -> Value {
    let node = state.place.to_string();
    match &state.answer {
        Ok(took) => json!({"node": node, "status": "ok", "latency_ms": crate::time::millis(*took)}),
        Err(error) => json!({"node": node, "status": "unavailable", "reason": error.reason()}),
    }
}
