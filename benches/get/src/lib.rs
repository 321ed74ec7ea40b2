//! One value of 1 KB from Redis a request, and nothing else: what any cache that is kept there costs on this host.

use std::cell::RefCell;
use std::rc::Rc;

use spin_sdk::redis::Connection;
use spin_sdk::variables;
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Request, Response};
use spin_sdk::wasip3::{self, wit_future, wit_stream};

struct Get;

wasip3::http::service::export!(Get);

const KEY: &str = "spindrift-bench-get";
const BYTES: usize = 1024;

thread_local! {
    static CONNECTION: RefCell<Option<Rc<Connection>>> = const { RefCell::new(None) };
}

impl Guest for Get {
    async fn handle(_request: Request) -> Result<Response, ErrorCode> {
        match value().await {
            Ok(value) => respond(value).await,
            Err(error) => Err(ErrorCode::InternalError(Some(error))),
        }
    }
}

async fn value() -> Result<Vec<u8>, String> {
    let text = |error: spin_sdk::redis::Error| error.to_string();
    let connection = connection().await?;
    if let Some(value) = connection.get(KEY).await.map_err(text)? {
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

/// The body is handed over together with the head: otherwise it waits for the client's delayed acknowledgement.
async fn respond(value: Vec<u8>) -> Result<Response, ErrorCode> {
    let (end, no_trailers) = wit_future::new(|| Ok(None));
    let length = [("content-length".to_owned(), value.len().to_string().into_bytes())];
    let fields =
        Fields::from_list(&length).map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?;
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
    Ok(response)
}
