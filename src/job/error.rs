//! Why something could not be done to a job.

use super::{IdempotencyKey, JobId, MAX_BATCH, MAX_SCHEDULES};
use crate::redis::RedisError;

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// Redis gave no answer: whether it was done is unknown. To do it again is safe.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// There is no such job: it never was, it ended some minutes ago, or it expired.
    #[error("there is no such job")]
    NoSuchJob,
    /// The lease is over and the job may be with somebody else: what this worker did must not count.
    #[error("the lease is over, and the job may be with another worker")]
    LeaseLost,
    /// This lease ended before, in another way.
    #[error("the lease ended before, by {0}")]
    Ended(String),
    /// The job is in flight: only who has its lease may end it.
    #[error("the job is in flight: whoever has its lease may end it")]
    InFlight,
    /// The idempotency key was used for another job.
    #[error("the idempotency key was used for another job, {0}")]
    KeyReused(JobId),
    /// A batch has more than [`MAX_BATCH`] jobs.
    #[error("expected at most {MAX_BATCH} jobs at once, found {0}")]
    TooManyJobs(usize),
    /// Two jobs of a batch have the same idempotency key.
    #[error("expected an idempotency key of its own for each job, found {0:?} twice")]
    KeyTwice(IdempotencyKey),
    /// The queue has as many schedules as it may have.
    #[error("expected at most {MAX_SCHEDULES} schedules of a queue, found more")]
    TooManySchedules,
    /// There is no such schedule.
    #[error("there is no such schedule")]
    NoSuchSchedule,
}

impl JobError {
    /// The reason as one token.
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
            Self::NoSuchSchedule => "no-such-schedule",
        }
    }
}
