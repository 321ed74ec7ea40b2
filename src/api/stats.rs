//! What was counted, over all instances.

use super::call::{Call, unavailable};
use super::reply::{self, Outcome};
use crate::env::Env;
use crate::metrics::{self, Totals};
use crate::problem::Problem;
use crate::redis::Condition;
use http::StatusCode;
use serde_json::{Value, json};

/// For people and dashboards.
pub(super) async fn json<E: Env>(call: Call<'_, E>) -> Outcome {
    let totals = totals(&call).await?;
    let mut statistics = metrics::statistics(&totals);
    if let (Some(nodes), Some(members)) = (nodes(&call), statistics.as_object_mut()) {
        members.insert("redis_nodes".to_owned(), nodes);
    }
    Ok(reply::json(StatusCode::OK, &statistics))
}

/// For Prometheus.
pub(super) async fn prometheus<E: Env>(call: Call<'_, E>) -> Outcome {
    let totals = totals(&call).await?;
    let text = metrics::prometheus(&totals, &[]);
    Ok(reply::typed(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text))
}

/// The nodes of a cluster, as this instance knows them without asking.
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

async fn totals<E: Env>(call: &Call<'_, E>) -> Result<Totals, Problem> {
    call.only_query(&[])?;
    let shared = call.shared()?;
    // What this instance has just counted belongs to it too.
    shared.metrics.flush().await;
    let counters = shared.channel.counters().await.map_err(|error| unavailable(&error))?;
    Ok(counters.into_iter().collect())
}
