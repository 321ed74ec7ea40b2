//! Tokens that permit reading certain topics, signed and with an expiry.
//!
//! A token is a JSON Web Token (RFC 7519) signed with HMAC-SHA256 (`HS256`, RFC 7518 §3.2). The claim `topics` lists
//! [patterns](super::Pattern) of the permitted topics; `exp` is required, `nbf` is respected, other claims are
//! ignored. The key is derived from a configured one, so that signatures made here are worthless
//! elsewhere: HMAC-SHA256 of [`CONTEXT`] under the configured key. Whoever has that key can make tokens, too.

use super::name::{Pattern, TopicName};
use crate::config::Secret;
use crate::time::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// The text from which the signing key is derived.
pub const CONTEXT: &str = "spindrift topic token v1";

/// The most patterns in a token.
pub const MAX_PATTERNS: usize = 32;

/// The longest token that is checked, in bytes.
const MAX_TOKEN: usize = 8 * 1024;

/// Why a token is refused. No variant shows any part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is not a token, or its claims are not valid.
    #[error("the token is not a JSON Web Token with HS256, exp and topics")]
    Malformed,
    /// None of the keys has signed it.
    #[error("the token is not signed with a key of this cache")]
    Signature,
    /// It has expired.
    #[error("the token has expired")]
    Expired,
    /// It is not valid yet.
    #[error("the token is not valid yet")]
    Early,
}

/// The claims of a valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The topics that it permits.
    pub topics: Vec<Pattern>,
    /// When it expires.
    pub expires: Timestamp,
}

impl Claims {
    /// Returns whether it permits `topic`.
    #[must_use]
    pub fn allow(&self, topic: &TopicName) -> bool {
        self.topics.iter().any(|pattern| pattern.matches(topic))
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Payload {
    topics: Vec<String>,
    /// NumericDate (RFC 7519 §2): seconds, possibly with a fraction.
    exp: f64,
    nbf: Option<f64>,
}

/// Makes a token for these topics, valid for `ttl` from `now`, rounded up to a second. Also returns when it expires.
#[must_use]
pub fn sign(key: &Secret, topics: &[Pattern], ttl: Duration, now: Timestamp) -> (String, Timestamp) {
    let expires = now.plus(ttl).as_millis().div_ceil(1000);
    let header = encode(json!({"alg": "HS256", "typ": "JWT"}).to_string().as_bytes());
    let payload = encode(json!({"topics": topics, "exp": expires}).to_string().as_bytes());
    let signed = format!("{header}.{payload}");
    let signature = encode(&mac(key, signed.as_bytes()).finalize().into_bytes());
    (format!("{signed}.{signature}"), Timestamp::from_millis(expires.saturating_mul(1000)))
}

/// Verifies a token with all keys, in constant time for each.
///
/// # Errors
/// [`TokenError`].
pub fn verify(keys: &[Secret], token: &str, now: Timestamp) -> Result<Claims, TokenError> {
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
    if token.len() > MAX_TOKEN {
        return Err(TokenError::Malformed);
    }
    let signature = decode(signature)?;
    let good = |key: &Secret| mac(key, signed.as_bytes()).verify_slice(&signature).is_ok();
    // Nothing in a token is interpreted before its signature is verified.
    if !keys.iter().any(good) {
        return Err(TokenError::Signature);
    }
    let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| TokenError::Malformed)?;
    if header.alg != "HS256" {
        return Err(TokenError::Malformed);
    }
    let payload: Payload = serde_json::from_slice(&decode(payload)?).map_err(|_| TokenError::Malformed)?;
    claims(&payload, now)
}

fn claims(payload: &Payload, now: Timestamp) -> Result<Claims, TokenError> {
    if payload.nbf.map(point).is_some_and(|nbf| now < nbf) {
        return Err(TokenError::Early);
    }
    let expires = point(payload.exp);
    if now >= expires {
        return Err(TokenError::Expired);
    }
    let topics: Option<Vec<Pattern>> = payload.topics.iter().map(|text| Pattern::new(text)).collect();
    let topics = topics.filter(|topics| topics.len() <= MAX_PATTERNS).ok_or(TokenError::Malformed)?;
    Ok(Claims { topics, expires })
}

/// Converts a NumericDate to a point in time, saturating.
fn point(seconds: f64) -> Timestamp {
    Timestamp::from_millis((seconds * 1000.0) as u64)
}

fn mac(key: &Secret, text: &[u8]) -> Hmac<Sha256> {
    let derived = hmac(key.expose().as_bytes(), CONTEXT.as_bytes()).finalize().into_bytes();
    hmac(&derived, text)
}

/// RFC 2104 §2: a key longer than a block is hashed first, a shorter one is padded with zeros.
fn hmac(key: &[u8], text: &[u8]) -> Hmac<Sha256> {
    let mut block = [0; 64];
    let hashed = Sha256::digest(key);
    let key = if key.len() > block.len() { &hashed } else { key };
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(text);
    mac
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(text: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn key(text: &str) -> Secret {
        Secret::new(text)
    }

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| Pattern::new(text).unwrap()).collect()
    }

