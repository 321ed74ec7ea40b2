//! What the cache does with the responses of a route.

mod status_ttls;

use super::key::{KeyRules, Visitor, unique};
use super::rules::{self, Rules};
use super::semantics::{self, Semantics};
use super::table::Table;
use super::value::{duration, format_duration, one_of, seconds};
use crate::cache::compress::Coding;
use http::StatusCode;
use status_ttls::StatusTtls;
use std::time::Duration;

/// What happens with the requests of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoutePolicy {
    /// They go to the origin, and their responses are neither stored nor reused.
    Bypass,
    /// They are answered from the cache where RFC 9111 and these settings allow.
    Cache(Box<CachePolicy>),
}

/// How the responses of a route are cached: the keys of `[cache]` with those of `[route.cache]` over them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachePolicy {
    ttl: Option<Duration>,
    default_ttl: Option<Duration>,
    status_ttls: StatusTtls,
    /// Which parts of the request, besides scheme, host and path, tell stored responses apart.
    pub key: KeyRules,
    /// How long after the end of its freshness a stored response is still used while the origin fails, where
    /// the response itself does not say (`stale-if-error`, RFC 5861 §4). `None` is not at all.
    pub stale_if_error: Option<Duration>,
    /// How long after the end of its freshness a stored response is still used while it is refreshed in the
    /// background, where the response itself does not say (`stale-while-revalidate`, RFC 5861 §3). `None` is
    /// not at all.
    pub stale_while_revalidate: Option<Duration>,
    /// What happens to responses with `Set-Cookie`.
    pub set_cookie: SetCookiePolicy,
    /// How long a request waits for another request's fetch of the same response; a fetch that makes no progress for
    /// that long is taken over. Zero: nobody waits.
    pub collapse: Duration,
    /// How long requests no longer wait for a response that could not be stored.
    pub hit_for_miss: Duration,
    /// Codings in which responses are compressed for the store where the origin did not, the most preferred first.
    pub compress: Vec<Coding>,
    /// What is asked of the origin for a range that is not stored.
    pub range: RangePolicy,
    /// Which requests the cache answers, and which of their fields go on to the origin.
    pub rules: Rules,
    /// Finer points of the caching rules.
    pub semantics: Semantics,
}

/// What is asked of the origin when a request is for a range that is not stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RangePolicy {
    /// That range and no more. The response is stored as a part, where it may be.
    #[default]
    Pass,
    /// The whole: it is stored as it passes, and the range is cut out for the client. Only for small responses:
    /// a request for one byte fetches everything.
    Whole,
}

impl Default for CachePolicy {
    fn default() -> Self {
        Self {
            ttl: None,
            default_ttl: None,
            status_ttls: StatusTtls::default(),
            key: KeyRules::default(),
            stale_if_error: None,
            stale_while_revalidate: None,
            set_cookie: SetCookiePolicy::default(),
            collapse: Duration::from_secs(5),
            hit_for_miss: Duration::from_secs(10),
            compress: Vec::new(),
            range: RangePolicy::default(),
            rules: Rules::default(),
            semantics: Semantics::default(),
        }
    }
}

/// What happens to a response with `Set-Cookie` that could otherwise be stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetCookiePolicy {
    /// It is not stored: a cookie is meant for one client.
    #[default]
    Refuse,
    /// It is stored without the field. The client whose request caused it still gets its cookie.
    Strip,
    /// It is stored as it is, and everybody gets the same cookie.
    Store,
}

impl CachePolicy {
    /// Returns the freshness lifetime that replaces the origin's for a response with this status.
    ///
    /// `ttl_by_status` takes precedence over `ttl`, and in it a status over its class. `ttl` is for statuses of
    /// 2xx and 3xx only, so that an error is not kept by accident. It never makes a response storable that
    /// `no-store`, `private`, `Authorization` or `Set-Cookie` forbid to store. Zero means: validate each time.
    #[must_use]
    pub fn ttl(&self, status: StatusCode) -> Option<Duration> {
        self.status_ttls.get(status).or_else(|| self.ttl.filter(|_| expected_status(status)))
    }

    /// Returns the freshness lifetime of a response with this status for which the origin set none, in place of the
    /// heuristic one (RFC 9111 §4.2.2). For statuses of 2xx and 3xx only.
    #[must_use]
    pub fn default_ttl(&self, status: StatusCode) -> Option<Duration> {
        self.default_ttl.filter(|_| expected_status(status))
    }
}

fn expected_status(status: StatusCode) -> bool {
    status.is_success() || status.is_redirection()
}

/// Whether a route is cached, apart from how: `[cache]` may switch caching off and still hold the settings for
/// routes that switch it on again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    Cache,
    Bypass,
}

