//! Reading spans of stored content: only the pieces that are needed, one at a time.

use super::entry::Content;
use super::key::ResourceKey;
use super::pieces::{self, CHUNK};
use super::store::Store;
use crate::body::{Body, BodyError};
use crate::env::Env;
use crate::field::range::{Span, union};
use crate::redis::{Arg, Key, RedisError, exactly};
use bytes::Bytes;
use std::ops::Range;
use std::rc::Rc;

/// Consecutive bytes of a representation that are stored as one body, in pieces of [`CHUNK`] counted from the
/// first of these bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The bytes of the representation.
    pub span: Span,
    /// The name of the body among those of the resource.
    pub body: String,
}

impl Run {
    /// Returns the number of its pieces.
    #[must_use]
    pub fn pieces(&self) -> u32 {
        u32::try_from(self.span.length().div_ceil(CHUNK as u64)).unwrap_or(u32::MAX)
    }
}

/// Where content can be read from.
#[derive(Clone, Debug)]
pub enum Source {
    /// All of it, in memory.
    Memory(Bytes),
    /// In Redis. Where runs overlap, they hold the same bytes.
    Runs(Rc<[Run]>),
}

impl From<Content> for Source {
    fn from(content: Content) -> Self {
        match content {
            Content::Inline(bytes) => Self::Memory(bytes),
            Content::Chunked { body, length, .. } => {
                Self::Runs(Span::new(0, length).map(|span| Run { span, body }).into_iter().collect())
            }
        }
    }
}

/// Returns whether the runs contain all of `span`.
#[must_use]
pub fn covers(runs: &[Run], span: Span) -> bool {
    union(runs.iter().map(|run| run.span)).iter().any(|joined| joined.contains(span))
}

/// The next bytes to read, and the piece in which they are.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece<'a> {
    body: &'a str,
    number: u32,
    within: Range<usize>,
    /// The position after these bytes.
    end: u64,
}

/// Returns the piece with the byte at `at`, up to `end` at most, from the run that reaches furthest. `None` where no run
/// has that byte.
fn piece_at(runs: &[Run], at: u64, end: u64) -> Option<Piece<'_>> {
    let with = |run: &&Run| run.span.start() <= at && at < run.span.end();
    let run = runs.iter().filter(with).max_by_key(|run| run.span.end())?;
    let number = (at - run.span.start()) / CHUNK as u64;
    let start = run.span.start() + number * CHUNK as u64;
    let end = end.min(start + CHUNK as u64).min(run.span.end());
    let within = |position: u64| usize::try_from(position - start).ok();
    Some(Piece {
        body: &run.body,
        number: u32::try_from(number).ok()?,
        within: within(at)?..within(end)?,
        end,
    })
}

/// Reads the bytes of `span` from `source`; the body breaks off where they are missing.
#[must_use]
pub fn read<E: Env>(store: &Rc<Store<E>>, resource: &ResourceKey, source: &Source, span: Span) -> Body {
    let runs = match source {
        Source::Memory(bytes) => return in_memory(bytes, span),
        Source::Runs(runs) => Rc::clone(runs),
    };
    let reading = Reading { store: Rc::clone(store), resource: resource.clone(), runs, at: span.start() };
    let pieces = futures_util::stream::unfold(reading, move |mut reading| async move {
        if reading.at >= span.end() {
            return None;
        }
        let piece = reading.next(span.end()).await;
        if piece.is_err() {
            reading.at = span.end();
        }
        Some((piece, reading))
    });
    Body::from_pieces(Some(span.length()), pieces)
}

fn in_memory(bytes: &Bytes, span: Span) -> Body {
    let position = |at: u64| usize::try_from(at).ok().filter(|at| *at <= bytes.len());
    match (position(span.start()), position(span.end())) {
        (Some(start), Some(end)) => bytes.slice(start..end).into(),
        _ => Body::from_pieces(None, futures_util::stream::iter([Err(missing(span.start()))])),
    }
}

struct Reading<E: Env> {
    store: Rc<Store<E>>,
    resource: ResourceKey,
    runs: Rc<[Run]>,
    at: u64,
}

impl<E: Env> Reading<E> {
    async fn next(&mut self, end: u64) -> Result<Bytes, BodyError> {
        let piece = piece_at(&self.runs, self.at, end).ok_or_else(|| missing(self.at))?;
        let bytes = pieces::piece(&self.store, &self.resource, piece.body, piece.number).await?;
        let Some(bytes) = bytes.filter(|bytes| piece.within.end <= bytes.len()) else {
            return Err(pieces::lost(&self.store, &self.resource, piece.body, missing(self.at)).await);
        };
        self.at = piece.end;
        Ok(bytes.slice(piece.within))
    }
}

fn missing(at: u64) -> BodyError {
    BodyError(format!("the piece of the stored body with byte {at} is missing or damaged"))
}

