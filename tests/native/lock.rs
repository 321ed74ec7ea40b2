//! Locks: one holder at a time, fences that only grow, leases that end.

use crate::support::proxy::{Mode, Proxy};
use crate::support::{Instance, PREFIX, World, on_redis};
use futures_util::future::{join, join_all};
use spindrift::env::Clock as _;
use spindrift::lock::{
    Acquired, Checked, Demand, Fence, Lease, LeaseTime, Locks, Name, Owner, Permits, Released, Renewed, Wait,
};
use spindrift::redis::{Keys, RedisError};
use std::cell::{Cell, RefCell};
use std::time::Duration;

type Env = crate::support::env::TestEnv;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn owner(text: &str) -> Owner {
    Owner::new(text).unwrap()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A demand for a lease of one minute on `lock`.
pub(crate) fn demand(lock: &str, by: &str) -> Demand {
    Demand::new(name(lock), owner(by), LeaseTime::new(secs(60)).unwrap())
}

fn locks(instance: &Instance) -> &Locks<Env> {
    &instance.shared().locks
}

async fn acquire(instance: &Instance, demand: &Demand) -> Acquired {
    locks(instance).acquire(demand).await.unwrap()
}

async fn granted(instance: &Instance, demand: &Demand) -> Lease {
    match acquire(instance, demand).await {
        Acquired::Granted(lease) => lease,
        other => panic!("expected a lease, found {other:?}"),
    }
}

async fn release(instance: &Instance, lock: &str, by: &str) -> Released {
    locks(instance).release(&name(lock), &owner(by)).await.unwrap()
}

/// Lets the lease of `by` expire.
async fn end(world: &World, lock: &str, by: &str) {
    let key = Keys::new(PREFIX).lock(lock);
    let lease: String = world.ask(&["HGET", key.as_str(), by]).await;
    let (_, fence) = lease.split_once(' ').unwrap();
    world.tell(&["HSET", key.as_str(), by, &format!("1 {fence}")]).await;
}

#[test]
fn a_lock_has_one_holder_until_it_is_given_back() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let lease = granted(&one, &demand("a", "one")).await;
        assert!(lease.valid_for > secs(59) && lease.valid_for < secs(60), "{lease:?}");
        let refused = acquire(&other, &demand("a", "other")).await;
        let Acquired::Held { ends_in } = refused else { panic!("{refused:?}") };
        assert!(ends_in > secs(50) && ends_in <= secs(60), "{ends_in:?}");
        assert_eq!(release(&other, "a", "other").await, Released::HeldByOthers);
        assert!(matches!(acquire(&other, &demand("a", "other")).await, Acquired::Held { .. }));
        assert_eq!(release(&one, "a", "one").await, Released::Released);
        let next = granted(&other, &demand("a", "other")).await;
        assert!(next.fence > lease.fence);
        assert_eq!(release(&one, "a", "one").await, Released::HeldByOthers);
        assert_eq!(release(&other, "a", "other").await, Released::Released);
        assert_eq!(release(&other, "a", "other").await, Released::NotHeld);
    });
}

#[test]
fn the_same_owner_gets_the_same_lock_and_fence_again() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let first = granted(&one, &demand("a", "one")).await;
        let again = granted(&other, &demand("a", "one")).await;
        assert_eq!(first.fence, again.fence);
        assert!(again.expires_at >= first.expires_at);
        assert_eq!(release(&one, "a", "one").await, Released::Released, "once is enough");
        assert!(granted(&one, &demand("a", "one")).await.fence > first.fence);
    });
}

#[test]
fn fences_grow_strictly_over_ten_thousand_leases() {
    on_redis(async |world| {
        let instance = world.instance();
        let mut last = Fence::new(0).unwrap();
        let (one, other) = (demand("a", "one"), demand("a", "other"));
        for round in 0..10_000 {
            let (demand, by) = if round % 2 == 0 { (&one, "one") } else { (&other, "other") };
            let lease = granted(&instance, demand).await;
            assert!(lease.fence > last, "round {round}");
            last = lease.fence;
            assert_eq!(release(&instance, "a", by).await, Released::Released);
        }
    });
}

