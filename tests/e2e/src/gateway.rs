//! The gateway: the components of `spin.toml`, run by a host.

use crate::client::Client;
use crate::environment::{Host, host, workspace};
use crate::faulty::FaultyRedis;
use crate::message::{Request, Response};
use crate::origin::Origin;
use crate::process::Process;
use crate::redis::{Redis, free_port};
use crate::wait::{eventually, eventually_some};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// The bearer token that [`Setup::managed`] sets.
pub const TOKEN: &str = "a-token-of-the-tests";

/// How a gateway is started.
#[derive(Clone, Debug)]
pub struct Setup {
    manifest: &'static str,
    config: String,
    variables: Vec<(String, String)>,
    arguments: Vec<String>,
}

impl Setup {
    /// The app of a manifest in the workspace, with its defaults, except that nothing listens at the address of
    /// Redis.
    #[must_use]
    pub fn of(manifest: &'static str) -> Self {
        let setup = Self { manifest, config: String::new(), variables: vec![], arguments: vec![] };
        setup.redis_url(&Redis::stopped().url())
    }

    /// Sets a variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.retain(|(found, _)| found != name);
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Uses this Redis.
    #[must_use]
    pub fn redis(self, redis: &Redis) -> Self {
        self.redis_url(&redis.url())
    }

    /// Uses Redis through this proxy.
    #[must_use]
    pub fn faulty(self, proxy: &FaultyRedis) -> Self {
        self.redis_url(&proxy.url())
    }

    /// Uses the Redis at this URL, which has no credentials.
    #[must_use]
    pub fn redis_url(self, url: &str) -> Self {
        self.variable("redis_url", url).variable("redis_host", url)
    }

    /// Sets the content of `spindrift.toml`. If it sets no timeout for Redis, long ones are used: on a busy machine
    /// the defaults would end operations that work.
    #[must_use]
    pub fn config(mut self, toml: &str) -> Self {
        self.config = toml.into();
        self
    }

    /// The configuration as it is given to the app.
    fn whole_config(&self) -> String {
        const PATIENT: &str = "timeout = \"15s\"\nconnect_timeout = \"15s\"\n";
        let config = match self.config.split_once("[redis]\n") {
            Some((_, keys)) if keys.contains("timeout") => self.config.clone(),
            Some((before, keys)) => format!("{before}[redis]\n{PATIENT}{keys}"),
            None => format!("{}\n[redis]\n{PATIENT}", self.config),
        };
        // Counters are written some time after a response, which would disturb what a test observes.
        if config.contains("[metrics]") { config } else { format!("{config}\n[metrics]\nenabled = false\n") }
    }

    /// Switches the management API on.
    #[must_use]
    pub fn managed(self) -> Self {
        self.variable("admin_token", TOKEN)
    }

    /// Sets how many requests an instance may serve, and how many at the same time. An idle instance waits for them
    /// longer than any test takes, so that there is only one where one is enough.
    #[must_use]
    pub fn reuse(mut self, requests: usize, at_once: usize) -> Self {
        let [requests, at_once] = [requests, at_once].map(|number| number.to_string());
        self.arguments = ["--max-instance-reuse-count", &requests].map(str::to_owned).to_vec();
        self.arguments.extend(["--max-instance-concurrent-reuse-count".to_owned(), at_once]);
        self.arguments.extend(["--idle-instance-timeout".to_owned(), "100s".to_owned()]);
        self
    }

    /// Limits the memory of each instance, in bytes.
    #[must_use]
    pub fn max_memory(mut self, bytes: usize) -> Self {
        self.arguments.extend(["--max-instance-memory".to_owned(), bytes.to_string()]);
        self
    }

    /// One instance for all requests, which remembers state from one request to the next.
    #[must_use]
    pub fn one_instance(self) -> Self {
        self.reuse(1_000_000, 64)
    }

