//! Why an operation on jobs failed.

use super::{Action, IdempotencyKey, JobId, MAX_BATCH, MAX_SCHEDULED_QUEUES, MAX_SCHEDULES};
use crate::redis::RedisError;

/// Why an operation on jobs failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// Redis gave no answer: it is unknown whether the operation was carried out. Repeating it is safe.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// The job does not exist: it never did, it ended some minutes ago, or it expired.
    #[error("there is no such job")]
    NoSuchJob,
    /// The lease has expired, and the job may be with another worker: what this worker did must not count.
    #[error("the lease is over, and the job may be with another worker")]
    LeaseLost,
    /// The lease was ended before, in another way.
    #[error("the lease was already ended, by {0}")]
    Ended(Action),
    /// The job is in flight: only the holder of its lease may end it.
    #[error("the job is in flight: only the holder of its lease may end it")]
    InFlight,
    /// The idempotency key was used for another job.
    #[error("the idempotency key was used for another job, {0}")]
    KeyReused(JobId),
    /// The batch has more than [`MAX_BATCH`] jobs.
    #[error("expected at most {MAX_BATCH} jobs at once, found {0}")]
    TooManyJobs(usize),
    /// Two jobs of the batch have the same idempotency key.
    #[error("expected a unique idempotency key for each job, found {0:?} twice")]
    KeyTwice(IdempotencyKey),
    /// The queue already has the most schedules that it may have.
    #[error("expected at most {MAX_SCHEDULES} schedules of a queue, found more")]
    TooManySchedules,
    /// There are already the most queues with schedules that there may be.
    #[error("expected at most {MAX_SCHEDULED_QUEUES} queues with schedules, found more")]
    TooManyQueues,
    /// The schedule does not exist.
    #[error("there is no such schedule")]
    NoSuchSchedule,
}

impl JobError {
    /// Marks the error of one step after others by which something was `done`: the whole was then not left undone.
    pub(super) fn after(self, done: u64) -> Self {
        match self {
            Self::Redis(error) if done > 0 => Self::Redis(error.in_part()),
            error => error,
        }
    }

    /// Returns the reason as one token.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Redis(error) => error.reason(),
            Self::NoSuchJob => "no-such-job",
            Self::LeaseLost => "lease-lost",
            Self::Ended(_) => "ended",
            Self::InFlight => "in-flight",
            Self::KeyReused(_) => "key-reused",
            Self::TooManyJobs(_) => "too-many-jobs",
            Self::KeyTwice(_) => "key-twice",
            Self::TooManySchedules => "too-many-schedules",
            Self::TooManyQueues => "too-many-queues",
            Self::NoSuchSchedule => "no-such-schedule",
        }
    }
}
