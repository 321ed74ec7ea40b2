//! How leases end, and what a stale worker may do.

use super::{HOUR, claim, claim_one, counted, data, due, mail, number, part, put, state};
use crate::support::on_redis;
use spindrift::job::{Action, Claim, JobError, JobId, NewJob, State};
use std::time::Duration;

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
        // The lease lasts 30 s, and the backoff is 5 to 10 minutes.
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
fn a_lease_from_a_clock_that_was_ahead_is_taken_back_when_no_lease_can_be_that_long() {
    on_redis(async |world| {
        let instance = world.instance();
        let id = put(&instance, 1).await;
        let longest = Claim::default().lease(12 * HOUR);
        let held = instance.jobs().claim(&mail(), longest).await.unwrap().pop().unwrap();
        assert!(claim(&instance, 1).await.is_empty(), "the longest lease is valid");
        let ahead = held.until().as_millis() + 600_000;
        world.tell(&["ZADD", &part("l"), &ahead.to_string(), id.as_str()]).await;
        assert_eq!(claim_one(&instance).await.job.attempt, 2);
        assert_eq!(counted(&instance, "expired").await, 1);
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
        // The same for a lease that expires: the attempt counts, and the job keeps its place.
        due(world, "l").await;
        let again = claim(&instance, 3).await;
        assert_eq!(again.iter().map(|one| number(&one.job.data)).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(again[0].job.attempt, 2);
    });
}

#[test]
fn a_late_worker_ends_a_job_that_nobody_took_back() {
    on_redis(async |world| {
        let instance = world.instance();
        let id = put(&instance, 1).await;
        let late = claim_one(&instance).await;
        due(world, "l").await;
        assert_eq!(late.ack().await, Ok(()));
        assert_eq!(state(&instance, &id).await, State::Done);
        assert!(claim(&instance, 1).await.is_empty());
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
        assert_eq!(resume(0).retry("").await, Err(JobError::Ended(Action::Ack)));
        let first = resume(1).retry_after(HOUR, "").await.unwrap();
        assert_eq!(resume(1).retry_after(2 * HOUR, "").await, Ok(first), "when it was said to be due");
        assert_eq!(resume(1).ack().await, Err(JobError::Ended(Action::Retry)));
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
