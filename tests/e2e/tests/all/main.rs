//! End-to-end tests: one binary, since linking costs more than running.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod api;
mod bodies;
mod caching;
mod channels;
mod cluster;
mod collapse;
mod config;
mod downloads;
mod events;
mod examples;
mod forwarding;
mod framing;
mod freshness;
mod invalidation;
mod isolation;
mod jobs;
mod limits;
mod locks;
mod middleware;
mod origin_failure;
mod privacy;
mod proxy;
mod purge;
mod purge_race;
mod redis_failure;
mod redis_layout;
mod semantics;
mod session;
mod session_api;
mod subscriber;
mod support;
mod validation;
mod values;
mod vary;
mod webhooks;