#[test]
fn fences_grow_even_when_the_last_one_was_lost() {
    on_redis(async |world| {
        let instance = world.instance();
        let key = Keys::new(PREFIX).lock_fence("a");
        let mut last = granted(&instance, &demand("a", "0")).await.fence;
        for (round, by) in ["1", "2", "3"].into_iter().enumerate() {
            // The key is lost once while the lock is held, and otherwise while it is free.
            if round == 1 {
                end(world, "a", "1").await;
                world.tell(&["DEL", key.as_str()]).await;
            } else {
                world.tell(&["DEL", key.as_str()]).await;
                release(&instance, "a", &round.to_string()).await;
            }
            let fence = granted(&instance, &demand("a", by)).await.fence;
            assert!(fence > last, "round {round}");
            last = fence;
        }
    });
}

#[test]
fn fences_grow_when_the_clock_was_set_back() {
    on_redis(async |world| {
        let instance = world.instance();
        let key = Keys::new(PREFIX).lock_fence("a");
        let lease = granted(&instance, &demand("a", "one")).await;
        release(&instance, "a", "one").await;
        // A fence that was issued while the clock was an hour ahead.
        let ahead = lease.fence.get() + 3_600_000_000;
        world.tell(&["SET", key.as_str(), &ahead.to_string(), "PX", "100000"]).await;
        let next = granted(&instance, &demand("a", "one")).await.fence;
        assert_eq!(next.get(), ahead + 1);
        // The last fence is lost too: what remains is the fence of a lease that is still stored.
        world.tell(&["DEL", key.as_str()]).await;
        end(world, "a", "one").await;
        assert_eq!(granted(&instance, &demand("a", "other")).await.fence.get(), ahead + 2);
    });
}

#[test]
fn a_holder_that_was_paused_is_refused_by_the_check() {
    on_redis(async |world| {
        let (paused, next) = (world.instance(), world.instance());
        let late = granted(&paused, &demand("a", "paused")).await;
        let check =
            async |instance: &Instance, fence| locks(instance).check(&name("table"), fence).await.unwrap();
        assert_eq!(check(&paused, late.fence).await, Checked::Accepted);
        end(world, "a", "paused").await;
        let lease = granted(&next, &demand("a", "next")).await;
        assert_eq!(check(&next, lease.fence).await, Checked::Accepted);
        assert_eq!(check(&paused, late.fence).await, Checked::Refused { greatest: lease.fence });
        assert_eq!(check(&next, lease.fence).await, Checked::Accepted, "as often as it likes");
        let other = locks(&paused).check(&name("other"), late.fence).await.unwrap();
        assert_eq!(other, Checked::Accepted, "another resource has not seen it");
    });
}

#[test]
fn the_greatest_fence_is_compared_exactly() {
    on_redis(async |world| {
        let instance = world.instance();
        let check = async |fence| {
            locks(&instance).check(&name("r"), Fence::new(fence).unwrap()).await.unwrap() == Checked::Accepted
        };
        let most = Fence::MAX.get();
        assert!(check(0).await && check(most - 1).await && check(most).await);
        assert!(!check(most - 1).await);
        assert_eq!(Fence::new(most + 1), None);
    });
}

