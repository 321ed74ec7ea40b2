//! Messages about topics on the channel on which subscribers listen.
//!
//! | data of the envelope `event` | what happens |
//! |---|---|
//! | `{"topic":"orders"}` | the topic is fanned out: its webhooks get the events that they did not get yet |
//! | `{}` | all topics are fanned out |
//! | `{"topic":"orders","type":"created","data":{...}}` | the event is published; the envelope needs an `id` |
//!
//! The first is a doorbell, rung by whoever publishes events for webhooks.

use super::fanout::{fan_out, sweep};
use super::message::NewEvent;
use super::name::TopicName;
use super::publish::PublishError;
use crate::app::Shared;
use crate::env::Env;
use crate::event::Handled;
use crate::job::JobError;
use crate::redis::RedisError;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::Duration;

/// How long a message may keep the subscriber busy, while others wait behind it.
const WHILE: Duration = Duration::from_secs(5);
/// How often at most subscribers sweep all topics when they are woken for one.
const SWEEP: Duration = Duration::from_secs(10);

/// A message about topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// There are new events in this topic.
    Ring(TopicName),
    /// There may be new events in any topic.
    RingAll,
    /// Publish this event.
    Publish(TopicName, NewEvent),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    topic: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    data: Option<Box<RawValue>>,
}

impl Message {
    /// Parses the data of an envelope with or without an id.
    ///
    /// # Errors
    /// What was expected and found.
    pub fn read(data: Option<&RawValue>, has_id: bool) -> Result<Self, String> {
        let Data { topic, kind, data } = match data {
            None => Data { topic: None, kind: None, data: None },
            Some(data) => serde_json::from_str(data.get()).map_err(|error| error.to_string())?,
        };
        let topic = topic.map(|topic| TopicName::new(&topic).map_err(|error| format!("topic: {error}")));
        match (topic.transpose()?, data, kind) {
            (None, None, None) => Ok(Self::RingAll),
            (Some(topic), None, None) => Ok(Self::Ring(topic)),
            (Some(_), Some(_), _) if !has_id => {
                Err("expected an envelope with an id: without one, every subscriber would publish the event"
                    .to_owned())
            }
            (Some(topic), Some(data), kind) => {
                let text = serde_json::from_str(data.get()).unwrap_or_else(|_| data.get().to_owned());
                let event = match kind {
                    Some(kind) => NewEvent::new(text).typed(&kind).map_err(|error| error.to_string())?,
                    None => NewEvent::new(text),
                };
                Ok(Self::Publish(topic, event))
            }
            _ => Err("expected topic and data, topic alone, or nothing".to_owned()),
        }
    }
}

/// Acts on a message.
pub(crate) async fn act<E: Env>(shared: &Shared<E>, message: Message, id: Option<&str>) -> Handled {
    let topics = &shared.topics;
    let until = topics.env.instant().plus(WHILE);
    let done = match &message {
        Message::Publish(topic, event) => {
            match topics.publish(topic, std::slice::from_ref(event), id).await {
                Ok(_) => Ok(()),
                Err(PublishError::Redis(error)) => Err(JobError::Redis(error)),
                Err(error) => {
                    topics.env.log(&format!("an event for {topic} was dropped: {error}"));
                    return Handled::Malformed;
                }
            }
        }
        Message::RingAll => sweep(shared, until).await,
        Message::Ring(topic) => match fan_out(shared, topic, until).await {
            Ok(_) if is_time_to_sweep(shared).await.unwrap_or(false) => sweep(shared, until).await,
            other => other.map(|_| ()),
        },
    };
    match done {
        Ok(()) => Handled::Done,
        Err(error) => {
            topics.env.log(&format!("handling a message about topics failed: {error}"));
            Handled::Failed
        }
    }
}

/// Returns whether to sweep all topics, to find those for which nobody listened when they rang.
async fn is_time_to_sweep<E: Env>(shared: &Shared<E>) -> Result<bool, RedisError> {
    shared.redis.set_new(&shared.keys.topics_swept(), &shared.topics.nonces.next(), SWEEP).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(data: &serde_json::Value, has_id: bool) -> Result<Message, String> {
        Message::read(Some(&serde_json::value::to_raw_value(data).unwrap()), has_id)
    }

    #[test]
    fn a_message_rings_or_publishes() {
        let orders = TopicName::new("orders").unwrap();
        assert_eq!(read(&json!({"topic": "orders"}), false), Ok(Message::Ring(orders.clone())));
        for all in [Message::read(None, false), read(&json!({}), false)] {
            assert_eq!(all, Ok(Message::RingAll));
        }
        let event = NewEvent::new("{\"n\":1}").typed("created").unwrap();
        let data = json!({"topic": "orders", "type": "created", "data": {"n": 1}});
        assert_eq!(read(&data, true), Ok(Message::Publish(orders, event)));
        assert!(read(&data, false).unwrap_err().contains("expected an envelope with an id"));
        let text = read(&json!({"topic": "a", "data": "x"}), true);
        assert!(matches!(text, Ok(Message::Publish(_, event)) if event.data() == "x"));
    }

    #[test]
    fn other_forms_are_refused() {
        for data in [
            json!({"topic": ""}),
            json!({"topic": "a b"}),
            json!({"topic": 1}),
            json!({"data": 1}),
            json!({"topic": "a", "type": "x"}),
            json!({"topic": "a", "data": 1, "type": "gap"}),
            json!({"topic": "a", "x": 1}),
            json!("orders"),
        ] {
            assert!(read(&data, true).is_err(), "{data}");
        }
    }
}
