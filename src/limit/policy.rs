//! Policies: a quota, how it is counted, and what applies while Redis is away.

use super::quota::{MAX_UNITS, Quota};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

/// The largest limit of [`Algorithm::Log`], which remembers every unit.
pub const MAX_LOG: u32 = 10_000;

/// The most units that one request takes from an exact log.
pub const MAX_LOG_COST: u32 = 100;

/// How units are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// The generic cell rate algorithm (ITU-T I.371), also known as leaky bucket: a burst at once, then an even
    /// rate.
    #[default]
    Gcra,
    /// Two counts, of which the older one fades: about the limit in any window.
    Window,
    /// Every unit is remembered for one period: exactly the limit in any window.
    Log,
    /// A number of requests at the same time. The period is how long one may last without being renewed.
    Concurrency,
}

impl Algorithm {
    /// Returns its name in the configuration, the API and the keys.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gcra => "gcra",
            Self::Window => "window",
            Self::Log => "log",
            Self::Concurrency => "concurrency",
        }
    }

    /// All algorithms.
    pub const ALL: [Self; 4] = [Self::Gcra, Self::Window, Self::Log, Self::Concurrency];

    /// Returns the algorithm with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

/// What a policy does while Redis does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Everything is let through.
    #[default]
    Open,
    /// Nothing is let through.
    Closed,
    /// Each instance lets through its share: the quota divided by the expected number of instances.
    Local {
        /// The expected number of instances.
        instances: NonZeroU32,
    },
}

/// A limit with a name.
///
/// ```
/// use spindrift::limit::{Algorithm, Mode, Policy, Quota};
/// use std::num::NonZeroU32;
/// use std::time::Duration;
///
/// let quota = Quota::new(NonZeroU32::new(5).unwrap(), Duration::from_secs(60))?;
/// let logins = Policy::new("logins", Algorithm::Log, quota)?.with_mode(Mode::Closed);
/// assert_eq!(logins.name(), "logins");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    name: Rc<str>,
    algorithm: Algorithm,
    quota: Quota,
    mode: Mode,
    shadow: bool,
}

/// Why name, algorithm and quota do not make a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The name is not valid.
    #[error("expected a name of 1 to 64 letters, digits, \"-\", \"_\" or \".\"")]
    Name,
    /// The algorithm has no burst.
    #[error("expected no burst other than the limit: only gcra has one")]
    Burst,
    /// The log would be too long.
    #[error("expected a limit of at most {MAX_LOG} for the algorithm log, found {0}")]
    Log(u32),
    /// Products of limit and window would not be exact.
    #[error("expected limit times period of at most 2^51 ms for the algorithm window, found more")]
    Window,
}

