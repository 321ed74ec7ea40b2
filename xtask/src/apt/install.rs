//! Installing packages, as an administrator.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::failure::{Context, Result, fail};
use crate::process;
use crate::workspace::which;

/// Installs a package that starts no service, if that is permitted: as root, or with sudo that requires no password.
pub(crate) fn package(name: &str) -> Result<()> {
    install(&Rights::found()?, name)
}

/// Installs a package.
pub(crate) fn install(rights: &Rights, package: &str) -> Result<()> {
    // First with the lists that exist, then with new ones.
    if apt(rights, &["--download-only", "install", package]).is_err() {
        process::check_interrupted()?;
        apt(rights, &["update"])?;
        apt(rights, &["--download-only", "install", package])?;
    }
    unpack(rights, package)
}

const APT: [&str; 7] = [
    "DEBIAN_FRONTEND=noninteractive",
    "apt-get",
    "-q",
    "--yes",
    "--no-install-recommends",
    "-o",
    "DPkg::Lock::Timeout=120",
];

fn apt(rights: &Rights, arguments: &[&str]) -> Result<()> {
    let mut command = rights.command("env");
    process::text(command.args(APT).args(arguments), &format!("apt-get {}", arguments.join(" "))).map(|_| ())
}

/// Installs what was downloaded. An interrupted installation leaves dpkg unusable until it is repaired by hand
/// (`dpkg --configure -a`). So it goes on to its end after a signal, which takes some seconds.
fn unpack(rights: &Rights, package: &str) -> Result<()> {
    let mut command = rights.plain_command("env");
    command.args(APT).args(["install", package]).process_group(0).stderr(Stdio::piped());
    let output = command.output().cannot("run apt-get")?;
    process::check_interrupted()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    fail(format!("apt-get install failed ({}): {}", process::describe(output.status), said.trim()))
}

/// How administrator's commands are run.
pub(crate) enum Rights {
    Root,
    Sudo,
}

impl Rights {
    /// Finds out how this user may run them.
    pub(crate) fn found() -> Result<Self> {
        if which("apt-get").is_none() {
            return fail("there is no apt-get on this machine");
        }
        if rustix::process::geteuid().is_root() {
            return Ok(Self::Root);
        }
        if which("sudo").is_none() {
            return fail("this user is not root, and there is no sudo");
        }
        let asked = process::capture(process::command("sudo").args(["-n", "true"]), Duration::from_secs(10));
        if asked.is_ok_and(|output| output.status.success()) {
            return Ok(Self::Sudo);
        }
        fail("this user is not root, and sudo wants a password")
    }

    /// Makes a command.
    pub(crate) fn command(&self, program: &str) -> Command {
        match self {
            Self::Root => process::command(program),
            Self::Sudo => {
                let mut command = process::command("sudo");
                command.args(["-n", program]);
                command
            }
        }
    }

    /// Makes a command that a signal must not break off.
    pub(crate) fn plain_command(&self, program: &str) -> Command {
        let mut command = Command::new(if matches!(self, Self::Root) { program } else { "sudo" });
        if matches!(self, Self::Sudo) {
            command.args(["-n", program]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}
