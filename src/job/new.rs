//! Jobs to be enqueued.

use super::{Data, IdempotencyKey, JobId};
use crate::config::MOST_ATTEMPTS;
use crate::time::millis;
use std::time::Duration;

/// The most jobs in one batch.
pub const MAX_BATCH: usize = 100;
/// The longest delay.
pub const MAX_DELAY: Duration = Duration::from_secs(365 * 24 * 3600);

/// The priority of a job: 0 to 4095, the lower the sooner. Jobs of the same priority are first in, first out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority(u16);

impl Priority {
    /// The lowest urgency.
    pub const MAX: u16 = 4095;

    /// Makes a priority; `None` above [`Priority::MAX`].
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number <= Self::MAX { Some(Self(number)) } else { None }
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Converts a number from Redis, where only priorities are written.
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

/// A job to be enqueued: its data and its settings.
#[derive(Clone, Debug)]
pub struct NewJob {
    pub(super) data: Data,
    pub(super) priority: Priority,
    pub(super) delay: Duration,
    pub(super) max_attempts: Option<u16>,
    pub(super) key: Option<IdempotencyKey>,
}

impl NewJob {
    /// Makes a job that is due at once.
    #[must_use]
    pub fn new(data: Data) -> Self {
        Self { data, priority: Priority::default(), delay: Duration::ZERO, max_attempts: None, key: None }
    }

    /// Sets its priority.
    #[must_use]
    pub fn priority(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    /// Sets how long from now it is due; at most [`MAX_DELAY`].
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay: delay.min(MAX_DELAY), ..self }
    }

    /// Sets how often it is attempted, 1 to 1000; by default, the setting of its queue.
    #[must_use]
    pub fn max_attempts(self, attempts: u16) -> Self {
        Self { max_attempts: Some(attempts.clamp(1, MOST_ATTEMPTS)), ..self }
    }

    /// Sets a key with which it is enqueued only once, however often that is requested within 24 hours.
    #[must_use]
    pub fn idempotency_key(self, key: IdempotencyKey) -> Self {
        Self { key: Some(key), ..self }
    }

    /// Returns a hash of the request, to notice when a key is used again for another one.
    pub(super) fn fingerprint(&self) -> String {
        let mut all = blake3::Hasher::new();
        let (delay, attempts) = (millis(self.delay), self.max_attempts.unwrap_or_default());
        all.update(format!("{delay} {} {attempts} ", self.priority.get()).as_bytes());
        all.update(self.data.bytes()).finalize().to_hex()[..16].to_owned()
    }
}

/// The result of enqueueing a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enqueued {
    /// Its id; with an idempotency key, that of the first request.
    pub id: JobId,
    /// Whether it was enqueued now, and not before with the same key.
    pub new: bool,
}
