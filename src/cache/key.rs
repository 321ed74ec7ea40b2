//! Cache keys: what makes two requests ask for the same thing.
//!
//! A resource is its effective URI (RFC 9111 §2), written so that no two differ only by how they were put
//! together: every part stands after its length. Nothing is decoded: `%2F` is not `/`. Everything else
//! that selects a response, from `Vary` or from the route's configuration, is in [`Selecting`].

use crate::config::{KeyRules, Visitor};
use crate::field::cookies;
use crate::field::vary::selecting_value;
use crate::redis::hex;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, PRAGMA, PROXY_AUTHORIZATION, RANGE, VIA,
};
use http::{HeaderMap, HeaderName, Uri};
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

    /// The key of an absolute URI with another query. `None` without scheme or authority.
    #[must_use]
    pub fn with_query(uri: &Uri, query: Option<&str>) -> Option<Self> {
        Some(Self::new(uri.scheme_str()?, uri.authority()?.as_str(), uri.path(), query))
    }

    /// The same resource asked for by the other of http and https.
    #[must_use]
    pub fn other_scheme(uri: &Uri, rules: &KeyRules) -> Option<Self> {
        let other = if uri.scheme_str() == Some("https") { "http" } else { "https" };
        Some(Self::new(other, uri.authority()?.as_str(), uri.path(), query(uri, rules).as_deref()))
    }

    /// The key of what QUERY finds at the same URL (RFC 10008); what was asked for selects among it, see
    /// [`Selecting::with_content`].
    #[must_use]
    pub fn of_query(&self) -> Self {
        let text = format!("{QUERY}{}", self.text);
        let id = id_of(&text);
        Self { text, url: self.url.clone(), id }
    }

    /// The URL it stands for, as purges are matched against it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The origin of that URL (RFC 6454): `scheme://authority`.
    #[must_use]
    pub fn origin(&self) -> &str {
        let authority = self.url.find("://").map_or(0, |at| at + 3);
        let end = self.url[authority..].find('/').map_or(self.url.len(), |at| authority + at);
        &self.url[..end]
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

/// The URL behind the text of a resource key, as purges are matched against it; `None` when it is none.
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

/// The first part of a key, as [`push_part`] wrote it, and the rest.
fn take_part(text: &str) -> Option<(Option<&str>, &str)> {
    if let Some(rest) = text.strip_prefix('-') {
        return Some((None, rest));
    }
    let (length, rest) = text.split_once(':')?;
    let (part, rest) = rest.split_at_checked(length.parse().ok()?)?;
    Some((Some(part), rest))
}

/// The part of the query that counts under `rules`: what is asked of the origin too, since a parameter that
/// it sees and the key does not would let one client poison the entry of all others.
#[must_use]
pub fn query<'a>(uri: &'a Uri, rules: &KeyRules) -> Option<Cow<'a, str>> {
    let raw = uri.query()?;
    let counts = rules.query(raw);
    (raw.is_empty() || !counts.is_empty()).then_some(counts)
}

/// A part after its length, or `-` where there is none.
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

/// Scheme and authority in lower case, without the scheme's default port.
fn normal<'a>(scheme: &'a str, authority: &'a str) -> (Cow<'a, str>, Cow<'a, str>) {
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

/// What the text of a key begins with that is of QUERY: every other begins with a length.
const QUERY: char = 'q';

fn id_of(text: &str) -> String {
    hex(&blake3::hash(text.as_bytes()).as_bytes()[..16])
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

/// The request fields that may select a stored response, under a route's key rules.
#[derive(Clone, Copy, Debug)]
pub struct Selecting<'a> {
    headers: &'a HeaderMap,
    rules: &'a KeyRules,
    content: Option<Digest>,
    visitor: Option<Digest>,
}

/// A hash of a request's content and of what that is, 128 bits.
pub type Digest = [u8; 16];

impl<'a> Selecting<'a> {
    /// The selecting fields of a request.
    #[must_use]
    pub const fn of(headers: &'a HeaderMap, rules: &'a KeyRules) -> Self {
        Self { headers, rules, content: None, visitor: None }
    }

