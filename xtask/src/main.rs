//! Everything Spindrift's contributors and users run: `cargo xtask help`.

mod apt;
mod build;
mod console;
mod failure;
mod process;
mod redis;
mod runner;
mod up;
mod variables;
mod wasm_target;
mod workspace;

use std::process::ExitCode;

use failure::{Failure, Result, fail};
use workspace::Workspace;

const HELP: &str = "\
cargo xtask <command>

  wasm-target  installs the wasm32-wasip2 target, if it is not there
  help         this text
";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    if arguments.next_if(|first| first == process::LAUNCH).is_some() {
        process::launch(arguments);
    }
    match dispatch(lexopt::Parser::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Interrupted) => ExitCode::from(130),
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(mut parser: lexopt::Parser) -> Result<()> {
    let command = match parser.next()? {
        Some(lexopt::Arg::Value(value)) => value.to_string_lossy().into_owned(),
        _ => "help".to_owned(),
    };
    process::end_groups_on_signals()?;
    match command.as_str() {
        "up" => up::run(parser),
        "build" => {
            let workspace = Workspace::find()?;
            wasm_target::ensure(&workspace)?;
            build::components(&workspace)
        }
        "wasm-target" => wasm_target::ensure(&Workspace::find()?),
        "redis" => redis::program(&Workspace::find()?).map(|_| ()),
        "help" => {
            print!("{HELP}");
            Ok(())
        }
        other => fail(format!("unknown command `{other}`\nTry `cargo xtask help`.")),
    }
}
