//! The client: commands and scripts for one Redis server, or for the nodes of a cluster that own their keys.

use super::care::{Care, Observer};
use super::cluster::{Cluster, ClusterState};
use super::node::Node;
use super::outage::Condition;
use super::{Arg, Key, RedisError, Script, Value, exactly};
use crate::config::{HostPort, RedisAddress, Secret};
use crate::env::Env;
use crate::metrics::Metrics;
use std::rc::Rc;
use std::time::Duration;

/// The deadlines of Redis.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The deadline of one command.
    pub command: Duration,
    /// The deadline of opening a connection.
    pub connect: Duration,
}

/// A client of one Redis server, or of a cluster. It connects when it is first used.
pub struct Client<E: Env> {
    servers: Servers<E>,
    observer: Observer<E>,
}

enum Servers<E: Env> {
    One(Node<E>),
    Cluster(Rc<Cluster<E>>),
}

impl<E: Env> Client<E> {
    /// Makes a client for the server at `address`, a `redis://` or `rediss://` URL, without connecting yet.
    #[must_use]
    pub fn new(env: E, address: String, limits: Limits) -> Self {
        let observer = Observer::default();
        let node = Node::new(env, Secret::new(address), limits, Rc::clone(&observer));
        Self { servers: Servers::One(node), observer }
    }

    /// Makes a client for the configured address: one server, or a cluster if nodes are named.
    #[must_use]
    pub fn at(env: E, address: &RedisAddress, limits: Limits) -> Self {
        if address.nodes().is_empty() {
            return Self::new(env, address.url().expose().to_owned(), limits);
        }
        let observer = Observer::default();
        let cluster = Cluster::new(env, address.clone(), limits, Rc::clone(&observer));
        Self { servers: Servers::Cluster(Rc::new(cluster)), observer }
    }

    /// Returns whether the keys are on several servers.
    #[must_use]
    pub const fn is_cluster(&self) -> bool {
        matches!(self.servers, Servers::Cluster(_))
    }

    /// Counts every command from now on.
    pub fn observe(&self, metrics: &Rc<Metrics<E>>) {
        let _ = self.observer.set(Rc::downgrade(metrics));
    }

    /// Carries out a command that may safely be sent twice: if a connection that was open turns out to
    /// be broken, it is reopened and the command sent once more.
    ///
    /// In a cluster it goes to the owner of its key; `MGET`, `EXISTS` and `UNLINK` go to the owners of all their
    /// keys at once, so that each slot is read at a slightly different time.
    ///
    /// # Errors
    /// [`RedisError`]; after [`RedisError::TimedOut`] or [`RedisError::Unreachable`] the outcome is unknown.
    pub async fn call(&self, command: &str, arguments: Vec<Arg>) -> Result<Vec<Value>, RedisError> {
        self.send(Care::Repeatable, command, arguments).await
    }