impl<E: Env> Store<E> {
    /// Returns whether all pieces with bytes of `spans` are stored, in one round trip.
    ///
    /// # Errors
    /// [`RedisError`]: then nothing can be read.
    pub async fn holds(
        &self,
        resource: &ResourceKey,
        runs: &[Run],
        spans: &[Span],
    ) -> Result<bool, RedisError> {
        let mut keys = Vec::new();
        for span in spans {
            let mut at = span.start();
            while at < span.end() {
                let Some(piece) = piece_at(runs, at, span.end()) else { return Ok(false) };
                keys.push(Arg::from(&self.chunk_key(resource, piece.body, piece.number)));
                at = piece.end;
            }
        }
        if keys.is_empty() {
            return Ok(true);
        }
        let count = keys.len() as u64;
        let there = exactly::<1>(self.redis.call("EXISTS", keys).await?)?[0].int()?;
        Ok(u64::try_from(there) == Ok(count))
    }

    /// Lets all pieces of a run live for `ttl` milliseconds from now; `false` when one of them is gone.
    ///
    /// # Errors
    /// [`RedisError`]: then some may live longer.
    pub async fn prolong(&self, resource: &ResourceKey, run: &Run, ttl: u64) -> Result<bool, RedisError> {
        for key in self.pieces(resource, run) {
            let reply = self.redis.call("PEXPIRE", vec![Arg::from(&key), Arg::from(ttl)]).await?;
            if exactly::<1>(reply)?[0].int()? != 1 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn pieces(&self, resource: &ResourceKey, run: &Run) -> impl Iterator<Item = Key> {
        (0..run.pieces()).map(|number| self.chunk_key(resource, &run.body, number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(start: u64, end: u64, body: &str) -> Run {
        Run { span: Span::new(start, end).unwrap(), body: body.to_owned() }
    }

    fn all(runs: &[Run], start: u64, end: u64) -> Vec<(&str, u32, Range<usize>)> {
        let mut at = start;
        let next = std::iter::from_fn(|| {
            let piece = (at < end).then(|| piece_at(runs, at, end).unwrap())?;
            at = piece.end;
            Some((piece.body, piece.number, piece.within))
        });
        next.collect()
    }

    #[test]
    fn only_the_pieces_with_the_span_are_read() {
        let whole = [run(0, 1_000_000, "b")];
        assert_eq!(all(&whole, 0, 5), [("b", 0, 0..5)]);
        assert_eq!(all(&whole, 999_999, 1_000_000), [("b", 3, 213_567..213_568)]);
        assert_eq!(all(&whole, 262_143, 262_145), [("b", 0, 262_143..262_144), ("b", 1, 0..1)]);
        assert_eq!(all(&whole, 262_144, 524_288), [("b", 1, 0..262_144)]);
    }

    #[test]
    fn pieces_of_a_run_count_from_its_first_byte() {
        let runs = [run(0, 100, "a"), run(50, 300_150, "b")];
        assert_eq!(all(&runs, 90, 262_300), [("b", 0, 40..262_144), ("b", 1, 0..106)]);
        assert_eq!(all(&runs, 10, 60), [("a", 0, 10..60)]);
        assert_eq!(piece_at(&runs, 300_150, 300_151), None);
    }

    #[test]
    fn runs_cover_what_they_hold_together() {
        let runs = [run(0, 10, "a"), run(10, 20, "b"), run(25, 30, "c")];
        let covers = |start, end| covers(&runs, Span::new(start, end).unwrap());
        assert!(covers(0, 20) && covers(5, 15) && covers(25, 30));
        assert!(!covers(0, 21) && !covers(24, 26) && !covers(0, 30) && !covers(40, 41));
    }

    proptest! {
        #[test]
        fn what_is_covered_is_read_byte_after_byte(
            runs in proptest::collection::vec((0u64..900_000, 1u64..600_000), 1..6),
            start in 0u64..900_000, length in 1u64..600_000,
        ) {
            let runs: Vec<Run> = runs.into_iter().enumerate()
                .map(|(name, (start, length))| run(start, start + length, &name.to_string())).collect();
            let span = Span::new(start, start + length).unwrap();
            let mut at = start;
            while let Some(piece) = (at < span.end()).then(|| piece_at(&runs, at, span.end())).flatten() {
                let run = &runs[piece.body.parse::<usize>().unwrap()];
                let first = run.span.start() + u64::from(piece.number) * CHUNK as u64;
                prop_assert_eq!(first + piece.within.start as u64, at);
                prop_assert_eq!(first + piece.within.end as u64, piece.end);
                prop_assert!(piece.within.end <= CHUNK && piece.end <= run.span.end());
                at = piece.end;
            }
            prop_assert_eq!(at == span.end(), covers(&runs, span));
        }
    }
}
