//! Which of a route's requests the cache answers, what of them the origin sees, and what clients are told.

use super::key::unique;
use super::query::{NameSet, Parameter};
use super::table::Table;
use super::value::{one_of, seconds, shown, string, text};
use crate::cache::tags::MAX_TAG;
use crate::field::cache_status::Detail;
use crate::field::cookies;
use crate::field::variable::{Names, is_taken_for};
use http::header::{self, HeaderName};
use http::{HeaderMap, Method, Uri};
use std::time::Duration;

/// Rules for the requests and responses of a route, except for the freshness of responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Methods whose requests the cache answers: GET, HEAD and QUERY, by default all three.
    pub methods: Vec<Method>,
    /// Requests that go to the origin unchanged.
    pub bypass: Bypass,
    /// Which cookies of a request that the cache may answer are sent to the origin.
    pub request_cookies: RequestCookies,
    /// Fields that are removed from a request that the cache may answer, unless they are part of the key. By default those
    /// that make frameworks use another method, host or path than the request's.
    pub strip_request: Names,
    /// Fields that are removed from every answer.
    pub strip_response: Vec<HeaderName>,
    /// Media types of stored responses, such as `text/css` or `image/*`, in lower case; empty means any.
    pub content_types: Vec<String>,
    /// Tags that every stored response gets, besides its own.
    pub tags: Vec<String>,
    /// How long clients may keep responses that came from the cache or are stored there, from when they receive them. `None`
    /// leaves what the origin says.
    pub client_ttl: Option<Duration>,
}

/// Which cookies are sent to the origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestCookies {
    /// All.
    #[default]
    Pass,
    /// Those of the key.
    Key,
}

/// Which requests bypass the cache: those that have any of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bypass {
    headers: Names,
    cookies: NameSet,
    query: NameSet,
}

impl Bypass {
    /// Returns why a request bypasses the cache; `None` when it does not.
    #[must_use]
    pub fn why(&self, uri: &Uri, headers: &HeaderMap) -> Option<Detail> {
        // Other spellings count, too, since the origin may take them for the field.
        if self.headers.has_any_of(headers) {
            return Some(Detail::BypassHeader);
        }
        let named = |(name, _): (&[u8], _)| self.cookies.contains(name);
        if !self.cookies.is_empty() && cookies::pairs(headers).any(named) {
            return Some(Detail::BypassCookie);
        }
        let query = uri.query().filter(|_| !self.query.is_empty())?;
        let mut parameters = query.split('&').map(Parameter::new);
        parameters.any(|parameter| self.query.contains(&parameter.name)).then_some(Detail::BypassQuery)
    }
}

/// Fields that frameworks and servers use instead of the method, host or target of a request. The cache looks at what they
/// override, so a response to them would be stored as that to another request.
const OVERRIDES: [&str; 17] = [
    "front-end-https",
    "x-forwarded-path",
    "x-forwarded-prefix",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-forwarded-uri",
    "x-host",
    "x-http-host-override",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-host",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
    "x-url-scheme",
];

/// The methods that can be looked up.
const METHODS: [(&str, &[u8]); 3] = [("GET", b"GET"), ("HEAD", b"HEAD"), ("QUERY", b"QUERY")];

fn methods() -> Vec<Method> {
    METHODS.iter().filter_map(|(_, name)| Method::from_bytes(name).ok()).collect()
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            methods: methods(),
            bypass: Bypass::default(),
            request_cookies: RequestCookies::default(),
            strip_request: OVERRIDES.iter().map(|name| HeaderName::from_static(name)).collect(),
            strip_response: Vec::new(),
            content_types: Vec::new(),
            tags: Vec::new(),
            client_ttl: None,
        }
    }
}

/// The keys that are read from the table of a policy.
pub(super) const KEYS: [&str; 8] = [
    "methods",
    "bypass",
    "request_cookies",
    "strip_request",
    "strip_response",
    "content_types",
    "tags",
    "client_ttl",
];

