//! Counting: in memory at first, and from there to Redis in the background.
//!
//! A request only adds to numbers in memory. Half a second after the first addition all are sent in one call, for which nobody
//! waits. An instance lives on until then, so the first interval is shorter: on a host that uses each instance once, half a
//! second would leave hundreds of them behind. Numbers that Redis refuses are kept for the next time; if it is unknown whether
//! they were added, they are not sent again.

mod latency;
mod render;
mod series;

pub use render::{Gauge, Totals, prometheus, statistics};
pub use series::{BOUNDS, Outcome, Series, Timed, labels};

use crate::env::Env;
use crate::field::cache_status::{CacheStatus, Detail, Forward};
use crate::redis::{Arg, Client, Key, RedisError, Script};
use crate::time::millis;
use http::StatusCode;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

static COUNT: Script = Script::new(include_str!("../redis/lua/count.lua"));

/// How long numbers are gathered before they are sent: the first time, and from then on.
const GATHER_FIRST: Duration = Duration::from_millis(50);
const GATHER: Duration = Duration::from_millis(500);

/// How many numbers are sent in one call, so that the loop of the script is bounded.
const AT_ONCE: usize = 100;

/// How long the numbers live in Redis after their last change.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// The counters of one instance.
pub struct Metrics<E: Env> {
    env: E,
    /// Where the numbers are sent; without Redis they are not counted.
    redis: Option<(Rc<Client<E>>, Key)>,
    routes: Vec<String>,
    pending: RefCell<BTreeMap<Series, u64>>,
    scheduled: Cell<bool>,
    gather: Cell<Duration>,
}

impl<E: Env> Metrics<E> {
    /// Makes empty counters. `routes` are the names of the routes by their indices.
    pub fn new(env: E, redis: Option<(Rc<Client<E>>, Key)>, routes: Vec<String>) -> Rc<Self> {
        let (pending, scheduled) = (RefCell::default(), Cell::new(false));
        Rc::new(Self { env, redis, routes, pending, scheduled, gather: Cell::new(GATHER_FIRST) })
    }

    /// Adds one to a number.
    pub fn count(self: &Rc<Self>, series: Series) {
        self.add(series, 1);
    }

    /// Adds to a number.
    pub fn add(self: &Rc<Self>, series: Series, more: u64) {
        if self.redis.is_none() {
            return;
        }
        *self.pending.borrow_mut().entry(series).or_default() += more;
        if !self.scheduled.replace(true) {
            let metrics = Rc::clone(self);
            let gather = self.gather.replace(GATHER);
            self.env.spawn(async move {
                metrics.env.sleep(gather).await;
                metrics.scheduled.set(false);
                metrics.flush().await;
            });
        }
    }

    /// Adds a duration to a histogram.
    pub fn time(self: &Rc<Self>, timed: Timed, took: Duration) {
        self.count(Series::bucket(timed, took));
        self.add(Series::Sum(timed), u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Sends from now on only in [`Metrics::flush`]: for an instance that ends with its work, and has no
    /// time to gather.
    pub fn send_by_hand(&self) {
        self.scheduled.set(true);
    }

    /// Sends the numbers to Redis. Those that cannot be sent are kept for the next time.
    pub async fn flush(&self) {
        let Some((redis, key)) = &self.redis else { return };
        let all = std::mem::take(&mut *self.pending.borrow_mut());
        let all: Vec<(Series, u64)> = all.into_iter().collect();
        for some in all.chunks(AT_ONCE) {
            let sent = send(redis, key, some, &self.routes).await;
            if sent.is_err_and(|error| error.was_not_carried_out()) {
                let mut pending = self.pending.borrow_mut();
                for (series, count) in some {
                    *pending.entry(series.clone()).or_default() += count;
                }
            }
        }
    }
}

async fn send<E: Env>(
    redis: &Client<E>,
    key: &Key,
    some: &[(Series, u64)],
    routes: &[String],
) -> Result<(), RedisError> {
    let mut arguments = vec![Arg::from(millis(KEPT))];
    for (series, count) in some {
        arguments.extend([Arg::from(series.field(routes)), Arg::from(*count)]);
    }
    // Sent twice, it would count twice.
    redis.run_uncounted(&COUNT, &[key], arguments).await.map(|_| ())
}

/// Determines the outcome of a request from its answer.
#[must_use]
pub fn outcome(code: StatusCode, status: &CacheStatus) -> Outcome {
    let failed = matches!(code.as_u16(), 502 | 504 | 508) && !status.hit;
    let decided = status.detail.and_then(decided_by);
    match status.forward {
        _ if failed => Outcome::Error,
        None if status.hit && status.ttl.is_some_and(|ttl| ttl <= 0) => Outcome::Stale,
        None if status.hit => Outcome::Hit,
        None if decided == Some(Outcome::Refused) => Outcome::Refused,
        None => Outcome::Error,
        _ if status.collapsed => Outcome::Collapsed,
        Some(Forward::Bypass | Forward::Method) => Outcome::Pass,
        Some(_) if decided == Some(Outcome::Stale) => Outcome::Stale,
        Some(_) if status.forward_status == Some(304) => Outcome::Revalidated,
        Some(_) => Outcome::Miss,
    }
}

/// Returns the outcome that a detail stands for, where it stands for one.
const fn decided_by(detail: Detail) -> Option<Outcome> {
    match detail {
        Detail::RateLimited | Detail::LimitsUnavailable => Some(Outcome::Refused),
        Detail::StaleIfError | Detail::OriginUnreachable => Some(Outcome::Stale),
        Detail::ReservedPath
        | Detail::Loop
        | Detail::Connect
        | Detail::ServerWide
        | Detail::MaxForwards
        | Detail::Route
        | Detail::BypassHeader
        | Detail::BypassCookie
        | Detail::BypassQuery
        | Detail::Precondition
        | Detail::RequestContent
        | Detail::NoAuthority
        | Detail::OnlyIfCached
        | Detail::Unstored(_)
        | Detail::ContentLost
        | Detail::StaleWhileRevalidate
        | Detail::InvalidationFailed
        | Detail::Session
        | Detail::SessionEnded
        | Detail::SessionRotated
        | Detail::SessionConflict
        | Detail::SessionInvalid
        | Detail::SessionTooLarge
        | Detail::RedisDisabled
        | Detail::Redis(_) => None,
    }
}
