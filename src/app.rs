//! What one instance keeps between requests.

use crate::cache::store::{Store, StoreLimits};
use crate::cache::variance::Variances;
use crate::config::{Config, ConfigErrors, RedisAddress, Settings, Strings};
use crate::env::Env;
use crate::event::Channel;
use crate::job::Jobs;
use crate::limit::{Identifier, Limiter, Tally};
use crate::lock::Locks;
use crate::metrics::Metrics;
use crate::nonce::Nonces;
use crate::pipeline::Flights;
use crate::problem::Problem;
use crate::purge::Purger;
use crate::redis::{Client, Keys, Limits};
use crate::role::{Role, Variables};
use crate::session::{KeyRing, Sessions};
use crate::topic::Topics;
use crate::value::Values;
use http::StatusCode;
use std::rc::Rc;

/// An instance: its configuration, and all that it keeps between requests.
pub struct App<E: Env> {
    /// The ports.
    pub env: E,
    /// Whether a request that the cache does not answer goes to an origin or to the next component.
    pub role: Role,
    /// The configuration in `spindrift.toml`.
    pub config: Rc<Config>,
    /// The settings in the Spin variables.
    pub settings: Settings,
    /// The keys that sign session tokens.
    pub ring: KeyRing,
    /// Redis and what is built on it; `None` when Redis is switched off.
    pub shared: Option<Shared<E>>,
    /// The instance's counters.
    pub metrics: Rc<Metrics<E>>,
    /// The rate limiter, which also works without Redis.
    pub limiter: Rc<Limiter<E>>,
}

/// What an instance shares with other instances, through Redis.
pub struct Shared<E: Env> {
    /// The Redis client.
    pub redis: Rc<Client<E>>,
    /// The names of all keys.
    pub keys: Keys,
    /// Unique names for what this instance creates.
    pub nonces: Rc<Nonces>,
    /// The response cache.
    pub store: Rc<Store<E>>,
    /// Purges.
    pub purger: Purger<E>,
    /// Sessions.
    pub sessions: Sessions<E>,
    /// The pub/sub channel and its counters.
    pub channel: Channel<E>,
    /// The query parameters that make no difference, by path (`No-Vary-Search`).
    pub variances: Rc<Variances<E>>,
    /// The fetches that requests of this instance wait for.
    pub flights: Flights,
    /// The instance's counters.
    pub metrics: Rc<Metrics<E>>,
    /// The job queue.
    pub jobs: Jobs<E>,
    /// Locks and semaphores.
    pub locks: Locks<E>,
    /// The key-value cache.
    pub values: Rc<Values<E>>,
    /// The topics.
    pub topics: Rc<Topics<E>>,
}

impl<E: Env> App<E> {
    /// Reads and checks the whole configuration of a gateway; `file` is the content of `spindrift.toml`, or why it could not
    /// be read. Nothing is connected yet.
    ///
    /// # Errors
    /// All problems found, each with its place.
    pub fn new(env: E, variables: &impl Strings, file: Result<&[u8], &str>) -> Result<Self, ConfigErrors> {
        Self::in_role(Role::Gateway, env, variables, file)
    }

    /// Like [`App::new`], for an instance in `role`, from the variables that the role reads ([`Role::variables`]).
    ///
    /// # Errors
    /// As for [`App::new`].
    pub fn in_role(
        role: Role,
        env: E,
        variables: &impl Strings,
        file: Result<&[u8], &str>,
    ) -> Result<Self, ConfigErrors> {
        let variables = &Variables { role, all: variables };
        let (config, settings) =
            ConfigErrors::both(Config::load(variables, file), Settings::load(variables))?;
        config.check(&settings, variables)?;
        let config = Rc::new(config);
        for warning in &settings.warnings {
            env.log(warning);
        }
        let shared =
            settings.redis.as_ref().map(|address| Shared::new(&env, &config, address, &settings.channel));
        let metrics = match &shared {
            Some(shared) => Rc::clone(&shared.metrics),
            None => Metrics::new(env.clone(), None, Vec::new()),
        };
        let ring = KeyRing::new(&config.session.cookie, settings.session_keys.clone());
        let limiter = Rc::new(limiter(&env, &config, shared.as_ref(), &metrics));
        Ok(Self { env, role, config, settings, ring, shared, metrics, limiter })
    }

    /// Returns what is shared with other instances.
    ///
    /// # Errors
    /// 503 when Redis is switched off.
    pub fn shared(&self) -> Result<&Shared<E>, Problem> {
        self.shared.as_ref().ok_or_else(|| {
            let detail = "Redis is switched off: redis_enabled is false";
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
            problem.with("reason", "redis-disabled").with("outcome", "not_done")
        })
    }
}

fn limiter<E: Env>(
    env: &E,
    config: &Config,
    shared: Option<&Shared<E>>,
    metrics: &Rc<Metrics<E>>,
) -> Limiter<E> {
    let (prefix, redis) = (&config.redis.prefix, shared.map(|shared| Rc::clone(&shared.redis)));
    let identifier = Identifier::new(prefix, config.client.clone());
    let names = config.limits().map(|limit| limit.policy.name()).chain([crate::api::FAILURES]);
    let limiter = Limiter::new(env.clone(), redis, Keys::new(prefix), identifier);
    limiter.counting(Tally::new(Rc::clone(metrics), names.map(str::to_owned).collect()))
}

impl<E: Env> Shared<E> {
    fn new(env: &E, config: &Rc<Config>, address: &RedisAddress, channel: &str) -> Self {
        let limits = Limits { command: config.redis.timeout, connect: config.redis.connect_timeout };
        let redis = Rc::new(Client::at(env.clone(), address, limits));
        let keys = Keys::new(&config.redis.prefix);
        let bounds = StoreLimits {
            max_ttl: config.cache.max_ttl,
            max_variants: u64::from(config.cache.max_variants.get()),
        };
        let nonces = Rc::new(Nonces::new(env));
        let store =
            Rc::new(Store::new(env.clone(), Rc::clone(&redis), keys.clone(), Rc::clone(&nonces), bounds));
        let rules = config.session.clone();
        let sessions = Sessions::new(env.clone(), Rc::clone(&redis), keys.clone(), Rc::clone(&nonces), rules);
        let purger = Purger::new(Rc::clone(&store), Rc::clone(config));
        let routes = config.routes().map(|route| route.name.clone()).collect();
        let counters = config.metrics.enabled.then(|| (Rc::clone(&redis), keys.counters()));
        let metrics = Metrics::new(env.clone(), counters, routes);
        if config.metrics.enabled {
            redis.observe(&metrics);
        }
        let topics = Rc::new(Topics::new(env, &redis, &keys, config, &nonces, &metrics, channel));
        let channel = Channel::new(env.clone(), Rc::clone(&redis), keys.clone(), channel.to_owned());
        let variances = Variances::new(env.clone(), Rc::clone(&redis), keys.clone(), config.cache.max_ttl);
        let jobs = Jobs::new(env, &redis, &keys, &nonces, config, &channel);
        let locks = Locks::new(env.clone(), Rc::clone(&redis), keys.clone());
        let values = Rc::new(Values::new(
            env.clone(),
            Rc::clone(&redis),
            keys.clone(),
            Rc::clone(&nonces),
            config.values,
            Rc::clone(&metrics),
        ));
        Self {
            redis,
            keys,
            nonces,
            store,
            purger,
            sessions,
            channel,
            variances: Rc::new(variances),
            flights: Flights::default(),
            metrics,
            jobs,
            topics,
            locks,
            values,
        }
    }
}
