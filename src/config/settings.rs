//! Settings in Spin variables: where the origin and Redis are, and the secrets.

use super::address::{HostPort, Origin, RedisAddress};
use super::errors::{ConfigError, ConfigErrors};
use super::secret::Secret;
use super::value::shown;
use crate::webhook::KeyRings;

/// The source of variables: Spin in a component, anything in a test.
pub trait Strings {
    /// Returns the value of the variable `name`; `None` if it does not exist.
    fn get(&self, name: &str) -> Option<String>;

    /// Returns the name that the operator uses for the variable `name`, for messages.
    fn called(&self, name: &str) -> String {
        name.to_owned()
    }
}

impl<F: Fn(&str) -> Option<String>> Strings for F {
    fn get(&self, name: &str) -> Option<String> {
        self(name)
    }
}

/// The names of all variables.
pub const VARIABLES: [&str; 11] = [
    "origin_url",
    "redis_url",
    "redis_host",
    "redis_cluster_nodes",
    "redis_enabled",
    "redis_channel",
    "admin_token",
    "session_keys",
    "webhook_keys",
    "webhook_host",
    "config",
];

const REDIS: &str = "redis://127.0.0.1:6379";
const CHANNEL: &str = "spindrift";

/// The length in bytes below which a token or key can be guessed.
const SHORT_SECRET: usize = 16;

/// The settings in the Spin variables. A missing variable has the default of `spin.toml`; white space around a
/// value is ignored, so that the value may come from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `origin_url`: where requests go that the cache does not answer. Default: the demo origin.
    pub origin: Origin,
    /// `redis_url`, `redis_cluster_nodes`: where Redis is. `None` when `redis_enabled` is `false`.
    pub redis: Option<RedisAddress>,
    /// `redis_channel`: the channel of purges and other messages. Default `spindrift`.
    pub channel: String,
    /// `admin_token`: the bearer tokens of the management API, any of which is valid. Empty: the API answers 403.
    pub admin_tokens: Vec<Secret>,
    /// `session_keys`: keys that sign sessions and tokens for streams, the newest first.
    pub session_keys: Vec<Secret>,
    /// `webhook_keys`: keys that sign pushed messages.
    pub webhook_keys: KeyRings,
    /// Settings that are allowed but probably not intended: one line each, to be logged at the start.
    pub warnings: Vec<String>,
}

impl Settings {
    /// Reads all variables except `config`, which [`Config::load`](super::Config::load) reads.
    ///
    /// # Errors
    /// All problems of all variables. Values are shown unless they may be secret.
    pub fn load(variables: &impl Strings) -> Result<Self, ConfigErrors> {
        let mut reader = Reader { variables, problems: Vec::new(), warnings: Vec::new() };
        let origin = reader.origin();
        let enabled = reader.redis_enabled();
        let redis = if enabled { reader.redis() } else { None };
        let channel = if enabled { reader.channel() } else { CHANNEL.to_owned() };
        let admin_tokens = reader.admin_tokens();
        let session_keys = reader.session_keys();
        let webhook_keys = reader.webhook_keys();
        reader.check_webhook_host();
        let Reader { problems, warnings, .. } = reader;
        let settings = Self { origin, redis, channel, admin_tokens, session_keys, webhook_keys, warnings };
        ConfigErrors::check(settings, problems)
    }
}

