//! Enqueueing jobs.

use super::script::{ENQUEUE, INDEX, QueueKeys, Reply};
use super::{Data, Enqueued, JobError, JobId, Jobs, MAX_BATCH, NewJob, QueueName};
use crate::env::Env;
use crate::event::Channel;
use crate::redis::{Arg, Key, RedisError, readable};
use crate::time::millis;
use futures_util::future::join;
use std::collections::HashSet;
use std::time::Duration;

/// How long an instance remembers that a queue is in the list of queues.
const NOTED: Duration = Duration::from_secs(3600);
/// How long a queue stays in that list.
const LISTED: Duration = Duration::from_secs(30 * 24 * 3600);
/// The most queues in that list; those that were noted first are dropped.
const MOST_LISTED: u64 = 10_000;
/// The most queues that an instance remembers.
const MOST_NOTED: usize = 1000;

impl<E: Env> Jobs<E> {
    /// Enqueues a job that is due at once, first in, first out.
    ///
    /// # Errors
    /// [`JobError::Redis`]: then it may or may not have been enqueued.
    pub async fn enqueue(&self, queue: &QueueName, data: Data) -> Result<JobId, JobError> {
        Ok(self.enqueue_with(queue, NewJob::new(data)).await?.id)
    }

    /// Enqueues one job.
    ///
    /// # Errors
    /// [`JobError::Redis`], [`JobError::KeyReused`].
    pub async fn enqueue_with(&self, queue: &QueueName, job: NewJob) -> Result<Enqueued, JobError> {
        let mut enqueued = self.enqueue_all(queue, vec![job]).await?;
        enqueued.pop().ok_or(JobError::NoSuchJob)
    }

    /// Enqueues up to [`MAX_BATCH`] jobs, all or none.
    ///
    /// # Errors
    /// As [`Jobs::enqueue_with`], [`JobError::TooManyJobs`], and [`JobError::KeyTwice`].
    pub async fn enqueue_all(&self, queue: &QueueName, jobs: Vec<NewJob>) -> Result<Vec<Enqueued>, JobError> {
        let (ring, enqueued) = self.put(queue, &jobs).await?;
        if ring {
            self.ring_behind(queue);
        }
        Ok(enqueued)
    }

    /// Like [`Jobs::enqueue_all`], for the subscriber: rings before it returns, because an instance does nothing more once
    /// its message is handled.
    pub(crate) async fn enqueue_and_ring(
        &self,
        queue: &QueueName,
        jobs: Vec<NewJob>,
    ) -> Result<Vec<Enqueued>, JobError> {
        let (ring, enqueued) = self.put(queue, &jobs).await?;
        if ring && self.rules(queue).push.is_some() {
            ring_for(&self.env, &self.bell, queue).await;
        }
        Ok(enqueued)
    }

    /// Adds jobs to a queue, and returns whether somebody should be woken for them.
    async fn put(&self, queue: &QueueName, jobs: &[NewJob]) -> Result<(bool, Vec<Enqueued>), JobError> {
        check(jobs)?;
        let keys = self.keys_of(queue);
        let mut arguments = vec![Arg::from(&keys.once)];
        arguments.extend(jobs.iter().flat_map(|job| self.arguments(queue, job)));
        let (reply, ()) = join(keys.run(&self.redis, &ENQUEUE, &[], arguments), self.note(queue)).await;
        read(reply?)
    }

    fn arguments(&self, queue: &QueueName, job: &NewJob) -> [Arg; 7] {
        let attempts = job.max_attempts.unwrap_or_else(|| self.rules(queue).max_attempts);
        let key = job.key.as_ref().map(|key| readable(key.as_str())).unwrap_or_default();
        let fingerprint = if key.is_empty() { String::new() } else { job.fingerprint() };
        [
            Arg::from(self.nonces.next()),
            Arg::from(job.data.bytes().to_vec()),
            Arg::from(u64::from(job.priority.get())),
            Arg::from(millis(job.delay)),
            Arg::from(u64::from(attempts)),
            Arg::from(key.into_owned()),
            Arg::from(fingerprint),
        ]
    }

