//! The table of results, and the verdict on the targets.

use std::fmt::Write;
use std::time::Duration;

use super::cell::{Cell, What};
use super::stats::STEP;

/// The target for a hit of 1 KB: this part of the empty handler's throughput.
const THROUGHPUT: f64 = 0.7;
/// The target for a hit of 1 KB: at most this many times the empty handler's p50.
const LATENCY: f64 = 2.0;

/// Formats everything as Markdown.
pub(super) fn markdown(cells: &[Cell]) -> String {
    let mut hosts: Vec<&str> = cells.iter().map(|cell| cell.host.as_str()).collect();
    hosts.dedup();
    let sections = hosts.iter().map(|host| {
        let of_host: Vec<&Cell> = cells.iter().filter(|cell| cell.host == *host).collect();
        format!("### On {host}\n\n{}\n{}", table(&of_host), verdict(&of_host))
    });
    sections.collect::<Vec<_>>().join("\n")
}

fn table(cells: &[&Cell]) -> String {
    let mut text =
        "| request | body | connections | requests/s | of empty | p50 | of empty | p99 | over 35 ms |\n\
                    |---|--:|--:|--:|--:|--:|--:|--:|--:|\n"
            .to_owned();
    for cell in cells {
        let (plan, sample) = (cell.plan, &cell.sample);
        let body = if plan.what == What::Empty { "-".to_owned() } else { format!("{} KB", plan.kilobytes) };
        let compared = Compared::new(cells, cell);
        let _ = writeln!(
            text,
            "| {} | {body} | {} | {:.0} | {:.2} | {} | {:.1} | {} | {:.1} % |",
            plan.what.name(),
            plan.connections,
            sample.throughput,
            compared.throughput,
            milliseconds(sample.p50),
            compared.latency,
            milliseconds(sample.p99),
            sample.stepped * 100.0,
        );
    }
    text
}

/// A cell as multiples of another one that was measured beside it.
struct Compared {
    throughput: f64,
    latency: f64,
}

impl Compared {
    /// Compares with the empty handler.
    fn new(cells: &[&Cell], cell: &Cell) -> Self {
        Self::with(What::Empty, cells, cell)
    }

    fn with(what: What, cells: &[&Cell], cell: &Cell) -> Self {
        let beside = |other: &&&Cell| {
            let (ours, theirs) = (cell.plan, other.plan);
            theirs.what == what
                && (theirs.kilobytes, theirs.connections) == (ours.kilobytes, ours.connections)
        };
        let other = cells.iter().find(beside).map(|other| other.sample.clone()).unwrap_or_default();
        Self {
            throughput: ratio(cell.sample.throughput, other.throughput),
            latency: ratio(cell.sample.p50.as_secs_f64(), other.p50.as_secs_f64()),
        }
    }
}

fn ratio(ours: f64, theirs: f64) -> f64 {
    if theirs > 0.0 { ours / theirs } else { 0.0 }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}

/// Says for each target whether it is met.
fn verdict(cells: &[&Cell]) -> String {
    let small: Vec<&&Cell> =
        cells.iter().filter(|c| c.plan.what == What::Hit && c.plan.kilobytes == 1).collect();
    let mut text = "Targets:\n".to_owned();
    for cell in small {
        let compared = Compared::new(cells, cell);
        let with = format!("{} connection(s)", cell.plan.connections);
        let (throughput, latency) = (compared.throughput, compared.latency);
        let _ = writeln!(
            text,
            "- a hit of 1 KB, {with}: {throughput:.2} of the empty handler's throughput, at least {THROUGHPUT} wanted: {}\n\
             - a hit of 1 KB, {with}: p50 {latency:.2} times the empty handler's, at most {LATENCY} wanted: {}",
            met(throughput >= THROUGHPUT),
            met(latency <= LATENCY),
        );
        let bare = Compared::with(What::Get, cells, cell);
        let _ = writeln!(
            text,
            "  (compared to the bare hit, the least work of any hit: {:.2} of its throughput, p50 {:.2} \
             times its p50)",
            bare.throughput, bare.latency,
        );
    }
    let steps: Vec<String> =
        cells.iter().filter(|cell| has_step(cell)).map(|cell| cell.plan.to_string()).collect();
    let found = if steps.is_empty() { String::new() } else { format!(" (found: {})", steps.join("; ")) };
    let _ =
        writeln!(text, "- no 40 ms step on one connection, of any size: {}{found}", met(steps.is_empty()));
    text
}

/// With one connection nothing queues, and only a timer delays one response in a hundred that long.
fn has_step(cell: &Cell) -> bool {
    cell.plan.connections == 1 && cell.sample.p99 > STEP
}

fn met(is_met: bool) -> &'static str {
    if is_met { "met" } else { "NOT met" }
}

#[cfg(test)]
mod tests {
    use super::super::cell::Plan;
    use super::super::stats::Sample;
    use super::*;

    fn cell(what: What, throughput: f64, p50: u64, p99: u64) -> Cell {
        let (p50, p99) = (Duration::from_millis(p50), Duration::from_millis(p99));
        let sample = Sample { throughput, p50, p99, ..Sample::default() };
        Cell { host: "h".to_owned(), plan: Plan { what, kilobytes: 1, connections: 1 }, sample }
    }

    #[test]
    fn ratios_are_to_the_empty_handler() {
        let text = markdown(&[cell(What::Empty, 1000.0, 2, 3), cell(What::Hit, 750.0, 3, 4)]);
        assert!(text.contains("| hit | 1 KB | 1 | 750 | 0.75 | 3.00 ms | 1.5 | 4.00 ms | 0.0 % |"), "{text}");
        assert!(!text.contains("NOT met"), "{text}");
    }

    #[test]
    fn missed_targets_are_said() {
        let text = markdown(&[cell(What::Empty, 1000.0, 2, 3), cell(What::Hit, 22.0, 44, 45)]);
        assert_eq!(text.matches("NOT met").count(), 3, "{text}");
        assert!(text.contains("(found: hit, 1 KB, 1 connection)"), "{text}");
    }
}
