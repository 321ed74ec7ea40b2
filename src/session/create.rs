//! Creating sessions.

use super::reply::written;
use super::{ChosenId, Data, Handle, New, Receipt, SessionError, SessionId, Sessions, User};
use crate::env::Env;
use crate::redis::{Arg, Script};
use crate::time::{Ttl, millis};

static CREATE: Script = Script::new(include_str!("../redis/lua/session_create.lua"));

/// The lifetimes of a session, where they differ from the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// How long it may be idle.
    pub idle: Option<Ttl>,
    /// How long it lives at most; by default as configured, or the idle time if that is longer.
    pub absolute: Option<Ttl>,
}

/// What must exist for a write to be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Anything, or nothing.
    Any,
    /// No session.
    Nothing,
    /// A session with this version.
    Version(u64),
}

impl Expected {
    fn arg(self) -> Arg {
        match self {
            Self::Any => Arg::Int(-2),
            Self::Nothing => Arg::Int(-1),
            Self::Version(version) => Arg::from(version),
        }
    }
}

/// The result of writing a session with a chosen id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// There was none before.
    Created(Receipt),
    /// It replaced the previous one.
    Replaced(Receipt),
}

impl<E: Env> Sessions<E> {
    /// Creates a session of this user, or of nobody. If the user then has too many sessions, the oldest ends.
    ///
    /// # Errors
    /// [`SessionError::TooLarge`], [`SessionError::Redis`].
    pub async fn create(&self, user: Option<&User>, data: &Data) -> Result<New, SessionError> {
        self.create_for(user, data, Life::default()).await
    }

    /// Like [`Sessions::create`], with lifetimes of its own.
    ///
    /// # Errors
    /// [`SessionError::TooLarge`], [`SessionError::Redis`].
    pub async fn create_for(
        &self,
        user: Option<&User>,
        data: &Data,
        life: Life,
    ) -> Result<New, SessionError> {
        let id = SessionId::random(user, &self.env);
        let (_, receipt) = self.begin(id.handle(), &id.proof(), user, data, life, Expected::Nothing).await?;
        Ok(New { id, receipt })
    }

    /// Creates a session with a chosen id, which no cookie opens, or replaces the one that
    /// exists.
    ///
    /// # Errors
    /// [`SessionError::Exists`] or [`SessionError::Conflict`] if the existing session is not as expected;
    /// [`SessionError::TooLarge`], [`SessionError::Redis`].
    pub async fn put(
        &self,
        id: &ChosenId,
        data: &Data,
        life: Life,
        expected: Expected,
    ) -> Result<Put, SessionError> {
        match self.begin(id.handle(), "", None, data, life, expected).await? {
            (true, receipt) => Ok(Put::Replaced(receipt)),
            (false, receipt) => Ok(Put::Created(receipt)),
        }
    }

    async fn begin(
        &self,
        handle: &Handle,
        proof: &str,
        user: Option<&User>,
        data: &Data,
        life: Life,
        expected: Expected,
    ) -> Result<(bool, Receipt), SessionError> {
        if data.size() > self.rules.max_size {
            return Err(self.too_large());
        }
        let names = self.names(handle);
        let idle = life.idle.map_or(millis(self.rules.idle), Ttl::as_millis);
        let absolute = life.absolute.map_or(millis(self.rules.absolute).max(idle), Ttl::as_millis);
        let mut arguments = vec![
            Arg::from(self.nonces.next()),
            Arg::from(proof),
            Arg::from(idle),
            Arg::from(u64::from(life.idle.is_some())),
            Arg::from(absolute),
            expected.arg(),
            Arg::from(user.map_or("", User::as_str)),
            Arg::from(self.nonces.next()),
            Arg::from(names.name.as_str()),
            Arg::from(u64::from(self.rules.max_per_user.get())),
            Arg::from(&names.all),
        ];
        arguments.extend(data.fields().flat_map(|(name, value)| [Arg::from(name), Arg::from(value)]));
        let keys = [&names.session, &names.epoch, &names.index];
        let (state, receipt) = written(self.redis.run(&CREATE, &keys, arguments).await?)?;
        match state {
            0 => Err(SessionError::Exists),
            -1 => Err(SessionError::Conflict),
            state => Ok((state == 2, receipt)),
        }
    }
}
