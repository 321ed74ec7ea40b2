//! Spindrift: an edge cache you `spin up`.
//!
//! This library is all of Spindrift that does not depend on its host. It decides what an HTTP cache may
//! do ([`cache`]), reads and writes header fields as typed values ([`field`]), keeps responses in Redis
//! ([`redis`], [`cache::store`]) and combines these in one visible request path ([`pipeline`]). It
//! reaches the world only through the ports in [`env`](mod@env): a Spin component implements them with spin-sdk, the
//! tests with a real Redis.
//!
//! In reading order:
//!
//! | module | what it holds |
//! |---|---|
//! | [`pipeline`] | the whole request path, step by step |
//! | [`app`], [`role`] | what an instance keeps between requests; gateway or middleware |
//! | [`env`](mod@env) | the ports: Redis, the upstream, clock, entropy, background work |
//! | [`config`] | `spindrift.toml` and the Spin variables, validated as a whole |
//! | [`field`] | header fields: `Cache-Control`, `Vary`, validators, hop-by-hop, forwarding, `Cache-Status` |
//! | [`cache`] | RFC 9111: keys, storing, freshness, validation, invalidation; the store on Redis |
//! | [`session`] | sessions of visitors, for origins that keep no state of their own |
//! | [`purge`] | purges, and the ledger that tells whether an entry was purged |
//! | [`job`] | the job queue: leases, retries, dead letters, schedules, push delivery |
//! | [`webhook`] | signed messages to the operator's targets |
//! | [`lock`] | locks and semaphores with leases and fences |
//! | [`value`] | the key-value cache: values with a time to live, tags, cache-aside |
//! | [`topic`] | topics: durable events, followed live or later, as Server-Sent Events too |
//! | [`limit`] | rate limits: quotas, identities, the limiter |
//! | [`event`] | the messages on the pub/sub channel |
//! | [`redis`] | connection, deadline, backoff; replies and errors as Spin gives them |
//! | [`api`] | the reserved paths below `/_spindrift/` |
//! | [`metrics`] | counters and latencies, and how they are rendered |
//! | [`problem`], [`invalid`] | our own errors as RFC 9457 problem details; "expected ..., found ..." |
//! | [`body`], [`time`], [`wait`], [`nonce`] | message bodies; points in time, times to live; waiting by polling; unique names |
//! | [`tasks`] | background work that ends before its instance does |
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![expect(async_fn_in_trait, reason = "one wasm instance is one thread: futures need not be Send")]

pub mod api;
pub mod app;
pub mod body;
pub mod cache;
mod codec;
pub mod config;
pub mod env;
pub mod event;
pub mod field;
pub mod invalid;
pub mod job;
pub mod limit;
pub mod lock;
pub mod metrics;
pub mod nonce;
pub mod pipeline;
pub mod problem;
pub mod purge;
pub mod redis;
pub mod role;
pub mod session;
pub mod tasks;
pub mod time;
pub mod topic;
pub mod value;
pub mod wait;
pub mod webhook;
