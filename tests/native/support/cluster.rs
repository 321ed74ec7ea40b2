//! A Redis Cluster for one test: three masters without replicas, each with a third of the slots.

use super::server::{RedisServer, free_port, skipped};
use super::{Instance, World, admin, run};
use redis::FromRedisValue;
use redis::aio::MultiplexedConnection;
use spindrift::redis::{Key, Slot};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// The slots of each master.
const SLOTS: [(u16, u16); 3] = [(0, 5460), (5461, 10922), (10923, 16383)];

/// Runs `test` on a cluster, then checks the keys that it leaves there.
pub(crate) fn on_cluster(options: &[&str], test: impl AsyncFnOnce(&Cluster)) {
    if skipped() {
        return;
    }
    run(async || {
        let cluster = Cluster::start(options).await;
        test(&cluster).await;
        cluster.check_keys().await;
    });
}

/// The masters, and what the instances of the test share. `world.server` is a single Redis that is not used.
pub(crate) struct Cluster {
    /// Clock, origin, instances.
    pub(crate) world: World,
    nodes: RefCell<Vec<RedisServer>>,
    admins: RefCell<Vec<MultiplexedConnection>>,
    /// `user:password@`, or nothing.
    credentials: &'static str,
}

impl Cluster {
    /// Starts one whose nodes have these options too.
    async fn start(options: &[&str]) -> Self {
        let servers = std::thread::scope(|threads| {
            let starting: Vec<_> = SLOTS.map(|_| threads.spawn(|| node(options))).into_iter().collect();
            starting.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        let mut admins = Vec::new();
        for server in &servers {
            admins.push(admin(&server.url()).await);
        }
        let world = World::start(Rc::new(RedisServer::start())).await;
        let (nodes, admins) = (RefCell::new(servers), RefCell::new(admins));
        let this = Self { world, nodes, admins, credentials: "" };
        for (at, (first, last)) in SLOTS.iter().enumerate() {
            this.tell(at, &["CONFIG", "SET", "cluster-require-full-coverage", "no"]).await;
            this.tell(at, &["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]).await;
            // Different epochs, so that the nodes need not agree on them first.
            this.tell(at, &["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]).await;
        }
        for at in 1..SLOTS.len() {
            let bus = this.bus_port(at).await;
            this.tell(0, &["CLUSTER", "MEET", "127.0.0.1", &this.port(at).to_string(), &bus]).await;
        }
        this.settled().await;
        this
    }

    /// Returns once every node knows that all slots are served.
    pub(crate) async fn settled(&self) {
        for at in 0..SLOTS.len() {
            self.until(at, |info| info.contains("cluster_state:ok") && info.contains("slots_ok:16384")).await;
        }
    }

    /// Returns once the cluster state that node `at` reports fulfils `is`.
    pub(crate) async fn until(&self, at: usize, is: impl Fn(&str) -> bool) {
        while !is(&self.ask::<String>(at, &["CLUSTER", "INFO"]).await) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn bus_port(&self, at: usize) -> String {
        let (_, port): (String, String) = self.ask(at, &["CONFIG", "GET", "cluster-port"]).await;
        port
    }

    /// An instance that finds the cluster by its second node, and by its first.
    pub(crate) fn instance(&self) -> Instance {
        self.instance_with("")
    }

    /// The same with this `spindrift.toml`.
    pub(crate) fn instance_with(&self, file: &str) -> Instance {
        self.instance_as(self.credentials, file)
    }

    /// The same as this user.
    pub(crate) fn instance_as(&self, credentials: &str, file: &str) -> Instance {
        let (first, second) = (self.place(1), self.place(0));
        let nodes = format!("{first},{second}");
        let url = format!("redis://{credentials}{first}");
        self.world.instance_given(&[("redis_url", &url), ("redis_cluster_nodes", &nodes)], file)
    }

    /// Makes an instance that knows the nodes by this host name.
    pub(crate) fn instance_by_name(&self, name: &str) -> Instance {
        let nodes = [1, 0].map(|at| format!("{name}:{}", self.port(at)));
        let url = format!("redis://{}", nodes[0]);
        self.world.instance_given(&[("redis_url", &url), ("redis_cluster_nodes", &nodes.join(","))], "")
    }

    /// The port of a node.
    pub(crate) fn port(&self, at: usize) -> u16 {
        self.nodes.borrow()[at].port()
    }

    /// Where a node is.
    pub(crate) fn place(&self, at: usize) -> String {
        format!("127.0.0.1:{}", self.port(at))
    }

    /// The node that has a key, with the initial distribution.
    pub(crate) fn node_of(key: &Key) -> usize {
        Self::node_of_slot(slot_of(key))
    }

    /// The node that has a slot, with the initial distribution.
    pub(crate) fn node_of_slot(slot: u16) -> usize {
        SLOTS.iter().position(|(first, last)| (*first..=*last).contains(&slot)).unwrap()
    }

    /// Sends a command to a node as its administrator, and returns the reply.
    pub(crate) async fn ask<T: FromRedisValue>(&self, at: usize, words: &[&str]) -> T {
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        let mut admin = self.admins.borrow()[at].clone();
        command.query_async(&mut admin).await.unwrap()
    }

    /// Sends a command to a node as its administrator.
    pub(crate) async fn tell(&self, at: usize, words: &[&str]) {
        self.ask::<redis::Value>(at, words).await;
    }

    /// All keys of a node, sorted.
    pub(crate) async fn keys(&self, at: usize) -> Vec<String> {
        let mut keys: Vec<String> = self.ask(at, &["KEYS", "*"]).await;
        keys.sort();
        keys
    }

    /// Kills a node.
    pub(crate) fn kill(&self, at: usize) {
        self.nodes.borrow_mut()[at].kill();
    }

    /// Starts it again, empty; it remembers the cluster.
    pub(crate) async fn start_again(&self, at: usize) {
        self.nodes.borrow_mut()[at].start_again();
        let url = self.nodes.borrow()[at].url();
        let connection = admin(&url).await;
        self.admins.borrow_mut()[at] = connection;
        self.settled().await;
    }

    /// Begins to move a slot: requests for keys that are not there any more are redirected to the new node.
    pub(crate) async fn begin_move(&self, slot: u16, from: usize, to: usize) {
        let slot = slot.to_string();
        let ids = (
            self.ask::<String>(from, &["CLUSTER", "MYID"]).await,
            self.ask::<String>(to, &["CLUSTER", "MYID"]).await,
        );
        self.tell(to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &ids.0]).await;
        self.tell(from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &ids.1]).await;
    }

    /// Moves these keys.
    pub(crate) async fn move_keys(&self, keys: &[String], from: usize, to: usize) {
        let port = self.port(to).to_string();
        let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
        words.extend(keys.iter().map(String::as_str));
        self.tell(from, &words).await;
    }

    /// The keys of a slot on a node.
    pub(crate) async fn keys_in(&self, slot: u16, at: usize) -> Vec<String> {
        self.ask(at, &["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), "1000"]).await
    }

    /// Ends the move of a slot: it now belongs to the new node.
    pub(crate) async fn end_move(&self, slot: u16, from: usize, to: usize) {
        let id: String = self.ask(to, &["CLUSTER", "MYID"]).await;
        for at in [to, from].into_iter().chain((0..SLOTS.len()).filter(|at| *at != to && *at != from)) {
            self.tell(at, &["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", &id]).await;
        }
    }

    /// Checks that every key begins with the prefix and expires.
    async fn check_keys(&self) {
        for at in 0..SLOTS.len() {
            for key in self.keys(at).await {
                assert!(key.starts_with("sd:"), "{key} is without the prefix");
                assert_ne!(self.ask::<i64>(at, &["PTTL", &key]).await, -1, "{key} never ends");
            }
        }
    }
}

/// The slot of a key.
pub(crate) fn slot_of(key: &Key) -> u16 {
    Slot::of(key.as_str().as_bytes()).number()
}

fn node(options: &[&str]) -> RedisServer {
    for _ in 0..5 {
        // The default port of the bus is 10,000 above, which may not exist.
        let bus = free_port().to_string();
        let mut all = vec!["--save", "", "--cluster-enabled", "yes", "--cluster-port", &bus];
        all.extend(["--cluster-node-timeout", "2000"]);
        all.extend(options);
        if let Some(server) = RedisServer::try_start(&all, &[], "Ready to accept connections") {
            return server;
        }
    }
    panic!("redis-server did not start as a node of a cluster in five tries");
}
