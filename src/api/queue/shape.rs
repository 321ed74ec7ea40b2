//! The JSON of answers.

use crate::job::{Claimed, Data, Ended, Job, QueueName, Scheduled, Statistics, View};
use crate::time::Timestamp;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Formats a point in time as Unix seconds with milliseconds.
pub(super) fn time(at: Timestamp) -> Value {
    secs(at.as_millis())
}

fn span(duration: Duration) -> Value {
    secs(crate::time::millis(duration))
}

/// Formats milliseconds as seconds, exactly up to 2^53 ms.
fn secs(millis: u64) -> Value {
    if millis.is_multiple_of(1000) { (millis / 1000).into() } else { (millis as f64 / 1000.0).into() }
}

/// Members whose values may be raw JSON, which a [`Value`] would change.
pub(super) type Members = BTreeMap<&'static str, Box<RawValue>>;

fn raw(value: &Value) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

fn members<const N: usize>(pairs: [(&'static str, Value); N]) -> Members {
    pairs.into_iter().map(|(name, value)| (name, raw(&value))).collect()
}

fn with_data(mut members: Members, data: Option<&Data>) -> Members {
    members.insert("data", data.map_or_else(|| RawValue::NULL.to_owned(), Data::to_raw));
    members
}

/// Formats a job.
pub(super) fn job(job: &Job) -> Members {
    let members = members([
        ("id", job.id.as_str().into()),
        ("attempt", job.attempt.into()),
        ("max_attempts", job.max_attempts.into()),
        ("priority", job.priority.get().into()),
        ("enqueued_at", time(job.enqueued)),
    ]);
    with_data(members, Some(&job.data))
}

/// Formats a claimed job.
pub(super) fn claimed<E: crate::env::Env>(claimed: &Claimed<'_, E>) -> Members {
    let mut shape = job(&claimed.job);
    shape.extend(members([
        ("token", claimed.token().to_string().into()),
        ("lease_expires_at", time(claimed.until())),
    ]));
    shape
}

/// Formats a job with its state.
pub(super) fn view(view: &View) -> Members {
    let members = members([
        ("id", view.id.as_str().into()),
        ("state", view.state.as_str().into()),
        ("at", view.at.map_or(Value::Null, time)),
        ("attempts", view.attempts.into()),
        ("max_attempts", view.max_attempts.into()),
        ("priority", view.priority.get().into()),
        ("enqueued_at", time(view.enqueued)),
        ("error", view.error.clone().into()),
    ]);
    with_data(members, view.data.as_ref())
}

/// Formats the state of a job after its lease was ended.
pub(super) fn ended(ended: Ended) -> Value {
    json!({"state": ended.state.as_str(), "due_at": ended.due.map(time)})
}

/// Formats the statistics of a queue.
pub(in crate::api) fn statistics(name: &QueueName, statistics: &Statistics) -> Value {
    json!({
        "name": name.as_str(),
        "ready": statistics.ready,
        "delayed": statistics.delayed,
        "leased": statistics.leased,
        "dead": statistics.dead,
        "oldest_age": statistics.oldest.map(span),
        "paused": statistics.paused.is_some(),
        "paused_because": statistics.paused,
        "held_for": span(statistics.hold),
        "counts": statistics.counts.iter().copied().collect::<BTreeMap<_, _>>(),
    })
}

/// Formats a schedule with its next slot.
pub(super) fn scheduled(scheduled: &Scheduled) -> Members {
    let schedule = &scheduled.schedule;
    let members = members([
        ("name", scheduled.name.as_str().into()),
        ("cron", schedule.cron.as_str().into()),
        ("missed", serde_json::to_value(schedule.missed).unwrap_or_default()),
        ("priority", schedule.priority.get().into()),
        ("max_attempts", schedule.max_attempts.into()),
        ("next_at", time(scheduled.next)),
    ]);
    with_data(members, Some(&schedule.data))
}
