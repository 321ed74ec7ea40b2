//! The key-value cache: values with a time to live, shared by all instances.
//!
//! ```
//! use spindrift::env::Env;
//! use spindrift::value::{FillError, NewValue, Pattern, Tag, Terms, ValueError, ValueKey, Values};
//! use std::time::Duration;
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct User {
//!     name: String,
//! }
//!
//! async fn example<E: Env>(values: &Values<E>) -> Result<(), Box<dyn std::error::Error>> {
//!     let key = ValueKey::new("user:1")?;
//!     let user = NewValue::json(&User { name: "Ada".to_owned() })?.tagged([Tag::new("users")?])?;
//!     values.set(&key, &user, Some(Duration::from_secs(60))).await?;
//!     let found: Option<User> = values.get_json(&key).await?;
//!
//!     // Cache-aside: of many callers, on any number of instances, one loads it.
//!     let load = async || Ok::<_, std::io::Error>(NewValue::text("loaded"));
//!     let filled = values.get_or_set(&ValueKey::new("slow")?, &Terms::default(), load).await?;
//!
//!     // From here on nobody sees a user, nor what was being loaded for one when this began.
//!     values.invalidate(&[Pattern::new("user:*")?], &[Tag::new("users")?]).await?;
//!     Ok(())
//! }
//! ```
//!
//! | key | what it holds |
//! |---|---|
//! | `{value:<key>}` | a value: one string, its head and its content |
//! | `{value:<key>}:l` | the lease to fill it, while somebody does |
//! | `{values}`, `{values}:z` | the head and the entries of the ledger of invalidations; in a cluster `{values:<n>}`, sixteen of them |
//!
//! Invalidation by pattern and by tag uses a [ledger](crate::purge) of its own, like that for responses: one
//! write invalidates any number of values, and nothing has to be found. A value carries the mark of the ledger from
//! before it was set, or before it began to be made, and is compared with the ledger when it is read.

mod fill;
mod invalidate;
mod many;
mod name;
mod read;
mod record;
mod write;

pub use fill::{FillError, FillLease, Filled, How, Terms, Turn};
pub use many::Read;
pub use name::{MAX_KEY, MAX_MEDIA_TYPE, MAX_PATTERN, MAX_TAG, MAX_TAGS, MediaType, Pattern, Tag, ValueKey};
pub use read::Glance;
pub use write::{Condition, Swap, Written};

use crate::env::Env;
use crate::invalid::Invalid;
use crate::metrics::Metrics;
use crate::nonce::Nonces;
use crate::purge::Books;
use crate::redis::{Client, Keys, RedisError};
use crate::time::{Timestamp, Ttl};
use bytes::Bytes;
use record::Head;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// The limits of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueLimits {
    /// The largest content, in bytes. Default 1 MiB.
    pub max_size: u64,
    /// The default time to live. Default an hour.
    pub default_ttl: Duration,
    /// The longest time to live. Default 30 days.
    pub max_ttl: Duration,
}

impl Default for ValueLimits {
    fn default() -> Self {
        let hour = Duration::from_secs(3600);
        Self { max_size: 1 << 20, default_ttl: hour, max_ttl: 24 * 30 * hour }
    }
}

/// The values, as used by one instance.
pub struct Values<E: Env> {
    env: E,
    redis: Rc<Client<E>>,
    keys: Keys,
    nonces: Rc<Nonces>,
    books: Books<E>,
    limits: ValueLimits,
    metrics: Rc<Metrics<E>>,
}

/// A value that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The media type of its content.
    pub media_type: MediaType,
    /// Its tags.
    pub tags: Vec<String>,
    /// When it expires, by the clock of the instance that set it.
    pub expires_at: Timestamp,
    /// The entity tag of media type and content.
    pub etag: EntityTag,
    /// Its content.
    pub content: Bytes,
}

/// An entity tag, equal for values with the same media type and content, and different for all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityTag([u8; 16]);

impl EntityTag {
    /// Parses the opaque text between the quotes of a tag; `None` if no value has such a tag.
    #[must_use]
    pub fn of_opaque(text: &str) -> Option<Self> {
        let number = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32)?;
        let tag = Self(number.to_be_bytes());
        // Parsing accepts upper case and signs, which no tag has.
        (crate::redis::hex(&tag.0) == text).then_some(tag)
    }
}

impl fmt::Display for EntityTag {
    /// Formats it as a strong entity tag (RFC 9110 §8.8.3).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", crate::redis::hex(&self.0))
    }
}

/// A value to set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewValue {
    media_type: MediaType,
    content: Bytes,
    tags: Vec<Tag>,
}

