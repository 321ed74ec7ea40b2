//! Whether every master serves, for monitoring.

use super::map::SlotMap;
use super::{Cluster, explained};
use crate::config::HostPort;
use crate::env::Env;
use crate::redis::care::Care;
use crate::redis::{Arg, RedisError, exactly};
use futures_util::future::join_all;
use std::rc::Rc;
use std::time::Duration;

/// The state of a cluster at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterState {
    /// Its masters; if these are unknown, the nodes that the operator named.
    pub nodes: Vec<NodeState>,
    /// How many slots have no owner.
    pub unowned: usize,
}

/// The state of a node at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeState {
    /// Its address.
    pub place: HostPort,
    /// How long its answer took, or why it does not serve.
    pub answer: Result<Duration, RedisError>,
}

impl ClusterState {
    /// Returns whether every slot is served.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.unowned == 0 && self.nodes.iter().all(|node| node.answer.is_ok())
    }

    /// Returns whether any slot is served.
    #[must_use]
    pub fn serves_some(&self) -> bool {
        self.nodes.iter().any(|node| node.answer.is_ok())
    }
}

impl<E: Env> Cluster<E> {
    /// Asks every master whether it serves.
    pub(in crate::redis) async fn probe(self: &Rc<Self>) -> ClusterState {
        let masters = match self.masters().await {
            Ok(masters) => masters,
            Err(error) => {
                let nodes = self.address.nodes().iter();
                let nodes = nodes.map(|place| NodeState { place: place.clone(), answer: Err(error.clone()) });
                return ClusterState { nodes: nodes.collect(), unowned: 0 };
            }
        };
        let nodes = join_all(masters.into_iter().map(async |place| {
            let began = self.env.instant();
            let answer = self.serves(&place).await;
            NodeState { answer: answer.map(|()| self.env.instant().since(began)), place }
        }));
        let nodes = nodes.await;
        ClusterState { nodes, unowned: self.view.borrow().map.as_ref().map_or(0, SlotMap::unowned) }
    }

    async fn serves(self: &Rc<Self>, place: &HostPort) -> Result<(), RedisError> {
        let node = self.node(place);
        let reply = node.send(Care::Repeatable, "CLUSTER", vec![Arg::from("INFO")]).await;
        let reply = reply.map_err(|error| explained(error, place));
        let [text] = exactly(reply.inspect_err(|error| self.failed(&node, error))?)?;
        let text = text.bytes()?.unwrap_or_default();
        if String::from_utf8_lossy(&text).contains("cluster_state:ok") {
            return Ok(());
        }
        Err(RedisError::Unavailable("CLUSTERDOWN: cluster_state is not ok".to_owned()))
    }
}
