//! Load: a thread for each connection, each sending its next request when the previous one is answered.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::cell::What;
use super::client::Client;
use super::response::Response;
use super::stats::Sample;
use crate::failure::{Context, Failure, Result};
use crate::process;

/// Numbers for the URLs of misses, different from all before.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// What to send and what to expect.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) address: SocketAddr,
    pub(super) what: What,
    pub(super) kilobytes: usize,
}

impl Load {
    /// Returns the target of the next request.
    fn target(&self) -> String {
        let kilobytes = self.kilobytes;
        match self.what {
            What::Empty | What::Get => "/".to_owned(),
            What::Hit | What::MiddlewareHit => format!("/{kilobytes}k?cache=3600"),
            What::Miss => format!("/{kilobytes}k?cache=60&n={}", NEXT.fetch_add(1, Ordering::Relaxed)),
            What::Pass => format!("/{kilobytes}k?cache=no"),
        }
    }

    fn expects(&self, response: &Response) -> bool {
        let hit = response.cache_status.contains("; hit");
        let whole = response.length == self.kilobytes * 1024;
        response.status == 200
            && match self.what {
                What::Empty => response.length == 0,
                What::Get => whole,
                What::Hit | What::MiddlewareHit => hit && whole,
                What::Miss | What::Pass => !hit && whole,
            }
    }

    /// Repeats requests until those for hits are hits: storing continues after the response.
    pub(super) fn prepare(&self) -> Result<()> {
        let mut client = Client::connect(self.address).cannot("connect to the host")?;
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let (response, _) = client.get(&self.target()).cannot("get a response from the host")?;
            if self.expects(&response) {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(self.surprise(&response));
            }
            process::sleep(Duration::from_millis(50))?;
        }
    }

    fn surprise(&self, found: &Response) -> Failure {
        Failure::Said(format!(
            "expected a {} of {} KB for {}, found status {}, {} bytes, Cache-Status `{}`",
            self.what.name(),
            self.kilobytes,
            self.target(),
            found.status,
            found.length,
            found.cache_status
        ))
    }

    /// Runs the load; the first part of the time is for warming up, and does not count.
    pub(super) fn run(self, connections: usize, time: Duration) -> Result<Sample> {
        let warm = Instant::now() + (time / 4).min(Duration::from_millis(500));
        let end = warm + time;
        let threads: Vec<_> = (0..connections).map(|_| thread::spawn(move || self.one(warm, end))).collect();
        let mut times = Vec::new();
        let mut wrong = 0;
        for thread in threads {
            let (mine, mine_wrong) = thread.join().unwrap_or_default();
            times.extend(mine);
            wrong += mine_wrong;
        }
        process::check_interrupted()?;
        Ok(Sample::of(times, time, wrong))
    }

    fn one(self, warm: Instant, end: Instant) -> (Vec<Duration>, u64) {
        let mut times = Vec::new();
        let mut wrong = 0;
        while Instant::now() < end && !process::interrupted() {
            let Ok(mut client) = Client::connect(self.address) else {
                wrong += 1;
                thread::sleep(Duration::from_millis(50));
                continue;
            };
            self.keep_alive(&mut client, (warm, end), &mut times, &mut wrong);
        }
        (times, wrong)
    }

    /// Sends requests until the end, or until the connection breaks.
    fn keep_alive(
        &self,
        client: &mut Client,
        (warm, end): (Instant, Instant),
        times: &mut Vec<Duration>,
        wrong: &mut u64,
    ) {
        while Instant::now() < end && !process::interrupted() {
            let Ok((response, took)) = client.get(&self.target()) else {
                *wrong += 1;
                return;
            };
            let counts = (warm..end).contains(&Instant::now());
            if !self.expects(&response) {
                *wrong += 1;
            } else if counts {
                times.push(took);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(cache_status: &str, length: usize) -> Response {
        Response { status: 200, cache_status: cache_status.to_owned(), length }
    }

    #[test]
    fn each_kind_knows_its_responses() {
        let load = |what| Load { address: ([127, 0, 0, 1], 1).into(), what, kilobytes: 1 };
        assert!(load(What::Hit).expects(&response("spindrift; hit; ttl=9", 1024)));
        assert!(!load(What::Hit).expects(&response("spindrift; fwd=uri-miss", 1024)));
        assert!(!load(What::Hit).expects(&response("spindrift; hit", 1023)));
        assert!(load(What::Miss).expects(&response("spindrift; fwd=uri-miss; stored", 1024)));
        assert!(!load(What::Pass).expects(&response("spindrift; hit", 1024)));
        assert!(load(What::Empty).expects(&response("", 0)));
        assert_ne!(load(What::Miss).target(), load(What::Miss).target());
        assert_eq!(load(What::Hit).target(), load(What::Hit).target());
    }
}
