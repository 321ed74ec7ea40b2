//! What a trusted proxy in front says about the target of a request.
//!
//! The proxy may have received another scheme and host than it sends on. Origins build links and redirects from what it
//! says about them, so that has to be part of the key: it becomes the URI of the request.

use super::list;
use http::header::FORWARDED;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, Uri};

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// Returns `uri` with the scheme, host and port that a proxy in front reports, if it reports others: in the first member of
/// `X-Forwarded-Proto`, `-Host` and `-Port`, or else in the first element of `Forwarded` (RFC 7239 §5.3, §5.4). What is
/// invalid does not count.
#[must_use]
pub fn target(uri: &Uri, headers: &HeaderMap) -> Option<Uri> {
    let scheme = said(headers, &X_FORWARDED_PROTO, "proto", |text| scheme(&text));
    let host = said(headers, &X_FORWARDED_HOST, "host", |text| authority(&text));
    let port = first(headers, &X_FORWARDED_PORT).and_then(|text| text.parse::<u16>().ok());
    if scheme.is_none() && host.is_none() && port.is_none() {
        return None;
    }
    let mut parts = uri.clone().into_parts();
    let host = host.or(parts.authority);
    parts.authority = match (host, port) {
        (Some(host), Some(port)) => authority(&format!("{}:{port}", host.host())),
        (host, _) => host,
    };
    parts.scheme = scheme.or(parts.scheme);
    Uri::from_parts(parts).ok().filter(|told| told != uri)
}

/// Removes what earlier hops said about host and scheme in `Forwarded`: the element that is appended says it.
pub fn forget_targets(headers: &mut HeaderMap) {
    let about_target = |pair: &&str| parameter(pair, "host").or_else(|| parameter(pair, "proto")).is_some();
    let without = |element: &str| {
        let kept: Vec<&str> = list::split_at(element, b';').filter(|pair| !about_target(pair)).collect();
        if kept.is_empty() { "for=unknown".to_owned() } else { kept.join(";") }
    };
    let elements: Vec<String> = list::members(headers, FORWARDED).map(without).collect();
    if let Ok(value) = elements.join(", ").try_into()
        && !elements.is_empty()
    {
        headers.insert(FORWARDED, value);
    } else {
        headers.remove(FORWARDED);
    }
}

fn said<T>(
    headers: &HeaderMap,
    field: &HeaderName,
    name: &str,
    parse: impl Fn(String) -> Option<T>,
) -> Option<T> {
    let in_forwarded = || {
        let element = list::members(headers, FORWARDED).next()?;
        let mut pairs = list::split_at(element, b';');
        pairs.find_map(|pair| parameter(pair, name)).map(unquoted)
    };
    first(headers, field).map(str::to_owned).or_else(in_forwarded).and_then(parse)
}

fn first<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    list::members(headers, name).next()
}

/// Returns the value of a pair `name=value`; names have no case (RFC 7239 §4).
fn parameter<'p>(pair: &'p str, name: &str) -> Option<&'p str> {
    let (found, value) = pair.split_once('=')?;
    found.trim().eq_ignore_ascii_case(name).then(|| value.trim())
}

/// Returns a token, or the text in a quoted string (RFC 9110 §5.6.4).
fn unquoted(value: &str) -> String {
    let Some(text) = value.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut characters = text.chars();
    std::iter::from_fn(|| match characters.next() {
        Some('\\') => characters.next(),
        character => character,
    })
    .collect()
}

fn scheme(text: &str) -> Option<Scheme> {
    match text.to_ascii_lowercase().as_str() {
        "http" => Some(Scheme::HTTP),
        "https" => Some(Scheme::HTTPS),
        _ => None,
    }
}

fn authority(text: &str) -> Option<Authority> {
    let authority = Authority::try_from(text).ok()?;
    (!authority.host().is_empty() && !text.contains('@')).then_some(authority)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::lines::map;

    fn told(lines: &[(&'static str, &'static str)]) -> Option<String> {
        let uri = Uri::from_static("http://cache:3000/a?b");
        target(&uri, &map(lines)).map(|uri| uri.to_string())
    }

    #[test]
    fn the_proxy_says_what_was_asked_for() {
        let (proto, host, port) = ("x-forwarded-proto", "x-forwarded-host", "x-forwarded-port");
        for (lines, expected) in [
            (&[(proto, "HTTPS")][..], Some("https://cache:3000/a?b")),
            (&[(host, "shop.example")], Some("http://shop.example/a?b")),
            (&[(proto, "https, http"), (host, "a.example, b.example")], Some("https://a.example/a?b")),
            (&[(host, "a.example:1"), (port, "8443")], Some("http://a.example:8443/a?b")),
            (&[(host, "[2001:db8::1]"), (port, "82")], Some("http://[2001:db8::1]:82/a?b")),
            (&[(proto, "https"), (port, "443")], Some("https://cache:443/a?b")),
            (
                &[("forwarded", "for=1.2.3.4;Proto=https;host=\"a.example:8\", host=b")],
                Some("https://a.example:8/a?b"),
            ),
            (&[("forwarded", "proto=https;host=a"), (proto, "http"), (host, "b")], Some("http://b/a?b")),
            (&[(proto, "http"), (host, "cache:3000")], None),
            (&[], None),
        ] {
            assert_eq!(told(lines).as_deref(), expected, "{lines:?}");
        }
    }

    #[test]
    fn what_is_invalid_does_not_count() {
        for line in [
            ("x-forwarded-proto", "wss"),
            ("x-forwarded-host", "a b"),
            ("x-forwarded-host", "user@a.example"),
            ("x-forwarded-host", ":80"),
            ("x-forwarded-host", "a/b"),
            ("x-forwarded-port", "65536"),
            ("forwarded", "host"),
            ("forwarded", "host=\"a\\\"b\""),
            ("forwarded", "for=1.2.3.4"),
        ] {
            assert_eq!(told(&[line]), None, "{line:?}");
        }
    }

    #[test]
    fn earlier_hops_keep_what_they_say_about_addresses_only() {
        for (before, after) in [
            (
                "for=1.2.3.4;host=a;proto=https;by=_x, For=\"[::1]\" ; Host=\"b;c\"",
                "for=1.2.3.4;by=_x, For=\"[::1]\"",
            ),
            ("host=a", "for=unknown"),
            ("", ""),
        ] {
            let mut headers = map(&[("forwarded", before)]);
            forget_targets(&mut headers);
            assert_eq!(headers.get(FORWARDED).map_or("", |value| value.to_str().unwrap()), after, "{before}");
        }
    }
}
