//! Fan-out: events become jobs of the webhooks that want them, at least once.
//!
//! The state of a topic has the position of each consumer, a webhook's queue: the last event that it got. Publishing sets
//! it for a consumer that is new to the topic, in the same script that stores the events, and rings. Whoever
//! then comes, even several at once, enqueues the events after it and moves it on. A job is enqueued under a key
//! made from its event, so that enqueueing it again does no harm. If nobody comes, because no subscriber listened, the
//! topic is still in a list, which every tick sweeps.

use super::message::{Event, id_of};
use super::name::TopicName;
use super::position::{EventId, Position};
use super::store::Topics;
use super::webhook::job;
use crate::app::Shared;
use crate::config::WebhookConfig;
use crate::env::Env;
use crate::job::{JobError, QueueName};
use crate::redis::{Arg, RedisError, Script, Value, exactly, readable};
use crate::time::{Instant, millis};
use futures_util::future::join_all;
use std::time::Duration;

static NOTE: Script = Script::new(include_str!("../redis/lua/topic_note.lua"));
static FORGET: Script = Script::new(include_str!("../redis/lua/topic_forget.lua"));
static LAG: Script = Script::new(include_str!("../redis/lua/topic_lag.lua"));
static ADVANCE: Script = Script::new(include_str!("../redis/lua/topic_advance.lua"));

/// How long a topic stays in the list at least: longer than the time from noting it to publishing.
const STAYS: Duration = Duration::from_secs(300);
/// How many topics are processed concurrently.
const PAGE: usize = 16;

impl<E: Env> Topics<E> {
    /// Returns the consumers of a topic, as they are named in its state.
    pub(super) fn consumers(&self, topic: &TopicName) -> Vec<String> {
        self.webhooks(topic).map(consumer).collect()
    }

    /// Adds a topic to the list of those that may have events for their consumers. This precedes
    /// publishing, so that no event is ever stored without it.
    pub(super) async fn mark_pending(&self, topic: &TopicName) -> Result<(), RedisError> {
        let arguments = vec![Arg::from(topic.as_str()), Arg::from(2 * millis(self.rules().max_age))];
        self.redis.run(&NOTE, &[&self.keys.topics_pending()], arguments).await.map(|_| ())
    }

    fn webhooks(&self, topic: &TopicName) -> impl Iterator<Item = &WebhookConfig> {
        self.config.webhooks.iter().filter(move |webhook| webhook.wants(topic))
    }

    /// Returns the position of each of these consumers, `None` for one that is new to the topic, and the last event of the
    /// topic.
    async fn lag(
        &self,
        topic: &TopicName,
        consumers: &[String],
    ) -> Result<(Option<EventId>, Vec<Option<EventId>>), RedisError> {
        let keys = (self.keys.topic(topic.as_str()), self.keys.topic_state(topic.as_str()));
        let arguments = consumers.iter().map(|consumer| Arg::from(consumer.as_str())).collect();
        let reply = self.redis.run(&LAG, &[&keys.0, &keys.1], arguments).await?;
        let mut ids = reply.into_iter().map(maybe_id);
        let last = ids.next().transpose()?.flatten();
        Ok((last, ids.collect::<Result<_, _>>()?))
    }

    /// Moves a consumer on; `false` when another call did so first.
    async fn advance(
        &self,
        topic: &TopicName,
        consumer: &str,
        from: EventId,
        to: EventId,
    ) -> Result<bool, RedisError> {
        let arguments = vec![Arg::from(consumer), Arg::from(from.to_string()), Arg::from(to.to_string())];
        let state = self.keys.topic_state(topic.as_str());
        let [moved] = exactly(self.redis.run(&ADVANCE, &[&state], arguments).await?)?;
        Ok(moved.int()? == 1)
    }
}

/// The lag of a webhook behind a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lag {
    /// The topic.
    pub(crate) topic: TopicName,
    /// The webhook's queue.
    pub(crate) queue: QueueName,
    /// The time from the last event that became a job to the last event; zero if there is nothing to do.
    pub(crate) behind: Duration,
}

/// Returns the lag of webhooks behind the topics that may have events for them; at most 100 topics are examined.
///
/// # Errors
/// [`RedisError`].
pub(crate) async fn lags<E: Env>(topics: &Topics<E>) -> Result<Vec<Lag>, RedisError> {
    if topics.config.webhooks.is_empty() {
        return Ok(Vec::new());
    }
    let arguments = vec![Arg::from(&topics.keys.topics_pending()), Arg::Int(0), Arg::Int(99)];
    let mut lags = Vec::new();
    for name in topics.redis.call("ZREVRANGE", arguments).await? {
        let name = String::from_utf8(name.bytes()?.unwrap_or_default()).unwrap_or_default();
        let Ok(topic) = TopicName::new(&name) else { continue };
        // A topic that cannot be examined hides no other.
        let lag = topics.lag(&topic, &topics.consumers(&topic)).await;
        let failed = |error| topics.env.log(&format!("topic {topic}: cannot be inspected: {error}"));
        let Ok((last, stand)) = lag.map_err(failed) else { continue };
        for (webhook, from) in topics.webhooks(&topic).zip(stand) {
            let behind = match (from, last) {
                (Some(from), Some(last)) if from < last => {
                    last.time().since(from.time()).min(topics.rules().max_age)
                }
                _ => Duration::ZERO,
            };
            lags.push(Lag { topic: topic.clone(), queue: webhook.queue.clone(), behind });
        }
    }
    Ok(lags)
}