impl Rules {
    /// Reads the keys of `table` over `base`.
    pub(super) fn read(table: &mut Table<'_, '_>, base: &Self) -> Self {
        let choices = [("pass", RequestCookies::Pass), ("key", RequestCookies::Key)];
        let year = Duration::from_secs(365 * 24 * 60 * 60);
        // Requests lose the named fields in every spelling that servers take for the same.
        let stripped = |value: &_| strippable(text(FIELD, value)?, &KEPT_IN_REQUESTS, is_taken_for);
        let strip_request =
            table.strings("strip_request", stripped).map(|all| unique(all).into_iter().collect());
        let same = |name: &HeaderName, kept: &HeaderName| name == kept;
        let stripped = |value: &_| strippable(text(FIELD, value)?, &KEPT_IN_RESPONSES, same);
        let strip_response = table.strings("strip_response", stripped).map(unique);
        let media = string("a media type like \"text/css\" or \"image/*\"", media_type);
        let tag = string("a tag of 1 to 1024 bytes without control characters or surrounding blanks", tag);
        Self {
            methods: read_methods(table).unwrap_or_else(|| base.methods.clone()),
            bypass: Bypass::read(table).unwrap_or_else(|| base.bypass.clone()),
            request_cookies: table.read("request_cookies", one_of(&choices)).unwrap_or(base.request_cookies),
            strip_request: strip_request.unwrap_or_else(|| base.strip_request.clone()),
            strip_response: strip_response.unwrap_or_else(|| base.strip_response.clone()),
            content_types: table
                .strings("content_types", media)
                .map_or_else(|| base.content_types.clone(), unique),
            tags: table.strings("tags", tag).map_or_else(|| base.tags.clone(), unique),
            client_ttl: table.read("client_ttl", seconds(Duration::ZERO..=year)).or(base.client_ttl),
        }
    }

    /// Returns whether a response of this media type is stored.
    #[must_use]
    pub fn takes(&self, headers: &HeaderMap) -> bool {
        if self.content_types.is_empty() {
            return true;
        }
        let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let found = value.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
        let found = found.to_ascii_lowercase();
        self.content_types.iter().any(|wanted| match wanted.strip_suffix('*') {
            Some(beginning) => found.starts_with(beginning) && found.len() > beginning.len(),
            None => found == *wanted,
        })
    }
}

fn read_methods(table: &mut Table<'_, '_>) -> Option<Vec<Method>> {
    let words = METHODS.map(|(word, name)| (word, name));
    let names = table.strings("methods", one_of(&words))?;
    if names.is_empty() {
        table.fail("methods", "expected at least one method; to cache none, set mode = \"bypass\"");
    }
    Some(unique(names.into_iter().filter_map(|name| Method::from_bytes(name).ok()).collect()))
}

impl Bypass {
    fn read(table: &mut Table<'_, '_>) -> Option<Self> {
        let mut inner = table.table("bypass")?;
        let what = "a name, which may end with \"*\"";
        let field = string("a field name like \"x-preview\"", |text| HeaderName::try_from(text).ok());
        let names = |list: Option<Vec<String>>| {
            list.map(|list| NameSet::new(list.iter().map(String::as_str))).unwrap_or_default()
        };
        let bypass = Self {
            headers: inner.strings("headers", field).unwrap_or_default().into_iter().collect(),
            cookies: names(inner.strings("cookies", string(what, pattern))),
            query: names(inner.strings("query", string(what, pattern))),
        };
        inner.finish(|_| None);
        Some(bypass)
    }
}

/// Parses a name, or a prefix followed by `*`.
fn pattern(text: &str) -> Option<String> {
    let begin = text.strip_suffix('*').unwrap_or(text);
    let valid = !begin.is_empty() && !begin.contains(['*', '=', ';', '&']);
    valid.then(|| text.to_owned())
}

/// Parses `type/subtype` or `type/*`, without parameters.
fn media_type(text: &str) -> Option<String> {
    let (kind, sub) = text.split_once('/')?;
    let token = |text: &str| Method::from_bytes(text.as_bytes()).is_ok();
    (token(kind) && kind != "*" && token(sub) && (sub == "*" || !sub.contains('*')))
        .then(|| text.to_ascii_lowercase())
}

