//! The scripts of the queue, and the keys of one queue on which they operate.

use super::{JobError, QueueName};
use crate::env::Env;
use crate::redis::{Arg, Client, Key, Keys, RedisError, Script, Value};

/// A script with the part that all share in front; Redis runs it even when its memory is full.
macro_rules! script {
    ($file:literal) => {
        Script::new(concat!(
            "#!lua flags=allow-oom\n",
            include_str!("../redis/lua/job.lua"),
            include_str!(concat!("../redis/lua/", $file))
        ))
    };
}

/// Like `script!`, for scripts that need memory: a full Redis refuses them before they begin.
macro_rules! growing_script {
    ($file:literal) => {
        Script::new(concat!(
            "#!lua\n",
            include_str!("../redis/lua/job.lua"),
            include_str!(concat!("../redis/lua/", $file))
        ))
    };
}

pub(super) static ENQUEUE: Script = growing_script!("job_enqueue.lua");
pub(super) static SCHEDULE: Script = growing_script!("job_schedule.lua");
pub(super) static FIRE: Script = growing_script!("job_fire.lua");
pub(super) static CLAIM: Script = script!("job_claim.lua");
pub(super) static END: Script = script!("job_end.lua");
pub(super) static REMOVE: Script = script!("job_remove.lua");
pub(super) static DEAD: Script = script!("job_dead.lua");
pub(super) static EMPTY: Script = script!("job_empty.lua");
pub(super) static PAUSE: Script = script!("job_pause.lua");
pub(super) static VIEW: Script = Script::new(include_str!("../redis/lua/job_view.lua"));
pub(super) static DEAD_LIST: Script = Script::new(include_str!("../redis/lua/job_dead_list.lua"));
pub(super) static STATS: Script = Script::new(include_str!("../redis/lua/job_stats.lua"));
pub(super) static SLOTS: Script = Script::new(include_str!("../redis/lua/job_slots.lua"));
pub(super) static INDEX: Script = Script::new(include_str!("../redis/lua/job_index.lua"));
pub(super) static FORGET: Script = Script::new(include_str!("../redis/lua/job_forget.lua"));

/// The keys of one queue, all with one hash tag.
pub(super) struct QueueKeys {
    /// The queue, then its jobs by state: ready, delayed, leased, dead.
    pub(super) all: [Key; 5],
    /// The schedules, and their next slots.
    pub(super) schedules: [Key; 2],
    /// The prefix of the keys of jobs.
    pub(super) jobs: Key,
    /// The prefix of the keys of idempotency keys.
    pub(super) once: Key,
    /// A key that never exists. The scripts also use keys of jobs, which they find only while they run. While the slot
    /// of the queue moves to another node of a cluster, some jobs are there and some are not; but with a declared key
    /// that is missing, both nodes answer `TRYAGAIN` until the slot has moved, before the script begins.
    fence: Key,
}

impl QueueKeys {
    pub(super) fn new(keys: &Keys, queue: &QueueName) -> Self {
        let name = queue.as_str();
        let part = |part| keys.queue_part(name, part);
        Self {
            all: [keys.queue(name), part("r"), part("d"), part("l"), part("x")],
            schedules: [part("c"), part("n")],
            jobs: keys.queue_item(name, "j", ""),
            once: keys.queue_item(name, "u", ""),
            fence: part("0"),
        }
    }

    /// Runs a script that begins with `job.lua`. The keys in `more` follow those of the queue, and `arguments`
    /// follow the prefix of the keys of jobs.
    pub(super) async fn run<E: Env>(
        &self,
        redis: &Client<E>,
        script: &Script,
        more: &[&Key],
        arguments: Vec<Arg>,
    ) -> Result<Vec<Value>, JobError> {
        let keys = self.all.iter().chain(more.iter().copied()).chain([&self.fence]).collect::<Vec<_>>();
        let arguments = std::iter::once(Arg::from(&self.jobs)).chain(arguments).collect();
        Ok(redis.run(script, &keys, arguments).await?)
    }
}

/// A reply that is read from beginning to end.
pub(super) struct Reply(std::vec::IntoIter<Value>);

impl Reply {
    pub(super) fn new(reply: Vec<Value>) -> Self {
        Self(reply.into_iter())
    }

    /// Returns whether nothing is left.
    pub(super) fn is_over(&self) -> bool {
        self.0.as_slice().is_empty()
    }

    fn next(&mut self) -> Result<Value, RedisError> {
        self.0.next().ok_or_else(|| RedisError::Reply("expected more elements, found the end".to_owned()))
    }

    pub(super) fn int(&mut self) -> Result<i64, RedisError> {
        self.next()?.int()
    }

    /// Reads a number that is never negative.
    pub(super) fn count(&mut self) -> Result<u64, RedisError> {
        Ok(u64::try_from(self.int()?).unwrap_or(0))
    }

    /// Reads a number that is never negative or large.
    pub(super) fn small(&mut self) -> Result<u32, RedisError> {
        Ok(u32::try_from(self.int()?).unwrap_or(0))
    }

    pub(super) fn bytes(&mut self) -> Result<Vec<u8>, RedisError> {
        Ok(self.next()?.bytes()?.unwrap_or_default())
    }

    pub(super) fn text(&mut self) -> Result<String, RedisError> {
        Ok(String::from_utf8_lossy(&self.bytes()?).into_owned())
    }
}
