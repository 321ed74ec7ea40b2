//! The current state: measured when it is asked for, not counted.

use super::queue;
use crate::app::{App, Shared};
use crate::env::Env;
use crate::job::{QueueName, Statistics};
use crate::metrics::{Gauge, Totals, labels};
use crate::purge::{Recent, recent};
use crate::redis::RedisError;
use crate::topic::fanout::{Lag, lags};
use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use std::time::Duration;

/// The most queues that are inspected, those in the configuration first.
const QUEUES: usize = 100;
/// How many targets of purges are shown.
const PURGES: u32 = 20;

/// All gauges, with their descriptions.
const GAUGES: [(&str, &str); 9] = [
    ("build_info", "Always 1; the label is the version"),
    ("requests_waiting", "Requests of this instance that are waiting for another request's fetch"),
    ("redis_up", "Whether Redis answered just now"),
    ("redis_round_trip_seconds", "How long Redis took to answer just now"),
    ("queue_jobs", "Jobs of a queue, by state: ready, delayed, leased, dead"),
    ("queue_oldest_seconds", "How long the oldest ready job of a queue has been ready"),
    ("queue_paused", "Whether a queue is paused"),
    (
        "topic_lag_seconds",
        "Time between the last event turned into a webhook job and the last event of the topic",
    ),
    ("purge_ledger_entries", "Targets in the purge ledger"),
];

/// What was measured.
pub(super) struct Seen {
    waiting: usize,
    /// How long Redis took to answer, or why it did not.
    redis: Result<Duration, &'static str>,
    /// `None` if Redis does not answer.
    shared: Option<InRedis>,
}

struct InRedis {
    totals: Totals,
    queues: Vec<(QueueName, Statistics)>,
    lags: Vec<Lag>,
    purges: Vec<Recent>,
    ledger: i64,
}

/// Measures everything.
pub(super) async fn look<E: Env>(app: &App<E>) -> Seen {
    let Some(shared) = &app.shared else {
        return Seen { waiting: 0, redis: Err("redis-disabled"), shared: None };
    };
    let waiting = shared.flights.waiting();
    // So that what this instance has just counted is included.
    shared.metrics.flush().await;
    let started = app.env.instant();
    let redis = shared.redis.call("PING", Vec::new()).await;
    let took = app.env.instant().since(started);
    let seen = match redis {
        Ok(_) => look_at(app, shared).await,
        Err(error) => Err(error),
    };
    match seen {
        Ok(seen) => Seen { waiting, redis: Ok(took), shared: Some(seen) },
        Err(error) => Seen { waiting, redis: Err(error.reason()), shared: None },
    }
}

async fn look_at<E: Env>(app: &App<E>, shared: &Shared<E>) -> Result<InRedis, RedisError> {
    let entries = shared.store.books.entries();
    let numbers = async {
        let totals = shared.channel.counters().await?.into_iter().collect();
        let [ledger] = crate::redis::exactly(shared.redis.call("ZCARD", vec![entries.into()]).await?)?;
        Ok::<_, RedisError>((totals, ledger.int()?, recent(&shared.redis, entries, PURGES).await?))
    };
    let (numbers, queues) = join(numbers, queues(app, shared)).await;
    let ((totals, ledger, purges), queues) = (numbers?, queues?);
    Ok(InRedis { totals, queues, lags: lags(&shared.topics).await?, purges, ledger })
}

