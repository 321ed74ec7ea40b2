//! Installs redis-server with the package manager, without the service that the package would start.

use std::fs;
use std::path::Path;

use crate::apt::{self, Rights};
use crate::console::Step;
use crate::failure::{Context, Result};
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
    let rights = Rights::found()?;
    let step = Step::start("redis", "installing redis-server with apt-get ...");
    let silence = Silence::impose(&rights, directory)?;
    let installed = apt::install(&rights, PACKAGE);
    drop(silence);
    installed?;
    step.done("redis-server installed; its service is not started");
    Ok(())
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
