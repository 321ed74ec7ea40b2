//! The messages on the channel.

use crate::job::QueueName;
use crate::pipeline::warm::Warm;
use crate::purge::Purge;
use crate::topic::{self, TopicName};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The version of the envelope that is read and written.
pub const VERSION: u32 = 1;

/// The longest message that is read, in bytes.
pub const MAX_MESSAGE: usize = 1024 * 1024;

/// A message on the channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The version, [`VERSION`].
    pub v: u32,
    /// The topic, which says what the data is.
    pub topic: String,
    /// The id, unique for each message; at most 128 of `A-Z a-z 0-9 . _ -`. A message without an id is handled by every
    /// subscriber.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Whether a subscriber has handed it over to the [work channel](super::work_channel).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub handed_over: bool,
    /// Its id before it was handed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The data of the topic.
    #[serde(default)]
    pub data: serde_json::Value,
}

/// The data as text: parsing it would change numbers, and the order of members.
#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

/// The data of the topic `job`: somebody should push the jobs of a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Doorbell {
    /// The name of the queue.
    pub queue: String,
}

/// A message that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Purge these targets.
    Purge(Purge),
    /// Fetch these URLs into the cache.
    Warm(Warm),
    /// Push the jobs of this queue.
    Job(QueueName),
    /// Publish an event, or fan out those that were published.
    Event(topic::listen::Message),
    /// Free the space of what was purged.
    Sweep,
}

impl Message {
    /// Returns whether later messages should not have to wait for it.
    #[must_use]
    pub const fn takes_long(&self) -> bool {
        match self {
            Self::Purge(_) | Self::Event(topic::listen::Message::Publish(..)) => false,
            Self::Warm(_) | Self::Job(_) | Self::Event(_) | Self::Sweep => true,
        }
    }
}

/// Why a message was not understood.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// It is longer than [`MAX_MESSAGE`].
    #[error("expected at most {MAX_MESSAGE} bytes, found {0}")]
    TooLarge(usize),
    /// It is not JSON, or not an envelope.
    #[error("expected an envelope {{\"v\":{VERSION},\"topic\":..,\"data\":..}}: {0}")]
    Envelope(serde_json::Error),
    /// It has another version.
    #[error("expected version {VERSION}, found {0}")]
    Version(u32),
    /// The topic is unknown.
    #[error("expected the topic \"purge\", \"warm\", \"job\", \"event\" or \"sweep\", found {0:?}")]
    Topic(String),
    /// The id is not valid.
    #[error("expected an id of 1 to 128 characters A-Z a-z 0-9 . _ -, found {0:?}")]
    Id(String),
    /// The data is not valid for the topic.
    #[error("data: {0}")]
    Data(String),
}

impl Envelope {
    /// Makes a message of this version.
    pub(super) fn new(topic: &str, id: Option<String>, data: serde_json::Value) -> Self {
        Self { v: VERSION, topic: topic.to_owned(), id, handed_over: false, before: None, data }
    }

    /// Makes a message that asks for a sweep.
    pub(super) fn sweep() -> Self {
        Self::new("sweep", None, serde_json::Value::Null)
    }

    /// Returns all ids under which it is claimed.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.id.iter().chain(&self.before).map(String::as_str)
    }

    /// Encodes the payload.
    pub(super) fn encode(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Parses a payload, and the message in it.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(payload: &[u8]) -> Result<(Self, Message), Malformed> {
        if payload.len() > MAX_MESSAGE {
            return Err(Malformed::TooLarge(payload.len()));
        }
        let envelope: Self = serde_json::from_slice(payload).map_err(Malformed::Envelope)?;
        if envelope.v != VERSION {
            return Err(Malformed::Version(envelope.v));
        }
        if let Some(id) = envelope.ids().find(|id| !is_id(id)) {
            return Err(Malformed::Id(id.to_owned()));
        }
        let data = envelope.data.clone();
        let message = match envelope.topic.as_str() {
            "purge" => Message::Purge(purge(data)?),
            "warm" => Message::Warm(warm(data)?),
            "job" => Message::Job(doorbell(data)?),
            "event" => {
                let Written { data } = serde_json::from_slice(payload).map_err(Malformed::Envelope)?;
                let read = topic::listen::Message::read(data, envelope.id.is_some());
                Message::Event(read.map_err(Malformed::Data)?)
            }
            "sweep" => Message::Sweep,
            _ => return Err(Malformed::Topic(envelope.topic)),
        };
        Ok((envelope, message))
    }
}

