//! The error for a value that is not what it should be.

use crate::problem::Problem;
use http::StatusCode;

/// What was expected and what was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found}")]
pub struct Invalid {
    expected: String,
    found: String,
}

impl Invalid {
    pub(crate) fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { expected: expected.into(), found: found.into() }
    }

    /// Checks that `text` has 1 to `most` bytes and no control characters; `what` names it in the error.
    pub(crate) fn check_text(what: &str, most: usize, text: &str) -> Result<(), Self> {
        if text.is_empty() || text.len() > most {
            return Err(Self::new(format!("{what} of 1 to {most} bytes"), text.len().to_string()));
        }
        match text.chars().find(|c| c.is_control()) {
            Some(control) => {
                Err(Self::new(format!("{what} without control characters"), format!("{control:?}")))
            }
            None => Ok(()),
        }
    }
}

impl From<Invalid> for Problem {
    /// A 400.
    fn from(invalid: Invalid) -> Self {
        Self::new(StatusCode::BAD_REQUEST, invalid.to_string())
    }
}
