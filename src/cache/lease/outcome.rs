//! What became of a lead, as those who wait for it find out.

use crate::cache::entry::Entry;
use bytes::Bytes;

/// What became of a lead.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It goes on.
    Leading,
    /// It has published a body under way, and goes on.
    Streaming(Box<Streaming>),
    /// It has ended. If something was stored, it can be found.
    Done {
        /// The pieces of the body and its bytes, where it was published while under way.
        pieces: Option<(u32, u64)>,
    },
    /// The origin gave no response; the status code that says so.
    Failed(u16),
    /// It gave no sign of life, or another has taken over.
    Gone,
}

/// A response whose body is still on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Streaming {
    /// The fields it varies on, as they stand in an index.
    pub spec: String,
    /// The response. The length of its content is not known yet.
    pub entry: Entry,
}

impl Outcome {
    /// Reads a lead: state, token, generation, time, and more. `None` when it is another's.
    pub(super) fn read(lead: &Bytes, token: &str, generation: &[u8]) -> Option<Self> {
        let mut words = lead.splitn(4, |byte| *byte == b' ');
        let (state, holder) = words.next()?.split_at_checked(1)?;
        let of = words.next()?;
        let _since = words.next()?;
        let more = words.next().unwrap_or_default();
        if holder != token.as_bytes() || of != generation {
            return None;
        }
        let text = || std::str::from_utf8(more).ok();
        match state {
            b"L" => Some(Self::Leading),
            b"P" => Some(Self::Streaming(Box::new(Streaming::decode(lead, more)?))),
            b"D" => {
                let pieces = text()?
                    .split_once(' ')
                    .and_then(|(count, length)| Some((count.parse().ok()?, length.parse().ok()?)));
                Some(Self::Done { pieces })
            }
            b"X" => Some(Self::Failed(text()?.parse().ok()?)),
            _ => None,
        }
    }
}

impl Streaming {
    /// How it stands in the lead that publishes it: the fields and the entry.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut shown = format!("{} ", self.spec).into_bytes();
        shown.extend(self.entry.encode());
        shown
    }

    /// Reads `more`, a slice of `lead`, as [`Streaming::encode`] wrote it.
    fn decode(lead: &Bytes, more: &[u8]) -> Option<Self> {
        let space = more.iter().position(|byte| *byte == b' ')?;
        let spec = std::str::from_utf8(&more[..space]).ok()?.to_owned();
        let entry = Entry::decode(&lead.slice_ref(&more[space + 1..])).ok()?;
        Some(Self { spec, entry })
    }
}
