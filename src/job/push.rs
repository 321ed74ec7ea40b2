//! Pushing the jobs of a queue to its target.

use super::claim::Claim;
use super::lease::{Claimed, Ending};
use super::{Action, JobError, Jobs, QueueName, State};
use crate::app::{App, Shared};
use crate::config::Push;
use crate::env::{Env, UpstreamError};
use crate::time::Instant;
use crate::webhook::{KeyRing, Message, Outcome, deliver};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde::Serialize;
use std::time::Duration;

/// How much longer than its target's timeout a delivery is leased, for the work before and after it.
const MARGIN: Duration = Duration::from_secs(15);
/// How long nothing is pushed to a target that the host forbids.
const DENIED: Duration = Duration::from_secs(60);

/// The result of pushing jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Jobs that the target accepted.
    pub delivered: u64,
    /// Deliveries that failed: these jobs are attempted again.
    pub failed: u64,
    /// Jobs that failed for the last time, and became dead letters.
    pub died: u64,
}

impl Tally {
    /// Adds two tallies.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            delivered: self.delivered + other.delivered,
            failed: self.failed + other.failed,
            died: self.died + other.died,
        }
    }
}

/// Pushes jobs until there are none or `until` has come, by [`Clock::instant`](crate::env::Clock::instant), and then awaits
/// the deliveries under way. Over all instances no more are under way than the queue's concurrency. If
/// time runs out first, the bell is rung for the rest.
///
/// # Errors
/// [`JobError::Redis`], after the deliveries under way have ended.
pub async fn drain<E: Env>(
    app: &App<E>,
    shared: &Shared<E>,
    queue: &QueueName,
    until: Instant,
) -> Result<Tally, JobError> {
    let jobs = &shared.jobs;
    let Some(push) = jobs.rules(queue).push else { return Ok(Tally::default()) };
    let Some(keys) = app.settings.webhook_keys.get(&push.keys) else { return Ok(Tally::default()) };
    let mut tally = Tally::default();
    let mut under_way = FuturesUnordered::new();
    let (mut more, mut failed) = (true, None);
    loop {
        let room = push.concurrency.get().saturating_sub(u16::try_from(under_way.len()).unwrap_or(u16::MAX));
        if more && room > 0 && failed.is_none() && app.env.instant() < until {
            let claim = Claim::default().count(room).lease(push.timeout + MARGIN);
            match jobs.claim_or_next(queue, claim.in_flight(push.concurrency.get())).await {
                Ok((claimed, again)) => {
                    more = again || !claimed.is_empty();
                    under_way.extend(claimed.into_iter().map(|job| attempt(app, push, keys, job)));
                    if again && under_way.is_empty() {
                        continue;
                    }
                }
                Err(error) => failed = Some(error),
            }
        }
        match under_way.next().await {
            // There is room again, and a job may have become due.
            Some(one) => (tally, more) = (tally.plus(one), true),
            None => break,
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    if more && tally != Tally::default() {
        jobs.bell.ring(queue.as_str()).await?;
    }
    Ok(tally)
}

/// Delivers one job once, and ends its lease according to the outcome.
async fn attempt<E: Env>(app: &App<E>, push: &Push, keys: &KeyRing, claimed: Claimed<'_, E>) -> Tally {
    let (id, attempt, most) = (claimed.id().clone(), claimed.job.attempt, claimed.job.max_attempts);
    let message = Message {
        target: &push.target,
        id: id.as_str(),
        content: claimed.job.data.bytes(),
        keys,
        timeout: push.timeout,
    };
    let outcome = deliver(&app.env, message).await;
    let (queue, reason) = (claimed.queue.clone(), outcome.reason());
    let ended = claimed.end(settle(&outcome, claimed.backoff(), &reason)).await;
    let delivered = matches!(outcome, Outcome::Accepted(_));
    if !delivered {
        app.env.log(&format!("queue {queue}: job {id}: attempt {attempt} of {most}: {reason}"));
    }
    match ended {
        Ok(_) if delivered => Tally { delivered: 1, ..Tally::default() },
        Ok(ended) if ended.state == State::Dead => Tally { died: 1, ..Tally::default() },
        Ok(_) => Tally { failed: 1, ..Tally::default() },
        Err(error) => {
            app.env.log(&format!("queue {queue}: job {id}: {error}"));
            Tally { failed: 1, ..Tally::default() }
        }
    }
}

/// Decides how the lease of a delivered job ends.
fn settle<'t>(outcome: &Outcome, backoff: Duration, why: &'t str) -> Ending<'t> {
    let retry = Ending { wait: backoff, why, ..Ending::new(Action::Retry) };
    match outcome {
        Outcome::Accepted(_) => Ending::new(Action::Ack),
        // Neither of these is the fault of the job, which keeps its place and its attempts.
        Outcome::Gone => Ending { pause: "gone", ..Ending::new(Action::Release) },
        Outcome::Failed(UpstreamError::Denied(_)) => Ending { hold: DENIED, ..Ending::new(Action::Release) },
        Outcome::Busy { after: Some(after), .. } => {
            Ending { wait: backoff.max(*after), hold: *after, ..retry }
        }
        Outcome::Busy { after: None, .. }
        | Outcome::Refused(_)
        | Outcome::TimedOut(_)
        | Outcome::Failed(_) => retry,
    }
}

impl<E: Env> Jobs<E> {
    /// Returns the queues whose jobs are pushed.
    pub(super) fn pushed(&self) -> impl Iterator<Item = &QueueName> {
        self.config.queues.iter().filter(|queue| queue.push.is_some()).map(|queue| &queue.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    #[test]
    fn an_outcome_ends_a_lease() {
        let second = Duration::from_secs(1);
        let settled = |outcome: Outcome| {
            let ending = settle(&outcome, 5 * second, "why");
            (ending.action, ending.wait.as_secs(), ending.hold.as_secs(), ending.pause)
        };
        let busy = |after| Outcome::Busy { status: StatusCode::SERVICE_UNAVAILABLE, after };
        let denied = UpstreamError::Denied(String::new());
        assert_eq!(settled(Outcome::Accepted(StatusCode::OK)), (Action::Ack, 0, 0, ""));
        assert_eq!(settled(Outcome::Gone), (Action::Release, 0, 0, "gone"));
        assert_eq!(settled(Outcome::Failed(denied)), (Action::Release, 0, 60, ""));
        assert_eq!(settled(busy(Some(60 * second))), (Action::Retry, 60, 60, ""));
        assert_eq!(settled(busy(Some(second))), (Action::Retry, 5, 1, ""), "the backoff holds as well");
        assert_eq!(settled(busy(None)), (Action::Retry, 5, 0, ""));
        assert_eq!(settled(Outcome::Refused(StatusCode::FOUND)), (Action::Retry, 5, 0, ""));
        assert_eq!(settled(Outcome::TimedOut(second)), (Action::Retry, 5, 0, ""));
    }
}
