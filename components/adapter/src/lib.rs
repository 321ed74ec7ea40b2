//! The ports of [`spindrift`] over spin-sdk 7 (WASIp3): the only crate that names the host.
//!
//! [`serve`] answers a request and [`on_message`] handles a message. Both make the instance's [`App`] when
//! they are first called, and keep it as long as the instance lives.
//!
//! A component of your own gets the same with [`app`], and uses values, limits, locks, jobs and topics in process:
//!
//! ```ignore
//! use spin_sdk::wasip3::exports::http::handler::Guest;
//! use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};
//! use spindrift::body::Body;
//! use spindrift::problem::Problem;
//! use spindrift::value::ValueKey;
//!
//! struct Greeter;
//!
//! spin_sdk::wasip3::http::service::export!(Greeter);
//!
//! impl Guest for Greeter {
//!     async fn handle(request: Request) -> Result<Response, ErrorCode> {
//!         spindrift_adapter::answer(request, greeting).await
//!     }
//! }
//!
//! async fn greeting(_: http::Request<Body>) -> Result<http::Response<Body>, Problem> {
//!     let app = spindrift_adapter::app().await?;
//!     let found = app.shared()?.values.get(&ValueKey::new("greeting")?).await?;
//!     Ok(http::Response::new(found.map_or(Body::Empty, |value| value.content.into())))
//! }
//! ```
//! Its manifest gives it the variables `redis_url` and `redis_host`, each optionally with the prefix `spindrift_`, and
//! Redis in `allowed_outbound_hosts`. `examples/` has complete apps.
#![deny(missing_docs)]

mod app;
mod env;
mod incoming;
mod message;
mod outgoing;
mod redis;
mod upstream;

pub use env::SpinEnv;
pub use message::on_message;
pub use upstream::{Behind, Handling};

use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};
use spindrift::app::App;
use spindrift::body::Body;
use spindrift::pipeline;
use spindrift::problem::Problem;
use spindrift::role::Role;
use std::rc::Rc;

/// Answers one HTTP request, from the cache or from what is `behind` it.
///
/// # Errors
/// Only when no response can be made at all; the host then answers 500.
pub async fn serve(request: Request, behind: Behind) -> Result<Response, ErrorCode> {
    let request = incoming::request(request, behind.role())?;
    let response = match app::instance(behind).await {
        Ok(app) => pipeline::serve(&app, request).await,
        Err(problem) => problem.into_response(),
    };
    outgoing::response(response).await
}

/// Returns the app of this instance, for a component that answers requests by itself and uses the library in process:
/// Redis and what is built on it are in [`App::shared`], rate limits in `limiter`. The app is made at the first
/// call, and connects only when that is needed.
///
/// The component's variables are read like those of a middleware, and its `spindrift.toml` if it has one.
///
/// # Errors
/// The answer to all requests while the configuration is invalid. The log says what is wrong.
pub async fn app() -> Result<Rc<SpinApp>, Problem> {
    app::instance(Behind::Nobody).await
}

/// Answers a request to a component of your own with the result of `handler`.
///
/// A body in memory is handed to the host together with its head. The SDK's `#[http_service]` hands it over
/// later, so that it leaves in a packet of its own and waits for the client's delayed acknowledgement, 40 ms. `request`
/// has all its fields, including those that Spin adds.
///
/// # Errors
/// Only when no response can be made at all; the host then answers 500.
pub async fn answer(
    request: Request,
    handler: impl AsyncFnOnce(http::Request<Body>) -> Result<http::Response<Body>, Problem>,
) -> Result<Response, ErrorCode> {
    let request = incoming::request(request, Role::Middleware)?;
    outgoing::response(handler(request).await.unwrap_or_else(Problem::into_response)).await
}

/// The app of an instance in Spin.
pub type SpinApp = App<SpinEnv>;
