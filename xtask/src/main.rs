//! Everything Spindrift's contributors and users run: `cargo xtask help`.

mod apt;
mod bench;
mod build;
mod check;
mod conformance;
mod console;
mod failure;
mod net;
mod process;
mod redis;
mod runner;
mod serving;
mod tools;
mod up;
mod variables;
mod wasm_target;
mod workspace;

use std::process::ExitCode;

use failure::{Result, fail};
use workspace::Workspace;

const HELP: &str = "\
cargo xtask <command>

  up           prepares everything and serves until Ctrl-C
                 --listen 127.0.0.1:3000   where to listen; port 0 picks a free one
                 --origin URL              the site to cache [default: a demo origin]
                 --redis URL               the Redis to use [default: a running one, otherwise one of its own]
                 --host embedded|spin      what runs it [default: spin 4.1 or newer if installed]
                 --variable name=value     a variable of spin.toml, or name=@file; may be repeated
  test         prepares what the checks need, and runs them all: format, licences, clippy, tests
                 [filter]                  run only the tests whose names contain this, and no other checks
                 --keep-going              continue after a failure
  ci           does the same, and runs cargo-deny, which it installs
                 --offline                 leave out the advisories, which need network access
  bench        measures hits, misses and pass-through against an empty handler
                 --seconds 3               how long to measure each of the 28 cells
                 --host embedded|spin      [default: embedded, and the spin that SPIN_BIN names]
  conformance  runs http-cache-tests, and compares the results with the known failures
                 --suite DIRECTORY         a copy of it to use [default: the one in the npm registry]
                 --host embedded|spin      [default: embedded, and the spin that SPIN_BIN names]
  build        builds the components and the examples
  wasm-target  installs the compiler's wasm32-wasip2 target, if it is missing
  redis-server prints the path of a Redis server, after installing one if necessary
  help         prints this text
";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    if arguments.next_if(|first| first == process::LAUNCH).is_some() {
        process::launch(arguments);
    }
    match dispatch(lexopt::Parser::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        // Any other failure is only a consequence of the interruption.
        Err(_) if process::interrupted() => ExitCode::from(130),
        Err(failure) => {
            console::error_line(format_args!("error: {failure}"));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(mut parser: lexopt::Parser) -> Result<()> {
    let asks_for_help = std::env::args_os().skip(1).any(|argument| argument == "--help" || argument == "-h");
    let command = match parser.next()? {
        Some(lexopt::Arg::Value(value)) if !asks_for_help => value.to_string_lossy().into_owned(),
        Some(lexopt::Arg::Short('h') | lexopt::Arg::Long("help")) | None => "help".to_owned(),
        Some(_) if asks_for_help => "help".to_owned(),
        Some(other) => return Err(other.unexpected().into()),
    };
    process::end_groups_on_signals()?;
    run(&command, parser)
}

fn run(command: &str, parser: lexopt::Parser) -> Result<()> {
    match command {
        "up" => up::run(parser),
        "test" => check::test(parser),
        "ci" => check::ci(parser),
        "bench" => bench::run(parser),
        "conformance" => conformance::run(parser),
        "build" => alone(parser).and_then(|workspace| {
            wasm_target::ensure(&workspace)?;
            build::components_and_examples(&workspace)
        }),
        "wasm-target" => wasm_target::ensure(&alone(parser)?),
        "redis-server" => print_redis_server(&alone(parser)?),
        "help" => {
            console::line(HELP.trim_end());
            Ok(())
        }
        other => fail(format!("unknown command `{other}`\nTry `cargo xtask help`.")),
    }
}

/// Returns the checkout, for a command that takes no arguments.
fn alone(mut parser: lexopt::Parser) -> Result<Workspace> {
    match parser.next()? {
        Some(argument) => Err(argument.unexpected().into()),
        None => Workspace::find(),
    }
}

fn print_redis_server(workspace: &Workspace) -> Result<()> {
    match redis::program(workspace)? {
        Some(program) => {
            console::line(program.display());
            Ok(())
        }
        None => fail(redis::how_to_get_one()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_does_not_take_is_refused() {
        for command in ["wasm-target", "redis-server", "build"] {
            let failure = run(command, lexopt::Parser::from_args(["--offline"])).unwrap_err();
            assert!(failure.to_string().contains("--offline"), "{command}: {failure}");
        }
    }
}
