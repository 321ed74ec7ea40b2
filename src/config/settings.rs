//! Settings from Spin variables: where the origin and Redis are, and the secrets.

use super::address::{HostPort, Origin, RedisAddress};
use super::errors::{ConfigError, ConfigErrors};
use super::secret::Secret;
use super::value::shown;

/// Where variables come from: Spin in a component, anything in a test.
pub trait Strings {
    /// The value of the variable `name`; `None` if there is no such variable.
    fn get(&self, name: &str) -> Option<String>;
}

impl<F: Fn(&str) -> Option<String>> Strings for F {
    fn get(&self, name: &str) -> Option<String> {
        self(name)
    }
}

/// The names of all variables.
pub(super) const VARIABLES: [&str; 9] = [
    "origin_url",
    "redis_url",
    "redis_host",
    "redis_cluster_nodes",
    "redis_enabled",
    "redis_channel",
    "admin_token",
    "session_keys",
    "config",
];

const REDIS: &str = "redis://127.0.0.1:6379";
const CHANNEL: &str = "spindrift";

/// A token or key shorter than this can be guessed, in bytes.
const SHORT_SECRET: usize = 16;

/// What the Spin variables say. A variable that is missing has the default of `spin.toml`; blanks around a
/// value do not count, so that it may come from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `origin_url`: where requests go that the cache cannot answer. Default: the demo origin.
    pub origin: Origin,
    /// `redis_url`, `redis_cluster_nodes`: where Redis is. `None` when `redis_enabled` is `false`.
    pub redis: Option<RedisAddress>,
    /// `redis_channel`: the channel of purges and other messages. Default `spindrift`.
    pub channel: String,
    /// `admin_token`: the bearer token of the management API. `None` when empty: the API answers 403.
    pub admin_token: Option<Secret>,
    /// `session_keys`: keys that sign sessions, the newest first.
    pub session_keys: Vec<Secret>,
    /// What is allowed, but probably not meant: one line each, for the log at the start.
    pub warnings: Vec<String>,
}

impl Settings {
    /// Reads all variables but `config`, which [`Config::load`](super::Config::load) reads.
    ///
    /// # Errors
    /// Every problem of every variable. What was found is shown unless it can be secret.
    pub fn load(variables: &impl Strings) -> Result<Self, ConfigErrors> {
        let mut reader = Reader { variables, problems: Vec::new(), warnings: Vec::new() };
        let origin = reader.origin();
        let redis = if reader.redis_enabled() { reader.redis() } else { None };
        let channel = reader.channel();
        let admin_token = reader.admin_token();
        let session_keys = reader.session_keys();
        let Reader { problems, warnings, .. } = reader;
        let settings = Self { origin, redis, channel, admin_token, session_keys, warnings };
        ConfigErrors::check(settings, problems)
    }
}

/// Reads variables one by one and collects what is wrong with them.
struct Reader<'a, V> {
    variables: &'a V,
    problems: Vec<ConfigError>,
    warnings: Vec<String>,
}