    /// The same for a request whose content selects too: "The cache key for a QUERY request MUST incorporate the request
    /// content and related metadata" (RFC 10008 §2.7).
    #[must_use]
    pub const fn with_content(self, content: Option<Digest>) -> Self {
        Self { content, ..self }
    }

    /// The same for the request of a visitor who is told apart by the rules of the route.
    #[must_use]
    pub const fn with_visitor(self, visitor: Option<Digest>) -> Self {
        Self { visitor, ..self }
    }

    /// Whether what it selects is for one visitor.
    #[must_use]
    pub const fn is_personal(&self) -> bool {
        self.visitor.is_some()
    }

    /// What the route is keyed by, whatever a response varies on: part of every spec.
    fn implied(&self) -> impl Iterator<Item = String> {
        let headers = self.rules.headers.iter().map(|name| name.as_str().to_owned());
        let cookies = self.rules.cookies.iter();
        let cookies = cookies.map(|cookie| format!("{COOKIE_PREFIX}{}", hex(cookie.as_bytes())));
        let visitor = (self.rules.visitor != Visitor::Nobody).then(|| VISITOR.to_owned());
        headers.chain(cookies).chain(self.content.map(|_| CONTENT.to_owned())).chain(visitor)
    }

    /// What a response with these `Vary` fields is selected by, as the comma-separated, sorted list that is
    /// kept with the resource; empty when it is the same for everybody, `None` when it varies on something
    /// that cannot select.
    ///
    /// `Vary: Cookie` is answered by the cookies the route is keyed by, if there are any.
    #[must_use]
    pub fn spec(&self, vary: &[HeaderName]) -> Option<String> {
        let mut names: Vec<String> = self.implied().collect();
        for field in vary {
            match field {
                // Part of the resource key.
                field if *field == HOST => {}
                field if *field == COOKIE && !self.rules.cookies.is_empty() => {}
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
                // Field values have no line ends (RFC 9110 §5.5); should one get here, it must not make a line.
                values.extend(value.chars().map(|c| if c == '\n' { ' ' } else { c }));
            }
            values.push('\n');
        }
        values
    }

    fn value(&self, name: &str) -> Option<String> {
        if name == CONTENT {
            return self.content.map(|digest| hex(&digest));
        }
        if name == VISITOR {
            return self.visitor.map(|digest| hex(&digest));
        }
        match name.strip_prefix(COOKIE_PREFIX) {
            Some(encoded) => {
                let cookie = self.rules.cookies.iter().find(|cookie| hex(cookie.as_bytes()) == encoded)?;
                cookies::values(self.headers, cookie)
            }
            None => selecting_value(self.headers, &HeaderName::from_bytes(name.as_bytes()).ok()?),
        }
    }

    /// Whether the request has any of the fields in `spec`.
    #[must_use]
    pub fn concerns(&self, spec: &str) -> bool {
        let other = |name: &str| name.starts_with(COOKIE_PREFIX) || name == CONTENT || name == VISITOR;
        spec.split(',').any(|name| other(name) || self.headers.contains_key(name))
    }

    /// The spec that every response of the route has at least, if the route is keyed by anything.
    #[must_use]
    pub fn least(&self) -> Option<String> {
        self.spec(&[]).filter(|spec| !spec.is_empty())
    }
}

/// Stands for the content among field names.
const CONTENT: &str = "content:";

/// Stands for who asks.
const VISITOR: &str = "visitor:";

/// Whether responses under `spec` are selected by the content of requests, or by who asks: then there may be any number of
/// them.
#[must_use]
pub fn is_unbounded(spec: &str) -> bool {
    spec.split(',').any(|name| name == CONTENT || name == VISITOR)
}

/// Marks the name of a cookie, in hexadecimal, among field names; no field name has a colon.
const COOKIE_PREFIX: &str = "cookie:";

/// The name of the variant selected by `values`, 128 bits in hexadecimal. The values stand in the entry too
/// and are compared when it is read.
#[must_use]
pub fn variant(values: &str) -> String {
    hex(&blake3::hash(values.as_bytes()).as_bytes()[..16])
}

