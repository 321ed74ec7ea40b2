//! Installs redis-server with the package manager, without the service that the package would start.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::console::Step;
use crate::failure::{Context, Result, fail};
use crate::process;
use crate::workspace::which;

const PACKAGE: &str = "redis-server";

/// The program that Debian's packages ask whether they may start a service.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// The text of that program, which answers "no".
const POLICY_TEXT: &str =
    "#!/bin/sh\n# Written by Spindrift's `cargo xtask` while it installs redis-server.\nexit 101\n";

/// Installs the package if that is permitted: as root, or with sudo that requires no password. The directory is for a
/// temporary file.
pub(super) fn by_apt(directory: &Path) -> Result<()> {
    if which("apt-get").is_none() {
        return fail("there is no apt-get on this machine");
    }
    let rights = Rights::found()?;
    let step = Step::start("redis", "installing redis-server with apt-get ...");
    let silence = Silence::impose(&rights, directory)?;
    let installed = install(&rights, PACKAGE);
    drop(silence);
    installed?;
    step.done("redis-server installed; its service is not started");
    Ok(())
}

/// Installs another package, which starts no service.
pub(super) fn package(name: &str) -> Result<()> {
    if which("apt-get").is_none() {
        return fail("there is no apt-get on this machine");
    }
    install(&Rights::found()?, name)
}

fn install(rights: &Rights, package: &str) -> Result<()> {
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

/// Installs what was downloaded. If it were broken off, the package manager would refuse to work until somebody repairs it
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
enum Rights {
    Root,
    Sudo,
}

impl Rights {
    fn found() -> Result<Self> {
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

    fn command(&self, program: &str) -> Command {
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
    fn plain_command(&self, program: &str) -> Command {
        let mut command = Command::new(if matches!(self, Self::Root) { program } else { "sudo" });
        if matches!(self, Self::Sudo) {
            command.args(["-n", program]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

/// Keeps packages from starting services, until it is dropped.
struct Silence<'a> {
    rights: &'a Rights,
    ours: bool,
}

impl<'a> Silence<'a> {
    fn impose(rights: &'a Rights, directory: &Path) -> Result<Self> {
        // An existing policy stays; if it allows services, the service is stopped afterwards. One of ours may be left over from
        // a command that was killed.
        let ours = fs::read_to_string(POLICY).map_or(!Path::new(POLICY).exists(), |text| text == POLICY_TEXT);
        if ours {
            // Not in /tmp, where another user could put a program of that name, which would then run as root.
            let file = directory.join("policy-rc.d");
            fs::write(&file, POLICY_TEXT).cannot("write a temporary file")?;
            let mut copy = rights.command("install");
            let copied =
                process::text(copy.args(["-m", "755"]).arg(&file).arg(POLICY), "writing policy-rc.d");
            let _ = fs::remove_file(&file);
            copied?;
        }
        Ok(Self { rights, ours })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        if self.ours {
            let _ = self.rights.plain_command("rm").args(["-f", POLICY]).status();
        }
        // So that it does not start with the machine either.
        if which("systemctl").is_some() {
            let _ = self.rights.plain_command("systemctl").args(["disable", "--now", PACKAGE]).status();
        }
    }
}
