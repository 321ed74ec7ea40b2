//! Cache-aside: one caller computes the value, and what happens when that caller fails, dies or is overtaken.

use crate::support::proxy::{Mode, Proxy};
use crate::support::{Instance, World, on_redis};
use crate::value::{get, invalidate, key, set, values};
use futures_util::future::{join, join_all};
use spindrift::value::{FillError, FillLease, Filled, How, NewValue, Terms, Turn};
use std::cell::Cell;
use std::time::Duration;
use tokio::sync::Notify;

fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// Long enough for any machine.
fn terms() -> Terms {
    Terms { lease: Duration::from_secs(60), wait: Duration::from_secs(60), ..Terms::default() }
}

async fn fill(instance: &Instance, text: &str) -> Filled {
    let make = async || Ok::<_, String>(NewValue::text(text));
    values(instance).get_or_set(&key("a"), &terms(), make).await.unwrap()
}

fn text(filled: &Filled) -> &str {
    std::str::from_utf8(&filled.value.content).unwrap()
}

async fn lease(instance: &Instance) -> FillLease {
    match values(instance).turn_within(&key("a"), Duration::from_secs(60), Duration::ZERO).await.unwrap() {
        Turn::Fill(lease) => lease,
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_a_hundred_callers_on_four_instances_one_makes_the_value() {
    on_redis(async |world| {
        let instances: Vec<Instance> = (0..4).map(|_| world.instance()).collect();
        for round in 0..3 {
            let (made, waiting) = (Cell::new(0), Cell::new(0));
            let at = key(&format!("k{round}"));
            let call = async |number: usize| {
                let instance = &instances[number % 4];
                waiting.set(waiting.get() + 1);
                let make = async || {
                    made.set(made.get() + 1);
                    // Long enough for all others to arrive and check more than once.
                    while waiting.get() < 100 {
                        tokio::task::yield_now().await;
                    }
                    for _ in 0..100 {
                        instance.redis().call("PING", vec![]).await.unwrap();
                    }
                    Ok::<_, String>(NewValue::text(number.to_string()))
                };
                values(instance).get_or_set(&at, &terms(), make).await.unwrap()
            };
            let all = join_all((0..100).map(call)).await;
            assert_eq!(made.get(), 1, "round {round}");
            assert!(all.iter().all(|filled| filled.value.content == all[0].value.content));
            assert_eq!(all.iter().filter(|filled| filled.how == How::Stored).count(), 1);
        }
    });
}

#[test]
fn what_is_there_is_not_made() {
    on_redis(async |world| {
        let instance = world.instance();
        let first = fill(&instance, "1").await;
        assert_eq!((text(&first), first.how), ("1", How::Stored));
        let again = fill(&instance, "2").await;
        assert_eq!((text(&again), again.how), ("1", How::Found));
        assert_eq!(again.value, first.value);
        instance.env.wire().take_commands();
        fill(&instance, "3").await;
        assert_eq!(instance.env.wire().take_commands(), ["MGET"]);
    });
}

#[test]
fn a_maker_that_dies_is_replaced() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let short = Terms { lease: ms(300), ..terms() };
        let started = Notify::new();
        let dead = async || {
            started.notify_one();
            std::future::pending::<Result<NewValue, String>>().await
        };
        let at = key("a");
        let dying = values(&one).get_or_set(&at, &short, dead);
        tokio::select! {
            _ = dying => panic!("it never ends"),
            () = started.notified() => {}
        }
        // The caller is gone, but its lease remains.
        assert!(matches!(
            values(&other).turn_within(&key("a"), ms(60_000), Duration::ZERO).await.unwrap(),
            Turn::Wait { .. }
        ));
        let filled = fill(&other, "2").await;
        assert_eq!((text(&filled), filled.how), ("2", How::Stored));
    });
}

#[test]
fn who_has_waited_long_enough_makes_it_without_storing_it() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let lease = lease(&one).await;
        let impatient = Terms { wait: ms(50), ..terms() };
        let make = async || Ok::<_, String>(NewValue::text("mine"));
        let filled = values(&other).get_or_set(&key("a"), &impatient, make).await.unwrap();
        assert_eq!((text(&filled), filled.how), ("mine", How::NotStored));
        assert_eq!(get(&other, "a").await, None);
        assert!(values(&one).fill(&lease, &NewValue::text("theirs"), None).await.unwrap().is_some());
        assert_eq!(get(&other, "a").await.as_deref(), Some("theirs"));
    });
}

