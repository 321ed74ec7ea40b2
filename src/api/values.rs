//! The key-value cache by HTTP: one value, and many invalidated at once.

use super::call::{Call, method_not_allowed};
use super::locks::uncertain;
use super::precondition::Precondition;
use super::reply::{Outcome, json};
use super::seconds::{Seconds, seconds};
use crate::body::Body;
use crate::env::Env;
use crate::field::{conditional, list};
use crate::invalid::Invalid;
use crate::problem::Problem;
use crate::purge::MAX_TARGETS;
use crate::time::Timestamp;
use crate::value::{
    EntityTag, FillLease, MediaType, NewValue, Pattern, Swap, Tag, Turn, Value, ValueError, ValueKey, Written,
};
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, EXPIRES, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use serde_json::json;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

/// The tags of a value, separated by commas.
const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");
/// How long making a value may take.
const LEASES: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
/// How long the space of what was invalidated is given back behind the answer.
const SWEEP: Duration = Duration::from_secs(5);
/// How long to wait for a value that another makes.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Serves `/_spindrift/v1/cache/{key}`.
pub(super) async fn one<E: Env>(call: Call<'_, E>, key: &str, method: Method) -> Outcome {
    let key = ValueKey::new(key)?;
    match method {
        Method::GET => get(call, &key).await,
        Method::HEAD => head(call, &key).await,
        Method::PUT => put(call, &key).await,
        Method::DELETE => delete(call, key).await,
        _ => Err(method_not_allowed("GET, HEAD, PUT, DELETE")),
    }
}

/// Serves `/_spindrift/v1/cache`: invalidates by pattern and tag.
pub(super) async fn invalidate<E: Env>(call: Call<'_, E>, method: Method) -> Outcome {
    if method != Method::DELETE {
        return Err(method_not_allowed("DELETE"));
    }
    call.only_query(&["match", "tag"])?;
    let patterns: Vec<_> = call.all_of_query("match").map(Pattern::new).collect::<Result<_, _>>()?;
    let tags: Vec<_> = call.all_of_query("tag").map(Tag::new).collect::<Result<_, _>>()?;
    let count = patterns.len() + tags.len();
    if count == 0 || count > MAX_TARGETS {
        let expected = format!("1 to {MAX_TARGETS} of ?match= and ?tag=");
        return Err(Invalid::new(expected, count.to_string()).into());
    }
    let shared = call.shared()?;
    shared.values.invalidate(&patterns, &tags).await.map_err(|error| uncertain(&error))?;
    let (env, values) = (call.app.env.clone(), Rc::clone(&shared.values));
    call.app.env.spawn(async move {
        if let Err(error) = values.sweep(SWEEP).await {
            env.log(&format!("a sweep of values broke off: {error}"));
        }
    });
    Ok(json(StatusCode::OK, &json!({"patterns": patterns.len(), "tags": tags.len()})))
}

async fn get<E: Env>(call: Call<'_, E>, key: &ValueKey) -> Outcome {
    call.only_query(&["lease", "wait"])?;
    let values = &call.shared()?.values;
    let lease = time(&call, "lease", LEASES, "a lease of 0.1 to 3600 seconds")?;
    let only = Precondition::if_match(&call.incoming.headers)?;
    let wait = time(&call, "wait", Duration::ZERO..=MAX_WAIT, "a wait of 0 to 10 seconds")?;
    if lease.is_none() && wait.is_some() {
        return Err(Invalid::new("?lease= where there is ?wait=", "none").into());
    }
    let turn = match lease {
        Some(lease) => values.turn_within(key, lease, wait.unwrap_or_default()).await,
        None => values
            .get(key)
            .await
            .map(|found| found.map_or(Turn::Wait { ends_in: Duration::ZERO }, Turn::Found)),
    };
    let value = match turn.map_err(|error| uncertain(&error))? {
        Turn::Found(value) => value,
        Turn::Fill(turn) => {
            return Err(missing().with("fill", turn.token()).with("lease", lease.map(seconds)));
        }
        Turn::Failed(words) => return Err(missing().with("reason", "failed").with("failure", words)),
        Turn::Wait { .. } if lease.is_some() => return Ok(filling()),
        Turn::Wait { .. } => return Err(missing()),
    };
    let Value { media_type, tags, expires_at, etag, content } = value;
    if only.is_some_and(|only| !only.condition().holds(Some(etag))) {
        return Err(failed(Some(etag)));
    }
    let mut response = Response::new(Body::from(content));
    describe(response.headers_mut(), &media_type, &tags, etag, expires_at);
    if conditional::not_modified(&call.incoming.headers, response.headers()) {
        *response.body_mut() = Body::Empty;
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().remove(CONTENT_TYPE);
    }
    Ok(response)
}

