//! Lua scripts: atomic, bounded, with flat replies of fixed length.

use sha1::{Digest, Sha1};
use std::sync::OnceLock;

/// A script, and the digest by which Redis knows it.
#[derive(Debug)]
pub struct Script {
    source: &'static str,
    digest: OnceLock<String>,
}

impl Script {
    /// Makes a script from its source.
    #[must_use]
    pub const fn new(source: &'static str) -> Self {
        Self { source, digest: OnceLock::new() }
    }

    /// Returns the Lua text.
    #[must_use]
    pub const fn source(&self) -> &'static str {
        self.source
    }

    /// Returns the SHA-1 of the text in hexadecimal, as `EVALSHA` takes it.
    pub fn digest(&self) -> &str {
        self.digest.get_or_init(|| hex(&Sha1::digest(self.source.as_bytes())))
    }
}

/// Formats bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = |byte: &u8| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    let text: Vec<u8> = bytes.iter().flat_map(digits).collect();
    String::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_sha1_in_hexadecimal() {
        assert_eq!(Script::new("return 1").digest(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    }
}
