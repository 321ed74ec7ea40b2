//! Following topics: which events and gaps a reader gets, and in which order.

use crate::support::env::TestEnv;
use crate::support::proxy::{Mode, Proxy};
use crate::support::{Instance, PREFIX, World, on_redis, property};
use futures_util::future::join;
use proptest::prelude::*;
use spindrift::redis::Keys;
use spindrift::topic::{EventId, Follower, Heard, NewEvent, News, Position, TopicName, cursor};
use std::time::Duration;

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn key(name: &str) -> String {
    Keys::new(PREFIX).topic(name).as_str().to_owned()
}

async fn publish(instance: &Instance, name: &str, data: &str) -> EventId {
    let events = [NewEvent::new(data)];
    instance.topics().publish(&topic(name), &events, None).await.unwrap().ids[0]
}

async fn follow(instance: &Instance, names: &[&str], from: Option<&str>) -> Follower<TestEnv> {
    let topics: Vec<TopicName> = names.iter().map(|name| topic(name)).collect();
    let places = from.map(|from| cursor::read(from, &topics).unwrap());
    let places = places.unwrap_or_else(|| vec![None; topics.len()]);
    let mut follower = instance.topics().follow(topics.into_iter().zip(places));
    follower.enter().await.unwrap();
    follower
}

/// The next news, at least this many. The clock advances, so that no feed is still pausing.
async fn hear(world: &World, follower: &mut Follower<TestEnv>, count: usize) -> Vec<Heard> {
    let mut heard = Vec::new();
    while heard.len() < count {
        world.clock.advance_secs(2);
        heard.extend(follower.next(world.clock.now().plus(Duration::from_secs(3600))).await.unwrap());
    }
    heard
}

/// Each event as its data, a gap as `gap`.
fn words(heard: &[Heard]) -> Vec<String> {
    let word = |heard: &Heard| match &heard.news {
        News::Event(event) => event.data.clone(),
        News::Gap => "gap".to_owned(),
    };
    heard.iter().map(word).collect()
}

#[test]
fn a_follower_hears_what_comes_from_now_on() {
    on_redis(async |world| {
        let (publisher, reader) = (world.instance(), world.instance());
        publish(&publisher, "t", "before").await;
        let mut follower = follow(&reader, &["t"], None).await;
        let mut of_nothing = follow(&reader, &["u"], None).await;
        publish(&publisher, "t", "1").await;
        publish(&publisher, "u", "a").await;
        publish(&publisher, "t", "2").await;
        assert_eq!(words(&hear(world, &mut follower, 2).await), ["1", "2"]);
        assert_eq!(words(&hear(world, &mut of_nothing, 1).await), ["a"]);
    });
}

#[test]
fn a_follower_that_waits_is_given_what_comes_meanwhile() {
    on_redis(async |world| {
        let (publisher, reader) = (world.instance(), world.instance());
        let mut follower = follow(&reader, &["t"], None).await;
        let until = world.clock.now().plus(Duration::from_secs(10));
        let publishing = async {
            publish(&publisher, "t", "1").await;
            world.clock.advance_secs(2);
        };
        let (heard, ()) = join(follower.next(until), publishing).await;
        assert_eq!(words(&heard.unwrap()), ["1"]);
        world.clock.advance_secs(60);
        assert_eq!(follower.next(until).await, Ok(vec![]), "its time is over");
    });
}

#[test]
fn who_comes_back_with_the_last_cursor_hears_everything_once() {
    on_redis(async |world| {
        let (publisher, reader) = (world.instance(), world.instance());
        let mut from = follow(&reader, &["t"], None).await.cursor().unwrap();
        let mut all = Vec::new();
        for round in 0..20 {
            for number in 0..round {
                publish(&publisher, "t", &format!("{round}.{number}")).await;
            }
            let reader = world.instance();
            let mut follower = follow(&reader, &["t"], Some(&from)).await;
            for heard in hear(world, &mut follower, round).await {
                from = heard.cursor.clone();
                all.extend(words(&[heard]));
            }
        }
        let expected: Vec<String> =
            (0..20).flat_map(|round| (0..round).map(move |number| format!("{round}.{number}"))).collect();
        assert_eq!(all, expected);
    });
}

