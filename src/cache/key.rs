//! Cache keys: which requests are for the same resource.
//!
//! A resource is identified by its effective URI (RFC 9111 §2). Its key writes the length before each part, so that no two
//! URIs have the same key. Nothing is decoded: `%2F` is not `/`. Everything else that selects a response, from `Vary` or
//! from the route's configuration, is in [`Selecting`](super::selecting::Selecting).

use crate::config::{KeyRules, QueryRule};
use crate::redis::hex;
use http::Uri;
use std::borrow::Cow;
use std::rc::Rc;

/// The effective URI of a request, and the 128-bit hash that names it in Redis. A clone is cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceKey(Rc<Names>);

/// The names of a resource: the text that identifies it, its URL for people and purges, and its id in Redis.
#[derive(Debug, PartialEq, Eq)]
struct Names {
    text: String,
    url: String,
    id: String,
}

impl ResourceKey {
    /// Makes the key of `scheme://authority/path?query`.
    ///
    /// Scheme and host are compared case-insensitively and the scheme's default port is left out (RFC 9110
    /// §4.2.3); the rest is compared byte for byte.
    #[must_use]
    pub fn new(scheme: &str, authority: &str, path: &str, query: Option<&str>) -> Self {
        let (scheme, authority) = normal(scheme, authority);
        let length = scheme.len() + authority.len() + path.len() + query.map_or(0, str::len);
        let mut text = String::with_capacity(length + 24);
        for part in [Some(&*scheme), Some(&*authority), Some(path), query] {
            push_part(&mut text, part);
        }
        let id = id_of(&text);
        let mut url = String::with_capacity(length + 4);
        for part in [&*scheme, "://", &*authority, path] {
            url.push_str(part);
        }
        if let Some(query) = query {
            url.push('?');
            url.push_str(query);
        }
        Self(Rc::new(Names { text, url, id }))
    }

    /// Makes the key of an absolute URI under a route's key rules. `None` without scheme or authority.
    #[must_use]
    pub fn of(uri: &Uri, rules: &KeyRules) -> Option<Self> {
        Some(Self::new(
            uri.scheme_str()?,
            uri.authority()?.as_str(),
            uri.path(),
            query(uri, rules).as_deref(),
        ))
    }

    /// Makes the key of an absolute URI with another query. `None` without scheme or authority.
    #[must_use]
    pub fn with_query(uri: &Uri, query: Option<&str>) -> Option<Self> {
        Some(Self::new(uri.scheme_str()?, uri.authority()?.as_str(), uri.path(), query))
    }

    /// Makes the key of the same URI with the other scheme of http and https.
    #[must_use]
    pub fn other_scheme(uri: &Uri, rules: &KeyRules) -> Option<Self> {
        let scheme = uri.scheme_str()?;
        let other = if scheme == "https" { "http" } else { "https" };
        // Only the default port of the URI's own scheme is left out, not that of the other scheme.
        let (_, authority) = normal(scheme, uri.authority()?.as_str());
        Some(Self::new(other, &authority, uri.path(), query(uri, rules).as_deref()))
    }

    /// Makes the key of what QUERY finds at the same URL (RFC 10008). The content of the request selects among these responses,
    /// see [`Selecting::with_content`](super::selecting::Selecting::with_content).
    #[must_use]
    pub fn of_query(&self) -> Self {
        let text = format!("{QUERY}{}", self.text());
        let id = id_of(&text);
        Self(Rc::new(Names { text, url: self.url().to_owned(), id }))
    }

    /// Returns the URL, against which purges are matched.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// Returns the origin of that URL (RFC 6454): `scheme://authority`.
    #[must_use]
    pub fn origin(&self) -> &str {
        let url = self.url();
        let authority = url.find("://").map_or(0, |at| at + 3);
        let end = url[authority..].find('/').map_or(url.len(), |at| authority + at);
        &url[..end]
    }

    /// Returns the whole key, which is stored with the response and compared when it is read.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Returns the hash in hexadecimal.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }
}

/// Returns the URL of a key's text, against which purges are matched; `None` when the text is no key.
pub(crate) fn url_of(text: &str) -> Option<String> {
    let (scheme, rest) = take_part(text.strip_prefix(QUERY).unwrap_or(text))?;
    let (authority, rest) = take_part(rest)?;
    let (path, rest) = take_part(rest)?;
    let (query, _) = take_part(rest)?;
    let url = format!("{}://{}{}", scheme?, authority?, path?);
    Some(match query {
        Some(query) => format!("{url}?{query}"),
        None => url,
    })
}

/// Takes the first part off a key, as [`push_part`] wrote it, and returns it with the rest.
fn take_part(text: &str) -> Option<(Option<&str>, &str)> {
    if let Some(rest) = text.strip_prefix('-') {
        return Some((None, rest));
    }
    let (length, rest) = text.split_once(':')?;
    let (part, rest) = rest.split_at_checked(length.parse().ok()?)?;
    Some((Some(part), rest))
}

/// Returns the part of the query that counts under `rules`. The origin is asked with the same: a parameter that
/// it sees and the key does not would let one client poison the entry of all others.
#[must_use]
pub fn query<'a>(uri: &'a Uri, rules: &KeyRules) -> Option<Cow<'a, str>> {
    let raw = uri.query()?;
    let counts = rules.query(raw);
    let is_kept = raw.is_empty() && matches!(rules.query, QueryRule::All);
    (is_kept || !counts.is_empty()).then_some(counts)
}

