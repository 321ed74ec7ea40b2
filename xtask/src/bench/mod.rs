//! `cargo xtask bench`: hits, misses and pass-through, as ratios to an empty handler on the same host in the
//! same run. The results are one table for people and one JSON file for tools.

mod apps;
mod cell;
mod client;
mod json;
mod load;
mod origin;
mod report;
mod response;
mod stats;

use std::fs;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};

use crate::console::{self, say};
use crate::failure::{Context, Result, fail};
use crate::redis::{self, Server};
use crate::runner::{self, Choice, Kind, Runner};
use crate::workspace::Workspace;
use crate::{build, wasm_target};
use apps::Apps;
use cell::{Cell, cells};
use origin::Origin;

/// The components to which hits are compared: a handler that does nothing, and one with one command to Redis.
pub(crate) const PACKAGES: [&str; 2] = ["spindrift-bench-empty", "spindrift-bench-get"];

/// The file for the results, in the target directory.
const JSON: &str = "bench.json";

struct Options {
    seconds: f64,
    host: Option<Kind>,
}

impl Options {
    fn parse(mut parser: Parser) -> Result<Self> {
        let mut options = Self { seconds: 3.0, host: None };
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("seconds") => options.seconds = seconds(&parser.value()?.string()?)?,
                Arg::Long("host") => options.host = Some(Kind::parse(&parser.value()?.string()?)?),
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }
}

fn seconds(text: &str) -> Result<f64> {
    match text.parse() {
        Ok(seconds) if (0.1..=600.0).contains(&seconds) => Ok(seconds),
        _ => fail(format!("--seconds: expected 0.1 to 600 for each cell, found `{text}`")),
    }
}

/// Measures and reports.
pub(crate) fn run(parser: Parser) -> Result<()> {
    let options = Options::parse(parser)?;
    let workspace = Workspace::find()?;
    let hosts = Choice::to_test(options.host)?;
    wasm_target::ensure(&workspace)?;
    build::components(&workspace)?;
    build::build_wasm(&workspace, &PACKAGES)?;
    let runners = runner::build_all(hosts, &workspace)?;
    let Some(program) = redis::program(&workspace)? else {
        return fail(format!("the benchmark needs a Redis of its own: {}", redis::how_to_get_one()));
    };
    let mut measured = Vec::new();
    for runner in &runners {
        let redis = Server::start(&program)?;
        measured.extend(measure(&workspace, runner, &redis, Duration::from_secs_f64(options.seconds))?);
    }
    console::line(format_args!("\n{}", report::markdown(&measured)));
    let file = workspace.target(JSON);
    fs::write(&file, json::document(&measured)).cannot(format_args!("write {}", file.display()))?;
    say("bench", format_args!("the same as JSON: {}", file.display()));
    let wrong: u64 = measured.iter().map(|cell| cell.sample.wrong).sum();
    if wrong == 0 { Ok(()) } else { fail(format!("{wrong} responses were not what their cell expects")) }
}

fn measure(workspace: &Workspace, runner: &Runner, redis: &Server, time: Duration) -> Result<Vec<Cell>> {
    let origin = Origin::start()?;
    let apps = Apps::start(workspace, runner, &redis.url(), origin.address())?;
    let mut measured = Vec::new();
    for plan in cells() {
        say("bench", format_args!("{}: {plan}", runner.name()));
        measured.push(apps.measure(plan, time, redis)?);
    }
    Ok(measured)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_checked() {
        let seconds =
            |text| Options::parse(Parser::from_args(["--seconds", text])).map(|options| options.seconds);
        assert_eq!(seconds("0.5"), Ok(0.5));
        assert!(seconds("0").is_err());
        assert!(seconds("NaN").is_err());
        assert!(seconds("many").unwrap_err().to_string().contains("--seconds"));
    }
}
