//! The encoding of a stored response.
//!
//! ```text
//! entry  = version(1) checksum(head)(4) length(head)(4) head body
//! head   = key selecting received initial_age lifetime flags stale_if_error stale_while_revalidate
//!          ledger(id seq) status fields tags content
//! ```
//! Content within the entry has a checksum of its own in the head, so that a head can be read alone. Numbers are
//! big-endian, texts are preceded by their length. An unknown version, a wrong checksum or a length that does
//! not fit makes a [`Corrupt`] entry, which counts as none.

use super::{Content, Corrupt, Entry, LedgerMark, PARTS, Policy, VERSION};
use crate::codec::{Beginning, Damaged, PREAMBLE, Reader, Writer, checksum, preamble, record};
use crate::time::{DeltaSeconds, Timestamp};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// Returns the length of the head after the preamble in `bytes`, if the preamble is complete and that of an entry or of a
/// record of parts, in this version.
pub(crate) fn head_length(bytes: &[u8]) -> Option<usize> {
    let preamble = bytes.get(..PREAMBLE)?;
    let length: [u8; 4] = preamble[5..].try_into().ok()?;
    [VERSION, PARTS].contains(&preamble[0]).then_some(u32::from_be_bytes(length) as usize)
}

impl Entry {
    /// Encodes it for Redis.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let inline: &[u8] = if let Content::Inline(bytes) = &self.content { bytes } else { &[] };
        record(VERSION, &self.head(), inline)
    }

    /// Returns what [`Entry::encode`] begins with: enough to tell whether the entry is still the one that was read.
    pub(crate) fn preamble(&self) -> Vec<u8> {
        preamble(VERSION, &self.head())
    }

    fn head(&self) -> Vec<u8> {
        let mut head = Writer::with_capacity(1024);
        self.write_head(&mut head);
        head.into_bytes()
    }

    fn write_head(&self, out: &mut Writer) {
        out.text(&self.key);
        out.text(&self.selecting);
        out.u64(self.received.as_millis());
        out.u64(self.initial_age);
        out.u64(self.policy.lifetime.as_secs());
        out.u8(self.policy.flags());
        out.u64(self.policy.stale_if_error.as_secs());
        out.u64(self.policy.stale_while_revalidate.as_secs());
        out.text(&self.ledger.id);
        out.u64(self.ledger.seq);
        out.u16(self.status.as_u16());
        out.length(self.headers.len());
        for (name, value) in &self.headers {
            out.text(name.as_str());
            out.bytes(value.as_bytes());
        }
        out.length(self.tags.len());
        for tag in &self.tags {
            out.text(tag);
        }
        match &self.content {
            Content::Inline(bytes) => {
                out.u8(0);
                out.u64(bytes.len() as u64);
                out.u32(checksum(bytes));
            }
            Content::Chunked { body, chunks, length } => {
                out.u8(1);
                out.u64(*length);
                out.u32(*chunks);
                out.text(body);
            }
        }
    }

    /// Decodes what [`Entry::encode`] wrote.
    ///
    /// # Errors
    /// [`Corrupt`] for anything else.
    pub fn decode(bytes: &Bytes) -> Result<Self, Corrupt> {
        let head = Beginning::whole(bytes, VERSION)?;
        let end = PREAMBLE + head.len();
        let mut head = Reader::new(head);
        let mut entry = Self::read_head(&mut head, bytes)?;
        let rest = bytes.slice(end..);
        match &mut entry.content {
            Content::Inline(content) if rest.len() as u64 == head.u64()? => {
                if checksum(&rest) != head.u32()? {
                    return Err(Corrupt::Checksum);
                }
                *content = rest;
            }
            Content::Chunked { body, chunks, length } if rest.is_empty() => {
                (*length, *chunks, *body) = (head.u64()?, head.u32()?, head.text()?);
            }
            _ => return Err(Corrupt::Damaged),
        }
        if head.is_empty() { Ok(entry) } else { Err(Corrupt::Damaged) }
    }

    /// Decodes preamble and head alone; inline content is left empty.
    ///
    /// # Errors
    /// As [`Entry::decode`].
    pub(crate) fn decode_head(bytes: &Bytes) -> Result<Self, Corrupt> {
        let head = Beginning::whole(bytes, VERSION)?;
        let mut head = Reader::new(head);
        let mut entry = Self::read_head(&mut head, bytes)?;
        if let Content::Chunked { body, chunks, length } = &mut entry.content {
            (*length, *chunks, *body) = (head.u64()?, head.u32()?, head.text()?);
        }
        Ok(entry)
    }

    /// Reads up to the description of the content, the rest of which stays in `head`. Field values share the memory of
    /// `record`, in which `head` lies.
    fn read_head(head: &mut Reader<'_>, record: &Bytes) -> Result<Self, Corrupt> {
        let (key, selecting) = (head.text()?, head.text()?);
        let received = Timestamp::from_millis(head.u64()?);
        let initial_age = head.u64()?;
        let lifetime = DeltaSeconds::from_secs(head.u64()?);
        let flags = head.u8()?;
        let policy = Policy {
            lifetime,
            always_validate: flags & 1 != 0,
            forbids_stale: flags & 2 != 0,
            immutable: flags & 4 != 0,
            stale_if_error: DeltaSeconds::from_secs(head.u64()?),
            stale_while_revalidate: DeltaSeconds::from_secs(head.u64()?),
        };
        let ledger = LedgerMark { id: head.text()?, seq: head.u64()? };
        let status = StatusCode::from_u16(head.u16()?).map_err(|_| Corrupt::Damaged)?;
        let headers = read_headers(head, record)?;
        let tags = (0..head.count()?).map(|_| head.text()).collect::<Result<_, Damaged>>()?;
        let content = match head.u8()? {
            0 => Content::Inline(Bytes::new()),
            1 => Content::Chunked { body: String::new(), chunks: 0, length: 0 },
            _ => return Err(Corrupt::Damaged),
        };
        Ok(Self { key, selecting, received, initial_age, policy, ledger, status, headers, tags, content })
    }
}

/// The number of fields that are added when a stored response answers: `Age`, `Accept-Ranges`, `Cache-Status`, `Content-Length`.
const ADDED: usize = 4;

fn read_headers(head: &mut Reader<'_>, record: &Bytes) -> Result<HeaderMap, Corrupt> {
    let count = head.count()?;
    // A map has a maximum size, and panics beyond it.
    let mut headers = HeaderMap::try_with_capacity(count + ADDED).map_err(|_| Corrupt::Damaged)?;
    for _ in 0..count {
        let name = HeaderName::from_bytes(head.bytes()?).map_err(|_| Corrupt::Damaged)?;
        let value = HeaderValue::from_maybe_shared(record.slice_ref(head.bytes()?));
        let value = value.map_err(|_| Corrupt::Damaged)?;
        headers.try_append(name, value).map_err(|_| Corrupt::Damaged)?;
    }
    Ok(headers)
}
