//! The outage of a server: how long it is not contacted, and which error is returned meanwhile.

use super::RedisError;
use crate::time::Instant;
use std::time::Duration;

/// A number of failures in a row, and when the next try may be.
#[derive(Clone, Debug)]
pub(super) struct Outage {
    failures: u32,
    /// By [`Clock::instant`](crate::env::Clock::instant): the wall clock may be set back.
    until: Instant,
    last: String,
}

impl Outage {
    /// Makes the outage that `error` begins or prolongs, after `failures` in a row before it.
    pub(super) fn after(failures: u32, error: &RedisError, now: Instant, random: u8) -> Self {
        let failures = failures.saturating_add(1);
        let until = now.plus(backoff(failures, random));
        Self { failures, until, last: error.reason().to_owned() }
    }

    /// Returns the number of failures in a row.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    /// Returns whether the server is still left alone.
    pub(super) fn lasts(&self, now: Instant) -> bool {
        now < self.until
    }

    /// Returns for how much longer.
    pub(super) fn left(&self, now: Instant) -> Duration {
        self.until.since(now)
    }

    /// Returns the error for a command meanwhile.
    pub(super) fn error(&self, now: Instant) -> RedisError {
        RedisError::Down { last: self.last.clone(), retry_in: self.left(now) }
    }

    /// Returns the condition of the server, for monitoring.
    pub(super) fn condition(&self) -> Condition {
        Condition::Down { last: self.last.clone(), failures: self.failures }
    }
}

/// What is known about a server without asking it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It was not used yet.
    Unused,
    /// Its connection is open.
    Connected,
    /// It failed, and is left alone for a while.
    Down {
        /// The last failure.
        last: String,
        /// The number of failures in a row.
        failures: u32,
    },
}

impl Condition {
    /// Returns the order of preference: the least is asked first.
    pub(super) const fn rank(&self) -> u32 {
        match self {
            Self::Connected => 0,
            Self::Unused => 1,
            Self::Down { failures, .. } => failures.saturating_add(1),
        }
    }

    /// Returns the number of failures in a row.
    pub(super) const fn failures(&self) -> u32 {
        match self {
            Self::Connected | Self::Unused => 0,
            Self::Down { failures, .. } => *failures,
        }
    }
}

/// Returns how long to leave the server alone after `failures` in a row: 50 ms, doubled each time up to 5 s,
/// and up to 200 ms more, so that instances do not come back all at once.
fn backoff(failures: u32, random: u8) -> Duration {
    let doubled = 50u64.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(5_000);
    Duration::from_millis(doubled + u64::from(random) * 200 / 256)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_five_seconds_with_jitter() {
        let base: Vec<_> = (1..=9).map(|n| backoff(n, 0).as_millis()).collect();
        assert_eq!(base, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(backoff(u32::MAX, 255), Duration::from_millis(5199));
    }
}
