//! Inspecting jobs and queues.

use super::script::{PAUSE, REMOVE, Reply, STATS, VIEW};
use super::{Data, JobError, JobId, Jobs, Priority, QueueName};
use crate::env::Env;
use crate::redis::{Arg, Key};
use crate::time::Timestamp;
use std::time::Duration;

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It can be claimed.
    Ready,
    /// It is not due yet.
    Delayed,
    /// It is in flight.
    Leased,
    /// It is among the dead letters.
    Dead,
    /// It was acknowledged, at most some minutes ago.
    Done,
    /// It was removed, at most some minutes ago.
    Removed,
    /// It was dropped from the dead letters, at most some minutes ago.
    Dropped,
    /// Its data exists, but it is in no part of the queue: Redis lost some of the queue.
    Lost,
}

impl State {
    const ALL: [Self; 8] = [
        Self::Ready,
        Self::Delayed,
        Self::Leased,
        Self::Dead,
        Self::Done,
        Self::Removed,
        Self::Dropped,
        Self::Lost,
    ];

    /// Returns the state as one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Delayed => "delayed",
            Self::Leased => "leased",
            Self::Dead => "dead",
            Self::Done => "done",
            Self::Removed => "removed",
            Self::Dropped => "dropped",
            Self::Lost => "lost",
        }
    }

    /// Parses a word from Redis, where only these words are written.
    pub(super) fn parse(text: &str) -> Self {
        Self::ALL.into_iter().find(|state| state.as_str() == text).unwrap_or(Self::Lost)
    }
}

/// A job with its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Its id.
    pub id: JobId,
    /// Its state.
    pub state: State,
    /// When it is due, its lease expires, or it died, depending on its state.
    pub at: Option<Timestamp>,
    /// How often it was attempted.
    pub attempts: u32,
    /// How often it is attempted at most.
    pub max_attempts: u32,
    /// Its priority.
    pub priority: Priority,
    /// When it was enqueued.
    pub enqueued: Timestamp,
    /// The reason for its last failure.
    pub error: Option<String>,
    /// Its data; `None` once it has ended.
    pub data: Option<Data>,
}

