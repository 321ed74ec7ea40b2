//! Keys that sign messages, and rings of them, which allow rotation.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::collections::BTreeMap;
use std::fmt;

/// The prefix of a key.
const PREFIX: &str = "whsec_";
/// The length of a key, in bytes.
const LENGTH: std::ops::RangeInclusive<usize> = 24..=64;

/// A secret that signs messages: `whsec_` and the base64 of 24 to 64 random bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey(Vec<u8>);

/// Why a text is not a valid key. It shows nothing of the text, which may be most of a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// It does not begin with `whsec_`, or what follows is not base64.
    #[error("expected whsec_ followed by base64")]
    Form,
    /// It is too short to be safe, or longer than the specification allows; this is its length in bytes.
    #[error("expected 24 to 64 bytes encoded in base64, found {0}")]
    Length(usize),
    /// The name of a ring is not valid.
    #[error("expected a ring's name of 1 to 64 characters A-Z a-z 0-9 . _ -, and = before the key")]
    Name,
}

impl SigningKey {
    /// Parses a key.
    ///
    /// # Errors
    /// [`BadKey`].
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        let encoded = text.strip_prefix(PREFIX).ok_or(BadKey::Form)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| BadKey::Form)?;
        if LENGTH.contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(BadKey::Length(bytes.len())) }
    }

    /// Returns the signature of a message, as in `webhook-signature`.
    fn sign(&self, id: &str, timestamp: u64, content: &[u8]) -> String {
        // HMAC takes a key of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(content);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// One or more keys, the newest first. Each signs, so that a receiver that knows any of them can verify:
/// first the receiver gets the new key, then we do, then the old one is removed from both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRing {
    newest: SigningKey,
    older: Vec<SigningKey>,
}

impl KeyRing {
    /// Makes a ring of one key.
    #[must_use]
    pub const fn new(key: SigningKey) -> Self {
        Self { newest: key, older: Vec::new() }
    }

    /// Returns the value of `webhook-signature`: one signature for each key, separated by blanks. `timestamp` is in
    /// Unix seconds.
    ///
    /// ```
    /// use spindrift::webhook::{KeyRing, SigningKey};
    ///
    /// let key = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
    /// let signature = KeyRing::new(key).sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
    /// assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    /// # Ok::<(), spindrift::webhook::BadKey>(())
    /// ```
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: u64, content: &[u8]) -> String {
        let keys = std::iter::once(&self.newest).chain(&self.older);
        let signatures: Vec<String> = keys.map(|key| key.sign(id, timestamp, content)).collect();
        signatures.join(" ")
    }
}

/// All rings by name; the ring without a name has the empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRings(BTreeMap<String, KeyRing>);

impl KeyRings {
    /// Parses entries separated by commas, the newest of a ring first: `whsec_...` belongs to the ring without
    /// a name, `billing=whsec_...` to the ring `billing`.
    ///
    /// # Errors
    /// The number of the first invalid entry, from 1, and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, (usize, BadKey)> {
        let mut rings = Self::default();
        let entries = text.split(',').map(str::trim_ascii).filter(|entry| !entry.is_empty());
        for (number, entry) in (1..).zip(entries) {
            rings.add(entry).map_err(|problem| (number, problem))?;
        }
        Ok(rings)
    }

    fn add(&mut self, entry: &str) -> Result<(), BadKey> {
        let (name, key) = match entry.split_once('=') {
            // It may contain a `=` at the end of the base64.
            _ if entry.starts_with(PREFIX) => ("", entry),
            Some((name, key)) if is_name(name) => (name, key),
            Some(_) => return Err(BadKey::Name),
            None => return Err(BadKey::Form),
        };
        let key = SigningKey::parse(key)?;
        match self.0.get_mut(name) {
            Some(ring) => ring.older.push(key),
            None => {
                self.0.insert(name.to_owned(), KeyRing::new(key));
            }
        }
        Ok(())
    }

    /// Returns the ring with this name; the empty name is that of the ring without one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&KeyRing> {
        self.0.get(name)
    }
}

/// Returns whether this is a valid name of a ring.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const LONGEST: &str =
        "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==";

    fn ring(text: &str) -> KeyRing {
        KeyRings::parse(text).unwrap().get("").unwrap().clone()
    }

    /// Computed with Node 20's `crypto.createHmac('sha256', Buffer.from(secret, 'base64'))`.
    #[test]
    fn signatures_are_those_of_another_implementation() {
        let long = "x".repeat(1000);
        for (key, id, timestamp, content, expected) in [
            // The example of the specification.
            (
                KEY,
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                r#"{"test": 2432232314}"#,
                "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
            (
                LONGEST,
                "0193f0b6",
                1_700_000_000,
                r#"{"größe":"✓"}"#,
                "KRy85Ee90GJa8ZsYhDalYDI9o1STpO9mm3qISXeNnb0=",
            ),
            (KEY, "a", 0, "", "ZyVG66Mr75yBcUDUg3OFSwOBLDdB73ytHZQLL4wzqLI="),
            (LONGEST, "job-1", 4_102_444_800, &long, "RAz80PhbNmunE0JdRB48agLcEoltmUCwdG1dxJse6zo="),
        ] {
            let signature = ring(key).sign(id, timestamp, content.as_bytes());
            assert_eq!(signature, format!("v1,{expected}"), "{id}");
        }
    }

    #[test]
    fn every_key_of_a_ring_signs_the_newest_first() {
        let both = ring(&format!("{LONGEST},{KEY}")).sign("a", 1, b"x");
        assert_eq!(both, format!("{} {}", ring(LONGEST).sign("a", 1, b"x"), ring(KEY).sign("a", 1, b"x")));
    }

    #[test]
    fn rings_have_names() {
        let rings = KeyRings::parse(&format!(" {KEY}, billing={LONGEST} ,billing={KEY},")).unwrap();
        assert_eq!(rings.get(""), Some(&ring(KEY)));
        assert_eq!(rings.get("billing"), Some(&ring(&format!("{LONGEST},{KEY}"))));
        assert_eq!(rings.get("other"), None);
        assert_eq!(KeyRings::parse(""), Ok(KeyRings::default()));
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_shown() {
        for (text, problem) in [
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", BadKey::Form),
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!", BadKey::Form),
            ("whsec_", BadKey::Length(0)),
            ("whsec_c2hvcnQ=", BadKey::Length(5)),
            ("two words=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", BadKey::Name),
            ("=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", BadKey::Name),
        ] {
            assert_eq!(KeyRings::parse(&format!("{KEY},{text}")), Err((2, problem)), "{text}");
        }
        assert!(!format!("{:?}", ring(KEY)).contains("MfKQ"));
    }
}
