//! Storing a response while it passes by: piece after piece, in bounded memory.
//!
//! A body up to [`CHUNK`] is stored in its entry. A larger one goes into pieces of that size, each under a
//! key of its own, and the entry is written last, once all of them are there and the length is right.

use super::entry::{Content, Entry};
use super::storable::Unstorable;
use super::store::{FILL_TIME, FillLease, Store};
use crate::body::{Body, BodyError};
use crate::env::Env;
use crate::redis::{Arg, RedisError};
use crate::time::{Timestamp, millis};
use bytes::{Bytes, BytesMut};
use std::rc::Rc;

/// The size of a piece, and the largest body that is stored in its entry, in bytes.
pub const CHUNK: usize = 256 * 1024;

/// A response on its way into the store.
pub struct Fill<E: Env> {
    store: Rc<Store<E>>,
    lease: FillLease,
    spec: String,
    entry: Entry,
    declared: Option<u64>,
    limit: u64,
    began: Timestamp,
    buffer: BytesMut,
    length: u64,
    pieces: Option<Pieces>,
}

struct Pieces {
    body: String,
    count: u32,
}

/// Why nothing was stored.
#[derive(Debug, thiserror::Error)]
enum Abandoned {
    #[error("{}", .0.as_str())]
    Unstorable(Unstorable),
    #[error("it was purged while it was fetched")]
    Purged,
    #[error("the origin took longer than {} s", FILL_TIME.as_secs())]
    Late,
    #[error(transparent)]
    Redis(#[from] RedisError),
}

impl<E: Env> Fill<E> {
    /// Begins to store `entry`, whose content is yet to come: at most `limit` bytes, and exactly `declared`
    /// where the origin declared a length.
    ///
    /// # Errors
    /// [`Unstorable::TooLarge`] when more than `limit` is declared.
    pub fn begin(
        store: Rc<Store<E>>,
        lease: FillLease,
        spec: String,
        entry: Entry,
        declared: Option<u64>,
        limit: u64,
    ) -> Result<Self, Unstorable> {
        if declared.is_some_and(|declared| declared > limit) {
            return Err(Unstorable::TooLarge);
        }
        let began = entry.received;
        let (buffer, pieces) = (BytesMut::new(), None);
        Ok(Self { store, lease, spec, entry, declared, limit, began, buffer, length: 0, pieces })
    }

    /// Stores a content that is there as a whole.
    pub async fn whole(mut self, content: Bytes) {
        let pushed = self.push(content).await;
        self.end(pushed).await;
    }

    /// The same body, which is stored as it is read. What is read half is not stored.
    pub fn tee(self, body: Body) -> Body {
        let length = body.length();
        let state = Tee { body, fill: Some(self) };
        Body::from_pieces(
            length,
            futures_util::stream::unfold(state, |mut state| async move {
                let piece = state.next().await?;
                Some((piece, state))
            }),
        )
    }

    async fn push(&mut self, piece: Bytes) -> Result<(), Abandoned> {
        self.length += piece.len() as u64;
        if self.length > self.limit {
            return Err(Abandoned::Unstorable(Unstorable::TooLarge));
        }
        if self.store.env.now().since(self.began) >= FILL_TIME {
            return Err(Abandoned::Late);
        }
        self.buffer.extend_from_slice(&piece);
        while self.buffer.len() > CHUNK {
            let chunk = self.buffer.split_to(CHUNK);
            self.write(chunk.freeze()).await?;
        }
        Ok(())
    }

    async fn write(&mut self, chunk: Bytes) -> Result<(), Abandoned> {
        let store = &self.store;
        let pieces = self.pieces.get_or_insert_with(|| Pieces { body: store.nonces.next(), count: 0 });
        let key = self.store.chunk_key(&self.lease.resource, &pieces.body, pieces.count);
        pieces.count += 1;
        // Longer than the entry that will name it.
        let ttl = millis(FILL_TIME) + self.store.ttl(&self.entry, self.entry.received).as_millis();
        let arguments = vec![Arg::from(&key), Arg::from(seal(&chunk)), Arg::from("PX"), Arg::from(ttl)];
        self.store.redis.call("SET", arguments).await?;
        Ok(())
    }

