//! Emptying a queue.

use super::dead::{Sentenced, Verdict};
use super::script::{EMPTY, Reply};
use super::{JobError, Jobs, QueueName};
use crate::env::Env;
use crate::redis::Arg;
use crate::time::Instant;
use std::time::Duration;

/// The most jobs that one run of the script removes.
const STEP: u64 = 100;
/// How long one call begins further steps.
const BUDGET: Duration = Duration::from_secs(5);

/// A state whose jobs can be removed together. Jobs in flight belong to their workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// They are not due yet.
    Delayed,
    /// They can be claimed.
    Ready,
    /// They are dead letters.
    Dead,
}

impl Idle {
    /// All of them. What is delayed becomes ready, and not the other way round, so it comes first.
    pub const ALL: [Self; 3] = [Self::Delayed, Self::Ready, Self::Dead];

    /// Returns the state as one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delayed => "delayed",
            Self::Ready => "ready",
            Self::Dead => "dead",
        }
    }
}

impl<E: Env> Jobs<E> {
    /// Removes all jobs that are in one of these states, in steps of a hundred. Dead letters are dropped, as by
    /// [`Jobs::sentence_all`].
    ///
    /// It removes about as many jobs of a state as there are at the beginning, but those that come first: if others are
    /// enqueued meanwhile, they may be among them. After 5 s it begins no further step of ready and delayed jobs; calling it
    /// again continues.
    ///
    /// # Errors
    /// [`JobError::Redis`]: then only some were removed. Continuing is safe.
    pub async fn empty(&self, queue: &QueueName, states: &[Idle]) -> Result<Sentenced, JobError> {
        let (mut all, until) = (Sentenced::default(), self.env.instant().plus(BUDGET));
        for state in Idle::ALL.into_iter().filter(|state| states.contains(state)) {
            let one = match state {
                Idle::Dead => self.sentence_all(queue, Verdict::Drop).await,
                Idle::Delayed | Idle::Ready => self.empty_one(queue, state, until).await,
            };
            let one = one.map_err(|error| error.after(all.done))?;
            all = Sentenced { done: all.done + one.done, left: all.left + one.left };
        }
        Ok(all)
    }

    async fn empty_one(&self, queue: &QueueName, state: Idle, until: Instant) -> Result<Sentenced, JobError> {
        let (mut done, mut rest) = (0, None);
        loop {
            let most = rest.unwrap_or(STEP).min(STEP);
            let (taken, removed, left) =
                self.empty_step(queue, state, most).await.map_err(|error| error.after(done))?;
            done += removed;
            let left = rest.map_or(left, |rest: u64| rest.saturating_sub(taken).min(left));
            if left == 0 || self.env.instant() >= until {
                return Ok(Sentenced { done, left });
            }
            rest = Some(left);
        }
    }

    /// Returns how many jobs one step took out, how many of them it removed, because they were not lost, and how many
    /// are left.
    async fn empty_step(
        &self,
        queue: &QueueName,
        state: Idle,
        most: u64,
    ) -> Result<(u64, u64, u64), JobError> {
        let arguments = vec![Arg::from(self.nonces.next()), Arg::from(state.as_str()), Arg::from(most)];
        let reply = self.keys_of(queue).run(&self.redis, &EMPTY, &[], arguments).await?;
        let mut reply = Reply::new(reply);
        Ok((reply.count()?, reply.count()?, reply.count()?))
    }
}
