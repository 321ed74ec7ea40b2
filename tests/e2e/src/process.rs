//! A child process that ends with the test, and whose lines can be waited for.

use crate::wait::PATIENCE;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

/// A running program.
pub(crate) struct Process {
    child: Child,
    /// The directory of a program that starts others: they form one process group, and end with it.
    state: Option<PathBuf>,
    output: Arc<Output>,
}

#[derive(Default)]
struct Output {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Default)]
struct Lines {
    all: Vec<String>,
    ended: usize,
}

impl Process {
    /// Starts `command`. With `state`, a directory that is removed in the end, it leads a process group, which is
    /// ended as a whole; without, it stays in the tests' own group, whose signals end it too.
    pub(crate) fn start(mut command: Command, state: Option<PathBuf>) -> Self {
        if state.is_some() {
            command.process_group(0);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let output = Arc::new(Output::default());
        collect(child.stdout.take().unwrap(), Arc::clone(&output));
        collect(child.stderr.take().unwrap(), Arc::clone(&output));
        Self { child, state, output }
    }

    /// Waits for the first line in which `wanted` finds something; returns the whole output if the program ends
    /// before.
    pub(crate) fn wait_for<T>(&self, wanted: impl Fn(&str) -> Option<T>) -> Result<T, String> {
        let end = Instant::now() + PATIENCE;
        let mut lines = self.output.lines.lock().unwrap();
        loop {
            if let Some(found) = lines.all.iter().find_map(|line| wanted(line)) {
                return Ok(found);
            }
            let left = end.saturating_duration_since(Instant::now());
            if lines.ended == 2 || left.is_zero() {
                return Err(lines.all.join("\n"));
            }
            lines = self.output.changed.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// Everything printed so far.
    pub(crate) fn log(&self) -> String {
        self.output.lines.lock().unwrap().all.join("\n")
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// How it ended, once it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Whether its output is closed.
    pub(crate) fn has_said_all(&self) -> bool {
        self.output.lines.lock().unwrap().ended == 2
    }

    /// Sends a signal by name, as kill(1) takes it.
    pub(crate) fn signal(&self, name: &str) {
        let id =
            if self.state.is_some() { format!("-{}", self.child.id()) } else { self.child.id().to_string() };
        let done = Command::new("kill").args(["-s", name, "--", &id]).stderr(Stdio::null()).status();
        assert!(done.is_ok(), "kill(1) is missing");
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        if self.state.is_some() {
            self.signal("KILL");
        }
        _ = self.child.kill();
        _ = self.child.wait();
        if let Some(state) = self.state.take() {
            _ = std::fs::remove_dir_all(state);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn collect(source: impl Read + Send + 'static, output: Arc<Output>) {
    std::thread::spawn(move || {
        let mut source = BufReader::new(source);
        let mut line = Vec::new();
        while source.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            output.lines.lock().unwrap().all.push(text);
            output.changed.notify_all();
            line.clear();
        }
        output.lines.lock().unwrap().ended += 1;
        output.changed.notify_all();
    });
}
