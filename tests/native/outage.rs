//! Redis down, silent or unresponsive: bounded waits, backoff, and recovery.

use crate::support::proxy::{Mode, Proxy};
use crate::support::{Instance, World, on_redis};
use futures_util::future::{join, join_all};
use spindrift::lock::Name;
use spindrift::redis::{RedisError, Value};
use spindrift::value::{NewValue, ValueKey};
use std::time::Duration;

/// Longer than any backoff: 5 s, and 200 ms of jitter.
const LONGEST: Duration = Duration::from_millis(5_200);

async fn ping(instance: &Instance) -> Result<Vec<Value>, RedisError> {
    instance.redis().call("PING", vec![]).await
}

/// A call to a server that does not answer; it ends at its deadline.
async fn ping_in_vain(proxy: &Proxy, instance: &Instance) -> Result<Vec<Value>, RedisError> {
    let heard = proxy.heard();
    let expire = async {
        proxy.heard_more_than(heard).await;
        instance.env.expire_deadlines();
    };
    join(ping(instance), expire).await.0
}

/// How long the client will not try the server again.
async fn rest(instance: &Instance) -> Duration {
    match ping(instance).await {
        Err(RedisError::Down { retry_in, .. }) => retry_in,
        other => panic!("expected Redis to be known to be down, found {other:?}"),
    }
}

async fn behind_proxy(world: &World) -> (Proxy, Instance) {
    let proxy = Proxy::start(world.server.port()).await;
    let instance = world.instance_at(&proxy.url(), "");
    (proxy, instance)
}

fn answered(reply: &Result<Vec<Value>, RedisError>) -> bool {
    reply.as_ref().is_ok_and(|values| *values == [Value::Status("PONG".to_owned())])
}

/// The error says that certainly nothing was sent.
fn not_connected(reply: &Result<Vec<Value>, RedisError>, reason: &str) -> bool {
    matches!(reply, Err(error @ RedisError::NotConnected(_)) if error.reason() == reason && error.was_not_carried_out())
}

#[test]
fn a_silent_server_costs_one_deadline_and_is_then_left_alone() {
    on_redis(async |world| {
        let (proxy, instance) = behind_proxy(world).await;
        proxy.set(Mode::Silent);
        let first = ping_in_vain(&proxy, &instance).await;
        assert!(not_connected(&first, "redis-timeout"), "{first:?}");
        let all = join_all((0..20).map(|_| ping(&instance))).await;
        assert!(all.iter().all(|reply| matches!(reply, Err(RedisError::Down { .. }))), "{all:?}");
        assert_eq!(proxy.accepted(), 1);
        assert!(instance.env.logged("next try in"), "{:?}", instance.env.log_lines());

        proxy.set(Mode::Forward);
        world.clock.advance(rest(&instance).await);
        assert!(answered(&ping(&instance).await));
        assert_eq!(proxy.accepted(), 2);
    });
}

#[test]
fn calls_wait_together_for_a_server_that_falls_silent() {
    on_redis(async |world| {
        let (proxy, instance) = behind_proxy(world).await;
        assert!(answered(&ping(&instance).await));
        proxy.set(Mode::Silent);
        let expire = async {
            proxy.heard_more_than(0).await;
            instance.env.expire_deadlines();
        };
        let (all, ()) = join(join_all((0..20).map(|_| ping(&instance))), expire).await;
        assert!(all.iter().all(|reply| matches!(reply, Err(RedisError::TimedOut(_)))), "{all:?}");
        assert!(rest(&instance).await < Duration::from_millis(250), "twenty calls are one failure");
        assert_eq!(proxy.accepted(), 1);
    });
}

