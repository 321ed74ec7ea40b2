//! The command `spindrift-host`: see the library of the same name.

use clap::Parser;
use spindrift_host::cli::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    let Command::Up(up) = Cli::parse().command;
    match spindrift_host::run::up(&up) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error}");
            ExitCode::FAILURE
        }
    }
}
