//! Outbound Redis.

use crate::env::SpinEnv;
use spin_sdk::redis::{Connection as SpinConnection, Error, RedisParameter, RedisResult};
use spindrift::env::{Connect, Connection};
use spindrift::redis::{Arg, RedisError, Value};

/// A Redis connection of Spin.
pub struct RedisConnection(SpinConnection);

impl Connect for SpinEnv {
    type Connection = RedisConnection;

    async fn connect(&self, address: &str) -> Result<RedisConnection, RedisError> {
        SpinConnection::open(address).await.map(RedisConnection).map_err(error)
    }
}

impl Connection for RedisConnection {
    async fn execute(&self, command: &str, arguments: Vec<Arg>) -> Result<Vec<Value>, RedisError> {
        let reply = self.0.execute(command, arguments.into_iter().map(parameter)).await.map_err(error)?;
        Ok(reply.into_iter().map(value).collect())
    }
}

fn parameter(argument: Arg) -> RedisParameter {
    match argument {
        Arg::Int(number) => RedisParameter::Int64(number),
        Arg::Bytes(bytes) => RedisParameter::Binary(bytes),
    }
}

fn value(result: RedisResult) -> Value {
    match result {
        RedisResult::Nil => Value::Nil,
        RedisResult::Status(text) => Value::Status(text),
        RedisResult::Int64(number) => Value::Int(number),
        RedisResult::Binary(bytes) => Value::Bytes(bytes),
    }
}

fn error(error: Error) -> RedisError {
    match error {
        Error::InvalidAddress => RedisError::Denied,
        Error::TooManyConnections => {
            RedisError::Unreachable("too many connections in this instance".to_owned())
        }
        Error::TypeError => RedisError::Reply("a value of another type than the command expects".to_owned()),
        Error::Other(text) => RedisError::from_text(&text),
    }
}
