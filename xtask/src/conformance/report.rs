//! The results for people: a table by suite, and every test that does not pass.

use std::fmt::Write;

use super::expected::Expected;
use super::results::{Kind, Results};

/// Formats everything about one run as Markdown.
pub(super) fn markdown(title: &str, results: &Results, expected: &Expected) -> String {
    let mut text = format!("### {title}\n\n| suite | required | optimal | check |\n|---|--:|--:|--:|\n");
    for suite in results.suites() {
        let _ = writeln!(text, "| {suite} |{} |", cells(results, Some(suite)));
    }
    let _ = writeln!(text, "| **all** |{} |\n", cells(results, None));
    for kind in Kind::ALL {
        let what = if kind == Kind::Check { "answered no" } else { "not passed" };
        let failing: Vec<_> = results.failing().filter(|test| test.kind == kind).collect();
        let _ = writeln!(text, "{}, {what}: {}\n", kind.name(), failing.len());
        for test in &failing {
            let reason = expected.reason(&test.id).unwrap_or("NOT LISTED");
            let _ = writeln!(text, "- {}: {reason} ({})", test.id, results.outcome(test));
        }
        text.push_str(if failing.is_empty() { "" } else { "\n" });
    }
    text
}

fn cells(results: &Results, suite: Option<&str>) -> String {
    let cell = |kind| match results.count(kind, suite) {
        (_, 0) => " -".to_owned(),
        (passed, all) => format!(" {passed} / {all}"),
    };
    Kind::ALL.map(cell).join(" |")
}

/// Formats `required 138/165, optimal 74/95, check 41/90`.
pub(super) fn line(results: &Results) -> String {
    let parts = Kind::ALL.map(|kind| {
        let (passed, all) = results.count(kind, None);
        format!("{} {passed}/{all}", kind.name())
    });
    parts.join(", ")
}
