//! Sessions: `[session]`, and the key `session` of a route.

use super::errors::ConfigError;
use super::table::{Table, Value};
use super::value::{
    boolean, duration, expected, format_duration, integer, one_of, shown, size, string, text,
};
use super::{Config, Settings, Strings};
use crate::field::forward::is_spin;
use http::HeaderName;
use std::num::NonZeroU16;
use std::time::Duration;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// The keys of `[session]`.
#[cfg(test)]
pub(super) const KEYS: [&str; 12] = [
    "cookie",
    "path",
    "same_site",
    "persistent",
    "idle",
    "absolute",
    "touch",
    "rotation_grace",
    "max_size",
    "max_per_user",
    "header",
    "on_redis_failure",
];

/// `[session]`: how sessions live, and how clients and the origin see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// The name of the cookie, without its prefix. Default `sid`.
    pub cookie: String,
    /// The path of the cookie. Default `/`; with any other, the prefix of the name is `__Secure-` in place of `__Host-`.
    pub path: String,
    /// Whether cross-site requests carry the cookie. Default [`SameSite::Lax`].
    pub same_site: SameSite,
    /// Whether the cookie outlives the browser session, at most until the session ends. Default false.
    pub persistent: bool,
    /// How long a session may be idle. Default 30 minutes.
    pub idle: Duration,
    /// How long a session lives at most. Default 8 hours.
    pub absolute: Duration,
    /// By how much a use must prolong a session to be worth a write. Default a tenth of `idle`. For a session with its own
    /// idle time, a tenth of that is always enough.
    pub touch: Duration,
    /// How long an id that was rotated away can still read. Default 30 s.
    pub rotation_grace: Duration,
    /// The greatest size of a session's data, in bytes of JSON text. Default 4 KiB.
    pub max_size: usize,
    /// The most sessions of a user. Default 100.
    pub max_per_user: NonZeroU16,
    /// The prefix of the names of the fields to and from the origin. Default `spindrift-session`.
    pub header: HeaderName,
    /// What happens if Redis fails, unless a route has its own setting. Default [`OnRedisFailure::Anonymous`].
    pub on_redis_failure: OnRedisFailure,
}

/// Whether cross-site requests carry the cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameSite {
    /// Only if the visitor follows a link, by GET.
    #[default]
    Lax,
    /// Never.
    Strict,
    /// Always.
    None,
}

/// What happens to a request whose session cannot be read or written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnRedisFailure {
    /// It continues as if there were no session, and its changes are lost.
    #[default]
    Anonymous,
    /// It is answered with 503.
    Refuse,
}

/// The settings of a route with sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteSession {
    /// What happens if Redis fails.
    pub on_redis_failure: OnRedisFailure,
}

const FAILURES: [(&str, OnRedisFailure); 2] =
    [("anonymous", OnRedisFailure::Anonymous), ("refuse", OnRedisFailure::Refuse)];

impl Default for SessionConfig {
    fn default() -> Self {
        let idle = MINUTE * 30;
        Self {
            cookie: "sid".to_owned(),
            path: "/".to_owned(),
            same_site: SameSite::default(),
            persistent: false,
            idle,
            absolute: MINUTE * 60 * 8,
            touch: touch_of(idle),
            rotation_grace: SECOND * 30,
            max_size: 4096,
            max_per_user: NonZeroU16::MIN.saturating_add(99),
            header: HeaderName::from_static("spindrift-session"),
            on_redis_failure: OnRedisFailure::default(),
        }
    }
}

/// Returns the default of `touch`. A fixed minimum could exceed a short `idle`, and then no use would extend a session.
fn touch_of(idle: Duration) -> Duration {
    idle / 10
}

impl SessionConfig {
    pub(super) fn read(mut table: Table<'_, '_>) -> Self {
        let default = Self::default();
        let sites = [("lax", SameSite::Lax), ("strict", SameSite::Strict), ("none", SameSite::None)];
        let idle = table.read("idle", duration(SECOND..=YEAR)).unwrap_or(default.idle);
        let absolute = table.read("absolute", duration(SECOND..=YEAR));
        let config = Self {
            cookie: table.read("cookie", string(COOKIE, cookie)).unwrap_or(default.cookie),
            path: table.read("path", string(PATH, path)).unwrap_or(default.path),
            same_site: table.read("same_site", one_of(&sites)).unwrap_or(default.same_site),
            persistent: table.read("persistent", boolean).unwrap_or(default.persistent),
            idle,
            absolute: absolute.unwrap_or_else(|| default.absolute.max(idle)),
            touch: table.read("touch", duration(MILLISECOND..=YEAR)).unwrap_or_else(|| touch_of(idle)),
            rotation_grace: table
                .read("rotation_grace", duration(Duration::ZERO..=MINUTE * 10))
                .unwrap_or(default.rotation_grace),
            max_size: table
                .read("max_size", size(2..=64 << 10))
                .and_then(|size| usize::try_from(size).ok())
                .unwrap_or(default.max_size),
            max_per_user: table
                .read("max_per_user", integer(1..=100))
                .and_then(|count| NonZeroU16::new(u16::try_from(count).ok()?))
                .unwrap_or(default.max_per_user),
            header: table
                .read("header", |value| header(text("a field name", value)?))
                .unwrap_or(default.header),
            on_redis_failure: table
                .read("on_redis_failure", one_of(&FAILURES))
                .unwrap_or(default.on_redis_failure),
        };
        config.check(&table);
        table.finish(|key| match key {
            "keys" | "secret" => Some("the keys are in the Spin variable session_keys"),
            _ => None,
        });
        config
    }

