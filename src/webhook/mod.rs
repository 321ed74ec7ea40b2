//! Messages pushed to a target of the operator, signed as specified by [Standard Webhooks].
//!
//! ```text
//! POST <target>
//! content-type: application/json
//! webhook-id: <the same for every attempt>
//! webhook-timestamp: <of this attempt, in Unix seconds>
//! webhook-signature: v1,<base64 of HMAC-SHA256(key, "<id>.<timestamp>.<content>")> v1,<by the older key>
//! ```
//! [`KeyRing`] signs, [`deliver`] makes one attempt, and [`judge`] says what its response means. When to try
//! again, and what happens to a message that nobody accepts, is decided where messages are kept.
//!
//! A target comes only from the configuration, never from a request, and the host sends only to where
//! `allowed_outbound_hosts` permits: nobody can make us call a URL of their choice (SSRF).
//!
//! [Standard Webhooks]: https://www.standardwebhooks.com

mod deliver;
mod key;
mod outcome;

pub use deliver::{Message, deliver};
pub(crate) use key::is_name;
pub use key::{BadKey, KeyRing, KeyRings, SigningKey};
pub use outcome::{MAX_RETRY_AFTER, Outcome, judge};
