//! What was counted, over all instances.

use super::call::{Call, unavailable};
use super::reply::{self, Outcome};
use crate::env::Env;
use crate::metrics::{self, Totals};
use crate::problem::Problem;
use http::StatusCode;

/// For people and dashboards.
pub(super) async fn json<E: Env>(call: Call<'_, E>) -> Outcome {
    let totals = totals(&call).await?;
    Ok(reply::json(StatusCode::OK, &metrics::statistics(&totals)))
}

/// For Prometheus.
pub(super) async fn prometheus<E: Env>(call: Call<'_, E>) -> Outcome {
    let totals = totals(&call).await?;
    let text = metrics::prometheus(&totals, &[]);
    Ok(reply::typed(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text))
}

async fn totals<E: Env>(call: &Call<'_, E>) -> Result<Totals, Problem> {
    call.only_query(&[])?;
    let shared = call.shared()?;
    // What this instance has just counted belongs to it too.
    shared.metrics.flush().await;
    let counters = shared.channel.counters().await.map_err(|error| unavailable(&error))?;
    Ok(counters.into_iter().collect())
}
