//! Rendering the counters, for people and for Prometheus.

use super::latency::{latency, place};
use super::series::{BOUNDS, Seconds};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A family of numbers: its name, its kind, and its description.
struct Family(&'static str, Kind, &'static str);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Histogram,
}

/// All families.
const FAMILIES: &[Family] = &[
    Family("requests_total", Kind::Counter, "Requests, by route and outcome"),
    Family("response_seconds", Kind::Histogram, "Time until a response begins"),
    Family("origin_seconds", Kind::Histogram, "Time until a response of the origin begins"),
    Family("redis_seconds", Kind::Histogram, "Time of one Redis command"),
    Family("redis_errors_total", Kind::Counter, "Commands that Redis did not carry out, by reason"),
    Family("redis_redirects_total", Kind::Counter, "Commands that a cluster node redirected to another"),
    Family("limit_decisions_total", Kind::Counter, "Rate limit decisions, by policy and outcome"),
    Family("value_reads_total", Kind::Counter, "Reads of values, by outcome: found or not"),
    Family("stored_total", Kind::Counter, "Responses stored"),
    Family(
        "resumed_total",
        Kind::Counter,
        "Responses whose stored content was lost, and that were continued from the origin",
    ),
    Family("events_published_total", Kind::Counter, "Events published to topics"),
    Family("events_notified_total", Kind::Counter, "Events sent to Redis subscribers only"),
    Family("events_streamed_total", Kind::Counter, "Events sent to clients, counted per stream"),
    Family("event_gaps_total", Kind::Counter, "Gaps reported to clients, counted per stream"),
    Family("webhook_events_total", Kind::Counter, "Events turned into webhook jobs"),
    Family("webhook_gaps_total", Kind::Counter, "Times that events were lost before a webhook got them"),
    Family("webhook_refused_total", Kind::Counter, "Events too large for a job"),
    Family("warmed_total", Kind::Counter, "URLs warmed by messages, by result: stored or not"),
    Family("messages_total", Kind::Counter, "Messages from the channel, by result"),
];

/// Numbers that are measured at the moment rather than counted: name, description, and values by labels in the notation
/// of Prometheus (`{queue="a"}`, or nothing).
pub type Gauge = (&'static str, &'static str, Vec<(String, f64)>);

/// All counters, by the fields under which they are stored.
pub type Totals = BTreeMap<String, i64>;

/// Renders the text that Prometheus reads (exposition format 0.0.4).
#[must_use]
pub fn prometheus(totals: &Totals, gauges: &[Gauge]) -> String {
    let mut text = String::with_capacity(4096);
    for (family, all) in by_family(totals) {
        let known = FAMILIES.iter().find(|it| it.0 == family);
        let (kind, help) = known.map_or((Kind::Counter, "Counted by Spindrift"), |it| (it.1, it.2));
        let name = if kind == Kind::Histogram { "histogram" } else { "counter" };
        let _ = writeln!(text, "# HELP spindrift_{family} {help}\n# TYPE spindrift_{family} {name}");
        match kind {
            Kind::Counter => {
                for (labels, count) in all {
                    let _ = writeln!(text, "spindrift_{family}{labels} {count}");
                }
            }
            Kind::Histogram => histogram(&mut text, family, &all),
        }
    }
    for (name, help, values) in gauges {
        let _ = writeln!(text, "# HELP spindrift_{name} {help}\n# TYPE spindrift_{name} gauge");
        for (labels, value) in values {
            let _ = writeln!(text, "spindrift_{name}{labels} {value}");
        }
    }
    text
}

/// Groups numbers by family, each with its labels. Those of a histogram keep their suffix in front of the labels.
fn by_family(totals: &Totals) -> BTreeMap<&str, Vec<(String, i64)>> {
    let mut families: BTreeMap<&str, Vec<(String, i64)>> = BTreeMap::new();
    for (field, count) in totals {
        let (name, labels) = field.split_at(field.find('{').unwrap_or(field.len()));
        let histogram = FAMILIES.iter().find(|it| {
            it.1 == Kind::Histogram
                && name.strip_prefix(it.0).is_some_and(|end| end == "_bucket" || end == "_sum")
        });
        match (histogram, name.strip_prefix("messages_")) {
            (Some(family), _) => {
                let ending = &name[family.0.len()..];
                families.entry(family.0).or_default().push((format!("{ending}{labels}"), *count));
            }
            // Counters that had plain names before there were labels.
            (None, Some(result)) if result != "total" => {
                families
                    .entry("messages_total")
                    .or_default()
                    .push((format!("{{result=\"{result}\"}}"), *count));
            }
            (None, _) => families.entry(name).or_default().push((labels.to_owned(), *count)),
        }
    }
    families
}

