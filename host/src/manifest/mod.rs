//! The part of Spin's manifest (version 2) that this host runs.

mod check;
mod middleware;
mod schema;

pub use middleware::{Capability, Middleware};
pub use schema::{
    Application, Component, FilesMount, HttpTrigger, RedisTrigger, Route, StaticResponse, VariableDeclaration,
};

use crate::error::Error;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A manifest that was read and checked: all references in it are valid.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The file it came from.
    pub file: PathBuf,
    /// `[application]`
    pub application: Application,
    /// `[variables]`
    pub variables: BTreeMap<String, VariableDeclaration>,
    /// `[[trigger.http]]`, in the order of the file.
    pub http: Vec<HttpTrigger>,
    /// `[[trigger.redis]]`, each with its address template filled in from `[application.trigger.redis]`.
    pub redis: Vec<RedisTrigger>,
    /// `[component.*]`
    pub components: BTreeMap<String, Component>,
    /// Requests in the manifest that are not fulfilled, though the app starts without them.
    pub warnings: Vec<String>,
}

impl Manifest {
    /// Reads the manifest at `file`.
    ///
    /// # Errors
    /// The file cannot be read, or [`Manifest::parse`] refuses it.
    pub fn load(file: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(file)
            .map_err(|e| Error::io(format!("reading the manifest {}", file.display()), e))?;
        Self::parse(&text, file)
    }

    /// Parses a manifest; `file` says where it came from, and paths in it are relative to its directory.
    ///
    /// # Errors
    /// The text is not TOML, has an unknown key (named with its line), lacks something, refers to
    /// something that does not exist, or uses a part of Spin that this host lacks.
    pub fn parse(text: &str, file: &Path) -> Result<Self, Error> {
        let raw: schema::Raw = toml::from_str(text).map_err(|e| Error::manifest(file, e.to_string()))?;
        check::check(raw, file).map_err(|problem| Error::manifest(file, problem))
    }

    /// Returns the directory to which paths in the manifest are relative.
    #[must_use]
    pub fn root(&self) -> &Path {
        match self.file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }
}
