//! Log lines about lasting problems: one now and then, not one for every request.

use crate::time::Instant;
use std::cell::Cell;
use std::time::Duration;

/// How often the same line is logged.
const EVERY: Duration = Duration::from_secs(60);

/// When something was last logged.
#[derive(Debug, Default)]
pub(crate) struct Nagging {
    last: Cell<Option<Instant>>,
}

impl Nagging {
    /// Returns whether the line is due, by [`Clock::instant`](crate::env::Clock::instant), and counts it as logged if so.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        let is_due = self.last.get().is_none_or(|last| now.since(last) >= EVERY);
        if is_due {
            self.last.set(Some(now));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_a_minute() {
        let nagging = Nagging::default();
        let due = |seconds| nagging.is_due(Instant::after(Duration::from_secs(seconds)));
        assert_eq!([0, 1, 59, 60, 61].map(due), [true, false, false, true, false]);
    }
}
