//! Who looks after queues. A host runs nothing of ours in the background, so that somebody has to come:
//!
//! 1. whoever claims, which promotes what is due and takes back what was not ended in time;
//! 2. the subscriber, which a message on the channel wakes ([`wake`]) when a job was enqueued that is to be pushed;
//! 3. a tick ([`tick`]) every few seconds, by whatever calls the API regularly, or after a request to an
//!    instance ([`opportunity`]). It fires schedules, makes jobs of events that have webhooks, and finds what nobody was woken for: jobs whose message
//!    was lost, delayed ones, those whose lease is over.

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

/// The longest that a tick may begin deliveries for.
pub const MAX_BUDGET: Duration = Duration::from_secs(20);

/// For how long a message on the channel begins deliveries: those behind it wait.
const WAKE: Duration = Duration::from_secs(5);
/// The same after a request to an instance.
const BEHIND: Duration = Duration::from_secs(2);
/// How often an instance looks after the queues of its own accord, and all instances together.
const EACH: Duration = Duration::from_secs(10);
const TOGETHER: Duration = Duration::from_secs(5);

/// What a tick did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ticked {
    /// Jobs of schedules that were enqueued.
    pub fired: u64,
    /// What was pushed.
    #[serde(flatten)]
    pub pushed: Tally,
}

/// Fires the schedules that are due, makes jobs of events, then pushes the jobs of every queue with a target; begins no delivery after
/// `budget`.
///
/// # Errors
/// The first [`JobError`]. What was not done is found by the next tick.
pub async fn tick<E: Env>(app: &App<E>, shared: &Shared<E>, budget: Duration) -> Result<Ticked, JobError> {
    let until = app.env.elapsed() + budget.min(MAX_BUDGET);
    let fired = shared.jobs.fire_all().await;
    let swept = topic::fanout::sweep(shared, until).await;
    let drains = join_all(shared.jobs.pushed().map(|queue| drain(app, shared, queue, until))).await;
    // Each may be on a node of its own: one that fails keeps nobody from the others.
    let mut ticked = Ticked { fired: fired?, ..Ticked::default() };
    swept?;
    for tally in drains {
        ticked.pushed = ticked.pushed.plus(tally?);
    }
    Ok(ticked)
}

/// Pushes the jobs of one queue, because a message says that there are some.
pub(crate) async fn wake<E: Env>(app: &App<E>, queue: &QueueName) -> Handled {
    let Some(shared) = &app.shared else { return Handled::Disabled };
    match drain(app, shared, queue, app.env.elapsed() + WAKE).await {
        Ok(_) => Handled::Done,
        Err(error) => {
            app.env.log(&format!("queue {queue}: not pushed: {error}"));
            Handled::Failed
        }
    }
}

/// Ticks behind a request, now and then, where the configuration names queues.
pub(crate) fn opportunity<E: Env>(app: &Rc<App<E>>) {
    let Some(shared) = app.shared.as_ref().filter(|_| !app.config.queues.is_empty()) else { return };
    let now = app.env.elapsed();
    if shared.jobs.ticked.get().is_some_and(|ticked| now.saturating_sub(ticked) < EACH) {
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
                    app.env.log(&format!("queues were not looked after: {error}"));
                }
            }
            Err(error) => app.env.log(&format!("queues were not looked after: {error}")),
        }
    });
}

/// Whether nobody else did so a moment ago.
async fn first<E: Env>(shared: &Shared<E>) -> Result<bool, RedisError> {
    shared.redis.set_new(&shared.keys.queues_tick(), &shared.jobs.nonces.next(), TOGETHER).await
}