    fn check(&self, table: &Table<'_, '_>) {
        if self.idle > self.absolute {
            let (idle, absolute) = (format_duration(self.idle), format_duration(self.absolute));
            table.fail(
                "idle",
                format!("expected at most session.absolute, which is \"{absolute}\", found \"{idle}\""),
            );
        }
        if self.touch > self.idle {
            let (touch, idle) = (format_duration(self.touch), format_duration(self.idle));
            table.fail(
                "touch",
                format!("expected at most session.idle, which is \"{idle}\", found \"{touch}\""),
            );
        }
    }
}

impl RouteSession {
    /// Reads the key `session` of a route: `true`, `false`, or a table.
    pub(super) fn read(route: &mut Table<'_, '_>, base: &SessionConfig) -> Option<Self> {
        let base = Self { on_redis_failure: base.on_redis_failure };
        let value: &Value<'_> = route.value("session")?;
        if let Some(whether) = value.get_ref().as_bool() {
            return whether.then_some(base);
        }
        if !value.get_ref().is_table() {
            route.fail("session", expected("true, false or a table", value.get_ref()));
            return None;
        }
        let mut table = route.table("session")?;
        let on_redis_failure = table.read("on_redis_failure", one_of(&FAILURES));
        table.finish(|_| Some("it belongs in [session]"));
        Some(Self { on_redis_failure: on_redis_failure.unwrap_or(base.on_redis_failure) })
    }
}

/// Checks that sessions can be signed if a route has them, and returns the problem. A component without the variable, such
/// as the subscriber, serves no routes.
pub(super) fn check_keys(
    config: &Config,
    settings: &Settings,
    variables: &impl Strings,
) -> Option<ConfigError> {
    let route = config.routes().find(|route| route.session.is_some())?;
    if !settings.session_keys.is_empty() || variables.get("session_keys").is_none() {
        return None;
    }
    let message = format!(
        "expected at least one key, because the route {} has sessions; found none: set it \
         (SPIN_VARIABLE_SESSION_KEYS) to a random string, such as the output of `openssl rand -hex 32`",
        shown(&route.name)
    );
    Some(ConfigError::in_variable(&variables.called("session_keys"), message))
}

const COOKIE: &str = "a cookie name of at most 64 characters, without its prefix";
const PATH: &str = "a path that begins with \"/\", of at most 200 visible ASCII characters without \";\"";

/// A token (RFC 6265 §4.1.1), without a prefix, which we choose.
fn cookie(text: &str) -> Option<String> {
    let token = http::Method::from_bytes(text.as_bytes()).is_ok() && text.len() <= 64;
    (token && !text.starts_with("__")).then(|| text.to_owned())
}

fn path(text: &str) -> Option<String> {
    let valid = text.starts_with('/') && text.len() <= 200;
    (valid && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';')).then(|| text.to_owned())
}

