//! The Redis side of the host, with a real component and a real server.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use support::{Directory, Host, PATIENCE, Process, Redis, command, is_spin, up};

const HTTP: &str = r#"
spin_manifest_version = 2
[application]
name = "tested"
[variables]
host = { default = "redis://127.0.0.1:6379" }
[[trigger.http]]
route = "/..."
component = "guest"
[component.guest]
source = "GUEST"
allowed_outbound_hosts = ["{{ host }}"]
"#;

const SUBSCRIBER: &str = r#"
spin_manifest_version = 2
[application]
name = "tested"
[application.trigger.redis]
address = "{{ url }}"
[variables]
url = { required = true }
host = { required = true }
channel = { default = "news" }
[[trigger.redis]]
channel = "{{ channel }}"
component = "guest"
[[trigger.redis]]
channel = "other"
component = "guest"
[component.guest]
source = "GUEST"
allowed_outbound_hosts = ["{{ host }}"]
variables = { redis_url = "{{ url }}", list = "seen" }
"#;

struct Setup {
    _directory: Directory,
    host: Host,
    redis: Redis,
}

impl Setup {
    fn new(name: &str, locked: bool) -> Option<Self> {
        let redis = Redis::start(locked)?;
        let directory = Directory::new(name);
        let manifest = directory.file("spin.toml", HTTP);
        let allowed = format!("host=redis://127.0.0.1:{}", redis.port);
        let host = Host::start(&manifest, &["--variable", &allowed]);
        Some(Self { _directory: directory, host, redis })
    }

    /// The result of every command in `script`, on a connection of its own.
    fn run(&self, script: &str) -> Vec<String> {
        self.run_at(&self.redis.url, script)
    }

    fn run_at(&self, url: &str, script: &str) -> Vec<String> {
        let answer = self.host.post("/redis", &format!("{url}\n{script}"));
        assert_eq!(answer.status, 200);
        answer.body.lines().map(str::to_owned).collect()
    }
}

#[test]
fn every_function_of_the_interface_works() {
    let Some(setup) = Setup::new("functions", false) else { return };
    let results = setup.run(
        "get a\nset a 1\nget a\nincr a\nsadd s x y\nsadd s x z\nsrem s x q\ndel a b\npublish c m\nPING\nECHO hello",
    );
    assert_eq!(
        results,
        [
            "Ok(None)",
            "Ok(())",
            "Ok(Some([49]))",
            "Ok(2)",
            "Ok(2)",
            "Ok(1)",
            "Ok(1)",
            "Ok(1)",
            "Ok(())",
            "Ok([RedisResult::Status(\"PONG\")])",
            "Ok([RedisResult::Binary([104, 101, 108, 108, 111])])",
        ]
    );
}

#[test]
fn replies_are_flattened() {
    let Some(setup) = Setup::new("flatten", false) else { return };
    let results =
        setup.run("EVAL return{1,{2,{false}},'x',{}} :0\nLRANGE none :0 :-1\nINCRBY n :5\nGET none\nSET k v");
    assert_eq!(
        results,
        [
            "Ok([RedisResult::Int64(1), RedisResult::Int64(2), RedisResult::Nil, RedisResult::Binary([120])])",
            "Ok([])",
            "Ok([RedisResult::Int64(5)])",
            "Ok([RedisResult::Nil])",
            "Ok([RedisResult::Status(\"OK\")])",
        ]
    );
}

#[test]
fn errors_have_the_texts_of_spin() {
    let Some(setup) = Setup::new("errors", false) else { return };
    let results =
        setup.run("EVALSHA 0123456789012345678901234567890123456789 :0\nset k v\nLPUSH k v\nNOSUCH\nincr k");
    // The end of each message comes from the server itself.
    let no_script =
        "Err(Error::Other(\"An error was signalled by the server - NoScriptError: No matching script.";
    assert!(results[0].starts_with(no_script), "{results:?}");
    assert!(results[2].starts_with("Err(Error::Other(\"WRONGTYPE: Operation against a key"), "{results:?}");
    assert!(
        results[3].contains("An error was signalled by the server - ResponseError: unknown command"),
        "{results:?}"
    );
    assert!(results[4].contains("ResponseError: value is not an integer"), "{results:?}");
}

