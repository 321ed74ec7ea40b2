//! What is wrong with a configuration, and where: all problems at once.

use std::fmt;

/// One problem: its place, the key that it concerns, and what was expected and found.
///
/// Its `Display` is one line, such as
/// `spindrift.toml:12:9: route[2].cache.ttl: expected a duration like "30s", "5m" or "1h", found "5 minutes"`.
/// It never contains a secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigError {
    place: Place,
    key: String,
    message: String,
}

/// The place of a problem, in reading order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// A Spin variable.
    Variable,
    /// A position in TOML text; line and column count from 1, columns in characters.
    Text { file: String, line: usize, column: usize },
}

impl ConfigError {
    /// Makes a problem at a position of TOML text. `key` is empty for a syntax error.
    pub(super) fn in_text(file: &str, at: (usize, usize), key: String, message: String) -> Self {
        Self { place: Place::Text { file: file.to_owned(), line: at.0, column: at.1 }, key, message }
    }

    /// Makes a problem of the Spin variable `name`.
    pub(super) fn in_variable(name: &str, message: String) -> Self {
        Self { place: Place::Variable, key: name.to_owned(), message }
    }

    /// Returns the path of the key, such as `route[2].cache.ttl`, or the name of the variable; empty for a syntax
    /// error.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns what was expected and what was found instead.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns line and column, both counted from 1; `None` for a variable.
    #[must_use]
    pub fn line_column(&self) -> Option<(usize, usize)> {
        match self.place {
            Place::Text { line, column, .. } => Some((line, column)),
            Place::Variable => None,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Text { file, line, column } => write!(f, "{file}:{line}:{column}: ")?,
            Place::Variable => f.write_str("variable ")?,
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ConfigError {}

/// All problems of a configuration, at least one, in reading order. `Display` gives one line for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// Returns `value` if there are no problems, or else all of `problems`.
    pub(super) fn check<T>(value: T, mut problems: Vec<ConfigError>) -> Result<T, Self> {
        if problems.is_empty() {
            return Ok(value);
        }
        problems.sort();
        problems.dedup();
        Err(Self(problems))
    }

    /// Combines two results, so that the problems of both are reported together: those of the variables and those
    /// of the text.
    ///
    /// # Errors
    /// The problems of either or both.
    pub fn both<A, B>(first: Result<A, Self>, second: Result<B, Self>) -> Result<(A, B), Self> {
        match (first, second) {
            (Ok(first), Ok(second)) => Ok((first, second)),
            (Err(mut first), Err(second)) => {
                first.0.extend(second.0);
                Err(first)
            }
            (Err(problems), Ok(_)) | (Ok(_), Err(problems)) => Err(problems),
        }
    }

    /// Returns the problems in reading order.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a ConfigErrors {
    type Item = &'a ConfigError;
    type IntoIter = std::slice::Iter<'a, ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_in_reading_order_and_both_sides_are_reported() {
        let at = |line| ConfigError::in_text("f", (line, 1), format!("k{line}"), "bad".into());
        let text = ConfigErrors::check((), vec![at(10), at(2), at(10)]);
        let variable =
            ConfigErrors::check((), vec![ConfigError::in_variable("redis_url", "expected a URL".into())]);
        let both = ConfigErrors::both(variable, text).unwrap_err();
        assert_eq!(both.to_string(), "variable redis_url: expected a URL\nf:2:1: k2: bad\nf:10:1: k10: bad");
        assert_eq!(ConfigErrors::both(Ok(1), Ok(2)), Ok((1, 2)));
    }
}
