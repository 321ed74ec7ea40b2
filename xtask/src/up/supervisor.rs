//! Restarts a service that has ended, after a delay that doubles, with jitter, up to a limit.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, Instant};

use super::service::Service;
use crate::console::{say, seconds};
use crate::failure::Result;

/// How long a service must run for the delays to begin anew.
const WELL: Duration = Duration::from_secs(60);

/// A service under supervision.
pub(super) struct Supervised<S> {
    service: S,
    backoff: Backoff,
    state: State,
}

enum State {
    Running { since: Instant },
    Waiting { until: Instant },
}

impl<S: Service> Supervised<S> {
    /// Supervises a service that is running.
    pub(super) fn started(service: S) -> Self {
        Self { service, backoff: Backoff::default(), state: State::Running { since: Instant::now() } }
    }

    /// Supervises a service that is started at the next tick.
    pub(super) fn to_start(service: S) -> Self {
        Self { service, backoff: Backoff::default(), state: State::Waiting { until: Instant::now() } }
    }

    /// Checks the service; to be called often.
    pub(super) fn tick(&mut self) -> Result<()> {
        match self.state {
            State::Running { since } => {
                if let Some(how) = self.service.ended() {
                    crate::process::check_interrupted()?;
                    self.wait_after(&how, since.elapsed());
                }
            }
            State::Waiting { until } if Instant::now() >= until => match self.service.start() {
                Ok(()) => self.state = State::Running { since: Instant::now() },
                Err(failure) => {
                    crate::process::check_interrupted()?;
                    self.wait_after(&failure.to_string(), Duration::ZERO);
                }
            },
            State::Waiting { .. } => {}
        }
        Ok(())
    }

    fn wait_after(&mut self, how: &str, ran: Duration) {
        if ran >= WELL {
            self.backoff = Backoff::default();
        }
        let delay = self.backoff.next(random());
        say(self.service.name(), format_args!("ended ({how}); starting it again in {}", seconds(delay)));
        self.state = State::Waiting { until: Instant::now() + delay };
    }
}

/// Delays of 0.5 s, 1 s, 2 s ... 30 s, each shortened by up to a half, so that not all come back at once.
#[derive(Default)]
struct Backoff {
    failures: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(500);
    const LIMIT: Duration = Duration::from_secs(30);

    /// Returns the next delay; `random` is between 0 and 1.
    fn next(&mut self, random: f64) -> Duration {
        let full = Self::FIRST.saturating_mul(1 << self.failures.min(10)).min(Self::LIMIT);
        self.failures += 1;
        full.mul_f64(1.0 - random.clamp(0.0, 1.0) / 2.0)
    }
}

/// Returns a number between 0 and 1: the standard library seeds its hash maps at random.
fn random() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 32;
    f64::from(u32::try_from(bits).unwrap_or(0)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_limit() {
        let mut backoff = Backoff::default();
        let delays: Vec<f64> = (0..9).map(|_| backoff.next(0.0).as_secs_f64()).collect();
        assert_eq!(delays, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]);
        (0..100).for_each(|_| assert_eq!(backoff.next(0.0), Backoff::LIMIT));
    }

    #[test]
    fn jitter_takes_away_at_most_half() {
        assert_eq!(Backoff::default().next(1.0), Duration::from_millis(250));
        assert!((0..100).map(|_| random()).all(|number| (0.0..=1.0).contains(&number)));
    }

    #[derive(Default)]
    struct Flaky {
        starts: u32,
    }

    impl Service for Flaky {
        fn name(&self) -> &'static str {
            "flaky"
        }
        fn start(&mut self) -> Result<()> {
            self.starts += 1;
            Ok(())
        }
        fn ended(&mut self) -> Option<String> {
            Some("always".to_owned())
        }
    }

    #[test]
    fn what_ends_is_started_again_after_its_delay() {
        let mut supervised = Supervised::to_start(Flaky::default());
        supervised.tick().unwrap();
        supervised.tick().unwrap();
        assert_eq!(supervised.service.starts, 1);
        assert!(matches!(supervised.state, State::Waiting { until } if until > Instant::now()));
        supervised.state = State::Waiting { until: Instant::now() };
        supervised.tick().unwrap();
        assert_eq!(supervised.service.starts, 2);
    }
}
