//! The job queue on a real Redis: order, leases, retries, dead letters, and what happens when workers die.

use crate::support::env::TestEnv;
use crate::support::proxy::{Mode, Proxy};
use crate::support::{Instance, PREFIX, World, on_redis};
use futures_util::future::{join, join_all};
use spindrift::job::{
    Claim, Claimed, Cron, Data, IdempotencyKey, JobError, JobId, Missed, NewJob, Priority, QueueName,
    Schedule, ScheduleName, State, Verdict, tick,
};
use spindrift::redis::{Keys, RedisError};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
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
        // One second is left, and then none.
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
fn a_job_that_kills_its_workers_ends_among_the_dead_letters() {
    on_redis(async |world| {
        let instance = world.instance();
        let job = NewJob::new(data(1)).max_attempts(3);
        let id = instance.jobs().enqueue_with(&mail(), job).await.unwrap().id;
        for attempt in 1..=3 {
            assert_eq!(claim_one(&instance).await.job.attempt, attempt);
            assert!(claim(&instance, 1).await.is_empty(), "it is in flight");
            due(world, "l").await;
        }
        assert!(claim(&instance, 1).await.is_empty());
        let view = instance.jobs().view(&mail(), &id).await.unwrap();
        assert_eq!((view.state, view.attempts), (State::Dead, 3));
        assert_eq!(view.error.as_deref(), Some("its lease expired"));
        assert_eq!((counted(&instance, "expired").await, counted(&instance, "died").await), (3, 1));
    });
}

#[test]
fn a_failed_job_is_retried_after_its_backoff_and_dies_after_the_last_attempt() {
    on_redis(async |world| {
        let file = "[[queue]]\nname = \"mail\"\nmax_attempts = 2\nbackoff = \"10m\"\n";
        let instance = world.instance_with(file);
        let id = put(&instance, 1).await;
        put(&instance, 2).await;
        let claimed = claim_one(&instance).await;
        assert_eq!(claimed.job.max_attempts, 2);
        let before = claimed.until();
        let ended = claimed.retry("Ann is away").await.unwrap();
        assert_eq!(ended.state, State::Delayed);
        // The lease was for 30 s, and the backoff is 5 to 10 minutes.
        let wait = ended.due.unwrap().since(before).as_secs();
        assert!((270..=600).contains(&wait), "{wait}");
        assert_eq!(instance.jobs().view(&mail(), &id).await.unwrap().error.as_deref(), Some("Ann is away"));
        due(world, "d").await;
        let order = claim(&instance, 2).await;
        assert_eq!(order.iter().map(|one| number(&one.job.data)).collect::<Vec<_>>(), [2, 1]);
        let last = order.into_iter().next_back().unwrap();
        assert_eq!((last.id(), last.job.attempt), (&id, 2));
        assert_eq!(last.retry("still away").await.unwrap().state, State::Dead);
        assert_eq!(state(&instance, &id).await, State::Dead);
    });
}

