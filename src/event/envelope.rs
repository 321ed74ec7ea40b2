//! What stands on the channel.

use crate::job::QueueName;
use crate::pipeline::warm::Warm;
use crate::purge::Purge;
use crate::topic::{self, TopicName};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The version of the envelope this reads and writes.
pub const VERSION: u32 = 1;

/// The largest message that is read, in bytes.
pub const MAX_MESSAGE: usize = 1024 * 1024;

/// A message as it stands on the channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The version, [`VERSION`].
    pub v: u32,
    /// What it is about.
    pub topic: String,
    /// Unique for each message; at most 128 of `A-Z a-z 0-9 . _ -`. Without one it is done by every
    /// subscriber.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Taken from the channel by a subscriber, and handed over to the [work channel](super::work_channel).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub handed_over: bool,
    /// Its id before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What the topic needs.
    #[serde(default)]
    pub data: serde_json::Value,
}

/// The data as it is written: to take it apart would change numbers, and the order of members.
#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

/// Somebody should look after a queue: the data of the topic `job`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Doorbell {
    /// Its name.
    pub queue: String,
}

/// A message that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Purge this.
    Purge(Purge),
    /// Fetch this into the cache.
    Warm(Warm),
    /// Push the jobs of this queue.
    Job(QueueName),
    /// Publish an event, or see to those that were published.
    Event(topic::listen::Message),
    /// Give back the space of what was purged.
    Sweep,
}

impl Message {
    /// Whether what comes behind it should not have to wait for it.
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
    /// Larger than [`MAX_MESSAGE`].
    #[error("expected at most {MAX_MESSAGE} bytes, found {0}")]
    TooLarge(usize),
    /// Not JSON, or not an envelope.
    #[error("expected an envelope {{\"v\":{VERSION},\"topic\":..,\"data\":..}}: {0}")]
    Envelope(serde_json::Error),
    /// Another version.
    #[error("expected version {VERSION}, found {0}")]
    Version(u32),
    /// A topic nobody here knows.
    #[error("expected the topic \"purge\", \"warm\", \"job\", \"event\" or \"sweep\", found {0:?}")]
    Topic(String),
    /// An identifier of another form.
    #[error("expected an id of 1 to 128 characters A-Z a-z 0-9 . _ -, found {0:?}")]
    Id(String),
    /// Data of another form than the topic has.
    #[error("data: {0}")]
    Data(String),
}

impl Envelope {
    /// A message of this version.
    pub(super) fn new(topic: &str, id: Option<String>, data: serde_json::Value) -> Self {
        Self { v: VERSION, topic: topic.to_owned(), id, handed_over: false, before: None, data }
    }

    /// Asks for the space of what was purged to be given back.
    pub(super) fn sweep() -> Self {
        Self::new("sweep", None, serde_json::Value::Null)
    }

    /// All that it is claimed by.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.id.iter().chain(&self.before).map(String::as_str)
    }

    /// The payload.
    pub(super) fn encode(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a payload, and what it says.
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

/// The message that tells subscribers to look into a topic.
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
