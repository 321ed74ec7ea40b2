//! The ports for tests: manual clocks, entropy from a seed, background work that can be awaited.

use super::origin::Origin;
use super::wire::Wire;
use spindrift::body::Body;
use spindrift::env::{Background, Clock, Entropy, Log, Timeouts, Upstream, UpstreamError};
use spindrift::time::{Instant, Timestamp};
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// The clocks, shared by all instances of one test.
#[derive(Clone, Debug)]
pub(crate) struct ManualClock {
    now: Rc<Cell<Timestamp>>,
    elapsed: Rc<Cell<Duration>>,
}

impl ManualClock {
    /// Clocks that stand still in November 2023.
    pub(crate) fn new() -> Self {
        let start = 1_700_000_000_000;
        let (now, elapsed) = (Timestamp::from_millis(start), Duration::from_millis(start));
        Self { now: Rc::new(Cell::new(now)), elapsed: Rc::new(Cell::new(elapsed)) }
    }

    /// The time of the wall clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.now.get()
    }

    /// Advances both clocks.
    pub(crate) fn advance(&self, by: Duration) {
        self.now.set(self.now.get().plus(by));
        self.elapsed.set(self.elapsed.get() + by);
    }

    /// Sets the wall clock back.
    pub(crate) fn set_back(&self, by: Duration) {
        let millis = self.now.get().as_millis() - u64::try_from(by.as_millis()).unwrap();
        self.now.set(Timestamp::from_millis(millis));
    }

    /// Advances both clocks by whole seconds.
    pub(crate) fn advance_secs(&self, seconds: u64) {
        self.advance(Duration::from_secs(seconds));
    }
}

/// The environment of one instance.
#[derive(Clone)]
pub(crate) struct TestEnv(Rc<Inner>);

struct Inner {
    clock: ManualClock,
    random: Cell<u64>,
    tasks: Rc<Tasks>,
    log: RefCell<Vec<String>>,
    waits: RefCell<Vec<Wait>>,
    wire: Rc<Wire>,
    origin: Rc<Origin>,
}

/// A wait in progress, and how to end it.
struct Wait {
    takes: Duration,
    end: Weak<Notify>,
}

/// Background work that is not finished.
#[derive(Default)]
struct Tasks {
    running: Cell<usize>,
    ended: Notify,
}

struct Running(Rc<Tasks>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
        self.0.ended.notify_waiters();
    }
}

impl TestEnv {
    /// An environment that shares only clock and origin with others; `seed` is the seed of its entropy.
    pub(crate) fn new(clock: ManualClock, origin: Rc<Origin>, seed: u64) -> Self {
        Self(Rc::new(Inner {
            clock,
            random: Cell::new(seed),
            tasks: Rc::default(),
            log: RefCell::default(),
            waits: RefCell::default(),
            wire: Rc::default(),
            origin,
        }))
    }

    /// Returns once all background work is finished.
    pub(crate) async fn settle(&self) {
        while self.0.tasks.running.get() > 0 {
            self.0.tasks.ended.notified().await;
        }
    }

    /// Ends every wait in progress, as if its time were over.
    pub(crate) fn expire_deadlines(&self) {
        self.expire(|_| true);
    }

    /// The same, but only for waits of this duration.
    pub(crate) fn expire_waits_of(&self, duration: Duration) {
        self.expire(|takes| takes == duration);
    }

    fn expire(&self, which: impl Fn(Duration) -> bool) {
        for wait in self.0.waits.borrow().iter().filter(|wait| which(wait.takes)) {
            if let Some(end) = wait.end.upgrade() {
                end.notify_one();
            }
        }
    }

    /// Whether there is a wait of this duration.
    pub(crate) fn waits_for(&self, duration: Duration) -> bool {
        self.0.waits.borrow().iter().any(|wait| wait.takes == duration && wait.end.strong_count() > 0)
    }

    /// The lines logged so far.
    pub(crate) fn log_lines(&self) -> Vec<String> {
        self.0.log.borrow().clone()
    }

    /// Whether a line that contains `text` was logged.
    pub(crate) fn logged(&self, text: &str) -> bool {
        self.0.log.borrow().iter().any(|line| line.contains(text))
    }

    /// The commands sent to Redis.
    pub(crate) fn wire(&self) -> &Rc<Wire> {
        &self.0.wire
    }
}

impl Clock for TestEnv {
    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    fn instant(&self) -> Instant {
        Instant::after(self.0.clock.elapsed.get())
    }

    async fn sleep(&self, duration: Duration) {
        let end = Rc::new(Notify::new());
        {
            let mut waits = self.0.waits.borrow_mut();
            waits.retain(|wait| wait.end.strong_count() > 0);
            waits.push(Wait { takes: duration, end: Rc::downgrade(&end) });
        }
        tokio::select! {
            () = tokio::time::sleep(duration) => {}
            () = end.notified() => {}
        }
    }
}

impl Entropy for TestEnv {
    /// SplitMix64.
    fn fill(&self, buffer: &mut [u8]) {
        for piece in buffer.chunks_mut(8) {
            let state = self.0.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
            self.0.random.set(state);
            let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            piece.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes()[..piece.len()]);
        }
    }
}

impl Background for TestEnv {
    fn spawn(&self, work: impl Future<Output = ()> + 'static) {
        self.0.tasks.running.set(self.0.tasks.running.get() + 1);
        let running = Running(Rc::clone(&self.0.tasks));
        tokio::task::spawn_local(async move {
            let _running = running;
            work.await;
        });
    }
}

impl Log for TestEnv {
    fn write_line(&self, line: &str) {
        self.0.log.borrow_mut().push(line.to_owned());
    }
}

impl Upstream for TestEnv {
    async fn send(
        &self,
        request: http::Request<Body>,
        _timeouts: Timeouts,
    ) -> Result<http::Response<Body>, UpstreamError> {
        self.0.origin.answer(request).await
    }
}
