//! Keys, tags, patterns and media types, checked against their bounds.

use crate::invalid::Invalid;

/// The longest key, in bytes.
pub const MAX_KEY: usize = 512;
/// The longest pattern, in bytes.
pub const MAX_PATTERN: usize = 1024;
/// The longest tag, in bytes.
pub const MAX_TAG: usize = 256;
/// The most tags of one value.
pub const MAX_TAGS: usize = 64;
/// The longest media type, in bytes.
pub const MAX_MEDIA_TYPE: usize = 255;

/// The key of a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueKey(String);

impl ValueKey {
    /// Makes a key: 1 to 512 bytes of UTF-8 without control characters. It is compared byte for byte.
    ///
    /// # Errors
    /// [`Invalid`] for anything else.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        Invalid::check_text("a key", MAX_KEY, text)?;
        Ok(Self(text.to_owned()))
    }

    /// Returns the key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A glob over keys: `*` matches any number of bytes, `?` exactly one, everything else itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Makes a pattern: 1 to 1024 bytes of UTF-8 without control characters.
    ///
    /// # Errors
    /// [`Invalid`] for anything else.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        Invalid::check_text("a pattern", MAX_PATTERN, text)?;
        Ok(Self(text.to_owned()))
    }

    /// Returns the pattern.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A tag, by which values are invalidated together. It is compared as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag(String);

impl Tag {
    /// Makes a tag: 1 to 256 bytes of UTF-8 without control characters, commas, which separate tags in lists,
    /// and surrounding blanks.
    ///
    /// # Errors
    /// [`Invalid`] for anything else.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        Invalid::check_text("a tag", MAX_TAG, text)?;
        if text.contains(',') || text.trim() != text {
            return Err(Invalid::new("a tag without commas or surrounding blanks", format!("{text:?}")));
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the tag.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The media type of a value's content (RFC 9110 §8.3.1), as its writer declared it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType(String);

impl MediaType {
    /// Makes a media type: `type/subtype` with optional parameters, at most 255 bytes of printable ASCII.
    ///
    /// # Errors
    /// [`Invalid`] for anything else.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let printable = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        let essence = text.split(';').next().unwrap_or_default().trim();
        let named = essence.split_once('/').is_some_and(|(kind, sub)| is_token(kind) && is_token(sub));
        if printable && named && text.len() <= MAX_MEDIA_TYPE {
            return Ok(Self(text.trim().to_owned()));
        }
        let expected = format!("a media type like \"text/plain\" of at most {MAX_MEDIA_TYPE} bytes");
        Err(Invalid::new(
            expected,
            if text.len() > MAX_MEDIA_TYPE { text.len().to_string() } else { format!("{text:?}") },
        ))
    }

    /// `application/json`.
    #[must_use]
    pub fn json() -> Self {
        Self("application/json".to_owned())
    }

    /// `application/octet-stream`: bytes of unknown type.
    #[must_use]
    pub fn bytes() -> Self {
        Self("application/octet-stream".to_owned())
    }

    /// `text/plain` in UTF-8.
    #[must_use]
    pub fn text() -> Self {
        Self("text/plain; charset=utf-8".to_owned())
    }

    /// Returns the media type.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether it is `application/json`, or ends in `+json` (RFC 6839 §3.1).
    #[must_use]
    pub fn is_json(&self) -> bool {
        let essence = self.essence();
        essence == "application/json" || essence.ends_with("+json")
    }

    /// Returns whether it is a kind of text.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.essence().starts_with("text/")
    }

    fn essence(&self) -> String {
        self.0.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }
}

/// Returns whether it is a `token` of RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    let tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(tchar)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_patterns_are_bounded_and_visible() {
        for good in ["a", "user:1", "a/b c", "é*?[{}]\\%", &"k".repeat(MAX_KEY)] {
            assert!(ValueKey::new(good).is_ok() && Pattern::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a\n", "\u{0}", "a\u{7f}", &"k".repeat(MAX_PATTERN + 1)] {
            assert!(ValueKey::new(bad).is_err() && Pattern::new(bad).is_err(), "{bad}");
        }
        assert_eq!(
            ValueKey::new(&"k".repeat(513)).unwrap_err().to_string(),
            "expected a key of 1 to 512 bytes, found 513"
        );
    }

    #[test]
    fn tags_have_no_commas() {
        for good in ["a", "user 1", "größe", "a;b"] {
            assert!(Tag::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a,b", " a", "a ", "a\tb", &"t".repeat(257)] {
            assert!(Tag::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn media_types_are_type_and_subtype() {
        for good in ["text/plain", "application/vnd.x+json; charset=utf-8", "a/b;c=\"d e\""] {
            assert!(MediaType::new(good).is_ok(), "{good}");
        }
        for bad in ["", "text", "/", "text/", "te xt/plain", "text/plain\r\nx: y", "é/a", &"a/".repeat(200)]
        {
            assert!(MediaType::new(bad).is_err(), "{bad}");
        }
        let is_json = |text| MediaType::new(text).unwrap().is_json();
        assert!(is_json("Application/JSON; charset=utf-8") && is_json("application/problem+json"));
        assert!(!is_json("application/jsonl") && !is_json("text/plain"));
    }
}
