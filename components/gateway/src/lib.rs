//! Placeholder until the pipeline is there: calls the origin.

use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(_request: Request) -> impl IntoResponse {
    let origin = spin_sdk::variables::get("origin_url").await.unwrap_or_default();
    spin_sdk::http::get(format!("{origin}/x")).await
}
