//! What an unsafe request invalidates (RFC 9111 §4.4).

use super::key::ResourceKey;
use super::tags::{MAX_TAGS, of_group};
use crate::config::KeyRules;
use crate::field::groups::{CACHE_GROUP_INVALIDATION, named};
use http::header::{CONTENT_LOCATION, LOCATION};
use http::{HeaderMap, Method, StatusCode, Uri};

/// Returns whether `method` may change its target. Unknown methods count as unsafe: "A cache MUST
/// invalidate ... when it receives a non-error status code in response to an unsafe request method
/// (including methods whose safety is unknown)".
#[must_use]
pub fn is_unsafe(method: &Method) -> bool {
    let query = method.as_str() == "QUERY";
    !(method.is_safe() || query)
}

/// Returns the URIs to invalidate after an unsafe request was answered: its target, and those of `Location` and
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

/// Returns whether a response declares its content to be what a GET of `target` would return (RFC 9110 §8.7).
#[must_use]
pub fn is_content_of(target: &Uri, response: &HeaderMap) -> bool {
    let mut lines = response.get_all(CONTENT_LOCATION).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return false };
    let named = line.to_str().ok().and_then(|text| resolve(target, text));
    named.and_then(|named| key(&named)).is_some_and(|named| Some(named) == key(target))
}

/// Returns, as tags, the groups to invalidate after an unsafe request to `origin` was answered: those of the same origin
/// that `Cache-Group-Invalidation` names (RFC 9875 §3). None after an error.
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
    key(one).zip(key(other)).is_some_and(|(one, other)| one.origin() == other.origin())
}

/// The key by which URIs are compared: a default port is equal to none (RFC 9110 §4.2.3).
fn key(uri: &Uri) -> Option<ResourceKey> {
    ResourceKey::of(uri, &KeyRules::default())
}

/// Resolves a reference against an absolute URI (RFC 3986 §5.2). Dot segments are removed from relative references only:
/// an absolute URI is compared as it is.
fn resolve(base: &Uri, reference: &str) -> Option<Uri> {
    let reference = reference.split('#').next()?;
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    let (path, query) =
        reference.split_once('?').map_or((reference, None), |(path, query)| (path, Some(query)));
    if has_scheme(path) {
        return reference.parse().ok();
    }
    if reference.starts_with("//") {
        return format!("{scheme}:{reference}").parse().ok();
    }
    let (path, query) = match path {
        "" => (base.path().to_owned(), query.or(base.query())),
        path if path.starts_with('/') => (without_dots(path), query),
        path => (without_dots(&format!("{}{path}", &base.path()[..=base.path().rfind('/')?])), query),
    };
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{scheme}://{authority}{path}{query}").parse().ok()
}

/// Returns whether a reference is absolute: has a scheme before its first colon (RFC 3986 §3.1).
fn has_scheme(path: &str) -> bool {
    path.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    })
}

/// Removes `.` and `..` from an absolute path (RFC 3986 §5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                kept.extend(last.then_some(""));
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
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
    fn a_response_may_be_the_content_of_its_target() {
        let target = Uri::from_static("http://h/dir/a?b");
        let is = |location: &str| {
            let location = HeaderValue::from_str(location).unwrap();
            is_content_of(&target, &[(CONTENT_LOCATION, location)].into_iter().collect())
        };
        for same in [
            "",
            "a?b",
            "?b",
            "/dir/a?b",
            "http://h/dir/a?b",
            "//h/dir/a?b#c",
            "../dir/a?b",
            "http://h:80/dir/a?b",
        ] {
            assert!(is(same), "{same}");
        }
        for other in
            ["a", "/dir/a?c", "//h/dir/./a?b", "http://other/dir/a?b", "https://h/dir/a?b", "mailto:a@h"]
        {
            assert!(!is(other), "{other}");
        }
        assert!(!is_content_of(&target, &HeaderMap::new()));
    }

    proptest::proptest! {
        #[test]
        fn no_reference_panics(reference in "[ -~]{0,40}", near in "[./:?#a]{0,20}") {
            let target = Uri::from_static("http://h/dir/a?b");
            let _ = (resolve(&target, &reference), resolve(&target, &near));
        }
    }

    #[test]
    fn locations_count_within_the_same_origin_only() {
        for (location, resolved) in [
            ("/c", "http://h/c"),
            ("c", "http://h/dir/c"),
            ("?d", "http://h/dir/a?d"),
            ("http://h/e#f", "http://h/e"),
            ("//h/g", "http://h/g"),
            ("../c", "http://h/c"),
            ("./c/../d/.", "http://h/dir/d/"),
            ("/../../c/..", "http://h/"),
            ("c?to=http://other/", "http://h/dir/c?to=http://other/"),
            ("/c:d", "http://h/c:d"),
            ("http://H:80/c", "http://H:80/c"),
        ] {
            assert_eq!(found(201, location), ["http://h/dir/a?b", resolved], "{location}");
        }
        for elsewhere in ["http://other/c", "https://h/c", "//other/c", "http://h:8080/c", "http://h@evil/c"]
        {
            assert_eq!(found(201, elsewhere), ["http://h/dir/a?b"], "{elsewhere}");
        }
    }
}