fn tag(text: &str) -> Option<String> {
    let valid =
        (1..=MAX_TAG).contains(&text.len()) && text.trim() == text && !text.contains(char::is_control);
    valid.then(|| text.to_owned())
}

const FIELD: &str = "a field name like \"x-powered-by\"";

/// Fields without which a request would have another meaning, each with what to do instead.
const KEPT_IN_REQUESTS: [(HeaderName, &str); 10] = [
    (header::HOST, "it is always part of the key"),
    (header::AUTHORIZATION, "without it the request is anonymous; use bypass.headers"),
    (header::COOKIE, "use request_cookies"),
    (header::ACCEPT_ENCODING, "use key.encodings"),
    (header::CACHE_CONTROL, "use client_revalidation"),
    (header::RANGE, "use range"),
    (header::IF_RANGE, "without it the client may combine parts of different versions"),
    (header::CONTENT_LENGTH, "it says where the request ends"),
    (header::CONTENT_TYPE, "it says what the content is"),
    (header::TRANSFER_ENCODING, "it is meant for the next hop only"),
];

/// Fields without which a response would have another meaning, each with the reason or what to do instead.
const KEPT_IN_RESPONSES: [(HeaderName, &str); 13] = [
    (header::CACHE_CONTROL, "use client_ttl"),
    (header::EXPIRES, "use client_ttl"),
    (header::SET_COOKIE, "use set_cookie"),
    (header::VARY, "other caches need it"),
    (header::AGE, "other caches need it"),
    (header::DATE, "other caches need it"),
    (header::CONTENT_LENGTH, "it says where the response ends"),
    (header::TRANSFER_ENCODING, "it is meant for the next hop only"),
    (header::CONTENT_TYPE, "it says what the content is"),
    (header::CONTENT_ENCODING, "it says what the content is"),
    (header::CONTENT_RANGE, "it says what the content is"),
    (header::LOCATION, "it says where the resource is"),
    (header::WWW_AUTHENTICATE, "it says how to authenticate"),
];

