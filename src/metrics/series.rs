//! The series that are counted: one name for each number, in the notation of Prometheus.

use std::fmt;
use std::time::Duration;

/// The outcome of a request, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Answered from the store, fresh.
    Hit,
    /// Answered from the store, stale.
    Stale,
    /// Answered from the store, after the origin had confirmed the response.
    Revalidated,
    /// Answered by the origin, after a lookup.
    Miss,
    /// Answered with the response to another request.
    Collapsed,
    /// Answered by the origin, without a lookup.
    Pass,
    /// Refused by a limit, or by one that cannot be checked.
    Refused,
    /// An error of our own.
    Error,
}

impl Outcome {
    const fn label(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::Miss => "miss",
            Self::Collapsed => "collapsed",
            Self::Pass => "pass",
            Self::Refused => "refused",
            Self::Error => "error",
        }
    }
}

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timed {
    /// A request, until its response begins.
    Response(Outcome),
    /// The origin, until its response begins.
    Origin,
    /// One command of Redis.
    Redis,
}

/// The upper bounds of the buckets of every histogram, in microseconds; one more bucket is unbounded.
pub const BOUNDS: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    5_000_000,
];

/// One number that only grows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Series {
    /// The requests of a route, by outcome.
    Requests(usize, Outcome),
    /// How many took longer than the previous bound, and not longer than this one.
    Bucket(Timed, usize),
    /// The sum in microseconds.
    Sum(Timed),
    /// The responses stored.
    Stored,
    /// Commands that Redis did not carry out, by reason.
    RedisErrors(&'static str),
    /// The decisions of a policy.
    Limits {
        /// The name of the policy.
        policy: String,
        /// The decision.
        outcome: &'static str,
    },
    /// Any other: its name and, if it has one, its label and value.
    Other(&'static str, Option<(&'static str, String)>),
}

impl Series {
    /// Returns the bucket of a duration.
    #[must_use]
    pub fn bucket(timed: Timed, took: Duration) -> Self {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        Self::Bucket(timed, BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS.len()))
    }

    /// Returns the field under which it is stored; `routes` are the names of the routes.
    #[must_use]
    pub fn field(&self, routes: &[String]) -> String {
        match self {
            Self::Requests(route, outcome) => {
                let route = Quoted(routes.get(*route).map_or("", String::as_str));
                format!("requests_total{{route={route},outcome=\"{}\"}}", outcome.label())
            }
            Self::Bucket(timed, at) => format!("{}_bucket{}", name(*timed), labels_of(*timed, Some(*at))),
            Self::Sum(timed) => format!("{}_sum{}", name(*timed), labels_of(*timed, None)),
            Self::Stored => "stored_total".to_owned(),
            Self::RedisErrors(reason) => format!("redis_errors_total{{reason=\"{reason}\"}}"),
            Self::Limits { policy, outcome } => {
                format!("limit_decisions_total{{policy={},outcome=\"{outcome}\"}}", Quoted(policy))
            }
            Self::Other(name, None) => (*name).to_owned(),
            Self::Other(name, Some((label, value))) => format!("{name}{{{label}={}}}", Quoted(value)),
        }
    }
}

const fn name(timed: Timed) -> &'static str {
    match timed {
        Timed::Response(_) => "response_seconds",
        Timed::Origin => "origin_seconds",
        Timed::Redis => "redis_seconds",
    }
}

fn labels_of(timed: Timed, bucket: Option<usize>) -> String {
    let outcome = match timed {
        Timed::Response(outcome) => Some(format!("outcome=\"{}\"", outcome.label())),
        Timed::Origin | Timed::Redis => None,
    };
    let bound = bucket.map(|at| match BOUNDS.get(at) {
        Some(bound) => format!("le=\"{}\"", Seconds(*bound)),
        None => "le=\"+Inf\"".to_owned(),
    });
    let all: Vec<String> = outcome.into_iter().chain(bound).collect();
    if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) }
}

/// Formats labels in braces, in the notation of Prometheus.
#[must_use]
pub fn labels(all: &[(&str, &str)]) -> String {
    let all: Vec<String> = all.iter().map(|(name, value)| format!("{name}={}", Quoted(value))).collect();
    format!("{{{}}}", all.join(","))
}

/// Microseconds, formatted as seconds.
pub(super) struct Seconds(pub(super) u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// The value of a label, in quotes and escaped, in the notation of Prometheus.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_prometheus() {
        let routes = ["default".to_owned(), "a\"b\\".to_owned()];
        for (series, expected) in [
            (Series::Requests(0, Outcome::Hit), r#"requests_total{route="default",outcome="hit"}"#),
            (Series::Requests(1, Outcome::Pass), r#"requests_total{route="a\"b\\",outcome="pass"}"#),
            (Series::Sum(Timed::Origin), "origin_seconds_sum"),
            (
                Series::bucket(Timed::Redis, Duration::from_micros(100)),
                r#"redis_seconds_bucket{le="0.0001"}"#,
            ),
            (
                Series::bucket(Timed::Redis, Duration::from_micros(101)),
                r#"redis_seconds_bucket{le="0.00025"}"#,
            ),
            (Series::bucket(Timed::Redis, Duration::from_secs(6)), r#"redis_seconds_bucket{le="+Inf"}"#),
            (
                Series::bucket(Timed::Response(Outcome::Hit), Duration::from_secs(1)),
                r#"response_seconds_bucket{outcome="hit",le="1"}"#,
            ),
            (
                Series::Limits { policy: "p".to_owned(), outcome: "denied" },
                r#"limit_decisions_total{policy="p",outcome="denied"}"#,
            ),
            (Series::Other("jobs_total", Some(("queue", "q".to_owned()))), r#"jobs_total{queue="q"}"#),
        ] {
            assert_eq!(series.field(&routes), expected);
        }
    }

    #[test]
    fn seconds_have_no_zeros_at_their_end() {
        let text = |micros| Seconds(micros).to_string();
        assert_eq!(
            (text(0), text(1), text(1_500_000), text(20_000_000)),
            ("0".into(), "0.000001".into(), "1.5".into(), "20".into())
        );
    }
}
