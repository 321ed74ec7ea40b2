//! The documents list exactly what exists.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a directory with this ending.
fn files(directory: &str, ending: &str) -> Vec<PathBuf> {
    let (mut found, mut left) = (Vec::new(), vec![root().join(directory)]);
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "{directory}");
    found
}

/// A source file without its test module and comments.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let (code, _) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The quoted texts that directly follow one of the markers.
fn quoted_behind<'a>(code: &'a str, markers: &[&str]) -> Vec<&'a str> {
    let behind = markers.iter().flat_map(|marker| code.split(marker).skip(1));
    behind.filter_map(|rest| rest.split_once(['"', '\''])).map(|(text, _)| text).collect()
}

/// The details of `Cache-Status`: each is a word of one of these enums.
fn details() -> BTreeSet<String> {
    let token = |text: &&str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let mut found = BTreeSet::new();
    for file in ["src/field/cache_status/detail.rs", "src/cache/storable/unstorable.rs", "src/redis/error.rs"]
    {
        let code = code(&root().join(file));
        found.extend(quoted_behind(&code, &["=> \""]).into_iter().filter(token).map(str::to_owned));
    }
    found
}

#[test]
fn the_guide_explains_every_detail_of_cache_status() {
    let guide = fs::read_to_string(root().join("docs/guide.md")).unwrap();
    let (_, section) = guide.split_once("## Reading `Cache-Status`").expect("the guide has the section");
    let (section, _) = section.split_once("\n## ").unwrap();
    let details = details();
    for known in ["no-freshness", "redis-timeout", "session-ended", "loop", "rate-limited"] {
        assert!(details.contains(known), "{known} is a detail: does this test still find them? {details:?}");
    }
    let missing: Vec<_> = details.iter().filter(|detail| !section.contains(&format!("`{detail}`"))).collect();
    assert!(missing.is_empty(), "docs/guide.md does not explain {missing:?}");
}

#[test]
fn the_permissions_in_the_manual_have_every_command() {
    let manual = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let (_, rest) = manual.split_once("ACL SETUSER spindrift").expect("the manual has them");
    let (section, _) = rest.split_once("\n### ").unwrap();
    let granted: BTreeSet<&str> =
        section.split([' ', '\n', '`', ',']).filter(|it| it.starts_with('+')).collect();
    let mut used = BTreeSet::new();
    for file in files("src/redis/lua", ".lua") {
        let text = fs::read_to_string(file).unwrap();
        used.extend(
            quoted_behind(&text, &["redis.call('", "redis.call(\""]).into_iter().map(str::to_lowercase),
        );
    }
    for file in files("src", ".rs") {
        let code = code(&file);
        let commands = quoted_behind(&code, &[".call(\"", ".once(\""]);
        used.extend(commands.into_iter().map(str::to_lowercase));
    }
    assert!(used.contains("zadd") && used.contains("mget"), "does this test still find commands? {used:?}");
    let missing: Vec<_> =
        used.iter().filter(|command| !granted.contains(format!("+{command}").as_str())).collect();
    assert!(missing.is_empty(), "docs/operations.md does not grant {missing:?}");
}

/// Headings as links name them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings =
        text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    headings
        .map(|it| it.to_lowercase().chars().filter(|c| kept(*c)).collect::<String>().replace(' ', "-"))
        .collect()
}

#[test]
fn links_between_the_documents_lead_somewhere() {
    let mut all = files("docs", ".md");
    all.extend(["examples", "deploy"].into_iter().flat_map(|directory| files(directory, ".md")));
    all.extend(["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|file| root().join(file)));
    let mut broken = Vec::new();
    for file in &all {
        let text = fs::read_to_string(file).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
        for link in links.filter(|link| !link.contains("://") && !link.contains(' ')) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { file.clone() } else { file.parent().unwrap().join(path) };
            let text = fs::read_to_string(&target).unwrap_or_default();
            if !target.exists() || (!anchor.is_empty() && !anchors(&text).contains(anchor)) {
                broken.push(format!("{}: {link}", file.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_readme_of_the_examples_has_each_of_them() {
    let readme = fs::read_to_string(root().join("examples/README.md")).unwrap();
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(readme.contains(&format!("[{name}]({name})")), "examples/README.md lacks {name}");
            assert!(path.join("README.md").exists(), "examples/{name} has no README.md");
        }
    }
}

/// The names of the variables of a manifest.
fn variables(manifest: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(root().join(manifest)).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    manifest["variables"].as_table().unwrap().keys().cloned().collect()
}

#[test]
fn what_deploys_it_sets_variables_that_there_are() {
    let (gateway, subscriber) = (variables("spin.toml"), variables("subscriber.toml"));
    assert!(subscriber.is_subset(&gateway) && gateway.contains("admin_token"));
    let env = fs::read_to_string(root().join("deploy/systemd/spindrift.env")).unwrap();
    for name in quoted(&env, "SPIN_VARIABLE_", '=') {
        assert!(gateway.contains(&name.to_lowercase()), "spindrift.env: {name}");
    }
    let apps = fs::read_to_string(root().join("deploy/spinkube/spindrift.yaml")).unwrap();
    let apps: Vec<&str> = apps.split("\n---\n").filter(|app| app.contains("kind: SpinApp")).collect();
    assert_eq!(apps.len(), 2);
    for (app, variables) in apps.into_iter().zip([&gateway, &subscriber]) {
        let (_, section) = app.split_once("variables:").expect("each app has some");
        let names = quoted(section, "- { name: ", ',');
        assert!(
            names.contains(&"redis_url") && names.iter().all(|name| variables.contains(*name)),
            "{names:?}"
        );
    }
}

/// Returns the script after `sh -c` as systemd passes it on: it resolves escapes within quotes, then `%%` and `$$`
/// (systemd.service(5)).
fn script_of(unit: &str) -> String {
    let [script] = quoted(unit, "ExecStart=/bin/sh -c '", '\'')[..] else { panic!("one command") };
    let (mut text, mut left) = (String::new(), script.chars());
    while let Some(character) = left.next() {
        text.extend(if character == '\\' { left.next() } else { Some(character) });
    }
    text.replace("%%", "%").replace("$$", "$")
}

#[test]
fn the_timer_of_systemd_ticks_with_the_first_token() {
    let script =
        script_of(&fs::read_to_string(root().join("deploy/systemd/spindrift-tick.service")).unwrap());
    let directory = std::env::temp_dir().join(format!("spindrift-tick-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let curl = directory.join("curl");
    fs::write(&curl, "#!/bin/sh\nexec cat\n").unwrap();
    fs::set_permissions(&curl, fs::Permissions::from_mode(0o755)).unwrap();
    let mut shell = Command::new("/bin/sh");
    let path = format!("{}:/usr/bin:/bin", directory.display());
    shell.args(["-c", &script]).env("PATH", path).env("SPIN_VARIABLE_ADMIN_TOKEN", "first,second");
    let said = shell.output().unwrap();
    fs::remove_dir_all(&directory).unwrap();
    assert_eq!(String::from_utf8(said.stdout).unwrap(), "header = \"authorization: Bearer first\"");
}

/// The texts between `before` and `after`, at every occurrence.
fn quoted<'a>(text: &'a str, before: &str, after: char) -> Vec<&'a str> {
    text.split(before).skip(1).filter_map(|rest| Some(rest.split_once(after)?.0)).collect()
}
