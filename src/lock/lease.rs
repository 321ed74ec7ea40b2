//! Leases, and how long a holder may rely on them.

use super::Fence;
use crate::redis::{RedisError, Value};
use crate::time::Timestamp;
use std::time::Duration;

/// The right to act as the holder of a lock, for a limited time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Greater than the fence of every lease before it.
    pub fence: Fence,
    /// When it ends, by Redis's clock.
    pub expires_at: Timestamp,
    /// How much longer the holder may rely on it, from when the answer arrived. It is counted from before Redis was
    /// asked, less a hundredth and 2 ms for clocks that differ in speed.
    pub valid_for: Duration,
}

impl Lease {
    /// Returns the lease for a holder that waited `took` for the answer; `valid_for` is still what Redis granted. `None` if
    /// nothing of it is left.
    pub(super) fn after(self, took: Duration) -> Option<Self> {
        let drift = self.valid_for / 100 + Duration::from_millis(2);
        let valid_for = self.valid_for.checked_sub(drift)?.checked_sub(took)?;
        (!valid_for.is_zero()).then_some(Self { valid_for, ..self })
    }
}

/// A holder of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The owner.
    pub owner: String,
    /// The fence of its lease.
    pub fence: Fence,
    /// When its lease ends, by Redis's clock.
    pub expires_at: Timestamp,
}

/// The state of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Its holders, ordered by the end of their leases.
    pub holders: Vec<Holder>,
    /// How many owners may hold it; `None` while nobody does.
    pub permits: Option<u64>,
    /// The last fence that was issued; `None` if there was none, or it was lost.
    pub last_fence: Option<Fence>,
    /// The time of this state, by Redis's clock.
    pub now: Timestamp,
}

impl State {
    /// Parses the hash of holders and the last fence.
    pub(super) fn read(held: Vec<Value>, fence: Value, now: Timestamp) -> Result<Self, RedisError> {
        let (mut holders, mut permits) = (Vec::new(), None);
        let mut held = held.into_iter();
        while let (Some(owner), Some(lease)) = (held.next(), held.next()) {
            let (owner, lease) = (text(owner)?, text(lease)?);
            if owner.is_empty() {
                permits = lease.parse().ok();
                continue;
            }
            let (fence, expires_at) = parse_lease(&lease)
                .ok_or_else(|| RedisError::reply("a lease \"end fence\"", &format!("{lease:?}")))?;
            if expires_at > now {
                holders.push(Holder { owner, fence, expires_at });
            }
        }
        holders.sort_by_key(|holder| (holder.expires_at, holder.fence));
        let last_fence = match fence {
            Value::Nil => None,
            value => Some(Fence::from_reply(value.int()?)?),
        };
        let permits = permits.filter(|_| !holders.is_empty());
        Ok(Self { holders, permits, last_fence, now })
    }
}

/// Parses `end fence`.
fn parse_lease(text: &str) -> Option<(Fence, Timestamp)> {
    let (ends, fence) = text.split_once(' ')?;
    Some((Fence::new(fence.parse().ok()?)?, Timestamp::from_millis(ends.parse().ok()?)))
}

fn text(value: Value) -> Result<String, RedisError> {
    String::from_utf8(value.bytes()?.unwrap_or_default())
        .map_err(|_| RedisError::reply("text in UTF-8", "other bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn granted(valid_for: u64) -> Lease {
        let fence = Fence::new(7).unwrap();
        Lease { fence, expires_at: NOW, valid_for: Duration::from_millis(valid_for) }
    }

    #[test]
    fn what_redis_took_and_what_clocks_drift_is_not_relied_on() {
        let lease = granted(10_000).after(Duration::from_millis(300)).unwrap();
        assert_eq!(lease.valid_for, Duration::from_millis(10_000 - 300 - 102));
    }

    #[test]
    fn a_lease_of_which_nothing_is_left_is_none() {
        for took in [98, 99, 100, 5000] {
            assert_eq!(granted(100).after(Duration::from_millis(took)), None, "{took}");
        }
        assert!(granted(100).after(Duration::from_millis(96)).is_some());
        assert_eq!(granted(2).after(Duration::ZERO), None);
    }

    #[test]
    fn ended_leases_are_nobody_s() {
        let held = ["", "3", "a", "1700000000001 5", "b", "1700000000000 4", "c", "1700000000000 6"];
        let held = held.iter().map(|text| Value::Bytes(text.as_bytes().to_vec())).collect();
        let state = State::read(held, Value::Bytes(b"6".to_vec()), NOW).unwrap();
        assert_eq!(state.holders.iter().map(|it| it.owner.as_str()).collect::<Vec<_>>(), ["a"]);
        assert_eq!((state.permits, state.last_fence), (Some(3), Fence::new(6)));
        let free = State::read(vec![], Value::Nil, NOW).unwrap();
        assert_eq!((free.holders.len(), free.permits, free.last_fence), (0, None, None));
    }

    #[test]
    fn a_lease_that_is_none_is_an_error() {
        for wrong in ["", "5", "x 5", "5 x", "1 2 3", "1 9007199254740992"] {
            let held = vec![Value::Bytes(b"a".to_vec()), Value::Bytes(wrong.as_bytes().to_vec())];
            assert!(State::read(held, Value::Nil, NOW).is_err(), "{wrong:?}");
        }
    }
}
