//! Requests from the network: accepted, routed, passed to a component or answered here.

mod handler;
mod headers;
mod respond;
pub mod reuse;
mod route;
mod server;

pub(crate) use handler::HttpComponent;
pub(crate) use respond::{Front, WELL_KNOWN, chain};
pub(crate) use route::{Destination, Router};
pub use server::{Options, serve};
