//! The state of the connection to one server.

use super::outage::{Condition, Outage};
use crate::time::Instant;
use std::rc::Rc;

/// The connection to a server, or why there is none.
pub(super) enum Link<C> {
    Closed,
    /// A task is opening it; `after` is the outage that this try may end.
    Opening {
        after: Option<Outage>,
    },
    /// It was opened at `since`, after `failures` in a row. These are forgotten only once a command is answered, so that a
    /// server that accepts connections and never answers is left alone for longer and longer.
    Open {
        connection: Rc<C>,
        failures: u32,
        since: Instant,
    },
    Down(Outage),
}

impl<C> Link<C> {
    /// Returns what it shows about the server.
    pub(super) fn condition(&self) -> Condition {
        match self {
            Self::Closed | Self::Opening { after: None } => Condition::Unused,
            Self::Open { failures: 0, .. } => Condition::Connected,
            // It is open, but nothing was answered on it yet.
            Self::Open { failures, .. } => {
                Condition::Down { last: "redis-timeout".to_owned(), failures: *failures }
            }
            Self::Down(outage) | Self::Opening { after: Some(outage) } => outage.condition(),
        }
    }
}
