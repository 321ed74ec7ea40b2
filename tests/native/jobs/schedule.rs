//! Schedules: each slot is fired once, whichever instance ticks.

use crate::support::{Instance, PREFIX, World, on_redis};
use futures_util::future::join_all;
use spindrift::job::{
    Cron, Data, JobError, MAX_SCHEDULES, Missed, Priority, QueueName, Schedule, ScheduleName, tick,
};
use spindrift::redis::Keys;
use std::time::Duration;

fn reports() -> QueueName {
    QueueName::new("reports").unwrap()
}

fn name(text: &str) -> ScheduleName {
    ScheduleName::new(text).unwrap()
}

fn schedule(world: &World, cron: &str, missed: Missed) -> Schedule {
    Schedule {
        cron: Cron::parse(cron, world.clock.now()).unwrap(),
        missed,
        data: Data::json(&"report").unwrap(),
        priority: Priority::default(),
        max_attempts: Some(2),
    }
}

fn next_key() -> String {
    Keys::new(PREFIX).queue_part("reports", "n").as_str().to_owned()
}

/// The beginning of the minute `ago` minutes ago, by the clock of Redis, in milliseconds.
async fn minute(world: &World, ago: u64) -> u64 {
    let time: (u64, u64) = world.ask(&["TIME"]).await;
    (time.0 / 60 - ago) * 60_000
}

/// Sets the next slot of a schedule.
async fn stand(world: &World, name: &str, slot: u64) {
    world.tell(&["ZADD", &next_key(), &slot.to_string(), name]).await;
}

async fn ready(instance: &Instance) -> u64 {
    instance.jobs().statistics(&reports()).await.unwrap().ready
}

#[test]
fn a_slot_is_fired_once_however_many_tick() {
    on_redis(async |world| {
        let instances: Vec<Instance> = (0..10).map(|_| world.instance()).collect();
        let one = &instances[0];
        let every = schedule(world, "0 0 1 1 *", Missed::Skip);
        let (next, new) = one.jobs().set_schedule(&reports(), &name("every"), &every).await.unwrap();
        assert!(new && next.as_millis() > minute(world, 0).await);
        assert_eq!(one.jobs().fire(&reports()).await.unwrap(), 0, "it is not due yet");
        let slot = minute(world, 1).await;
        stand(world, "every", slot).await;
        let queue = reports();
        let fired = join_all(instances.iter().map(|it| it.jobs().fire(&queue))).await;
        assert_eq!(fired.into_iter().map(Result::unwrap).sum::<u64>(), 1);
        assert_eq!(ready(one).await, 1);
        let job = one.jobs().dequeue(&reports()).await.unwrap().unwrap();
        assert!(job.id.as_str().starts_with("cron-every-"), "{}", job.id);
        assert_eq!((job.data.parse::<String>().unwrap(), job.max_attempts), ("report".to_owned(), 2));
        let stands = one.jobs().schedule(&reports(), &name("every")).await.unwrap();
        assert!(stands.next.as_millis() > minute(world, 0).await, "the next slot is to come");
    });
}

#[test]
fn a_slot_that_was_fired_is_not_fired_again_when_the_schedule_is_set_anew() {
    on_redis(async |world| {
        let instance = world.instance();
        let every = schedule(world, "0 0 1 1 *", Missed::Skip);
        instance.jobs().set_schedule(&reports(), &name("every"), &every).await.unwrap();
        let slot = minute(world, 0).await;
        stand(world, "every", slot).await;
        assert_eq!(instance.jobs().fire(&reports()).await.unwrap(), 1);
        let first = instance.jobs().dequeue(&reports()).await.unwrap().unwrap();
        // As if an instance whose clock is slow had set the schedule.
        let (_, new) = instance.jobs().set_schedule(&reports(), &name("every"), &every).await.unwrap();
        assert!(!new);
        stand(world, "every", slot).await;
        instance.jobs().fire(&reports()).await.unwrap();
        let again = instance.jobs().dequeue(&reports()).await.unwrap();
        assert!(again.is_none(), "{} again: {again:?}", first.id);
    });
}

#[test]
fn a_schedule_that_is_set_again_unchanged_keeps_the_slot_that_is_due() {
    on_redis(async |world| {
        let instance = world.instance();
        let nightly = schedule(world, "0 0 1 1 *", Missed::RunOnce);
        let set =
            async || instance.jobs().set_schedule(&reports(), &name("nightly"), &nightly).await.unwrap();
        let (next, _) = set().await;
        let slot = minute(world, 600).await;
        stand(world, "nightly", slot).await;
        let (stands, new) = set().await;
        assert_eq!((stands.as_millis(), new), (slot, false), "the slot that stands is the answer");
        assert_eq!(instance.jobs().fire(&reports()).await.unwrap(), 1, "nobody ticked in the night");
        assert_eq!(set().await, (next, false));
        stand(world, "nightly", next.as_millis() * 2).await;
        assert_eq!(set().await, (next, false), "a slot that is too late is pulled back");
        world.tell(&["DEL", &next_key()]).await;
        assert_eq!(set().await, (next, false), "one that is missing is added");
    });
}

