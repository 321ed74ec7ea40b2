//! Redis keys: a type that only named constructors build, so that none is made of raw input.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt;

/// What is written percent-encoded when it stands in a key: all but letters, digits and `- . _ ~`.
const OPAQUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Text of a user's as it may stand in a key: no two are written alike.
pub(crate) fn opaque(text: &str) -> String {
    utf8_percent_encode(text, OPAQUE).to_string()
}

/// A Redis key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key(String);

impl Key {
    /// The key as Redis knows it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Key {
    /// The resource it belongs to, where it belongs to one.
    #[must_use]
    pub fn resource(&self) -> Option<&str> {
        let (_, rest) = self.0.split_once(":{")?;
        let (id, _) = rest.split_once('}')?;
        is_id(id).then_some(id)
    }
}

/// Whether this names a resource: 128 bits in hexadecimal.
fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.0)
    }
}

impl From<Key> for super::Arg {
    fn from(key: Key) -> Self {
        Self::from(key.0)
    }
}

/// Builds every key Spindrift uses, below one prefix.
///
/// Keys of one aggregate share a hash tag (`{...}`), so that a script may touch them together on a cluster.
/// The prefix carries no braces (the configuration sees to it) and the rest is hexadecimal or constant.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: String,
}

impl Keys {
    /// Keys below `prefix`.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// What is stored for a resource: its response, or an index of its variants.
    #[must_use]
    pub fn resource(&self, id: &str) -> Key {
        self.join(&[":{", id, "}"])
    }

    /// The prefix and these parts. Every hit makes some: `format!` would cost several times as much.
    fn join(&self, parts: &[&str]) -> Key {
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        let mut key = String::with_capacity(self.prefix.len() + length);
        key.push_str(&self.prefix);
        key.extend(parts.iter().copied());
        Key(key)
    }

    /// The generation of a resource: who began a fetch under it may store what comes.
    #[must_use]
    pub fn generation(&self, id: &str) -> Key {
        Key(format!("{}:{{{id}}}:g", self.prefix))
    }

    /// What the keys of resources match (`SCAN`), those of other things too.
    #[must_use]
    pub fn pattern_of_resources(&self) -> String {
        format!("{}:{{????????????????????????????????}}*", self.prefix)
    }

    /// A key that `SCAN` found, if a response may stand there: of a resource or of a variant.
    #[must_use]
    pub fn of_response(&self, found: &str) -> Option<Key> {
        let rest = found.strip_prefix(&self.prefix)?.strip_prefix(":{")?;
        let (id, rest) = rest.split_once('}')?;
        let is_response = rest.is_empty() || rest.strip_prefix(":v:").is_some_and(is_id);
        (is_id(id) && is_response).then(|| Key(found.to_owned()))
    }

    /// Who is sweeping.
    #[must_use]
    pub fn sweep(&self) -> Key {
        self.join(&[":{sweep}"])
    }

    /// Who leads the fetch of a resource, or of what certain request fields select of it.
    #[must_use]
    pub fn lead(&self, id: &str, flight: &str) -> Key {
        self.join(&[":{", id, "}:f:", flight])
    }

    /// Marks a fetch as not worth waiting for.
    #[must_use]
    pub fn not_worth_waiting(&self, id: &str, flight: &str) -> Key {
        self.join(&[":{", id, "}:m:", flight])
    }

    /// A stored response of a resource that varies; without `variant`, what these keys begin with.
    #[must_use]
    pub fn variant(&self, id: &str, variant: &str) -> Key {
        self.join(&[":{", id, "}:v:", variant])
    }

    /// One piece of a body that is too large for its resource's hash.
    #[must_use]
    pub fn chunk(&self, resource: &str, body: &str, number: u32) -> Key {
        Key(format!("{}:{{{resource}}}:{body}:{number}", self.prefix))
    }

    /// The head of the purge ledger: its identity and how many purges it has seen.
    #[must_use]
    pub fn ledger(&self) -> Key {
        Key(format!("{}:{{purge}}", self.prefix))
    }

    /// What was purged, scored by when in the ledger's own count.
    #[must_use]
    pub fn ledger_entries(&self) -> Key {
        Key(format!("{}:{{purge}}:z", self.prefix))
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
        Key(format!("{}:{{q:{}}}", self.prefix, opaque(name)))
    }

    /// One part of a queue, such as the jobs that are ready.
    #[must_use]
    pub fn queue_part(&self, name: &str, part: &'static str) -> Key {
        Key(format!("{}:{part}", self.queue(name).0))
    }

    /// One of many of a kind in a queue, such as a job; without `item`, what these keys begin with.
    #[must_use]
    pub fn queue_item(&self, name: &str, kind: &'static str, item: &str) -> Key {
        Key(format!("{}:{kind}:{}", self.queue(name).0, opaque(item)))
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

    /// Counters over all instances.
    #[must_use]
    pub fn counters(&self) -> Key {
        Key(format!("{}:{{counters}}", self.prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_queue_cannot_end_its_tag_or_be_taken_for_another() {
        let keys = Keys::new("sd");
        assert_eq!(keys.queue("mail").as_str(), "sd:{q:mail}");
        assert_eq!(keys.queue("a}b{c").as_str(), "sd:{q:a%7Db%7Bc}");
        assert_eq!(keys.queue_item("a:b", "j", "c").as_str(), "sd:{q:a%3Ab}:j:c");
        assert_ne!(keys.queue("a%7D"), keys.queue("a}"));
    }
}
