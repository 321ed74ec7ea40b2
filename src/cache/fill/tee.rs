//! A body that is stored as it is read.

use super::pace::Paced;
use super::{Abandoned, Fill, briefly};
use crate::body::{Body, BodyError};
use crate::cache::pieces::Following;
use crate::cache::storable::Unstorable;
use crate::env::Env;
use bytes::Bytes;
use std::cell::Cell;
use std::rc::{Rc, Weak};

impl<E: Env> Fill<E> {
    /// Returns the same body; each piece is stored before the client gets it.
    pub(super) fn tee(self, body: Body) -> Body {
        let length = body.length().or(self.declared);
        let env = self.store.env.clone();
        let left = Rc::<Left>::default();
        let (left_here, goes_on) = (Rc::downgrade(&left), Rc::new(()));
        let tee = Tee { body, fill: Some(self), left: left_here, behind: false, goes_on };
        let state = Paced::new(env, tee, left, length);
        Body::from_pieces(
            length,
            futures_util::stream::unfold(state, |mut state| async move {
                let piece = state.next().await?;
                Some((piece, state))
            }),
        )
    }
}

/// A place for what was not stored of a body, for a client that was left behind.
pub(super) type Left = Cell<Option<Unstored>>;

/// What was not stored of a body.
pub(super) struct Unstored {
    /// The number of bytes that were stored before it.
    stored: u64,
    first: Bytes,
    rest: Body,
}

impl Unstored {
    /// Returns what follows the first `had` bytes of the body; `None` where some of that is missing.
    pub(super) fn after(self, had: u64) -> Option<Body> {
        let skipped = usize::try_from(had.checked_sub(self.stored)?).ok()?;
        let first = (skipped <= self.first.len()).then(|| self.first.slice(skipped..))?;
        Some(self.rest.after(Ok(first), None))
    }
}

pub(super) struct Tee<E: Env> {
    body: Body,
    fill: Option<Fill<E>>,
    left: Weak<Left>,
    /// Whether it is read for the store alone.
    behind: bool,
    /// Dropped when the body is read no more.
    goes_on: Rc<()>,
}

impl<E: Env> Tee<E> {
    /// Returns a reader for others; `None` before there is anything to read, and after storing has ended.
    pub(super) fn followed(&self) -> Option<Following<E>> {
        let following = self.fill.as_ref()?.followed()?;
        Some(Following { fetch: Rc::downgrade(&self.goes_on), ..following })
    }

    pub(super) async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        match self.chunk().await {
            Some(Ok(piece)) => {
                self.push(piece.clone()).await;
                Some(Ok(piece))
            }
            Some(Err(error)) => {
                self.end(Err(Abandoned::Unstorable(Unstorable::Incomplete))).await;
                Some(Err(error))
            }
            None => {
                self.end(Ok(())).await;
                None
            }
        }
    }

    async fn chunk(&mut self) -> Option<Result<Bytes, BodyError>> {
        match &self.fill {
            Some(fill) => fill.store.leading(Some(&fill.lease), self.body.chunk()).await,
            None => self.body.chunk().await,
        }
    }

    async fn push(&mut self, piece: Bytes) {
        let Some(fill) = &mut self.fill else { return };
        match fill.push(piece.clone()).await {
            // By the declared length, the client knows that it has the whole.
            Ok(()) if fill.declared == Some(fill.length) => self.end(Ok(())).await,
            Ok(()) => {}
            Err(abandoned) => {
                if let (true, Abandoned::Unstorable(_) | Abandoned::Late) = (self.behind, &abandoned) {
                    self.leave(&piece);
                }
                self.end(Err(abandoned)).await;
            }
        }
    }

    /// Leaves the rest to the client, if it is still there: `piece`, which was not stored, and what comes after it. Before the
    /// lead ends, because the client then finds no more in the store.
    fn leave(&mut self, piece: &Bytes) {
        if let (Some(left), Some(fill)) = (self.left.upgrade(), &self.fill) {
            let (stored, unwritten) = fill.unwritten();
            let first = Bytes::from([unwritten, piece].concat());
            left.set(Some(Unstored { stored, first, rest: std::mem::take(&mut self.body) }));
        }
    }

    async fn end(&mut self, pushed: Result<(), Abandoned>) {
        if let Some(fill) = self.fill.take() {
            let env = fill.store.env.clone();
            briefly(&env, fill.end(pushed)).await;
        }
    }
}

/// If the client goes away half way, the rest is read for the store alone.
impl<E: Env> Drop for Tee<E> {
    fn drop(&mut self) {
        let Some(fill) = self.fill.take() else { return };
        let env = fill.store.env.clone();
        let (body, left) = (std::mem::take(&mut self.body), std::mem::take(&mut self.left));
        let goes_on = Rc::clone(&self.goes_on);
        let mut rest = Self { body, fill: Some(fill), left, behind: true, goes_on };
        env.spawn(async move {
            while rest.fill.is_some() {
                if rest.next().await.is_none() {
                    return;
                }
            }
        });
    }
}
