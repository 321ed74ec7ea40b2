//! Programs of the examples: scripts for `sh` and for Node.js.

use crate::environment::workspace;
use crate::process::Process;
use crate::wait::{eventually, eventually_some};
use std::process::{Command, Stdio};

/// The oldest Node.js version that the examples run on.
const NODE: u32 = 18;

/// A running program; it ends with the test, and its output is shown when the test fails.
pub struct Program {
    process: Process,
}

/// How a program ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its exit status; `None` when a signal ended it.
    pub status: Option<i32>,
    /// Everything that it printed.
    pub printed: String,
}

/// A program to run, in the directory `examples`.
#[derive(Clone, Debug)]
pub struct Script {
    program: &'static str,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Script {
    /// A script for `sh`, which calls curl.
    ///
    /// # Panics
    /// If there is no curl.
    #[must_use]
    pub fn sh(path: &str) -> Self {
        has_curl();
        Self::of("sh", path)
    }

    /// A script for Node.js.
    ///
    /// # Panics
    /// If there is no Node.js that is new enough.
    #[must_use]
    pub fn node(path: &str) -> Self {
        has_node();
        Self::of("node", path)
    }

    fn of(program: &'static str, path: &str) -> Self {
        Self { program, arguments: vec![path.to_owned()], variables: Vec::new() }
    }

    /// With one more argument.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// With these arguments too.
    #[must_use]
    pub fn arguments(self, arguments: &[&str]) -> Self {
        arguments.iter().fold(self, |script, argument| script.argument(argument))
    }

    /// With an environment variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it.
    #[must_use]
    pub fn start(&self) -> Program {
        let mut command = Command::new(self.program);
        command.current_dir(workspace().join("examples")).args(&self.arguments);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        // As a process group of its own, with the processes that it starts.
        let state = std::env::temp_dir().join("spindrift-examples-leave-no-state");
        Program { process: Process::start(command, Some(state)) }
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(&self) -> Finished {
        self.start().finish()
    }

    /// Runs it to its end, which must be successful. Returns what it printed.
    ///
    /// # Panics
    /// If its exit status is not 0.
    #[track_caller]
    pub fn succeed(&self) -> String {
        let finished = self.run();
        assert_eq!(finished.status, Some(0), "{:?} printed:\n{}", self.arguments, finished.printed);
        finished.printed
    }
}

impl Program {
    /// Waits for the first line in which `wanted` finds something.
    ///
    /// # Panics
    /// If it ends without such a line.
    #[track_caller]
    pub fn line<T>(&self, wanted: impl Fn(&str) -> Option<T>) -> T {
        self.process.wait_for(wanted).unwrap_or_else(|all| panic!("another line was awaited than:\n{all}"))
    }

    /// Everything that it has printed so far.
    #[must_use]
    pub fn printed(&self) -> String {
        self.process.log()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn finish(mut self) -> Finished {
        let status = eventually_some("the end of the program", || self.process.ended());
        eventually("all that it printed", || self.process.has_said_all());
        Finished { status: status.code(), printed: self.process.log() }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the program printed:\n{}", self.process.log());
        }
    }
}

fn has_curl() {
    let found = version("curl").is_some();
    assert!(found, "expected curl on PATH for the examples, found none (Debian: `apt install curl`)");
}

fn has_node() {
    let version = version("node");
    let major =
        version.as_deref().and_then(|text| text.trim_start_matches('v').split('.').next()?.parse().ok());
    assert!(
        major.is_some_and(|major: u32| major >= NODE),
        "expected Node.js {NODE} or newer on PATH for the examples, found {} (Debian: `apt install nodejs`)",
        version.as_deref().unwrap_or("none")
    );
}

fn version(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
