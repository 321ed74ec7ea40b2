//! Jobs in flight, and how their leases end.

use super::claim::{Job, LEASE};
use super::script::{END, Reply};
use super::view::State;
use super::{Action, JobError, JobId, Jobs, MAX_DELAY, QueueName};
use crate::env::Env;
use crate::redis::{Arg, RedisError, Value};
use crate::time::{Timestamp, millis};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The longest reason for a failure, in bytes; what is longer is cut off.
pub const MAX_ERROR: usize = 1024;

/// The proof of a lease: the number of the attempt, and a unique name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseToken {
    attempt: u32,
    nonce: String,
}

/// The error for a text that is not a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the token of a lease, as `claim` returned it")]
pub struct BadToken;

impl LeaseToken {
    pub(super) fn new(attempt: u32, nonce: &str) -> Self {
        Self { attempt, nonce: nonce.to_owned() }
    }
}

impl fmt::Display for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.attempt, self.nonce)
    }
}

impl FromStr for LeaseToken {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        let (attempt, nonce) = text.split_once('.').ok_or(BadToken)?;
        let valid = (1..=64).contains(&nonce.len()) && nonce.bytes().all(|byte| byte.is_ascii_hexdigit());
        let attempt = attempt.parse().ok().filter(|_| valid).ok_or(BadToken)?;
        Ok(Self { attempt, nonce: nonce.to_owned() })
    }
}

/// A job in flight, which belongs to this worker until its lease expires. Only this can end the lease, and ending
/// it consumes this. `J` is what is known of the job: everything after [`Jobs::claim`], nothing after
/// [`Jobs::resume`].
#[must_use = "a claimed job is in flight until its lease is over: acknowledge it or give it back"]
pub struct Claimed<'a, E: Env, J = Job> {
    pub(super) jobs: &'a Jobs<E>,
    pub(super) queue: QueueName,
    pub(super) id: JobId,
    pub(super) token: LeaseToken,
    pub(super) until: Timestamp,
    /// The job.
    pub job: J,
}

/// The state of a job after its lease was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its state.
    pub state: State,
    /// When it is due, if it is delayed, by Redis's clock.
    pub due: Option<Timestamp>,
}

/// How to end a lease.
pub(super) struct Ending<'t> {
    pub(super) action: Action,
    pub(super) wait: Duration,
    pub(super) why: &'t str,
    /// For how long nothing from this queue is pushed.
    pub(super) hold: Duration,
    /// The reason for pausing the queue; empty for none.
    pub(super) pause: &'static str,
}

impl<'t> Ending<'t> {
    pub(super) const fn new(action: Action) -> Self {
        Self { action, wait: Duration::ZERO, why: "", hold: Duration::ZERO, pause: "" }
    }

    const fn because(action: Action, why: &'t str) -> Self {
        Self { why, ..Self::new(action) }
    }
}

impl<E: Env> Jobs<E> {
    /// Restores a lease from its token, for a worker elsewhere. Whether it is still valid shows when it
    /// is ended or extended.
    pub fn resume(&self, queue: &QueueName, id: JobId, token: LeaseToken) -> Claimed<'_, E, ()> {
        let until = Timestamp::from_millis(0);
        Claimed { jobs: self, queue: queue.clone(), id, token, until, job: () }
    }
}

