//! What Redis stores, expires and refuses.

use super::{
    HOUR, claim, claim_one, counted, data, due, every_minute, key_of, mail, number, part, put, state,
};
use crate::support::on_redis;
use crate::support::proxy::{Mode, Proxy};
use spindrift::job::{IdempotencyKey, Idle, JobError, NewJob, Priority, ScheduleName, State, Verdict, tick};
use spindrift::redis::RedisError;
use std::time::Duration;

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
fn however_many_jobs_are_lost_those_behind_them_are_found() {
    on_redis(async |world| {
        let instance = world.instance();
        let jobs: Vec<NewJob> = (0..100).map(|number| NewJob::new(data(number))).collect();
        for _ in 0..3 {
            for lost in instance.jobs().enqueue_all(&mail(), jobs.clone()).await.unwrap() {
                world.tell(&["DEL", &key_of(&lost.id)]).await;
            }
        }
        put(&instance, 7).await;
        assert_eq!(number(&claim_one(&instance).await.job.data), 7);
        assert_eq!(counted(&instance, "lost").await, 300);
    });
}

#[test]
fn lost_jobs_make_the_oldest_no_younger_and_go_when_others_come() {
    on_redis(async |world| {
        let instance = world.instance();
        let lost = [put(&instance, 1).await, put(&instance, 2).await, put(&instance, 3).await];
        let there = put(&instance, 4).await;
        for id in &lost {
            world.tell(&["DEL", &key_of(id)]).await;
        }
        let time: (u64, u64) = world.ask(&["TIME"]).await;
        world.tell(&["HSET", &key_of(&there), "w", &((time.0 - 3600) * 1000).to_string()]).await;
        let statistics = async || instance.jobs().statistics(&mail()).await.unwrap();
        let age = |oldest: Option<Duration>| oldest.is_some_and(|age| age >= HOUR && age < 2 * HOUR);
        let before = statistics().await;
        assert!(before.ready == 4 && age(before.oldest), "{before:?}");
        for (number, ready) in [(5, 3), (6, 3), (7, 4)] {
            put(&instance, number).await;
            assert_eq!(statistics().await.ready, ready);
        }
        assert_eq!(counted(&instance, "lost").await, 3);
    });
}

#[test]
fn the_oldest_job_may_be_the_least_urgent_of_many_priorities() {
    on_redis(async |world| {
        let instance = world.instance();
        let with = |priority: u16| NewJob::new(data(0)).priority(Priority::new(priority).unwrap());
        let mut last = None;
        for hundred in 0..6 {
            let jobs = (0..100).map(|one| with(hundred * 100 + one)).collect();
            last = instance.jobs().enqueue_all(&mail(), jobs).await.unwrap().pop();
        }
        world.tell(&["HSET", &key_of(&last.unwrap().id), "w", "1"]).await;
        let oldest = instance.jobs().statistics(&mail()).await.unwrap().oldest;
        assert!(oldest.is_some_and(|age| age > 24 * HOUR), "{oldest:?}");
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
fn that_the_list_of_queues_cannot_be_written_is_logged_once_a_minute() {
    on_redis(async |world| {
        let proxy = Proxy::start(world.server.port()).await;
        proxy.set(Mode::Drop);
        let instance = world.instance_at(&proxy.url(), "");
        let enqueue = async || assert!(instance.jobs().enqueue(&mail(), data(1)).await.is_err());
        let said = || {
            let lines = instance.env.log_lines();
            lines.iter().filter(|line| line.contains("not added to the list of queues")).count()
        };
        for _ in 0..3 {
            enqueue().await;
        }
        assert_eq!(said(), 1, "{:?}", instance.env.log_lines());
        world.clock.advance_secs(60);
        enqueue().await;
        assert_eq!(said(), 2);
    });
}

/// CRC16/XMODEM of the text in the first braces, as a cluster computes it.
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
            // A part of the queue lives for 30 days from its last use, rounded to the hour.
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

#[test]
fn a_queue_lives_as_long_as_what_was_put_off() {
    on_redis(async |world| {
        let instance = world.instance();
        put(&instance, 1).await;
        claim_one(&instance).await.retry_after(100 * 24 * HOUR, "away").await.unwrap();
        for key in ["sd:{q:mail}".to_owned(), part("d")] {
            assert!(world.ask::<i64>(&["PTTL", &key]).await > 129 * 24 * 3_600_000, "{key}");
        }
    });
}

/// The commands that, according to the manual, a Redis user must be allowed.
pub(crate) fn commands_of_the_manual() -> Vec<&'static str> {
    let manual = include_str!("../../../docs/operations.md");
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
        instance.jobs().empty(&mail(), &[Idle::Delayed]).await.unwrap();
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
