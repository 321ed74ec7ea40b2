//! The meters, one for each algorithm, and operations on several of them at once.
//!
//! The scripts in Redis do the same with the same numbers; a property test compares them. Times are
//! in microseconds.

use super::gcra::{Gcra, GcraState};
use super::policy::{Algorithm, Policy};
use super::units::{Units, UnitsState};
use super::window::{Window, WindowState};

/// The state of an identity under one policy at one time.
pub trait Meter {
    /// Returns the most units that there can be at once.
    fn burst(&self) -> u64;

    /// Returns the time until there is room for `cost` units, if nothing is taken. `cost` is at most the burst.
    fn wait(&self, cost: u64) -> u64;

    /// Returns the units left.
    fn left(&self) -> u64;

    /// Takes units, whether they are there or not.
    fn take(&mut self, cost: u64);

    /// Gives units back; giving more than were taken has no further effect.
    fn give(&mut self, cost: u64);

    /// Returns whether the request has taken its units before, so that there is room for it.
    fn holds(&self) -> bool {
        false
    }

    /// Returns whether the stored state was impossible and must be written anew, because it would not recover by itself.
    fn healed(&self) -> bool {
        false
    }

    /// Returns the state to store; `None` when all units are there.
    fn state(&self) -> Option<State>;
}

/// The stored state of an identity under one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The state of [`Algorithm::Gcra`].
    Gcra(GcraState),
    /// The state of [`Algorithm::Window`].
    Window(WindowState),
    /// The state of [`Algorithm::Log`] or [`Algorithm::Concurrency`].
    Units(UnitsState),
}

/// Whether there is room for a cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// There is.
    Now,
    /// There will be in this many microseconds.
    In(u64),
    /// There never is: it is larger than the burst.
    Never,
}

/// The reading of a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Whether there is room for the cost.
    pub room: Room,
    /// The units left.
    pub left: u64,
    /// The time until there is one more, in microseconds; 0 when all are there.
    pub more: u64,
    /// The time until all are there, in microseconds.
    pub reset: u64,
}

/// An operation on units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Charge every policy, if all that are not in shadow have room.
    Take,
    /// Return what [`Act::Take`] would return, and charge nothing.
    Peek,
    /// Charge as much of the cost as there is.
    Drain,
    /// Give the cost back.
    Give,
}

impl Act {
    /// Returns its name in the script.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Take => "take",
            Self::Peek => "peek",
            Self::Drain => "drain",
            Self::Give => "give",
        }
    }
}

/// A meter, the cost to charge, and whether its policy is in shadow.
pub struct Asked {
    meter: Box<dyn Meter>,
    cost: u64,
    shadow: bool,
    changed: bool,
}

impl Asked {
    /// Makes a question to `meter` for `cost` units; one `in_shadow` refuses nothing.
    #[must_use]
    pub fn new(meter: Box<dyn Meter>, cost: u64, in_shadow: bool) -> Self {
        let changed = meter.healed();
        Self { meter, cost, shadow: in_shadow, changed }
    }

    /// Returns the state to store in place of `before`.
    #[must_use]
    pub fn state(&self, before: Option<State>) -> Option<State> {
        if self.changed { self.meter.state() } else { before }
    }

    fn take(&mut self, cost: u64) {
        if cost > 0 {
            self.meter.take(cost);
            self.changed = true;
        }
    }

    fn give(&mut self) {
        if self.cost > 0 {
            self.meter.give(self.cost);
            self.changed = true;
        }
    }

    fn room(&self) -> Room {
        if self.cost > self.meter.burst() {
            return Room::Never;
        }
        match self.meter.wait(self.cost) {
            0 => Room::Now,
            _ if self.meter.holds() => Room::Now,
            wait => Room::In(wait),
        }
    }

    fn reading(&self, room: Room) -> Reading {
        let (left, burst) = (self.meter.left(), self.meter.burst());
        let more = if left < burst { self.meter.wait(left + 1) } else { 0 };
        Reading { room, left, more, reset: self.meter.wait(burst) }
    }
}

/// Does `act` with all of them or none, and returns whether there was room, and the reading of each afterwards.
pub fn act(act: Act, all: &mut [Asked]) -> (bool, Vec<Reading>) {
    let rooms: Vec<Room> = all.iter().map(Asked::room).collect();
    let room = all.iter().zip(&rooms).all(|(one, room)| one.shadow || *room == Room::Now);
    for (one, its) in all.iter_mut().zip(&rooms) {
        match act {
            Act::Take if room && *its == Room::Now => one.take(one.cost),
            Act::Drain => one.take(one.cost.min(one.meter.left())),
            Act::Give => one.give(),
            Act::Take | Act::Peek => {}
        }
    }
    (room, all.iter().zip(rooms).map(|(one, room)| one.reading(room)).collect())
}

/// Opens the meter of `policy` at `now`, from the stored state of an identity. `name` is that of the request. A state of
/// another algorithm is ignored.
#[must_use]
pub fn open(policy: &Policy, state: Option<State>, now: u64, name: &str) -> Box<dyn Meter> {
    let quota = *policy.quota();
    match (policy.algorithm(), state) {
        (Algorithm::Gcra, Some(State::Gcra(state))) => Box::new(Gcra::open(quota, Some(state), now)),
        (Algorithm::Gcra, _) => Box::new(Gcra::open(quota, None, now)),
        (Algorithm::Window, Some(State::Window(state))) => Box::new(Window::open(quota, Some(state), now)),
        (Algorithm::Window, _) => Box::new(Window::open(quota, None, now)),
        (Algorithm::Log | Algorithm::Concurrency, state) => {
            let state = match state {
                Some(State::Units(state)) => state,
                _ => UnitsState::default(),
            };
            Box::new(Units::open(quota, state, now, name, policy.algorithm() == Algorithm::Concurrency))
        }
    }
}
