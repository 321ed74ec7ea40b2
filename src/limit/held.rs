//! Slots of concurrency limits, held for as long as a request takes.

use super::decision::{Decision, Source, Verdict};
use super::identity::Identity;
use super::limiter::{Demand, Limiter};
use super::meter::Act;
use super::policy::Policy;
use super::script::{self, LIMIT};
use crate::env::Env;
use std::rc::Rc;
use std::time::Duration;

/// A slot that is held. It is given back on drop, and ends by itself if that does not happen.
#[must_use]
pub struct Held {
    slot: Rc<dyn Slot>,
    every: Duration,
}

impl Held {
    /// Returns how often it has to be renewed.
    #[must_use]
    pub const fn every(&self) -> Duration {
        self.every
    }

    /// Renews it, in the background.
    pub fn renew(&self) {
        Rc::clone(&self.slot).renew();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        Rc::clone(&self.slot).release();
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("every", &self.every).finish_non_exhaustive()
    }
}

/// A slot, independent of the environment.
trait Slot {
    fn renew(self: Rc<Self>);
    fn release(self: Rc<Self>);
}

struct Lease<E: Env> {
    limiter: Rc<Limiter<E>>,
    policy: Policy,
    identity: Identity,
    request: String,
    source: Source,
}

impl<E: Env> Lease<E> {
    const fn demand(&self) -> Demand<'_> {
        Demand { policy: &self.policy, identity: &self.identity, cost: 1 }
    }

    async fn run(&self, act: Act) {
        let demand = self.demand();
        let keys = script::keys(&self.limiter.keys, &demand);
        let arguments = script::arguments(act, &self.request, &[demand]);
        if self.source == Source::Local {
            let mut memory = self.limiter.memory.borrow_mut();
            memory.ask(act, &[(&keys[0], &demand)], &self.request, self.limiter.env.now());
        } else if let Ok(redis) = self.limiter.redis() {
            // Both may be done twice: a lease is identified by its name.
            let _ = redis.run(&LIMIT, &[&keys[0], &keys[1]], arguments).await;
        }
    }
}

impl<E: Env> Slot for Lease<E> {
    fn renew(self: Rc<Self>) {
        let env = self.limiter.env.clone();
        env.spawn(async move { self.run(Act::Take).await });
    }

    fn release(self: Rc<Self>) {
        let env = self.limiter.env.clone();
        env.spawn(async move { self.run(Act::Give).await });
    }
}

impl<E: Env> Limiter<E> {
    /// Returns the slots that a decision granted, each to be held until the request is over.
    pub fn hold(self: &Rc<Self>, demands: &[Demand<'_>], decision: &Decision) -> Vec<Held> {
        let taken = |(demand, standing): &(&Demand<'_>, &super::Standing)| {
            let counted = matches!(standing.source, Source::Redis | Source::Local);
            demand.policy.leases() && demand.cost > 0 && standing.verdict == Verdict::Allowed && counted
        };
        let all = demands.iter().zip(&decision.standings).filter(|pair| decision.allowed && taken(pair));
        all.map(|(demand, standing)| Held {
            every: demand.policy.period() / 3,
            slot: Rc::new(Lease {
                limiter: Rc::clone(self),
                policy: demand.policy.clone(),
                identity: demand.identity.clone(),
                request: decision.request.clone(),
                source: standing.source,
            }),
        })
        .collect()
    }
}
