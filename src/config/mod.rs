//! The configuration: `spindrift.toml` and the Spin variables, validated as a whole.
//!
//! There are two inputs and two results. [`Config::parse`] reads from TOML text what the cache does;
//! [`Settings::load`] reads from Spin variables where it does that, including secrets. Both report all problems at once,
//! each with its place, as [`ConfigErrors`]; what they return needs no further checks. Nothing here reads a clock, a
//! file or the environment.
//!
//! 1. A key that is missing has its default; empty text is a complete configuration.
//! 2. An unknown key is an error, and so is a value that would have no effect.
//! 3. `[cache]` sets for all routes what `[route.cache]` may set for one; the route takes precedence, key by key.
//! 4. Routes are tried in the order of the file, and the first that matches is taken.
//! 5. No error contains a secret.
//!
//! ```
//! use spindrift::config::{Config, RoutePolicy};
//!
//! let text = r#"
//!     [[route]]
//!     path = "/api/*"
//!     cache.mode = "bypass"
//! "#;
//! let config = Config::parse(text, "spindrift.toml")?;
//! assert_eq!(config.route("example.com", "/api/users").policy, RoutePolicy::Bypass);
//! assert_eq!(config.route("example.com", "/").name, "default");
//!
//! let wrong = Config::parse("[cache]\nttl = \"5 minutes\"", "spindrift.toml").unwrap_err();
//! assert_eq!(
//!     wrong.to_string(),
//!     r#"spindrift.toml:2:7: cache.ttl: expected a duration like "30s", "5m" or "1h", found "5 minutes""#
//! );
//! # Ok::<(), spindrift::config::ConfigErrors>(())
//! ```

mod address;
mod api;
mod clients;
mod errors;
pub(crate) mod glob;
mod key;
mod limit;
mod outbound;
mod policy;
mod query;
mod queue;
pub(crate) mod route;
mod rules;
mod secret;
mod section;
mod semantics;
mod session;
mod settings;
mod suggest;
mod table;
mod topics;
mod value;
mod values;
mod webhook;

pub use address::{HostPort, Origin, RedisAddress};
pub use api::ApiConfig;
pub use clients::{Shown, StatusAudience};
pub use errors::{ConfigError, ConfigErrors};
pub use key::{KeyRules, Visitor};
pub use limit::{Counts, Limit};
pub use policy::{CachePolicy, RangePolicy, RoutePolicy, SetCookiePolicy};
pub use query::{NameSet, QueryRule};
pub(crate) use query::{Parameter, decode};
pub use queue::{MAX_ATTEMPTS, MOST_ATTEMPTS, Push, QueueConfig};
pub use route::Route;
pub use rules::{Bypass, RequestCookies, Rules};
pub use secret::Secret;
pub use section::{CacheConfig, CacheName, Fraction, MetricsConfig, OriginConfig, RedisConfig};
pub use semantics::Semantics;
pub use session::{OnRedisFailure, RouteSession, SameSite, SessionConfig};
pub use settings::{Settings, Strings, VARIABLES};
pub use topics::TopicsConfig;
pub use value::{format_duration, parse_duration, parse_size};
pub use webhook::WebhookConfig;

use crate::limit::AddressRules;
use crate::value::ValueLimits;
use policy::Draft;
use route::Common;
use std::rc::Rc;
use table::{Report, Table};

