//! A Redis user with only the permissions in the manual can do everything that Spindrift does.

use crate::limit::{HOUR, policy};
use crate::support::{World, on_redis};
use crate::value::{get, invalidate, key, set, values};
use spindrift::limit::{Algorithm, Demand as Question, Mode};
use spindrift::lock::{Acquired, Demand, Fence, LeaseTime, Name, Owner, Released};
use spindrift::redis::Keys;
use spindrift::time::Ttl;
use spindrift::value::{Condition, NewValue, Terms, ValueKey};
use std::time::Duration;

/// The command in the manual, split into words.
pub(crate) fn documented() -> Vec<&'static str> {
    let manual = include_str!("../../docs/operations.md");
    let (_, rest) = manual.split_once("ACL SETUSER spindrift on >PASSWORD").expect("the manual names them");
    let (permissions, _) = rest.split_once("```").unwrap();
    let command = ["ACL", "SETUSER", "spindrift", "on", ">PASSWORD"];
    command.into_iter().chain(permissions.split_whitespace()).collect()
}

pub(crate) async fn documented_user(world: &World) -> String {
    world.tell(&documented()).await;
    world.server.url().replace("redis://", "redis://spindrift:PASSWORD@")
}

#[test]
fn locks_need_no_other_permissions_than_the_manual_names() {
    on_redis(async |world| {
        let instance = world.instance_at(&documented_user(world).await, "");
        let locks = &instance.shared().locks;
        let (name, owner) = (Name::new("a").unwrap(), Owner::new("one").unwrap());
        let ttl = LeaseTime::new(Duration::from_secs(60)).unwrap();
        for by in ["one", "other"] {
            let demand = Demand::new(name.clone(), Owner::new(by).unwrap(), ttl);
            let granted = matches!(locks.acquire(&demand).await.unwrap(), Acquired::Granted(_));
            assert_eq!(granted, by == "one");
        }
        locks.renew(&name, &owner, ttl).await.unwrap();
        assert_eq!(locks.inspect(&name).await.unwrap().holders.len(), 1);
        locks.check(&name, Fence::new(1).unwrap()).await.unwrap();
        assert_eq!(locks.release(&name, &owner).await.unwrap(), Released::Released);
    });
}

#[test]
fn values_need_no_other_permissions_than_the_manual_names() {
    on_redis(async |world| {
        let instance = world.instance_at(&documented_user(world).await, "");
        let values = values(&instance);
        set(&instance, "a", "1").await;
        values.set_if(&key("a"), &NewValue::text("2"), None, Condition::Present).await.unwrap();
        let make = async || Ok::<_, String>(NewValue::text("3"));
        values.get_or_set(&key("b"), &Terms::default(), make).await.unwrap();
        let fail = async || Err::<NewValue, _>("no".to_owned());
        values.get_or_set(&key("c"), &Terms::default(), fail).await.unwrap_err();
        let many: Vec<ValueKey> = (0..20).map(|n| key(&n.to_string())).collect();
        values.get_many(&many).await.unwrap();
        // The lives of both keys are to be prolonged, and the entries to be read.
        invalidate(&instance, &["a"], &[]).await;
        for part in [Keys::new("sd").values(), Keys::new("sd").values_entries()] {
            world.tell(&["PEXPIRE", part.as_str(), "5000"]).await;
        }
        set(&instance, "d", "1").await;
        assert_eq!(get(&instance, "b").await.as_deref(), Some("3"));
        assert!(values.sweep(Duration::from_secs(60)).await.unwrap().unwrap().finished);
        assert_eq!(get(&instance, "a").await, None);
        values.delete(&key("b")).await.unwrap();
    });
}

#[test]
fn limits_need_no_other_permissions_than_the_manual_names() {
    on_redis(async |world| {
        let instance = world.instance_at(&documented_user(world).await, "");
        let limiter = &instance.app.limiter;
        let identity = limiter.identifier().of_caller(&["me".to_owned()]);
        for algorithm in Algorithm::ALL {
            let policy = policy("p", algorithm, 10, HOUR).with_mode(Mode::Closed);
            let question = Question { policy: &policy, identity: &identity, cost: 1 };
            assert!(limiter.check(&[question]).await.allowed, "{algorithm:?}");
            assert!(limiter.check_as("name".to_owned(), &[question]).await.allowed, "{algorithm:?}");
            limiter.refund("name", &question).await.unwrap();
            limiter.penalty(&question).await.unwrap();
            limiter.block(&policy, &identity, Ttl::MIN).await.unwrap();
            assert!(limiter.reset("p", &identity).await.unwrap());
        }
        assert!(instance.env.log_lines().is_empty(), "{:?}", instance.env.log_lines());
    });
}
