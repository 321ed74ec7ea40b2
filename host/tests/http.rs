//! The HTTP side of the host, with a real component. `SPINDRIFT_SPIN=<path of spin>` runs the same tests with Spin.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use support::{Directory, Held, Host, PATIENCE, Process, command, guest, origin, up, wait_until};

const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "tested"
version = "1.2.3"
[variables]
given = { default = "default" }
origin = { default = "" }
wrong = { default = "http://fine" }
[[trigger.http]]
route = "/..."
component = "guest"
[[trigger.http]]
route = "/headers/user/:user_id/..."
component = "guest"
[[trigger.http]]
route = "/fixed"
static_response = { status_code = 418, headers = { x-kind = "tea" }, body = "short" }
[[trigger.http]]
route = { private = true }
component = "inner"
[component.guest]
source = "GUEST"
files = ["*.txt", { source = "dir", destination = "/placed" }]
environment = { FROM_MANIFEST = "yes" }
allowed_outbound_hosts = ["http://inner.spin.internal", "http://missing.spin.internal", "http://self", "{{ origin }}", "http://127.0.0.1:9"]
variables = { shown = "<{{ given }}>" }
[component.inner]
source = "GUEST"
allowed_outbound_hosts = ["{{ wrong }}"]
"#;

fn directory(name: &str) -> (Directory, std::path::PathBuf) {
    let directory = Directory::new(name);
    let manifest = directory.file("spin.toml", MANIFEST);
    directory.file("a.txt", "text of a");
    directory.file("dir/b.txt", "text of b");
    (directory, manifest)
}

/// One host for the tests that do not need their own; it ends with the last of them.
fn host() -> Arc<(Host, Directory)> {
    static SHARED: Mutex<Weak<(Host, Directory)>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let (directory, manifest) = directory("shared");
        let host = Arc::new((Host::start(&manifest, &["--variable", "given=flag"]), directory));
        *shared = Arc::downgrade(&host);
        host
    })
}

#[test]
fn spins_fields_are_appended_and_the_connection_is_hidden() {
    let host = host();
    let request = "GET /headers/user/7/x/?q=1 HTTP/1.1\r\nHost: example.com:81\r\nConnection: close\r\n\
                   spin-client-addr: 1.2.3.4:5\r\nX-A: b\r\n\r\n";
    let answer = host.0.send(request);
    assert!(answer.body.starts_with("GET http://example.com:81/headers/user/7/x/?q=1\n"), "{answer:?}");
    for (name, value) in [
        ("spin-path-info", "/x/"),
        ("spin-full-url", "http://example.com:81/headers/user/7/x/?q=1"),
        ("spin-matched-route", "/headers/user/:user_id/..."),
        ("spin-base-path", "/"),
        ("spin-raw-component-route", "/headers/user/:user_id/..."),
        ("spin-component-route", "/headers/user/:user_id"),
        ("spin-path-match-user-id", "7"),
        ("x-a", "b"),
    ] {
        assert_eq!(answer.fields(name), [value], "{name}");
    }
    let addresses = answer.fields("spin-client-addr");
    assert_eq!((addresses.len(), addresses[0]), (2, "1.2.3.4:5"));
    assert!(addresses[1].starts_with("127.0.0.1:"));
    assert!(answer.fields("connection").is_empty());
}

#[test]
fn what_the_host_answers_by_itself() {
    let host = host();
    let health = host.0.get("/.well-known/spin/health");
    assert_eq!((health.status, health.body.as_str()), (200, "OK"));
    let info = host.0.get("/.well-known/spin/info");
    assert!(info.body.contains("\"tested\"") && info.body.contains("\"1.2.3\""), "{info:?}");
    assert_eq!(host.0.get("/.well-known/spin/other").status, 404);
    let fixed = host.0.get("/fixed");
    assert_eq!((fixed.status, fixed.header("x-kind"), fixed.body.as_str()), (418, Some("tea"), "short"));
}

