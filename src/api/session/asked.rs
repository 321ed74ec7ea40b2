//! The parts of a request: which session, under which condition, for how long.

use super::bad_request;
use crate::problem::Problem;
use crate::session::{ChosenId, Expected, Handle, Life};
use crate::time::Ttl;
use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName};
use std::num::NonZeroU64;

/// The longest lifetime that a caller may request for a session, in seconds.
const YEAR: u64 = 365 * 86_400;

/// The id of a session in a path.
pub(super) enum Id {
    /// A handle that was made here.
    Ours(Handle),
    /// An id that a caller chose.
    Chosen(ChosenId),
}

impl Id {
    /// # Errors
    /// 400 when it is neither.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let ours = Handle::parse(text).map(Self::Ours);
        ours.or_else(|| ChosenId::new(text).map(Self::Chosen)).ok_or_else(|| {
            let what = "a session id: sid_ and 43 characters of base64url, or an id of your own choice of 1 \
                        to 256 bytes, without control characters and not beginning with sid_";
            bad_request(format!("expected {what}; found {:?}", text.chars().take(60).collect::<String>()))
        })
    }

    /// Returns the handle.
    pub(super) const fn handle(&self) -> &Handle {
        match self {
            Self::Ours(handle) => handle,
            Self::Chosen(chosen) => chosen.handle(),
        }
    }

    /// Returns the text of the id in the path.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Ours(handle) => handle.to_string(),
            Self::Chosen(chosen) => chosen.as_str().to_owned(),
        }
    }
}

/// The precondition of a request (RFC 9110 §13.1).
#[derive(Clone, Copy)]
pub(super) enum Condition {
    /// None.
    None,
    /// `If-Match: *`
    Something,
    /// `If-Match: "7"`
    Version(u64),
    /// `If-None-Match: *`
    Nothing,
}

impl Condition {
    /// # Errors
    /// 400 when it is something else.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let one = |name: HeaderName| {
            let mut lines = headers.get_all(name).iter();
            lines.next().map(|line| line.to_str().ok().filter(|_| lines.next().is_none()).unwrap_or_default())
        };
        match (one(IF_MATCH), one(IF_NONE_MATCH)) {
            (None, None) => Ok(Self::None),
            (Some("*"), None) => Ok(Self::Something),
            (None, Some("*")) => Ok(Self::Nothing),
            (Some(tag), None) => version(tag).map(Self::Version).ok_or_else(|| {
                bad_request(
                    "If-Match: expected one ETag of a session, like \"7\", or *, found something else",
                )
            }),
            (_, Some(_)) => Err(bad_request("expected If-Match, or If-None-Match: *, found something else")),
        }
    }

    /// Converts it for an operation that may also create.
    pub(super) const fn expected(self) -> Expected {
        match self {
            Self::None | Self::Something => Expected::Any,
            Self::Version(version) => Expected::Version(version),
            Self::Nothing => Expected::Nothing,
        }
    }

    /// Converts it for an operation on an existing session.
    pub(super) const fn version(self) -> Option<u64> {
        match self {
            Self::Version(version) => Some(version),
            Self::None | Self::Something | Self::Nothing => None,
        }
    }
}

fn version(tag: &str) -> Option<u64> {
    let digits = tag.strip_prefix('"')?.strip_suffix('"')?;
    let version = digits.parse().ok().filter(|version| *version <= 1 << 53)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(version)
}

/// Converts lifetimes in seconds.
///
/// # Errors
/// 400 for zero and for more than a year.
pub(super) fn life(ttl: Option<u64>, max_age: Option<u64>) -> Result<Life, Problem> {
    let read = |name: &str, seconds: Option<u64>| {
        let Some(seconds) = seconds else { return Ok(None) };
        let millis = NonZeroU64::new(seconds).filter(|seconds| seconds.get() <= YEAR);
        millis
            .map(|seconds| Some(Ttl::from_millis(seconds.saturating_mul(THOUSAND))))
            .ok_or_else(|| bad_request(format!("{name}: expected from 1 to {YEAR} seconds, found {seconds}")))
    };
    Ok(Life { idle: read("ttl", ttl)?, absolute: read("max_age", max_age)? })
}

const THOUSAND: NonZeroU64 = NonZeroU64::MIN.saturating_add(999);
