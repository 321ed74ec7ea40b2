//! The meaning of the response to a message.

use crate::env::UpstreamError;
use crate::time::{DeltaSeconds, Timestamp};
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use std::time::Duration;

/// The longest time for which a target can ask us to stay away.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The outcome of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 2xx: the target has accepted it.
    Accepted(StatusCode),
    /// 410: the target wants no more messages, this one included.
    Gone,
    /// 429 or 503: not now, and nothing else before `after` if the target gives that.
    Busy {
        /// The status code.
        status: StatusCode,
        /// `Retry-After` (RFC 9110 §10.2.3), at most [`MAX_RETRY_AFTER`].
        after: Option<Duration>,
    },
    /// Any other status, including redirects, which are not followed.
    Refused(StatusCode),
    /// There was no response within this time.
    TimedOut(Duration),
    /// There was no response.
    Failed(UpstreamError),
}

impl Outcome {
    /// Describes what happened, for people.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Accepted(status) | Self::Busy { status, .. } => {
                format!("the target answered {}", status.as_u16())
            }
            Self::Gone => "the target answered 410: it does not want more messages".to_owned(),
            Self::Refused(status) if status.is_redirection() => {
                format!("the target answered {}: redirects are not followed", status.as_u16())
            }
            Self::Refused(status) => format!("the target answered {}", status.as_u16()),
            Self::TimedOut(limit) => format!("the target did not answer within {} ms", limit.as_millis()),
            Self::Failed(
                UpstreamError::TimedOut(_) | UpstreamError::Unreachable(_) | UpstreamError::Failed(_),
            ) => "the target could not be reached".to_owned(),
            Self::Failed(UpstreamError::Denied(_)) => {
                "the host does not allow requests to the target: it is missing from allowed_outbound_hosts \
                 (variable webhook_host)"
                    .to_owned()
            }
            Self::Failed(UpstreamError::TooLarge(_)) => {
                "the header fields are too large to be sent".to_owned()
            }
            Self::Failed(UpstreamError::Invalid(_)) => "the target did not answer with valid HTTP".to_owned(),
        }
    }
}

/// Decides what a response means. `now` is when it was received.
#[must_use]
pub fn judge(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Outcome {
    match status {
        StatusCode::GONE => Outcome::Gone,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Outcome::Busy { status, after: retry_after(headers, now) }
        }
        status if status.is_success() => Outcome::Accepted(status),
        status => Outcome::Refused(status),
    }
}

/// RFC 9110 §10.2.3: `Retry-After = HTTP-date / delay-seconds`. Anything else is ignored.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim_ascii();
    let after = match DeltaSeconds::parse(text) {
        Some(seconds) => seconds.to_duration(),
        None => Timestamp::from_http_date(text)?.since(now),
    };
    Some(after.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(784_111_777_000);

    fn judged(status: u16, after: Option<&str>) -> Outcome {
        let mut headers = HeaderMap::new();
        headers.extend(after.map(|value| (RETRY_AFTER, value.parse().unwrap())));
        judge(StatusCode::from_u16(status).unwrap(), &headers, NOW)
    }

    #[test]
    fn only_success_is_success() {
        for status in [200, 201, 202, 204, 299] {
            assert!(matches!(judged(status, None), Outcome::Accepted(_)), "{status}");
        }
        for status in [301, 302, 307, 308, 400, 401, 404, 409, 500, 502, 504] {
            assert!(matches!(judged(status, None), Outcome::Refused(_)), "{status}");
        }
        assert_eq!(judged(410, None), Outcome::Gone);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        for status in [429, 503] {
            let after = |text| match judged(status, text) {
                Outcome::Busy { after, .. } => after,
                other => panic!("{other:?}"),
            };
            assert_eq!(after(None), None);
            assert_eq!(after(Some("120")), Some(Duration::from_secs(120)));
            assert_eq!(after(Some("Sun, 06 Nov 1994 08:50:37 GMT")), Some(Duration::from_secs(60)));
            assert_eq!(after(Some("Sun, 06 Nov 1994 08:00:00 GMT")), Some(Duration::ZERO), "it is over");
            assert_eq!(after(Some("99999999999")), Some(MAX_RETRY_AFTER));
            for nonsense in ["", "soon", "-1", "1.5"] {
                assert_eq!(after(Some(nonsense)), None, "{nonsense:?}");
            }
        }
        assert!(matches!(judged(500, Some("120")), Outcome::Refused(_)), "of these two only");
    }
}