#[test]
fn missed_slots_are_skipped_or_made_up_for_once() {
    on_redis(async |world| {
        let instance = world.instance();
        let yearly = "0 0 1 1 *";
        let skip = schedule(world, yearly, Missed::Skip);
        let once = schedule(world, yearly, Missed::RunOnce);
        instance.jobs().set_schedule(&reports(), &name("skip"), &skip).await.unwrap();
        instance.jobs().set_schedule(&reports(), &name("once"), &once).await.unwrap();
        for which in ["skip", "once"] {
            stand(world, which, 1_600_000_000_000).await;
        }
        assert_eq!(instance.jobs().fire(&reports()).await.unwrap(), 1);
        let job = instance.jobs().dequeue(&reports()).await.unwrap().unwrap();
        assert!(job.id.as_str().starts_with("cron-once-"), "{}", job.id);
        let all = instance.jobs().schedules(&reports()).await.unwrap();
        assert_eq!(all.len(), 2);
        assert!(all.iter().all(|it| it.next.as_secs() > 1_700_000_000), "{all:?}");
        assert_eq!(instance.jobs().fire(&reports()).await.unwrap(), 0);
    });
}

#[test]
fn a_schedule_that_was_changed_meanwhile_is_left_to_its_new_slot() {
    on_redis(async |world| {
        let instance = world.instance();
        let every = schedule(world, "0 0 1 1 *", Missed::Skip);
        instance.jobs().set_schedule(&reports(), &name("every"), &every).await.unwrap();
        stand(world, "every", minute(world, 1).await).await;
        let other = Schedule { data: Data::json(&"other").unwrap(), ..every };
        instance.jobs().set_schedule(&reports(), &name("every"), &other).await.unwrap();
        assert_eq!(instance.jobs().fire(&reports()).await.unwrap(), 0);
        instance.jobs().remove_schedule(&reports(), &name("every")).await.unwrap();
        let gone = instance.jobs().remove_schedule(&reports(), &name("every")).await;
        assert_eq!(gone, Err(JobError::NoSuchSchedule));
        assert!(instance.jobs().schedules(&reports()).await.unwrap().is_empty());
    });
}

#[test]
fn a_queue_that_fails_keeps_a_tick_from_no_other() {
    on_redis(async |world| {
        let instance = world.instance_with("[[queue]]\nname = \"orders\"\ntarget = \"https://hooks.test/\"");
        let every = schedule(world, "0 0 1 1 *", Missed::Skip);
        let broken = QueueName::new("broken").unwrap();
        for queue in [&broken, &reports()] {
            instance.jobs().set_schedule(queue, &name("every"), &every).await.unwrap();
        }
        stand(world, "every", minute(world, 1).await).await;
        let key = Keys::new(PREFIX).queue_part("broken", "n").as_str().to_owned();
        world.tell(&["SET", &key, "of another type", "EX", "99"]).await;
        instance.jobs().enqueue(&QueueName::new("orders").unwrap(), Data::json(&1).unwrap()).await.unwrap();
        world.origin.gives(200, &[], "");
        let ticked = tick(&instance.app, instance.shared(), Duration::from_secs(1)).await;
        assert!(matches!(ticked, Err(JobError::Redis(_))), "{ticked:?}");
        assert_eq!((ready(&instance).await, world.origin.count()), (1, 1));
    });
}

#[test]
fn a_tick_finds_every_queue_with_schedules_and_forgets_those_without() {
    on_redis(async |world| {
        let (setter, ticker) = (world.instance(), world.instance());
        let every = schedule(world, "0 0 1 1 *", Missed::Skip);
        setter.jobs().set_schedule(&reports(), &name("every"), &every).await.unwrap();
        stand(world, "every", minute(world, 1).await).await;
        let ticked = tick(&ticker.app, ticker.shared(), Duration::from_secs(1)).await.unwrap();
        assert_eq!((ticked.fired, ready(&ticker).await), (1, 1));
        setter.jobs().remove_schedule(&reports(), &name("every")).await.unwrap();
        tick(&ticker.app, ticker.shared(), Duration::from_secs(1)).await.unwrap();
        let list = Keys::new(PREFIX).scheduled_queues();
        assert_eq!(world.ask::<Vec<String>>(&["ZRANGE", list.as_str(), "0", "-1"]).await, [""; 0]);
    });
}