#[test]
fn the_backoff_grows_while_a_server_accepts_and_never_answers() {
    on_redis(async |world| {
        let (proxy, instance) = behind_proxy(world).await;
        proxy.set(Mode::Deaf);
        let mut rests = Vec::new();
        for _ in 0..8 {
            let reply = ping_in_vain(&proxy, &instance).await;
            assert!(matches!(reply, Err(RedisError::TimedOut(_))), "{reply:?}");
            rests.push(rest(&instance).await);
            world.clock.advance(LONGEST);
        }
        // 50 ms doubled each time up to 5 s, and up to 200 ms of jitter.
        for (rest, least) in rests.iter().zip([50, 100, 200, 400, 800, 1600, 3200, 5000]) {
            let bounds = Duration::from_millis(least)..Duration::from_millis(least + 200);
            assert!(bounds.contains(rest), "{rests:?}");
        }
        proxy.set(Mode::Forward);
        assert!(answered(&ping(&instance).await));
        proxy.set(Mode::Silent);
        ping_in_vain(&proxy, &instance).await.unwrap_err();
        assert!(rest(&instance).await < Duration::from_millis(250), "an answer makes good for all failures");
    });
}

#[test]
fn while_one_call_tries_again_the_others_do_not_wait() {
    on_redis(async |world| {
        let (proxy, instance) = behind_proxy(world).await;
        proxy.set(Mode::Silent);
        ping_in_vain(&proxy, &instance).await.unwrap_err();
        world.clock.advance(LONGEST);
        let heard = proxy.heard();
        let others = async {
            proxy.heard_more_than(heard).await;
            let reply = ping(&instance).await;
            assert!(matches!(reply, Err(RedisError::Down { .. })), "{reply:?}");
            instance.env.expire_deadlines();
        };
        let (probe, ()) = join(ping(&instance), others).await;
        assert!(not_connected(&probe, "redis-timeout"), "{probe:?}");
        assert_eq!(proxy.accepted(), 2);
    });
}

#[test]
fn several_commands_at_once_end_an_outage_too() {
    on_redis(async |world| {
        let (mut proxy, instance) = behind_proxy(world).await;
        let (values, name) = (&instance.shared().values, Name::new("a").unwrap());
        let keys = ["a", "b"].map(|key| ValueKey::new(key).unwrap());
        proxy.refuse().await;
        for kind in 0..3 {
            ping(&instance).await.unwrap_err();
            proxy.listen().await;
            world.clock.advance(LONGEST);
            let ask = async || match kind {
                0 => instance.shared().locks.inspect(&name).await.is_ok(),
                1 => values.glance_many(&keys).await.is_ok(),
                _ => values.set(&keys[0], &NewValue::text("x"), None).await.is_ok(),
            };
            // One command opens the connection, and the others do not wait for it.
            ask().await;
            assert!(ask().await, "{kind}");
            proxy.refuse().await;
            ping(&instance).await.unwrap_err();
        }
    });
}

#[test]
fn a_refused_connection_is_an_outage_that_ends() {
    on_redis(async |world| {
        let (mut proxy, instance) = behind_proxy(world).await;
        proxy.refuse().await;
        let reply = ping(&instance).await;
        assert!(not_connected(&reply, "redis-unreachable"), "{reply:?}");
        assert!(matches!(ping(&instance).await, Err(RedisError::Down { .. })));
        proxy.listen().await;
        assert!(matches!(ping(&instance).await, Err(RedisError::Down { .. })));
        assert_eq!(proxy.accepted(), 0);
        world.clock.advance(LONGEST);
        assert!(answered(&ping(&instance).await));
    });
}

#[test]
fn a_server_that_closes_every_connection_is_an_outage_that_ends() {
    on_redis(async |world| {
        let (proxy, instance) = behind_proxy(world).await;
        proxy.set(Mode::Drop);
        let reply = ping(&instance).await;
        assert!(not_connected(&reply, "redis-unreachable"), "{reply:?}");
        assert!(matches!(ping(&instance).await, Err(RedisError::Down { .. })));
        assert_eq!(proxy.accepted(), 1);
        proxy.set(Mode::Forward);
        world.clock.advance(LONGEST);
        assert!(answered(&ping(&instance).await));
    });
}

