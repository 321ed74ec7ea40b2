//! Warming over HTTP.

use super::call::Call;
use super::reply::{Outcome, json};
use crate::env::Env;
use crate::pipeline::warm::{Warm, warm};
use crate::problem::Problem;
use http::StatusCode;
use serde_json::json;

/// Fetches URLs into the cache, and answers when that is done.
pub(super) async fn serve<E: Env>(mut call: Call<'_, E>) -> Outcome {
    call.only_query(&[])?;
    call.shared()?;
    let wanted: Warm = call.json(r#"{"urls":[]}"#).await?;
    let targets = wanted.targets().map_err(|problems| {
        Problem::new(StatusCode::BAD_REQUEST, "some URLs cannot be warmed").with("errors", problems)
    })?;
    let warmed = warm(call.app, targets).await;
    let stored = warmed.iter().filter(|it| it.stored).count();
    Ok(json(StatusCode::OK, &json!({"stored": stored, "results": warmed})))
}
