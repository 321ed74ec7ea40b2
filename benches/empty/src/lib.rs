//! The least that a handler can do: what `cargo xtask bench` measures everything against.

use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Request, Response};
use spin_sdk::wasip3::wit_future;

struct Empty;

spin_sdk::wasip3::http::service::export!(Empty);

impl Guest for Empty {
    async fn handle(_request: Request) -> Result<Response, ErrorCode> {
        let (_, no_trailers) = wit_future::new(|| Ok(None));
        let length = [("content-length".to_owned(), b"0".to_vec())];
        let fields =
            Fields::from_list(&length).map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?;
        let (response, _sent) = Response::new(fields, None, no_trailers);
        Ok(response)
    }
}
