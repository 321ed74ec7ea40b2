//! The right to store what a fetch brings, and which of several equal fetches leads.
//!
//! A fetch begins with [`Store::begin`]. It returns a [`FillLease`], which carries the generation of the resource and
//! the mark of the purge ledger from before the fetch: by these, what was purged meanwhile is not stored, or not
//! served. It also says whose [`Turn`] it is. Of all that begin at once one leads; the others may wait for its
//! result and watch it with [`Store::look_at`]. A lead ends when it is done or has failed; one that shows no sign
//! of life ([`Store::renew`]) or makes no progress for too long is taken over.

mod failure;
mod outcome;

pub use failure::FlightFailure;
pub use outcome::{Outcome, Streaming};

use super::entry::LedgerMark;
use super::key::ResourceKey;
use super::store::Store;
use crate::env::Env;
use crate::purge::Written;
use crate::redis::{Arg, Key, RedisError, Script, exactly};
use crate::time::millis;
use bytes::Bytes;
use futures_util::future::{Either, select};
use std::pin::pin;
use std::time::Duration;

static LEAD: Script = Script::new(include_str!("../redis/lua/lead.lua"));
static RENEW: Script = Script::new(include_str!("../redis/lua/renew.lua"));
static DONE: Script = Script::new(include_str!("../redis/lua/done.lua"));

/// How long a generation lasts after the last sign of life of a fetch under it.
pub const GENERATION: Duration = Duration::from_secs(60);

/// How long a lead lasts without a sign of life.
const LEAD_TIME: Duration = Duration::from_secs(3);

/// How often a leader shows a sign of life.
pub(super) const RENEW_EVERY: Duration = Duration::from_secs(1);

/// How long the end of a lead is remembered: longer than any request takes from its lookup to the beginning of its
/// fetch, or it would fetch again what has just been stored.
const REMEMBERED: Duration = Duration::from_secs(2);

/// The right to store a response, granted before its fetch began.
#[derive(Clone, Debug)]
#[must_use]
pub struct FillLease {
    /// The resource that is fetched.
    pub resource: ResourceKey,
    pub(super) generation: Vec<u8>,
    pub(super) ledger: LedgerMark,
    pub(super) lead: Option<Lead>,
    /// The first bytes of the only record that may be replaced; empty for any.
    pub(super) over: Vec<u8>,
}

/// What the leader of a fetch holds.
#[derive(Clone, Debug)]
pub(super) struct Lead {
    pub(super) key: Key,
    marker: Key,
    pub(super) flight: String,
    pub(super) token: String,
}

impl FillLease {
    /// Returns the state of the purge ledger when the fetch began.
    #[must_use]
    pub const fn ledger(&self) -> &LedgerMark {
        &self.ledger
    }

    /// Carries the right over purges that the request itself caused. `None` if others purged, too. `ledger` is the number of
    /// the ledger to which the resource belongs.
    pub(crate) fn after(self, written: &Written, ledger: usize) -> Option<Self> {
        let Some(change) = written.changes.get(ledger) else { return Some(self) };
        let ours = change.after.mark.id == self.ledger.id && change.before == self.ledger.seq;
        ours.then(|| Self { ledger: change.after.mark.clone(), ..self })
    }

    /// Limits the right to replacing the record that begins with `preamble`: nothing is stored if another is there by
    /// then.
    pub(crate) fn over(self, preamble: Vec<u8>) -> Self {
        Self { over: preamble, ..self }
    }

    /// Returns whether others may be waiting for this fetch.
    #[must_use]
    pub const fn leads(&self) -> bool {
        self.lead.is_some()
    }
}

/// The result of beginning a fetch.
#[derive(Debug)]
pub struct Begun {
    /// Whose turn it is.
    pub turn: Turn,
    /// The right to store. Others wait for it only with [`Turn::Lead`].
    pub lease: FillLease,
}

/// Whose turn it is to fetch something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The caller's: it leads.
    Lead,
    /// Another request's, which leads with this token.
    Wait(String),
    /// Nobody's: a lead with this token has just ended. A caller that still finds nothing begins again with the token.
    LookAgain(String),
    /// Each caller's own: the last response could not be stored, so waiting would not help.
    Solo,
}

impl<E: Env> Store<E> {
    /// Begins a fetch of `resource`. Requests that select different variants are different fetches (`flight`).
    ///
    /// `mark` is the state of the purge ledger that a lookup found, if any. `after` is the token of the lead after whose
    /// end the caller has looked again. A lead that made no progress for `patience` is taken over.
    ///
    /// # Errors
    /// [`RedisError`]: then nothing can be stored.
    pub async fn begin(
        &self,
        resource: &ResourceKey,
        flight: &str,
        mark: Option<LedgerMark>,
        after: &str,
        patience: Duration,
    ) -> Result<Begun, RedisError> {
        let ledger = match mark {
            Some(mark) => mark,
            None => self.books.of(resource.id()).begin().await?.mark,
        };
        let id = resource.id();
        let lead = Lead {
            key: self.keys.lead(id, flight),
            marker: self.keys.not_worth_waiting(id, flight),
            flight: flight.to_owned(),
            token: self.nonces.next(),
        };
        let arguments = vec![
            Arg::from(self.nonces.next()),
            Arg::from(millis(GENERATION)),
            Arg::from(lead.token.as_str()),
            Arg::from(millis(LEAD_TIME)),
            Arg::from(millis(patience)),
            Arg::from(after),
        ];
        let keys = [&self.keys.generation(id), &lead.key, &lead.marker];
        let [code, generation, token] = exactly(self.redis.run(&LEAD, &keys, arguments).await?)?;
        let token = String::from_utf8_lossy(&token.bytes()?.unwrap_or_default()).into_owned();
        let turn = match code.int()? {
            0 => Turn::Wait(token),
            1 => Turn::Lead,
            2 => Turn::LookAgain(token),
            _ => Turn::Solo,
        };
        let lead = (turn == Turn::Lead).then_some(lead);
        let generation = generation.bytes()?.unwrap_or_default();
        let lease = FillLease { resource: resource.clone(), generation, ledger, lead, over: Vec::new() };
        Ok(Begun { turn, lease })
    }

