//! The answers of a limiter.

use crate::time::Timestamp;
use std::time::Duration;

/// The verdict of one policy on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is room for it.
    Allowed,
    /// Not now: the units are used up.
    Exhausted {
        /// The time until there is room, if nobody else takes it.
        retry_after: Duration,
    },
    /// Not now: the identity was blocked.
    Blocked {
        /// The time until the block ends.
        retry_after: Duration,
    },
    /// Never: the cost is larger than what the policy lets through at once.
    Impossible,
    /// Unknown, because Redis did not answer, and the policy refuses then.
    Unavailable,
    /// Not asked, because another policy refused before.
    Unasked,
}

impl Verdict {
    /// Returns how long to wait, if waiting helps.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Exhausted { retry_after } | Self::Blocked { retry_after } => Some(*retry_after),
            Self::Allowed | Self::Impossible | Self::Unavailable | Self::Unasked => None,
        }
    }

    /// Returns whether this policy refuses the request.
    #[must_use]
    pub const fn refuses(&self) -> bool {
        !matches!(self, Self::Allowed | Self::Unasked)
    }

    /// Returns the verdict as one word.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Exhausted { .. } => "exhausted",
            Self::Blocked { .. } => "blocked",
            Self::Impossible => "impossible",
            Self::Unavailable => "unavailable",
            Self::Unasked => "unasked",
        }
    }
}

/// The origin of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Redis.
    Redis,
    /// The memory of this instance: Redis refused the same a moment ago.
    Memory,
    /// This instance alone, within its share.
    Local,
    /// The mode of the policy, because Redis is away.
    Mode,
}

impl Source {
    /// Returns the source as one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Memory => "memory",
            Self::Local => "local",
            Self::Mode => "mode",
        }
    }
}

/// The units after the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// The units left.
    pub remaining: u64,
    /// The time until there is one more; zero when all are there.
    pub more_after: Duration,
    /// When all units are there, if nothing is taken, by the clock of whoever counts.
    pub reset_at: Timestamp,
}

/// The state of an identity under one policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether there is room for the cost.
    pub verdict: Verdict,
    /// The units, if they are known.
    pub level: Option<Level>,
    /// Who decided.
    pub source: Source,
}

impl Standing {
    pub(super) const fn unknown(verdict: Verdict) -> Self {
        Self { verdict, level: None, source: Source::Mode }
    }
}

/// The decision on a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether the request is let through. If not, no policy was charged.
    pub allowed: bool,
    /// The result of each policy, in the order in which they were asked.
    pub standings: Vec<Standing>,
    /// The name of the request, by which leases are renewed and given back.
    pub request: String,
}

impl Decision {
    /// Returns how long to wait until all policies that refused may have room.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.standings.iter().filter_map(|standing| standing.verdict.retry_after()).max()
    }
}
