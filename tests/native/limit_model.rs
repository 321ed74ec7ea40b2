//! Property: the script that counts in Redis and the arithmetic in Rust agree on random histories, to the
//! microsecond. Two things in the script are replaced: its clock, and how long its keys outlive what they count.

use crate::support::{World, property};
use proptest::collection::vec;
use proptest::prelude::*;
use spindrift::limit::meter::{Act, Asked, Room, State, act, open};
use spindrift::limit::{Algorithm, MAX_UNITS, Policy, Quota};
use std::num::NonZeroU32;
use std::time::Duration;

/// Some time within a window.
const START: u64 = 1_700_000_000_123_456;

#[derive(Clone, Debug)]
struct Step {
    /// How far the clock moves, in microseconds; negative moves it back.
    by: i64,
    act: Act,
    /// The cost under each policy.
    costs: [u64; 4],
    /// The request; names repeat.
    name: u8,
    /// Which of the two quotas applies, as limits may change between requests.
    other: bool,
}

fn quota() -> impl Strategy<Value = Quota> {
    let limit = prop_oneof![4 => 1u32..12, 1 => 1u32..10_000];
    let millis = prop_oneof![1 => 1u64..3, 4 => 1u64..3_000, 4 => 1u64..100_000_000];
    (limit, millis).prop_map(|(limit, millis)| {
        Quota::new(NonZeroU32::new(limit).unwrap(), Duration::from_millis(millis)).unwrap()
    })
}

fn burst() -> impl Strategy<Value = u32> {
    prop_oneof![1u32..20, 1..=MAX_UNITS]
}

fn step() -> impl Strategy<Value = Step> {
    let by = prop_oneof![
        4 => 0i64..5_000,
        4 => 0i64..3_000_000,
        1 => 0i64..100_000_000_000,
        1 => -2_000_000i64..0,
        1 => -100_000_000_000i64..0,
    ];
    let what = prop_oneof![
        6 => Just(Act::Take),
        1 => Just(Act::Peek),
        1 => Just(Act::Drain),
        1 => Just(Act::Give),
    ];
    let cost = prop_oneof![6 => 0u64..3, 1 => 0u64..101];
    let costs = (cost.clone(), cost.clone(), cost, 0u64..2).prop_map(|(a, b, c, d)| [a, b, c, d]);
    (by, what, costs, 0u8..6, prop::bool::weighted(0.1)).prop_map(|(by, act, costs, name, other)| Step {
        by,
        act,
        costs,
        name,
        other,
    })
}

fn policies(quota: Quota, burst: u32, shadow: bool) -> [Policy; 4] {
    let gcra = quota.with_burst(NonZeroU32::new(burst).unwrap()).unwrap_or(quota);
    let policy = |algorithm, quota| Policy::new("p", algorithm, quota).unwrap();
    [
        policy(Algorithm::Gcra, gcra).in_shadow(shadow),
        policy(Algorithm::Window, quota),
        policy(Algorithm::Log, quota),
        policy(Algorithm::Concurrency, quota),
    ]
}

/// The result of the script at `now`.
async fn in_redis(world: &World, now: u64, step: &Step, policies: &[Policy]) -> Vec<i64> {
    let clock = format!("{{'{}', '{}'}}", now / 1_000_000, now % 1_000_000);
    let script = spindrift::limit::script().source().replace("redis.call('TIME')", &clock);
    // Keys expire by the real clock of Redis: they must outlive even a slow test.
    let script = script.replace("local GRACE = 1000 ", "local GRACE = 600000 ");
    assert!(script.contains(&clock) && script.contains("GRACE = 600000"));
    let mut words = vec!["EVAL".to_owned(), script, (2 * policies.len()).to_string()];
    for number in 0..policies.len() {
        words.extend([format!("sd:{{x}}:{number}"), format!("sd:{{x}}:{number}:block")]);
    }
    words.extend([step.act.as_str().to_owned(), format!("n{}", step.name)]);
    for (policy, cost) in policies.iter().zip(step.costs) {
        let quota = policy.quota();
        let algorithm = match policy.algorithm() {
            Algorithm::Concurrency => "lease",
            other => other.as_str(),
        };
        words.push(algorithm.to_owned());
        let period = quota.period().as_micros();
        words.extend([quota.limit().to_string(), period.to_string(), quota.burst().to_string()]);
        words.extend([cost.to_string(), u8::from(policy.shadow()).to_string()]);
    }
    world.ask(&words.iter().map(String::as_str).collect::<Vec<_>>()).await
}

/// The result of the arithmetic.
fn in_rust(states: &mut [Option<State>; 4], now: u64, step: &Step, policies: &[Policy]) -> Vec<i64> {
    let name = format!("n{}", step.name);
    let asked = policies.iter().zip(states.iter()).zip(step.costs).map(|((policy, state), cost)| {
        Asked::new(open(policy, state.clone(), now, &name), cost, policy.shadow())
    });
    let mut asked: Vec<Asked> = asked.collect();
    let (room, readings) = act(step.act, &mut asked);
    for (state, asked) in states.iter_mut().zip(asked) {
        *state = asked.state(state.take());
    }
    let signed = |number: u64| i64::try_from(number).unwrap();
    let mut reply = vec![i64::from(room), signed(now)];
    for reading in readings {
        let (verdict, wait) = match reading.room {
            Room::Now => (0, 0),
            Room::In(wait) => (1, signed(wait)),
            Room::Never => (2, 0),
        };
        reply.extend([verdict, signed(reading.left), wait, signed(reading.more), signed(reading.reset)]);
    }
    reply
}

#[test]
fn the_script_and_the_arithmetic_agree_to_the_microsecond() {
    let input = (quota(), quota(), burst(), any::<bool>(), vec(step(), 1..40));
    property(96, &input, &async |world, (first, second, burst, shadow, steps)| {
        let all = [policies(first, burst, shadow), policies(second, burst, shadow)];
        let mut states = [None, None, None, None];
        let mut now = START;
        for (number, step) in steps.iter().enumerate() {
            now = now.saturating_add_signed(step.by);
            let policies = &all[usize::from(step.other)];
            let expected = in_rust(&mut states, now, step, policies);
            let found = in_redis(world, now, step, policies).await;
            assert_eq!(found, expected, "step {number}: {step:?} at {now}");
        }
    });
}

#[test]
fn numbers_of_any_size_are_exact_in_the_script_too() {
    let limit = prop_oneof![1u32..20, 1..=MAX_UNITS];
    // With some of these quotas, several units are replenished per microsecond.
    let millis = prop_oneof![1u64..4, 1u64..=365 * 86_400_000];
    let costs = vec((0..=MAX_UNITS, 0u32..1_000_000), 1..6);
    property(256, &(limit, millis, burst(), costs), &async |world, (limit, millis, burst, costs)| {
        let limit = NonZeroU32::new(limit).unwrap();
        let quota = Quota::new(limit, Duration::from_millis(millis)).unwrap();
        let quota = quota.with_burst(NonZeroU32::new(burst).unwrap()).unwrap_or(quota);
        let policy = [Policy::new("p", Algorithm::Gcra, quota).unwrap()];
        let mut states = [None, None, None, None];
        let mut now = START;
        for (cost, later) in costs {
            now += u64::from(later);
            let step = Step { by: 0, act: Act::Take, costs: [cost.into(), 0, 0, 0], name: 0, other: false };
            let expected = in_rust(&mut states, now, &step, &policy);
            assert_eq!(in_redis(world, now, &step, &policy).await, expected, "{cost} at {now}");
        }
    });
}