/// The keys that can be set for all routes and for a single one.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    mode: Mode,
    cache: CachePolicy,
    /// Whether clients' claims about themselves are forwarded (`origin.trust_forwarded`).
    believed: bool,
}

impl From<Draft> for RoutePolicy {
    fn from(draft: Draft) -> Self {
        match draft.mode {
            Mode::Bypass => Self::Bypass,
            Mode::Cache => Self::Cache(Box::new(draft.cache)),
        }
    }
}

impl Draft {
    /// Returns the defaults.
    pub(super) fn new(believed: bool) -> Self {
        Self { believed, ..Self::default() }
    }

    /// Reads the policy keys of `table` over `base`.
    pub(super) fn read(table: &mut Table<'_, '_>, base: &Self, max_ttl: Duration) -> Self {
        let CachePolicy { ttl, default_ttl, status_ttls, key, set_cookie, .. } = &base.cache;
        let waits = Duration::ZERO..=Duration::from_secs(60);
        let modes = [("cache", Mode::Cache), ("bypass", Mode::Bypass)];
        let cookies = [
            ("refuse", SetCookiePolicy::Refuse),
            ("strip", SetCookiePolicy::Strip),
            ("store", SetCookiePolicy::Store),
        ];
        let codings = [("br", Coding::Brotli), ("gzip", Coding::Gzip)];
        let ranges = [("pass", RangePolicy::Pass), ("whole", RangePolicy::Whole)];
        let draft = Self {
            mode: table.read("mode", one_of(&modes)).unwrap_or(base.mode),
            cache: CachePolicy {
                ttl: lifetime(table, "ttl", max_ttl).or(*ttl),
                default_ttl: lifetime(table, "default_ttl", max_ttl).or(*default_ttl),
                status_ttls: StatusTtls::read(table, max_ttl).unwrap_or_else(|| status_ttls.clone()),
                key: KeyRules::read(table, key, base.believed),
                stale_if_error: window(table, "stale_if_error", max_ttl, base.cache.stale_if_error),
                stale_while_revalidate: window(
                    table,
                    "stale_while_revalidate",
                    max_ttl,
                    base.cache.stale_while_revalidate,
                ),
                set_cookie: table.read("set_cookie", one_of(&cookies)).unwrap_or(*set_cookie),
                collapse: table.read("collapse", duration(waits.clone())).unwrap_or(base.cache.collapse),
                hit_for_miss: table.read("hit_for_miss", duration(waits)).unwrap_or(base.cache.hit_for_miss),
                compress: table
                    .strings("compress", one_of(&codings))
                    .map_or_else(|| base.cache.compress.clone(), unique),
                range: table.read("range", one_of(&ranges)).unwrap_or(base.cache.range),
                rules: Rules::read(table, &base.cache.rules),
                semantics: Semantics::read(table, base.cache.semantics),
            },
            believed: base.believed,
        };
        if draft.cache.ttl.is_some() && table.has("default_ttl") {
            table
                .fail_key("default_ttl", "has no effect, because ttl is set and takes precedence".to_owned());
        }
        draft
    }

    /// Returns whether it tells visitors apart.
    pub(super) fn tells_visitors_apart(&self) -> bool {
        self.cache.key.visitor != Visitor::Nobody
    }

    /// Returns whether it tells visitors apart in another way than `base`.
    pub(super) fn names_visitors(&self, base: &Self) -> bool {
        self.tells_visitors_apart() && self.cache.key.visitor != base.cache.key.visitor
    }

    /// Reports caching keys of a route that is not cached.
    pub(super) fn check_bypass(&self, table: &Table<'_, '_>) {
        if self.mode == Mode::Cache {
            return;
        }
        for (key, _) in table.entries().filter(|(key, _)| *key != "mode" && is_key(key)) {
            table.fail_key(key, "has no effect, because mode is \"bypass\" for this route".to_owned());
        }
    }
}

/// The keys of a policy that are read here.
const KEYS: [&str; 12] = [
    "mode",
    "ttl",
    "default_ttl",
    "ttl_by_status",
    "key",
    "stale_if_error",
    "stale_while_revalidate",
    "set_cookie",
    "collapse",
    "hit_for_miss",
    "compress",
    "range",
];

/// Returns all keys of a policy.
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    KEYS.into_iter().chain(rules::KEYS).chain(semantics::KEYS)
}

/// Returns whether a policy has this key.
pub(super) fn is_key(key: &str) -> bool {
    keys().any(|one| one == key)
}

/// Reads how long something stale may be used; zero is not at all.
fn window(
    table: &mut Table<'_, '_>,
    key: &'static str,
    max_ttl: Duration,
    base: Option<Duration>,
) -> Option<Duration> {
    lifetime(table, key, max_ttl).or(base).filter(|time| !time.is_zero())
}

