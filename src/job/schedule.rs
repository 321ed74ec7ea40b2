//! Schedules: jobs that are enqueued repeatedly.

use super::cron::{Cron, Missed};
use super::script::{Reply, SCHEDULE, SLOTS};
use super::{Data, JobError, Jobs, Priority, QueueName, ScheduleName};
use crate::env::Env;
use crate::redis::Arg;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::time::Duration;

/// The most schedules in a queue.
pub const MAX_SCHEDULES: u64 = 100;
/// The greatest size of a schedule's data, in bytes.
pub const MAX_SCHEDULE_DATA: usize = 16 * 1024;

/// The most queues with schedules: every tick asks about each of them.
pub const MAX_SCHEDULED_QUEUES: u64 = 10_000;

/// How long a queue stays in the list of those with schedules after one was set or listed: longer than the time
/// between two 29ths of February.
const LISTED: Duration = Duration::from_secs(9 * 366 * 24 * 3600);

/// A schedule: which jobs are enqueued, and when.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// When they are enqueued.
    pub cron: Cron,
    /// What to do about slots at which no tick came in time.
    pub missed: Missed,
    /// The data of each job.
    pub data: Data,
    /// The priority of each job.
    pub priority: Priority,
    /// How often each job is attempted; `None` for the setting of its queue.
    pub max_attempts: Option<u16>,
}

/// A schedule with its state.
#[derive(Clone, Debug)]
pub struct Scheduled {
    /// Its name.
    pub name: ScheduleName,
    /// The schedule itself.
    pub schedule: Schedule,
    /// Its next slot, by Redis's clock.
    pub next: Timestamp,
}

/// The form in which a schedule is stored in Redis.
#[derive(Serialize, Deserialize)]
struct Definition {
    cron: String,
    missed: Missed,
    data: Box<RawValue>,
    priority: u16,
    max_attempts: Option<u16>,
}

/// Which schedules of a queue are read.
pub(super) enum Which<'a> {
    /// Those that are due.
    Due,
    /// All.
    All,
    /// The one with this name.
    Named(&'a ScheduleName),
}

impl Which<'_> {
    /// Returns what the script calls them.
    fn argument(self) -> Arg {
        match self {
            Self::Due => Arg::from("due"),
            Self::All => Arg::from("all"),
            Self::Named(name) => Arg::from(format!("={}", name.as_str())),
        }
    }
}

/// The schedules of a queue, as read from Redis.
pub(super) struct Slots {
    pub(super) now: Timestamp,
    /// The number of schedules.
    pub(super) count: u64,
    /// Slot, name and definition of each schedule that was asked for.
    pub(super) found: Vec<(Timestamp, String, String)>,
}

impl<E: Env> Jobs<E> {
    /// Sets a schedule, replacing one with the same name. It fires from the next slot on; one that stays the same keeps a
    /// slot that is due. Returns that slot, and whether the schedule is new.
    ///
    /// # Errors
    /// [`JobError::TooManySchedules`], [`JobError::TooManyQueues`], [`JobError::Redis`].
    pub async fn set_schedule(
        &self,
        queue: &QueueName,
        name: &ScheduleName,
        schedule: &Schedule,
    ) -> Result<(Timestamp, bool), JobError> {
        self.note(queue).await;
        // Before setting it, so that a tick finds the queue whatever happens in between; and after, in case a tick found the
        // queue empty meanwhile.
        self.list(queue).await?;
        let now = self.slots(queue, Which::Named(name)).await?.now;
        let next = schedule.cron.next(now).unwrap_or(now);
        let arguments = vec![
            Arg::from(name.as_str()),
            Arg::from(definition(schedule)),
            Arg::from(next.as_millis()),
            Arg::from(MAX_SCHEDULES),
        ];
        let mut reply = Reply::new(self.write(queue, arguments).await?);
        let (set, there, next) = (reply.int()?, reply.int()?, reply.count()?);
        if set == -1 {
            return Err(JobError::TooManySchedules);
        }
        self.list(queue).await?;
        Ok((Timestamp::from_millis(next), there == 0))
    }

    /// Adds a queue to the list of those with schedules. None is ever dropped from it for another: its schedules would stop.
    async fn list(&self, queue: &QueueName) -> Result<(), JobError> {
        let list = self.keys.scheduled_queues();
        match self.index(&list, queue, LISTED, MAX_SCHEDULED_QUEUES, true).await? {
            true => Ok(()),
            false => Err(JobError::TooManyQueues),
        }
    }

