//! The middleware: the cache in front of another component of the same app.

use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};
use spindrift_adapter::Behind;

// With the allocator of the standard library a hit costs the host 6 % more CPU time.
#[cfg(target_family = "wasm")]
#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();

/// The import with which the app is composed. `spin_sdk::http::next` would call the same function, but it refuses
/// responses that are ours to judge, and its feature would be enabled for every component built beside this one.
mod next {
    spin_sdk::wit_bindgen::generate!({
        path: "../../wit",
        inline: "package spindrift:next; world next { import wasi:http/handler@0.3.0; }",
        world: "spindrift:next/next",
        runtime_path: "spin_sdk::wit_bindgen::rt",
        with: { "wasi:http/types@0.3.0": spin_sdk::wasip3::http::types },
        generate_all,
    });
}

const NEXT: Behind = Behind::Next(|request| Box::pin(next::wasi::http::handler::handle(request)));

struct Middleware;

// Not `#[http_service]`, for the reasons of the gateway.
spin_sdk::wasip3::http::service::export!(Middleware);

impl Guest for Middleware {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        spindrift_adapter::serve(request, NEXT).await
    }
}
