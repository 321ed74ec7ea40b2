//! Dead letters, and jobs that are removed.

use super::{HOUR, claim, claim_one, counted, data, key_of, mail, number, part, put, state};
use crate::support::{Instance, World, on_redis};
use spindrift::job::{JobError, JobId, NewJob, State, Verdict};

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

/// Dead letters; Redis has lost the first of them.
async fn dead_and_the_first_lost(world: &World, instance: &Instance) -> Vec<JobId> {
    let mut ids = Vec::new();
    for number in 0..4 {
        ids.push(put(instance, number).await);
    }
    for claimed in claim(instance, 4).await {
        claimed.bury("").await.unwrap();
    }
    world.tell(&["UNLINK", &key_of(&ids[0])]).await;
    ids
}

#[test]
fn a_dead_letter_that_was_lost_hides_no_other() {
    on_redis(async |world| {
        let instance = world.instance();
        let ids = dead_and_the_first_lost(world, &instance).await;
        for size in 1..=5 {
            let (mut listed, mut after) = (Vec::new(), None);
            loop {
                let page = instance.jobs().dead_letters(&mail(), after, size).await.unwrap();
                listed.extend(page.letters.into_iter().map(|letter| letter.id));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(listed, ids[1..], "in pages of {size}");
        }
    });
}

#[test]
fn a_dead_letter_that_was_lost_is_not_said_to_be_replayed() {
    on_redis(async |world| {
        let instance = world.instance();
        let ids = dead_and_the_first_lost(world, &instance).await;
        let one = instance.jobs().sentence(&mail(), &ids[0], Verdict::Replay).await;
        assert_eq!((one, counted(&instance, "lost").await), (Err(JobError::NoSuchJob), 1));
        world.tell(&["UNLINK", &key_of(&ids[1])]).await;
        let all = instance.jobs().sentence_all(&mail(), Verdict::Replay).await.unwrap();
        assert_eq!((all.done, all.left, claim(&instance, 9).await.len()), (2, 0, 2));
    });
}

#[test]
fn what_died_while_the_clock_was_ahead_is_replayed_with_all() {
    on_redis(async |world| {
        let instance = world.instance();
        let id = put(&instance, 1).await;
        claim_one(&instance).await.bury("").await.unwrap();
        // As if the clock had been set back by an hour since then, for example by a failover.
        world.tell(&["ZINCRBY", &part("x"), "3600000000", id.as_str()]).await;
        put(&instance, 2).await;
        claim_one(&instance).await.bury("").await.unwrap();
        let all = instance.jobs().sentence_all(&mail(), Verdict::Replay).await.unwrap();
        assert_eq!((all.done, all.left, claim(&instance, 9).await.len()), (2, 0, 2));
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
        // Dead letters older than 30 days are removed too, however few there are.
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
