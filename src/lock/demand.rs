//! Demands for locks: names, owners, times and numbers, checked against their bounds.

use crate::env::Entropy;
use crate::invalid::Invalid;
use crate::nonce;
use crate::time::Ttl;
use std::num::NonZeroU64;
use std::time::Duration;

/// The longest name, in bytes.
pub const MAX_NAME: usize = 512;
/// The longest owner, in bytes.
pub const MAX_OWNER: usize = 128;
/// The most permits of a semaphore.
pub const MAX_PERMITS: u64 = 100;
/// The shortest lease.
pub const MIN_LEASE: Duration = Duration::from_millis(100);
/// The longest lease. It may be renewed any number of times.
pub const MAX_LEASE: Duration = Duration::from_secs(24 * 3600);
/// The longest wait. Hosts end a request after 30 s.
pub const MAX_WAIT: Duration = Duration::from_secs(10);

/// The name of a lock, or of a resource whose fences are checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(String);

impl Name {
    /// Makes a name: 1 to 512 bytes of UTF-8, without control characters.
    ///
    /// # Errors
    /// [`Invalid`] for anything else.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        Invalid::check_text("a name", MAX_NAME, text)?;
        Ok(Self(text.to_owned()))
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The owner of a lock, also called its token: whoever knows it may renew and release the lock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner(String);

impl Owner {
    /// Makes a unique owner of 128 random bits.
    #[must_use]
    pub fn random(entropy: &impl Entropy) -> Self {
        Self(nonce::random(entropy))
    }

    /// Makes an owner: 1 to 128 visible ASCII characters. It must be different for each holder: two with the same
    /// text are one owner.
    ///
    /// # Errors
    /// [`Invalid`] for anything else.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let valid = (1..=MAX_OWNER).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if valid {
            return Ok(Self(text.to_owned()));
        }
        let found = if text.len() > MAX_OWNER { text.len().to_string() } else { format!("{text:?}") };
        Err(Invalid::new(format!("an owner of 1 to {MAX_OWNER} visible ASCII characters"), found))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How long a lease lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTime(Ttl);

impl LeaseTime {
    /// Makes a lease time from 100 ms to a day.
    ///
    /// # Errors
    /// [`Invalid`] for anything else.
    pub fn new(duration: Duration) -> Result<Self, Invalid> {
        let ttl = Ttl::new(duration).filter(|_| (MIN_LEASE..=MAX_LEASE).contains(&duration));
        ttl.map(Self).ok_or_else(|| Invalid::new("a lease of 0.1 to 86400 seconds", seconds(duration)))
    }

    pub(super) const fn as_ttl(self) -> Ttl {
        self.0
    }
}

/// How long to wait for a lock that is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wait(Duration);

impl Wait {
    /// Makes a wait of up to 10 s.
    ///
    /// # Errors
    /// [`Invalid`] for more.
    pub fn new(duration: Duration) -> Result<Self, Invalid> {
        if duration <= MAX_WAIT {
            return Ok(Self(duration));
        }
        Err(Invalid::new("a wait of 0 to 10 seconds", seconds(duration)))
    }

    pub(super) const fn duration(self) -> Duration {
        self.0
    }
}

/// How many owners may hold it at once: with 1 it is a lock, with more a semaphore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permits(NonZeroU64);

impl Permits {
    /// One: a lock.
    pub const ONE: Self = Self(NonZeroU64::MIN);

    /// Makes a number of permits from 1 to 100.
    ///
    /// # Errors
    /// [`Invalid`] for anything else.
    pub fn new(number: u64) -> Result<Self, Invalid> {
        let number_of = NonZeroU64::new(number).filter(|number| number.get() <= MAX_PERMITS);
        number_of
            .map(Self)
            .ok_or_else(|| Invalid::new(format!("1 to {MAX_PERMITS} permits"), number.to_string()))
    }

    pub(super) const fn get(self) -> u64 {
        self.0.get()
    }
}

/// A demand for a lock or a permit of a semaphore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    pub(super) name: Name,
    pub(super) owner: Owner,
    pub(super) ttl: LeaseTime,
    pub(super) permits: Permits,
    pub(super) wait: Wait,
}

impl Demand {
    /// Demands a lease of `ttl` on the lock `name`, without waiting.
    #[must_use]
    pub const fn new(name: Name, owner: Owner, ttl: LeaseTime) -> Self {
        Self { name, owner, ttl, permits: Permits::ONE, wait: Wait(Duration::ZERO) }
    }

    /// Makes it a semaphore with this many permits. All must demand the same number.
    #[must_use]
    pub fn permits(self, permits: Permits) -> Self {
        Self { permits, ..self }
    }

    /// Makes it wait for at most this long.
    #[must_use]
    pub fn waiting(self, wait: Wait) -> Self {
        Self { wait, ..self }
    }
}

fn seconds(duration: Duration) -> String {
    duration.as_secs_f64().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_visible() {
        for good in ["a", "jobs/nightly", "é {x} %", &"a".repeat(512)] {
            assert!(Name::new(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("", "expected a name of 1 to 512 bytes, found 0"),
            (&"a".repeat(513), "expected a name of 1 to 512 bytes, found 513"),
            ("a\nb", "expected a name without control characters, found '\\n'"),
        ] {
            assert_eq!(Name::new(bad).unwrap_err().to_string(), why);
        }
    }

    #[test]
    fn owners_are_visible_ascii() {
        for good in ["a", "host-1:4711", &"x".repeat(128)] {
            assert!(Owner::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "é", "a\n", &"x".repeat(129)] {
            assert!(Owner::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_and_numbers_have_bounds() {
        let secs = Duration::from_secs_f64;
        assert!([0.1, 30.0, 86_400.0].into_iter().all(|time| LeaseTime::new(secs(time)).is_ok()));
        assert!([0.0, 0.099, 86_400.1].into_iter().all(|time| LeaseTime::new(secs(time)).is_err()));
        assert!(Wait::new(secs(10.0)).is_ok() && Wait::new(secs(10.001)).is_err());
        assert!(Permits::new(1).is_ok() && Permits::new(100).is_ok());
        assert!(Permits::new(0).is_err() && Permits::new(101).is_err());
        assert_eq!(
            LeaseTime::new(secs(0.05)).unwrap_err().to_string(),
            "expected a lease of 0.1 to 86400 seconds, found 0.05"
        );
    }
}
