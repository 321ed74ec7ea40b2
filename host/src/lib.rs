//! Runs what a `spin.toml` describes, where Spin itself is not installed.
#![deny(missing_docs)]

pub mod app;
pub mod cli;
pub mod config;
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
