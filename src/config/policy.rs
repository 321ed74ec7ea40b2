//! What the cache does with the responses of a route.

use super::key::KeyRules;
use super::table::Table;
use super::value::{duration, format_duration, one_of, shown};
use http::StatusCode;
use std::collections::BTreeMap;
use std::time::Duration;

/// What happens to the requests of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoutePolicy {
    /// They go to the origin and nothing of them is stored or reused.
    Bypass,
    /// They are answered from the cache where RFC 9111 and these settings allow.
    Cache(Box<CachePolicy>),
}

/// How the responses of a route are cached: the keys of `[cache]` with those of `[route.cache]` over them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CachePolicy {
    ttl: Option<Duration>,
    default_ttl: Option<Duration>,
    status_ttls: StatusTtls,
    /// What of the request, beside scheme, host and path, tells stored responses apart.
    pub key: KeyRules,
    /// How long after the end of its freshness a stored response still answers while the origin fails, where
    /// the response does not say so itself (`stale-if-error`, RFC 5861 §4). `None` is not at all.
    pub stale_if_error: Option<Duration>,
    /// What becomes of responses with `Set-Cookie`.
    pub set_cookie: SetCookiePolicy,
}

/// What becomes of a response with `Set-Cookie` that could be stored otherwise.
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
    /// The freshness lifetime that replaces the one the origin gave a response with this status.
    ///
    /// `ttl_by_status` decides before `ttl`, and in it a status before its class. `ttl` is for statuses of
    /// 2xx and 3xx only, so that an error is not kept by accident. It never makes a response storable that
    /// `no-store`, `private`, `Authorization` or `Set-Cookie` forbid to store. Zero means: validate each time.
    #[must_use]
    pub fn ttl(&self, status: StatusCode) -> Option<Duration> {
        self.status_ttls.get(status).or_else(|| self.ttl.filter(|_| expected_status(status)))
    }

    /// The freshness lifetime of a response with this status to which the origin gave none, in place of the
    /// heuristic one (RFC 9111 §4.2.2). For statuses of 2xx and 3xx only.
    #[must_use]
    pub fn default_ttl(&self, status: StatusCode) -> Option<Duration> {
        self.default_ttl.filter(|_| expected_status(status))
    }
}

fn expected_status(status: StatusCode) -> bool {
    status.is_success() || status.is_redirection()
}

/// Lifetimes by status, such as `404`, or by class, such as `5xx`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct StatusTtls {
    exact: BTreeMap<u16, Duration>,
    /// By the first digit.
    classes: BTreeMap<u16, Duration>,
}

impl StatusTtls {
    fn get(&self, status: StatusCode) -> Option<Duration> {
        let status = status.as_u16();
        self.exact.get(&status).or_else(|| self.classes.get(&(status / 100))).copied()
    }
}

/// Whether a route is cached, apart from how: `[cache]` may switch it off while it says how for the routes
/// that switch it on again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    Cache,
    Bypass,
}

/// The keys that can be said for all routes and for one.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    mode: Mode,
    cache: CachePolicy,
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
    /// Reads the policy keys of `table` over `base`.
    pub(super) fn read(table: &mut Table<'_, '_>, base: &Self, max_ttl: Duration) -> Self {
        let CachePolicy { ttl, default_ttl, status_ttls, key, stale_if_error, set_cookie } = &base.cache;
        let modes = [("cache", Mode::Cache), ("bypass", Mode::Bypass)];
        let cookies = [
            ("refuse", SetCookiePolicy::Refuse),
            ("strip", SetCookiePolicy::Strip),
            ("store", SetCookiePolicy::Store),
        ];
        Self {
            mode: table.read("mode", one_of(&modes)).unwrap_or(base.mode),
            cache: CachePolicy {
                ttl: lifetime(table, "ttl", max_ttl).or(*ttl),
                default_ttl: lifetime(table, "default_ttl", max_ttl).or(*default_ttl),
                status_ttls: read_status_ttls(table, max_ttl).unwrap_or_else(|| status_ttls.clone()),
                key: KeyRules::read(table, key),
                stale_if_error: lifetime(table, "stale_if_error", max_ttl)
                    .or(*stale_if_error)
                    .filter(|time| !time.is_zero()),
                set_cookie: table.read("set_cookie", one_of(&cookies)).unwrap_or(*set_cookie),
            },
        }
    }

    /// Reports what a route says about caching although it is not cached.
    pub(super) fn check_bypass(&self, table: &Table<'_, '_>) {
        if self.mode == Mode::Cache {
            return;
        }
        for (key, _) in table.entries().filter(|(key, _)| *key != "mode" && KEYS.contains(key)) {
            table.fail_key(key, "has no effect, because mode is \"bypass\" for this route".to_owned());
        }
    }
}

/// The keys of a policy.
pub(super) const KEYS: [&str; 7] =
    ["mode", "ttl", "default_ttl", "ttl_by_status", "key", "stale_if_error", "set_cookie"];

fn lifetime(table: &mut Table<'_, '_>, key: &'static str, max_ttl: Duration) -> Option<Duration> {
    let time = table.read(key, duration(Duration::ZERO..=Duration::MAX))?;
    if time > max_ttl {
        table.fail(key, above_max(time, max_ttl));
    }
    Some(time)
}

/// The message for a lifetime longer than anything may be in Redis.
pub(super) fn above_max(found: Duration, max_ttl: Duration) -> String {
    let (found, max) = (format_duration(found), format_duration(max_ttl));
    format!("expected at most cache.max_ttl, which is \"{max}\", found \"{found}\"")
}

fn read_status_ttls(table: &mut Table<'_, '_>, max_ttl: Duration) -> Option<StatusTtls> {
    let inner = table.table("ttl_by_status")?;
    let mut ttls = StatusTtls::default();
    for (key, value) in inner.entries() {
        let time = duration(Duration::ZERO..=max_ttl)(value.get_ref());
        let time = inner.check(key, value, time).unwrap_or_default();
        match parse_status(key) {
            Some(Status::Exact(status)) => ttls.exact.insert(status, time),
            Some(Status::Class(class)) => ttls.classes.insert(class, time),
            None => {
                let message = "expected a final status like 404 or a class like 5xx as key, found";
                inner.fail_key(key, format!("{message} {}", shown(key)));
                None
            }
        };
    }
    Some(ttls)
}

enum Status {
    Exact(u16),
    Class(u16),
}

/// `404` or `4xx`. Not 1xx, which is not final, and not 304, which is never stored.
fn parse_status(key: &str) -> Option<Status> {
    let (first, rest) = key.split_at_checked(1)?;
    let class = first.parse().ok().filter(|class| (2..=5).contains(class))?;
    match rest {
        "xx" => Some(Status::Class(class)),
        "04" if class == 3 => None,
        _ if rest.len() == 2 && rest.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(Status::Exact(class * 100 + rest.parse::<u16>().ok()?))
        }
        _ => None,
    }
}
