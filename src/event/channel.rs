//! The channel for messages, and the counters of their outcomes.

use super::{Doorbell, Envelope, MAX_MESSAGE};
use crate::env::Env;
use crate::nonce;
use crate::pipeline::warm::Warm;
use crate::purge::Purge;
use crate::redis::{Arg, Client, Keys, RedisError, exactly};
use serde::Serialize;
use std::rc::Rc;
use std::time::Duration;

/// How long a message counts as handled.
const DONE: Duration = Duration::from_secs(600);
/// How long counters live after their last change.
const COUNTERS: Duration = Duration::from_secs(30 * 24 * 3600);

/// Returns the channel on which long work is handed over, for the messages on the channel `name`.
#[must_use]
pub fn work_channel(name: &str) -> String {
    format!("{name}-work")
}

/// The channel, as used by one instance.
#[derive(Clone)]
pub struct Channel<E: Env> {
    env: E,
    redis: Rc<Client<E>>,
    keys: Keys,
    name: String,
}

impl<E: Env> Channel<E> {
    /// Makes the channel with this name.
    #[must_use]
    pub const fn new(env: E, redis: Rc<Client<E>>, keys: Keys, name: String) -> Self {
        Self { env, redis, keys, name }
    }

    /// Announces a purge that was carried out, and returns the id of the message.
    ///
    /// # Errors
    /// [`RedisError`]: then subscribers may not hear of it.
    pub async fn announce_purge(&self, purge: &Purge) -> Result<String, RedisError> {
        let id = nonce::random(&self.env);
        self.claim(&id).await?;
        self.publish("purge", Some(id.clone()), purge).await?;
        Ok(id)
    }

    /// Sends the remaining URLs of a warm-up as a new message.
    pub(super) async fn pass_on(&self, rest: &Warm) -> Result<(), RedisError> {
        self.publish("warm", Some(nonce::random(&self.env)), rest).await
    }

    /// Rings for a queue: somebody should push its jobs. The message has no id: whoever comes finds out what to do.
    ///
    /// # Errors
    /// [`RedisError`]: then nobody comes before the next tick.
    pub async fn ring(&self, queue: &str) -> Result<(), RedisError> {
        self.publish("job", None, &Doorbell { queue: queue.to_owned() }).await
    }

    async fn publish(
        &self,
        topic: &str,
        id: Option<String>,
        data: &impl Serialize,
    ) -> Result<(), RedisError> {
        let data = serde_json::to_value(data).unwrap_or_default();
        self.send(&self.name, Envelope::new(topic, id, data).encode()).await.map(|_| ())
    }

    /// Hands a message over to whoever listens on the work channel. `false` if it must be handled here: it was handed over
    /// before, it would be too long a message, or nobody listens there.
    pub(super) async fn hand_over(&self, envelope: &Envelope) -> bool {
        if envelope.handed_over {
            return false;
        }
        let id = nonce::random(&self.env);
        let before = envelope.id.clone();
        let handed = Envelope { id: Some(id.clone()), handed_over: true, before, ..envelope.clone() };
        let payload = handed.encode();
        // It has become longer, and subscribers refuse what is too long.
        if payload.len() > MAX_MESSAGE {
            return false;
        }
        let channel = work_channel(&self.name);
        match self.send(&channel, payload).await {
            Ok(1..) => return true,
            // In a cluster, `PUBLISH` counts the subscribers at one node only, and those at others receive it later.
            Ok(_) if self.redis.subscribers(&channel).await > 0 => return true,
            Ok(_) => {}
            Err(error) => self.env.log(&format!("a message was not passed on: {error}")),
        }
        // Somebody may have received it all the same.
        self.claim(&id).await.is_ok_and(|first| !first)
    }

    /// Returns how many subscribers received it; in a cluster, those of one node.
    async fn send(&self, channel: &str, payload: String) -> Result<i64, RedisError> {
        let arguments = vec![Arg::from(channel), Arg::from(payload)];
        exactly::<1>(self.redis.call("PUBLISH", arguments).await?)?[0].int()
    }

    /// Returns whether this call is the first to claim the message.
    pub(super) async fn claim(&self, id: &str) -> Result<bool, RedisError> {
        self.redis.set_new(&self.keys.message(id), &nonce::random(&self.env), DONE).await
    }

    pub(super) async fn unclaim(&self, id: &str) {
        let _ = self.redis.call("UNLINK", vec![Arg::from(&self.keys.message(id))]).await;
    }

    /// Counts one more of `what`. A failure to count is ignored.
    pub async fn count(&self, what: &str) {
        let key = self.keys.counters();
        let counted = self.redis.call("HINCRBY", vec![Arg::from(&key), Arg::from(what), Arg::Int(1)]).await;
        if counted.is_ok() {
            let ttl = Arg::from(crate::time::millis(COUNTERS));
            let _ = self.redis.call("PEXPIRE", vec![Arg::from(&key), ttl]).await;
        }
    }

    /// Returns all counters, by name.
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