#[test]
fn what_was_begun_before_a_set_or_a_delete_is_not_stored() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        for (meanwhile, expected) in [("set", Some("new")), ("delete", None), ("set and delete", None)] {
            let make = async || {
                if meanwhile.contains("set") {
                    set(&other, "a", "new").await;
                }
                if meanwhile.contains("delete") {
                    values(&other).delete(&key("a")).await.unwrap();
                }
                Ok::<_, String>(NewValue::text("old"))
            };
            let filled = values(&one).get_or_set(&key("a"), &terms(), make).await.unwrap();
            assert_eq!((text(&filled), filled.how), ("old", How::NotStored), "{meanwhile}");
            assert_eq!(get(&one, "a").await.as_deref(), expected, "{meanwhile}");
            values(&one).delete(&key("a")).await.unwrap();
        }
    });
}

#[test]
fn who_looked_before_a_set_gets_no_lease_after_it() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        fill(&one, "1").await;
        fill(&other, "1").await;
        let mut found = 0;
        for _ in 0..50 {
            // Without a ledger, the lease is requested two round trips after the lookup, and a set takes two.
            world.tell(&["FLUSHALL"]).await;
            let (at, zero) = (key("a"), Duration::ZERO);
            let turn = values(&other).turn_within(&at, Duration::from_secs(60), zero);
            let (turn, ()) = join(turn, set(&one, "a", "new")).await;
            match turn.unwrap() {
                Turn::Found(_) => found += 1,
                Turn::Fill(lease) => {
                    let late = values(&other).fill(&lease, &NewValue::text("old"), None).await.unwrap();
                    assert_eq!(late, None);
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(get(&one, "a").await.as_deref(), Some("new"));
        }
        assert!(found > 0, "the lease always came first");
    });
}

#[test]
fn what_was_begun_before_an_invalidation_is_not_found() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        for (at, patterns, tags, found) in [
            ("a", &["a*"][..], &[][..], false),
            ("b", &[][..], &["t"][..], false),
            ("c", &["other"][..], &["u"][..], true),
        ] {
            for ledger_there in [false, true] {
                if !ledger_there {
                    world.tell(&["FLUSHALL"]).await;
                }
                let make = async || {
                    invalidate(&other, patterns, tags).await;
                    let tag = spindrift::value::Tag::new("t").unwrap();
                    Ok::<_, String>(NewValue::text("old").tagged([tag]).unwrap())
                };
                values(&one).get_or_set(&key(at), &terms(), make).await.unwrap();
                assert_eq!(get(&other, at).await.is_some(), found, "{at} {ledger_there}");
                values(&one).delete(&key(at)).await.unwrap();
            }
        }
    });
}

#[test]
fn removing_what_was_invalidated_does_not_stop_who_makes_it_anew() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        // Redis knows all scripts, and the instance knows the invalidation: it requests the lease before it removes
        // the old value.
        fill(&one, "1").await;
        values(&one).delete(&key("a")).await.unwrap();
        set(&one, "a", "old").await;
        invalidate(&one, &["a"], &[]).await;
        set(&one, "b", "1").await;
        let make = async || {
            assert_eq!(get(&other, "a").await, None);
            other.env.settle().await;
            one.env.settle().await;
            Ok::<_, String>(NewValue::text("new"))
        };
        let filled = values(&one).get_or_set(&key("a"), &terms(), make).await.unwrap();
        assert_eq!(filled.how, How::Stored);
        assert_eq!(get(&other, "a").await.as_deref(), Some("new"));
    });
}

#[test]
fn a_failure_is_not_remembered_and_the_next_one_tries_at_once() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let fail = async || Err::<NewValue, _>("no".to_owned());
        let failed = values(&one).get_or_set(&key("a"), &terms(), fail).await;
        assert_eq!(failed, Err(FillError::Failed("no".to_owned())));
        let _at_once = lease(&other).await;
    });
}