/// The configuration in `spindrift.toml`: how the cache behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The name of this cache in `Cache-Status` and `Via`.
    pub name: CacheName,
    /// How Redis is used.
    pub redis: RedisConfig,
    /// How requests go to the origin.
    pub origin: OriginConfig,
    /// The settings for the cache as a whole.
    pub cache: CacheConfig,
    /// What is counted.
    pub metrics: MetricsConfig,
    /// Who may use the management API, from which pages, and how often.
    pub api: ApiConfig,
    /// The settings of single queues.
    pub queues: Vec<QueueConfig>,
    /// How sessions live, and how clients and the origin see them.
    pub session: SessionConfig,
    /// The limits of values in the key-value cache.
    pub values: ValueLimits,
    /// How topics are kept and streamed.
    pub topics: TopicsConfig,
    /// The targets to which events are pushed.
    pub webhooks: Vec<WebhookConfig>,
    /// How the address of a client is determined.
    pub client: AddressRules,
    limits: Vec<Rc<Limit>>,
    routes: Vec<Route>,
    default_route: Route,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: CacheName::default(),
            redis: RedisConfig::default(),
            origin: OriginConfig::default(),
            cache: CacheConfig::default(),
            metrics: MetricsConfig::default(),
            api: ApiConfig::default(),
            queues: Vec::new(),
            session: SessionConfig::default(),
            values: ValueLimits::default(),
            topics: TopicsConfig::default(),
            webhooks: Vec::new(),
            client: AddressRules::default(),
            limits: Vec::new(),
            routes: Vec::new(),
            default_route: Route::default(Draft::default().into(), Vec::new()),
        }
    }
}

impl Config {
    /// Parses TOML text; `file` is its name in errors.
    ///
    /// Text without a single key is not parsed at all.
    ///
    /// # Errors
    /// All problems in the text. If it is not valid TOML, only the syntax errors.
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigErrors> {
        if text.lines().all(table::is_blank_or_comment) {
            return Ok(Self::default());
        }
        let report = Report::new(file, text);
        let config = match table::parse(text, &report) {
            Some(document) => {
                Self::read(Table::new(&report, String::new(), &document.span(), document.get_ref()))
            }
            None => Self::default(),
        };
        report.finish(config)
    }

    /// Reads the variable `config` if it has any text, otherwise `file`: the content of `spindrift.toml`, or why it could
    /// not be read.
    ///
    /// # Errors
    /// As for [`Config::parse`], and where the file could not be read or is not UTF-8.
    pub fn load(variables: &impl Strings, file: Result<&[u8], &str>) -> Result<Self, ConfigErrors> {
        match variables.get("config").filter(|text| !text.trim().is_empty()) {
            Some(text) => Self::parse(&text, &format!("variable {}", variables.called("config"))),
            None => Self::parse(table::text(file)?, table::FILE),
        }
    }

    fn read(mut table: Table<'_, '_>) -> Self {
        let name = section::read_name(&mut table);
        let redis = table.table("redis").map(RedisConfig::read).unwrap_or_default();
        let origin = table.table("origin").map(OriginConfig::read).unwrap_or_default();
        let metrics = table.table("metrics").map(MetricsConfig::read).unwrap_or_default();
        let topics = table.table("topics").map(TopicsConfig::read).unwrap_or_default();
        let draft = Draft::new(origin.trust_forwarded);
        let (cache, base) = match table.table("cache") {
            Some(mut inner) => {
                let cache = CacheConfig::read(&mut inner, &name);
                let base = Draft::read(&mut inner, &draft, cache.max_ttl);
                inner.finish(|_| None);
                (cache, base)
            }
            None => (CacheConfig::default(), draft),
        };
        let session = table.table("session").map(SessionConfig::read).unwrap_or_default();
        let client = table.table("client").map(limit::read_client).unwrap_or_default();
        let limits = limit::read_all(table.tables("limit"));
        let api = table.table("api").map(|inner| ApiConfig::read(inner, &limits)).unwrap_or_default();
        let everywhere = limit::read_names(&mut table, &limits, false).unwrap_or_default();
        let max_ttl = cache.max_ttl;
        let common = Common { base: &base, max_ttl, sessions: &session, limits: &limits, everywhere };
        let routes = route::read_all(table.tables("route"), &common);
        if base.tells_visitors_apart() && routes.iter().all(|route| route.session.is_none()) {
            table.fail("cache", "key.visitor has no effect, because no route has sessions (session = true)");
        }
        let mut queues = queue::read_all(table.tables("queue"));
        let webhooks = webhook::read_all(table.tables("webhook"), &mut queues);
        let values = table.table("values").map(values::read).unwrap_or_default();
        table.finish(elsewhere);
        let everywhere = common.everywhere;
        let default_route = Route::default(base.into(), everywhere);
        Self {
            name,
            redis,
            origin,
            cache,
            metrics,
            api,
            queues,
            topics,
            webhooks,
            session,
            values,
            client,
            limits,
            routes,
            default_route,
        }
    }

