//! Answers with what it observes. The tests of the host read that back, from this host or from Spin.
//!
//! The first segment of the path says what to show, and the query is its argument.

mod message;
mod redis;
mod web;

use http_body_util::BodyExt;
use spin_sdk::http::{HeaderMap, IntoResponse, Request, StatusCode};
use spin_sdk::http_service;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The number of requests that this instance has had.
static COUNT: AtomicU32 = AtomicU32::new(0);

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    let count = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
    let path = request.uri().path().to_owned();
    let argument = request.uri().query().unwrap_or_default().to_owned();
    let text = match path.split('/').nth(1).unwrap_or_default() {
        "headers" => show_headers(&request),
        "variable" => format!("{:?}", spin_sdk::variables::get(&argument).await),
        "file" => format!("{:?}", std::fs::read_to_string(&argument).map_err(|e| e.kind())),
        "write" => format!("{:?}", std::fs::write(&argument, "x").map_err(|e| e.kind())),
        "environment" => format!("{:?}", std::env::var(&argument)),
        "count" => count.to_string(),
        "sleep" => {
            spin_sdk::time::sleep(milliseconds(&argument)).await;
            count.to_string()
        }
        "memory" => memory(&argument),
        "trap" => trap(),
        "print" => print(&argument),
        "hold" => hold(request, count).await,
        "after" => after(&argument),
        "redis" => redis::run(request).await,
        "send" => web::send(request).await,
        "forward" => return web::forward(&argument).await,
        "respond-with" => return web::respond_with(&argument),
        _ => return (StatusCode::NOT_FOUND, HeaderMap::new(), path),
    };
    (StatusCode::OK, HeaderMap::new(), text)
}

fn show_headers(request: &Request) -> String {
    let mut lines = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        lines += &format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
    }
    lines
}

fn milliseconds(text: &str) -> Duration {
    Duration::from_millis(text.parse().unwrap_or_default())
}

fn print(text: &str) -> String {
    println!("out {text}");
    eprintln!("err {text}");
    String::new()
}

/// Prints its number, then waits until the client has sent its whole body, which determines how long this takes.
async fn hold(request: Request, count: u32) -> String {
    println!("holding {count}");
    match request.into_body().collect().await {
        Ok(body) => format!("{} bytes", body.to_bytes().len()),
        Err(error) => format!("{error:?}"),
    }
}

/// GETs `url` after the response was sent, and prints the result.
fn after(url: &str) -> String {
    let url = url.to_owned();
    spin_sdk::wasip3::spawn(async move {
        let (status, _, body) = web::forward(&url).await;
        println!("after {} {body}", status.as_u16());
    });
    "sent".to_owned()
}

#[expect(clippy::panic, reason = "the host has to live with it")]
fn trap() -> String {
    panic!("as asked");
}

/// Allocates this many MiB, and reports whether that succeeded.
fn memory(megabytes: &str) -> String {
    let mut taken: Vec<u8> = Vec::new();
    let wanted = megabytes.parse::<usize>().unwrap_or_default() << 20;
    format!("{:?}", taken.try_reserve(wanted).is_ok())
}
