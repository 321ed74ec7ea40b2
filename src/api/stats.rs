//! The counters of all instances, and the current state.

use super::call::Call;
use super::gauges::look;
use super::reply::{self, Outcome};
use crate::env::Env;
use crate::metrics::{self, Totals};
use crate::redis::Condition;
use http::StatusCode;
use serde_json::{Value, json};

/// Answers for people and dashboards. Without Redis the counters are unknown: `null`.
pub(super) async fn json<E: Env>(call: Call<'_, E>) -> Outcome {
    call.only_query(&[])?;
    let seen = look(call.app).await;
    let mut shown = metrics::statistics(seen.totals().unwrap_or(&Totals::new()));
    if seen.totals().is_none() {
        shown["requests"] = Value::Null;
        shown["values"] = Value::Null;
    }
    if let (Value::Object(shown), Value::Object(state)) = (&mut shown, seen.json()) {
        shown.extend(state);
        shown.extend(nodes(&call).map(|nodes| ("redis_nodes".to_owned(), nodes)));
    }
    Ok(reply::json(StatusCode::OK, &shown))
}

/// Answers for Prometheus. Without Redis there are only gauges, one of which says so.
pub(super) async fn prometheus<E: Env>(call: Call<'_, E>) -> Outcome {
    call.only_query(&[])?;
    let seen = look(call.app).await;
    let text = metrics::prometheus(seen.totals().unwrap_or(&Totals::new()), &seen.gauges());
    Ok(reply::typed(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text))
}

/// Returns the nodes of a cluster, as this instance knows them without asking.
fn nodes<E: Env>(call: &Call<'_, E>) -> Option<Value> {
    let known = call.shared().ok()?.redis.nodes().into_iter();
    let nodes: Vec<Value> = known.map(|(place, condition)| node(&place.to_string(), &condition)).collect();
    (!nodes.is_empty()).then(|| nodes.into())
}

fn node(place: &str, condition: &Condition) -> Value {
    match condition {
        Condition::Unused => json!({"node": place, "state": "unused"}),
        Condition::Connected => json!({"node": place, "state": "connected"}),
        Condition::Down { last, failures } => {
            json!({"node": place, "state": "down", "reason": last, "failures": failures})
        }
    }
}
