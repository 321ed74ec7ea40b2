//! Whether a command may be sent again, and whether it is counted.

use crate::metrics::Metrics;
use std::cell::OnceCell;
use std::rc::{Rc, Weak};

/// The metrics that count commands, once they are set. Weak, because they hold the client.
pub(super) type Observer<E> = Rc<OnceCell<Weak<Metrics<E>>>>;

/// Whether a command may be sent twice, and is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    /// It may safely be sent twice.
    Repeatable,
    /// It must not be sent twice.
    Once,
    /// It must not be sent twice, and is not counted.
    Uncounted,
}