#[test]
fn several_topics_are_heard_in_the_order_of_their_events() {
    on_redis(async |world| {
        let (publisher, reader) = (world.instance(), world.instance());
        let start = follow(&reader, &["a", "b", "c"], None).await.cursor().unwrap();
        let mut ids = Vec::new();
        for (name, data) in [("b", "1"), ("a", "2"), ("c", "3"), ("a", "4"), ("b", "5")] {
            ids.push((publish(&publisher, name, data).await, name, data));
        }
        // Events of two topics may have the same id.
        ids.sort_by_key(|(id, name, _)| (*id, *name));
        let expected: Vec<&str> = ids.iter().map(|(_, _, data)| *data).collect();
        let mut follower = follow(&reader, &["a", "b", "c"], Some(&start)).await;
        let heard = hear(world, &mut follower, 5).await;
        assert_eq!(words(&heard), expected);
        for at in 0..5 {
            let rest = follow(&world.instance(), &["c", "b", "a"], Some(&heard[at].cursor)).await.heard_now();
            let (mut rest, mut expected) = (words(&rest), expected[at + 1..].to_vec());
            rest.sort();
            expected.sort_unstable();
            assert_eq!(rest, expected, "after {at}, topics in another order");
        }
    });
}

#[test]
fn what_was_read_of_one_topic_before_all_were_is_heard_later() {
    on_redis(async |world| {
        let instance = world.instance();
        publish(&instance, "a", "1").await;
        // Redis knows the script from now on, so that both topics are read in one command.
        follow(&instance, &["a"], None).await;
        world.tell(&["SET", &key("b"), "of another type", "EX", "99"]).await;
        let wanted = ["a", "b"].map(|name| (topic(name), Some(Position::Earliest)));
        let mut follower = instance.topics().follow(wanted);
        assert!(follower.enter().await.is_err());
        assert_eq!(follower.heard_now(), []);
        world.tell(&["DEL", &key("b")]).await;
        publish(&instance, "a", "2").await;
        assert_eq!(words(&hear(world, &mut follower, 1).await)[0], "1");
    });
}

#[test]
fn what_was_trimmed_before_it_was_heard_is_a_gap_told_once() {
    on_redis(async |world| {
        let instance = world.instance();
        let from = publish(&instance, "t", "1").await.to_string();
        for data in ["2", "3", "4"] {
            publish(&instance, "t", data).await;
        }
        world.tell(&["XTRIM", &key("t"), "MAXLEN", "2"]).await;
        let mut follower = follow(&instance, &["t"], Some(&from)).await;
        assert_eq!(follower.honest_cursor().unwrap(), "earliest");
        let heard = follower.heard_now();
        assert_eq!(words(&heard), ["gap", "3", "4"]);
        for (at, rest) in [(0, vec!["3", "4"]), (1, vec!["4"]), (2, vec![])] {
            let mut again = follow(&instance, &["t"], Some(&heard[at].cursor)).await;
            assert_eq!(words(&again.heard_now()), rest, "no second gap after {at}");
        }
        let mut exact = follow(&instance, &["t"], Some(&heard[0].cursor)).await;
        assert_eq!(exact.honest_cursor().unwrap(), heard[0].cursor);
        assert_eq!(words(&exact.heard_now()), ["3", "4"], "the entry it stands behind may be trimmed itself");
    });
}

#[test]
fn a_live_follower_is_told_of_what_was_trimmed_between_two_reads() {
    on_redis(async |world| {
        let instance = world.instance();
        publish(&instance, "t", "1").await;
        let mut follower = follow(&instance, &["t"], None).await;
        for data in ["2", "3", "4"] {
            publish(&instance, "t", data).await;
        }
        world.tell(&["XTRIM", &key("t"), "MAXLEN", "1"]).await;
        assert_eq!(words(&hear(world, &mut follower, 2).await), ["gap", "4"]);
        publish(&instance, "t", "5").await;
        assert_eq!(words(&hear(world, &mut follower, 1).await), ["5"]);
    });
}

async fn redis_millis(world: &World) -> u64 {
    let (seconds, micros): (u64, u64) = world.ask(&["TIME"]).await;
    seconds * 1000 + micros / 1000
}

/// What happens when a topic idles for `max_age`: the events expire, but its state remains.
async fn expire(world: &World) {
    world.tell(&["UNLINK", &key("t")]).await;
}