impl Policy {
    /// Makes a policy that refuses what is over its quota, and lets everything through while Redis is away.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn new(name: &str, algorithm: Algorithm, quota: Quota) -> Result<Self, PolicyError> {
        if !is_name(name) {
            return Err(PolicyError::Name);
        }
        let limit = quota.limit();
        if algorithm != Algorithm::Gcra && quota.burst() != limit {
            return Err(PolicyError::Burst);
        }
        let millis = u128::from(quota.micros() / 1000);
        match algorithm {
            Algorithm::Log if limit.get() > MAX_LOG => Err(PolicyError::Log(limit.get())),
            Algorithm::Window if u128::from(limit.get()) * millis > 1 << 51 => Err(PolicyError::Window),
            _ => {
                let (mode, shadow) = (Mode::default(), false);
                Ok(Self { name: name.into(), algorithm, quota, mode, shadow })
            }
        }
    }

    /// Sets the mode.
    #[must_use]
    pub fn with_mode(self, mode: Mode) -> Self {
        Self { mode, ..self }
    }

    /// Sets whether it is in shadow: then it counts and refuses nothing.
    #[must_use]
    pub fn in_shadow(self, shadow: bool) -> Self {
        Self { shadow, ..self }
    }

    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns how it counts.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns what it allows. The period of a concurrency limit is how long a lease lasts.
    #[must_use]
    pub const fn quota(&self) -> &Quota {
        &self.quota
    }

    /// Returns what it does while Redis is away.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Returns whether it is in shadow.
    #[must_use]
    pub const fn shadow(&self) -> bool {
        self.shadow
    }

    /// Returns the largest cost that it ever lets through at once.
    #[must_use]
    pub const fn most(&self) -> u32 {
        match self.algorithm {
            Algorithm::Concurrency => 1,
            Algorithm::Log => least(self.quota.limit().get(), MAX_LOG_COST),
            Algorithm::Gcra | Algorithm::Window => least(self.quota.burst().get(), MAX_UNITS),
        }
    }

    /// Returns the policy by which one of `instances` decides about a cost on its own: GCRA with its share of the quota, or
    /// for a concurrency limit its share of the slots. A cost that the whole quota lets through fits into the share, too.
    pub(super) fn local(&self, instances: NonZeroU32, cost: u32) -> Self {
        let (algorithm, quota) = match self.algorithm {
            Algorithm::Concurrency => {
                let slots = NonZeroU32::new(self.quota.limit().get() / instances).unwrap_or(NonZeroU32::MIN);
                (Algorithm::Concurrency, Quota::new(slots, self.quota.period()).unwrap_or(self.quota))
            }
            _ => {
                let least = NonZeroU32::new(cost.min(self.most())).unwrap_or(NonZeroU32::MIN);
                (Algorithm::Gcra, self.quota.share(instances, least))
            }
        };
        Self { algorithm, quota, ..self.clone() }
    }

    /// Returns whether it grants leases, which are held for a time and given back.
    pub(crate) fn leases(&self) -> bool {
        self.algorithm == Algorithm::Concurrency
    }

    /// Returns how long a lease lasts, or the period of a quota.
    #[must_use]
    pub const fn period(&self) -> Duration {
        self.quota.period()
    }
}

const fn least(one: u32, other: u32) -> u32 {
    if one < other { one } else { other }
}

/// Returns whether a text is a valid name of a policy.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(valid)
}

#[cfg(test)]
mod tests {
    use super::super::quota::tests::{quota, units};
    use super::*;

    #[test]
    fn what_makes_no_policy_is_refused() {
        let plain = quota(10, 1000, 10);
        for name in ["", "a b", "a:b", "{a}", "ä", &"a".repeat(65)] {
            assert_eq!(Policy::new(name, Algorithm::Gcra, plain), Err(PolicyError::Name), "{name}");
        }
        let new = |algorithm, quota| Policy::new("a", algorithm, quota).map(|_| ());
        assert_eq!(new(Algorithm::Window, quota(10, 1000, 20)), Err(PolicyError::Burst));
        assert_eq!(new(Algorithm::Log, quota(20_000, 1000, 20_000)), Err(PolicyError::Log(20_000)));
        let year = 365 * 86_400_000;
        assert_eq!(new(Algorithm::Window, quota(1_000_000, year, 1_000_000)), Err(PolicyError::Window));
        assert_eq!(new(Algorithm::Gcra, quota(1_000_000, year, 1_000_000)), Ok(()));
    }

    #[test]
    fn an_instance_on_its_own_has_its_share() {
        let local = |algorithm, limit, cost| {
            let policy = Policy::new("a", algorithm, quota(limit, 1000, limit)).unwrap();
            let local = policy.local(units(4), cost);
            (local.algorithm(), local.quota().burst().get(), local.period().as_millis())
        };
        assert_eq!(local(Algorithm::Window, 10, 1), (Algorithm::Gcra, 2, 4000));
        assert_eq!(local(Algorithm::Window, 10, 0), (Algorithm::Gcra, 2, 4000));
        assert_eq!(local(Algorithm::Gcra, 10, 5), (Algorithm::Gcra, 5, 4000), "the cost fits in");
        assert_eq!(local(Algorithm::Gcra, 10, 99), (Algorithm::Gcra, 10, 4000), "this one never does");
        assert_eq!(local(Algorithm::Log, 1000, 400), (Algorithm::Gcra, 250, 4000));
        assert_eq!(local(Algorithm::Concurrency, 10, 1), (Algorithm::Concurrency, 2, 1000));
        assert_eq!(local(Algorithm::Concurrency, 3, 1), (Algorithm::Concurrency, 1, 1000));
    }
}
