//! The cost of a purge of a tag with 100,000 stored responses: until it is acknowledged, and while the space is
//! freed. `cargo bench --bench purge`; needs a redis-server, like the tests.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement"
)]
#![allow(dead_code, unused_imports, reason = "shares what the native tests stand on")]

#[path = "../tests/native/support/mod.rs"]
mod support;

use futures_util::future::join_all;
use std::time::{Duration, Instant};

const ENTRIES: usize = 100_000;

fn main() {
    if std::env::args().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    support::on_redis(async |world| {
        let instance = world.instance();
        for batch in 0..ENTRIES / 1000 {
            let put = |number| {
                let instance = &instance;
                async move { instance.put(&format!("/{batch}/{number}"), &["t"], "a page").await }
            };
            join_all((0..1000).map(put)).await;
        }
        world.tell(&["CONFIG", "SET", "slowlog-log-slower-than", "0"]).await;
        world.tell(&["CONFIG", "SET", "slowlog-max-len", "100000"]).await;
        world.tell(&["SLOWLOG", "RESET"]).await;
        let began = Instant::now();
        instance.purge_tag("t").await;
        let acknowledged = began.elapsed();
        assert!(instance.content("/0/0").await.is_none(), "what was purged is not found");
        let began = Instant::now();
        let swept = instance.store().sweep(Duration::from_secs(600)).await.unwrap().unwrap();
        let took = began.elapsed();
        println!("purging a tag with {ENTRIES} responses: acknowledged in {acknowledged:?}");
        println!("giving back the space: {} dropped in {took:?}", swept.dropped);
        println!("the longest command of Redis meanwhile: {} us", slowest(world).await);
    });
}

/// The longest of all commands that Redis executed since the log was reset, in microseconds.
async fn slowest(world: &support::World) -> i64 {
    let log: Vec<redis::Value> = world.ask(&["SLOWLOG", "GET", "100000"]).await;
    let duration = |entry: &redis::Value| match entry {
        redis::Value::Array(fields) => match fields.get(2) {
            Some(redis::Value::Int(micros)) => *micros,
            _ => 0,
        },
        _ => 0,
    };
    log.iter().map(duration).max().unwrap_or(0)
}
