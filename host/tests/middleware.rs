//! Middleware, composed and in use. `SPINDRIFT_SPIN=<path of spin>` runs the same tests with Spin.

mod support;

use support::{Directory, Host, Redis, is_spin, origin, up};

const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "tested"
[variables]
mark = { default = "marked" }
redis_url = { default = "redis://127.0.0.1:6379" }
origin = { default = "" }
[[trigger.http]]
route = "/..."
component = "guest"
DEPENDENCIES
[[trigger.http]]
route = "/plain/..."
component = "guest"
[[trigger.http]]
route = "/headers/chained"
component = "caller"
[[trigger.http]]
route = { private = true }
component = "inner"
dependencies.middleware = [{ component = "middle", inherit_configuration = ["variables"] }]
[component.guest]
source = "GUEST"
files = ["a.txt"]
environment = { FROM_MANIFEST = "yes" }
allowed_outbound_hosts = ["{{ redis_url }}", "{{ origin }}", "http://inner.spin.internal"]
variables = { mark = "{{ mark }}" }
[component.caller]
source = "GUEST"
allowed_outbound_hosts = ["http://inner.spin.internal"]
[component.inner]
source = "GUEST"
variables = { mark = "of inner" }
[component.middle]
source = "MIDDLEWARE"
"#;

fn directory(name: &str, middleware: &str) -> (Directory, std::path::PathBuf) {
    let directory = Directory::new(name);
    let dependencies = format!("dependencies.middleware = {middleware}");
    let manifest = directory.file("spin.toml", &MANIFEST.replace("DEPENDENCIES", &dependencies));
    directory.file("a.txt", "text of a");
    (directory, manifest)
}

/// A host whose guest is behind this middleware.
fn behind(name: &str, middleware: &str, arguments: &[&str]) -> (Host, Directory) {
    let (directory, manifest) = directory(name, middleware);
    (Host::start(&manifest, arguments), directory)
}

const ALL: &str = r#"[{ component = "middle", inherit_configuration = true }]"#;
const NOTHING: &str = r#"[{ component = "middle" }]"#;

#[test]
fn a_request_passes_through_and_so_does_its_response() {
    let (host, _directory) = behind("through", ALL, &[]);
    let request = "GET /headers/x?q=1 HTTP/1.1\r\nHost: example.com:81\r\nX-A: b\r\n\r\n";
    let answer = host.send(request);
    assert!(answer.body.starts_with("GET http://example.com:81/headers/x?q=1\n"), "{answer:?}");
    assert_eq!(answer.fields("x-passed"), ["marked"]);
    assert_eq!(answer.header("x-returned"), Some("marked"));
    assert_eq!((answer.fields("x-a"), answer.fields("spin-path-info")), (vec!["b"], vec!["/headers/x"]));
    let written = host.post("/redis", "redis://nowhere.example:1\nget a");
    assert_eq!(written.body, "open: Error::InvalidAddress\n", "the body of the request arrives behind");
}

#[test]
fn the_first_of_several_is_the_outermost() {
    let several =
        r#"[{ component = "middle", inherit_configuration = ["variables"] }, { path = "MIDDLEWARE" }]"#;
    let (host, _directory) = behind("several", several, &[]);
    let answer = host.get("/headers");
    assert_eq!(answer.fields("x-passed"), ["marked", "-"], "{answer:?}");
    let returned: Vec<_> = answer.headers.iter().filter(|(name, _)| name == "x-returned").collect();
    assert_eq!(returned.iter().map(|(_, mark)| mark.as_str()).collect::<Vec<_>>(), ["-", "marked"]);
}

#[test]
fn a_trigger_without_middleware_leads_to_the_component_alone() {
    let (host, _directory) = behind("alone", ALL, &[]);
    assert_eq!(host.get("/plain").header("x-returned"), None);
    assert_eq!(host.get("/other").header("x-returned"), Some("marked"));
}

#[test]
fn a_request_inside_the_app_passes_through_the_middleware_of_its_component() {
    let (host, _directory) = behind("chained", ALL, &[]);
    let answer = host.post("/send", "http://inner.spin.internal/headers/y\n");
    assert!(answer.body.contains("x-returned: of inner"), "{answer:?}");
    assert!(answer.body.contains("x-passed: of inner"), "{answer:?}");
}

