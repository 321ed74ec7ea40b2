//! `cargo xtask test` and `cargo xtask ci`: everything the checks need, then the checks, one after the other.

mod deny;
mod licences;
mod steps;
mod tests_env;

use std::path::PathBuf;
use std::process::Command;

use lexopt::{Arg, Parser, ValueExt};

use crate::build::{COMPONENTS, EXAMPLES};
use crate::failure::{Result, fail};
use crate::process;
use crate::redis;
use crate::wasm_target::{self, TARGET};
use crate::workspace::Workspace;
use crate::{bench, build, conformance, tools};
use steps::Steps;
use tests_env::TestEnvironment;

/// The components that the host's own tests run; built separately, as those tests would.
const GUESTS: [&str; 2] = ["spindrift-host-guest", "spindrift-host-middleware"];

/// The options on the command line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    filter: Option<String>,
    keep_going: bool,
    offline: bool,
}

impl Options {
    fn parse(mut parser: Parser, is_ci: bool) -> Result<Self> {
        let mut options = Self::default();
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Value(value) if options.filter.is_none() && !is_ci => {
                    options.filter = Some(value.string()?);
                }
                Arg::Long("keep-going") => options.keep_going = true,
                Arg::Long("offline") if is_ci => options.offline = true,
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }
}

/// `cargo xtask test [filter]`
pub(crate) fn test(parser: Parser) -> Result<()> {
    let options = Options::parse(parser, false)?;
    let workspace = Workspace::find()?;
    let mut steps = Steps::new(options.keep_going);
    let outcome = match &options.filter {
        Some(filter) => tests(&workspace, &mut steps, Some(filter)),
        None => everything(&workspace, &mut steps),
    };
    steps.summary(outcome)
}

/// `cargo xtask ci`: the same, and cargo-deny, which it installs.
pub(crate) fn ci(parser: Parser) -> Result<()> {
    let options = Options::parse(parser, true)?;
    let workspace = Workspace::find()?;
    let mut steps = Steps::new(options.keep_going);
    let outcome = everything(&workspace, &mut steps)
        .and_then(|()| steps.run("cargo-deny", || deny::run_installed(&workspace, options.offline)));
    steps.summary(outcome)
}

fn everything(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    steps.run("format", || format(workspace))?;
    steps.run("licences", || licences::check(workspace))?;
    if deny::is_there(workspace) {
        steps.run("cargo-deny", || deny::run(workspace, true))?;
    }
    steps.run("wasm target", || wasm_target::ensure(workspace))?;
    steps.run("clippy", || clippy(workspace, &["--workspace", "--all-targets"]))?;
    steps.run("clippy wasm", || clippy(workspace, &wasm_arguments()))?;
    steps.run("documentation", || documentation(workspace))?;
    tests(workspace, steps, None)
}

fn format(workspace: &Workspace) -> Result<()> {
    has_tool(workspace, "fmt", "rustfmt")?;
    process::run(
        workspace.cargo().args(["fmt", "--all", "--check"]),
        "cargo fmt --check (`cargo fmt --all` fixes it)",
    )
}

fn clippy(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    has_tool(workspace, "clippy", "clippy")?;
    process::run(
        workspace.cargo().arg("clippy").args(arguments).args(["--", "-D", "warnings"]),
        "cargo clippy",
    )
}

/// Checks that all links between items are valid.
fn documentation(workspace: &Workspace) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["doc", "--no-deps", "--package", "spindrift", "--package", "spindrift-adapter"]);
    process::run(cargo.env("RUSTDOCFLAGS", "-D warnings"), "cargo doc")
}

/// The arguments with which they are built, so that build scripts and macros are compiled only once.
fn wasm_arguments() -> Vec<&'static str> {
    let mut arguments = vec!["--release", "--target", TARGET];
    let others = EXAMPLES.iter().chain(&GUESTS).chain(&bench::PACKAGES);
    arguments.extend(COMPONENTS.iter().chain(others).flat_map(|package| ["--package", package]));
    arguments
}

fn has_tool(workspace: &Workspace, command: &str, component: &str) -> Result<()> {
    let found = process::text(workspace.cargo().args([command, "--version"]), "asking for its version");
    found.map(|_| ()).or_else(|_| {
        fail(format!(
            "expected `cargo {command}`, found none: install it with `rustup component add {component}`"
        ))
    })
}

/// Runs unit, property, end-to-end and doc tests; with a filter, all but the last, by name.
fn tests(workspace: &Workspace, steps: &mut Steps, filter: Option<&str>) -> Result<()> {
    if filter.is_some() {
        wasm_target::ensure(workspace)?;
    }
    let mut server = None;
    steps.run("redis", || redis_server(workspace).map(|program| server = Some(program)))?;
    steps.run("tools", tools::ensure)?;
    steps.run("components", || {
        build::components_and_examples(workspace)?;
        GUESTS.iter().try_for_each(|guest| build::build_wasm(workspace, &[guest]))
    })?;
    steps.run("build tests", || build_tests(workspace))?;
    let environment = TestEnvironment::new(workspace, server.clone());
    steps.run("tests", || run_tests(workspace, &environment, filter))?;
    if filter.is_none() {
        steps.run("doc tests", || doc_tests(workspace, &environment))?;
        if let Some(redis) = &server {
            steps.run("conformance", || conformance::step(workspace, redis))?;
        }
    }
    Ok(())
}

fn redis_server(workspace: &Workspace) -> Result<PathBuf> {
    match redis::program(workspace)? {
        Some(program) => Ok(program),
        None => fail(format!("the tests need redis-server or valkey-server: {}", redis::how_to_get_one())),
    }
}

/// Builds the host and the tests in one go, so that both have the same features.
fn build_tests(workspace: &Workspace) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--workspace", "--bin", "spindrift-host", "--tests"]);
    process::run(&mut cargo, "building the tests")
}

fn run_tests(workspace: &Workspace, environment: &TestEnvironment, filter: Option<&str>) -> Result<()> {
    let mut cargo = workspace.cargo();
    if has_nextest(workspace) {
        cargo.args(["nextest", "run", "--workspace", "--no-fail-fast"]).args(filter);
    } else {
        cargo.args(["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"]).args(filter);
    }
    run_with(cargo, environment, "the tests")
}

fn doc_tests(workspace: &Workspace, environment: &TestEnvironment) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--workspace", "--doc"]);
    run_with(cargo, environment, "the doc tests")
}

fn run_with(mut cargo: Command, environment: &TestEnvironment, what: &str) -> Result<()> {
    environment.export(&mut cargo);
    process::run(&mut cargo, what)
}

fn has_nextest(workspace: &Workspace) -> bool {
    process::text(workspace.cargo().args(["nextest", "--version"]), "asking for nextest").is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_filter_and_flags() {
        let test = |arguments: &[&str]| Options::parse(Parser::from_args(arguments), false);
        let options = Options { filter: Some("purge".to_owned()), keep_going: true, offline: false };
        assert_eq!(test(&["purge", "--keep-going"]).unwrap(), options);
        assert!(test(&["one", "two"]).is_err() && test(&["--offline"]).is_err());
    }

    #[test]
    fn ci_runs_everything() {
        let ci = |arguments: &[&str]| Options::parse(Parser::from_args(arguments), true);
        let options = Options { filter: None, keep_going: true, offline: true };
        assert_eq!(ci(&["--offline", "--keep-going"]).unwrap(), options);
        assert!(ci(&["purge"]).is_err());
    }
}
