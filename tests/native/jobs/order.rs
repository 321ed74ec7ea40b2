//! Order, delays, priorities, idempotency keys, pauses.

use super::{HOUR, claim, claim_one, counted, data, due, key_of, mail, number, part, put};
use crate::support::{Instance, on_redis};
use futures_util::future::{join, join_all};
use spindrift::job::{Claim, IdempotencyKey, JobError, NewJob, Priority, QueueName, State};
use std::time::Duration;

#[test]
fn jobs_are_first_in_first_out() {
    on_redis(async |world| {
        let instance = world.instance();
        for number in 0..20 {
            put(&instance, number).await;
        }
        let mut taken = Vec::new();
        while let Some(job) = instance.jobs().dequeue(&mail()).await.unwrap() {
            taken.push(number(&job.data));
        }
        assert_eq!(taken, (0..20).collect::<Vec<_>>());
        assert_eq!(instance.jobs().dequeue(&mail()).await.unwrap(), None);
        assert_eq!(counted(&instance, "completed").await, 20);
    });
}

#[test]
fn the_lower_the_priority_the_sooner_and_within_one_the_order_holds() {
    on_redis(async |world| {
        let instance = world.instance();
        let priorities = [1000, 4095, 0, 1000, 1, 4095, 0];
        let jobs = (0..)
            .zip(priorities)
            .map(|(number, priority)| NewJob::new(data(number)).priority(Priority::new(priority).unwrap()));
        instance.jobs().enqueue_all(&mail(), jobs.collect()).await.unwrap();
        let claimed = claim(&instance, 7).await;
        let order: Vec<u32> = claimed.iter().map(|one| number(&one.job.data)).collect();
        assert_eq!(order, [2, 6, 4, 0, 3, 1, 5]);
        assert_eq!(claimed[0].job.priority.get(), 0);
    });
}

#[test]
fn a_delayed_job_is_never_early() {
    on_redis(async |world| {
        let instance = world.instance();
        let job = NewJob::new(data(1)).delay(HOUR);
        let id = instance.jobs().enqueue_with(&mail(), job).await.unwrap().id;
        put(&instance, 2).await;
        assert_eq!(number(&claim_one(&instance).await.job.data), 2);
        assert!(claim(&instance, 1).await.is_empty());
        let view = instance.jobs().view(&mail(), &id).await.unwrap();
        assert_eq!(view.state, State::Delayed);
        assert_eq!(view.at.unwrap().since(view.enqueued), HOUR, "to the millisecond");
        // The job is due in at most a minute, and then immediately.
        let time: (u64, u64) = world.ask(&["TIME"]).await;
        let soon = ((time.0 + 60) * 1000).to_string();
        world.tell(&["ZADD", &part("d"), &soon, id.as_str()]).await;
        assert!(claim(&instance, 1).await.is_empty());
        due(world, "d").await;
        let claimed = claim_one(&instance).await;
        assert_eq!((claimed.id(), claimed.job.attempt), (&id, 1));
    });
}

#[test]
fn a_delayed_job_has_its_place_from_when_it_is_due() {
    on_redis(async |world| {
        let instance = world.instance();
        for delayed in [1, 2] {
            instance.jobs().enqueue_with(&mail(), NewJob::new(data(delayed)).delay(HOUR)).await.unwrap();
        }
        due(world, "d").await;
        // There was no claim since then.
        put(&instance, 3).await;
        let mut order: Vec<u32> = claim(&instance, 9).await.iter().map(|one| number(&one.job.data)).collect();
        order[..2].sort_unstable();
        assert_eq!(order, [1, 2, 3]);
    });
}

#[test]
fn an_idempotency_key_gives_the_first_job_to_everybody() {
    on_redis(async |world| {
        let instances: Vec<Instance> = (0..20).map(|_| world.instance()).collect();
        let (queue, key) = (mail(), IdempotencyKey::new("order-7").unwrap());
        let job = |number| NewJob::new(data(number)).idempotency_key(key.clone());
        let enqueued = join_all(instances.iter().map(|one| one.jobs().enqueue_with(&queue, job(1)))).await;
        let enqueued: Vec<_> = enqueued.into_iter().map(Result::unwrap).collect();
        assert_eq!(enqueued.iter().filter(|one| one.new).count(), 1);
        assert!(enqueued.iter().all(|one| one.id == enqueued[0].id));
        assert_eq!(instances[0].jobs().statistics(&mail()).await.unwrap().ready, 1);
        let other = instances[0].jobs().enqueue_with(&mail(), job(2)).await;
        assert_eq!(other, Err(JobError::KeyReused(enqueued[0].id.clone())));
        claim_one(&instances[0]).await.ack().await.unwrap();
        let later = instances[1].jobs().enqueue_with(&mail(), job(1)).await.unwrap();
        assert_eq!((later.id, later.new), (enqueued[0].id.clone(), false), "it is done, and still the same");
    });
}

