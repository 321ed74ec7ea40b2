//! A small origin for trying out Spindrift.
//!
//! | path | answer |
//! |---|---|
//! | `/uncached` | a page that is never stored |
//! | `/tagged` | a page with the tag `demo`, fresh for an hour |
//! | `/vary` | a page by language |
//! | anything else | a page that is fresh for a minute, with an `ETag` |

use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, Response, StatusCode};
use spin_sdk::http::{FullBody, IntoResponse, Request};
use spin_sdk::http_service;
use std::time::{SystemTime, UNIX_EPOCH};

const TAG: &str = "\"demo-1\"";

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    let path = request.uri().path();
    let mut headers = HeaderMap::new();
    let mut set = |name: http::HeaderName, value: &'static str| {
        headers.insert(name, http::HeaderValue::from_static(value));
    };
    set(CONTENT_TYPE, "text/plain; charset=utf-8");
    match path {
        "/uncached" => set(CACHE_CONTROL, "no-store"),
        "/tagged" => {
            set(CACHE_CONTROL, "max-age=3600");
            set(http::HeaderName::from_static("cache-tag"), "demo");
        }
        "/vary" => {
            set(CACHE_CONTROL, "max-age=60");
            set(VARY, "accept-language");
        }
        _ => {
            set(CACHE_CONTROL, "max-age=60");
            set(ETAG, TAG);
        }
    }
    let unchanged =
        headers.contains_key(ETAG) && request.headers().get(IF_NONE_MATCH).is_some_and(|tag| tag == TAG);
    let (status, page) =
        if unchanged { (StatusCode::NOT_MODIFIED, String::new()) } else { (StatusCode::OK, page(path)) };
    let mut response = Response::new(FullBody::new(bytes::Bytes::from(page)));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn page(path: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("The demo origin answered {path} at {}.{:03} (Unix time).\n", now.as_secs(), now.subsec_millis())
}
