//! What the host prints. The reader of that output may close it at any time, as `head` does. Then the host goes on
//! serving; `println!` and `eprintln!` would panic.

use std::fmt::Display;
use std::io::{Write, stderr, stdout};

/// Prints a line to standard output.
pub fn line(text: impl Display) {
    write(&mut stdout(), text);
}

/// Prints a line to standard error.
pub fn error_line(text: impl Display) {
    write(&mut stderr(), text);
}

/// Writes a line in one piece, because components print to the same place, and ignoring errors.
fn write(to: &mut impl Write, text: impl Display) {
    let _ = to.write_all(format!("{text}\n").as_bytes());
}
