//! Why the host could not start, or had to stop.

use std::path::{Path, PathBuf};

/// Every error that ends the host. Failures of single requests are answered to these instead.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The manifest is not valid, or requires something that this host lacks.
    #[error("{}: {problem}", file.display())]
    Manifest {
        /// The manifest that was read.
        file: PathBuf,
        /// What was expected, what was found, and where in the file.
        problem: String,
    },
    /// A component cannot be loaded, linked or given its files.
    #[error("component {component:?}: {problem}")]
    Component {
        /// The component's id in the manifest.
        component: String,
        /// What was expected and what was found.
        problem: String,
    },
    /// A variable is missing, or its value cannot be read.
    #[error("variables: {0}")]
    Variables(String),
    /// A file or a socket operation failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, and to what.
        what: String,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The WebAssembly engine could not be set up.
    #[error("WebAssembly engine: {0:#}")]
    Engine(wasmtime::Error),
    /// The Redis trigger could not connect or subscribe.
    #[error("{what}: {source}")]
    Redis {
        /// What was being done, and to which server (never with credentials).
        what: String,
        /// The error of the client.
        source: redis::RedisError,
    },
    /// The Redis trigger lost its connection: messages may be missed from here on.
    #[error("disconnected from {0}")]
    Disconnected(String),
}

impl Error {
    pub(crate) fn manifest(file: &Path, problem: impl Into<String>) -> Self {
        Self::Manifest { file: file.to_owned(), problem: problem.into() }
    }

    pub(crate) fn component(component: &str, problem: impl Into<String>) -> Self {
        Self::Component { component: component.to_owned(), problem: problem.into() }
    }

    pub(crate) fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }

    pub(crate) fn redis(what: impl Into<String>, source: redis::RedisError) -> Self {
        Self::Redis { what: what.into(), source }
    }
}
