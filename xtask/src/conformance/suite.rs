//! The suite: installed from the registry into the target directory, or an existing copy.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::console::Step;
use crate::failure::{Context, Result, fail};
use crate::net::on_free_port;
use crate::process::{self, Group};
use crate::serving;
use crate::workspace::{Workspace, which};

/// Where it is installed, in the target directory.
const DIRECTORY: &str = "conformance";
/// The files that name the exact packages, with their checksums.
const FILES: [&str; 2] = ["package.json", "package-lock.json"];

/// A copy of the suite on this machine.
pub(super) struct Suite {
    directory: PathBuf,
    edition: Edition,
}

/// An edition of the suite, which was developed further after it was last published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edition {
    /// 0.4.5, the edition in the registry.
    Registry,
    /// The edition in its repository.
    Repository,
}

impl Edition {
    /// Returns the file in `tests/conformance` that lists known failures.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Registry => "registry.toml",
            Self::Repository => "repository.toml",
        }
    }

    fn server(self) -> &'static str {
        match self {
            Self::Registry => "server/server.mjs",
            Self::Repository => "test-engine/server/server.mjs",
        }
    }
}

impl Suite {
    /// Returns the edition in the registry, installing it if necessary.
    pub(super) fn installed(workspace: &Workspace) -> Result<Self> {
        let directory = workspace.target(DIRECTORY);
        let suite = directory.join("node_modules/http-cache-tests");
        let read = |file: PathBuf| fs::read_to_string(file).unwrap_or_default();
        let same =
            |name: &str| read(workspace.path("tests/conformance").join(name)) == read(directory.join(name));
        if !(FILES.iter().all(|name| same(name)) && suite.is_dir()) {
            install(workspace, &directory)?;
        }
        Self::at(suite)
    }

    /// Returns a copy that somebody else installed, with its dependencies.
    pub(super) fn at(directory: PathBuf) -> Result<Self> {
        let edition = [Edition::Registry, Edition::Repository]
            .into_iter()
            .find(|edition| directory.join(edition.server()).is_file());
        match edition {
            Some(edition) => Ok(Self { directory, edition }),
            None => fail(format!(
                "expected http-cache-tests with server/server.mjs or test-engine/server/server.mjs at {}, found neither",
                directory.display()
            )),
        }
    }

    pub(super) fn edition(&self) -> Edition {
        self.edition
    }

    /// Starts the suite's origin on a free port.
    pub(super) fn origin(&self, workspace: &Workspace, log: &Path) -> Result<Origin> {
        let node = node()?;
        on_free_port(|port| {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            let mut command = process::command(&node);
            command.arg(workspace.path("tests/conformance/origin.mjs"));
            command.arg(self.directory.join(self.edition.server()));
            // npm would set these from the package's own configuration.
            command.env("npm_config_protocol", "http").env("npm_config_port", port.to_string());
            command.env("npm_config_pidfile", log.with_extension("pid"));
            let group = serving::spawn_ready(&mut command, address, log)?;
            Ok(Origin { address, _group: group })
        })
    }

    /// Makes the command that runs all tests against the cache at `address`.
    pub(super) fn command(&self, workspace: &Workspace, address: SocketAddr) -> Result<Command> {
        let mut command = process::command(node()?);
        command.arg("--no-warnings").arg(workspace.path("tests/conformance/run.mjs")).arg(&self.directory);
        // Without a slash at its end, since the suite adds one.
        command.arg(format!("http://{address}"));
        Ok(command)
    }
}

/// The suite's origin, which ends on drop.
pub(super) struct Origin {
    address: SocketAddr,
    _group: Group,
}

impl Origin {
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn install(workspace: &Workspace, directory: &Path) -> Result<()> {
    let _lock = workspace.lock()?;
    let step = Step::start("suite", "installing http-cache-tests with npm ...");
    fs::create_dir_all(directory).cannot(format_args!("create {}", directory.display()))?;
    for name in FILES {
        fs::copy(workspace.path("tests/conformance").join(name), directory.join(name))
            .cannot(format_args!("copy {name} to {}", directory.display()))?;
    }
    let mut npm = process::command(program("npm")?);
    npm.current_dir(directory).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    let installed = process::text(&mut npm, "npm ci");
    if installed.is_err() {
        // Otherwise the next run would take a part for the whole.
        let _ = fs::remove_file(directory.join(FILES[0]));
    }
    installed?;
    step.done("installed");
    Ok(())
}

fn node() -> Result<PathBuf> {
    program("node")
}

fn program(name: &str) -> Result<PathBuf> {
    match which(name) {
        Some(program) => Ok(program),
        None => fail(format!(
            "the conformance suite needs `{name}`, and there is none on PATH: install Node.js 18 or newer with npm \
             (Debian: `apt install nodejs npm`), or set {}=1",
            super::SKIP
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_without_the_suite_is_refused() {
        let failure = Suite::at(std::env::temp_dir()).map(|_| ()).unwrap_err().to_string();
        assert!(failure.contains("test-engine/server/server.mjs"), "{failure}");
    }
}
