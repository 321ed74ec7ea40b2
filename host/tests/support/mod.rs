//! A host with the guest, and clients simple enough to send invalid requests.
#![allow(dead_code, unreachable_pub, reason = "every test file uses a part")]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test stops where it fails")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Longer than any operation takes here, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the same tests with this `spin` instead, to check that the host behaves alike.
const SPIN: &str = "SPINDRIFT_SPIN";

/// True when the tests run against Spin itself.
pub fn is_spin() -> bool {
    std::env::var_os(SPIN).is_some()
}

/// The guest's wasm file, built once for all tests of this process.
pub fn guest() -> &'static Path {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(|| built("spindrift-host-guest"))
}

/// The wasm file of the guest's middleware.
pub fn middleware() -> &'static Path {
    static MIDDLEWARE: OnceLock<PathBuf> = OnceLock::new();
    MIDDLEWARE.get_or_init(|| built("spindrift-host-middleware"))
}

fn built(package: &str) -> PathBuf {
    let arguments = ["build", "--quiet", "-p", package, "--target", "wasm32-wasip2", "--release"];
    let built = Command::new(env!("CARGO")).args(arguments).status().expect("cargo runs");
    assert!(built.success(), "{package} must build: cargo {}", arguments.join(" "));
    let target = std::env::var("CARGO_TARGET_DIR")
        .map_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    let path = target.join("wasm32-wasip2/release").join(package.replace('-', "_")).with_extension("wasm");
    path.canonicalize().expect("the component is where cargo puts it")
}

/// Waits until `condition` is true, by asking again and again.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "expected that {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A directory that is removed with the test.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(format!("spindrift-host-test-{name}-{process}-{count}"));
        _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes `text` to `name`, with `GUEST` and `MIDDLEWARE` standing for their wasm files.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut text = text.to_owned();
        for (word, file) in [("GUEST", guest as fn() -> &'static Path), ("MIDDLEWARE", middleware)] {
            if text.contains(word) {
                text = text.replace(word, file().to_str().unwrap());
            }
        }
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// A process whose lines can be waited for.
pub struct Process {
    child: Child,
    lines: Mutex<Receiver<String>>,
    stdout: Arc<Mutex<String>>,
}

impl Process {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("expected {command:?} to start: {e}"));
        let (sender, lines) = channel();
        let stdout = Arc::new(Mutex::new(String::new()));
        let sources: [(Box<dyn Read + Send>, _); 2] = [
            (Box::new(child.stdout.take().unwrap()), Some(Arc::clone(&stdout))),
            (Box::new(child.stderr.take().unwrap()), None),
        ];
        for (source, copy) in sources {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(source).lines().map_while(Result::ok) {
                    copy.iter().for_each(|copy| *copy.lock().unwrap() += &line);
                    _ = sender.send(line);
                }
            });
        }
        Self { child, lines: Mutex::new(lines), stdout }
    }

    /// What it has printed to stdout so far.
    pub fn stdout(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }

    /// Starts it while nobody reads what it prints, nor ever will.
    pub fn unheard(command: &mut Command) -> Self {
        let (reader, output) = std::io::pipe().unwrap();
        drop(reader);
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let child = command.spawn().unwrap_or_else(|e| panic!("expected {command:?} to start: {e}"));
        Self { child, lines: Mutex::new(channel().1), stdout: Arc::default() }
    }

    /// Waits for a line that contains `text`.
    pub fn wait_for(&self, text: &str) -> String {
        let (lines, mut seen, end) = (self.lines.lock().unwrap(), Vec::new(), Instant::now() + PATIENCE);
        while let Ok(line) = lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            if line.contains(text) {
                return line;
            }
            seen.push(line);
        }
        panic!("expected a line with {text:?}, found:\n{}", seen.join("\n"));
    }

    /// Everything printed that was not waited for; complete only when the process has ended.
    pub fn rest(&self) -> String {
        let lines: Vec<String> = self.lines.lock().unwrap().try_iter().collect();
        lines.join("\n")
    }

    /// Waits for the end; true if it was successful.
    pub fn wait(&mut self) -> bool {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return status.success(),
                None if Instant::now() > end => panic!("expected process {} to end", self.child.id()),
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A killed host leaves its files behind, a killed Spin even its trigger processes.
        if self.child.try_wait().is_ok_and(|it| it.is_none()) {
            self.signal("-INT");
            let end = Instant::now() + Duration::from_secs(2);
            while self.child.try_wait().is_ok_and(|it| it.is_none()) && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// `spindrift-host up` (or `spin up`) with `manifest`.
pub fn up(manifest: &Path, arguments: &[&str]) -> Process {
    Process::start(&mut command(manifest, arguments))
}

/// The command that [`up`] runs.
pub fn command(manifest: &Path, arguments: &[&str]) -> Command {
    let program = std::env::var(SPIN).unwrap_or_else(|_| env!("CARGO_BIN_EXE_spindrift-host").to_owned());
    let mut command = Command::new(program);
    command.args(["up", "-f"]).arg(manifest).args(arguments).current_dir(manifest.parent().unwrap());
    if is_spin() {
        command.arg("--state-dir").arg(manifest.parent().unwrap().join("state"));
    }
    command
}

/// A host that serves HTTP.
pub struct Host {
    pub process: Process,
    pub address: SocketAddr,
}

impl Host {
    pub fn start(manifest: &Path, arguments: &[&str]) -> Self {
        Self::of(up(manifest, &[&["--listen", "127.0.0.1:0"], arguments].concat()))
    }

    /// The host that `process` becomes.
    pub fn of(process: Process) -> Self {
        let line = process.wait_for("http://127.0.0.1:");
        let address = line.split("http://").nth(1).unwrap().parse().unwrap();
        Self { process, address }
    }

    /// GETs `path`.
    pub fn get(&self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.address))
    }

    /// Begins a request that the guest holds until it is released; returns once the guest has it.
    pub fn hold(&self) -> Held {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let address = self.address;
        write!(stream, "POST /hold HTTP/1.1\r\nhost: {address}\r\ncontent-length: 1\r\n\r\n").unwrap();
        let line = self.process.wait_for("holding ");
        Held { stream, count: line.rsplit(' ').next().unwrap().parse().unwrap() }
    }

    /// POSTs `body` to `path`.
    pub fn post(&self, path: &str, body: &str) -> Answer {
        let (address, length) = (self.address, body.len());
        self.send(format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
    }

    /// Sends `request` unchanged and reads one response.
    pub fn send(&self, request: impl AsRef<[u8]>) -> Answer {
        self.try_send(request).expect("an answer")
    }

    /// The same; none if the connection ends without a response.
    pub fn try_send(&self, request: impl AsRef<[u8]>) -> Option<Answer> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_ref()).unwrap();
        read_answer(&mut BufReader::new(stream))
    }
}