#[test]
fn what_is_inherited_is_that_of_the_component_behind() {
    let (address, _requests) = origin("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let Some(redis) = Redis::start(false) else { return };
    let variables = [format!("origin=http://{address}"), format!("redis_url={}", redis.url)];
    let arguments = ["--variable", &variables[0], "--variable", &variables[1]];
    let (host, _directory) = behind("inherits", ALL, &arguments);
    assert_eq!(host.get("/own/variable?mark").body, "Ok(\"marked\")");
    assert_eq!(host.get("/own/file?/a.txt").body, "Ok(\"text of a\")");
    assert_eq!(host.get("/own/environment?FROM_MANIFEST").body, "Ok(\"yes\")");
    let sent = host.post("/own/send", &format!("http://{address}/\n"));
    assert!(sent.body.starts_with("200\n"), "{sent:?}");
    let asked = host.post("/own/redis", &format!("{}\nset k v\nget k", redis.url));
    assert!(asked.body.ends_with("Ok(Some([118]))\n"), "{asked:?}");
    let foreign = host.post("/own/send", "http://127.0.0.1:9/\n");
    assert!(foreign.body.contains("HttpRequestDenied"), "{foreign:?}");
}

#[test]
fn what_is_not_inherited_is_refused_and_the_component_behind_still_has_it() {
    let (address, _requests) = origin("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let variable = format!("origin=http://{address}");
    let (host, _directory) = behind("denied", NOTHING, &["--variable", &variable]);
    assert_eq!(host.get("/own/variable?mark").body, "Err(Error::Undefined(\"mark\"))");
    assert_eq!(host.get("/own/file?/a.txt").body, "Err(())");
    assert_eq!(host.get("/own/environment?FROM_MANIFEST").body, "Err(NotPresent)");
    let sent = host.post("/own/send", &format!("http://{address}/\n"));
    assert!(sent.body.contains("InternalError") && sent.body.contains("not permitted"), "{sent:?}");
    let asked = host.post("/own/redis", "redis://127.0.0.1:6379\nget k");
    assert!(
        asked.body.starts_with("open: Error::Other(") && asked.body.contains("not permitted"),
        "{asked:?}"
    );
    assert_eq!(host.get("/variable?mark").body, "Ok(\"marked\")");
    assert_eq!(host.get("/file?/a.txt").body, "Ok(\"text of a\")");
    assert_eq!(host.get("/environment?FROM_MANIFEST").body, "Ok(\"yes\")");
    assert!(host.post("/send", &format!("http://{address}/\n")).body.starts_with("200\n"));
}

#[test]
fn each_middleware_is_denied_for_itself() {
    let several = r#"[{ component = "middle", inherit_configuration = ["files"] },
                      { component = "middle", inherit_configuration = ["variables"] }]"#;
    let (host, _directory) = behind("each", several, &[]);
    assert_eq!(host.get("/own/file?/a.txt").body, "Ok(\"text of a\")");
    assert_eq!(host.get("/own/variable?mark").body, "Err(Error::Undefined(\"mark\"))");
    assert_eq!(host.get("/headers").fields("x-passed"), ["-", "marked"]);
}

#[test]
fn a_component_behind_that_fails_is_an_error_of_the_whole() {
    let (host, _directory) = behind("trap", ALL, &[]);
    assert_eq!(host.get("/trap").status, 500);
    assert_eq!(host.get("/headers").status, 200);
}

#[test]
fn the_whole_is_one_instance_reused_and_retired() {
    let (host, _directory) = behind("reuse", ALL, &["--max-instance-reuse-count", "2"]);
    let counts: Vec<String> = (0..4).map(|_| host.get("/count").body).collect();
    assert_eq!(counts, ["1", "2", "1", "2"]);
}

#[test]
fn what_is_no_middleware_is_refused_by_name() {
    let refused = |middleware: &str, expected: &[&str]| {
        let (_directory, manifest) = directory("refused", middleware);
        let mut process = up(&manifest, &["--listen", "127.0.0.1:0"]);
        assert!(!process.wait(), "expected {middleware} to be refused");
        if !is_spin() {
            let said = process.wait_for(expected[0]);
            assert!(expected.iter().all(|part| said.contains(part)), "expected {expected:?} in: {said}");
        }
    };
    let interface = "expected a component that imports and exports wasi:http/handler@0.3.0";
    refused(
        r#"[{ path = "GUEST" }]"#,
        &["component \"guest\"", "middleware \"", interface, "only exports it"],
    );
    refused(r#"[{ path = "spin.toml" }]"#, &["middleware \"spin.toml\"", "expected a component"]);
    refused(r#"[{ path = "none.wasm" }]"#, &["component \"guest\"", "none.wasm", "No such file"]);
    refused(r#"[{ component = "none" }]"#, &["trigger.http number 1", "\"none\""]);
    // Spin ignores a name that it does not know.
    if !is_spin() {
        refused(
            r#"[{ component = "middle", inherit_configuration = ["network"] }]"#,
            &["trigger.http number 1", "\"middle\"", "allowed_outbound_hosts", "found \"network\""],
        );
    }
}

#[test]
fn a_composite_is_compiled_once_and_made_anew_when_a_part_changes() {
    if is_spin() {
        return;
    }
    let directory = Directory::new("cached");
    for (name, file) in [("guest.wasm", support::guest()), ("middle.wasm", support::middleware())] {
        std::fs::copy(file, directory.0.join(name)).unwrap();
    }
    let text = MANIFEST.replace("GUEST", "guest.wasm").replace("MIDDLEWARE", "middle.wasm");
    let manifest = directory.file(
        "spin.toml",
        &text.replace("DEPENDENCIES", "dependencies.middleware = [{ path = \"middle.wasm\" }]"),
    );
    directory.file("a.txt", "text of a");
    let cached = || {
        let all = std::fs::read_dir(&directory.0).unwrap().map(|it| it.unwrap());
        let all = all.filter(|it| it.path().extension().is_some_and(|it| it == "cwasm"));
        let mut all: Vec<_> =
            all.map(|it| (it.file_name(), it.metadata().unwrap().modified().unwrap())).collect();
        all.sort();
        all
    };
    let mark = || Host::start(&manifest, &[]).get("/headers").header("x-returned").map(str::to_owned);
    assert_eq!(mark().as_deref(), Some("-"));
    let first = cached();
    assert_eq!(first.len(), 3, "guest alone, guest behind, inner behind: {first:?}");
    assert_eq!(mark().as_deref(), Some("-"));
    assert_eq!(cached(), first, "nothing was compiled again");
    // A custom section changes the file, but not what it does.
    let mut wasm = std::fs::read(support::middleware()).unwrap();
    wasm.extend(b"\x00\x05\x04note");
    std::fs::write(directory.0.join("middle.wasm"), wasm).unwrap();
    assert_eq!(mark().as_deref(), Some("-"));
    let second = cached();
    assert_eq!(second.len(), 3);
    assert_eq!(second.iter().filter(|it| !first.contains(it)).count(), 2, "both that contain it");
}
