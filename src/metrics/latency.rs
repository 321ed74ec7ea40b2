//! Latencies, from the buckets of the histograms.

use super::render::Totals;
use super::series::{BOUNDS, Seconds};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The buckets of one series, not cumulative, and the sum in microseconds.
#[derive(Default)]
struct Distribution {
    buckets: [u64; BOUNDS.len() + 1],
    sum: u64,
}

/// Computes mean and quantiles of every histogram, and for each outcome of a response.
pub(super) fn latency(totals: &Totals) -> Value {
    let mut all: BTreeMap<(&str, &str), Distribution> = BTreeMap::new();
    for (field, count) in totals {
        let (name, labels) = field.split_at(field.find('{').unwrap_or(field.len()));
        let count = u64::try_from(*count).unwrap_or(0);
        if let Some(name) = name.strip_suffix("_seconds_sum") {
            all.entry((name, label(labels, "outcome"))).or_default().sum += count;
        } else if let Some(name) = name.strip_suffix("_seconds_bucket") {
            let distribution = all.entry((name, label(labels, "outcome"))).or_default();
            distribution.buckets[place(label(labels, "le"))] += count;
        }
    }
    let mut shown = Map::new();
    for ((name, outcome), distribution) in all {
        let value = distribution.shown();
        match outcome {
            "" => shown.insert(name.to_owned(), value).map_or((), |_| ()),
            _ => shown.entry(name).or_insert_with(|| json!({}))[outcome] = value,
        }
    }
    shown.into()
}

impl Distribution {
    fn shown(&self) -> Value {
        let count: u64 = self.buckets.iter().sum();
        let mean = (count > 0).then(|| millis(self.sum as f64 / count as f64));
        json!({
            "count": count,
            "mean_ms": mean,
            "p50_ms": self.quantile(0.5),
            "p95_ms": self.quantile(0.95),
            "p99_ms": self.quantile(0.99),
        })
    }

    /// Interpolates linearly within the bucket, as Prometheus does. What lies above the last
    /// bound counts as that bound.
    fn quantile(&self, part: f64) -> Option<f64> {
        let count: u64 = self.buckets.iter().sum();
        let rank = part * count as f64;
        let mut before = 0.0;
        for (at, &here) in self.buckets.iter().enumerate().filter(|(_, here)| **here > 0) {
            let here = here as f64;
            if before + here >= rank {
                let low = if at == 0 { 0.0 } else { BOUNDS[at - 1] as f64 };
                let high = BOUNDS.get(at).map_or(low, |bound| *bound as f64);
                return Some(millis(low + (high - low) * ((rank - before) / here)));
            }
            before += here;
        }
        None
    }
}

/// Converts microseconds to milliseconds, rounded to the microsecond.
fn millis(micros: f64) -> f64 {
    micros.round() / 1000.0
}

/// Returns the value of a label that needs no escapes, or the empty text.
fn label<'a>(labels: &'a str, name: &str) -> &'a str {
    let all = labels.trim_start_matches('{').trim_end_matches('}').split(',');
    let mut values = all.filter_map(|pair| pair.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"'));
    values.next().unwrap_or_default()
}

/// Returns the index of the bucket with a bound such as `0.005`.
pub(super) fn place(bound: &str) -> usize {
    BOUNDS.iter().position(|one| Seconds(*one).to_string() == bound).unwrap_or(BOUNDS.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let totals = [
            (r#"redis_seconds_bucket{le="0.001"}"#, 90),
            (r#"redis_seconds_bucket{le="0.01"}"#, 10),
            ("redis_seconds_sum", 90_000),
            (r#"response_seconds_bucket{outcome="hit",le="+Inf"}"#, 1),
            (r#"response_seconds_sum{outcome="hit"}"#, 7_000_000),
        ];
        let totals = totals.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        let found = latency(&totals);
        assert_eq!((&found["redis"]["count"], &found["redis"]["mean_ms"]), (&json!(100), &json!(0.9)));
        assert_eq!(found["redis"]["p50_ms"], 0.778, "half of 90 into 0.5 to 1 ms");
        assert_eq!(found["redis"]["p95_ms"], 7.5);
        assert_eq!(found["response"]["hit"]["p99_ms"], 5000.0, "the last bound");
        assert_eq!(latency(&Totals::new()), json!({}));
    }
}
