//! The results for tools, formatted by hand: they are numbers and plain names.

use super::cell::Cell;

/// Formats `{"cells": [...]}`.
pub(super) fn document(cells: &[Cell]) -> String {
    let rows: Vec<String> = cells.iter().map(row).collect();
    format!("{{\"cells\": [\n{}\n]}}\n", rows.join(",\n"))
}

fn row(cell: &Cell) -> String {
    let (plan, sample) = (cell.plan, &cell.sample);
    format!(
        "  {{\"host\": \"{}\", \"request\": \"{}\", \"body_kb\": {}, \"connections\": {}, \"requests\": {}, \
         \"requests_per_second\": {:.1}, \"p50_ms\": {:.3}, \"p99_ms\": {:.3}, \"over_35_ms\": {:.4}, \"wrong\": {}}}",
        cell.host.replace(['"', '\\'], ""),
        plan.what.name(),
        plan.kilobytes,
        plan.connections,
        sample.requests,
        sample.throughput,
        sample.p50.as_secs_f64() * 1000.0,
        sample.p99.as_secs_f64() * 1000.0,
        sample.stepped,
        sample.wrong,
    )
}

#[cfg(test)]
mod tests {
    use super::super::cell::{Plan, What};
    use super::super::stats::Sample;
    use super::*;

    #[test]
    fn names_cannot_break_it() {
        let plan = Plan { what: What::Hit, kilobytes: 20, connections: 32 };
        let cell = Cell { host: "spin \"4\"".to_owned(), plan, sample: Sample::default() };
        let text = document(&[cell]);
        assert!(text.contains("\"host\": \"spin 4\", \"request\": \"hit\", \"body_kb\": 20"), "{text}");
    }
}
