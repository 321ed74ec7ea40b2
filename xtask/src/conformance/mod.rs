//! `cargo xtask conformance`: runs http-cache-tests, the suite of the HTTP working group's chair, against the gateway.
//!
//! It runs with the default configuration and with the profile `tests/conformance/profile.toml`, concurrently, because
//! most of a run is waiting for responses to become stale. The tests that fail must be exactly those in the list of
//! known failures, so that a change that gains or loses a test is noticed.

mod expected;
mod report;
mod results;
mod suite;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};

use crate::console::{self, say};
use crate::failure::{Context, Failure, Result, fail};
use crate::process;
use crate::redis::{self, Server};
use crate::runner::{self, Choice, Kind as HostKind, Runner};
use crate::serving::App;
use crate::variables::Variables;
use crate::workspace::Workspace;
use crate::{build, wasm_target};
use expected::Expected;
use results::Results;
use suite::Suite;

/// If set, `cargo xtask test` skips the suite.
pub(crate) const SKIP: &str = "SPINDRIFT_SKIP_CONFORMANCE";

/// The directory with everything about the suite.
const DIRECTORY: &str = "tests/conformance";

/// The names of the configurations with which the suite is run.
const PROFILES: [&str; 2] = ["default", "conformance"];

/// The time limit of a run, which takes about a minute.
const LIMIT: Duration = Duration::from_secs(600);

#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    suite: Option<PathBuf>,
    host: Option<HostKind>,
}

impl Options {
    fn parse(mut parser: Parser) -> Result<Self> {
        let mut options = Self::default();
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("suite") => options.suite = Some(PathBuf::from(parser.value()?)),
                Arg::Long("host") => options.host = Some(HostKind::parse(&parser.value()?.string()?)?),
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }
}

/// `cargo xtask conformance`
pub(crate) fn run(parser: Parser) -> Result<()> {
    let options = Options::parse(parser)?;
    let workspace = Workspace::find()?;
    let suite = options.suite.map_or_else(|| Suite::installed(&workspace), Suite::at)?;
    let hosts = Choice::to_test(options.host)?;
    wasm_target::ensure(&workspace)?;
    build::components(&workspace)?;
    let runners = runner::build_all(hosts, &workspace)?;
    let Some(program) = redis::program(&workspace)? else {
        return fail(format!("the suite needs a Redis of its own: {}", redis::how_to_get_one()));
    };
    all(&workspace, &suite, &runners, &program)
}

/// Runs it as a step of `cargo xtask test`, which has built everything.
pub(crate) fn step(workspace: &Workspace, redis: &Path) -> Result<()> {
    if std::env::var_os(SKIP).is_some_and(|value| !value.is_empty()) {
        say(
            "conformance",
            format_args!("SKIPPED, because {SKIP} is set: HTTP semantics are only partly tested"),
        );
        return Ok(());
    }
    let suite = Suite::installed(workspace)?;
    all(workspace, &suite, &runner::build_all(Choice::to_test(None)?, workspace)?, redis)
}

fn all(workspace: &Workspace, suite: &Suite, runners: &[Runner], redis: &Path) -> Result<()> {
    let mut wrong = Vec::new();
    for runner in runners {
        let bench = Bench { workspace, suite, runner, redis };
        wrong.extend(bench.all_profiles()?);
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let list = format!("{DIRECTORY}/{}", suite.edition().expected());
    fail(format!("the results differ from {list}:\n  {}", wrong.join("\n  ")))
}

/// What a run needs.
#[derive(Clone, Copy)]
struct Bench<'a> {
    workspace: &'a Workspace,
    suite: &'a Suite,
    runner: &'a Runner,
    redis: &'a Path,
}

impl Bench<'_> {
    /// Returns all differences to the expected results.
    fn all_profiles(self) -> Result<Vec<String>> {
        let found: Vec<Result<Results>> = thread::scope(|scope| {
            let runs = PROFILES.map(|profile| scope.spawn(move || self.profile(profile)));
            runs.map(|run| run.join().unwrap_or_else(|_| fail("a run of the suite panicked"))).into()
        });
        process::check_interrupted()?;
        let mut wrong = Vec::new();
        for (profile, results) in PROFILES.into_iter().zip(found) {
            let results = results.map_err(|failure| of_profile(profile, failure))?;
            let expected = self.expected(profile)?;
            let title = format!("Profile {profile}, on {}", self.runner.name());
            console::line(format_args!("\n{}", report::markdown(&title, &results, &expected)));
            say("conformance", format_args!("{profile}: {}", report::line(&results)));
            wrong.extend(expected.differences(&results).into_iter().map(|text| format!("{profile}: {text}")));
        }
        Ok(wrong)
    }

    /// Runs the suite once, with a Redis, an origin and a gateway of its own.
    fn profile(self, profile: &str) -> Result<Results> {
        let log = format!("conformance-{profile}.log");
        let redis = Server::start(self.redis)?;
        let log_of_origin = self.workspace.target(&format!("conformance-{profile}-origin.log"));
        let origin = self.suite.origin(self.workspace, &log_of_origin)?;
        let mut variables = Variables::default();
        variables.set("origin_url", &format!("http://{}", origin.address()));
        variables.set("redis_url", redis.url().secret());
        variables.set("redis_host", &redis.url().host());
        variables.set("redis_enabled", "true");
        variables.set("config", &self.config(profile)?);
        let gateway = App::start(self.workspace, self.runner, "spin.toml", &variables, (&log, &[]))?;
        let output = process::capture(&mut self.suite.command(self.workspace, gateway.address())?, LIMIT)?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return fail(format!("the suite failed ({}): {}", process::describe(output.status), said.trim()));
        }
        Results::parse(&String::from_utf8_lossy(&output.stdout))
    }

    /// Returns the text of the variable `config`.
    fn config(self, profile: &str) -> Result<String> {
        // Only a comment, because without text the file in the checkout would be used.
        if profile == PROFILES[0] {
            return Ok("# the default".to_owned());
        }
        self.read("profile.toml")
    }

    fn expected(self, profile: &str) -> Result<Expected> {
        let file = self.suite.edition().expected();
        Expected::parse(&self.read(file)?, &format!("{DIRECTORY}/{file}"), &PROFILES, profile)
    }

    fn read(self, file: &str) -> Result<String> {
        let path = self.workspace.path(DIRECTORY).join(file);
        fs::read_to_string(&path).cannot(format_args!("read {}", path.display()))
    }
}

fn of_profile(profile: &str, failure: Failure) -> Failure {
    match failure {
        Failure::Said(text) => Failure::Said(format!("profile {profile}: {text}")),
        Failure::Interrupted => Failure::Interrupted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_suite_and_a_host() {
        let options = Options::parse(Parser::from_args(["--suite", "/x", "--host", "embedded"])).unwrap();
        assert_eq!(options, Options { suite: Some("/x".into()), host: Some(HostKind::Embedded) });
        assert!(Options::parse(Parser::from_args(["x"])).is_err());
    }
}
