//! What an instance remembers between requests: the recent refusals by Redis, and its own counts while
//! Redis is away. Both are bounded, and end with the instance.

use super::decision::{Level, Source, Standing, Verdict};
use super::limiter::Demand;
use super::meter::{Act, Asked, State, act, open};
use super::policy::Mode;
use super::script::{charge, local};
use crate::redis::Key;
use crate::time::Timestamp;
use lru::LruCache;
use std::time::Duration;

/// The most entries of either kind.
const MOST: usize = 8192;

/// How long a refusal is remembered at most. In this time, units that were given back elsewhere may go
/// unnoticed here.
pub(super) const LONGEST: Duration = Duration::from_secs(1);

/// A refusal by Redis.
struct Refusal {
    standing: Standing,
    /// The cost that was refused: there may be room for less.
    cost: u32,
    at: Timestamp,
    until: Timestamp,
}

/// The memory of an instance.
pub(super) struct Memory {
    refused: LruCache<Key, Refusal>,
    counted: LruCache<Key, State>,
}

impl Memory {
    pub(super) fn new() -> Self {
        // Without a capacity, which every instance would allocate at once.
        Self { refused: LruCache::unbounded(), counted: LruCache::unbounded() }
    }

    /// Returns the refusal that still applies to this demand.
    pub(super) fn refused(&mut self, key: &Key, demand: &Demand<'_>, now: Timestamp) -> Option<Standing> {
        let most = demand.policy.most();
        if !(1..=most).contains(&demand.cost) || demand.policy.shadow() {
            return None;
        }
        let refusal = self.refused.get(key)?;
        if now >= refusal.until || now < refusal.at {
            self.refused.pop(key);
            return None;
        }
        (demand.cost >= refusal.cost).then(|| refusal.standing.later(now.since(refusal.at)))
    }

    /// Remembers a refusal while it surely applies, for [`LONGEST`] at most. Not for slots, which become free at any time.
    pub(super) fn learn(&mut self, key: &Key, demand: &Demand<'_>, standing: &Standing, now: Timestamp) {
        let Some(wait) = standing.verdict.retry_after() else { return };
        if demand.cost == 0 || demand.policy.shadow() || demand.policy.leases() {
            return;
        }
        let until = now.plus(wait.min(LONGEST));
        let standing = Standing { source: Source::Memory, ..*standing };
        keep(&mut self.refused, key, Refusal { standing, cost: demand.cost, at: now, until });
    }

    /// Forgets a refusal, because something was changed by hand.
    pub(super) fn forget(&mut self, key: &Key) {
        self.refused.pop(key);
    }

    /// Forgets a refusal, and what is counted here.
    pub(super) fn reset(&mut self, key: &Key) {
        self.refused.pop(key);
        self.counted.pop(key);
    }

    /// Asks the policies in mode `local` about the counts of this instance, all or none. Policies in other modes are treated
    /// as if in shadow.
    pub(super) fn ask(
        &mut self,
        what: Act,
        demands: &[(&Key, &Demand<'_>)],
        request: &str,
        now: Timestamp,
    ) -> Vec<Option<Standing>> {
        let now = now.as_millis() * 1000;
        let share = |demand: &Demand<'_>| match demand.policy.mode() {
            Mode::Local { instances } => Some(demand.policy.local(instances, demand.cost)),
            Mode::Open | Mode::Closed => None,
        };
        let shares: Vec<_> = demands.iter().map(|(_, demand)| share(demand)).collect();
        let ours = demands.iter().zip(&shares).filter_map(|(demand, share)| Some((demand, share.as_ref()?)));
        let asked = ours.map(|((key, demand), policy)| {
            let meter = open(policy, self.counted.get(*key).cloned(), now, request);
            Asked::new(meter, charge(what, policy, demand.cost), policy.shadow())
        });
        let mut asked: Vec<_> = asked.collect();
        let (_, readings) = act(what, &mut asked);
        let mut results = asked.into_iter().zip(readings);
        let mut answer = |((key, _), share): (&(&Key, &Demand<'_>), &Option<_>)| {
            share.as_ref()?;
            let (asked, reading) = results.next()?;
            if let Some(state) = asked.state(self.counted.pop(*key)) {
                keep(&mut self.counted, key, state);
            }
            Some(local(&reading, now))
        };
        demands.iter().zip(&shares).map(&mut answer).collect()
    }
}

fn keep<T>(cache: &mut LruCache<Key, T>, key: &Key, value: T) {
    cache.put(key.clone(), value);
    if cache.len() > MOST {
        cache.pop_lru();
    }
}

impl Standing {
    /// Returns the same after some time, as far as time alone changes it.
    fn later(&self, by: Duration) -> Self {
        let less = |duration: Duration| duration.saturating_sub(by);
        let verdict = match self.verdict {
            Verdict::Exhausted { retry_after } => Verdict::Exhausted { retry_after: less(retry_after) },
            Verdict::Blocked { retry_after } => Verdict::Blocked { retry_after: less(retry_after) },
            other => other,
        };
        let level = self.level.map(|level| Level {
            remaining: level.remaining,
            more_after: less(level.more_after),
            reset_at: level.reset_at,
        });
        Self { verdict, level, source: self.source }
    }
}
