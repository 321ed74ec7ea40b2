//! The configuration: `spindrift.toml` and the Spin variables, validated as a whole.
//!
//! Two inputs, two results. [`Config::parse`] turns TOML text into what the cache does; [`Settings::load`]
//! turns Spin variables into where it does it, secrets included. Both report every problem at once, each with
//! its place, as [`ConfigErrors`]; what they return needs no further checks. Nothing here reads a clock, a file
//! or the environment.
//!
//! 1. A key that is missing has its default; empty text is a complete configuration.
//! 2. An unknown key is an error, and so is a value that would have no effect.
//! 3. `[cache]` says for all routes what `[route.cache]` may say for one; the route wins, key by key.
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
mod errors;
mod glob;
mod key;
mod policy;
mod query;
mod route;
mod secret;
mod section;
mod settings;
mod suggest;
mod table;
mod value;

pub use address::{HostPort, Origin, RedisAddress};
pub use errors::{ConfigError, ConfigErrors};
pub use key::KeyRules;
pub use policy::{CachePolicy, RoutePolicy, SetCookiePolicy};
pub use query::{NameSet, QueryRule};
pub use route::Route;
pub use secret::Secret;
pub use section::{CacheConfig, CacheName, Fraction, OriginConfig, RedisConfig};
pub use settings::{Settings, Strings};
pub use value::{format_duration, parse_duration, parse_size};

use policy::Draft;
use table::{Report, Table};

/// What `spindrift.toml` says: how the cache behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The name of this cache in `Cache-Status` and `Via`.
    pub name: CacheName,
    /// How Redis is used.
    pub redis: RedisConfig,
    /// How requests go to the origin.
    pub origin: OriginConfig,
    /// What holds for the cache as a whole.
    pub cache: CacheConfig,
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
            routes: Vec::new(),
            default_route: Route::default(Draft::default().into()),
        }
    }
}

impl Config {
    /// Parses TOML text; `file` is what errors call it.
    ///
    /// Text without a single key is not even parsed.
    ///
    /// # Errors
    /// Every problem in the text. If it is not valid TOML, only the syntax errors.
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigErrors> {
        if text.lines().all(is_blank_or_comment) {
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

    /// The text of the variable `config` if it has any, else `file_text`, the content of `spindrift.toml`.
    ///
    /// # Errors
    /// As for [`Config::parse`].
    pub fn load(variables: &impl Strings, file_text: &str) -> Result<Self, ConfigErrors> {
        match variables.get("config").filter(|text| !text.trim().is_empty()) {
            Some(text) => Self::parse(&text, "variable config"),
            None => Self::parse(file_text, "spindrift.toml"),
        }
    }

    fn read(mut table: Table<'_, '_>) -> Self {
        let name = section::read_name(&mut table);
        let redis = table.table("redis").map(RedisConfig::read).unwrap_or_default();
        let origin = table.table("origin").map(OriginConfig::read).unwrap_or_default();
        let (cache, base) = match table.table("cache") {
            Some(mut inner) => {
                let cache = CacheConfig::read(&mut inner);
                let base = Draft::read(&mut inner, &Draft::default(), cache.max_ttl);
                inner.finish(|_| None);
                (cache, base)
            }
            None => (CacheConfig::default(), Draft::default()),
        };
        let routes = route::read_all(table.tables("route"), &base, cache.max_ttl);
        table.finish(elsewhere);
        Self { name, redis, origin, cache, routes, default_route: Route::default(base.into()) }
    }

    /// The route of a request: the first in the order of the file that matches, else the default one.
    ///
    /// `host` is the authority of the request, with or without port; `path` its path without query, as the
    /// client sent it.
    #[must_use]
    pub fn route(&self, host: &str, path: &str) -> &Route {
        if self.routes.is_empty() {
            return &self.default_route;
        }
        let (host, path) = (route::host_name(host), route::normal(path));
        self.routes.iter().find(|route| route.matches(host, &path)).unwrap_or(&self.default_route)
    }

    /// All routes in their order, the default one last.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter().chain([&self.default_route])
    }
}

/// A line that says nothing. Control characters make it the parser's business.
fn is_blank_or_comment(line: &str) -> bool {
    let content = line.trim_matches([' ', '\t']);
    content.is_empty()
        || (content.starts_with('#') && !content.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t'))
}

/// Where a key belongs that is not known at the top.
fn elsewhere(key: &str) -> Option<&'static str> {
    if settings::VARIABLES.contains(&key) {
        return Some("it is a Spin variable (--variable or SPIN_VARIABLE_...)");
    }
    policy::KEYS.contains(&key).then_some("it belongs into [cache] or [route.cache]")
}