    async fn end(mut self, pushed: Result<(), Abandoned>) {
        let env = self.store.env.clone();
        let url = self.lease.resource.url().to_owned();
        let stored = match pushed {
            Ok(()) => self.commit().await,
            Err(abandoned) => Err(abandoned),
        };
        if let Err(abandoned) = stored {
            env.log(&format!("not stored: {url}: {abandoned}"));
        }
    }

    async fn commit(&mut self) -> Result<(), Abandoned> {
        // RFC 9111 §3.3: an incomplete response is not stored as a complete one. More than was declared is
        // no better (RFC 9112 §6.3).
        if self.declared.is_some_and(|declared| declared != self.length) {
            return Err(Abandoned::Unstorable(Unstorable::Incomplete));
        }
        if self.pieces.is_some() && !self.buffer.is_empty() {
            let last = self.buffer.split().freeze();
            self.write(last).await?;
        }
        self.entry.content = match self.pieces.take() {
            None => Content::Inline(self.buffer.split().freeze()),
            Some(Pieces { body, count }) => Content::Chunked { body, chunks: count, length: self.length },
        };
        let now = self.store.env.now();
        let stored = self.store.store(&self.lease, &self.spec, &self.entry, now).await?;
        if stored { Ok(()) } else { Err(Abandoned::Purged) }
    }
}

struct Tee<E: Env> {
    body: Body,
    fill: Option<Fill<E>>,
}

impl<E: Env> Tee<E> {
    async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        match self.body.chunk().await {
            Some(Ok(piece)) => {
                if let Some(mut fill) = self.fill.take() {
                    match fill.push(piece.clone()).await {
                        Ok(()) => self.fill = Some(fill),
                        Err(abandoned) => fill.end(Err(abandoned)).await,
                    }
                }
                Some(Ok(piece))
            }
            Some(Err(error)) => {
                self.end(Err(Abandoned::Unstorable(Unstorable::Incomplete)));
                Some(Err(error))
            }
            None => {
                self.end(Ok(()));
                None
            }
        }
    }

    /// The entry is written in the background: the client need not wait for it.
    fn end(&mut self, pushed: Result<(), Abandoned>) {
        if let Some(fill) = self.fill.take() {
            let env = fill.store.env.clone();
            env.spawn(async move { fill.end(pushed).await });
        }
    }
}

/// The content of an entry, as it is sent.
pub fn content<E: Env>(store: &Rc<Store<E>>, resource: super::key::ResourceKey, content: Content) -> Body {
    match content {
        Content::Inline(bytes) => bytes.into(),
        Content::Chunked { body, chunks, length } => {
            let store = Rc::clone(store);
            let read = move |number: u32| {
                let (store, key) = (Rc::clone(&store), store.chunk_key(&resource, &body, number));
                async move {
                    let missing =
                        || BodyError(format!("piece {number} of the stored body is missing or damaged"));
                    let reply = store.redis.call("GET", vec![Arg::from(&key)]).await;
                    let value = reply.map_err(|error| BodyError(error.to_string()))?.into_iter().next();
                    value.and_then(|value| value.bytes().ok().flatten()).and_then(unseal).ok_or_else(missing)
                }
            };
            let pieces = futures_util::stream::iter(0..chunks);
            Body::from_pieces(Some(length), futures_util::StreamExt::then(pieces, read))
        }
    }
}

/// A piece with its checksum in front.
fn seal(chunk: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(4 + chunk.len());
    sealed.extend_from_slice(&crc32fast::hash(chunk).to_be_bytes());
    sealed.extend_from_slice(chunk);
    sealed
}

fn unseal(sealed: Vec<u8>) -> Option<Bytes> {
    let sealed = Bytes::from(sealed);
    let checksum = u32::from_be_bytes(sealed.get(..4)?.try_into().ok()?);
    let chunk = sealed.slice(4..);
    (crc32fast::hash(&chunk) == checksum).then_some(chunk)
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
