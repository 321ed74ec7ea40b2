//! One fetch for many (RFC 9111 §4): of all who want the same at once one asks the origin, on whatever instance,
//! and the others wait for what it brings.
//!
//! Those who wait on one instance share the looking: one asks Redis, the others look what it saw. Tasks of a wasm
//! instance cannot wake one another, so each looks on a timer of its own.

use super::Want;
use crate::cache::entry::LedgerMark;
use crate::cache::lease::{FillLease, Outcome, Streaming, Turn};
use crate::cache::reuse::answers;
use crate::cache::selecting::variant;
use crate::env::Env;
use crate::redis::RedisError;
use crate::time::Timestamp;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// How often one request waits for others: for who leads, where that one dies for the next, and where that one brings
/// another variant for the one who leads for its own. Then it asks the origin itself, whoever else does.
const WAITS: u8 = 4;

/// For how many times `collapse` it does so in all.
const PATIENCE: u32 = 2;

/// How long it pauses before it looks: doubled each time.
const PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(40);

/// What a request that needs a fetch does next.
pub(super) enum Step {
    /// Ask the origin.
    Fetch(FillLease),
    /// Look what is stored: a fetch has just ended, or was waited for in vain.
    LookAgain,
    /// Answer with what somebody else is just receiving.
    Follow(Box<Follow>),
    /// Answer that the origin gave no response, with this status code.
    Failed(u16),
}

/// A response on its way to somebody else.
pub(super) struct Follow {
    pub(super) streaming: Streaming,
    pub(super) flight: String,
    pub(super) token: String,
}

/// How far one request has come with waiting.
pub(super) struct Waiting {
    /// When the request came.
    arrived: Timestamp,
    /// The same by [`Clock::elapsed`](crate::env::Clock::elapsed).
    began: Duration,
    /// After the end of whose lead it has looked.
    after: String,
    /// Who wants the same, as a response under way has shown.
    flight: Option<String>,
    left: u8,
}

impl Waiting {
    /// Nothing has been waited for yet.
    pub(super) const fn new(arrived: Timestamp, began: Duration) -> Self {
        Self { arrived, began, after: String::new(), flight: None, left: WAITS }
    }

    /// With whom it waits: those of a flight that a lookup has `found`, unless more is known since.
    pub(super) fn flight(&self, found: String) -> String {
        self.flight.clone().unwrap_or(found)
    }

    /// For how long it waits now, where `collapse` is the most for one fetch.
    fn time(&self, collapse: Duration, now: Duration) -> Duration {
        let all = collapse.saturating_mul(PATIENCE).saturating_sub(now.saturating_sub(self.began));
        if self.left == 0 { Duration::ZERO } else { all.min(collapse) }
    }

    /// When the request came, if it has waited for others.
    pub(super) fn waited(&self) -> Option<Timestamp> {
        (self.left < WAITS || !self.after.is_empty()).then_some(self.arrived)
    }
}

/// Takes a turn at fetching what a lookup did not find. `can_be_shared` says whether what another request brings may
/// answer this one too.
pub(super) async fn turn<E: Env>(
    want: &Want<'_, E>,
    flight: &str,
    mark: Option<LedgerMark>,
    can_be_shared: bool,
    waiting: &mut Waiting,
) -> Result<Step, RedisError> {
    let (store, patience) = (&want.shared.store, want.policy.collapse);
    let may_wait = want.may_wait() && can_be_shared;
    let begun = store.begin(&want.key, flight, mark, &waiting.after, patience).await?;
    let time = waiting.time(patience, want.app.env.elapsed());
    let token = match begun.turn {
        Turn::LookAgain(token) if may_wait => {
            waiting.after = token;
            return Ok(Step::LookAgain);
        }
        Turn::Wait(token) if may_wait && !time.is_zero() => token,
        Turn::Lead | Turn::Solo | Turn::Wait(_) | Turn::LookAgain(_) => {
            return Ok(Step::Fetch(begun.lease));
        }
    };
    waiting.left -= 1;
    Ok(match wait(want, flight, &token, time).await? {
        // Whoever led before may have stored it since, although another has taken over.
        Outcome::Leading | Outcome::Gone => Step::LookAgain,
        Outcome::Streaming(streaming) if is_for(want, &streaming, &begun.lease, waiting) => {
            let (streaming, flight) = (*streaming, flight.to_owned());
            Step::Follow(Box::new(Follow { streaming, flight, token }))
        }
        Outcome::Streaming(streaming) => match own_flight(want, &streaming).filter(|own| own != flight) {
            // It is another variant, and shows what the resource varies on.
            own @ Some(_) => {
                waiting.flight = own;
                Step::LookAgain
            }
            // It may have been purged, or is too old: no use in waiting for its end.
            None => Step::Fetch(begun.lease),
        },
        Outcome::Done { .. } => {
            waiting.after = token;
            Step::LookAgain
        }
        Outcome::Failed(status) => Step::Failed(status),
    })
}

