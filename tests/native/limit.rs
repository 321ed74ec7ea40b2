//! The limiter on a real Redis: what is admitted, refunded, blocked and forgotten.

use crate::support::{Instance, World, on_redis};
use futures_util::future::join_all;
use spindrift::limit::{
    Algorithm, Decision, Demand, Identity, Mode, Policy, Quota, Source, Standing, Verdict,
};
use spindrift::time::Ttl;
use std::num::NonZeroU32;
use std::time::Duration;

pub(crate) const HOUR: u64 = 3_600_000;

fn units(units: u32) -> NonZeroU32 {
    NonZeroU32::new(units).unwrap()
}

/// A policy with `limit` units per `millis` milliseconds.
pub(crate) fn policy(name: &str, algorithm: Algorithm, limit: u32, millis: u64) -> Policy {
    let quota = Quota::new(units(limit), Duration::from_millis(millis)).unwrap();
    Policy::new(name, algorithm, quota).unwrap()
}

impl Instance {
    fn who(&self, name: &str) -> Identity {
        self.app.limiter.identifier().of_caller(&[name.to_owned()])
    }

    async fn ask(&self, policy: &Policy, cost: u32) -> Standing {
        let identity = self.who("me");
        self.app.limiter.check(&[Demand { policy, identity: &identity, cost }]).await.standings[0]
    }

    async fn peek(&self, policy: &Policy, cost: u32) -> Standing {
        let identity = self.who("me");
        self.app.limiter.peek(&[Demand { policy, identity: &identity, cost }]).await.standings[0]
    }

    async fn all(&self, asked: &[(&Policy, &str)]) -> Decision {
        let identities: Vec<Identity> = asked.iter().map(|(_, who)| self.who(who)).collect();
        let demand = |((policy, _), identity)| Demand { policy, identity, cost: 1 };
        let demands: Vec<Demand<'_>> =
            asked.iter().map(|(policy, who)| (*policy, *who)).zip(&identities).map(demand).collect();
        self.app.limiter.check(&demands).await
    }

    async fn refund(&self, policy: &Policy, cost: u32) -> Standing {
        let identity = self.who("me");
        self.app.limiter.refund("", &Demand { policy, identity: &identity, cost }).await.unwrap()
    }

    async fn penalty(&self, policy: &Policy, cost: u32) -> Standing {
        let identity = self.who("me");
        self.app.limiter.penalty(&Demand { policy, identity: &identity, cost }).await.unwrap()
    }
}

fn left(standing: &Standing) -> u64 {
    standing.level.unwrap().remaining
}

fn is_allowed(standing: &Standing) -> bool {
    standing.verdict == Verdict::Allowed
}

fn is_exhausted(standing: &Standing) -> bool {
    matches!(standing.verdict, Verdict::Exhausted { .. })
}

impl World {
    /// The single key with this ending.
    async fn state(&self, end: &str) -> String {
        let keys: Vec<String> = self.keys().await.into_iter().filter(|key| key.ends_with(end)).collect();
        assert_eq!(keys.len(), 1, "{keys:?}");
        keys[0].clone()
    }

    /// Lets time pass for a state of GCRA: moves its arrival time back.
    async fn gcra_passes(&self, name: &str, millis: i64) {
        let Some(key) = self.keys().await.into_iter().find(|key| key.ends_with(&format!(":gcra:{name}")))
        else {
            return;
        };
        let state: String = self.ask(&["GET", &key]).await;
        let (us, part) = state.split_once(':').unwrap();
        let moved = format!("{}:{part}", us.parse::<i64>().unwrap() - millis * 1000);
        self.tell(&["SET", &key, &moved, "KEEPTTL"]).await;
    }
}

#[test]
fn exactly_the_limit_is_let_through_however_many_come_at_once() {
    on_redis(async |world| {
        for algorithm in Algorithm::ALL {
            let policy = policy("p", algorithm, 100, HOUR);
            let instances: Vec<Instance> = (0..4).map(|_| world.instance()).collect();
            let asks = (0..2000).map(|number| instances[number % 4].ask(&policy, 1));
            let allowed = join_all(asks).await.iter().filter(|standing| is_allowed(standing)).count();
            assert_eq!(allowed, 100, "{algorithm:?}");
        }
    });
}