/// All fields with this prefix are removed from client requests: a name too short would remove unrelated ones. Those of
/// `spin-*` are handled before sessions are, and a middleware passes them on to the next component.
fn header(text: &str) -> Result<HeaderName, String> {
    let name = HeaderName::try_from(text).ok().filter(|name| !is_spin(name)).filter(|name| {
        let name = name.as_str();
        name.contains("session") && name.len() <= 64 && name.starts_with(|c: char| c.is_ascii_alphabetic())
    });
    name.ok_or_else(|| {
        format!(
            "expected a field name with \"session\" in it, of at most 64 characters, that does not begin with \
             \"spin-\", found {}",
            shown(text)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> SessionConfig {
        Config::parse(text, "f").unwrap().session
    }

    fn errors(text: &str) -> String {
        Config::parse(text, "f").unwrap_err().to_string()
    }

    #[test]
    fn a_key_of_visitors_needs_sessions() {
        let route = "[[route]]\npath = \"/a\"\ncache.key.visitor = \"session\"";
        for text in [route.to_owned(), format!("[cache]\nkey.visitor = \"user\"\n{route}")] {
            assert!(errors(&text).contains("route[0].cache: key.visitor has no effect"), "{text}");
        }
        let inherited = "[cache]\nkey.visitor = \"user\"\n[[route]]\npath = \"/a\"\n";
        let refused = errors(inherited);
        assert!(refused.contains("cache: key.visitor has no effect"), "{refused}");
        let other = format!("{inherited}[[route]]\npath = \"/b\"\nsession = true");
        assert!(Config::parse(&other, "f").is_ok(), "it is meant for the routes that have sessions");
    }

    #[test]
    fn everything_that_can_be_said_is_heard() {
        let config = config(
            r#"
            [session]
            cookie = "shop"
            path = "/shop"
            same_site = "strict"
            persistent = true
            idle = "15m"
            absolute = "4h"
            touch = "30s"
            rotation_grace = "0s"
            max_size = "16KiB"
            max_per_user = 5
            header = "X-Shop-Session"
            on_redis_failure = "refuse"
            "#,
        );
        assert_eq!((config.cookie.as_str(), config.path.as_str()), ("shop", "/shop"));
        assert_eq!((config.same_site, config.persistent), (SameSite::Strict, true));
        assert_eq!((config.idle, config.absolute), (MINUTE * 15, MINUTE * 240));
        assert_eq!((config.touch, config.rotation_grace), (SECOND * 30, Duration::ZERO));
        assert_eq!((config.max_size, config.max_per_user.get()), (16 << 10, 5));
        assert_eq!(config.header, "x-shop-session");
        assert_eq!(config.on_redis_failure, OnRedisFailure::Refuse);
    }

    #[test]
    fn what_is_not_said_follows_from_what_is() {
        assert_eq!(config("[session]\nidle = \"1s\"").touch, MILLISECOND * 100);
        assert_eq!(config("[session]\nidle = \"1h\"").touch, MINUTE * 6);
        assert_eq!(config("[session]\nidle = \"3d\"").absolute, MINUTE * 60 * 72);
    }

    #[test]
    fn a_route_has_sessions_only_where_it_says_so() {
        let text = r#"
            [session]
            on_redis_failure = "refuse"
            [[route]]
            path = "/a"
            session = true
            [[route]]
            path = "/b"
            session = { on_redis_failure = "anonymous" }
            [[route]]
            path = "/c"
            session = false
        "#;
        let config = Config::parse(text, "f").unwrap();
        let of = |path| config.route("h", path).session.map(|session| session.on_redis_failure);
        assert_eq!(of("/a"), Some(OnRedisFailure::Refuse));
        assert_eq!(of("/b"), Some(OnRedisFailure::Anonymous));
        assert_eq!((of("/c"), of("/d")), (None, None));
    }

    #[test]
    fn wrong_values_are_errors_with_what_was_expected() {
        for (line, part) in [
            ("cookie = \"a b\"", "session.cookie: expected a cookie name"),
            ("cookie = \"__Host-sid\"", "session.cookie: expected a cookie name"),
            ("path = \"shop\"", "session.path: expected a path that begins with \"/\""),
            ("path = \"/;Domain=x\"", "session.path: expected a path"),
            ("same_site = \"Lax\"", "expected \"lax\" or \"strict\" or \"none\", found \"Lax\""),
            (
                "idle = \"9h\"\nabsolute = \"8h\"",
                "session.idle: expected at most session.absolute, which is \"8h\", found \"9h\"",
            ),
            (
                "touch = \"31m\"",
                "session.touch: expected at most session.idle, which is \"30m\", found \"31m\"",
            ),
            ("idle = \"0s\"", "session.idle: expected a duration from \"1s\""),
            ("max_size = \"1MiB\"", "session.max_size: expected from 2 to 65536 bytes"),
            ("max_per_user = 0", "session.max_per_user: expected a whole number from 1 to 100"),
            ("header = \"x\"", "session.header: expected a field name with \"session\" in it"),
            ("header = \"a session\"", "session.header: expected a field name"),
            ("header = \"Spin-Session\"", "that does not begin with \"spin-\", found \"Spin-Session\""),
            ("header = \"spin_session\"", "that does not begin with \"spin-\""),
            ("on_redis_failure = \"open\"", "expected \"anonymous\" or \"refuse\", found \"open\""),
            ("keys = []", "session.keys: unknown key here: the keys are in the Spin variable session_keys"),
        ] {
            let text = errors(&format!("[session]\n{line}"));
            assert!(text.contains(part) && text.lines().count() == 1, "{line}: {text}");
        }
        let route = |value: &str| errors(&format!("[[route]]\npath = \"/a\"\nsession = {value}"));
        assert_eq!(
            route("1"),
            "f:3:11: route[0].session: expected true, false or a table, found the number 1"
        );
        assert!(
            route("{ idle = \"1m\" }")
                .contains("route[0].session.idle: unknown key here: it belongs in [session]")
        );
    }

    #[test]
    fn routes_with_sessions_need_keys_and_the_error_says_how_to_set_them() {
        let with = Config::parse("[[route]]\npath = \"/a\"\nsession = true", "f").unwrap();
        let check = |config: &Config, keys: Option<&'static str>| {
            let variables = move |name: &str| keys.filter(|_| name == "session_keys").map(str::to_owned);
            check_keys(config, &Settings::load(&variables).unwrap(), &variables)
        };
        let error = check(&with, Some(" , ")).unwrap().to_string();
        assert!(
            error.starts_with("variable session_keys: expected at least one key, because the route \"/a\""),
            "{error}"
        );
        assert!(error.contains("SPIN_VARIABLE_SESSION_KEYS"), "{error}");
        assert!(check(&with, Some("0123456789abcdef0123456789abcdef")).is_none());
        assert!(check(&with, None).is_none(), "a component that has no routes");
        assert!(check(&Config::default(), Some("")).is_none());
    }
}
