//! Claiming jobs, and the simpler dequeueing.

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
/// The longest time that a claim waits for jobs.
pub const MAX_WAIT: Duration = Duration::from_secs(20);

/// The most data of one claim, in bytes: beyond that no further job is taken.
const CLAIM_BYTES: u64 = 1024 * 1024;
/// How often a claim that waits looks again: the first pause, doubled each time, and the longest.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const LAST_LOOK: Duration = Duration::from_millis(500);
/// How often a claim looks again at once, where each look only removed jobs whose data is lost.
const MOST_LOST: u32 = 10;

/// What to claim, and how.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    count: u16,
    lease: Duration,
    wait: Duration,
    /// The most jobs in flight, for deliveries; 0 is any number.
    in_flight: u16,
}

/// Claims one job for 30 s, without waiting.
impl Default for Claim {
    fn default() -> Self {
        Self { count: 1, lease: Duration::from_secs(30), wait: Duration::ZERO, in_flight: 0 }
    }
}

impl Claim {
    /// Sets the greatest number of jobs, within [`CLAIM_COUNT`].
    #[must_use]
    pub fn count(self, count: u16) -> Self {
        Self { count: count.clamp(*CLAIM_COUNT.start(), *CLAIM_COUNT.end()), ..self }
    }

    /// Sets how long the jobs are leased, within [`LEASE`]. If the lease expires before it is ended, the job is ready
    /// again, and the attempt counts.
    #[must_use]
    pub fn lease(self, lease: Duration) -> Self {
        Self { lease: lease.clamp(*LEASE.start(), *LEASE.end()), ..self }
    }

    /// Claims no job that would bring those in flight over `most`, and none while the queue is on hold for its target.
    pub(super) fn in_flight(self, most: u16) -> Self {
        Self { in_flight: most, ..self }
    }

    /// Sets how long to wait for the first job, at most [`MAX_WAIT`].
    #[must_use]
    pub fn wait(self, wait: Duration) -> Self {
        Self { wait: wait.min(MAX_WAIT), ..self }
    }
}

/// A job as a worker receives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Its data.
    pub data: Data,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    /// How many attempts there are in all.
    pub max_attempts: u32,
    /// Its priority.
    pub priority: Priority,
    /// When it was enqueued, by Redis's clock.
    pub enqueued: Timestamp,
}

/// The result of looking for jobs once.
pub(super) struct Found {
    /// How long until there may be a job; `None` if that is unknown.
    pub(super) next: Option<Duration>,
    /// The jobs, each with the end of its lease.
    pub(super) jobs: Vec<(Job, Timestamp)>,
}

impl Found {
    /// Returns whether there are more jobs to look at now: those seen so far had lost their data.
    fn is_passing_over_lost(&self) -> bool {
        self.jobs.is_empty() && self.next == Some(Duration::ZERO)
    }
}

impl<E: Env> Jobs<E> {
    /// Claims jobs that are due, the most urgent first, and waits for the first if [`Claim::wait`] says so.
    /// Returns none if there are none, or the queue is paused.
    ///
    /// # Errors
    /// [`JobError::Redis`]: then jobs may be leased to nobody, and come back when their lease expires.
    pub async fn claim(&self, queue: &QueueName, claim: Claim) -> Result<Vec<Claimed<'_, E>>, JobError> {
        Ok(self.claim_or_next(queue, claim).await?.0)
    }

    /// Like [`Jobs::claim`]. Returns, too, whether there may be more jobs at once although there are none here.
    pub(super) async fn claim_or_next(
        &self,
        queue: &QueueName,
        claim: Claim,
    ) -> Result<(Vec<Claimed<'_, E>>, bool), JobError> {
        let token = self.nonces.next();
        let lease = millis(claim.lease);
        let found = self.look_until(queue, &token, lease, claim).await?;
        let again = found.is_passing_over_lost();
        let claimed = found.jobs.into_iter().map(|(job, until)| {
            let token = LeaseToken::new(job.attempt, &token);
            Claimed { jobs: self, queue: queue.clone(), id: job.id.clone(), token, until, job }
        });
        Ok((claimed.collect(), again))
    }

    /// Takes the first job that is due, for good: at most once. If the caller does not do it, nobody
    /// does. Use [`Jobs::claim`] for jobs that must be done.
    ///
    /// # Errors
    /// [`JobError::Redis`]: then a job may be lost.
    pub async fn dequeue(&self, queue: &QueueName) -> Result<Option<Job>, JobError> {
        self.dequeue_within(queue, Duration::ZERO).await
    }

    /// Like [`Jobs::dequeue`], waiting for a job for at most [`MAX_WAIT`].
    ///
    /// # Errors
    /// As [`Jobs::dequeue`].
    pub async fn dequeue_within(&self, queue: &QueueName, wait: Duration) -> Result<Option<Job>, JobError> {
        let token = self.nonces.next();
        let found = self.look_until(queue, &token, 0, Claim::default().wait(wait)).await?;
        Ok(found.jobs.into_iter().next().map(|(job, _)| job))
    }

    /// Looks repeatedly until there is a job or the wait is over. Nothing wakes an instance, so
    /// it has to poll.
    async fn look_until(
        &self,
        queue: &QueueName,
        token: &str,
        lease: u64,
        claim: Claim,
    ) -> Result<Found, JobError> {
        // Not by the wall clock: if that were set back, the wait would outlast the caller.
        let began = self.env.instant();
        let (mut pause, mut lost) = (FIRST_LOOK, 0);
        loop {
            let found = self.look(queue, token, lease, claim).await?;
            if found.is_passing_over_lost() && lost < MOST_LOST {
                lost += 1;
                continue;
            }
            let left = claim.wait.saturating_sub(self.env.instant().since(began));
            if !found.jobs.is_empty() || left.is_zero() {
                return Ok(found);
            }
            let next = found.next.unwrap_or(pause).max(Duration::from_millis(1));
            self.env.sleep(pause.min(next).min(left)).await;
            pause = (pause * 2).min(LAST_LOOK);
        }
    }

    /// Looks for jobs once.
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
