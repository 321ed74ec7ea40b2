//! The command `spindrift-host`: see the library of the same name.

use clap::Parser;
use spindrift_host::cli::{Cli, Command};
use spindrift_host::console::error_line;
use std::process::ExitCode;

// The system's allocator would cost more CPU time for each hit, much of it for freeing.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let Command::Up(up) = Cli::parse().command;
    match spindrift_host::run::up(&up) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error_line(format_args!("Error: {error}"));
            ExitCode::FAILURE
        }
    }
}
