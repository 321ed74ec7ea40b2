//! What every algorithm can say of one identity, and what is done with several of them at once.
//!
//! The scripts in Redis do the same with the same numbers; a property test holds both to one another. Times are
//! microseconds.

use super::gcra::{Gcra, GcraState};
use super::policy::{Algorithm, Policy};
use super::units::{Units, UnitsState};
use super::window::{Window, WindowState};

/// An identity's standing under one policy at one time.
pub trait Meter {
    /// The most units there can be at once.
    fn burst(&self) -> u64;

    /// Until there is room for `cost` units, if nothing is taken, in microseconds. `cost` is at most the burst.
    fn wait(&self, cost: u64) -> u64;

    /// The units there are.
    fn left(&self) -> u64;

    /// Takes units, whether they are there or not.
    fn take(&mut self, cost: u64);

    /// Gives units back; more than were taken has no effect.
    fn give(&mut self, cost: u64);

    /// Whether the request has taken its units before: then there is room for it.
    fn holds(&self) -> bool {
        false
    }

    /// Whether what was kept could not be as it was: it has to be written anew, or would not change by itself.
    fn healed(&self) -> bool {
        false
    }

    /// What has to be kept: nothing when all units are there.
    fn state(&self) -> Option<State>;
}

/// What is kept of an identity under one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Of [`Algorithm::Gcra`].
    Gcra(GcraState),
    /// Of [`Algorithm::Window`].
    Window(WindowState),
    /// Of [`Algorithm::Log`] and [`Algorithm::Concurrency`].
    Units(UnitsState),
}

/// Whether a cost can be charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// It can.
    Now,
    /// It can in so many microseconds.
    In(u64),
    /// It never can: it is larger than the burst.
    Never,
}

/// What a meter says, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Whether there is room for the cost.
    pub room: Room,
    /// Units left.
    pub left: u64,
    /// Until there is one more, in microseconds; 0 when all are there.
    pub more: u64,
    /// Until all are there, in microseconds.
    pub reset: u64,
}

/// What to do with units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Charge every policy, where all that do not only watch have room.
    Take,
    /// Say what [`Act::Take`] would say, and charge nothing.
    Peek,
    /// Charge what there is of the cost.
    Drain,
    /// Give the cost back.
    Give,
}

impl Act {
    /// Its name in the script.
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

/// A meter, the cost for it, and whether its policy only watches.
pub struct Asked {
    meter: Box<dyn Meter>,
    cost: u64,
    shadow: bool,
    changed: bool,
}

impl Asked {
    /// Asks `meter` for `cost` units; one `in_shadow` refuses nothing.
    #[must_use]
    pub fn new(meter: Box<dyn Meter>, cost: u64, in_shadow: bool) -> Self {
        let changed = meter.healed();
        Self { meter, cost, shadow: in_shadow, changed }
    }

    /// What has to be kept now in the place of `before`.
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

/// Does `act` with all of them, or none. Gives whether there was room, and what each says afterwards.
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

/// The meter of `policy` at `now`, from what was kept of an identity. `name` is that of the request. A state of
/// another algorithm counts as none.
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