fn strippable(
    text: &str,
    kept: &[(HeaderName, &str)],
    is: impl Fn(&HeaderName, &HeaderName) -> bool,
) -> Result<HeaderName, String> {
    let found = || format!("expected {FIELD}, found {}", shown(text));
    let name = HeaderName::try_from(text).map_err(|_| found())?;
    match kept.iter().find(|(refused, _)| is(&name, refused)) {
        Some((_, reason)) => Err(format!("expected a field other than {name}: {reason}")),
        None => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, RoutePolicy};
    use super::*;
    use crate::field::lines::map;

    fn rules(keys: &str) -> Rules {
        let text = format!("[cache]\n{keys}\n[[route]]\npath = \"/b\"\ncache.tags = [\"b\"]");
        match &Config::parse(&text, "f").unwrap().route("h", "/b").policy {
            RoutePolicy::Cache(policy) => policy.rules.clone(),
            RoutePolicy::Bypass => panic!("bypass"),
        }
    }

    #[test]
    fn everything_that_can_be_said_is_heard() {
        let said = rules(
            "methods = [\"GET\", \"HEAD\", \"GET\"]\nrequest_cookies = \"key\"\nstrip_request = [\"RSC\"]\n\
             strip_response = [\"Server\"]\ncontent_types = [\"Text/CSS\", \"image/*\"]\ntags = [\"a\"]\n\
             client_ttl = \"1m\"\nbypass = { headers = [\"X-Preview\"], cookies = [\"s*\"], query = [\"p\"] }",
        );
        assert_eq!(said.methods, [Method::GET, Method::HEAD]);
        assert_eq!(said.request_cookies, RequestCookies::Key);
        assert_eq!(
            (said.strip_request, said.strip_response),
            (vec!["rsc"; 1].into_iter().map(HeaderName::from_static).collect(), vec![header::SERVER])
        );
        assert_eq!(said.content_types, ["text/css", "image/*"]);
        assert_eq!(said.tags, ["b"], "the route's word counts");
        assert_eq!(said.client_ttl, Some(Duration::from_secs(60)));
        assert_eq!(rules("").strip_request.as_slice().len(), OVERRIDES.len());
        assert_eq!(rules("strip_request = []").strip_request.as_slice(), [""; 0]);
        // Clients do not take it for Set-Cookie.
        assert_eq!(rules("strip_response = [\"set_cookie\"]").strip_response, ["set_cookie"]);
    }

    #[test]
    fn a_request_with_any_of_what_is_named_is_not_for_the_cache() {
        let bypass = rules(
            "bypass = { headers = [\"x-preview\"], cookies = [\"sess*\", \"a\"], query = [\"preview\"] }",
        )
        .bypass;
        for (uri, lines, why) in [
            ("http://h/a?b=1", &[("cookie", "b=1; as=2"), ("x-other", "1")][..], None),
            ("http://h/a", &[("x-preview", "")], Some(Detail::BypassHeader)),
            ("http://h/a", &[("x_preview", "")], Some(Detail::BypassHeader)),
            ("http://h/a", &[("cookie", "b=1;  session_id=2")], Some(Detail::BypassCookie)),
            ("http://h/a", &[("cookie", "a=")], Some(Detail::BypassCookie)),
            ("http://h/a?b&pre%76iew=1", &[], Some(Detail::BypassQuery)),
            ("http://h/a?previews", &[], None),
        ] {
            assert_eq!(bypass.why(&Uri::from_static(uri), &map(lines)), why, "{uri} {lines:?}");
        }
    }

    #[test]
    fn media_types_are_compared_without_case_and_parameters() {
        let rules = rules("content_types = [\"text/css\", \"image/*\"]");
        for (found, taken) in [
            ("Text/CSS; charset=utf-8", true),
            ("image/png", true),
            ("image/", false),
            ("text/csss", false),
            ("", false),
        ] {
            assert_eq!(rules.takes(&map(&[("content-type", found)])), taken, "{found}");
        }
        assert!(!rules.takes(&HeaderMap::new()) && Rules::default().takes(&HeaderMap::new()));
    }

    #[test]
    fn wrong_values_are_errors_with_what_was_expected() {
        for (line, part) in [
            (
                "methods = [\"POST\"]",
                "cache.methods[0]: expected \"GET\" or \"HEAD\" or \"QUERY\", found \"POST\"",
            ),
            ("methods = []", "cache.methods: expected at least one method"),
            ("bypass = { cookie = [] }", "cache.bypass.cookie: unknown key, did you mean \"cookies\"?"),
            ("bypass = { cookies = [\"*\"] }", "cache.bypass.cookies[0]: expected a name"),
            ("request_cookies = \"strip\"", "expected \"pass\" or \"key\", found \"strip\""),
            (
                "strip_request = [\"If-Range\"]",
                "expected a field other than if-range: without it the client may combine parts of different \
                 versions",
            ),
            (
                "strip_request = [\"Content_Type\"]",
                "expected a field other than content_type: it says what the content is",
            ),
            ("strip_request = [\"Cookie\"]", "expected a field other than cookie: use request_cookies"),
            ("strip_response = [\"vary\"]", "expected a field other than vary: other caches"),
            ("strip_response = [\"a b\"]", "expected a field name like"),
            ("content_types = [\"*/*\"]", "expected a media type like"),
            ("content_types = [\"text/css; x=y\"]", "expected a media type like"),
            ("tags = [\" a\"]", "expected a tag of 1 to 1024 bytes"),
            ("client_ttl = 5", "cache.client_ttl: expected a duration"),
        ] {
            let text = Config::parse(&format!("[cache]\n{line}"), "f").unwrap_err().to_string();
            assert!(text.contains(part) && text.lines().count() == 1, "{line}: {text}");
        }
    }
}
