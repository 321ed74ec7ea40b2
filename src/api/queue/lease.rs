//! Ending and extending leases.

use super::form::{bad, seconds};
use super::{failed, jobs_of, shape};
use crate::api::call::Call;
use crate::api::nothing_here;
use crate::api::reply::{Outcome, json};
use crate::env::Env;
use crate::job::{Action, BadToken, Claimed, JobId, Jobs, LEASE, MAX_DELAY, QueueName};
use crate::problem::Problem;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
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
    let Some(action) = Action::parse(what) else { return Err(nothing_here(&call)) };
    call.only_query(&[])?;
    let id = JobId::new(id).map_err(|error| bad(&error))?;
    let leased = Leased { jobs: jobs_of(&call)?, queue, id };
    let answer = match action {
        Action::Ack => ack(&mut call, leased).await,
        Action::Retry => retry(&mut call, leased).await,
        Action::Release => release(&mut call, leased).await,
        Action::Bury => bury(&mut call, leased).await,
        Action::Extend => extend(&mut call, leased).await,
    };
    answer.map(|answer| json(StatusCode::OK, &answer))
}

/// The job of which the caller says that it has the lease.
struct Leased<'a, E: Env> {
    jobs: &'a Jobs<E>,
    queue: QueueName,
    id: JobId,
}

impl<'a, E: Env> Leased<'a, E> {
    fn resume(self, token: Option<String>) -> Result<Claimed<'a, E, ()>, Problem> {
        let Self { jobs, queue, id } = self;
        let token = token.ok_or_else(|| bad(&"token: expected the token of the lease, found none"))?;
        let token = token.parse().map_err(|error: BadToken| bad(&format!("token: {error}")))?;
        Ok(jobs.resume(&queue, id, token))
    }
}

async fn ack<E: Env>(call: &mut Call<'_, E>, leased: Leased<'_, E>) -> Result<Value, Problem> {
    let form: Plain = call.form(r#"{"token":".."}"#).await?;
    leased.resume(form.token)?.ack().await.map_err(|error| failed(&error))?;
    Ok(json!({"state": "done", "due_at": null}))
}

async fn retry<E: Env>(call: &mut Call<'_, E>, leased: Leased<'_, E>) -> Result<Value, Problem> {
    let form: Retry = call.form(r#"{"token":"..","delay":60,"error":".."}"#).await?;
    let claimed = leased.resume(form.token)?;
    let error = form.error.unwrap_or_default();
    let ended = match seconds("delay", form.delay, &(Duration::ZERO..=MAX_DELAY))? {
        Some(delay) => claimed.retry_after(delay, &error).await,
        None => claimed.retry(&error).await,
    };
    ended.map(shape::ended).map_err(|error| failed(&error))
}

async fn release<E: Env>(call: &mut Call<'_, E>, leased: Leased<'_, E>) -> Result<Value, Problem> {
    let form: Plain = call.form(r#"{"token":".."}"#).await?;
    let ended = leased.resume(form.token)?.release().await;
    ended.map(shape::ended).map_err(|error| failed(&error))
}

async fn bury<E: Env>(call: &mut Call<'_, E>, leased: Leased<'_, E>) -> Result<Value, Problem> {
    let form: Bury = call.form(r#"{"token":"..","error":".."}"#).await?;
    let ended = leased.resume(form.token)?.bury(&form.error.unwrap_or_default()).await;
    ended.map(shape::ended).map_err(|error| failed(&error))
}

async fn extend<E: Env>(call: &mut Call<'_, E>, leased: Leased<'_, E>) -> Result<Value, Problem> {
    let form: Extend = call.form(r#"{"token":"..","lease":30}"#).await?;
    let by = seconds("lease", Some(form.lease.unwrap_or(EXTENSION)), &LEASE)?.unwrap_or_default();
    let until = leased.resume(form.token)?.extend(by).await.map_err(|error| failed(&error))?;
    Ok(json!({"state": "leased", "lease_expires_at": shape::time(until)}))
}