#[test]
fn costs_of_any_size_add_up_to_the_limit() {
    on_redis(async |world| {
        let instance = world.instance();
        for algorithm in [Algorithm::Gcra, Algorithm::Window, Algorithm::Log] {
            let policy = policy("p", algorithm, 10, HOUR);
            let rows =
                [(0, 10, true), (4, 6, true), (7, 6, false), (6, 0, true), (0, 0, true), (1, 0, false)];
            for (cost, remaining, allowed) in rows {
                let standing = instance.ask(&policy, cost).await;
                assert_eq!(
                    (left(&standing), is_allowed(&standing)),
                    (remaining, allowed),
                    "{algorithm:?} {cost}"
                );
            }
            let never = instance.ask(&policy, 11).await;
            assert_eq!(never.verdict, Verdict::Impossible, "{algorithm:?}");
        }
    });
}

#[test]
fn a_cost_that_never_fits_is_another_answer_than_not_now() {
    on_redis(async |world| {
        let instance = world.instance();
        let gcra = policy("p", Algorithm::Gcra, 10, HOUR);
        assert_eq!(instance.ask(&gcra, 11).await.verdict, Verdict::Impossible);
        let log = policy("p", Algorithm::Log, 1000, HOUR);
        assert_eq!(
            instance.ask(&log, 101).await.verdict,
            Verdict::Impossible,
            "more than a log takes at once"
        );
        let slots = policy("p", Algorithm::Concurrency, 10, HOUR);
        assert_eq!(instance.ask(&slots, 2).await.verdict, Verdict::Impossible);
        assert!(world.keys().await.is_empty());
    });
}

/// A bucket of five units that refills by one unit per interval, as a table.
#[test]
fn gcra_counts_as_its_table_says() {
    on_redis(async |world| {
        let instance = world.instance();
        let quota = Quota::new(units(1), Duration::from_secs(100)).unwrap().with_burst(units(5)).unwrap();
        let policy = Policy::new("p", Algorithm::Gcra, quota).unwrap();
        let mut clock = 0;
        // The interval is a hundred seconds, so that the duration of the test does not matter.
        for (at, cost, remaining, retry) in [
            (0, 1, 4, None),
            (0, 1, 3, None),
            (0, 1, 2, None),
            (0, 1, 1, None),
            (0, 1, 0, None),
            (0, 1, 0, Some(100)),
            (0, 0, 0, None),
            (300, 1, 2, None),
            (310, 1, 1, None),
            (310, 3, 1, Some(190)),
            (950, 1, 4, None),
            (950, 2, 2, None),
            (950, 2, 0, None),
            (950, 1, 0, Some(100)),
        ] {
            world.gcra_passes("p", (at - clock) * 1000).await;
            world.clock.advance(Duration::from_secs(2));
            clock = at;
            let standing = instance.ask(&policy, cost).await;
            assert_eq!(left(&standing), remaining, "{cost} at {at}");
            // The test itself takes some time: rounded up to ten seconds.
            let tens = standing.verdict.retry_after().map(|retry| retry.as_secs().div_euclid(10) * 10 + 10);
            assert_eq!(tens, retry, "{cost} at {at}");
        }
    });
}

#[test]
fn looking_takes_nothing() {
    on_redis(async |world| {
        let instance = world.instance();
        for algorithm in Algorithm::ALL {
            let policy = policy("p", algorithm, 2, HOUR);
            for _ in 0..3 {
                assert!(is_allowed(&instance.peek(&policy, 1).await));
                assert_eq!(left(&instance.ask(&policy, 0).await), 2);
            }
            assert!(world.keys().await.is_empty(), "{algorithm:?}");
            instance.ask(&policy, 1).await;
            instance.ask(&policy, 1).await;
            assert!(is_exhausted(&instance.peek(&policy, 1).await), "{algorithm:?}");
            assert!(is_allowed(&instance.ask(&policy, 0).await), "nothing fits always");
            world.tell(&["FLUSHALL"]).await;
        }
    });
}

