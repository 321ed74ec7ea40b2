//! One connection: opened once, reopened when it breaks, and scripts that a server may forget.

use crate::support::proxy::{Mode, Proxy};
use crate::support::server::RedisServer;
use crate::support::{Instance, PREFIX, World, on_redis};
use futures_util::future::join_all;
use spindrift::redis::{Arg, Keys, RedisError, Script, Value};

static ECHO: Script = Script::new("return {KEYS[1], ARGV[1]}");

async fn ping(instance: &Instance) -> Result<Vec<Value>, RedisError> {
    instance.redis().call("PING", vec![]).await
}

fn pong() -> Result<Vec<Value>, RedisError> {
    Ok(vec![Value::Status("PONG".to_owned())])
}

async fn kill_clients(world: &World) {
    world.tell(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
}

#[test]
fn concurrent_calls_open_one_connection() {
    on_redis(async |world| {
        let instance = world.instance();
        let all = join_all((0..50).map(|_| ping(&instance))).await;
        assert!(all.iter().all(|reply| *reply == pong()), "{all:?}");
        assert_eq!(instance.env.wire().opened(), 1);
    });
}

#[test]
fn a_broken_connection_is_reopened_and_the_call_repeated_once() {
    on_redis(async |world| {
        let instance = world.instance();
        assert_eq!(ping(&instance).await, pong());
        kill_clients(world).await;
        instance.env.wire().take_commands();
        assert_eq!(ping(&instance).await, pong());
        assert_eq!(instance.env.wire().take_commands(), ["PING", "PING"]);
        assert_eq!(instance.env.wire().opened(), 2);
    });
}

#[test]
fn many_calls_on_a_broken_connection_share_the_new_one() {
    on_redis(async |world| {
        let instance = world.instance();
        assert_eq!(ping(&instance).await, pong());
        kill_clients(world).await;
        let all = join_all((0..50).map(|_| ping(&instance))).await;
        assert!(all.iter().all(|reply| *reply == pong()), "{all:?}");
        assert_eq!(instance.env.wire().opened(), 2);
    });
}

#[test]
fn a_call_is_repeated_no_more_than_once() {
    on_redis(async |world| {
        let proxy = Proxy::start(world.server.port()).await;
        let instance = world.instance_at(&proxy.url(), "");
        assert_eq!(ping(&instance).await, pong());
        proxy.set(Mode::Hangup);
        instance.env.wire().take_commands();
        let reply = ping(&instance).await;
        assert!(matches!(reply, Err(RedisError::Unreachable(_))), "{reply:?}");
        assert_eq!(instance.env.wire().take_commands(), ["PING", "PING"]);
        proxy.set(Mode::Forward);
        assert_eq!(ping(&instance).await, pong());
    });
}

#[test]
fn a_script_the_server_does_not_know_is_sent_whole_once() {
    on_redis(async |world| {
        let instance = world.instance();
        let key = Keys::new(PREFIX).counters();
        let run = async || instance.redis().run(&ECHO, &[&key], vec![Arg::from("x")]).await;
        let expected = Ok(vec![Value::Bytes(key.as_str().into()), Value::Bytes("x".into())]);
        assert_eq!(run().await, expected);
        assert_eq!(instance.env.wire().take_commands(), ["EVALSHA", "EVAL"]);
        assert_eq!(run().await, expected);
        assert_eq!(instance.env.wire().take_commands(), ["EVALSHA"]);
        world.tell(&["SCRIPT", "FLUSH"]).await;
        assert_eq!(run().await, expected);
        assert_eq!(instance.env.wire().take_commands(), ["EVALSHA", "EVAL"]);
    });
}

#[test]
fn replies_are_flat() {
    on_redis(async |world| {
        let instance = world.instance();
        let script = "return {1, {2, {'three', false}}, {}, redis.status_reply('FOUR')}";
        let reply = instance.redis().call("EVAL", vec![Arg::from(script), Arg::Int(0)]).await;
        let bytes = |text: &str| Value::Bytes(text.into());
        let status = Value::Status("FOUR".to_owned());
        assert_eq!(reply, Ok(vec![Value::Int(1), Value::Int(2), bytes("three"), Value::Nil, status]));
    });
}

#[test]
fn what_was_sent_before_the_server_went_away_is_not_said_to_be_undone() {
    on_redis(async |world| {
        let mut proxy = Proxy::start(world.server.port()).await;
        let instance = world.instance_at(&proxy.url(), "");
        assert_eq!(ping(&instance).await, pong());
        proxy.refuse().await;
        // One of the calls tries to reopen the connection; the others learn that the server is down.
        for reply in join_all((0..5).map(|_| ping(&instance))).await {
            assert!(reply.as_ref().is_err_and(|error| !error.was_not_carried_out()), "{reply:?}");
        }
        assert!(matches!(ping(&instance).await, Err(RedisError::Down { .. })));
    });
}

#[test]
fn a_server_that_became_a_replica_is_left_for_the_one_behind_its_address() {
    on_redis(async |world| {
        is_left_once(world, &["REPLICAOF", "127.0.0.1", "1"]).await;
        world.tell(&["REPLICAOF", "NO", "ONE"]).await;
    });
}

/// For example a master that does not know yet that a replica was promoted and that the other replicas follow that
/// one.
#[test]
fn a_master_without_its_replicas_is_left_for_the_one_behind_its_address() {
    on_redis(async |world| is_left_once(world, &["CONFIG", "SET", "min-replicas-to-write", "1"]).await);
}

async fn is_left_once(world: &World, told: &[&str]) {
    let proxy = Proxy::start(world.server.port()).await;
    let (instance, key) = (world.instance_at(&proxy.url(), ""), Keys::new(PREFIX).value("k"));
    let set = async || {
        let arguments = ["v", "PX", "9000"].map(Arg::from);
        instance.redis().call("SET", [Arg::from(&key)].into_iter().chain(arguments).collect()).await
    };
    assert!(set().await.is_ok());
    world.tell(told).await;
    // There is no other server: it keeps answering, and no new connection is opened for each call.
    for _ in 0..5 {
        assert!(matches!(set().await, Err(RedisError::Unavailable(_))));
    }
    assert_eq!(instance.env.wire().opened(), 1);
    let other = RedisServer::start();
    proxy.lead_to(other.port());
    world.clock.advance_secs(1);
    assert!(matches!(set().await, Err(RedisError::Unavailable(_))), "nobody knows of it yet");
    assert!(set().await.is_ok());
    assert_eq!(instance.env.wire().opened(), 2);
}

static GROW: Script = Script::new(
    "#!lua\nredis.call('SET', KEYS[1], string.rep('x', ARGV[1]), 'PX', 99000) return redis.status_reply('OK')",
);

#[test]
fn what_is_refused_when_it_is_sent_again_is_not_said_to_be_undone() {
    on_redis(async |world| {
        let proxy = Proxy::start(world.server.port()).await;
        let (instance, key) = (world.instance_at(&proxy.url(), ""), Keys::new(PREFIX).value("large"));
        let grow = async |size: i64| instance.redis().run(&GROW, &[&key], vec![Arg::Int(size)]).await;
        grow(1).await.unwrap();
        let info: String = world.ask(&["INFO", "memory"]).await;
        let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
        let most = used.parse::<u64>().unwrap() + (4 << 20);
        world.tell(&["CONFIG", "SET", "maxmemory", &most.to_string()]).await;
        // The first call is carried out, but its reply is lost. There is no memory left for the second.
        proxy.set(Mode::LoseReply);
        let reply = grow(8 << 20).await;
        assert_eq!(world.ask::<i64>(&["STRLEN", key.as_str()]).await, 8 << 20, "{reply:?}");
        assert!(reply.as_ref().is_err_and(|error| !error.was_not_carried_out()), "{reply:?}");
    });
}

#[test]
fn what_is_refused_by_a_server_that_does_not_know_the_script_is_not_said_to_be_undone() {
    on_redis(async |world| {
        let successor =
            RedisServer::start_with(&["--save", "", "--maxmemory", "1"], &[], "Ready to accept connections");
        let proxy = Proxy::start(world.server.port()).await;
        let (instance, key) = (world.instance_at(&proxy.url(), ""), Keys::new(PREFIX).value("small"));
        let grow = async |size: i64| instance.redis().run(&GROW, &[&key], vec![Arg::Int(size)]).await;
        grow(1).await.unwrap();
        // The first call is carried out, but its reply is lost. The successor has no memory and refuses the script.
        proxy.lead_to(successor.port());
        proxy.set(Mode::LoseReply);
        instance.env.wire().take_commands();
        let reply = grow(2).await;
        assert_eq!(instance.env.wire().take_commands(), ["EVALSHA", "EVALSHA", "EVAL"]);
        assert_eq!(world.ask::<i64>(&["STRLEN", key.as_str()]).await, 2, "{reply:?}");
        assert!(reply.as_ref().is_err_and(|error| !error.was_not_carried_out()), "{reply:?}");
    });
}
