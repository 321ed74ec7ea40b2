//! The encoding of a partial response, and of the record under the key of a response.

use super::Partial;
use crate::cache::entry::{Content, Corrupt, Entry, PARTS};
use crate::cache::slice::Run;
use crate::codec::{Beginning, PREAMBLE, Reader, Writer, preamble, record};
use crate::field::range::Span;
use crate::field::validator::StrongValidator;
use bytes::Bytes;

impl Partial {
    /// Encodes it for Redis.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        record(PARTS, &self.head(), &[])
    }

    /// Returns the first bytes of its encoding, which tell whether the record that was read is still in its place.
    pub(crate) fn preamble(&self) -> Vec<u8> {
        preamble(PARTS, &self.head())
    }

    fn head(&self) -> Vec<u8> {
        let mut head = Writer::with_capacity(1024 + 64 * self.runs.len());
        head.u64(self.complete);
        head.length(self.runs.len());
        for run in &self.runs {
            head.u64(run.span.start());
            head.u64(run.span.end());
            head.text(&run.body);
        }
        head.raw(&self.entry.encode());
        head.into_bytes()
    }

    /// Decodes what [`Partial::encode`] wrote.
    ///
    /// # Errors
    /// [`Corrupt`] for anything else.
    pub fn decode(bytes: &Bytes) -> Result<Self, Corrupt> {
        let head = Beginning::whole(bytes, PARTS)?;
        if PREAMBLE + head.len() != bytes.len() {
            return Err(Corrupt::Damaged);
        }
        let mut reader = Reader::new(head);
        let complete = reader.u64()?;
        let runs = (0..reader.count()?).map(|_| read_run(&mut reader, complete));
        let runs = runs.collect::<Result<Vec<_>, _>>()?;
        let entry = Entry::decode(&bytes.slice_ref(reader.rest()))?;
        let sound = !runs.is_empty() && StrongValidator::of(&entry.headers).is_some();
        if sound { Ok(Self { entry, complete, runs }) } else { Err(Corrupt::Damaged) }
    }
}

fn read_run(head: &mut Reader<'_>, complete: u64) -> Result<Run, Corrupt> {
    let span = Span::new(head.u64()?, head.u64()?).filter(|span| span.end() <= complete);
    Ok(Run { span: span.ok_or(Corrupt::Damaged)?, body: head.text()? })
}

/// The record under the key of a response.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "nearly every record is whole, and a hit should not allocate; on wasm32 none of them is large"
)]
pub(crate) enum Record {
    /// A whole response.
    Whole(Entry),
    /// Parts of a response.
    Part(Box<Partial>),
}

impl Record {
    /// Decodes what [`Entry::encode`] or [`Partial::encode`] wrote.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, Corrupt> {
        if bytes.first() == Some(&PARTS) {
            return Partial::decode(bytes).map(Box::new).map(Self::Part);
        }
        Entry::decode(bytes).map(Self::Whole)
    }

    /// Decodes preamble and head only, with inline content left empty. A record of parts has nothing but a head.
    pub(crate) fn decode_head(bytes: &Bytes) -> Result<Self, Corrupt> {
        if bytes.first() == Some(&PARTS) {
            return Partial::decode(bytes).map(Box::new).map(Self::Part);
        }
        Entry::decode_head(bytes).map(Self::Whole)
    }

    /// Returns its fields and policy.
    pub(crate) const fn entry(&self) -> &Entry {
        match self {
            Self::Whole(entry) => entry,
            Self::Part(partial) => partial.entry(),
        }
    }

    /// Returns the bodies in pieces that it refers to, each with the number of its pieces.
    pub(crate) fn bodies(&self) -> Vec<(&str, u32)> {
        match self {
            Self::Whole(entry) => match &entry.content {
                Content::Chunked { body, chunks, .. } => vec![(body, *chunks)],
                Content::Inline(_) => vec![],
            },
            Self::Part(partial) => partial.runs.iter().map(|run| (&*run.body, run.pieces())).collect(),
        }
    }
}
