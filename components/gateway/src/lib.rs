//! The gateway: an HTTP component in front of an origin.

use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};
use spindrift_adapter::Behind;

// With the allocator of the standard library a hit costs the host 6 % more CPU time.
#[cfg(target_family = "wasm")]
#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();

struct Gateway;

// Not `#[http_service]`: that macro passes on only requests that its conversion accepts, answers 500 to
// the others, and writes the body only after the head has been sent (see `spindrift_adapter`).
spin_sdk::wasip3::http::service::export!(Gateway);

impl Guest for Gateway {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        spindrift_adapter::serve(request, Behind::Origin).await
    }
}
