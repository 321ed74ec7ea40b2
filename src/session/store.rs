//! The operations on sessions.

use super::reply::loaded;
use super::{Data, Handle, Life, Loaded, New, Previous, Session, SessionError, SessionId, User};
use crate::config::{Secret, SessionConfig};
use crate::env::Env;
use crate::nonce::Nonces;
use crate::redis::{Arg, Client, Key, Keys, Script};
use crate::time::millis;
use std::rc::Rc;
use std::time::Duration;

static LOAD: Script = Script::new(include_str!("../redis/lua/session_load.lua"));
static END: Script = Script::new(include_str!("../redis/lua/session_end.lua"));

/// The sessions in Redis.
pub struct Sessions<E: Env> {
    pub(super) env: E,
    pub(super) redis: Rc<Client<E>>,
    keys: Keys,
    pub(super) nonces: Rc<Nonces>,
    pub(super) rules: SessionConfig,
}

/// The keys of one session.
pub(super) struct Names {
    pub(super) session: Key,
    pub(super) epoch: Key,
    pub(super) index: Key,
    /// Its name in the index.
    pub(super) name: String,
    /// The prefix of the keys of its past.
    pub(super) past: Key,
    /// The prefix of the keys of its user's sessions.
    pub(super) all: Key,
}

impl<E: Env> Sessions<E> {
    /// Makes the sessions in `redis`, with the names of their keys from `keys`, under these rules.
    #[must_use]
    pub const fn new(
        env: E,
        redis: Rc<Client<E>>,
        keys: Keys,
        nonces: Rc<Nonces>,
        rules: SessionConfig,
    ) -> Self {
        Self { env, redis, keys, nonces, rules }
    }

    /// Loads the session that `id` opens, and prolongs it if that is due. An id that was rotated away longer
    /// ago than the grace period ends the session.
    ///
    /// # Errors
    /// [`SessionError::Redis`].
    pub async fn load(&self, id: &SessionId) -> Result<Session, SessionError> {
        self.read(id.handle(), Some(Secret::new(id.proof())), Some(self.rules.touch)).await
    }

    /// Reads the session with this handle, for callers that may see all sessions, without prolonging it. `None` if it does
    /// not exist.
    ///
    /// # Errors
    /// [`SessionError::Redis`].
    pub async fn open(&self, handle: &Handle) -> Result<Option<Loaded>, SessionError> {
        self.read(handle, None, None).await.map(Session::loaded)
    }

    /// Like [`Sessions::open`], and prolongs it.
    ///
    /// # Errors
    /// [`SessionError::Redis`].
    pub async fn touch(&self, handle: &Handle) -> Result<Option<Loaded>, SessionError> {
        self.read(handle, None, Some(Duration::ZERO)).await.map(Session::loaded)
    }

    /// Reads the session if `id` still opens it, without prolonging it. An id that was rotated away ends nothing here: it
    /// was the present one when its request came.
    ///
    /// # Errors
    /// [`SessionError::Redis`].
    pub async fn current(&self, id: &SessionId) -> Result<Option<Loaded>, SessionError> {
        self.read(id.handle(), Some(Secret::new(id.proof())), None).await.map(Session::loaded)
    }

    async fn read(
        &self,
        handle: &Handle,
        proof: Option<Secret>,
        touch: Option<Duration>,
    ) -> Result<Session, SessionError> {
        let names = self.names(handle);
        let arguments = vec![
            Arg::from(proof.as_ref().map_or("", Secret::expose)),
            Arg::from(millis(self.rules.idle)),
            touch.map_or_else(|| Arg::from(""), |touch| Arg::from(millis(touch))),
            Arg::from(names.name.as_str()),
            Arg::from(&names.past),
        ];
        let keys = [&names.session, &names.epoch, &names.index];
        let reply = self.redis.run(&LOAD, &keys, arguments).await?;
        Ok(loaded(reply, *handle, proof)?)
    }

