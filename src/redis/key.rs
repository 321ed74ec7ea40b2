//! Redis keys: a type that only named constructors build, so that no key is made of unchecked input.

mod services;

use super::cluster::{SHARES, Slot};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::borrow::Cow;
use std::fmt;

/// A Redis key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key(String);

impl Key {
    /// Returns the key as Redis knows it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Key {
    /// Returns the id of the resource to which it belongs, if any.
    #[must_use]
    pub fn resource(&self) -> Option<&str> {
        let (_, rest) = self.0.split_once(":{")?;
        let (id, _) = rest.split_once('}')?;
        is_id(id).then_some(id)
    }
}

/// Returns whether this is the id of a resource: 128 bits in hexadecimal.
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

/// Builds every key that Spindrift uses, below one prefix.
///
/// Keys that belong together share a hash tag (`{...}`), so that one script may touch them in a cluster.
/// The prefix has no braces (the configuration ensures that). The rest is hexadecimal, constant, or
/// percent-encoded text from users.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: String,
}

impl Keys {
    /// Makes keys below `prefix`.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The `No-Vary-Search` declaration for a path, which is identified by its resource without a query.
    #[must_use]
    pub fn variance(&self, id: &str) -> Key {
        self.join(&[":{", id, "}:n"])
    }

    /// The stored response of a resource, or the index of its variants.
    #[must_use]
    pub fn resource(&self, id: &str) -> Key {
        self.join(&[":{", id, "}"])
    }

    /// Joins the prefix and `parts`. Every hit makes some keys, and `format!` would cost several times as much.
    fn join(&self, parts: &[&str]) -> Key {
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        let mut key = String::with_capacity(self.prefix.len() + length);
        key.push_str(&self.prefix);
        key.extend(parts.iter().copied());
        Key(key)
    }

    /// The generation of a resource: a fetch that began under it may store its response.
    #[must_use]
    pub fn generation(&self, id: &str) -> Key {
        Key(format!("{}:{{{id}}}:g", self.prefix))
    }

    /// The `SCAN` pattern for the keys of resources, which also matches keys of other things.
    #[must_use]
    pub fn pattern_of_resources(&self) -> String {
        format!("{}:{{????????????????????????????????}}*", self.prefix)
    }

    /// Returns a key that `SCAN` found, if it may hold a response: that of a resource or of a variant.
    #[must_use]
    pub fn of_response(&self, found: &str) -> Option<Key> {
        let rest = found.strip_prefix(&self.prefix)?.strip_prefix(":{")?;
        let (id, rest) = rest.split_once('}')?;
        let is_response = rest.is_empty() || rest.strip_prefix(":v:").is_some_and(is_id);
        (is_id(id) && is_response).then(|| Key(found.to_owned()))
    }

    /// The lock of the running sweep.
    #[must_use]
    pub fn sweep(&self) -> Key {
        self.join(&[":{sweep}"])
    }

    /// The request for a sweep that has not begun.
    #[must_use]
    pub fn sweep_asked(&self) -> Key {
        self.join(&[":{sweep}:a"])
    }

    /// The lead of a fetch of a resource, or of one of its variants.
    #[must_use]
    pub fn lead(&self, id: &str, flight: &str) -> Key {
        self.join(&[":{", id, "}:f:", flight])
    }

    /// The mark that a fetch is not worth waiting for.
    #[must_use]
    pub fn not_worth_waiting(&self, id: &str, flight: &str) -> Key {
        self.join(&[":{", id, "}:m:", flight])
    }

    /// A stored variant of a resource; without `variant`, the prefix of these keys.
    #[must_use]
    pub fn variant(&self, id: &str, variant: &str) -> Key {
        self.join(&[":{", id, "}:v:", variant])
    }

    /// One piece of a body that is too large for its entry.
    #[must_use]
    pub fn chunk(&self, resource: &str, body: &str, number: u32) -> Key {
        Key(format!("{}:{{{resource}}}:{body}:{number}", self.prefix))
    }

    /// The head of the purge ledger: its identity, the number of its last purge, and its floor.
    #[must_use]
    pub fn ledger(&self) -> Key {
        Key(format!("{}:{{purge}}", self.prefix))
    }

    /// The entries of the purge ledger, scored by their number.
    #[must_use]
    pub fn ledger_entries(&self) -> Key {
        Key(format!("{}:{{purge}}:z", self.prefix))
    }

