//! Policies and standings as JSON.

use crate::api::seconds::seconds as api_seconds;
use crate::config::{Counts, Limit};
use crate::field::rate_limit::seconds;
use crate::limit::{Mode, Policy, Standing};
use crate::time::Timestamp;
use serde_json::{Value, json};

/// Formats a policy of the configuration.
pub(super) fn limit(limit: &Limit) -> Value {
    let (policy, quota) = (&limit.policy, limit.policy.quota());
    let (mode, instances) = match policy.mode() {
        Mode::Open => ("open", None),
        Mode::Closed => ("closed", None),
        Mode::Local { instances } => ("local", Some(instances.get())),
    };
    json!({
        "name": policy.name(),
        "algorithm": policy.algorithm().as_str(),
        "limit": quota.limit().get(),
        "period": api_seconds(quota.period()),
        "burst": quota.burst().get(),
        "key": limit.key.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "cost": limit.cost.get(),
        "methods": limit.methods.iter().map(http::Method::as_str).collect::<Vec<_>>(),
        "counts": match limit.counts {
            Counts::Requests => "requests",
            Counts::Misses => "misses",
        },
        "mode": mode,
        "instances": instances,
        "shadow": policy.shadow(),
    })
}

/// Formats the answer of a policy to a question.
pub(super) fn standing(policy: &Policy, standing: &Standing) -> Value {
    let retry = standing.verdict.retry_after();
    let mut shown = level(policy, standing);
    shown["allowed"] = (policy.shadow() || !standing.verdict.refuses()).into();
    shown["verdict"] = standing.verdict.as_str().into();
    shown["source"] = standing.source.as_str().into();
    shown["shadow"] = policy.shadow().into();
    shown["retry_after"] = retry.map(seconds).into();
    shown["retry_after_ms"] = retry.map(|retry| u64::try_from(retry.as_micros().div_ceil(1000)).ok()).into();
    shown
}

/// Formats the units that are left.
pub(super) fn level(policy: &Policy, standing: &Standing) -> Value {
    json!({
        "policy": policy.name(),
        "limit": policy.quota().limit().get(),
        "remaining": standing.level.map(|level| level.remaining),
        "reset_at": standing.level.map(|level| whole_seconds(level.reset_at)),
    })
}

/// Returns seconds since the epoch, rounded up.
fn whole_seconds(at: Timestamp) -> u64 {
    at.as_millis().div_ceil(1000)
}