#[test]
fn a_connection_cut_while_a_call_is_under_way_is_mended_within_the_call() {
    on_redis(async |world| {
        let (proxy, instance) = behind_proxy(world).await;
        assert!(answered(&ping(&instance).await));
        proxy.set(Mode::Silent);
        let cut = async {
            proxy.heard_more_than(0).await;
            proxy.set(Mode::Forward);
            proxy.cut();
        };
        let (reply, ()) = join(ping(&instance), cut).await;
        assert!(answered(&reply), "{reply:?}");
        assert_eq!(proxy.accepted(), 2);
    });
}

#[test]
fn a_caller_that_leaves_while_opening_does_not_wedge_the_client() {
    on_redis(async |world| {
        let (proxy, instance) = behind_proxy(world).await;
        proxy.set(Mode::Silent);
        tokio::select! {
            reply = ping(&instance) => panic!("a silent server answered: {reply:?}"),
            () = proxy.heard_more_than(0) => {}
        }
        proxy.set(Mode::Forward);
        assert!(answered(&ping(&instance).await));
    });
}

#[test]
fn a_caller_that_leaves_while_trying_again_does_not_end_the_outage() {
    on_redis(async |world| {
        let (proxy, instance) = behind_proxy(world).await;
        proxy.set(Mode::Silent);
        for _ in 0..3 {
            ping_in_vain(&proxy, &instance).await.unwrap_err();
            world.clock.advance(LONGEST);
        }
        let heard = proxy.heard();
        tokio::select! {
            reply = ping(&instance) => panic!("a silent server answered: {reply:?}"),
            () = proxy.heard_more_than(heard) => {}
        }
        ping_in_vain(&proxy, &instance).await.unwrap_err();
        assert!(rest(&instance).await >= Duration::from_millis(400), "it is the fourth failure in a row");
    });
}

#[test]
fn a_wall_clock_that_is_set_back_does_not_prolong_an_outage() {
    on_redis(async |world| {
        let (proxy, instance) = behind_proxy(world).await;
        proxy.set(Mode::Silent);
        ping_in_vain(&proxy, &instance).await.unwrap_err();
        proxy.set(Mode::Forward);
        world.clock.set_back(Duration::from_secs(3600));
        world.clock.advance(LONGEST);
        assert!(answered(&ping(&instance).await));
    });
}

#[test]
fn callers_that_wait_for_one_that_left_open_the_connection_themselves() {
    on_redis(async |world| {
        let (proxy, instance) = behind_proxy(world).await;
        proxy.set(Mode::Silent);
        let leaves = async {
            tokio::select! {
                reply = ping(&instance) => panic!("a silent server answered: {reply:?}"),
                () = proxy.heard_more_than(0) => proxy.set(Mode::Forward),
            }
        };
        let ((), all) = join(leaves, join_all((0..5).map(|_| ping(&instance)))).await;
        assert!(all.iter().all(answered), "{all:?}");
        assert_eq!(proxy.accepted(), 2);
    });
}

#[test]
fn a_caller_that_leaves_during_a_command_does_not_disturb_the_next() {
    on_redis(async |world| {
        let (proxy, instance) = behind_proxy(world).await;
        assert!(answered(&ping(&instance).await));
        let blocked = instance.redis().call("BLPOP", vec!["sd:none".into(), 0u64.into()]);
        tokio::select! {
            biased;
            reply = blocked => panic!("nothing was pushed: {reply:?}"),
            () = tokio::task::yield_now() => {}
        }
        proxy.cut();
        assert!(answered(&ping(&instance).await));
    });
}

#[test]
fn a_command_for_which_no_map_of_the_cluster_was_found_is_said_to_be_undone() {
    on_redis(async |world| {
        let proxy = Proxy::start(world.server.port()).await;
        let url = proxy.url();
        let (_, place) = url.split_once("://").unwrap();
        proxy.set(Mode::Hangup);
        for command in ["GET", "PUBLISH"] {
            let instance = world.instance_given(&[("redis_url", &url), ("redis_cluster_nodes", place)], "");
            let reply = instance.redis().call(command, vec!["a".into(), "b".into()]).await;
            assert_eq!(instance.env.wire().take_commands(), ["CLUSTER"]);
            assert!(reply.as_ref().is_err_and(RedisError::was_not_carried_out), "{reply:?}");
        }
    });
}
