//! The sections of `spindrift.toml` about the cache as a whole, and the types that only they use.

use super::clients::StatusAudience;
use super::policy::above_max;
use super::table::Table;
use super::value::{boolean, duration, expected, integer, seconds, size, string};
use crate::field::targeted::Targets;
use http::HeaderName;
use http::header::CACHE_CONTROL;
use std::fmt;
use std::num::NonZeroU16;
use std::time::Duration;
use toml::de::DeValue;

const MILLISECOND: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// The name of this cache in `Cache-Status` (RFC 9211 §2) and as pseudonym in `Via` (RFC 9110 §7.6.3).
///
/// A token in both: it begins with a letter, and has letters, digits and ``!#$%&'*+-.^_`|~`` only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheName(String);

impl CacheName {
    /// Makes a name of `text`; `None` if that is not a valid name of at most 64 characters.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let rest = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let valid = text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(rest);
        (valid && text.len() <= 64).then(|| Self(text.to_owned()))
    }

    /// Returns the name as it is written into fields.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for CacheName {
    fn default() -> Self {
        Self("spindrift".to_owned())
    }
}

impl fmt::Display for CacheName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads the key `name`.
pub(super) fn read_name(table: &mut Table<'_, '_>) -> CacheName {
    let what = "a token of at most 64 characters that begins with a letter";
    table.read("name", string(what, CacheName::new)).unwrap_or_default()
}

/// `[redis]`: how Redis is used. The variables say where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisConfig {
    /// The prefix of every key, so that several caches can share one Redis. Default `sd`.
    pub prefix: String,
    /// The deadline of one command. Default 250 ms.
    pub timeout: Duration,
    /// The deadline of opening a connection. Default 500 ms.
    pub connect_timeout: Duration,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            prefix: "sd".to_owned(),
            timeout: Duration::from_millis(250),
            connect_timeout: Duration::from_millis(500),
        }
    }
}

impl RedisConfig {
    pub(super) fn read(mut table: Table<'_, '_>) -> Self {
        let default = Self::default();
        let what = "1 to 32 letters, digits, \"-\", \"_\" or \".\"";
        let config = Self {
            prefix: table.read("prefix", string(what, prefix)).unwrap_or(default.prefix),
            timeout: table.read("timeout", duration(MILLISECOND..=MINUTE)).unwrap_or(default.timeout),
            connect_timeout: table
                .read("connect_timeout", duration(MILLISECOND..=MINUTE))
                .unwrap_or(default.connect_timeout),
        };
        table.finish(|key| match key {
            "url" | "host" | "address" | "password" => {
                Some("the Spin variable redis_url says where Redis is")
            }
            _ => None,
        });
        config
    }
}

fn prefix(text: &str) -> Option<String> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    ((1..=32).contains(&text.len()) && text.bytes().all(valid)).then(|| text.to_owned())
}

/// `[origin]`: how requests go to the origin. The variable `origin_url` says where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginConfig {
    /// The time until the connection is established. Default 5 s.
    pub connect_timeout: Duration,
    /// The time from then until the first byte of the response. Default 30 s.
    pub first_byte_timeout: Duration,
    /// The time between two pieces of the response body. Default 30 s.
    pub between_bytes_timeout: Duration,
    /// Whether `Forwarded` (RFC 7239) is sent besides `X-Forwarded-*`. Default true.
    pub forwarded: bool,
    /// Whether `Forwarded` and `X-Forwarded-*` of the client are trusted and extended; otherwise they are
    /// dropped, because anybody can write them. Default false.
    pub trust_forwarded: bool,
}

impl Default for OriginConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_secs(30),
            between_bytes_timeout: Duration::from_secs(30),
            forwarded: true,
            trust_forwarded: false,
        }
    }
}

impl OriginConfig {
    pub(super) fn read(mut table: Table<'_, '_>) -> Self {
        let default = Self::default();
        let mut time = |key, otherwise| table.read(key, duration(MILLISECOND..=HOUR)).unwrap_or(otherwise);
        let connect_timeout = time("connect_timeout", default.connect_timeout);
        let first_byte_timeout = time("first_byte_timeout", default.first_byte_timeout);
        let between_bytes_timeout = time("between_bytes_timeout", default.between_bytes_timeout);
        let forwarded = table.read("forwarded", boolean).unwrap_or(default.forwarded);
        let trust_forwarded = table.read("trust_forwarded", boolean).unwrap_or(default.trust_forwarded);
        table.finish(|key| match key {
            "url" | "host" => Some("the Spin variable origin_url says where the origin is"),
            _ => None,
        });
        Self { connect_timeout, first_byte_timeout, between_bytes_timeout, forwarded, trust_forwarded }
    }
}

/// `[metrics]`: what is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsConfig {
    /// Whether requests, latencies and errors are counted, in Redis over all instances. Default true.
    pub enabled: bool,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl MetricsConfig {
    pub(super) fn read(mut table: Table<'_, '_>) -> Self {
        let enabled = table.read("enabled", boolean).unwrap_or(true);
        table.finish(|_| None);
        Self { enabled }
    }
}

