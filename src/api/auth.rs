//! Who may use the management API: whoever has the token (RFC 6750).

use crate::app::App;
use crate::env::Env;
use crate::pipeline::Incoming;
use crate::problem::Problem;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use subtle::ConstantTimeEq;

/// Passes a request with the right bearer token.
///
/// # Errors
/// 403 where no token is configured, 401 where it is missing or wrong.
pub(super) fn check<E: Env>(app: &App<E>, incoming: &Incoming) -> Result<(), Problem> {
    let Some(expected) = &app.settings.admin_token else {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "the management API is off: set the variable admin_token (SPIN_VARIABLE_ADMIN_TOKEN) to switch it on",
        ));
    };
    let given = bearer_of(&incoming.headers);
    if given.is_some_and(|given| same(given, expected.expose().as_bytes())) {
        return Ok(());
    }
    let detail = match given {
        None => "expected Authorization: Bearer <admin_token>, found none",
        Some(_) => "the bearer token is not the admin_token",
    };
    let problem = Problem::new(StatusCode::UNAUTHORIZED, detail);
    Err(problem.with_field(WWW_AUTHENTICATE, "Bearer realm=\"spindrift\""))
}

/// The bearer token of a request (RFC 6750 §2.1).
pub(super) fn bearer_of(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes()))
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

/// In constant time for tokens of any length: their hashes are compared.
fn same(one: &[u8], other: &[u8]) -> bool {
    blake3::hash(one).as_bytes().ct_eq(blake3::hash(other).as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_is_compared_without_case_and_the_token_with() {
        assert_eq!(bearer(b"bEaReR x"), Some(&b"x"[..]));
        assert_eq!(bearer(b"Basic x"), None);
        assert!(same(b"abc", b"abc") && !same(b"abc", b"ABC") && !same(b"abc", b"ab"));
    }
}
