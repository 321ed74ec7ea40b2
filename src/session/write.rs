//! Changing the data of a session, and its secret.

use super::reply::written;
use super::{
    Changes, Data, DataChange, Handle, Loaded, MAX_MEMBERS, New, Receipt, SessionError, SessionId, Sessions,
};
use crate::config::Secret;
use crate::env::Env;
use crate::redis::{Arg, Script};
use crate::time::{Ttl, millis};

static SAVE: Script = Script::new(include_str!("../redis/lua/session_save.lua"));

/// A change of the data.
enum Write<'a> {
    None,
    Set(&'a Data),
    Merge(&'a Changes),
}

/// The arguments of one call of the script that saves.
struct Save<'a> {
    write: Write<'a>,
    expected: Option<u64>,
    idle: Option<Ttl>,
    /// The hash of the secret that must be the present one, and that of the next one.
    rotation: Option<(Option<&'a str>, &'a str)>,
}

impl<E: Env> Sessions<E> {
    /// Replaces all data of a session, unless somebody has changed it since it was loaded.
    ///
    /// # Errors
    /// [`SessionError::Conflict`] when somebody has; [`SessionError::Gone`], [`SessionError::TooLarge`],
    /// [`SessionError::Redis`].
    pub async fn save(&self, loaded: &Loaded, data: &Data) -> Result<Receipt, SessionError> {
        self.replace(&loaded.handle, data, Some(loaded.version), None).await
    }

    /// Like [`Sessions::save`], for a handle: of the version `expected` or of any, and optionally with another idle
    /// time.
    ///
    /// # Errors
    /// As [`Sessions::save`].
    pub async fn replace(
        &self,
        handle: &Handle,
        data: &Data,
        expected: Option<u64>,
        idle: Option<Ttl>,
    ) -> Result<Receipt, SessionError> {
        self.write(handle, Save { write: Write::Set(data), expected, idle, rotation: None }).await
    }

    /// Replaces or removes single members of the data, leaving all others as they are.
    ///
    /// # Errors
    /// [`SessionError::Gone`], [`SessionError::TooLarge`], [`SessionError::Redis`].
    pub async fn merge(&self, loaded: &Loaded, changes: &Changes) -> Result<Receipt, SessionError> {
        self.change(&loaded.handle, changes, None, None).await
    }

    /// Like [`Sessions::merge`], for a handle: of the version `expected` or of any, and optionally with another idle
    /// time.
    ///
    /// # Errors
    /// [`SessionError::Conflict`], and those of [`Sessions::merge`].
    pub async fn change(
        &self,
        handle: &Handle,
        changes: &Changes,
        expected: Option<u64>,
        idle: Option<Ttl>,
    ) -> Result<Receipt, SessionError> {
        self.write(handle, Save { write: Write::Merge(changes), expected, idle, rotation: None }).await
    }

    /// Gives a session a new secret, as is necessary when its rights change, and changes its data in the
    /// same step. The previous secret can for a while read what was there before.
    ///
    /// # Errors
    /// [`SessionError::Rotated`] when another request was faster: then nothing is changed, and the client has
    /// received the token of that one. [`SessionError::Conflict`] when the data is replaced and somebody has changed
    /// it; [`SessionError::Gone`], [`SessionError::TooLarge`], [`SessionError::Redis`].
    pub async fn rotate(&self, loaded: &Loaded, change: &DataChange) -> Result<New, SessionError> {
        self.rotate_for(loaded, change, None).await
    }

    /// Like [`Sessions::rotate`], optionally with another idle time.
    ///
    /// # Errors
    /// As [`Sessions::rotate`].
    pub async fn rotate_for(
        &self,
        loaded: &Loaded,
        change: &DataChange,
        idle: Option<Ttl>,
    ) -> Result<New, SessionError> {
        let id = SessionId::renewed(loaded.handle, &self.env);
        let proof = id.proof();
        let (write, expected) = match change {
            DataChange::None => (Write::None, None),
            DataChange::Set(data) => (Write::Set(data), Some(loaded.version)),
            DataChange::Merge(changes) => (Write::Merge(changes), None),
        };
        let rotation = Some((loaded.proof.as_ref().map(Secret::expose), proof.as_str()));
        let receipt = self.write(&loaded.handle, Save { write, expected, idle, rotation }).await?;
        Ok(New { id, receipt })
    }

    async fn write(&self, handle: &Handle, save: Save<'_>) -> Result<Receipt, SessionError> {
        let names = self.names(handle);
        let (from, to) = save.rotation.unwrap_or((None, ""));
        let mut arguments = vec![
            Arg::from(self.nonces.next()),
            save.expected.map_or(Arg::Int(-1), Arg::from),
            Arg::from(save.idle.map_or(millis(self.rules.idle), Ttl::as_millis)),
            Arg::from(u64::from(save.idle.is_some())),
            Arg::from(u64::from(matches!(save.write, Write::Set(_)))),
            Arg::from(self.rules.max_size as u64),
            Arg::from(MAX_MEMBERS as u64),
            Arg::from(from.unwrap_or_default()),
            Arg::from(to),
            Arg::from(millis(self.rules.rotation_grace)),
            Arg::from(&names.past),
        ];
        let mut add = |(name, value): (String, &str)| arguments.extend([Arg::from(name), Arg::from(value)]);
        match save.write {
            Write::None => {}
            Write::Set(data) => data.fields().for_each(&mut add),
            Write::Merge(changes) => changes.fields().for_each(&mut add),
        }
        let reply = self.redis.run(&SAVE, &[&names.session, &names.epoch], arguments).await?;
        match written(reply)? {
            (1, receipt) => Ok(receipt),
            (-1, _) => Err(SessionError::Conflict),
            (-2, _) => Err(self.too_large()),
            (-3, _) => Err(SessionError::Rotated),
            _ => Err(SessionError::Gone),
        }
    }
}
