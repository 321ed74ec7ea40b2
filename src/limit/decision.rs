//! What a limiter answers.

use crate::time::Timestamp;
use std::time::Duration;

/// What one policy says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is room for it.
    Allowed,
    /// Not now: the units are used up.
    Exhausted {
        /// Until there is room, if nobody else takes it.
        retry_after: Duration,
    },
    /// Not now: somebody blocked this identity.
    Blocked {
        /// Until the block ends.
        retry_after: Duration,
    },
    /// Never: the cost is larger than what the policy ever lets through at once.
    Impossible,
    /// Unknown, and the policy is closed then: Redis did not answer.
    Unavailable,
    /// Not asked: another policy refused before.
    Unasked,
}

impl Verdict {
    /// How long to wait, where waiting helps.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Exhausted { retry_after } | Self::Blocked { retry_after } => Some(*retry_after),
            Self::Allowed | Self::Impossible | Self::Unavailable | Self::Unasked => None,
        }
    }

    /// Whether this policy stands in the way of the request.
    #[must_use]
    pub const fn refuses(&self) -> bool {
        !matches!(self, Self::Allowed | Self::Unasked)
    }

    /// The verdict as one word.
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

/// Who gave a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Redis.
    Redis,
    /// This instance remembers that Redis refused a moment ago.
    Memory,
    /// This instance on its own, within its share.
    Local,
    /// Nobody: Redis is away, and the mode decides.
    Mode,
}

impl Source {
    /// The source as one word.
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

/// Units as they stand after the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Units left.
    pub remaining: u64,
    /// Until there is one more; zero when all are there.
    pub more_after: Duration,
    /// When all are there, if nothing is taken, by the clock of whoever counts.
    pub reset_at: Timestamp,
}

/// How an identity stands under one policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether there is room for the cost.
    pub verdict: Verdict,
    /// Its units, where they are known.
    pub level: Option<Level>,
    /// Who says so.
    pub source: Source,
}

impl Standing {
    pub(super) const fn unknown(verdict: Verdict) -> Self {
        Self { verdict, level: None, source: Source::Mode }
    }
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it is let through. If not, no policy was charged.
    pub allowed: bool,
    /// What each policy says, in the order in which they were asked.
    pub standings: Vec<Standing>,
    /// The name of the request: leases are renewed and given back by it.
    pub request: String,
}

impl Decision {
    /// How long to wait until all policies that refused may have room.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.standings.iter().filter_map(|standing| standing.verdict.retry_after()).max()
    }
}
