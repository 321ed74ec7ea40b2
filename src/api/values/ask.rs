//! The parts of a request for a value.

use super::CACHE_TAG;
use crate::api::call::Call;
use crate::api::seconds::Seconds;
use crate::env::Env;
use crate::field::list;
use crate::invalid::Invalid;
use crate::problem::Problem;
use crate::value::{FillLease, MediaType, Tag, ValueKey};
use http::header::{CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use std::ops::RangeInclusive;
use std::time::Duration;

/// How long making a value may take.
const LEASES: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
/// How long to wait at most for a value that another caller makes.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Parses the token of a right to fill a value.
pub(super) fn lease(key: &ValueKey, token: &str) -> Result<FillLease, Problem> {
    FillLease::of_token(key.clone(), token)
        .ok_or_else(|| Invalid::new("the token of a fill in ?fill=", format!("{token:?}")).into())
}

/// Parses `?lease=` and `?wait=`, if there is a lease.
pub(super) fn lease_and_wait<E: Env>(call: &Call<'_, E>) -> Result<Option<(Duration, Duration)>, Problem> {
    let lease = time(call, "lease", LEASES, "a lease of 0.1 to 3600 seconds")?;
    let wait = time(call, "wait", Duration::ZERO..=MAX_WAIT, "a wait of 0 to 10 seconds")?;
    match (lease, wait) {
        (None, Some(_)) => Err(Invalid::new("?lease= together with ?wait=", "none").into()),
        (lease, wait) => Ok(lease.map(|lease| (lease, wait.unwrap_or_default()))),
    }
}

/// Parses `?ttl=`; its bounds are checked with the value.
pub(super) fn ttl<E: Env>(call: &Call<'_, E>) -> Result<Option<Duration>, Problem> {
    time(call, "ttl", Duration::ZERO..=Duration::MAX, "")
}

/// Parses a parameter in seconds, within its bounds.
fn time<E: Env>(
    call: &Call<'_, E>,
    name: &str,
    bounds: RangeInclusive<Duration>,
    what: &str,
) -> Result<Option<Duration>, Problem> {
    let Some(text) = call.query(name) else { return Ok(None) };
    let Some(Seconds(time)) = Seconds::parse(text) else {
        let expected = format!("seconds like 30 or 0.5 in ?{name}=");
        return Err(Invalid::new(expected, format!("{text:?}")).into());
    };
    if bounds.contains(&time) { Ok(Some(time)) } else { Err(Invalid::new(what, text).into()) }
}

/// Returns the media type of the content, which must be complete and not encoded.
pub(super) fn media_type(headers: &HeaderMap) -> Result<MediaType, Problem> {
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

/// Parses the tags in `?tags=` and `Cache-Tag`.
pub(super) fn tags<E: Env>(call: &Call<'_, E>) -> Result<Vec<Tag>, Problem> {
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