#[test]
fn what_is_given_back_can_be_taken_again_and_no_more_than_was_taken() {
    on_redis(async |world| {
        let instance = world.instance();
        for algorithm in [Algorithm::Gcra, Algorithm::Window, Algorithm::Log] {
            let policy = policy("p", algorithm, 3, HOUR);
            assert_eq!(left(&instance.refund(&policy, 2).await), 3, "{algorithm:?}");
            assert!(world.keys().await.is_empty());
            for _ in 0..3 {
                instance.ask(&policy, 1).await;
            }
            assert!(is_exhausted(&instance.ask(&policy, 1).await));
            assert_eq!(left(&instance.refund(&policy, 2).await), 2, "{algorithm:?}");
            assert_eq!(left(&instance.ask(&policy, 1).await), 1, "the refusal is forgotten");
            assert_eq!(left(&instance.refund(&policy, 100).await), 3, "{algorithm:?}");
            assert!(world.keys().await.is_empty(), "{algorithm:?}: nothing is kept of who has all");
        }
    });
}

#[test]
fn a_penalty_takes_what_there_is() {
    on_redis(async |world| {
        let instance = world.instance();
        for algorithm in [Algorithm::Gcra, Algorithm::Window, Algorithm::Log] {
            let policy = policy("p", algorithm, 10, HOUR);
            assert_eq!(left(&instance.penalty(&policy, 4).await), 6, "{algorithm:?}");
            assert_eq!(left(&instance.penalty(&policy, 100).await), 0, "{algorithm:?}");
            assert_eq!(left(&instance.penalty(&policy, 1).await), 0, "{algorithm:?}");
            assert!(is_exhausted(&instance.ask(&policy, 1).await));
        }
    });
}

#[test]
fn a_block_refuses_for_its_time_and_a_reset_ends_it() {
    on_redis(async |world| {
        let (instance, other) = (world.instance(), world.instance());
        for algorithm in Algorithm::ALL {
            let policy = policy("p", algorithm, 10, HOUR);
            let me = instance.who("me");
            instance
                .app
                .limiter
                .block(&policy, &me, Ttl::new(Duration::from_secs(600)).unwrap())
                .await
                .unwrap();
            for one in [&instance, &other] {
                let Verdict::Blocked { retry_after } = one.ask(&policy, 1).await.verdict else { panic!() };
                assert!(retry_after > Duration::from_secs(500) && retry_after <= Duration::from_secs(600));
            }
            assert!(matches!(other.peek(&policy, 0).await.verdict, Verdict::Blocked { .. }));
            let level = other.peek(&policy, 1).await.level.unwrap();
            assert_eq!(level.remaining, 0);
            assert!(
                level.more_after > Duration::from_secs(500) && level.more_after <= Duration::from_secs(600)
            );
            let time: (u64, u64) = world.ask(&["TIME"]).await;
            assert!((time.0 + 500..=time.0 + 601).contains(&level.reset_at.as_secs()), "{level:?}");
            assert!(instance.app.limiter.reset("p", &me).await.unwrap());
            assert!(is_allowed(&instance.ask(&policy, 1).await), "{algorithm:?}");
            world.clock.advance_secs(2);
            assert!(is_allowed(&other.ask(&policy, 1).await), "no instance remembers for long");
            assert!(instance.app.limiter.reset("p", &me).await.unwrap());
            assert!(!instance.app.limiter.reset("p", &me).await.unwrap());
            assert_eq!(left(&instance.peek(&policy, 1).await), 10);
        }
    });
}

#[test]
fn several_policies_of_one_identity_are_charged_all_or_none_in_one_script() {
    on_redis(async |world| {
        let instance = world.instance();
        let policies = [
            policy("gcra", Algorithm::Gcra, 3, HOUR),
            policy("window", Algorithm::Window, 10, HOUR),
            policy("log", Algorithm::Log, 10, HOUR),
            policy("slots", Algorithm::Concurrency, 10, HOUR),
        ];
        let asked: Vec<_> = policies.iter().map(|policy| (policy, "me")).collect();
        instance.env.wire().take_commands();
        for _ in 0..3 {
            assert!(instance.all(&asked).await.allowed);
        }
        let commands = instance.env.wire().take_commands();
        assert_eq!(commands.iter().filter(|command| command.starts_with("EVAL")).count(), 4, "{commands:?}");
        for _ in 0..5 {
            let refused = instance.all(&asked).await;
            assert!(!refused.allowed && refused.standings[0].verdict.refuses(), "{refused:?}");
            world.clock.advance_secs(2);
        }
        for (policy, remaining) in policies.iter().zip([0, 7, 7, 7]) {
            assert_eq!(left(&instance.peek(policy, 1).await), remaining, "{}", policy.name());
        }
    });
}

