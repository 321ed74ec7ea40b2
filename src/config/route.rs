//! Routes: which requests they match, and in which order.

use super::address::HostPort;
use super::glob;
use super::limit::{self, Limit};
use super::policy::{self, Draft, RoutePolicy};
use super::query::escaped;
use super::session::{RouteSession, SessionConfig};
use super::table::Table;
use super::value::{shown, string, text};
use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// A part of the site with its own settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its name in metrics and limits: the pattern, if the configuration gives no name, and `default` for the
    /// requests that no route matches.
    pub name: String,
    /// How its requests are cached.
    pub policy: RoutePolicy,
    /// Whether its requests have sessions, and what happens if these cannot be loaded.
    pub session: Option<RouteSession>,
    /// The limits that apply to them.
    pub limits: Vec<Rc<Limit>>,
    matcher: Matcher,
}

/// Which requests a route matches.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Matcher {
    host: HostPattern,
    /// A glob over the path, see [`normal`].
    path: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPattern {
    Any,
    /// A name in lower case.
    Exact(String),
    /// Every name with this suffix: lower case, beginning with a dot.
    Below(String),
}

impl Route {
    /// Makes the route of all requests that no other route matches.
    pub(super) fn default(policy: RoutePolicy, limits: Vec<Rc<Limit>>) -> Self {
        let matcher = Matcher { host: HostPattern::Any, path: "*".to_owned() };
        Self { name: DEFAULT.to_owned(), policy, session: None, limits, matcher }
    }

    /// Returns whether it matches a request for `path` (in [`normal`] form) at `host` (a name without port).
    pub(super) fn matches(&self, host: &str, path: &str) -> bool {
        self.matcher.host.matches(host) && self.matches_path(path)
    }

    /// Returns whether it matches `path`, at a host that it matches.
    pub(super) fn matches_path(&self, path: &str) -> bool {
        glob::matches(&self.matcher.path, path)
    }

    pub(super) fn is_of_any_host(&self) -> bool {
        self.matcher.host == HostPattern::Any
    }

    fn covers(&self, other: &Self) -> bool {
        self.matcher.host.covers(&other.matcher.host) && glob::covers(&self.matcher.path, &other.matcher.path)
    }
}

const DEFAULT: &str = "default";

impl HostPattern {
    fn parse(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let (name, below) = match lower.strip_prefix('*') {
            Some(rest) => (rest.strip_prefix('.')?, true),
            None => (lower.as_str(), false),
        };
        let valid = HostPort::parse(name).is_some_and(|place| place.port().is_none());
        if !valid || name.starts_with('.') || name.ends_with('.') {
            return None;
        }
        Some(if below { Self::Below(format!(".{name}")) } else { Self::Exact(name.to_owned()) })
    }

    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => host.eq_ignore_ascii_case(name),
            Self::Below(suffix) => {
                let (host, suffix) = (host.as_bytes(), suffix.as_bytes());
                host.len() > suffix.len() && host[host.len() - suffix.len()..].eq_ignore_ascii_case(suffix)
            }
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (_, Self::Any) | (Self::Exact(_), Self::Below(_)) => false,
            (_, Self::Exact(name)) => self.matches(name),
            (Self::Below(suffix), Self::Below(narrower)) => narrower.ends_with(suffix.as_str()),
        }
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            HostPattern::Any => {}
            HostPattern::Exact(name) => f.write_str(name)?,
            HostPattern::Below(suffix) => write!(f, "*{suffix}")?,
        }
        f.write_str(if self.path == "*" { "" } else { &self.path })
    }
}

/// Returns the host of an authority: without port, without the dot that may end a name, and without user information (RFC
/// 9110 §4.2.4), which some servers ignore and which must not bypass a route.
pub(crate) fn host_name(authority: &str) -> &str {
    let place = authority.rsplit('@').next().unwrap_or_default();
    let host = match place.rfind(']') {
        Some(end) => &place[..=end],
        None => place.split(':').next().unwrap_or_default(),
    };
    host.strip_suffix('.').unwrap_or(host)
}

/// Returns a path in the form that routes compare: unreserved characters are not percent-encoded, and the digits of what
/// remains encoded are upper case (RFC 3986 §6.2.2). So `/%61dmin` does not bypass a rule for `/admin`.
pub(crate) fn normal(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut normal = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        normal.push_str(&rest[..at]);
        let (text, length) = match escaped(&rest.as_bytes()[at..]) {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                (char::from(byte).to_string(), 3)
            }
            Some(byte) => (format!("%{byte:02X}"), 3),
            None => ("%".to_owned(), 1),
        };
        normal.push_str(&text);
        rest = &rest[at + length..];
    }
    normal.push_str(rest);
    Cow::Owned(normal)
}

