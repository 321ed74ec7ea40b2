//! Access to the management API, which requires a token (RFC 6750).

use crate::app::App;
use crate::config::{Parameter, Secret};
use crate::env::Env;
use crate::pipeline::Incoming;
use crate::problem::Problem;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use subtle::{Choice, ConstantTimeEq};

/// Checks that a request has a valid bearer token.
///
/// # Errors
/// 403 if no token is configured, 401 if it is missing or wrong.
pub(super) fn check<E: Env>(app: &App<E>, incoming: &Incoming) -> Result<(), Problem> {
    let tokens = &app.settings.admin_tokens;
    if tokens.is_empty() {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "the management API is off: set the variable admin_token (SPIN_VARIABLE_ADMIN_TOKEN) to switch it on",
        ));
    }
    let given = bearer_of(&incoming.headers);
    if given.is_some_and(|given| is_one_of(given, tokens)) {
        return Ok(());
    }
    let detail = match given {
        None => "expected Authorization: Bearer <admin_token>, found none",
        Some(_) => "the bearer token is not one of those in admin_token",
    };
    let problem = Problem::new(StatusCode::UNAUTHORIZED, detail);
    Err(problem.with_field(WWW_AUTHENTICATE, "Bearer realm=\"spindrift\""))
}

/// Returns whether a request has any token, in the field or, for a stream, in the query.
pub(super) fn is_tried(incoming: &Incoming) -> bool {
    // The name may be percent-encoded, as that of any parameter.
    let in_query = |query: &str| query.split('&').map(Parameter::new).any(|pair| *pair.name == *b"token");
    incoming.headers.contains_key(AUTHORIZATION) || incoming.uri.query().is_some_and(in_query)
}

/// Returns the bearer token of a request (RFC 6750 §2.1).
pub(super) fn bearer_of(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes()))
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

/// Compares a token with each of `tokens`, in constant time for any length, by their hashes.
fn is_one_of(given: &[u8], tokens: &[Secret]) -> bool {
    let given = blake3::hash(given);
    let is = |token: &Secret| given.as_bytes().ct_eq(blake3::hash(token.expose().as_bytes()).as_bytes());
    tokens.iter().fold(Choice::from(0), |found, token| found | is(token)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_is_compared_without_case_and_the_token_with() {
        assert_eq!(bearer(b"bEaReR x"), Some(&b"x"[..]));
        assert_eq!(bearer(b"Basic x"), None);
        let tokens = ["abc", "newer"].map(Secret::new);
        assert!(is_one_of(b"abc", &tokens) && is_one_of(b"newer", &tokens));
        for wrong in ["ABC", "ab", "abcd", "", "abc,newer"] {
            assert!(!is_one_of(wrong.as_bytes(), &tokens), "{wrong}");
        }
        assert!(!is_one_of(b"", &[]));
    }
}
