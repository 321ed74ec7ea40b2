//! What selects one of the responses of a resource: the fields that a response varies on, and the key rules of its route.

use crate::config::{KeyRules, Visitor};
use crate::field::vary::selecting_value;
use crate::field::{cookies, forward};
use crate::redis::hex;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, PRAGMA, PROXY_AUTHORIZATION, RANGE, VIA,
};
use http::{HeaderMap, HeaderName};

/// Fields that a stored response must not vary on: they are private, belong to the exchange with us, or
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

/// A 128-bit hash: of a request's content and the fields that describe it, or of a visitor.
pub type Digest = [u8; 16];

impl<'a> Selecting<'a> {
    /// Returns the selecting fields of a request.
    #[must_use]
    pub const fn of(headers: &'a HeaderMap, rules: &'a KeyRules) -> Self {
        Self { headers, rules, content: None, visitor: None }
    }

    /// Adds the content of a request that is selected by it: "The cache key for a QUERY request MUST incorporate the request
    /// content and related metadata" (RFC 10008 §2.7).
    #[must_use]
    pub const fn with_content(self, content: Option<Digest>) -> Self {
        Self { content, ..self }
    }

    /// Adds the visitor, where the rules of the route tell visitors apart.
    #[must_use]
    pub const fn with_visitor(self, visitor: Option<Digest>) -> Self {
        Self { visitor, ..self }
    }

    /// Returns whether what it selects is for one visitor.
    #[must_use]
    pub const fn is_personal(&self) -> bool {
        self.visitor.is_some()
    }

    /// Returns what the route is keyed by, whatever a response varies on: part of every spec.
    fn implied(&self) -> impl Iterator<Item = String> {
        let headers = self.rules.headers.iter().map(|name| name.as_str().to_owned());
        let cookies = self.rules.cookies.iter();
        let cookies = cookies.map(|cookie| format!("{COOKIE_PREFIX}{}", hex(cookie.as_bytes())));
        let visitor = (self.rules.visitor != Visitor::Nobody).then(|| VISITOR.to_owned());
        headers.chain(cookies).chain(self.content.map(|_| CONTENT.to_owned())).chain(visitor)
    }

    /// Returns what a response with these `Vary` fields is selected by, as the comma-separated, sorted list that is
    /// stored with the resource; empty when the response is the same for everybody, `None` when it varies on a
    /// field that cannot select.
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

    /// Returns the values of the fields in `spec`, as text that is equal exactly when all of them are.
    #[must_use]
    pub fn values(&self, spec: &str) -> String {
        let mut values = String::new();
        for name in spec.split(',').filter(|name| !name.is_empty()) {
            values.push_str(name);
            if let Some(value) = self.value(name) {
                values.push(':');
                // Field values have no line ends (RFC 9110 §5.5); should one occur, it must not start a new line here.
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

    /// Returns whether the request has any of the fields in `spec`, or `spec` names cookies, the content or the visitor.
    #[must_use]
    pub fn concerns(&self, spec: &str) -> bool {
        let other = |name: &str| name.starts_with(COOKIE_PREFIX) || name == CONTENT || name == VISITOR;
        spec.split(',').any(|name| other(name) || self.headers.contains_key(name))
    }

    /// Returns the spec that every response of the route has at least, if the route is keyed by anything.
    #[must_use]
    pub fn least(&self) -> Option<String> {
        self.spec(&[]).filter(|spec| !spec.is_empty())
    }
}

/// Stands for the content among the field names of a spec.
const CONTENT: &str = "content:";

/// Stands for the visitor among the field names of a spec.
const VISITOR: &str = "visitor:";

/// Returns whether responses under `spec` are selected by the content of requests or by the visitor: then there may be any
/// number of variants.
#[must_use]
pub fn is_unbounded(spec: &str) -> bool {
    spec.split(',').any(|name| name == CONTENT || name == VISITOR)
}

/// Precedes the name of a cookie, in hexadecimal, among field names; no field name has a colon.
const COOKIE_PREFIX: &str = "cookie:";

/// Returns the name of the variant selected by `values`, 128 bits in hexadecimal. The values themselves are stored
/// in the entry and compared when it is read.
#[must_use]
pub fn variant(values: &str) -> String {
    hex(&blake3::hash(values.as_bytes()).as_bytes()[..16])
}

fn is_selecting(name: &HeaderName) -> bool {
    let text = name.as_str();
    !(NOT_SELECTING.contains(name)
        || *name == HOST
        || forward::is_spin(name)
        || text == "x-forwarded-for"
        || text == "cdn-loop")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::lines::map;
    use http::HeaderValue;
    use proptest::prelude::*;

    proptest! {
        /// The texts are equal exactly if the selecting values are.
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
        let values =
            |lines: &[(&'static str, &'static str)]| Selecting::of(&map(lines), &rules).values("foo,foo2");
        assert_ne!(values(&[]), values(&[("foo", "")]));
        assert_ne!(values(&[("foo", "1")]), values(&[("foo2", "1")]));
        assert_eq!(values(&[("foo", "1"), ("bar", "2")]), values(&[("bar", "3"), ("foo", "1 ")]));
    }

    #[test]
    fn the_content_of_a_query_selects() {
        let (headers, rules) = (HeaderMap::new(), KeyRules::default());
        let by = |content| Selecting::of(&headers, &rules).with_content(content);
        let spec = by(Some([1; 16])).spec(&[HeaderName::from_static("accept")]).unwrap();
        assert_eq!(spec, "accept,content:");
        assert!(is_unbounded(&spec) && !is_unbounded("accept,content"));
        assert_ne!(by(Some([1; 16])).values(&spec), by(Some([2; 16])).values(&spec));
        assert_eq!(by(None).least(), None);
    }

    #[test]
    fn private_fields_cannot_select() {
        let (headers, rules) = (map(&[("cookie", "sid=1"), ("accept", "x")]), KeyRules::default());
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
        let values = |cookie| Selecting::of(&map(&[("cookie", cookie)]), &rules).values(&spec);
        assert_eq!(values("sid=1; lang=de"), values("lang=de; sid=2"));
        assert_ne!(values("lang=de"), values("lang=fr"));
        assert_ne!(values("lang="), values("sid=1"));
    }
}
