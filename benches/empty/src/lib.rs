//! The minimal handler, using the SDK in the recommended way: `cargo xtask bench` compares everything with it.

use spin_sdk::http::{IntoResponse, Request, StatusCode};
use spin_sdk::http_service;

#[http_service]
async fn handle(_request: Request) -> impl IntoResponse {
    StatusCode::OK
}