/// All ways to end the lease have the same errors: [`JobError::NoSuchJob`]; [`JobError::LeaseLost`] when it has expired
/// and the job was given to another worker or came back; [`JobError::Ended`] when it was ended in another way;
/// [`JobError::Redis`], after which the outcome is unknown and the call can be repeated: within five minutes the
/// same call gets the same answer.
impl<E: Env, J> Claimed<'_, E, J> {
    /// Returns the id of the job.
    pub const fn id(&self) -> &JobId {
        &self.id
    }

    /// Returns the proof of the lease, for [`Jobs::resume`].
    pub const fn token(&self) -> &LeaseToken {
        &self.token
    }

    /// Returns when the lease expires, by Redis's clock.
    pub const fn until(&self) -> Timestamp {
        self.until
    }

    /// Acknowledges the job: it is done.
    ///
    /// # Errors
    /// See above.
    pub async fn ack(self) -> Result<(), JobError> {
        self.end(Ending::new(Action::Ack)).await.map(|_| ())
    }

    /// Reports that the job failed, `why` in a few words: it is attempted again after the queue's backoff, or becomes a dead
    /// letter if this was its last attempt.
    ///
    /// # Errors
    /// See above.
    pub async fn retry(self, why: &str) -> Result<Ended, JobError> {
        let wait = self.backoff();
        self.retry_after(wait, why).await
    }

    /// Like [`Claimed::retry`], after a delay of the worker's choice, at most [`MAX_DELAY`].
    ///
    /// # Errors
    /// See above.
    pub async fn retry_after(self, wait: Duration, why: &str) -> Result<Ended, JobError> {
        let wait = wait.min(MAX_DELAY);
        self.end(Ending { wait, ..Ending::because(Action::Retry, why) }).await
    }

    /// Gives the job back as if it had not been claimed: it gets its place in line again, and the attempt does
    /// not count.
    ///
    /// # Errors
    /// See above.
    pub async fn release(self) -> Result<Ended, JobError> {
        self.end(Ending::new(Action::Release)).await
    }

    /// Reports that the job cannot succeed: it becomes a dead letter, whatever attempts are left.
    ///
    /// # Errors
    /// See above.
    pub async fn bury(self, why: &str) -> Result<Ended, JobError> {
        self.end(Ending::because(Action::Bury, why)).await
    }

    /// Extends the lease to this long from now, within [`LEASE`], and returns its new end.
    ///
    /// # Errors
    /// See above.
    pub async fn extend(&mut self, by: Duration) -> Result<Timestamp, JobError> {
        let wait = by.clamp(*LEASE.start(), *LEASE.end());
        let ended = self.end(Ending { wait, ..Ending::new(Action::Extend) }).await?;
        self.until = ended.due.unwrap_or(self.until);
        Ok(self.until)
    }

    /// Returns the queue's backoff after this attempt.
    pub(super) fn backoff(&self) -> Duration {
        let mut random = [0; 4];
        self.jobs.env.fill(&mut random);
        self.jobs.rules(&self.queue).backoff.delay(self.token.attempt, u32::from_le_bytes(random))
    }

    pub(super) async fn end(&self, ending: Ending<'_>) -> Result<Ended, JobError> {
        let arguments = vec![
            Arg::from(self.id.as_str()),
            Arg::from(self.token.nonce.as_str()),
            Arg::from(ending.action.as_str()),
            Arg::from(millis(ending.wait)),
            Arg::from(cut(ending.why)),
            Arg::from(millis(ending.hold)),
            Arg::from(ending.pause),
        ];
        read(self.jobs.keys_of(&self.queue).run(&self.jobs.redis, &END, &[], arguments).await?)
    }
}

fn read(reply: Vec<Value>) -> Result<Ended, JobError> {
    let mut reply = Reply::new(reply);
    let (answer, at, text) = (reply.int()?, reply.count()?, reply.text()?);
    match answer {
        1 => Ok(Ended { state: State::parse(&text), due: (at > 0).then(|| Timestamp::from_millis(at)) }),
        0 => Err(JobError::NoSuchJob),
        -1 => Err(JobError::LeaseLost),
        _ => Err(match Action::parse(&text) {
            Some(action) => JobError::Ended(action),
            None => JobError::Redis(RedisError::Reply(format!("{text:?} is no action on a lease"))),
        }),
    }
}

/// Cuts off the end of a text that is too long.
fn cut(text: &str) -> &str {
    let end = (0..=text.len().min(MAX_ERROR)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written_and_nothing_else_is_one() {
        let token = LeaseToken::new(3, "0123456789abcdef");
        assert_eq!(token.to_string().parse(), Ok(token));
        for bad in
            ["", "3", "3.", ".abc", "x.abc", "3.xyz", "3.a b", "-1.ab", &format!("1.{}", "a".repeat(65))]
        {
            assert_eq!(bad.parse::<LeaseToken>(), Err(BadToken), "{bad}");
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let long = "é".repeat(600);
        assert_eq!(cut(&long).len(), MAX_ERROR);
        assert_eq!(cut(&format!("x{long}")).len(), MAX_ERROR - 1);
    }
}
