//! The key-value cache over HTTP: single values, and the invalidation of many at once.

mod ask;
mod precondition;

use super::call::{Call, unavailable};
use super::nothing_here;
use super::reply::{Outcome, json};
use super::seconds::seconds;
use crate::body::Body;
use crate::env::Env;
use crate::field::conditional;
use crate::invalid::Invalid;
use crate::problem::Problem;
use crate::purge::MAX_TARGETS;
use crate::time::Timestamp;
use crate::value::{
    EntityTag, MediaType, NewValue, Pattern, Swap, Tag, Turn, Value, ValueError, ValueKey, Written,
};
use ask::{lease, lease_and_wait, media_type, tags, ttl};
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, EXPIRES, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use precondition::Precondition;
use serde_json::json;
use std::rc::Rc;
use std::time::Duration;

/// The field with the tags of a value, separated by commas.
const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");
/// How long a sweep may free the space of what was invalidated, after the answer.
const SWEEP: Duration = Duration::from_secs(5);

/// Serves `/_spindrift/v1/cache/{key}`.
pub(super) async fn one<E: Env>(call: Call<'_, E>, key: &str, method: Method) -> Outcome {
    let key = ValueKey::new(key)?;
    match method {
        Method::GET => get(call, &key).await,
        Method::HEAD => head(call, &key).await,
        Method::PUT => put(call, &key).await,
        Method::DELETE => delete(call, key).await,
        _ => Err(nothing_here(&call)),
    }
}

/// Serves `/_spindrift/v1/cache`: invalidates by pattern and tag.
pub(super) async fn invalidate<E: Env>(call: Call<'_, E>) -> Outcome {
    call.only_query(&["match", "tag"])?;
    let patterns: Vec<_> = call.all_of_query("match").map(Pattern::new).collect::<Result<_, _>>()?;
    let tags: Vec<_> = call.all_of_query("tag").map(Tag::new).collect::<Result<_, _>>()?;
    let count = patterns.len() + tags.len();
    if count == 0 || count > MAX_TARGETS {
        let expected = format!("1 to {MAX_TARGETS} parameters ?match= and ?tag=");
        return Err(Invalid::new(expected, count.to_string()).into());
    }
    let shared = call.shared()?;
    shared.values.invalidate(&patterns, &tags).await.map_err(|error| unavailable(&error))?;
    let (env, values) = (call.app.env.clone(), Rc::clone(&shared.values));
    call.app.env.spawn(async move {
        if let Err(error) = values.sweep(SWEEP).await {
            env.log(&format!("a sweep of values failed: {error}"));
        }
    });
    Ok(json(StatusCode::OK, &json!({"patterns": patterns.len(), "tags": tags.len()})))
}

async fn get<E: Env>(call: Call<'_, E>, key: &ValueKey) -> Outcome {
    call.only_query(&["lease", "wait"])?;
    let values = &call.shared()?.values;
    let only = Precondition::if_match(&call.incoming.headers)?;
    let value = match lease_and_wait(&call)? {
        None => values.get(key).await.map_err(|error| unavailable(&error))?.ok_or_else(missing)?,
        Some((lease, wait)) => {
            let turn = values.turn_within(key, lease, wait).await;
            match turn.map_err(|error| unavailable(&error))? {
                Turn::Found(value) => value,
                Turn::Wait { .. } => return Ok(filling()),
                Turn::Fill(turn) => {
                    return Err(missing().with("fill", turn.token()).with("lease", seconds(lease)));
                }
                Turn::Failed(words) => return Err(missing().with("reason", "failed").with("failure", words)),
            }
        }
    };
    if only.is_some_and(|only| !only.condition().holds(Some(value.etag))) {
        return Err(failed(Some(value.etag)));
    }
    Ok(found(&call.incoming.headers, value))
}

/// Answers with a value: 200, or 304 if the client has it already.
fn found(request: &HeaderMap, value: Value) -> Response<Body> {
    let Value { media_type, tags, expires_at, etag, content } = value;
    let length = content.len();
    let mut response = Response::new(Body::from(content));
    let headers = response.headers_mut();
    describe(headers, &media_type, &tags, etag, expires_at);
    headers.insert(CONTENT_LENGTH, length.into());
    if conditional::not_modified(request, headers) {
        headers.remove(CONTENT_LENGTH);
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::Empty;
    }
    response
}