#[test]
fn where_identities_differ_what_one_took_is_given_back_when_another_refuses() {
    on_redis(async |world| {
        let instance = world.instance();
        let policies = [
            policy("one", Algorithm::Gcra, 1, HOUR),
            policy("gcra", Algorithm::Gcra, 10, HOUR),
            policy("log", Algorithm::Log, 10, HOUR),
            policy("slots", Algorithm::Concurrency, 10, HOUR),
        ];
        let asked =
            [(&policies[0], "me"), (&policies[1], "you"), (&policies[2], "they"), (&policies[3], "we")];
        assert!(instance.all(&asked).await.allowed);
        let refused = instance.all(&asked).await;
        assert!(!refused.allowed && refused.retry_after().is_some());
        instance.env.settle().await;
        for (policy, who) in &asked[1..] {
            let identity = instance.who(who);
            let peeked = instance.app.limiter.peek(&[Demand { policy, identity: &identity, cost: 1 }]).await;
            assert_eq!(left(&peeked.standings[0]), 9, "{}", policy.name());
        }
    });
}

#[test]
fn the_same_policy_twice_in_one_question_counts_twice() {
    on_redis(async |world| {
        let instance = world.instance();
        for algorithm in [Algorithm::Gcra, Algorithm::Window, Algorithm::Log] {
            let policy = policy("p", algorithm, 3, HOUR);
            assert!(instance.all(&[(&policy, "me"), (&policy, "me")]).await.allowed);
            assert_eq!(left(&instance.peek(&policy, 1).await), 1, "{algorithm:?}");
            assert!(!instance.all(&[(&policy, "me"), (&policy, "me")]).await.allowed);
            instance.env.settle().await;
            assert_eq!(left(&instance.peek(&policy, 1).await), 1, "{algorithm:?}");
        }
    });
}

#[test]
fn what_was_taken_twice_is_given_back_twice_where_another_refuses() {
    on_redis(async |world| {
        let instance = world.instance();
        let full = policy("full", Algorithm::Gcra, 1, HOUR);
        assert!(instance.all(&[(&full, "other")]).await.allowed);
        for algorithm in [Algorithm::Gcra, Algorithm::Window, Algorithm::Log] {
            let policy = policy("p", algorithm, 3, HOUR);
            // A new instance, which does not know yet that the other limit is exhausted.
            let asking = world.instance();
            assert!(!asking.all(&[(&policy, "me"), (&policy, "me"), (&full, "other")]).await.allowed);
            asking.env.settle().await;
            assert_eq!(left(&instance.peek(&policy, 1).await), 3, "{algorithm:?}");
        }
    });
}

#[test]
fn identities_and_policies_are_counted_apart() {
    on_redis(async |world| {
        let instance = world.instance();
        let (a, b) = (policy("a", Algorithm::Gcra, 1, HOUR), policy("b", Algorithm::Gcra, 1, HOUR));
        for asked in [(&a, "me"), (&a, "you"), (&b, "me")] {
            assert!(instance.all(&[asked]).await.allowed);
            assert!(!instance.all(&[asked]).await.allowed);
        }
        for key in world.keys().await.iter().filter(|key| key.contains("limit")) {
            assert!(!key.contains("me") && !key.contains("you"), "{key}");
        }
    });
}

#[test]
fn in_shadow_a_policy_counts_and_stands_in_nobodys_way() {
    on_redis(async |world| {
        let instance = world.instance();
        let shadow = policy("shadow", Algorithm::Gcra, 1, HOUR).in_shadow(true);
        let real = policy("real", Algorithm::Gcra, 3, HOUR);
        for (number, allowed) in [true, true, true, false].into_iter().enumerate() {
            let decision = instance.all(&[(&shadow, "me"), (&real, "me")]).await;
            assert_eq!(decision.allowed, allowed, "{number}");
            assert_eq!(is_exhausted(&decision.standings[0]), number > 0, "{decision:?}");
            if number < 3 {
                assert_eq!(left(&decision.standings[1]), 2 - number as u64);
            }
        }
    });
}

