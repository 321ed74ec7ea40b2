//! Redis Cluster: which node owns a key, and how to continue when another one owns it by now.
//!
//! The host takes no part in this: its interface is one connection to one address. So this is the whole client
//! of a cluster. Its decisions are pure functions ([`slot`], [`route`](mod@route), [`map`], [`redirect`]).
//!
//! Each command goes to the owner of its slot. The map of owners comes from any node, first from those that the
//! operator named, in their order. Each `MOVED` corrects it, and it is read anew in the background after a `MOVED`, when
//! a node fails, and when it is old: never more than once a second.

mod map;
mod redirect;
mod route;
mod slot;
mod state;
mod view;

pub use redirect::Redirect;
pub use route::{Part, Route, route};
pub(super) use slot::SHARES;
pub use slot::Slot;
pub use state::{ClusterState, NodeState};

use super::care::{Care, Observer};
use super::client::Limits;
use super::node::Node;
use super::{Arg, Key, RedisError, Value, exactly};
use crate::config::{HostPort, RedisAddress};
use crate::env::Env;
use crate::metrics::Series;
use futures_util::future::join_all;
use redirect::{Course, Next};
use route::merged;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use view::View;

/// How many nodes are tried with a command that any node can carry out.
const ANYWHERE: usize = 3;

/// The client of a cluster.
pub(super) struct Cluster<E: Env> {
    env: E,
    /// The seed nodes, and what is the same for all nodes: credentials, encryption.
    address: RedisAddress,
    limits: Limits,
    observer: Observer<E>,
    nodes: RefCell<BTreeMap<HostPort, Rc<Node<E>>>>,
    view: RefCell<View>,
}

impl<E: Env> Cluster<E> {
    /// Makes a client of the cluster to which the nodes in `address` belong, without connecting yet.
    pub(super) fn new(env: E, address: RedisAddress, limits: Limits, observer: Observer<E>) -> Self {
        let (nodes, view) = (RefCell::default(), RefCell::default());
        Self { env, address, limits, observer, nodes, view }
    }

    /// Carries out a command on the nodes that own its keys.
    pub(super) async fn send(
        self: &Rc<Self>,
        care: Care,
        command: &str,
        arguments: Vec<Arg>,
    ) -> Result<Vec<Value>, RedisError> {
        match route(command, &arguments) {
            Route::Anywhere => self.anywhere(care, command, arguments).await,
            Route::Slot(slot) => self.at(slot, Course::default(), care, command, arguments).await,
            Route::Split(parts) => self.split(care, command, &arguments, parts).await,
            Route::Apart => Err(RedisError::Refused(format!("the keys of {command} are in several slots"))),
        }
    }

    /// Carries out a command without a key on the node that owns `key`.
    pub(super) async fn beside(
        self: &Rc<Self>,
        key: &Key,
        command: &str,
        arguments: Vec<Arg>,
    ) -> Result<Vec<Value>, RedisError> {
        let slot = Slot::of(key.as_str().as_bytes());
        self.at(slot, Course::default(), Care::Repeatable, command, arguments).await
    }

    /// Carries out a command on one master.
    pub(super) async fn send_to(
        self: &Rc<Self>,
        place: &HostPort,
        command: &str,
        arguments: Vec<Arg>,
    ) -> Result<Vec<Value>, RedisError> {
        let node = self.node(place);
        let result = node.send(Care::Repeatable, command, arguments).await;
        result.inspect_err(|error| self.failed(&node, error))
    }

    /// Returns all masters that own slots.
    pub(super) async fn masters(self: &Rc<Self>) -> Result<Vec<HostPort>, RedisError> {
        // Whatever failed here, the command itself was not sent.
        self.known().await.map_err(RedisError::before_sending)?;
        Ok(self.view.borrow().map.as_ref().map(|map| map.masters().to_vec()).unwrap_or_default())
    }

    /// Returns how many subscribers a channel has, over all masters that answer.
    pub(super) async fn subscribers(self: &Rc<Self>, channel: &str) -> Result<i64, RedisError> {
        let masters = self.masters().await?;
        let counts = join_all(masters.iter().map(async |place| {
            let arguments = vec![Arg::from("NUMSUB"), Arg::from(channel)];
            let [_, count] = exactly(self.send_to(place, "PUBSUB", arguments).await?)?;
            count.int()
        }));
        Ok(counts.await.into_iter().filter_map(Result::ok).sum())
    }

    /// Sends all parts at the same time. A part that fails does not interrupt the others.
    async fn split(
        self: &Rc<Self>,
        care: Care,
        command: &str,
        keys: &[Arg],
        parts: Vec<Part>,
    ) -> Result<Vec<Value>, RedisError> {
        let replies = join_all(parts.into_iter().map(async |part| {
            let own = part.at.iter().filter_map(|at| keys.get(*at).cloned()).collect();
            Ok((part.at, self.part(care, command, part.slot, own).await?))
        }));
        let replies = replies.await.into_iter().collect::<Result<Vec<_>, RedisError>>()?;
        Ok(merged(command, keys.len(), replies))
    }

    /// Sends the keys of one slot. While that is migrating, no node may have all of them: then each is sent by itself.
    async fn part(
        self: &Rc<Self>,
        care: Care,
        command: &str,
        slot: Slot,
        keys: Vec<Arg>,
    ) -> Result<Vec<Value>, RedisError> {
        let result = self.at(slot, Course::dividable(), care, command, keys.clone()).await;
        if !result.as_ref().is_err_and(RedisError::is_try_again) {
            return result;
        }
        let count = keys.len();
        let replies = join_all(keys.into_iter().enumerate().map(async |(at, key)| {
            Ok((vec![at], self.at(slot, Course::default(), care, command, vec![key]).await?))
        }));
        Ok(merged(command, count, replies.await.into_iter().collect::<Result<Vec<_>, RedisError>>()?))
    }

