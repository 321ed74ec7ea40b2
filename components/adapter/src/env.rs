//! Clock, entropy, background work and log.

use crate::upstream::Behind;
use spin_sdk::wasip3;
use spindrift::env::{Background, Clock, Entropy, Log};
use spindrift::time::Timestamp;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The world as a Spin component sees it.
#[derive(Clone, Copy, Debug)]
pub struct SpinEnv {
    pub(crate) behind: Behind,
}

impl Clock for SpinEnv {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(spindrift::time::millis(since))
    }

    fn elapsed(&self) -> Duration {
        Duration::from_nanos(wasip3::clocks::monotonic_clock::now())
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

/// Writes to the host's log. In one piece, since instances write side by side; and where nobody listens, to nobody:
/// `eprintln!` would take a part at a time, and panic.
pub(crate) fn say(text: &str) {
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}
