//! `cargo xtask up` from start to end, with stand-ins for cargo, rustc and spin: what it starts, what it passes on,
//! and that all of it ends, however `up` ends.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test stops where it fails")]

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const SPIN: &str = r#"#!/bin/sh
cd "$DIRECTORY"
case "$*" in
  --version) echo "spin 4.1.0 (stand-in)" ;;
  *subscriber.toml*) echo started >> subscriber.log; exit 3 ;;
  *) env > host.env; echo "$*" > host.arguments
     sleep 300 & echo $! > grandchild.pid
     echo $$ > host.pid; wait ;;
esac
"#;

const RUSTC: &str = r#"#!/bin/sh
case "$*" in
  -vV) printf 'commit-hash: 0\nrelease: 1.95.0\n' ;;
  *) echo "$DIRECTORY/sysroot" ;;
esac
"#;

/// A running `up`.
struct Up {
    directory: PathBuf,
    process: Child,
    /// Listens in place of the host: `up` waits only for an open port.
    _listener: TcpListener,
}

impl Up {
    fn start(name: &str, arguments: &[&str]) -> Self {
        Self::start_with(name, |command, _| {
            command.args(arguments);
        })
    }

    /// `change` modifies the command last; the directory is that of the stand-ins.
    fn start_with(name: &str, change: impl FnOnce(&mut Command, &Path)) -> Self {
        let directory = std::env::temp_dir().join(format!("spindrift-xtask-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        let std = directory.join("sysroot/lib/rustlib/wasm32-wasip2/lib");
        fs::create_dir_all(&std).unwrap();
        fs::write(std.join("libstd-0.rlib"), "").unwrap();
        for (program, text) in [("spin", SPIN), ("rustc", RUSTC), ("cargo", "#!/bin/sh\n")] {
            let file = directory.join(program);
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let port = free_port();
        let mut command = command(&directory, port);
        change(&mut command, &directory);
        let process = command.spawn().unwrap();
        wait_for(|| directory.join("host.pid").exists(), "the host to start");
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        Self { directory, process, _listener: listener }
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.directory.join(file)).unwrap_or_default()
    }

    fn signal(&self, name: &str) {
        assert!(
            Command::new("kill").arg(name).arg(self.process.id().to_string()).status().unwrap().success()
        );
    }

    fn runs(&self, pid_file: &str) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.read(pid_file).trim()));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn command(directory: &Path, port: u16) -> Command {
    let path = format!("{}:{}", directory.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("sh");
    // `FIRST` is what a test runs in the shell before `up`.
    command.args(["-c", "eval \"$FIRST\"; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_xtask")]).env("FIRST", "");
    command.arg("up").args(["--listen", &format!("127.0.0.1:{port}")]);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env("DIRECTORY", directory).env("PATH", path);
    command.env("CARGO", directory.join("cargo")).env("SPIN_BIN", directory.join("spin"));
    // A Redis that is named is never installed. Tests that need one name it.
    command.env("SPINDRIFT_REDIS_SERVER", directory.join("no-redis-server"));
    for name in ["ADMIN_TOKEN", "REDIS_URL", "REDIS_HOST", "ORIGIN_URL", "REDIS_ENABLED"] {
        command.env_remove(format!("SPIN_VARIABLE_{name}"));
    }
    let output = fs::File::create(directory.join("output")).unwrap();
    command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
    command
}

/// The Redis of this machine.
fn redis_server() -> OsString {
    let named = std::env::var_os("SPINDRIFT_REDIS_SERVER").filter(|name| !name.is_empty());
    let works = |it: &OsString| Command::new(it).arg("--version").stdout(Stdio::null()).status().is_ok();
    let candidates = named.into_iter().chain(["redis-server", "valkey-server"].map(OsString::from));
    candidates.into_iter().find(works).expect(
        "a Redis: expected redis-server or valkey-server on PATH, or SPINDRIFT_REDIS_SERVER; \
         SPINDRIFT_SKIP_REDIS=1 leaves this test out",
    )
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn wait_for(mut condition: impl FnMut() -> bool, what: &str) {
    let end = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < end, "waited too long for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn ctrl_c_ends_everything_that_was_started() {
    let mut up =
        Up::start("ctrl-c", &["--redis", "redis://me:hunter2@127.0.0.1:1/3", "--variable", "config=a=b"]);
    wait_for(|| up.read("output").contains("Ctrl-C ends everything"), "the banner");
    wait_for(|| up.read("subscriber.log").lines().count() > 1, "the subscriber to be started again");
    assert!(up.runs("host.pid") && up.runs("grandchild.pid"));
    up.signal("-INT");
    let status = up.process.wait().unwrap();
    assert!(status.success(), "{status}: {}", up.read("output"));
    wait_for(|| !up.runs("host.pid") && !up.runs("grandchild.pid"), "the host and its child to end");

    let environment = up.read("host.env");
    assert!(environment.contains("SPIN_VARIABLE_REDIS_URL=redis://me:hunter2@127.0.0.1:1/3\n"));
    assert!(environment.contains("SPIN_VARIABLE_REDIS_HOST=redis://127.0.0.1:1\n"));
    assert!(environment.contains("SPIN_VARIABLE_CONFIG=a=b\n"));
    assert!(environment.contains("SPIN_VARIABLE_ADMIN_TOKEN="));
    for text in [up.read("output"), up.read("host.arguments")] {
        assert!(!text.contains("hunter2"), "a secret is shown: {text}");
    }
    assert!(up.read("output").contains("does not answer"), "{}", up.read("output"));
}

#[test]
fn components_may_reach_the_redis_that_was_found_or_started() {
    if std::env::var_os("SPINDRIFT_SKIP_REDIS").is_some() {
        return;
    }
    let mut up = Up::start_with("found", |command, _| {
        command.args(["--variable", "orign_url=http://a"]);
        command.env("SPIN_VARIABLE_REDIS_HOST", "redis://elsewhere:1");
        command.env("SPINDRIFT_REDIS_SERVER", redis_server());
    });
    wait_for(|| up.read("output").contains("Ctrl-C ends everything"), "the banner");
    let environment = up.read("host.env");
    let value = |name: &str| {
        let line = environment.lines().find_map(|line| line.strip_prefix(&format!("SPIN_VARIABLE_{name}=")));
        line.unwrap().to_owned()
    };
    assert_eq!(value("REDIS_HOST"), value("REDIS_URL"));
    up.signal("-INT");
    assert!(up.process.wait().unwrap().success());
    assert!(up.read("output").contains("`orign_url` is not declared in spin.toml"), "{}", up.read("output"));
}

#[test]
#[cfg(target_os = "linux")]
fn even_a_kill_leaves_nothing_running() {
    let up = Up::start("kill", &["--variable", "redis_enabled=false"]);
    up.signal("-KILL");
    wait_for(|| !up.runs("host.pid"), "the host to end");
    assert!(!up.directory.join("subscriber.log").exists());
    let _ = Command::new("kill").arg(up.read("grandchild.pid").trim()).status();
}

#[test]
fn a_host_that_ends_by_itself_is_a_failure() {
    let mut up = Up::start("host-ends", &["--variable", "redis_enabled=false"]);
    wait_for(|| up.read("output").contains("Ctrl-C ends everything"), "the banner");
    assert!(Command::new("kill").arg(up.read("host.pid").trim()).status().unwrap().success());
    let status = up.process.wait().unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(up.read("output").contains("the host ended by itself"), "{}", up.read("output"));
    wait_for(|| !up.runs("grandchild.pid"), "the host's child to end");
}

#[test]
#[cfg(target_os = "linux")]
fn with_nohup_it_outlives_the_terminal() {
    let mut up = Up::start_with("nohup", |command, _| {
        command.env("FIRST", "trap '' HUP").args(["--variable", "redis_enabled=false"]);
    });
    wait_for(|| up.read("output").contains("Ctrl-C ends everything"), "the banner");
    up.signal("-HUP");
    // It notices that the host ends only if it still runs itself.
    assert!(Command::new("kill").arg(up.read("host.pid").trim()).status().unwrap().success());
    assert_eq!(up.process.wait().unwrap().code(), Some(1));
    assert!(up.read("output").contains("the host ended by itself"), "{}", up.read("output"));
}

#[test]
fn a_relative_path_of_spin_holds_from_where_it_was_given() {
    let mut up = Up::start_with("relative", |command, directory| {
        let checkout = directory.join("a checkout");
        for (file, parent) in [("spin.toml", "docs"), ("xtask/Cargo.toml", "xtask")] {
            fs::create_dir_all(checkout.join(parent)).unwrap();
            fs::write(checkout.join(file), "").unwrap();
        }
        command.current_dir(checkout.join("docs")).env("SPIN_BIN", "../../spin");
        command.args(["--variable", "redis_enabled=false"]);
    });
    wait_for(|| up.read("output").contains("Ctrl-C ends everything"), "the banner");
    up.signal("-INT");
    assert!(up.process.wait().unwrap().success(), "{}", up.read("output"));
}
