//! Steps that stop at the first failure, or continue to the end, and a summary with a line for each.

use std::time::{Duration, Instant};

use crate::console::{error_line, say, seconds};
use crate::failure::{Failure, Result, fail};
use crate::process;

/// The steps that were run so far.
pub(super) struct Steps {
    keep_going: bool,
    done: Vec<Done>,
}

struct Done {
    name: &'static str,
    took: Duration,
    failure: Option<String>,
}

impl Steps {
    /// Makes an empty list.
    pub(super) fn new(keep_going: bool) -> Self {
        Self { keep_going, done: Vec::new() }
    }

    /// Runs one step.
    pub(super) fn run(&mut self, name: &'static str, step: impl FnOnce() -> Result<()>) -> Result<()> {
        process::check_interrupted()?;
        error_line(format_args!("\n==> {name}"));
        let started = Instant::now();
        let result = step();
        let failure = result.as_ref().err().map(Failure::to_string);
        self.done.push(Done { name, took: started.elapsed(), failure: failure.clone() });
        match (result, failure) {
            (Err(Failure::Interrupted), _) => Err(Failure::Interrupted),
            (Err(_), Some(text)) if self.keep_going => {
                say(name, text);
                Ok(())
            }
            (result, _) => result,
        }
    }

    /// Prints a line for each step, and returns the outcome of all.
    pub(super) fn summary(&self, outcome: Result<()>) -> Result<()> {
        error_line("\nsummary");
        for step in &self.done {
            let result = if step.failure.is_none() { "ok" } else { "FAILED" };
            say(step.name, format_args!("{result:<8}{}", seconds(step.took)));
        }
        outcome?;
        let failed: Vec<&str> = self.done.iter().filter_map(|step| step.failure.as_deref()).collect();
        if failed.is_empty() { Ok(()) } else { fail(failed.join("\n       ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_stops_unless_told_otherwise() {
        let mut steps = Steps::new(false);
        assert!(steps.run("one", || fail("it is broken")).is_err());
        let mut steps = Steps::new(true);
        assert!(steps.run("one", || fail("it is broken")).is_ok());
        assert!(steps.run("two", || Ok(())).is_ok());
        assert_eq!(steps.summary(Ok(())), fail("it is broken"));
    }

    #[test]
    fn a_signal_always_stops() {
        let mut steps = Steps::new(true);
        assert_eq!(steps.run("one", || Err(Failure::Interrupted)), Err(Failure::Interrupted));
    }
}
