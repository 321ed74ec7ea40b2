use crate::manifest::{Capability, FilesMount, Manifest, Route};
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
    let examples = ["cache-aside", "middleware", "nightly", "rate-limit", "thumbnails"];
    let examples = examples.map(|name| format!("examples/{name}/spin.toml"));
    for name in ["spin.toml", "subscriber.toml"].map(str::to_owned).iter().chain(&examples) {
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
    refused("token = { required", "a_1 = { required", &["variables", "\"a_1\""]);
    refused("token = \"{{ token", "a_1 = \"{{ token", &["front-end", "variables", "\"a_1\""]);
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
    refused("source = \"a.wasm\"", "source = \"a.wasm\"\ndependencies = { x = \"1\" }", &["dependencies"]);
    refused(
        "component = \"front-end\"",
        "component = \"front-end\"\nexecutor = { type = \"wagi\" }",
        &["wagi"],
    );
    let text = APP.replace("source = \"a.wasm\"", "source = \"a.wasm\"\nkey_value_stores = [\"default\"]");
    assert_eq!(parse(&text).unwrap().warnings.len(), 1);
}

#[test]
fn a_route_that_a_later_trigger_takes_over_is_said() {
    let again =
        "[[trigger.http]]\nroute = \"/robots.txt\"\ncomponent = \"front-end\"\n\n[[trigger.http]]\nroute = {";
    let warnings = parse(&APP.replace("[[trigger.http]]\nroute = {", again)).unwrap().warnings;
    assert_eq!(
        warnings,
        ["trigger.http \"robots\": route \"/robots.txt\": never used, because a later trigger has the \
             same route"]
    );
}

#[test]
fn a_route_that_the_host_answers_itself_is_said() {
    for route in ["/.well-known/spin/health", ".well-known/spin/..."] {
        let warnings = parse(&APP.replace("/robots.txt", route)).unwrap().warnings;
        assert!(warnings.len() == 1 && warnings[0].contains("never used, the host answers"), "{warnings:?}");
    }
    assert!(parse(&APP.replace("/robots.txt", "/.well-known/...")).unwrap().warnings.is_empty());
}

/// The app with this `dependencies.middleware` before its first component, and with a component for it.
fn behind(middleware: &str) -> String {
    let trigger = format!("component = \"front-end\"\ndependencies.middleware = {middleware}");
    let text = APP.replacen("component = \"front-end\"", &trigger, 1);
    text + "[component.cache]\nsource = \"cache.wasm\"\n"
}

#[test]
fn middleware_is_read_in_both_forms_and_in_its_order() {
    let app = parse(&behind(
        r#"[
            { component = "cache", inherit_configuration = ["variables", "files"] },
            { path = "auth.wasm", inherit_configuration = true },
            { component = "cache" },
            { component = "cache", inherit_configuration = false },
        ]"#,
    ))
    .unwrap();
    let read = &app.http[0].middleware;
    let sources: Vec<_> = read.iter().map(|it| (it.name.as_str(), it.source.as_str())).collect();
    assert_eq!(sources[..2], [("cache", "cache.wasm"), ("auth.wasm", "auth.wasm")]);
    assert_eq!(read[0].inherits, [Capability::Files, Capability::Variables].into());
    assert_eq!(read[1].inherits.len(), Capability::ALL.len());
    assert!(read[2].inherits.is_empty() && read[3].inherits.is_empty());
    assert!(app.http[2].middleware.is_empty(), "of its own trigger alone");
}

#[test]
fn mistakes_in_middleware_are_said_with_their_place() {
    for (middleware, expected) in [
        ("[{ component = \"cash\" }]", "expected the id of a [component.*], found \"cash\""),
        ("[{}]", "expected `component` or `path`, found neither"),
        ("[{ component = \"cache\", path = \"a.wasm\" }]", "found both"),
        ("[{ url = \"https://h/a.wasm\", digest = \"sha256:0\" }]", "found `url`"),
        ("[{ package = \"a:b\", version = \"1\" }]", "found `package`"),
        ("[{ component = \"cache\", inherit_configuration = [\"variable\"] }]", "found \"variable\""),
        ("[{ component = \"front-end\" }]", "environment, files, variables"),
    ] {
        let message = parse(&behind(middleware)).unwrap_err();
        let place = "trigger.http number 1: dependencies.middleware: ";
        assert!(message.contains(place) && message.contains(expected), "{middleware}: {message}");
    }
    let unknown = parse(&behind("[{ component = \"cache\", inherit = true }]")).unwrap_err();
    assert!(unknown.contains("unknown field `inherit`"), "{unknown}");
    let word = parse(&behind("[{ component = \"cache\", inherit_configuration = \"all\" }]")).unwrap_err();
    assert!(word.contains("expected true, false or a list of names"), "{word}");
    let other = behind("[]").replacen("dependencies.middleware", "dependencies.after", 1);
    assert!(parse(&other).unwrap_err().contains("unknown field `after`"));
    let fixed = APP.replacen(
        "static_response = {",
        "dependencies.middleware = [{ path = \"a.wasm\" }]\nstatic_response = {",
        1,
    );
    assert!(
        parse(&fixed).unwrap_err().contains("\"robots\": dependencies.middleware: expected a `component`")
    );
}

#[test]
fn the_block_in_the_manual_is_accepted() {
    let manual = include_str!("../../../docs/middleware.md");
    let block = manual.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let app =
        "spin_manifest_version = 2\napplication.name = \"app\"\nvariables.admin_token = { default = \"\" }\n";
    let app = parse(&format!("{app}{block}")).unwrap();
    assert_eq!(app.http[0].middleware[0].inherits.len(), 3);
}