/// Why a value was not set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// It is not valid.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Its content is too large.
    #[error("expected a value of at most {limit} bytes, found {found}")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
        /// Its size, in bytes.
        found: u64,
    },
    /// Others changed it again and again while its condition was evaluated.
    #[error("the value is being changed by other callers: try again")]
    Contended,
    /// Redis did not carry it out, or it is unknown whether it did.
    #[error(transparent)]
    Redis(#[from] RedisError),
}

/// Why a value of a certain type was not returned.
#[derive(Debug, thiserror::Error)]
pub enum TypedError {
    /// It exists, but is not JSON of this type.
    #[error("expected another value: {0}")]
    Json(#[from] serde_json::Error),
    /// Redis could not be read.
    #[error(transparent)]
    Redis(#[from] RedisError),
}

impl Value {
    /// Deserializes the content as JSON of type `T`.
    ///
    /// # Errors
    /// When it is not JSON of this type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.content)
    }

    fn of(head: Head, content: Bytes) -> Self {
        let Head { media_type, tags, expires_at, digest, .. } = head;
        Self { media_type, tags, expires_at, etag: EntityTag(digest), content }
    }
}

impl NewValue {
    /// Makes a value of bytes with this media type.
    #[must_use]
    pub fn new(media_type: MediaType, content: impl Into<Bytes>) -> Self {
        Self { media_type, content: content.into(), tags: Vec::new() }
    }

    /// Makes a value of anything, as JSON.
    ///
    /// # Errors
    /// When it cannot be serialized as JSON.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        Ok(Self::new(MediaType::json(), serde_json::to_vec(value)?))
    }

    /// Makes a value of text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(MediaType::text(), text.into())
    }

    /// Sets its tags, at most [`MAX_TAGS`].
    ///
    /// # Errors
    /// [`Invalid`] for more.
    pub fn tagged(self, tags: impl IntoIterator<Item = Tag>) -> Result<Self, Invalid> {
        let tags: Vec<Tag> = tags.into_iter().collect();
        if tags.len() > MAX_TAGS {
            return Err(Invalid::new(format!("at most {MAX_TAGS} tags"), tags.len().to_string()));
        }
        Ok(Self { tags, ..self })
    }

    /// Returns the entity tag that it has once it is set.
    #[must_use]
    pub fn etag(&self) -> EntityTag {
        EntityTag(record::digest(&self.media_type, &self.content))
    }

    /// Returns it as it is found later.
    fn found(self, expires_at: Timestamp) -> Value {
        let etag = self.etag();
        let tags = record::tag_texts(&self.tags);
        Value { media_type: self.media_type, tags, expires_at, etag, content: self.content }
    }
}

impl<E: Env> Values<E> {
    /// Makes the values in `redis`, with the names of their keys from `keys`. `metrics` counts reads.
    #[must_use]
    pub fn new(
        env: E,
        redis: Rc<Client<E>>,
        keys: Keys,
        nonces: Rc<Nonces>,
        limits: ValueLimits,
        metrics: Rc<Metrics<E>>,
    ) -> Self {
        // The ledger outlives every value that refers to it: three quarters of its life are left when one is set.
        let lifetime = Ttl::new(limits.max_ttl.saturating_mul(2)).unwrap_or(Ttl::MIN);
        let ledger = (keys.values(), keys.values_entries());
        let books = Books::new(&redis, &nonces, ledger, || keys.values_of_shares(), lifetime);
        Self { env, redis, keys, nonces, books, limits, metrics }
    }

    /// Returns the limits.
    #[must_use]
    pub const fn limits(&self) -> &ValueLimits {
        &self.limits
    }

    /// Returns the time to live of a value for which `ttl` is requested; `None` requests the default.
    ///
    /// # Errors
    /// [`Invalid`] for zero, and for more than [`ValueLimits::max_ttl`].
    pub fn ttl(&self, ttl: Option<Duration>) -> Result<Ttl, Invalid> {
        let ttl = ttl.unwrap_or(self.limits.default_ttl.min(self.limits.max_ttl));
        Ttl::new(ttl).filter(|_| ttl <= self.limits.max_ttl).ok_or_else(|| {
            let expected = format!("a ttl above 0 and up to {} seconds", self.limits.max_ttl.as_secs_f64());
            Invalid::new(expected, ttl.as_secs_f64().to_string())
        })
    }

    /// Returns the value of `key`, deserialized from JSON.
    ///
    /// # Errors
    /// [`TypedError`].
    pub async fn get_json<T: DeserializeOwned>(&self, key: &ValueKey) -> Result<Option<T>, TypedError> {
        let found = self.get(key).await?;
        Ok(found.map(|value| value.json()).transpose()?)
    }
}
