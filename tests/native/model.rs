//! Random histories against a simple model of which responses may be served.
//!
//! Every resource has a version, which the origin counts up. Three rules hold whatever happens in between,
//! evictions and lost ledgers included:
//!
//! 1. No version older than at the last acknowledged purge is served.
//! 2. A response from the cache was current within its lifetime, and not older than at the last soft purge.
//! 3. A response from the origin is the version that the origin has.

mod step;

use crate::support::exchange::{Got, get};
use crate::support::origin::reply;
use crate::support::{Instance, World, property};
use futures_util::future::join;
use proptest::prelude::*;
use spindrift::env::UpstreamError;
use spindrift::purge::Purge;
use spindrift::time::Timestamp;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use step::{Step, step};

/// A plain path, one below it, one that varies, and one whose body is stored in pieces.
const PATHS: [&str; 4] = ["/a", "/a/b", "/vary", "/large"];
const LIFETIME: u64 = 60;
const INSTANCES: usize = 3;

/// The versions at the origin, and what was promised about them.
struct Resource {
    /// When each version appeared.
    since: Vec<Timestamp>,
    /// The version at the last purge, and at the last soft purge.
    hard: usize,
    soft: usize,
}

struct Model {
    resources: Vec<Resource>,
    away: bool,
}

impl Model {
    fn new(now: Timestamp) -> Self {
        let resources = PATHS.iter().map(|_| Resource { since: vec![now], hard: 0, soft: 0 }).collect();
        Self { resources, away: false }
    }

    fn current(&self, path: usize) -> usize {
        self.resources[path].since.len() - 1
    }

    fn purged(&mut self, path: usize, soft: bool) {
        let current = self.current(path);
        let resource = &mut self.resources[path];
        resource.soft = current;
        if !soft {
            resource.hard = current;
        }
    }

    /// What may be served to a request that begins now.
    fn promise(&self, path: usize) -> Promise {
        let resource = &self.resources[path];
        Promise { oldest: resource.hard, oldest_fresh: resource.soft, current: self.current(path) }
    }
}

#[derive(Clone, Copy, Debug)]
struct Promise {
    oldest: usize,
    oldest_fresh: usize,
    current: usize,
}

struct History<'a> {
    world: &'a World,
    instances: RefCell<Vec<Rc<Instance>>>,
    model: Rc<RefCell<Model>>,
}

/// The content: the version, the field varied on, and for one path enough bytes to be stored in pieces.
fn content(path: usize, version: usize, accept: &str) -> String {
    let filling = if PATHS[path] == "/large" { "x".repeat(600_000) } else { String::new() };
    format!("{version} {accept} {filling}")
}

fn origin(world: &World, model: &Rc<RefCell<Model>>) {
    let model = Rc::clone(model);
    world.origin.answers(move |seen| {
        let model = model.borrow();
        if model.away {
            return Err(UpstreamError::Unreachable("away".to_owned()));
        }
        let path = PATHS.iter().position(|path| *path == seen.uri.path()).unwrap();
        let (version, tag) = (model.current(path), format!("t{path}"));
        let varies = PATHS[path] == "/vary";
        let accept = if varies { seen.header("accept") } else { "" };
        let etag = format!("\"{version}{accept}\"");
        let mut fields = vec![("cache-control", "max-age=60"), ("etag", &etag), ("cache-tag", &tag)];
        fields.extend(varies.then_some(("vary", "accept")));
        if seen.header("if-none-match") == etag {
            return Ok(reply(304, &fields, ""));
        }
        Ok(reply(200, &fields, content(path, version, accept)))
    });
}