#[test]
fn a_pause_in_which_events_expired_is_a_gap_only_for_those_who_missed_some() {
    on_redis(async |world| {
        let instance = world.instance();
        let (first, last) = (publish(&instance, "t", "1").await, publish(&instance, "t", "2").await);
        expire(world).await;
        let (first, last) = (first.to_string(), last.to_string());
        let heard = async |from: &str| words(&follow(&instance, &["t"], Some(from)).await.heard_now());
        assert_eq!(heard(&last).await, [""; 0]);
        assert_eq!(heard(&first).await, ["gap"]);
        let time = first.split('-').next().unwrap();
        assert_eq!(heard(time).await, ["gap"]);
        publish(&instance, "t", "3").await;
        assert_eq!(heard(&last).await, ["3"]);
        assert_eq!(heard(&first).await, ["gap", "3"]);
        assert_eq!(heard(time).await, ["gap", "3"]);
        assert_eq!(heard("earliest").await, ["3"]);
    });
}

#[test]
fn a_topic_that_nobody_knows_any_more_is_a_gap_even_where_it_came_to_be_again() {
    on_redis(async |world| {
        let instance = world.instance();
        let from = publish(&instance, "t", "1").await.to_string();
        world.tell(&["FLUSHALL"]).await;
        let mut lost = follow(&instance, &["t"], Some(&from)).await;
        assert_eq!(lost.honest_cursor().unwrap(), "earliest");
        let heard = lost.heard_now();
        assert_eq!(words(&heard), ["gap"]);
        let mut known = follow(&instance, &["t"], Some(&heard[0].cursor)).await;
        assert_eq!(words(&known.heard_now()), [""; 0], "told once");

        // A server that has lost everything may assign the same id again within the same millisecond.
        let before = from.split('-').next().unwrap().to_owned();
        while redis_millis(world).await <= before.parse().unwrap() {}
        publish(&instance, "t", "2").await;
        let mut again = follow(&instance, &["t"], Some(&from)).await;
        assert_eq!(words(&again.heard_now()), ["gap", "2"]);
        let mut known = follow(&instance, &["t"], Some(&heard[0].cursor)).await;
        assert_eq!(words(&known.heard_now()), ["2"], "it was there, with nothing in it");
    });
}

#[test]
fn a_server_that_lost_the_newest_events_is_a_gap() {
    on_redis(async |world| {
        let instance = world.instance();
        publish(&instance, "t", "1").await;
        // After a failover to a replica that lags: the reader has seen an id that no longer exists.
        let lost = EventId::new(u64::MAX / 2, 7).to_string();
        let mut follower = follow(&instance, &["t"], Some(&lost)).await;
        assert_eq!(follower.honest_cursor().unwrap(), "earliest");
        publish(&instance, "t", "2").await;
        assert_eq!(words(&hear(world, &mut follower, 2).await), ["gap", "2"]);
    });
}

#[test]
fn a_point_in_time_is_a_place_to_begin() {
    on_redis(async |world| {
        let instance = world.instance();
        let first = publish(&instance, "t", "1").await;
        let second = publish(&instance, "t", "2").await;
        let heard = async |from: &str| words(&follow(&instance, &["t"], Some(from)).await.heard_now());
        assert_eq!(heard("0").await, ["gap", "1", "2"], "of 1970 nobody knows");
        assert_eq!(heard(&first.time().as_millis().to_string()).await[0], "1");
        assert_eq!(heard(&(second.time().as_millis() + 1).to_string()).await, [""; 0]);
        assert_eq!(heard("earliest").await, ["1", "2"]);
    });
}

#[test]
fn followers_of_one_instance_share_their_reads() {
    on_redis(async |world| {
        let (publisher, reader) = (world.instance(), world.instance());
        let mut followers = Vec::new();
        for _ in 0..16 {
            followers.push(follow(&reader, &["t"], None).await);
        }
        publish(&publisher, "t", "1").await;
        reader.env.wire().take_commands();
        world.clock.advance_secs(2);
        let until = world.clock.now().plus(Duration::from_secs(60));
        let all = followers.iter_mut().map(|follower| follower.next(until));
        for heard in futures_util::future::join_all(all).await {
            assert_eq!(words(&heard.unwrap()), ["1"]);
        }
        assert_eq!(reader.env.wire().take_commands(), ["XRANGE"], "one read for sixteen");
    });
}

