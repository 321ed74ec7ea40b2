//! Progress goes to standard error, with one line when a step starts and one when it is done; results go to standard
//! output. Whoever reads either may leave early, as `head` does, and as `tee` does on Ctrl-C: that is no failure.

use std::fmt::Display;
use std::fs;
use std::io::{Write, stderr, stdout};
use std::path::Path;
use std::time::{Duration, Instant};

/// Prints a line about the step `what`.
pub(crate) fn say(what: &str, text: impl Display) {
    error_line(format_args!("{what:>14}  {text}"));
}

/// Prints a line to standard error, unchanged.
pub(crate) fn error_line(text: impl Display) {
    let _ = writeln!(stderr(), "{text}");
}

/// Prints a line to standard output.
pub(crate) fn line(text: impl Display) {
    let _ = writeln!(stdout(), "{text}");
}

/// Returns the last lines of a log, at most `count`, to follow a message.
pub(crate) fn last_lines(log: &Path, count: usize) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// A step long enough to be announced.
pub(crate) struct Step {
    what: &'static str,
    started: Instant,
}

impl Step {
    /// Announces the step.
    pub(crate) fn start(what: &'static str, text: impl Display) -> Self {
        say(what, text);
        Self { what, started: Instant::now() }
    }

    /// Prints that it is done, and how long it took.
    pub(crate) fn done(&self, text: impl Display) {
        say(self.what, format_args!("{text} ({})", seconds(self.started.elapsed())));
    }
}

/// Formats a duration for people: `0.4 s`, `2 min 05 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    if whole < 60 {
        return format!("{:.1} s", duration.as_secs_f64());
    }
    format!("{} min {:02} s", whole / 60, whole % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(seconds(Duration::from_millis(420)), "0.4 s");
        assert_eq!(seconds(Duration::from_secs(125)), "2 min 05 s");
    }
}