#[test]
fn renewing_prolongs_a_lease_and_never_takes_one_anew() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let renew = async |by: &str, seconds| {
            let ttl = LeaseTime::new(secs(seconds)).unwrap();
            locks(&one).renew(&name("a"), &owner(by), ttl).await.unwrap()
        };
        assert_eq!(renew("one", 100).await, Renewed::Ended, "there was none");
        let lease = granted(&one, &demand("a", "one")).await;
        let Renewed::Prolonged(longer) = renew("one", 100).await else { panic!("it stands") };
        assert_eq!(longer.fence, lease.fence);
        assert!(longer.valid_for > secs(98) && longer.expires_at > lease.expires_at);
        let left: i64 = world.ask(&["PTTL", Keys::new(PREFIX).lock("a").as_str()]).await;
        assert!(left > 60_000, "{left}");
        assert_eq!(renew("other", 100).await, Renewed::Ended);
        end(world, "a", "one").await;
        assert_eq!(renew("one", 100).await, Renewed::Ended);
        assert!(matches!(acquire(&other, &demand("a", "other")).await, Acquired::Granted(_)));
        assert_eq!(renew("one", 100).await, Renewed::Ended);
        release(&other, "a", "other").await;
        assert_eq!(renew("one", 100).await, Renewed::Ended);
        let there: i64 = world.ask(&["EXISTS", Keys::new(PREFIX).lock("a").as_str()]).await;
        assert_eq!(there, 0);
    });
}

#[test]
fn a_lease_ends_by_itself() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let short = LeaseTime::new(Duration::from_millis(100)).unwrap();
        let lease = granted(&one, &Demand::new(name("a"), owner("one"), short)).await;
        let wait = Wait::new(secs(10)).unwrap();
        let next = granted(&other, &demand("a", "other").waiting(wait)).await;
        assert!(next.fence > lease.fence);
    });
}

#[test]
fn of_fifty_contenders_one_holds_the_lock_at_a_time() {
    on_redis(async |world| {
        let instances: Vec<Instance> = (0..5).map(|_| world.instance()).collect();
        let (holders, fences) = (Cell::new(0), RefCell::new(Vec::new()));
        let contend = async |number: usize| {
            let (instance, by) = (&instances[number % 5], format!("c{number}"));
            let demand = demand("a", &by).waiting(Wait::new(secs(10)).unwrap());
            let lease = loop {
                if let Acquired::Granted(lease) = acquire(instance, &demand).await {
                    break lease;
                }
            };
            holders.set(holders.get() + 1);
            assert_eq!(holders.get(), 1, "{by} is not alone");
            fences.borrow_mut().push(lease.fence);
            for _ in 0..5 {
                instance.redis().call("PING", vec![]).await.unwrap();
                assert_eq!(holders.get(), 1, "{by} is not alone");
            }
            holders.set(holders.get() - 1);
            assert_eq!(release(instance, "a", &by).await, Released::Released);
        };
        join_all((0..50).map(contend)).await;
        let fences = fences.into_inner();
        assert_eq!(fences.len(), 50);
        assert!(fences.is_sorted_by(|one, next| one < next), "{fences:?}");
    });
}

#[test]
fn a_semaphore_never_has_more_holders_than_permits() {
    on_redis(async |world| {
        let instances: Vec<Instance> = (0..4).map(|_| world.instance()).collect();
        let (holders, most) = (Cell::new(0), Cell::new(0));
        let contend = async |number: usize| {
            let (instance, by) = (&instances[number % 4], format!("c{number}"));
            let demand = demand("a", &by).permits(Permits::new(3).unwrap());
            let demand = demand.waiting(Wait::new(secs(10)).unwrap());
            while !matches!(acquire(instance, &demand).await, Acquired::Granted(_)) {}
            holders.set(holders.get() + 1);
            most.set(most.get().max(holders.get()));
            for _ in 0..20 {
                instance.redis().call("PING", vec![]).await.unwrap();
            }
            holders.set(holders.get() - 1);
            assert_eq!(release(instance, "a", &by).await, Released::Released);
        };
        join_all((0..30).map(contend)).await;
        assert_eq!(most.get(), 3);
    });
}

