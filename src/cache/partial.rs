//! A stored response of which only parts are stored (RFC 9111 §3.3, §3.4).
//!
//! ```text
//! record = "Q" checksum(head)(4) length(head)(4) head
//! head   = complete count (start end body)* entry
//! ```
//! It has the place of the whole response, so that whatever replaces or purges one does the same to the other.
//! Each run of bytes is a body of its own, in pieces like every large body; the entry has the fields and no
//! content. All runs are of one representation: without a strong validator no part is stored.

mod join;
mod judged;
mod record;

pub use join::Part;
pub use judged::{Judged, StalePartial};
pub(crate) use record::Record;

use super::entry::{Content, Entry};
use super::slice::{Run, covers};
use super::storable::Unstorable;
use super::tags;
use crate::field::digest;
use crate::field::range::{ContentRange, Span, union};
use crate::field::validator::{StrongValidator, same_representation};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

/// The most runs of one response. Beyond that the shortest are dropped, so that many small ones, which cost an attacker
/// little, do not displace long ones.
pub const MAX_RUNS: usize = 32;

/// A response of which some bytes are stored.
///
/// It cannot answer a request without `Range`, and has nothing that could be taken for the whole content: "A cache
/// MUST NOT use an incomplete response to answer requests unless the response has been made complete, or the
/// request is partial and specifies a range wholly within the incomplete response" (RFC 9111 §3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    /// The response as a 200, "as if it were an incomplete 200 (OK) response" (RFC 9111 §3.3), without content.
    entry: Entry,
    complete: u64,
    /// Never empty; none is covered by the others; each ends within `complete`.
    runs: Vec<Run>,
}

/// The range that a 206 carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The bytes it carries.
    pub span: Span,
    /// The complete length of the representation in bytes.
    pub complete: u64,
}

impl Carried {
    /// Reads the range from the fields of a 206; `declared` is its `Content-Length`.
    ///
    /// # Errors
    /// [`Unstorable::ContentRange`] when there is not exactly one `Content-Range` in bytes with the complete length, or when
    /// the content is `multipart/byteranges` or has another length than the range.
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

    /// Returns whether it is the whole representation.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.span.length() == self.complete
    }
}

impl Partial {
    /// Makes a partial response of its first part, whose fields are those of `entry`.
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

    /// Returns the fields as a 200 would have them, except `Content-Length`.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.entry.headers
    }

    /// Returns the length of the whole in bytes.
    #[must_use]
    pub const fn complete(&self) -> u64 {
        self.complete
    }

    /// Returns the runs of bytes that are stored.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Returns the value of `If-Range` for requesting more of the same representation.
    #[must_use]
    pub fn if_range(&self) -> Option<&HeaderValue> {
        StrongValidator::value(&self.entry.headers)
    }

    /// Returns the one range that completes it: from the first missing byte to the last. `None` when nothing is
    /// missing.
    #[must_use]
    pub fn gap(&self) -> Option<Span> {
        let joined = union(self.runs.iter().map(|run| run.span));
        let (first, last) = (joined.first()?, joined.last()?);
        let start = if first.start() > 0 { 0 } else { first.end() };
        let end = if last.end() < self.complete { self.complete } else { last.start() };
        Span::new(start, end)
    }

    /// Returns whether a 206 carries exactly `gap` of the same representation.
    #[must_use]
    pub fn is_continued_by(&self, response: &HeaderMap, declared: Option<u64>, gap: Span) -> bool {
        let expected = Carried { span: gap, complete: self.complete };
        Carried::of(response, declared) == Ok(expected) && same_representation(&self.entry.headers, response)
    }

    /// Returns what to store now that `self` came and `stored` was there: both combined if they are of the same
    /// representation, with the newer fields over the older (RFC 9110 §15.3.7.3); otherwise the newer alone.
    /// At most [`MAX_RUNS`] runs and `limit` bytes. `None` when nothing changes.
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
        // Both are of the same representation. The tags are those of the newer part, if its fields name any. If they do not, or
        // were stripped, nothing shows the earlier tags to be outdated.
        let named = tags::are_named(&newer.entry.headers);
        let before = if named { Vec::new() } else { std::mem::take(&mut self.entry.tags) };
        let _ = self.entry.freshen(&newer.entry.headers, "");
        self.entry.tags = tags::joined(newer.entry.tags, before);
        self.entry.received = newer.entry.received;
        self.entry.initial_age = newer.entry.initial_age;
        self.entry.policy = newer.entry.policy;
        self.entry.ledger = newer.entry.ledger;
        self.runs.extend(newer.runs);
        self
    }

    /// Drops the runs that are covered by others, and those beyond the limits.
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

    /// Keeps the runs for which `keep` is true; `None` when none is left.
    fn retain(mut self, keep: impl FnMut(&Run) -> bool) -> Option<Self> {
        self.runs.retain(keep);
        (!self.runs.is_empty()).then_some(self)
    }

    /// Returns the entry of the whole, without content, for a response that is being completed.
    #[must_use]
    pub fn into_entry(self) -> Entry {
        self.entry
    }

    /// Returns its fields and policy as an entry, whose content is meaningless.
    #[must_use]
    pub const fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Returns the entry to be updated when the origin validates it.
    #[must_use]
    pub const fn entry_mut(&mut self) -> &mut Entry {
        &mut self.entry
    }
}

#[cfg(test)]
mod tests;
