//! A job to be enqueued.

use super::{Data, IdempotencyKey, JobId};
use crate::config::MOST_ATTEMPTS;
use crate::time::millis;
use std::time::Duration;

/// The most jobs of one batch.
pub const MAX_BATCH: usize = 100;
/// The longest delay.
pub const MAX_DELAY: Duration = Duration::from_secs(365 * 24 * 3600);

/// How urgent a job is: 0 to 4095, the lower the sooner. Jobs of the same priority are first in, first out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority(u16);

impl Priority {
    /// The least urgent there is.
    pub const MAX: u16 = 4095;

    /// A priority; `None` above [`Priority::MAX`].
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number <= Self::MAX { Some(Self(number)) } else { None }
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// From Redis, where nothing but priorities is written.
    pub(super) fn stored(number: u64) -> Self {
        Self(u16::try_from(number).unwrap_or(Self::MAX).min(Self::MAX))
    }
}

/// 1000, so that there is room on both sides.
impl Default for Priority {
    fn default() -> Self {
        Self(1000)
    }
}

/// A job to be enqueued: its data, and what is to hold for it.
#[derive(Clone, Debug)]
pub struct NewJob {
    pub(super) data: Data,
    pub(super) priority: Priority,
    pub(super) delay: Duration,
    pub(super) max_attempts: Option<u16>,
    pub(super) key: Option<IdempotencyKey>,
}

impl NewJob {
    /// A job that is due at once.
    #[must_use]
    pub fn new(data: Data) -> Self {
        Self { data, priority: Priority::default(), delay: Duration::ZERO, max_attempts: None, key: None }
    }

    /// How urgent it is.
    #[must_use]
    pub fn priority(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    /// When it is due, from now; at most [`MAX_DELAY`].
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay: delay.min(MAX_DELAY), ..self }
    }

    /// How often it is tried, 1 to 1000; without this what the configuration says of its queue.
    #[must_use]
    pub fn max_attempts(self, attempts: u16) -> Self {
        Self { max_attempts: Some(attempts.clamp(1, MOST_ATTEMPTS)), ..self }
    }

    /// Enqueues it once, however often it is asked for with the same key within 24 hours.
    #[must_use]
    pub fn idempotency_key(self, key: IdempotencyKey) -> Self {
        Self { key: Some(key), ..self }
    }

    /// What was asked for, in short, to notice when a key is used again for something else.
    pub(super) fn fingerprint(&self) -> String {
        let mut all = blake3::Hasher::new();
        let (delay, attempts) = (millis(self.delay), self.max_attempts.unwrap_or_default());
        all.update(format!("{delay} {} {attempts} ", self.priority.get()).as_bytes());
        all.update(self.data.bytes()).finalize().to_hex()[..16].to_owned()
    }
}

/// What became of a job that was to be enqueued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enqueued {
    /// Its id; with an idempotency key, that of the first.
    pub id: JobId,
    /// Whether it was enqueued now, rather than before with the same key.
    pub new: bool,
}