#[test]
fn a_released_job_has_its_place_again_and_the_attempt_does_not_count() {
    on_redis(async |world| {
        let instance = world.instance();
        for number in 0..3 {
            put(&instance, number).await;
        }
        let first = claim_one(&instance).await;
        assert_eq!(first.release().await.unwrap().state, State::Ready);
        let order = claim(&instance, 3).await;
        assert_eq!(order.iter().map(|one| number(&one.job.data)).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(order[0].job.attempt, 1);
        // The same when a lease is over: it counts, and the place is kept.
        due(world, "l").await;
        let again = claim(&instance, 3).await;
        assert_eq!(again.iter().map(|one| number(&one.job.data)).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(again[0].job.attempt, 2);
    });
}

#[test]
fn a_stale_worker_is_told_so_and_changes_nothing() {
    on_redis(async |world| {
        let instance = world.instance();
        let id = put(&instance, 1).await;
        let (stale, token) = {
            let stale = claim_one(&instance).await;
            let token = stale.token().clone();
            (stale, token)
        };
        due(world, "l").await;
        let current = claim_one(&instance).await;
        assert_eq!(stale.ack().await, Err(JobError::LeaseLost));
        let resumed = || instance.jobs().resume(&mail(), id.clone(), token.clone());
        assert_eq!(resumed().retry("late").await, Err(JobError::LeaseLost));
        assert_eq!(resumed().release().await, Err(JobError::LeaseLost));
        assert_eq!(resumed().bury("late").await, Err(JobError::LeaseLost));
        assert_eq!(resumed().extend(HOUR).await, Err(JobError::LeaseLost));
        assert_eq!(state(&instance, &id).await, State::Leased);
        assert_eq!(current.ack().await, Ok(()));
        assert_eq!(resumed().ack().await, Err(JobError::LeaseLost));
        assert_eq!(counted(&instance, "completed").await, 1);
    });
}

#[test]
fn a_lease_that_is_over_but_given_to_nobody_still_holds() {
    on_redis(async |world| {
        let instance = world.instance();
        put(&instance, 1).await;
        let claimed = claim_one(&instance).await;
        due(world, "l").await;
        assert_eq!(claimed.ack().await, Ok(()));
        assert!(claim(&instance, 1).await.is_empty());
    });
}

#[test]
fn the_same_end_of_a_lease_gets_the_same_answer_and_another_is_refused() {
    on_redis(async |world| {
        let instance = world.instance();
        let ids = [put(&instance, 1).await, put(&instance, 2).await, put(&instance, 3).await];
        let claimed = claim(&instance, 3).await;
        let tokens: Vec<_> = claimed.iter().map(|one| one.token().clone()).collect();
        let resume = |at: usize| instance.jobs().resume(&mail(), ids[at].clone(), tokens[at].clone());
        assert_eq!((resume(0).ack().await, resume(0).ack().await), (Ok(()), Ok(())));
        assert_eq!(resume(0).retry("").await, Err(JobError::Ended("ack".to_owned())));
        let first = resume(1).retry_after(HOUR, "").await.unwrap();
        assert_eq!(resume(1).retry_after(2 * HOUR, "").await, Ok(first), "when it was said to be due");
        assert_eq!(resume(1).ack().await, Err(JobError::Ended("retry".to_owned())));
        let buried = resume(2).bury("bad").await.unwrap();
        assert_eq!((buried.state, resume(2).bury("bad").await), (State::Dead, Ok(buried)));
        let counts = [counted(&instance, "completed").await, counted(&instance, "retried").await];
        assert_eq!((counts, counted(&instance, "died").await), ([1, 1], 1));
        let unknown = instance.jobs().resume(&mail(), JobId::new("none").unwrap(), tokens[0].clone());
        assert_eq!(unknown.ack().await, Err(JobError::NoSuchJob));
        drop(claimed);
    });
}

#[test]
fn a_lease_can_be_made_longer_and_shorter() {
    on_redis(async |world| {
        let instance = world.instance();
        let id = put(&instance, 1).await;
        let mut claimed = claim_one(&instance).await;
        let before = claimed.until();
        let until = claimed.extend(HOUR).await.unwrap();
        assert!(until.since(before) > Duration::from_secs(3000), "{before:?} {until:?}");
        let view = instance.jobs().view(&mail(), &id).await.unwrap();
        assert_eq!((view.state, view.at), (State::Leased, Some(until)));
        assert!(claimed.extend(Duration::from_secs(60)).await.unwrap() < until);
        claimed.ack().await.unwrap();
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
fn dead_letters_are_listed_replayed_and_dropped() {
    on_redis(async |world| {
        let instance = world.instance();
        let mut ids = Vec::new();
        for number in 0..5 {
            ids.push(put(&instance, number).await);
        }
        for claimed in claim(&instance, 5).await {
            claimed.bury("nobody can").await.unwrap();
        }
        let list = async |after| instance.jobs().dead_letters(&mail(), after, 2).await.unwrap();
        let first = list(None).await;
        let second = list(first.next).await;
        let third = list(second.next).await;
        let pages = [&first, &second, &third];
        let listed: Vec<_> =
            pages.iter().flat_map(|page| page.letters.iter().map(|it| it.id.clone())).collect();
        assert_eq!((listed, third.next), (ids.clone(), None));
        assert_eq!(first.letters[0].error.as_deref(), Some("nobody can"));
        assert_eq!(first.letters[0].data.as_ref().map(number), Some(0));
        instance.jobs().sentence(&mail(), &ids[0], Verdict::Replay).await.unwrap();
        let claimed = claim_one(&instance).await;
        assert_eq!((claimed.id(), claimed.job.attempt), (&ids[0], 1), "with all its attempts");
        claimed.ack().await.unwrap();
        instance.jobs().sentence(&mail(), &ids[1], Verdict::Drop).await.unwrap();
        assert_eq!(state(&instance, &ids[1]).await, State::Dropped);
        for verdict in [Verdict::Replay, Verdict::Drop] {
            assert_eq!(instance.jobs().sentence(&mail(), &ids[1], verdict).await, Err(JobError::NoSuchJob));
        }
        let all = instance.jobs().sentence_all(&mail(), Verdict::Replay).await.unwrap();
        assert_eq!((all.done, all.left, claim(&instance, 9).await.len()), (3, 0, 3));
    });
}

#[test]
fn all_of_many_dead_letters_go_at_once() {
    on_redis(async |world| {
        let instance = world.instance();
        for batch in 0..3 {
            let jobs = (0..100).map(|number| NewJob::new(data(batch * 100 + number)));
            instance.jobs().enqueue_all(&mail(), jobs.collect()).await.unwrap();
            for claimed in claim(&instance, 100).await {
                claimed.bury("").await.unwrap();
            }
        }
        let all = instance.jobs().sentence_all(&mail(), Verdict::Drop).await.unwrap();
        assert_eq!((all.done, all.left), (300, 0));
        assert_eq!(instance.jobs().statistics(&mail()).await.unwrap().dead, 0);
    });
}

#[test]
fn there_are_ten_thousand_dead_letters_at_most_and_the_oldest_go() {
    on_redis(async |world| {
        let instance = world.instance();
        let fill = "for i = 1, 10000 do redis.call('ZADD', KEYS[1], ARGV[1] + i, 'old-' .. i) end redis.call('PEXPIRE', KEYS[1], 99999)";
        let time: (u64, u64) = world.ask(&["TIME"]).await;
        let recently = ((time.0 - 60) * 1_000_000).to_string();
        world.tell(&["EVAL", fill, "1", &part("x"), &recently]).await;
        world.tell(&["SET", &key_of(&JobId::new("old-1").unwrap()), "x", "EX", "99"]).await;
        put(&instance, 1).await;
        claim_one(&instance).await.bury("").await.unwrap();
        assert_eq!(instance.jobs().statistics(&mail()).await.unwrap().dead, 10_000);
        let gone: (Option<String>, i64) = (
            world.ask(&["ZSCORE", &part("x"), "old-1"]).await,
            world.ask(&["EXISTS", &key_of(&JobId::new("old-1").unwrap())]).await,
        );
        assert_eq!(gone, (None, 0));
        // And those that are older than 30 days, however few there are.
        let long_ago = ((time.0 - 31 * 24 * 3600) * 1_000_000).to_string();
        world.tell(&["ZADD", &part("x"), &long_ago, "old-2"]).await;
        put(&instance, 2).await;
        claim_one(&instance).await.bury("").await.unwrap();
        assert_eq!(world.ask::<Option<String>>(&["ZSCORE", &part("x"), "old-2"]).await, None);
    });
}

#[test]
fn a_job_that_is_not_in_flight_can_be_removed() {
    on_redis(async |world| {
        let instance = world.instance();
        let ready = put(&instance, 1).await;
        let delayed =
            instance.jobs().enqueue_with(&mail(), NewJob::new(data(2)).delay(HOUR)).await.unwrap().id;
        for id in [&ready, &delayed] {
            instance.jobs().remove(&mail(), id).await.unwrap();
            assert_eq!(state(&instance, id).await, State::Removed);
            assert_eq!(instance.jobs().remove(&mail(), id).await, Err(JobError::NoSuchJob));
        }
        let leased = put(&instance, 3).await;
        let claimed = claim_one(&instance).await;
        assert_eq!(claimed.id(), &leased);
        assert_eq!(instance.jobs().remove(&mail(), &leased).await, Err(JobError::InFlight));
        claimed.ack().await.unwrap();
        let statistics = instance.jobs().statistics(&mail()).await.unwrap();
        assert_eq!((statistics.ready, statistics.delayed, statistics.leased), (0, 0, 0));
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

#[test]
fn a_claim_waits_for_the_first_job() {
    on_redis(async |world| {
        let (worker, producer) = (world.instance(), world.instance());
        let waiting = Claim::default().wait(Duration::from_secs(20));
        let queue = mail();
        // The clock of the worker stands still, so that the wait never ends by itself.
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
    });
}

#[test]
fn jobs_whose_data_redis_lost_are_counted_and_passed_over() {
    on_redis(async |world| {
        let instance = world.instance();
        let lost = [put(&instance, 1).await, put(&instance, 2).await];
        put(&instance, 3).await;
        for id in &lost {
            world.tell(&["DEL", &key_of(id)]).await;
        }
        assert_eq!(number(&claim_one(&instance).await.job.data), 3);
        assert_eq!(counted(&instance, "lost").await, 2);
    });
}

#[test]
fn nothing_depends_on_what_redis_remembers_of_scripts() {
    on_redis(async |world| {
        let instance = world.instance();
        let forget = async || world.tell(&["SCRIPT", "FLUSH"]).await;
        forget().await;
        let id = put(&instance, 1).await;
        forget().await;
        let claimed = claim_one(&instance).await;
        forget().await;
        assert_eq!(state(&instance, &id).await, State::Leased);
        forget().await;
        claimed.ack().await.unwrap();
        forget().await;
        assert_eq!(instance.jobs().statistics(&mail()).await.unwrap().ready, 0);
    });
}

#[test]
fn what_is_sent_twice_because_a_reply_was_lost_happens_once() {
    on_redis(async |world| {
        let proxy = Proxy::start(world.server.port()).await;
        let instance = world.instance_at(&proxy.url(), "");
        instance.jobs().statistics(&mail()).await.unwrap();
        put(&instance, 0).await;
        claim_one(&instance).await.ack().await.unwrap();
        proxy.set(Mode::LoseReply);
        put(&instance, 1).await;
        assert_eq!(proxy.accepted(), 2);
        assert_eq!(instance.jobs().statistics(&mail()).await.unwrap().ready, 1, "enqueued once");
        put(&instance, 2).await;
        proxy.set(Mode::LoseReply);
        let claimed = claim_one(&instance).await;
        assert_eq!((number(&claimed.job.data), claimed.job.attempt), (1, 1));
        assert_eq!(instance.jobs().statistics(&mail()).await.unwrap().leased, 1, "claimed once");
        proxy.set(Mode::LoseReply);
        claimed.ack().await.unwrap();
        assert_eq!(counted(&instance, "completed").await, 2);
        proxy.set(Mode::LoseReply);
        let job = instance.jobs().dequeue(&mail()).await.unwrap().unwrap();
        assert_eq!((number(&job.data), counted(&instance, "completed").await), (2, 3));
        assert_eq!(proxy.accepted(), 5);
    });
}

#[test]
fn a_full_redis_refuses_new_jobs_and_lets_those_there_be_done() {
    on_redis(async |world| {
        let instance = world.instance();
        put(&instance, 1).await;
        put(&instance, 2).await;
        world.tell(&["CONFIG", "SET", "maxmemory", "1"]).await;
        let refused = instance.jobs().enqueue(&mail(), data(3)).await;
        assert!(matches!(refused, Err(JobError::Redis(RedisError::Unavailable(_)))), "{refused:?}");
        claim_one(&instance).await.ack().await.unwrap();
        claim_one(&instance).await.retry("").await.unwrap();
        world.tell(&["CONFIG", "SET", "maxmemory", "0"]).await;
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

/// CRC16/XMODEM of what stands in the first braces, as a cluster has it.
fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or(key, |(tag, _)| tag);
    let crc = tag.bytes().fold(0u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    });
    crc % 16_384
}

#[test]
fn every_key_of_a_queue_is_in_one_slot_and_ends_some_time() {
    assert_eq!((slot("foo"), slot("{user1000}.following"), slot("123456789")), (12_182, 3443, 12_739));
    on_redis(async |world| {
        let instance = world.instance();
        let key = IdempotencyKey::new("k").unwrap();
        let jobs = [
            NewJob::new(data(1)).idempotency_key(key),
            NewJob::new(data(2)).delay(HOUR),
            NewJob::new(data(3)),
            NewJob::new(data(4)),
            NewJob::new(data(5)),
        ];
        instance.jobs().enqueue_all(&mail(), jobs.to_vec()).await.unwrap();
        claim_one(&instance).await.ack().await.unwrap();
        claim_one(&instance).await.bury("").await.unwrap();
        let _held = claim_one(&instance).await;
        let (name, schedule) = (ScheduleName::new("nightly").unwrap(), every_minute(world));
        instance.jobs().set_schedule(&mail(), &name, &schedule).await.unwrap();
        let keys = world.keys().await;
        let of_queue: Vec<&String> = keys.iter().filter(|key| key.starts_with("sd:{q:mail}")).collect();
        let kinds = |kind: &str| of_queue.iter().any(|key| key.starts_with(&format!("sd:{{q:mail}}:{kind}")));
        assert!(["r", "d", "l", "x", "c", "n", "j:", "t:", "u:"].into_iter().all(kinds), "{of_queue:?}");
        assert!(of_queue.iter().all(|key| slot(key) == slot("{q:mail}")), "{of_queue:?}");
        for key in &of_queue {
            let ttl: i64 = world.ask(&["PTTL", key]).await;
            assert!(ttl > 0, "{key}");
            // A part of the queue lives for 30 days from when it was touched last, to the hour.
            if !["t:", "u:", "j:"].iter().any(|kind| key.starts_with(&format!("sd:{{q:mail}}:{kind}"))) {
                assert!(ttl > (30 * 24 - 1) * 3_600_000, "{key}: {ttl}");
            }
        }
    });
}

#[test]
fn a_part_of_a_queue_that_is_touched_lives_on() {
    on_redis(async |world| {
        let instance = world.instance();
        put(&instance, 1).await;
        let all = ["sd:{q:mail}".to_owned(), part("r")];
        for key in &all {
            world.tell(&["PEXPIRE", key, "60000"]).await;
        }
        put(&instance, 2).await;
        for key in &all {
            assert!(world.ask::<i64>(&["PTTL", key]).await > 60_000, "{key}");
        }
    });
}

/// A worker among many: what it does with what it gets.
async fn work(instance: &Instance, left: &Cell<usize>, mut each: impl AsyncFnMut(Claimed<'_, TestEnv>)) {
    while left.get() > 0 {
        let claimed = claim(instance, 5).await;
        if claimed.is_empty() {
            tokio::task::yield_now().await;
        }
        for one in claimed {
            each(one).await;
        }
    }
}

async fn fill(instance: &Instance, count: u32) {
    for batch in 0..count / 100 {
        let job = |number| NewJob::new(data(batch * 100 + number)).max_attempts(1000);
        instance.jobs().enqueue_all(&mail(), (0..100).map(job).collect()).await.unwrap();
    }
}

#[test]
fn ten_thousand_jobs_and_fifty_workers_each_is_done_exactly_once_when_nobody_dies() {
    on_redis(async |world| {
        const COUNT: u32 = 10_000;
        let producer = world.instance();
        let workers: Vec<Instance> = (0..50).map(|_| world.instance()).collect();
        let done: RefCell<HashMap<u32, u32>> = RefCell::default();
        let left = Cell::new(COUNT as usize);
        let working = join_all(workers.iter().map(|worker| {
            work(worker, &left, async |claimed: Claimed<'_, _>| {
                *done.borrow_mut().entry(number(&claimed.job.data)).or_default() += 1;
                left.set(left.get() - 1);
                claimed.ack().await.unwrap();
            })
        }));
        join(fill(&producer, COUNT), working).await;
        let done = done.into_inner();
        assert_eq!(done.len(), COUNT as usize);
        assert!(done.values().all(|times| *times == 1));
        let statistics = producer.jobs().statistics(&mail()).await.unwrap();
        assert_eq!((statistics.ready, statistics.leased, statistics.dead), (0, 0, 0));
        assert_eq!(counted(&producer, "completed").await, u64::from(COUNT));
    });
}

#[test]
fn ten_thousand_jobs_and_workers_that_die_at_random_none_is_lost() {
    on_redis(async |world| {
        const COUNT: u32 = 10_000;
        let producer = world.instance();
        let workers: Vec<Instance> = (0..50).map(|_| world.instance()).collect();
        let done: RefCell<HashMap<u32, u32>> = RefCell::default();
        let left = Cell::new(COUNT as usize);
        let (dice, killed) = (Cell::new(1u32), Cell::new(0));
        let dies = || {
            dice.set(dice.get().wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
            dice.get() >> 16 & 7 == 0
        };
        let working = join_all(workers.iter().map(|worker| {
            work(worker, &left, async |claimed: Claimed<'_, _>| {
                // It dies before its work or before it can say that it is done.
                if dies() {
                    killed.set(killed.get() + 1);
                    return;
                }
                let number = number(&claimed.job.data);
                if claimed.ack().await.is_ok() {
                    *done.borrow_mut().entry(number).or_default() += 1;
                    left.set(left.get() - 1);
                }
            })
        }));
        let reaping = async {
            while left.get() > 0 {
                due(world, "l").await;
                tokio::task::yield_now().await;
            }
        };
        join(fill(&producer, COUNT), join(working, reaping)).await;
        let done = done.into_inner();
        assert_eq!(done.len(), COUNT as usize, "none is lost");
        assert!(done.values().all(|times| *times == 1), "none is acknowledged twice");
        assert!(killed.get() > 500, "{}", killed.get());
        let statistics = producer.jobs().statistics(&mail()).await.unwrap();
        assert_eq!((statistics.ready, statistics.leased, statistics.dead), (0, 0, 0));
        assert_eq!(counted(&producer, "lost").await, 0);
    });
}

/// The commands that the manual says a user of Redis has to be allowed.
fn commands_of_the_manual() -> Vec<&'static str> {
    let manual = include_str!("../../docs/operations.md");
    let (_, from) = manual.split_once("ACL SETUSER spindrift on").unwrap();
    let (list, _) = from.split_once("\n### ").unwrap();
    let words = list.split_whitespace().map(|word| word.trim_matches(['`', '.', ',']));
    words.filter(|word| word.starts_with('+')).collect()
}

#[test]
fn the_permissions_in_the_manual_are_enough() {
    on_redis(async |world| {
        let mut user = vec!["ACL", "SETUSER", "spindrift", "on", ">p", "resetkeys", "resetchannels", "-@all"];
        user.extend(["~sd:*", "&spindrift"]);
        user.extend(commands_of_the_manual());
        world.tell(&user).await;
        let address = format!("redis://spindrift:p@127.0.0.1:{}", world.server.port());
        let instance = world.instance_at(&address, "");
        let key = IdempotencyKey::new("k").unwrap();
        let jobs = (0..6).map(|number| NewJob::new(data(number)));
        let jobs = jobs.chain([NewJob::new(data(6)).idempotency_key(key), NewJob::new(data(7)).delay(HOUR)]);
        instance.jobs().enqueue_all(&mail(), jobs.collect()).await.unwrap();
        due(world, "d").await;
        let mut claimed = claim(&instance, 4).await;
        claimed[0].extend(HOUR).await.unwrap();
        for (at, one) in claimed.drain(..).enumerate() {
            match at {
                0 => one.ack().await.unwrap(),
                1 => one.retry_after(HOUR, "").await.map(|_| ()).unwrap(),
                2 => one.release().await.map(|_| ()).unwrap(),
                _ => one.bury("").await.map(|_| ()).unwrap(),
            }
        }
        let page = instance.jobs().dead_letters(&mail(), None, 9).await.unwrap();
        instance.jobs().sentence(&mail(), &page.letters[0].id, Verdict::Replay).await.unwrap();
        instance.jobs().remove(&mail(), &page.letters[0].id).await.unwrap();
        instance.jobs().sentence_all(&mail(), Verdict::Drop).await.unwrap();
        instance.jobs().dequeue(&mail()).await.unwrap().unwrap();
        drop(claim(&instance, 1).await);
        due(world, "l").await;
        assert_eq!(claim(&instance, 1).await.len(), 1);
        instance.jobs().pause(&mail()).await.unwrap();
        instance.jobs().go_on(&mail()).await.unwrap();
        instance.jobs().statistics(&mail()).await.unwrap();
        assert_eq!(instance.jobs().queues(0, 9).await.unwrap(), [mail()]);
        let (name, schedule) = (ScheduleName::new("s").unwrap(), every_minute(world));
        instance.jobs().set_schedule(&mail(), &name, &schedule).await.unwrap();
        world.tell(&["ZADD", &part("n"), "1", "s"]).await;
        instance.jobs().fire(&mail()).await.unwrap();
        instance.jobs().remove_schedule(&mail(), &name).await.unwrap();
        tick(&instance.app, instance.shared(), Duration::ZERO).await.unwrap();
    });
}
