//! The host that runs the components: Spin if a new enough one is installed, otherwise the embedded host.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build;
use crate::console::say;
use crate::failure::{Result, fail};
use crate::process;
use crate::workspace::{Workspace, named, which};

/// The first release that runs components of spin-sdk 7.
const NEEDED: (u32, u32) = (4, 1);

/// The argument of `--host`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The `spindrift-host` of this workspace.
    Embedded,
    /// The command `spin`.
    Spin,
}

impl Kind {
    /// Parses `embedded` or `spin`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        match text {
            "embedded" => Ok(Self::Embedded),
            "spin" => Ok(Self::Spin),
            other => fail(format!("--host: expected `embedded` or `spin`, found `{other}`")),
        }
    }
}

/// The host to use. It is not built yet, so that problems are reported before minutes are spent on building.
#[derive(Debug)]
pub(crate) enum Choice {
    /// The embedded host.
    Embedded,
    /// Spin, which is installed.
    Spin(Runner),
}

impl Choice {
    /// Returns the host asked for, or Spin if it is installed and new enough, or the embedded one.
    pub(crate) fn make(asked: Option<Kind>) -> Result<Self> {
        if asked == Some(Kind::Embedded) {
            return Ok(Self::Embedded);
        }
        match (spin(), asked) {
            (Ok(Some(spin)), _) => Ok(Self::Spin(spin)),
            (Ok(None), None) => Ok(Self::Embedded),
            (Ok(None), Some(_)) => fail("--host spin: expected `spin` on PATH (or in SPIN_BIN), found none"),
            (Err(why), None) => {
                say("host", format_args!("{why}; using the embedded host"));
                Ok(Self::Embedded)
            }
            (Err(why), Some(_)) => Err(why),
        }
    }

    /// Returns the hosts to measure or test: the one asked for; otherwise the embedded one, and the Spin named by
    /// `SPIN_BIN`.
    pub(crate) fn to_test(asked: Option<Kind>) -> Result<Vec<Self>> {
        if asked.is_some() {
            return Ok(vec![Self::make(asked)?]);
        }
        let mut all = vec![Self::Embedded];
        if std::env::var_os("SPIN_BIN").is_some_and(|name| !name.is_empty()) {
            all.extend(spin()?.map(Self::Spin));
        }
        Ok(all)
    }

    /// Returns its program, built if it is the embedded host.
    pub(crate) fn build(self, workspace: &Workspace) -> Result<Runner> {
        match self {
            Self::Embedded => {
                let program = build::embedded_host(workspace)?;
                Ok(Runner { program, name: "the embedded host".to_owned() })
            }
            Self::Spin(spin) => {
                say("host", format_args!("{} at {}", spin.name, spin.program.display()));
                Ok(spin)
            }
        }
    }
}

/// Returns the programs of all these hosts.
pub(crate) fn build_all(choices: Vec<Choice>, workspace: &Workspace) -> Result<Vec<Runner>> {
    choices.into_iter().map(|choice| choice.build(workspace)).collect()
}

/// A host's program, which can be run.
#[derive(Debug)]
pub(crate) struct Runner {
    program: PathBuf,
    name: String,
}

impl Runner {
    /// Returns its name, for people.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Makes the command `up -f <manifest>`, the same for both hosts.
    pub(crate) fn up(&self, manifest: &Path) -> Command {
        let mut command = process::command(&self.program);
        command.arg("up").arg("-f").arg(manifest);
        command
    }
}

/// Returns the installed Spin; a failure says why the one that is installed cannot be used.
fn spin() -> Result<Option<Runner>> {
    let Some(program) = named("SPIN_BIN").or_else(|| which("spin")) else { return Ok(None) };
    let said = process::text(process::command(&program).arg("--version"), "spin --version")?;
    match version(&said) {
        Some((numbers, text)) if numbers >= NEEDED => {
            Ok(Some(Runner { program, name: format!("spin {text}") }))
        }
        Some((_, text)) => {
            let (major, minor) = NEEDED;
            fail(format!("expected spin {major}.{minor} or newer at {}, found {text}", program.display()))
        }
        None => fail(format!(
            "expected `spin <version>` from {} --version, found `{}`",
            program.display(),
            said.trim()
        )),
    }
}

/// Parses `spin 4.1.0-pre0 (8a1b2c3 2026-08-01)` to `((4, 1), "4.1.0-pre0")`.
fn version(said: &str) -> Option<((u32, u32), &str)> {
    let text = said.trim().strip_prefix("spin ")?.split_whitespace().next()?;
    let mut numbers = text.split('.');
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers.next()?.parse().ok()?;
    Some(((major, minor), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions_of_spin() {
        assert_eq!(version("spin 4.1.0-pre0 (8a1b2c3 2026-08-01)\n"), Some(((4, 1), "4.1.0-pre0")));
        assert_eq!(version("spin 10.0.1"), Some(((10, 0), "10.0.1")));
        assert_eq!(version("Spin Version 6.5.2 for Linux"), None);
        assert!(version("spin 3.6.3 (x)").unwrap().0 < NEEDED);
        assert!(version("spin 10.0.0").unwrap().0 > NEEDED);
    }
}