    fn token() -> String {
        sign(&key("a key of the tests"), &patterns(&["orders", "chat.*"]), Duration::from_secs(60), NOW).0
    }

    fn verified(token: &str, now: Timestamp) -> Result<Claims, TokenError> {
        verify(&[key("a key of the tests")], token, now)
    }

    /// Makes a token with this header and these claims and a valid signature.
    fn made(header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", encode(header.as_bytes()), encode(payload.as_bytes()));
        let signature = mac(&key("a key of the tests"), signed.as_bytes()).finalize().into_bytes();
        format!("{signed}.{}", encode(&signature))
    }

    #[test]
    fn a_token_is_good_for_its_topics_until_it_expires() {
        let claims = verified(&token(), NOW).unwrap();
        let allows = |topic: &str| claims.allow(&TopicName::new(topic).unwrap());
        assert!(allows("orders") && allows("chat.1"));
        assert!(!allows("orders2") && !allows("chat") && !allows("other"));
        assert_eq!(claims.expires, NOW.plus(Duration::from_secs(60)));
        assert!(verified(&token(), NOW.plus(Duration::from_millis(59_999))).is_ok());
        assert_eq!(verified(&token(), NOW.plus(Duration::from_secs(60))), Err(TokenError::Expired));
    }

    #[test]
    fn older_keys_are_good_and_others_are_not() {
        let keys = [key("a newer key"), key("a key of the tests")];
        assert!(verify(&keys, &token(), NOW).is_ok());
        assert_eq!(verify(&keys[..1], &token(), NOW), Err(TokenError::Signature));
        assert_eq!(verify(&[], &token(), NOW), Err(TokenError::Signature));
    }

    #[test]
    fn whatever_is_changed_the_signature_is_not_good_any_more() {
        let token = token();
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(verified(&changed, NOW).is_err(), "{at}");
        }
    }

    #[test]
    fn tokens_of_another_form_are_refused() {
        let good = r#"{"topics":["a"],"exp":1700000060}"#;
        let header = r#"{"alg":"HS256"}"#;
        assert!(verified(&made(header, good), NOW).is_ok());
        for (header, payload) in [
            (r#"{"alg":"none"}"#, good),
            (r#"{"alg":"HS512"}"#, good),
            ("{}", good),
            ("x", good),
            (header, "x"),
            (header, r#"{"topics":["a"]}"#),
            (header, r#"{"exp":1700000060}"#),
            (header, r#"{"topics":"a","exp":1700000060}"#),
            (header, r#"{"topics":["a b"],"exp":1700000060}"#),
            (header, r#"{"topics":["a"],"exp":"1700000060"}"#),
        ] {
            assert_eq!(
                verified(&made(header, payload), NOW),
                Err(TokenError::Malformed),
                "{header} {payload}"
            );
        }
        let unsigned = format!("{}.{}.", encode(br#"{"alg":"none"}"#), encode(good.as_bytes()));
        assert_eq!(verified(&unsigned, NOW), Err(TokenError::Signature));
        for text in ["", ".", "..", "a.b", "a.b.c", "a.b.=", &"x".repeat(10_000)] {
            assert!(verified(text, NOW).is_err(), "{text}");
        }
    }

    #[test]
    fn times_may_have_fractions_and_be_beyond_all_time() {
        let with = |claims: &str| {
            verified(&made(r#"{"alg":"HS256"}"#, &format!(r#"{{"topics":["a"],{claims}}}"#)), NOW)
        };
        assert!(with(r#""exp":1700000000.5"#).is_ok());
        assert!(with(r#""exp":1e300"#).is_ok());
        assert_eq!(with(r#""exp":-1"#), Err(TokenError::Expired));
        assert_eq!(with(r#""exp":1700000060,"nbf":1700000001"#), Err(TokenError::Early));
        assert!(with(r#""exp":1700000060,"nbf":1700000000"#).is_ok());
    }

    /// RFC 4231 §4.2, §4.3 and §4.7: HMAC-SHA256 of keys of 20, 4 and 131 bytes.
    #[test]
    fn the_hmac_is_that_of_the_rfc() {
        let hex = |key: &[u8], text: &[u8]| crate::redis::hex(&hmac(key, text).finalize().into_bytes());
        assert_eq!(
            hex(&[0x0b; 20], b"Hi There"),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_eq!(
            hex(b"Jefe", b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hex(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_refused_without_panic(text in "[a-zA-Z0-9_.=-]{0,60}") {
            prop_assert!(verified(&text, NOW).is_err());
        }
    }
}
