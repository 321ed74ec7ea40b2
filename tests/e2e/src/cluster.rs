//! A Redis Cluster of the test's own: three masters without replicas.

use crate::gateway::Setup;
use crate::redis::{Redis, free_port};
use crate::wait::eventually;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// The slots of each master.
const SLOTS: [(u16, u16); 3] = [(0, 5460), (5461, 10922), (10923, 16383)];

/// Three masters; they end with the test.
pub struct RedisCluster {
    nodes: Vec<Redis>,
    directory: PathBuf,
}

impl RedisCluster {
    /// Starts one on free ports.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("spindrift-e2e-cluster-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let nodes = (0..SLOTS.len()).map(|at| {
            let own = directory.join(at.to_string());
            std::fs::create_dir_all(&own).unwrap();
            let (own, bus) = (own.display().to_string(), free_port().to_string());
            let cluster = ["--dir", &own, "--cluster-enabled", "yes", "--cluster-port", &bus];
            let rules = ["--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no"];
            Redis::start_with(&[&cluster[..], &rules].concat())
        });
        let this = Self { nodes: nodes.collect(), directory };
        this.join();
        this
    }

    fn join(&self) {
        for (at, (node, (first, last))) in self.nodes.iter().zip(SLOTS).enumerate() {
            tell(node, &["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
            tell(node, &["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]);
        }
        for node in &self.nodes[1..] {
            let (_, bus): (String, String) = node.query(&["CONFIG", "GET", "cluster-port"]);
            let port = node.address().port().to_string();
            tell(&self.nodes[0], &["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        }
        self.await_whole();
    }

    /// Waits until every node knows all slots served.
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

    /// The master that has a slot, as it was in the beginning.
    #[must_use]
    pub fn number_of(slot: u16) -> usize {
        SLOTS.iter().position(|(first, last)| (*first..=*last).contains(&slot)).unwrap_or_default()
    }

    /// Begins to move a slot, and moves what it holds: whoever asks for that at `from` is sent to `to`.
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
    /// Uses this cluster, known by its first two nodes; every node is allowed.
    #[must_use]
    pub fn cluster(self, cluster: &RedisCluster) -> Self {
        let nodes: Vec<String> = cluster.nodes.iter().map(|node| node.address().to_string()).collect();
        self.redis(&cluster.nodes[0])
            .variable("redis_host", "redis://127.0.0.1:*")
            .variable("redis_cluster_nodes", &nodes[..2].join(","))
    }
}

#[track_caller]
fn tell(node: &Redis, words: &[&str]) {
    let _: redis::Value = node.query(words);
}
