//! Dead letters: jobs whose attempts are used up, or that were buried.

use super::enqueue::job_id;
use super::script::{DEAD, DEAD_LIST, Reply};
use super::view::{State, View};
use super::{Data, JobError, JobId, Jobs, Priority, QueueName};
use crate::env::Env;
use crate::redis::Arg;
use crate::time::Timestamp;

/// The most dead letters in one page.
pub const MAX_PAGE: u16 = 100;
/// The most rounds of 100 letters in one call: enough for all 10,000 that there can be.
const ROUNDS: u32 = 100;

/// A page of dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The dead letters, oldest first.
    pub letters: Vec<View>,
    /// The beginning of the next page, if there may be one.
    pub next: Option<u64>,
}

/// What to do with dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Make them ready again, with all their attempts.
    Replay,
    /// Drop them.
    Drop,
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Drop => "drop",
        }
    }
}

/// The result of replaying or dropping all dead letters, or of removing jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sentenced {
    /// How many were replayed, dropped or removed.
    pub done: u64,
    /// How many of those that were there at the beginning are left.
    pub left: u64,
}

/// The result of one run of the script.
struct Round {
    sentenced: Sentenced,
    until: u64,
    ring: bool,
}

impl<E: Env> Jobs<E> {
    /// Returns dead letters, oldest first, at most [`MAX_PAGE`] of them: from the beginning, or from the
    /// [`Page::next`] of an earlier page.
    ///
    /// # Errors
    /// [`JobError::Redis`].
    pub async fn dead_letters(
        &self,
        queue: &QueueName,
        after: Option<u64>,
        count: u16,
    ) -> Result<Page, JobError> {
        let keys = self.keys_of(queue);
        let after = after.map_or_else(|| "-inf".to_owned(), |after| after.to_string());
        let count = count.clamp(1, MAX_PAGE);
        let arguments = vec![Arg::from(&keys.jobs), Arg::from(after), Arg::from(u64::from(count))];
        let mut reply = Reply::new(self.redis.run(&DEAD_LIST, &[&keys.all[4]], arguments).await?);
        let (next, mut letters) = (u64::try_from(reply.int()?).ok(), Vec::new());
        while !reply.is_over() {
            let died = reply.count()?;
            letters.push(letter(died, &mut reply)?);
        }
        Ok(Page { letters, next })
    }

    /// Replays or drops one dead letter.
    ///
    /// # Errors
    /// [`JobError::NoSuchJob`] when it is not a dead letter, [`JobError::Redis`].
    pub async fn sentence(&self, queue: &QueueName, id: &JobId, verdict: Verdict) -> Result<(), JobError> {
        let round = self.round(queue, id.as_str(), verdict, None).await?;
        self.ring_if(queue, round.ring);
        if round.sentenced.done == 1 { Ok(()) } else { Err(JobError::NoSuchJob) }
    }

    /// Replays or drops all dead letters that exist now, and none that dies meanwhile.
    ///
    /// # Errors
    /// [`JobError::Redis`]: then only some were replayed or dropped. Continuing is safe.
    pub async fn sentence_all(&self, queue: &QueueName, verdict: Verdict) -> Result<Sentenced, JobError> {
        let (mut all, mut until) = (Sentenced::default(), None);
        for _ in 0..ROUNDS {
            let round = self.round(queue, "", verdict, until).await.map_err(|error| error.after(all.done))?;
            self.ring_if(queue, round.ring);
            until = Some(round.until);
            all = Sentenced { done: all.done + round.sentenced.done, left: round.sentenced.left };
            if all.left == 0 {
                break;
            }
        }
        Ok(all)
    }

    async fn round(
        &self,
        queue: &QueueName,
        id: &str,
        verdict: Verdict,
        until: Option<u64>,
    ) -> Result<Round, JobError> {
        let arguments = vec![
            Arg::from(id),
            Arg::from(self.nonces.next()),
            Arg::from(verdict.as_str()),
            Arg::from(until.map_or_else(String::new, |until| until.to_string())),
        ];
        let mut reply = Reply::new(self.keys_of(queue).run(&self.redis, &DEAD, &[], arguments).await?);
        let sentenced = Sentenced { done: reply.count()?, left: reply.count()? };
        Ok(Round { sentenced, until: reply.count()?, ring: reply.int()? == 1 })
    }

    fn ring_if(&self, queue: &QueueName, ring: bool) {
        if ring {
            self.ring_behind(queue);
        }
    }
}

fn letter(died: u64, reply: &mut Reply) -> Result<View, JobError> {
    let (attempts, max_attempts) = (reply.small()?, reply.small()?);
    let enqueued = Timestamp::from_millis(reply.count()?);
    let priority = Priority::stored(reply.count()?);
    let id = job_id(&reply.text()?)?;
    let error = Some(reply.text()?).filter(|text| !text.is_empty());
    let data = Some(reply.bytes()?).filter(|data| !data.is_empty()).map(Data::stored);
    let at = Some(Timestamp::from_millis(died / 1000));
    Ok(View { id, state: State::Dead, at, attempts, max_attempts, priority, enqueued, error, data })
}
