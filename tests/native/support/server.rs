//! A redis-server for one test: a free port, a directory that is removed, nothing written to disk.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};

/// The variable with the program to run.
const BINARY: &str = "SPINDRIFT_REDIS_SERVER";
/// If this variable is 1, no test here runs.
const SKIP: &str = "SPINDRIFT_SKIP_REDIS";

/// A running server; it ends when this value is dropped.
pub(crate) struct RedisServer {
    child: Child,
    port: u16,
    directory: PathBuf,
    options: Vec<String>,
}

/// Whether the tests on Redis are skipped.
pub(crate) fn skipped() -> bool {
    std::env::var(SKIP).is_ok_and(|value| value == "1")
}

impl RedisServer {
    /// Starts a server that persists nothing.
    pub(crate) fn start() -> Self {
        Self::start_with(&["--save", ""], &[], "Ready to accept connections")
    }

    /// Starts one with more `options`, and waits for a line of its log that contains `ready`. Files go into its
    /// directory first.
    pub(crate) fn start_with(options: &[&str], files: &[(&str, &[u8])], ready: &str) -> Self {
        // Between finding a free port and using it another process may take it.
        for _ in 0..10 {
            if let Some(server) = Self::try_start(options, files, ready) {
                return server;
            }
        }
        panic!("redis-server did not start in ten tries");
    }

    /// One attempt; `None` if another process took the port.
    pub(crate) fn try_start(options: &[&str], files: &[(&str, &[u8])], ready: &str) -> Option<Self> {
        let (binary, port) = (binary(), free_port());
        let directory = new_directory();
        for (name, content) in files {
            std::fs::write(directory.join(name), content).unwrap();
        }
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut child = spawn(&binary, port, &directory, &options);
        let lines = lines(&mut child);
        let server = Self { child, port, directory, options };
        lines.iter().any(|line| line.contains(ready)).then_some(server)
    }

    /// Starts it again on the same port, with the existing files.
    pub(crate) fn start_again(&mut self) {
        self.kill();
        self.child = spawn(&binary(), self.port, &self.directory, &self.options);
        let lines = lines(&mut self.child);
        assert!(lines.iter().any(|line| line.contains("Ready to accept")), "it does not start again");
    }

    /// The port it listens on.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Its address as a URL.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The content of a file in its directory.
    pub(crate) fn file(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.directory.join(name)).unwrap()
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn spawn(binary: &Path, port: u16, directory: &Path, options: &Vec<String>) -> Child {
    Command::new(binary)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--appendonly", "no", "--dir"])
        .arg(directory)
        .args(["--loglevel", "notice", "--daemonize", "no", "--enable-debug-command", "yes"])
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{} cannot be run: {error}; see {BINARY}", binary.display()))
}

/// The lines of its output. They are always read to the end, so that it never blocks.
fn lines(child: &mut Child) -> Receiver<String> {
    let output = child.stdout.take().unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}

fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os(BINARY) {
        return named.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = ["redis-server", "valkey-server"]
        .iter()
        .flat_map(|name| std::env::split_paths(&path).map(move |folder| folder.join(name)))
        .find(|candidate| candidate.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "expected redis-server or valkey-server on PATH, or its path in {BINARY}, found neither; \
             {SKIP}=1 leaves these tests out"
        )
    })
}

/// A port that is free.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

fn new_directory() -> PathBuf {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("spindrift-native-{}-{number}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}
