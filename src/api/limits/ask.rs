//! The questions that callers ask about limits.

use crate::api::seconds::{Seconds, seconds};
use crate::app::App;
use crate::env::Env;
use crate::limit::{Algorithm, Demand, Identity, MAX_PERIOD, MAX_UNITS, Mode, Policy, Quota, is_name};
use crate::time::Ttl;
use http::StatusCode;
use serde::Deserialize;
use std::num::NonZeroU32;
use std::time::Duration;

/// The longest value of a key, in bytes, and the most values.
const MAX_VALUE: usize = 8 * 1024;
const MAX_VALUES: usize = 16;

/// The error for an invalid name of a policy or a lease.
pub(super) const NAME: &str = "expected a name of 1 to 64 letters, digits, \"-\", \"_\" or \".\"";

/// Several questions at once.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asks {
    pub(super) checks: Vec<Ask>,
}

/// One question. Which members it may have depends on the path.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ask {
    policy: Option<String>,
    key: Option<Key>,
    pub(super) cost: Option<u32>,
    lease: Option<String>,
    pub(super) block: Option<Seconds>,
    limit: Option<u32>,
    period: Option<Seconds>,
    burst: Option<u32>,
    algorithm: Option<Name<Algorithm>>,
    mode: Option<Name<Mode>>,
}

/// One value, or one for each part of the policy's key.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a text, or an array of texts")]
enum Key {
    One(String),
    Each(Vec<String>),
}

/// A word from a fixed set.
struct Name<T>(T);

impl<'de> Deserialize<'de> for Name<Algorithm> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let word = String::deserialize(from)?;
        let expected = || format!("expected gcra, window, log or concurrency, found {word:?}");
        Algorithm::named(&word).map(Self).ok_or_else(|| serde::de::Error::custom(expected()))
    }
}

impl<'de> Deserialize<'de> for Name<Mode> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let word = String::deserialize(from)?;
        match word.as_str() {
            "open" => Ok(Self(Mode::Open)),
            "closed" => Ok(Self(Mode::Closed)),
            _ => Err(serde::de::Error::custom(format!("expected open or closed, found {word:?}"))),
        }
    }
}

/// The members that not every question may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Policy,
    Key,
    Cost,
    Lease,
    Block,
    /// `limit`, `period`, `burst`, `algorithm` and `mode`: the caller's own policy.
    Quota,
}

/// A question with the policy and the identity that it concerns.
pub(super) struct Resolved {
    pub(super) policy: Policy,
    pub(super) identity: Identity,
    pub(super) cost: u32,
    pub(super) lease: Option<String>,
}

impl Resolved {
    pub(super) const fn demand(&self) -> Demand<'_> {
        Demand { policy: &self.policy, identity: &self.identity, cost: self.cost }
    }
}

/// A status, and what is wrong.
type Wrong = (StatusCode, String);

impl Ask {
    /// Resolves the policy in question: one in the configuration, or one that the question itself describes.
    /// `name` is the name in the path.
    pub(super) fn resolve<E: Env>(
        self,
        app: &App<E>,
        name: Option<&str>,
        allowed: &[Field],
    ) -> Result<Resolved, Wrong> {
        self.only(allowed).map_err(bad)?;
        let name =
            name.or(self.policy.as_deref()).ok_or_else(|| bad("expected policy, found none"))?.to_owned();
        if !is_name(&name) {
            return Err(bad(format!("{NAME}, found {name:?}")));
        }
        let policy = self.policy_of(app, &name)?;
        let cost = self.cost.unwrap_or(1);
        if cost > MAX_UNITS {
            return Err(bad(format!("expected a cost from 0 to {MAX_UNITS}, found {cost}")));
        }
        if let Some(lease) = &self.lease {
            check_lease(lease, &policy).map_err(bad)?;
        }
        let values = match self.key {
            None => Vec::new(),
            Some(Key::One(value)) => vec![value],
            Some(Key::Each(values)) => values,
        };
        let identity = identity(app, &name, &values).map_err(bad)?;
        Ok(Resolved { policy, identity, cost, lease: self.lease })
    }

