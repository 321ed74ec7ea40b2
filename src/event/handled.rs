//! What became of a message.

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// It was done.
    Done,
    /// Somebody else is to do it: it takes long.
    HandedOver,
    /// It was handed over, and somebody else has it.
    Taken,
    /// The space of what was purged was given back, or somebody else is at it.
    Swept,
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
    /// The name of its counter; what only subscribers tell one another has none.
    #[must_use]
    pub const fn counter(self) -> Option<&'static str> {
        match self {
            Self::Done => Some("messages_done"),
            Self::HandedOver => Some("messages_handed_over"),
            Self::Duplicate => Some("messages_duplicate"),
            Self::Malformed => Some("messages_malformed"),
            Self::Failed => Some("messages_failed"),
            Self::Disabled => Some("messages_disabled"),
            Self::Taken | Self::Swept => None,
        }
    }
}
