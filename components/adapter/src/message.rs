//! Messages on the pub/sub channel, and their background work.

use crate::app;
use crate::env::say;
use crate::upstream::Behind;
use futures_util::future::{Either, select};
use spin_sdk::wasip3;
use spindrift::event::{self, Handled};
use spindrift::tasks::Tasks;
use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

/// How long the background work of a message may run after it, while others wait behind it.
const AFTER: Duration = Duration::from_secs(10);

thread_local! {
    /// The background work of the message being handled.
    static TASKS: RefCell<Option<Rc<Tasks>>> = const { RefCell::new(None) };
}

/// Handles one message on the pub/sub channel, and runs its background work to the end, because the instance ends with it.
///
/// # Errors
/// A text for the host's log, if the configuration is invalid or Redis failed.
pub async fn on_message(payload: Vec<u8>) -> Result<(), String> {
    let app = app::instance(Behind::Origin).await.map_err(|problem| problem.detail().to_owned())?;
    let tasks = Rc::new(Tasks::default());
    TASKS.set(Some(Rc::clone(&tasks)));
    app.metrics.send_by_hand();
    let handled = tasks.beside(event::handle(&app, &payload)).await;
    if let Either::Right(_) = select(pin!(tasks.finish()), pin!(spin_sdk::time::sleep(AFTER))).await {
        say(&format!("background work of a message was stopped: it took more than {} s", AFTER.as_secs()));
    }
    app.metrics.flush().await;
    match handled {
        Handled::Failed => Err("the message could not be handled: Redis failed".to_owned()),
        _ => Ok(()),
    }
}

/// Runs `work` in the background: by the host, or beside the message being handled.
pub(crate) fn spawn(work: impl Future<Output = ()> + 'static) {
    match TASKS.with_borrow(Clone::clone) {
        Some(tasks) => tasks.add(work),
        None => wasip3::spawn(work),
    }
}