    /// Carries out a command that must not be sent twice.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn once(&self, command: &str, arguments: Vec<Arg>) -> Result<Vec<Value>, RedisError> {
        self.send(Care::Once, command, arguments).await
    }

    /// Sets a key that does not exist, for the time `life`, to a value that nobody else gives it. `false` if it existed.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn set_new(&self, key: &Key, value: &str, life: Duration) -> Result<bool, RedisError> {
        let life = Arg::from(crate::time::millis(life));
        let how = [Arg::from("NX"), Arg::from("GET"), Arg::from("PX"), life];
        let words = [Arg::from(key), Arg::from(value)].into_iter().chain(how).collect();
        let [found] = exactly(self.call("SET", words).await?)?;
        // Sent twice, it finds the value that it has set itself.
        Ok(found.bytes()?.is_none_or(|found| found == value.as_bytes()))
    }

    /// Carries out a command without a key on the server that owns `key`, mainly to read the clock of that server.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn call_beside(
        &self,
        key: &Key,
        command: &str,
        arguments: Vec<Arg>,
    ) -> Result<Vec<Value>, RedisError> {
        match &self.servers {
            Servers::One(node) => node.send(Care::Repeatable, command, arguments).await,
            Servers::Cluster(cluster) => Box::pin(cluster.beside(key, command, arguments)).await,
        }
    }

    /// Runs a script that may safely run twice: by its digest, or by its source if the server does not
    /// know it yet.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn run(
        &self,
        script: &Script,
        keys: &[&Key],
        arguments: Vec<Arg>,
    ) -> Result<Vec<Value>, RedisError> {
        self.run_with(Care::Repeatable, script, keys, arguments).await
    }

    /// Runs a script that must not run twice.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn run_once(
        &self,
        script: &Script,
        keys: &[&Key],
        arguments: Vec<Arg>,
    ) -> Result<Vec<Value>, RedisError> {
        self.run_with(Care::Once, script, keys, arguments).await
    }

    /// Runs a script that must not run twice and is not counted: it writes the counters.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub(crate) async fn run_uncounted(
        &self,
        script: &Script,
        keys: &[&Key],
        arguments: Vec<Arg>,
    ) -> Result<Vec<Value>, RedisError> {
        self.run_with(Care::Uncounted, script, keys, arguments).await
    }

    async fn run_with(
        &self,
        care: Care,
        script: &Script,
        keys: &[&Key],
        arguments: Vec<Arg>,
    ) -> Result<Vec<Value>, RedisError> {
        let by_digest = script_call(script.digest(), keys, arguments.iter().cloned());
        match self.send(care, "EVALSHA", by_digest).await {
            // It did not run. Each node of a cluster has to learn the script by itself.
            Err(RedisError::NoScript(before)) => {
                let result = self.send(care, "EVAL", script_call(script.source(), keys, arguments)).await;
                result.map_err(|error| match &before {
                    Some(why) => error.after_sent(why),
                    None => error,
                })
            }
            result => result,
        }
    }

    async fn send(&self, care: Care, command: &str, arguments: Vec<Arg>) -> Result<Vec<Value>, RedisError> {
        match &self.servers {
            Servers::One(node) => node.send(care, command, arguments).await,
            // Boxed, so that the future of a call to a single server is no larger for it.
            Servers::Cluster(cluster) => Box::pin(cluster.send(care, command, arguments)).await,
        }
    }

    /// Carries out one step of `SCAN`, on the master at `place` or on the only server.
    pub(super) async fn scan(
        &self,
        place: Option<&HostPort>,
        arguments: Vec<Arg>,
    ) -> Result<Vec<Value>, RedisError> {
        match (&self.servers, place) {
            (Servers::Cluster(cluster), Some(place)) => {
                Box::pin(cluster.send_to(place, "SCAN", arguments)).await
            }
            (Servers::One(node), _) => node.send(Care::Repeatable, "SCAN", arguments).await,
            (Servers::Cluster(_), None) => Err(RedisError::reply("a master to scan", "none")),
        }
    }

    /// Returns how many subscribers a channel has at the masters of a cluster, as far as these answer. Zero for a single
    /// server, where `PUBLISH` itself returns the number of receivers.
    pub async fn subscribers(&self, channel: &str) -> i64 {
        match &self.servers {
            Servers::One(_) => 0,
            Servers::Cluster(cluster) => Box::pin(cluster.subscribers(channel)).await.unwrap_or(0),
        }
    }

    /// Returns the masters of the cluster; `None` for a single server.
    pub(super) async fn masters(&self) -> Result<Option<Vec<HostPort>>, RedisError> {
        match &self.servers {
            Servers::One(_) => Ok(None),
            Servers::Cluster(cluster) => Box::pin(cluster.masters()).await.map(Some),
        }
    }

    /// Asks every master of a cluster whether it serves; `None` for a single server.
    pub async fn probe(&self) -> Option<ClusterState> {
        match &self.servers {
            Servers::One(_) => None,
            Servers::Cluster(cluster) => Some(Box::pin(cluster.probe()).await),
        }
    }

    /// Returns what this instance knows about the nodes of a cluster without asking them, by their addresses; empty for a
    /// single server.
    #[must_use]
    pub fn nodes(&self) -> Vec<(HostPort, Condition)> {
        match &self.servers {
            Servers::One(_) => Vec::new(),
            Servers::Cluster(cluster) => cluster.nodes(),
        }
    }
}

/// Makes the arguments of `EVAL` and `EVALSHA`.
fn script_call(code: &str, keys: &[&Key], arguments: impl IntoIterator<Item = Arg>) -> Vec<Arg> {
    let head = [Arg::from(code), Arg::from(keys.len() as u64)];
    head.into_iter().chain(keys.iter().map(|key| Arg::from(*key))).chain(arguments).collect()
}
