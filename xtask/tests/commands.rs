//! Commands that fail or are interrupted, with stand-ins for cargo, rustc and npm.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test stops where it fails")]

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A checkout in which nothing can be built, and a `PATH` whose compiler has no wasm target.
struct Checkout(PathBuf);

impl Checkout {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("spindrift-xtask-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        let checkout = Self(directory);
        for file in ["spin.toml", "xtask/Cargo.toml", "target/xtask/lock"] {
            checkout.write(file, "");
        }
        checkout.program("cargo", "touch \"$CHECKOUT/built\"; exit 1");
        checkout.program("rustc", "echo 'release: 1.95.0'; echo nowhere");
        checkout
    }

    fn write(&self, file: &str, text: &str) -> PathBuf {
        let path = self.0.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.write(&format!("bin/{name}"), &format!("#!/bin/sh\n{text}\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn xtask(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        let path = format!("{}:{}", self.0.join("bin").display(), std::env::var("PATH").unwrap_or_default());
        command.args(arguments).current_dir(&self.0).stdin(Stdio::null());
        command.env("PATH", path).env("CHECKOUT", &self.0).env("CARGO", self.0.join("bin/cargo"));
        command.env_remove("SPIN_BIN");
        command
    }

    /// The standard error of the command, which must fail.
    fn failure(&self, command: &mut Command) -> String {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let checkout = Checkout::new("reader");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = checkout.xtask(&["help"]);
    assert!(command.stdout(writer.try_clone().unwrap()).stderr(writer).status().unwrap().success());
}

#[test]
fn ctrl_c_ends_the_wait_for_another_command() {
    let checkout = Checkout::new("lock");
    let other = File::open(checkout.0.join("target/xtask/lock")).unwrap();
    other.lock().unwrap();
    let output = checkout.0.join("output");
    let mut command = checkout.xtask(&["wasm-target"]);
    let mut waiting = command.stderr(File::create(&output).unwrap()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    let wait = || {
        assert!(Instant::now() < end, "{}", fs::read_to_string(&output).unwrap());
        thread::sleep(Duration::from_millis(10));
    };
    while !fs::read_to_string(&output).unwrap().contains("waiting") {
        wait();
    }
    assert!(Command::new("kill").args(["-INT", &waiting.id().to_string()]).status().unwrap().success());
    let status = loop {
        match waiting.try_wait().unwrap() {
            Some(status) => break status,
            None => wait(),
        }
    };
    assert_eq!(status.code(), Some(130));
}

#[test]
fn a_host_that_cannot_be_used_is_said_without_building() {
    let checkout = Checkout::new("host");
    checkout.write("suite/server/server.mjs", "");
    for arguments in [&["bench"][..], &["conformance", "--suite", "suite"]] {
        let mut command = checkout.xtask(arguments);
        let said = checkout.failure(command.args(["--host", "spin"]).env("SPIN_BIN", "/no/such/spin"));
        assert!(said.contains("/no/such/spin"), "{said}");
    }
    assert!(!checkout.0.join("built").exists());
}

#[test]
fn half_of_the_suite_does_not_count_as_all_of_it() {
    let checkout = Checkout::new("suite");
    checkout.write("tests/conformance/package.json", "{}");
    checkout.write("tests/conformance/package-lock.json", "{}");
    let install = "mkdir -p node_modules/http-cache-tests/server\n\
                   touch node_modules/http-cache-tests/server/server.mjs\necho 'no network' >&2; exit 1";
    checkout.program("npm", install);
    for _ in 0..2 {
        let said = checkout.failure(&mut checkout.xtask(&["conformance"]));
        assert!(said.contains("npm ci failed (exit status 1): no network"), "{said}");
    }
}
