//! The sliding window counter: the count of the last window fades evenly while the next one is counted. It takes two
//! numbers of memory. It allows about the limit in any period if requests come evenly, and up to twice that if a burst
//! at the end of a window meets a full next window. What is left of the last window is rounded to the
//! nearest unit: rounded down, the first moment of a window would have room for one too many; rounded up, a limit of
//! one would be closed for a whole window.

use super::meter::{Meter, State};
use super::quota::Quota;

/// The counts of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowState {
    /// The length of the window, in milliseconds.
    window: u64,
    /// Its number since the epoch.
    number: u64,
    /// Units taken in it.
    count: u64,
    /// Units taken in the window before.
    before: u64,
}

/// A sliding window counter for one identity at one time.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    limit: u64,
    now: u64,
    /// How much of the window is left, in milliseconds: at least 1.
    rest: u64,
    state: WindowState,
    healed: bool,
}

impl Window {
    /// Opens the counter at `now`, in microseconds.
    ///
    /// Counts of a later window come from a clock that was ahead, and count in this one. Counts with another period count as if
    /// they had just been taken.
    #[must_use]
    pub fn open(quota: Quota, state: Option<WindowState>, now: u64) -> Self {
        let (window, limit) = (quota.micros() / 1000, u64::from(quota.limit().get()));
        let ms = now / 1000;
        let number = ms / window;
        let fresh = |count, before| WindowState { window, number, count, before };
        let (state, healed) = match state.map(|kept| kept.capped(limit)) {
            Some(kept) if kept.window != window => (fresh((kept.count + kept.before).min(limit), 0), true),
            Some(kept) if kept.number >= number => (fresh(kept.count, kept.before), kept.number > number),
            Some(kept) if kept.number + 1 == number => (fresh(0, kept.count), false),
            _ => (fresh(0, 0), false),
        };
        Self { limit, now, rest: (number + 1) * window - ms, state, healed }
    }

    fn faded(&self) -> u64 {
        let window = self.state.window;
        (2 * self.state.before * self.rest + window) / (2 * window)
    }

    /// Returns how much of a window may be left at most, so that no more than `room` of `units` still count.
    fn fades(&self, units: u64, room: u64) -> u64 {
        ((2 * room + 1) * self.state.window).div_ceil(2 * units) - 1
    }

    /// Returns the time until no more than `room` units count, in milliseconds.
    fn until_room(&self, room: u64) -> u64 {
        let WindowState { window, count, before, .. } = self.state;
        if self.faded() + count <= room {
            0
        } else if count <= room {
            self.rest - self.fades(before, room - count)
        } else {
            self.rest + window - self.fades(count, room)
        }
    }
}

impl WindowState {
    /// Caps the counts at the limit: more was counted under a higher one.
    fn capped(self, limit: u64) -> Self {
        Self { count: self.count.min(limit), before: self.before.min(limit), ..self }
    }
}

impl Meter for Window {
    fn burst(&self) -> u64 {
        self.limit
    }

    fn wait(&self, cost: u64) -> u64 {
        match self.until_room(self.limit.saturating_sub(cost)) {
            0 => 0,
            ms => (self.now / 1000 + ms) * 1000 - self.now,
        }
    }

    fn left(&self) -> u64 {
        self.limit.saturating_sub(self.state.count + self.faded())
    }

    fn take(&mut self, cost: u64) {
        self.state.count += cost;
    }

    fn give(&mut self, cost: u64) {
        let more = cost.saturating_sub(self.state.count);
        self.state.before = self.state.before.saturating_sub(more);
        self.state.count = self.state.count.saturating_sub(cost);
    }

    fn healed(&self) -> bool {
        self.healed
    }

    fn state(&self) -> Option<State> {
        (self.state.count + self.state.before > 0).then_some(State::Window(self.state))
    }
}

#[cfg(test)]
mod tests {
    use super::super::quota::tests::quota;
    use super::*;
    use proptest::prelude::*;

    /// The beginning of a minute.
    const NOW: u64 = 1_700_000_040_000_000;

    fn at(limit: u32, kept: Option<WindowState>, millis: u64) -> Window {
        Window::open(quota(limit, 60_000, limit), kept, NOW + millis * 1000)
    }

    #[test]
    fn the_last_window_fades_while_the_next_is_counted() {
        let mut meter = at(10, None, 59_000);
        meter.take(10);
        assert_eq!(
            (meter.left(), meter.wait(1)),
            (0, 4_001_000),
            "half of the first fades in the next window"
        );
        let kept = Some(meter.state);
        for (millis, left) in
            [(60_000, 0), (63_000, 0), (63_001, 1), (66_000, 1), (90_000, 5), (119_999, 10), (200_000, 10)]
        {
            assert_eq!(at(10, kept, millis).left(), left, "{millis}");
        }
        let mut half = at(10, kept, 90_000);
        half.take(5);
        assert_eq!((half.left(), half.wait(1)), (0, 3_001_000));
        assert_eq!(half.wait(6), 36_001_000, "a window on, five fade to four");
        half.give(1000);
        assert_eq!((half.left(), half.state.before), (10, 0));
    }

    #[test]
    fn a_burst_at_the_end_of_a_window_lets_twice_the_limit_through_in_one_period() {
        let mut kept = at(10, None, 59_999);
        kept.take(10);
        let (mut kept, mut units) = (Some(kept.state), 10);
        for millis in 60_000..119_999 {
            let mut meter = at(10, kept, millis);
            if meter.wait(1) == 0 {
                meter.take(1);
                units += 1;
            }
            kept = Some(meter.state);
        }
        assert_eq!(units, 20);
    }

    #[test]
    fn another_period_or_a_clock_that_was_ahead_forgives_nothing() {
        let mut meter = at(10, None, 0);
        meter.take(7);
        let other = Window::open(quota(10, 1000, 10), Some(meter.state), NOW);
        assert_eq!(other.left(), 3);
        let back = Window::open(quota(10, 60_000, 10), Some(meter.state), NOW - 86_400_000_000);
        assert_eq!(back.left(), 3);
        assert_eq!(at(5, Some(meter.state), 0).left(), 0, "lowered");
    }

    proptest! {
        #[test]
        fn it_opens_just_when_it_promised(limit in 1u32..50, window in 1u64..5000, count: u8, before: u8, into: u64, cost in 1u64..50) {
            let quota = quota(limit, window, limit);
            let now = 1_700_000_000_000_000 + into % (window * 1000);
            let number = now / 1000 / window;
            let kept = WindowState { window, number, count: count.into(), before: before.into() };
            let meter = Window::open(quota, Some(kept), now);
            let cost = cost.min(meter.burst());
            let wait = meter.wait(cost);
            let fits = |later| Window::open(quota, Some(meter.state), now + later).left() >= cost;
            prop_assert_eq!(fits(0), wait == 0);
            prop_assert!(fits(wait), "after {}", wait);
            prop_assert!(wait == 0 || !fits(wait - 1));
        }
    }
}