    /// The heads and entries of the purge ledgers of a cluster, one for each share of the slots, in their order.
    #[must_use]
    pub(crate) fn ledgers_of_shares(&self) -> Vec<(Key, Key)> {
        self.in_shares("purge")
    }

    /// The heads and entries of the ledgers of invalidated values, likewise.
    #[must_use]
    pub(crate) fn values_of_shares(&self) -> Vec<(Key, Key)> {
        self.in_shares("values")
    }

    /// Makes a head with a slot in each share, and the entries that belong to it.
    fn in_shares(&self, name: &'static str) -> Vec<(Key, Key)> {
        let of_share = |share: usize| {
            // One number in sixteen falls into a given share: far fewer numbers than these are needed.
            let mut heads = (0..10_000_u32).map(|number| Key(format!("{}:{{{name}:{number}}}", self.prefix)));
            let head = heads.find(|head| Slot::of(head.as_str().as_bytes()).share() == share)?;
            let entries = Key(format!("{}:z", head.0));
            Some((head, entries))
        };
        (0..usize::from(SHARES)).filter_map(of_share).collect()
    }
}

/// Encodes text from users for a key: all but letters, digits and `-._~:/@,=+` is
/// percent-encoded, so that the text can neither end the hash tag nor be mistaken for another.
pub(crate) fn readable(text: &str) -> Cow<'_, str> {
    const PLAIN: AsciiSet = NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~')
        .remove(b':')
        .remove(b'/')
        .remove(b'@')
        .remove(b',')
        .remove(b'=')
        .remove(b'+');
    const SET: &AsciiSet = &PLAIN;
    utf8_percent_encode(text, SET).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_user_stays_readable_and_inside_its_hash_tag() {
        let keys = Keys::new("sd");
        assert_eq!(keys.lock("jobs/nightly:eu-1").as_str(), "sd:{lock:jobs/nightly:eu-1}");
        assert_eq!(keys.lock_fence("a}b{c}%7D é").as_str(), "sd:{lock:a%7Db%7Bc%7D%257D%20%C3%A9}:f");
        assert_eq!(keys.fence("*\n").as_str(), "sd:{fence:%2A%0A}");
    }

    #[test]
    fn the_name_of_a_queue_cannot_end_its_tag_or_be_taken_for_another() {
        let keys = Keys::new("sd");
        assert_eq!(keys.queue("mail").as_str(), "sd:{q:mail}");
        assert_eq!(keys.queue("a}b{c").as_str(), "sd:{q:a%7Db%7Bc}");
        assert_eq!(keys.queue_item("a:b", "j", "c").as_str(), "sd:{q:a:b}:j:c");
        assert_ne!(keys.queue("a%7D"), keys.queue("a}"));
    }

    #[test]
    fn every_share_of_the_slots_has_a_ledger_in_it() {
        let ledgers = Keys::new("sd").ledgers_of_shares();
        for ledgers in [&ledgers, &Keys::new("sd").values_of_shares()] {
            assert_eq!(ledgers.len(), usize::from(SHARES));
            for (share, (head, entries)) in ledgers.iter().enumerate() {
                let (head, entries) = (Slot::of(head.0.as_bytes()), Slot::of(entries.0.as_bytes()));
                assert_eq!((head.share(), head), (share, entries));
            }
        }
        assert_ne!(ledgers, Keys::new("other").ledgers_of_shares());
    }

    proptest::proptest! {
        #[test]
        fn no_two_texts_share_a_key(one in "\\PC{0,8}", other in "\\PC{0,8}") {
            let keys = Keys::new("sd");
            let all = |name: &str| {
                [keys.lock(name), keys.lock_fence(name), keys.fence(name), keys.value(name), keys.value_lease(name)]
            };
            proptest::prop_assert_eq!(keys.value_at(keys.value(&one).as_str()), Some(one.clone()));
            proptest::prop_assert_eq!(keys.value_at(keys.value_lease(&one).as_str()), None);
            for a in all(&one) {
                proptest::prop_assert_eq!(a.as_str().matches(['{', '}']).count(), 2);
                for b in all(&other) {
                    proptest::prop_assert!(a != b || (one == other));
                }
            }
        }
    }
}
