//! The job queue over HTTP.

mod dead;
mod form;
mod jobs;
mod lease;
mod schedule;
mod shape;

use super::call::{Call, unavailable};
use super::reply::{Outcome, json};
use crate::env::Env;
use crate::job::{JobError, Jobs, QueueName};
use crate::problem::Problem;
use crate::redis::RedisError;
use form::seconds;
use futures_util::future::join_all;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
pub(super) use shape::statistics as shown;
use std::time::Duration;

/// The default time for which a tick begins deliveries, in seconds.
const BUDGET: f64 = 5.0;
/// How many queues are in a page.
const PAGE: u64 = 100;

/// Answers requests below `/_spindrift/v1/queues`.
pub(super) async fn serve<E: Env>(call: Call<'_, E>, rest: &[&str], method: Method) -> Outcome {
    let [name, rest @ ..] = rest else {
        return list(call).await;
    };
    let queue = QueueName::new(name).map_err(|error| form::bad(&error))?;
    match (rest, method) {
        ([], Method::GET) => statistics(call, queue).await,
        (["jobs"], Method::POST) => jobs::enqueue(call, queue).await,
        (["jobs"], Method::DELETE) => jobs::empty_queue(call, queue).await,
        (["claim"], Method::POST) => jobs::claim(call, queue).await,
        (["dequeue"], Method::POST) => jobs::dequeue(call, queue).await,
        (["pause"], Method::POST) => pause(call, queue).await,
        (["resume"], Method::POST) => resume(call, queue).await,
        (["jobs", id], Method::GET) => jobs::view(call, queue, id).await,
        (["jobs", id], Method::DELETE) => jobs::remove(call, queue, id).await,
        (["jobs", id, what], Method::POST) => lease::end(call, queue, id, what).await,
        (["dead", rest @ ..], method) => dead::serve(call, queue, rest, method).await,
        (["schedules", rest @ ..], method) => schedule::serve(call, queue, rest, method).await,
        _ => Err(super::nothing_here(&call)),
    }
}

/// `POST /_spindrift/v1/queues:tick`
pub(super) async fn tick<E: Env>(mut call: Call<'_, E>) -> Outcome {
    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Tick {
        budget: Option<f64>,
    }
    call.only_query(&[])?;
    let form: Tick = call.form(r#"{"budget":5}"#).await?;
    let bounds = Duration::ZERO..=crate::job::MAX_BUDGET;
    let budget = seconds("budget", Some(form.budget.unwrap_or(BUDGET)), &bounds)?.unwrap_or_default();
    let shared = call.shared()?;
    let ticked = crate::job::tick(call.app, shared, budget).await.map_err(|error| failed(&error))?;
    Ok(json(StatusCode::OK, &ticked))
}

async fn list<E: Env>(call: Call<'_, E>) -> Outcome {
    call.only_query(&["offset"])?;
    let offset = form::number(&call, "offset")?.unwrap_or(0);
    let jobs = jobs_of(&call)?;
    let names = jobs.queues(offset, PAGE).await.map_err(|error| failed(&error))?;
    let next = (names.len() as u64 == PAGE).then(|| offset + PAGE);
    let all = join_all(names.iter().map(|name| jobs.statistics(name))).await;
    let (mut queues, mut unseen, mut problem) = (Vec::with_capacity(names.len()), Vec::new(), None);
    for (name, statistics) in names.iter().zip(all) {
        match statistics {
            Ok(statistics) => queues.push(shape::statistics(name, &statistics)),
            // A queue that cannot be inspected hides no other.
            Err(error) => {
                unseen.push(json!({"name": name.as_str(), "detail": error.to_string()}));
                problem.get_or_insert_with(|| failed(&error));
            }
        }
    }
    match problem {
        Some(problem) if queues.is_empty() => Err(problem),
        _ => Ok(json(StatusCode::OK, &json!({"queues": queues, "failed": unseen, "next": next}))),
    }
}

async fn statistics<E: Env>(call: Call<'_, E>, queue: QueueName) -> Outcome {
    call.only_query(&[])?;
    let statistics = jobs_of(&call)?.statistics(&queue).await.map_err(|error| failed(&error))?;
    Ok(json(StatusCode::OK, &shape::statistics(&queue, &statistics)))
}

async fn pause<E: Env>(call: Call<'_, E>, queue: QueueName) -> Outcome {
    call.only_query(&[])?;
    jobs_of(&call)?.pause(&queue).await.map_err(|error| failed(&error))?;
    Ok(json(StatusCode::OK, &json!({"paused": true})))
}

async fn resume<E: Env>(call: Call<'_, E>, queue: QueueName) -> Outcome {
    call.only_query(&[])?;
    jobs_of(&call)?.go_on(&queue).await.map_err(|error| failed(&error))?;
    Ok(json(StatusCode::OK, &json!({"paused": false})))
}

fn jobs_of<'a, E: Env>(call: &Call<'a, E>) -> Result<&'a Jobs<E>, Problem> {
    Ok(&call.shared()?.jobs)
}

/// Converts an error of inspecting a queue to one of Redis.
pub(super) fn into_redis(error: JobError) -> RedisError {
    match error {
        JobError::Redis(error) => error,
        other => RedisError::Reply(other.to_string()),
    }
}

/// Converts an error of the queue to a problem.
fn failed(error: &JobError) -> Problem {
    let status = match error {
        JobError::Redis(error) => return unavailable(error),
        JobError::NoSuchJob | JobError::NoSuchSchedule => StatusCode::NOT_FOUND,
        JobError::LeaseLost
        | JobError::Ended(_)
        | JobError::InFlight
        | JobError::TooManySchedules
        | JobError::TooManyQueues => StatusCode::CONFLICT,
        JobError::KeyReused(_) => StatusCode::UNPROCESSABLE_ENTITY,
        JobError::TooManyJobs(_) | JobError::KeyTwice(_) => StatusCode::BAD_REQUEST,
    };
    Problem::new(status, error.to_string()).with("reason", error.reason())
}
