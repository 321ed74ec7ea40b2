//! Storing a response while it passes through: piece by piece, in bounded memory.
//!
//! A body up to [`CHUNK`] is stored in its entry. A larger one is divided into pieces of that size, each under a
//! key of its own, and the entry is written last, once all pieces are stored and the length is right. From the
//! first piece on, those who wait for the response can read it as it comes. A [`Part`] of a response is stored in
//! the same way, always in pieces, and combined with what is stored already.
//!
//! The entry is written before the client gets the end of the response, unless that takes too long: a client that has
//! read the response finds it stored. The entry is written even if the client goes away half way.

mod pace;
mod tee;

use super::entry::{Content, Entry};
use super::lease::{FillLease, RENEW_EVERY, Streaming};
use super::partial::Part;
use super::pieces::{CHUNK, Following, seal};
use super::slice::Run;
use super::storable::Unstorable;
use super::store::{FILL_TIME, Store};
use crate::body::Body;
use crate::env::Env;
use crate::field::validator::StrongValidator;
use crate::redis::{Arg, RedisError};
use crate::time::{Instant, millis};
use bytes::{Bytes, BytesMut};
use futures_util::future::{Either, select};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::time::Duration;

/// How long the end of a response is held back until it is stored.
const BRIEFLY: Duration = Duration::from_millis(50);

/// A response on its way into the store.
pub struct Fill<E: Env> {
    store: Rc<Store<E>>,
    lease: FillLease,
    spec: String,
    entry: Entry,
    declared: Option<u64>,
    limit: u64,
    /// By [`Clock::instant`](crate::env::Clock::instant), like the next: the wall clock may be set back.
    began: Instant,
    renewed: Instant,
    buffer: BytesMut,
    length: u64,
    pieces: Option<Pieces>,
    part: Option<Part>,
    supersedes: bool,
    marked: Duration,
}

struct Pieces {
    body: String,
    count: u32,
}

/// Why a fill ended without storing anything.
#[derive(Debug, thiserror::Error)]
pub(super) enum Abandoned {
    #[error("{}", .0.as_str())]
    Unstorable(Unstorable),
    #[error("it was purged while it was fetched")]
    Purged,
    #[error("the stored response is newer or complete")]
    Superseded,
    #[error("the origin took longer than {} s", FILL_TIME.as_secs())]
    Late,
    #[error(transparent)]
    Redis(#[from] RedisError),
}

impl<E: Env> Fill<E> {
    /// Begins to store `entry`, whose content is yet to come: at most `limit` bytes, and exactly `declared` bytes
    /// if the origin declared a length.
    ///
    /// # Errors
    /// [`Unstorable::TooLarge`] when more than `limit` is declared; the lease is returned.
    pub fn begin(
        store: Rc<Store<E>>,
        lease: FillLease,
        spec: String,
        entry: Entry,
        declared: Option<u64>,
        limit: u64,
    ) -> Result<Self, (Unstorable, Box<FillLease>)> {
        if declared.is_some_and(|declared| declared > limit) {
            return Err((Unstorable::TooLarge, Box::new(lease)));
        }
        // Without a lead, many may fetch the same at once, and the pieces of one that turns out to be too large stay for a while:
        // what does not say its length is then stored only where it needs no pieces.
        let alone = lease.lead.is_none() && declared.is_none();
        let limit = if alone { limit.min(CHUNK as u64) } else { limit };
        let (began, buffer) = (store.env.instant(), BytesMut::new());
        let (renewed, pieces, part) = (began, None, None);
        Ok(Self {
            store,
            lease,
            spec,
            entry,
            declared,
            limit,
            began,
            renewed,
            buffer,
            length: 0,
            pieces,
            part,
            supersedes: false,
            marked: Duration::ZERO,
        })
    }

    /// Begins to store a part of at most `limit` bytes, with the fields in `entry`.
    ///
    /// # Errors
    /// [`Unstorable::TooLarge`] when it is larger, [`Unstorable::NoValidator`] without a strong validator; the lease
    /// is returned.
    pub fn begin_part(
        store: Rc<Store<E>>,
        lease: FillLease,
        spec: String,
        entry: Entry,
        part: Part,
        limit: u64,
    ) -> Result<Self, (Unstorable, Box<FillLease>)> {
        if StrongValidator::of(&entry.headers).is_none() {
            return Err((Unstorable::NoValidator, Box::new(lease)));
        }
        let length = Some(part.carried.span.length());
        Ok(Self { part: Some(part), ..Self::begin(store, lease, spec, entry, length, limit)? })
    }

    /// Says whether the response `supersedes` what is stored. That then goes even if the response turns out to be too large,
    /// or it would be used again (RFC 9111 §4.3.3).
    #[must_use]
    pub fn superseding(self, supersedes: bool) -> Self {
        Self { supersedes, ..self }
    }

    /// Says for how long nobody waits for the same if the response turns out to be too large: those who follow it do not get
    /// all of it then.
    #[must_use]
    pub fn marking(self, marked: Duration) -> Self {
        Self { marked, ..self }
    }

    /// Returns the same body, which is stored as it is read; content in memory is stored at once.
    pub async fn pass(self, body: Body) -> Body {
        match body {
            Body::Full(content) => {
                self.whole(content.clone()).await;
                Body::Full(content)
            }
            Body::Empty => {
                self.whole(Bytes::new()).await;
                Body::Empty
            }
            Body::Stream(_) => self.tee(body),
        }
    }

