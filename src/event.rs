//! Messages on the pub/sub channel.
//!
//! Spin's Redis trigger hands over the payload alone, so the envelope says what it is:
//!
//! ```json
//! {"v": 1, "topic": "purge", "id": "5f0c...", "data": {"tags": ["news"], "soft": true}}
//! ```
//! Pub/sub delivers at most once, and to every subscriber. What must not be lost is done before it is
//! announced: a purge by HTTP acts at once and is announced afterwards. `id` marks what was done already, so
//! so that sender and subscribers together do it once.
//!
//! A host gives a subscriber the messages of one connection one after the other. So that no purge waits for a warm-up or
//! for a slow webhook, long work is handed over to the [work channel](work_channel), on which subscribers listen over a
//! connection of their own. Where nobody listens there, the work is done at once, and the messages behind it wait.

mod channel;
mod envelope;
mod handled;

pub use channel::{Channel, work_channel};
pub(crate) use envelope::ring;
pub use envelope::{Doorbell, Envelope, MAX_MESSAGE, Malformed, Message, VERSION};
pub use handled::Handled;

use crate::app::{App, Shared};
use crate::env::Env;
use crate::job;
use crate::metrics::Series;
use crate::pipeline::warm::{Warm, warm_until};
use crate::purge::Purge;
use crate::redis::RedisError;
use crate::topic;
use std::rc::Rc;
use std::time::Duration;

/// How long one sweep may free the space of purged entries while messages wait behind it; less before further purges.
const SWEEP: Duration = Duration::from_secs(5);
const SWEEP_BEFORE_PURGES: Duration = Duration::from_secs(2);
/// How long one message may go on beginning fetches while others wait. The URLs left become a message of their own.
const WARM: Duration = Duration::from_secs(5);

/// Handles one message from the channel, and logs and counts the outcome.
pub async fn handle<E: Env>(app: &Rc<App<E>>, payload: &[u8]) -> Handled {
    let Some(shared) = &app.shared else {
        app.env.log("a message was dropped: redis_enabled is false");
        return Handled::Disabled;
    };
    let handled = match Envelope::decode(payload) {
        Ok((envelope, message)) => act(app, shared, envelope, message).await.unwrap_or_else(|error| {
            app.env.log(&format!("handling a message failed: {error}"));
            Handled::Failed
        }),
        Err(malformed) => {
            app.env.log(&format!("a message of {} bytes was dropped: {malformed}", payload.len()));
            Handled::Malformed
        }
    };
    if let Some(counter) = handled.counter() {
        shared.channel.count(counter).await;
    }
    shared.metrics.flush().await;
    handled
}

async fn act<E: Env>(
    app: &Rc<App<E>>,
    shared: &Shared<E>,
    envelope: Envelope,
    message: Message,
) -> Result<Handled, RedisError> {
    if let Some(id) = &envelope.id
        && !shared.channel.claim(id).await?
    {
        return Ok(if envelope.handed_over { Handled::Taken } else { Handled::Duplicate });
    }
    if message.takes_long() && shared.channel.hand_over(&envelope).await {
        return Ok(Handled::HandedOver);
    }
    let handled = match message {
        Message::Purge(purge) => act_on_purge(app, shared, &purge).await,
        Message::Warm(warm) => act_on_warm(app, shared, &warm).await,
        Message::Job(queue) => Ok(job::wake(app, &queue).await),
        Message::Event(message) => Ok(topic::listen::act(shared, message, envelope.id.as_deref()).await),
        Message::Sweep => {
            shared.purger.sweep(SWEEP).await;
            Ok(Handled::Swept)
        }
    };
    if let Err(_) | Ok(Handled::Failed) = &handled {
        for id in envelope.ids() {
            shared.channel.unclaim(id).await;
        }
    }
    handled
}

async fn act_on_purge<E: Env>(
    app: &App<E>,
    shared: &Shared<E>,
    purge: &Purge,
) -> Result<Handled, RedisError> {
    let targets = purge.targets().unwrap_or_default();
    let report = shared.purger.purge(&targets, purge.soft).await?;
    app.env.log(&format!("purged {} URLs, {} ledger entries", report.urls, report.ledger));
    // Of several purges the first requests the sweep, for all that come before it begins.
    if report.ledger > 0
        && !purge.soft
        && shared.purger.ask_for_sweep().await
        && !shared.channel.hand_over(&Envelope::sweep()).await
    {
        shared.purger.sweep(SWEEP_BEFORE_PURGES).await;
    }
    Ok(Handled::Done)
}

/// A URL that cannot be stored does not fail the message: repeating it would not help.
async fn act_on_warm<E: Env>(
    app: &Rc<App<E>>,
    shared: &Shared<E>,
    warm: &Warm,
) -> Result<Handled, RedisError> {
    let targets = warm.targets().unwrap_or_default();
    let (warmed, left) = warm_until(app, targets, app.env.now().plus(WARM)).await;
    let stored = warmed.iter().filter(|one| one.stored).count();
    for (result, count) in [("stored", stored), ("not_stored", warmed.len() - stored)] {
        if count > 0 {
            let label = Some(("result", result.to_owned()));
            shared.metrics.add(Series::Other("warmed_total", label), count as u64);
        }
    }
    let first = warmed.iter().find(|one| !one.stored).map_or_else(String::new, |one| {
        format!("; not {}: status {}, {}", one.url, one.status, one.detail.unwrap_or("not storable"))
    });
    app.env.log(&format!("warmed {stored} of {} URLs, {} left for later{first}", warmed.len(), left.len()));
    if !left.is_empty() {
        let urls = left.iter().map(ToString::to_string).collect();
        shared.channel.pass_on(&Warm { urls }).await?;
    }
    Ok(Handled::Done)
}
