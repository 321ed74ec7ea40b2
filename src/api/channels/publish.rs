//! `POST /_spindrift/v1/channels/{c}`.

use crate::api::call::{Call, MAX_CONTENT, object, unavailable};
use crate::api::idempotency;
use crate::api::reply::{Outcome, json};
use crate::env::Env;
use crate::job::IdempotencyKey;
use crate::problem::Problem;
use crate::topic::{NewEvent, PublishError, TopicName};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

const FORM: &str = r#"{"data":...,"type":"created"} or an array of these"#;

/// Media types whose content is the data of one event, unchanged.
const RAW: [&str; 2] = ["text/plain", "application/octet-stream"];

/// An event in JSON. If the data is a string, its text is published; otherwise the JSON as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    data: Box<RawValue>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
}

/// Publishes one or several events.
pub(super) async fn publish<E: Env>(mut call: Call<'_, E>, topic: &TopicName) -> Outcome {
    call.only_query(&["type", "durable"])?;
    let durable = match call.query("durable") {
        None | Some("true") => true,
        Some("false") => false,
        Some(other) => return Err(bad(format!("durable: expected true or false, found {other:?}"))),
    };
    let key = idempotency::key(&call.incoming.headers)?;
    if key.is_some() && !durable {
        return Err(bad("Idempotency-Key has no effect with durable=false".to_owned()));
    }
    let topics = &call.shared()?.topics;
    let events = events(&mut call).await?;
    if durable {
        let published = topics
            .publish(topic, &events, key.as_ref().map(IdempotencyKey::as_str))
            .await
            .map_err(|error| problem(&error))?;
        let ids: Vec<String> = published.ids.iter().map(ToString::to_string).collect();
        return Ok(json(StatusCode::OK, &json!({"ids": ids, "repeated": published.repeated})));
    }
    let receivers = topics.notify(topic, &events).await.map_err(|error| problem(&error))?;
    Ok(json(StatusCode::OK, &json!({"receivers": receivers})))
}

async fn events<E: Env>(call: &mut Call<'_, E>) -> Result<Vec<NewEvent>, Problem> {
    let kind = call.query("type").map(str::to_owned);
    let is_raw = is_raw(&call.incoming.headers);
    if !is_raw {
        call.expects_json()?;
    }
    let content = call.content(MAX_CONTENT).await?;
    if is_raw {
        let text = std::str::from_utf8(&content)
            .map_err(|_| bad("expected UTF-8, the encoding of Server-Sent Events".to_owned()))?;
        return Ok(vec![typed(NewEvent::new(text), kind.as_deref(), "type")?]);
    }
    if kind.is_some() {
        return Err(bad(format!("type: expected in the query only for content of {}", RAW.join(" or "))));
    }
    let is_array = content.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let given: Vec<Given> = if is_array {
        let each: Vec<&RawValue> =
            serde_json::from_slice(&content).map_err(|error| bad(format!("expected {FORM}: {error}")))?;
        each.into_iter().map(|one| object(one.get().as_bytes(), FORM)).collect::<Result<_, _>>()?
    } else {
        vec![object(&content, FORM)?]
    };
    given.into_iter().enumerate().map(|(at, given)| event(at, &given)).collect()
}

fn event(at: usize, given: &Given) -> Result<NewEvent, Problem> {
    let written = given.data.get();
    let data = match serde_json::from_str::<String>(written) {
        Ok(text) => text,
        Err(_) => written.to_owned(),
    };
    typed(NewEvent::new(data), given.kind.as_deref(), &format!("event {at}"))
}

fn typed(event: NewEvent, kind: Option<&str>, place: &str) -> Result<NewEvent, Problem> {
    match kind {
        None => Ok(event),
        Some(kind) => event.typed(kind).map_err(|error| bad(format!("{place}: {error}"))),
    }
}

fn is_raw(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim_ascii();
    RAW.iter().any(|raw| raw.eq_ignore_ascii_case(media_type))
}

fn bad(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

fn problem(error: &PublishError) -> Problem {
    let status = match error {
        PublishError::Redis(error) => return unavailable(error),
        PublishError::TooLarge { .. } | PublishError::Undeliverable { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        PublishError::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
        PublishError::Count(_) | PublishError::Reserved | PublishError::Key => StatusCode::BAD_REQUEST,
    };
    Problem::new(status, error.to_string())
}