#[test]
fn only_allowed_addresses_are_opened() {
    let Some(setup) = Setup::new("allowed", true) else { return };
    let port = setup.redis.port;
    assert_eq!(setup.run("PING"), ["Ok([RedisResult::Status(\"PONG\")])"]);
    let with_everything = format!("redis://default:secret@127.0.0.1:{port}/3");
    assert_eq!(setup.run_at(&with_everything, "PING"), ["Ok([RedisResult::Status(\"PONG\")])"]);
    for denied in
        [format!("redis://localhost:{port}"), format!("rediss://127.0.0.1:{port}"), "nonsense".to_owned()]
    {
        assert_eq!(setup.run_at(&denied, "PING"), ["open: Error::InvalidAddress"], "{denied}");
    }
    let wrong = setup.run_at(&format!("redis://:wrong@127.0.0.1:{port}"), "PING");
    assert!(wrong[0].starts_with("open: Error::Other(") && !wrong[0].contains(":wrong@"), "{wrong:?}");
}

#[test]
fn a_blocked_command_holds_up_neither_its_instance_nor_others() {
    let Some(setup) = Setup::new("blocked", false) else { return };
    let port = setup.redis.port;
    std::thread::scope(|scope| {
        let blocked = scope.spawn(|| setup.run("BLPOP list :0"));
        wait_for_reply(port, "INFO clients", "blocked_clients:1");
        assert_eq!(setup.run("PING").len(), 1);
        assert_eq!(setup.host.get("/count").status, 200);
        ask(port, "RPUSH list value");
        assert!(blocked.join().unwrap()[0].starts_with("Ok([RedisResult::Binary("));
    });
}

#[test]
fn a_lost_connection_stays_lost() {
    let Some(setup) = Setup::new("lost", false) else { return };
    let results = setup.run("set k v\nCLIENT KILL TYPE normal SKIPME no\nget k\nget k");
    assert_eq!(results[0], "Ok(())");
    assert!(results[2].starts_with("Err(Error::Other("), "{results:?}");
    assert!(results[3].starts_with("Err(Error::Other("), "{results:?}");
    assert_eq!(setup.run("get k"), ["Ok(Some([118]))"], "a new connection works");
}

#[test]
fn a_server_that_is_gone_is_an_error_at_once() {
    let Some(mut setup) = Setup::new("gone", false) else { return };
    setup.redis.kill();
    let results = setup.run("PING");
    assert!(results[0].starts_with("open: Error::Other(\"Connection refused"), "{results:?}");
}

fn subscriber(name: &str, url: &str, port: u16) -> (Directory, PathBuf, Process) {
    let directory = Directory::new(name);
    let manifest = directory.file("spin.toml", SUBSCRIBER);
    let (url, host) = (format!("url={url}"), format!("host=redis://127.0.0.1:{port}"));
    let process = up(&manifest, &["--variable", &url, "--variable", &host]);
    (directory, manifest, process)
}

