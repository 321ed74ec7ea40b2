//! The minimal work of any hit from Redis: the request is read, one value of 1 KB is requested with a deadline, and
//! is sent with a few fields. Nothing is decided: no key, no `Vary`, no freshness, no purge, no counting. Every cache
//! that is stored in Redis costs at least this much on this host.

use std::cell::RefCell;
use std::hint::black_box;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use spin_sdk::redis::Connection;
use spin_sdk::time::sleep;
use spin_sdk::variables;
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Request, Response};
use spin_sdk::wasip3::wit_bindgen::yield_async;
use spin_sdk::wasip3::{self, wit_future, wit_stream};

struct Get;

// As in the gateway.
#[cfg(target_family = "wasm")]
#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();

wasip3::http::service::export!(Get);

const KEY: &str = "spindrift-bench-get";
const BYTES: usize = 1024;

/// The host has no deadline for a call to a server that does not answer.
const DEADLINE: Duration = Duration::from_millis(250);

thread_local! {
    static CONNECTION: RefCell<Option<Rc<Connection>>> = const { RefCell::new(None) };
}

impl Guest for Get {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = (request.get_scheme(), request.get_authority(), request.get_path_with_query());
        black_box((request.get_method(), target, request.get_headers().copy_all()));
        match value().await {
            Ok(value) => respond(value).await,
            Err(error) => Err(ErrorCode::InternalError(Some(error))),
        }
    }
}

async fn value() -> Result<Vec<u8>, String> {
    let text = |error: spin_sdk::redis::Error| error.to_string();
    let connection = connection().await?;
    let found = match select(pin!(connection.get(KEY)), pin!(sleep(DEADLINE))).await {
        Either::Left((found, _)) => found.map_err(text)?,
        Either::Right(_) => return Err("Redis does not answer".to_owned()),
    };
    if let Some(value) = found {
        return Ok(value);
    }
    let value = vec![b'x'; BYTES];
    connection.set(KEY, value.clone()).await.map_err(text)?;
    Ok(value)
}

async fn connection() -> Result<Rc<Connection>, String> {
    if let Some(connection) = CONNECTION.with_borrow(Clone::clone) {
        return Ok(connection);
    }
    let url = variables::get("redis_url").await.map_err(|error| error.to_string())?;
    let connection = Rc::new(Connection::open(url).await.map_err(|error| error.to_string())?);
    CONNECTION.set(Some(Rc::clone(&connection)));
    Ok(connection)
}

/// The body is sent together with the head: otherwise it waits for the client's delayed acknowledgement.
async fn respond(value: Vec<u8>) -> Result<Response, ErrorCode> {
    let (end, no_trailers) = wit_future::new(|| Ok(None));
    let length = value.len().to_string();
    let fields = [
        ("content-type", "text/plain"),
        ("cache-control", "max-age=60"),
        ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("age", "1"),
        ("cache-status", "bench; hit; ttl=59"),
        ("content-length", &length),
    ]
    .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    let fields =
        Fields::from_list(&fields).map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?;
    let (mut writer, content) = wit_stream::new();
    let mut writing = Box::pin(async move {
        let _ = writer.write_all(value).await;
        drop(end);
    });
    let polled = std::future::poll_fn(|context| std::task::Poll::Ready(writing.as_mut().poll(context))).await;
    if polled.is_pending() {
        wasip3::spawn(writing);
    }
    let (response, _sent) = Response::new(fields, Some(content), no_trailers);
    // As in the gateway: otherwise the head may be sent alone.
    yield_async().await;
    Ok(response)
}