/// Appends a part with its length before it, or `-` where there is none.
fn push_part(text: &mut String, part: Option<&str>) {
    match part {
        Some(part) => {
            text.push_str(itoa::Buffer::new().format(part.len()));
            text.push(':');
            text.push_str(part);
        }
        None => text.push('-'),
    }
}

/// Returns an authority as it is in the key: in lower case, without the scheme's default port. The origin is told this one:
/// what it made of another spelling would answer everybody.
#[must_use]
pub fn authority<'a>(scheme: &str, authority: &'a str) -> Cow<'a, str> {
    normal(scheme, authority).1
}

/// Returns scheme and authority in lower case, without the scheme's default port.
fn normal<'s, 'a>(scheme: &'s str, authority: &'a str) -> (Cow<'s, str>, Cow<'a, str>) {
    let (scheme, authority) = (lower(scheme), lower(authority));
    let default_port = match &*scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return (scheme, authority),
    };
    let authority = match authority {
        Cow::Borrowed(text) => Cow::Borrowed(text.strip_suffix(default_port).unwrap_or(text)),
        Cow::Owned(text) => match text.strip_suffix(default_port) {
            Some(rest) => Cow::Owned(rest.to_owned()),
            None => Cow::Owned(text),
        },
    };
    (scheme, authority)
}

fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// The first character of the keys for QUERY; all others begin with a length.
const QUERY: char = 'q';

fn id_of(text: &str) -> String {
    hex(&blake3::hash(text.as_bytes()).as_bytes()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, RoutePolicy};
    use proptest::prelude::*;

    fn key(uri: &str) -> ResourceKey {
        let uri: Uri = uri.parse().unwrap();
        ResourceKey::new(
            uri.scheme_str().unwrap(),
            uri.authority().unwrap().as_str(),
            uri.path(),
            uri.query(),
        )
    }

    #[test]
    fn an_empty_query_counts_where_the_whole_query_does() {
        let key = |rules: &str| {
            let text = format!("[cache]\nkey.query = {rules}\n");
            let config = Config::parse(&text, "f").unwrap();
            let RoutePolicy::Cache(policy) = &config.route("h", "/a").policy else { panic!("bypass") };
            ResourceKey::of(&"http://h/a?".parse().unwrap(), &policy.key).unwrap().url().to_owned()
        };
        assert_eq!(key("\"all\""), "http://h/a?");
        for rules in ["\"none\"", "{ only = [\"q\"] }", "{ except = [\"q\"] }"] {
            assert_eq!(key(rules), "http://h/a", "{rules}");
        }
    }

    #[test]
    fn different_resources_have_different_keys() {
        let all = [
            "http://a/x",
            "https://a/x",
            "http://b/x",
            "http://a:8080/x",
            "http://a/X",
            "http://a/x?",
            "http://a/x?y",
            "http://a/x%3Fy",
            "http://a/x/",
            "http://a//x",
            "http://a/./x",
            "http://a/%2Fx",
            "http://a/x;y",
            "http://a./x",
        ];
        for (i, one) in all.iter().enumerate() {
            for other in &all[i + 1..] {
                assert_ne!(key(one).text(), key(other).text(), "{one} {other}");
                assert_ne!(key(one).id(), key(other).id(), "{one} {other}");
            }
        }
    }

    #[test]
    fn the_url_can_be_read_from_the_key() {
        for uri in ["http://a/x", "https://a:8443/x?", "http://a/1:2-?y=3:4&-"] {
            let key = key(uri);
            assert_eq!(url_of(key.text()).as_deref(), Some(key.url()), "{uri}");
        }
        for bad in ["", "x", "4:http", "4:http1:a", "99:a", "-"] {
            assert_eq!(url_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn host_case_and_default_port_do_not_matter() {
        assert_eq!(key("http://EXAMPLE.com:80/a"), key("http://example.com/a"));
        assert_eq!(key("https://example.com:443/a"), key("https://example.com/a"));
        assert_ne!(key("https://example.com:80/a"), key("https://example.com/a"));
    }

    #[test]
    fn of_the_other_scheme_the_default_port_is_another() {
        let other =
            |uri: &str| ResourceKey::other_scheme(&uri.parse().unwrap(), &KeyRules::default()).unwrap();
        assert_eq!(other("https://h:443/a?b"), key("http://h/a?b"));
        assert_eq!(other("http://h:80/a"), key("https://h/a"));
        assert_eq!(other("http://h:8080/a"), key("https://h:8080/a"));
    }

    #[test]
    fn the_origin_is_scheme_and_authority() {
        assert_eq!(key("https://A.example:443/x/y?z").origin(), "https://a.example");
        assert_eq!(key("http://h:8080").origin(), "http://h:8080");
        assert_eq!(key("http://h/?a://b/c").origin(), "http://h");
    }

    proptest! {
        #[test]
        fn parts_cannot_move_between_each_other(a in "\\PC{0,8}", b in "\\PC{0,8}", c in "\\PC{0,8}", d in "\\PC{0,8}",
                                                e in proptest::option::of("\\PC{0,8}"), f in proptest::option::of("\\PC{0,8}")) {
            let (one, other) = (ResourceKey::new("http", &a, &b, e.as_deref()), ResourceKey::new("http", &c, &d, f.as_deref()));
            let same = normal("http", &a) == normal("http", &c) && b == d && e == f;
            prop_assert_eq!(one.text() == other.text(), same);
        }
    }

    #[test]
    fn the_resource_of_a_query_is_another() {
        let plain = key("http://h/a?b");
        let query = plain.of_query();
        assert!(query.id() != plain.id() && query.text() != plain.text() && query.url() == plain.url());
        assert_eq!(url_of(query.text()).as_deref(), Some("http://h/a?b"));
    }
}
