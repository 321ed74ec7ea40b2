//! The library's Redis behaviour, natively, on a real redis-server.
//!
//! Every test starts a server of its own (`SPINDRIFT_REDIS_SERVER`, else `redis-server` or `valkey-server` on
//! `PATH`), and fails if there is none. `SPINDRIFT_SKIP_REDIS=1` leaves all of them out. Clocks and deadlines are
//! moved by hand: no test measures time, or sleeps. Only the nodes of a cluster are asked every 10 ms whether they agree.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test stops where it fails")]

mod agreement;
mod api;
mod attacks;
mod bodies;
mod cases;
mod client;
mod cluster;
mod collapse;
mod compress;
mod degraded;
mod documents;
mod errors;
mod event;
mod exposition;
mod follow;
mod fuzz;
mod jobs;
mod ledger;
mod limit;
mod limit_model;
mod limit_serve;
mod lock;
mod middleware;
mod model;
mod openapi;
mod outage;
mod parts;
mod parts_kept;
mod parts_stale;
mod permissions;
mod privacy;
mod purge;
mod range_attacks;
mod range_whole;
mod ranges;
mod refresh;
mod resume;
mod route_rules;
mod semantics;
mod serve;
mod session;
mod session_guard;
mod session_race;
mod session_route;
mod session_user;
mod store;
mod support;
mod sweep;
mod topic;
mod under_way;
mod validation;
mod value;
mod value_fill;
mod value_invalidation;
mod variants;
mod warm;
mod warm_message;
mod webhooks;
