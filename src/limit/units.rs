//! Units that each end at a time of their own: those of the exact sliding window log, one period after they were
//! taken; leases of a concurrency limit, when they expire or are given back.

use super::meter::{Meter, State};
use super::quota::Quota;

/// When each unit ends, in microseconds, and the name of the request that took it; sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitsState(Vec<(u64, String)>);

/// The units of one identity at one time.
#[derive(Clone, Debug)]
pub struct Units {
    quota: Quota,
    now: u64,
    name: String,
    leases: bool,
    units: Vec<(u64, String)>,
}

impl Units {
    /// Opens the units at `now`, in microseconds, for the request `name`. One that ends later than is possible
    /// was taken by a clock that was ahead, and does not count.
    #[must_use]
    pub fn open(quota: Quota, state: UnitsState, now: u64, name: &str, leases: bool) -> Self {
        let mut units = state.0;
        units.retain(|(end, _)| *end > now && *end <= now + quota.micros());
        Self { quota, now, name: name.to_owned(), leases, units }
    }

    fn limit(&self) -> usize {
        self.quota.limit().get() as usize
    }

    fn member(&self, number: u64) -> String {
        format!("{}:{number}", self.name)
    }
}

impl Meter for Units {
    fn burst(&self) -> u64 {
        self.limit() as u64
    }

    fn wait(&self, cost: u64) -> u64 {
        let cost = usize::try_from(cost).unwrap_or(usize::MAX);
        let over = self.units.len().saturating_add(cost).saturating_sub(self.limit());
        let ends = over.checked_sub(1).and_then(|rank| self.units.get(rank));
        ends.map_or(0, |(end, _)| end - self.now)
    }

    fn left(&self) -> u64 {
        self.limit().saturating_sub(self.units.len()) as u64
    }

    fn take(&mut self, cost: u64) {
        for number in 1..=cost {
            let member = self.member(number);
            self.units.retain(|(_, other)| *other != member);
            self.units.push((self.now + self.quota.micros(), member));
        }
        self.units.sort_unstable();
    }

    /// Gives back units of this request from a log, or its lease from a concurrency limit.
    fn give(&mut self, cost: u64) {
        if self.leases {
            let member = self.member(1);
            self.units.retain(|(_, other)| *other != member);
        } else {
            // Those of this request, or if it has none any more, the latest.
            let after = self.units.len().saturating_sub(usize::try_from(cost).unwrap_or(usize::MAX));
            for number in 1..=cost {
                let member = self.member(number);
                self.units.retain(|(_, other)| *other != member);
            }
            self.units.truncate(after);
        }
    }

    fn holds(&self) -> bool {
        let member = self.member(1);
        self.units.iter().any(|(_, other)| *other == member)
    }

    fn state(&self) -> Option<State> {
        (!self.units.is_empty()).then(|| State::Units(UnitsState(self.units.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::super::quota::tests::quota;
    use super::*;

    const NOW: u64 = 1_700_000_000_000_000;

    fn at(state: &UnitsState, later: u64, name: &str, leases: bool) -> Units {
        Units::open(quota(3, 1000, 3), state.clone(), NOW + later, name, leases)
    }

    fn kept(units: Units) -> UnitsState {
        UnitsState(units.units)
    }

    #[test]
    fn a_unit_of_the_log_ends_just_one_period_after_it_was_taken() {
        let mut log = at(&UnitsState::default(), 0, "a", false);
        log.take(1);
        let mut log = at(&kept(log), 400, "b", false);
        log.take(2);
        assert_eq!((log.left(), log.wait(1), log.wait(2), log.wait(3)), (0, 999_600, 1_000_000, 1_000_000));
        let state = kept(log);
        assert_eq!(at(&state, 999_999, "c", false).left(), 0);
        assert_eq!(at(&state, 1_000_000, "c", false).left(), 1);
        let mut log = at(&state, 1000, "c", false);
        log.give(1);
        assert_eq!((log.left(), log.wait(2)), (1, 999_000), "the latest is given back");
    }

    #[test]
    fn a_lease_is_renewed_by_its_name_and_given_back_by_it() {
        let mut leases = at(&UnitsState::default(), 0, "a", true);
        leases.take(1);
        let again = at(&kept(leases.clone()), 500, "a", true);
        assert!(again.holds());
        let mut again = again;
        again.take(1);
        assert_eq!((again.left(), again.wait(3)), (2, 1_000_000));
        let mut other = at(&kept(again.clone()), 500, "b", true);
        other.give(1);
        assert_eq!(other.left(), 2, "it holds none");
        again.give(1);
        assert_eq!(again.left(), 3);
    }

    #[test]
    fn a_unit_of_a_clock_that_was_ahead_does_not_count() {
        let mut log = at(&UnitsState::default(), 86_400_000_000, "a", false);
        log.take(3);
        assert_eq!(at(&kept(log), 0, "b", false).left(), 3);
    }
}
