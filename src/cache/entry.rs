//! A stored response and how it is written.
//!
//! ```text
//! entry  = version(1) crc32(head)(4) length(head)(4) head body
//! head   = key selecting received initial_age lifetime flags stale_if_error stale_while_revalidate
//!          ledger(id seq) status fields tags content
//! ```
//! Content that stands in the entry has a checksum of its own in the head, so that a head can be read alone.
//! Numbers are big-endian, texts stand after their length. An unknown version, a wrong checksum or a length
//! that does not fit is a [`Corrupt`] entry and counts as none at all.

use super::tags;
use crate::codec::{Damaged, Reader, Writer};
use crate::field::conditional::is_about;
use crate::field::hop;
use crate::time::{DeltaSeconds, Timestamp};
use bytes::Bytes;
use http::header::{AGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, StatusCode};

const VERSION: u8 = 3;
/// Where the version would be, this is there instead before a record of parts: see [`partial`](super::partial).
pub(super) const PARTS: u8 = b'P';
/// What comes before the head, in bytes.
pub(crate) const PREAMBLE: usize = 1 + 4 + 4;

/// How long the head is that follows the preamble in `bytes`, if that is all there, and of this version or of a
/// record of parts.
pub(crate) fn head_length(bytes: &[u8]) -> Option<usize> {
    let preamble = bytes.get(..PREAMBLE)?;
    let length: [u8; 4] = preamble[5..].try_into().ok()?;
    [VERSION, PARTS].contains(&preamble[0]).then_some(u32::from_be_bytes(length) as usize)
}

/// Why bytes are no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Corrupt {
    /// Written by another version.
    #[error("expected entry version {VERSION}, found {0}")]
    Version(u8),
    /// The checksum of the head does not match.
    #[error("the checksum of the entry does not match")]
    Checksum,
    /// It ends too early, or something in it is impossible.
    #[error("the entry is damaged")]
    Damaged,
}

impl From<Damaged> for Corrupt {
    fn from(_: Damaged) -> Self {
        Self::Damaged
    }
}

/// What may be done with a stored response, as decided when it was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long it is fresh.
    pub lifetime: DeltaSeconds,
    /// Never without validation (`no-cache`).
    pub always_validate: bool,
    /// Never stale (`must-revalidate` and its kin).
    pub forbids_stale: bool,
    /// Does not change while it is fresh (RFC 8246).
    pub immutable: bool,
    /// Stale for so long while the origin fails (RFC 5861 §4).
    pub stale_if_error: DeltaSeconds,
    /// Stale for so long while it is refreshed in the background (RFC 5861 §3).
    pub stale_while_revalidate: DeltaSeconds,
}

impl Policy {
    /// The part of it that is said or not said, as bits.
    const fn flags(&self) -> u8 {
        self.always_validate as u8 | (self.forbids_stale as u8) << 1 | (self.immutable as u8) << 2
    }
}

/// A point in the life of the purge ledger: which ledger, and how many purges it had seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerMark {
    /// The identity of the ledger. A lost ledger gets another one.
    pub id: String,
    /// The number of its last purge.
    pub seq: u64,
}

/// Where the content is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// In the entry itself.
    Inline(Bytes),
    /// In pieces, each under a key of its own.
    Chunked {
        /// Names this body among those of the resource.
        body: String,
        /// How many pieces.
        chunks: u32,
        /// Bytes in all.
        length: u64,
    },
}

impl Content {
    /// Nothing.
    pub const NONE: Self = Self::Inline(Bytes::new());

    /// Bytes in all.
    #[must_use]
    pub const fn length(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Chunked { length, .. } => *length,
        }
    }
}

/// A stored response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The whole resource key it was stored under.
    pub key: String,
    /// The values of the request fields that select it.
    pub selecting: String,
    /// When it was received or last validated (`response_time`, RFC 9111 §4.2.3).
    pub received: Timestamp,
    /// How old it was then, in seconds (`corrected_initial_age`).
    pub initial_age: u64,
    /// What may be done with it.
    pub policy: Policy,
    /// The purge ledger as it was before the response was fetched.
    pub ledger: LedgerMark,
    /// The status code.
    pub status: StatusCode,
    /// The fields, without those of one connection.
    pub headers: HeaderMap,
    /// The tags it can be purged by.
    pub tags: Vec<String>,
    /// The content.
    pub content: Content,
}

impl Entry {
    /// The age now, in seconds (RFC 9111 §4.2.3).
    #[must_use]
    pub fn age(&self, now: Timestamp) -> u64 {
        self.initial_age.saturating_add(now.since(self.received).as_secs())
    }

    /// Seconds of freshness left; negative once stale.
    #[must_use]
    pub fn ttl(&self, now: Timestamp) -> i64 {
        let signed = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
        signed(self.policy.lifetime.as_secs()).saturating_sub(signed(self.age(now)))
    }