async fn head<E: Env>(call: Call<'_, E>, key: &ValueKey) -> Outcome {
    call.only_query(&[])?;
    let glance = call.shared()?.values.glance(key).await.map_err(|error| uncertain(&error))?;
    let Some(found) = glance else { return Err(missing()) };
    let mut response = Response::new(Body::Empty);
    let headers = response.headers_mut();
    describe(headers, &found.media_type, &found.tags, found.etag, found.expires_at);
    headers.insert(CONTENT_LENGTH, found.length.into());
    if conditional::not_modified(&call.incoming.headers, response.headers()) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().remove(CONTENT_LENGTH);
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
            values.delete(&key).await.map_err(|error| uncertain(&error))?;
        }
        (None, Some(only)) => {
            swapped(values.delete_if(&key, only.condition()).await)?;
        }
        (Some(token), _) => {
            let lease = lease(&key, token)?;
            values.abandon(&lease).await.map_err(|error| uncertain(&error))?;
        }
    }
    Ok(super::reply::empty())
}

/// The fields of a value.
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
    // What somebody stored is not to be taken for a page of this site.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// 201 where nothing was before, else 204.
fn set(value: &NewValue, written: &Written) -> Response<Body> {
    let mut response = super::reply::empty();
    if !written.replaced {
        *response.status_mut() = StatusCode::CREATED;
    }
    let headers = response.headers_mut();
    for (name, value) in [(ETAG, value.etag().to_string()), (EXPIRES, written.expires_at.to_http_date())] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    response
}

/// 202: another makes the value.
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

/// 412, with the entity tag that is there.
fn failed(current: Option<EntityTag>) -> Problem {
    let problem =
        Problem::new(StatusCode::PRECONDITION_FAILED, "the value is not what the condition demands");
    problem.with("etag", current.map(|etag| etag.to_string()))
}

fn lease_lost() -> Problem {
    let detail = "the lease has ended, or the key was set or deleted since";
    Problem::new(StatusCode::CONFLICT, detail).with("reason", "lease-lost")
}

/// Why a value was not set.
pub(super) fn not_set(error: ValueError) -> Problem {
    match error {
        ValueError::Invalid(invalid) => invalid.into(),
        ValueError::TooLarge { .. } => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
        ValueError::Contended => {
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
            problem.with("reason", "contended").with("outcome", "not_done")
        }
        ValueError::Redis(error) => uncertain(&error),
    }
}

fn lease(key: &ValueKey, token: &str) -> Result<FillLease, Problem> {
    FillLease::of_token(key.clone(), token)
        .ok_or_else(|| Invalid::new("in ?fill= the token of a fill", format!("{token:?}")).into())
}

fn ttl<E: Env>(call: &Call<'_, E>) -> Result<Option<Duration>, Problem> {
    time(call, "ttl", Duration::ZERO..=Duration::MAX, "")
}

/// A parameter in seconds, within its bounds.
fn time<E: Env>(
    call: &Call<'_, E>,
    name: &str,
    bounds: RangeInclusive<Duration>,
    what: &str,
) -> Result<Option<Duration>, Problem> {
    let Some(text) = call.query(name) else { return Ok(None) };
    let Some(Seconds(time)) = Seconds::parse(text) else {
        let expected = format!("in ?{name}= seconds like 30 or 0.5");
        return Err(Invalid::new(expected, format!("{text:?}")).into());
    };
    if bounds.contains(&time) { Ok(Some(time)) } else { Err(Invalid::new(what, text).into()) }
}

/// The media type of the content, which must be whole and as it is.
fn media_type(headers: &HeaderMap) -> Result<MediaType, Problem> {
    // RFC 9110 §14.5: a PUT of a part is refused where it is not supported.
    if headers.contains_key(CONTENT_RANGE) {
        return Err(Invalid::new("a whole value", "Content-Range").into());
    }
    if list::members(headers, CONTENT_ENCODING).any(|coding| !coding.eq_ignore_ascii_case("identity")) {
        let detail = "expected content without Content-Encoding: a value is stored as it is";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    match headers.get(CONTENT_TYPE) {
        Some(value) => Ok(MediaType::new(&String::from_utf8_lossy(value.as_bytes()))?),
        None => Ok(MediaType::bytes()),
    }
}

/// The tags of `?tags=` and of `Cache-Tag`.
fn tags<E: Env>(call: &Call<'_, E>) -> Result<Vec<Tag>, Problem> {
    let mut tags = Vec::new();
    let lines = call.incoming.headers.get_all(CACHE_TAG).iter();
    let lines = lines.map(|line| {
        std::str::from_utf8(line.as_bytes()).map_err(|_| Invalid::new("tags in UTF-8", "other bytes"))
    });
    for line in call.all_of_query("tags").map(Ok).chain(lines) {
        let found = line?.split(',').map(str::trim).filter(|tag| !tag.is_empty());
        tags.extend(found.map(Tag::new).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(tags)
}
