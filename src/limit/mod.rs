//! Rate limits: how many units an identity may take in a period, counted in Redis for all instances together.
//!
//! 1. A [`Policy`] is a [`Quota`] with a name, a way of counting ([`Algorithm`]), and a [`Mode`] for times when
//!    Redis is away.
//! 2. An [`Identity`] is whom it counts: made by an [`Identifier`] of the relevant parts of a request.
//! 3. A [`Limiter`] decides: [`check`](Limiter::check) takes units, [`peek`](Limiter::peek) only looks,
//!    [`refund`](Limiter::refund) gives back, [`penalty`](Limiter::penalty) and [`block`](Limiter::block) punish,
//!    [`reset`](Limiter::reset) forgets. Several policies are asked at once, and all or none are charged.
//! 4. The arithmetic is in [`gcra`], [`window`] and [`units`], as pure functions, and again in the script that
//!    runs in Redis, whose clock is the only one. While Redis is away, an instance counts with the former on its own.
//!
//! ```
//! use spindrift::env::Env;
//! use spindrift::limit::{Algorithm, Demand, Limiter, Policy, PolicyError, Quota, QuotaError, Verdict};
//! use std::num::NonZeroU32;
//! use std::time::Duration;
//!
//! /// May this user send one more message? Ten at once, a hundred an hour.
//! async fn may_send<E: Env>(limiter: &Limiter<E>, messages: &Policy, user: &str) -> bool {
//!     let identity = limiter.identifier().of_caller(&[user.to_owned()]);
//!     let decision = limiter.check(&[Demand { policy: messages, identity: &identity, cost: 1 }]).await;
//!     match decision.standings[0].verdict {
//!         Verdict::Exhausted { retry_after } => println!("wait for {retry_after:?}"),
//!         Verdict::Impossible => println!("no waiting helps"),
//!         _ => {}
//!     }
//!     decision.allowed
//! }
//!
//! let (hundred, ten) = (NonZeroU32::new(100).unwrap(), NonZeroU32::new(10).unwrap());
//! let quota = Quota::new(hundred, Duration::from_secs(3600))?.with_burst(ten)?;
//! let messages = Policy::new("messages", Algorithm::Gcra, quota)?;
//! # let _ = messages;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address;
mod decision;
pub mod gcra;
mod groups;
mod held;
mod identity;
mod limiter;
mod memory;
pub mod meter;
mod policy;
mod quota;
mod script;
mod tally;
pub mod units;
pub mod window;

pub use address::{AddressRules, ForwardingField};
pub use decision::{Decision, Level, Source, Standing, Verdict};
pub use held::Held;
pub use identity::{Identifier, Identity, KeyPart, Subject};
pub use limiter::{Demand, Limiter, MAX_POLICIES};
pub use policy::{Algorithm, MAX_LOG, MAX_LOG_COST, Mode, Policy, PolicyError, is_name};
pub use quota::{MAX_PERIOD, MAX_UNITS, Quota, QuotaError};
pub(crate) use tally::Tally;

use crate::redis::Script;

/// Returns the script, for tests that run it directly.
#[doc(hidden)]
#[must_use]
pub fn script() -> &'static Script {
    &script::LIMIT
}
