//! Publishing events: into the stream of a topic, and to the subscribers of its Redis channel.

use super::message::{NewEvent, id_of};
use super::name::TopicName;
use super::position::EventId;
use super::store::Topics;
use super::webhook;
use crate::env::Env;
use crate::event;
use crate::metrics::Series;
use crate::redis::{Arg, RedisError, Script, Value, exactly, hex};
use std::time::Duration;

static PUBLISH: Script = Script::new(include_str!("../redis/lua/publish.lua"));
static NOTIFY: Script = Script::new(include_str!("../redis/lua/notify.lua"));

/// The most events that are published at once.
pub const MAX_EVENTS: usize = 100;
/// How long an idempotency key is remembered.
pub const KEY_KNOWN: Duration = Duration::from_secs(3600);
/// The longest idempotency key, in bytes.
pub const MAX_KEY: usize = 256;

/// The result of publishing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The ids of the events, in order.
    pub ids: Vec<EventId>,
    /// Whether the same request had been made before; the ids are those that it got then.
    pub repeated: bool,
}

/// Why publishing failed; something may have been published all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// There are no events, or too many at once.
    #[error("expected 1 to {MAX_EVENTS} events, found {0}")]
    Count(usize),
    /// An event is too large.
    #[error("event {at}: expected at most {most} bytes of type and data (topics.max_event), found {found}")]
    TooLarge {
        /// Its index, from 0.
        at: usize,
        /// The greatest size, in bytes.
        most: u64,
        /// Its size in bytes.
        found: usize,
    },
    /// An event is too large for the webhooks that want it.
    #[error("event {at} cannot be delivered to its webhooks: {why}")]
    Undeliverable {
        /// Its index, from 0.
        at: usize,
        /// What was expected and found.
        why: String,
    },
    /// The Redis channel of this topic is one of Spindrift's own.
    #[error("expected another topic: the Redis channel of this one is redis_channel, or its work channel")]
    Reserved,
    /// The idempotency key is not valid.
    #[error("expected an idempotency key of 1 to {MAX_KEY} bytes")]
    Key,
    /// The idempotency key was used for other events.
    #[error("the idempotency key was used for other events of this topic")]
    KeyReused,
    /// Redis failed. After [`RedisError::TimedOut`] and [`RedisError::Unreachable`] the events may have been
    /// published all the same.
    #[error(transparent)]
    Redis(#[from] RedisError),
}

