//! Request collapsing (RFC 9111 §4): of all requests for the same at once, on whatever instance, one asks the origin,
//! and the others wait for its response.
//!
//! Those who wait on one instance share the polling: one asks Redis, the others read what it saw. Tasks of a wasm
//! instance cannot wake one another, so each polls on a timer of its own.

use super::Want;
use crate::cache::entry::LedgerMark;
use crate::cache::lease::{FillLease, FlightFailure, Outcome, Streaming, Turn};
use crate::cache::reuse::{Demand, answers};
use crate::cache::selecting::variant;
use crate::env::Env;
use crate::redis::RedisError;
use crate::time::{Instant, Timestamp};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// How often one request waits for another: for the leader, for the next one if that dies, and, if the response turns out
/// to be another variant, for the leader of its own variant. After that it asks the origin itself.
const WAITS: u8 = 4;

/// How many times `collapse` one request waits in all.
const PATIENCE: u32 = 2;

/// The pause before the first look; doubled each time.
const PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(40);

/// What a request that needs a fetch does next.
pub(super) enum Step {
    /// Ask the origin.
    Fetch(FillLease),
    /// Look the request up again: a fetch has just ended, or was waited for in vain.
    LookAgain,
    /// Answer with a response that another request is just receiving.
    Follow(Box<Follow>),
    /// Answer that the fetch failed.
    Failed(FlightFailure),
}

/// A response that another request is receiving.
pub(super) struct Follow {
    pub(super) streaming: Streaming,
    pub(super) flight: String,
    pub(super) token: String,
}

/// What one request has waited for so far.
pub(super) struct Waiting {
    /// When the request arrived.
    arrived: Timestamp,
    /// The same instant by [`Clock::instant`](crate::env::Clock::instant).
    began: Instant,
    /// The token of the last lead after whose end it has looked the request up again.
    after: String,
    /// The flight that it belongs to, as a response under way has shown.
    flight: Option<String>,
    left: u8,
}

impl Waiting {
    /// The state of a request that has not waited yet.
    pub(super) const fn new(arrived: Timestamp, began: Instant) -> Self {
        Self { arrived, began, after: String::new(), flight: None, left: WAITS }
    }

    /// Returns the flight to wait with: the one that a lookup has `found`, unless more is known since.
    pub(super) fn flight(&self, found: String) -> String {
        self.flight.clone().unwrap_or(found)
    }

    /// Returns how long it may wait now, where `collapse` is the most for one fetch.
    fn time(&self, collapse: Duration, now: Instant) -> Duration {
        let all = collapse.saturating_mul(PATIENCE).saturating_sub(now.since(self.began));
        if self.left == 0 { Duration::ZERO } else { all.min(collapse) }
    }

    /// Returns when the request arrived, if it has waited for others.
    pub(super) fn waited(&self) -> Option<Timestamp> {
        (self.left < WAITS || !self.after.is_empty()).then_some(self.arrived)
    }
}

/// Where a fetch belongs.
pub(super) struct Place {
    /// The name of the flight, of those who want the same.
    pub(super) flight: String,
    /// The state of the purge ledger that the lookup found, if any.
    pub(super) mark: Option<LedgerMark>,
}

/// Takes a turn at fetching what a lookup did not find. `can_be_shared` says whether the response to another request may
/// answer this one too.
pub(super) async fn turn<E: Env>(
    want: &Want<'_, E>,
    place: Place,
    can_be_shared: bool,
    waiting: &mut Waiting,
) -> Result<Step, RedisError> {
    let Place { flight, mark } = place;
    let (store, patience) = (&want.shared.store, want.policy.collapse);
    let may_wait = want.may_wait() && can_be_shared;
    let begun = store.begin(&want.key, &flight, mark, &waiting.after, patience).await?;
    let time = waiting.time(patience, want.app.env.instant());
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
    Ok(match wait(want, &flight, &token, time).await? {
        // The previous leader may have stored its response, even if another has taken over.
        Outcome::Leading | Outcome::Gone => Step::LookAgain,
        Outcome::Streaming(streaming) if is_for(want, &streaming, &begun.lease, waiting) => {
            Step::Follow(Box::new(Follow { streaming: *streaming, flight, token }))
        }
        Outcome::Streaming(streaming) => match own_flight(want, &streaming).filter(|own| *own != flight) {
            // The response is another variant, and shows what the resource varies on.
            own @ Some(_) => {
                waiting.flight = own;
                Step::LookAgain
            }
            // It may have been purged, or be too old: waiting for its end would not help.
            None => Step::Fetch(begun.lease),
        },
        Outcome::Done { .. } => {
            waiting.after = token;
            Step::LookAgain
        }
        Outcome::Failed(failure) => Step::Failed(failure),
    })
}

/// The name of a flight that nobody joins.
const NOBODY_WAITS: &str = "-";

/// Begins a fetch that nobody waits for, and returns the lease to store its response; `None` when Redis gives none.
pub(super) async fn alone<E: Env>(want: &Want<'_, E>) -> Option<FillLease> {
    let begun = want.shared.store.begin(&want.key, NOBODY_WAITS, None, "", Duration::ZERO).await;
    begun.ok().map(|begun| begun.lease)
}

/// Returns whether a response under way answers this request: it is the selected variant, fresh, as recent as the
/// request demands, and fetched after every purge known when this request would have begun its own fetch.
fn is_for<E: Env>(want: &Want<'_, E>, streaming: &Streaming, lease: &FillLease, waiting: &Waiting) -> bool {
    let (entry, known) = (&streaming.entry, lease.ledger());
    let directives = want.directives();
    let demand = Demand { directives: &directives, waited: waiting.waited(), now: want.app.env.now() };
    let purged = known.id != entry.ledger.id || known.seq > entry.ledger.seq;
    entry.key == want.key.text()
        && entry.selecting == want.selecting.values(&streaming.spec)
        && answers(demand, entry)
        && !purged
        && want.admits(entry)
}

/// Returns the flight of this request's own variant, if the response under way is another variant of the resource.
fn own_flight<E: Env>(want: &Want<'_, E>, streaming: &Streaming) -> Option<String> {
    let (entry, values) = (&streaming.entry, want.selecting.values(&streaming.spec));
    let is_another = entry.key == want.key.text() && entry.selecting != values;
    is_another.then(|| want.flight(&variant(&values)))
}

/// Waits until a lead has ended or has a result to show, at most for `time`.
async fn wait<E: Env>(
    want: &Want<'_, E>,
    flight: &str,
    token: &str,
    time: Duration,
) -> Result<Outcome, RedisError> {
    let env = &want.app.env;
    let seat = want.shared.flights.join(token);
    let (started, mut pause) = (env.instant(), PAUSE);
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
        if env.instant().since(started) >= time {
            return Ok(Outcome::Leading);
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The fetches that requests of one instance wait for, by the token of the lead.
#[derive(Default)]
pub struct Flights(RefCell<HashMap<String, Rc<Flight>>>);

#[derive(Default)]
struct Flight {
    /// The result of the lead, or what it has to show, once that was seen.
    seen: RefCell<Option<Outcome>>,
    /// Whether a request of this instance is just asking Redis.
    watched: Cell<bool>,
    waiting: Cell<usize>,
}

/// One request that waits.
struct Seat<'a> {
    flights: &'a Flights,
    token: String,
    flight: Rc<Flight>,
}

/// The right to ask Redis for the flight; released on drop.
struct Watch<'a>(&'a Cell<bool>);

impl Flights {
    /// Returns how many requests are waiting at the moment.
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
