//! Many jobs and many workers, some of which die.

use super::{claim, counted, data, due, mail, number};
use crate::support::env::TestEnv;
use crate::support::{Instance, World, on_redis};
use futures_util::future::{join, join_all};
use spindrift::job::{Claimed, NewJob};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;

const COUNT: u32 = 10_000;

/// Which of the jobs are done, and how often each.
#[derive(Default)]
struct Tally(RefCell<HashMap<u32, u32>>);

impl Tally {
    fn done(&self, number: u32) {
        *self.0.borrow_mut().entry(number).or_default() += 1;
    }

    fn is_complete(&self) -> bool {
        self.0.borrow().len() == COUNT as usize
    }

    fn assert_each_once(&self) {
        assert!(self.is_complete(), "some are lost");
        assert!(self.0.borrow().values().all(|times| *times == 1), "some are done twice");
    }
}

fn workers(world: &World) -> Vec<Instance> {
    (0..50).map(|_| world.instance()).collect()
}

/// One of many workers; `each` is what it does with a job.
async fn work(instance: &Instance, tally: &Tally, mut each: impl AsyncFnMut(Claimed<'_, TestEnv>)) {
    while !tally.is_complete() {
        let claimed = claim(instance, 5).await;
        if claimed.is_empty() {
            tokio::task::yield_now().await;
        }
        for one in claimed {
            each(one).await;
        }
    }
}

async fn fill(instance: &Instance) {
    for batch in 0..COUNT / 100 {
        let job = |number| NewJob::new(data(batch * 100 + number)).max_attempts(1000);
        instance.jobs().enqueue_all(&mail(), (0..100).map(job).collect()).await.unwrap();
    }
}

#[test]
fn ten_thousand_jobs_and_fifty_workers_each_is_done_exactly_once_when_nobody_dies() {
    on_redis(async |world| {
        let (producer, workers, tally) = (world.instance(), workers(world), Tally::default());
        let working = join_all(workers.iter().map(|worker| {
            work(worker, &tally, async |claimed: Claimed<'_, _>| {
                tally.done(number(&claimed.job.data));
                claimed.ack().await.unwrap();
            })
        }));
        join(fill(&producer), working).await;
        tally.assert_each_once();
        let statistics = producer.jobs().statistics(&mail()).await.unwrap();
        assert_eq!((statistics.ready, statistics.leased, statistics.dead), (0, 0, 0));
        assert_eq!(counted(&producer, "completed").await, u64::from(COUNT));
    });
}

#[test]
fn ten_thousand_jobs_and_workers_that_die_at_random_none_is_lost() {
    on_redis(async |world| {
        let (producer, workers, tally) = (world.instance(), workers(world), Tally::default());
        let (dice, killed) = (Cell::new(1u32), Cell::new(0));
        let dies = || {
            dice.set(dice.get().wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
            dice.get() >> 16 & 7 == 0
        };
        let working = join_all(workers.iter().map(|worker| {
            work(worker, &tally, async |claimed: Claimed<'_, _>| {
                // The worker dies before its work, or before it can acknowledge the job.
                if dies() {
                    killed.set(killed.get() + 1);
                    return;
                }
                let number = number(&claimed.job.data);
                if claimed.ack().await.is_ok() {
                    tally.done(number);
                }
            })
        }));
        let reaping = async {
            while !tally.is_complete() {
                due(world, "l").await;
                tokio::task::yield_now().await;
            }
        };
        join(fill(&producer), join(working, reaping)).await;
        tally.assert_each_once();
        assert!(killed.get() > 500, "{}", killed.get());
        let statistics = producer.jobs().statistics(&mail()).await.unwrap();
        assert_eq!((statistics.ready, statistics.leased, statistics.dead), (0, 0, 0));
        assert_eq!(counted(&producer, "lost").await, 0);
    });
}
