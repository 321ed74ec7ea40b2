//! Cache keys: what makes two requests ask for the same thing.
//!
//! A resource is its effective URI (RFC 9111 §2), written so that no two differ only by how they were put
//! together: every part stands after its length. Nothing is decoded: `%2F` is not `/`. Everything else
//! that selects a response, from `Vary` or from the route's configuration, is in [`Selecting`].

use crate::config::KeyRules;
use crate::field::vary::selecting_value;
use crate::redis::hex;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, PRAGMA, PROXY_AUTHORIZATION, RANGE, VIA,
};
use http::{HeaderMap, HeaderName, Uri};
use sha1::{Digest, Sha1};
use std::borrow::Cow;

/// The effective URI of a request, and the 128-bit hash that names it in Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceKey {
    text: String,
    url: String,
    id: String,
}

impl ResourceKey {
    /// The key of `scheme://authority/path?query`.
    ///
    /// Scheme and host are compared without case and the scheme's default port is left out (RFC 9110
    /// §4.2.3); the rest counts byte for byte.
    #[must_use]
    pub fn new(scheme: &str, authority: &str, path: &str, query: Option<&str>) -> Self {
        let scheme = scheme.to_ascii_lowercase();
        let authority = normal_authority(&scheme, authority);
        let mut text = String::with_capacity(32 + authority.len() + path.len() + query.map_or(0, str::len));
        for part in [Some(scheme.as_str()), Some(authority.as_str()), Some(path), query] {
            match part {
                Some(part) => text.push_str(&format!("{}:{part}", part.len())),
                None => text.push('-'),
            }
        }
        let id = hex(&blake3::hash(text.as_bytes()).as_bytes()[..16]);
        let url = match query {
            Some(query) => format!("{scheme}://{authority}{path}?{query}"),
            None => format!("{scheme}://{authority}{path}"),
        };
        Self { text, url, id }
    }

    /// The key of an absolute URI under a route's key rules. `None` without scheme or authority.
    #[must_use]
    pub fn of(uri: &Uri, rules: &KeyRules) -> Option<Self> {
        Some(Self::new(
            uri.scheme_str()?,
            uri.authority()?.as_str(),
            uri.path(),
            query(uri, rules).as_deref(),
        ))
    }

    /// The same resource asked for by the other of http and https.
    #[must_use]
    pub fn other_scheme(uri: &Uri, rules: &KeyRules) -> Option<Self> {
        let other = if uri.scheme_str() == Some("https") { "http" } else { "https" };
        Some(Self::new(other, uri.authority()?.as_str(), uri.path(), query(uri, rules).as_deref()))
    }

    /// The URL it stands for, as purges are matched against it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The whole key, stored with the response and compared when it is read.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The hash in hexadecimal.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// The part of the query that counts under `rules`: what is asked of the origin too, since a parameter that
/// it sees and the key does not would let one client poison the entry of all others.
#[must_use]
pub fn query<'a>(uri: &'a Uri, rules: &KeyRules) -> Option<Cow<'a, str>> {
    let raw = uri.query()?;
    let counts = rules.query(raw);
    (raw.is_empty() || !counts.is_empty()).then_some(counts)
}

fn normal_authority(scheme: &str, authority: &str) -> String {
    let lower = authority.to_ascii_lowercase();
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return lower,
    };
    lower.strip_suffix(default_port).map(str::to_owned).unwrap_or(lower)
}

/// Fields a response must not vary on to be stored: they are private, belong to the exchange with us, or
/// are rewritten on the way to the origin.
const NOT_SELECTING: [HeaderName; 15] = [
    AUTHORIZATION,
    CACHE_CONTROL,
    CONTENT_LENGTH,
    COOKIE,
    EXPECT,
    FORWARDED,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    PRAGMA,
    PROXY_AUTHORIZATION,
    RANGE,
    VIA,
];

/// The request fields that may select a stored response, normalised, as lines `\nname:value\n`.
///
/// The text goes to Redis with a lookup; a script finds there the fields that the stored responses vary on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selecting {
    lines: String,
    implied: Vec<String>,
}

impl Selecting {
    /// The selecting fields of a request under a route's key rules.
    #[must_use]
    pub fn of(headers: &HeaderMap, rules: &KeyRules) -> Self {
        let mut lines = String::with_capacity(512);
        lines.push('\n');
        for name in headers.keys() {
            if is_selecting(name)
                && let Some(value) = selecting_value(headers, name)
            {
                push_line(&mut lines, name.as_str(), &value);
            }
        }
        let mut implied: Vec<String> = rules.headers.iter().map(|name| name.as_str().to_owned()).collect();
        for cookie in &rules.cookies {
            let name = cookie_name(cookie);
            if let Some(value) = cookie_value(headers, cookie) {
                push_line(&mut lines, &name, value);
            }
            implied.push(name);
        }
        Self { lines, implied }
    }

    /// The text for Redis.
    #[must_use]
    pub fn lines(&self) -> &str {
        &self.lines
    }

