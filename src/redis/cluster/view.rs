//! What is known about the cluster: which master owns which slot, and keeping that up to date.

use super::map::{Naming, SlotMap};
use super::{Cluster, explained};
use crate::config::HostPort;
use crate::env::Env;
use crate::redis::care::Care;
use crate::redis::node::OPENING_POLL;
use crate::redis::{Arg, Condition, RedisError, exactly};
use crate::time::Instant;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// The age at which the map is read anew, even if nothing contradicts it.
const OLD: Duration = Duration::from_secs(30);

/// The shortest time between two readings of the map.
const REFRESH_PAUSE: Duration = Duration::from_secs(1);

/// What is known about the cluster.
#[derive(Default)]
pub(super) struct View {
    pub(super) map: Option<SlotMap>,
    /// When it was last asked for, by [`Clock::instant`](crate::env::Clock::instant).
    asked: Option<Instant>,
    /// Whether the map is being read.
    learning: bool,
    /// Rotates which node is asked first, so that one with an old view is not asked for ever.
    turn: usize,
    /// The last line that was logged, so that it is not repeated.
    said: String,
}

impl<E: Env> Cluster<E> {
    /// Returns once there is a map. Tasks of a wasm instance cannot wake one another, so a task that waits for another's
    /// answer has to poll; that happens only at the start of an instance.
    pub(super) async fn known(self: &Rc<Self>) -> Result<(), RedisError> {
        let (began, patience) = (self.env.instant(), self.limits.connect + self.limits.command);
        loop {
            let now = self.env.instant();
            let (there, learning, old) = {
                let view = self.view.borrow();
                let old = view.asked.is_none_or(|asked| now.since(asked) >= OLD);
                (view.map.is_some(), view.learning, old)
            };
            match (there, learning) {
                (true, _) => {
                    if old {
                        self.refresh_soon();
                    }
                    return Ok(());
                }
                (false, false) => return self.learn().await,
                (false, true) if now.since(began) >= patience => {
                    return Err(RedisError::TimedOut(patience));
                }
                (false, true) => self.env.sleep(OPENING_POLL).await,
            }
        }
    }

    /// Reads the map anew in the background, unless that is being done or was done a moment ago.
    pub(super) fn refresh_soon(self: &Rc<Self>) {
        let now = self.env.instant();
        let recent = |asked: Instant| now.since(asked) < REFRESH_PAUSE;
        if self.view.borrow().learning || self.view.borrow().asked.is_some_and(recent) {
            return;
        }
        self.view.borrow_mut().asked = Some(now);
        let cluster = Rc::clone(self);
        self.env.spawn(async move {
            if !cluster.view.borrow().learning {
                // The previous map stays, and the nodes log what is wrong with them.
                let _ = cluster.learn().await;
            }
        });
    }

    /// Reads the map from the first node that returns one.
    async fn learn(&self) -> Result<(), RedisError> {
        let began = self.env.instant();
        let _learning = Learning::begin(&self.view, began);
        let mut problem = None;
        for place in self.to_ask() {
            match self.map_of(&place).await {
                Ok(map) => {
                    self.adopt(map);
                    return Ok(());
                }
                // A current problem is reported rather than that a node was down before.
                Err(error @ RedisError::Down { .. }) => problem = problem.or(Some(error)),
                Err(error) => problem = Some(error),
            }
            if self.env.instant().since(began) >= self.limits.connect + self.limits.command {
                break;
            }
        }
        let problem =
            problem.unwrap_or_else(|| RedisError::Unavailable("no node of the cluster is known".to_owned()));
        // Problems with a single node are logged by the node itself.
        if !problem.is_of_node() {
            self.say(format!("the Redis cluster cannot be used: {problem}"));
        }
        Err(problem)
    }

    fn say(&self, line: String) {
        if self.view.borrow().said != line {
            self.env.log(&line);
            self.view.borrow_mut().said = line;
        }
    }

    /// Returns the nodes that may know the map. Those that failed before come last.
    fn to_ask(&self) -> Vec<HostPort> {
        let mut view = self.view.borrow_mut();
        let mut places: Vec<HostPort> =
            view.map.as_ref().map(|map| map.masters().to_vec()).unwrap_or_default();
        if !places.is_empty() {
            view.turn = view.turn.wrapping_add(1) % places.len();
            places.rotate_left(view.turn);
        }
        let others: Vec<_> =
            self.address.nodes().iter().filter(|seed| !places.contains(seed)).cloned().collect();
        places.extend(others);
        drop(view);
        places.sort_by_key(|place| self.node(place).condition().failures());
        places
    }

    async fn map_of(&self, place: &HostPort) -> Result<SlotMap, RedisError> {
        let reply = self.node(place).send(Care::Repeatable, "CLUSTER", vec![Arg::from("NODES")]).await;
        let [text] = exactly(reply.map_err(|error| explained(error, place))?)?;
        let text = text.bytes()?.unwrap_or_default();
        SlotMap::parse(&String::from_utf8_lossy(&text), place, self.naming())
    }

    /// Host names are used if TLS checks certificates against them, or if the operator named nodes by host names.
    fn naming(&self) -> Naming {
        let by_name = self.address.nodes().iter().any(|seed| !seed.is_ip());
        if by_name || self.address.is_tls() { Naming::Hostname } else { Naming::Address }
    }

    fn adopt(&self, map: SlotMap) {
        let mut nodes = self.nodes.borrow_mut();
        nodes.retain(|place, _| map.masters().contains(place) || self.address.nodes().contains(place));
        for node in nodes.values() {
            node.settle();
        }
        match map.unowned() {
            0 => self.view.borrow_mut().said.clear(),
            some => self.say(format!("{some} slots of the Redis cluster have no owner")),
        }
        self.view.borrow_mut().map = Some(map);
    }

    /// Returns what is known about each master without asking it.
    pub(in crate::redis) fn nodes(&self) -> Vec<(HostPort, Condition)> {
        let view = self.view.borrow();
        let places = view.map.as_ref().map_or_else(|| self.address.nodes(), SlotMap::masters);
        places.iter().map(|place| (place.clone(), self.node(place).condition())).collect()
    }
}

/// Marks the map as being read; the mark ends with this, even if the reading is cancelled.
struct Learning<'a>(&'a RefCell<View>);

impl<'a> Learning<'a> {
    fn begin(view: &'a RefCell<View>, now: Instant) -> Self {
        let mut state = view.borrow_mut();
        state.learning = true;
        state.asked = Some(now);
        Self(view)
    }
}

impl Drop for Learning<'_> {
    fn drop(&mut self) {
        self.0.borrow_mut().learning = false;
    }
}
