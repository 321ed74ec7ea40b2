//! Every test named in the list of attacks exists.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The names of all functions below a directory, each prefixed with the name of its file.
fn functions(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let file = path.file_stem().unwrap().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let names =
                text.lines().filter_map(|line| line.trim_start().strip_prefix("fn ")?.split('(').next());
            found.extend(names.map(|name| format!("{file}::{name}")));
        }
    }
}

#[test]
fn every_test_that_the_list_of_attacks_names_is_there_and_all_42_have_one() {
    let text = std::fs::read_to_string(root().join("docs/security.md")).unwrap();
    let mut found = BTreeSet::new();
    for directory in ["tests/native", "tests/e2e/tests", "src"] {
        functions(&root().join(directory), &mut found);
    }
    let rows: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split(" | ").collect::<Vec<_>>())
        .filter(|cells| cells.len() == 4 && cells[0].trim_start_matches("| ").parse::<u32>().is_ok())
        .collect();
    let numbers: Vec<u32> = rows.iter().map(|row| row[0].trim_start_matches("| ").parse().unwrap()).collect();
    assert_eq!(numbers, (1..=42).collect::<Vec<_>>());
    for row in rows {
        let named: Vec<&str> = row[3].split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "{row:?}");
        let missing: Vec<_> = named.iter().filter(|name| !found.contains(**name)).collect();
        assert!(missing.is_empty(), "no such tests: {missing:?}");
    }
    let listed = |name: &&String| text.contains(&format!("`{name}`"));
    let files = ["admin", "flood", "framing", "keys", "poisoning", "private", "stored"];
    let mut attacks = BTreeSet::new();
    functions(&root().join("tests/native/attacks"), &mut attacks);
    let is_test =
        |name: &&String| files.iter().any(|file| name.starts_with(&format!("{file}::"))) && name.len() > 30;
    let unlisted: Vec<_> = attacks.iter().filter(is_test).filter(|name| !listed(name)).collect();
    assert!(unlisted.is_empty(), "in no row: {unlisted:?}");
}
