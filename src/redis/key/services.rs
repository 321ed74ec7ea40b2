//! The keys of everything but the response cache.

use super::{Key, Keys, readable};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

impl Keys {
    /// What is counted of an identity under a policy, by an algorithm.
    ///
    /// All policies of an identity share its hash tag, so that one script asks them all. `policy` is a name of
    /// letters, digits, `-`, `_` and `.`, as [`is_name`](crate::limit::is_name) has it.
    #[must_use]
    pub fn limit(&self, identity: &str, policy: &str, algorithm: &str) -> Key {
        Key(format!("{}:{{limit:{identity}}}:{algorithm}:{policy}", self.prefix))
    }

    /// Stands while an identity is blocked under a policy.
    #[must_use]
    pub fn limit_block(&self, identity: &str, policy: &str) -> Key {
        Key(format!("{}:{{limit:{identity}}}:block:{policy}", self.prefix))
    }

    /// Marks a message as handled.
    #[must_use]
    pub fn message(&self, id: &str) -> Key {
        Key(format!("{}:{{message:{id}}}", self.prefix))
    }

    /// A queue as a whole. It shares its hash tag with its parts and items; its name stands there
    /// percent-encoded, so that no name can end the tag or be taken for another.
    #[must_use]
    pub fn queue(&self, name: &str) -> Key {
        Key(format!("{}:{{q:{}}}", self.prefix, readable(name)))
    }

    /// One part of a queue, such as the jobs that are ready.
    #[must_use]
    pub fn queue_part(&self, name: &str, part: &'static str) -> Key {
        Key(format!("{}:{part}", self.queue(name).0))
    }

    /// One of many of a kind in a queue, such as a job; without `item`, what these keys begin with.
    #[must_use]
    pub fn queue_item(&self, name: &str, kind: &'static str, item: &str) -> Key {
        Key(format!("{}:{kind}:{}", self.queue(name).0, readable(item)))
    }

    /// The names of all queues, scored by when they were used last.
    #[must_use]
    pub fn queues(&self) -> Key {
        Key(format!("{}:{{queues}}", self.prefix))
    }

    /// The names of the queues that have schedules, scored by when one was set last.
    #[must_use]
    pub fn scheduled_queues(&self) -> Key {
        Key(format!("{}:{{queues}}:c", self.prefix))
    }

    /// Says that somebody looked after the queues a moment ago.
    #[must_use]
    pub fn queues_tick(&self) -> Key {
        Key(format!("{}:{{queues}}:t", self.prefix))
    }

    /// A session, by the hash tag of its owner and its name; without `name`, what these keys begin with.
    #[must_use]
    pub fn session(&self, tag: &str, name: &str) -> Key {
        Key(format!("{}:{{s:{tag}}}:{name}", self.prefix))
    }

    /// What the keys of a session's past begin with: what its earlier secrets still read, by the hash of each.
    #[must_use]
    pub fn session_past(&self, tag: &str, name: &str) -> Key {
        Key(format!("{}:{{s:{tag}}}:{name}:", self.prefix))
    }

    /// The epoch of a user: a session of another epoch is none.
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

    /// What is known of a topic beside its events: the last one there was, and where its consumers stand.
    #[must_use]
    pub fn topic_state(&self, name: &str) -> Key {
        Key(format!("{}:{{topic:{}}}:s", self.prefix, readable(name)))
    }

    /// Marks a request to publish into a topic as done.
    #[must_use]
    pub fn topic_mark(&self, name: &str, request: &str) -> Key {
        Key(format!("{}:{{topic:{}}}:m:{request}", self.prefix, readable(name)))
    }

    /// The topics that may hold something for their consumers, by when that was published.
    #[must_use]
    pub fn topics_pending(&self) -> Key {
        Key(format!("{}:{{topics}}", self.prefix))
    }

    /// Says that somebody swept the topics a moment ago.
    #[must_use]
    pub fn topics_swept(&self) -> Key {
        Key(format!("{}:{{topics}}:t", self.prefix))
    }

    /// Counters over all instances.
    #[must_use]
    pub fn counters(&self) -> Key {
        Key(format!("{}:{{counters}}", self.prefix))
    }

    /// Who holds a lock.
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

    /// A pattern of `SCAN` for all values, and the leases to fill them.
    #[must_use]
    pub fn all_values(&self) -> String {
        format!("{}:{{value:*", self.prefix)
    }

    /// The key of the value that stands at `key`; `None` when no value stands there.
    #[must_use]
    pub fn value_at(&self, key: &str) -> Option<String> {
        let encoded = key.strip_prefix(self.prefix.as_str())?.strip_prefix(":{value:")?.strip_suffix('}')?;
        percent_decode_str(encoded).decode_utf8().ok().map(Cow::into_owned)
    }

    /// Who is sweeping values, or did so a moment ago.
    #[must_use]
    pub fn values_sweep(&self) -> Key {
        self.join(&[":{values-sweep}"])
    }

    /// The head of the ledger of invalidations of values.
    #[must_use]
    pub fn values(&self) -> Key {
        self.join(&[":{values}"])
    }

    /// What was invalidated of values, scored by when in the ledger's own count.
    #[must_use]
    pub fn values_entries(&self) -> Key {
        self.join(&[":{values}:z"])
    }
}
