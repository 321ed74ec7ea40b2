//! A Redis Cluster for one test: three masters, and replicas where a test adds them.

use crate::gateway::Setup;
use crate::redis::{Redis, free_port};
use crate::tls::Certificate;
use crate::wait::eventually;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The slots of each master.
const SLOTS: [(u16, u16); 3] = [(0, 5460), (5461, 10922), (10923, 16383)];

/// Three masters; they end with the test.
pub struct RedisCluster {
    nodes: Vec<Redis>,
    directory: PathBuf,
}

impl RedisCluster {
    /// Starts a cluster on free ports.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_of(Redis::start_with)
    }

    /// Starts a cluster that uses TLS, also between its nodes.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_with_tls() -> Self {
        // One certificate that all nodes trust, as they verify each other's.
        let certificate = Arc::new(Certificate::new());
        Self::start_of(|options| {
            Redis::start_as(&certificate, &[options, &["--tls-cluster", "yes"]].concat())
        })
    }

    fn start_of(start: impl Fn(&[&str]) -> Redis) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("spindrift-e2e-cluster-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let nodes = (0..SLOTS.len()).map(|at| node(&directory.join(at.to_string()), &start));
        let this = Self { nodes: nodes.collect(), directory };
        this.join();
        this
    }

    /// Adds a replica of a master, and waits until it has all data of the master.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    #[track_caller]
    pub fn replica_of(&self, master: usize) -> Redis {
        let replica = node(&self.directory.join(format!("replica-of-{master}")), Redis::start_with);
        meet(&self.nodes[0], &replica);
        let id: String = self.nodes[master].query(&["CLUSTER", "MYID"]);
        eventually("the replica knows its master", || {
            replica.query::<String>(&["CLUSTER", "NODES"]).contains(&id)
        });
        tell(&replica, &["CLUSTER", "REPLICATE", &id]);
        eventually("a replica in step", || {
            replica.query::<String>(&["INFO", "replication"]).contains("master_link_status:up")
        });
        replica
    }

    /// Waits until a replica of a master has everything that was written there.
    #[track_caller]
    pub fn await_replica(&self, master: usize) {
        let node = &self.nodes[master];
        // WAIT is about the writes of this connection, so it writes a key in a slot of the master.
        let mut keys = (0..).map(|number| format!("sd:written:{number}"));
        let key = keys.find(|key| Self::number_of(node.query(&["CLUSTER", "KEYSLOT", key])) == master);
        tell(node, &["SET", &key.expect("every master has slots"), "", "EX", "60"]);
        let count: usize = node.query(&["WAIT", "1", "10000"]);
        assert_eq!(count, 1, "a replica of master {master}");
    }

    fn join(&self) {
        for (at, (node, (first, last))) in self.nodes.iter().zip(SLOTS).enumerate() {
            tell(node, &["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
            tell(node, &["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]);
        }
        for node in &self.nodes[1..] {
            meet(&self.nodes[0], node);
        }
        self.await_whole();
    }

    /// Waits until every node knows that all slots are served.
    #[track_caller]
    pub fn await_whole(&self) {
        eventually("a whole cluster", || {
            self.nodes.iter().all(|node| {
                let info: String = node.query(&["CLUSTER", "INFO"]);
                info.contains("cluster_state:ok") && info.contains("slots_ok:16384")
            })
        });
    }

    /// Its masters.
    #[must_use]
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// The master that has a slot, with the initial distribution.
    #[must_use]
    pub fn number_of(slot: u16) -> usize {
        SLOTS.iter().position(|(first, last)| (*first..=*last).contains(&slot)).unwrap_or_default()
    }

    /// Begins to move a slot, and moves its keys: requests for them at `from` are redirected to `to`.
    #[track_caller]
    pub fn move_keys(&self, slot: u16, from: usize, to: usize) {
        let (source, target) = (&self.nodes[from], &self.nodes[to]);
        let number = slot.to_string();
        tell(
            target,
            &["CLUSTER", "SETSLOT", &number, "IMPORTING", &source.query::<String>(&["CLUSTER", "MYID"])],
        );
        tell(
            source,
            &["CLUSTER", "SETSLOT", &number, "MIGRATING", &target.query::<String>(&["CLUSTER", "MYID"])],
        );
        let keys: Vec<String> = source.query(&["CLUSTER", "GETKEYSINSLOT", &number, "1000"]);
        let port = target.address().port().to_string();
        let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
        words.extend(keys.iter().map(String::as_str));
        tell(source, &words);
    }

    /// Ends the move: the slot belongs to `to`.
    #[track_caller]
    pub fn end_move(&self, slot: u16, from: usize, to: usize) {
        let id: String = self.nodes[to].query(&["CLUSTER", "MYID"]);
        for at in [to, from] {
            tell(&self.nodes[at], &["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", &id]);
        }
    }
}

impl Drop for RedisCluster {
    fn drop(&mut self) {
        for node in &self.nodes {
            node.stop();
        }
        _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Setup {
    /// Uses this cluster, configured with its first two nodes; every node is allowed.
    #[must_use]
    pub fn cluster(self, cluster: &RedisCluster) -> Self {
        let nodes: Vec<String> = cluster.nodes.iter().map(|node| node.address().to_string()).collect();
        self.redis(&cluster.nodes[0])
            .variable("redis_host", "redis://127.0.0.1:*")
            .variable("redis_cluster_nodes", &nodes[..2].join(","))
    }
}

/// Starts a node, which stores what it knows of the others in `directory`.
fn node(directory: &Path, start: impl Fn(&[&str]) -> Redis) -> Redis {
    std::fs::create_dir_all(directory).unwrap();
    let (own, bus) = (directory.display().to_string(), free_port().to_string());
    let cluster = ["--dir", &own, "--cluster-enabled", "yes", "--cluster-port", &bus];
    let rules = ["--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no"];
    start(&[&cluster[..], &rules].concat())
}

/// Lets a node join the cluster of another node.
fn meet(one: &Redis, node: &Redis) {
    let (_, bus): (String, String) = node.query(&["CONFIG", "GET", "cluster-port"]);
    tell(one, &["CLUSTER", "MEET", "127.0.0.1", &node.address().port().to_string(), &bus]);
}

#[track_caller]
fn tell(node: &Redis, words: &[&str]) {
    let _: redis::Value = node.query(words);
}