#[test]
fn requests_without_one_clear_host_get_no_answer() {
    let host = host();
    for request in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET http://one/ HTTP/1.1\r\nHost: two\r\n\r\n",
        "CONNECT one:80 HTTP/1.1\r\n\r\n",
        "CONNECT one:80 HTTP/1.1\r\nHost: one:80\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: inner.spin.internal\r\n\r\n",
    ] {
        assert!(host.0.try_send(request).is_none(), "{request:?}");
    }
    let agreeing = host.0.send("GET http://one/headers HTTP/1.1\r\nHost: one\r\n\r\n");
    assert!(agreeing.body.starts_with("GET http://one/headers\n"), "{agreeing:?}");
}

#[test]
fn header_values_must_be_utf8() {
    let host = host();
    let request = |value: &[u8]| [b"GET /headers HTTP/1.1\r\nHost: h\r\nX-A: ", value, b"\r\n\r\n"].concat();
    assert_eq!(host.0.send(request(b"\xff")).status, 500);
    assert_eq!(host.0.send(request("ä".as_bytes())).fields("x-a"), ["ä"]);
}

#[test]
fn variables_files_and_environment_arrive() {
    let host = host();
    let show = |path: &str| host.0.get(path).body;
    assert_eq!(show("/variable?shown"), "Ok(\"<flag>\")");
    assert!(show("/variable?given").contains("Undefined"), "{}", show("/variable?given"));
    assert!(show("/variable?Bad-Name").contains("InvalidName"));
    assert_eq!(show("/file?/a.txt"), "Ok(\"text of a\")");
    assert_eq!(show("/file?/placed/b.txt"), "Ok(\"text of b\")");
    assert_eq!(show("/file?/spin.toml"), "Err(NotFound)");
    assert!(show("/write?/a.txt").starts_with("Err"), "{}", show("/write?/a.txt"));
    assert_eq!(show("/environment?FROM_MANIFEST"), "Ok(\"yes\")");
    assert!(show("/environment?PATH").starts_with("Err"));
}

#[test]
fn components_reach_each_other_without_the_network() {
    let host = host();
    let answer = host.0.post("/send", "http://inner.spin.internal/headers/x?y=1");
    assert!(answer.body.contains("GET http://inner.spin.internal/headers/x?y=1\n"), "{answer:?}");
    for (name, value) in [
        ("spin-path-info", "/headers/x"),
        ("spin-full-url", "http://localhost/headers/x?y=1"),
        ("spin-matched-route", "/..."),
        ("spin-client-addr", "0.0.0.0:0"),
    ] {
        assert_eq!(answer.fields(name), [value], "{name}");
    }
    assert_eq!(host.0.get("/forward?http://inner.spin.internal/trap").status, 500);
}

#[test]
fn requests_to_itself_go_through_the_listener() {
    let host = host();
    let answer = host.0.post("/send", "http://self.alt/headers/x");
    let expected = format!("GET http://{}/headers/x\n", host.0.address);
    assert!(answer.body.contains(&expected), "{answer:?}");
    assert!(answer.fields("spin-client-addr")[0].starts_with("127.0.0.1:"));
}

#[test]
fn what_is_not_allowed_is_denied_and_what_is_dead_is_refused() {
    let host = host();
    let send = |url: &str| host.0.post("/send", url).body;
    assert!(send("http://example.com/").contains("HttpRequestDenied"), "{}", send("http://example.com/"));
    assert!(send("https://inner.spin.internal/").contains("HttpRequestDenied"));
    assert!(send("http://127.0.0.1:9/").contains("ConnectionRefused"), "{}", send("http://127.0.0.1:9/"));
}

#[test]
fn requests_to_an_origin_have_its_host_and_no_redirects_are_followed() {
    let (address, requests) =
        origin("HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\nx-b: c\r\ncontent-length: 4\r\n\r\nbody");
    let (_directory, manifest) = directory("origin");
    let host = Host::start(&manifest, &["--variable", &format!("origin=http://{address}")]);
    let answer = host.post("/send", &format!("http://{address}/path?q\nx-a: b"));
    assert!(answer.body.starts_with("302\n") && answer.body.ends_with("\nbody"), "{answer:?}");
    assert_eq!((answer.fields("location"), answer.fields("x-b")), (vec!["/elsewhere"], vec!["c"]));
    let request = requests.recv_timeout(PATIENCE).unwrap();
    assert!(request.starts_with("GET /path?q HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: {address}\r\n")) && request.contains("x-a: b\r\n"), "{request}");
}