/// Renders a histogram. Buckets are cumulative: each includes all before it.
fn histogram(text: &mut String, family: &str, all: &[(String, i64)]) {
    let mut series: BTreeMap<String, ([i64; BOUNDS.len() + 1], i64)> = BTreeMap::new();
    for (name, count) in all {
        let (ending, labels) = name.split_at(name.find('{').unwrap_or(name.len()));
        let labels = labels.trim_start_matches('{').trim_end_matches('}');
        let (others, bound): (Vec<&str>, Vec<&str>) =
            labels.split(',').filter(|label| !label.is_empty()).partition(|label| !label.starts_with("le="));
        let entry = series.entry(others.join(",")).or_insert(([0; BOUNDS.len() + 1], 0));
        match (ending, bound.first()) {
            ("_sum", _) => entry.1 += count,
            (_, Some(bound)) => {
                let bound = bound.trim_start_matches("le=\"").trim_end_matches('"');
                entry.0[place(bound)] += count;
            }
            (_, None) => {}
        }
    }
    for (labels, (buckets, sum)) in series {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut total = 0;
        for (at, count) in buckets.iter().enumerate() {
            total += count;
            let bound = BOUNDS.get(at).map_or_else(|| "+Inf".to_owned(), |bound| Seconds(*bound).to_string());
            let _ = writeln!(text, "spindrift_{family}_bucket{{{labels}{comma}le=\"{bound}\"}} {total}");
        }
        let braced = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let sum = Seconds(u64::try_from(sum).unwrap_or(0));
        let _ =
            writeln!(text, "spindrift_{family}_sum{braced} {sum}\nspindrift_{family}_count{braced} {total}");
    }
}

#[derive(Default, Serialize)]
struct Requests {
    hits: i64,
    stale: i64,
    revalidated: i64,
    misses: i64,
    collapsed: i64,
    passes: i64,
    refused: i64,
    errors: i64,
    /// The part of the requests looked up in the store for which the origin was not asked.
    hit_rate: Option<f64>,
}

/// Renders the statistics as JSON: the most important numbers, latencies, decisions of limits, then every counter.
#[must_use]
pub fn statistics(totals: &Totals) -> Value {
    let mut requests = Requests::default();
    let mut routes: BTreeMap<String, Requests> = BTreeMap::new();
    for (field, count) in totals {
        let Some(labels) = field.strip_prefix("requests_total{route=") else { continue };
        let Some((route, outcome)) = labels.rsplit_once(",outcome=\"") else { continue };
        let route = serde_json::from_str(route).unwrap_or_else(|_| route.to_owned());
        for it in [&mut requests, routes.entry(route).or_default()] {
            it.add(outcome.trim_end_matches("\"}"), *count);
        }
    }
    for it in routes.values_mut().chain([&mut requests]) {
        let spared = it.hits + it.stale + it.collapsed;
        it.hit_rate = rate(spared, spared + it.revalidated + it.misses);
    }
    let counters: Map<String, Value> =
        totals.iter().map(|(name, count)| (name.clone(), (*count).into())).collect();
    json!({
        "requests": requests,
        "routes": routes,
        "latency": latency(totals),
        "limits": limits(totals),
        "values": values(totals),
        "counters": counters,
    })
}

/// Returns how often each limit decided what.
fn limits(totals: &Totals) -> Map<String, Value> {
    let mut limits = Map::new();
    for (field, count) in totals {
        let labels =
            field.strip_prefix("limit_decisions_total{policy=").and_then(|rest| rest.strip_suffix("\"}"));
        let Some((policy, outcome)) = labels.and_then(|labels| labels.rsplit_once(",outcome=\"")) else {
            continue;
        };
        let policy: String = serde_json::from_str(policy).unwrap_or_else(|_| policy.to_owned());
        limits.entry(policy).or_insert_with(|| json!({}))[outcome] = (*count).into();
    }
    limits
}

/// Returns how often values were read, and found.
fn values(totals: &Totals) -> Value {
    let of = |outcome: &str| totals.get(&format!("value_reads_total{{outcome=\"{outcome}\"}}")).copied();
    let (hits, misses) = (of("hit").unwrap_or(0), of("miss").unwrap_or(0));
    json!({ "hits": hits, "misses": misses, "hit_rate": rate(hits, hits + misses) })
}

