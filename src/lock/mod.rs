//! Locks and semaphores: leases on a name, with fences.
//!
//! A lock is held by one owner, a semaphore by up to 100 ([`Permits`]). A holder has a [`Lease`], which ends
//! by itself, so that a holder that dies blocks nobody. Redis's clock decides when.
//!
//! ```
//! use spindrift::env::Env;
//! use spindrift::lock::{Acquired, Checked, Demand, LeaseTime, Locks, Name, Owner, Wait};
//! use std::time::Duration;
//!
//! async fn nightly<E: Env>(env: &E, locks: &Locks<E>) -> Result<(), Box<dyn std::error::Error>> {
//!     let name = Name::new("reports/nightly")?;
//!     let owner = Owner::random(env);
//!     let ttl = LeaseTime::new(Duration::from_secs(30))?;
//!     let wait = Wait::new(Duration::from_secs(5))?;
//!     let demand = Demand::new(name.clone(), owner.clone(), ttl).waiting(wait);
//!     let Acquired::Granted(lease) = locks.acquire(&demand).await? else {
//!         return Ok(()); // Another holder is doing it.
//!     };
//!     // Work for `lease.valid_for` at most, or `renew` before that. What is written carries the fence, and
//!     // whoever keeps it refuses smaller fences than the greatest it has seen.
//!     if let Checked::Accepted = locks.check(&Name::new("reports")?, lease.fence).await? {
//!         // Write.
//!     }
//!     locks.release(&name, &owner).await?;
//!     Ok(())
//! }
//! ```
//!
//! # What such a lock does not promise
//!
//! Two may believe that they hold it: if a holder is paused for longer than its lease, if Redis fails over
//! to a replica that had not received the lease, evicts it, or its clock jumps. A lock alone is for work that
//! had better not be done twice, but may be. For work that must not be, there is the [fence](Fence): a number that
//! grows with every lease of a name. The protected resource refuses a smaller fence than the greatest it has seen,
//! so that a holder who was paused and writes too late is refused. Without that check there is no such protection.
//!
//! Asking again as the same owner gives the same lease with the same fence. So an acquisition whose outcome is
//! unknown can be repeated safely, with the same owner.

mod demand;
mod fence;
mod lease;

pub use demand::{
    Demand, LeaseTime, MAX_LEASE, MAX_NAME, MAX_OWNER, MAX_PERMITS, MAX_WAIT, MIN_LEASE, Name, Owner,
    Permits, Wait,
};
pub use fence::{Checked, Fence};
pub use lease::{Holder, Lease, State};

use crate::env::Env;
use crate::redis::{Arg, Client, Keys, RedisError, Script, exactly, together};
use crate::time::{Timestamp, millis};
use crate::wait::Patience;
use std::rc::Rc;
use std::time::Duration;

static ACQUIRE: Script = Script::new(include_str!("../redis/lua/lock_acquire.lua"));
static RENEW: Script = Script::new(include_str!("../redis/lua/lock_renew.lua"));
static RELEASE: Script = Script::new(include_str!("../redis/lua/lock_release.lua"));

/// How long the last fence of a lock, and the greatest one of a resource, are remembered after their last
/// use. Redis's clock makes up for a last fence that was lost.
pub const FENCE_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// The locks, as used by one instance.
pub struct Locks<E: Env> {
    env: E,
    redis: Rc<Client<E>>,
    keys: Keys,
}

/// The result of asking for a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// It is held now.
    Granted(Lease),
    /// As many owners hold it as may.
    Held {
        /// The time until the first of their leases ends, unless it is renewed or released.
        ends_in: Duration,
    },
    /// Others hold it with another number of permits: as a semaphore with `in_force` permits, or as a lock if that is 1.
    OtherPermits {
        /// How many may hold it, as long as anybody does.
        in_force: u64,
        /// The time until the first of their leases ends.
        ends_in: Duration,
    },
    /// Redis took so long to answer that nothing of the lease was left. It was released.
    TooLate,
}

/// The result of renewing a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// It was prolonged.
    Prolonged(Lease),
    /// It had ended, or never existed. Renewing never acquires a lock anew: others may have held it since.
    Ended,
    /// Redis took so long to answer that the prolonged lease may have ended, too.
    TooLate,
}

/// The result of releasing a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// It was held, and is free now.
    Released,
    /// It had ended, or never existed, and nobody holds the lock.
    NotHeld,
    /// It had ended, or never existed, and others hold the lock. They keep it.
    HeldByOthers,
}

impl<E: Env> Locks<E> {
    /// Makes the locks in `redis`, with the names of their keys from `keys`.
    #[must_use]
    pub const fn new(env: E, redis: Rc<Client<E>>, keys: Keys) -> Self {
        Self { env, redis, keys }
    }

