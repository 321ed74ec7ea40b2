//! A body that is stored as it is read.

use super::pace::Paced;
use super::{Abandoned, Fill, briefly};
use crate::body::{Body, BodyError};
use crate::cache::pieces::Following;
use crate::cache::storable::Unstorable;
use crate::env::Env;
use bytes::Bytes;

impl<E: Env> Fill<E> {
    /// Returns the same body; each piece is stored before the client gets it.
    pub(super) fn tee(self, body: Body) -> Body {
        let length = body.length().or(self.declared);
        let env = self.store.env.clone();
        let state = Paced::new(env, Tee { body, fill: Some(self) }, length);
        Body::from_pieces(
            length,
            futures_util::stream::unfold(state, |mut state| async move {
                let piece = state.next().await?;
                Some((piece, state))
            }),
        )
    }
}

pub(super) struct Tee<E: Env> {
    body: Body,
    fill: Option<Fill<E>>,
}

impl<E: Env> Tee<E> {
    /// Returns a reader for others; `None` before there is anything to read, and after storing has ended.
    pub(super) fn followed(&self) -> Option<Following<E>> {
        self.fill.as_ref().and_then(Fill::followed)
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
        match fill.push(piece).await {
            // By the declared length, the client knows that it has the whole.
            Ok(()) if fill.declared == Some(fill.length) => self.end(Ok(())).await,
            Ok(()) => {}
            Err(abandoned) => self.end(Err(abandoned)).await,
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
        let mut rest = Self { body: std::mem::take(&mut self.body), fill: Some(fill) };
        env.spawn(async move {
            while rest.fill.is_some() {
                if rest.next().await.is_none() {
                    return;
                }
            }
        });
    }
}
