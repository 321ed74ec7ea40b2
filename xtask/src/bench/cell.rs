//! The cells of a measurement: each is one kind of request, one size of body, one number of connections.

use std::fmt;

use super::stats::Sample;

/// Kinds of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// Answered by the empty handler: the cost of the host itself.
    Empty,
    /// The minimum for any hit: one value of 1 KB from Redis under a deadline, and fields both ways.
    Get,
    /// Answered from Redis.
    Hit,
    /// The same through the middleware in front of another component.
    MiddlewareHit,
    /// Fetched and stored, a new URL each time.
    Miss,
    /// Fetched each time, never stored.
    Pass,
}

impl What {
    /// Returns the name for tables and files.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Get => "bare hit",
            Self::Hit => "hit",
            Self::MiddlewareHit => "hit by middleware",
            Self::Miss => "miss",
            Self::Pass => "pass-through",
        }
    }
}

/// A cell to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) what: What,
    /// The size of the body; for an empty cell, that of the others with which it is compared.
    pub(super) kilobytes: usize,
    pub(super) connections: usize,
}

impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.connections == 1 { "" } else { "s" };
        match self.what {
            What::Empty => write!(out, "empty, {} connection{plural}", self.connections),
            what => {
                write!(out, "{}, {} KB, {} connection{plural}", what.name(), self.kilobytes, self.connections)
            }
        }
    }
}

/// A measured cell.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    pub(super) host: String,
    pub(super) plan: Plan,
    pub(super) sample: Sample,
}

/// Returns all cells, each group with its own empty handler, so that a machine that gets slower does not distort ratios.
pub(super) fn cells() -> impl Iterator<Item = Plan> {
    let groups =
        [1, 20, 200].into_iter().flat_map(|kilobytes| [1, 32].map(|connections| (kilobytes, connections)));
    groups.flat_map(|(kilobytes, connections)| {
        // A stored body costs the middleware as much as the gateway, whatever its size.
        let kinds: &[What] = match kilobytes {
            1 => &[What::Empty, What::Get, What::Hit, What::MiddlewareHit, What::Miss, What::Pass],
            _ => &[What::Empty, What::Hit, What::Miss, What::Pass],
        };
        kinds.iter().map(move |&what| Plan { what, kilobytes, connections })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_has_its_empty_handler() {
        let all: Vec<Plan> = cells().collect();
        assert_eq!(all.len(), 28);
        let groups: Vec<_> = all.chunk_by(|_, next| next.what != What::Empty).collect();
        assert!(groups.iter().all(|group| group.first().is_some_and(|first| first.what == What::Empty)));
        assert_eq!(groups.iter().map(|group| group.len()).collect::<Vec<_>>(), [6, 6, 4, 4, 4, 4]);
        assert_eq!(all[2].to_string(), "hit, 1 KB, 1 connection");
        assert_eq!(all[6].to_string(), "empty, 32 connections");
    }
}
