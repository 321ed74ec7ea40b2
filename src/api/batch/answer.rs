//! The result of one operation in a batch.

use crate::api::seconds::unix;
use crate::api::values::not_set;
use crate::problem::Problem;
use crate::redis::RedisError;
use crate::value::{Glance, NewValue, Read, Value, ValueError, Written};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;

/// The result of one operation.
#[derive(Default, Serialize)]
pub(super) struct Answer {
    pub(super) status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<&'static str>,
}

impl Answer {
    pub(super) fn new(status: StatusCode) -> Self {
        Self { status: status.as_u16(), ..Self::default() }
    }

    pub(super) fn of_read(read: Read) -> Self {
        match read {
            Read::Missing => Self::new(StatusCode::NOT_FOUND),
            Read::Value(value) => Self::of_value(value),
            Read::LeftOut(glance) => {
                let detail = format!(
                    "this response has no room left for its {} bytes: get the value in a request of its own",
                    glance.length
                );
                Self {
                    detail: Some(detail),
                    length: Some(glance.length),
                    ..Self::new(StatusCode::PAYLOAD_TOO_LARGE)
                }
            }
        }
    }

    pub(super) fn of_value(value: Value) -> Self {
        let mut answer = Self {
            tags: value.tags,
            etag: Some(value.etag.to_string()),
            expires_at: Some(unix(value.expires_at)),
            ..Self::new(StatusCode::OK)
        };
        let bytes: Vec<u8> = value.content.into();
        match String::from_utf8(bytes) {
            Ok(text) if value.media_type.is_json() => match RawValue::from_string(text.clone()) {
                Ok(json) => answer.value = Some(json),
                // It was stored as JSON, but is something else.
                Err(_) => answer.text = Some(text),
            },
            Ok(text) if value.media_type.is_text() => answer.text = Some(text),
            Ok(text) => answer.base64 = Some(STANDARD.encode(text)),
            Err(error) => answer.base64 = Some(STANDARD.encode(error.as_bytes())),
        }
        answer.media_type = Some(value.media_type.as_str().to_owned());
        answer
    }

    pub(super) fn of_glance(glance: Option<Glance>) -> Self {
        match glance {
            None => Self::new(StatusCode::NOT_FOUND),
            Some(glance) => Self { length: Some(glance.length), ..Self::new(StatusCode::OK) },
        }
    }

    pub(super) fn of_set(value: &NewValue, set: Result<Written, ValueError>) -> Self {
        match set {
            Ok(written) => Self {
                etag: Some(value.etag().to_string()),
                expires_at: Some(unix(written.expires_at)),
                ..Self::new(if written.replaced { StatusCode::NO_CONTENT } else { StatusCode::CREATED })
            },
            Err(ValueError::Redis(error)) => Self::of_error(&error),
            Err(error) => Self::of_problem(&not_set(error)),
        }
    }

    pub(super) fn of_problem(problem: &Problem) -> Self {
        Self { detail: Some(problem.detail().to_owned()), ..Self::new(problem.status()) }
    }

    /// 503, with whether it may have been carried out.
    pub(super) fn of_error(error: &RedisError) -> Self {
        let outcome = if error.was_not_carried_out() { "not_done" } else { "unknown" };
        Self {
            detail: Some(error.to_string()),
            reason: Some(error.reason()),
            outcome: Some(outcome),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE)
        }
    }
}
