//! Commands after `ASKING`, each on a connection of its own while it lasts.

use super::care::Care;
use super::link::Link;
use super::node::Node;
use super::{Arg, RedisError, Value};
use crate::env::{Connection, Env};

/// How many idle connections for `ASKING` are kept open.
const SPARE: usize = 4;

impl<E: Env> Node<E> {
    /// Carries out a command after `ASKING`.
    ///
    /// `ASKING` counts for the next command on the same connection, whoever sends it. On the connection that
    /// requests share, the command of another could come in between. So this connection belongs to
    /// nobody else until the command is answered.
    pub(super) async fn ask(
        &self,
        care: Care,
        command: &str,
        arguments: Vec<Arg>,
    ) -> Result<Vec<Value>, RedisError> {
        let connection = self.asking().await?;
        let began = self.env.instant();
        let result = self.within(self.limits.command, connection.execute(command, arguments)).await;
        self.counted(care, began, result.as_ref().err());
        match &result {
            Err(error @ RedisError::TimedOut(_)) => self.rest(error),
            Err(error) if error.breaks_connection() => {}
            _ => self.spare.borrow_mut().push(connection),
        }
        self.spare.borrow_mut().truncate(SPARE);
        result
    }

    /// Returns a connection on which `ASKING` was sent.
    async fn asking(&self) -> Result<E::Connection, RedisError> {
        if let Link::Down(outage) = &*self.link.borrow()
            && outage.lasts(self.env.instant())
        {
            return Err(outage.error(self.env.instant()));
        }
        loop {
            let spare = self.spare.borrow_mut().pop();
            let fresh = spare.is_none();
            let connection = match spare {
                Some(connection) => connection,
                None => self.connect().await.inspect_err(|error| self.rest(error))?,
            };
            match self.within(self.limits.command, connection.execute("ASKING", Vec::new())).await {
                Ok(_) => return Ok(connection),
                // An idle connection may have been closed since. Nothing was carried out yet.
                Err(RedisError::Unreachable(_)) if !fresh => {}
                Err(error) => {
                    self.rest(&error);
                    return Err(error);
                }
            }
        }
    }

    /// Closes the idle connections for `ASKING`.
    pub(super) fn settle(&self) {
        self.spare.borrow_mut().clear();
    }
}
