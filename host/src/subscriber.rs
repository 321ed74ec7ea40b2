//! The Redis trigger: messages on channels, one at a time, each for a fresh instance.

use crate::app::App;
use crate::console::{error_line, line};
use crate::error::Error;
use crate::runtime::bindings::inbound_redis::GuestIndices;
use crate::runtime::prepared::Prepared;
use futures_util::StreamExt;
use futures_util::future::join_all;
use redis::Client;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use tokio::runtime::Handle;
use tokio::task::{JoinSet, block_in_place};

/// A component that handles messages.
pub(crate) struct RedisComponent {
    prepared: Prepared,
    handler: GuestIndices,
}

impl RedisComponent {
    /// Checks that the component can handle messages.
    ///
    /// # Errors
    /// The component does not export the handler.
    pub(crate) fn new(prepared: Prepared) -> Result<Self, Error> {
        let handler = GuestIndices::new(&prepared.pre).map_err(|e| {
            prepared.error(format!("expected the export spin:redis/inbound-redis@3.0.0: {e:#}"))
        })?;
        Ok(Self { prepared, handler })
    }

    async fn handle(&self, payload: Vec<u8>) -> Result<(), String> {
        self.call(payload).await.map_err(|e| format!("{e:?}"))?.map_err(|e| format!("handler: {e:?}"))
    }

    async fn call(
        &self,
        payload: Vec<u8>,
    ) -> wasmtime::Result<Result<(), crate::runtime::bindings::redis::Error>> {
        // There are no other components to reach: service chaining belongs to the HTTP trigger.
        let mut store = self.prepared.store(Weak::new())?;
        let instance = self.prepared.pre.instantiate_async(&mut store).await?;
        let guest = self.handler.load(&mut store, &instance)?;
        store.run_concurrent(async |accessor| guest.call_handle_message(accessor, payload).await).await?
    }
}

/// The components that handle messages, by id.
pub(crate) type Components = BTreeMap<String, RedisComponent>;

/// The channels of one server, and the components of each.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// The address, with credentials: never to be printed.
    pub(crate) address: String,
    /// The ids of the components, by channel.
    pub(crate) channels: BTreeMap<String, Vec<String>>,
}

/// Listens on every server until one connection ends. Each has a task of its own, and its components run outside of the
/// runtime's worker threads, so that one that computes for long holds up neither other servers nor the HTTP trigger. It
/// needs a runtime with several threads.
///
/// # Errors
/// Always: a server that cannot be reached, or [`Error::Disconnected`]. Reconnecting is left to whoever
/// started the process, because messages were missed and only they can know what that means.
pub async fn subscribe(app: &App) -> Result<(), Error> {
    let mut listeners = JoinSet::new();
    for subscription in app.subscriptions() {
        // Not the app: it must end with the process, not with the last of these tasks, to remove its copies of files.
        listeners.spawn(listen(app.redis_components(), Arc::clone(subscription)));
    }
    match listeners.join_next().await {
        Some(ended) => ended.map_err(|e| Error::io("Redis trigger", e.into()))?,
        None => Ok(()),
    }
}

async fn listen(all: Arc<Components>, subscription: Arc<Subscription>) -> Result<(), Error> {
    let client = Client::open(subscription.address.as_str())
        .map_err(|e| Error::redis("Redis trigger: expected an address", e))?;
    let server = client.get_connection_info().addr.to_string();
    let failed = |what: &str, e| Error::redis(format!("Redis trigger: {what} {server}"), e);
    let mut pubsub = client.get_async_pubsub().await.map_err(|e| failed("connecting to", e))?;
    line(format_args!("Active Channels on {server}:"));
    for (channel, components) in &subscription.channels {
        pubsub.subscribe(channel).await.map_err(|e| failed("subscribing at", e))?;
        line(format_args!("\t{server}/{channel}: [{}]", components.join(",")));
    }
    let mut messages = pubsub.on_message();
    while let Some(message) = messages.next().await {
        let components = subscription.channels.get(message.get_channel_name());
        let payload = message.get_payload_bytes();
        let handled = join_all(components.into_iter().flatten().map(|id| deliver(&all, id, payload)));
        // A component that computes does not give its thread back, and this may be the one that waits for the network
        // on behalf of all: so the runtime gets another thread in its place.
        block_in_place(|| Handle::current().block_on(handled));
    }
    Err(Error::Disconnected(server))
}

/// Passes a message to a component. A handler that fails is reported; the message is gone in any case.
async fn deliver(all: &Components, id: &str, payload: &[u8]) {
    let Some(component) = all.get(id) else {
        return;
    };
    if let Err(problem) = component.handle(payload.to_vec()).await {
        error_line(format_args!("component {id}: a message failed: {problem}"));
    }
}
