//! Redis over the `redis` crate, with replies and error texts as Spin's host gives them.

use super::env::TestEnv;
use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, FromRedisValue};
use spindrift::env::{Connect, Connection};
use spindrift::redis::{Arg, RedisError, Route, Value, route};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use tokio::sync::Notify;

/// The commands and connections of one instance.
#[derive(Default)]
pub(crate) struct Wire {
    opened: Cell<usize>,
    commands: RefCell<Vec<String>>,
    in_flight: Cell<usize>,
    round_trips: Cell<usize>,
    held: RefCell<Option<&'static str>>,
    forbidden: RefCell<Option<String>>,
    changed: Notify,
}

impl Wire {
    /// The number of connections that it began to open.
    pub(crate) fn opened(&self) -> usize {
        self.opened.get()
    }

    /// The commands since the last call, in order.
    pub(crate) fn take_commands(&self) -> Vec<String> {
        self.round_trips.set(0);
        std::mem::take(&mut self.commands.borrow_mut())
    }

    /// How often since then a command was sent while no other was in progress: the number of sequential round trips.
    pub(crate) fn round_trips(&self) -> usize {
        self.round_trips.get()
    }

    /// How often this command was sent since then.
    pub(crate) fn count(&self, command: &str) -> usize {
        self.commands.borrow().iter().filter(|sent| *sent == command).count()
    }

    /// From now on the host does not allow connections to addresses that contain this text.
    pub(crate) fn forbid(&self, address: &str) {
        *self.forbidden.borrow_mut() = Some(address.to_owned());
    }

    fn allows(&self, address: &str) -> bool {
        !self.forbidden.borrow().as_ref().is_some_and(|forbidden| address.contains(forbidden))
    }

    /// From now on this command is held back until [`Wire::release`].
    pub(crate) fn hold(&self, command: &'static str) {
        *self.held.borrow_mut() = Some(command);
    }

    /// Returns once this command is held back.
    pub(crate) async fn held(&self, command: &str) {
        self.sent(command).await;
    }

    /// Returns once this command was sent.
    pub(crate) async fn sent(&self, command: &str) {
        while self.count(command) == 0 {
            self.changed.notified().await;
        }
    }

    /// Sends the commands that were held back.
    pub(crate) fn release(&self) {
        *self.held.borrow_mut() = None;
        self.changed.notify_waiters();
    }

    async fn pass(&self, command: &str) {
        self.changed.notify_waiters();
        while self.held.borrow().is_some_and(|held| held == command) {
            self.changed.notified().await;
        }
    }

    fn begin(self: &Rc<Self>, command: &str) -> Flight {
        if self.in_flight.get() == 0 {
            self.round_trips.set(self.round_trips.get() + 1);
        }
        self.in_flight.set(self.in_flight.get() + 1);
        self.commands.borrow_mut().push(command.to_owned());
        Flight(Rc::clone(self))
    }
}

struct Flight(Rc<Wire>);

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get() - 1);
    }
}

/// An open connection.
pub(crate) struct TestConnection {
    redis: MultiplexedConnection,
    wire: Rc<Wire>,
}

impl Connect for TestEnv {
    type Connection = TestConnection;

    async fn connect(&self, address: &str) -> Result<TestConnection, RedisError> {
        let wire = Rc::clone(self.wire());
        wire.opened.set(wire.opened.get() + 1);
        if !wire.allows(address) {
            return Err(RedisError::Denied);
        }
        let client = redis::Client::open(address).map_err(|_| RedisError::Denied)?;
        let redis = client.get_multiplexed_async_connection().await.map_err(|error| text(&error))?;
        Ok(TestConnection { redis, wire })
    }
}

impl Connection for TestConnection {
    async fn execute(&self, command: &str, arguments: Vec<Arg>) -> Result<Vec<Value>, RedisError> {
        // Everything that the library sends must be possible in a cluster: no command and no script has keys in
        // several slots.
        assert_ne!(route(command, &arguments), Route::Apart, "{command} {arguments:?}");
        let _flight = self.wire.begin(command);
        self.wire.pass(command).await;
        let mut redis = self.redis.clone();
        let mut command = redis::cmd(command);
        for argument in arguments {
            match argument {
                Arg::Int(number) => command.arg(number),
                Arg::Bytes(bytes) => command.arg(bytes),
            };
        }
        let reply: Flat = command.query_async(&mut redis).await.map_err(|error| text(&error))?;
        Ok(reply.0)
    }
}

fn text(error: &redis::RedisError) -> RedisError {
    RedisError::from_text(&error.to_string())
}

/// A reply, flattened.
struct Flat(Vec<Value>);

impl FromRedisValue for Flat {
    fn from_redis_value(value: &redis::Value) -> redis::RedisResult<Self> {
        let mut flat = Vec::new();
        append(&mut flat, value)?;
        Ok(Self(flat))
    }
}

fn append(flat: &mut Vec<Value>, value: &redis::Value) -> redis::RedisResult<()> {
    use redis::Value as Redis;
    flat.push(match value {
        Redis::Nil => Value::Nil,
        Redis::Int(number) => Value::Int(*number),
        Redis::Boolean(yes) => Value::Int((*yes).into()),
        Redis::BulkString(bytes) => Value::Bytes(bytes.clone()),
        Redis::Double(number) => Value::Bytes(number.to_string().into_bytes()),
        Redis::SimpleString(text) => Value::Status(text.clone()),
        Redis::Okay => Value::Status("OK".to_owned()),
        Redis::Array(values) | Redis::Set(values) => {
            return values.iter().try_for_each(|value| append(flat, value));
        }
        Redis::ServerError(error) => {
            let detail = format!("{error:?}");
            return Err(redis::RedisError::from((ErrorKind::ResponseError, "Server error", detail)));
        }
        other => {
            let detail = format!("{other:?} is not supported");
            let what = "Could not convert Redis response";
            return Err(redis::RedisError::from((ErrorKind::TypeError, what, detail)));
        }
    });
    Ok(())
}
