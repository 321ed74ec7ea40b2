//! Claiming jobs, and the simple dequeue.

use super::enqueue::job_id;
use super::lease::{Claimed, LeaseToken};
use super::script::{CLAIM, Reply};
use super::{Data, JobError, JobId, Jobs, Priority, QueueName};
use crate::env::Env;
use crate::redis::{Arg, Value};
use crate::time::{Timestamp, millis};
use std::ops::RangeInclusive;
use std::time::Duration;

/// How many jobs can be claimed at once.
pub const CLAIM_COUNT: RangeInclusive<u16> = 1..=100;
/// How long a lease may be.
pub const LEASE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(12 * 3600);
/// The longest that a claim waits for jobs.
pub const MAX_WAIT: Duration = Duration::from_secs(20);

/// Of the data of one claim, in bytes: beyond, no more jobs are taken.
const CLAIM_BYTES: u64 = 1024 * 1024;
/// How often a claim that waits looks again: at first, doubled each time, and at most.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const LAST_LOOK: Duration = Duration::from_millis(500);

/// What to claim.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    count: u16,
    lease: Duration,
    wait: Duration,
    /// In flight at most, for deliveries; 0 is any number.
    in_flight: u16,
}

/// One job for 30 s, without waiting.
impl Default for Claim {
    fn default() -> Self {
        Self { count: 1, lease: Duration::from_secs(30), wait: Duration::ZERO, in_flight: 0 }
    }
}

impl Claim {
    /// How many jobs at most, within [`CLAIM_COUNT`].
    #[must_use]
    pub fn count(self, count: u16) -> Self {
        Self { count: count.clamp(*CLAIM_COUNT.start(), *CLAIM_COUNT.end()), ..self }
    }

    /// For how long they are ours, within [`LEASE`]. A lease that is over without having been ended makes its
    /// job ready again, and counts as an attempt.
    #[must_use]
    pub fn lease(self, lease: Duration) -> Self {
        Self { lease: lease.clamp(*LEASE.start(), *LEASE.end()), ..self }
    }

    /// None that would bring those in flight over `most`, and none while the target wants nothing.
    pub(super) fn in_flight(self, most: u16) -> Self {
        Self { in_flight: most, ..self }
    }

    /// How long to wait for the first job, at most [`MAX_WAIT`].
    #[must_use]
    pub fn wait(self, wait: Duration) -> Self {
        Self { wait: wait.min(MAX_WAIT), ..self }
    }
}

/// A job as a worker gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// What it is called.
    pub id: JobId,
    /// What it carries.
    pub data: Data,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// How many there will be.
    pub max_attempts: u32,
    /// How urgent it is.
    pub priority: Priority,
    /// When it was enqueued, by Redis's clock.
    pub enqueued: Timestamp,
}

/// What one look found.
pub(super) struct Found {
    /// When there may be something; `None` when that is unknown.
    pub(super) next: Option<Duration>,
    /// The jobs, each with the end of its lease.
    pub(super) jobs: Vec<(Job, Timestamp)>,
}

impl<E: Env> Jobs<E> {
    /// Claims jobs that are due, the most urgent first, and waits for the first where [`Claim::wait`] says so.
    /// None when there are none, or the queue is paused.
    ///
    /// # Errors
    /// [`JobError::Redis`]: then jobs may be leased to nobody, and come back when their lease is over.
    pub async fn claim(&self, queue: &QueueName, claim: Claim) -> Result<Vec<Claimed<'_, E>>, JobError> {
        let token = self.nonces.next();
        let lease = millis(claim.lease);
        let found = self.look_until(queue, &token, lease, claim).await?;
        let claimed = found.jobs.into_iter().map(|(job, until)| {
            let token = LeaseToken::new(job.attempt, &token);
            Claimed { jobs: self, queue: queue.clone(), id: job.id.clone(), token, until, job }
        });
        Ok(claimed.collect())
    }

    /// Takes the first job that is due, for good: at most once. What the caller does not do with it nobody
    /// does. Use [`Jobs::claim`] for what must be done.
    ///
    /// # Errors
    /// [`JobError::Redis`]: then a job may be lost.
    pub async fn dequeue(&self, queue: &QueueName) -> Result<Option<Job>, JobError> {
        self.dequeue_within(queue, Duration::ZERO).await
    }

    /// The same, and waits for a job, at most [`MAX_WAIT`].
    ///
    /// # Errors
    /// As [`Jobs::dequeue`].
    pub async fn dequeue_within(&self, queue: &QueueName, wait: Duration) -> Result<Option<Job>, JobError> {
        let token = self.nonces.next();
        let found = self.look_until(queue, &token, 0, Claim::default().wait(wait)).await?;
        Ok(found.jobs.into_iter().next().map(|(job, _)| job))
    }

    /// Looks again and again until there is something or the wait is over. An instance is woken by nobody, so
    /// it has to look.
    async fn look_until(
        &self,
        queue: &QueueName,
        token: &str,
        lease: u64,
        claim: Claim,
    ) -> Result<Found, JobError> {
        // The wall clock may be set back, and whoever asked goes away.
        let began = self.env.elapsed();
        let mut pause = FIRST_LOOK;
        loop {
            let found = self.look(queue, token, lease, claim).await?;
            let left = claim.wait.saturating_sub(self.env.elapsed().saturating_sub(began));
            if !found.jobs.is_empty() || left.is_zero() {
                return Ok(found);
            }
            let next = found.next.unwrap_or(pause).max(Duration::from_millis(1));
            self.env.sleep(pause.min(next).min(left)).await;
            pause = (pause * 2).min(LAST_LOOK);
        }
    }

    /// Looks once.
    pub(super) async fn look(
        &self,
        queue: &QueueName,
        token: &str,
        lease: u64,
        claim: Claim,
    ) -> Result<Found, JobError> {
        let memory = self.keys.queue_item(queue.as_str(), "t", token);
        let arguments = vec![
            Arg::from(token),
            Arg::from(lease),
            Arg::from(u64::from(claim.count)),
            Arg::from(u64::from(claim.in_flight)),
            Arg::from(CLAIM_BYTES),
        ];
        read(self.keys_of(queue).run(&self.redis, &CLAIM, &[&memory], arguments).await?)
    }
}

fn read(reply: Vec<Value>) -> Result<Found, JobError> {
    let mut reply = Reply::new(reply);
    let next = u64::try_from(reply.int()?).ok().map(Duration::from_millis);
    let mut jobs = Vec::new();
    while !reply.is_over() {
        let (attempt, max_attempts) = (reply.small()?, reply.small()?);
        let enqueued = Timestamp::from_millis(reply.count()?);
        let priority = Priority::stored(reply.count()?);
        let until = Timestamp::from_millis(reply.count()?);
        let (id, data) = (job_id(&reply.text()?)?, Data::stored(reply.bytes()?));
        jobs.push((Job { id, data, attempt, max_attempts, priority, enqueued }, until));
    }
    Ok(Found { next, jobs })
}
