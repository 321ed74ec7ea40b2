//! Messages on the pub/sub channel.
//!
//! Spin's Redis trigger hands over the payload alone, so the envelope says what it is:
//!
//! ```json
//! {"v": 1, "topic": "purge", "id": "5f0c...", "data": {"tags": ["news"], "soft": true}}
//! ```
//! Pub/sub delivers at most once, and to every subscriber. What must not be lost is done before it is
//! announced: a purge by HTTP acts at once and then announces itself. `id` marks what was done already, so
//! that several subscribers, or the sender itself, do a thing once.

mod channel;
mod handled;

pub use channel::Channel;
pub use handled::Handled;

use crate::app::{App, Shared};
use crate::env::Env;
use crate::job::{self, QueueName};
use crate::metrics::Series;
use crate::pipeline::warm::{Warm, warm_until};
use crate::purge::Purge;
use crate::redis::RedisError;
use crate::topic::{self, TopicName};
use serde::{Deserialize, Serialize};
use std::rc::Rc;
use std::time::Duration;

/// The version of the envelope this reads and writes.
pub const VERSION: u32 = 1;

/// The largest message that is read, in bytes.
pub const MAX_MESSAGE: usize = 1024 * 1024;

/// How long the next message waits while the space of what was purged is given back.
const SWEEP: Duration = Duration::from_secs(2);
/// For how long a message begins fetches: those behind it wait. What is left becomes a message of its own.
const WARM: Duration = Duration::from_secs(5);

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
    /// What the topic needs.
    #[serde(default)]
    pub data: serde_json::Value,
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
    #[error("expected the topic \"purge\", \"warm\", \"job\" or \"event\", found {0:?}")]
    Topic(String),
    /// An identifier of another form.
    #[error("expected an id of 1 to 128 characters A-Z a-z 0-9 . _ -, found {0:?}")]
    Id(String),
    /// Data of another form than the topic has.
    #[error("data: {0}")]
    Data(String),
}

impl Envelope {
    /// Reads a payload.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(payload: &[u8]) -> Result<(Option<String>, Message), Malformed> {
        if payload.len() > MAX_MESSAGE {
            return Err(Malformed::TooLarge(payload.len()));
        }
        let envelope: Self = serde_json::from_slice(payload).map_err(Malformed::Envelope)?;
        if envelope.v != VERSION {
            return Err(Malformed::Version(envelope.v));
        }
        if let Some(id) = envelope.id.as_ref().filter(|id| !is_id(id)) {
            return Err(Malformed::Id(id.clone()));
        }
        let message = match envelope.topic.as_str() {
            "purge" => Message::Purge(purge(envelope.data)?),
            "warm" => Message::Warm(warm(envelope.data)?),
            "job" => Message::Job(doorbell(envelope.data)?),
            "event" => Message::Event(
                topic::listen::Message::read(envelope.data, envelope.id.is_some())
                    .map_err(Malformed::Data)?,
            ),
            _ => return Err(Malformed::Topic(envelope.topic)),
        };
        Ok((envelope.id, message))
    }
}

/// The message that tells subscribers to look into a topic.
pub(crate) fn ring(topic: &TopicName) -> String {
    let data = serde_json::json!({"topic": topic.as_str()});
    let envelope = Envelope { v: VERSION, topic: "event".to_owned(), id: None, data };
    serde_json::to_string(&envelope).unwrap_or_default()
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

/// Handles one message from the channel: does what it says, logs and counts what became of it.
pub async fn handle<E: Env>(app: &Rc<App<E>>, payload: &[u8]) -> Handled {
    let Some(shared) = &app.shared else {
        app.env.log("a message was dropped: redis_enabled is false");
        return Handled::Disabled;
    };
    let handled = match Envelope::decode(payload) {
        Ok((id, message)) => act(app, shared, id, message).await.unwrap_or_else(|error| {
            app.env.log(&format!("a message failed: {error}"));
            Handled::Failed
        }),
        Err(malformed) => {
            app.env.log(&format!("a message of {} bytes was dropped: {malformed}", payload.len()));
            Handled::Malformed
        }
    };
    shared.channel.count(handled.counter()).await;
    shared.metrics.flush().await;
    handled
}

async fn act<E: Env>(
    app: &Rc<App<E>>,
    shared: &Shared<E>,
    id: Option<String>,
    message: Message,
) -> Result<Handled, RedisError> {
    if let Some(id) = &id
        && !shared.channel.claim(id).await?
    {
        return Ok(Handled::Duplicate);
    }
    let handled = match message {
        Message::Purge(purge) => act_on_purge(app, shared, &purge).await,
        Message::Warm(warm) => act_on_warm(app, shared, &warm).await,
        Message::Job(queue) => Ok(job::wake(app, &queue).await),
        Message::Event(message) => Ok(topic::listen::act(shared, message, id.as_deref()).await),
    };
    if let (Err(_) | Ok(Handled::Failed), Some(id)) = (&handled, &id) {
        shared.channel.unclaim(id).await;
    }
    handled
}

async fn act_on_purge<E: Env>(
    app: &App<E>,
    shared: &Shared<E>,
    purge: &Purge,
) -> Result<Handled, RedisError> {
    let targets = purge.targets().unwrap_or_default();
    let report = shared.purger.purge(&targets, purge.soft).await?;
    app.env.log(&format!("purged {} URLs, {} ledger entries", report.urls, report.ledger));
    if report.ledger > 0 && !purge.soft {
        shared.purger.sweep(SWEEP).await;
    }
    Ok(Handled::Done)
}

/// What cannot be stored is no failure of the message: asking for it again would not help.
async fn act_on_warm<E: Env>(
    app: &Rc<App<E>>,
    shared: &Shared<E>,
    warm: &Warm,
) -> Result<Handled, RedisError> {
    let targets = warm.targets().unwrap_or_default();
    let (warmed, left) = warm_until(app, targets, app.env.now().plus(WARM)).await;
    let stored = warmed.iter().filter(|one| one.stored).count();
    for (result, count) in [("stored", stored), ("not_stored", warmed.len() - stored)] {
        if count > 0 {
            let label = Some(("result", result.to_owned()));
            shared.metrics.add(Series::Other("warmed_total", label), count as u64);
        }
    }
    let first = warmed.iter().find(|one| !one.stored).map_or_else(String::new, |one| {
        format!("; not {}: status {}, {}", one.url, one.status, one.detail.unwrap_or("not to be stored"))
    });
    app.env.log(&format!("warmed {stored} of {} URLs, {} are left{first}", warmed.len(), left.len()));
    if !left.is_empty() {
        let urls = left.iter().map(ToString::to_string).collect();
        shared.channel.pass_on(&Warm { urls }).await?;
    }
    Ok(Handled::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_message_is_understood() {
        let payload = br#"{"v":1,"topic":"purge","id":"a-1","data":{"tags":["news"],"soft":true}}"#;
        let (id, message) = Envelope::decode(payload).unwrap();
        let Message::Purge(purge) = message else { panic!("{message:?}") };
        assert_eq!(id.as_deref(), Some("a-1"));
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
