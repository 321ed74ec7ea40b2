//! A small origin to try Spindrift on.

use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    format!("demo origin: {} {}\n", request.method(), request.uri())
}
