//! Many jobs and many workers, some of which die.

use super::{claim, counted, data, due, mail, number};
use crate::support::env::TestEnv;
use crate::support::{Instance, on_redis};
use futures_util::future::{join, join_all};
use spindrift::job::{Claimed, NewJob};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;

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
