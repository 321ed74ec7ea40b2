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

use crate::app::{App, Shared};
use crate::env::Env;
use crate::job::{self, QueueName};
use crate::metrics::Series;
use crate::nonce;
use crate::pipeline::warm::{Warm, warm_until};
use crate::purge::Purge;
use crate::redis::{Arg, Client, Keys, RedisError, Value};
use crate::topic::{self, TopicName};
use serde::{Deserialize, Serialize};
use std::rc::Rc;
use std::time::Duration;

/// The version of the envelope this reads and writes.
pub const VERSION: u32 = 1;

/// The largest message that is read, in bytes.
pub const MAX_MESSAGE: usize = 1024 * 1024;

/// How long a message counts as done.
const DONE: Duration = Duration::from_secs(600);
/// How long the next message waits while the space of what was purged is given back.
const SWEEP: Duration = Duration::from_secs(2);
/// For how long a message begins fetches: those behind it wait. What is left becomes a message of its own.
const WARM: Duration = Duration::from_secs(5);
/// How long counters live without being touched.
const COUNTERS: Duration = Duration::from_secs(30 * 24 * 3600);

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

/// The channel, as one instance uses it.
#[derive(Clone)]
pub struct Channel<E: Env> {
    env: E,
    redis: Rc<Client<E>>,
    keys: Keys,
    name: String,
}

impl<E: Env> Channel<E> {
    /// The channel called `name`.
    #[must_use]
    pub const fn new(env: E, redis: Rc<Client<E>>, keys: Keys, name: String) -> Self {
        Self { env, redis, keys, name }
    }

    /// Announces a purge that was done. Gives the message's id.
    ///
    /// # Errors
    /// [`RedisError`]: then subscribers may not hear of it.
    pub async fn announce_purge(&self, purge: &Purge) -> Result<String, RedisError> {
        let id = nonce::random(&self.env);
        self.claim(&id).await?;
        let data = serde_json::to_value(purge).unwrap_or_default();
        let envelope = Envelope { v: VERSION, topic: "purge".to_owned(), id: Some(id.clone()), data };
        let payload = serde_json::to_string(&envelope).unwrap_or_default();
        self.redis.call("PUBLISH", vec![Arg::from(self.name.as_str()), Arg::from(payload)]).await?;
        Ok(id)
    }

    /// Has somebody warm the rest of what a message said.
    async fn pass_on(&self, rest: &Warm) -> Result<(), RedisError> {
        let data = serde_json::to_value(rest).unwrap_or_default();
        let id = Some(nonce::random(&self.env));
        let envelope = Envelope { v: VERSION, topic: "warm".to_owned(), id, data };
        let payload = serde_json::to_string(&envelope).unwrap_or_default();
        self.redis.call("PUBLISH", vec![Arg::from(self.name.as_str()), Arg::from(payload)]).await.map(|_| ())
    }

    /// Rings for a queue: somebody should push its jobs. Without an id: who comes finds out what there is to do.
    ///
    /// # Errors
    /// [`RedisError`]: then nobody comes until a tick does.
    pub async fn ring(&self, queue: &str) -> Result<(), RedisError> {
        let data = serde_json::to_value(Doorbell { queue: queue.to_owned() }).unwrap_or_default();
        let envelope = Envelope { v: VERSION, topic: "job".to_owned(), id: None, data };
        let payload = serde_json::to_string(&envelope).unwrap_or_default();
        self.redis.call("PUBLISH", vec![Arg::from(self.name.as_str()), Arg::from(payload)]).await.map(|_| ())
    }

    /// Whether this call is the first to claim the message.
    async fn claim(&self, id: &str) -> Result<bool, RedisError> {
        let arguments = vec![
            Arg::from(&self.keys.message(id)),
            Arg::from("1"),
            Arg::from("NX"),
            Arg::from("PX"),
            Arg::from(crate::time::millis(DONE)),
        ];
        Ok(!matches!(self.redis.call("SET", arguments).await?.first(), Some(Value::Nil) | None))
    }

    async fn unclaim(&self, id: &str) {
        let _ = self.redis.call("UNLINK", vec![Arg::from(&self.keys.message(id))]).await;
    }

    /// Counts one more of `what`. Counting never stands in the way of the work.
    pub async fn count(&self, what: &str) {
        let key = self.keys.counters();
        let counted = self.redis.call("HINCRBY", vec![Arg::from(&key), Arg::from(what), Arg::Int(1)]).await;
        if counted.is_ok() {
            let ttl = Arg::from(crate::time::millis(COUNTERS));
            let _ = self.redis.call("PEXPIRE", vec![Arg::from(&key), ttl]).await;
        }
    }

    /// All counters, by name.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn counters(&self) -> Result<Vec<(String, i64)>, RedisError> {
        let reply = self.redis.call("HGETALL", vec![Arg::from(&self.keys.counters())]).await?;
        let mut reply = reply.into_iter();
        let mut counters = Vec::new();
        while let (Some(name), Some(value)) = (reply.next(), reply.next()) {
            let name = String::from_utf8_lossy(&name.bytes()?.unwrap_or_default()).into_owned();
            counters.push((name, value.int()?));
        }
        Ok(counters)
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// It was done.
    Done,
    /// Somebody had done it before.
    Duplicate,
    /// It was not understood; nothing was done.
    Malformed,
    /// Redis failed; it may be partly done.
    Failed,
    /// Redis is switched off.
    Disabled,
}

impl Handled {
    /// The name of its counter.
    #[must_use]
    pub const fn counter(self) -> &'static str {
        match self {
            Self::Done => "messages_done",
            Self::Duplicate => "messages_duplicate",
            Self::Malformed => "messages_malformed",
            Self::Failed => "messages_failed",
            Self::Disabled => "messages_disabled",
        }
    }
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
    // The instance of a subscriber ends with its message.
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
