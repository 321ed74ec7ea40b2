use crate::manifest::{FilesMount, Manifest, Route};
use std::path::Path;

const APP: &str = r#"
spin_manifest_version = 2

[application]
name = "app"
version = "1.2.3"

[application.trigger.redis]
address = "{{ redis_url }}"

[variables]
redis_url = { default = "redis://127.0.0.1:6379", secret = true }
token = { required = true }

[[trigger.http]]
route = "/..."
component = "front-end"

[[trigger.http]]
id = "robots"
route = "/robots.txt"
static_response = { status_code = 204, headers = { a = "b" }, body = "no" }

[[trigger.http]]
route = { private = true }
component = "front-end"

[[trigger.redis]]
channel = "c"
component = "front-end"

[component.front-end]
source = "a.wasm"
files = ["x/*", { source = "y", destination = "/z" }]
environment = { A = "1" }
allowed_outbound_hosts = ["{{ redis_url }}", "https://{{ token }}"]

[component.front-end.variables]
token = "{{ token }}"

[component.front-end.build]
command = "cargo build"
watch = ["src"]
"#;

fn parse(text: &str) -> Result<Manifest, String> {
    Manifest::parse(text, Path::new("dir/spin.toml")).map_err(|e| e.to_string())
}

/// The message for the app with `from` replaced by `to`; it must contain all of `expected`.
fn refused(from: &str, to: &str, expected: &[&str]) {
    assert!(APP.contains(from), "{from}");
    let message = parse(&APP.replacen(from, to, 1)).unwrap_err();
    for part in expected {
        assert!(message.contains(part), "expected {part:?} in: {message}");
    }
}

#[test]
fn every_supported_part_is_read() {
    let app = parse(APP).unwrap();
    assert_eq!(app.root(), Path::new("dir"));
    assert_eq!((app.http.len(), app.redis.len(), app.components.len()), (3, 1, 1));
    assert_eq!(app.redis[0].address, "{{ redis_url }}");
    assert_eq!(app.http[0].route, Route::Path("/...".into()));
    assert_eq!(app.http[1].static_response.as_ref().unwrap().status_code, Some(204));
    let component = &app.components["front-end"];
    assert_eq!(component.source(), "a.wasm");
    assert_eq!(component.files[0], FilesMount::Pattern("x/*".into()));
    assert!(app.warnings.is_empty());
}

#[test]
fn the_manifests_of_the_project_are_accepted() {
    for name in ["spin.toml", "subscriber.toml"] {
        Manifest::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)).unwrap();
    }
}

#[test]
fn unknown_keys_are_named_with_their_line() {
    refused("version = \"1.2.3\"", "verison = \"1\"", &["dir/spin.toml", "line 6", "verison"]);
    refused("channel = \"c\"", "chanel = \"c\"", &["chanel", "line"]);
    refused("watch = [\"src\"]", "wotch = []", &["wotch"]);
    refused("[[trigger.redis]]", "[[trigger.sqs]]", &["sqs"]);
    refused("secret = true", "sekret = true", &["sekret"]);
}

#[test]
fn references_must_lead_somewhere() {
    refused(
        "component = \"front-end\"",
        "component = \"backend\"",
        &["trigger.http number 1", "\"backend\""],
    );
    refused(
        "token = \"{{ token }}\"",
        "token = \"{{ tokn }}\"",
        &["front-end", "variables.token", "\"tokn\""],
    );
    refused("https://{{ token }}", "https://{{ tokn }}", &["allowed_outbound_hosts", "tokn"]);
    refused("address = \"{{ redis_url }}\"", "address = \"\"", &["trigger.redis number 1", "address"]);
}

#[test]
fn contradictions_are_refused() {
    refused("spin_manifest_version = 2", "spin_manifest_version = 1", &["expected 2", "found 1"]);
    refused("required = true", "required = true, default = \"\"", &["variables.token", "both"]);
    refused("{ required = true }", "{ secret = true }", &["variables.token", "neither"]);
    refused("private = true", "private = false", &["trigger.http number 3", "private"]);
    refused("static_response = {", "component = \"front-end\"\nstatic_response = {", &["\"robots\"", "both"]);
    refused("status_code = 204", "status_code = 99", &["\"robots\"", "static_response"]);
    refused("token = { required", "Token = { required", &["variables", "\"Token\""]);
    refused("redis://127.0.0.1:6379", "redis://127.0.0.1:6379/3", &["allowed_outbound_hosts", "path"]);
    refused(
        "[component.front-end]",
        "[component.front_end]\nsource=\"b\"\n[component.front-end]",
        &["front_end"],
    );
}

#[test]
fn what_spin_has_and_this_host_lacks_is_said() {
    refused("\"a.wasm\"", "{ url = \"u\", digest = \"d\" }", &["source", "path"]);
    refused(
        "component = \"front-end\"",
        "component = \"front-end\"\ndependencies.middleware = [{ component = \"m\" }]",
        &["dependencies"],
    );
    refused(
        "component = \"front-end\"",
        "component = \"front-end\"\nexecutor = { type = \"wagi\" }",
        &["wagi"],
    );
    let text = APP.replace("source = \"a.wasm\"", "source = \"a.wasm\"\nkey_value_stores = [\"default\"]");
    assert_eq!(parse(&text).unwrap().warnings.len(), 1);
}
