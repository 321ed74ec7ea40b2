//! Runs the app described by a `spin.toml` where Spin is not installed: for tests, a first look, development.
//!
//! It is a small host of its own, built on the parts of which Spin is made (wasmtime with its workers for
//! `wasi:http`, hyper, the `redis` client in the version that Spin uses), and is meant to behave like
//! `spin up`: the same command line, output and defaults, the same errors to components, the same
//! lifetimes of instances. The tests in `tests/` run against either, with `SPINDRIFT_SPIN=<path of spin>`
//! against Spin.
//!
//! # Map
//! A command line ([`cli`], [`run`]) names a manifest ([`manifest`]) and values ([`config`]). [`App::load`]
//! turns them into compiled components with everything their instances start from. [`serve`] gives
//! requests from the network to HTTP components ([`http`]), [`subscribe`] gives messages to Redis
//! components ([`subscriber`]). What components reach in turn (HTTP, Redis, variables) is in `outbound`,
//! what makes an instance is in `runtime`.
//!
//! # Supported
//! - `[[trigger.http]]` with components that export `wasi:http/handler@0.3`, or a `static_response`;
//!   exact routes, `:name`, `/...`, `{ private = true }`.
//! - `dependencies.middleware` of an HTTP trigger, by `component` or `path`, with `inherit_configuration`: composed
//!   into one component, which has the permissions of the one behind.
//! - `[[trigger.redis]]` with components that export `spin:redis/inbound-redis@3.0.0`.
//! - Imports: WASI 0.2 and 0.3, `wasi:http@0.3`, `spin:redis@3.0.0`, `spin:variables@3.0.0`.
//! - `[variables]`, `files`, `exclude_files`, `environment`, `variables`, `allowed_outbound_hosts`, with templates.
//!
//! # Differences from Spin
//! - Everything else of Spin is refused when the app is loaded, by name and place: other triggers and
//!   imports (key-value, SQLite, LLM and so on), components for WASI 0.2 HTTP or WAGI, components written
//!   inside a trigger, from a URL or from a registry, and dependencies of components.
//! - A name in `inherit_configuration` that is not part of a configuration is refused; Spin ignores it.
//! - There is no runtime configuration file, TLS listener, log directory, telemetry, or `[component.*.profile]`.
//! - Raw sockets are closed to components; Spin opens those that `allowed_outbound_hosts` permits.
//! - A request to `x.spin.internal` where `x` has no HTTP trigger is an `InternalError` to the component;
//!   Spin ends the component's instance.
//! - TLS, for `https` and `rediss`, is rustls with the web's certificate authorities; Spin adds those of
//!   the system, and uses the system's TLS library for Redis.
//! - `--tcp-nodelay` is this host's own. Without it packets wait for each other as they do in Spin.
//! - On SIGINT and SIGTERM, requests under way get five seconds to finish; Spin drops them.
//! - HTTP and Redis triggers run in one process. As in Spin, the first to end ends all.
//! - A `static_response` with a status or a field that no response can have is refused when the app is loaded, and so
//!   is an entry of `files` with `..` in it; Spin closes the client's connection, and copies the file.
//! - A `static_response` with an unknown key is refused; Spin ignores the key. Two with the same `id` of their triggers are
//!   told apart; in Spin both routes get the later response.
//! - If two entries of `files` have the same destination, the later is used; Spin copies all at once, and either may win.
//! - An empty range (`2..1`) is refused on the command line; Spin answers every request with 500.
//! - The texts of `InvalidName`, for a variable, and of a list `allowed_outbound_hosts` that turns out invalid are this
//!   host's own; the other texts that components see are Spin's.
//! - A line of `.env` that cannot be read ends the start; in Spin it makes the lookups of variables fail.
//! - A `--variable` that the manifest does not declare is reported; Spin says nothing.
//! - A variable that `allowed_outbound_hosts` names and `[variables]` lacks is refused when the app is loaded; Spin
//!   starts the app, and lets the component reach nothing.
//! - Compiled components are kept next to the wasm file, as `.cwasm`: whoever can write there is trusted.
//!   Spin keeps them in a directory of the user.
//! - Without `-f` the manifest is looked for in the current directory only; Spin goes on in those above.
//! - Of the environment variables that tune Spin's engine, only `SPIN_MAX_INSTANCE_COUNT` is read; there is no
//!   `SPIN_OUTBOUND_H2C_PRIOR_KNOWLEDGE` either.
//! - The list of routes says `(static response)` where Spin shows the id of the trigger, and has no descriptions.
//! - It does less for each request than Spin (no tracing, no log files), and is faster: measurements here
//!   show how versions of a component compare, not what Spin will do.
//!
//! The comparison was made with Spin 4.1.0-pre0, byte for byte. It was built on wasmtime 47 and older releases of the other
//! parts; this host is on wasmtime 48, as Spin 4.1.0 is. Only for that reason:
//! - A component does not see those fields of a request, a response or its trailers that it may not set either, such as
//!   `Host`: with wasmtime 47 it saw all but the `Connection` of requests. So it cannot leave out what an origin
//!   names in `Connection` (RFC 9110 §7.6.1).
//! - After a request with both `Transfer-Encoding` and `Content-Length` the connection is closed.
//! - Reading a directory as a file is `EISDIR` rather than an error without a name.
//!
//! Requests without a `Host` or a path, or with a `Host` that contradicts the URI, get no response at all: the
//! connection is closed. That is not a difference: Spin does the same.
#![deny(missing_docs)]

pub mod app;
pub mod cli;
pub mod config;
pub mod console;
pub mod error;
pub mod http;
pub mod manifest;
mod outbound;
pub mod run;
mod runtime;
pub mod subscriber;

pub use app::{App, LoadOptions};
pub use error::Error;
pub use http::{Options, serve};
pub use subscriber::subscribe;
