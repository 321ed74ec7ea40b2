//! What an unsafe request makes invalid (RFC 9111 §4.4).

use super::tags::{MAX_TAGS, of_group};
use crate::field::groups::{CACHE_GROUP_INVALIDATION, named};
use http::header::{CONTENT_LOCATION, LOCATION};
use http::{HeaderMap, Method, StatusCode, Uri};

/// Whether `method` may change what it is sent to. Unknown methods count as unsafe: "A cache MUST
/// invalidate ... when it receives a non-error status code in response to an unsafe request method
/// (including methods whose safety is unknown)".
#[must_use]
pub fn is_unsafe(method: &Method) -> bool {
    let query = method.as_str() == "QUERY";
    !(method.is_safe() || query)
}

/// The URIs to forget after an unsafe request was answered: its target, and those of `Location` and
/// `Content-Location` where they have the same origin, "to prevent denial-of-service attacks". None after
/// an error.
#[must_use]
pub fn targets(target: &Uri, status: StatusCode, response: &HeaderMap) -> Vec<Uri> {
    if is_error(status) {
        return Vec::new();
    }
    let mut targets = vec![target.clone()];
    for name in [LOCATION, CONTENT_LOCATION] {
        let named =
            response.get(&name).and_then(|value| value.to_str().ok()).and_then(|text| resolve(target, text));
        targets.extend(named.filter(|named| same_origin(named, target) && named != target));
    }
    targets
}

/// The groups to forget after an unsafe request to `origin` was answered, as tags: those that `Cache-Group-Invalidation`
/// names (RFC 9875 §3), which are of the same origin. None after an error.
#[must_use]
pub fn groups(origin: &str, status: StatusCode, response: &HeaderMap) -> Vec<String> {
    if is_error(status) {
        return Vec::new();
    }
    let named = named(response, &CACHE_GROUP_INVALIDATION).into_iter().take(MAX_TAGS);
    named.map(|group| of_group(origin, &group)).collect()
}

fn is_error(status: StatusCode) -> bool {
    !(status.is_success() || status.is_redirection())
}

fn same_origin(one: &Uri, other: &Uri) -> bool {
    one.scheme() == other.scheme() && one.authority() == other.authority()
}

/// Resolves a reference against an absolute URI, as far as an origin sends them: absolute, with `//`, with
/// an absolute path, or relative to the last segment (RFC 3986 §5.2, without dot segments).
fn resolve(base: &Uri, reference: &str) -> Option<Uri> {
    let reference = reference.split('#').next()?;
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    let text = if reference.contains("://") {
        reference.to_owned()
    } else if reference.starts_with("//") {
        format!("{scheme}:{reference}")
    } else if reference.starts_with('/') {
        format!("{scheme}://{authority}{reference}")
    } else if reference.starts_with('?') {
        format!("{scheme}://{authority}{}{reference}", base.path())
    } else {
        let directory = &base.path()[..=base.path().rfind('/')?];
        format!("{scheme}://{authority}{directory}{reference}")
    };
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn found(status: u16, location: &'static str) -> Vec<String> {
        let mut headers = HeaderMap::new();
        if !location.is_empty() {
            headers.insert(LOCATION, HeaderValue::from_static(location));
        }
        let target = Uri::from_static("http://h/dir/a?b");
        targets(&target, StatusCode::from_u16(status).unwrap(), &headers)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn unknown_methods_are_unsafe() {
        for method in ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "BREW"] {
            assert!(is_unsafe(&Method::from_bytes(method.as_bytes()).unwrap()), "{method}");
        }
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "QUERY"] {
            assert!(!is_unsafe(&Method::from_bytes(method.as_bytes()).unwrap()), "{method}");
        }
    }

    #[test]
    fn errors_invalidate_nothing() {
        assert_eq!(found(200, ""), ["http://h/dir/a?b"]);
        assert!(found(404, "").is_empty() && found(500, "").is_empty());
    }

    #[test]
    fn locations_count_within_the_same_origin_only() {
        for (location, resolved) in [
            ("/c", "http://h/c"),
            ("c", "http://h/dir/c"),
            ("?d", "http://h/dir/a?d"),
            ("http://h/e#f", "http://h/e"),
            ("//h/g", "http://h/g"),
        ] {
            assert_eq!(found(201, location), ["http://h/dir/a?b", resolved], "{location}");
        }
        for elsewhere in ["http://other/c", "https://h/c", "//other/c", "http://h:8080/c", "http://h@evil/c"]
        {
            assert_eq!(found(201, elsewhere), ["http://h/dir/a?b"], "{elsewhere}");
        }
    }
}