#[test]
fn a_refusal_is_remembered_for_a_moment_and_redis_is_not_asked_again() {
    on_redis(async |world| {
        let (instance, other) = (world.instance(), world.instance());
        for algorithm in [Algorithm::Gcra, Algorithm::Window, Algorithm::Log] {
            let policy = policy("p", algorithm, 2, HOUR);
            instance.ask(&policy, 1).await;
            let first = instance.ask(&policy, 2).await;
            assert_eq!(first.source, Source::Redis);
            instance.env.settle().await;
            instance.env.wire().take_commands();
            for _ in 0..3 {
                let again = instance.ask(&policy, 2).await;
                assert_eq!((again.source, is_exhausted(&again), left(&again)), (Source::Memory, true, 1));
            }
            instance.env.settle().await;
            let commands = instance.env.wire().take_commands();
            assert!(commands.iter().all(|command| !command.starts_with("EVAL")), "{commands:?}");
            assert!(is_allowed(&instance.ask(&policy, 1).await), "a smaller cost may fit: it is asked");
            assert!(is_exhausted(&instance.ask(&policy, 1).await));
            assert!(is_allowed(&instance.ask(&policy, 0).await), "and nothing always does");
            // Refunded by another instance: noticed within a second.
            other.refund(&policy, 2).await;
            assert_eq!(instance.ask(&policy, 1).await.source, Source::Memory);
            world.clock.advance(Duration::from_millis(1000));
            assert!(is_allowed(&instance.ask(&policy, 1).await));
        }
        // A slot may become free at any time, so a refusal is not remembered.
        let slots = policy("p", Algorithm::Concurrency, 1, HOUR);
        instance.ask(&slots, 1).await;
        for _ in 0..2 {
            assert_eq!(instance.ask(&slots, 1).await.source, Source::Redis);
        }
    });
}

#[test]
fn a_lost_script_cache_is_not_noticed() {
    on_redis(async |world| {
        let instance = world.instance();
        let policy = policy("p", Algorithm::Gcra, 10, HOUR);
        for remaining in (0..10).rev() {
            assert_eq!(left(&instance.ask(&policy, 1).await), remaining);
            world.tell(&["SCRIPT", "FLUSH"]).await;
        }
        assert!(is_exhausted(&instance.ask(&policy, 1).await));
    });
}

#[test]
fn a_clock_that_stepped_back_locks_nobody_out_for_longer_than_a_period() {
    on_redis(async |world| {
        let instance = world.instance();
        let gcra = policy("p", Algorithm::Gcra, 10, HOUR);
        instance.ask(&gcra, 1).await;
        // As if it had been written by a clock that was a day ahead.
        world.gcra_passes("p", -86_400_000).await;
        let standing = instance.ask(&gcra, 1).await;
        assert!(standing.verdict.retry_after().unwrap() <= Duration::from_secs(360), "{standing:?}");
        world.gcra_passes("p", 360_000).await;
        assert_eq!(left(&instance.peek(&gcra, 1).await), 1, "it was written back, and runs empty");

        let window = policy("p", Algorithm::Window, 10, HOUR);
        instance.ask(&window, 10).await;
        let key = world.state(":window:p").await;
        let state: String = world.ask(&["GET", &key]).await;
        let parts: Vec<u64> = state.split(':').map(|part| part.parse().unwrap()).collect();
        let ahead = format!("{}:{}:{}:{}", parts[0], parts[1] + 24, parts[2], parts[3]);
        world.tell(&["SET", &key, &ahead, "KEEPTTL"]).await;
        world.clock.advance_secs(2);
        let standing = instance.ask(&window, 1).await;
        assert!(standing.verdict.retry_after().unwrap() <= Duration::from_secs(7200), "{standing:?}");
        assert_eq!(world.ask::<String>(&["GET", &key]).await, state, "written back");

        for algorithm in [Algorithm::Log, Algorithm::Concurrency] {
            let policy = policy("p", algorithm, 2, HOUR);
            instance.ask(&policy, 1).await;
            let key = world.state(&format!(":{}:p", algorithm.as_str())).await;
            let member: Vec<String> = world.ask(&["ZRANGE", &key, "0", "-1"]).await;
            world.tell(&["ZINCRBY", &key, "86400000000", &member[0]]).await;
            assert_eq!(left(&instance.ask(&policy, 1).await), 1, "{algorithm:?}");
            assert_eq!(world.ask::<u64>(&["ZCARD", &key]).await, 1, "{algorithm:?}: and it is gone");
        }
    });
}