    /// Adds a queue to the list of queues, unless this instance did so recently. Only that list and
    /// ticks depend on it, so a failure is logged now and then, and repaired with the next job.
    pub(super) async fn note(&self, queue: &QueueName) {
        let now = self.env.now();
        if self.noted.borrow().get(queue).is_some_and(|noted| now.since(*noted) < NOTED) {
            return;
        }
        match self.index(&self.keys.queues(), queue, LISTED, MOST_LISTED, false).await {
            Ok(_) => {
                let mut noted = self.noted.borrow_mut();
                if noted.len() >= MOST_NOTED {
                    noted.clear();
                }
                noted.insert(queue.clone(), now);
            }
            Err(error) if self.unlisted.is_due(self.env.instant()) => {
                self.env.log(&format!("queue {queue}: not added to the list of queues: {error}"));
            }
            Err(_) => {}
        }
    }

    /// Adds a queue to a list of at most `most`, for the time `ttl`. Returns `false` if the list is full and keeps all.
    pub(super) async fn index(
        &self,
        list: &Key,
        queue: &QueueName,
        ttl: Duration,
        most: u64,
        keeps_all: bool,
    ) -> Result<bool, RedisError> {
        let keeps_all = Arg::from(u64::from(keeps_all));
        let arguments = vec![Arg::from(queue.as_str()), Arg::from(millis(ttl)), Arg::from(most), keeps_all];
        Ok(Reply::new(self.redis.run(&INDEX, &[list], arguments).await?).int()? == 1)
    }

    /// Returns the keys of a queue.
    pub(super) fn keys_of(&self, queue: &QueueName) -> QueueKeys {
        QueueKeys::new(&self.keys, queue)
    }

    /// Rings for a queue whose jobs are pushed, in the background: the job is safely stored already.
    pub(super) fn ring_behind(&self, queue: &QueueName) {
        if self.rules(queue).push.is_none() {
            return;
        }
        let (bell, env, queue) = (self.bell.clone(), self.env.clone(), queue.clone());
        self.env.spawn(async move { ring_for(&env, &bell, &queue).await });
    }
}

async fn ring_for<E: Env>(env: &E, bell: &Channel<E>, queue: &QueueName) {
    if let Err(error) = bell.ring(queue.as_str()).await {
        env.log(&format!("queue {queue}: no worker was notified: {error}"));
    }
}

fn check(jobs: &[NewJob]) -> Result<(), JobError> {
    if jobs.len() > MAX_BATCH {
        return Err(JobError::TooManyJobs(jobs.len()));
    }
    let mut keys = HashSet::new();
    match jobs.iter().filter_map(|job| job.key.as_ref()).find(|key| !keys.insert(*key)) {
        Some(twice) => Err(JobError::KeyTwice(twice.clone())),
        None => Ok(()),
    }
}

fn read(reply: Vec<crate::redis::Value>) -> Result<(bool, Vec<Enqueued>), JobError> {
    let mut reply = Reply::new(reply);
    let ring = reply.int()? == 1;
    let mut enqueued = Vec::new();
    let mut reused = None;
    while !reply.is_over() {
        let verdict = reply.int()?;
        let id = job_id(&reply.text()?)?;
        if verdict == -1 {
            reused.get_or_insert(id.clone());
        }
        enqueued.push(Enqueued { id, new: verdict == 1 });
    }
    match reused {
        Some(first) => Err(JobError::KeyReused(first)),
        None => Ok((ring, enqueued)),
    }
}

/// Parses an id that Redis returned.
pub(super) fn job_id(text: &str) -> Result<JobId, RedisError> {
    JobId::new(text).map_err(|_| RedisError::Reply(format!("expected a job's id, found {text:?}")))
}
