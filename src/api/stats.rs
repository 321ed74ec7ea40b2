//! What was counted over all instances, and how things stand.

use super::call::Call;
use super::gauges::look;
use super::reply::{self, Outcome};
use crate::env::Env;
use crate::metrics::{self, Totals};
use http::StatusCode;
use serde_json::Value;

/// For people and dashboards. Without Redis what is counted there is not known: `null`.
pub(super) async fn json<E: Env>(call: Call<'_, E>) -> Outcome {
    call.only_query(&[])?;
    let seen = look(call.app).await;
    let mut shown = metrics::statistics(seen.totals().unwrap_or(&Totals::new()));
    if seen.totals().is_none() {
        shown["requests"] = Value::Null;
    }
    if let (Value::Object(shown), Value::Object(state)) = (&mut shown, seen.json()) {
        shown.extend(state);
    }
    Ok(reply::json(StatusCode::OK, &shown))
}

/// For Prometheus. Without Redis there are gauges alone, and one of them says so.
pub(super) async fn prometheus<E: Env>(call: Call<'_, E>) -> Outcome {
    call.only_query(&[])?;
    let seen = look(call.app).await;
    let text = metrics::prometheus(seen.totals().unwrap_or(&Totals::new()), &seen.gauges());
    Ok(reply::typed(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text))
}
