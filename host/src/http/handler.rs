//! Instances of an HTTP component: created on demand, shared by requests, retired.
//!
//! The workers are wasmtime's, as in Spin; this is only the part that differs between embedders.

use super::reuse::Reuse;
use crate::app::Shared;
use crate::console::error_line;
use crate::error::Error;
use crate::runtime::prepared::Prepared;
use crate::runtime::state::InstanceState;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::time::Sleep;
use wasmtime::component::GuestTaskId;
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, Proxy, ProxyHandler, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::p3::bindings::ServicePre;

/// What a component of an HTTP trigger must export, in any version of 0.3.
const EXPORT: &str = "wasi:http/handler@0.3";

/// A component that answers requests.
pub(crate) struct HttpComponent {
    pub(crate) handler: ProxyHandler<Instances>,
}

impl HttpComponent {
    /// Checks that the component can answer requests, and prepares its workers.
    ///
    /// # Errors
    /// The component does not export the handler.
    pub(crate) fn new(prepared: Prepared, reuse: Reuse) -> Result<Self, Error> {
        let service = ServicePre::new(prepared.pre.clone())
            .map_err(|e| prepared.error(format!("expected the export {EXPORT}: {e:#}")))?;
        let instances = Instances { prepared, service, reuse, app: OnceLock::new() };
        Ok(Self { handler: ProxyHandler::new(instances) })
    }

    /// Tells future instances where their requests to other components go.
    pub(crate) fn attach(&self, app: &Arc<Shared>) {
        _ = self.handler.state().app.set(Arc::downgrade(app));
    }
}

/// Creates instances of one component.
pub(crate) struct Instances {
    prepared: Prepared,
    service: ServicePre<InstanceState>,
    reuse: Reuse,
    app: OnceLock<Weak<Shared>>,
}

impl HandlerState for Instances {
    type StoreData = InstanceState;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<InstanceState, Expiration, Worker>> {
        let mut store = self.prepared.store(self.app.get().cloned().unwrap_or_default())?;
        let proxy = Proxy::P3(self.service.instantiate_async(&mut store).await?);
        let request_timeout = self.reuse.request_timeout.map_or(Duration::MAX, |it| it.sample());
        Ok(Instance {
            store,
            proxy,
            view: InstanceState::http,
            expiration: Expiration {
                idle: self.reuse.idle.sample(),
                request: request_timeout,
                sleep: Box::pin(tokio::time::sleep(Duration::MAX)),
            },
            state: Worker {
                component: self.prepared.id.clone(),
                request_timeout,
                requests: self.reuse.requests.sample(),
                concurrent: self.reuse.concurrent.sample(),
            },
        })
    }
}

/// Detects that an instance has waited, or worked, for too long.
pub(crate) struct Expiration {
    idle: Duration,
    request: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl WorkerExpiration for Expiration {
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        status: WorkerStatus,
        start: Instant,
    ) -> Poll<()> {
        let limit = match status {
            WorkerStatus::Idle => self.idle,
            WorkerStatus::Requests | WorkerStatus::PostReturn => self.request,
        };
        let Some(deadline) = start.checked_add(limit).map(Into::into) else {
            return Poll::Pending;
        };
        if self.sleep.deadline() != deadline {
            self.sleep.as_mut().reset(deadline);
        }
        self.sleep.as_mut().poll(cx)
    }
}

/// The limits that were drawn for one instance.
pub(crate) struct Worker {
    component: String,
    request_timeout: Duration,
    requests: usize,
    concurrent: usize,
}

impl WorkerState for Worker {
    type StoreData = InstanceState;
    type RequestData = ();

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        if total >= self.requests {
            ShouldAccept::Never
        } else if concurrent >= self.concurrent {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _: StoreContextMut<'_, InstanceState>,
        (): (),
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        Box::pin(tokio::time::sleep(self.request_timeout))
    }

    fn drop(&self, store: Store<InstanceState>, result: Result<(), wasmtime::Error>) {
        if let Err(error) = result {
            error_line(format_args!("component {}: an instance failed: {error:?}", self.component));
        }
        drop(store);
    }
}
