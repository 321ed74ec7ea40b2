//! A component ready to be instantiated, with the initial state of its instances.

use super::state::InstanceState;
use crate::app::Shared;
use crate::config::variables::ComponentVariables;
use crate::error::Error;
use crate::outbound::http::{HttpClient, HttpHooks};
use crate::outbound::permission::Permission;
use crate::outbound::redis::RedisState;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use wasmtime::component::{InstancePre, ResourceTable};
use wasmtime::{Engine, Store, StoreLimitsBuilder};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};
use wasmtime_wasi_http::WasiHttpCtx;

/// Later than any deadline: nothing in this host interrupts a guest.
const NO_DEADLINE: u64 = u64::MAX / 2;

/// One component of the app.
pub(crate) struct Prepared {
    /// Its id in the manifest.
    pub(crate) id: String,
    /// Its code with every import resolved.
    pub(crate) pre: InstancePre<InstanceState>,
    pub(crate) engine: Engine,
    pub(crate) environment: Vec<(String, String)>,
    /// The directory that is mounted at its `/`.
    pub(crate) files: Option<PathBuf>,
    pub(crate) variables: Arc<ComponentVariables>,
    pub(crate) permission: Permission,
    pub(crate) client: HttpClient,
    /// The most bytes of memory for one instance.
    pub(crate) max_memory: Option<usize>,
    /// Whether its output is shown.
    pub(crate) print: bool,
}

impl Prepared {
    /// Makes a store for one instance, whose requests to other components go to `app`.
    ///
    /// # Errors
    /// The directory of its files is gone.
    pub(crate) fn store(&self, app: Weak<Shared>) -> wasmtime::Result<Store<InstanceState>> {
        let limits = StoreLimitsBuilder::new().memory_size(self.max_memory.unwrap_or(usize::MAX)).build();
        let state = InstanceState {
            table: ResourceTable::new(),
            wasi: self.wasi()?,
            http: WasiHttpCtx::new(),
            hooks: HttpHooks::new(self.permission.clone(), self.client.clone(), app),
            redis: RedisState::new(self.permission.clone()),
            variables: Arc::clone(&self.variables),
            limits,
        };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.limits);
        store.set_epoch_deadline(NO_DEADLINE);
        Ok(store)
    }

    fn wasi(&self) -> wasmtime::Result<WasiCtx> {
        let mut builder = WasiCtxBuilder::new();
        builder.envs(&self.environment);
        if self.print {
            // As in Spin, all that components print goes to stderr: stdout is for what the host says.
            builder.stdout(std::io::stderr()).inherit_stderr();
        }
        if let Some(directory) = &self.files {
            builder.preopened_dir(directory, "/", FsPerms::ReadOnly)?;
        }
        Ok(builder.build())
    }

    /// Makes an error about this component.
    pub(crate) fn error(&self, problem: impl Into<String>) -> Error {
        Error::component(&self.id, problem)
    }
}