    /// Carries out a command where `slot` is, following redirects. After the time limit of one command, no further try
    /// begins; so it takes less than twice as long.
    async fn at(
        self: &Rc<Self>,
        slot: Slot,
        mut course: Course,
        care: Care,
        command: &str,
        arguments: Vec<Arg>,
    ) -> Result<Vec<Value>, RedisError> {
        let began = self.env.instant();
        let mut asked = None;
        loop {
            let asking = asked.is_some();
            let place = match asked.take() {
                Some(place) => place,
                None => self.owner(slot).await.map_err(|error| course.failure(error))?,
            };
            let node = self.node(&place);
            let result = if asking {
                node.ask(care, command, arguments.clone()).await
            } else {
                node.send_noting(care, command, arguments.clone(), &mut course.broken).await
            };
            let Err(error) = result else { return result };
            let in_time = self.env.instant().since(began) < self.limits.command;
            match course.after(&error, in_time) {
                Next::Move(redirect) => {
                    self.count(care, "moved");
                    self.moved(&redirect, self.target(&redirect, &place));
                }
                Next::Ask(redirect) => {
                    self.count(care, "ask");
                    asked = Some(self.target(&redirect, &place));
                }
                Next::Again(pause) => {
                    self.refresh_soon();
                    self.env.sleep(pause).await;
                }
                Next::Fail => {
                    self.failed(&node, &error);
                    return Err(course.failure(error));
                }
            }
        }
    }

    /// Carries out a command on any master, preferably one whose connection is open. Another one is tried if the command was
    /// surely not carried out, or may be carried out twice.
    async fn anywhere(
        self: &Rc<Self>,
        care: Care,
        command: &str,
        arguments: Vec<Arg>,
    ) -> Result<Vec<Value>, RedisError> {
        let mut places = self.masters().await?;
        places.sort_by_key(|place| self.node(place).condition().rank());
        let began = self.env.instant();
        let mut last = None;
        for place in places.into_iter().take(ANYWHERE) {
            let node = self.node(&place);
            let mut broken = None;
            let result = node.send_noting(care, command, arguments.clone(), &mut broken).await;
            let Err(error) = result else { return result };
            self.failed(&node, &error);
            let error = match broken {
                Some(why) => error.after_sent(&why),
                None => error,
            };
            let undone = error.was_not_carried_out() || care == Care::Repeatable;
            let in_time = self.env.instant().since(began) < self.limits.command;
            let ends = !undone || !in_time || !error.is_of_node();
            // An error that leaves the outcome open takes precedence over one after which surely nothing was done.
            let open = last.take().filter(|last: &RedisError| !last.was_not_carried_out());
            let error = open.unwrap_or(error);
            if ends {
                return Err(error);
            }
            last = Some(error);
        }
        Err(last.unwrap_or_else(|| RedisError::Unavailable("the cluster has no master".to_owned())))
    }

    /// Returns the master of a slot, as far as is known.
    async fn owner(self: &Rc<Self>, slot: Slot) -> Result<HostPort, RedisError> {
        self.known().await.map_err(RedisError::before_sending)?;
        let owner = self.view.borrow().map.as_ref().and_then(|map| map.owner(slot).cloned());
        owner.ok_or_else(|| {
            self.refresh_soon();
            RedisError::Unavailable(format!("no node of the cluster has slot {}", slot.number()))
        })
    }

    fn count(&self, care: Care, kind: &str) {
        if let (Some(metrics), true) = (self.observer.get().and_then(Weak::upgrade), care != Care::Uncounted)
        {
            metrics.count(Series::Other("redis_redirects_total", Some(("kind", kind.to_owned()))));
        }
    }

    /// Returns the node that `from` redirects to, by the name that is used for it.
    fn target(&self, redirect: &Redirect, from: &HostPort) -> HostPort {
        let place = redirect.target(from);
        match &self.view.borrow().map {
            Some(map) => map.called(place),
            None => place,
        }
    }

    fn moved(self: &Rc<Self>, redirect: &Redirect, to: HostPort) {
        if let Some(map) = &mut self.view.borrow_mut().map {
            map.assign(redirect.slot, to);
        }
        self.refresh_soon();
    }

    /// Handles a failed command. A node that serves nothing is left alone for a while, like one that does not answer; and
    /// another may own its slots by now, so the map is read anew.
    fn failed(self: &Rc<Self>, node: &Node<E>, error: &RedisError) {
        if error.is_cluster_down() && !error.is_slot_down() {
            node.rest(error);
        }
        if error.is_of_node() || matches!(error, RedisError::Unavailable(_) | RedisError::Redirected(_)) {
            self.refresh_soon();
        }
    }

    /// Returns the node at `place`, with the credentials of the cluster.
    fn node(&self, place: &HostPort) -> Rc<Node<E>> {
        let mut nodes = self.nodes.borrow_mut();
        if let Some(node) = nodes.get(place) {
            return Rc::clone(node);
        }
        let (url, name) = (self.address.url_of(place), self.address.outbound_host_of(place));
        let node = Node::new(self.env.clone(), url, self.limits, Rc::clone(&self.observer)).announced(name);
        let node = Rc::new(node);
        nodes.insert(place.clone(), Rc::clone(&node));
        node
    }
}

fn explained(error: RedisError, place: &HostPort) -> RedisError {
    match error {
        RedisError::Refused(text) if text.contains("cluster support disabled") => RedisError::Refused(
            format!("{place} is not a node of a cluster: leave redis_cluster_nodes empty for a single Redis"),
        ),
        error => error,
    }
}
