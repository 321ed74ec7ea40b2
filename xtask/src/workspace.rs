//! Paths and programs: the checkout, its target directory, programs on PATH, and one lock between commands.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::console::say;
use crate::failure::{Context, Result, fail};
use crate::process;

/// The checkout.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Returns the checkout that contains the current directory.
    pub(crate) fn find() -> Result<Self> {
        let start = std::env::current_dir().cannot("read the current directory")?;
        for directory in start.ancestors() {
            if directory.join("spin.toml").is_file() && directory.join("xtask/Cargo.toml").is_file() {
                return Ok(Self { root: directory.to_owned() });
            }
        }
        fail("expected to be inside a checkout of Spindrift, found no spin.toml here or above")
    }

    /// Returns a path in the checkout.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// Returns a path in the target directory: always the checkout's own, because spin.toml names files there.
    pub(crate) fn target(&self, relative: &str) -> PathBuf {
        self.root.join("target").join(relative)
    }

    /// Makes a cargo command in the checkout.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = process::command(cargo());
        command.current_dir(&self.root).env("CARGO_TARGET_DIR", self.target(""));
        // `cargo run` has set these for this process; a child must not use them.
        command.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_MANIFEST_PATH");
        // It would change where cargo puts the embedded host.
        command.env_remove("CARGO_BUILD_TARGET");
        command
    }

    /// Locks the installation of anything outside of the target directory, since two commands may run at once.
    pub(crate) fn lock(&self) -> Result<File> {
        fs::create_dir_all(self.target("xtask")).cannot("create target/xtask")?;
        let file = File::create(self.target("xtask/lock")).cannot("create target/xtask/lock")?;
        locked(file)
    }
}

/// Locks by polling: waiting in the kernel would continue after Ctrl-C.
fn locked(file: File) -> Result<File> {
    let mut said = false;
    while let Err(error) = file.try_lock() {
        if let TryLockError::Error(error) = error {
            return Err(error).cannot("lock target/xtask/lock");
        }
        if !said {
            say("waiting", "for another `cargo xtask` that installs something");
            said = true;
        }
        process::sleep(Duration::from_millis(100))?;
    }
    Ok(file)
}

/// Returns the cargo that runs us.
pub(crate) fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// Finds the program with this name on PATH, and where package managers put servers.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/local/bin", "/usr/bin", "/usr/sbin", "/opt/homebrew/bin"].map(PathBuf::from);
    let directories = std::env::split_paths(&path).chain(more);
    directories.map(|directory| directory.join(program)).find(|file| runs(file)).map(from_anywhere)
}

/// Returns the program that an environment variable names: a path, or a name to look for on PATH.
pub(crate) fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|name| !name.is_empty()).map(|name| from_anywhere(name.into()))
}

/// Makes a path valid in every directory, since programs are started in others than this one.
fn from_anywhere(program: PathBuf) -> PathBuf {
    let is_path = program.components().count() > 1;
    is_path.then(|| std::path::absolute(&program).ok()).flatten().unwrap_or(program)
}

fn runs(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