/// A request in progress: the guest waits for the only byte of its body.
pub struct Held {
    stream: TcpStream,
    /// Its number among the requests of its instance.
    pub count: u32,
}

impl Held {
    /// Sends the byte and reads the response.
    pub fn let_go(mut self) -> Answer {
        self.stream.write_all(b"x").unwrap();
        self.answer()
    }

    /// Whether a response comes without the byte, or is about to.
    pub fn is_over(&self) -> bool {
        self.stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        self.stream.peek(&mut [0]).is_ok()
    }

    /// Reads the answer.
    pub fn answer(self) -> Answer {
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        read_answer(&mut BufReader::new(self.stream)).expect("an answer")
    }
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// The first header field of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    /// The values of the lines `name: value` in the body.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        self.body.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
    }
}

fn read_answer(stream: &mut impl BufRead) -> Option<Answer> {
    let line = |stream: &mut dyn BufRead| {
        let mut line = String::new();
        stream.read_line(&mut line).ok().map(|_| line.trim_end().to_owned())
    };
    let first = line(stream)?;
    let status = first.split(' ').nth(1)?.parse().ok()?;
    let mut headers = Vec::new();
    while let Some((name, value)) = line(stream)?.split_once(": ") {
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let find = |name: &str| headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.clone());
    let mut body = Vec::new();
    if find("transfer-encoding").is_some() {
        loop {
            let size = usize::from_str_radix(&line(stream)?, 16).ok()?;
            let mut chunk = vec![0; size];
            stream.read_exact(&mut chunk).ok()?;
            body.extend(chunk);
            line(stream)?;
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = find("content-length") {
        body.resize(length.parse().ok()?, 0);
        stream.read_exact(&mut body).ok()?;
    }
    Some(Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

/// A server that sends the same bytes on every connection, and passes the requests on to the test.
pub fn origin(answer: &'static str) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let sender = sender.clone();
            std::thread::spawn(move || serve_origin(stream, answer, &sender));
        }
    });
    (address, requests)
}

fn serve_origin(mut stream: TcpStream, answer: &str, requests: &std::sync::mpsc::Sender<String>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut request = String::new();
        while !request.ends_with("\r\n\r\n") {
            if !matches!(reader.read_line(&mut request), Ok(1..)) {
                return;
            }
        }
        _ = requests.send(request);
        if answer.is_empty() || stream.write_all(answer.as_bytes()).is_err() {
            std::thread::sleep(PATIENCE);
            return;
        }
    }
}

/// A Redis server for one test, with the password `secret` if `locked`.
pub struct Redis {
    process: Process,
    pub port: u16,
    pub url: String,
}

impl Redis {
    /// Starts `SPINDRIFT_REDIS_SERVER`, `redis-server` or `valkey-server`. None if `SPINDRIFT_SKIP_REDIS` is set.
    pub fn start(locked: bool) -> Option<Self> {
        if std::env::var_os("SPINDRIFT_SKIP_REDIS").is_some() {
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(redis_server());
        command.args([
            "--bind",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        if locked {
            command.args(["--requirepass", "secret"]);
        }
        let process = Process::start(&mut command);
        process.wait_for("eady to accept connections");
        let user = if locked { ":secret@" } else { "" };
        Some(Self { process, port, url: format!("redis://{user}127.0.0.1:{port}") })
    }

    /// Kills the server.
    pub fn kill(&mut self) {
        _ = self.process.child.kill();
        _ = self.process.child.wait();
    }
}

fn redis_server() -> String {
    let named = std::env::var("SPINDRIFT_REDIS_SERVER").ok();
    let works = |it: &String| Command::new(it).arg("--version").stdout(Stdio::null()).status().is_ok();
    let candidates = named.into_iter().chain(["redis-server".to_owned(), "valkey-server".to_owned()]);
    candidates.into_iter().find(works).expect(
        "a Redis: expected redis-server or valkey-server on PATH, or SPINDRIFT_REDIS_SERVER; \
         SPINDRIFT_SKIP_REDIS=1 leaves these tests out",
    )
}
