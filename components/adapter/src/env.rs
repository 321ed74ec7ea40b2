//! Clock, entropy, background work and log.

use crate::upstream::Behind;
use spin_sdk::wasip3;
use spindrift::env::{Background, Clock, Entropy, Log};
use spindrift::time::{Instant, Timestamp};
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The environment of a Spin component.
#[derive(Clone, Copy, Debug)]
pub struct SpinEnv {
    pub(crate) behind: Behind,
}

impl Clock for SpinEnv {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(spindrift::time::millis(since))
    }

    fn instant(&self) -> Instant {
        Instant::after(Duration::from_nanos(wasip3::clocks::monotonic_clock::now()))
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> {
        spin_sdk::time::sleep(duration)
    }
}

impl Entropy for SpinEnv {
    fn fill(&self, buffer: &mut [u8]) {
        let random = wasip3::random::random::get_random_bytes(buffer.len() as u64);
        for (to, from) in buffer.iter_mut().zip(random) {
            *to = from;
        }
    }
}

impl Background for SpinEnv {
    fn spawn(&self, work: impl Future<Output = ()> + 'static) {
        crate::message::spawn(work);
    }
}

impl Log for SpinEnv {
    fn write_line(&self, line: &str) {
        say(line);
    }
}

/// Writes to the host's log: in one piece, because instances write concurrently, and ignoring errors if nobody reads it.
/// `eprintln!` would write in parts, and panic.
pub(crate) fn say(text: &str) {
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}