#[test]
fn followers_in_different_places_hear_all_of_it() {
    on_redis(async |world| {
        let instance = world.instance();
        let mut ids = Vec::new();
        for number in 0..600 {
            ids.push(publish(&instance, "t", &number.to_string()).await);
        }
        let mut late = follow(&instance, &["t"], None).await;
        let mut slow = follow(&instance, &["t"], Some("earliest")).await;
        let mut middle = follow(&instance, &["t"], Some(&ids[300].to_string())).await;
        publish(&instance, "t", "600").await;
        assert_eq!(words(&hear(world, &mut late, 1).await), ["600"]);
        let expected: Vec<String> = (0..=600).map(|number| number.to_string()).collect();
        assert_eq!(words(&hear(world, &mut middle, 300).await), expected[301..]);
        for number in 601..1000 {
            publish(&instance, "t", &number.to_string()).await;
        }
        let expected: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        assert_eq!(words(&hear(world, &mut late, 399).await), expected[601..]);
        assert_eq!(words(&hear(world, &mut slow, 1000).await), expected);
    });
}

#[test]
fn a_failure_of_redis_is_told_and_nothing_is_lost_by_it() {
    on_redis(async |world| {
        let publisher = world.instance();
        let proxy = Proxy::start(world.server.port()).await;
        let reader = world.instance_at(&proxy.url(), "");
        let mut follower = follow(&reader, &["t"], None).await;
        publish(&publisher, "t", "1").await;
        proxy.set(Mode::Drop);
        proxy.cut();
        world.clock.advance_secs(2);
        let until = world.clock.now().plus(Duration::from_secs(3600));
        assert!(follower.next(until).await.is_err());
        publish(&publisher, "t", "2").await;
        proxy.set(Mode::Forward);
        world.clock.advance_secs(10);
        assert_eq!(words(&hear(world, &mut follower, 2).await), ["1", "2"]);
    });
}

#[test]
fn who_could_not_enter_can_try_again() {
    on_redis(async |world| {
        let publisher = world.instance();
        let from = publish(&publisher, "t", "1").await.to_string();
        publish(&publisher, "t", "2").await;
        let proxy = Proxy::start(world.server.port()).await;
        proxy.set(Mode::Drop);
        let reader = world.instance_at(&proxy.url(), "");
        let wanted = Some(from.parse::<Position>().unwrap());
        let mut follower = reader.topics().follow([(topic("t"), wanted)]);
        assert!(follower.enter().await.is_err());
        assert_eq!(follower.cursor(), None);
        proxy.set(Mode::Forward);
        world.clock.advance_secs(10);
        assert_eq!(words(&hear(world, &mut follower, 1).await), ["2"]);
    });
}

#[derive(Clone, Debug)]
enum Step {
    Publish(u8),
    Trim(u8),
    Expire,
    Listen { reader: u8, fresh: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..6u8).prop_map(Step::Publish),
        2 => (0..5u8).prop_map(Step::Trim),
        1 => Just(Step::Expire),
        6 => (0..3u8, any::<bool>()).prop_map(|(reader, fresh)| Step::Listen { reader, fresh }),
    ]
}

/// Whatever is trimmed or expires in between: without a gap, each event that a reader gets follows directly on the
/// previous one.
#[test]
fn in_random_histories_nothing_is_missed_without_a_gap() {
    property(40, &proptest::collection::vec(step(), 1..40), &async |world: &World, steps: Vec<Step>| {
        let publisher = world.instance();
        let instance = world.instance();
        let mut published = 0u32;
        // For each reader: its cursor, and the number that it has to get next.
        let start = follow(&instance, &["t"], None).await.cursor().unwrap();
        let mut readers = vec![(start, 0u32); 3];
        for step in steps {
            match step {
                Step::Publish(count) => {
                    for _ in 0..count {
                        publish(&publisher, "t", &published.to_string()).await;
                        published += 1;
                    }
                }
                Step::Trim(length) => {
                    world.tell(&["XTRIM", &key("t"), "MAXLEN", &(length + 1).to_string()]).await;
                }
                Step::Expire => expire(world).await,
                Step::Listen { reader, fresh } => {
                    let own = world.instance();
                    let instance = if fresh { &own } else { &instance };
                    let (from, next) = &mut readers[usize::from(reader)];
                    let mut follower = follow(instance, &["t"], Some(from)).await;
                    let mut gap = false;
                    for heard in follower.heard_now() {
                        *from = heard.cursor.clone();
                        match &heard.news {
                            News::Gap => gap = true,
                            News::Event(event) => {
                                let number: u32 = event.data.parse().unwrap();
                                assert!(number == *next || (gap && number > *next), "{number}, not {next}");
                                (*next, gap) = (number + 1, false);
                            }
                        }
                    }
                    // A gap at the end means that all remaining events have expired.
                    *next = if gap { published } else { *next };
                }
            }
        }
    });
}
