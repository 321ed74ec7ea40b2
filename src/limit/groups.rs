//! Groups of demands that one script can answer: those of one identity.

use super::limiter::Demand;
use crate::redis::Key;

/// A demand, with its keys.
pub(super) struct Asked<'a, 'd> {
    pub(super) demand: &'a Demand<'d>,
    pub(super) keys: [Key; 2],
}

/// Demands that one script can answer, each with its index among all.
pub(super) type Group<'a, 'd, 'x> = [(usize, &'x Asked<'a, 'd>)];

/// Returns the name under which a group is asked. A log counts each name only once, and a later group has the same policy
/// again, so its name differs; for leases it must not, because a slot that is asked for again is the same one.
pub(super) fn named(request: &str, number: usize, group: &Group<'_, '_, '_>) -> String {
    let leases = group.iter().any(|(_, one)| one.demand.policy.leases());
    if number == 0 || leases { request.to_owned() } else { format!("{request}.{number}") }
}

/// Divides the demands into groups that one script can answer: of one identity, each policy once.
pub(super) fn groups<'a, 'd, 'x>(asked: &'x [Asked<'a, 'd>]) -> Vec<Vec<(usize, &'x Asked<'a, 'd>)>> {
    let mut groups: Vec<Vec<(usize, &Asked<'a, 'd>)>> = Vec::new();
    for (at, one) in asked.iter().enumerate() {
        let fits = |group: &&mut Vec<(usize, &Asked<'_, '_>)>| {
            let same = |(_, other): &(usize, &Asked<'_, '_>)| other.demand.identity == one.demand.identity;
            group.iter().all(|other| same(other) && other.1.keys != one.keys)
        };
        match groups.iter_mut().find(fits) {
            Some(group) => group.push((at, one)),
            None => groups.push(vec![(at, one)]),
        }
    }
    groups
}
