//! The limiter: asks Redis, and decides locally if Redis is unavailable.

use super::decision::{Decision, Source, Standing, Verdict};
use super::groups::{Asked, Group, groups, named};
use super::identity::{Identifier, Identity};
use super::memory::Memory;
use super::meter::Act;
use super::policy::{Algorithm, Mode, Policy};
use super::script::{self, LIMIT};
use super::tally::Tally;
use crate::env::Env;
use crate::nonce::Nonces;
use crate::redis::{Arg, Client, Key, Keys, Nagging, RedisError};
use crate::time::{Timestamp, Ttl};
use futures_util::future::join_all;
use std::cell::RefCell;
use std::rc::Rc;

/// The most policies that are asked at once.
pub const MAX_POLICIES: usize = 16;

/// A question to one policy.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// The identity that is counted.
    pub identity: &'a Identity,
    /// The units to take. With 0 nothing is taken.
    pub cost: u32,
}

/// The limiter of one instance.
pub struct Limiter<E: Env> {
    pub(super) env: E,
    pub(super) redis: Option<Rc<Client<E>>>,
    pub(super) keys: Keys,
    nonces: Nonces,
    identifier: Identifier,
    pub(super) memory: RefCell<Memory>,
    tally: Option<Tally<E>>,
    complaints: Nagging,
}

impl<E: Env> Limiter<E> {
    /// Makes a limiter on `redis`; without it, the modes of the policies always apply.
    #[must_use]
    pub fn new(env: E, redis: Option<Rc<Client<E>>>, keys: Keys, identifier: Identifier) -> Self {
        let (nonces, memory) = (Nonces::new(&env), RefCell::new(Memory::new()));
        Self { env, redis, keys, nonces, identifier, memory, tally: None, complaints: Nagging::default() }
    }

    /// Counts its decisions with `tally`.
    pub(crate) fn counting(self, tally: Tally<E>) -> Self {
        Self { tally: Some(tally), ..self }
    }

    /// Returns what makes identities for this limiter.
    #[must_use]
    pub const fn identifier(&self) -> &Identifier {
        &self.identifier
    }