#[test]
fn a_component_limits_its_wait_for_the_first_byte() {
    let (address, _requests) = origin("");
    let (_directory, manifest) = directory("silent");
    let host = Host::start(&manifest, &["--variable", &format!("origin=http://{address}")]);
    let answer = host.post("/send", &format!("http://{address}/\ntimeout-ms: 200"));
    assert!(answer.body.contains("ConnectionReadTimeout"), "{answer:?}");
}

#[test]
fn forbidden_response_fields_end_in_500() {
    let host = host();
    assert_eq!(host.0.get("/respond-with?x-a=b").header("x-a"), Some("b"));
    for name in ["connection", "keep-alive", "transfer-encoding", "upgrade", "proxy-connection"] {
        assert_eq!(host.0.get(&format!("/respond-with?{name}=x")).status, 500, "{name}");
    }
}

#[test]
fn instances_are_reused_up_to_their_count() {
    let (_directory, manifest) = directory("reuse");
    let host = Host::start(&manifest, &["--max-instance-reuse-count", "3"]);
    let counts: Vec<String> = (0..6).map(|_| host.get("/count").body).collect();
    assert_eq!(counts, ["1", "2", "3", "1", "2", "3"]);
}

#[test]
fn idle_instances_are_dropped() {
    let (_directory, manifest) = directory("idle");
    let host = Host::start(&manifest, &["--idle-instance-timeout", "100ms"]);
    assert_eq!(host.get("/count").body, "1");
    // A busy machine may drop late, and every request keeps the instance longer: so each wait is twice the last.
    let dropped = (1..6).any(|power| {
        std::thread::sleep(Duration::from_millis(100) * (1 << power));
        host.get("/count").body == "1"
    });
    assert!(dropped);
}

/// A host that runs two requests of one instance at the same time, and two such requests. An instance that is just
/// busy takes none: then the second request has an instance of its own, which is allowed too.
fn sharing(manifest: &std::path::Path) -> (Host, [Held; 2]) {
    let start = || {
        let host = Host::start(manifest, &["--max-instance-concurrent-reuse-count", "2"]);
        let held = [host.hold(), host.hold()];
        (host, held)
    };
    (0..20).map(|_| start()).find(|(_, held)| held[1].count == 2).unwrap()
}

#[test]
fn requests_share_an_instance_up_to_the_limit() {
    let (_directory, manifest) = directory("share");
    let (host, held) = sharing(&manifest);
    assert_eq!(host.get("/trap").status, 500, "a third request has an instance of its own, and loses it");
    assert_eq!(held.map(|held| held.let_go().status), [200, 200]);
}

#[test]
fn a_trap_ends_every_request_of_its_instance() {
    let (_directory, manifest) = directory("fall");
    let (host, [first, second]) = sharing(&manifest);
    assert_eq!(first.let_go().status, 200);
    wait_until("the other request of the instance ends", || {
        assert_eq!(host.get("/trap").status, 500);
        second.is_over()
    });
    assert_eq!(second.answer().status, 500);
    assert_eq!(host.get("/count").status, 200);
}

#[test]
fn a_request_timeout_answers_500() {
    let (_directory, manifest) = directory("timeout");
    let host = Host::start(&manifest, &["--request-timeout", "300ms"]);
    assert_eq!(host.get("/sleep?20000").status, 500);
    assert_eq!(host.get("/count").status, 200);
}

#[test]
fn memory_has_the_limit_that_was_set() {
    let (_directory, manifest) = directory("memory");
    let host = Host::start(&manifest, &["--max-instance-memory", "20000000"]);
    assert_eq!(host.get("/memory?4").body, "true");
    assert_eq!(host.get("/memory?64").body, "false");
}

#[test]
fn work_after_the_response_is_done_and_prints_appear() {
    let (_directory, manifest) = directory("after");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let host = Host::start(&manifest, &["--variable", &format!("origin=http://{address}")]);
    host.get("/print?words");
    host.process.wait_for("out words");
    assert!(!host.process.stdout().contains("words"), "it goes to stderr, like all that components print");
    assert_eq!(host.get(&format!("/after?http://{address}/")).body, "sent");
    // The request that the guest still waits for is answered only now, long after its response was sent.
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
    assert!(request.any(|line| line.is_empty()));
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate").unwrap();
    host.process.wait_for("after 200 late");
}