/// The settings for all routes, unless they have their own, and what routes can refer to.
pub(super) struct Common<'a> {
    pub(super) base: &'a Draft,
    pub(super) max_ttl: Duration,
    pub(super) sessions: &'a SessionConfig,
    pub(super) limits: &'a [Rc<Limit>],
    pub(super) everywhere: Vec<Rc<Limit>>,
}

/// Reads all `[[route]]` tables.
pub(super) fn read_all(tables: Vec<Table<'_, '_>>, common: &Common<'_>) -> Vec<Route> {
    let mut routes: Vec<(Route, String)> = Vec::with_capacity(tables.len());
    for mut table in tables {
        if let Some(route) = read(&mut table, common) {
            check_reachable(&routes, &route, &table);
            check_name(&routes, &route, &table);
            let place = format!("{} {} (line {})", table.path(), shown(&route.name), table.line());
            routes.push((route, place));
        }
        table.finish(|key| policy::is_key(key).then_some("it belongs in [route.cache]"));
    }
    routes.into_iter().map(|(route, _)| route).collect()
}

fn read(table: &mut Table<'_, '_>, common: &Common<'_>) -> Option<Route> {
    let name = table.read("name", string("a name of 1 to 64 visible ASCII characters", name));
    let host = read_host(table);
    let path = read_path(table);
    let draft = match table.table("cache") {
        Some(mut inner) => {
            let draft = Draft::read(&mut inner, common.base, common.max_ttl);
            draft.check_bypass(&inner);
            inner.finish(|_| None);
            draft
        }
        None => common.base.clone(),
    };
    let session = RouteSession::read(table, common.sessions);
    if session.is_none() && draft.names_visitors(common.base) {
        table.fail("cache", "key.visitor has no effect, because the route has no sessions (session = true)");
    }
    let limits = limit::read_names(table, common.limits, session.is_some());
    let limits = limits.unwrap_or_else(|| common.everywhere.clone());
    let matcher = match (host, path) {
        (Given::Wrong, _) | (_, Given::Wrong) => return None,
        (Given::No, Given::No) => {
            table.fail_all("expected `host`, `path` or both; settings for all requests belong in [cache]");
            return None;
        }
        (host, path) => Matcher { host: host.or(HostPattern::Any), path: path.or("*".to_owned()) },
    };
    let name = name.unwrap_or_else(|| matcher.to_string());
    Some(Route { name, policy: draft.into(), session, limits, matcher })
}

/// A key that may be missing, as distinct from invalid.
enum Given<T> {
    No,
    Wrong,
    Yes(T),
}

impl<T> Given<T> {
    fn new(table: &Table<'_, '_>, key: &str, value: Option<T>) -> Self {
        match value {
            Some(value) => Self::Yes(value),
            None if table.has(key) => Self::Wrong,
            None => Self::No,
        }
    }

    fn or(self, other: T) -> T {
        match self {
            Self::Yes(value) => value,
            Self::No | Self::Wrong => other,
        }
    }
}

fn read_host(table: &mut Table<'_, '_>) -> Given<HostPattern> {
    let what = "a host like \"example.com\" or \"*.example.com\", without scheme, port and path";
    let host = table.read("host", string(what, HostPattern::parse));
    Given::new(table, "host", host)
}

fn read_path(table: &mut Table<'_, '_>) -> Given<String> {
    let path = table.read("path", |value| path(text("a path like \"/a\" or \"/a/*\"", value)?));
    Given::new(table, "path", path)
}