#[test]
fn a_key_that_never_ends_heals() {
    on_redis(async |world| {
        let instance = world.instance();
        for algorithm in Algorithm::ALL {
            let policy = policy("p", algorithm, 10, HOUR);
            instance.ask(&policy, 1).await;
            let key = world.state(&format!(":{}:p", algorithm.as_str())).await;
            world.tell(&["PERSIST", &key]).await;
            assert_eq!(left(&instance.ask(&policy, 1).await), 8, "{algorithm:?}");
            assert_ne!(world.ask::<i64>(&["PTTL", &key]).await, -1, "{algorithm:?}");
            world.tell(&["UNLINK", &key]).await;
        }
        // No request is refused for ever: a key without a time to live gets one again, even when it refuses.
        let gcra = policy("p", Algorithm::Gcra, 10, HOUR);
        instance.penalty(&gcra, 10).await;
        world.gcra_passes("p", -86_400_000_000).await;
        let key = world.state(":gcra:p").await;
        world.tell(&["PERSIST", &key]).await;
        assert!(is_exhausted(&instance.ask(&gcra, 1).await));
        assert_ne!(world.ask::<i64>(&["PTTL", &key]).await, -1, "healed though it refused");

        let me = instance.who("me");
        instance.app.limiter.block(&gcra, &me, Ttl::new(Duration::from_secs(60)).unwrap()).await.unwrap();
        world.tell(&["PERSIST", &world.state(":block:p").await]).await;
        assert!(is_exhausted(&instance.peek(&gcra, 1).await), "not blocked any more");
        assert!(world.keys().await.iter().all(|key| !key.contains(":block:")));
    });
}

#[test]
fn a_window_fades_after_it_has_rolled_over() {
    on_redis(async |world| {
        let instance = world.instance();
        let policy = policy("p", Algorithm::Window, 100, 86_400_000);
        instance.ask(&policy, 100).await;
        let key = world.state(":window:p").await;
        let state: String = world.ask(&["GET", &key]).await;
        let parts: Vec<u64> = state.split(':').map(|part| part.parse().unwrap()).collect();
        let windows_ago = |count: u64| format!("{}:{}:{}:{}", parts[0], parts[1] - count, parts[2], parts[3]);
        world.tell(&["SET", &key, &windows_ago(1), "KEEPTTL"]).await;
        // The time of day determines how much of yesterday still counts.
        let time: (u64, u64) = world.ask(&["TIME"]).await;
        let faded = (time.0 * 1000 + time.1 / 1000) % 86_400_000 * 100 / 86_400_000;
        let now = left(&instance.peek(&policy, 1).await);
        assert!((faded..=faded + 1).contains(&now), "{now} of {faded}");
        world.tell(&["SET", &key, &windows_ago(2), "KEEPTTL"]).await;
        assert_eq!(left(&instance.peek(&policy, 1).await), 100);
    });
}

#[test]
fn units_of_a_log_end_one_by_one() {
    on_redis(async |world| {
        let instance = world.instance();
        let policy = policy("p", Algorithm::Log, 3, HOUR);
        for _ in 0..3 {
            instance.ask(&policy, 1).await;
        }
        let key = world.state(":log:p").await;
        let members: Vec<String> = world.ask(&["ZRANGE", &key, "0", "-1"]).await;
        let an_hour = "-3600000000";
        for (ended, member) in members.iter().enumerate() {
            assert_eq!(left(&instance.peek(&policy, 1).await), ended as u64);
            world.tell(&["ZINCRBY", &key, an_hour, member]).await;
        }
        assert_eq!(left(&instance.peek(&policy, 1).await), 3);
        instance.ask(&policy, 1).await;
        assert_eq!(world.ask::<u64>(&["ZCARD", &key]).await, 1, "what has ended is cleared away");
    });
}

