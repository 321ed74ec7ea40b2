//! The keys of everything but the response cache.

use super::{Key, Keys, readable};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

impl Keys {
    /// The count of an identity under a policy, by algorithm.
    ///
    /// All policies of an identity share its hash tag, so that one script asks them all. `policy` is a name of
    /// letters, digits, `-`, `_` and `.`, as [`is_name`](crate::limit::is_name) has it.
    #[must_use]
    pub fn limit(&self, identity: &str, policy: &str, algorithm: &str) -> Key {
        Key(format!("{}:{{limit:{identity}}}:{algorithm}:{policy}", self.prefix))
    }

    /// The mark that an identity is blocked under a policy.
    #[must_use]
    pub fn limit_block(&self, identity: &str, policy: &str) -> Key {
        Key(format!("{}:{{limit:{identity}}}:block:{policy}", self.prefix))
    }

    /// The mark that a message was handled.
    #[must_use]
    pub fn message(&self, id: &str) -> Key {
        Key(format!("{}:{{message:{id}}}", self.prefix))
    }

    /// A queue. It shares its hash tag with its parts and items; the name in it is
    /// percent-encoded, so that it can neither end the tag nor be mistaken for another.
    #[must_use]
    pub fn queue(&self, name: &str) -> Key {
        Key(format!("{}:{{q:{}}}", self.prefix, readable(name)))
    }

    /// One part of a queue, such as the set of ready jobs.
    #[must_use]
    pub fn queue_part(&self, name: &str, part: &'static str) -> Key {
        Key(format!("{}:{part}", self.queue(name).0))
    }

    /// One of many items of a kind in a queue, such as a job; without `item`, the prefix of these keys.
    #[must_use]
    pub fn queue_item(&self, name: &str, kind: &'static str, item: &str) -> Key {
        Key(format!("{}:{kind}:{}", self.queue(name).0, readable(item)))
    }

    /// The names of all queues, scored by when they were last used.
    #[must_use]
    pub fn queues(&self) -> Key {
        Key(format!("{}:{{queues}}", self.prefix))
    }

    /// The names of the queues with schedules, scored by when a schedule was last set.
    #[must_use]
    pub fn scheduled_queues(&self) -> Key {
        Key(format!("{}:{{queues}}:c", self.prefix))
    }

    /// The mark of a recent tick of the queues.
    #[must_use]
    pub fn queues_tick(&self) -> Key {
        Key(format!("{}:{{queues}}:t", self.prefix))
    }

    /// A session, by the hash tag of its owner and its name; without `name`, the prefix of these keys.
    #[must_use]
    pub fn session(&self, tag: &str, name: &str) -> Key {
        Key(format!("{}:{{s:{tag}}}:{name}", self.prefix))
    }

    /// The prefix of the keys with a session's past: what its earlier secrets may still read, by the hash of each.
    #[must_use]
    pub fn session_past(&self, tag: &str, name: &str) -> Key {
        Key(format!("{}:{{s:{tag}}}:{name}:", self.prefix))
    }

    /// The epoch of a user: sessions of another epoch do not count.
    #[must_use]
    pub fn session_epoch(&self, tag: &str) -> Key {
        Key(format!("{}:{{s:{tag}}}:e", self.prefix))
    }

    /// The names of a user's sessions, scored by when they end.
    #[must_use]
    pub fn session_index(&self, tag: &str) -> Key {
        Key(format!("{}:{{s:{tag}}}:i", self.prefix))
    }

    /// The stream of a topic.
    #[must_use]
    pub fn topic(&self, name: &str) -> Key {
        Key(format!("{}:{{topic:{}}}", self.prefix, readable(name)))
    }

    /// The state of a topic beside its events: the last event id, and the positions of its consumers.
    #[must_use]
    pub fn topic_state(&self, name: &str) -> Key {
        Key(format!("{}:{{topic:{}}}:s", self.prefix, readable(name)))
    }

    /// The mark that a request to publish into a topic was carried out.
    #[must_use]
    pub fn topic_mark(&self, name: &str, request: &str) -> Key {
        Key(format!("{}:{{topic:{}}}:m:{request}", self.prefix, readable(name)))
    }

    /// The topics that may have events for their consumers, scored by when these were published.
    #[must_use]
    pub fn topics_pending(&self) -> Key {
        Key(format!("{}:{{topics}}", self.prefix))
    }

    /// The mark of a recent sweep of the topics.
    #[must_use]
    pub fn topics_swept(&self) -> Key {
        Key(format!("{}:{{topics}}:t", self.prefix))
    }

    /// Counters over all instances.
    #[must_use]
    pub fn counters(&self) -> Key {
        Key(format!("{}:{{counters}}", self.prefix))
    }

    /// The owners of a lock.
    #[must_use]
    pub fn lock(&self, name: &str) -> Key {
        self.join(&[":{lock:", &readable(name), "}"])
    }

    /// The last fence of a lock.
    #[must_use]
    pub fn lock_fence(&self, name: &str) -> Key {
        self.join(&[":{lock:", &readable(name), "}:f"])
    }

    /// The greatest fence that a resource has seen.
    #[must_use]
    pub fn fence(&self, resource: &str) -> Key {
        self.join(&[":{fence:", &readable(resource), "}"])
    }

    /// A value of the key-value cache.
    #[must_use]
    pub fn value(&self, key: &str) -> Key {
        self.join(&[":{value:", &readable(key), "}"])
    }

    /// The lease to fill a value.
    #[must_use]
    pub fn value_lease(&self, key: &str) -> Key {
        self.join(&[":{value:", &readable(key), "}:l"])
    }

    /// The `SCAN` pattern for all values, and the leases to fill them.
    #[must_use]
    pub fn all_values(&self) -> String {
        format!("{}:{{value:*", self.prefix)
    }

    /// Returns the key of the value that is stored at the Redis key `key`; `None` if that is not the key of a value.
    #[must_use]
    pub fn value_at(&self, key: &str) -> Option<String> {
        let encoded = key.strip_prefix(self.prefix.as_str())?.strip_prefix(":{value:")?.strip_suffix('}')?;
        percent_decode_str(encoded).decode_utf8().ok().map(Cow::into_owned)
    }

    /// The mark of a running or recent sweep of values.
    #[must_use]
    pub fn values_sweep(&self) -> Key {
        self.join(&[":{values-sweep}"])
    }

    /// The head of the ledger of invalidated values.
    #[must_use]
    pub fn values(&self) -> Key {
        self.join(&[":{values}"])
    }

    /// The entries of that ledger, scored by their number.
    #[must_use]
    pub fn values_entries(&self) -> Key {
        self.join(&[":{values}:z"])
    }
}
