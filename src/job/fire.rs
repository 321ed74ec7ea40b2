//! Enqueueing the jobs of schedules that are due.

use super::enqueue::job_id;
use super::schedule::{Slots, Which};
use super::script::{FIRE, FORGET, Reply};
use super::{JobError, JobId, Jobs, QueueName};
use crate::env::Env;
use crate::redis::{Arg, RedisError};
use crate::time::Timestamp;

impl<E: Env> Jobs<E> {
    /// Enqueues the job of every schedule that is due: one for each, even if others do the same at this time.
    /// Returns how many this call enqueued.
    ///
    /// # Errors
    /// [`JobError::Redis`]: what was not enqueued is still due.
    pub async fn fire(&self, queue: &QueueName) -> Result<u64, JobError> {
        let slots = self.slots(queue, Which::Due).await?;
        self.fire_slots(queue, slots).await
    }

    /// Like [`Jobs::fire`], for every queue with schedules; a queue that fails does not stop the others.
    ///
    /// # Errors
    /// As [`Jobs::fire`], the first one.
    pub(super) async fn fire_all(&self) -> Result<u64, JobError> {
        let list = self.keys.scheduled_queues();
        let arguments = vec![Arg::from(&list), Arg::Int(0), Arg::Int(-1), Arg::from("WITHSCORES")];
        let mut reply = Reply::new(self.redis.call("ZRANGE", arguments).await?);
        let (mut fired, mut failed) = (0, None);
        while !reply.is_over() {
            let (name, noted) = (reply.text()?, reply.text()?);
            let Ok(queue) = QueueName::new(&name) else { continue };
            match self.fire_or_forget(&queue, noted).await {
                Ok(some) => fired += some,
                // Another queue may be on another node.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(fired), Err)
    }

    /// Fires the schedules that are due in a listed queue, or removes it from the list if it has none.
    async fn fire_or_forget(&self, queue: &QueueName, noted: String) -> Result<u64, JobError> {
        let slots = self.slots(queue, Which::Due).await?;
        if slots.count == 0 {
            let list = self.keys.scheduled_queues();
            let arguments = vec![Arg::from(queue.as_str()), Arg::from(noted)];
            self.redis.run(&FORGET, &[&list], arguments).await?;
        }
        self.fire_slots(queue, slots).await
    }

    async fn fire_slots(&self, queue: &QueueName, slots: Slots) -> Result<u64, JobError> {
        let now = slots.now;
        let mut fired = 0;
        for (slot, name, text) in slots.found {
            let Some(schedule) = self.read(queue, &name, &text) else { continue };
            let Some(due) = schedule.cron.due(slot, schedule.missed, now) else { continue };
            let id = due.fire.map(|slot| id(queue, &name, slot)).transpose()?;
            let attempts = schedule.max_attempts.unwrap_or_else(|| self.rules(queue).max_attempts);
            let arguments = vec![
                Arg::from(name),
                Arg::from(text),
                Arg::from(slot.as_millis()),
                Arg::from(due.next.as_millis()),
                Arg::from(id.as_ref().map_or("", JobId::as_str)),
                Arg::from(schedule.data.bytes().to_vec()),
                Arg::from(u64::from(schedule.priority.get())),
                Arg::from(u64::from(attempts)),
            ];
            let keys = self.keys_of(queue);
            let [schedules, next] = &keys.schedules;
            let reply = keys.run(&self.redis, &FIRE, &[schedules, next], arguments).await?;
            let mut reply = Reply::new(reply);
            fired += u64::from(reply.int()? == 1 && id.is_some());
            if reply.int()? == 1 {
                self.ring_behind(queue);
            }
        }
        Ok(fired)
    }
}

/// Returns the id of the job for a slot: the same whoever fires it, so that it is enqueued once; different in every queue,
/// for targets that identify messages by it; and without a dot, the separator in signatures.
fn id(queue: &QueueName, name: &str, slot: Timestamp) -> Result<JobId, RedisError> {
    let hash = blake3::hash(format!("{queue}\0{name}").as_bytes()).to_hex();
    job_id(&format!("cron-{}-{}-{}", name.replace('.', "_"), slot.as_secs(), &hash[..16]))
}