#[test]
fn slots_that_were_stored_while_the_clock_was_ahead_are_pulled_back_without_a_job() {
    on_redis(async |world| {
        let instance = world.instance();
        let yearly = schedule(world, "0 0 1 1 *", Missed::RunOnce);
        let (next, _) = instance.jobs().set_schedule(&reports(), &name("every"), &yearly).await.unwrap();
        let ahead = next.as_millis() + 10 * 366 * 86_400_000;
        stand(world, "every", ahead).await;
        assert_eq!(instance.jobs().fire(&reports()).await.unwrap(), 0);
        let stands = async || instance.jobs().schedule(&reports(), &name("every")).await.unwrap().next;
        assert_eq!(stands().await.as_millis(), ahead, "no tick looks at those that are not due");
        // As a schedule that is stored at a later time leaves it.
        stand(world, "", ahead - 1).await;
        assert_eq!(instance.jobs().fire(&reports()).await.unwrap(), 0);
        assert_eq!((stands().await, ready(&instance).await), (next, 0));
        assert_eq!(instance.jobs().schedules(&reports()).await.unwrap().len(), 1);
        instance.jobs().remove_schedule(&reports(), &name("every")).await.unwrap();
        assert_eq!(world.ask::<u64>(&["EXISTS", &next_key()]).await, 0);
    });
}

#[test]
fn no_queue_with_schedules_is_dropped_for_another() {
    on_redis(async |world| {
        let instance = world.instance();
        let yearly = schedule(world, "0 0 1 1 *", Missed::Skip);
        instance.jobs().set_schedule(&reports(), &name("every"), &yearly).await.unwrap();
        let list = Keys::new(PREFIX).scheduled_queues();
        let fill = "local now = redis.call('TIME')[1] * 1000 + 999 \
                    for i = 1, 9999 do redis.call('ZADD', KEYS[1], now, 'queue-' .. i) end";
        world.tell(&["EVAL", fill, "1", list.as_str()]).await;
        let other = QueueName::new("other").unwrap();
        let refused = instance.jobs().set_schedule(&other, &name("every"), &yearly).await.unwrap_err();
        assert_eq!(refused.to_string(), "expected at most 10000 queues with schedules, found more");
        assert!(instance.jobs().schedules(&other).await.unwrap().is_empty(), "nothing was set");
        instance.jobs().set_schedule(&reports(), &name("another"), &yearly).await.unwrap();
        let listed: Vec<String> = world.ask(&["ZRANGE", list.as_str(), "0", "-1"]).await;
        assert!(listed.len() == 10_000 && listed.contains(&"reports".to_owned()));
        world.tell(&["ZREM", list.as_str(), "queue-1"]).await;
        instance.jobs().set_schedule(&other, &name("every"), &yearly).await.unwrap();
    });
}

#[test]
fn after_the_list_of_queues_with_schedules_was_lost_a_look_at_one_brings_it_back() {
    on_redis(async |world| {
        let instance = world.instance();
        let yearly = schedule(world, "0 0 1 1 *", Missed::RunOnce);
        let list = Keys::new(PREFIX).scheduled_queues();
        instance.jobs().set_schedule(&reports(), &name("every"), &yearly).await.unwrap();
        for single in [false, true] {
            world.tell(&["DEL", list.as_str()]).await;
            stand(world, "every", minute(world, 1).await).await;
            let fired = async || tick(&instance.app, instance.shared(), Duration::ZERO).await.unwrap().fired;
            assert_eq!(fired().await, 0);
            if single {
                instance.jobs().schedule(&reports(), &name("every")).await.unwrap();
            } else {
                instance.jobs().schedules(&reports()).await.unwrap();
            }
            assert_eq!(fired().await, 1);
            instance.jobs().dequeue(&reports()).await.unwrap();
            world.tell(&["FLUSHALL"]).await;
            instance.jobs().set_schedule(&reports(), &name("every"), &yearly).await.unwrap();
        }
        instance.jobs().schedules(&QueueName::new("none").unwrap()).await.unwrap();
        let listed: Vec<String> = world.ask(&["ZRANGE", list.as_str(), "0", "-1"]).await;
        assert_eq!(listed, ["reports"], "one without schedules is not listed");
    });
}

#[test]
fn a_queue_has_a_hundred_schedules_at_most() {
    on_redis(async |world| {
        let instance = world.instance();
        let yearly = schedule(world, "0 0 1 1 *", Missed::Skip);
        for number in 0..MAX_SCHEDULES {
            instance.jobs().set_schedule(&reports(), &name(&format!("s{number}")), &yearly).await.unwrap();
        }
        let more = instance.jobs().set_schedule(&reports(), &name("more"), &yearly).await;
        assert_eq!(more.unwrap_err(), JobError::TooManySchedules);
        instance.jobs().set_schedule(&reports(), &name("s7"), &yearly).await.unwrap();
        assert_eq!(instance.jobs().schedules(&reports()).await.unwrap().len(), 100);
    });
}
