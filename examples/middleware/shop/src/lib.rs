//! A shop whose answers take a while to compute, and are the same for everybody for a minute.
//!
//! | request | answer |
//! |---|---|
//! | `GET /products/{number}` | a product, in German or English, with an `ETag` and tags to purge it by |
//! | `GET /products.csv` | all products, sent page by page as they are computed |
//! | `POST /orders` | the order, as it was sent |
//!
//! It knows nothing of the cache that `spin.toml` puts in front of it. It only says in the usual fields what any cache
//! may do.

use bytes::Bytes;
use futures_util::stream;
use http::header::{ACCEPT_LANGUAGE, ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body::Frame;
use http_body_util::{Empty, Full, StreamBody};
use spin_sdk::http::{BoxBody, IntoResponse, Request, box_body};
use spin_sdk::http_service;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How many products there are.
const PRODUCTS: u32 = 1000;

/// How many products a page of the list has.
const PAGE: u32 = 100;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    let path = request.uri().path().to_owned();
    match (request.method(), path.strip_prefix("/products/"), path.as_str()) {
        (&Method::GET | &Method::HEAD, Some(number), _) => product(&request, number).await,
        (&Method::GET, None, "/products.csv") => list().await,
        (&Method::POST, None, "/orders") => ordered(request),
        (_, None, "/orders") => refused(StatusCode::METHOD_NOT_ALLOWED, "POST"),
        (_, None, "/products.csv") | (_, Some(_), _) => refused(StatusCode::METHOD_NOT_ALLOWED, "GET"),
        _ => refused(StatusCode::NOT_FOUND, ""),
    }
}

async fn product(request: &Request, number: &str) -> Response<BoxBody> {
    let Some(number) = number.parse().ok().filter(|number| (1..=PRODUCTS).contains(number)) else {
        return refused(StatusCode::NOT_FOUND, "");
    };
    let wanted = request.headers().get(ACCEPT_LANGUAGE).and_then(|wanted| wanted.to_str().ok());
    let language = if wanted.is_some_and(|wanted| wanted.starts_with("de")) { "de" } else { "en" };
    let etag = format!("\"{number}-{language}\"");
    let is_known = request.headers().get(IF_NONE_MATCH).is_some_and(|known| *known == etag);
    let mut response = if is_known {
        Response::new(box_body(Empty::new()))
    } else {
        let name = if language == "de" { "Produkt" } else { "Product" };
        let text = format!("{name} {number}: {}.95, worked out at {}\n", number % 90 + 9, now().await);
        Response::new(box_body(Full::new(Bytes::from(text))))
    };
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    set(&mut response, ETAG, &etag);
    set(&mut response, VARY, "accept-language");
    set(&mut response, HeaderName::from_static("cache-tag"), &format!("products, product-{number}"));
    cacheable(response)
}

async fn list() -> Response<BoxBody> {
    let pages = stream::unfold(1, |first| async move {
        if first > PRODUCTS {
            return None;
        }
        let at = now().await;
        let lines = (first..first + PAGE).map(|number| format!("{number},{}.95,{at}\n", number % 90 + 9));
        Some((
            Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from(lines.collect::<String>()))),
            first + PAGE,
        ))
    });
    let mut response = Response::new(box_body(StreamBody::new(pages)));
    set(&mut response, HeaderName::from_static("cache-tag"), "products");
    cacheable(response)
}

/// Returns what the shop was sent.
fn ordered(request: Request) -> Response<BoxBody> {
    let mut response = Response::new(box_body(request.into_body()));
    *response.status_mut() = StatusCode::CREATED;
    response
}

fn refused(status: StatusCode, allowed: &'static str) -> Response<BoxBody> {
    let mut response = Response::new(box_body(Empty::new()));
    *response.status_mut() = status;
    if !allowed.is_empty() {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    }
    response
}

fn cacheable(mut response: Response<BoxBody>) -> Response<BoxBody> {
    set(&mut response, CACHE_CONTROL, "max-age=60, stale-if-error=600");
    set(&mut response, CONTENT_TYPE, "text/plain; charset=utf-8");
    response
}

fn set(response: &mut Response<BoxBody>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// The Unix time in milliseconds, after the time that the shop takes to answer.
async fn now() -> u128 {
    let delay = spin_sdk::variables::get("delay_ms").await.ok().and_then(|text| text.parse().ok());
    spin_sdk::time::sleep(Duration::from_millis(delay.unwrap_or(300))).await;
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()
}