/// Returns the name of a webhook's queue in a form that can be part of a list separated by blanks.
fn consumer(webhook: &WebhookConfig) -> String {
    readable(webhook.queue.as_str()).into_owned()
}

fn maybe_id(value: Value) -> Result<Option<EventId>, RedisError> {
    let text = String::from_utf8(value.bytes()?.unwrap_or_default()).unwrap_or_default();
    if text.is_empty() { Ok(None) } else { id_of(&text).map(Some) }
}

/// Makes jobs of all events of a topic that its webhooks did not get yet. Begins nothing after `until`, by
/// [`Clock::instant`](crate::env::Clock::instant). Returns whether none is left.
///
/// # Errors
/// The first [`JobError`]. What was not done is left to the next call.
pub(crate) async fn fan_out<E: Env>(
    shared: &Shared<E>,
    topic: &TopicName,
    until: Instant,
) -> Result<bool, JobError> {
    let topics = &shared.topics;
    let (last, stand) = topics.lag(topic, &topics.consumers(topic)).await?;
    let mut done = Ok(true);
    for (webhook, from) in topics.webhooks(topic).zip(stand) {
        if let (Some(from), Some(last)) = (from, last)
            && from < last
        {
            let caught_up = Lagging { shared, topic, webhook, from, last }.catch_up(until).await;
            // Each webhook has a queue of its own: one that fails does not keep the event from others.
            done = done.and_then(|done| Ok(done & caught_up?));
        }
    }
    done
}

/// A webhook that has not got all events of a topic yet.
struct Lagging<'a, E: Env> {
    shared: &'a Shared<E>,
    topic: &'a TopicName,
    webhook: &'a WebhookConfig,
    /// The last event that it got.
    from: EventId,
    /// The last event of the topic.
    last: EventId,
}

impl<E: Env> Lagging<'_, E> {
    /// Enqueues the missing events; returns whether it got all of them.
    async fn catch_up(mut self, until: Instant) -> Result<bool, JobError> {
        let topics = &self.shared.topics;
        while self.from < self.last {
            if topics.env.instant() >= until {
                return Ok(false);
            }
            let (events, _) = topics.range(self.topic, Position::After(self.from)).await?;
            // A consumer that is new to a topic that is new itself has the position 0-0.
            let follows = |event: &Event| event.previous.unwrap_or(EventId::new(0, 0)) == self.from;
            if !events.first().is_some_and(follows) {
                let (topic, queue) = (self.topic, &self.webhook.queue);
                topics.env.log(&format!(
                    "webhook {queue}: events of {topic} were deleted before they were delivered"
                ));
                topics.count("webhook_gaps_total", 1);
            }
            let to = events.last().map_or(self.last, |event| event.id);
            self.enqueue(&events).await?;
            if !topics.advance(self.topic, &consumer(self.webhook), self.from, to).await? {
                // Another call is doing the same.
                return Ok(false);
            }
            self.from = to;
        }
        Ok(true)
    }

    async fn enqueue(&self, events: &[Event]) -> Result<(), JobError> {
        let topics = &self.shared.topics;
        let mut jobs = Vec::with_capacity(events.len());
        for event in events {
            match job(self.topic, event) {
                Ok(job) => jobs.push(job),
                Err(error) => {
                    let (topic, queue) = (self.topic, &self.webhook.queue);
                    topics.env.log(&format!("webhook {queue}: event {} of {topic}: {error}", event.id));
                    topics.count("webhook_refused_total", 1);
                }
            }
        }
        if jobs.is_empty() {
            return Ok(());
        }
        let enqueued = self.shared.jobs.enqueue_and_ring(&self.webhook.queue, jobs).await?;
        topics.count("webhook_events_total", enqueued.iter().filter(|job| job.new).count());
        Ok(())
    }
}

/// Fans out all topics that may have events for their webhooks; begins nothing after `until`.
///
/// # Errors
/// The first [`JobError`]. What was not done is left to the next sweep.
pub(crate) async fn sweep<E: Env>(shared: &Shared<E>, until: Instant) -> Result<(), JobError> {
    let topics = &shared.topics;
    if topics.config.webhooks.is_empty() {
        return Ok(());
    }
    let list = topics.keys.topics_pending();
    let arguments = vec![Arg::from(&list), Arg::Int(0), Arg::Int(-1), Arg::from("WITHSCORES")];
    let mut reply = topics.redis.call("ZRANGE", arguments).await?.into_iter();
    let mut noted = Vec::new();
    while let (Some(name), Some(when)) = (reply.next(), reply.next()) {
        let name = String::from_utf8(name.bytes()?.unwrap_or_default()).unwrap_or_default();
        noted.extend(TopicName::new(&name).ok().map(|topic| (topic, when)));
    }
    // So that when time runs out, other topics are left each time.
    let mut random = [0; 2];
    topics.env.fill(&mut random);
    let begin = usize::from(u16::from_le_bytes(random)) % noted.len().max(1);
    noted.rotate_left(begin);
    let mut all = Ok(());
    for page in noted.chunks(PAGE) {
        if topics.env.instant() >= until {
            break;
        }
        let looks = page.iter().map(async |(topic, when)| {
            if fan_out(shared, topic, until).await? {
                let when = when.clone().bytes()?.unwrap_or_default();
                let arguments = vec![Arg::from(topic.as_str()), Arg::from(when), Arg::from(millis(STAYS))];
                topics.redis.run(&FORGET, &[&list], arguments).await?;
            }
            Ok(())
        });
        // One that fails does not stop the others.
        all = join_all(looks).await.into_iter().fold(all, Result::and);
    }
    all
}