    /// Acquires a lock, and tries again for as long as `demand` waits.
    ///
    /// Those who wait are served in no particular order.
    ///
    /// # Errors
    /// [`RedisError`]; unless it [was not carried out](RedisError::was_not_carried_out) the lock may be held: ask again as
    /// the same owner, or let the lease end.
    pub async fn acquire(&self, demand: &Demand) -> Result<Acquired, RedisError> {
        let mut patience = Patience::new(demand.wait.duration(), self.env.now());
        loop {
            let outcome = self.attempt(demand).await?;
            let Acquired::Held { ends_in } = outcome else { return Ok(outcome) };
            let mut random = [0];
            self.env.fill(&mut random);
            match patience.pause(self.env.now(), Some(ends_in), random[0]) {
                Some(pause) => self.env.sleep(pause).await,
                None => return Ok(outcome),
            }
        }
    }

    async fn attempt(&self, demand: &Demand) -> Result<Acquired, RedisError> {
        let keys = [self.keys.lock(demand.name.as_str()), self.keys.lock_fence(demand.name.as_str())];
        let arguments = vec![
            Arg::from(demand.owner.as_str()),
            Arg::from(demand.ttl.as_ttl()),
            Arg::from(demand.permits.get()),
            Arg::from(millis(FENCE_LIFE)),
        ];
        let started = self.env.instant();
        let reply = self.redis.run(&ACQUIRE, &[&keys[0], &keys[1]], arguments).await?;
        let [code, fence, now, ends, in_force] = numbers(reply)?;
        let ends_in = Duration::from_millis(ends.saturating_sub(now).unsigned_abs());
        match code {
            1 => {
                let lease =
                    Lease { fence: Fence::from_reply(fence)?, expires_at: at(ends), valid_for: ends_in };
                match lease.after(self.env.instant().since(started)) {
                    Some(lease) => Ok(Acquired::Granted(lease)),
                    None => {
                        self.release(&demand.name, &demand.owner).await?;
                        Ok(Acquired::TooLate)
                    }
                }
            }
            0 => Ok(Acquired::Held { ends_in }),
            _ => Ok(Acquired::OtherPermits { in_force: in_force.unsigned_abs(), ends_in }),
        }
    }

    /// Prolongs a lease to `ttl` from now.
    ///
    /// # Errors
    /// [`RedisError`]; if the outcome is unknown, the lease lasts at least as long as before, unless
    /// `ttl` is shorter than what was left of it.
    pub async fn renew(&self, name: &Name, owner: &Owner, ttl: LeaseTime) -> Result<Renewed, RedisError> {
        let keys = [self.keys.lock(name.as_str()), self.keys.lock_fence(name.as_str())];
        let arguments =
            vec![Arg::from(owner.as_str()), Arg::from(ttl.as_ttl()), Arg::from(millis(FENCE_LIFE))];
        let started = self.env.instant();
        let reply = self.redis.run(&RENEW, &[&keys[0], &keys[1]], arguments).await?;
        let [code, fence, now, ends] = numbers(reply)?;
        if code != 1 {
            return Ok(Renewed::Ended);
        }
        let valid_for = Duration::from_millis(ends.saturating_sub(now).unsigned_abs());
        let lease = Lease { fence: Fence::from_reply(fence)?, expires_at: at(ends), valid_for };
        Ok(lease.after(self.env.instant().since(started)).map_or(Renewed::TooLate, Renewed::Prolonged))
    }

    /// Releases a lease. The leases of other owners are not touched.
    ///
    /// # Errors
    /// [`RedisError`]; if the outcome is unknown, releasing it again is safe.
    pub async fn release(&self, name: &Name, owner: &Owner) -> Result<Released, RedisError> {
        let key = self.keys.lock(name.as_str());
        let reply = self.redis.run(&RELEASE, &[&key], vec![Arg::from(owner.as_str())]).await?;
        let [code] = numbers(reply)?;
        Ok(match code {
            1 => Released::Released,
            0 => Released::NotHeld,
            _ => Released::HeldByOthers,
        })
    }

    /// Returns the state of a lock, with its holders.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn inspect(&self, name: &Name) -> Result<State, RedisError> {
        let (lock, fence) = (self.keys.lock(name.as_str()), self.keys.lock_fence(name.as_str()));
        let held = self.redis.call("HGETALL", vec![Arg::from(&lock)]);
        let fence = self.redis.call("GET", vec![Arg::from(&fence)]);
        let time = self.redis.call_beside(&lock, "TIME", Vec::new());
        let ((held, fence), time) = together::both(together::both(held, fence), time).await?;
        let [seconds, micros] = numbers(time)?;
        let now = at(seconds.saturating_mul(1000).saturating_add(micros / 1000));
        let [fence] = exactly(fence)?;
        State::read(held, fence, now)
    }
}

/// Unpacks a reply of exactly `N` numbers.
fn numbers<const N: usize>(reply: Vec<crate::redis::Value>) -> Result<[i64; N], RedisError> {
    let mut numbers = [0; N];
    for (number, value) in numbers.iter_mut().zip(exactly::<N>(reply)?) {
        *number = value.int()?;
    }
    Ok(numbers)
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis.unsigned_abs())
}