impl<V: Strings> Reader<'_, V> {
    fn get(&self, name: &str) -> Option<String> {
        self.variables.get(name).map(|value| value.trim_ascii().to_owned())
    }

    fn fail(&mut self, name: &str, message: impl Into<String>) {
        self.problems.push(ConfigError::in_variable(name, message.into()));
    }

    fn origin(&mut self) -> Origin {
        let Some(text) = self.get("origin_url") else { return Origin::default() };
        Origin::parse(&text).unwrap_or_else(|| {
            let what = "expected http://host[:port] or https://host[:port] without user, path and query";
            self.fail("origin_url", format!("{what}, found {}", shown(&text)));
            Origin::default()
        })
    }

    fn redis_enabled(&mut self) -> bool {
        match self.get("redis_enabled").as_deref() {
            None | Some("true") => true,
            Some("false") => false,
            Some(other) => {
                self.fail("redis_enabled", format!("expected true or false, found {}", shown(other)));
                true
            }
        }
    }

    fn redis(&mut self) -> Option<RedisAddress> {
        let url = self.get("redis_url").unwrap_or_else(|| REDIS.to_owned());
        let nodes = self.nodes();
        match RedisAddress::parse(&url) {
            Ok(address) => {
                let address = address.with_nodes(nodes);
                self.check_redis_host(&address);
                self.check_cluster(&address);
                Some(address)
            }
            Err(problem) => {
                self.fail("redis_url", format!("{}; what was found is not shown, it is secret", problem.0));
                None
            }
        }
    }

    fn nodes(&mut self) -> Vec<HostPort> {
        let text = self.get("redis_cluster_nodes").unwrap_or_default();
        let mut nodes = Vec::new();
        for item in text.split(',').map(str::trim_ascii).filter(|item| !item.is_empty()) {
            match HostPort::parse(item).filter(|node| node.port().is_some()) {
                Some(node) => nodes.push(node),
                None => {
                    // Somebody may have put the credentials here as well: what is found must not be shown.
                    let found = if item.contains('@') { "\"***\"".to_owned() } else { shown(item) };
                    let message = format!("expected host:port, separated by commas, found {found}");
                    self.fail("redis_cluster_nodes", message);
                }
            }
        }
        nodes
    }

    /// Without a `redis_host` there is nothing to compare: the manifest allows the host in another way.
    fn check_redis_host(&mut self, address: &RedisAddress) {
        let Some(entry) = self.get("redis_host") else { return };
        let expected = address.outbound_host();
        if entry.contains('@') {
            self.fail(
                "redis_host",
                format!("expected {expected} without credentials, because it is not secret"),
            );
        } else if !address.is_allowed_by(&entry, address.place()) {
            let found = shown(&entry);
            self.fail("redis_host", format!("expected {expected}, as redis_url has it, found {found}"));
        }
    }

    fn check_cluster(&mut self, address: &RedisAddress) {
        if address.nodes().is_empty() {
            return;
        }
        if address.selects_database() {
            self.fail("redis_url", "expected no database, because a cluster has only database 0");
        }
        let entry = self.get("redis_host").unwrap_or_else(|| address.outbound_host());
        for node in address.nodes().iter().filter(|node| !address.is_allowed_by(&entry, node)) {
            let node = address.outbound_host_of(node);
            self.warnings.push(format!(
                "redis_cluster_nodes: redis_host does not cover {node}: add it to allowed_outbound_hosts, or \
                 write a wildcard into redis_host"
            ));
        }
    }

    fn channel(&mut self) -> String {
        let channel = self.get("redis_channel").unwrap_or_else(|| CHANNEL.to_owned());
        if channel.is_empty() || channel.len() > 256 || !channel.bytes().all(|byte| byte.is_ascii_graphic()) {
            let what = "expected 1 to 256 visible ASCII characters";
            self.fail("redis_channel", format!("{what}, found {}", shown(&channel)));
        }
        channel
    }

    fn admin_token(&mut self) -> Option<Secret> {
        let token = self.get("admin_token").filter(|token| !token.is_empty())?;
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let what = "expected visible ASCII characters without blanks, as a bearer token has them";
            self.fail("admin_token", format!("{what}; what was found is not shown, it is secret"));
        }
        self.warn_of_short("admin_token", &token);
        Some(Secret::new(token))
    }

    fn session_keys(&mut self) -> Vec<Secret> {
        let text = self.get("session_keys").unwrap_or_default();
        let keys: Vec<&str> = text.split(',').map(str::trim_ascii).filter(|key| !key.is_empty()).collect();
        for key in &keys {
            self.warn_of_short("session_keys", key);
        }
        keys.into_iter().map(Secret::new).collect()
    }

    fn warn_of_short(&mut self, name: &str, secret: &str) {
        if secret.len() < SHORT_SECRET {
            self.warnings
                .push(format!("{name}: a secret of less than {SHORT_SECRET} characters can be guessed"));
        }
    }
}