/// A plain connection: sends `command`, returns the raw reply.
fn ask(port: u16, command: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(format!("AUTH secret\r\n{command}\r\nQUIT\r\n").as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

fn wait_for_reply(port: u16, command: &str, expected: &str) {
    let end = Instant::now() + PATIENCE;
    loop {
        let reply = ask(port, command);
        if reply.contains(expected) {
            return;
        }
        assert!(Instant::now() < end, "expected {expected:?} from {command}, found {reply:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn wait_for_subscriber(process: &Process, port: u16) {
    process.wait_for("Active Channels on");
    // Spin subscribes in any order, so no line of its output is certain to be the last.
    for channel in ["news", "other"] {
        wait_for_reply(port, &format!("PUBSUB NUMSUB {channel}"), ":1");
    }
}

#[test]
fn messages_arrive_one_after_another_and_failures_do_not_stop_them() {
    let Some(redis) = Redis::start(true) else { return };
    let (_directory, _, process) = subscriber("subscriber", &redis.url, redis.port);
    wait_for_subscriber(&process, redis.port);
    for (channel, message) in
        [("news", "one"), ("news", "fail"), ("other", "trap"), ("news", "two"), ("other", "three")]
    {
        assert!(ask(redis.port, &format!("PUBLISH {channel} {message}")).contains(":1"));
    }
    wait_for_reply(redis.port, "LLEN seen", ":3");
    let seen = ask(redis.port, "LRANGE seen 0 -1");
    let at = |word: &str| seen.find(word).unwrap();
    assert!(at("one") < at("two") && at("two") < at("three"), "{seen}");
}

#[test]
fn the_end_of_the_connection_ends_the_process_without_credentials() {
    let Some(mut redis) = Redis::start(true) else { return };
    let (_directory, _, mut process) = subscriber("ended", &redis.url, redis.port);
    wait_for_subscriber(&process, redis.port);
    redis.kill();
    let line = process.wait_for("disconnected from");
    assert!(line.contains(&format!("disconnected from 127.0.0.1:{}", redis.port)), "{line}");
    assert!(!process.wait());
    assert!(!line.contains("secret") && !process.rest().contains("secret"));
}

#[test]
fn a_server_that_is_not_there_ends_the_process() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (_directory, _, mut process) =
        subscriber("absent", &format!("redis://:secret@127.0.0.1:{port}"), port);
    assert!(!process.wait());
    let line = process.wait_for(&port.to_string());
    assert!(!line.contains("secret"), "{line}");
}

#[test]
fn a_signal_ends_the_subscriber_well() {
    let Some(redis) = Redis::start(false) else { return };
    let (_directory, _, mut process) = subscriber("signal", &redis.url, redis.port);
    wait_for_subscriber(&process, redis.port);
    process.signal("-INT");
    assert!(process.wait());
}

#[test]
fn a_signal_leaves_no_copies_of_a_subscribers_files() {
    let Some(redis) = Redis::start(false).filter(|_| !is_spin()) else { return };
    let directory = Directory::new("copies");
    directory.file("a.txt", "text");
    let manifest =
        directory.file("spin.toml", &SUBSCRIBER.replace("source =", "files = [\"a.txt\"]\nsource ="));
    let temporary = directory.0.join("temporary");
    std::fs::create_dir(&temporary).unwrap();
    let url = redis.url.as_str();
    let variables = [format!("url={url}"), format!("host={url}")];
    let mut command = command(&manifest, &["--variable", &variables[0], "--variable", &variables[1]]);
    let mut process = Process::start(command.env("TMPDIR", &temporary));
    wait_for_subscriber(&process, redis.port);
    let copies = || std::fs::read_dir(&temporary).unwrap().count();
    assert_eq!(copies(), 1);
    process.signal("-TERM");
    assert!(process.wait());
    assert_eq!(copies(), 0);
}

/// An app with two Redis triggers, each on a server of its own, and an HTTP trigger.
const SEPARATE: &str = r#"
spin_manifest_version = 2
[application]
name = "tested"
[variables]
busy = { required = true }
idle = { required = true }
[[trigger.http]]
route = "/..."
component = "guest"
[[trigger.redis]]
address = "{{ busy }}"
channel = "news"
component = "guest"
[[trigger.redis]]
address = "{{ idle }}"
channel = "news"
component = "guest"
[component.guest]
source = "GUEST"
allowed_outbound_hosts = ["{{ idle }}"]
variables = { redis_url = "{{ idle }}", list = "seen" }
"#;

#[test]
fn a_component_that_computes_holds_up_neither_other_servers_nor_http() {
    let Some((busy, idle)) = Redis::start(false).zip(Redis::start(false)).filter(|_| !is_spin()) else {
        return;
    };
    let directory = Directory::new("separate");
    let manifest = directory.file("spin.toml", SEPARATE);
    let variables = [format!("busy={}", busy.url), format!("idle={}", idle.url)];
    let arguments = ["--listen", "127.0.0.1:0", "--variable", &variables[0], "--variable", &variables[1]];
    // The runtime reads this: with one thread it is certain that the component has the one that others would need.
    let process = Process::start(command(&manifest, &arguments).env("TOKIO_WORKER_THREADS", "1"));
    let host = Host::of(process);
    for redis in [&busy, &idle] {
        wait_for_reply(redis.port, "PUBSUB NUMSUB news", ":1");
    }
    ask(busy.port, "PUBLISH news compute");
    host.process.wait_for("computing");
    ask(idle.port, "PUBLISH news one");
    wait_for_reply(idle.port, "LRANGE seen 0 -1", "one");
    assert_eq!(host.get("/count").status, 200);
}
