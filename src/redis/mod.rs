//! Redis: commands and replies as in Spin's interface, connections that recover by themselves, and scripts.
//!
//! Spin's outbound Redis has no deadlines and never reconnects. [`Client`] adds both: every call races a
//! deadline, a broken connection is reopened with exponential backoff and jitter, and while the server is
//! known to be down, calls fail at once. Spin does not support clusters either: the client finds the owner of each key.

mod asking;
mod care;
mod client;
mod cluster;
mod error;
mod key;
mod link;
mod nagging;
mod node;
mod outage;
mod scan;
mod script;
pub(crate) mod together;

pub use client::{Client, Limits};
pub use cluster::{ClusterState, NodeState, Part, Redirect, Route, Slot, route};
pub use error::RedisError;
pub(crate) use key::readable;
pub use key::{Key, Keys};
pub(crate) use nagging::Nagging;
pub use outage::Condition;
pub use scan::Scan;
pub use script::Script;
pub(crate) use script::hex;

/// One argument of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arg {
    /// A number.
    Int(i64),
    /// Bytes: keys, field names, values.
    Bytes(Vec<u8>),
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }
}

impl From<String> for Arg {
    fn from(text: String) -> Self {
        Self::Bytes(text.into_bytes())
    }
}

impl From<Vec<u8>> for Arg {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<&Key> for Arg {
    fn from(key: &Key) -> Self {
        Self::from(key.as_str())
    }
}

impl From<u64> for Arg {
    fn from(number: u64) -> Self {
        i64::try_from(number).map_or_else(|_| Self::from(number.to_string()), Self::Int)
    }
}

impl From<crate::time::Ttl> for Arg {
    fn from(ttl: crate::time::Ttl) -> Self {
        Self::from(ttl.as_millis())
    }
}

/// One element of a reply. Nested arrays arrive flattened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Nil,
    /// A simple string, such as `OK`.
    Status(String),
    /// A number.
    Int(i64),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Value {
    /// Returns the bytes, or `None` for nothing.
    ///
    /// # Errors
    /// [`RedisError::Reply`] when it is a number.
    pub fn bytes(self) -> Result<Option<Vec<u8>>, RedisError> {
        match self {
            Self::Nil => Ok(None),
            Self::Bytes(bytes) => Ok(Some(bytes)),
            Self::Status(text) => Ok(Some(text.into_bytes())),
            Self::Int(number) => Err(RedisError::reply("bytes", &format!("the number {number}"))),
        }
    }

    /// Returns the number, which may also be given in decimal digits.
    ///
    /// # Errors
    /// [`RedisError::Reply`] when it is anything else.
    pub fn int(&self) -> Result<i64, RedisError> {
        let parsed = match self {
            Self::Int(number) => Some(*number),
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()),
            Self::Nil | Self::Status(_) => None,
        };
        parsed.ok_or_else(|| RedisError::reply("a number", self.kind()))
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "nothing",
            Self::Status(_) => "a status",
            Self::Int(_) => "a number",
            Self::Bytes(_) => "bytes",
        }
    }
}

/// Unpacks a reply with exactly `N` elements.
///
/// # Errors
/// [`RedisError::Reply`] when it has more or fewer.
pub fn exactly<const N: usize>(reply: Vec<Value>) -> Result<[Value; N], RedisError> {
    <[Value; N]>::try_from(reply)
        .map_err(|reply| RedisError::reply(&format!("{N} elements"), &format!("{} elements", reply.len())))
}
