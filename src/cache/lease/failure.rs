//! How a fetch failed, as its leader tells those who wait for it.

use crate::env::UpstreamError;
use crate::problem::Problem;
use http::StatusCode;

/// How a fetch failed. Everybody who waits for it is answered as its leader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlightFailure {
    /// The origin did not answer in time.
    TimedOut,
    /// No connection to the origin could be made, or it broke.
    Unreachable,
    /// The host forbids the request.
    Denied,
    /// The origin did not answer with valid HTTP.
    Invalid,
    /// The component behind the middleware failed.
    Component,
    /// The origin answered with this error, and a stale response stood in for it.
    Origin(StatusCode),
}

impl FlightFailure {
    /// Returns how a fetch failed that ended with `error`. `None` where only the request itself is to blame: that concerns nobody
    /// who waits.
    #[must_use]
    pub const fn of(error: &UpstreamError) -> Option<Self> {
        Some(match error {
            UpstreamError::TimedOut(_) => Self::TimedOut,
            UpstreamError::Unreachable(_) => Self::Unreachable,
            UpstreamError::Denied(_) => Self::Denied,
            UpstreamError::Invalid(_) => Self::Invalid,
            UpstreamError::Failed(_) => Self::Component,
            UpstreamError::TooLarge(_) => return None,
        })
    }

    /// Returns whether the origin gave a response, or the component behind a middleware is there but failed: only
    /// `stale-if-error` covers that.
    #[must_use]
    pub const fn is_error(self) -> bool {
        match self {
            Self::Component | Self::Origin(_) => true,
            Self::TimedOut | Self::Unreachable | Self::Denied | Self::Invalid => false,
        }
    }

    /// Returns the status code of the origin's response, where there was one.
    #[must_use]
    pub fn origin_status(self) -> Option<u16> {
        match self {
            Self::Origin(code) => Some(code.as_u16()),
            Self::TimedOut | Self::Unreachable | Self::Denied | Self::Invalid | Self::Component => None,
        }
    }

    /// Returns what clients are told. The text never names the origin.
    #[must_use]
    pub fn problem(self) -> Problem {
        let (code, text) = match self {
            Self::TimedOut => (StatusCode::GATEWAY_TIMEOUT, "the origin did not answer in time"),
            Self::Unreachable => (StatusCode::BAD_GATEWAY, "the origin could not be reached"),
            Self::Denied => (
                StatusCode::BAD_GATEWAY,
                "the origin is missing from allowed_outbound_hosts: check the variable origin_url",
            ),
            Self::Invalid => (StatusCode::BAD_GATEWAY, "the origin did not answer with valid HTTP"),
            // The status that the host gives for a component that fails without a cache before it.
            Self::Component => (StatusCode::INTERNAL_SERVER_ERROR, "the component behind the cache failed"),
            Self::Origin(code) => (code, "the origin answered with an error"),
        };
        Problem::new(code, text)
    }

    /// Returns the word for it in Redis: for an error of the origin, its status code.
    pub(super) fn to_word(self) -> String {
        let word = match self {
            Self::TimedOut => "timed-out",
            Self::Unreachable => "unreachable",
            Self::Denied => "denied",
            Self::Invalid => "invalid",
            Self::Component => "component",
            Self::Origin(code) => return code.as_str().to_owned(),
        };
        word.to_owned()
    }

    /// Parses what [`FlightFailure::to_word`] wrote. A word that another version wrote means that there is no response.
    pub(super) fn from_word(word: &[u8]) -> Self {
        match word {
            b"timed-out" => Self::TimedOut,
            b"denied" => Self::Denied,
            b"invalid" => Self::Invalid,
            b"component" => Self::Component,
            word => StatusCode::from_bytes(word).map_or(Self::Unreachable, Self::Origin),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_is_read_as_it_was_written() {
        for failure in [
            FlightFailure::TimedOut,
            FlightFailure::Unreachable,
            FlightFailure::Denied,
            FlightFailure::Invalid,
            FlightFailure::Component,
            FlightFailure::Origin(StatusCode::SERVICE_UNAVAILABLE),
        ] {
            assert_eq!(FlightFailure::from_word(failure.to_word().as_bytes()), failure);
        }
    }

    #[test]
    fn an_unknown_word_means_that_there_is_no_response() {
        for word in ["", "exploded", "5030", "99"] {
            assert_eq!(FlightFailure::from_word(word.as_bytes()), FlightFailure::Unreachable, "{word}");
        }
    }
}
