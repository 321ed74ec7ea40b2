//! Fences: numbers that only grow, and the check that gives them effect.

use super::{FENCE_LIFE, Locks, Name, numbers};
use crate::env::Env;
use crate::redis::{Arg, RedisError, Script};
use crate::time::millis;

static CHECK: Script = Script::new(include_str!("../redis/lua/fence_check.lua"));

/// A fencing token: each lease of a lock has a greater one than all leases before it.
///
/// It is one more than the last, or Redis's time in microseconds if that is more. So it grows even if the
/// last one was lost, unless Redis's clock was set back by more than the time since then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(u64);

impl Fence {
    /// The greatest fence, 2^53 - 1: greater numbers are not exact everywhere, such as in JSON and Lua.
    /// Microseconds reach it in the year 2255.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// Makes a fence; `None` above [`Fence::MAX`].
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        if number <= Self::MAX.0 { Some(Self(number)) } else { None }
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    pub(super) fn from_reply(number: i64) -> Result<Self, RedisError> {
        u64::try_from(number)
            .ok()
            .and_then(Self::new)
            .ok_or_else(|| RedisError::reply("a fence", &number.to_string()))
    }
}

/// The result of checking a fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// No greater one was seen: go on.
    Accepted,
    /// A greater one was seen: somebody else has got the lock. Do not write.
    Refused {
        /// The greatest fence seen.
        greatest: Fence,
    },
}

impl<E: Env> Locks<E> {
    /// Checks that `resource` has seen no greater fence than `fence`. If so, `fence` is remembered, and
    /// smaller ones are refused from now on, for [`FENCE_LIFE`] after the last that was accepted.
    ///
    /// The check and the write that follows are two steps. A resource that can compare by itself, such as a
    /// database with `UPDATE ... WHERE fence <= $1`, closes the gap between them.
    ///
    /// # Errors
    /// [`RedisError`]: then do not write. Checking again is safe.
    pub async fn check(&self, resource: &Name, fence: Fence) -> Result<Checked, RedisError> {
        let key = self.keys.fence(resource.as_str());
        let arguments = vec![Arg::from(fence.get()), Arg::from(millis(FENCE_LIFE))];
        let [code, greatest] = numbers(self.redis.run(&CHECK, &[&key], arguments).await?)?;
        match code {
            1 => Ok(Checked::Accepted),
            _ => Ok(Checked::Refused { greatest: Fence::from_reply(greatest)? }),
        }
    }
}
