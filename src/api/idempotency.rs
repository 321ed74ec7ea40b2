//! The field `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header).

use crate::job::IdempotencyKey;
use crate::problem::Problem;
use http::{HeaderMap, HeaderName, StatusCode};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Returns the key of a request, if it has one.
///
/// # Errors
/// 400 for a value that is not valid as a key, and for several lines.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let bad = |found: String| Problem::new(StatusCode::BAD_REQUEST, format!("Idempotency-Key: {found}"));
    let mut lines = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(first) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(bad("expected one line, found several".to_owned()));
    }
    let key = IdempotencyKey::new(&String::from_utf8_lossy(first.as_bytes()));
    key.map(Some).map_err(|error| bad(error.to_string()))
}