fn is_selecting(name: &HeaderName) -> bool {
    let text = name.as_str();
    !(NOT_SELECTING.contains(name)
        || *name == HOST
        || text.starts_with("spin-")
        || text == "x-forwarded-for"
        || text == "cdn-loop")
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

    fn request(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    proptest! {
        /// Text is equal exactly when what selects is.
        #[test]
        fn values_cannot_move_between_fields_and_cookies(
            one in proptest::array::uniform4(proptest::option::of("[a-b:;=\\x80-\\xff-]{0,4}")),
            other in proptest::array::uniform4(proptest::option::of("[a-b:;=\\x80-\\xff-]{0,4}")),
        ) {
            let rules = KeyRules { cookies: vec!["c".into(), "d".into()], headers: vec![HeaderName::from_static("a")], ..KeyRules::default() };
            let clean = |values: &[Option<String>; 4]| {
                let mut values = values.clone();
                values[2..].iter_mut().flatten().for_each(|value| value.retain(|c| c != ';'));
                values
            };
            let text = |values: &[Option<String>; 4]| {
                let mut headers = HeaderMap::new();
                for (name, value) in [("a", &values[0]), ("ab", &values[1])] {
                    if let Some(value) = value {
                        headers.append(name, HeaderValue::from_str(value).unwrap());
                    }
                }
                for (name, value) in [("c", &values[2]), ("d", &values[3])] {
                    if let Some(value) = value {
                        headers.append(COOKIE, HeaderValue::from_str(&format!("{name}={value}")).unwrap());
                    }
                }
                let selecting = Selecting::of(&headers, &rules);
                selecting.values(&selecting.spec(&[HeaderName::from_static("ab")]).unwrap())
            };
            let (one, other) = (clean(&one), clean(&other));
            prop_assert_eq!(text(&one) == text(&other), one == other);
        }
    }

    #[test]
    fn absent_and_empty_fields_select_differently() {
        let rules = KeyRules::default();
        let values = |lines: &[(&'static str, &'static str)]| {
            Selecting::of(&request(lines), &rules).values("foo,foo2")
        };
        assert_ne!(values(&[]), values(&[("foo", "")]));
        assert_ne!(values(&[("foo", "1")]), values(&[("foo2", "1")]));
        assert_eq!(values(&[("foo", "1"), ("bar", "2")]), values(&[("bar", "3"), ("foo", "1 ")]));
    }

    #[test]
    fn the_content_of_a_query_selects_and_its_resource_is_another() {
        let (headers, rules) = (HeaderMap::new(), KeyRules::default());
        let by = |content| Selecting::of(&headers, &rules).with_content(content);
        let spec = by(Some([1; 16])).spec(&[HeaderName::from_static("accept")]).unwrap();
        assert_eq!(spec, "accept,content:");
        assert!(is_unbounded(&spec) && !is_unbounded("accept,content"));
        assert_ne!(by(Some([1; 16])).values(&spec), by(Some([2; 16])).values(&spec));
        assert_eq!(by(None).least(), None);
        let plain = key("http://h/a?b");
        let query = plain.of_query();
        assert!(query.id() != plain.id() && query.text() != plain.text() && query.url() == plain.url());
        assert_eq!(url_of(query.text()).as_deref(), Some("http://h/a?b"));
    }

    #[test]
    fn private_fields_cannot_select() {
        let (headers, rules) = (request(&[("cookie", "sid=1"), ("accept", "x")]), KeyRules::default());
        let selecting = Selecting::of(&headers, &rules);
        assert_eq!(selecting.spec(&[COOKIE]), None);
        assert_eq!(selecting.spec(&[AUTHORIZATION]), None);
        assert_eq!(selecting.spec(&[HeaderName::from_static("accept"), HOST]).as_deref(), Some("accept"));
    }

    #[test]
    fn configured_cookies_select_and_answer_vary_cookie() {
        let rules = KeyRules { cookies: vec!["lang".into()], ..KeyRules::default() };
        let none = HeaderMap::new();
        let spec = Selecting::of(&none, &rules).spec(&[COOKIE]).unwrap();
        let values = |cookie| Selecting::of(&request(&[("cookie", cookie)]), &rules).values(&spec);
        assert_eq!(values("sid=1; lang=de"), values("lang=de; sid=2"));
        assert_ne!(values("lang=de"), values("lang=fr"));
        assert_ne!(values("lang="), values("sid=1"));
    }
}
