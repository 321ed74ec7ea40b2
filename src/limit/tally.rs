//! Counting what each policy let through and refused: the only place where decisions are counted.

use super::decision::{Decision, Source, Standing, Verdict};
use super::limiter::Demand;
use crate::env::Env;
use crate::metrics::{Metrics, Series};
use std::collections::BTreeSet;
use std::rc::Rc;

/// Returns the label of a decision under a policy.
const fn outcome(standing: &Standing, shadow: bool, allowed: bool) -> Option<&'static str> {
    Some(match (standing.verdict, standing.source) {
        (Verdict::Unasked, _) => return None,
        (Verdict::Allowed, _) if !allowed => return None,
        (Verdict::Allowed, Source::Redis | Source::Memory) => "allowed",
        (Verdict::Allowed, Source::Local) => "allowed_locally",
        (Verdict::Allowed, Source::Mode) => "failed_open",
        (_, Source::Mode) if shadow => return None,
        (_, Source::Mode) => "failed_closed",
        (_, _) if shadow => "shadow_denied",
        (_, Source::Redis) => "denied",
        (_, Source::Memory) => "denied_from_memory",
        (_, Source::Local) => "denied_locally",
    })
}

/// Counts for the metrics.
pub(crate) struct Tally<E: Env> {
    metrics: Rc<Metrics<E>>,
    /// The names of the configured policies. Callers of the API may invent any number of others.
    names: BTreeSet<String>,
}

impl<E: Env> Tally<E> {
    /// Counts for the policies of these names; all others are counted together, as `*`.
    pub(crate) const fn new(metrics: Rc<Metrics<E>>, names: BTreeSet<String>) -> Self {
        Self { metrics, names }
    }

    /// Counts a decision.
    pub(super) fn note(&self, demands: &[Demand<'_>], decision: &Decision) {
        for (demand, standing) in demands.iter().zip(&decision.standings) {
            if let Some(outcome) = outcome(standing, demand.policy.shadow(), decision.allowed) {
                let name = demand.policy.name();
                let policy = if self.names.contains(name) { name } else { "*" }.to_owned();
                self.metrics.count(Series::Limits { policy, outcome });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_own_counter() {
        let standing = |verdict, source| Standing { verdict, level: None, source };
        let exhausted = Verdict::Exhausted { retry_after: std::time::Duration::from_secs(1) };
        for (verdict, source, shadow, allowed, expected) in [
            (Verdict::Allowed, Source::Redis, false, true, Some("allowed")),
            (Verdict::Allowed, Source::Redis, false, false, None),
            (Verdict::Allowed, Source::Local, false, true, Some("allowed_locally")),
            (Verdict::Allowed, Source::Mode, false, true, Some("failed_open")),
            (exhausted, Source::Redis, false, false, Some("denied")),
            (exhausted, Source::Redis, true, true, Some("shadow_denied")),
            (exhausted, Source::Memory, false, false, Some("denied_from_memory")),
            (exhausted, Source::Local, false, false, Some("denied_locally")),
            (Verdict::Unavailable, Source::Mode, false, false, Some("failed_closed")),
            (Verdict::Unasked, Source::Memory, false, false, None),
        ] {
            assert_eq!(
                outcome(&standing(verdict, source), shadow, allowed),
                expected,
                "{verdict:?} {source:?}"
            );
        }
    }
}