/// The statistics of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Jobs that can be claimed.
    pub ready: u64,
    /// Jobs that are not due yet.
    pub delayed: u64,
    /// Jobs in flight.
    pub leased: u64,
    /// Dead letters.
    pub dead: u64,
    /// For how long the oldest job that can be claimed has been ready.
    pub oldest: Option<Duration>,
    /// For how much longer nothing is pushed, because the target asked for that.
    pub hold: Duration,
    /// Why the queue is paused, if it is.
    pub paused: Option<String>,
    /// The counts of events since the queue began, by name.
    pub counts: [(&'static str, u64); 10],
}

/// The names, in the order of `job_stats.lua`.
const COUNTS: [&str; 10] = [
    "enqueued",
    "completed",
    "retried",
    "released",
    "expired",
    "died",
    "replayed",
    "dropped",
    "removed",
    "lost",
];

impl<E: Env> Jobs<E> {
    /// Returns a job with its state.
    ///
    /// # Errors
    /// [`JobError::NoSuchJob`], [`JobError::Redis`].
    pub async fn view(&self, queue: &QueueName, id: &JobId) -> Result<View, JobError> {
        let keys = self.keys_of(queue);
        let job = self.keys.queue_item(queue.as_str(), "j", id.as_str());
        let all: Vec<&Key> = std::iter::once(&job).chain(&keys.all[1..]).collect();
        let mut reply = Reply::new(self.redis.run(&VIEW, &all, vec![Arg::from(id.as_str())]).await?);
        if reply.int()? == 0 {
            return Err(JobError::NoSuchJob);
        }
        let (attempts, max_attempts) = (reply.small()?, reply.small()?);
        let enqueued = Timestamp::from_millis(reply.count()?);
        let priority = Priority::stored(reply.count()?);
        let at = Some(reply.count()?).filter(|at| *at > 0).map(Timestamp::from_millis);
        let state = State::parse(&reply.text()?);
        let error = Some(reply.text()?).filter(|text| !text.is_empty());
        let data = Some(reply.bytes()?).filter(|data| !data.is_empty()).map(Data::stored);
        Ok(View { id: id.clone(), state, at, attempts, max_attempts, priority, enqueued, error, data })
    }

    /// Removes a job that is not in flight, but ready, delayed or dead.
    ///
    /// # Errors
    /// [`JobError::NoSuchJob`], [`JobError::InFlight`], [`JobError::Redis`].
    pub async fn remove(&self, queue: &QueueName, id: &JobId) -> Result<(), JobError> {
        let arguments = vec![Arg::from(id.as_str()), Arg::from(self.nonces.next())];
        let reply = self.keys_of(queue).run(&self.redis, &REMOVE, &[], arguments).await?;
        match Reply::new(reply).int()? {
            1 => Ok(()),
            0 => Err(JobError::NoSuchJob),
            _ => Err(JobError::InFlight),
        }
    }

    /// Returns the statistics of a queue; one that was never used is empty.
    ///
    /// # Errors
    /// [`JobError::Redis`].
    pub async fn statistics(&self, queue: &QueueName) -> Result<Statistics, JobError> {
        let keys = self.keys_of(queue);
        let all: Vec<&Key> = keys.all.iter().collect();
        let mut reply = Reply::new(self.redis.run(&STATS, &all, vec![Arg::from(&keys.jobs)]).await?);
        let [ready, delayed, leased, dead] = [reply.count()?, reply.count()?, reply.count()?, reply.count()?];
        let oldest = u64::try_from(reply.int()?).ok().map(Duration::from_millis);
        let hold = Duration::from_millis(reply.count()?);
        let mut counts = COUNTS.map(|name| (name, 0));
        for (_, count) in &mut counts {
            *count = reply.count()?;
        }
        let paused = Some(reply.text()?).filter(|why| !why.is_empty());
        Ok(Statistics { ready, delayed, leased, dead, oldest, hold, paused, counts })
    }

    /// Pauses a queue: nobody can claim from it until [`Jobs::go_on`]. Existing leases stay valid.
    ///
    /// # Errors
    /// [`JobError::Redis`].
    pub async fn pause(&self, queue: &QueueName) -> Result<(), JobError> {
        self.note(queue).await;
        self.set_pause(queue, "paused").await.map(|_| ())
    }

    /// Resumes a queue that was paused by an operator or by a target that was gone.
    ///
    /// # Errors
    /// [`JobError::Redis`].
    pub async fn go_on(&self, queue: &QueueName) -> Result<(), JobError> {
        if self.set_pause(queue, "").await? {
            self.ring_behind(queue);
        }
        Ok(())
    }

    async fn set_pause(&self, queue: &QueueName, why: &str) -> Result<bool, JobError> {
        let reply = self.keys_of(queue).run(&self.redis, &PAUSE, &[], vec![Arg::from(why)]).await?;
        Ok(Reply::new(reply).int()? == 1)
    }

    /// Returns the names of queues, most recently used first: `count` of them after the first `offset`. Queues that nobody
    /// used for 30 days are not listed, nor are those beyond 10,000.
    ///
    /// # Errors
    /// [`JobError::Redis`].
    pub async fn queues(&self, offset: u64, count: u64) -> Result<Vec<QueueName>, JobError> {
        let end = offset.saturating_add(count).saturating_sub(1);
        let key = self.keys.queues();
        let arguments = vec![Arg::from(&key), Arg::from(offset), Arg::from(end)];
        let mut reply = Reply::new(self.redis.call("ZREVRANGE", arguments).await?);
        let mut names = Vec::new();
        while !reply.is_over() {
            names.extend(QueueName::new(&reply.text()?));
        }
        Ok(names)
    }
}
