//! Purging over HTTP.

use super::call::{Call, unavailable};
use super::reply::{Outcome, json};
use crate::env::Env;
use crate::problem::Problem;
use crate::purge::Purge;
use http::StatusCode;
use serde_json::json;
use std::time::Duration;

/// How long a sweep may free the space of what was purged, after the answer.
const SWEEP: Duration = Duration::from_secs(20);

/// Purges at once, then announces it.
pub(super) async fn purge<E: Env>(mut call: Call<'_, E>) -> Outcome {
    call.only_query(&[])?;
    let shared = call.shared()?;
    let purge: Purge =
        call.json(r#"{"urls":[],"tags":[],"patterns":[],"prefixes":[],"groups":[],"soft":false}"#).await?;
    let targets = purge.targets().map_err(|problems| {
        Problem::new(StatusCode::BAD_REQUEST, "some purge targets are not valid").with("errors", problems)
    })?;
    let report = shared.purger.purge(&targets, purge.soft).await.map_err(|error| unavailable(&error))?;
    if report.ledger > 0 && !purge.soft {
        let purger = shared.purger.clone();
        call.app.env.spawn(async move { purger.sweep(SWEEP).await });
    }
    let announced = shared.channel.announce_purge(&purge).await;
    if let Err(error) = &announced {
        call.app.env.log(&format!("a purge was done but not announced: {error}"));
    }
    let value = json!({"urls": report.urls, "ledger": report.ledger, "message": announced.ok()});
    Ok(json(StatusCode::OK, &value))
}
