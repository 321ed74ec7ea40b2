//! Ending and extending leases.

use super::form::{bad, seconds};
use super::{failed, jobs_of, shape};
use crate::api::call::Call;
use crate::api::nothing_here;
use crate::api::reply::{Outcome, json};
use crate::env::Env;
use crate::job::{JobId, LEASE, LeaseToken, MAX_DELAY, QueueName};
use crate::problem::Problem;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;

/// The default extension of a lease, in seconds.
const EXTENSION: f64 = 30.0;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Retry {
    token: Option<String>,
    delay: Option<f64>,
    error: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bury {
    token: Option<String>,
    error: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Extend {
    token: Option<String>,
    lease: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    token: Option<String>,
}

/// `POST .../jobs/{id}/{ack,retry,release,bury,extend}`
pub(super) async fn end<E: Env>(mut call: Call<'_, E>, queue: QueueName, id: &str, what: &str) -> Outcome {
    if !["ack", "retry", "release", "bury", "extend"].contains(&what) {
        return Err(nothing_here(&call));
    }
    call.only_query(&[])?;
    let id = JobId::new(id).map_err(|error| bad(&error))?;
    let jobs = jobs_of(&call)?;
    let answer = match what {
        "retry" => {
            let form: Retry = call.form(r#"{"token":"..","delay":60,"error":".."}"#).await?;
            let claimed = jobs.resume(&queue, id, token(form.token)?);
            let error = form.error.unwrap_or_default();
            match seconds("delay", form.delay, &(Duration::ZERO..=MAX_DELAY))? {
                Some(delay) => claimed.retry_after(delay, &error).await,
                None => claimed.retry(&error).await,
            }
            .map(shape::ended)
        }
        "bury" => {
            let form: Bury = call.form(r#"{"token":"..","error":".."}"#).await?;
            let claimed = jobs.resume(&queue, id, token(form.token)?);
            claimed.bury(&form.error.unwrap_or_default()).await.map(shape::ended)
        }
        "extend" => {
            let form: Extend = call.form(r#"{"token":"..","lease":30}"#).await?;
            let by = seconds("lease", Some(form.lease.unwrap_or(EXTENSION)), &LEASE)?.unwrap_or_default();
            let mut claimed = jobs.resume(&queue, id, token(form.token)?);
            let until = claimed.extend(by).await;
            until.map(|until| json!({"state": "leased", "lease_expires_at": shape::time(until)}))
        }
        "release" => {
            let form: Plain = call.form(r#"{"token":".."}"#).await?;
            jobs.resume(&queue, id, token(form.token)?).release().await.map(shape::ended)
        }
        _ => {
            let form: Plain = call.form(r#"{"token":".."}"#).await?;
            let acknowledged = jobs.resume(&queue, id, token(form.token)?).ack().await;
            acknowledged.map(|()| json!({"state": "done", "due_at": null}))
        }
    };
    answer.map(|answer| json(StatusCode::OK, &answer)).map_err(|error| failed(&error))
}

fn token(text: Option<String>) -> Result<LeaseToken, Problem> {
    let text = text.ok_or_else(|| bad(&"token: expected the token of the lease, found none"))?;
    text.parse().map_err(|error: crate::job::BadToken| bad(&format!("token: {error}")))
}