    /// Takes over what a 304, or a 200 to HEAD, says (RFC 9111 §3.2): every field it has but `Content-Length`, and those
    /// that the stored content depends on. `Age` goes: the origin has just spoken.
    ///
    /// `false`, with nothing taken over, when it is about another representation: "If none of the initial set contains at
    /// least one of the same strong validators, then the cache MUST NOT use the new response to update any stored
    /// responses" (§4.3.4). `origin` is where it came from, which its groups are scoped to.
    #[must_use]
    pub fn freshen(&mut self, update: &HeaderMap, origin: &str) -> bool {
        if !is_about(update, &self.headers) {
            return false;
        }
        self.headers.remove(AGE);
        let (named, stripped) = (tags::are_named(update), !tags::are_named(&self.headers));
        let mut update = update.clone();
        hop::strip(&mut update);
        for keep in [CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_RANGE] {
            update.remove(keep);
        }
        for name in update.keys() {
            self.headers.remove(name);
        }
        for (name, value) in &update {
            self.headers.append(name, value.clone());
        }
        if named {
            self.tags = tags::updated(std::mem::take(&mut self.tags), stripped, &self.headers, origin);
        }
        true
    }

    /// Whether a 200 to HEAD is about this response: "if the stored response and HEAD response have matching values for
    /// any received validator fields (ETag and Last-Modified) and, if the HEAD response has a Content-Length header field,
    /// the value of Content-Length matches" (RFC 9111 §4.3.5).
    #[must_use]
    pub fn matches_head(&self, head: &HeaderMap) -> bool {
        let same = |name| head.get(&name).is_none_or(|value| self.headers.get(&name) == Some(value));
        let length = head.get(CONTENT_LENGTH).map(http::HeaderValue::as_bytes);
        let fits = length.is_none_or(|length| length == self.content.length().to_string().as_bytes());
        self.status == StatusCode::OK && same(ETAG) && same(LAST_MODIFIED) && fits
    }

    /// The bytes for Redis.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let inline: &[u8] = if let Content::Inline(bytes) = &self.content { bytes } else { &[] };
        let mut head = Writer::with_capacity(1024);
        self.write_head(&mut head);
        let head = head.into_bytes();
        let mut bytes = Vec::with_capacity(PREAMBLE + head.len() + inline.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&crc32fast::hash(&head).to_be_bytes());
        bytes.extend_from_slice(&u32::try_from(head.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(inline);
        bytes
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
                out.u32(crc32fast::hash(bytes));
            }
            Content::Chunked { body, chunks, length } => {
                out.u8(1);
                out.u64(*length);
                out.u32(*chunks);
                out.text(body);
            }
        }
    }

    /// Reads what [`Entry::encode`] wrote.
    ///
    /// # Errors
    /// [`Corrupt`] for anything else.
    pub fn decode(bytes: &Bytes) -> Result<Self, Corrupt> {
        let head = Self::checked_head(bytes)?;
        let end = PREAMBLE + head.len();
        let mut head = Reader::new(head);
        let mut entry = Self::read_head(&mut head)?;
        let rest = bytes.slice(end..);
        match &mut entry.content {
            Content::Inline(content) if rest.len() as u64 == head.u64()? => {
                if crc32fast::hash(&rest) != head.u32()? {
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

    /// The bytes of the head, which have the version and the checksum that they should.
    fn checked_head(bytes: &[u8]) -> Result<&[u8], Corrupt> {
        let version = *bytes.first().ok_or(Corrupt::Damaged)?;
        if version != VERSION {
            return Err(Corrupt::Version(version));
        }
        let mut preamble = Reader::new(bytes.get(1..PREAMBLE).ok_or(Corrupt::Damaged)?);
        let (checksum, length) = (preamble.u32()?, preamble.u32()? as usize);
        let end = PREAMBLE.checked_add(length).ok_or(Corrupt::Damaged)?;
        let head = bytes.get(PREAMBLE..end).ok_or(Corrupt::Damaged)?;
        if crc32fast::hash(head) == checksum { Ok(head) } else { Err(Corrupt::Checksum) }
    }

    /// Reads preamble and head alone; inline content counts as empty.
    ///
    /// # Errors
    /// As [`Entry::decode`].
    pub(crate) fn decode_head(bytes: &[u8]) -> Result<Self, Corrupt> {
        let head = Self::checked_head(bytes)?;
        let mut head = Reader::new(head);
        let mut entry = Self::read_head(&mut head)?;
        if let Content::Chunked { body, chunks, length } = &mut entry.content {
            (*length, *chunks, *body) = (head.u64()?, head.u32()?, head.text()?);
        }
        Ok(entry)
    }

    /// Reads up to where the content is described; what of it is left stays in `head`.
    fn read_head(head: &mut Reader<'_>) -> Result<Self, Corrupt> {
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
        let headers = read_headers(head)?;
        let tags = (0..head.count()?).map(|_| head.text()).collect::<Result<_, Damaged>>()?;
        let content = match head.u8()? {
            0 => Content::Inline(Bytes::new()),
            1 => Content::Chunked { body: String::new(), chunks: 0, length: 0 },
            _ => return Err(Corrupt::Damaged),
        };
        Ok(Self { key, selecting, received, initial_age, policy, ledger, status, headers, tags, content })
    }
}

fn read_headers(head: &mut Reader<'_>) -> Result<HeaderMap, Corrupt> {
    let count = head.count()?;
    let mut headers = HeaderMap::with_capacity(count);
    for _ in 0..count {
        let name = HeaderName::from_bytes(head.bytes()?).map_err(|_| Corrupt::Damaged)?;
        let value = http::HeaderValue::from_bytes(head.bytes()?).map_err(|_| Corrupt::Damaged)?;
        headers.try_append(name, value).map_err(|_| Corrupt::Damaged)?;
    }
    Ok(headers)
}

#[cfg(test)]
mod tests;
