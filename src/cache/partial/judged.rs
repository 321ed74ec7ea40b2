//! What may be done with a response of which only parts are stored.

use super::Partial;
use crate::cache::reuse::{Demand, Fresh, Stale, Verdict, evaluate};
use crate::cache::slice::Run;
use crate::field::cache_status::Forward;
use crate::time::Timestamp;
use http::HeaderMap;

/// A partial response, judged by its freshness.
#[derive(Debug)]
pub enum Judged {
    /// It may answer for the bytes it has.
    Fresh(Partial),
    /// It must be validated first.
    Stale(StalePartial),
    /// The client wants a stored response or none (`only-if-cached`), and this one is stale.
    Unsatisfiable,
}

/// A partial response that must be validated before it is used.
#[derive(Debug)]
pub struct StalePartial {
    stale: Stale,
    complete: u64,
    runs: Vec<Run>,
}

impl StalePartial {
    /// Returns whether the response to another request may answer this one too; see [`Stale::can_be_shared`].
    #[must_use]
    pub const fn can_be_shared(&self) -> bool {
        self.stale.can_be_shared()
    }

    /// Returns why it cannot be used as it is.
    #[must_use]
    pub const fn reason(&self) -> Forward {
        self.stale.reason
    }

    /// Returns the seconds of freshness left; see [`Stale::ttl`].
    #[must_use]
    pub fn ttl(&self, now: Timestamp) -> i64 {
        self.stale.ttl(now)
    }

    /// Returns the fields, as [`Partial::headers`] does.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        self.stale.headers()
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

    /// Returns whether it may be used in place of a 500, 502, 503 or 504 of the origin (RFC 5861 §4).
    #[must_use]
    pub const fn covers_error(&self) -> bool {
        self.stale.covers_error()
    }

    /// Returns whether every request may be answered with it in that case; see [`Stale::covers_error_for_all`].
    #[must_use]
    pub const fn covers_error_for_all(&self) -> bool {
        self.stale.covers_error_for_all()
    }

    /// Returns it for use while the origin cannot be reached; `None` when it must not be used even then.
    #[must_use]
    pub fn when_disconnected(self) -> Option<Partial> {
        let (complete, runs) = (self.complete, self.runs);
        self.stale.when_disconnected().map(|entry| Partial { entry, complete, runs })
    }

    /// Returns it to be validated.
    #[must_use]
    pub fn into_partial(self) -> Partial {
        Partial { entry: self.stale.into_entry(), complete: self.complete, runs: self.runs }
    }
}

impl Partial {
    /// Judges it as [`evaluate`] does a whole response.
    #[must_use]
    pub fn evaluate(self, demand: Demand<'_>, soft_purged: bool) -> Judged {
        let Self { entry, complete, runs } = self;
        match evaluate(demand, Some(entry), soft_purged) {
            Verdict::Fresh(Fresh { entry }) => Judged::Fresh(Self { entry, complete, runs }),
            // Parts are not refreshed behind an answer (RFC 5861 §3): they are validated first, if the client permits that.
            Verdict::Refresh(_) if demand.directives.only_if_cached => Judged::Unsatisfiable,
            Verdict::Refresh(stale) | Verdict::Stale(stale) => {
                Judged::Stale(StalePartial { stale, complete, runs })
            }
            Verdict::Missing | Verdict::Unsatisfiable => Judged::Unsatisfiable,
        }
    }
}
