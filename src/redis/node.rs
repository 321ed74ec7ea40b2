//! One connection to one Redis server, with a deadline on every call and backoff while it is down.

use super::care::{Care, Observer};
use super::client::Limits;
use super::link::Link;
use super::nagging::Nagging;
use super::outage::{Condition, Outage};
use super::{Arg, RedisError, Value};
use crate::config::Secret;
use crate::env::{Connection, Env};
use crate::metrics::{Series, Timed};
use crate::time::Instant;
use futures_util::future::{Either, select};
use std::cell::RefCell;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::time::Duration;

/// One server. It connects when it is first used.
pub(super) struct Node<E: Env> {
    pub(super) env: E,
    address: Secret,
    /// The address to name when the host forbids it, for a node that the cluster announced; `None` for the operator's own.
    announced: Option<String>,
    pub(super) limits: Limits,
    pub(super) link: RefCell<Link<E::Connection>>,
    /// Idle connections for commands that follow `ASKING`.
    pub(super) spare: RefCell<Vec<E::Connection>>,
    /// Limits how often the log says that the server refuses something.
    complaints: Nagging,
    observer: Observer<E>,
}

/// How often a task checks whether the connection that another one opens is there. Tasks of a wasm instance cannot wake
/// one another, so it has to poll; that happens only at the start of an instance.
pub(super) const OPENING_POLL: Duration = Duration::from_millis(1);

/// How long a connection to a server that takes no writes is kept at least: there may be no other server.
const READ_ONLY_PAUSE: Duration = Duration::from_secs(1);

impl<E: Env> Node<E> {
    /// Makes the node for the server at `address`, without connecting yet.
    pub(super) fn new(env: E, address: Secret, limits: Limits, observer: Observer<E>) -> Self {
        let (link, spare) = (RefCell::new(Link::Closed), RefCell::new(Vec::new()));
        Self { env, address, announced: None, limits, link, spare, complaints: Nagging::default(), observer }
    }

    /// Marks it as announced by the cluster, rather than given by the operator.
    pub(super) fn announced(self, place: String) -> Self {
        Self { announced: Some(place), ..self }
    }

    /// Carries out a command. If it may be sent twice and a connection that was open turns out to be
    /// broken, the connection is reopened and the command sent once more.
    pub(super) async fn send(
        &self,
        care: Care,
        command: &str,
        arguments: Vec<Arg>,
    ) -> Result<Vec<Value>, RedisError> {
        self.send_noting(care, command, arguments, &mut None).await
    }

    /// As [`Node::send`]; also notes why the connection broke, if the command was sent twice.
    pub(super) async fn send_noting(
        &self,
        care: Care,
        command: &str,
        arguments: Vec<Arg>,
        broken: &mut Option<String>,
    ) -> Result<Vec<Value>, RedisError> {
        let (connection, fresh) = self.connection().await?;
        let again = (care == Care::Repeatable && !fresh).then(|| arguments.clone());
        match (self.execute(&connection, care, command, arguments).await, again) {
            (Err(RedisError::Unreachable(why)), Some(arguments)) => {
                // Whatever happens to the second, the first may have been carried out.
                let Ok((connection, _)) = self.reopen(&connection).await else {
                    return Err(RedisError::Unreachable(why));
                };
                let result = self.execute(&connection, care, command, arguments).await;
                let result = result.map_err(|error| error.after_broken(&why));
                *broken = Some(why);
                result
            }
            (result, _) => result,
        }
    }

    /// Returns what is known about it now.
    pub(super) fn condition(&self) -> Condition {
        self.link.borrow().condition()
    }

    /// Marks the server as down for a while.
    pub(super) fn rest(&self, error: &RedisError) {
        let failures = match &*self.link.borrow() {
            Link::Closed | Link::Opening { after: None } => 0,
            Link::Open { failures, .. } => *failures,
            // Another task has noticed, or is trying right now.
            Link::Down(_) | Link::Opening { after: Some(_) } => return,
        };
        *self.link.borrow_mut() = Link::Down(self.outage(failures, error));
    }

    async fn execute(
        &self,
        connection: &Rc<E::Connection>,
        care: Care,
        command: &str,
        arguments: Vec<Arg>,
    ) -> Result<Vec<Value>, RedisError> {
        let began = self.env.instant();
        let result = self.within(self.limits.command, connection.execute(command, arguments)).await;
        match &result {
            Err(error) if error.breaks_connection() => self.drop_connection(connection, error),
            // It answers, but cannot serve requests.
            Err(error) if error.is_cluster_down() => {}
            Err(error) if error.is_deposed() => self.leave_deposed(connection),
            _ => self.answered(),
        }
        self.counted(care, began, result.as_ref().err());
        if let Err(error) = &result {
            self.complain(error);
        }
        result
    }

    /// Logs lasting problems for the operator, now and then.
    fn complain(&self, error: &RedisError) {
        if error.is_for_the_operator() && self.complaints.is_due(self.env.instant()) {
            self.say(&error.to_string());
        }
    }

    /// Logs a line, in a cluster with the node's address.
    fn say(&self, line: &str) {
        match &self.announced {
            Some(place) => self.env.log(&format!("{place}: {line}")),
            None => self.env.log(line),
        }
    }

