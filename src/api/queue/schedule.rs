//! Schedules.

use super::form::{bad, data, there, whole};
use super::{failed, jobs_of, shape};
use crate::api::call::{Call, MAX_CONTENT, object};
use crate::api::nothing_here;
use crate::api::reply::{Outcome, empty, json};
use crate::config::MOST_ATTEMPTS;
use crate::env::Env;
use crate::job::{Cron, MAX_SCHEDULE_DATA, Missed, Priority, QueueName, Schedule, ScheduleName, Scheduled};
use crate::problem::Problem;
use crate::time::Timestamp;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

const FORM: &str = r#"{"cron":"*/5 * * * *","data":..,"missed":"skip"} with priority, max_attempts"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    cron: String,
    #[serde(default)]
    missed: Missed,
    #[serde(default, deserialize_with = "there")]
    data: Option<Box<RawValue>>,
    priority: Option<u64>,
    max_attempts: Option<u64>,
}

/// Answers requests below `.../schedules`.
pub(super) async fn serve<E: Env>(
    call: Call<'_, E>,
    queue: QueueName,
    rest: &[&str],
    method: Method,
) -> Outcome {
    let name = match rest {
        [] if method == Method::GET => return list(call, queue).await,
        [name] => ScheduleName::new(name).map_err(|error| bad(&error))?,
        _ => return Err(nothing_here(&call)),
    };
    call.only_query(&[])?;
    match method {
        Method::GET => {
            let found = jobs_of(&call)?.schedule(&queue, &name).await.map_err(|error| failed(&error))?;
            Ok(json(StatusCode::OK, &shape::scheduled(&found)))
        }
        Method::PUT => set(call, queue, name).await,
        Method::DELETE => {
            jobs_of(&call)?.remove_schedule(&queue, &name).await.map_err(|error| failed(&error))?;
            Ok(empty())
        }
        _ => Err(nothing_here(&call)),
    }
}

async fn list<E: Env>(call: Call<'_, E>, queue: QueueName) -> Outcome {
    call.only_query(&[])?;
    let all = jobs_of(&call)?.schedules(&queue).await.map_err(|error| failed(&error))?;
    let all: Vec<_> = all.iter().map(shape::scheduled).collect();
    Ok(json(StatusCode::OK, &BTreeMap::from([("schedules", all)])))
}

async fn set<E: Env>(mut call: Call<'_, E>, queue: QueueName, name: ScheduleName) -> Outcome {
    call.expects_json()?;
    let content = call.content(MAX_CONTENT).await?;
    let form: Set = object(&content, FORM)?;
    let schedule = schedule(&form, call.app.env.now())?;
    let set = jobs_of(&call)?.set_schedule(&queue, &name, &schedule).await;
    let (next, new) = set.map_err(|error| failed(&error))?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(json(status, &shape::scheduled(&Scheduled { name, schedule, next })))
}

fn schedule(form: &Set, now: Timestamp) -> Result<Schedule, Problem> {
    let priority = whole("priority", form.priority, 0..=Priority::MAX)?;
    Ok(Schedule {
        cron: Cron::parse(&form.cron, now).map_err(|error| bad(&format!("cron: {error}")))?,
        missed: form.missed,
        data: data("", form.data.as_deref(), MAX_SCHEDULE_DATA)?,
        priority: priority.and_then(Priority::new).unwrap_or_default(),
        max_attempts: whole("max_attempts", form.max_attempts, 1..=MOST_ATTEMPTS)?,
    })
}
