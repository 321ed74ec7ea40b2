//! Bodies in pieces, each under a key of its own and followed by a checksum.

use super::entry::Content;
use super::key::ResourceKey;
use super::lease::Outcome;
use super::store::Store;
use crate::body::{Body, BodyError};
use crate::codec::checksum;
use crate::env::Env;
use crate::redis::{Arg, exactly};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use std::rc::{Rc, Weak};
use std::time::Duration;

/// The size of a piece, and the largest body that is stored in its entry, in bytes.
pub const CHUNK: usize = 256 * 1024;

/// How long a reader of a body under way pauses before it looks again for the next piece; doubled each time.
const PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Returns the content of an entry as a body to send.
pub fn content<E: Env>(store: &Rc<Store<E>>, resource: ResourceKey, content: Content) -> Body {
    match content {
        Content::Inline(bytes) => bytes.into(),
        Content::Chunked { body, chunks, length } => {
            let store = Rc::clone(store);
            let read = move |number: u32| {
                let (store, resource, body) = (Rc::clone(&store), resource.clone(), body.clone());
                async move {
                    match piece(&store, &resource, &body, number).await? {
                        Some(piece) => Ok(piece),
                        None => Err(lost(&store, &resource, &body, missing(number)).await),
                    }
                }
            };
            let pieces = futures_util::stream::iter(0..chunks);
            Body::from_pieces(Some(length), pieces.then(read))
        }
    }
}

/// Reads a piece of a body; `None` where it is missing or damaged.
pub(super) async fn piece<E: Env>(
    store: &Store<E>,
    resource: &ResourceKey,
    body: &str,
    number: u32,
) -> Result<Option<Bytes>, BodyError> {
    let key = store.chunk_key(resource, body, number);
    let reply = store.redis.call("GET", vec![Arg::from(key)]).await;
    let value = reply.map_err(|error| BodyError(error.to_string()))?.into_iter().next();
    Ok(value.and_then(|value| value.bytes().ok().flatten()).and_then(unseal))
}

/// Handles a piece that was evicted or damaged after its entry was looked up: no reader can use an entry with this body,
/// so it is dropped.
pub(super) async fn lost<E: Env>(
    store: &Store<E>,
    resource: &ResourceKey,
    body: &str,
    error: BodyError,
) -> BodyError {
    let forgotten = store.forget_body(resource, body).await;
    let then = forgotten.err().map_or_else(String::new, |error| format!("; not forgotten: {error}"));
    store.env.log(&format!("{}: {error}{then}", resource.url()));
    error
}

fn missing(number: u32) -> BodyError {
    BodyError(format!("piece {number} of the stored body is missing or damaged"))
}

/// A body that another request is still storing, to be read as it comes.
pub struct Following<E: Env> {
    /// The store.
    pub store: Rc<Store<E>>,
    /// The resource to which it belongs.
    pub resource: ResourceKey,
    /// The flight of the fetch.
    pub flight: String,
    /// The token of its lead.
    pub token: String,
    /// The name of the body.
    pub body: String,
    /// Alive as long as the fetch, where that is one of this instance.
    pub fetch: Weak<()>,
}

impl<E: Env> Following<E> {
    /// Returns the body, `length` bytes in all if the origin declared that. It breaks off where the fetch does.
    #[must_use]
    pub fn into_body(self, length: Option<u64>) -> Body {
        let pieces = self.into_pieces(0, length);
        Body::from_pieces(length, pieces)
    }

    /// Returns what follows the first `after` bytes of it.
    pub(super) fn into_rest(self, after: u64, length: Option<u64>) -> Body {
        let number = u32::try_from(after / CHUNK as u64).unwrap_or(u32::MAX);
        let mut had = usize::try_from(after % CHUNK as u64).unwrap_or_default();
        let pieces = self.into_pieces(number, length).map(move |piece| {
            let skipped = std::mem::take(&mut had);
            piece.map(|mut piece| piece.split_off(skipped.min(piece.len())))
        });
        Body::from_pieces(length.map(|length| length.saturating_sub(after)), pieces)
    }