/// A flight that nobody joins.
const NOBODY_WAITS: &str = "-";

/// The right to store what comes, for which nobody waits; `None` when Redis gives none.
pub(super) async fn alone<E: Env>(want: &Want<'_, E>) -> Option<FillLease> {
    let begun = want.shared.store.begin(&want.key, NOBODY_WAITS, None, "", Duration::ZERO).await;
    begun.ok().map(|begun| begun.lease)
}

/// Whether a response under way answers this request: it is what the request selects, it is fresh and as new as the
/// request wants it, and its fetch began after every purge that was known when this one could have begun.
fn is_for<E: Env>(want: &Want<'_, E>, streaming: &Streaming, lease: &FillLease, waiting: &Waiting) -> bool {
    let (entry, known) = (&streaming.entry, lease.ledger());
    let purged = known.id != entry.ledger.id || known.seq > entry.ledger.seq;
    entry.key == want.key.text()
        && entry.selecting == want.selecting.values(&streaming.spec)
        && answers(&want.directives(), entry, waiting.waited(), want.app.env.now())
        && !purged
        && want.admits(entry)
}

/// Those who select the same of the resource, where a response under way is another variant of it.
fn own_flight<E: Env>(want: &Want<'_, E>, streaming: &Streaming) -> Option<String> {
    let (entry, values) = (&streaming.entry, want.selecting.values(&streaming.spec));
    let is_another = entry.key == want.key.text() && entry.selecting != values;
    is_another.then(|| want.flight(&variant(&values)))
}

/// Waits until a lead is over or shows something, or `time` is.
async fn wait<E: Env>(
    want: &Want<'_, E>,
    flight: &str,
    token: &str,
    time: Duration,
) -> Result<Outcome, RedisError> {
    let env = &want.app.env;
    let seat = want.shared.flights.join(token);
    let (started, mut pause) = (env.elapsed(), PAUSE);
    loop {
        env.sleep(pause).await;
        if let Some(outcome) = seat.flight.seen.borrow().clone() {
            return Ok(outcome);
        }
        if let Some(_watch) = seat.flight.watch() {
            let outcome = want.shared.store.look_at(&want.key, flight, token).await?;
            if outcome != Outcome::Leading {
                *seat.flight.seen.borrow_mut() = Some(outcome.clone());
                return Ok(outcome);
            }
        }
        if env.elapsed().saturating_sub(started) >= time {
            return Ok(Outcome::Leading);
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// What the requests of one instance wait for, by the token of the lead.
#[derive(Default)]
pub struct Flights(RefCell<HashMap<String, Rc<Flight>>>);

#[derive(Default)]
struct Flight {
    /// What was seen of it, once it was over or showed something.
    seen: RefCell<Option<Outcome>>,
    /// Somebody here is just asking Redis.
    watched: Cell<bool>,
    waiting: Cell<usize>,
}

/// One who waits.
struct Seat<'a> {
    flights: &'a Flights,
    token: String,
    flight: Rc<Flight>,
}

/// The one who asks.
struct Watch<'a>(&'a Cell<bool>);

impl Flights {
    /// How many requests wait at the moment.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.borrow().values().map(|flight| flight.waiting.get()).sum()
    }

    fn join(&self, token: &str) -> Seat<'_> {
        let flight = Rc::clone(self.0.borrow_mut().entry(token.to_owned()).or_default());
        flight.waiting.set(flight.waiting.get() + 1);
        Seat { flights: self, token: token.to_owned(), flight }
    }
}

impl Flight {
    fn watch(&self) -> Option<Watch<'_>> {
        (!self.watched.replace(true)).then(|| Watch(&self.watched))
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.flight.waiting.set(self.flight.waiting.get() - 1);
        if self.flight.waiting.get() == 0 {
            self.flights.0.borrow_mut().remove(&self.token);
        }
    }
}