#[test]
fn a_failure_is_remembered_where_that_is_asked_for() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let remember = Terms { remember_failure: Some(Duration::from_secs(60)), ..terms() };
        let long = "ß".repeat(1000);
        let fail = async || Err::<NewValue, _>(long.clone());
        let failed = values(&one).get_or_set(&key("a"), &remember, fail).await;
        assert!(matches!(failed, Err(FillError::Failed(_))));
        let make = async || Ok::<_, String>(NewValue::text("1"));
        let again = values(&other).get_or_set(&key("a"), &terms(), make).await;
        assert_eq!(again, Err(FillError::Remembered("ß".repeat(512))));
        // Other operations do not see the stored failure.
        assert_eq!(get(&other, "a").await, None);
        assert!(!values(&other).exists(&key("a")).await.unwrap());
        let many: Vec<_> = (0..9).map(|_| key("a")).collect();
        assert!(values(&other).get_many(&many).await.unwrap().iter().all(Option::is_none));
        invalidate(&one, &["a"], &[]).await;
        assert_eq!(fill(&other, "2").await.how, How::Stored);
    });
}

#[test]
fn the_others_wait_for_the_one_and_find_its_value() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let lease = lease(&one).await;
        let waiting = fill(&other, "2");
        let finishing = async {
            other.redis().call("PING", vec![]).await.unwrap();
            values(&one).fill(&lease, &NewValue::text("1"), None).await.unwrap()
        };
        let (filled, stored) = join(waiting, finishing).await;
        assert!(stored.is_some());
        assert_eq!((text(&filled), filled.how), ("1", How::Found));
    });
}

#[test]
fn a_lease_goes_elsewhere_and_back_as_text() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let token = lease(&one).await.token();
        assert_eq!(FillLease::of_token(key("a"), &token).unwrap().token(), token);
        for wrong in ["", "x", "a.b", "a.b.c", "a.b.-1", "..", "g.b.1", "a..1", &format!("{token}0x")] {
            assert_eq!(FillLease::of_token(key("a"), wrong), None, "{wrong}");
        }
        let another = FillLease::of_token(key("a"), "ab.cd.1").unwrap();
        let value = NewValue::text("1");
        assert_eq!(values(&other).fill(&another, &value, None).await.unwrap(), None);
        assert!(!values(&other).abandon(&another).await.unwrap());
        let elsewhere = FillLease::of_token(key("b"), &token).unwrap();
        assert_eq!(values(&other).fill(&elsewhere, &value, None).await.unwrap(), None);
        let same = FillLease::of_token(key("a"), &token).unwrap();
        assert!(values(&other).fill(&same, &value, None).await.unwrap().is_some());
        assert_eq!(values(&other).fill(&same, &value, None).await.unwrap(), None, "once");
    });
}

#[test]
fn who_gives_the_lease_back_lets_another_have_it_at_once() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let first = lease(&one).await;
        assert!(values(&one).abandon(&first).await.unwrap());
        let _second = lease(&other).await;
        assert!(!values(&one).abandon(&first).await.unwrap());
    });
}

#[test]
fn without_redis_every_caller_makes_it() {
    on_redis(async |world: &World| {
        let proxy = Proxy::start(world.server.port()).await;
        proxy.set(Mode::Drop);
        let instance = world.instance_at(&proxy.url(), "");
        let filled = fill(&instance, "1").await;
        assert_eq!((text(&filled), filled.how), ("1", How::NotStored));
        assert!(instance.env.logged("without Redis"));
        let fail = async || Err::<NewValue, _>("no".to_owned());
        let failed = values(&instance).get_or_set(&key("a"), &terms(), fail).await;
        assert_eq!(failed, Err(FillError::Failed("no".to_owned())));
    });
}

#[test]
fn redis_going_away_while_it_is_made_loses_nothing_but_the_storing() {
    on_redis(async |world: &World| {
        let mut proxy = Proxy::start(world.server.port()).await;
        let instance = world.instance_at(&proxy.url(), "");
        let make = async || {
            proxy.refuse().await;
            Ok::<_, String>(NewValue::text("1"))
        };
        let filled = values(&instance).get_or_set(&key("a"), &terms(), make).await.unwrap();
        assert_eq!((text(&filled), filled.how), ("1", How::NotStored));
        assert!(instance.env.logged("is not stored"));
    });
}
