//! The keys that sign tokens. A token that none of them has signed is refused before Redis is asked.

use super::id::SessionId;
use crate::config::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The length of every token in bytes: handle, secret and signature, 43 characters each, with dots between.
const TOKEN: usize = 3 * 43 + 2;

/// The keys in the variable `session_keys`, in that order: the first, newest one signs, and all of them verify.
///
/// The signature is HMAC-SHA-256 (RFC 2104) over the purpose, the handle and the secret. It keeps guesses and
/// garbage away from Redis; what opens a session is its secret, not the signature.
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    purpose: String,
    keys: Vec<Secret>,
}

/// A token that one of the keys has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The id in the token.
    pub id: SessionId,
    /// Whether it was signed with another key than the newest: then the client should get a new one.
    pub old_key: bool,
}

impl KeyRing {
    /// Makes a ring of `keys`, the newest first. What it signs for one `purpose` is not valid for any other.
    #[must_use]
    pub fn new(purpose: &str, keys: Vec<Secret>) -> Self {
        Self { purpose: purpose.to_owned(), keys }
    }

    /// Returns whether there is no key, so that nothing can be signed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the token of a session, signed with the newest key: 131 characters of base64url and dots. It is a
    /// secret. `None` without keys.
    #[must_use]
    pub fn sign(&self, id: &SessionId) -> Option<String> {
        let text = id.expose();
        let signature = self.mac(self.keys.first()?, &text)?.finalize().into_bytes();
        Some(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Verifies a token that any of the keys has signed, in constant time.
    #[must_use]
    pub fn verify(&self, token: &str) -> Option<Verified> {
        if token.len() != TOKEN {
            return None;
        }
        let (text, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let signed =
            |key: &Secret| self.mac(key, text).is_some_and(|mac| mac.verify_slice(&signature).is_ok());
        let key = self.keys.iter().position(signed)?;
        Some(Verified { id: SessionId::parse(text)?, old_key: key > 0 })
    }

    fn mac(&self, key: &Secret, text: &str) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()).ok()?;
        for part in ["spindrift session 1", &self.purpose, text] {
            mac.update(part.as_bytes());
            mac.update(&[0]);
        }
        Some(mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Entropy;
    use proptest::prelude::*;

    struct Sevens;

    impl Entropy for Sevens {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(7);
        }
    }

    fn ring(keys: &[&str]) -> KeyRing {
        KeyRing::new("sid", keys.iter().copied().map(Secret::new).collect())
    }

    fn id() -> SessionId {
        SessionId::random(None, &Sevens)
    }

    #[test]
    fn the_newest_key_signs_and_every_key_verifies() {
        let old = ring(&["old"]).sign(&id()).unwrap();
        assert_eq!(old.len(), TOKEN);
        let both = ring(&["new", "old"]);
        assert_eq!(both.verify(&old), Some(Verified { id: id(), old_key: true }));
        let new = both.sign(&id()).unwrap();
        assert_eq!(both.verify(&new), Some(Verified { id: id(), old_key: false }));
        assert_eq!(ring(&["old"]).verify(&new), None);
        assert_eq!(ring(&["new"]).verify(&old), None, "a key that was taken out verifies nothing");
    }

    #[test]
    fn a_signature_counts_for_its_purpose_only() {
        let other = KeyRing::new("other", vec![Secret::new("key")]);
        assert_eq!(other.verify(&ring(&["key"]).sign(&id()).unwrap()), None);
    }

    #[test]
    fn without_keys_nothing_is_signed_and_nothing_verified() {
        let token = ring(&["key"]).sign(&id()).unwrap();
        assert_eq!(ring(&[]).verify(&token), None);
        assert_eq!(ring(&[]).sign(&id()), None);
        assert!(ring(&[]).is_empty());
    }

    #[test]
    fn no_key_and_no_secret_is_shown() {
        let ring = ring(&["hunter2"]);
        let verified = ring.verify(&ring.sign(&id()).unwrap()).unwrap();
        let shown = format!("{ring:?} {verified:?}");
        assert!(
            !shown.contains("hunter2")
                && !shown.contains("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHB.BwcH")
        );
    }

    proptest! {
        #[test]
        fn a_token_with_any_change_is_refused(at in 0..TOKEN, to in "[A-Za-z0-9_.=+ é-]") {
            let ring = ring(&["new", "old"]);
            let token = ring.sign(&id()).unwrap();
            let mut changed = token.clone();
            changed.replace_range(at..=at, &to);
            prop_assert!(changed == token || ring.verify(&changed).is_none());
        }

        #[test]
        fn arbitrary_text_is_refused_without_a_panic(text in "\\PC*") {
            prop_assert_eq!(ring(&["key"]).verify(&text), None);
        }
    }
}