    /// Returns the pieces from number `first` on.
    fn into_pieces(self, first: u32, length: Option<u64>) -> impl Stream<Item = Result<Bytes, BodyError>> {
        let start = Some((self, first, false));
        futures_util::stream::unfold(start, move |following| async move {
            // After an error there are no more pieces.
            let (following, number, complete) = following?;
            let next = following.next(number, complete).await?;
            let after = next.as_ref().ok().map(|piece| {
                let (number, shorter) = (number.saturating_add(1), piece.len() < CHUNK);
                let all = length.is_some_and(|length| u64::from(number) * CHUNK as u64 >= length);
                (following, number, shorter || all)
            });
            Some((next, after))
        })
    }

    /// Returns piece `number`. If the pieces before it are `complete`, the body ends here once its fetch has ended.
    async fn next(&self, number: u32, complete: bool) -> Option<Result<Bytes, BodyError>> {
        let mut pause = PAUSE;
        loop {
            let goes_on = self.fetch.strong_count() > 0;
            match piece(&self.store, &self.resource, &self.body, number).await {
                Ok(None) => {}
                there => return there.transpose(),
            }
            match self.store.look_at(&self.resource, &self.flight, &self.token).await {
                // A later piece exists, so this one was evicted: waiting would take until the fetch ends.
                Ok(Outcome::Streaming(_)) if pause == LONGEST_PAUSE && self.is_past(number).await => {
                    return Some(self.there(number).await);
                }
                Ok(Outcome::Streaming(_)) => {}
                Ok(Outcome::Done { pieces: Some((count, _)) }) if number >= count => return None,
                // The fetch has ended since the piece was looked for.
                Ok(Outcome::Done { pieces: Some(_) }) => return Some(self.there(number).await),
                // However the fetch ended: a shorter piece or the declared length has shown that this was all.
                _ if complete => return None,
                // A purge, or another lead: our own fetch writes its pieces all the same.
                Ok(_) if goes_on => {}
                Ok(_) => return Some(Err(BodyError("the fetch that it comes from ended early".to_owned()))),
                Err(error) => return Some(Err(BodyError(error.to_string()))),
            }
            self.store.env.sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Returns piece `number`, which is known to have been written.
    async fn there(&self, number: u32) -> Result<Bytes, BodyError> {
        let piece = piece(&self.store, &self.resource, &self.body, number).await?;
        piece.ok_or_else(|| missing(number))
    }

    /// Returns whether the piece after this one has been written.
    async fn is_past(&self, number: u32) -> bool {
        let next = self.store.chunk_key(&self.resource, &self.body, number.saturating_add(1));
        let there = self.store.redis.call("EXISTS", vec![Arg::from(next)]).await.and_then(exactly::<1>);
        there.and_then(|[there]| there.int()).is_ok_and(|there| there == 1)
    }
}

/// Appends the checksum to a piece. It is at the end, so that the piece can be passed on without being moved.
pub(super) fn seal(chunk: &[u8]) -> Vec<u8> {
    [chunk, &checksum(chunk).to_be_bytes()].concat()
}

/// Removes the checksum from a piece; `None` when it does not match.
pub(super) fn unseal(mut sealed: Vec<u8>) -> Option<Bytes> {
    let (chunk, sum) = sealed.split_last_chunk()?;
    if checksum(chunk) != u32::from_be_bytes(*sum) {
        return None;
    }
    sealed.truncate(chunk.len());
    Some(sealed.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_piece_is_noticed() {
        let sealed = seal(b"piece");
        assert_eq!(unseal(sealed.clone()).as_deref(), Some(&b"piece"[..]));
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert_eq!(unseal(damaged), None, "{at}");
        }
        assert_eq!(unseal(vec![1, 2]), None);
    }
}
