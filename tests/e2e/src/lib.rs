//! What the end-to-end tests are based on: real components in a real host, with a real Redis.
//!
//! A test starts an [`Origin`] with scripted answers, a [`Redis`] of its own and a [`Gateway`] in between, and talks
//! to the gateway with a [`Client`] that can also send invalid requests:
//!
//! ```no_run
//! use spindrift_e2e::{Gateway, Origin, Redis, Reply};
//!
//! let origin = Origin::always(Reply::ok("page").header("cache-control", "max-age=60"));
//! let redis = Redis::start();
//! let gateway = Gateway::before(&origin).redis(&redis).start();
//! assert_eq!(gateway.get("/a").cache_status().forward(), Some("uri-miss"));
//! redis.await_entries(1);
//! assert!(gateway.get("/a").cache_status().is_hit());
//! ```
//!
//! | environment | meaning |
//! |---|---|
//! | `SPINDRIFT_HOST_BIN` | the embedded host; default `target/debug/spindrift-host` |
//! | `SPINDRIFT_APP_DIR` | where `spin.toml` and the built components are; default the workspace |
//! | `SPIN_BIN` | a real `spin` to run the same tests with |
//! | `SPINDRIFT_REDIS_SERVER` | the Redis server; default `redis-server` or `valkey-server` on `PATH` |
//! | `SPINDRIFT_SKIP_E2E=1` | leave all of it out |
//!
//! `cargo xtask test` sets them and builds what they need. No test asserts a duration: tests wait for conditions
//! ([`eventually`]) and decide what happens first with a [`Gate`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a harness fails by panicking")]

mod client;
mod cluster;
mod environment;
mod events;
mod faulty;
mod gateway;
mod message;
mod monitor;
mod origin;
mod process;
mod program;
mod redis;
mod reply;
mod status;
mod subscriber;
mod tls;
mod wait;
mod wire;

pub use client::{Client, Streaming};
pub use cluster::RedisCluster;
pub use events::{Block, Events};
pub use faulty::FaultyRedis;
pub use gateway::{Gateway, Setup, TOKEN};
pub use message::{Headers, Request, Response};
pub use monitor::Monitor;
pub use origin::{Exchange, Origin, Received};
pub use program::{Finished, Program, Script};
pub use redis::{Redis, Reply as RedisReply};
pub use reply::Reply;
pub use status::CacheStatus;
pub use subscriber::Subscriber;
pub use wait::{Gate, PATIENCE, eventually, eventually_some};