#[test]
fn each_holder_of_a_semaphore_has_a_lease_of_its_own() {
    on_redis(async |world| {
        let instance = world.instance();
        let two = Permits::new(2).unwrap();
        let one = granted(&instance, &demand("a", "1").permits(two)).await;
        let other = granted(&instance, &demand("a", "2").permits(two)).await;
        assert!(other.fence > one.fence);
        assert!(matches!(acquire(&instance, &demand("a", "3").permits(two)).await, Acquired::Held { .. }));
        end(world, "a", "1").await;
        assert!(matches!(acquire(&instance, &demand("a", "3").permits(two)).await, Acquired::Granted(_)));
        let ttl = LeaseTime::new(secs(60)).unwrap();
        let renewed = locks(&instance).renew(&name("a"), &owner("1"), ttl).await.unwrap();
        assert_eq!(renewed, Renewed::Ended);
        assert_eq!(release(&instance, "a", "1").await, Released::HeldByOthers);
        let state = locks(&instance).inspect(&name("a")).await.unwrap();
        let owners: Vec<_> = state.holders.iter().map(|holder| holder.owner.as_str()).collect();
        assert_eq!((owners, state.permits), (vec!["2", "3"], Some(2)));
    });
}

#[test]
fn while_it_is_held_a_lock_is_no_semaphore_and_the_other_way_round() {
    on_redis(async |world| {
        let instance = world.instance();
        let two = |by| demand("a", by).permits(Permits::new(2).unwrap());
        granted(&instance, &demand("a", "lock")).await;
        let refused = acquire(&instance, &two("x").waiting(Wait::new(secs(10)).unwrap())).await;
        assert!(matches!(refused, Acquired::OtherPermits { in_force: 1, .. }), "{refused:?}");
        release(&instance, "a", "lock").await;
        granted(&instance, &two("x")).await;
        let refused = acquire(&instance, &demand("a", "lock")).await;
        assert!(matches!(refused, Acquired::OtherPermits { in_force: 2, .. }), "{refused:?}");
        end(world, "a", "x").await;
        granted(&instance, &demand("a", "lock")).await;
        let state = locks(&instance).inspect(&name("a")).await.unwrap();
        assert_eq!((state.holders.len(), state.permits), (1, Some(1)));
    });
}

#[test]
fn waiting_ends() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        granted(&one, &demand("a", "one")).await;
        let wait = Wait::new(Duration::from_millis(300)).unwrap();
        other.env.wire().take_commands();
        let refused = acquire(&other, &demand("a", "other").waiting(wait)).await;
        assert!(matches!(refused, Acquired::Held { .. }));
        let looks = other.env.wire().take_commands().len();
        assert!((4..=20).contains(&looks), "{looks}");
    });
}

#[test]
fn scripts_that_the_server_forgot_are_sent_again() {
    on_redis(async |world| {
        let instance = world.instance();
        let flush = || world.tell(&["SCRIPT", "FLUSH"]);
        for round in 0..2 {
            flush().await;
            granted(&instance, &demand("a", "one")).await;
            flush().await;
            let ttl = LeaseTime::new(secs(5)).unwrap();
            let renewed = locks(&instance).renew(&name("a"), &owner("one"), ttl).await.unwrap();
            assert!(matches!(renewed, Renewed::Prolonged(_)), "round {round}");
            flush().await;
            locks(&instance).check(&name("r"), Fence::new(round).unwrap()).await.unwrap();
            flush().await;
            assert_eq!(release(&instance, "a", "one").await, Released::Released);
        }
    });
}

#[test]
fn a_free_lock_leaves_nothing_but_its_last_fence_for_a_month() {
    on_redis(async |world| {
        let instance = world.instance();
        let lease = granted(&instance, &demand("a", "one")).await;
        release(&instance, "a", "one").await;
        let fence = Keys::new(PREFIX).lock_fence("a");
        assert_eq!(world.keys().await, [fence.as_str()]);
        let left: i64 = world.ask(&["TTL", fence.as_str()]).await;
        assert!((29 * 86_400..=30 * 86_400).contains(&left), "{left}");
        let state = locks(&instance).inspect(&name("a")).await.unwrap();
        assert_eq!((state.holders.len(), state.permits, state.last_fence), (0, None, Some(lease.fence)));
        let unknown = locks(&instance).inspect(&name("b")).await.unwrap();
        assert_eq!((unknown.holders.len(), unknown.last_fence), (0, None));
    });
}