impl<E: Env> Topics<E> {
    /// Publishes events, all or none, one directly after the other. With `key`, the same events under the same key
    /// are published once within [`KEY_KNOWN`], however often this is called.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn publish(
        &self,
        topic: &TopicName,
        events: &[NewEvent],
        key: Option<&str>,
    ) -> Result<Published, PublishError> {
        self.check(topic, events)?;
        if key.is_some_and(|key| !(1..=MAX_KEY).contains(&key.len())) {
            return Err(PublishError::Key);
        }
        let consumers = self.consumers(topic);
        if !consumers.is_empty() {
            deliverable(topic, events)?;
            self.mark_pending(topic).await?;
        }
        let (mark, known) = match key {
            Some(key) => (hex(&blake3::hash(key.as_bytes()).as_bytes()[..16]), KEY_KNOWN),
            None => (self.nonces.next(), self.resend_time()),
        };
        let topic_key = self.keys.topic(topic.as_str());
        let state = self.keys.topic_state(topic.as_str());
        let mark = self.keys.topic_mark(topic.as_str(), &mark);
        let arguments = self.arguments(topic, events, known, &consumers.join(" "));
        let reply = self.redis.run(&PUBLISH, &[&topic_key, &state, &mark], arguments).await?;
        let [status, ids] = exactly(reply)?;
        if status.int()? < 0 {
            return Err(PublishError::KeyReused);
        }
        let ids = String::from_utf8(ids.bytes()?.unwrap_or_default()).unwrap_or_default();
        let ids = ids.split(' ').map(id_of).collect::<Result<Vec<_>, _>>()?;
        let repeated = status.int()? == 0;
        if !repeated {
            self.count("events_published_total", ids.len());
        }
        Ok(Published { ids, repeated })
    }

    /// Sends data to the current subscribers of the topic's Redis channel, all or none, and stores nothing: at most
    /// once. Returns how many subscribers got each; in a cluster, those of one node.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn notify(&self, topic: &TopicName, events: &[NewEvent]) -> Result<Vec<i64>, PublishError> {
        self.check(topic, events)?;
        let messages = events.iter().map(|event| Arg::from(event.data()));
        let arguments = std::iter::once(Arg::from(self.redis_channel(topic))).chain(messages).collect();
        let reply = self.redis.run_once(&NOTIFY, &[], arguments).await?;
        let receivers = reply.iter().map(Value::int).collect::<Result<Vec<_>, _>>()?;
        self.count("events_notified_total", events.len());
        Ok(receivers)
    }

    /// Returns the Redis channel of a topic.
    #[must_use]
    pub fn redis_channel(&self, topic: &TopicName) -> String {
        match &self.rules().channel_prefix {
            Some(prefix) => format!("{prefix}{topic}"),
            None => format!("{}:{topic}", self.config.redis.prefix),
        }
    }

    /// Adds `by` to the counter `what`, in the background.
    pub(super) fn count(&self, what: &'static str, by: usize) {
        self.metrics.add(Series::Other(what, None), by as u64);
    }

    fn check(&self, topic: &TopicName, events: &[NewEvent]) -> Result<(), PublishError> {
        if !(1..=MAX_EVENTS).contains(&events.len()) {
            return Err(PublishError::Count(events.len()));
        }
        let channel = self.redis_channel(topic);
        if channel == self.control || channel == event::work_channel(&self.control) {
            return Err(PublishError::Reserved);
        }
        let most = self.rules().max_event;
        for (at, event) in events.iter().enumerate() {
            let found = event.kind().len() + event.data().len();
            if found as u64 > most {
                return Err(PublishError::TooLarge { at, most, found });
            }
        }
        Ok(())
    }

    /// Returns the time within which a call may be sent again because its connection broke.
    fn resend_time(&self) -> Duration {
        2 * (self.config.redis.timeout + self.config.redis.connect_timeout) + Duration::from_secs(10)
    }

    fn arguments(
        &self,
        topic: &TopicName,
        events: &[NewEvent],
        known: Duration,
        consumers: &str,
    ) -> Vec<Arg> {
        let rules = self.rules();
        let mirror = rules.mirror.iter().any(|pattern| pattern.matches(topic));
        let (ring, message) = match consumers {
            "" => (String::new(), String::new()),
            _ => (self.control.clone(), event::ring(topic)),
        };
        let mut arguments = vec![
            Arg::from(rules.max_length),
            Arg::from(crate::time::millis(rules.max_age)),
            Arg::from(crate::time::millis(known)),
            Arg::from(digest(events)),
            Arg::from(consumers),
            Arg::from(ring),
            Arg::from(message),
            Arg::from(if mirror { self.redis_channel(topic) } else { String::new() }),
        ];
        for event in events {
            arguments.extend([Arg::from(event.kind()), Arg::from(event.data())]);
        }
        arguments
    }
}

/// Checks that each event fits into a job, because there are webhooks that want it.
fn deliverable(topic: &TopicName, events: &[NewEvent]) -> Result<(), PublishError> {
    for (at, event) in events.iter().enumerate() {
        // With the longest id that there can be.
        let id = EventId::new(u64::MAX, u64::MAX);
        if let Err(error) = webhook::data(topic, id, event.kind(), event.data()) {
            return Err(PublishError::Undeliverable { at, why: error.to_string() });
        }
    }
    Ok(())
}

/// Returns a hash of the events, of 128 bits. The length of each part precedes it.
fn digest(events: &[NewEvent]) -> String {
    let mut hash = blake3::Hasher::new();
    for part in events.iter().flat_map(|event| [event.kind(), event.data()]) {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hex(&hash.finalize().as_bytes()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_has_another_digest() {
        let event = |kind: &str, data: &str| NewEvent::new(data).typed(kind).unwrap();
        let digests = [
            digest(&[event("a", "bc")]),
            digest(&[event("ab", "c")]),
            digest(&[NewEvent::new("abc")]),
            digest(&[event("a", "b"), NewEvent::new("c")]),
        ];
        let different: std::collections::BTreeSet<_> = digests.iter().collect();
        assert_eq!(different.len(), digests.len());
    }
}
