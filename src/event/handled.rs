//! The outcome of handling a message.

/// The outcome of handling a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// It was carried out.
    Done,
    /// It was handed over, because it takes long.
    HandedOver,
    /// It had been handed over, and another subscriber has it.
    Taken,
    /// Purged entries were swept, unless another sweep was running.
    Swept,
    /// It had been handled before.
    Duplicate,
    /// It was not understood, and nothing was done.
    Malformed,
    /// Redis failed; it may be carried out in part.
    Failed,
    /// Redis is switched off.
    Disabled,
}

impl Handled {
    /// Returns the name of its counter; messages that subscribers send one another have none.
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