async fn head<E: Env>(call: Call<'_, E>, key: &ValueKey) -> Outcome {
    call.only_query(&[])?;
    let values = &call.shared()?.values;
    let only = Precondition::if_match(&call.incoming.headers)?;
    let glance = values.glance(key).await.map_err(|error| unavailable(&error))?;
    let Some(found) = glance else { return Err(missing()) };
    if only.is_some_and(|only| !only.condition().holds(Some(found.etag))) {
        return Err(failed(Some(found.etag)));
    }
    let mut response = Response::new(Body::Empty);
    let headers = response.headers_mut();
    describe(headers, &found.media_type, &found.tags, found.etag, found.expires_at);
    headers.insert(CONTENT_LENGTH, found.length.into());
    if conditional::not_modified(&call.incoming.headers, headers) {
        headers.remove(CONTENT_LENGTH);
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    Ok(response)
}

async fn put<E: Env>(mut call: Call<'_, E>, key: &ValueKey) -> Outcome {
    call.only_query(&["ttl", "tags", "fill"])?;
    let values = &call.shared()?.values;
    let (ttl, only) = (ttl(&call)?, Precondition::of(&call.incoming.headers)?);
    let (media_type, tags) = (media_type(&call.incoming.headers)?, tags(&call)?);
    let fill = call.query("fill").map(|token| lease(key, token)).transpose()?;
    values.ttl(ttl)?;
    let limit = usize::try_from(values.limits().max_size).unwrap_or(usize::MAX);
    let value = NewValue::new(media_type, call.content(limit).await?).tagged(tags)?;
    let written = match (fill, only) {
        (None, None) => values.set(key, &value, ttl).await.map_err(not_set)?,
        (None, Some(only)) => swapped(values.set_if(key, &value, ttl, only.condition()).await)?,
        (Some(lease), None) => match values.fill(&lease, &value, ttl).await.map_err(not_set)? {
            Some(written) => written,
            None => return Err(lease_lost()),
        },
        (Some(_), Some(_)) => {
            return Err(Invalid::new("?fill= without If-Match and If-None-Match", "both").into());
        }
    };
    Ok(set(&value, &written))
}

async fn delete<E: Env>(call: Call<'_, E>, key: ValueKey) -> Outcome {
    call.only_query(&["fill"])?;
    let values = &call.shared()?.values;
    let only = Precondition::of(&call.incoming.headers)?;
    match (call.query("fill"), only) {
        (None, None) => {
            values.delete(&key).await.map_err(|error| unavailable(&error))?;
        }
        (None, Some(only)) => {
            swapped(values.delete_if(&key, only.condition()).await)?;
        }
        (Some(token), _) => {
            let lease = lease(&key, token)?;
            values.abandon(&lease).await.map_err(|error| unavailable(&error))?;
        }
    }
    Ok(super::reply::empty())
}

/// Writes the fields of a value.
fn describe(
    headers: &mut HeaderMap,
    media_type: &MediaType,
    tags: &[String],
    etag: EntityTag,
    ends: Timestamp,
) {
    let mut add = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    add(CONTENT_TYPE, media_type.as_str().to_owned());
    add(ETAG, etag.to_string());
    add(EXPIRES, ends.to_http_date());
    if !tags.is_empty() {
        add(CACHE_TAG, tags.join(", "));
    }
    // What somebody has stored must not be taken for a page of this site.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// Answers that a value was set: 201 if there was none before, otherwise 204.
fn set(value: &NewValue, written: &Written) -> Response<Body> {
    let mut response = super::reply::empty();
    if !written.replaced {
        *response.status_mut() = StatusCode::CREATED;
        response.headers_mut().insert(CONTENT_LENGTH, 0.into());
    }
    let headers = response.headers_mut();
    for (name, value) in [(ETAG, value.etag().to_string()), (EXPIRES, written.expires_at.to_http_date())] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    response
}

/// 202: another caller makes the value.
fn filling() -> Response<Body> {
    let mut response = json(StatusCode::ACCEPTED, &json!({"filling": true, "retry_after": 1}));
    response.headers_mut().insert(RETRY_AFTER, 1.into());
    response
}

fn missing() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "the key has no value")
}

fn swapped(swap: Result<Swap, ValueError>) -> Result<Written, Problem> {
    match swap.map_err(not_set)? {
        Swap::Done(written) => Ok(written),
        Swap::Refused(current) => Err(failed(current.map(|glance| glance.etag))),
    }
}

/// 412, with the current entity tag.
fn failed(current: Option<EntityTag>) -> Problem {
    let problem = Problem::new(StatusCode::PRECONDITION_FAILED, "the value does not meet the precondition");
    problem.with("etag", current.map(|etag| etag.to_string()))
}

fn lease_lost() -> Problem {
    let detail = "the lease has ended, or the key was set or deleted since";
    Problem::new(StatusCode::CONFLICT, detail).with("reason", "lease-lost")
}

/// Converts the reason why a value was not set to a problem.
pub(super) fn not_set(error: ValueError) -> Problem {
    match error {
        ValueError::Invalid(invalid) => invalid.into(),
        ValueError::TooLarge { .. } => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
        ValueError::Contended => {
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
            problem.with("reason", "contended").with("outcome", "not_done")
        }
        ValueError::Redis(error) => unavailable(&error),
    }
}