    pub(super) fn counted(&self, care: Care, began: Instant, error: Option<&RedisError>) {
        if care == Care::Uncounted {
            return;
        }
        let Some(metrics) = self.observer.get().and_then(Weak::upgrade) else { return };
        metrics.time(Timed::Redis, self.env.instant().since(began));
        if let Some(error) = error.filter(|error| !error.is_expected()) {
            metrics.count(Series::RedisErrors(error.reason()));
        }
    }

    fn answered(&self) {
        if let Link::Open { failures, .. } = &mut *self.link.borrow_mut() {
            *failures = 0;
        }
    }

    /// Closes a broken connection. After a timeout the server seems to hang: calls then fail at
    /// once for a while rather than wait one after the other.
    fn drop_connection(&self, broken: &Rc<E::Connection>, error: &RedisError) {
        let mut link = self.link.borrow_mut();
        if let Link::Open { connection, failures, .. } = &*link
            && Rc::ptr_eq(connection, broken)
        {
            *link = match error {
                RedisError::TimedOut(_) => Link::Down(self.outage(*failures, error)),
                _ => Link::Closed,
            };
        }
    }

    /// Closes the connection to a server that takes no writes, so that the next command connects anew: after a failover another
    /// server may have its address.
    fn leave_deposed(&self, deposed: &Rc<E::Connection>) {
        self.answered();
        let mut link = self.link.borrow_mut();
        if let Link::Open { connection, since, .. } = &*link
            && Rc::ptr_eq(connection, deposed)
            && self.env.instant().since(*since) >= READ_ONLY_PAUSE
        {
            *link = Link::Closed;
        }
    }

    async fn reopen(&self, broken: &Rc<E::Connection>) -> Result<(Rc<E::Connection>, bool), RedisError> {
        self.drop_connection(broken, &RedisError::Unreachable(String::new()));
        self.connection().await
    }

    /// Returns the open connection, and whether this call opened it.
    async fn connection(&self) -> Result<(Rc<E::Connection>, bool), RedisError> {
        if let Link::Open { connection, .. } = &*self.link.borrow() {
            return Ok((Rc::clone(connection), false));
        }
        let started = self.env.instant();
        loop {
            let now = self.env.instant();
            let after = match &*self.link.borrow() {
                Link::Open { connection, .. } => return Ok((Rc::clone(connection), false)),
                Link::Down(outage) if outage.lasts(now) => return Err(outage.error(now)),
                Link::Opening { after: Some(outage) } => return Err(outage.error(now)),
                Link::Opening { after: None } => None,
                Link::Down(outage) => Some(Some(outage.clone())),
                Link::Closed => Some(None),
            };
            match after {
                Some(after) => return self.open(after).await.map(|connection| (connection, true)),
                None if now.since(started) >= self.limits.connect => {
                    return Err(RedisError::TimedOut(self.limits.connect).before_sending());
                }
                None => self.env.sleep(OPENING_POLL).await,
            }
        }
    }

    async fn open(&self, after: Option<Outage>) -> Result<Rc<E::Connection>, RedisError> {
        let failures = after.as_ref().map_or(0, Outage::failures);
        *self.link.borrow_mut() = Link::Opening { after };
        let _attempt = Attempt { node: self };
        match self.connect().await {
            Ok(connection) => {
                let connection = Rc::new(connection);
                let since = self.env.instant();
                let open = Link::Open { connection: Rc::clone(&connection), failures, since };
                *self.link.borrow_mut() = open;
                Ok(connection)
            }
            Err(error) => {
                let outage = self.outage(failures, &error);
                let pause = outage.left(self.env.instant()).as_millis();
                self.say(&format!("{error}; next try in {pause} ms"));
                *self.link.borrow_mut() = Link::Down(outage);
                Err(error)
            }
        }
    }

    pub(super) async fn connect(&self) -> Result<E::Connection, RedisError> {
        let opened = self.within(self.limits.connect, self.env.connect(self.address.expose())).await;
        opened.map_err(|error| match (&self.announced, error) {
            (Some(place), RedisError::Denied) => RedisError::NodeDenied(place.clone()),
            (_, error) => error.before_sending(),
        })
    }

    fn outage(&self, failures: u32, error: &RedisError) -> Outage {
        let mut random = [0];
        self.env.fill(&mut random);
        Outage::after(failures, error, self.env.instant(), random[0])
    }

    pub(super) async fn within<T>(
        &self,
        deadline: Duration,
        work: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, RedisError> {
        match select(pin!(work), pin!(self.env.sleep(deadline))).await {
            Either::Left((result, _)) => result,
            Either::Right(((), _)) => Err(RedisError::TimedOut(deadline)),
        }
    }
}

/// Frees the link when the task that opens it is dropped half way. The outage that it would have ended continues.
struct Attempt<'a, E: Env> {
    node: &'a Node<E>,
}

impl<E: Env> Drop for Attempt<'_, E> {
    fn drop(&mut self) {
        let mut link = self.node.link.borrow_mut();
        if let Link::Opening { after } = &mut *link {
            *link = after.take().map_or(Link::Closed, Link::Down);
        }
    }
}
