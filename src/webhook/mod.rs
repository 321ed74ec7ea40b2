//! Messages pushed to a target of the operator's, signed as [Standard Webhooks] says.
//!
//! ```text
//! POST <target>
//! content-type: application/json
//! webhook-id: <the same for every attempt>
//! webhook-timestamp: <of this attempt, in Unix seconds>
//! webhook-signature: v1,<base64 of HMAC-SHA256(key, "<id>.<timestamp>.<content>")> v1,<by the older key>
//! ```
//! [`KeyRing`] signs, [`deliver`] sends one attempt, and [`judge`] says what its response means. When to try
//! again, and what becomes of a message nobody takes, is decided where messages are kept.
//!
//! A target comes from the configuration alone, never from a request, and the host sends only where
//! `allowed_outbound_hosts` lets it: nobody can have us call what they name (SSRF).
//!
//! [Standard Webhooks]: https://www.standardwebhooks.com

mod deliver;
mod key;
mod outcome;

pub use deliver::{Message, deliver};
pub(crate) use key::is_name;
pub use key::{BadKey, KeyRing, KeyRings, SigningKey};
pub use outcome::{MAX_RETRY_AFTER, Outcome, judge};
