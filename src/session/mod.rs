//! Sessions in Redis: the state of visitors, for origins that keep none themselves.
//!
//! | type | what it is |
//! |---|---|
//! | [`Handle`] | names a session; not a secret |
//! | [`SessionId`] | opens it: the handle and 256 secret bits, of which Redis stores a hash |
//! | [`KeyRing`] | signs a [`SessionId`] as a token, and verifies tokens |
//! | [`Session`] | what a request finds: nothing, a session to change, or one to read only |
//! | [`New`] | a new session, or the next secret of one: the client must be given its token |
//! | [`Data`], [`Changes`] | a JSON object, and changes of its members |
//! | [`Sessions`] | the operations on Redis |
//!
//! These hold, whatever happens concurrently:
//!
//! 1. Only creating a session ([`Sessions::create`], [`Sessions::login`], [`Sessions::put`]) makes one. An unknown id is
//!    never adopted, and no other write brings back what has ended.
//! 2. A session ends when it was not used for its idle time, and at the latest at its end, which no use
//!    moves.
//! 3. [`Sessions::save`] replaces the data that it saw, and nothing newer; [`Sessions::merge`] replaces
//!    single members, whatever the others are.
//! 4. After a new secret ([`Sessions::rotate`]) or a new user ([`Sessions::login`]), the previous id can for a
//!    while read what was there before, and write nothing. If its secret comes later than that, it was copied by
//!    somebody, nobody knows whom, and the session ends.
//! 5. [`Sessions::end_user`] ends all sessions of a user at once, however many there are, even those in no
//!    list.
//! 6. If Redis loses data, sessions end; none comes back.
//!
//! All keys of a user's sessions share a hash tag, so that each script finds its keys in one slot of a
//! cluster. The clock is that of Redis.
//!
//! ```
//! use spindrift::env::Env;
//! use spindrift::session::{Changes, Data, KeyRing, Session, SessionError, Sessions, User};
//!
//! /// Counts a visit, and logs `anna` in at the first. Gives the token for the client, where there is a new one.
//! async fn visit<E: Env>(
//!     sessions: &Sessions<E>,
//!     ring: &KeyRing,
//!     token: &str,
//! ) -> Result<Option<String>, SessionError> {
//!     let found = match ring.verify(token) {
//!         Some(verified) => sessions.load(&verified.id).await?,
//!         None => Session::Absent,
//!     };
//!     match found {
//!         Session::Loaded(loaded) => {
//!             let visits = loaded.data.get::<u64>("visits").unwrap_or(0) + 1;
//!             sessions.merge(&loaded, &Changes::default().set("visits", &visits)?).await?;
//!             Ok(None)
//!         }
//!         Session::Previous(_) => Ok(None),
//!         Session::Absent | Session::Replayed(_) => {
//!             let data = Data::parse(br#"{"visits":1}"#)?;
//!             let new = sessions.create(User::new("anna").as_ref(), &data).await?;
//!             Ok(ring.sign(&new.id))
//!         }
//!     }
//! }
//! ```

pub(crate) mod answer;
mod change;
mod cookie;
mod create;
mod data;
mod fields;
mod id;
mod keys;
mod reply;
mod store;
mod user;
mod write;

pub use change::{Change, DataChange, Step, decide};
pub use cookie::{Cookie, Presented};
pub use create::{Expected, Life, Put};
pub use data::{Changes, Data, DataError, MAX_MEMBERS};
pub use fields::Fields;
pub use id::{ChosenId, Handle, MAX_NAME, SessionId, User};
pub use keys::{KeyRing, Verified};
pub use store::Sessions;
pub use user::Listed;

use crate::config::Secret;
use crate::redis::RedisError;
use crate::time::Timestamp;

/// What a request finds as its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Session {
    /// Nothing: there never was a session, or it has ended.
    Absent,
    /// A session, which can be read and changed.
    Loaded(Loaded),
    /// What an id that was rotated away a moment ago may still read, for requests that were sent before the client
    /// had the new one. Read-only.
    Previous(Previous),
    /// Nothing: the id was rotated away longer ago, so the session has been ended now.
    Replayed(Handle),
}

/// A session that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Its handle.
    pub handle: Handle,
    /// Its user; `None` if it has none.
    pub user: Option<User>,
    /// What it holds.
    pub data: Data,
    /// The version, which grows with each change of the data.
    pub version: u64,
    /// When it began and when it will end.
    pub times: Times,
    /// The hash of the secret with which it was opened; `None` if none was needed.
    proof: Option<Secret>,
}

/// The state of a session before its id was rotated away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    /// The handle of the session.
    pub handle: Handle,
    /// The user at that time.
    pub user: Option<User>,
    /// The data at that time.
    pub data: Data,
}

/// A new session, or one with a new secret.
#[derive(Debug)]
#[must_use = "the client must be given the token of the id"]
pub struct New {
    /// The id that opens it from now on.
    pub id: SessionId,
    /// The state after the write.
    pub receipt: Receipt,
}

/// The state of a session after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The version of the data.
    pub version: u64,
    /// When it began and when it will end.
    pub times: Times,
}

/// The times of a session, by the clock of Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// The time of this state.
    pub now: Timestamp,
    /// When it began.
    pub begun: Timestamp,
    /// When it ends unless it is used before.
    pub expires: Timestamp,
    /// When it ends in any case.
    pub ends: Timestamp,
}

/// Why an operation on a session was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// It has ended, or never existed.
    #[error("there is no such session")]
    Gone,
    /// A session with the chosen id exists already.
    #[error("a session with this id already exists")]
    Exists,
    /// Its data has another version than expected.
    #[error("the session was changed in the meantime")]
    Conflict,
    /// Another request has given it a new secret.
    #[error("the id of the session was renewed in the meantime")]
    Rotated,
    /// Its data would be larger than allowed.
    #[error("expected at most {limit} bytes of data in at most {MAX_MEMBERS} members, found more")]
    TooLarge {
        /// The limit, in bytes of JSON text.
        limit: usize,
    },
    /// What was to be written is not valid data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Redis gave no answer. After [`RedisError::TimedOut`] or [`RedisError::Unreachable`] it is unknown
    /// whether the operation was carried out.
    #[error(transparent)]
    Redis(#[from] RedisError),
}
