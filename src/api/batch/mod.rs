//! Many operations on values in one request: `POST /_spindrift/v1/cache:batch`.

mod answer;

use super::call::{Call, object};
use super::reply::{Outcome, json};
use super::seconds::Seconds;
use crate::env::Env;
use crate::invalid::Invalid;
use crate::problem::Problem;
use crate::value::{MediaType, NewValue, Tag, ValueKey, Values};
use answer::Answer;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join4;
use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::time::Duration;

/// The most operations of one batch.
const MAX_OPERATIONS: usize = 1000;
/// The largest content of the request, in bytes, and the most content of values in the answer.
const MAX_BATCH: usize = 8 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    operations: Vec<Operation>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Operation {
    op: Op,
    key: String,
    /// JSON, including `null`, kept byte for byte.
    #[serde(default, deserialize_with = "present")]
    value: Option<Box<RawValue>>,
    text: Option<String>,
    base64: Option<String>,
    #[serde(rename = "type")]
    media_type: Option<String>,
    ttl: Option<Seconds>,
    tags: Option<Vec<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Op {
    Get,
    Exists,
    Set,
    Delete,
}

#[derive(Serialize)]
struct Answers {
    results: Vec<Answer>,
}

/// An operation that was understood.
enum Work {
    Get(ValueKey),
    Exists(ValueKey),
    Set((ValueKey, NewValue, Option<Duration>)),
    Delete(ValueKey),
}

/// The operations of one kind, each with its index in the batch.
struct Lane<T> {
    places: Vec<usize>,
    items: Vec<T>,
}

/// Carries out the operations of a batch concurrently.
pub(super) async fn batch<E: Env>(mut call: Call<'_, E>) -> Outcome {
    call.only_query(&[])?;
    let values = &call.shared()?.values;
    call.expects_json()?;
    let content = call.content(MAX_BATCH).await?;
    let Batch { operations } = object(&content, r#"{"operations":[{"op":"get","key":".."}]}"#)?;
    if operations.is_empty() || operations.len() > MAX_OPERATIONS {
        let expected = format!("1 to {MAX_OPERATIONS} operations");
        return Err(Invalid::new(expected, operations.len().to_string()).into());
    }
    check_keys(&operations)?;
    let results = carry_out(values, operations).await;
    if results.iter().all(|answer| answer.status == StatusCode::SERVICE_UNAVAILABLE) {
        return Err(nothing_done(&results));
    }
    Ok(json(StatusCode::OK, &Answers { results }))
}

/// Checks that no key that is written occurs in another operation: as they run concurrently, nobody could say which
/// comes first.
fn check_keys(operations: &[Operation]) -> Result<(), Problem> {
    let mut seen: HashMap<&str, (usize, bool)> = HashMap::with_capacity(operations.len());
    for (at, operation) in operations.iter().enumerate() {
        let writes = matches!(operation.op, Op::Set | Op::Delete);
        if let Some((before, wrote)) = seen.insert(&operation.key, (at, writes))
            && (writes || wrote)
        {
            let found = format!("{:?} in operations[{before}] and operations[{at}]", operation.key);
            return Err(Invalid::new("each key that is set or deleted only once", found).into());
        }
    }
    Ok(())
}

async fn carry_out<E: Env>(values: &Values<E>, operations: Vec<Operation>) -> Vec<Answer> {
    let mut answers: Vec<Answer> = Vec::with_capacity(operations.len());
    let (mut gets, mut looks, mut sets, mut deletes) = (Lane::new(), Lane::new(), Lane::new(), Lane::new());
    for (at, operation) in operations.into_iter().enumerate() {
        answers.push(Answer::default());
        match operation.understood() {
            Ok(Work::Get(key)) => gets.push(at, key),
            Ok(Work::Exists(key)) => looks.push(at, key),
            Ok(Work::Set(set)) => sets.push(at, set),
            Ok(Work::Delete(key)) => deletes.push(at, key),
            Err(invalid) => answers[at] = Answer::of_problem(&invalid.into()),
        }
    }
    let (got, found, set, deleted) = join4(
        values.read_each(&gets.items, MAX_BATCH as u64),
        values.glance_each(&looks.items),
        values.set_many(&sets.items),
        values.delete_many(&deletes.items),
    )
    .await;
    let got = got.into_iter().map(|read| read.map_or_else(|error| Answer::of_error(&error), Answer::of_read));
    gets.answer(&mut answers, got);
    let found =
        found.into_iter().map(|found| found.map_or_else(|error| Answer::of_error(&error), Answer::of_glance));
    looks.answer(&mut answers, found);
    let set = sets.items.iter().zip(set).map(|((_, value, _), set)| Answer::of_set(value, set));
    sets.answer(&mut answers, set);
    let deleted = deleted.into_iter().map(|deleted| match deleted {
        Ok(_) => Answer::new(StatusCode::NO_CONTENT),
        Err(error) => Answer::of_error(&error),
    });
    deletes.answer(&mut answers, deleted);
    answers
}

impl<T> Lane<T> {
    const fn new() -> Self {
        Self { places: Vec::new(), items: Vec::new() }
    }

    fn push(&mut self, at: usize, item: T) {
        self.places.push(at);
        self.items.push(item);
    }

    fn answer(&self, answers: &mut [Answer], of_items: impl Iterator<Item = Answer>) {
        for (at, answer) in self.places.iter().zip(of_items) {
            if let Some(place) = answers.get_mut(*at) {
                *place = answer;
            }
        }
    }
}

impl Operation {
    fn understood(self) -> Result<Work, Invalid> {
        let key = ValueKey::new(&self.key)?;
        match self.op {
            Op::Set => {
                let ttl = self.ttl.map(|ttl| ttl.0);
                Ok(Work::Set((key, self.new_value()?, ttl)))
            }
            _ if self.has_more() => Err(Invalid::new("only op and key", "members of \"set\"")),
            Op::Get => Ok(Work::Get(key)),
            Op::Exists => Ok(Work::Exists(key)),
            Op::Delete => Ok(Work::Delete(key)),
        }
    }

    const fn has_more(&self) -> bool {
        self.value.is_some()
            || self.text.is_some()
            || self.base64.is_some()
            || self.media_type.is_some()
            || self.ttl.is_some()
            || self.tags.is_some()
    }

    fn new_value(self) -> Result<NewValue, Invalid> {
        let (media_type, content) = match (self.value, self.text, self.base64) {
            (Some(json), None, None) => {
                (MediaType::json(), Box::<str>::from(json).into_string().into_bytes())
            }
            (None, Some(text), None) => (MediaType::text(), text.into_bytes()),
            (None, None, Some(text)) => {
                let bytes =
                    STANDARD.decode(text).map_err(|error| Invalid::new("base64", error.to_string()))?;
                (MediaType::bytes(), bytes)
            }
            (None, None, None) => return Err(Invalid::new("one of value, text and base64", "none")),
            _ => return Err(Invalid::new("one of value, text and base64", "several")),
        };
        let media_type = self.media_type.map_or(Ok(media_type), |named| MediaType::new(&named))?;
        let tags = self.tags.unwrap_or_default();
        let tags = tags.iter().map(|tag| Tag::new(tag)).collect::<Result<Vec<_>, _>>()?;
        NewValue::new(media_type, content).tagged(tags)
    }
}

/// 503, when Redis carried out none of the operations. The outcome is unknown if that of any of them is.
fn nothing_done(results: &[Answer]) -> Problem {
    let least = results.iter().find(|answer| answer.outcome == Some("unknown")).or(results.first());
    let detail = least.and_then(|answer| answer.detail.clone()).unwrap_or_default();
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
    problem
        .with("reason", least.and_then(|answer| answer.reason))
        .with("outcome", least.and_then(|answer| answer.outcome))
}

/// Deserializes a member that may be `null`, which is a value, too.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}