impl History<'_> {
    fn instance(&self, number: usize) -> Rc<Instance> {
        Rc::clone(&self.instances.borrow()[number])
    }

    async fn take(&self, step: &Step) {
        match step {
            Step::Get { instance, path, accept } => {
                let accept = if *accept { "1" } else { "2" };
                let promise = self.model.borrow().promise(*path);
                let got = self.instance(*instance).get_with(&url(*path), &[("accept", accept)]).await;
                self.check(*path, accept, promise, &got);
            }
            Step::SlowGet { instance, path, meanwhile } => self.slowly(*instance, *path, meanwhile).await,
            Step::Change { path } => {
                let now = self.world.clock.now();
                self.model.borrow_mut().resources[*path].since.push(now);
            }
            Step::Advance { seconds } => self.world.clock.advance_secs(*seconds),
            Step::Purge { instance, path, by, soft } => self.purge(*instance, *path, *by, *soft).await,
            Step::Switch => {
                let mut model = self.model.borrow_mut();
                model.away = !model.away;
            }
            Step::Restart { instance } => {
                self.instances.borrow_mut()[*instance] = Rc::new(self.world.instance());
            }
            Step::Evict { number, ledger } => {
                let mut keys = self.world.keys().await;
                keys.retain(|key| !ledger || key.contains("{purge}"));
                if let Some(key) = keys.get(number % keys.len().max(1)) {
                    self.world.tell(&["DEL", key]).await;
                }
            }
        }
    }

    /// A request to the origin that takes until `meanwhile` is done; the response is as old as the beginning of the
    /// request.
    async fn slowly(&self, instance: usize, path: usize, meanwhile: &Step) {
        let promise = self.model.borrow().promise(path);
        let (instance, asked) = (self.instance(instance), self.world.origin.count());
        if matches!(meanwhile, Step::Get { .. }) {
            return;
        }
        self.world.origin.hold();
        let request = instance.send(get(&url(path), &[("accept", "1")]));
        tokio::pin!(request);
        let early = tokio::select! {
            got = &mut request => Some(got),
            () = self.world.origin.asked(asked + 1) => None,
        };
        if early.is_none() {
            Box::pin(self.take(meanwhile)).await;
        }
        self.world.origin.release();
        let got = match early {
            Some(got) => got,
            None => request.await,
        };
        self.check(path, "1", promise, &got);
    }

    async fn purge(&self, instance: usize, path: usize, by: usize, soft: bool) {
        let mut purge = Purge { soft, ..Purge::default() };
        match by {
            0 => purge.urls.push(url(path)),
            1 => purge.urls.push(PATHS[path].to_owned()),
            2 => purge.tags.push(format!("t{path}")),
            3 => purge.patterns.push(format!("*{}", PATHS[path])),
            _ => purge.prefixes.push(format!("http://h{}", PATHS[path])),
        }
        self.instance(instance).purge(&purge).await.unwrap();
        for (number, other) in PATHS.iter().enumerate() {
            let covered = match by {
                3 => other.ends_with(PATHS[path]),
                4 => other.starts_with(PATHS[path]),
                _ => number == path,
            };
            if covered {
                self.model.borrow_mut().purged(number, soft);
            }
        }
    }

    fn check(&self, path: usize, accept: &str, promise: Promise, got: &Got) {
        let model = self.model.borrow();
        if got.status == 502 {
            return;
        }
        assert_eq!(got.status, 200, "{got:?}");
        let text = got.text();
        let version: usize = text.split(' ').next().unwrap().parse().unwrap();
        let accept = if PATHS[path] == "/vary" { accept } else { "" };
        assert!(text == content(path, version, accept), "{path} {accept}: {:?}", &text[..text.len().min(20)]);
        assert!(version >= promise.oldest, "purged: {version}, {promise:?}");
        if got.is_hit() {
            assert!(version >= promise.oldest_fresh, "purged softly: {version}, {promise:?}");
            // A version was current until the next one appeared.
            let replaced = model.resources[path].since.get(version + 1).copied();
            let age = replaced.map_or(Duration::ZERO, |replaced| self.world.clock.now().since(replaced));
            assert!(age < Duration::from_secs(LIFETIME), "no longer fresh: {version}, {age:?}");
        } else if got.detail() != "origin-unreachable" {
            assert!(version >= promise.current, "the origin has another: {version}, {promise:?}");
        }
    }
}

fn url(path: usize) -> String {
    format!("http://h{}", PATHS[path])
}

async fn holds(world: &World, steps: &[Step]) {
    let model = Rc::new(RefCell::new(Model::new(world.clock.now())));
    origin(world, &model);
    let instances = (0..INSTANCES).map(|_| Rc::new(world.instance())).collect();
    let history = History { world, instances: RefCell::new(instances), model };
    for step in steps {
        history.take(step).await;
    }
}

#[test]
fn nothing_purged_and_nothing_outdated_is_served() {
    let steps = prop::collection::vec(step(), 1..120);
    property(40, &steps, &async |world, steps| holds(world, &steps).await);
}

#[test]
fn purges_and_fetches_of_many_instances_at_once_never_serve_what_was_purged() {
    let rounds = prop::collection::vec((0..INSTANCES, 0..PATHS.len(), 0..5usize), 1..20);
    property(20, &rounds, &async |world, rounds| {
        let model = Rc::new(RefCell::new(Model::new(world.clock.now())));
        origin(world, &model);
        let instances = (0..INSTANCES).map(|_| Rc::new(world.instance())).collect();
        let history = History { world, instances: RefCell::new(instances), model };
        for (instance, path, by) in rounds {
            // The purge and the requests race; afterwards nothing older than the purge is served.
            history.take(&Step::Change { path }).await;
            let requests = async {
                for number in 0..INSTANCES {
                    history.instance(number).get_with(&url(path), &[("accept", "1")]).await;
                }
            };
            join(requests, history.purge(instance, path, by, false)).await;
            for instance in 0..INSTANCES {
                history.take(&Step::Get { instance, path, accept: true }).await;
            }
        }
    });
}
