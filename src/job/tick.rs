//! Who looks after the queues. A host runs nothing of ours in the background, so somebody has to come:
//!
//! 1. whoever claims: it promotes jobs that are due and takes back those whose lease has expired;
//! 2. the subscriber, which a message on the channel wakes ([`wake`]) when a job to be pushed was enqueued;
//! 3. a tick ([`tick`]) every few seconds, by something that calls the API regularly, or after a request to an
//!    instance ([`opportunity`]). It fires schedules, makes jobs of events for webhooks, and finds jobs for which nobody
//!    was woken: whose message was lost, that were delayed, or whose lease has expired.

use super::push::{Tally, drain};
use super::{JobError, QueueName};
use crate::app::{App, Shared};
use crate::env::Env;
use crate::event::Handled;
use crate::redis::RedisError;
use crate::topic;
use futures_util::future::join_all;
use serde::Serialize;
use std::rc::Rc;
use std::time::Duration;

/// How long a tick may begin deliveries at most.
pub const MAX_BUDGET: Duration = Duration::from_secs(20);

/// How long a message on the channel may begin deliveries, while others wait behind it.
const WAKE: Duration = Duration::from_secs(5);
/// How long a tick after a request to an instance may begin deliveries.
const BEHIND: Duration = Duration::from_secs(2);
/// How often an instance ticks of its own accord, and how often all instances together.
const EACH: Duration = Duration::from_secs(10);
const TOGETHER: Duration = Duration::from_secs(5);

/// The result of a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ticked {
    /// The jobs that schedules enqueued.
    pub fired: u64,
    /// The jobs that were pushed.
    #[serde(flatten)]
    pub pushed: Tally,
}

/// Fires the schedules that are due, makes jobs of events, then pushes the jobs of every queue with a target. Begins no
/// delivery after `budget`.
///
/// # Errors
/// The first [`JobError`]. What was not done is left to the next tick.
pub async fn tick<E: Env>(app: &App<E>, shared: &Shared<E>, budget: Duration) -> Result<Ticked, JobError> {
    let until = app.env.instant().plus(budget.min(MAX_BUDGET));
    let fired = shared.jobs.fire_all().await;
    let swept = topic::fanout::sweep(shared, until).await;
    let drains = join_all(shared.jobs.pushed().map(|queue| drain(app, shared, queue, until))).await;
    // Each queue may be on a node of its own: one that fails does not stop the others.
    let mut ticked = Ticked { fired: fired?, ..Ticked::default() };
    swept?;
    for tally in drains {
        ticked.pushed = ticked.pushed.plus(tally?);
    }
    Ok(ticked)
}

/// Pushes the jobs of one queue, as a message asks for.
pub(crate) async fn wake<E: Env>(app: &App<E>, queue: &QueueName) -> Handled {
    let Some(shared) = &app.shared else { return Handled::Disabled };
    match drain(app, shared, queue, app.env.instant().plus(WAKE)).await {
        Ok(_) => Handled::Done,
        Err(error) => {
            app.env.log(&format!("queue {queue}: its jobs were not pushed: {error}"));
            Handled::Failed
        }
    }
}

/// Ticks after a request, now and then, if the configuration names queues.
pub(crate) fn opportunity<E: Env>(app: &Rc<App<E>>) {
    let Some(shared) = app.shared.as_ref().filter(|_| !app.config.queues.is_empty()) else { return };
    let now = app.env.instant();
    if shared.jobs.ticked.get().is_some_and(|ticked| now.since(ticked) < EACH) {
        return;
    }
    shared.jobs.ticked.set(Some(now));
    let app = Rc::clone(app);
    app.env.clone().spawn(async move {
        let Some(shared) = &app.shared else { return };
        match first(shared).await {
            Ok(false) => {}
            Ok(true) => {
                if let Err(error) = tick(&app, shared, BEHIND).await {
                    app.env.log(&format!("the tick of the queues failed: {error}"));
                }
            }
            Err(error) => app.env.log(&format!("the tick of the queues failed: {error}")),
        }
    });
}

/// Returns whether no other instance ticked a moment ago.
async fn first<E: Env>(shared: &Shared<E>) -> Result<bool, RedisError> {
    shared.redis.set_new(&shared.keys.queues_tick(), &shared.jobs.nonces.next(), TOGETHER).await
}