fn lifetime(table: &mut Table<'_, '_>, key: &'static str, max_ttl: Duration) -> Option<Duration> {
    let time = table.read(key, seconds(Duration::ZERO..=Duration::MAX))?;
    if time > max_ttl {
        table.fail(key, above_max(time, "cache.max_ttl", max_ttl));
    }
    Some(time)
}

/// Returns the message for a lifetime longer than `most`, which is the value of the key `bound`.
pub(super) fn above_max(found: Duration, bound: &str, most: Duration) -> String {
    let (found, most) = (format_duration(found), format_duration(most));
    format!("expected at most {bound}, which is \"{most}\", found \"{found}\"")
}

#[cfg(test)]
mod tests {
    use super::super::{Config, NameSet, QueryRule};
    use super::*;
    use std::collections::BTreeSet;

    fn policy(text: &str) -> CachePolicy {
        match Config::parse(text, "f").unwrap().route("h", "/a").policy.clone() {
            RoutePolicy::Cache(policy) => *policy,
            RoutePolicy::Bypass => panic!("bypass"),
        }
    }

    fn errors(text: &str) -> String {
        Config::parse(text, "f").unwrap_err().to_string()
    }

    fn seconds(policy: &CachePolicy, status: u16) -> Option<u64> {
        policy.ttl(StatusCode::from_u16(status).unwrap()).map(|time| time.as_secs())
    }

    #[test]
    fn the_keys_are_those_that_are_read() {
        let error = errors("[[route]]\npath = \"/\"\ncache.zzzzzzzzzzzz = 1");
        let (_, read) = error.split_once("unknown key, expected one of: ").unwrap();
        assert_eq!(read.split(", ").collect::<BTreeSet<_>>(), keys().collect::<BTreeSet<_>>());
    }

    #[test]
    fn a_status_decides_before_its_class_and_that_before_ttl() {
        let policy = policy(
            "[cache]\nttl = \"1h\"\nttl_by_status = { 404 = \"30s\", 4xx = \"5s\", \"302\" = \"0s\" }",
        );
        let expected =
            [(200, Some(3600)), (301, Some(3600)), (302, Some(0)), (404, Some(30)), (410, Some(5))];
        for (status, ttl) in expected {
            assert_eq!(seconds(&policy, status), ttl, "{status}");
        }
        assert_eq!(seconds(&policy, 500), None, "an error is not kept by accident");
        assert_eq!(policy.default_ttl(StatusCode::OK), None);
    }

    #[test]
    fn what_clients_say_of_themselves_may_be_part_of_a_key_where_it_is_believed() {
        let policy = policy(
            r#"
            [origin]
            trust_forwarded = true
            [[route]]
            path = "/a"
            cache.key.headers = ["x-forwarded-for"]
            "#,
        );
        assert_eq!(policy.key.headers, ["x-forwarded-for"]);
    }

    #[test]
    fn a_route_says_what_is_different_from_the_cache_section() {
        let policy = policy(
            r#"
            [cache]
            default_ttl = "1m"
            stale_if_error = "1h"
            set_cookie = "strip"
            range = "whole"
            key = { query = { except = ["utm_*"] }, headers = ["X-Country"] }
            [[route]]
            path = "/a"
            [route.cache]
            stale_if_error = "0s"
            [route.cache.key]
            cookies = ["theme", "theme"]
            encodings = ["GZIP", "dcz"]
            languages = ["de", "pt-BR"]
            sort_query = true
            "#,
        );
        assert_eq!(policy.default_ttl(StatusCode::OK), Some(Duration::from_secs(60)));
        assert_eq!(policy.default_ttl(StatusCode::NOT_FOUND), None);
        assert_eq!(policy.stale_if_error, None);
        assert_eq!((policy.set_cookie, policy.range), (SetCookiePolicy::Strip, RangePolicy::Whole));
        assert_eq!(policy.key.query, QueryRule::Except(NameSet::new(["utm_*"])));
        assert_eq!(policy.key.headers, ["x-country"]);
        assert_eq!(policy.key.cookies, ["theme"]);
        assert_eq!(policy.key.encodings, ["gzip", "dcz"]);
        assert_eq!(policy.key.languages, ["de", "pt-BR"]);
        assert!(policy.key.sort_query);
    }

    #[test]
    fn the_cache_section_may_switch_off_what_a_route_switches_on() {
        let text =
            "[cache]\nmode = \"bypass\"\nttl = \"1m\"\n[[route]]\npath = \"/a\"\ncache.mode = \"cache\"";
        assert_eq!(seconds(&policy(text), 200), Some(60));
        assert_eq!(Config::parse(text, "f").unwrap().route("h", "/b").policy, RoutePolicy::Bypass);
    }

