//! The pace of a body that others follow: that of its origin, not that of its own client.
//!
//! A body that is stored as it is read would be read at the speed of its client. A client that takes nothing would hold up
//! those who follow, until its lead runs out and they break off. So such a client is left behind: the rest is read for
//! the store alone, as if the client had gone, and the client gets it from the store, as the others do. If the body then turns
//! out to be too large for the store, the client gets the rest of it directly again.

use super::tee::{Left, Tee};
use crate::body::{Body, BodyError};
use crate::cache::pieces::Following;
use crate::env::Env;
use crate::time::Instant;
use bytes::Bytes;
use futures_util::future::{AbortHandle, abortable};
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

/// How long a client may take nothing before it is left behind; well before its lead runs out.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often that is checked.
const LOOK: Duration = Duration::from_millis(500);

/// The body as its client reads it.
pub(super) struct Paced<E: Env> {
    env: E,
    resting: Rc<Resting<E>>,
    length: Option<u64>,
    /// The bytes that the client has got.
    had: u64,
    /// Set once others can follow.
    watch: Option<Watch<E>>,
    /// The rest of the body, read from the store, once the client was left behind.
    rest: Option<Body>,
    /// What the store did not take of it.
    left: Rc<Left>,
}

/// The place of the tee while the client is not reading it.
struct Resting<E: Env> {
    tee: RefCell<Option<Tee<E>>>,
    /// Since when the client has not been reading, by [`Clock::instant`](crate::env::Clock::instant).
    since: Cell<Instant>,
}

struct Watch<E: Env> {
    following: Following<E>,
    _task: Task,
}

/// A background task that ends when this is dropped.
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<E: Env> Paced<E> {
    /// Makes a reader of `tee`, whose body has `length` bytes where that is known.
    pub(super) fn new(env: E, tee: Tee<E>, left: Rc<Left>, length: Option<u64>) -> Self {
        let resting = Rc::new(Resting { tee: RefCell::new(Some(tee)), since: Cell::default() });
        Self { env, resting, length, had: 0, watch: None, rest: None, left }
    }

    pub(super) async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        let Some(mut tee) = self.resting.tee.take() else { return self.next_of_rest().await };
        let piece = tee.next().await;
        if let Some(Ok(piece)) = &piece {
            self.had += piece.len() as u64;
        }
        self.watch(&tee);
        if self.watch.is_some() {
            self.resting.since.set(self.env.instant());
        }
        self.resting.tee.replace(Some(tee));
        piece
    }

    /// Returns the next piece once the client was left behind: from the store, and then what the store did not take.
    async fn next_of_rest(&mut self) -> Option<Result<Bytes, BodyError>> {
        let mut piece = self.rest()?.chunk().await;
        if let Some(Err(_)) = piece
            && let Some(unstored) = self.left.take().and_then(|unstored| unstored.after(self.had))
        {
            piece = self.rest.insert(unstored).chunk().await;
        }
        if let Some(Ok(piece)) = &piece {
            self.had += piece.len() as u64;
        }
        piece
    }

    /// Returns what follows the bytes the client has got, once it was left behind.
    fn rest(&mut self) -> Option<&mut Body> {
        if let Some(Watch { following, .. }) = self.watch.take() {
            self.rest = Some(following.into_rest(self.had, self.length));
        }
        self.rest.as_mut()
    }

    fn watch(&mut self, tee: &Tee<E>) {
        if self.watch.is_some() {
            return;
        }
        let Some(following) = tee.followed() else { return };
        let (watching, task) = abortable(watch(self.env.clone(), Rc::downgrade(&self.resting)));
        self.env.spawn(async move {
            let _ = watching.await;
        });
        self.watch = Some(Watch { following, _task: Task(task) });
    }
}

/// Stops waiting for a client that does not read, as long as others can follow.
async fn watch<E: Env>(env: E, resting: Weak<Resting<E>>) {
    loop {
        env.sleep(LOOK).await;
        let Some(resting) = resting.upgrade() else { return };
        let is_idle = env.instant().since(resting.since.get()) >= PATIENCE;
        // No tee here means that it is being read, and the origin is awaited.
        let is_followed = resting.tee.borrow().as_ref().map(|tee| tee.followed().is_some());
        if is_followed == Some(true) && is_idle {
            // When dropped, it reads on for the store.
            return drop(resting.tee.take());
        }
        if is_followed == Some(false) {
            return;
        }
    }
}
