//! What the tests are based on: a Redis of their own, instances of the library, an origin, a clock.

pub(crate) mod cluster;
pub(crate) mod entries;
pub(crate) mod env;
pub(crate) mod exchange;
pub(crate) mod origin;
pub(crate) mod proxy;
pub(crate) mod ranged;
pub(crate) mod server;
pub(crate) mod wire;

use env::{ManualClock, TestEnv};
use origin::Origin;
use proptest::prelude::{ProptestConfig, Strategy};
use proptest::test_runner::{RngSeed, TestRunner};
use redis::FromRedisValue;
use redis::aio::MultiplexedConnection;
use server::RedisServer;
use spindrift::app::{App, Shared};
use spindrift::cache::store::Store;
use spindrift::event::Channel;
use spindrift::job::Jobs;
use spindrift::purge::{Purge, Report};
use spindrift::redis::{Client, RedisError};
use spindrift::role::Role;
use spindrift::topic::Topics;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::rc::Rc;
use std::time::Duration;

/// A test that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// The prefix of every key, unless configured otherwise.
pub(crate) const PREFIX: &str = "sd";

/// Deadlines that a slow machine does not miss: tests of deadlines end them by hand. Keys that a test adds without a
/// heading belong to `[redis]`.
const PATIENT: &str = "[redis]\ntimeout = \"1m\"\nconnect_timeout = \"1m\"\n";

/// Without metrics, because they are written some time after the response; left out if a test configures them.
const UNCOUNTED: &str = "[metrics]\nenabled = false\n";
/// The key that signs pushes, and its predecessor.
pub(crate) const WEBHOOK_KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(crate) const OLD_WEBHOOK_KEY: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

/// Runs `test` on a Redis of its own, then checks the keys that it leaves there.
pub(crate) fn on_redis(test: impl AsyncFnOnce(&World)) {
    run(async || {
        let world = World::start(Rc::new(RedisServer::start())).await;
        test(&world).await;
        world.check_keys().await;
    });
}

/// Runs `test`, which starts what it needs.
pub(crate) fn run(test: impl AsyncFnOnce()) {
    if server::skipped() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let limited = async { tokio::time::timeout(PATIENCE, test()).await.expect("the test hangs") };
    tokio::task::LocalSet::new().block_on(&runtime, limited);
}

/// Checks that `test` holds for `cases` values of `values`, all on one Redis, which is emptied before each. The values
/// are others each time, unless `PROPTEST_RNG_SEED` is set to the seed that a failure shows.
pub(crate) fn property<S: Strategy>(cases: u32, values: &S, test: &impl AsyncFn(&World, S::Value)) {
    if server::skipped() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tasks = tokio::task::LocalSet::new();
    let server = Rc::new(RedisServer::start());
    let mut config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    if let RngSeed::Random = config.rng_seed {
        config.rng_seed = RngSeed::Fixed(RandomState::new().hash_one(0));
    }
    let seed = config.rng_seed;
    let case = |value: S::Value| {
        let case = async {
            let world = World::start(Rc::clone(&server)).await;
            world.tell(&["FLUSHALL"]).await;
            test(&world, value).await;
            world.check_keys().await;
        };
        tasks.block_on(&runtime, async {
            tokio::time::timeout(PATIENCE, case).await.expect("the test hangs");
        });
        Ok(())
    };
    let tested = TestRunner::new(config).run(values, case);
    tested.unwrap_or_else(|failure| panic!("{failure}\nPROPTEST_RNG_SEED={seed} repeats these cases"));
}

/// A Redis, and what all instances of a test share.
pub(crate) struct World {
    /// The server.
    pub(crate) server: Rc<RedisServer>,
    /// The wall clock.
    pub(crate) clock: ManualClock,
    /// The origin.
    pub(crate) origin: Rc<Origin>,
    admin: MultiplexedConnection,
    instances: Cell<u64>,
}

