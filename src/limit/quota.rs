//! Quotas: how many units are allowed in which period.

use crate::time::millis;
use std::num::NonZeroU32;
use std::time::Duration;

/// The largest limit and the largest burst: the product of the two is exact in the scripts.
pub const MAX_UNITS: u32 = 10_000_000;

/// The longest period, and the longest time in which a burst must become free again.
pub const MAX_PERIOD: Duration = Duration::from_secs(365 * 86_400);

/// A number of units in each period, of which a burst may be taken at once.
///
/// ```
/// use spindrift::limit::Quota;
/// use std::num::NonZeroU32;
/// use std::time::Duration;
///
/// let quota = Quota::new(NonZeroU32::new(100).unwrap(), Duration::from_secs(60))?;
/// assert_eq!(quota.burst().get(), 100, "all of them at once, unless said otherwise");
/// let gentle = quota.with_burst(NonZeroU32::new(10).unwrap())?;
/// assert_eq!((gentle.limit().get(), gentle.burst().get()), (100, 10));
/// # Ok::<(), spindrift::limit::QuotaError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    limit: NonZeroU32,
    /// In whole milliseconds, at least one.
    period: Duration,
    burst: NonZeroU32,
}

/// Why numbers do not make a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    /// There are more than [`MAX_UNITS`].
    #[error("expected at most {MAX_UNITS} units, found {0}")]
    Units(u32),
    /// The period is not in whole milliseconds, zero, or longer than [`MAX_PERIOD`].
    #[error("expected a period of whole milliseconds from 1 ms to 365 days, found {0:?}")]
    Period(Duration),
    /// The burst would take longer than [`MAX_PERIOD`] to become free again.
    #[error("expected a burst that is replenished within 365 days, found one that takes {0} days")]
    Slow(u64),
}

impl Quota {
    /// Makes a quota of `limit` units in each `period`, which may all be taken at once.
    ///
    /// # Errors
    /// [`QuotaError`].
    pub fn new(limit: NonZeroU32, period: Duration) -> Result<Self, QuotaError> {
        if limit.get() > MAX_UNITS {
            return Err(QuotaError::Units(limit.get()));
        }
        let whole = period == Duration::from_millis(millis(period));
        if !whole || period.is_zero() || period > MAX_PERIOD {
            return Err(QuotaError::Period(period));
        }
        Ok(Self { limit, period, burst: limit })
    }

    /// Sets the burst; the rate stays the same.
    ///
    /// # Errors
    /// [`QuotaError`].
    pub fn with_burst(self, burst: NonZeroU32) -> Result<Self, QuotaError> {
        if burst.get() > MAX_UNITS {
            return Err(QuotaError::Units(burst.get()));
        }
        let refill = u128::from(burst.get()) * self.period.as_micros() / u128::from(self.limit.get());
        if refill > MAX_PERIOD.as_micros() {
            return Err(QuotaError::Slow(u64::try_from(refill / 86_400_000_000).unwrap_or(u64::MAX)));
        }
        Ok(Self { burst, ..self })
    }

    /// Returns the units in each period.
    #[must_use]
    pub const fn limit(&self) -> NonZeroU32 {
        self.limit
    }

    /// Returns the length of the period.
    #[must_use]
    pub const fn period(&self) -> Duration {
        self.period
    }

    /// Returns the units that may be taken at once.
    #[must_use]
    pub const fn burst(&self) -> NonZeroU32 {
        self.burst
    }

    /// Returns the period in microseconds.
    pub(crate) fn micros(&self) -> u64 {
        millis(self.period) * 1000
    }

    /// Returns the part of this quota that one of `instances` may use on its own: all together have the same rate and
    /// burst, but each may take at least `least` units at once.
    #[must_use]
    pub(crate) fn share(&self, instances: NonZeroU32, least: NonZeroU32) -> Self {
        let burst = NonZeroU32::new(self.burst.get() / instances).unwrap_or(NonZeroU32::MIN).max(least);
        Self { limit: self.limit, period: self.period.saturating_mul(instances.get()), burst }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn units(units: u32) -> NonZeroU32 {
        NonZeroU32::new(units).unwrap()
    }

    pub(crate) fn quota(limit: u32, millis: u64, burst: u32) -> Quota {
        let quota = Quota::new(units(limit), Duration::from_millis(millis)).unwrap();
        quota.with_burst(units(burst)).unwrap()
    }

    /// Quotas of all sizes, the most uneven included.
    pub(crate) fn any_quota() -> impl Strategy<Value = Quota> {
        let limit = prop_oneof![1u32..20, 1..=MAX_UNITS];
        let millis = prop_oneof![1u64..5_000, 1..=86_400_000u64 * 365];
        let valid = |(limit, millis, burst): (u32, u64, Option<u32>)| {
            let quota = Quota::new(units(limit), Duration::from_millis(millis)).unwrap();
            burst.and_then(|burst| quota.with_burst(units(burst)).ok()).unwrap_or(quota)
        };
        (limit, millis, proptest::option::of(prop_oneof![1u32..30, 1..=MAX_UNITS])).prop_map(valid)
    }

    #[test]
    fn numbers_that_are_no_quota_are_refused() {
        let new = |limit, period| Quota::new(units(limit), period);
        let minute = Duration::from_secs(60);
        assert_eq!(new(MAX_UNITS + 1, minute), Err(QuotaError::Units(MAX_UNITS + 1)));
        for period in [Duration::ZERO, Duration::from_micros(1500), MAX_PERIOD + Duration::from_millis(1)] {
            assert_eq!(new(1, period), Err(QuotaError::Period(period)));
        }
        assert_eq!(new(1, MAX_PERIOD).unwrap().with_burst(units(2)), Err(QuotaError::Slow(730)));
        assert!(new(MAX_UNITS, MAX_PERIOD).is_ok());
    }

    #[test]
    fn shares_are_together_no_more_than_the_whole() {
        let share = quota(100, 60_000, 10).share(units(4), units(1));
        assert_eq!((share.limit().get(), share.burst().get()), (100, 2));
        assert_eq!(share.period(), Duration::from_secs(240));
        assert_eq!(quota(3, 1000, 3).share(units(10), units(1)).burst().get(), 1);
        assert_eq!(quota(100, 60_000, 10).share(units(4), units(5)).burst().get(), 5);
    }
}
