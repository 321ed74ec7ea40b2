//! Enqueueing, claiming, and single jobs.

use super::form::{bad, data, seconds, there, whole};
use super::{failed, jobs_of, shape};
use crate::api::call::{Call, MAX_CONTENT, object};
use crate::api::idempotency;
use crate::api::reply::{Outcome, empty, json};
use crate::config::MOST_ATTEMPTS;
use crate::env::Env;
use crate::job::{
    CLAIM_COUNT, Claim, Enqueued, IdempotencyKey, Idle, JobId, LEASE, MAX_BATCH, MAX_DATA, MAX_DELAY,
    MAX_WAIT, NewJob, Priority, QueueName,
};
use crate::problem::Problem;
use http::StatusCode;
use http::header::{HeaderValue, LOCATION};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::time::Duration;

const FORM: &str =
    r#"{"data":..} or {"jobs":[{"data":..}]} with delay, priority, max_attempts, idempotency_key"#;

/// One job.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    #[serde(default, deserialize_with = "there")]
    data: Option<Box<RawValue>>,
    delay: Option<f64>,
    priority: Option<u64>,
    max_attempts: Option<u64>,
    idempotency_key: Option<String>,
}

/// One or several jobs. Not an untagged enum, because that cannot hold raw values.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Enqueue {
    jobs: Option<Vec<Item>>,
    #[serde(default, deserialize_with = "there")]
    data: Option<Box<RawValue>>,
    delay: Option<f64>,
    priority: Option<u64>,
    max_attempts: Option<u64>,
    idempotency_key: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claiming {
    count: Option<u64>,
    lease: Option<f64>,
    wait: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dequeueing {
    wait: Option<f64>,
}

/// `POST .../jobs`
pub(super) async fn enqueue<E: Env>(mut call: Call<'_, E>, queue: QueueName) -> Outcome {
    call.only_query(&[])?;
    call.expects_json()?;
    let content = call.content(MAX_CONTENT).await?;
    let form: Enqueue = object(&content, FORM)?;
    let header = idempotency::key(&call.incoming.headers)?;
    let jobs = jobs_of(&call)?;
    match batch(form, header)? {
        Batch::One(job) => {
            let enqueued = jobs.enqueue_with(&queue, job).await.map_err(|error| failed(&error))?;
            let mut response = json(created(enqueued.new), &said(&enqueued));
            let place = format!("{}/{}", call.incoming.uri.path().trim_end_matches('/'), enqueued.id);
            response.headers_mut().extend(HeaderValue::try_from(place).ok().map(|place| (LOCATION, place)));
            Ok(response)
        }
        Batch::Many(all) => {
            let enqueued = jobs.enqueue_all(&queue, all).await.map_err(|error| failed(&error))?;
            let new = enqueued.iter().any(|one| one.new);
            let said: Vec<_> = enqueued.iter().map(said).collect();
            Ok(json(created(new), &json!({"jobs": said})))
        }
    }
}

const fn created(new: bool) -> StatusCode {
    if new { StatusCode::CREATED } else { StatusCode::OK }
}

fn said(enqueued: &Enqueued) -> serde_json::Value {
    json!({"id": enqueued.id.as_str(), "new": enqueued.new})
}

enum Batch {
    One(NewJob),
    Many(Vec<NewJob>),
}

fn batch(form: Enqueue, header: Option<IdempotencyKey>) -> Result<Batch, Problem> {
    let Enqueue { jobs, data, delay, priority, max_attempts, idempotency_key } = form;
    let one = Item { data, delay, priority, max_attempts, idempotency_key };
    let Some(jobs) = jobs else {
        return Ok(Batch::One(item("", one, header)?));
    };
    let alone = one.data.is_none()
        && (one.delay, one.priority, one.max_attempts) == (None, None, None)
        && one.idempotency_key.is_none();
    if !alone {
        return Err(bad(&"jobs: expected no other members: each job has its own"));
    }
    if header.is_some() {
        return Err(bad(
            &"Idempotency-Key: expected none for several jobs: each has its own idempotency_key",
        ));
    }
    if !(1..=MAX_BATCH).contains(&jobs.len()) {
        return Err(bad(&format!("jobs: expected 1 to {MAX_BATCH}, found {}", jobs.len())));
    }
    let mut keys = HashSet::new();
    for (at, key) in jobs.iter().enumerate().filter_map(|(at, job)| Some((at, job.idempotency_key.as_ref()?)))
    {
        if !keys.insert(key.trim_matches('"').to_owned()) {
            return Err(bad(&format!(
                "jobs[{at}].idempotency_key: expected a unique key, found that of another job in this request"
            )));
        }
    }
    let items = jobs.into_iter().enumerate().map(|(at, job)| item(&format!("jobs[{at}]."), job, None));
    Ok(Batch::Many(items.collect::<Result<_, _>>()?))
}

/// Makes the job that a request describes at `place`.
fn item(place: &str, item: Item, header: Option<IdempotencyKey>) -> Result<NewJob, Problem> {
    let mut job = NewJob::new(data(place, item.data.as_deref(), MAX_DATA)?);
    let delays = Duration::ZERO..=MAX_DELAY;
    if let Some(delay) = seconds(&format!("{place}delay"), item.delay, &delays)? {
        job = job.delay(delay);
    }
    let priority = whole(&format!("{place}priority"), item.priority, 0..=Priority::MAX)?;
    if let Some(priority) = priority.and_then(Priority::new) {
        job = job.priority(priority);
    }
    if let Some(attempts) = whole(&format!("{place}max_attempts"), item.max_attempts, 1..=MOST_ATTEMPTS)? {
        job = job.max_attempts(attempts);
    }
    let named = item.idempotency_key.map(|text| IdempotencyKey::new(&text)).transpose();
    let named = named.map_err(|error| bad(&format!("{place}idempotency_key: {error}")))?;
    match (named, header) {
        (Some(one), Some(other)) if one != other => {
            Err(bad(&"idempotency_key: expected the value of the field Idempotency-Key, found another"))
        }
        (Some(key), _) | (None, Some(key)) => Ok(job.idempotency_key(key)),
        (None, None) => Ok(job),
    }
}

/// `POST .../claim`
pub(super) async fn claim<E: Env>(mut call: Call<'_, E>, queue: QueueName) -> Outcome {
    call.only_query(&[])?;
    let form: Claiming = call.form(r#"{"count":1,"lease":30,"wait":0}"#).await?;
    let mut claim = Claim::default();
    if let Some(count) = whole("count", form.count, CLAIM_COUNT)? {
        claim = claim.count(count);
    }
    if let Some(lease) = seconds("lease", form.lease, &LEASE)? {
        claim = claim.lease(lease);
    }
    if let Some(wait) = seconds("wait", form.wait, &(Duration::ZERO..=MAX_WAIT))? {
        claim = claim.wait(wait);
    }
    let claimed = jobs_of(&call)?.claim(&queue, claim).await.map_err(|error| failed(&error))?;
    let jobs: Vec<_> = claimed.iter().map(shape::claimed).collect();
    Ok(json(StatusCode::OK, &std::collections::BTreeMap::from([("jobs", jobs)])))
}

/// `POST .../dequeue`
pub(super) async fn dequeue<E: Env>(mut call: Call<'_, E>, queue: QueueName) -> Outcome {
    call.only_query(&[])?;
    let form: Dequeueing = call.form(r#"{"wait":0}"#).await?;
    let wait = seconds("wait", form.wait, &(Duration::ZERO..=MAX_WAIT))?.unwrap_or_default();
    let job = jobs_of(&call)?.dequeue_within(&queue, wait).await.map_err(|error| failed(&error))?;
    let job = job.as_ref().map(shape::job);
    Ok(json(StatusCode::OK, &std::collections::BTreeMap::from([("job", job)])))
}

/// `GET .../jobs/{id}`
pub(super) async fn view<E: Env>(call: Call<'_, E>, queue: QueueName, id: &str) -> Outcome {
    call.only_query(&[])?;
    let id = JobId::new(id).map_err(|error| bad(&error))?;
    let view = jobs_of(&call)?.view(&queue, &id).await.map_err(|error| failed(&error))?;
    Ok(json(StatusCode::OK, &shape::view(&view)))
}

/// `DELETE .../jobs`
pub(super) async fn empty_queue<E: Env>(call: Call<'_, E>, queue: QueueName) -> Outcome {
    call.only_query(&["state"])?;
    let states = call.all_of_query("state").map(|text| {
        let state = Idle::ALL.into_iter().find(|state| state.as_str() == text);
        state.ok_or_else(|| bad(&format!("state: expected ready, delayed or dead, found {text:?}")))
    });
    let mut states: Vec<Idle> = states.collect::<Result<_, _>>()?;
    if states.is_empty() {
        states.extend(Idle::ALL);
    }
    let done = jobs_of(&call)?.empty(&queue, &states).await.map_err(|error| failed(&error))?;
    Ok(json(StatusCode::OK, &json!({"removed": done.done, "left": done.left})))
}

/// `DELETE .../jobs/{id}`
pub(super) async fn remove<E: Env>(call: Call<'_, E>, queue: QueueName, id: &str) -> Outcome {
    call.only_query(&[])?;
    let id = JobId::new(id).map_err(|error| bad(&error))?;
    jobs_of(&call)?.remove(&queue, &id).await.map_err(|error| failed(&error))?;
    Ok(empty())
}
