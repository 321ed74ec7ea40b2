//! `[topics]`: how topics are kept, and how they are streamed to clients.

use super::address::HostPort;
use super::table::Table;
use super::value::{duration, integer, size, string};
use crate::topic::Pattern;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// `[topics]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicsConfig {
    /// How many events a topic keeps; it may be a few more. Default 10,000.
    pub max_length: u64,
    /// How long a topic keeps an event, or a little longer. A topic without events for this time is dropped. Default
    /// one day.
    pub max_age: Duration,
    /// The largest event, type and data together, in bytes. Default 64 KiB.
    pub max_event: u64,
    /// The prefix of the Redis channel of a topic, before its name. Default: `redis.prefix` and `:`.
    pub channel_prefix: Option<String>,
    /// The topics whose events are also published on their Redis channels. Default none.
    pub mirror: Vec<Pattern>,
    /// The longest time that a stream to a client lasts. Default 25 s, because some hosts end requests after 30 s.
    pub stream_time: Duration,
    /// The longest silence of such a stream. Default 10 s.
    pub keep_alive: Duration,
    /// How long clients are told to wait before they reconnect. Default 1 s.
    pub retry: Duration,
    /// The longest time that a stream waits before it looks for events again. Default 1 s.
    pub max_delay: Duration,
    /// Origins (RFC 6454) whose pages may make cross-origin requests to read topics; `*` is any. Default none.
    pub allow_origins: Vec<String>,
}

impl Default for TopicsConfig {
    fn default() -> Self {
        Self {
            max_length: 10_000,
            max_age: DAY,
            max_event: 64 << 10,
            channel_prefix: None,
            mirror: Vec::new(),
            stream_time: 25 * SECOND,
            keep_alive: 10 * SECOND,
            retry: SECOND,
            max_delay: SECOND,
            allow_origins: Vec::new(),
        }
    }
}

impl TopicsConfig {
    pub(super) fn read(mut table: Table<'_, '_>) -> Self {
        let default = Self::default();
        let prefix = "at most 64 visible ASCII characters";
        let origin = "\"*\", or an origin like \"https://www.example.com\"";
        let config = Self {
            max_length: table.read("max_length", integer(1..=10_000_000)).unwrap_or(default.max_length),
            max_age: table.read("max_age", duration(SECOND..=365 * DAY)).unwrap_or(default.max_age),
            max_event: table.read("max_event", size(1..=1 << 20)).unwrap_or(default.max_event),
            channel_prefix: table.read("channel_prefix", string(prefix, channel_prefix)),
            mirror: table.strings("mirror", pattern).unwrap_or(default.mirror),
            stream_time: table.read("stream_time", duration(SECOND..=HOUR)).unwrap_or(default.stream_time),
            keep_alive: table.read("keep_alive", duration(SECOND / 10..=HOUR)).unwrap_or(default.keep_alive),
            retry: table.read("retry", duration(Duration::ZERO..=MINUTE)).unwrap_or(default.retry),
            max_delay: table.read("max_delay", duration(SECOND / 100..=MINUTE)).unwrap_or(default.max_delay),
            allow_origins: table
                .strings("allow_origins", string(origin, allowed_origin))
                .unwrap_or(default.allow_origins),
        };
        table.finish(|_| None);
        config
    }
}

/// Reads a pattern of topics.
pub(super) fn pattern(value: &toml::de::DeValue<'_>) -> Result<Pattern, String> {
    string("a topic like \"orders\" or a pattern like \"orders.*\", in visible ASCII", Pattern::new)(value)
}

fn channel_prefix(text: &str) -> Option<String> {
    (text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| text.to_owned())
}

/// Parses an origin as browsers send it: scheme and authority, no path, and no default port.
pub(super) fn allowed_origin(text: &str) -> Option<String> {
    let is_origin = text.split_once("://").is_some_and(|(scheme, authority)| {
        let own = match scheme {
            "https" => 443,
            "http" => 80,
            _ => return false,
        };
        let place = HostPort::parse(authority).filter(|place| place.port() != Some(own));
        place.is_some_and(|place| place.to_string() == authority)
    });
    (text == "*" || is_origin).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    #[test]
    fn everything_that_can_be_said_is_heard() {
        let text = r#"
            [topics]
            max_length = 5
            max_age = "1h"
            max_event = "1KiB"
            channel_prefix = ""
            mirror = ["orders.*"]
            stream_time = "1h"
            keep_alive = "100ms"
            retry = "0s"
            max_delay = "10ms"
            allow_origins = ["https://www.example.com", "http://localhost:8080", "*"]
        "#;
        let topics = Config::parse(text, "f").unwrap().topics;
        assert_eq!((topics.max_length, topics.max_age, topics.max_event), (5, HOUR, 1024));
        assert_eq!(topics.channel_prefix.as_deref(), Some(""));
        assert_eq!(topics.mirror, [Pattern::new("orders.*").unwrap()]);
        assert_eq!((topics.stream_time, topics.keep_alive), (HOUR, SECOND / 10));
        assert_eq!((topics.retry, topics.max_delay), (Duration::ZERO, SECOND / 100));
        assert_eq!(topics.allow_origins.len(), 3);
    }

    #[test]
    fn the_manual_names_every_key() {
        let manual = include_str!("../../docs/configuration.md");
        let unknown = Config::parse("[topics]\nx = 1", "f").unwrap_err().to_string();
        let (_, keys) = unknown.split_once("expected one of: ").unwrap();
        for key in keys.split(", ") {
            assert!(manual.contains(&format!("| `{key}` |")), "{key} is missing in the manual");
        }
    }

    #[test]
    fn mistakes_have_their_place() {
        for (line, expected) in [
            ("max_length = 0", "max_length: expected a whole number from 1 to 10000000, found the number 0"),
            ("stream_time = \"1ms\"", "stream_time: expected a duration from \"1s\" to \"1h\""),
            ("max_event = \"2MiB\"", "max_event: expected from 1 to 1048576 bytes"),
            ("mirror = [\"a b\"]", "mirror[0]: expected a topic like \"orders\""),
            ("allow_origins = [\"https://x/\"]", "allow_origins[0]: expected \"*\", or an origin"),
            ("allow_origins = [\"https://*.x\"]", "allow_origins[0]: expected \"*\", or an origin"),
            ("allow_origins = [\"https://x:443\"]", "allow_origins[0]: expected \"*\", or an origin"),
            ("allow_origins = [\"http://x:80\"]", "allow_origins[0]: expected \"*\", or an origin"),
            ("allow_origins = [\"https://x:99999\"]", "allow_origins[0]: expected \"*\", or an origin"),
            ("allow_origins = [\"https://x,https:\"]", "allow_origins[0]: expected \"*\", or an origin"),
            ("max_ttl = \"1d\"", "max_ttl: unknown key"),
        ] {
            let found = Config::parse(&format!("[topics]\n{line}"), "f").unwrap_err().to_string();
            assert!(found.contains(&format!("topics.{expected}")), "{found}");
        }
    }
}
