//! `spin:redis/redis@3.0.0`: connections that live in an instance.
//!
//! Any number of commands can be in flight on one connection at the same time. As in Spin there is no
//! timeout, no reconnecting and no pool across instances: that is up to the component.

use super::permission::Permission;
use super::reply::{LIMIT, Reply};
use crate::runtime::bindings::redis::{self as wit, Error, Payload, RedisParameter, RedisResult};
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, ErrorKind, RedisError};
use wasmtime::component::{Accessor, HasData, Resource, ResourceTable};

/// The most connections that one instance may have open.
const MAX_CONNECTIONS: usize = 1024;

/// One open connection.
#[expect(unreachable_pub, reason = "generated bindings re-export it")]
pub struct Connection(MultiplexedConnection);

/// The state of an instance for Redis.
pub(crate) struct RedisState {
    permission: Permission,
    open: usize,
}

impl RedisState {
    pub(crate) fn new(permission: Permission) -> Self {
        Self { permission, open: 0 }
    }
}

/// The parts of an instance that Redis calls use.
pub(crate) struct RedisView<'a> {
    pub(crate) state: &'a mut RedisState,
    pub(crate) table: &'a mut ResourceTable,
}

/// Identifies [`RedisView`] to the linker.
pub(crate) struct HasRedis;

impl HasData for HasRedis {
    type Data<'a> = RedisView<'a>;
}

impl RedisView<'_> {
    fn add(&mut self, connection: MultiplexedConnection) -> Result<Resource<Connection>, Error> {
        if self.state.open >= MAX_CONNECTIONS {
            return Err(Error::TooManyConnections);
        }
        let added = self.table.push(Connection(connection)).map_err(|_| Error::TooManyConnections)?;
        self.state.open += 1;
        Ok(added)
    }
}

impl wit::Host for RedisView<'_> {}

impl wit::HostConnection for RedisView<'_> {
    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        if self.table.delete(connection).is_ok() {
            self.state.open -= 1;
        }
        Ok(())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn other(error: RedisError) -> Error {
    Error::Other(error.to_string())
}

fn too_big() -> Error {
    Error::Other(format!("query result exceeds limit of {LIMIT} bytes"))
}

/// Clones the handle of a connection, so that the instance is not borrowed while a command is in flight.
fn handle<T>(
    accessor: &Accessor<T, HasRedis>,
    connection: &Resource<Connection>,
) -> Result<MultiplexedConnection, Error> {
    accessor.with(|mut access| {
        let gone = |_| Error::Other("could not find connection for resource".to_owned());
        access.get().table.get(connection).map(|it| it.0.clone()).map_err(gone)
    })
}

async fn connect(address: &str) -> Result<MultiplexedConnection, Error> {
    let client = redis::Client::open(address).map_err(|_| Error::InvalidAddress)?;
    client.get_multiplexed_async_connection().await.map_err(other)
}

impl<T: Send> wit::HostConnectionWithStore<T> for HasRedis {
    async fn open(accessor: &Accessor<T, Self>, address: String) -> Result<Resource<Connection>, Error> {
        let permission = accessor.with(|mut access| access.get().state.permission.clone());
        if !permission.allows(&address, "redis").map_err(Error::Other)? {
            return Err(Error::InvalidAddress);
        }
        let connection = connect(&address).await?;
        accessor.with(|mut access| access.get().add(connection))
    }

    async fn publish(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        channel: String,
        payload: Payload,
    ) -> Result<(), Error> {
        handle(accessor, &connection)?.publish(channel, payload).await.map_err(other)
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
    ) -> Result<Option<Payload>, Error> {
        let value: Option<Vec<u8>> = handle(accessor, &connection)?.get(key).await.map_err(other)?;
        let size = size_of::<Option<Vec<u8>>>() + value.as_ref().map_or(0, Vec::len);
        if size > LIMIT { Err(too_big()) } else { Ok(value) }
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
        value: Payload,
    ) -> Result<(), Error> {
        handle(accessor, &connection)?.set(key, value).await.map_err(other)
    }

    async fn incr(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
    ) -> Result<i64, Error> {
        handle(accessor, &connection)?.incr(key, 1).await.map_err(other)
    }

    async fn del(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        keys: Vec<String>,
    ) -> Result<u32, Error> {
        handle(accessor, &connection)?.del(keys).await.map_err(other)
    }

    async fn sadd(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
        values: Vec<String>,
    ) -> Result<u32, Error> {
        let added = handle(accessor, &connection)?.sadd(key, values).await;
        added.map_err(|e| if e.kind() == ErrorKind::TypeError { Error::TypeError } else { other(e) })
    }

    async fn smembers(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
    ) -> Result<Vec<String>, Error> {
        handle(accessor, &connection)?.smembers(key).await.map_err(other)
    }

    async fn srem(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
        values: Vec<String>,
    ) -> Result<u32, Error> {
        handle(accessor, &connection)?.srem(key, values).await.map_err(other)
    }

    async fn execute(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        command: String,
        arguments: Vec<RedisParameter>,
    ) -> Result<Vec<RedisResult>, Error> {
        let mut connection = handle(accessor, &connection)?;
        let mut command = redis::cmd(&command);
        for argument in arguments {
            match argument {
                RedisParameter::Int64(number) => command.arg(number),
                RedisParameter::Binary(bytes) => command.arg(bytes),
            };
        }
        let reply: Reply = command.query_async(&mut connection).await.map_err(other)?;
        if reply.size() > LIMIT { Err(too_big()) } else { Ok(reply.0) }
    }
}
