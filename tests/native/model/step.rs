//! The steps of a history.

use super::{INSTANCES, PATHS};
use proptest::prelude::*;

/// One step.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Get {
        instance: usize,
        path: usize,
        accept: bool,
    },
    /// A fetch that is under way while something else happens.
    SlowGet {
        instance: usize,
        path: usize,
        meanwhile: Box<Step>,
    },
    Change {
        path: usize,
    },
    Advance {
        seconds: u64,
    },
    Purge {
        instance: usize,
        path: usize,
        by: usize,
        soft: bool,
    },
    /// The origin goes away, or comes back.
    Switch,
    /// An instance ends and another takes its place.
    Restart {
        instance: usize,
    },
    /// Redis evicts a key: any key, or one of the ledger.
    Evict {
        number: usize,
        ledger: bool,
    },
}

/// A step that takes no time.
fn quick_step() -> impl Strategy<Value = Step> {
    let (instance, path) = (0..INSTANCES, 0..PATHS.len());
    prop_oneof![
        8 => (instance.clone(), path.clone(), any::<bool>())
            .prop_map(|(instance, path, accept)| Step::Get { instance, path, accept }),
        3 => path.clone().prop_map(|path| Step::Change { path }),
        1 => (1..90u64).prop_map(|seconds| Step::Advance { seconds }),
        3 => (instance.clone(), path, 0..5usize, prop::bool::weighted(0.3))
            .prop_map(|(instance, path, by, soft)| Step::Purge { instance, path, by, soft }),
        1 => Just(Step::Switch),
        1 => instance.prop_map(|instance| Step::Restart { instance }),
        2 => any::<(usize, bool)>().prop_map(|(number, ledger)| Step::Evict { number, ledger }),
    ]
}

/// Any step.
pub(super) fn step() -> impl Strategy<Value = Step> {
    let slow = (0..INSTANCES, 0..PATHS.len(), quick_step()).prop_map(|(instance, path, meanwhile)| {
        Step::SlowGet { instance, path, meanwhile: Box::new(meanwhile) }
    });
    prop_oneof![5 => quick_step(), 1 => slow]
}
