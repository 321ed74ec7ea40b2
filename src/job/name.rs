//! The names of queues, jobs and schedules.

use std::fmt;

/// The longest name, in bytes.
pub const MAX_NAME: usize = 128;

/// The error for a text that is not a valid name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found:?}")]
pub struct BadName {
    expected: &'static str,
    found: String,
}

impl BadName {
    fn new(expected: &'static str, found: &str) -> Self {
        Self { expected, found: found.chars().take(60).collect() }
    }
}

/// The name of a queue: 1 to 128 bytes of text without control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueName(String);

impl QueueName {
    /// Makes a name.
    ///
    /// # Errors
    /// [`BadName`] when `text` is not valid as one.
    pub fn new(text: &str) -> Result<Self, BadName> {
        if is_text(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadName::new("a queue's name of 1 to 128 bytes without control characters", text))
        }
    }

    /// Returns the name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of a job within its queue: 1 to 128 of `A-Z a-z 0-9 . _ -`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(String);

impl JobId {
    /// Makes an id.
    ///
    /// # Errors
    /// [`BadName`] when `text` is not valid as one.
    pub fn new(text: &str) -> Result<Self, BadName> {
        if is_token(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadName::new("a job's id of 1 to 128 characters A-Z a-z 0-9 . _ -", text))
        }
    }

    /// Returns the id as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a schedule within its queue: 1 to 64 of `A-Z a-z 0-9 . _ -`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScheduleName(String);

impl ScheduleName {
    /// Makes a name.
    ///
    /// # Errors
    /// [`BadName`] when `text` is not valid as one.
    pub fn new(text: &str) -> Result<Self, BadName> {
        if is_token(text) && text.len() <= 64 {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadName::new("a schedule's name of 1 to 64 characters A-Z a-z 0-9 . _ -", text))
        }
    }

    /// Returns the name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The value of an `Idempotency-Key`: 1 to 255 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Makes a key of `text`, with quotes, as in draft-ietf-httpapi-idempotency-key-header, or without.
    ///
    /// # Errors
    /// [`BadName`] when `text` is not valid as one.
    pub fn new(text: &str) -> Result<Self, BadName> {
        let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
        let visible = |byte: u8| byte.is_ascii_graphic() && byte != b'"';
        if (1..=255).contains(&bare.len()) && bare.bytes().all(visible) {
            Ok(Self(bare.to_owned()))
        } else {
            Err(BadName::new("an idempotency key of 1 to 255 visible ASCII characters", text))
        }
    }

    /// Returns the key without quotes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_text(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn is_token(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_may_have_any_name_but_no_control_characters() {
        for good in ["mail", "a/b", "größe {1}", "x:y", &"n".repeat(128)] {
            assert!(QueueName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a\nb", "\0", "\u{85}", &"n".repeat(129)] {
            assert!(QueueName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ids_and_schedules_are_plain() {
        assert!(JobId::new("cron-a.b_2").is_ok() && ScheduleName::new("nightly").is_ok());
        for bad in ["", "a b", "a/b", "ä", "a:b", &"n".repeat(129)] {
            assert!(JobId::new(bad).is_err() && ScheduleName::new(bad).is_err(), "{bad:?}");
        }
        assert!(ScheduleName::new(&"n".repeat(65)).is_err());
    }

    #[test]
    fn an_idempotency_key_is_the_same_with_and_without_quotes() {
        assert_eq!(IdempotencyKey::new("\"8e03978e\"").unwrap(), IdempotencyKey::new("8e03978e").unwrap());
        for bad in ["", "\"\"", "a b", "a\"b", "\"a", "é", &"k".repeat(256)] {
            assert!(IdempotencyKey::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_error_says_what_was_expected_and_found() {
        let error = JobId::new("a b").unwrap_err().to_string();
        assert_eq!(error, "expected a job's id of 1 to 128 characters A-Z a-z 0-9 . _ -, found \"a b\"");
    }
}
