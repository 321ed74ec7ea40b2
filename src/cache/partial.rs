//! A stored response of which only parts are there (RFC 9111 §3.3, §3.4).
//!
//! ```text
//! record = "Q" checksum(head)(4) length(head)(4) head
//! head   = complete count (start end body)* entry
//! ```
//! It stands where the response would stand as a whole, so that whatever replaces or purges the one does the
//! same to the other. Each run of bytes is a body of its own, in pieces like every large body; the entry has
//! the fields and no content. All runs are of one representation: without a strong validator nothing is kept.

mod join;
mod judged;
mod record;

pub use join::Part;
pub use judged::{Judged, StalePartial};
pub(crate) use record::Record;

use super::entry::{Content, Entry};
use super::slice::{Run, covers};
use super::storable::Unstorable;
use crate::field::digest;
use crate::field::range::{ContentRange, Span, union};
use crate::field::validator::{StrongValidator, same_representation};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

/// The most runs of one response. Beyond it the shortest go, so that many small ones, which cost an attacker
/// little, do not drive out the long ones.
pub const MAX_RUNS: usize = 32;

/// A response of which some bytes are stored.
///
/// It cannot answer a request without `Range`, and has nothing that could be taken for a whole content: "A cache
/// MUST NOT use an incomplete response to answer requests unless the response has been made complete, or the
/// request is partial and specifies a range wholly within the incomplete response" (RFC 9111 §3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    /// The response as a 200, "as if it were an incomplete 200 (OK) response" (RFC 9111 §3.3), without content.
    entry: Entry,
    complete: u64,
    /// Never empty, none covered by the others, each within `complete`.
    runs: Vec<Run>,
}

/// What a 206 says it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Which bytes.
    pub span: Span,
    /// Of how many.
    pub complete: u64,
}

impl Carried {
    /// What the fields of a 206 say; `declared` is its `Content-Length`.
    ///
    /// # Errors
    /// [`Unstorable::ContentRange`] when they do not say it, or contradict each other: no single `Content-Range`
    /// in bytes with the complete length, or a length that is not that of the range.
    pub fn of(response: &HeaderMap, declared: Option<u64>) -> Result<Self, Unstorable> {
        let Some(ContentRange::Bytes { span, complete: Some(complete) }) = ContentRange::of(response) else {
            return Err(Unstorable::ContentRange);
        };
        let media_type = response.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        let multipart = media_type.to_ascii_lowercase().starts_with(b"multipart/byteranges");
        if multipart || declared.is_some_and(|declared| declared != span.length()) {
            return Err(Unstorable::ContentRange);
        }
        Ok(Self { span, complete })
    }

    /// Whether it is everything.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.span.length() == self.complete
    }
}

impl Partial {
    /// A first part of a response whose fields are those of `entry`.
    ///
    /// # Errors
    /// [`Unstorable::NoValidator`] without a strong validator: parts could not be told apart from those of
    /// another representation.
    pub fn new(mut entry: Entry, complete: u64, run: Run) -> Result<Self, Unstorable> {
        if StrongValidator::of(&entry.headers).is_none() {
            return Err(Unstorable::NoValidator);
        }
        for of_the_part in [CONTENT_RANGE, CONTENT_LENGTH].into_iter().chain(digest::OF_CONTENT) {
            entry.headers.remove(of_the_part);
        }
        entry.status = http::StatusCode::OK;
        entry.content = Content::NONE;
        Ok(Self { entry, complete, runs: vec![run] })
    }

    /// The fields, as a 200 would have them, but for `Content-Length`.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.entry.headers
    }

    /// The length of the whole in bytes.
    #[must_use]
    pub const fn complete(&self) -> u64 {
        self.complete
    }

    /// Where its bytes are.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The value of `If-Range` that asks for more of the same.
    #[must_use]
    pub fn if_range(&self) -> Option<&HeaderValue> {
        StrongValidator::value(&self.entry.headers)
    }

    /// The one range that makes it complete: from the first byte that is missing to the last. `None` when
    /// nothing is.
    #[must_use]
    pub fn gap(&self) -> Option<Span> {
        let joined = union(self.runs.iter().map(|run| run.span));
        let (first, last) = (joined.first()?, joined.last()?);
        let start = if first.start() > 0 { 0 } else { first.end() };
        let end = if last.end() < self.complete { self.complete } else { last.start() };
        Span::new(start, end)
    }

    /// Whether a 206 brings exactly `gap` of the same representation.
    #[must_use]
    pub fn is_continued_by(&self, response: &HeaderMap, declared: Option<u64>, gap: Span) -> bool {
        let expected = Carried { span: gap, complete: self.complete };
        Carried::of(response, declared) == Ok(expected) && same_representation(&self.entry.headers, response)
    }

    /// What to store now that `self` came and `stored` was there: both together, where they are of the same
    /// representation, with the fields of the newer over those of the older (RFC 9110 §15.3.7.3); else the newer
    /// alone. At most [`MAX_RUNS`] runs and `limit` bytes. `None` when nothing is to change.
    #[must_use]
    pub fn combined(self, stored: Option<Self>, limit: u64) -> Option<Self> {
        let Some(stored) = stored else { return Some(self.within(limit)) };
        let newer_stored = stored.entry.received > self.entry.received;
        let same = self.complete == stored.complete
            && same_representation(&self.entry.headers, &stored.entry.headers);
        match (same, newer_stored) {
            (true, false) => Some(stored.continued(self).within(limit)),
            (true, true) => Some(self.continued(stored).within(limit)),
            (false, false) => Some(self.within(limit)),
            (false, true) => None,
        }
    }

    fn continued(mut self, newer: Self) -> Self {
        // Both are of the same representation, and of tags the newer's count, if it has any.
        let _ = self.entry.freshen(&newer.entry.headers, "");
        if !newer.entry.tags.is_empty() {
            self.entry.tags = newer.entry.tags;
        }
        self.entry.received = newer.entry.received;
        self.entry.initial_age = newer.entry.initial_age;
        self.entry.policy = newer.entry.policy;
        self.entry.ledger = newer.entry.ledger;
        self.runs.extend(newer.runs);
        self
    }

    /// Without runs that the others cover, and no more of them than allowed.
    fn within(mut self, limit: u64) -> Self {
        let mut at = 0;
        while at < self.runs.len() {
            let run = self.runs.remove(at);
            if !covers(&self.runs, run.span) {
                self.runs.insert(at, run);
                at += 1;
            }
        }
        let total = |runs: &[Run]| runs.iter().map(|run| run.span.length()).sum::<u64>();
        while self.runs.len() > 1 && (self.runs.len() > MAX_RUNS || total(&self.runs) > limit) {
            let shortest = self.runs.iter().enumerate().min_by_key(|(_, run)| run.span.length());
            let Some((shortest, _)) = shortest else { break };
            self.runs.remove(shortest);
        }
        self
    }

    /// The same without the runs for which `keep` is false; `None` when none is left.
    fn retain(mut self, keep: impl FnMut(&Run) -> bool) -> Option<Self> {
        self.runs.retain(keep);
        (!self.runs.is_empty()).then_some(self)
    }

    /// The entry of the whole, whose content is yet to come: for what is made complete.
    #[must_use]
    pub fn into_entry(self) -> Entry {
        self.entry
    }

    /// Its fields and what was decided when they were stored. The content there means nothing.
    #[must_use]
    pub const fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The same, to be changed by what the origin says when it is validated.
    #[must_use]
    pub const fn entry_mut(&mut self) -> &mut Entry {
        &mut self.entry
    }
}

#[cfg(test)]
mod tests;
