//! The job queue: at least once, with leases, retries, dead letters, schedules, and push to a target.
//!
//! ```text
//!                      due                claim                ack
//! enqueue -> delayed --------> ready ----------------> leased -------> done
//!    |          ^                ^                       | |
//!    +----------+----------------+ <- release, or its ---+ +-> retry -> delayed, or dead after the last
//!                                     lease is over        +-> bury  -> dead -> replay -> ready
//! ```
//! 1. A job that was enqueued is given to a worker until one acknowledges it: at least once, and once when no
//!    worker fails. A job must bear being done twice.
//! 2. What is claimed is leased: if its lease is over before it ended, the job is ready again. Attempts count when
//!    it is claimed, so a job that kills its workers is among the dead letters in the end.
//! 3. Within a priority jobs are first in, first out, and a job that comes back has its old place. A delayed job, or
//!    one that is retried, gets its place when it is due.
//! 4. A [`Claimed`] job is the only thing that can be ended. A worker whose lease is over may still end it while
//!    nobody has taken it back; after that it is told so, and changes nothing.
//! 5. Time is Redis's. Every change is one script, which may run again without harm.
//! 6. Nothing is kept for ever: a job that nobody touched for 30 days after it was due goes, and a queue with the
//!    last of its jobs. Dead letters stay for 30 days, 10,000 of each queue at most.
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

mod backoff;
mod claim;
mod cron;
mod data;
mod dead;
mod enqueue;
mod error;
mod lease;
mod name;
mod new;
mod push;
mod schedule;
mod script;
mod tick;
mod view;

pub use backoff::Backoff;
pub use claim::{CLAIM_COUNT, Claim, Job, LEASE, MAX_WAIT};
pub use cron::{BadCron, Cron, Missed};
pub use data::{BadData, Data, MAX_DATA};
pub use dead::{MAX_PAGE, Page, Sentenced, Verdict};
pub use error::JobError;
pub use lease::{BadToken, Claimed, Ended, LeaseToken, MAX_ERROR};
pub use name::{BadName, IdempotencyKey, JobId, MAX_NAME, QueueName, ScheduleName};
pub use new::{Enqueued, MAX_BATCH, MAX_DELAY, NewJob, Priority};
pub use push::{Tally, drain};
pub use schedule::{MAX_SCHEDULE_DATA, MAX_SCHEDULES, Schedule, Scheduled};
pub use tick::{MAX_BUDGET, Ticked, tick};
pub(crate) use tick::{opportunity, wake};
pub use view::{State, Statistics, View};

use crate::config::{Config, MAX_ATTEMPTS, Push};
use crate::env::Env;
use crate::event::Channel;
use crate::nonce::Nonces;
use crate::redis::{Client, Keys};
use crate::time::Timestamp;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// All queues, as one instance uses them.
pub struct Jobs<E: Env> {
    env: E,
    redis: Rc<Client<E>>,
    keys: Keys,
    nonces: Rc<Nonces>,
    config: Rc<Config>,
    /// Wakes the subscriber.
    bell: Channel<E>,
    /// When this instance put a queue into the list of queues.
    noted: RefCell<HashMap<QueueName, Timestamp>>,
    /// When this instance last looked after the queues of its own accord, by
    /// [`Clock::elapsed`](crate::env::Clock::elapsed).
    ticked: Cell<Option<Duration>>,
}

/// What holds for the jobs of a queue.
struct Rules<'a> {
    max_attempts: u16,
    backoff: Backoff,
    push: Option<&'a Push>,
}

impl<E: Env> Jobs<E> {
    /// The queues on this Redis, with what the configuration says of them; `bell` is the channel that the
    /// subscriber listens on.
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