#[test]
fn quiet_hides_what_components_print() {
    let (_directory, manifest) = directory("quiet");
    let mut host = Host::start(&manifest, &["--quiet"]);
    host.get("/print?words");
    host.process.signal("-TERM");
    host.process.wait();
    assert!(!host.process.rest().contains("words"));
}

#[test]
fn the_environment_gives_variables_below_flags() {
    let (directory, manifest) = directory("environment");
    directory.file(".env", "SPIN_VARIABLE_GIVEN=dotenv\n");
    assert_eq!(Host::start(&manifest, &[]).get("/variable?shown").body, "Ok(\"<dotenv>\")");
    let host = Host::start(&manifest, &["--variable", "given=flag"]);
    assert_eq!(host.get("/variable?shown").body, "Ok(\"<flag>\")");
}

#[test]
fn one_wrong_host_closes_the_whole_list() {
    let (_directory, manifest) = directory("wrong");
    let host = Host::start(&manifest, &["--variable", "origin=http://h/path"]);
    let answer = host.post("/send", "http://inner.spin.internal/headers");
    assert!(answer.body.contains("HttpRequestDenied"), "{answer:?}");
}

#[test]
fn a_signal_ends_the_host_well() {
    let (_directory, manifest) = directory("signal");
    let mut host = Host::start(&manifest, &[]);
    host.get("/count");
    host.process.signal("-INT");
    assert!(host.process.wait());
}

#[test]
fn requests_under_way_are_finished_before_the_end() {
    if support::is_spin() {
        return;
    }
    let (_directory, manifest) = directory("grace");
    let mut host = Host::start(&manifest, &[]);
    let held = host.hold();
    host.process.signal("-TERM");
    wait_until("it stops listening", || TcpStream::connect(host.address).is_err());
    assert_eq!(held.let_go().status, 200);
    assert!(host.process.wait());
}

#[test]
fn it_serves_even_if_nobody_reads_what_it_prints() {
    if support::is_spin() {
        return;
    }
    let (_directory, manifest) = directory("unheard");
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listen = address.to_string();
    // It prints on both ways: a warning about the variable, and where it serves.
    let arguments = ["--listen", &listen, "--variable", "undeclared=x"];
    let mut process = Process::unheard(&mut command(&manifest, &arguments));
    wait_until("it listens", || {
        assert!(!process.has_ended(), "it ended");
        TcpStream::connect(address).is_ok()
    });
    let host = Host { process, address };
    // The host reports a failed instance.
    assert_eq!(host.get("/trap").status, 500);
    assert_eq!(host.get("/file?/a.txt").body, "Ok(\"text of a\")");
}

#[test]
fn what_keeps_the_host_from_starting_is_said() {
    let directory = Directory::new("errors");
    for (text, expected) in [
        (MANIFEST.replace("name = \"tested\"", "nam = \"tested\""), "nam"),
        (MANIFEST.replace("GUEST", "missing.wasm"), "missing.wasm"),
        (MANIFEST.replace("given = { default = \"default\" }", "given = { required = true }"), "given"),
        (MANIFEST.replace("*.txt", "none.md"), "none.md"),
    ] {
        let manifest = directory.file("spin.toml", &text);
        directory.file("a.txt", "");
        directory.file("dir/b.txt", "");
        let mut process = up(&manifest, &["--listen", "127.0.0.1:0"]);
        assert!(!process.wait(), "{expected}");
        process.wait_for(expected);
    }
}

#[test]
fn components_are_compiled_once() {
    if support::is_spin() {
        return;
    }
    let _host = host();
    let cache = guest().with_extension("cwasm");
    let (_directory, manifest) = directory("cached");
    let before = std::fs::metadata(&cache).unwrap().modified().unwrap();
    let _second = Host::start(&manifest, &[]);
    assert_eq!(std::fs::metadata(&cache).unwrap().modified().unwrap(), before);
}