    async fn whole(mut self, content: Bytes) {
        let env = self.store.env.clone();
        let store = async move {
            let pushed = self.push(content).await;
            self.end(pushed).await;
        };
        briefly(&env, store).await;
    }

    async fn push(&mut self, piece: Bytes) -> Result<(), Abandoned> {
        self.length += piece.len() as u64;
        if self.length > self.limit {
            return Err(Abandoned::Unstorable(Unstorable::TooLarge));
        }
        let now = self.store.env.instant();
        if now.since(self.began) >= FILL_TIME {
            return Err(Abandoned::Late);
        }
        self.buffer.extend_from_slice(&piece);
        while self.buffer.len() > CHUNK {
            let chunk = self.buffer.split_to(CHUNK);
            self.write(chunk.freeze()).await?;
        }
        if self.lease.leads() && now.since(self.renewed) >= RENEW_EVERY {
            self.renewed = now;
            self.store.renew(&self.lease, true).await?;
        }
        Ok(())
    }

    async fn write(&mut self, chunk: Bytes) -> Result<(), Abandoned> {
        let first = self.pieces.is_none();
        let store = &self.store;
        let pieces = self.pieces.get_or_insert_with(|| Pieces { body: store.nonces.next(), count: 0 });
        let key = self.store.chunk_key(&self.lease.resource, &pieces.body, pieces.count);
        pieces.count += 1;
        // Longer than the entry that will refer to it.
        let ttl = millis(FILL_TIME) + self.store.ttl(&self.entry, self.entry.received).as_millis();
        let arguments = vec![Arg::from(key), Arg::from(seal(&chunk)), Arg::from("PX"), Arg::from(ttl)];
        self.store.redis.call("SET", arguments).await?;
        if first && self.lease.leads() && self.part.is_none() {
            self.publish().await?;
        }
        Ok(())
    }

    /// Shows the response to those who wait for it, once there is a piece to read.
    async fn publish(&mut self) -> Result<(), Abandoned> {
        let Some(pieces) = &self.pieces else { return Ok(()) };
        let (body, length) = (pieces.body.clone(), self.declared.unwrap_or(u64::MAX));
        let content = Content::Chunked { body, chunks: 0, length };
        let streaming = Streaming { spec: self.spec.clone(), entry: Entry { content, ..self.entry.clone() } };
        self.store.publish(&self.lease, &streaming).await?;
        Ok(())
    }

    /// Returns how many bytes were written to pieces, and those that were not.
    fn unwritten(&self) -> (u64, &[u8]) {
        let pieces = self.pieces.as_ref().map_or(0, |pieces| pieces.count);
        (u64::from(pieces) * CHUNK as u64, &self.buffer)
    }

    /// Returns a reader of what is being stored, once there is a piece to read.
    fn followed(&self) -> Option<Following<E>> {
        let (lead, pieces) = (self.lease.lead.as_ref()?, self.pieces.as_ref()?);
        self.part.is_none().then(|| Following {
            store: Rc::clone(&self.store),
            resource: self.lease.resource.clone(),
            flight: lead.flight.clone(),
            token: lead.token.clone(),
            body: pieces.body.clone(),
            fetch: Weak::new(),
        })
    }

    /// Writes the entry, or ends the lead without one and logs why.
    async fn end(mut self, pushed: Result<(), Abandoned>) {
        let stored = match pushed {
            Ok(()) => self.commit().await,
            Err(abandoned) => Err(abandoned),
        };
        let Err(abandoned) = stored else { return };
        let url = self.lease.resource.url();
        self.store.env.log(&format!("not stored: {url}: {abandoned}"));
        let too_large = matches!(abandoned, Abandoned::Unstorable(Unstorable::TooLarge));
        if self.supersedes
            && too_large
            && let Err(error) = self.store.forget(&self.lease.resource).await
        {
            self.store.env.log(&format!("not forgotten: {url}: {error}"));
        }
        let marked = if too_large { self.marked } else { Duration::ZERO };
        if let Err(error) = self.store.give_up(&self.lease, marked).await {
            self.store.env.log(&format!("a fill lease was not released: {url}: {error}"));
        }
    }

    async fn commit(&mut self) -> Result<(), Abandoned> {
        // RFC 9111 §3.3: an incomplete response is not stored as a complete one. One longer than declared is
        // no better (RFC 9112 §6.3).
        if self.declared.is_some_and(|declared| declared != self.length) {
            return Err(Abandoned::Unstorable(Unstorable::Incomplete));
        }
        let in_pieces = self.pieces.is_some() || self.part.is_some();
        if in_pieces && !self.buffer.is_empty() {
            let last = self.buffer.split().freeze();
            self.write(last).await?;
        }
        if let (Some(part), Some(pieces)) = (&self.part, &self.pieces) {
            let run = Run { span: part.carried.span, body: pieces.body.clone() };
            return part
                .join(&self.store, &self.lease, &self.spec, self.entry.clone(), run, self.limit)
                .await;
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

/// Waits for `work`, but only briefly: after that it continues in the background.
async fn briefly<E: Env>(env: &E, work: impl Future<Output = ()> + 'static) {
    let mut work = Box::pin(work);
    if let Either::Right(_) = select(&mut work, pin!(env.sleep(BRIEFLY))).await {
        env.spawn(work);
    }
}
