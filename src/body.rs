//! Message bodies: empty, complete in memory, or streamed.

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http_body::{Body as _, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Why a body ended early.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body ended early: {0}")]
pub struct BodyError(pub String);

/// A body that arrives in pieces.
pub type BodyStream = Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError>>>;

/// The content of a request or response.
#[derive(Default)]
pub enum Body {
    /// No content.
    #[default]
    Empty,
    /// All of it, in memory.
    Full(Bytes),
    /// Content that is still arriving.
    Stream(BodyStream),
}

impl Body {
    /// Makes a body from an `http_body::Body`.
    pub fn stream(body: impl http_body::Body<Data = Bytes, Error = BodyError> + 'static) -> Self {
        Self::Stream(Box::pin(body))
    }

    /// Makes a body from a stream of pieces, `length` bytes in all where that is known.
    pub fn from_pieces(
        length: Option<u64>,
        pieces: impl Stream<Item = Result<Bytes, BodyError>> + 'static,
    ) -> Self {
        Self::Stream(Box::pin(Pieces { length, pieces: Box::pin(pieces) }))
    }

    /// Returns its length in bytes, where that is known before it is read.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Full(bytes) => Some(bytes.len() as u64),
            Self::Stream(stream) => stream.size_hint().exact(),
        }
    }

    /// Returns the next non-empty piece of content, skipping trailers; `None` at the end.
    ///
    /// # Errors
    /// [`BodyError`] when the peer ended the body early.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, BodyError>> {
        loop {
            match std::future::poll_fn(|cx| Pin::new(&mut *self).poll_frame(cx)).await? {
                Ok(frame) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Some(Ok(data)),
                    Err(_trailers) => {}
                },
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Turns it into a stream of its pieces.
    pub fn pieces(self) -> impl Stream<Item = Result<Bytes, BodyError>> + 'static {
        futures_util::stream::unfold(self, |mut body| async move {
            let piece = body.chunk().await?;
            Some((piece, body))
        })
    }

    /// Returns the same body, which fails if it turns out not to be `length` bytes long.
    #[must_use]
    pub fn exactly(self, length: u64) -> Self {
        // A body in memory of the right length needs no check.
        if !matches!(self, Self::Stream(_)) && self.length() == Some(length) {
            return self;
        }
        let start = (Box::pin(self.pieces()), Some(length));
        let pieces = futures_util::stream::unfold(start, |(mut pieces, left)| async move {
            let left = left?;
            match pieces.next().await {
                Some(Ok(piece)) => match left.checked_sub(piece.len() as u64) {
                    Some(left) => Some((Ok(piece), (pieces, Some(left)))),
                    None => Some((Err(BodyError("it is longer than declared".to_owned())), (pieces, None))),
                },
                Some(Err(error)) => Some((Err(error), (pieces, None))),
                None if left == 0 => None,
                None => Some((Err(BodyError(format!("{left} bytes are missing"))), (pieces, None))),
            }
        });
        Self::from_pieces(Some(length), pieces)
    }

    /// Joins bodies into one, in order. After one that fails, the rest is not read.
    #[must_use]
    pub fn chained(bodies: Vec<Self>) -> Self {
        let length = bodies.iter().map(Self::length).sum::<Option<u64>>();
        let state = (bodies.into_iter(), Self::Empty);
        let pieces = futures_util::stream::unfold(state, |(mut rest, mut body)| async move {
            loop {
                match body.chunk().await {
                    Some(Ok(piece)) => return Some((Ok(piece), (rest, body))),
                    Some(Err(error)) => return Some((Err(error), (Vec::new().into_iter(), Self::Empty))),
                    None => body = rest.next()?,
                }
            }
        });
        Self::from_pieces(length, pieces)
    }

    /// Puts `first` back in front of the rest of this body; `length` is that of both together, where known.
    #[must_use]
    pub fn after(self, first: Result<Bytes, BodyError>, length: Option<u64>) -> Self {
        Self::from_pieces(length, futures_util::stream::iter([first]).chain(self.pieces()))
    }

    /// Waits for the first piece and keeps it in memory, so that reading starts with it.
    ///
    /// # Errors
    /// [`BodyError`] when the body fails before its first piece.
    pub async fn begin(&mut self) -> Result<(), BodyError> {
        if !matches!(self, Self::Stream(_)) {
            return Ok(());
        }
        let length = self.length();
        let first = self.chunk().await.transpose()?;
        *self = match first {
            Some(first) if length == Some(first.len() as u64) => first.into(),
            Some(first) => std::mem::take(self).after(Ok(first), length),
            None => Self::Empty,
        };
        Ok(())
    }

    /// Reads the whole body, at most `limit` bytes of it.
    ///
    /// # Errors
    /// [`CollectError`] when it is longer than `limit` or ends early.
    pub async fn collect(mut self, limit: usize) -> Result<Bytes, CollectError> {
        let mut all = Vec::new();
        while let Some(chunk) = self.chunk().await {
            let chunk = chunk.map_err(CollectError::Broken)?;
            if all.len() + chunk.len() > limit {
                return Err(CollectError::TooLong { limit });
            }
            if all.is_empty() {
                all = chunk.into();
            } else {
                all.extend_from_slice(&chunk);
            }
        }
        Ok(all.into())
    }
}

