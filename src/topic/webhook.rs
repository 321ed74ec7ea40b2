//! The job that delivers an event to a webhook: the payload of Standard Webhooks, and our additions.

use super::cursor::tag;
use super::name::TopicName;
use super::position::EventId;
use crate::job::{BadData, Data, IdempotencyKey, NewJob};
use crate::time::Timestamp;
use chrono::{DateTime, SecondsFormat};
use serde::Serialize;
use serde_json::value::RawValue;

/// The payload that a webhook receives.
#[derive(Serialize)]
struct Payload<'a> {
    /// The type of the event; the topic if it has none.
    #[serde(rename = "type")]
    kind: &'a str,
    /// When it was published, in ISO 8601.
    timestamp: String,
    /// The data: an object or an array as it is, anything else as a string.
    data: Content<'a>,
    /// Its topic.
    topic: &'a str,
    /// Its id in its topic, the same for every delivery.
    id: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Json(&'a RawValue),
    Text(&'a str),
}

/// Makes the data of the job that delivers an event.
///
/// # Errors
/// [`BadData`] when it is larger than a job may be.
pub(super) fn data(topic: &TopicName, id: EventId, kind: &str, data: &str) -> Result<Data, BadData> {
    Data::json(&Payload {
        kind: if kind.is_empty() { topic.as_str() } else { kind },
        timestamp: iso_8601(id.time()),
        data: content(data),
        topic: topic.as_str(),
        id: id.to_string(),
    })
}

/// Makes the job. However often it is enqueued, its queue has it once.
///
/// # Errors
/// As [`data`].
pub(super) fn job(topic: &TopicName, event: &super::Event) -> Result<NewJob, BadData> {
    let job = NewJob::new(data(topic, event.id, &event.kind, &event.data)?);
    // A topic that was lost may later have the same id for another event.
    let what = blake3::hash(event.data.as_bytes()).to_hex();
    let key = IdempotencyKey::new(&format!("event.{}.{}.{}", tag(topic), event.id, &what[..16]));
    Ok(match key {
        Ok(key) => job.idempotency_key(key),
        Err(_) => job,
    })
}

fn content(data: &str) -> Content<'_> {
    let is_structured = data.trim_ascii_start().starts_with(['{', '[']);
    match serde_json::from_str(data) {
        Ok(json) if is_structured => Content::Json(json),
        _ => Content::Text(data),
    }
}

fn iso_8601(time: Timestamp) -> String {
    let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let time = DateTime::from_timestamp_millis(millis).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(kind: &str, text: &str) -> String {
        let topic = TopicName::new("orders").unwrap();
        let data = data(&topic, EventId::new(1_700_000_000_123, 4), kind, text).unwrap();
        String::from_utf8(data.bytes().to_vec()).unwrap()
    }

    #[test]
    fn the_payload_has_type_timestamp_and_data_first() {
        assert_eq!(
            payload("order.created", r#"{"n": 1.0}"#),
            r#"{"type":"order.created","timestamp":"2023-11-14T22:13:20.123Z","data":{"n": 1.0},"topic":"orders","id":"1700000000123-4"}"#
        );
    }

    #[test]
    fn data_that_is_no_structure_is_a_string() {
        for (text, written) in
            [("7", "\"7\""), ("null", "\"null\""), ("{x", "\"{x\""), ("", "\"\""), (" [1]", " [1]")]
        {
            assert!(payload("", text).contains(&format!("\"data\":{}", written.trim())), "{text}");
        }
        assert!(payload("", "x").starts_with(r#"{"type":"orders","#));
    }
}