    #[test]
    fn what_has_no_effect_is_an_error() {
        let text = errors("[[route]]\npath = \"/a\"\n[route.cache]\nmode = \"bypass\"\nttl = \"1m\"");
        assert_eq!(
            text,
            "f:5:1: route[0].cache.ttl: has no effect, because mode is \"bypass\" for this route"
        );
        let text = errors("cache = { ttl = \"1m\", default_ttl = \"2m\" }");
        assert!(text.contains("f:1:23: cache.default_ttl: has no effect"), "{text}");
    }

    #[test]
    fn wrong_values_are_errors_with_what_was_expected() {
        for (line, part) in [
            (
                "ttl = 30",
                "cache.ttl: expected a duration like \"30s\", \"5m\" or \"1h\", found the number 30",
            ),
            ("ttl = \"31d\"", "cache.ttl: expected at most cache.max_ttl, which is \"30d\", found \"31d\""),
            ("ttl = \"1500ms\"", "cache.ttl: expected whole seconds, like \"30s\", found \"1500ms\""),
            ("default_ttl = \"500ms\"", "cache.default_ttl: expected whole seconds"),
            ("stale_if_error = \"1ms\"", "cache.stale_if_error: expected whole seconds"),
            ("stale_while_revalidate = \"999ms\"", "cache.stale_while_revalidate: expected whole seconds"),
            ("client_ttl = \"500ms\"", "cache.client_ttl: expected whole seconds"),
            ("heuristic_max = \"500ms\"", "cache.heuristic_max: expected whole seconds"),
            ("ttl_by_status.404 = \"500ms\"", "cache.ttl_by_status.404: expected whole seconds"),
            ("mode = \"off\"", "cache.mode: expected \"cache\" or \"bypass\", found \"off\""),
            ("set_cookie = true", "expected \"refuse\" or \"strip\" or \"store\", found true"),
            ("range = \"all\"", "cache.range: expected \"pass\" or \"whole\", found \"all\""),
            ("ttl_by_status.304 = \"1s\"", "cache.ttl_by_status.304: expected a final status like 404"),
            ("ttl_by_status.1xx = \"1s\"", "expected a final status like 404 or a class like 5xx"),
            ("ttl_by_status.404 = 1", "cache.ttl_by_status.404: expected a duration"),
            ("ttl_by_status.é = \"1s\"", "not valid TOML"),
            ("ttl_by_status.\"é9\" = \"1s\"", "found \"é9\""),
            ("key.query = \"some\"", "cache.key.query: expected \"all\", \"none\", { only = [names] } or"),
            ("key.query = {}", "found a table with 0 keys"),
            ("key.query = { only = [\"a\"], except = [\"b\"] }", "found a table with 2 keys"),
            (
                "key.query = { only = [\"a*b\"] }",
                "cache.key.query.only[0]: expected a percent-decoded parameter name",
            ),
            (
                "key.query = { except = [\"*\"] }",
                "cache.key.query.except[0]: expected a percent-decoded parameter name",
            ),
            ("key.query = { only = [] }", "cache.key.query.only: expected at least one name"),
            ("key.query = { not = [] }", "cache.key.query.not: unknown key"),
            ("key.headers = \"accept\"", "cache.key.headers: expected an array of strings, found \"accept\""),
            ("key.headers = [\"a b\"]", "cache.key.headers[0]: expected a field name"),
            ("key.headers = [\"a\", \"Cookie\"]", "cache.key.headers[1]: expected a field other than cookie"),
            (
                "key.headers = [\"X-Forwarded-For\"]",
                "cache.key.headers[0]: expected a field other than x-forwarded-for: the value that clients \
                 send is dropped",
            ),
            ("key.headers = [\"spin-client-addr\"]", "expected a field other than spin-client-addr"),
            ("key.headers = [\"Spin_Client_Addr\"]", "expected a field other than spin_client_addr"),
            ("key.headers = [\"If-Range\"]", "expected a field other than if-range: conditions are"),
            ("key.headers = [\"If-Unmodified-Since\"]", "expected a field other than if-unmodified-since"),
            ("key.cookies = [\"a=b\"]", "cache.key.cookies[0]: expected a cookie name"),
            ("key.encodings = [\"identity\"]", "cache.key.encodings[0]: expected a content coding like"),
            ("key.encodings = \"gzip\"", "cache.key.encodings: expected an array of strings"),
            ("key.languages = [\"de_DE\"]", "cache.key.languages[0]: expected a language tag like"),
            ("key.header = []", "cache.key.header: unknown key, did you mean \"headers\"?"),
        ] {
            let text = errors(&format!("[cache]\n{line}"));
            assert!(text.contains(part) && text.lines().count() == 1, "{line}: {text}");
        }
    }
}