/// A connection of an administrator to the server at `url`.
async fn admin(url: &str) -> MultiplexedConnection {
    let client = redis::Client::open(url).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

impl World {
    /// A world on `server`.
    pub(crate) async fn start(server: Rc<RedisServer>) -> Self {
        let admin = admin(&server.url()).await;
        let (clock, origin) = (ManualClock::new(), Rc::new(Origin::new()));
        Self { server, clock, origin, admin, instances: Cell::new(0) }
    }

    /// A new instance with the default configuration.
    pub(crate) fn instance(&self) -> Instance {
        self.instance_with("")
    }

    /// A new instance with this `spindrift.toml`.
    pub(crate) fn instance_with(&self, file: &str) -> Instance {
        self.instance_at(&self.server.url(), file)
    }

    /// A new instance with this `spindrift.toml`, as middleware: the origin stands for the next component.
    pub(crate) fn middleware(&self, file: &str) -> Instance {
        self.in_role(Role::Middleware, &[], file)
    }

    /// A new instance that finds Redis at `address`.
    pub(crate) fn instance_at(&self, address: &str, file: &str) -> Instance {
        self.instance_given(&[("redis_url", address)], file)
    }

    /// A new instance with these variables; without `redis_url` it uses the Redis of the test.
    pub(crate) fn instance_given(&self, given: &[(&str, &str)], file: &str) -> Instance {
        self.in_role(Role::Gateway, given, file)
    }

    fn in_role(&self, role: Role, given: &[(&str, &str)], file: &str) -> Instance {
        let address = self.server.url();
        self.instances.set(self.instances.get() + 1);
        let seed = self.instances.get() << 32;
        let env = TestEnv::new(self.clock.clone(), Rc::clone(&self.origin), seed);
        let variables = |name: &str| {
            let given = given.iter().find(|(one, _)| *one == name).map(|(_, value)| (*value).to_owned());
            given.or_else(|| match name {
                "origin_url" => Some("http://origin.test".to_owned()),
                "redis_url" => Some(address.clone()),
                "webhook_keys" => Some(format!("{WEBHOOK_KEY},{OLD_WEBHOOK_KEY}")),
                _ => None,
            })
        };
        let uncounted = if file.contains("[metrics]") { "" } else { UNCOUNTED };
        let file = format!("{uncounted}{PATIENT}{file}");
        let app = App::in_role(role, env.clone(), &variables, Ok(file.as_bytes())).unwrap();
        Instance { app: Rc::new(app), env }
    }

    /// Sends a command to Redis as its administrator, and returns the reply.
    pub(crate) async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.ask_bytes(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>()).await
    }

    /// The same with arbitrary bytes.
    pub(crate) async fn ask_bytes<T: FromRedisValue>(&self, words: &[&[u8]]) -> T {
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        command.query_async(&mut self.admin.clone()).await.unwrap()
    }

    /// Sends a command to Redis as its administrator.
    pub(crate) async fn tell(&self, words: &[&str]) {
        self.ask::<redis::Value>(words).await;
    }

    /// All keys, sorted.
    pub(crate) async fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.ask(&["KEYS", "*"]).await;
        keys.sort();
        keys
    }

    /// The keys of pieces of bodies, sorted.
    pub(crate) async fn chunks(&self) -> Vec<String> {
        let other = |rest: &str| [":v:", ":f:", ":m:"].iter().any(|kind| rest.starts_with(kind));
        let piece = |rest: &str| rest.matches(':').count() == 2 && !other(rest);
        let keys = self.keys().await.into_iter();
        keys.filter(|key| key.split('}').nth(1).is_some_and(piece)).collect()
    }

    /// The keys of variants, sorted.
    pub(crate) async fn variants(&self) -> Vec<String> {
        self.keys().await.into_iter().filter(|key| key.contains("}:v:")).collect()
    }

    /// How often each command was executed, according to the server, including those in scripts.
    pub(crate) async fn commandstats(&self) -> BTreeMap<String, u64> {
        let text: String = self.ask(&["INFO", "commandstats"]).await;
        let read = |line: &str| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
        };
        text.lines().filter_map(read).collect()
    }

    /// Checks that every key begins with the prefix and expires.
    pub(crate) async fn check_keys(&self) {
        for key in self.keys().await {
            assert!(key.starts_with("sd:") || key.starts_with("sdb:"), "{key} is without the prefix");
            let ttl: i64 = self.ask(&["PTTL", &key]).await;
            assert_ne!(ttl, -1, "{key} never ends");
        }
    }
}

/// An instance of the library.
pub(crate) struct Instance {
    /// The app.
    pub(crate) app: Rc<App<TestEnv>>,
    /// Its environment.
    pub(crate) env: TestEnv,
}

impl Instance {
    /// Its Redis client.
    pub(crate) fn shared(&self) -> &Shared<TestEnv> {
        self.app.shared.as_ref().unwrap()
    }

    /// Its connection.
    pub(crate) fn redis(&self) -> &Rc<Client<TestEnv>> {
        &self.shared().redis
    }

    /// Its store.
    pub(crate) fn store(&self) -> &Rc<Store<TestEnv>> {
        &self.shared().store
    }

    /// Its channel.
    pub(crate) fn channel(&self) -> &Channel<TestEnv> {
        &self.shared().channel
    }

    /// Its queues.
    pub(crate) fn jobs(&self) -> &Jobs<TestEnv> {
        &self.shared().jobs
    }

    /// Its topics.
    pub(crate) fn topics(&self) -> &Rc<Topics<TestEnv>> {
        &self.shared().topics
    }

    /// Purges, as the management API does.
    pub(crate) async fn purge(&self, purge: &Purge) -> Result<Report, RedisError> {
        self.shared().purger.purge(&purge.targets().unwrap(), purge.soft).await
    }

    /// Purges one tag.
    pub(crate) async fn purge_tag(&self, tag: &str) {
        self.purge(&Purge { tags: vec![tag.to_owned()], ..Purge::default() }).await.unwrap();
    }

    /// Purges one URL.
    pub(crate) async fn purge_url(&self, url: &str) {
        self.purge(&Purge { urls: vec![url.to_owned()], ..Purge::default() }).await.unwrap();
    }
}
