//! Dead letters.

use super::form::{bad, number, whole};
use super::{failed, jobs_of, shape};
use crate::api::call::Call;
use crate::api::nothing_here;
use crate::api::reply::{Outcome, empty, json};
use crate::env::Env;
use crate::job::{JobId, MAX_PAGE, QueueName, Verdict};
use http::{Method, StatusCode};
use serde_json::json;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The default number of letters in a page.
const PAGE: u16 = 20;

/// Answers requests below `.../dead`.
pub(super) async fn serve<E: Env>(
    call: Call<'_, E>,
    queue: QueueName,
    rest: &[&str],
    method: Method,
) -> Outcome {
    match (rest, method) {
        ([], Method::GET) => list(call, queue).await,
        ([], Method::DELETE) => all(call, queue, Verdict::Drop).await,
        (["replay"], Method::POST) => all(call, queue, Verdict::Replay).await,
        ([id], Method::DELETE) => one(call, queue, id, Verdict::Drop).await,
        ([id, "replay"], Method::POST) => one(call, queue, id, Verdict::Replay).await,
        _ => Err(nothing_here(&call)),
    }
}

async fn list<E: Env>(call: Call<'_, E>, queue: QueueName) -> Outcome {
    call.only_query(&["after", "limit"])?;
    let after = number(&call, "after")?;
    let limit = whole("limit", number(&call, "limit")?, 1..=MAX_PAGE)?.unwrap_or(PAGE);
    let page = jobs_of(&call)?.dead_letters(&queue, after, limit).await.map_err(|error| failed(&error))?;
    let letters: Vec<_> = page.letters.iter().map(shape::view).collect();
    let raw = |value: Result<Box<RawValue>, _>| {
        value.unwrap_or_else(|_: serde_json::Error| RawValue::NULL.to_owned())
    };
    let members = BTreeMap::from([
        ("jobs", raw(serde_json::value::to_raw_value(&letters))),
        ("next", raw(serde_json::value::to_raw_value(&page.next.map(|next| next.to_string())))),
    ]);
    Ok(json(StatusCode::OK, &members))
}

async fn all<E: Env>(call: Call<'_, E>, queue: QueueName, verdict: Verdict) -> Outcome {
    call.only_query(&[])?;
    let done = jobs_of(&call)?.sentence_all(&queue, verdict).await.map_err(|error| failed(&error))?;
    let name = if verdict == Verdict::Replay { "replayed" } else { "dropped" };
    Ok(json(StatusCode::OK, &json!({name: done.done, "left": done.left})))
}

async fn one<E: Env>(call: Call<'_, E>, queue: QueueName, id: &str, verdict: Verdict) -> Outcome {
    call.only_query(&[])?;
    let id = JobId::new(id).map_err(|error| bad(&error))?;
    jobs_of(&call)?.sentence(&queue, &id, verdict).await.map_err(|error| failed(&error))?;
    Ok(match verdict {
        Verdict::Replay => json(StatusCode::OK, &json!({"state": "ready", "due_at": null})),
        Verdict::Drop => empty(),
    })
}
