//! Error replies of a real server, and how they are understood.

use crate::support::entries::resource;
use crate::support::server::RedisServer;
use crate::support::{Instance, PREFIX, World, on_redis, run};
use spindrift::redis::{Arg, Keys, RedisError, Value};
use std::time::Duration;

async fn call(instance: &Instance, command: &str, words: &[&str]) -> Result<Vec<Value>, RedisError> {
    instance.redis().call(command, words.iter().map(|word| Arg::from(*word)).collect()).await
}

fn unavailable(reply: &Result<Vec<Value>, RedisError>, word: &str) {
    match reply {
        Err(RedisError::Unavailable(text)) if text.contains(word) => {}
        other => panic!("expected Unavailable with {word}, found {other:?}"),
    }
}

fn refused(reply: &Result<Vec<Value>, RedisError>, word: &str) {
    match reply {
        Err(RedisError::Refused(text)) if text.contains(word) => {}
        other => panic!("expected Refused with {word}, found {other:?}"),
    }
}

/// An error is a reply: the connection stays open.
async fn still_connected(instance: &Instance) {
    let _ = call(instance, "PING", &[]).await;
    assert_eq!(instance.env.wire().opened(), 1);
}

#[test]
fn a_read_only_replica_is_unavailable_for_writing() {
    on_redis(async |world| {
        let instance = world.instance();
        world.tell(&["REPLICAOF", "127.0.0.1", "1"]).await;
        unavailable(&call(&instance, "SET", &["sd:k", "v", "EX", "9"]).await, "ReadOnly");
        let script = "return redis.call('SET', KEYS[1], 'v', 'EX', 9)";
        unavailable(&call(&instance, "EVAL", &[script, "1", "sd:k"]).await, "");
        still_connected(&instance).await;
    });
}

#[test]
fn a_full_server_is_unavailable_for_writing() {
    on_redis(async |world| {
        let instance = world.instance();
        world.tell(&["CONFIG", "SET", "maxmemory", "1"]).await;
        unavailable(&call(&instance, "SET", &["sd:k", "v", "EX", "9"]).await, "OOM");
        let script = "return redis.call('SET', KEYS[1], 'v', 'EX', 9)";
        unavailable(&call(&instance, "EVAL", &[script, "1", "sd:k"]).await, "OOM");
        still_connected(&instance).await;
    });
}

#[test]
fn a_server_that_cannot_persist_is_unavailable_for_writing() {
    on_redis(async |world| {
        let instance = world.instance();
        world.tell(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
        unavailable(&call(&instance, "SET", &["sd:k", "v", "EX", "9"]).await, "NOREPLICAS");
        still_connected(&instance).await;
    });
}

#[test]
fn a_key_of_another_type_refuses_the_command() {
    on_redis(async |world| {
        let instance = world.instance();
        world.tell(&["SET", "sd:k", "v", "EX", "99"]).await;
        refused(&call(&instance, "HGET", &["sd:k", "f"]).await, "WRONGTYPE");
        let script = "return redis.call('HGET', KEYS[1], 'f')";
        refused(&call(&instance, "EVAL", &[script, "1", "sd:k"]).await, "WRONGTYPE");
        still_connected(&instance).await;
    });
}

#[test]
fn a_wrong_command_is_refused() {
    on_redis(async |world| {
        let instance = world.instance();
        refused(&call(&instance, "GET", &[]).await, "wrong number of arguments");
        refused(&call(&instance, "NONSENSE", &[]).await, "unknown command");
        refused(&call(&instance, "EVAL", &["return redis.call('GET')", "0"]).await, "");
        refused(&call(&instance, "EVAL", &["this is not lua", "0"]).await, "");
        refused(&call(&instance, "EVAL", &["return redis.error_reply('ERR own')", "0"]).await, "own");
        still_connected(&instance).await;
    });
}

#[test]
fn a_missing_password_is_refused_and_a_wrong_one_too() {
    on_redis(async |world| {
        world.tell(&["CONFIG", "SET", "requirepass", "right"]).await;
        let with = |credentials: &str| {
            let address = format!("redis://{credentials}127.0.0.1:{}", world.server.port());
            world.instance_at(&address, "")
        };
        refused(&call(&with(""), "PING", &[]).await, "NOAUTH");
        assert!(call(&with(":right@"), "PING", &[]).await.is_ok());
        let wrong = call(&with(":wrong@"), "PING", &[]).await.unwrap_err();
        assert!(!format!("{wrong}").contains("wrong@"), "{wrong}");
        world.tell(&["ACL", "SETUSER", "reader", "on", ">p", "+ping", "~*"]).await;
        refused(&call(&with("reader:p@"), "GET", &["sd:k"]).await, "NOPERM");
    });
}

#[test]
fn an_address_that_is_none_is_denied_at_once() {
    on_redis(async |world| {
        let env = world.instance().env;
        let limits = spindrift::redis::Limits { command: Duration::MAX, connect: Duration::MAX };
        let client = spindrift::redis::Client::new(env, "http://not.redis".to_owned(), limits);
        assert_eq!(client.call("PING", vec![]).await, Err(RedisError::Denied));
    });
}

#[test]
fn a_server_that_is_loading_is_unavailable() {
    run(async || {
        let file = {
            let world = World::start(RedisServer::start().into()).await;
            world.tell(&["DEBUG", "POPULATE", "20000", "sd", "100"]).await;
            world.tell(&["SAVE"]).await;
            world.server.file("dump.rdb")
        };
        // Each key takes ten milliseconds: loading takes longer than the test.
        let options =
            ["--save", "", "--key-load-delay", "10000", "--loading-process-events-interval-bytes", "1024"];
        let server = RedisServer::start_with(&options, &[("dump.rdb", &file)], "Loading RDB");
        let world = World::start(server.into()).await;
        let instance = world.instance();
        unavailable(&call(&instance, "GET", &["sd:1"]).await, "BusyLoadingError");
        still_connected(&instance).await;
    });
}

#[test]
fn a_server_busy_with_a_script_is_unavailable() {
    on_redis(async |world| {
        world.tell(&["CONFIG", "SET", "busy-reply-threshold", "1"]).await;
        let instance = world.instance();
        assert!(call(&instance, "PING", &[]).await.is_ok());
        // The script runs until it is killed.
        let looping = world.instance();
        let endless = call(&looping, "EVAL", &["while true do end", "0"]);
        let asking = async {
            loop {
                match call(&instance, "PING", &[]).await {
                    Ok(_) => tokio::task::yield_now().await,
                    busy => break busy,
                }
            }
        };
        tokio::pin!(endless);
        let busy = tokio::select! {
            ended = &mut endless => panic!("an endless script ended: {ended:?}"),
            busy = asking => busy,
        };
        unavailable(&busy, "BUSY");
        world.tell(&["SCRIPT", "KILL"]).await;
        refused(&endless.await, "");
        still_connected(&instance).await;
    });
}

#[test]
fn a_reply_of_another_shape_is_an_error_of_its_own() {
    on_redis(async |world| {
        let instance = world.instance();
        let ledger = Keys::new(PREFIX).ledger();
        world.tell(&["SET", ledger.as_str(), "nonsense", "EX", "99"]).await;
        let found = instance.store().begin(&resource("/"), "", None, "", Duration::ZERO).await;
        let error = found.unwrap_err();
        assert!(matches!(error, RedisError::Reply(_)), "{error:?}");
        still_connected(&instance).await;
    });
}
