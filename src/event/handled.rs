//! What became of a message.

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