    fn only(&self, allowed: &[Field]) -> Result<(), String> {
        let quota = self.limit.is_some() || self.period.is_some() || self.burst.is_some();
        let found = [
            (Field::Policy, "policy", self.policy.is_some()),
            (Field::Key, "key", self.key.is_some()),
            (Field::Cost, "cost", self.cost.is_some()),
            (Field::Lease, "lease", self.lease.is_some()),
            (Field::Block, "block", self.block.is_some()),
            (Field::Quota, "limit", quota || self.algorithm.is_some() || self.mode.is_some()),
        ];
        match found.into_iter().find(|(field, _, is)| *is && !allowed.contains(field)) {
            Some((_, name, _)) => Err(format!("expected no {name} here")),
            None => Ok(()),
        }
    }

    fn policy_of<E: Env>(&self, app: &App<E>, name: &str) -> Result<Policy, Wrong> {
        let own = [
            ("limit", self.limit.is_some()),
            ("period", self.period.is_some()),
            ("burst", self.burst.is_some()),
            ("algorithm", self.algorithm.is_some()),
            ("mode", self.mode.is_some()),
        ];
        let given = own.into_iter().find(|(_, is)| *is).map(|(name, _)| name);
        match (app.config.limit(name), given) {
            (Some(limit), None) => Ok(limit.policy.clone()),
            (Some(_), Some(member)) => {
                Err(bad(format!("expected no {member}: the configuration defines the policy {name:?}")))
            }
            (None, Some(_)) => self.own_policy(name).map_err(bad),
            (None, None) => Err((
                StatusCode::NOT_FOUND,
                format!(
                    "there is no policy {name:?} in the configuration; to define one here, give limit and \
                     period"
                ),
            )),
        }
    }

    fn own_policy(&self, name: &str) -> Result<Policy, String> {
        let algorithm = self.algorithm.as_ref().map_or(Algorithm::default(), |name| name.0);
        let mode = self.mode.as_ref().map_or(Mode::default(), |name| name.0);
        let limit = units(self.limit, "limit")?.ok_or("expected limit, found none")?;
        let period = self.period.ok_or("expected period in seconds, found none")?;
        let period = Duration::from_millis(time(period, "period")?.as_millis());
        let mut quota = Quota::new(limit, period).map_err(|error| error.to_string())?;
        if let Some(burst) = units(self.burst, "burst")? {
            quota = quota.with_burst(burst).map_err(|error| error.to_string())?;
        }
        Policy::new(name, algorithm, quota)
            .map(|policy| policy.with_mode(mode))
            .map_err(|error| error.to_string())
    }
}

fn units(given: Option<u32>, name: &str) -> Result<Option<NonZeroU32>, String> {
    match given {
        None => Ok(None),
        Some(number) => match NonZeroU32::new(number) {
            Some(units) => Ok(Some(units)),
            None => Err(format!("expected a {name} of at least 1, found 0")),
        },
    }
}

/// Parses a time from a millisecond to a year.
pub(super) fn time(given: Seconds, name: &str) -> Result<Ttl, String> {
    let found = seconds(given.0);
    let expected =
        || format!("expected a {name} of 0.001 to {} seconds, found {found}", MAX_PERIOD.as_secs());
    Ttl::new(given.0).filter(|_| given.0 <= MAX_PERIOD).ok_or_else(expected)
}

fn check_lease(lease: &str, policy: &Policy) -> Result<(), String> {
    if !policy.leases() {
        return Err("expected no lease: only concurrency limits have them".to_owned());
    }
    if !is_name(lease) {
        return Err(format!("lease: {NAME}, found {lease:?}"));
    }
    Ok(())
}

/// Returns the identity that these values stand for: under a policy in the configuration, that of requests with these
/// values; under any other, that which the caller means.
pub(super) fn identity<E: Env>(app: &App<E>, policy: &str, values: &[String]) -> Result<Identity, String> {
    if values.len() > MAX_VALUES || values.iter().any(|value| value.len() > MAX_VALUE) {
        return Err(format!(
            "key: expected at most {MAX_VALUES} values of at most {MAX_VALUE} bytes, found more"
        ));
    }
    let identifier = app.limiter.identifier();
    let Some(limit) = app.config.limit(policy) else {
        let missing = || "key: expected a value, found none".to_owned();
        return if values.is_empty() { Err(missing()) } else { Ok(identifier.of_caller(values)) };
    };
    identifier.of_values(&limit.key, values).ok_or_else(|| {
        let parts: Vec<String> = limit.key.iter().map(ToString::to_string).collect();
        let expected = if parts.is_empty() { "none".to_owned() } else { parts.join(", ") };
        format!("key: expected a value for each of: {expected}; found {}", values.len())
    })
}

fn bad(detail: impl Into<String>) -> Wrong {
    (StatusCode::BAD_REQUEST, detail.into())
}
