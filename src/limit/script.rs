//! The script that asks policies about one identity.

use super::decision::{Level, Source, Standing, Verdict};
use super::limiter::Demand;
use super::meter::{Act, Reading, Room};
use super::policy::Policy;
use crate::redis::{Arg, Key, Keys, RedisError, Script, Value};
use crate::time::Timestamp;
use std::time::Duration;

/// The script, with a part for each algorithm between the parts that they share.
pub(super) static LIMIT: Script = Script::new(concat!(
    include_str!("../redis/lua/limit/head.lua"),
    include_str!("../redis/lua/limit/gcra.lua"),
    include_str!("../redis/lua/limit/window.lua"),
    include_str!("../redis/lua/limit/units.lua"),
    include_str!("../redis/lua/limit/tail.lua"),
));

/// The number of values in the reply for all policies together, and for each policy.
const HEAD: usize = 2;
const EACH: usize = 5;

/// Returns the keys of the state and of the block of a demand.
pub(super) fn keys(keys: &Keys, demand: &Demand<'_>) -> [Key; 2] {
    let (id, policy) = (demand.identity.as_str(), demand.policy.name());
    [keys.limit(id, policy, demand.policy.algorithm().as_str()), keys.limit_block(id, policy)]
}

pub(super) fn arguments(act: Act, request: &str, demands: &[Demand<'_>]) -> Vec<Arg> {
    let mut arguments = vec![Arg::from(act.as_str()), Arg::from(request)];
    for demand in demands {
        let quota = demand.policy.quota();
        let algorithm = match demand.policy.leases() {
            true => "lease",
            false => demand.policy.algorithm().as_str(),
        };
        arguments.extend([
            Arg::from(algorithm),
            Arg::from(u64::from(quota.limit().get())),
            Arg::from(quota.micros()),
            Arg::from(u64::from(quota.burst().get())),
            Arg::from(charge(act, demand.policy, demand.cost)),
            Arg::from(u64::from(demand.policy.shadow())),
        ]);
    }
    arguments
}

/// Returns the cost as the algorithms see it: one that never fits is larger than the burst, and no more is given back or
/// taken as a penalty than ever fits.
pub(super) fn charge(act: Act, policy: &Policy, cost: u32) -> u64 {
    let (burst, most) = (u64::from(policy.quota().burst().get()), policy.most());
    match act {
        Act::Take | Act::Peek if cost > most => burst + 1,
        _ => u64::from(cost.min(most)),
    }
}

/// Converts a reply to the standing under each policy.
pub(super) fn reply(values: &[Value], policies: usize) -> Result<Vec<Standing>, RedisError> {
    let numbers = values.iter().map(Value::int).collect::<Result<Vec<_>, _>>()?;
    if numbers.len() != HEAD + EACH * policies {
        return Err(RedisError::reply(
            &format!("{} numbers for {policies} policies", HEAD + EACH * policies),
            &format!("{} numbers", numbers.len()),
        ));
    }
    let (head, each) = numbers.split_at(HEAD);
    let at = head.get(1).map_or(0, |micros| positive(*micros));
    each.chunks_exact(EACH).map(|numbers| standing(numbers, at)).collect()
}

/// Converts the values of one policy; `at` is the time in microseconds.
fn standing(numbers: &[i64], at: u64) -> Result<Standing, RedisError> {
    let &[verdict, left, wait, more, reset] = numbers else {
        return Err(RedisError::reply("five numbers", "another count"));
    };
    let level = Level {
        remaining: positive(left),
        more_after: micros(more),
        reset_at: instant(at + positive(reset)),
    };
    let retry_after = micros(wait);
    let verdict = match verdict {
        0 => Verdict::Allowed,
        1 => Verdict::Exhausted { retry_after },
        2 => Verdict::Impossible,
        3 => Verdict::Blocked { retry_after },
        other => return Err(RedisError::reply("a verdict from 0 to 3", &other.to_string())),
    };
    Ok(Standing { verdict, level: Some(level), source: Source::Redis })
}

fn positive(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn micros(number: i64) -> Duration {
    Duration::from_micros(positive(number))
}

/// Rounds up to a millisecond.
fn instant(micros: u64) -> Timestamp {
    Timestamp::from_millis(micros.div_ceil(1000))
}

/// Returns the standing by the count of an instance on its own, at a time in microseconds.
pub(super) fn local(reading: &Reading, at: u64) -> Standing {
    let verdict = match reading.room {
        Room::Now => Verdict::Allowed,
        Room::In(wait) => Verdict::Exhausted { retry_after: Duration::from_micros(wait) },
        Room::Never => Verdict::Impossible,
    };
    let level = Level {
        remaining: reading.left,
        more_after: Duration::from_micros(reading.more),
        reset_at: instant(at + reading.reset),
    };
    Standing { verdict, level: Some(level), source: Source::Local }
}
