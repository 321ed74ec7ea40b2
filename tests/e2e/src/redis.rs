//! A Redis server for one test, and the keys of Spindrift in it.

use crate::environment::redis_server;
use crate::monitor::Monitor;
use crate::process::Process;
use crate::tls::Certificate;
use crate::wait::eventually;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};

/// A reply of the server.
pub type Reply = redis::Value;

/// A server without persistence; it ends with the test.
pub struct Redis {
    port: u16,
    options: Vec<String>,
    /// The port for TLS, and the certificate of the server.
    tls: Option<(u16, Arc<Certificate>)>,
    process: Mutex<Option<Process>>,
    connection: Mutex<Option<redis::Connection>>,
}

impl Redis {
    /// Starts a server on a free port.
    ///
    /// # Panics
    /// When there is no server to start, with what to do about it.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with more options.
    ///
    /// # Panics
    /// As [`Redis::start`].
    #[must_use]
    pub fn start_with(options: &[&str]) -> Self {
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        // Another process may take the port before the server does.
        for _ in 0..5 {
            let redis = Self { options: options.clone(), ..Self::stopped() };
            if redis.try_start().is_ok() {
                return redis;
            }
        }
        panic!("redis-server did not start: {:?}", Self { port: 0, options, ..Self::stopped() }.try_start());
    }

    /// Starts a server that also offers TLS on another port, with a certificate that is not signed by an authority.
    ///
    /// # Panics
    /// As [`Redis::start`].
    #[must_use]
    pub fn start_with_tls() -> Self {
        Self::start_as(&Arc::new(Certificate::new()), &[])
    }

    /// The same with this certificate and more options.
    pub(crate) fn start_as(certificate: &Arc<Certificate>, options: &[&str]) -> Self {
        let port = free_port();
        let all = certificate.options(port);
        let all: Vec<&str> = all.iter().map(String::as_str).chain(options.iter().copied()).collect();
        Self { tls: Some((port, Arc::clone(certificate))), ..Self::start_with(&all) }
    }

    /// A server that is not running, at an address where nothing listens.
    #[must_use]
    pub fn stopped() -> Self {
        let (process, connection) = (Mutex::default(), Mutex::default());
        Self { port: free_port(), options: Vec::new(), tls: None, process, connection }
    }

    fn try_start(&self) -> Result<(), String> {
        let mut command = Command::new(redis_server());
        let port = self.port.to_string();
        command.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"]);
        command.args(&self.options);
        let process = Process::start(command, None);
        process.wait_for(|line| line.contains("eady to accept connections").then_some(()))?;
        *self.process.lock().unwrap() = Some(process);
        Ok(())
    }

    /// Starts it again, empty, at the same address.
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    pub fn restart(&self) {
        self.stop();
        self.try_start().unwrap();
    }

    /// Kills it: connections break and none can be opened.
    ///
    /// # Panics
    /// If another thread has panicked while holding it.
    pub fn stop(&self) {
        *self.connection.lock().unwrap() = None;
        *self.process.lock().unwrap() = None;
    }

    /// Stops the process: connections stay open, and nothing is answered.
    ///
    /// # Panics
    /// If it is not running.
    pub fn pause(&self) {
        self.process.lock().unwrap().as_ref().expect("it runs").signal("STOP");
    }

    /// Lets the process continue.
    ///
    /// # Panics
    /// If it is not running.
    pub fn resume(&self) {
        self.process.lock().unwrap().as_ref().expect("it runs").signal("CONT");
    }

    /// `redis://host:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The `host:port` for TLS.
    ///
    /// # Panics
    /// If it does not offer TLS.
    #[must_use]
    pub fn tls_address(&self) -> String {
        let (port, _) = self.tls.as_ref().expect("it speaks TLS");
        format!("127.0.0.1:{port}")
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Carries out a command.
    ///
    /// # Panics
    /// When the server refuses it.
    #[track_caller]
    pub fn query<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        self.query_bytes(&command.iter().map(|part| part.as_bytes()).collect::<Vec<_>>())
    }

    /// Carries out a command made of bytes.
    ///
    /// # Panics
    /// When the server refuses it.
    #[track_caller]
    pub fn query_bytes<T: redis::FromRedisValue>(&self, command: &[&[u8]]) -> T {
        let mut request = redis::Cmd::new();
        for part in command {
            request.arg(part);
        }
        let mut connection = self.connection();
        let result = request.query(connection.as_mut().expect("it was opened"));
        result.unwrap_or_else(|error| panic!("{:?}: {error}", String::from_utf8_lossy(command[0])))
    }

