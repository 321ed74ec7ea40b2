//! Checks that every dependency has a licence that deny.toml allows, and comes from the registry. This takes a
//! second and requires no tools; cargo-deny, if it is installed, checks the same more thoroughly.

use std::collections::BTreeSet;
use std::fs;

use crate::console::say;
use crate::failure::{Context, Result, fail};
use crate::process;
use crate::workspace::Workspace;

/// Fails with the list of everything that is not allowed.
pub(super) fn check(workspace: &Workspace) -> Result<()> {
    let deny = fs::read_to_string(workspace.path("deny.toml")).cannot("read deny.toml")?;
    let rules = Rules::read(&deny);
    if rules.allowed.is_empty() {
        return fail("deny.toml: expected a list `allow` in [licenses], found none");
    }
    let mut tree = workspace.cargo();
    tree.args(["tree", "--workspace", "--target", "all", "--edges", "normal,build,dev", "--prefix", "none"]);
    tree.args(["--locked", "--format", "{l}|{p}"]);
    let packages = process::text(&mut tree, "cargo tree")?;
    let rows: BTreeSet<&str> = packages.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    let mut wrong: Vec<String> = rows.iter().filter_map(|row| complaint(row, &rules)).collect();
    let lock = fs::read_to_string(workspace.path("Cargo.lock")).cannot("read Cargo.lock")?;
    wrong.extend(other_sources(&lock).map(|source| format!("{source} is not the crates.io registry")));
    if wrong.is_empty() {
        say("licences", format_args!("{} packages, all allowed by deny.toml", rows.len()));
        return Ok(());
    }
    fail(format!("not allowed by deny.toml:\n  {}", wrong.join("\n  ")))
}

/// The section `[licenses]` of deny.toml.
#[derive(Debug, PartialEq, Eq)]
struct Rules<'a> {
    /// The strings in `allow = [...]`, one per line.
    allowed: Vec<&'a str>,
    /// Crates and licences in `exceptions = [...]`: `{ crate = "name", allow = ["MPL-2.0"] }`, one per line.
    exceptions: Vec<Vec<&'a str>>,
}

impl<'a> Rules<'a> {
    fn read(deny: &'a str) -> Self {
        let section = deny.split("[licenses]").nth(1).unwrap_or_default();
        let section = section.split("\n[").next().unwrap_or_default();
        let list = |name: &str| {
            let text = section.split(name).nth(1).unwrap_or_default();
            let lines = text.split("\n]").next().unwrap_or_default().lines();
            lines
                .filter(|line| !line.trim_start().starts_with('#'))
                .map(strings)
                .filter(|line| !line.is_empty())
        };
        Self {
            allowed: list("\nallow = [").flatten().collect(),
            exceptions: list("\nexceptions = [").collect(),
        }
    }

    /// Returns the licences that are allowed for this crate.
    fn of(&self, name: &str) -> Vec<&'a str> {
        let own = self.exceptions.iter().filter(|exception| exception[0] == name).flatten();
        self.allowed.iter().chain(own).copied().collect()
    }
}

fn strings(line: &str) -> Vec<&str> {
    line.split('"').skip(1).step_by(2).collect()
}

/// Checks a row like `MIT OR Apache-2.0|bytes v1.12.1`.
fn complaint(row: &str, rules: &Rules<'_>) -> Option<String> {
    let (licence, package) = row.split_once('|')?;
    let name = package.split(' ').next().unwrap_or(package);
    if licence.is_empty() {
        return Some(format!("{name}: declares no licence"));
    }
    (!is_allowed(licence, &rules.of(name))).then(|| format!("{name}: {licence}"))
}

/// Evaluates an SPDX expression of OR, AND and parentheses. `/` is an obsolete notation for OR.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let spaced = spaced.replace(" WITH ", "_WITH_");
    let mut words = spaced.split_whitespace().peekable();
    let holds = either(&mut words, allowed);
    holds && words.next().is_none()
}

type Words<'a, 'b> = &'a mut std::iter::Peekable<std::str::SplitWhitespace<'b>>;

fn either(words: Words<'_, '_>, allowed: &[&str]) -> bool {
    let mut holds = both(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        holds |= both(words, allowed);
    }
    holds
}

fn both(words: Words<'_, '_>, allowed: &[&str]) -> bool {
    let mut holds = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        holds &= one(words, allowed);
    }
    holds
}

fn one(words: Words<'_, '_>, allowed: &[&str]) -> bool {
    match words.next() {
        Some("(") => {
            let holds = either(words, allowed);
            words.next_if_eq(&")").is_some() && holds
        }
        // `MPL-2.0+`: that version or a later one, at the user's choice.
        Some(licence) => {
            allowed.contains(&licence.trim_end_matches('+').replace("_WITH_", " WITH ").as_str())
        }
        None => false,
    }
}

/// Returns the sources in Cargo.lock that are not a registry: git, most likely.
fn other_sources(lock: &str) -> impl Iterator<Item = &str> {
    let sources = lock.lines().filter_map(|line| line.strip_prefix("source = "));
    sources.map(|source| source.trim_matches('"')).filter(|source| !source.starts_with("registry+"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: [&str; 3] = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"];

    #[test]
    fn expressions_are_read_as_spdx_means_them() {
        for licence in
            ["MIT", "GPL-3.0 OR MIT", "MIT/GPL-3.0", "MIT+", "(MIT OR X) AND Apache-2.0", "X AND X OR MIT"]
        {
            assert!(is_allowed(licence, &ALLOWED), "{licence}");
        }
        assert!(is_allowed("Apache-2.0 WITH LLVM-exception", &ALLOWED));
        for licence in
            ["GPL-3.0", "MIT AND GPL-3.0", "MIT AND (X OR GPL-3.0)", "MIT WITH X", "(MIT", "MIT MIT"]
        {
            assert!(!is_allowed(licence, &ALLOWED), "{licence}");
        }
    }

    #[test]
    fn reads_deny_toml_and_the_lock_file() {
        let deny = "[licenses]\nallow = [\n  \"MIT\",\n  # \"X\"\n  \"ISC\", # why\n]\nexceptions = [\n  \
                    { crate = \"a\", allow = [\"MPL-2.0\"] },\n]\n[bans]\nallow = [\n  \"no\"\n]\n";
        let rules = Rules::read(deny);
        assert_eq!(rules.allowed, ["MIT", "ISC"]);
        assert_eq!(complaint("MPL-2.0|a v1.0.0", &rules), None);
        assert_eq!(complaint("MPL-2.0|b v1.0.0", &rules).as_deref(), Some("b: MPL-2.0"));
        assert_eq!(complaint("|b v1.0.0", &rules).as_deref(), Some("b: declares no licence"));
        let lock = "source = \"registry+https://x\"\nsource = \"git+https://y\"\n";
        assert_eq!(other_sources(lock).collect::<Vec<_>>(), ["git+https://y"]);
    }
}
