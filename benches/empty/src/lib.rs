//! The least that a handler does who uses the SDK as it is meant to be used: what `cargo xtask bench` measures everything
//! against.

use spin_sdk::http::{IntoResponse, Request, StatusCode};
use spin_sdk::http_service;

#[http_service]
async fn handle(_request: Request) -> impl IntoResponse {
    StatusCode::OK
}