    /// Shows a sign of life, and whether there was progress. `false` when the lead is lost, or there was none.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn renew(&self, lease: &FillLease, progress: bool) -> Result<bool, RedisError> {
        self.sign_of_life(lease, progress, Vec::new()).await
    }

    /// Waits for `work`, showing signs of life if the lease leads.
    pub(crate) async fn leading<T>(&self, lease: Option<&FillLease>, work: impl Future<Output = T>) -> T {
        let Some(lease) = lease.filter(|lease| lease.leads()) else { return work.await };
        let mut work = pin!(work);
        loop {
            match select(work.as_mut(), pin!(self.env.sleep(RENEW_EVERY))).await {
                Either::Left((done, _)) => return done,
                Either::Right(_) => {
                    // If the lead cannot be renewed, the fetch goes on without it, and another may take over.
                    let _ = self.renew(lease, false).await;
                }
            }
        }
    }

    /// Shows those who wait a response whose body is under way, in pieces that they can read as they come.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn publish(&self, lease: &FillLease, streaming: &Streaming) -> Result<bool, RedisError> {
        self.sign_of_life(lease, true, streaming.encode()).await
    }

    async fn sign_of_life(
        &self,
        lease: &FillLease,
        progress: bool,
        shown: Vec<u8>,
    ) -> Result<bool, RedisError> {
        let Some(lead) = &lease.lead else { return Ok(false) };
        let arguments = vec![
            Arg::from(lead.token.as_str()),
            Arg::from(millis(LEAD_TIME)),
            Arg::from(millis(GENERATION)),
            Arg::from(if progress { "1" } else { "0" }),
            Arg::from(shown),
        ];
        let keys = [&lead.key, &self.keys.generation(lease.resource.id())];
        Ok(exactly::<1>(self.redis.run(&RENEW, &keys, arguments).await?)?[0].int()? == 1)
    }

    /// Ends a lead with nothing stored, so that those who wait look again. For the time `marked`, nobody waits for the same
    /// at all.
    ///
    /// # Errors
    /// [`RedisError`]: then those who wait notice only when the lead runs out.
    pub async fn give_up(&self, lease: &FillLease, marked: Duration) -> Result<(), RedisError> {
        self.end(lease, "D", "", marked).await
    }

    /// Ends a lead because the fetch failed; those who wait are answered in the same way.
    ///
    /// # Errors
    /// As [`Store::give_up`].
    pub async fn fail(&self, lease: &FillLease, failure: FlightFailure) -> Result<(), RedisError> {
        self.end(lease, "X", &failure.to_word(), Duration::ZERO).await
    }

    async fn end(
        &self,
        lease: &FillLease,
        state: &str,
        more: &str,
        marked: Duration,
    ) -> Result<(), RedisError> {
        let Some(lead) = &lease.lead else { return Ok(()) };
        let arguments = vec![
            Arg::from(lead.token.as_str()),
            Arg::from(state),
            Arg::from(more),
            Arg::from(millis(REMEMBERED)),
            Arg::from(millis(marked)),
        ];
        self.redis.run(&DONE, &[&lead.key, &lead.marker], arguments).await.map(|_| ())
    }

    /// Returns the state of the lead `token` of a fetch.
    ///
    /// # Errors
    /// [`RedisError`]: then it is unknown.
    pub async fn look_at(
        &self,
        resource: &ResourceKey,
        flight: &str,
        token: &str,
    ) -> Result<Outcome, RedisError> {
        let id = resource.id();
        let keys = vec![Arg::from(self.keys.lead(id, flight)), Arg::from(self.keys.generation(id))];
        let [lead, generation] = exactly(self.redis.call("MGET", keys).await?)?;
        let (Some(lead), Some(generation)) = (lead.bytes()?, generation.bytes()?) else {
            return Ok(Outcome::Gone);
        };
        // A purge drops the generation: what was begun before it is not for those who come after.
        Ok(Outcome::read(&Bytes::from(lead), token, &generation).unwrap_or(Outcome::Gone))
    }

    /// Returns the arguments with which a script ends the lead of `lease` when it stores the response.
    pub(super) fn lead_arguments(&self, lease: &FillLease, more: String) -> (Key, [Arg; 3]) {
        let (key, token) = match &lease.lead {
            Some(lead) => (lead.key.clone(), lead.token.as_str()),
            None => (self.keys.lead(lease.resource.id(), ""), ""),
        };
        (key, [Arg::from(token), Arg::from(more), Arg::from(millis(REMEMBERED))])
    }
}