    /// Asks all policies, at most [`MAX_POLICIES`], and takes the cost from each, or from none.
    ///
    /// Policies of one identity are asked in one script, which takes from all or none. Those of other identities are asked
    /// at the same time; if one of them refuses, what the others took is given back at once. So no limit is ever
    /// exceeded, but for a moment one may seem more used than it is.
    ///
    /// If an answer is lost with its connection, the question is repeated, and the cost may then have been taken twice.
    pub async fn check(&self, demands: &[Demand<'_>]) -> Decision {
        self.check_as(self.nonces.next(), demands).await
    }

    /// Like [`Limiter::check`], under the name of an earlier request, whose leases are renewed if they are still held.
    pub async fn check_as(&self, request: String, demands: &[Demand<'_>]) -> Decision {
        let asked = self.asked(demands);
        let decision = match self.remembered(&asked, &request) {
            Some(decision) => decision,
            None => self.ask_all(Act::Take, request, &asked).await,
        };
        if let Some(tally) = &self.tally {
            tally.note(demands, &decision);
        }
        decision
    }

    /// Returns what [`Limiter::check`] would return, and takes nothing.
    pub async fn peek(&self, demands: &[Demand<'_>]) -> Decision {
        self.ask_all(Act::Peek, self.nonces.next(), &self.asked(demands)).await
    }

    /// Gives units back, as far as they were taken. A lease is given back by the name of its `request`.
    ///
    /// # Errors
    /// [`RedisError`]; if the outcome is unknown it must not be repeated, or units may be given back twice.
    pub async fn refund(&self, request: &str, demand: &Demand<'_>) -> Result<Standing, RedisError> {
        self.change(Act::Give, request, demand).await
    }

    /// Takes units as far as they are there, even fewer than the cost.
    ///
    /// # Errors
    /// [`RedisError`]; if the outcome is unknown, they may have been taken.
    pub async fn penalty(&self, demand: &Demand<'_>) -> Result<Standing, RedisError> {
        self.change(Act::Drain, &self.nonces.next(), demand).await
    }

    async fn change(&self, act: Act, request: &str, demand: &Demand<'_>) -> Result<Standing, RedisError> {
        let keys = script::keys(&self.keys, demand);
        self.memory.borrow_mut().forget(&keys[0]);
        let arguments = script::arguments(act, request, std::slice::from_ref(demand));
        let reply = self.redis()?.run_once(&LIMIT, &[&keys[0], &keys[1]], arguments).await?;
        script::reply(&reply, 1)?.into_iter().next().ok_or_else(|| RedisError::reply("a standing", "none"))
    }

    /// Blocks an identity for a time, whatever it has left.
    ///
    /// # Errors
    /// [`RedisError`]. Blocking again is safe.
    pub async fn block(&self, policy: &Policy, identity: &Identity, time: Ttl) -> Result<(), RedisError> {
        let [state, block] = script::keys(&self.keys, &Demand { policy, identity, cost: 0 });
        self.memory.borrow_mut().forget(&state);
        let arguments = vec![Arg::from(&block), Arg::from("1"), Arg::from("PX"), Arg::from(time)];
        self.redis()?.call("SET", arguments).await.map(|_| ())
    }

    /// Forgets what was counted of an identity under the policy of this name, and its block. `false` if there was
    /// nothing.
    ///
    /// # Errors
    /// [`RedisError`]. Resetting again is safe.
    pub async fn reset(&self, policy: &str, identity: &Identity) -> Result<bool, RedisError> {
        let states =
            Algorithm::ALL.map(|algorithm| self.keys.limit(identity.as_str(), policy, algorithm.as_str()));
        for state in &states {
            self.memory.borrow_mut().reset(state);
        }
        let block = self.keys.limit_block(identity.as_str(), policy);
        let keys = states.iter().chain([&block]).map(Arg::from).collect();
        let [gone] = crate::redis::exactly(self.redis()?.call("UNLINK", keys).await?)?;
        Ok(gone.int()? > 0)
    }

    pub(super) fn redis(&self) -> Result<&Rc<Client<E>>, RedisError> {
        self.redis.as_ref().ok_or_else(|| RedisError::Unavailable("redis_enabled is false".to_owned()))
    }

    fn asked<'a, 'd>(&self, demands: &'a [Demand<'d>]) -> Vec<Asked<'a, 'd>> {
        demands.iter().map(|demand| Asked { demand, keys: script::keys(&self.keys, demand) }).collect()
    }

    /// Returns the decision that needs no question: Redis refused the same a moment ago.
    fn remembered(&self, asked: &[Asked<'_, '_>], request: &str) -> Option<Decision> {
        let now = self.env.now();
        let mut memory = self.memory.borrow_mut();
        let found: Vec<_> = asked.iter().map(|one| memory.refused(&one.keys[0], one.demand, now)).collect();
        let unasked = Standing { verdict: Verdict::Unasked, level: None, source: Source::Memory };
        found.iter().any(Option::is_some).then(|| Decision {
            allowed: false,
            standings: found.into_iter().map(|found| found.unwrap_or(unasked)).collect(),
            request: request.to_owned(),
        })
    }

    async fn ask_all(&self, act: Act, request: String, asked: &[Asked<'_, '_>]) -> Decision {
        let groups = groups(asked);
        let answers = (0..)
            .zip(&groups)
            .map(async |(number, group)| self.ask(act, &named(&request, number, group), group).await);
        let answers = join_all(answers).await;
        let mut standings: Vec<Option<Standing>> = vec![None; asked.len()];
        for (group, answer) in groups.iter().zip(&answers) {
            for ((at, _), standing) in group.iter().zip(answer.iter().flatten()) {
                standings[*at] = Some(*standing);
            }
        }
        let standings = self.without_redis(act, &request, asked, standings);
        let allowed = asked
            .iter()
            .zip(&standings)
            .all(|(one, its)| one.demand.policy.shadow() || !its.verdict.refuses());
        let decision = Decision { allowed, standings, request };
        if act == Act::Take {
            self.after_take(asked, &decision);
        }
        decision
    }

    /// Asks about one identity. `None` when Redis gave no answer.
    async fn ask(&self, act: Act, request: &str, group: &Group<'_, '_, '_>) -> Option<Vec<Standing>> {
        let keys: Vec<&Key> = group.iter().flat_map(|(_, one)| &one.keys).collect();
        let demands: Vec<Demand<'_>> = group.iter().map(|(_, one)| *one.demand).collect();
        let arguments = script::arguments(act, request, &demands);
        let reply = self.redis().ok()?.run(&LIMIT, &keys, arguments).await;
        let standings = reply.and_then(|reply| script::reply(&reply, group.len()));
        standings.inspect_err(|error| self.complain(error)).ok()
    }

    /// Logs now and then what Redis refuses for good; the client itself logs that Redis is away.
    fn complain(&self, error: &RedisError) {
        let is_for_good = matches!(error, RedisError::Refused(_) | RedisError::Reply(_));
        if is_for_good && self.complaints.is_due(self.env.instant()) {
            self.env.log(&format!("limits are decided without Redis: {error}"));
        }
    }

    /// Fills in what Redis did not answer, by the mode of each policy.
    fn without_redis(
        &self,
        act: Act,
        request: &str,
        asked: &[Asked<'_, '_>],
        mut standings: Vec<Option<Standing>>,
    ) -> Vec<Standing> {
        let missing: Vec<usize> = (0..asked.len()).filter(|at| standings[*at].is_none()).collect();
        for &at in &missing {
            standings[at] = match asked[at].demand.policy.mode() {
                Mode::Open => Some(Standing::unknown(Verdict::Allowed)),
                Mode::Closed => Some(Standing::unknown(Verdict::Unavailable)),
                Mode::Local { .. } => None,
            };
        }
        let refuses = |(one, its): (&Asked<'_, '_>, &Option<Standing>)| {
            !one.demand.policy.shadow() && its.is_some_and(|its| its.verdict.refuses())
        };
        // Units are taken here only if no other policy refuses.
        let act = if asked.iter().zip(&standings).any(refuses) { Act::Peek } else { act };
        let demands: Vec<_> = missing.iter().map(|&at| (&asked[at].keys[0], asked[at].demand)).collect();
        let local = self.memory.borrow_mut().ask(act, &demands, request, self.env.now());
        for (at, standing) in missing.into_iter().zip(local) {
            standings[at] = standings[at].or(standing);
        }
        standings.into_iter().map(|its| its.unwrap_or(Standing::unknown(Verdict::Allowed))).collect()
    }

    /// Remembers refusals, and gives back what other policies granted.
    fn after_take(&self, asked: &[Asked<'_, '_>], decision: &Decision) {
        let now: Timestamp = self.env.now();
        for (one, standing) in asked.iter().zip(&decision.standings) {
            if standing.source == Source::Redis {
                self.memory.borrow_mut().learn(&one.keys[0], one.demand, standing, now);
            }
        }
        if !decision.allowed {
            for (number, group) in (0..).zip(groups(asked)) {
                // A script in which a policy refused took nothing.
                let refused = |(at, one): &(usize, &Asked<'_, '_>)| {
                    !one.demand.policy.shadow() && decision.standings[*at].verdict.refuses()
                };
                if !group.iter().any(refused) {
                    let taken = group.iter().map(|(at, one)| (*one.demand, decision.standings[*at]));
                    // Nor was anything taken from what this instance counts itself.
                    let taken = taken.filter(|(_, standing)| standing.source == Source::Redis);
                    self.give_back(&named(&decision.request, number, &group), taken);
                }
            }
        }
    }

    /// Gives back, in the background, the units that a decision granted. Its leases stay: they are given back when they are
    /// dropped.
    pub fn give_units_back(&self, demands: &[Demand<'_>], decision: &Decision) {
        let asked = self.asked(demands);
        for (number, group) in (0..).zip(groups(&asked)) {
            let taken = group.iter().filter(|(_, one)| !one.demand.policy.leases());
            let taken = taken.filter_map(|(at, one)| Some((*one.demand, *decision.standings.get(*at)?)));
            self.give_back(&named(&decision.request, number, &group), taken);
        }
    }

    /// Gives back, in the background, what a group took under this name. What is lost on the way becomes free with time.
    fn give_back<'d>(&self, request: &str, taken: impl IntoIterator<Item = (Demand<'d>, Standing)>) {
        for (demand, standing) in taken {
            if standing.verdict != Verdict::Allowed || demand.cost == 0 {
                continue;
            }
            let keys = script::keys(&self.keys, &demand);
            match (standing.source, &self.redis) {
                (Source::Redis, Some(redis)) => {
                    let redis = Rc::clone(redis);
                    let arguments = script::arguments(Act::Give, request, &[demand]);
                    self.env.spawn(async move {
                        let _ = redis.run_once(&LIMIT, &[&keys[0], &keys[1]], arguments).await;
                    });
                }
                (Source::Local, _) => {
                    let mut memory = self.memory.borrow_mut();
                    memory.ask(Act::Give, &[(&keys[0], &demand)], request, self.env.now());
                }
                _ => {}
            }
        }
    }
}
