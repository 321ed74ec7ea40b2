//! The job queue: at least once, with leases, retries, dead letters, schedules, and push to a target.
//!
//! ```text
//!                      due                claim                ack
//! enqueue -> delayed --------> ready ----------------> leased -------> done
//!    |          ^                ^                       | |
//!    +----------+----------------+ <- release, or its ---+ +-> retry -> delayed, or dead after the last
//!                                     lease is over        +-> bury  -> dead -> replay -> ready
//! ```
//! 1. A job is given to workers until one acknowledges it: at least once, and exactly once if no
//!    worker fails. A job must tolerate being done twice.
//! 2. A claimed job is leased: if its lease expires before it is ended, the job is ready again. The attempt counts when
//!    the job is claimed, so that a job that kills its workers becomes a dead letter in the end.
//! 3. Within a priority, jobs are first in, first out, and a job that is released or whose lease expires gets its old
//!    place. A job that is delayed or retried gets a place when it is due.
//! 4. Only a [`Claimed`] job can be ended. A worker whose lease has expired may still end it while
//!    nobody has taken the job back; after that it gets an error, and changes nothing.
//! 5. Time is Redis's. Every change is one script, which may safely run twice.
//! 6. Nothing is kept for ever: a job that nobody touched for 30 days after it was due is dropped, and a queue with the
//!    last of its jobs. Dead letters stay for 30 days, at most 10,000 in each queue.
//!
//! ```no_run
//! use spindrift::env::Env;
//! use spindrift::job::{Claim, Data, JobError, Jobs, NewJob, QueueName};
//! use std::time::Duration;
//!
//! # async fn work<E: Env>(jobs: &Jobs<E>) -> Result<(), Box<dyn std::error::Error>> {
//! let mail = QueueName::new("mail")?;
//! jobs.enqueue(&mail, Data::json(&"to everybody")?).await?;
//! let later = NewJob::new(Data::json(&"to Ann")?).delay(Duration::from_secs(60)).max_attempts(3);
//! jobs.enqueue_with(&mail, later).await?;
//!
//! for claimed in jobs.claim(&mail, Claim::default().count(10).wait(Duration::from_secs(5))).await? {
//!     match claimed.job.data.parse::<String>() {
//!         Ok(to) if to.contains("Ann") => claimed.retry("Ann is away").await.map(|_| ())?,
//!         Ok(_) => claimed.ack().await?,
//!         Err(error) => claimed.bury(&error.to_string()).await.map(|_| ())?,
//!     }
//! }
//! # Ok(()) }
//! ```

mod action;
mod backoff;
mod claim;
mod cron;
mod data;
mod dead;
mod empty;
mod enqueue;
mod error;
mod fire;
mod lease;
mod name;
mod new;
mod push;
mod schedule;
mod script;
mod tick;
mod view;

pub use action::Action;
pub use backoff::Backoff;
pub use claim::{CLAIM_COUNT, Claim, Job, LEASE, MAX_WAIT};
pub use cron::{BadCron, Cron, Missed};
pub use data::{BadData, Data, MAX_DATA};
pub use dead::{MAX_PAGE, Page, Sentenced, Verdict};
pub use empty::Idle;
pub use error::JobError;
pub use lease::{BadToken, Claimed, Ended, LeaseToken, MAX_ERROR};
pub use name::{BadName, IdempotencyKey, JobId, MAX_NAME, QueueName, ScheduleName};
pub use new::{Enqueued, MAX_BATCH, MAX_DELAY, NewJob, Priority};
pub use push::{Tally, drain};
pub use schedule::{MAX_SCHEDULE_DATA, MAX_SCHEDULED_QUEUES, MAX_SCHEDULES, Schedule, Scheduled};
pub use tick::{MAX_BUDGET, Ticked, tick};
pub(crate) use tick::{opportunity, wake};
pub use view::{State, Statistics, View};

use crate::config::{Config, MAX_ATTEMPTS, Push};
use crate::env::Env;
use crate::event::Channel;
use crate::nonce::Nonces;
use crate::redis::{Client, Keys, Nagging};
use crate::time::{Instant, Timestamp};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

/// The queues, as used by one instance.
pub struct Jobs<E: Env> {
    env: E,
    redis: Rc<Client<E>>,
    keys: Keys,
    nonces: Rc<Nonces>,
    config: Rc<Config>,
    /// The channel that wakes the subscriber.
    bell: Channel<E>,
    /// When this instance last added a queue to the list of queues.
    noted: RefCell<HashMap<QueueName, Timestamp>>,
    /// Limits how often the log says that this failed.
    unlisted: Nagging,
    /// When this instance last ticked of its own accord, by
    /// [`Clock::instant`](crate::env::Clock::instant).
    ticked: Cell<Option<Instant>>,
}

/// The settings for the jobs of a queue.
struct Rules<'a> {
    max_attempts: u16,
    backoff: Backoff,
    push: Option<&'a Push>,
}

impl<E: Env> Jobs<E> {
    /// Makes the queues in this Redis, with their settings from the configuration; `bell` is the channel on which the
    /// subscriber listens.
    #[must_use]
    pub fn new(
        env: &E,
        redis: &Rc<Client<E>>,
        keys: &Keys,
        nonces: &Rc<Nonces>,
        config: &Rc<Config>,
        bell: &Channel<E>,
    ) -> Self {
        Self {
            env: env.clone(),
            redis: Rc::clone(redis),
            keys: keys.clone(),
            nonces: Rc::clone(nonces),
            config: Rc::clone(config),
            bell: bell.clone(),
            noted: RefCell::default(),
            unlisted: Nagging::default(),
            ticked: Cell::default(),
        }
    }

    fn rules(&self, queue: &QueueName) -> Rules<'_> {
        match self.config.queues.iter().find(|it| it.name == *queue) {
            Some(it) => Rules { max_attempts: it.max_attempts, backoff: it.backoff, push: it.push.as_ref() },
            None => Rules { max_attempts: MAX_ATTEMPTS, backoff: Backoff::default(), push: None },
        }
    }
}
