//! The generic cell rate algorithm (GCRA, ITU-T I.371): a meter that drains at an even rate. It keeps only one point in
//! time, the theoretical arrival time (TAT).

use super::meter::{Meter, State};
use super::quota::Quota;

/// A point in time, or a span: whole microseconds and a fraction of one in n-ths, n being the limit. So the share of
/// the period that belongs to one unit needs no rounding, and exactly `limit` units fit into the period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Exact {
    us: u64,
    part: u64,
}

/// The TAT of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GcraState(Exact);

/// GCRA for one identity at one time.
#[derive(Clone, Copy, Debug)]
pub struct Gcra {
    quota: Quota,
    now: u64,
    tat: Exact,
    healed: bool,
}

impl Gcra {
    /// Opens the meter at `now`, in microseconds. A TAT further ahead than the burst allows comes from a higher
    /// limit, or a clock that was ahead: it counts as the furthest possible.
    #[must_use]
    pub fn open(quota: Quota, state: Option<GcraState>, now: u64) -> Self {
        let empty = Exact { us: now, part: 0 };
        let mut meter = Self { quota, now, tat: empty, healed: false };
        if let Some(GcraState(tat)) = state {
            let tat = Exact { part: tat.part.min(meter.limit() - 1), ..tat };
            meter.healed = tat > meter.most();
            meter.tat = tat.clamp(empty, meter.most());
        }
        meter
    }

    fn limit(&self) -> u64 {
        u64::from(self.quota.limit().get())
    }

    /// Returns how long `units` take to become free again.
    fn span(&self, units: u64) -> Exact {
        let (period, limit) = (self.quota.micros(), self.limit());
        let parts = units * (period % limit);
        Exact { us: units * (period / limit) + parts / limit, part: parts % limit }
    }

    fn later(&self, at: Exact, units: u64) -> Exact {
        let span = self.span(units);
        let parts = at.part + span.part;
        Exact { us: at.us + span.us + parts / self.limit(), part: parts % self.limit() }
    }

    /// Returns the difference, unless `at` is before `earlier`.
    fn since(&self, at: Exact, earlier: Exact) -> Option<Exact> {
        let (borrow, part) = match at.part.checked_sub(earlier.part) {
            Some(part) => (0, part),
            None => (1, at.part + self.limit() - earlier.part),
        };
        Some(Exact { us: at.us.checked_sub(earlier.us)?.checked_sub(borrow)?, part })
    }

    /// Returns the latest possible TAT, with the burst used up.
    fn most(&self) -> Exact {
        self.later(Exact { us: self.now, part: 0 }, self.burst())
    }
}

impl Meter for Gcra {
    fn burst(&self) -> u64 {
        u64::from(self.quota.burst().get())
    }

    fn wait(&self, cost: u64) -> u64 {
        let over = self.since(self.later(self.tat, cost), self.most());
        over.map_or(0, |over| over.us + u64::from(over.part > 0))
    }

    fn left(&self) -> u64 {
        let span = self.since(self.most(), self.tat).unwrap_or(Exact { us: 0, part: 0 });
        let parts = u128::from(span.us) * u128::from(self.limit()) + u128::from(span.part);
        u64::try_from(parts / u128::from(self.quota.micros())).unwrap_or(u64::MAX)
    }

    fn take(&mut self, cost: u64) {
        self.tat = self.later(self.tat, cost);
    }

    fn give(&mut self, cost: u64) {
        let empty = Exact { us: self.now, part: 0 };
        self.tat = self.since(self.tat, self.span(cost)).unwrap_or(empty).max(empty);
    }

    fn healed(&self) -> bool {
        self.healed
    }

