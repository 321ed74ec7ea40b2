//! Marks what passes through it, and shows what it may use. The tests of the host read that back, from this
//! host or from Spin.
//!
//! Its mark is the variable `mark`, or `-` without one. It appends the mark to `x-passed` of the request and
//! to `x-returned` of the response. Requests below `/own/` it answers itself, as the guest does.

#[path = "../../guest/src/redis.rs"]
mod redis;
#[path = "../../guest/src/web.rs"]
#[expect(dead_code, reason = "it sends, and leaves the rest to the guest")]
mod web;

use spin_sdk::http::{HeaderMap, HeaderName, HeaderValue, IntoResponse, Request, Response, next};
use spin_sdk::http_service;
use spin_sdk::wasip3::http::types::{self, ErrorCode};

/// Its own text, or the response of the component behind it.
enum Answer {
    Own(String),
    Behind(Response),
}

impl IntoResponse for Answer {
    fn into_response(self) -> Result<types::Response, ErrorCode> {
        match self {
            Self::Own(text) => text.into_response(),
            Self::Behind(response) => response.into_response(),
        }
    }
}

#[http_service]
async fn handle(mut request: Request) -> Result<Answer, ErrorCode> {
    let path = request.uri().path().to_owned();
    if let Some(what) = path.strip_prefix("/own/") {
        return Ok(Answer::Own(own(what, request).await));
    }
    let mark = spin_sdk::variables::get("mark").await.unwrap_or_else(|_| "-".to_owned());
    add(request.headers_mut(), HeaderName::from_static("x-passed"), &mark);
    let mut response = next(request).await?;
    add(response.headers_mut(), HeaderName::from_static("x-returned"), &mark);
    Ok(Answer::Behind(response))
}

async fn own(what: &str, request: Request) -> String {
    let argument = request.uri().query().unwrap_or_default().to_owned();
    match what {
        "variable" => format!("{:?}", spin_sdk::variables::get(&argument).await),
        "file" => format!("{:?}", std::fs::read_to_string(&argument).map_err(drop)),
        "environment" => format!("{:?}", std::env::var(&argument)),
        "redis" => redis::run(request).await,
        "send" => web::send(request).await,
        _ => String::new(),
    }
}

fn add(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // Fields that a host forbids are not passed on.
    headers.remove("host");
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.append(name, value);
    }
}
