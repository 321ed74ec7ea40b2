//! Names of topics, and patterns of names.

use crate::config::glob;
use std::fmt;

/// The longest name, in bytes.
pub const MAX_NAME: usize = 128;

/// The name of a topic: 1 to 128 visible ASCII characters without `*` and `?`, which are for [`Pattern`]s.
///
/// Names that begin with `__` are Redis's own (`__redis__:invalidate`, `__keyspace@0__:...`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(String);

/// The error for a text that is not a valid name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to {MAX_NAME} visible ASCII characters without * and ?, which do not begin with __")]
pub struct InvalidName;

impl TopicName {
    /// Makes a name.
    ///
    /// # Errors
    /// [`InvalidName`].
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let valid = |byte: u8| byte.is_ascii_graphic() && byte != b'*' && byte != b'?';
        let right = (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(valid);
        if right && !text.starts_with("__") { Ok(Self(text.to_owned())) } else { Err(InvalidName) }
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A glob over names of topics: `*` matches any number of characters, `?` exactly one.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Pattern(String);

impl Pattern {
    /// Makes a pattern of 1 to 128 visible ASCII characters; `None` if `text` is not valid as one.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let right = (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        right.then(|| Self(text.to_owned()))
    }

    /// Returns the pattern.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether it matches the whole name.
    #[must_use]
    pub fn matches(&self, topic: &TopicName) -> bool {
        glob::matches(&self.0, &topic.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_visible_and_no_pattern() {
        for good in ["a", "orders", "user:7/chat", "_x", "{x}", "%00", &"a".repeat(128)] {
            assert!(TopicName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a*", "?", "ä", "a\n", "\0", "__redis__:invalidate", &"a".repeat(129)] {
            assert_eq!(TopicName::new(bad), Err(InvalidName), "{bad}");
        }
    }

    #[test]
    fn a_pattern_matches_whole_names() {
        let orders = TopicName::new("orders.eu").unwrap();
        for (pattern, matches) in [("orders.eu", true), ("orders.*", true), ("orders", false), ("*.e?", true)]
        {
            assert_eq!(Pattern::new(pattern).unwrap().matches(&orders), matches, "{pattern}");
        }
        assert!(Pattern::new("").is_none() && Pattern::new("a b").is_none());
    }
}
