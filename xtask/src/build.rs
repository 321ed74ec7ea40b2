//! Building what must be compiled before anything can be served.

use std::path::PathBuf;

use crate::console::Step;
use crate::failure::{Result, fail};
use crate::process;
use crate::wasm_target::TARGET;
use crate::workspace::Workspace;

/// The packages that become components.
pub(crate) const COMPONENTS: [&str; 4] =
    ["spindrift-gateway", "spindrift-demo-origin", "spindrift-subscriber", "spindrift-middleware"];

/// The packages of examples/ that become components.
pub(crate) const EXAMPLES: [&str; 5] = [
    "spindrift-example-shop",
    "spindrift-example-cache-aside",
    "spindrift-example-nightly",
    "spindrift-example-rate-limit",
    "spindrift-example-thumbnails",
];

/// Builds Spindrift's components.
pub(crate) fn components(workspace: &Workspace) -> Result<()> {
    let step = Step::start("components", "building ...");
    build_wasm(workspace, &COMPONENTS)?;
    step.done("built");
    Ok(())
}

/// Builds Spindrift's components and the examples.
pub(crate) fn components_and_examples(workspace: &Workspace) -> Result<()> {
    let step = Step::start("components", "building, with the examples ...");
    build_wasm(workspace, &[&COMPONENTS[..], &EXAMPLES].concat())?;
    step.done("built");
    Ok(())
}

/// Builds these packages as `spin build` does.
pub(crate) fn build_wasm(workspace: &Workspace, packages: &[&str]) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--release", "--target", TARGET]);
    cargo.args(packages.iter().flat_map(|package| ["--package", package]));
    process::run(&mut cargo, "building the components")
}

/// Builds the embedded host, and returns its program.
pub(crate) fn embedded_host(workspace: &Workspace) -> Result<PathBuf> {
    let step = Step::start("host", "building the embedded host; the first time takes some minutes ...");
    // With the features of the whole workspace, so that the tests find their dependencies built.
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--workspace", "--bin", "spindrift-host"]);
    process::run(&mut cargo, "building the embedded host")?;
    let program = host_program(workspace);
    if !program.is_file() {
        return fail(format!("expected the embedded host at {}, found nothing", program.display()));
    }
    step.done("built");
    Ok(program)
}

/// Returns where cargo puts the embedded host.
pub(crate) fn host_program(workspace: &Workspace) -> PathBuf {
    workspace.target("debug/spindrift-host")
}
