//! The details of `Cache-Status`.

use crate::cache::storable::Unstorable;
use std::fmt;

/// A detail of `Cache-Status`: why the request was handled as it was, or what failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Spindrift itself answered.
    ReservedPath,
    /// The request has come through this cache before.
    Loop,
    /// CONNECT, which ends here.
    Connect,
    /// `OPTIONS *`, which ends here.
    ServerWide,
    /// `Max-Forwards` was 0.
    MaxForwards,
    /// The route says `bypass`.
    Route,
    /// The request has a field that `bypass` names.
    BypassHeader,
    /// The request has a cookie that `bypass` names.
    BypassCookie,
    /// The request has a parameter that `bypass` names.
    BypassQuery,
    /// The request has a condition that only the origin can evaluate.
    Precondition,
    /// The request has content, or too much of it.
    RequestContent,
    /// The request has no host that could be part of a key.
    NoAuthority,
    /// The client wanted a stored response or none.
    OnlyIfCached,
    /// The response is not stored.
    Unstored(Unstorable),
    /// The stored content could not be read.
    ContentLost,
    /// The response is stale, and is being refreshed.
    StaleWhileRevalidate,
    /// A stale response stands in for an error of the origin.
    StaleIfError,
    /// A stale response stands in for an origin that gave no response.
    OriginUnreachable,
    /// Redis could not be told what a request has changed.
    InvalidationFailed,
    /// A limit refuses the request.
    RateLimited,
    /// A limit that is `closed` could not be checked.
    LimitsUnavailable,
    /// The request or its response used a session.
    Session,
    /// The session has ended.
    SessionEnded,
    /// The session got another id meanwhile.
    SessionRotated,
    /// Another request has changed the session.
    SessionConflict,
    /// The origin asked for an invalid change of the session.
    SessionInvalid,
    /// The data of the session would be too large.
    SessionTooLarge,
    /// `redis_enabled` is `false`.
    RedisDisabled,
    /// Redis gave no answer, for this reason; see [`RedisError::reason`](crate::redis::RedisError::reason).
    Redis(&'static str),
}

impl Detail {
    /// Returns the detail as one token.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReservedPath => "reserved-path",
            Self::Loop => "loop",
            Self::Connect => "method",
            Self::ServerWide => "server-wide",
            Self::MaxForwards => "max-forwards",
            Self::Route => "route",
            Self::BypassHeader => "bypass-header",
            Self::BypassCookie => "bypass-cookie",
            Self::BypassQuery => "bypass-query",
            Self::Precondition => "precondition",
            Self::RequestContent => "request-content",
            Self::NoAuthority => "no-authority",
            Self::OnlyIfCached => "only-if-cached",
            Self::Unstored(why) => why.as_str(),
            Self::ContentLost => "content-lost",
            Self::StaleWhileRevalidate => "stale-while-revalidate",
            Self::StaleIfError => "stale-if-error",
            Self::OriginUnreachable => "origin-unreachable",
            Self::InvalidationFailed => "invalidation-failed",
            Self::RateLimited => "rate-limited",
            Self::LimitsUnavailable => "limits-unavailable",
            Self::Session => "session",
            Self::SessionEnded => "session-ended",
            Self::SessionRotated => "session-rotated",
            Self::SessionConflict => "session-conflict",
            Self::SessionInvalid => "session-invalid",
            Self::SessionTooLarge => "session-too-large",
            Self::RedisDisabled => "redis-disabled",
            Self::Redis(reason) => reason,
        }
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
