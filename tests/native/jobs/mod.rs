//! The job queue on a real Redis: order, leases, retries, dead letters, pushes, and what happens when workers die.

mod dead;
mod empty;
mod lease;
mod many;
mod order;
mod push;
pub(crate) mod redis;
mod schedule;

use crate::support::env::TestEnv;
use crate::support::{Instance, PREFIX, World};
use spindrift::job::{Claim, Claimed, Cron, Data, JobId, Missed, Priority, QueueName, Schedule, State};
use spindrift::redis::Keys;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

fn mail() -> QueueName {
    QueueName::new("mail").unwrap()
}

fn data(number: u32) -> Data {
    Data::json(&number).unwrap()
}

fn number(data: &Data) -> u32 {
    data.parse().unwrap()
}

fn part(part: &'static str) -> String {
    Keys::new(PREFIX).queue_part("mail", part).as_str().to_owned()
}

fn key_of(id: &JobId) -> String {
    Keys::new(PREFIX).queue_item("mail", "j", id.as_str()).as_str().to_owned()
}

async fn put(instance: &Instance, number: u32) -> JobId {
    instance.jobs().enqueue(&mail(), data(number)).await.unwrap()
}

async fn claim(instance: &Instance, count: u16) -> Vec<Claimed<'_, TestEnv>> {
    instance.jobs().claim(&mail(), Claim::default().count(count)).await.unwrap()
}

async fn claim_one(instance: &Instance) -> Claimed<'_, TestEnv> {
    claim(instance, 1).await.pop().expect("a job is ready")
}

async fn state(instance: &Instance, id: &JobId) -> State {
    instance.jobs().view(&mail(), id).await.unwrap().state
}

async fn counted(instance: &Instance, name: &str) -> u64 {
    let counts = instance.jobs().statistics(&mail()).await.unwrap().counts;
    counts.into_iter().find(|(found, _)| *found == name).unwrap().1
}

fn every_minute(world: &World) -> Schedule {
    Schedule {
        cron: Cron::parse("* * * * *", world.clock.now()).unwrap(),
        missed: Missed::RunOnce,
        data: data(6),
        priority: Priority::default(),
        max_attempts: None,
    }
}

/// Makes everything in this part of the queue due: as if its time had come.
async fn due(world: &World, of: &'static str) {
    let ids: Vec<String> = world.ask(&["ZRANGE", &part(of), "0", "-1"]).await;
    for id in ids {
        world.tell(&["ZADD", &part(of), "XX", "1", &id]).await;
    }
}