    fn connection(&self) -> MutexGuard<'_, Option<redis::Connection>> {
        let mut connection = self.connection.lock().unwrap();
        if connection.is_none() {
            let client = redis::Client::open(self.url()).unwrap();
            *connection = Some(client.get_connection().expect("redis-server accepts connections"));
        }
        connection
    }

    /// All keys, in order.
    #[must_use]
    #[track_caller]
    pub fn keys(&self) -> Vec<String> {
        let (mut cursor, mut all) = ("0".to_owned(), Vec::new());
        loop {
            let (next, keys): (String, Vec<String>) = self.query(&["SCAN", &cursor, "COUNT", "1000"]);
            all.extend(keys);
            if next == "0" {
                all.sort();
                all.dedup();
                return all;
            }
            cursor = next;
        }
    }

    /// The keys of resources with a stored response, with their values: a response, or the index of its variants.
    #[must_use]
    #[track_caller]
    pub fn resources(&self) -> BTreeMap<String, Vec<u8>> {
        let named = |key: &String| {
            let id = key.strip_suffix('}').and_then(|rest| rest.rsplit('{').next());
            id.is_some_and(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
        };
        let all = self.keys().into_iter().filter(named);
        all.filter_map(|key| self.text(&key).map(|value| (key, value))).collect()
    }

    /// The stored responses: their keys and values.
    #[must_use]
    #[track_caller]
    pub fn entries(&self) -> BTreeMap<String, Vec<u8>> {
        let mut entries = BTreeMap::new();
        for (resource, value) in self.resources() {
            if value.starts_with(b"E") {
                entries.insert(resource, value);
                continue;
            }
            // V<name> <fields> <variant> <variant> ...
            let index = String::from_utf8_lossy(&value).into_owned();
            let mut words = index.strip_prefix('V').unwrap_or_default().split(' ');
            let name = words.next().unwrap_or_default();
            for variant in words.skip(1) {
                let key = format!("{resource}:v:{variant}");
                // Variants of an older index do not count any more.
                let entry = self.text(&key).filter(|entry| entry.starts_with(name.as_bytes()));
                entries.extend(entry.map(|entry| (key, entry)));
            }
        }
        entries
    }

    /// The value of a key; `None` if it is not a string.
    fn text(&self, key: &str) -> Option<Vec<u8>> {
        let is_text = self.query::<String>(&["TYPE", key]) == "string";
        if is_text { self.query(&["GET", key]) } else { None }
    }

    /// Replaces the value of a key, and keeps its remaining time to live.
    #[track_caller]
    pub fn replace(&self, key: &str, value: &[u8]) {
        let _: String = self.query_bytes(&[b"SET", key.as_bytes(), value, b"KEEPTTL"]);
    }

    /// Waits until exactly this many responses are stored: storing continues after a response was sent.
    #[track_caller]
    pub fn await_entries(&self, count: usize) {
        eventually(&format!("{count} stored responses"), || self.entries().len() == count);
    }

    /// Waits for a key whose name contains this.
    #[track_caller]
    pub fn await_keys_with(&self, part: &str) {
        eventually(&format!("a key with {part:?}"), || self.keys().iter().any(|key| key.contains(part)));
    }

    /// Waits until the stored responses differ from `before`.
    #[track_caller]
    pub fn await_other_entries(&self, before: &BTreeMap<String, Vec<u8>>) {
        eventually("other stored responses", || self.entries() != *before);
    }

    /// The keys of pieces of bodies.
    #[must_use]
    #[track_caller]
    pub fn chunks(&self) -> Vec<String> {
        let is_chunk = |key: &String| {
            self.query::<String>(&["TYPE", key]) == "string"
                && key.rsplit(':').next().is_some_and(|number| number.parse::<u32>().is_ok())
        };
        self.keys().into_iter().filter(is_chunk).collect()
    }

    /// Watches all commands that clients send from now on.
    #[must_use]
    #[track_caller]
    pub fn monitor(&self) -> Monitor<'_> {
        Monitor::start(self)
    }

    /// How many subscribers a channel has.
    #[must_use]
    #[track_caller]
    pub fn subscribers(&self, channel: &str) -> usize {
        self.query::<(String, usize)>(&["PUBSUB", "NUMSUB", channel]).1
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap().port()
}
