//! A stored response and its encoding.

mod wire;

pub use crate::codec::Corrupt;
pub(crate) use wire::head_length;

use super::tags;
use crate::field::conditional::is_about;
use crate::field::{digest, hop};
use crate::time::{DeltaSeconds, Timestamp};
use bytes::Bytes;
use http::header::{AGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, StatusCode};

const VERSION: u8 = 4;
/// The byte in place of the version that marks a record of parts: see [`partial`](super::partial).
pub(super) const PARTS: u8 = b'Q';

/// What may be done with a stored response, as decided when it was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The freshness lifetime.
    pub lifetime: DeltaSeconds,
    /// It must be validated before every use (`no-cache`).
    pub always_validate: bool,
    /// It must not be served stale (`must-revalidate` and its kin).
    pub forbids_stale: bool,
    /// It does not change while it is fresh (RFC 8246).
    pub immutable: bool,
    /// For how long it may be served stale while the origin fails (RFC 5861 §4).
    pub stale_if_error: DeltaSeconds,
    /// For how long it may be served stale while it is refreshed in the background (RFC 5861 §3).
    pub stale_while_revalidate: DeltaSeconds,
}

impl Policy {
    /// The boolean members, as bits.
    const fn flags(&self) -> u8 {
        self.always_validate as u8 | (self.forbids_stale as u8) << 1 | (self.immutable as u8) << 2
    }
}

/// A state of the purge ledger: which ledger, and the number of its last purge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerMark {
    /// The identity of the ledger. A ledger that was lost is replaced by one with another identity.
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
        /// The number of pieces.
        chunks: u32,
        /// The length in bytes.
        length: u64,
    },
}

impl Content {
    /// Empty content.
    pub const NONE: Self = Self::Inline(Bytes::new());

    /// Returns the length in bytes.
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
    /// The whole text of the resource key under which it was stored.
    pub key: String,
    /// The values of the request fields that select it.
    pub selecting: String,
    /// When it was received or last validated (`response_time`, RFC 9111 §4.2.3).
    pub received: Timestamp,
    /// Its age at that time, in seconds (`corrected_initial_age`).
    pub initial_age: u64,
    /// What may be done with it.
    pub policy: Policy,
    /// The state of the purge ledger before the response was fetched.
    pub ledger: LedgerMark,
    /// The status code.
    pub status: StatusCode,
    /// The fields, without the hop-by-hop fields.
    pub headers: HeaderMap,
    /// The tags it can be purged by.
    pub tags: Vec<String>,
    /// The content.
    pub content: Content,
}

impl Entry {
    /// Returns the age now, in seconds (RFC 9111 §4.2.3).
    #[must_use]
    pub fn age(&self, now: Timestamp) -> u64 {
        self.initial_age.saturating_add(now.since(self.received).as_secs())
    }

    /// Returns the seconds of freshness left; negative once stale.
    #[must_use]
    pub fn ttl(&self, now: Timestamp) -> i64 {
        let signed = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
        signed(self.policy.lifetime.as_secs()).saturating_sub(signed(self.age(now)))
    }

    /// Updates the fields with those of a 304, or of a 200 to HEAD (RFC 9111 §3.2): all but `Content-Length` and those that
    /// the stored content depends on. `Age` is dropped, since the origin has just answered.
    ///
    /// Returns `false` and changes nothing if the update is about another representation: "If none of the initial set contains at
    /// least one of the same strong validators, then the cache MUST NOT use the new response to update any stored
    /// responses" (§4.3.4). `origin` is where it came from, to which its cache groups are scoped.
    #[must_use]
    pub fn freshen(&mut self, update: &HeaderMap, origin: &str) -> bool {
        if !is_about(update, &self.headers) {
            return false;
        }
        self.headers.remove(AGE);
        let (named, stripped) = (tags::are_named(update), !tags::are_named(&self.headers));
        let mut update = update.clone();
        hop::strip(&mut update);
        for keep in [CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_RANGE].into_iter().chain(digest::OF_CONTENT) {
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

    /// Returns whether a 200 to HEAD is about this response: "if the stored response and HEAD response have matching values for
    /// any received validator fields (ETag and Last-Modified) and, if the HEAD response has a Content-Length header field,
    /// the value of Content-Length matches" (RFC 9111 §4.3.5).
    #[must_use]
    pub fn matches_head(&self, head: &HeaderMap) -> bool {
        let same = |name| head.get(&name).is_none_or(|value| self.headers.get(&name) == Some(value));
        let length = head.get(CONTENT_LENGTH).map(http::HeaderValue::as_bytes);
        let fits = length.is_none_or(|length| length == self.content.length().to_string().as_bytes());
        self.status == StatusCode::OK && same(ETAG) && same(LAST_MODIFIED) && fits
    }
}

#[cfg(test)]
mod tests;