    /// Adds a queue to that list again after its schedules were read, in case Redis lost the list.
    async fn list_again(&self, queue: &QueueName) {
        if let Err(error) = self.list(queue).await {
            self.env.log(&format!("queue {queue}: not added to the list of those with schedules: {error}"));
        }
    }

    /// Removes a schedule. The jobs that it has enqueued stay.
    ///
    /// # Errors
    /// [`JobError::NoSuchSchedule`], [`JobError::Redis`].
    pub async fn remove_schedule(&self, queue: &QueueName, name: &ScheduleName) -> Result<(), JobError> {
        let arguments = vec![Arg::from(name.as_str()), Arg::from(""), Arg::from(0), Arg::from(0)];
        match Reply::new(self.write(queue, arguments).await?).int()? {
            1 => Ok(()),
            _ => Err(JobError::NoSuchSchedule),
        }
    }

    /// Returns one schedule.
    ///
    /// # Errors
    /// [`JobError::NoSuchSchedule`], [`JobError::Redis`].
    pub async fn schedule(&self, queue: &QueueName, name: &ScheduleName) -> Result<Scheduled, JobError> {
        let slots = self.slots(queue, Which::Named(name)).await?;
        let found = self.read_all(queue, slots).pop().ok_or(JobError::NoSuchSchedule)?;
        self.list_again(queue).await;
        Ok(found)
    }

    /// Returns all schedules of a queue, ordered by their next slots. If Redis lost the list of queues with schedules, ticks
    /// find this one again.
    ///
    /// # Errors
    /// [`JobError::Redis`].
    pub async fn schedules(&self, queue: &QueueName) -> Result<Vec<Scheduled>, JobError> {
        let slots = self.slots(queue, Which::All).await?;
        if slots.count > 0 {
            self.list_again(queue).await;
        }
        Ok(self.read_all(queue, slots))
    }

    async fn write(
        &self,
        queue: &QueueName,
        arguments: Vec<Arg>,
    ) -> Result<Vec<crate::redis::Value>, JobError> {
        let keys = self.keys_of(queue);
        let [schedules, next] = &keys.schedules;
        keys.run(&self.redis, &SCHEDULE, &[schedules, next], arguments).await
    }

    pub(super) async fn slots(&self, queue: &QueueName, which: Which<'_>) -> Result<Slots, JobError> {
        let keys = self.keys_of(queue);
        let [schedules, next] = &keys.schedules;
        let mut reply = Reply::new(self.redis.run(&SLOTS, &[schedules, next], vec![which.argument()]).await?);
        let (now, count) = (Timestamp::from_millis(reply.count()?), reply.count()?);
        let mut found = Vec::new();
        while !reply.is_over() {
            found.push((Timestamp::from_millis(reply.count()?), reply.text()?, reply.text()?));
        }
        Ok(Slots { now, count, found })
    }

    fn read_all(&self, queue: &QueueName, slots: Slots) -> Vec<Scheduled> {
        let read = |(next, name, text): (Timestamp, String, String)| {
            let schedule = self.read(queue, &name, &text)?;
            Some(Scheduled { name: ScheduleName::new(&name).ok()?, schedule, next })
        };
        slots.found.into_iter().filter_map(read).collect()
    }

    /// Parses a definition. An invalid one, perhaps of another version, is logged and skipped.
    pub(super) fn read(&self, queue: &QueueName, name: &str, text: &str) -> Option<Schedule> {
        let schedule = read_definition(text, self.env.now());
        if schedule.is_none() {
            self.env.log(&format!("queue {queue}: schedule {name:?}: its definition in Redis is not valid"));
        }
        schedule
    }
}

fn definition(schedule: &Schedule) -> String {
    let definition = Definition {
        cron: schedule.cron.as_str().to_owned(),
        missed: schedule.missed,
        data: schedule.data.to_raw(),
        priority: schedule.priority.get(),
        max_attempts: schedule.max_attempts,
    };
    serde_json::to_string(&definition).unwrap_or_default()
}

fn read_definition(text: &str, now: Timestamp) -> Option<Schedule> {
    let definition: Definition = serde_json::from_str(text).ok()?;
    Some(Schedule {
        cron: Cron::parse(&definition.cron, now).ok()?,
        missed: definition.missed,
        data: Data::raw(&definition.data).ok()?,
        priority: Priority::new(definition.priority)?,
        max_attempts: definition.max_attempts,
    })
}
