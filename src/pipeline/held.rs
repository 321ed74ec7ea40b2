//! What is stored for a request, but does not answer it as it is.

use super::fetch::Ending;
use super::parts::answered_by;
use super::{Answer, Want, answer, upstream_failed};
use crate::cache::partial::{Partial, StalePartial};
use crate::cache::reuse::Stale;
use crate::env::{Env, UpstreamError};
use crate::field::cache_status::CacheStatus;
use crate::field::conditional::{is_about, validate_with};
use crate::role::Role;
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
            Self::Stale(stale) => Some(&stale.entry.headers),
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
        if for_all { Ending::Failed(code) } else { Ending::Unstored(Duration::ZERO) }
    }

    /// Answers with it in place of what the origin failed to give; `None` where it may not or cannot.
    pub(super) async fn instead<E: Env>(
        self,
        want: &Want<'_, E>,
        failure: Failure,
        mut status: CacheStatus,
    ) -> Option<Answer> {
        if failure == Failure::Error && !self.covers_error() {
            return None;
        }
        status.detail = Some(failure.as_str());
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

/// How the origin failed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// It answered 500, 502, 503 or 504. An error of the component behind a middleware counts as one: the component is there.
    Error,
    /// It gave no response.
    Unreachable,
}

impl Failure {
    pub(super) const fn of(error: &UpstreamError) -> Self {
        match error {
            UpstreamError::Failed(_) => Self::Error,
            _ => Self::Unreachable,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "stale-if-error",
            Self::Unreachable => "origin-unreachable",
        }
    }
}

/// Answers where the fetch that this request waited for got no response, or an error with this status code.
pub(super) async fn failed_elsewhere<E: Env>(
    want: &Want<'_, E>,
    code: u16,
    held: Held,
    mut status: CacheStatus,
) -> Answer {
    (status.collapsed, status.forward_status) = (true, Some(code));
    let another = "reported by another request".to_owned();
    let error = match code {
        504 => UpstreamError::TimedOut(another),
        500 if want.app.role == Role::Middleware => UpstreamError::Failed(another),
        _ => UpstreamError::Unreachable(another),
    };
    // These come from the origin, or from a component that failed, which counts as an error too: without a response there is
    // a 502 or 504.
    let failure = if matches!(code, 500 | 503) { Failure::Error } else { Failure::of(&error) };
    if let Some(answer) = held.instead(want, failure, status).await {
        return answer;
    }
    Answer { response: upstream_failed(want.app, want.incoming, &error), status }
}
