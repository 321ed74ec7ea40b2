//! The results of the tests, and how they count: a test counts only if all tests on which it depends pass.

use std::collections::BTreeMap;
use std::fmt;

use crate::failure::{Result, fail};

/// The purpose of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The RFC requires it.
    Required,
    /// A cache that passes it answers more from the store.
    Optimal,
    /// It is a question, to which either answer may be right.
    Check,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Required, Self::Optimal, Self::Check];

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == text)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Optimal => "optimal",
            Self::Check => "check",
        }
    }
}

/// One test, as the suite ran it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Test {
    pub(super) suite: String,
    pub(super) id: String,
    pub(super) kind: Kind,
    depends_on: Vec<String>,
    /// The name of the error, and its message; `None` if it passed by itself.
    error: Option<(String, String)>,
}

impl Test {
    /// Parses a line of `run.mjs`.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.strip_prefix("result\t")?.split('\t');
        let mut next = || fields.next();
        let (suite, id, kind) = (next()?.to_owned(), next()?.to_owned(), Kind::parse(next()?)?);
        let depends_on = next()?.split(' ').filter(|id| !id.is_empty()).map(str::to_owned).collect();
        let (name, message) = (next()?.to_owned(), next()?.to_owned());
        let error = (!name.is_empty()).then_some((name, message));
        Some(Self { suite, id, kind, depends_on, error })
    }
}

/// How a test counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It passed, and so did all tests on which it depends.
    Pass,
    /// It did not pass, for this reason.
    Fail(String),
    /// This test, on which it depends, did not pass.
    Dependency(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => out.write_str("pass"),
            Self::Fail(why) => out.write_str(why),
            Self::Dependency(id) => write!(out, "depends on {id}"),
        }
    }
}

/// The results of a whole run.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub(super) tests: Vec<Test>,
    by_id: BTreeMap<String, usize>,
}

impl Results {
    /// Parses the output of `run.mjs`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().filter(|line| line.starts_with("result\t"));
        let mut results = Self::default();
        for line in lines {
            let Some(test) = Test::parse(line) else {
                return fail(format!(
                    "expected suite, id, kind, dependencies, error and message, found {line:?}"
                ));
            };
            results.by_id.insert(test.id.clone(), results.tests.len());
            results.tests.push(test);
        }
        if results.tests.is_empty() {
            return fail("expected results of the suite, found none");
        }
        Ok(results)
    }

    /// Returns how `test` counts. A test that was not run counts as not passed.
    pub(super) fn outcome(&self, test: &Test) -> Outcome {
        let missing = |id: &&String| {
            self.by_id.get(*id).is_none_or(|at| self.outcome(&self.tests[*at]) != Outcome::Pass)
        };
        if let Some(id) = test.depends_on.iter().find(missing) {
            return Outcome::Dependency(id.clone());
        }
        match &test.error {
            None => Outcome::Pass,
            Some((name, message)) => Outcome::Fail(format!("{name}: {message}")),
        }
    }

    /// Returns all tests that did not pass.
    pub(super) fn failing(&self) -> impl Iterator<Item = &Test> {
        self.tests.iter().filter(|test| self.outcome(test) != Outcome::Pass)
    }

    /// Returns whether there is a test with this id.
    pub(super) fn has(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    /// Returns how many tests of a kind pass, and how many there are, in one suite or in all.
    pub(super) fn count(&self, kind: Kind, suite: Option<&str>) -> (usize, usize) {
        let of = self
            .tests
            .iter()
            .filter(|test| test.kind == kind && suite.is_none_or(|suite| suite == test.suite));
        of.fold((0, 0), |(passed, all), test| {
            (passed + usize::from(self.outcome(test) == Outcome::Pass), all + 1)
        })
    }

    /// Returns the suites, in order.
    pub(super) fn suites(&self) -> Vec<&str> {
        let mut suites: Vec<&str> = self.tests.iter().map(|test| test.suite.as_str()).collect();
        suites.dedup();
        suites
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "noise\n\
        result\ta\tone\trequired\t\t\t\n\
        result\ta\ttwo\toptimal\tone\tAssertion\tResponse 2 does not come from cache\n\
        result\tb\tthree\trequired\ttwo one\t\t\n\
        result\tb\tfour\tcheck\tthree\t\t\n\
        result\tb\tfive\trequired\tnobody\t\t\n";

    #[test]
    fn a_test_counts_only_if_what_it_depends_on_passes() {
        let results = Results::parse(TEXT).unwrap();
        let outcomes: Vec<String> =
            results.tests.iter().map(|test| results.outcome(test).to_string()).collect();
        assert_eq!(
            outcomes,
            [
                "pass",
                "Assertion: Response 2 does not come from cache",
                "depends on two",
                "depends on three",
                "depends on nobody"
            ]
        );
        assert_eq!(results.count(Kind::Required, None), (1, 3));
        assert_eq!(results.count(Kind::Required, Some("b")), (0, 2));
        assert_eq!(results.suites(), ["a", "b"]);
    }

    #[test]
    fn no_results_and_broken_lines_are_failures() {
        assert!(Results::parse("nothing").is_err());
        assert!(Results::parse("result\ta\tone\tstrange\t\t\t").is_err());
    }
}
