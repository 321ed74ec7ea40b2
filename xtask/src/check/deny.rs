//! cargo-deny: licences, bans, sources and advisories, by the rules in deny.toml.
//!
//! Installing it takes minutes, so `test` uses it only if it is installed (licences are checked in any
//! case, see `licences`), and only `ci` installs it.

use crate::console::Step;
use crate::failure::Result;
use crate::process;
use crate::workspace::Workspace;

/// Where `ci` installs it, in the target directory.
const ROOT: &str = "tools";

/// Returns whether it is installed, by us or by somebody else.
pub(super) fn is_there(workspace: &Workspace) -> bool {
    process::text(cargo(workspace).args(["deny", "--version"]), "asking for cargo-deny").is_ok()
}

/// Runs it; the list of advisories needs a network.
pub(super) fn run(workspace: &Workspace, offline: bool) -> Result<()> {
    let mut command = cargo(workspace);
    command.args(["deny", "--workspace", "check", "bans", "licenses", "sources"]);
    if !offline {
        command.arg("advisories");
    }
    process::run(&mut command, "cargo deny check")
}

/// Installs it if necessary, and runs it.
pub(super) fn run_installed(workspace: &Workspace, offline: bool) -> Result<()> {
    if !is_there(workspace) {
        let step = Step::start("cargo-deny", "installing; this takes some minutes ...");
        let mut command = workspace.cargo();
        command.args(["install", "--locked", "cargo-deny", "--root"]).arg(workspace.target(ROOT));
        command.env("CARGO_TARGET_DIR", workspace.target("tools/build"));
        process::run(&mut command, "cargo install cargo-deny")?;
        let _ = std::fs::remove_dir_all(workspace.target("tools/build"));
        step.done("installed");
    }
    run(workspace, offline)
}

/// Makes a cargo command that also finds what was installed here.
fn cargo(workspace: &Workspace) -> std::process::Command {
    let ours = workspace.target(ROOT).join("bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(ours).chain(std::env::split_paths(&path));
    let mut command = workspace.cargo();
    if let Ok(joined) = std::env::join_paths(all) {
        command.env("PATH", joined);
    }
    command
}