/// How long the client may take to read the whole response, as an extension of the response. The host does not
/// tell when a client has stopped reading, so that whatever waits for it would wait for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendWithin(pub Duration);

struct Pieces {
    length: Option<u64>,
    pieces: Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>>>>,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.pieces.as_mut().poll_next(cx).map_ok(Frame::data)
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Why a body could not be read whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CollectError {
    /// The body is longer than the limit.
    #[error("expected at most {limit} bytes of body, found more")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The body ended early.
    #[error(transparent)]
    Broken(BodyError),
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::Empty } else { Self::Full(bytes) }
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Stream(stream) => stream.as_mut().poll_frame(cx),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(stream) => stream.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
    }

    fn pieces(all: &[Result<&'static str, ()>]) -> Body {
        let all: Vec<_> = all
            .iter()
            .map(|piece| {
                piece.map(|text| Bytes::from_static(text.as_bytes())).map_err(|()| BodyError("x".into()))
            })
            .collect();
        Body::from_pieces(None, futures_util::stream::iter(all))
    }

    #[test]
    fn a_body_of_another_length_breaks() {
        let read = |all: &[Result<&'static str, ()>]| run(pieces(all).exactly(5).collect(99));
        assert_eq!(read(&[Ok("he"), Ok("llo")]), Ok(Bytes::from_static(b"hello")));
        for wrong in [&[][..], &[Ok("hell")], &[Ok("hello"), Ok("!")], &[Ok("he"), Err(())]] {
            assert!(matches!(read(wrong), Err(CollectError::Broken(_))), "{wrong:?}");
        }
        assert_eq!(run(Body::Empty.exactly(0).collect(9)), Ok(Bytes::new()));
    }

    #[test]
    fn bodies_follow_one_another_and_nothing_follows_a_break() {
        let chain =
            || Body::chained(vec![Body::Empty, Bytes::from_static(b"a").into(), pieces(&[Ok("b"), Ok("c")])]);
        assert_eq!(run(chain().collect(9)), Ok(Bytes::from_static(b"abc")));
        assert_eq!(Body::chained(vec![Bytes::from_static(b"ab").into(), Body::Empty]).length(), Some(2));
        let broken = Body::chained(vec![pieces(&[Ok("a"), Err(())]), Bytes::from_static(b"b").into()]);
        let all: Vec<_> = run(broken.pieces().collect());
        assert!(all.len() == 2 && all[1].is_err(), "{all:?}");
    }
}
