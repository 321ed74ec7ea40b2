//! Waiting for what somebody else does, by polling with growing pauses for a bounded time.
//!
//! A subscription would be faster, but a shared connection cannot subscribe, and tasks of one wasm instance
//! cannot wake one another; so whoever waits polls.

use crate::time::{Timestamp, millis};
use std::time::Duration;

/// The longest that the first pause can be, in milliseconds; it doubles with each one.
const FIRST: u64 = 20;
/// The longest pause, in milliseconds.
const LONGEST: u64 = 250;

/// The state of one wait: how much longer to wait, and the pause before the next look.
#[derive(Clone, Debug)]
pub struct Patience {
    limit: Duration,
    started: Timestamp,
    slept: Duration,
    looks: u32,
}

impl Patience {
    /// Starts a wait of at most `limit`, from `now` on.
    #[must_use]
    pub const fn new(limit: Duration, now: Timestamp) -> Self {
        Self { limit, started: now, slept: Duration::ZERO, looks: 0 }
    }

    /// Returns the pause before the next look; `None` once the time is over. The last look comes at its very end.
    ///
    /// `ends_in` is the time after which what is waited for is over at the latest, as far as is known; `random` spreads
    /// out those who wait for the same thing.
    pub fn pause(&mut self, now: Timestamp, ends_in: Option<Duration>, random: u8) -> Option<Duration> {
        // If the clock steps back, nobody may wait for ever: the time slept counts by itself.
        let waited = now.since(self.started).max(self.slept);
        let left = millis(self.limit.saturating_sub(waited));
        if left == 0 {
            return None;
        }
        let base = (FIRST << self.looks.min(10)).min(LONGEST);
        // Between half of it and all of it.
        let spread = base / 2 + base * u64::from(random) / 512;
        let soon = ends_in.map_or(spread, |end| spread.min(millis(end) + 1));
        let pause = Duration::from_millis(soon.min(left));
        self.looks = self.looks.saturating_add(1);
        self.slept = self.slept.saturating_add(pause);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    #[test]
    fn pauses_grow_to_a_quarter_of_a_second_and_are_spread() {
        let mut patience = Patience::new(Duration::from_secs(60), NOW);
        let pauses: Vec<_> = (0..6).map(|_| patience.pause(NOW, None, 0).unwrap().as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 125, 125]);
        assert_eq!(patience.pause(NOW, None, 255), Some(ms(249)));
    }

    #[test]
    fn nobody_sleeps_much_past_the_end_of_what_is_waited_for() {
        let mut patience = Patience::new(Duration::from_secs(60), NOW);
        assert_eq!(patience.pause(NOW, Some(ms(3)), 200), Some(ms(4)));
        assert_eq!(patience.pause(NOW, Some(Duration::ZERO), 200), Some(ms(1)));
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        assert_eq!(Patience::new(Duration::ZERO, NOW).pause(NOW, None, 0), None);
    }

    #[test]
    fn the_clock_counts_too() {
        let mut patience = Patience::new(Duration::from_secs(1), NOW);
        assert_eq!(patience.pause(NOW.plus(ms(995)), None, 0), Some(ms(5)));
        assert_eq!(patience.pause(NOW.plus(ms(1000)), None, 0), None);
    }

    proptest! {
        #[test]
        fn the_pauses_of_a_standing_clock_add_up_to_the_limit(
            limit in 0u64..20_000, ends in proptest::option::of(0u64..500), random in any::<u8>(),
        ) {
            let mut patience = Patience::new(ms(limit), NOW);
            let (mut sum, mut looks) = (Duration::ZERO, 0);
            while let Some(pause) = patience.pause(NOW, ends.map(ms), random) {
                sum += pause;
                looks += 1;
                prop_assert!(looks <= 20_001);
            }
            prop_assert_eq!(sum, ms(limit));
        }
    }
}
