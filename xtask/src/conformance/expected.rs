//! The list of tests that are known to fail, each with its reason.
//!
//! It is a TOML file with nothing but tables and strings, so that a few lines can parse it:
//!
//! ```toml
//! [every]             # or the name of a profile
//! test-id = "why it does not pass"
//! ```

use std::collections::BTreeMap;

use super::results::Results;
use crate::failure::{Result, fail};

/// The table that applies to every profile.
const EVERY: &str = "every";

/// The reasons, by test.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Expected(BTreeMap<String, String>);

impl Expected {
    /// Parses `text`, the content of `file`, for `profile`.
    pub(super) fn parse(text: &str, file: &str, profiles: &[&str], profile: &str) -> Result<Self> {
        let mut expected = BTreeMap::new();
        let mut table = "";
        for (number, line) in text.lines().enumerate() {
            let place = || format!("{file}:{}", number + 1);
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                if name != EVERY && !profiles.contains(&name) {
                    return fail(format!("{}: expected [{EVERY}] or a profile, found [{name}]", place()));
                }
                table = name;
                continue;
            }
            let Some((id, reason)) = entry(line) else {
                return fail(format!("{}: expected test-id = \"reason\", found {line}", place()));
            };
            let here = table == EVERY || table == profile;
            if here && expected.insert(id.to_owned(), reason.to_owned()).is_some() {
                return fail(format!("{}: {id} is listed twice for the profile {profile}", place()));
            }
        }
        Ok(Self(expected))
    }

    /// Describes every difference to the actual results.
    pub(super) fn differences(&self, results: &Results) -> Vec<String> {
        let unexpected = results.failing().filter(|test| !self.0.contains_key(&test.id)).map(|test| {
            format!(
                "{} ({}) does not pass and is not listed: {}",
                test.id,
                test.kind.name(),
                results.outcome(test)
            )
        });
        let failing: Vec<&str> = results.failing().map(|test| test.id.as_str()).collect();
        let listed = self.0.keys().filter(|id| !failing.contains(&id.as_str())).map(|id| {
            let what = if results.has(id) { "passes" } else { "is not a test of this suite" };
            format!("{id} {what}, and is listed as one that does not pass")
        });
        unexpected.chain(listed).collect()
    }

    /// Returns why a test does not pass.
    pub(super) fn reason(&self, id: &str) -> Option<&str> {
        self.0.get(id).map(String::as_str)
    }
}

/// Parses `id = "reason"`; an id that is not a bare key is quoted.
fn entry(line: &str) -> Option<(&str, &str)> {
    let (id, reason) = line.split_once(" = ")?;
    let id = id.strip_prefix('"').map_or(Some(id), |rest| rest.strip_suffix('"'))?;
    let reason = reason.strip_prefix('"')?.strip_suffix('"')?;
    (!id.is_empty() && !reason.is_empty() && !reason.contains('"')).then_some((id, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILES: [&str; 2] = ["default", "conformance"];

    fn parse(text: &str, profile: &str) -> Result<Expected> {
        Expected::parse(text, "f.toml", &PROFILES, profile)
    }

    #[test]
    fn a_profile_has_its_own_list_and_that_of_all() {
        let text =
            "# why\n[every]\na = \"one\"\n\n[default]\n\"b=2\" = \"two\"\n[conformance]\nc = \"three\"\n";
        let default = parse(text, "default").unwrap();
        assert_eq!(
            (default.reason("a"), default.reason("b=2"), default.reason("c")),
            (Some("one"), Some("two"), None)
        );
        assert_eq!(parse(text, "conformance").unwrap().reason("c"), Some("three"));
    }

    #[test]
    fn what_cannot_be_read_is_said_with_its_place() {
        for (text, part) in [
            ("[every]\na", "f.toml:2: expected test-id"),
            ("[other]", "f.toml:1: expected [every] or a profile, found [other]"),
            ("[every]\na = \"\"", "f.toml:2: expected test-id"),
            ("[every]\na = \"x\"\n[default]\na = \"y\"", "f.toml:4: a is listed twice"),
        ] {
            let failure = parse(text, "default").unwrap_err().to_string();
            assert!(failure.contains(part), "{failure}");
        }
    }

    #[test]
    fn a_difference_either_way_is_found() {
        let results = Results::parse(
            "result\ts\ta\trequired\t\t\t\nresult\ts\tb\tcheck\t\tAssertion\tno\nresult\ts\tc\trequired\t\tSetup\tx\n",
        )
        .unwrap();
        let expected = parse("[every]\na = \"x\"\nc = \"y\"\nd = \"z\"", "default").unwrap();
        assert_eq!(
            expected.differences(&results),
            [
                "b (check) does not pass and is not listed: Assertion: no",
                "a passes, and is listed as one that does not pass",
                "d is not a test of this suite, and is listed as one that does not pass",
            ]
        );
    }
}
