//! Topics in Redis, a stream for each: reading them. [`super::publish`] writes them.

use super::feed::Feed;
use super::follow::Follower;
use super::gap::Found;
use super::message::{Event, id_of};
use super::name::TopicName;
use super::position::Position;
use crate::config::{Config, TopicsConfig};
use crate::env::Env;
use crate::metrics::Metrics;
use crate::nonce::Nonces;
use crate::redis::{Arg, Client, Keys, RedisError, Script, Value};
use crate::time::Timestamp;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};

static READ: Script = Script::new(include_str!("../redis/lua/read.lua"));

/// The most that one read fetches from Redis, in bytes of data and in events.
const READ_BYTES: u64 = 1024 * 1024;
const READ_EVENTS: u64 = 100;

/// The topics, as used by one instance.
pub struct Topics<E: Env> {
    pub(super) env: E,
    pub(super) redis: Rc<Client<E>>,
    pub(super) keys: Keys,
    pub(super) config: Rc<Config>,
    pub(super) nonces: Rc<Nonces>,
    pub(super) metrics: Rc<Metrics<E>>,
    /// The channel of Spindrift's own messages.
    pub(super) control: String,
    feeds: RefCell<HashMap<TopicName, Weak<Feed>>>,
}

impl<E: Env> Topics<E> {
    /// Makes the topics with the settings in `config`; `control` is the channel of Spindrift's own messages.
    #[must_use]
    pub fn new(
        env: &E,
        redis: &Rc<Client<E>>,
        keys: &Keys,
        config: &Rc<Config>,
        nonces: &Rc<Nonces>,
        metrics: &Rc<Metrics<E>>,
        control: &str,
    ) -> Self {
        let (redis, config, nonces) = (Rc::clone(redis), Rc::clone(config), Rc::clone(nonces));
        let (env, keys, metrics) = (env.clone(), keys.clone(), Rc::clone(metrics));
        Self {
            env,
            redis,
            keys,
            config,
            nonces,
            metrics,
            control: control.to_owned(),
            feeds: RefCell::default(),
        }
    }

    /// Returns the settings of topics.
    #[must_use]
    pub fn rules(&self) -> &TopicsConfig {
        &self.config.topics
    }

    /// Reads the next events after `position`, oldest first. If there are any, more may follow.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn read(&self, topic: &TopicName, position: Position) -> Result<Vec<Event>, RedisError> {
        self.range(topic, position).await.map(|(events, _)| events)
    }

    /// Follows topics, each from a position, or from now on if there is none. Nothing is read yet.
    #[must_use]
    pub fn follow(
        self: &Rc<Self>,
        wanted: impl IntoIterator<Item = (TopicName, Option<Position>)>,
    ) -> Follower<E> {
        Follower::new(Rc::clone(self), wanted)
    }

    /// Returns the next events after `position`, and the most that there could have been.
    pub(super) async fn range(
        &self,
        topic: &TopicName,
        position: Position,
    ) -> Result<(Vec<Event>, usize), RedisError> {
        let most = self.most();
        let arguments = vec![
            Arg::from(&self.keys.topic(topic.as_str())),
            Arg::from(position.next().to_string()),
            Arg::from("+"),
            Arg::from("COUNT"),
            Arg::from(most),
        ];
        let events = Event::list(self.redis.call("XRANGE", arguments).await?)?;
        Ok((events, usize::try_from(most).unwrap_or(usize::MAX)))
    }

    /// Looks at a topic for the first time: its end, and the first events after `wanted`, if that is given.
    pub(super) async fn look(
        &self,
        topic: &TopicName,
        wanted: Option<Position>,
    ) -> Result<(Found, Vec<Event>), RedisError> {
        // "+" is the greatest possible id, so that no events are found.
        let from = wanted.map_or_else(|| "+".to_owned(), |position| position.next().to_string());
        let arguments = vec![Arg::from(from), Arg::from(self.most())];
        let (key, state) = (self.keys.topic(topic.as_str()), self.keys.topic_state(topic.as_str()));
        let reply = self.redis.run(&READ, &[&key, &state], arguments).await?;
        let mut reply = reply.into_iter();
        let (now, last) = (reply.next().unwrap_or(Value::Nil).int()?, reply.next().unwrap_or(Value::Nil));
        let last = String::from_utf8(last.bytes()?.unwrap_or_default()).unwrap_or_default();
        let last = if last.is_empty() { None } else { Some(id_of(&last)?) };
        let now = Timestamp::from_millis(u64::try_from(now).unwrap_or_default());
        let events = if wanted.is_some() { Event::list(reply.collect())? } else { Vec::new() };
        Ok((Found { now, last }, events))
    }

    /// Returns how many events one read fetches, so that it does not exceed [`READ_BYTES`].
    fn most(&self) -> u64 {
        (READ_BYTES / self.rules().max_event.max(1)).clamp(1, READ_EVENTS)
    }

    /// Returns the feed that readers of a topic share, or a new one that begins at `position`.
    pub(super) fn feed(&self, topic: &TopicName, position: Position) -> Rc<Feed> {
        let shared = self.feeds.borrow().get(topic).and_then(Weak::upgrade);
        shared.unwrap_or_else(|| self.new_feed(topic, position))
    }

    /// Makes a feed that begins at `position`, for all readers that come from now on.
    pub(super) fn new_feed(&self, topic: &TopicName, position: Position) -> Rc<Feed> {
        let feed = Rc::new(Feed::at(position));
        let mut feeds = self.feeds.borrow_mut();
        feeds.retain(|_, feed| feed.strong_count() > 0);
        feeds.insert(topic.clone(), Rc::downgrade(&feed));
        feed
    }
}
