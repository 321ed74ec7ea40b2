//! What is stored for a request, but does not answer it as it is.

use super::answer::log_failure;
use super::fetch::Ending;
use super::parts::answered_by;
use super::{Answer, Want, answer};
use crate::cache::lease::FlightFailure;
use crate::cache::partial::{Partial, StalePartial};
use crate::cache::reuse::Stale;
use crate::env::Env;
use crate::field::cache_status::{CacheStatus, Detail};
use crate::field::conditional::{is_about, validate_with};
use http::{HeaderMap, StatusCode};
use std::time::Duration;

/// What is stored for a request, but does not answer it as it is.
pub(super) enum Held {
    /// Nothing.
    Nothing,
    /// A whole response, to be validated.
    Stale(Box<Stale>),
    /// Parts that contain the requested range, to be validated.
    StaleParts(Box<StalePartial>),
    /// Parts that do not answer the request.
    Parts(Box<Partial>),
}

impl Held {
    /// Returns the stored fields with the validators, if validation would help.
    pub(super) fn to_validate(&self) -> Option<&HeaderMap> {
        match self {
            Self::Nothing | Self::Parts(_) => None,
            Self::Stale(stale) => Some(stale.headers()),
            Self::StaleParts(stale) => Some(stale.headers()),
        }
    }

    /// Makes `request` ask whether it is still valid; `false` if no answer could confirm it.
    pub(super) fn make_conditional(&self, request: &mut HeaderMap) -> bool {
        match self {
            Self::Nothing | Self::Parts(_) => false,
            Self::Stale(stale) => stale.make_conditional(request),
            Self::StaleParts(stale) => validate_with(request, stale.headers()),
        }
    }

    /// Returns whether the response is of another representation, which shows this one to be outdated (RFC 9111 §4.3.4).
    pub(super) fn is_outdated_by(&self, response: &HeaderMap) -> bool {
        self.to_validate().or(self.base()).is_some_and(|stored| !is_about(response, stored))
    }

    /// Returns the fields of stored parts that further parts may be added to.
    pub(super) fn base(&self) -> Option<&HeaderMap> {
        match self {
            Self::Nothing | Self::Stale(_) => None,
            Self::StaleParts(stale) => Some(stale.headers()),
            Self::Parts(partial) => Some(partial.headers()),
        }
    }

    /// Returns the complete length in bytes, where stored parts declare it.
    pub(super) fn complete(&self) -> Option<u64> {
        match self {
            Self::Nothing | Self::Stale(_) => None,
            Self::StaleParts(stale) => Some(stale.complete()),
            Self::Parts(partial) => Some(partial.complete()),
        }
    }

    /// Returns whether the response to another request may answer this one too; see [`Stale::can_be_shared`].
    pub(super) const fn can_be_shared(&self) -> bool {
        match self {
            Self::Nothing | Self::Parts(_) => true,
            Self::Stale(stale) => stale.can_be_shared(),
            Self::StaleParts(stale) => stale.can_be_shared(),
        }
    }

    /// Returns whether it may replace an error of the origin.
    pub(super) const fn covers_error(&self) -> bool {
        match self {
            Self::Nothing | Self::Parts(_) => false,
            Self::Stale(stale) => stale.covers_error(),
            Self::StaleParts(stale) => stale.covers_error(),
        }
    }

    /// Returns how the lead of a request ends that is answered with it in place of an error of the origin: those who wait get the
    /// same, unless only this request accepts it.
    pub(super) const fn ending(&self, code: StatusCode) -> Ending {
        let for_all = match self {
            Self::Nothing | Self::Parts(_) => false,
            Self::Stale(stale) => stale.covers_error_for_all(),
            Self::StaleParts(stale) => stale.covers_error_for_all(),
        };
        if for_all { Ending::Failed(FlightFailure::Origin(code)) } else { Ending::Unstored(Duration::ZERO) }
    }

    /// Answers with the stored response, because the origin failed; `None` where it may not or cannot.
    pub(super) async fn instead<E: Env>(
        self,
        want: &Want<'_, E>,
        failure: FlightFailure,
        mut status: CacheStatus,
    ) -> Option<Answer> {
        if failure.is_error() && !self.covers_error() {
            return None;
        }
        status.detail =
            Some(if failure.is_error() { Detail::StaleIfError } else { Detail::OriginUnreachable });
        let now = want.app.env.now();
        match self {
            Self::Nothing | Self::Parts(_) => None,
            Self::Stale(stale) => {
                status.ttl = Some(stale.ttl(now));
                // Pieces of its content may have been evicted while the origin was being asked.
                let entry = want.shared.store.whole(stale.when_disconnected()?, &want.key).await.ok()??;
                Some(answer(want, entry, status, now))
            }
            Self::StaleParts(stale) => {
                status.ttl = Some(stale.ttl(now));
                answered_by(want, stale.when_disconnected()?, status, now).await.ok()
            }
        }
    }
}

/// Answers as the leader of the fetch that this request waited for.
pub(super) async fn failed_elsewhere<E: Env>(
    want: &Want<'_, E>,
    failure: FlightFailure,
    held: Held,
    mut status: CacheStatus,
) -> Answer {
    (status.collapsed, status.forward_status) = (true, failure.origin_status());
    if let Some(answer) = held.instead(want, failure, status).await {
        return answer;
    }
    let problem = failure.problem();
    log_failure(want.app, want.incoming, format_args!("{}: reported by another request", problem.detail()));
    Answer { response: problem.into_response(), status }
}