fn path(text: &str) -> Result<String, String> {
    let found = |what: &str| Err(format!("expected {what}, found {}", shown(text)));
    if !text.starts_with(['/', '*']) {
        return found("a path that begins with \"/\" or \"*\"");
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains('#') {
        return found("a path in visible ASCII, percent-encoded where necessary");
    }
    if text.find('?').is_some_and(|query| text[query..].contains('=')) {
        return found("a path without a query (\"?\" matches one character; for the query see cache.key)");
    }
    if text.starts_with("/_spindrift/") {
        return found("a path outside of \"/_spindrift/\", which Spindrift answers itself");
    }
    Ok(normal(text).into_owned())
}

fn name(text: &str) -> Option<String> {
    let valid = (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'));
    valid.then(|| text.to_owned())
}

fn check_name(earlier: &[(Route, String)], route: &Route, table: &Table<'_, '_>) {
    if route.name == DEFAULT {
        table.fail("name", "\"default\" is the route of all requests that match no other");
    }
    if let Some((_, place)) = earlier.iter().find(|(other, _)| other.name == route.name) {
        table.fail("name", format!("expected a unique name, {place} has the same"));
    }
}

fn check_reachable(earlier: &[(Route, String)], route: &Route, table: &Table<'_, '_>) {
    if let Some((_, place)) = earlier.iter().find(|(other, _)| other.covers(route)) {
        table.fail_all(format!("never reached: {place} comes first and matches all its requests"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    fn config(text: &str) -> Config {
        Config::parse(text, "f").unwrap()
    }

    fn errors(text: &str) -> String {
        Config::parse(text, "f").unwrap_err().to_string()
    }

    #[test]
    fn the_first_route_that_matches_is_taken() {
        let config = config(
            r#"
            [[route]]
            host = "*.example.com"
            path = "/static/*"
            [[route]]
            name = "shop"
            host = "Shop.example.com"
            [[route]]
            path = "/static/*"
            [[route]]
            path = "*.jpg"
            [[route]]
            path = "/a"
            "#,
        );
        for (host, path, name) in [
            ("www.example.com", "/static/a", "*.example.com/static/*"),
            ("a.b.EXAMPLE.com:8080", "/static/", "*.example.com/static/*"),
            ("example.com", "/static/a", "/static/*"),
            ("badexample.com", "/static/a", "/static/*"),
            ("shop.example.com", "/static/a", "*.example.com/static/*"),
            ("shop.example.com.:443", "/x.jpg", "shop"),
            ("x@shop.example.com", "/x", "shop"),
            ("x:y@shop.example.com:443", "/x", "shop"),
            ("shop.example.com:x@h", "/x", "default"),
            ("[::1]:3000", "/x/y.jpg", "*.jpg"),
            ("", "/a", "/a"),
            ("h", "/a/", "default"),
            ("h", "/static", "default"),
            ("h", "/A", "default"),
        ] {
            assert_eq!(config.route(host, path).name, name, "{host} {path}");
        }
    }

    #[test]
    fn an_unreserved_character_is_the_same_percent_encoded() {
        let config = config("[[route]]\npath = \"/admin/*\"\n[[route]]\npath = \"/%c3%a4~\"");
        for (path, name) in [
            ("/%61dmin/x", "/admin/*"),
            ("/admin%2Fx", "default"),
            ("/%C3%a4%7e", "/%C3%A4~"),
            ("/admin/%", "/admin/*"),
            ("/%6", "default"),
            ("/%é", "default"),
        ] {
            assert_eq!(config.route("h", path).name, name, "{path}");
        }
    }

    #[test]
    fn a_route_that_is_never_reached_is_an_error() {
        let text = errors("[[route]]\npath = \"/a/*\"\n\n[[route]]\nhost = \"h\"\npath = \"/a/b/*\"");
        assert_eq!(
            text,
            "f:4:1: route[1]: never reached: route[0] \"/a/*\" (line 1) comes first and matches all its \
             requests"
        );
        let wildcard = errors("[[route]]\nhost = \"*.a.b\"\n[[route]]\nhost = \"x.a.b\"\npath = \"/\"");
        assert!(wildcard.contains("never reached"));
        config("[[route]]\npath = \"/a/b/*\"\n[[route]]\npath = \"/a/*\"");
        config("[[route]]\nhost = \"h\"\npath = \"/*\"\n[[route]]\npath = \"/*\"");
        config("[[route]]\nhost = \"*.b\"\n[[route]]\nhost = \"b\"");
    }

    #[test]
    fn names_are_unique_and_default_is_taken() {
        let text = errors("[[route]]\nname = \"a\"\npath = \"/a\"\n[[route]]\nname = \"a\"\npath = \"/b\"");
        assert_eq!(
            text,
            "f:5:8: route[1].name: expected a unique name, route[0] \"a\" (line 1) has the same"
        );
        assert!(errors("[[route]]\nname = \"default\"\npath = \"/a\"").contains("f:2:8: route[0].name"));
    }

    #[test]
    fn patterns_that_cannot_be_meant_are_errors() {
        for (pattern, part) in [
            ("path = \"a/*\"", "begins with"),
            ("path = \"/search?q=*\"", "without a query"),
            ("path = \"/ä\"", "percent-encoded"),
            ("path = \"/a b\"", "percent-encoded"),
            ("path = \"/_spindrift/health\"", "Spindrift answers itself"),
            ("path = 7", "expected a path like"),
            ("host = \"example.com:80\"", "without scheme, port and path"),
            ("host = \"http://example.com\"", "without scheme, port and path"),
            ("host = \"a.*.com\"", "expected a host like"),
            ("host = \"*\"", "expected a host like"),
            ("host = \"[x]\"", "expected a host like"),
            ("name = \"x\"", "expected `host`, `path` or both"),
            ("path = \"/a\"\nttl = \"5m\"", "route[0].ttl: unknown key here: it belongs in [route.cache]"),
        ] {
            let text = errors(&format!("[[route]]\n{pattern}"));
            assert!(text.contains(part) && text.lines().count() == 1, "{pattern}: {text}");
        }
    }
}