/// Returns the queues in the configuration, then those most recently used.
async fn queues<E: Env>(
    app: &App<E>,
    shared: &Shared<E>,
) -> Result<Vec<(QueueName, Statistics)>, RedisError> {
    let mut names: Vec<QueueName> = app.config.queues.iter().map(|queue| queue.name.clone()).collect();
    for name in shared.jobs.queues(0, QUEUES as u64).await.map_err(queue::into_redis)? {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.truncate(QUEUES);
    let all = join_all(names.iter().map(|name| shared.jobs.statistics(name))).await;
    // A queue that cannot be inspected hides no other.
    let seen = |(name, statistics): (QueueName, Result<Statistics, _>)| {
        let failed = |error| app.env.log(&format!("queue {name}: cannot be inspected: {error}"));
        let statistics = statistics.map_err(failed).ok()?;
        Some((name, statistics))
    };
    Ok(names.into_iter().zip(all).filter_map(seen).collect())
}

impl Seen {
    /// Returns all counters; `None` if Redis does not answer.
    pub(super) fn totals(&self) -> Option<&Totals> {
        self.shared.as_ref().map(|seen| &seen.totals)
    }

    /// Returns the gauges for Prometheus.
    pub(super) fn gauges(&self) -> Vec<Gauge> {
        let mut gauges = GAUGES.map(|(name, help)| (name, help, Vec::new()));
        for (name, _, values) in &mut gauges {
            *values = self.values(name);
        }
        gauges.into_iter().filter(|(_, _, values)| !values.is_empty()).collect()
    }

    fn values(&self, name: &str) -> Vec<(String, f64)> {
        let one = |value: f64| vec![(String::new(), value)];
        match (name, &self.shared) {
            ("build_info", _) => vec![(labels(&[("version", env!("CARGO_PKG_VERSION"))]), 1.0)],
            ("requests_waiting", _) => one(self.waiting as f64),
            ("redis_up", _) => one(f64::from(u8::from(self.redis.is_ok()))),
            ("redis_round_trip_seconds", _) => {
                self.redis.map(|took| one(took.as_secs_f64())).unwrap_or_default()
            }
            (_, None) => Vec::new(),
            ("topic_lag_seconds", Some(seen)) => seen.lags.iter().map(lag).collect(),
            ("purge_ledger_entries", Some(seen)) => one(seen.ledger as f64),
            (_, Some(seen)) => {
                seen.queues.iter().flat_map(|(queue, its)| of_queue(name, queue, its)).collect()
            }
        }
    }

    /// Returns the state as JSON, as far as it is not in `statistics`.
    pub(super) fn json(&self) -> Value {
        let redis = match self.redis {
            Ok(took) => json!({"status": "ok", "round_trip_ms": took.as_micros() as f64 / 1000.0}),
            Err("redis-disabled") => json!({"status": "disabled"}),
            Err(reason) => json!({"status": "unavailable", "reason": reason}),
        };
        let lags = self.shared.iter().flat_map(|seen| &seen.lags).map(|lag| {
            let (topic, behind) = (lag.topic.as_str(), lag.behind.as_secs_f64());
            json!({"topic": topic, "webhook": lag.queue.as_str(), "behind": behind})
        });
        let queues = self.shared.iter().flat_map(|seen| &seen.queues);
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "redis": redis,
            "waiting": self.waiting,
            "queues": queues.map(|(name, its)| queue::shown(name, its)).collect::<Vec<_>>(),
            "lags": lags.collect::<Vec<_>>(),
            "purges": self.shared.iter().flat_map(|seen| &seen.purges).collect::<Vec<_>>(),
        })
    }
}

fn lag(lag: &Lag) -> (String, f64) {
    let labels = labels(&[("topic", lag.topic.as_str()), ("webhook", lag.queue.as_str())]);
    (labels, lag.behind.as_secs_f64())
}

fn of_queue(name: &str, queue: &QueueName, its: &Statistics) -> Vec<(String, f64)> {
    let queue = queue.as_str();
    let one = |value: f64| vec![(labels(&[("queue", queue)]), value)];
    match name {
        "queue_paused" => one(f64::from(u8::from(its.paused.is_some()))),
        "queue_oldest_seconds" => one(its.oldest.unwrap_or_default().as_secs_f64()),
        _ => [("ready", its.ready), ("delayed", its.delayed), ("leased", its.leased), ("dead", its.dead)]
            .map(|(state, count)| (labels(&[("queue", queue), ("state", state)]), count as f64))
            .to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_names_every_gauge() {
        let manual = include_str!("../../docs/operations.md");
        for (name, _) in GAUGES {
            assert!(
                manual.contains(&format!("| `spindrift_{name}` | gauge |")),
                "{name} is missing in the manual"
            );
        }
    }
}