    /// Starts it.
    ///
    /// # Panics
    /// If it does not serve; with its output.
    #[must_use]
    #[track_caller]
    pub fn start(&self) -> Gateway {
        // Another process may take the port that was chosen for a real Spin.
        for _ in 0..3 {
            let process = self.spawn(true);
            if let Ok(address) = process.wait_for(serving) {
                return Gateway { process, address };
            }
        }
        let process = self.spawn(true);
        let said = process.wait_for(serving);
        panic!("the host does not serve {}: {said:?}", self.manifest);
    }

    /// Starts the program, listening for HTTP or not.
    pub(crate) fn spawn(&self, http: bool) -> Process {
        let host = host();
        let (Host::Embedded(program) | Host::Spin(program)) = &host;
        let mut command = Command::new(program);
        command.current_dir(workspace()).args(["up", "-f", self.manifest]);
        let is_spin = matches!(host, Host::Spin(_));
        let state = is_spin.then(state_directory);
        if let Some(state) = &state {
            command.arg("--state-dir").arg(state);
        }
        if http {
            let port = if is_spin { free_port() } else { 0 };
            command.args(["--listen", &format!("127.0.0.1:{port}")]);
            command.args(&self.arguments);
        }
        for (name, value) in &self.variables {
            command.args(["--variable", &format!("{name}={value}")]);
        }
        command.args(["--variable", &format!("config={}", self.whole_config())]);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SPIN_") {
                command.env_remove(name);
            }
        }
        Process::start(command, state)
    }
}

/// `Serving http://127.0.0.1:3000`
fn serving(line: &str) -> Option<SocketAddr> {
    line.strip_prefix("Serving http://")?.trim().parse().ok()
}

fn state_directory() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("spindrift-e2e-{}-{number}", std::process::id()))
}

/// A running gateway; it ends with the test, and shows its log when the test fails.
pub struct Gateway {
    process: Process,
    address: SocketAddr,
}

impl Gateway {
    /// A gateway in front of this origin, without Redis.
    #[must_use]
    pub fn before(origin: &Origin) -> Setup {
        Self::before_url(&origin.url())
    }

    /// A gateway in front of the origin at this URL, without Redis.
    #[must_use]
    pub fn before_url(url: &str) -> Setup {
        Setup::of("spin.toml").variable("origin_url", url)
    }

    /// A gateway in front of the demo origin, without Redis.
    #[must_use]
    pub fn before_demo() -> Setup {
        Setup::of("spin.toml")
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A new connection to it.
    #[must_use]
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Sends a request on a connection of its own.
    #[track_caller]
    pub fn send(&self, request: &Request) -> Response {
        self.client().send(request)
    }

    /// GETs a path on a connection of its own.
    #[track_caller]
    pub fn get(&self, target: &str) -> Response {
        self.send(&Request::get(target))
    }

    /// Repeats a request until its response is one that `wanted` accepts.
    #[track_caller]
    pub fn until(&self, request: &Request, wanted: impl Fn(&Response) -> bool) -> Response {
        eventually_some("another response", || Some(self.send(request)).filter(&wanted))
    }

    /// POSTs JSON to a path of the management API, with its token.
    #[track_caller]
    pub fn manage(&self, target: &str, json: &str) -> Response {
        self.send(&Request::post(target, json).bearer(TOKEN).header("content-type", "application/json"))
    }

    /// Purges through the management API.
    ///
    /// # Panics
    /// If it is refused.
    #[track_caller]
    pub fn purge(&self, json: &str) -> serde_json::Value {
        let response = self.manage("/_spindrift/v1/purge", json);
        assert_eq!(response.status, 200, "{response:?}");
        response.json()
    }

    /// A counter in the statistics; 0 if it is missing.
    #[must_use]
    #[track_caller]
    pub fn counter(&self, name: &str) -> i64 {
        let response = self.send(&Request::get("/_spindrift/stats").bearer(TOKEN));
        assert_eq!(response.status, 200, "{response:?}");
        response.json()["counters"][name].as_i64().unwrap_or(0)
    }

    /// Everything that it has printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until it has printed this.
    #[track_caller]
    pub fn await_log(&self, text: &str) {
        eventually(&format!("{text:?} in the log"), || self.log().contains(text));
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the gateway printed:\n{}", self.log());
        }
    }
}