    /// What a response with these `Vary` fields is selected by, as the comma-separated, sorted list that is
    /// kept with the resource; `None` when it varies on something that cannot select.
    ///
    /// `Vary: Cookie` is answered by the cookies the route is keyed by, if there are any.
    #[must_use]
    pub fn spec(&self, vary: &[HeaderName]) -> Option<String> {
        let keyed_by_cookie = self.implied.iter().any(|name| name.starts_with("cookie:"));
        let mut names = self.implied.clone();
        for field in vary {
            match field {
                // Part of the resource key.
                field if *field == HOST => {}
                field if *field == COOKIE && keyed_by_cookie => {}
                field if is_selecting(field) => names.push(field.as_str().to_owned()),
                _ => return None,
            }
        }
        names.sort_unstable();
        names.dedup();
        Some(names.join(","))
    }

    /// The values of the fields in `spec`, as text that is equal exactly when all of them are.
    #[must_use]
    pub fn values(&self, spec: &str) -> String {
        let mut values = String::new();
        for name in spec.split(',').filter(|name| !name.is_empty()) {
            values.push_str(name);
            if let Some(value) = self.value(name) {
                values.push(':');
                values.push_str(value);
            }
            values.push('\n');
        }
        values
    }

    fn value(&self, name: &str) -> Option<&str> {
        let line = format!("\n{name}:");
        let from = self.lines.find(&line)? + line.len();
        self.lines[from..].split('\n').next()
    }
}

/// The field of the resource's hash that holds the response selected by `values`. The script that looks up
/// computes the same.
#[must_use]
pub fn entry_field(values: &str) -> String {
    if values.is_empty() { "e".to_owned() } else { format!("e{}", hex(&Sha1::digest(values.as_bytes()))) }
}

fn is_selecting(name: &HeaderName) -> bool {
    let text = name.as_str();
    !(NOT_SELECTING.contains(name)
        || *name == HOST
        || text.starts_with("spin-")
        || text == "x-forwarded-for"
        || text == "cdn-loop")
}

fn push_line(lines: &mut String, name: &str, value: &str) {
    lines.push_str(name);
    lines.push(':');
    // Field values have no line ends (RFC 9110 §5.5); should one get here, it must not make a line.
    lines.extend(value.chars().map(|c| if c == '\n' { ' ' } else { c }));
    lines.push('\n');
}

fn cookie_name(cookie: &str) -> String {
    format!("cookie:{}", hex(cookie.as_bytes()))
}

/// The first value of a cookie, over all `Cookie` lines (RFC 6265 §4.2.1).
fn cookie_value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(found, value)| (found == name).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
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
    fn host_case_and_default_port_do_not_matter() {
        assert_eq!(key("http://EXAMPLE.com:80/a"), key("http://example.com/a"));
        assert_eq!(key("https://example.com:443/a"), key("https://example.com/a"));
        assert_ne!(key("https://example.com:80/a"), key("https://example.com/a"));
    }

    proptest! {
        #[test]
        fn parts_cannot_move_between_each_other(a in "\\PC{0,8}", b in "\\PC{0,8}", c in "\\PC{0,8}", d in "\\PC{0,8}",
                                                e in proptest::option::of("\\PC{0,8}"), f in proptest::option::of("\\PC{0,8}")) {
            let (one, other) = (ResourceKey::new("http", &a, &b, e.as_deref()), ResourceKey::new("http", &c, &d, f.as_deref()));
            let same = normal_authority("http", &a) == normal_authority("http", &c) && b == d && e == f;
            prop_assert_eq!(one.text() == other.text(), same);
        }
    }

    fn request(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn absent_and_empty_fields_select_differently() {
        let rules = KeyRules::default();
        let values = |lines| Selecting::of(&request(lines), &rules).values("foo,foo2");
        assert_ne!(values(&[]), values(&[("foo", "")]));
        assert_ne!(values(&[("foo", "1")]), values(&[("foo2", "1")]));
        assert_eq!(values(&[("foo", "1"), ("bar", "2")]), values(&[("bar", "3"), ("foo", "1 ")]));
    }

    #[test]
    fn private_fields_never_reach_redis_and_cannot_select() {
        let headers = request(&[
            ("cookie", "sid=secret; lang=de"),
            ("authorization", "Bearer secret"),
            ("accept", "x"),
        ]);
        let selecting = Selecting::of(&headers, &KeyRules::default());
        assert!(!selecting.lines().contains("secret"));
        assert_eq!(selecting.spec(&[COOKIE]), None);
        assert_eq!(selecting.spec(&[HeaderName::from_static("accept"), HOST]).as_deref(), Some("accept"));
    }

    #[test]
    fn configured_cookies_select_and_answer_vary_cookie() {
        let rules = KeyRules { cookies: vec!["lang".into()], ..KeyRules::default() };
        let of = |cookie| Selecting::of(&request(&[("cookie", cookie)]), &rules);
        let spec = of("lang=de").spec(&[COOKIE]).unwrap();
        assert_eq!(of("sid=1; lang=de").values(&spec), of("lang=de; sid=2").values(&spec));
        assert_ne!(of("lang=de").values(&spec), of("lang=fr").values(&spec));
        assert_ne!(of("lang=").values(&spec), of("sid=1").values(&spec));
    }
}