/// Returns the ratio rounded to four digits, unless the whole is zero.
fn rate(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| (part as f64 / whole as f64 * 10_000.0).round() / 10_000.0)
}

impl Requests {
    fn add(&mut self, outcome: &str, count: i64) {
        let number = match outcome {
            "hit" => &mut self.hits,
            "stale" => &mut self.stale,
            "revalidated" => &mut self.revalidated,
            "miss" => &mut self.misses,
            "collapsed" => &mut self.collapsed,
            "pass" => &mut self.passes,
            "refused" => &mut self.refused,
            _ => &mut self.errors,
        };
        *number += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(all: &[(&str, i64)]) -> Totals {
        all.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn counters_and_histograms_are_written_as_prometheus_reads_them() {
        let text = prometheus(
            &totals(&[
                (r#"requests_total{route="a",outcome="hit"}"#, 3),
                (r#"redis_seconds_bucket{le="0.001"}"#, 2),
                (r#"redis_seconds_bucket{le="+Inf"}"#, 1),
                ("redis_seconds_sum", 6_001_500),
                ("messages_done", 4),
            ]),
            &[("queue_jobs", "Jobs by state", vec![(r#"{queue="q",state="ready"}"#.to_owned(), 7.0)])],
        );
        for line in [
            "# TYPE spindrift_requests_total counter",
            r#"spindrift_requests_total{route="a",outcome="hit"} 3"#,
            "# TYPE spindrift_redis_seconds histogram",
            r#"spindrift_redis_seconds_bucket{le="0.0005"} 0"#,
            r#"spindrift_redis_seconds_bucket{le="0.001"} 2"#,
            r#"spindrift_redis_seconds_bucket{le="5"} 2"#,
            r#"spindrift_redis_seconds_bucket{le="+Inf"} 3"#,
            "spindrift_redis_seconds_sum 6.0015",
            "spindrift_redis_seconds_count 3",
            r#"spindrift_messages_total{result="done"} 4"#,
            "# TYPE spindrift_queue_jobs gauge",
            r#"spindrift_queue_jobs{queue="q",state="ready"} 7"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn the_hit_rate_is_what_the_origin_was_spared() {
        let found = statistics(&totals(&[
            (r#"requests_total{route="a",outcome="hit"}"#, 6),
            (r#"requests_total{route="b,\"",outcome="miss"}"#, 2),
            (r#"requests_total{route="a",outcome="collapsed"}"#, 2),
            (r#"requests_total{route="a",outcome="pass"}"#, 90),
        ]));
        assert_eq!(found["requests"]["hit_rate"], 0.8);
        assert_eq!(
            (&found["requests"]["passes"], &found["routes"]["b,\""]["misses"]),
            (&json!(90), &json!(2))
        );
        assert_eq!(found["routes"]["a"]["hit_rate"], 1.0);
        assert_eq!(statistics(&Totals::new())["requests"]["hit_rate"], Value::Null);
    }

    #[test]
    fn values_have_a_hit_rate_of_their_own() {
        let found = statistics(&totals(&[
            (r#"value_reads_total{outcome="hit"}"#, 2),
            (r#"value_reads_total{outcome="miss"}"#, 1),
        ]));
        assert_eq!(found["values"], json!({ "hits": 2, "misses": 1, "hit_rate": 0.6667 }));
        let none = json!({ "hits": 0, "misses": 0, "hit_rate": null });
        assert_eq!(statistics(&Totals::new())["values"], none);
    }

    #[test]
    fn decisions_of_limits_are_told_apart() {
        let found = statistics(&totals(&[
            (r#"limit_decisions_total{policy="a",outcome="allowed"}"#, 3),
            (r#"limit_decisions_total{policy="a",outcome="shadow_denied"}"#, 1),
            (r#"limit_decisions_total{policy="*",outcome="denied"}"#, 2),
        ]));
        assert_eq!(found["limits"], json!({"a": {"allowed": 3, "shadow_denied": 1}, "*": {"denied": 2}}));
    }

    #[test]
    fn the_manual_names_every_family() {
        let manual = include_str!("../../docs/operations.md");
        for Family(name, kind, _) in FAMILIES {
            let kind = if *kind == Kind::Counter { "counter" } else { "histogram" };
            assert!(
                manual.contains(&format!("| `spindrift_{name}` | {kind} |")),
                "{name} is missing in the manual"
            );
        }
    }
}