/// Makes the message that asks subscribers to fan out a topic.
pub(crate) fn ring(topic: &TopicName) -> String {
    Envelope::new("event", None, serde_json::json!({"topic": topic.as_str()})).encode()
}

fn is_id(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn purge(data: serde_json::Value) -> Result<Purge, Malformed> {
    let purge: Purge = serde_json::from_value(data).map_err(|error| Malformed::Data(error.to_string()))?;
    purge.targets().map_err(|problems| Malformed::Data(problems.join("; ")))?;
    Ok(purge)
}

fn warm(data: serde_json::Value) -> Result<Warm, Malformed> {
    let warm: Warm = serde_json::from_value(data).map_err(|error| Malformed::Data(error.to_string()))?;
    warm.targets().map_err(|problems| Malformed::Data(problems.join("; ")))?;
    Ok(warm)
}

fn doorbell(data: serde_json::Value) -> Result<QueueName, Malformed> {
    let bell: Doorbell = serde_json::from_value(data).map_err(|error| Malformed::Data(error.to_string()))?;
    QueueName::new(&bell.queue).map_err(|error| Malformed::Data(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_message_is_understood() {
        let payload = br#"{"v":1,"topic":"purge","id":"a-1","data":{"tags":["news"],"soft":true}}"#;
        let (envelope, message) = Envelope::decode(payload).unwrap();
        let Message::Purge(purge) = message else { panic!("{message:?}") };
        assert_eq!(envelope.id.as_deref(), Some("a-1"));
        assert_eq!((purge.tags, purge.soft), (vec!["news".to_owned()], true));
    }

    #[test]
    fn a_doorbell_names_a_queue() {
        let says =
            |data: &str| Envelope::decode(format!(r#"{{"v":1,"topic":"job","data":{data}}}"#).as_bytes());
        let queue = QueueName::new("mail").unwrap();
        assert_eq!(says(r#"{"queue":"mail"}"#).unwrap().1, Message::Job(queue));
        for wrong in ["{}", r#"{"queue":""}"#, r#"{"queue":"a","id":1}"#] {
            assert!(matches!(says(wrong), Err(Malformed::Data(_))), "{wrong}");
        }
    }

    #[test]
    fn malformed_messages_say_what_is_wrong() {
        let says = |payload: &str| Envelope::decode(payload.as_bytes()).unwrap_err().to_string();
        assert!(says("nonsense").contains("expected an envelope"));
        assert!(says(r#"{"v":2,"topic":"purge"}"#).contains("expected version 1, found 2"));
        assert!(says(r#"{"v":1,"topic":"explode"}"#).contains("found \"explode\""));
        assert!(says(r#"{"v":1,"topic":"purge","data":{"tag":["x"]}}"#).contains("unknown field `tag`"));
        assert!(says(r#"{"v":1,"topic":"purge","data":{}}"#).contains("at least one of"));
        assert!(
            says(r#"{"v":1,"topic":"warm","data":{"urls":["/a"]}}"#).contains("urls[0]: expected an http")
        );
        assert!(
            says(r#"{"v":1,"topic":"purge","id":"a b","data":{"tags":["x"]}}"#).contains("expected an id")
        );
        assert!(matches!(Envelope::decode(&vec![b' '; MAX_MESSAGE + 1]), Err(Malformed::TooLarge(_))));
    }

    proptest::proptest! {
        #[test]
        fn no_payload_panics(payload in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = Envelope::decode(&payload);
        }
    }
}