    /// Returns the limit with this name.
    #[must_use]
    pub fn limit(&self, name: &str) -> Option<&Rc<Limit>> {
        self.limits.iter().find(|limit| limit.policy.name() == name)
    }

    /// Returns all limits in their order.
    pub fn limits(&self) -> impl Iterator<Item = &Rc<Limit>> {
        self.limits.iter()
    }

    /// Checks the file against the variables.
    ///
    /// # Errors
    /// Every key ring that a queue names and `webhook_keys` lacks; and a missing `session_keys`, if a route has
    /// sessions.
    pub fn check(&self, settings: &Settings, variables: &impl Strings) -> Result<(), ConfigErrors> {
        let webhooks = queue::check_keys(&self.queues, settings, variables);
        let sessions = session::check_keys(self, settings, variables);
        ConfigErrors::check((), webhooks.chain(sessions).collect())
    }

    /// Returns the route of a request: the first in the order of the file that matches, or else the default one.
    ///
    /// `host` is the authority of the request, with or without port; `path` is its path without query, as the
    /// client sent it.
    #[must_use]
    pub fn route(&self, host: &str, path: &str) -> &Route {
        self.route_number(host, path).1
    }

    /// Like [`Config::route`], with the index of the route in [`Config::routes`].
    #[must_use]
    pub fn route_number(&self, host: &str, path: &str) -> (usize, &Route) {
        if self.routes.is_empty() {
            return (0, &self.default_route);
        }
        let (host, path) = (route::host_name(host), route::normal(path));
        let found = self.routes.iter().enumerate().find(|(_, route)| route.matches(host, &path));
        found.unwrap_or((self.routes.len(), &self.default_route))
    }

    /// Returns whether any route has sessions.
    #[must_use]
    pub fn uses_sessions(&self) -> bool {
        self.routes.iter().any(|route| route.session.is_some())
    }

    /// Returns the routes that a request for `path` may have, depending on its host, in their order.
    #[must_use]
    pub fn routes_of_path(&self, path: &str) -> Vec<&Route> {
        let path = route::normal(path);
        let mut all: Vec<&Route> = self.routes().filter(|route| route.matches_path(&path)).collect();
        let last = all.iter().position(|route| route.is_of_any_host());
        all.truncate(last.map_or(all.len(), |last| last + 1));
        all
    }

    /// Returns all routes in their order, the default one last.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter().chain([&self.default_route])
    }
}

