//! The state of a lead, as seen by those who wait for it.

use super::FlightFailure;
use crate::cache::entry::Entry;
use bytes::Bytes;

/// The state of a lead.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is still going on.
    Leading,
    /// It is still going on, and has published its body under way.
    Streaming(Box<Streaming>),
    /// It has ended. If something was stored, it can be found.
    Done {
        /// The number of pieces and of bytes of the body, where it was published while under way.
        pieces: Option<(u32, u64)>,
    },
    /// It has failed.
    Failed(FlightFailure),
    /// It was not renewed in time, or another has taken over.
    Gone,
}

/// A response whose body is still being received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Streaming {
    /// The names of the fields it varies on, as an index has them.
    pub spec: String,
    /// The response; its length is known only if it was declared.
    pub entry: Entry,
}

impl Outcome {
    /// Parses a lead: state, token, generation, time, and more. `None` when it is another's.
    pub(super) fn read(lead: &Bytes, token: &str, generation: &[u8]) -> Option<Self> {
        let mut words = lead.splitn(4, |byte| *byte == b' ');
        let (state, holder) = words.next()?.split_at_checked(1)?;
        let of = words.next()?;
        let _since = words.next()?;
        let more = words.next().unwrap_or_default();
        if holder != token.as_bytes() || of != generation {
            return None;
        }
        match state {
            b"L" => Some(Self::Leading),
            b"P" => Some(Self::Streaming(Box::new(Streaming::decode(lead, more)?))),
            b"D" => {
                let pieces = std::str::from_utf8(more)
                    .ok()?
                    .split_once(' ')
                    .and_then(|(count, length)| Some((count.parse().ok()?, length.parse().ok()?)));
                Some(Self::Done { pieces })
            }
            b"X" => Some(Self::Failed(FlightFailure::from_word(more))),
            _ => None,
        }
    }
}

impl Streaming {
    /// Encodes it for the lead that publishes it: the field names and the entry.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut shown = format!("{} ", self.spec).into_bytes();
        shown.extend(self.entry.encode());
        shown
    }

    /// Decodes `more`, a slice of `lead`, as [`Streaming::encode`] wrote it.
    fn decode(lead: &Bytes, more: &[u8]) -> Option<Self> {
        let space = more.iter().position(|byte| *byte == b' ')?;
        let spec = std::str::from_utf8(&more[..space]).ok()?.to_owned();
        let entry = Entry::decode(&lead.slice_ref(&more[space + 1..])).ok()?;
        Some(Self { spec, entry })
    }
}
