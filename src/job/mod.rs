//! The job queue.

mod backoff;
mod name;

pub use backoff::Backoff;
pub use name::{BadName, IdempotencyKey, JobId, MAX_NAME, QueueName, ScheduleName};
