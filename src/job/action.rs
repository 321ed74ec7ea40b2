//! What a worker may do with a lease.

use std::fmt;

/// What a worker does with a lease: it ends it, or extends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The job is done.
    Ack,
    /// The job failed, and is attempted again.
    Retry,
    /// The job is given back as if it had not been claimed.
    Release,
    /// The job cannot succeed, and becomes a dead letter.
    Bury,
    /// The lease lasts longer.
    Extend,
}

impl Action {
    const ALL: [Self; 5] = [Self::Ack, Self::Retry, Self::Release, Self::Bury, Self::Extend];

    /// Returns the action as one word, in paths and in Redis alike.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Retry => "retry",
            Self::Release => "release",
            Self::Bury => "bury",
            Self::Extend => "extend",
        }
    }

    /// Parses a word; `None` for another one.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
