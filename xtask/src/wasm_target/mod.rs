//! The compiler's wasm32-wasip2 target: installed already, from rustup, or built from Debian's sources.

mod debian;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::console::{Step, say};
use crate::failure::{Context, Result, fail};
use crate::process;
use crate::workspace::{Workspace, which};

/// The target of every component.
pub(crate) const TARGET: &str = "wasm32-wasip2";

/// A file beside a target that was built here, with the commit of the compiler that it fits.
const MARK: &str = "built-by-spindrift-for";

/// The time limit of rustup, whose own timeouts add up to many minutes if its server cannot be reached.
const RUSTUP_LIMIT: Duration = Duration::from_secs(240);

/// Ensures that the compiler can build components.
pub(crate) fn ensure(workspace: &Workspace) -> Result<()> {
    let compiler = Compiler::ask()?;
    if compiler.has_target() {
        say("wasm target", format_args!("{TARGET} is installed"));
        return Ok(());
    }
    let _lock = workspace.lock()?;
    if compiler.has_target() {
        return Ok(());
    }
    compiler.remove_stale_target();
    install(workspace, &compiler)?;
    // What was compiled against another standard library cannot be linked with this one.
    let _ = fs::remove_dir_all(workspace.target(TARGET));
    Ok(())
}

fn install(workspace: &Workspace, compiler: &Compiler) -> Result<()> {
    let Err(rustup) = from_rustup(compiler) else { return Ok(()) };
    process::check_interrupted()?;
    say("wasm target", format_args!("not from rustup: {rustup}"));
    let Err(debian) = debian::install(workspace, compiler) else { return Ok(()) };
    process::check_interrupted()?;
    fail(format!(
        "the compiler has no {TARGET} target, and it could not be installed.\n  \
         rustup: {rustup}\n  sources from Debian: {debian}\n\
         With a network, `rustup target add {TARGET}` is all that is needed; then run this again."
    ))
}

/// The compiler in use.
pub(crate) struct Compiler {
    /// `1.95.0`
    release: String,
    commit: String,
    sysroot: PathBuf,
}

impl Compiler {
    fn ask() -> Result<Self> {
        let about = process::text(process::command("rustc").arg("-vV"), "rustc -vV")?;
        let sysroot =
            process::text(process::command("rustc").args(["--print", "sysroot"]), "rustc --print sysroot")?;
        let Some(release) = field(&about, "release") else {
            return fail(format!("expected a line `release: ...` from rustc -vV, found:\n{about}"));
        };
        let commit = field(&about, "commit-hash").unwrap_or(release);
        Ok(Self {
            release: release.to_owned(),
            commit: commit.to_owned(),
            sysroot: PathBuf::from(sysroot.trim()),
        })
    }

    fn rustlib(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib")
    }

    fn has_target(&self) -> bool {
        let is_std = |name: &str| name.starts_with("libstd-") && name.ends_with(".rlib");
        !self.has_stale_target() && contains_file(&self.rustlib().join(TARGET).join("lib"), is_std)
    }

    /// Returns whether the target was built here for a compiler that rustup has since replaced: it is useless then, and in
    /// rustup's way.
    fn has_stale_target(&self) -> bool {
        fs::read_to_string(self.rustlib().join(TARGET).join(MARK))
            .is_ok_and(|built_for| built_for != self.commit)
    }

    fn remove_stale_target(&self) {
        if self.has_stale_target() {
            let _ = fs::remove_dir_all(self.rustlib().join(TARGET));
        }
    }
}

/// Returns the value in a line `name: value` of `rustc -vV`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn contains_file(directory: &Path, wanted: impl Fn(&str) -> bool) -> bool {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| wanted(&entry.file_name().to_string_lossy()))
}

fn from_rustup(compiler: &Compiler) -> Result<()> {
    let Some(rustup) = which("rustup") else { return fail("rustup is not on PATH") };
    let step = Step::start("wasm target", format_args!("rustup target add {TARGET} ..."));
    let output = process::capture(process::command(rustup).args(["target", "add", TARGET]), RUSTUP_LIMIT)?;
    if compiler.has_target() {
        step.done("installed by rustup");
        return Ok(());
    }
    fail(first_error(&String::from_utf8_lossy(&output.stderr)))
}

/// Returns what went wrong according to rustup, without the pages around it.
fn first_error(said: &str) -> String {
    let line = said.lines().find(|line| line.starts_with("error") || line.contains("could not"));
    line.or_else(|| said.lines().rfind(|line| !line.trim().is_empty()))
        .unwrap_or("no error message")
        .trim()
        .to_owned()
}

/// Replaces `old` by `new` as a whole.
fn replace(new: &Path, old: &Path) -> Result<()> {
    let aside = old.with_extension(format!("old-{}", std::process::id()));
    let had_old = fs::rename(old, &aside).is_ok();
    let result = fs::rename(new, old).cannot(format_args!("move the target to {}", old.display()));
    if had_old {
        // Removed for good, or put back if the new one could not take its place.
        let _ = if result.is_ok() { fs::remove_dir_all(&aside) } else { fs::rename(&aside, old) };
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_rustc_says_about_itself() {
        let about = "rustc 1.95.0 (59807616e 2026-04-14)\ncommit-hash: 5980\nrelease: 1.95.0\n";
        assert_eq!(field(about, "release"), Some("1.95.0"));
        assert_eq!(field(about, "host"), None);
    }

    #[test]
    fn keeps_the_one_line_of_rustup_that_matters() {
        let said = "info: downloading component\nerror: could not download file from 'x'\ncaused by: y\n";
        assert_eq!(first_error(said), "error: could not download file from 'x'");
        assert_eq!(first_error(""), "no error message");
    }
}