#[test]
fn names_that_look_alike_are_different_locks() {
    on_redis(async |world| {
        let instance = world.instance();
        let names =
            ["a", "a:f", "a}:f", "{a}", "a%7D", "a}", "A", "a b", "a+b", "é", "e\u{301}", "*", "a/b", "a\\b"];
        for lock in names {
            granted(&instance, &demand(lock, "one")).await;
        }
        for lock in names {
            assert_eq!(release(&instance, lock, "one").await, Released::Released, "{lock}");
        }
    });
}

#[test]
fn a_lease_that_was_granted_too_late_is_given_back() {
    on_redis(async |world| {
        let instance = world.instance();
        instance.redis().call("PING", vec![]).await.unwrap();
        let slow = async { world.clock.advance(secs(60)) };
        let (acquired, ()) = join(acquire(&instance, &demand("a", "one")), slow).await;
        assert_eq!(acquired, Acquired::TooLate);
        granted(&instance, &demand("a", "other")).await;
    });
}

#[test]
fn a_wall_clock_that_is_set_back_makes_no_lease_longer() {
    on_redis(async |world| {
        let instance = world.instance();
        granted(&instance, &demand("a", "one")).await;
        let slow = async {
            world.clock.advance(secs(60));
            world.clock.set_back(secs(60));
        };
        let (name, owner, ttl) = (name("a"), owner("one"), LeaseTime::new(secs(30)).unwrap());
        let (renewed, ()) = join(locks(&instance).renew(&name, &owner, ttl), slow).await;
        assert_eq!(renewed.unwrap(), Renewed::TooLate);
        let slow = async {
            world.clock.advance(secs(60));
            world.clock.set_back(secs(60));
        };
        let (acquired, ()) = join(acquire(&instance, &demand("a", "one")), slow).await;
        assert_eq!(acquired, Acquired::TooLate);
    });
}

#[test]
fn after_a_lost_answer_the_same_owner_goes_on() {
    on_redis(async |world| {
        let proxy = Proxy::start(world.server.port()).await;
        let (one, other) = (world.instance_at(&proxy.url(), ""), world.instance());
        one.redis().call("PING", vec![]).await.unwrap();
        proxy.set(Mode::Deaf);
        let heard = proxy.heard();
        let demand_one = demand("a", "one");
        let expire = async {
            proxy.heard_more_than(heard).await;
            one.env.expire_deadlines();
        };
        let (lost, ()) = join(locks(&one).acquire(&demand_one), expire).await;
        let error = lost.unwrap_err();
        assert!(matches!(error, RedisError::TimedOut(_)) && !error.was_not_carried_out(), "{error:?}");
        // Whether it arrived or not, asking again as the same owner is correct.
        let lease = granted(&other, &demand("a", "one")).await;
        assert_eq!(granted(&other, &demand("a", "one")).await.fence, lease.fence);
        assert!(other.env.now() == world.clock.now());
    });
}

#[test]
fn on_a_full_redis_a_lock_is_renewed_and_released_and_no_other_is_granted() {
    on_redis(async |world| {
        let instance = world.instance();
        granted(&instance, &demand("a", "one")).await;
        world.tell(&["CONFIG", "SET", "maxmemory", "1"]).await;
        let refused = locks(&instance).acquire(&demand("b", "one")).await.unwrap_err();
        assert!(
            matches!(refused, RedisError::Unavailable(_)) && refused.was_not_carried_out(),
            "{refused:?}"
        );
        let ttl = LeaseTime::new(secs(100)).unwrap();
        let renewed = locks(&instance).renew(&name("a"), &owner("one"), ttl).await.unwrap();
        assert!(matches!(renewed, Renewed::Prolonged(_)));
        assert_eq!(release(&instance, "a", "one").await, Released::Released);
        let free: i64 = world.ask(&["EXISTS", Keys::new(PREFIX).lock("b").as_str()]).await;
        assert_eq!(free, 0);
    });
}
