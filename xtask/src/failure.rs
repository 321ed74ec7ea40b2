//! The one error type: a sentence for the person at the terminal.

use std::fmt;

/// What went wrong, in words that say what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Something was not as it has to be; the text says what.
    Said(String),
    /// Ctrl-C or SIGTERM: there is nothing to explain.
    Interrupted,
}

/// The result of every command.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// Makes a failure with this text.
pub(crate) fn fail<T>(text: impl Into<String>) -> Result<T> {
    Err(Failure::Said(text.into()))
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said(text) => out.write_str(text),
            Self::Interrupted => out.write_str("interrupted"),
        }
    }
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self::Said(format!("{error}\nTry `cargo xtask help`."))
    }
}

/// Adds what was being done when a system call failed.
pub(crate) trait Context<T> {
    /// `doing` completes "cannot ...".
    fn cannot(self, doing: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn cannot(self, doing: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Failure::Said(format!("cannot {doing}: {error}")))
    }
}
