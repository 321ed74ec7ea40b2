//! Emptying a queue.

use super::{HOUR, claim, claim_one, counted, data, key_of, mail, number, put, state};
use crate::support::{Instance, on_redis};
use futures_util::future::join;
use spindrift::job::{IdempotencyKey, Idle, JobId, NewJob, Priority, Sentenced, State};
use std::time::Duration;

/// One job in each state.
struct Jobs {
    leased: JobId,
    dead: JobId,
    delayed: JobId,
    ready: JobId,
}

async fn one_of_each(instance: &Instance) -> Jobs {
    let dead = put(instance, 1).await;
    claim_one(instance).await.bury("").await.unwrap();
    let leased = put(instance, 2).await;
    drop(claim_one(instance).await);
    let ready = put(instance, 3).await;
    let later = NewJob::new(data(4)).delay(HOUR);
    let delayed = instance.jobs().enqueue_with(&mail(), later).await.unwrap().id;
    Jobs { leased, dead, delayed, ready }
}

async fn fill(instance: &Instance, count: u32) {
    for batch in 0..count.div_ceil(100) {
        let jobs = (batch * 100..count.min(batch * 100 + 100)).map(|number| NewJob::new(data(number)));
        instance.jobs().enqueue_all(&mail(), jobs.collect()).await.unwrap();
    }
}

async fn empty(instance: &Instance, states: &[Idle]) -> Sentenced {
    instance.jobs().empty(&mail(), states).await.unwrap()
}

#[test]
fn an_emptied_queue_has_only_the_jobs_in_flight() {
    on_redis(async |world| {
        let instance = world.instance();
        let jobs = one_of_each(&instance).await;
        assert_eq!(empty(&instance, &Idle::ALL).await, Sentenced { done: 3, left: 0 });
        assert_eq!(state(&instance, &jobs.ready).await, State::Removed);
        assert_eq!(state(&instance, &jobs.delayed).await, State::Removed);
        assert_eq!(state(&instance, &jobs.dead).await, State::Dropped);
        assert_eq!(state(&instance, &jobs.leased).await, State::Leased);
        assert_eq!((counted(&instance, "removed").await, counted(&instance, "dropped").await), (2, 1));
        let statistics = instance.jobs().statistics(&mail()).await.unwrap();
        let found = [statistics.ready, statistics.delayed, statistics.leased, statistics.dead];
        assert_eq!((found, statistics.oldest), ([0, 0, 1, 0], None));
        assert_eq!(empty(&instance, &Idle::ALL).await, Sentenced::default());
    });
}

#[test]
fn only_the_states_that_are_asked_for_are_emptied() {
    on_redis(async |world| {
        let instance = world.instance();
        let jobs = one_of_each(&instance).await;
        let all = [(Idle::Ready, &jobs.ready), (Idle::Dead, &jobs.dead), (Idle::Delayed, &jobs.delayed)];
        for (at, (idle, _)) in all.into_iter().enumerate() {
            assert_eq!(empty(&instance, &[idle, idle]).await, Sentenced { done: 1, left: 0 });
            for (other, (idle, id)) in all.into_iter().enumerate() {
                let waits = state(&instance, id).await.as_str() == idle.as_str();
                assert_eq!(waits, other > at, "{idle:?} after {at}");
            }
        }
        assert_eq!(empty(&instance, &[]).await, Sentenced::default());
    });
}

#[test]
fn many_jobs_go_in_steps_and_a_call_that_takes_long_leaves_the_rest() {
    on_redis(async |world| {
        let instance = world.instance();
        fill(&instance, 350).await;
        let long = async { world.clock.advance(Duration::from_secs(5)) };
        let (first, ()) = join(empty(&instance, &[Idle::Ready]), long).await;
        assert_eq!(first, Sentenced { done: 100, left: 250 });
        instance.env.wire().take_commands();
        assert_eq!(empty(&instance, &[Idle::Ready]).await, Sentenced { done: 250, left: 0 });
        assert_eq!(instance.env.wire().take_commands().len(), 3, "a hundred at a time");
        assert_eq!(counted(&instance, "removed").await, 350);
    });
}

#[test]
fn an_emptied_queue_keeps_its_order_and_its_idempotency_keys() {
    on_redis(async |world| {
        let instance = world.instance();
        let keyed = || NewJob::new(data(1)).idempotency_key(IdempotencyKey::new("k").unwrap());
        let first = instance.jobs().enqueue_with(&mail(), keyed()).await.unwrap();
        empty(&instance, &Idle::ALL).await;
        let again = instance.jobs().enqueue_with(&mail(), keyed()).await.unwrap();
        assert_eq!((again.id, again.new), (first.id, false));
        for (number, priority) in [(2, 7), (3, 5), (4, 5)] {
            let job = NewJob::new(data(number)).priority(Priority::new(priority).unwrap());
            instance.jobs().enqueue_with(&mail(), job).await.unwrap();
        }
        let order: Vec<_> = claim(&instance, 9).await.iter().map(|it| number(&it.job.data)).collect();
        assert_eq!(order, [3, 4, 2]);
    });
}

#[test]
fn a_job_whose_data_is_lost_is_not_said_to_be_removed() {
    on_redis(async |world| {
        let instance = world.instance();
        let lost = put(&instance, 1).await;
        put(&instance, 2).await;
        world.tell(&["UNLINK", &key_of(&lost)]).await;
        assert_eq!(empty(&instance, &[Idle::Ready]).await, Sentenced { done: 1, left: 0 });
        assert_eq!((counted(&instance, "lost").await, counted(&instance, "removed").await), (1, 1));
        assert_eq!(world.ask::<i64>(&["EXISTS", &key_of(&lost)]).await, 0);
    });
}

#[test]
fn what_is_released_after_the_queue_was_emptied_is_ready_again() {
    on_redis(async |world| {
        let instance = world.instance();
        put(&instance, 1).await;
        let claimed = claim_one(&instance).await;
        put(&instance, 2).await;
        empty(&instance, &Idle::ALL).await;
        claimed.release().await.unwrap();
        assert_eq!(number(&claim_one(&instance).await.job.data), 1);
    });
}
