//! How long a job waits before its next attempt.

use crate::time::millis;
use std::time::Duration;

/// Exponential backoff with jitter: the first delay is doubled with every attempt, up to the longest one. Of
/// that a random part between a half and the whole is taken, so that jobs that failed together do not come back
/// together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Default for Backoff {
    /// From 10 s to 1 h.
    fn default() -> Self {
        Self { first: Duration::from_secs(10), longest: Duration::from_secs(3600) }
    }
}

impl Backoff {
    /// Makes a backoff with delays from `first` to `longest`, or always `first` if `longest` is shorter.
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest: longest.max(first) }
    }

    /// Returns the delay after this attempt, counted from 1. `random` is any number.
    #[must_use]
    pub fn delay(self, attempt: u32, random: u32) -> Duration {
        let doubled = self.first.saturating_mul(1 << attempt.saturating_sub(1).min(30));
        let whole = millis(doubled.min(self.longest));
        let random = u64::from(random) % (whole / 2 + 1);
        Duration::from_millis(whole - random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn delays_double_up_to_the_longest() {
        let backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(60));
        let delays: Vec<u64> = (1..=5).map(|attempt| backoff.delay(attempt, 0).as_secs()).collect();
        assert_eq!(delays, [10, 20, 40, 60, 60]);
        assert_eq!(backoff.delay(u32::MAX, 0).as_secs(), 60);
        assert_eq!(backoff.delay(0, 0).as_secs(), 10);
    }

    proptest! {
        #[test]
        fn a_delay_is_between_a_half_and_the_whole(attempt in 1u32..100, random: u32) {
            let whole = Backoff::default().delay(attempt, 0);
            let delay = Backoff::default().delay(attempt, random);
            prop_assert!(delay <= whole && delay >= whole / 2);
        }
    }
}