/// Reads variables one by one and collects their problems.
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
        let name = self.variables.called(name);
        self.problems.push(ConfigError::in_variable(&name, message.into()));
    }

    fn origin(&mut self) -> Origin {
        let Some(text) = self.get("origin_url").filter(|text| !text.is_empty()) else {
            return Origin::default();
        };
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
                self.fail(
                    "redis_url",
                    format!("{}; the value is not shown, because it is secret", problem.0),
                );
                None
            }
        }
    }

    fn nodes(&mut self) -> Vec<HostPort> {
        let text = self.get("redis_cluster_nodes").unwrap_or_default();
        let mut nodes = Vec::new();
        for item in text.split(',').map(str::trim_ascii).filter(|item| !item.is_empty()) {
            match HostPort::parse(item).filter(|node| node.port().is_some()) {
                Some(node) if nodes.contains(&node) => {}
                Some(node) => nodes.push(node),
                None => {
                    // The text may contain credentials by mistake, with commas in them: what was found must
                    // not be shown.
                    let found = if text.contains('@') { "\"***\"".to_owned() } else { shown(item) };
                    let message = format!("expected host:port, separated by commas, found {found}");
                    self.fail("redis_cluster_nodes", message);
                }
            }
        }
        nodes
    }

    /// Without a `redis_host` there is nothing to compare: the manifest must allow the address in another way.
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
            self.fail("redis_host", format!("expected {expected}, as in redis_url, found {found}"));
        }
    }

    fn check_cluster(&mut self, address: &RedisAddress) {
        if address.nodes().is_empty() {
            return;
        }
        if address.selects_database() {
            self.fail("redis_url", "expected no database, because a cluster has only database 0");
        }
        if !address.nodes().contains(address.place()) {
            let found = address.place();
            let what =
                "expected the address of one of redis_cluster_nodes, with the credentials for all of them";
            self.fail("redis_url", format!("{what}, found that of {found}"));
        }
        let entry = self.get("redis_host").unwrap_or_else(|| address.outbound_host());
        for node in address.nodes().iter().filter(|node| !address.is_allowed_by(&entry, node)) {
            let node = address.outbound_host_of(node);
            self.warnings.push(format!(
                "redis_cluster_nodes: redis_host does not cover {node}: add it to allowed_outbound_hosts, or \
                 use a wildcard in redis_host"
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

    fn admin_tokens(&mut self) -> Vec<Secret> {
        let tokens = self.secrets("admin_token");
        if !tokens.iter().all(|token| token.expose().bytes().all(|byte| byte.is_ascii_graphic())) {
            let what = "expected visible ASCII characters without blanks, as in a bearer token";
            self.fail("admin_token", format!("{what}; the value is not shown, because it is secret"));
        }
        tokens
    }

    fn session_keys(&mut self) -> Vec<Secret> {
        self.secrets("session_keys")
    }

    /// Secrets separated by commas.
    fn secrets(&mut self, name: &str) -> Vec<Secret> {
        let text = self.get(name).unwrap_or_default();
        let all: Vec<&str> = text.split(',').map(str::trim_ascii).filter(|one| !one.is_empty()).collect();
        if let Some(shortest) = all.iter().min_by_key(|one| one.len()) {
            self.warn_of_short(name, shortest);
        }
        all.into_iter().map(Secret::new).collect()
    }

    fn webhook_keys(&mut self) -> KeyRings {
        let text = self.get("webhook_keys").unwrap_or_default();
        KeyRings::parse(&text).unwrap_or_else(|(number, problem)| {
            let message = format!("key {number}: {problem}; the value is not shown, because it is secret");
            self.fail("webhook_keys", message);
            KeyRings::default()
        })
    }

    /// The variable is used only in the manifest, where one invalid entry of `allowed_outbound_hosts` disables all.
    fn check_webhook_host(&mut self) {
        let text = self.get("webhook_host").unwrap_or_default();
        let place = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let place = place.map(|rest| rest.strip_suffix('/').unwrap_or(rest));
        let host = place.map(|rest| rest.strip_prefix("*.").unwrap_or(rest)).and_then(HostPort::parse);
        if !text.is_empty() && host.is_none() {
            let what = "expected http://host[:port] or https://host[:port] without user, path and query";
            self.fail("webhook_host", format!("{what}, found {}", shown(&text)));
        }
    }

    fn warn_of_short(&mut self, name: &str, secret: &str) {
        if secret.len() < SHORT_SECRET {
            self.warnings
                .push(format!("{name}: a secret of fewer than {SHORT_SECRET} characters can be guessed"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn load(variables: &[(&str, &str)]) -> Result<Settings, ConfigErrors> {
        Settings::load(&|name: &str| {
            variables.iter().find(|(one, _)| *one == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn errors(variables: &[(&str, &str)]) -> String {
        load(variables).unwrap_err().to_string()
    }

    #[test]
    fn without_variables_everything_has_its_default() {
        let settings = load(&[]).unwrap();
        assert_eq!(settings.origin.to_string(), "http://demo-origin.spin.internal");
        let redis = settings.redis.unwrap();
        assert_eq!(redis.url().expose(), "redis://127.0.0.1:6379");
        assert!(redis.nodes().is_empty());
        assert_eq!(settings.channel, "spindrift");
        assert!(settings.admin_tokens.is_empty());
        assert!(settings.session_keys.is_empty() && settings.warnings.is_empty());
    }

    #[test]
    fn the_defaults_of_the_manifest_are_the_same() {
        let manifest: toml::Table = toml::from_str(include_str!("../../spin.toml")).unwrap();
        let declared = manifest["variables"].as_table().unwrap();
        let mut names: Vec<&str> = declared.keys().map(String::as_str).collect();
        names.sort_unstable();
        let mut known = VARIABLES;
        known.sort_unstable();
        assert_eq!(names, known);
        let variables = |name: &str| Some(declared.get(name)?.get("default")?.as_str()?.to_owned());
        assert_eq!(Settings::load(&variables), load(&[]));
    }

    #[test]
    fn what_is_set_is_taken_without_the_blanks_around_it() {
        let settings = load(&[
            ("origin_url", "https://www.example.com\n"),
            ("redis_url", "rediss://:secret@cache.example:6380/1\n"),
            ("redis_host", "rediss://cache.example:6380"),
            ("redis_channel", "purges"),
            ("admin_token", " 0123456789abcdef0123456789abcdef,\nfedcba9876543210fedcba9876543210\n"),
            ("session_keys", "aaaaaaaaaaaaaaaaaaaaaaaa, bbbbbbbbbbbbbbbbbbbbbbbb,"),
        ])
        .unwrap();
        assert_eq!(settings.origin.to_string(), "https://www.example.com");
        assert_eq!(settings.redis.unwrap().url().expose(), "rediss://:secret@cache.example:6380/1");
        let tokens: Vec<&str> = settings.admin_tokens.iter().map(Secret::expose).collect();
        assert_eq!(tokens, ["0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"]);
        assert_eq!(settings.session_keys.len(), 2);
        assert!(settings.warnings.is_empty());
    }

    #[test]
    fn every_wrong_variable_is_reported_and_no_secret_is_shown() {
        let text = errors(&[
            ("origin_url", "http://bob:hunter2@example.com/a"),
            ("redis_url", "redis://:hunter2/x@cache.example"),
            ("redis_enabled", "yes"),
            ("redis_cluster_nodes", "a:7000,b,:hunter2@c:7000"),
            ("redis_channel", "two words"),
            ("admin_token", "hunter2 hunter2"),
        ]);
        assert_eq!(text.lines().count(), 6, "nodes are alike where none is shown: {text}");
        assert!(!text.contains("hunter2"), "{text}");
        assert!(
            text.contains(
                "variable origin_url: expected http://host[:port] or https://host[:port] without user, path \
                 and query, found \"http://***@example.com/a\""
            ),
            "{text}"
        );
        assert!(text.contains("variable redis_enabled: expected true or false, found \"yes\""), "{text}");
    }

    #[test]
    fn a_redis_host_that_does_not_fit_is_told_what_it_should_be() {
        let url = ("redis_url", "redis://bob:hunter2@cache.example/3");
        assert_eq!(
            errors(&[url, ("redis_host", "redis://127.0.0.1:6379")]),
            "variable redis_host: expected redis://cache.example:6379, as in redis_url, found \
             \"redis://127.0.0.1:6379\""
        );
        let with_credentials = errors(&[url, ("redis_host", "redis://bob:hunter2@cache.example")]);
        assert!(with_credentials.contains("expected redis://cache.example:6379 without credentials"));
        assert!(!with_credentials.contains("hunter2"));
        for fits in ["redis://cache.example", "redis://cache.example:6379/", "redis://*.example:6379"] {
            assert!(load(&[url, ("redis_host", fits)]).is_ok(), "{fits}");
        }
        assert!(load(&[url]).is_ok(), "nothing to compare");
    }

    #[test]
    fn tls_needs_a_port() {
        assert!(errors(&[("redis_url", "rediss://h")]).contains("Spin has no default port for rediss://"));
        let host = ("redis_host", "rediss://h");
        assert!(errors(&[("redis_url", "rediss://h:6380"), host]).contains("expected rediss://h:6380"));
    }

    #[test]
    fn redis_that_is_switched_off_may_be_wrong() {
        for (name, value) in [("redis_url", "nonsense"), ("redis_channel", "two words"), ("redis_host", "")] {
            let settings = load(&[("redis_enabled", "false"), (name, value)]).unwrap();
            assert_eq!(settings.redis, None, "{name}");
        }
    }

    #[test]
    fn cluster_nodes_must_be_reachable_and_have_no_databases() {
        let nodes = ("redis_cluster_nodes", "10.0.0.1:7000, 10.0.0.2:7000");
        let settings = load(&[("redis_url", "redis://10.0.0.1:7000"), nodes]).unwrap();
        assert_eq!(settings.redis.unwrap().nodes().len(), 2);
        assert_eq!(settings.warnings.len(), 1);
        assert!(settings.warnings[0].contains("redis://10.0.0.2:7000"));
        assert!(errors(&[("redis_url", "redis://10.0.0.1:7000/2"), nodes]).contains("only database 0"));
    }

    #[test]
    fn a_redis_url_that_is_none_of_the_cluster_is_an_error_with_all_others() {
        let nodes = ("redis_cluster_nodes", "10.0.0.1:7000, 10.0.0.2:7000,10.0.0.1:7000,");
        let text = errors(&[("redis_url", "redis://bob:hunter2@10.0.0.3:7000/2"), nodes]);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("expected no database"), "{text}");
        assert!(
            text.contains(
                "variable redis_url: expected the address of one of redis_cluster_nodes, with the \
                 credentials for all of them, found that of 10.0.0.3:7000"
            ),
            "{text}"
        );
        assert!(!text.contains("hunter2"), "{text}");
        assert!(errors(&[nodes]).contains("found that of 127.0.0.1:6379"), "redis_url was forgotten");
        let credentials = errors(&[("redis_cluster_nodes", "redis://:hunter2,x@10.0.0.1:7000")]);
        assert!(!credentials.contains("hunter2"), "{credentials}");
        let settings = load(&[("redis_url", "redis://10.0.0.2:7000"), nodes]).unwrap();
        assert_eq!(settings.redis.unwrap().nodes().len(), 2, "each once");
    }

    #[test]
    fn keys_that_sign_are_read_and_never_shown() {
        let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let settings = load(&[("webhook_keys", &format!("{key},billing={key}\n"))]).unwrap();
        assert!(settings.webhook_keys.get("").is_some() && settings.webhook_keys.get("billing").is_some());
        let text = errors(&[("webhook_keys", &format!("{key},whsec_hunter2"))]);
        assert!(
            text.starts_with("variable webhook_keys: key 2: expected whsec_ followed by base64"),
            "{text}"
        );
        assert!(!text.contains("hunter2") && !format!("{settings:?}").contains("MfKQ"));
    }

    #[test]
    fn a_webhook_host_is_what_a_manifest_takes() {
        for good in ["", "https://hooks.example", "http://127.0.0.1:8080/", "https://*.example.com"] {
            assert!(load(&[("webhook_host", good)]).is_ok(), "{good}");
        }
        for bad in ["hooks.example", "https://h/path", "ftp://h", "https://u:hunter2@h", "https://"] {
            let text = errors(&[("webhook_host", bad)]);
            assert!(text.contains("variable webhook_host: expected") && !text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn a_secret_that_can_be_guessed_is_a_warning() {
        let settings = load(&[("admin_token", "hunter2"), ("session_keys", "a,b")]).unwrap();
        assert_eq!(settings.warnings.len(), 2);
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    proptest! {
        #[test]
        fn arbitrary_values_never_panic_and_a_password_is_never_shown(
            before in "(redis|rediss|http)?:?/{0,2}[a-z:@/?#]{0,6}", after in "[@:/?#]{0,2}[a-z0-9:/?#@]{0,8}",
        ) {
            let text = format!("{before}:Hunter2{after}");
            let result = load(&[("redis_url", &text), ("redis_host", "x"), ("admin_token", " Hunter2 Hunter2")]);
            prop_assert!(!format!("{result:?} {}", result.as_ref().unwrap_err()).contains("Hunter2"), "{text}");
        }
    }
}