#[test]
fn a_batch_is_enqueued_as_a_whole_or_not_at_all() {
    on_redis(async |world| {
        let instance = world.instance();
        let keyed =
            |number, key: &str| NewJob::new(data(number)).idempotency_key(IdempotencyKey::new(key).unwrap());
        let first = instance.jobs().enqueue_all(&mail(), vec![keyed(1, "a"), keyed(2, "b")]).await.unwrap();
        assert!(first.iter().all(|one| one.new));
        let again = instance.jobs().enqueue_all(&mail(), vec![keyed(2, "b"), keyed(3, "c")]).await.unwrap();
        assert_eq!((again[0].id.clone(), again[0].new, again[1].new), (first[1].id.clone(), false, true));
        let refused = instance.jobs().enqueue_all(&mail(), vec![keyed(4, "d"), keyed(9, "a")]).await;
        assert_eq!(refused, Err(JobError::KeyReused(first[0].id.clone())));
        assert_eq!(instance.jobs().statistics(&mail()).await.unwrap().ready, 3);
        let twice = instance.jobs().enqueue_all(&mail(), vec![keyed(5, "e"), keyed(6, "e")]).await;
        assert_eq!(twice, Err(JobError::KeyTwice(IdempotencyKey::new("e").unwrap())));
        let many = (0..101).map(|number| NewJob::new(data(number))).collect();
        assert_eq!(instance.jobs().enqueue_all(&mail(), many).await, Err(JobError::TooManyJobs(101)));
        assert_eq!(
            instance.jobs().statistics(&mail()).await.unwrap().ready,
            3,
            "nothing is left out in silence"
        );
    });
}

#[test]
fn a_paused_queue_gives_nothing_and_takes_everything() {
    on_redis(async |world| {
        let instance = world.instance();
        put(&instance, 1).await;
        let claimed = claim_one(&instance).await;
        instance.jobs().pause(&mail()).await.unwrap();
        put(&instance, 2).await;
        assert!(claim(&instance, 1).await.is_empty());
        assert_eq!(instance.jobs().dequeue(&mail()).await.unwrap(), None);
        let statistics = instance.jobs().statistics(&mail()).await.unwrap();
        assert_eq!((statistics.paused.as_deref(), statistics.ready), (Some("paused"), 1));
        claimed.ack().await.unwrap();
        instance.jobs().go_on(&mail()).await.unwrap();
        assert_eq!(number(&claim_one(&instance).await.job.data), 2);
    });
}

#[test]
fn a_claim_waits_for_the_first_job() {
    on_redis(async |world| {
        let (worker, producer) = (world.instance(), world.instance());
        let waiting = Claim::default().wait(Duration::from_secs(20));
        let queue = mail();
        // The worker's clock stands still, so that the wait does not end by itself.
        let (claimed, id) = join(worker.jobs().claim(&queue, waiting), async {
            tokio::task::yield_now().await;
            put(&producer, 1).await
        })
        .await;
        assert_eq!(claimed.unwrap()[0].id(), &id);
        let (none, ()) = join(worker.jobs().claim(&queue, waiting), async {
            tokio::task::yield_now().await;
            world.clock.advance_secs(21);
        })
        .await;
        assert!(none.unwrap().is_empty());
        // Setting the wall clock back does not prolong a wait.
        let (none, ()) = join(worker.jobs().claim(&queue, waiting), async {
            tokio::task::yield_now().await;
            world.clock.set_back(HOUR);
            world.clock.advance_secs(21);
        })
        .await;
        assert!(none.unwrap().is_empty());
    });
}

#[test]
fn queues_do_not_see_each_other_whatever_they_are_called() {
    on_redis(async |world| {
        let instance = world.instance();
        let names = ["a", "a}", "{a}", "a:r", "a/b", "größe", " "];
        for (number, name) in (0..).zip(names) {
            let queue = QueueName::new(name).unwrap();
            instance.jobs().enqueue(&queue, data(number)).await.unwrap();
        }
        for (expected, name) in (0..).zip(names) {
            let queue = QueueName::new(name).unwrap();
            let job = instance.jobs().dequeue(&queue).await.unwrap().unwrap();
            assert_eq!(number(&job.data), expected, "{name}");
            assert!(instance.jobs().dequeue(&queue).await.unwrap().is_none());
        }
        let mut listed = instance.jobs().queues(0, 100).await.unwrap();
        listed.sort();
        let mut expected: Vec<_> = names.iter().map(|name| QueueName::new(name).unwrap()).collect();
        expected.sort();
        assert_eq!(listed, expected);
    });
}

#[test]
fn statistics_have_the_age_of_the_oldest_over_all_priorities() {
    on_redis(async |world| {
        let instance = world.instance();
        let never = instance.jobs().statistics(&QueueName::new("never").unwrap()).await.unwrap();
        assert_eq!((never.ready, never.oldest, never.paused), (0, None, None));
        let old = NewJob::new(data(1)).priority(Priority::new(4000).unwrap());
        let old = instance.jobs().enqueue_with(&mail(), old).await.unwrap().id;
        put(&instance, 2).await;
        let since: u64 = world.ask(&["HGET", &key_of(&old), "w"]).await;
        world.tell(&["HSET", &key_of(&old), "w", &(since - 3_600_000).to_string()]).await;
        let statistics = instance.jobs().statistics(&mail()).await.unwrap();
        let oldest = statistics.oldest.unwrap();
        assert!(oldest >= HOUR && oldest < 2 * HOUR, "{oldest:?}");
        assert_eq!((statistics.ready, counted(&instance, "enqueued").await), (2, 2));
        assert_eq!(instance.jobs().queues(0, 10).await.unwrap(), [mail()]);
    });
}