#[test]
fn of_a_log_each_gives_back_its_own() {
    on_redis(async |world| {
        let (instance, policy) = (world.instance(), policy("log", Algorithm::Log, 3, HOUR));
        let (limiter, identity) = (&instance.app.limiter, instance.who("me"));
        let demand = Demand { policy: &policy, identity: &identity, cost: 1 };
        // On its own, and behind a question about somebody else.
        let (other, somebody) = (self::policy("other", Algorithm::Gcra, 3, HOUR), instance.who("somebody"));
        let before = Demand { policy: &other, identity: &somebody, cost: 1 };
        for (number, demands) in [vec![demand], vec![before, demand]].into_iter().enumerate() {
            let first = limiter.check_as(format!("first{number}"), &demands).await;
            limiter.check_as("second".to_owned(), &[demand]).await;
            limiter.give_units_back(&demands, &first);
            instance.env.settle().await;
            let log = world.state(":log:log").await;
            assert_eq!(world.ask::<Vec<String>>(&["ZRANGE", &log, "0", "-1"]).await, ["second:1"]);
        }
    });
}

#[test]
fn a_request_that_is_sent_twice_takes_from_a_log_and_of_slots_once() {
    on_redis(async |world| {
        let instance = world.instance();
        for algorithm in [Algorithm::Log, Algorithm::Concurrency] {
            let policy = policy("p", algorithm, 1, HOUR);
            let identity = instance.who("me");
            let demand = [Demand { policy: &policy, identity: &identity, cost: 1 }];
            for _ in 0..3 {
                let decision = instance.app.limiter.check_as("name".to_owned(), &demand).await;
                assert!(decision.allowed, "{algorithm:?}");
            }
            assert!(!instance.app.limiter.check(&demand).await.allowed, "{algorithm:?}");
        }
    });
}

#[test]
fn a_slot_is_held_until_it_is_let_go_renewed_or_its_time_is_over() {
    on_redis(async |world| {
        let instance = world.instance();
        let policy = policy("p", Algorithm::Concurrency, 2, HOUR);
        let identity = instance.who("me");
        let demand = [Demand { policy: &policy, identity: &identity, cost: 1 }];
        let limiter = &instance.app.limiter;
        let (first, second) = (limiter.check(&demand).await, limiter.check(&demand).await);
        let held = limiter.hold(&demand, &first);
        assert_eq!(held.len(), 1);
        let refused = limiter.check(&demand).await;
        assert!(!refused.allowed && limiter.hold(&demand, &refused).is_empty());

        // The lease of the second slot ends earlier now; renewing it moves the end again.
        let key = world.state(":concurrency:p").await;
        let score =
            async |request: &str| -> f64 { world.ask(&["ZSCORE", &key, &format!("{request}:1")]).await };
        let before = score(&second.request).await;
        world.tell(&["ZINCRBY", &key, "-1000000000", &format!("{}:1", second.request)]).await;
        let kept = limiter.hold(&demand, &second);
        kept[0].renew();
        instance.env.settle().await;
        assert!(score(&second.request).await >= before, "renewed");

        drop(held);
        instance.env.settle().await;
        assert_eq!(left(&limiter.peek(&demand).await.standings[0]), 1);
        // A crash: the slot is not released.
        world.tell(&["ZINCRBY", &key, "-3700000000", &format!("{}:1", second.request)]).await;
        assert_eq!(left(&limiter.peek(&demand).await.standings[0]), 2);
        std::mem::forget(kept);
    });
}

#[test]
fn a_limit_that_was_changed_goes_on_from_what_was_taken() {
    on_redis(async |world| {
        let instance = world.instance();
        for algorithm in [Algorithm::Gcra, Algorithm::Window, Algorithm::Log] {
            let (high, low) = (policy("p", algorithm, 100, HOUR), policy("p", algorithm, 10, HOUR));
            instance.ask(&high, 50).await;
            assert_eq!(left(&instance.peek(&high, 1).await), 50, "{algorithm:?}");
            let lowered = left(&instance.peek(&low, 1).await);
            assert_eq!(lowered, if algorithm == Algorithm::Gcra { 5 } else { 0 }, "{algorithm:?}");
        }
    });
}

#[test]
fn modes_are_those_of_each_policy() {
    let modes = [Mode::Open, Mode::Closed, Mode::Local { instances: units(4) }];
    assert_eq!(policy("p", Algorithm::Gcra, 1, 1000).mode(), Mode::Open);
    for mode in modes {
        assert_eq!(policy("p", Algorithm::Gcra, 1, 1000).with_mode(mode).mode(), mode);
    }
}