/// Returns where an unknown key at the top belongs.
fn elsewhere(key: &str) -> Option<&'static str> {
    if VARIABLES.contains(&key) {
        return Some("it is a Spin variable (--variable or SPIN_VARIABLE_...)");
    }
    if policy::is_key(key) {
        return Some("it belongs in [cache] or [route.cache]");
    }
    limit::KEYS.contains(&key).then_some("it belongs in [[limit]]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::targeted::Targets;
    use http::HeaderName;
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn text_without_keys_is_a_complete_configuration() {
        for text in
            ["", "\n\n", "# a comment", "  # one\r\n\t\r\n# two\n", "\u{feff}# bom", "[cache]\n[redis]"]
        {
            assert_eq!(Config::parse(text, "f"), Ok(Config::default()), "{text:?}");
        }
        assert!(Config::parse("# old line ends\rname = \"x\"", "f").is_err(), "not swallowed by the comment");
    }

    #[test]
    fn everything_that_can_be_said_is_heard() {
        let config = Config::parse(
            r#"
            name = "edge-1"
            [redis]
            prefix = "shop"
            timeout = "100ms"
            connect_timeout = "1s"
            [origin]
            connect_timeout = "1s"
            first_byte_timeout = "2s"
            between_bytes_timeout = "3s"
            forwarded = false
            trust_forwarded = true
            [topics]
            max_length = 10_000
            [cache]
            max_object_size = "1GiB"
            max_ttl = "1h"
            heuristic_fraction = 0.2_5
            max_variants = 0x10
            max_ranges = 1
            targets = ["Edge-Cache-Control"]
            max_query_content = "1KiB"
            strip_tags = true
            cache_status = "none"
            "#,
            "f",
        )
        .unwrap();
        assert_eq!(config.name.as_str(), "edge-1");
        assert_eq!(config.redis.prefix, "shop");
        assert_eq!(config.redis.timeout, Duration::from_millis(100));
        assert_eq!(config.origin.between_bytes_timeout, Duration::from_secs(3));
        assert!(config.origin.trust_forwarded && !config.origin.forwarded);
        assert_eq!(config.topics.max_length, 10_000);
        assert_eq!(config.cache.max_object_size, 1 << 30);
        assert_eq!(config.cache.heuristic_max, Duration::from_secs(3600), "never above max_ttl");
        assert_eq!(config.cache.heuristic_fraction.of(Duration::from_secs(100)), Duration::from_secs(25));
        assert_eq!((config.cache.max_variants.get(), config.cache.max_ranges), (16, 1));
        let targets = Targets::new(vec![HeaderName::from_static("edge-cache-control")], "edge-1");
        assert_eq!(config.cache.targets, targets);
        assert_eq!(config.cache.cache_status.shows(None), Shown::Nothing);
        assert_eq!((config.cache.max_query_content, config.cache.strip_tags), (1024, true));
    }

    #[test]
    fn every_problem_is_reported_at_once_with_its_place() {
        let text = r#"name = "my cache"
redis_url = "redis://:hunter2@h"
ttl = "5m"

[redis]
prefx = "x"
url = "redis://:hunter2@h"
timeout = "0s"

[cache]
max_ttl = "10y"
heuristic_fraction = 1.5
max_variants = 0

[origin]
forwarded = "no"

[routes]
"#;
        let problems = Config::parse(text, "spindrift.toml").unwrap_err();
        let expected = r#"spindrift.toml:1:8: name: expected a token of at most 64 characters that begins with a letter, found "my cache"
spindrift.toml:2:1: redis_url: unknown key here: it is a Spin variable (--variable or SPIN_VARIABLE_...)
spindrift.toml:3:1: ttl: unknown key here: it belongs in [cache] or [route.cache]
spindrift.toml:6:1: redis.prefx: unknown key, did you mean "prefix"?
spindrift.toml:7:1: redis.url: unknown key here: the Spin variable redis_url says where Redis is
spindrift.toml:8:11: redis.timeout: expected a duration from "1ms" to "1m", found "0s"
spindrift.toml:11:11: cache.max_ttl: expected a duration like "30s", "5m" or "1h", found "10y"
spindrift.toml:12:22: cache.heuristic_fraction: expected a number from 0 to 1, like 0.1, found the number 1.5
spindrift.toml:13:16: cache.max_variants: expected a whole number from 1 to 1000, found the number 0
spindrift.toml:16:13: origin.forwarded: expected true or false, found "no"
spindrift.toml:18:2: routes: unknown key, did you mean "route"?"#;
        assert_eq!(problems.to_string(), expected);
        assert_eq!(problems.iter().next().and_then(ConfigError::line_column), Some((1, 8)));
        assert_eq!(problems.iter().next().map(ConfigError::key), Some("name"));
    }

    #[test]
    fn syntax_errors_have_line_and_column_and_come_alone() {
        let problems = Config::parse("unknown = 1\na = \nb = = 2\n[[route]\n", "f").unwrap_err().to_string();
        let lines: Vec<&str> = problems.lines().collect();
        assert_eq!(lines.len(), 3, "{problems}");
        assert!(lines[0].starts_with("f:2:5: not valid TOML: "), "{problems}");
        assert!(lines[1].starts_with("f:3:5: not valid TOML: "), "{problems}");
        assert!(lines[2].starts_with("f:4:9: not valid TOML: "), "{problems}");
        let twice = Config::parse("name = \"a\"\nname = \"b\"", "f").unwrap_err().to_string();
        assert!(twice.starts_with("f:2:1: not valid TOML: duplicate key"), "{twice}");
    }

    #[test]
    fn the_variable_takes_the_place_of_the_file() {
        let variable = |text: &'static str| move |name: &str| (name == "config").then(|| text.to_owned());
        let file = b"name = \"file\"".as_slice();
        let name = |text| Config::load(&variable(text), Ok(file)).unwrap().name.to_string();
        assert_eq!(name("name = \"variable\""), "variable");
        assert_eq!(name("# nothing"), "spindrift");
        assert_eq!(name(" \n"), "file");
        let wrong = Config::load(&variable("x = 1"), Ok(file)).unwrap_err().to_string();
        assert!(wrong.starts_with("variable config:1:1: x: unknown key"), "{wrong}");
    }

    #[test]
    fn a_file_that_is_not_utf_8_is_an_error_and_not_passed_over() {
        let load =
            |file: &[u8]| Config::load(&|_: &str| None, Ok(file)).map(|config| config.name.to_string());
        let wrong = |file| load(file).unwrap_err().to_string();
        assert_eq!(
            wrong(b"name = \"a\"\n# f\xfcr alle"),
            "spindrift.toml:2:4: expected UTF-8, found other bytes"
        );
        let utf_16: Vec<u8> = "\u{feff}name = \"a\"".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(wrong(&utf_16), "spindrift.toml:1:1: expected UTF-8, found other bytes");
        assert_eq!(load("# für alle\nname = \"a\"".as_bytes()).unwrap(), "a");
        let variable = |name: &str| (name == "config").then(|| "name = \"b\"".to_owned());
        assert!(Config::load(&variable, Ok(b"\xff")).is_ok(), "nobody looks at the file");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error_unless_the_variable_takes_its_place() {
        let wrong = Config::load(&|_: &str| None, Err("Is a directory")).unwrap_err().to_string();
        assert_eq!(wrong, "spindrift.toml:1:1: expected a file that can be read: Is a directory");
        let variable = |name: &str| (name == "config").then(|| "name = \"b\"".to_owned());
        assert_eq!(Config::load(&variable, Err("Is a directory")).unwrap().name.to_string(), "b");
    }

    #[test]
    fn what_is_no_table_is_an_error() {
        for (text, expected) in [
            ("cache = 1", "f:1:9: cache: expected a table, found the number 1"),
            ("route = {}", "f:1:9: route: expected tables, each headed [[route]], found a table"),
            ("route = [1]", "f:1:10: route[0]: expected a table, found the number 1"),
            ("redis = []", "f:1:9: redis: expected a table, found an array"),
        ] {
            assert_eq!(Config::parse(text, "f").unwrap_err().to_string(), expected);
        }
    }

    /// In the shipped file, examples are commented out with `#` and no space after it.
    #[test]
    fn the_file_that_ships_is_all_comments_and_its_examples_are_valid() {
        let text = include_str!("../../spindrift.toml");
        assert!(text.lines().all(table::is_blank_or_comment));
        let uncommented: Vec<&str> = text
            .lines()
            .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
            .collect();
        let config = Config::parse(&uncommented.join("\n"), "spindrift.toml").unwrap();
        let default = Config::default();
        assert_eq!(
            (&config.name, &config.redis, &config.origin),
            (&default.name, &default.redis, &default.origin)
        );
        assert_eq!(config.cache, default.cache, "the values shown are the defaults");
        assert_eq!(config.session, default.session);
        assert_eq!(config.topics, default.topics, "here, too");
        assert!(config.routes().count() > 1);
    }

    #[test]
    fn the_examples_in_the_manual_are_valid() {
        let manual = include_str!("../../docs/configuration.md");
        let examples: Vec<&str> =
            manual.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert!(!examples.is_empty());
        for example in examples {
            assert_eq!(Config::parse(example, "example").map(|_| ()), Ok(()), "{example}");
        }
        let limits = limit::KEYS.into_iter().chain(limit::CLIENT_KEYS);
        for key in policy::keys().chain(session::KEYS).chain(limits).chain(VARIABLES) {
            assert!(manual.contains(&format!("`{key}`")), "{key} is missing in the manual");
        }
    }

    fn any_line() -> impl Strategy<Value = String> {
        let table = prop_oneof![
            Just("[redis]"),
            Just("[origin]"),
            Just("[cache]"),
            Just("[[route]]"),
            Just("[route.cache]"),
            Just("[cache.key]"),
            Just("[route.cache.key]"),
            Just("[cache.ttl_by_status]"),
            Just("[[limit]]"),
            Just("[client]"),
        ];
        let key = prop_oneof![
            Just("name"),
            Just("host"),
            Just("path"),
            Just("mode"),
            Just("ttl"),
            Just("default_ttl"),
            Just("ttl_by_status"),
            Just("404"),
            Just("5xx"),
            Just("query"),
            Just("key"),
            Just("headers"),
            Just("cookies"),
            Just("max_ttl"),
            Just("heuristic_fraction"),
            Just("max_object_size"),
            Just("timeout"),
            Just("route"),
            Just("cache"),
            Just("cache.key.query.only"),
            Just("limits"),
            Just("limit"),
            Just("period"),
            Just("burst"),
            Just("algorithm"),
            Just("trusted_proxies"),
        ];
        let value = prop_oneof![
            "\"[0-9a-z*./?%é@:]{0,9}\"",
            "[0-9]{1,30}(\\.[0-9]{1,9})?",
            Just("true".to_owned()),
            Just("nan".to_owned()),
            Just("{}".to_owned()),
            Just("[]".to_owned()),
            "\\[\"[a-z*é]{0,3}\", 1\\]",
            Just("1979-05-27".to_owned()),
            "\"[0-9]{1,20}(ms|s|d|MiB)\"",
            "0[xob][0-7]{1,30}",
            Just("\"cache\"".to_owned()),
        ];
        prop_oneof![
            1 => table.prop_map(str::to_owned),
            3 => (key, value).prop_map(|(key, value)| format!("{key} = {value}")),
        ]
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "\\PC*") {
            let _ = Config::parse(&text, "f");
        }

        #[test]
        fn nearly_valid_text_never_panics(lines in proptest::collection::vec(any_line(), 0..12)) {
            match Config::parse(&lines.join("\n"), "f") {
                Ok(config) => drop(config.route("h", "/a").clone()),
                Err(problems) => {
                    let from_one = |at: Option<(usize, usize)>| at.is_some_and(|(line, column)| line * column > 0);
                    prop_assert!(problems.iter().all(|problem| from_one(problem.line_column())));
                }
            }
        }

        #[test]
        fn routing_never_panics(host in ".*", path in ".*", pattern in "/[a-z*%?]{0,8}") {
            if let Ok(config) = Config::parse(&format!("[[route]]\npath = \"{pattern}\""), "f") {
                let _ = config.route(&host, &path);
            }
        }
    }
}
