//! The subscriber: the component of `subscriber.toml` in a host.

use crate::gateway::Setup;
use crate::process::Process;
use crate::redis::Redis;
use crate::wait::eventually;

/// A running subscriber; it ends with the test, and shows its log when the test fails.
pub struct Subscriber {
    process: Process,
}

impl Subscriber {
    /// Starts one on the channel `spindrift` of this Redis and waits until it listens.
    #[must_use]
    #[track_caller]
    pub fn start(redis: &Redis) -> Self {
        Self::start_with(redis, "spindrift", "")
    }

    /// The same with another channel and with configuration.
    #[must_use]
    #[track_caller]
    pub fn start_with(redis: &Redis, channel: &str, config: &str) -> Self {
        Self::start_as(redis, channel, |setup| setup.config(config))
    }

    /// The same, with further settings.
    #[must_use]
    #[track_caller]
    pub fn start_as(redis: &Redis, channel: &str, further: impl FnOnce(Setup) -> Setup) -> Self {
        let channels = [channel.to_owned(), format!("{channel}-work")];
        let subscribers = || channels.each_ref().map(|channel| redis.subscribers(channel));
        let before = subscribers();
        let setup = further(Setup::of("subscriber.toml").redis(redis));
        let process = setup.variable("redis_channel", channel).spawn(false);
        let subscriber = Self { process };
        eventually("the subscriber listens", || {
            subscribers().iter().zip(before).all(|(now, before)| *now > before)
        });
        subscriber
    }

    /// Everything that it has printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until it has printed this.
    #[track_caller]
    pub fn await_log(&self, text: &str) {
        eventually(&format!("{text:?} in the log of the subscriber"), || self.log().contains(text));
    }

    /// Waits until its process has ended.
    #[track_caller]
    pub fn await_end(&mut self) {
        eventually("the end of the subscriber", || self.process.has_ended());
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the subscriber printed:\n{}", self.log());
        }
    }
}