/// `[cache]`, as far as it concerns the whole cache. Its settings for single responses are in the
/// [`CachePolicy`](super::CachePolicy) of every route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// The largest body that is stored, in bytes. Default 32 MiB.
    pub max_object_size: u64,
    /// The longest time that anything stays in Redis, at least one second. Default 30 days.
    pub max_ttl: Duration,
    /// The fraction of the time since `Last-Modified` for which a response without an explicit lifetime is fresh
    /// (RFC 9111 §4.2.2). Default a tenth.
    pub heuristic_fraction: Fraction,
    /// The longest heuristic lifetime. Default one day, or `max_ttl` if that is less.
    pub heuristic_max: Duration,
    /// How many variants (`Vary`) of one URL are stored. Default 32.
    pub max_variants: NonZeroU16,
    /// How many ranges a request may have; with more, its `Range` is ignored. Default 16.
    pub max_ranges: u16,
    /// The targeted fields with directives for this cache in place of `Cache-Control` (RFC 9213). Default
    /// `Spindrift-Cache-Control`, then `CDN-Cache-Control`.
    pub targets: Targets,
    /// The largest content of a QUERY that is looked up, in bytes; 0: QUERY is never looked up. Default 64 KiB.
    pub max_query_content: usize,
    /// Whether the fields with tags (`Cache-Tag`, `Surrogate-Key`, `Cache-Groups`) are hidden from clients. Default false.
    pub strip_tags: bool,
    /// Which clients see `Cache-Status`. Default all, without the key.
    pub cache_status: StatusAudience,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            max_object_size: 32 << 20,
            max_ttl: 30 * DAY,
            heuristic_fraction: Fraction::TENTH,
            heuristic_max: DAY,
            max_variants: NonZeroU16::MIN.saturating_add(31),
            max_ranges: 16,
            targets: Targets::default(),
            max_query_content: 64 << 10,
            strip_tags: false,
            cache_status: StatusAudience::default(),
        }
    }
}

impl CacheConfig {
    /// Reads the keys that are not those of a policy. The caller must finish the table.
    pub(super) fn read(table: &mut Table<'_, '_>, name: &CacheName) -> Self {
        let default = Self::default();
        let longest = Duration::from_secs(1)..=365 * DAY;
        let max_ttl = table.read("max_ttl", seconds(longest)).unwrap_or(default.max_ttl);
        let mut count = |key| table.read(key, integer(1..=1000)).and_then(|count| u16::try_from(count).ok());
        let (variants, ranges) = (count("max_variants"), count("max_ranges"));
        Self {
            max_object_size: table
                .read("max_object_size", size(1..=1 << 40))
                .unwrap_or(default.max_object_size),
            max_ttl,
            heuristic_fraction: table
                .read("heuristic_fraction", Fraction::read)
                .unwrap_or(default.heuristic_fraction),
            heuristic_max: heuristic_max(table, max_ttl).unwrap_or(default.heuristic_max.min(max_ttl)),
            max_variants: variants.and_then(NonZeroU16::new).unwrap_or(default.max_variants),
            max_ranges: ranges.unwrap_or(default.max_ranges),
            targets: read_targets(table, name).unwrap_or(default.targets),
            max_query_content: table
                .read("max_query_content", size(0..=16 << 20))
                .and_then(|bytes| usize::try_from(bytes).ok())
                .unwrap_or(default.max_query_content),
            strip_tags: table.read("strip_tags", boolean).unwrap_or(default.strip_tags),
            cache_status: StatusAudience::read(table),
        }
    }
}

fn read_targets(table: &mut Table<'_, '_>, name: &CacheName) -> Option<Targets> {
    let field = string("a field name other than cache-control, like \"cdn-cache-control\"", |text| {
        HeaderName::try_from(text).ok().filter(|name| *name != CACHE_CONTROL)
    });
    table.strings("targets", field).map(|fields| Targets::new(fields, name.as_str()))
}

fn heuristic_max(table: &mut Table<'_, '_>, max_ttl: Duration) -> Option<Duration> {
    let time = table.read("heuristic_max", seconds(Duration::ZERO..=Duration::MAX))?;
    if time > max_ttl {
        table.fail("heuristic_max", above_max(time, "cache.max_ttl", max_ttl));
    }
    Some(time)
}

/// A fraction from 0 to 1, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fraction(u16);

impl Fraction {
    /// A tenth.
    pub const TENTH: Self = Self(100);

    /// Returns this fraction of `whole`.
    #[must_use]
    pub fn of(self, whole: Duration) -> Duration {
        whole / 1000 * u32::from(self.0)
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let number = match value {
            DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
            DeValue::Integer(number) => number.as_str().parse::<f64>().ok().filter(|_| number.radix() == 10),
            _ => None,
        };
        let number = number.filter(|number| (0.0..=1.0).contains(number));
        number
            .map(|number| Self((number * 1000.0).round() as u16))
            .ok_or_else(|| expected("a number from 0 to 1, like 0.1", value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_name_is_a_token_of_both_fields() {
        for good in ["spindrift", "edge-1.example.com", "a"] {
            assert!(CacheName::new(good).is_some(), "{good}");
        }
        for bad in ["", "1a", "*a", "a b", "a/b", "a:b", "ä", "a\"", &"a".repeat(65)] {
            assert_eq!(CacheName::new(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_fraction_of_a_duration() {
        assert_eq!(Fraction::TENTH.of(Duration::from_secs(50)), Duration::from_secs(5));
        assert_eq!(Fraction(1000).of(DAY), DAY);
        assert_eq!(Fraction(0).of(Duration::MAX), Duration::ZERO);
    }
}
