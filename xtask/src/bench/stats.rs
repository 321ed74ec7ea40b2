//! The statistics of one cell.

use std::time::Duration;

/// A response that takes longer than this on an otherwise idle machine has waited for a timer: the delayed
/// acknowledgement of the client, 40 ms, if the server sent a second packet under Nagle's algorithm.
pub(super) const STEP: Duration = Duration::from_millis(35);

/// What was measured.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sample {
    /// The number of responses within the time.
    pub(super) requests: u64,
    /// The number of responses per second.
    pub(super) throughput: f64,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    /// The share of responses that took longer than [`STEP`].
    pub(super) stepped: f64,
    /// The number of responses other than expected, which are not counted elsewhere.
    pub(super) wrong: u64,
}

impl Sample {
    /// Makes the statistics of all response times of one run.
    pub(super) fn of(mut times: Vec<Duration>, time: Duration, wrong: u64) -> Self {
        times.sort_unstable();
        let requests = times.len() as u64;
        let stepped = times.len() - times.partition_point(|time| *time <= STEP);
        Self {
            requests,
            throughput: requests as f64 / time.as_secs_f64(),
            p50: percentile(&times, 50),
            p99: percentile(&times, 99),
            stepped: stepped as f64 / (times.len().max(1)) as f64,
            wrong,
        }
    }
}

/// Returns the smallest value that `percent` of all values do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(all: impl IntoIterator<Item = u64>) -> Vec<Duration> {
        all.into_iter().map(Duration::from_millis).collect()
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let times = milliseconds(1..=100);
        assert_eq!(percentile(&times, 50), Duration::from_millis(50));
        assert_eq!(percentile(&times, 99), Duration::from_millis(99));
        assert_eq!(percentile(&milliseconds([7]), 99), Duration::from_millis(7));
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }

    #[test]
    fn a_sample_counts_slow_responses() {
        let sample = Sample::of(milliseconds([1, 1, 1, 44]), Duration::from_secs(2), 3);
        assert_eq!((sample.requests, sample.throughput, sample.stepped, sample.wrong), (4, 2.0, 0.25, 3));
        assert_eq!(Sample::of(Vec::new(), Duration::from_secs(1), 0).stepped, 0.0);
    }
}