    /// Creates a session of `user` with this data in place of `before`, which can be read for a while
    /// longer. The previous id never opens the new session.
    ///
    /// # Errors
    /// [`SessionError::TooLarge`], [`SessionError::Redis`].
    pub async fn login(
        &self,
        before: Option<&Handle>,
        user: &User,
        data: &Data,
    ) -> Result<New, SessionError> {
        self.login_for(before, user, data, Life::default()).await
    }

    /// Like [`Sessions::login`], with lifetimes of its own.
    ///
    /// # Errors
    /// [`SessionError::TooLarge`], [`SessionError::Redis`].
    pub async fn login_for(
        &self,
        before: Option<&Handle>,
        user: &User,
        data: &Data,
        life: Life,
    ) -> Result<New, SessionError> {
        let new = self.create_for(Some(user), data, life).await?;
        if let Some(before) = before
            && let Err(error) = self.end(before, self.rules.rotation_grace).await
        {
            // It has no more rights than before, and ends by itself.
            self.env.log(&format!("the session {before}, replaced at a login, was not ended: {error}"));
        }
        Ok(new)
    }

    /// Ends a session at once. Returns whether it existed.
    ///
    /// # Errors
    /// [`SessionError::Redis`]: then it may still exist.
    pub async fn destroy(&self, handle: &Handle) -> Result<bool, SessionError> {
        self.end(handle, Duration::ZERO).await
    }

    async fn end(&self, handle: &Handle, grace: Duration) -> Result<bool, SessionError> {
        let names = self.names(handle);
        let arguments = vec![Arg::from(millis(grace)), Arg::from(names.name.as_str())];
        let reply = self.redis.run(&END, &[&names.session, &names.index], arguments).await?;
        Ok(crate::redis::exactly::<1>(reply)?[0].int()? == 1)
    }

    pub(super) fn names(&self, handle: &Handle) -> Names {
        let (tag, name) = (handle.tag().text(), handle.name());
        Names {
            session: self.keys.session(&tag, &name),
            epoch: self.keys.session_epoch(&tag),
            index: self.keys.session_index(&tag),
            past: self.keys.session_past(&tag, &name),
            all: self.keys.session(&tag, ""),
            name,
        }
    }

    pub(super) const fn too_large(&self) -> SessionError {
        SessionError::TooLarge { limit: self.rules.max_size }
    }
}

impl Session {
    fn loaded(self) -> Option<Loaded> {
        match self {
            Self::Loaded(loaded) => Some(loaded),
            Self::Absent | Self::Previous(_) | Self::Replayed(_) => None,
        }
    }

    /// Returns the handle of a session that can be read.
    #[must_use]
    pub const fn handle(&self) -> Option<&Handle> {
        match self {
            Self::Loaded(Loaded { handle, .. }) | Self::Previous(Previous { handle, .. }) => Some(handle),
            Self::Absent | Self::Replayed(_) => None,
        }
    }

    /// Returns the data that a login of `user` takes along: all of it, but none of another user.
    #[must_use]
    pub fn data_for(&self, user: &User) -> Data {
        match self {
            Self::Loaded(loaded) => loaded.data_for(user),
            Self::Previous(Previous { user: of, data, .. }) => data_for(of.as_ref(), data, user),
            Self::Absent | Self::Replayed(_) => Data::default(),
        }
    }

    /// Returns the user of the session.
    #[must_use]
    pub const fn user(&self) -> Option<&User> {
        match self {
            Self::Loaded(Loaded { user, .. }) | Self::Previous(Previous { user, .. }) => user.as_ref(),
            Self::Absent | Self::Replayed(_) => None,
        }
    }
}

impl Loaded {
    /// Returns the data that a login of `user` takes along: all of it, but none of another user.
    #[must_use]
    pub fn data_for(&self, user: &User) -> Data {
        data_for(self.user.as_ref(), &self.data, user)
    }
}

fn data_for(of: Option<&User>, data: &Data, user: &User) -> Data {
    if of.is_none_or(|of| of == user) { data.clone() } else { Data::default() }
}
