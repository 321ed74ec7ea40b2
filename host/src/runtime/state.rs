//! The state of one instance of a component.

use crate::config::variables::ComponentVariables;
use crate::outbound::http::HttpHooks;
use crate::outbound::redis::{HasRedis, RedisState, RedisView};
use crate::outbound::variables::{HasVariables, VariablesView};
use crate::runtime::bindings::{redis, variables};
use std::sync::Arc;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime::{Engine, StoreLimits};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// The data of a store, which host functions can reach.
pub(crate) struct InstanceState {
    pub(crate) table: ResourceTable,
    pub(crate) wasi: WasiCtx,
    pub(crate) http: WasiHttpCtx,
    pub(crate) hooks: HttpHooks,
    pub(crate) redis: RedisState,
    pub(crate) variables: Arc<ComponentVariables>,
    pub(crate) limits: StoreLimits,
}

impl WasiView for InstanceState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for InstanceState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Makes a linker with everything that a component may import.
///
/// # Errors
/// Two of the interfaces clash, which is a mistake in this file.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<InstanceState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    redis::add_to_linker::<_, HasRedis>(&mut linker, |state: &mut InstanceState| RedisView {
        state: &mut state.redis,
        table: &mut state.table,
    })?;
    variables::add_to_linker::<_, HasVariables>(&mut linker, |state: &mut InstanceState| {
        VariablesView(&state.variables)
    })?;
    Ok(linker)
}
