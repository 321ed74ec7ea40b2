//! Waiting for conditions rather than for time to pass.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Longer than any operation that works. Only a failing test waits this long.
pub const PATIENCE: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(5);

/// Waits until `condition` holds.
///
/// # Panics
/// With `what`, if it does not hold within [`PATIENCE`].
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    eventually_some(what, || condition().then_some(()));
}

/// Waits until `attempt` returns something.
///
/// # Panics
/// With `what`, if it returns nothing within [`PATIENCE`].
#[track_caller]
pub fn eventually_some<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain for: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// A gate: threads that arrive wait in front of it until the test opens it.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    arrived: usize,
    open: bool,
}

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Arrives, and waits until the gate is open; gives up after [`PATIENCE`].
    pub fn pass(&self) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.arrived += 1;
        changed.notify_all();
        drop(changed.wait_timeout_while(state, PATIENCE, |it| !it.open).unwrap());
    }

    /// Lets all threads through, now and later.
    pub fn open(&self) {
        let (state, changed) = &*self.0;
        state.lock().unwrap().open = true;
        changed.notify_all();
    }

    /// Waits until `count` have arrived.
    ///
    /// # Panics
    /// If fewer arrive within [`PATIENCE`].
    #[track_caller]
    pub fn await_arrivals(&self, count: usize) {
        let (state, changed) = &*self.0;
        let (state, _) =
            changed.wait_timeout_while(state.lock().unwrap(), PATIENCE, |it| it.arrived < count).unwrap();
        let arrived = state.arrived;
        drop(state);
        assert!(arrived >= count, "expected {count} at the gate, found {arrived}");
    }
}
