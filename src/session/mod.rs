//! Sessions in Redis: what a visitor is remembered by, for origins that remember nothing themselves.
//!
//! | type | what it is |
//! |---|---|
//! | [`Handle`] | names a session; no secret |
//! | [`SessionId`] | opens it: the handle and 256 secret bits, of which Redis has a hash |
//! | [`KeyRing`] | writes a [`SessionId`] as a signed token, and reads it again |
//! | [`Session`] | what a request finds: nothing, what may be changed, or what may be read only |
//! | [`New`] | a session that begins, or its next secret: the client must be given its token |
//! | [`Data`], [`Changes`] | a JSON object; what becomes of its members |
//! | [`Sessions`] | the operations on Redis |
//!
//! What holds, whatever runs at the same time:
//!
//! 1. Nothing but [`Sessions::create`] makes a session. An unknown id is never adopted, and no write brings
//!    back what has ended.
//! 2. A session ends when it was not used for its idle time, and at the latest at its end, which no use
//!    moves.
//! 3. [`Sessions::save`] replaces the data that it saw, and nothing newer; [`Sessions::merge`] replaces
//!    single members, whatever the others are.
//! 4. With a new secret ([`Sessions::rotate`]) or a new user ([`Sessions::login`]) the id before reads, for a
//!    while, what was there before, and writes nothing. A secret that comes later than that has been copied:
//!    nobody knows by whom, and the session ends.
//! 5. [`Sessions::end_user`] ends all sessions of a user at once, however many there are, also those in no
//!    list.
//! 6. What Redis loses ends sessions, and brings none back.
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

/// What a request finds in the place of its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Session {
    /// Nothing: there never was one, or it has ended.
    Absent,
    /// A session, to read and to change.
    Loaded(Loaded),
    /// What an id that was given up a moment ago still sees, for requests that were sent before the client
    /// had the new one. To read only.
    Previous(Previous),
    /// Nothing: the id had been given up longer ago, and so the session was ended now.
    Replayed(Handle),
}

/// A session that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Its name.
    pub handle: Handle,
    /// Whose it is; `None` for one of nobody.
    pub user: Option<User>,
    /// What it holds.
    pub data: Data,
    /// Grows with each change of the data.
    pub version: u64,
    /// When it began and will end.
    pub times: Times,
    /// The hash of the secret it was opened with; `None` where none was needed.
    proof: Option<Secret>,
}

/// What a session was before its id was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    /// The name of the session.
    pub handle: Handle,
    /// Whose it was.
    pub user: Option<User>,
    /// What it held.
    pub data: Data,
}

/// A session that begins, or goes on with another secret.
#[derive(Debug)]
#[must_use = "the client must be given the token of the id"]
pub struct New {
    /// What opens it from now on.
    pub id: SessionId,
    /// What was written.
    pub receipt: Receipt,
}

/// What a write left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The version of the data now.
    pub version: u64,
    /// When it began and will end.
    pub times: Times,
}

/// Points in the time of a session, on the clock of Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When Redis was asked.
    pub now: Timestamp,
    /// When it began.
    pub begun: Timestamp,
    /// When it ends if it is not used before.
    pub expires: Timestamp,
    /// When it ends at the latest.
    pub ends: Timestamp,
}

/// Why an operation on a session was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// It has ended, or never was.
    #[error("there is no such session")]
    Gone,
    /// There is a session with the chosen id already.
    #[error("there is a session with this id")]
    Exists,
    /// Its data is of another version than expected.
    #[error("the session was changed meanwhile")]
    Conflict,
    /// Another request has given it another secret.
    #[error("the id of the session was renewed meanwhile")]
    Rotated,
    /// Its data would be larger than allowed.
    #[error("expected at most {limit} bytes of data in at most {MAX_MEMBERS} members, found more")]
    TooLarge {
        /// The limit, in bytes of JSON text.
        limit: usize,
    },
    /// What was to be written is no data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Redis gave no answer. After [`RedisError::TimedOut`] or [`RedisError::Unreachable`] nobody knows
    /// whether it was carried out.
    #[error(transparent)]
    Redis(#[from] RedisError),
}