    fn state(&self) -> Option<State> {
        (self.tat > Exact { us: self.now, part: 0 }).then_some(State::Gcra(GcraState(self.tat)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::quota::tests::{any_quota, quota};
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_700_000_000_000_000;

    fn state(meter: Gcra) -> Option<GcraState> {
        Some(GcraState(meter.tat))
    }

    /// One unit per second, at most five at once: the results of a cell limiter with `max_burst` 4.
    #[test]
    fn a_bucket_of_five_that_fills_by_one_a_second() {
        let rows = [
            // at (ms), cost, remaining, reset (ms), retry (ms)
            (0, 1, 4, 1000, 0),
            (0, 1, 3, 2000, 0),
            (0, 1, 2, 3000, 0),
            (0, 1, 1, 4000, 0),
            (0, 1, 0, 5000, 0),
            (0, 1, 0, 5000, 1000),
            (0, 0, 0, 5000, 0),
            (0, 6, 0, 5000, u64::MAX),
            (3000, 1, 2, 3000, 0),
            (3100, 1, 1, 3900, 0),
            (3100, 3, 1, 3900, 1900),
            (9500, 1, 4, 1000, 0),
            (9500, 2, 2, 3000, 0),
            (9500, 2, 0, 5000, 0),
            (9500, 1, 0, 5000, 1000),
        ];
        let quota = quota(1, 1000, 5);
        let mut kept = None;
        for (at, cost, left, reset, retry) in rows {
            let mut meter = Gcra::open(quota, kept, NOW + at * 1000);
            let room = if cost > meter.burst() { u64::MAX } else { meter.wait(cost) / 1000 };
            assert_eq!(room, retry, "{cost} at {at}");
            if retry == 0 {
                meter.take(cost);
            }
            assert_eq!((meter.left(), meter.wait(5) / 1000), (left, reset), "{cost} at {at}");
            kept = state(meter);
        }
    }

    #[test]
    fn giving_back_more_than_was_taken_is_giving_back_all() {
        let mut meter = Gcra::open(quota(3, 1000, 3), None, NOW);
        meter.take(1);
        meter.give(1000);
        assert_eq!((meter.left(), meter.wait(3)), (3, 0));
    }

    #[test]
    fn a_clock_that_steps_back_costs_no_more_than_the_whole_burst() {
        let mut meter = Gcra::open(quota(10, 1000, 10), None, NOW);
        meter.take(3);
        let back = Gcra::open(quota(10, 1000, 10), state(meter), NOW - 86_400_000_000);
        assert_eq!((back.left(), back.wait(10)), (0, 1_000_000));
    }

    proptest! {
        #[test]
        fn exactly_the_burst_is_there_at_once(quota in any_quota()) {
            let mut meter = Gcra::open(quota, None, NOW);
            let burst = meter.burst();
            prop_assert_eq!((meter.left(), meter.wait(burst)), (burst, 0));
            let some = burst / 3;
            meter.take(some);
            prop_assert_eq!(meter.left(), burst - some);
            meter.take(burst - some);
            prop_assert_eq!(meter.left(), 0);
            prop_assert!(meter.wait(1) > 0);
        }

        #[test]
        fn it_opens_just_when_it_promised(quota in any_quota(), cost in 1u64..20, later in 0u64..1_000_000) {
            let mut meter = Gcra::open(quota, None, NOW);
            let cost = cost.min(meter.burst());
            meter.take(meter.burst());
            let wait = meter.wait(cost);
            prop_assert!(wait > 0);
            prop_assert!(Gcra::open(quota, state(meter), NOW + wait - 1).left() < cost);
            prop_assert_eq!(Gcra::open(quota, state(meter), NOW + wait).wait(cost), 0);
            prop_assert_eq!(Gcra::open(quota, state(meter), NOW + wait + later).wait(cost), 0);
        }

        #[test]
        fn in_the_long_run_the_limit_is_kept_to_the_unit(limit in 1u32..2000, millis in 1u64..2000, periods in 1u64..50) {
            let quota = quota(limit, millis, 1);
            let (mut taken, mut now, mut kept) = (0u64, NOW, None);
            let end = NOW + periods * millis * 1000;
            while now < end && taken < 5000 {
                let mut meter = Gcra::open(quota, kept, now);
                let wait = meter.wait(1);
                if wait == 0 {
                    meter.take(1);
                    taken += 1;
                }
                kept = state(meter);
                now += wait;
            }
            if taken < 5000 {
                prop_assert!(taken <= periods * u64::from(limit) + 1, "{} of {}", taken, periods * u64::from(limit));
                // A visitor who always comes as early as possible loses less than a microsecond each time.
                let lost = taken / (millis * 1000 / u64::from(limit)).max(1) + 1;
                prop_assert!(taken + lost + 1 >= periods * u64::from(limit), "{} of {}", taken, periods * u64::from(limit));
            }
        }
    }
}
