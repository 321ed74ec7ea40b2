//! The dashboard: one page that requests everything it shows from the API, with the token that its user enters.

use super::call::Call;
use super::nothing_here;
use super::reply::{Outcome, typed};
use crate::env::Env;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_FRAME_OPTIONS};
use http::{HeaderName, HeaderValue, StatusCode};
use sha2::{Digest as _, Sha256};
use std::sync::OnceLock;

const PAGE: &str = include_str!("dashboard.html");

static POLICY: OnceLock<String> = OnceLock::new();

/// Returns the page, which contains nothing confidential.
pub(super) fn page<E: Env>(call: &Call<'_, E>) -> Outcome {
    if !call.app.config.api.dashboard {
        return Err(nothing_here(call));
    }
    let mut response = typed(StatusCode::OK, "text/html; charset=utf-8", PAGE.to_owned());
    let headers = response.headers_mut();
    let policy = HeaderValue::from_str(POLICY.get_or_init(policy));
    headers.extend(policy.map(|policy| (CONTENT_SECURITY_POLICY, policy)));
    for (name, value) in [
        (REFERRER_POLICY, "no-referrer"),
        (X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

/// Permits the page's own script and style and requests to its own origin, and nothing else (Content Security Policy
/// Level 3).
fn policy() -> String {
    let (script, style) = (hash(between("<script>", "</script>")), hash(between("<style>", "</style>")));
    format!(
        "default-src 'none'; script-src '{script}'; style-src '{style}'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    )
}

fn between(begin: &str, end: &str) -> &'static str {
    let inner = PAGE.split_once(begin).and_then(|(_, rest)| rest.split_once(end));
    inner.map_or("", |(inner, _)| inner)
}

fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_one_small_file_that_its_policy_lets_through() {
        assert!(PAGE.len() < 25_000, "{} bytes", PAGE.len());
        for (tag, count) in [("<script", 1), ("<style", 1), ("</script>", 1), ("</style>", 1)] {
            assert_eq!(PAGE.matches(tag).count(), count, "{tag}");
        }
        let own = ["http://www.w3.org/2000/svg"];
        for outside in ["http://", "https://", "src=", "url(", "@import", "<link", "<iframe", "//cdn"] {
            let found = PAGE
                .match_indices(outside)
                .filter(|(at, _)| !own.iter().any(|own| PAGE[*at..].starts_with(own)));
            assert_eq!(found.count(), 0, "{outside}");
        }
        // The policy allows neither style attributes nor event handlers in tags, nor text that becomes code.
        let markup =
            PAGE.replace(between("<script>", "</script>"), "").replace(between("<style>", "</style>"), "");
        for inline in [" style=", " on", "javascript:"] {
            assert!(!markup.contains(inline), "{inline}");
        }
        let script = between("<script>", "</script>");
        for unsafe_way in [
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
            "Function(",
            "localStorage",
            "document.cookie",
        ] {
            assert!(!script.contains(unsafe_way), "{unsafe_way}");
        }
        assert!(script.contains("sessionStorage") && script.len() > 1000);
    }

    #[test]
    fn the_policy_has_hashes_and_nothing_unsafe() {
        let policy = policy();
        assert_eq!(policy.matches("'sha256-").count(), 2);
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        assert_eq!(hash(""), "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }
}
