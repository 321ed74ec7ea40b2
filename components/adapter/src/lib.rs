//! The ports of [`spindrift`] over spin-sdk 7 (WASIp3): the only crate that names the host.
//!
//! [`serve`] answers a request and [`on_message`] handles a message; both build the instance's [`App`] when
//! they are first called and keep it for as long as the instance lives.
#![deny(missing_docs)]

mod app;
mod env;
mod incoming;
mod outgoing;
mod redis;
mod upstream;

pub use env::SpinEnv;
pub use upstream::{Behind, Handling};

use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};
use spindrift::app::App;
use spindrift::pipeline;

/// Answers one HTTP request, from the cache or with what is `behind` it.
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

/// Handles one message of the pub/sub channel.
///
/// # Errors
/// A text for the host's log, when the configuration is wrong or Redis failed.
pub async fn on_message(payload: Vec<u8>) -> Result<(), String> {
    let app = app::instance(Behind::Origin).await.map_err(|problem| problem.detail().to_owned())?;
    match spindrift::event::handle(&app, &payload).await {
        spindrift::event::Handled::Failed => Err("the message could not be handled: Redis failed".to_owned()),
        _ => Ok(()),
    }
}

/// What an instance of ours holds.
pub type SpinApp = App<SpinEnv>;
