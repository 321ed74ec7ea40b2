//! Events for webhooks: each becomes one job, whichever instances were running when it was published.

use crate::support::proxy::{Mode, Proxy};
use crate::support::{Instance, PREFIX, World, on_redis};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use proptest::prelude::*;
use spindrift::event::{Handled, handle};
use spindrift::job::{Claim, QueueName, tick};
use spindrift::redis::Keys;
use spindrift::topic::{NewEvent, Position, PublishError, TopicName};
use std::time::Duration;

const FILE: &str = "[[webhook]]\nname = \"billing desk\"\ntopics = [\"orders.*\"]\ntarget = \"https://a.test/\"\n\
                    [[webhook]]\nname = \"audit\"\ntopics = [\"*\"]\ntarget = \"https://b.test/\"\n";

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

async fn publish(instance: &Instance, name: &str, data: &str) -> String {
    let events = [NewEvent::new(data)];
    let published = instance.topics().publish(&topic(name), &events, None).await.unwrap();
    published.ids[0].to_string()
}

fn ring(name: &str) -> Vec<u8> {
    format!(r#"{{"v":1,"topic":"event","data":{{"topic":"{name}"}}}}"#).into_bytes()
}

const RING_ALL: &[u8] = br#"{"v":1,"topic":"event"}"#;

/// The data of the events that wait in a queue; removes them from the queue.
async fn taken(instance: &Instance, queue: &str) -> Vec<String> {
    let queue = QueueName::new(queue).unwrap();
    let mut all = Vec::new();
    loop {
        let claimed = instance.jobs().claim(&queue, Claim::default().count(100)).await.unwrap();
        if claimed.is_empty() {
            instance.env.settle().await;
            return all;
        }
        for job in claimed {
            let value: serde_json::Value = job.job.data.parse().unwrap();
            all.push(value["data"].as_str().unwrap().to_owned());
            job.ack().await.unwrap();
        }
    }
}

async fn ring_all(instance: &Instance) {
    assert_eq!(handle(&instance.app, RING_ALL).await, Handled::Done);
}

#[test]
fn an_event_becomes_a_job_of_each_webhook_that_wants_it() {
    on_redis(async |world| {
        let (gateway, subscriber) = (world.instance_with(FILE), world.instance_with(FILE));
        let mut bell = subscribed(world, "spindrift").await;
        let id = publish(&gateway, "orders.eu", "1").await;
        publish(&gateway, "other", "2").await;
        for name in ["orders.eu", "other"] {
            let rung: Vec<u8> = bell.on_message().next().await.unwrap().get_payload().unwrap();
            assert_eq!(rung, ring(name));
            assert_eq!(handle(&subscriber.app, &rung).await, Handled::Done);
        }
        let queue = QueueName::new("billing desk").unwrap();
        let claimed = gateway.jobs().claim(&queue, Claim::default().count(10)).await.unwrap();
        assert_eq!(claimed.len(), 1);
        let payload: serde_json::Value = claimed[0].job.data.parse().unwrap();
        let members = ["type", "data", "topic", "id"].map(|member| payload[member].as_str().unwrap());
        assert_eq!(members, ["orders.eu", "1", "orders.eu", id.as_str()]);
        assert!(payload["timestamp"].as_str().unwrap().ends_with('Z'));
        drop(claimed);
        let mut audit = taken(&gateway, "audit").await;
        audit.sort();
        assert_eq!(audit, ["1", "2"]);
        assert_eq!(subscriber.env.log_lines(), [""; 0]);
    });
}

#[test]
fn nobody_is_rung_for_what_no_webhook_wants() {
    on_redis(async |world| {
        let plain = world.instance();
        let mut bell = subscribed(world, "spindrift").await;
        publish(&plain, "orders.eu", "1").await;
        world.tell(&["PUBLISH", "spindrift", "end"]).await;
        let first: String = bell.on_message().next().await.unwrap().get_payload().unwrap();
        assert_eq!(first, "end");
        assert!(!world.keys().await.iter().any(|key| key.contains("topics")));
    });
}

#[test]
fn what_rang_while_nobody_listened_is_found_by_the_next_ring_or_tick() {
    on_redis(async |world| {
        let gateway = world.instance_with(FILE);
        for number in 0..250 {
            publish(&gateway, &format!("orders.{}", number % 3), &number.to_string()).await;
        }
        // The subscriber starts only now, and is notified of another event.
        let subscriber = world.instance_with(FILE);
        publish(&gateway, "orders.new", "250").await;
        assert_eq!(handle(&subscriber.app, &ring("orders.new")).await, Handled::Done);
        let mut all: Vec<u32> =
            taken(&gateway, "billing desk").await.iter().map(|text| text.parse().unwrap()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..=250).collect::<Vec<_>>());

        publish(&gateway, "orders.1", "251").await;
        world.origin.gives(204, &[], "");
        tick(&gateway.app, gateway.shared(), Duration::from_secs(5)).await.unwrap();
        let delivered = world.origin.last();
        assert!(String::from_utf8_lossy(&delivered.body).contains("251"), "a tick pushes, too");
    });
}

#[test]
fn a_ring_that_was_handed_over_and_failed_can_be_tried_again() {
    on_redis(async |world| {
        let subscriber = world.instance_with(FILE);
        let mut work = subscribed(world, "spindrift-work").await;
        let message = br#"{"v":1,"topic":"event","id":"1"}"#;
        assert_eq!(handle(&subscriber.app, message).await, Handled::HandedOver);
        let handed: Vec<u8> = work.on_message().next().await.unwrap().get_payload().unwrap();
        let list = Keys::new(PREFIX).topics_pending();
        world.tell(&["SET", list.as_str(), "of another type", "EX", "99"]).await;
        assert_eq!(handle(&subscriber.app, &handed).await, Handled::Failed);
        world.tell(&["DEL", list.as_str()]).await;
        assert_eq!(handle(&subscriber.app, message).await, Handled::HandedOver);
        let handed: Vec<u8> = work.on_message().next().await.unwrap().get_payload().unwrap();
        assert_eq!(handle(&subscriber.app, &handed).await, Handled::Done);
        assert_eq!(handle(&subscriber.app, &handed).await, Handled::Taken);
        assert_eq!(handle(&subscriber.app, message).await, Handled::Duplicate);
    });
}

#[test]
fn subscribers_at_once_make_one_job_of_each_event() {
    on_redis(async |world| {
        let gateway = world.instance_with(FILE);
        for number in 0..100 {
            publish(&gateway, "orders.1", &number.to_string()).await;
        }
        let subscribers = [(); 4].map(|()| world.instance_with(FILE));
        let message = ring("orders.1");
        let handled = join_all(subscribers.iter().map(|subscriber| handle(&subscriber.app, &message))).await;
        assert_eq!(handled, [Handled::Done; 4]);
        ring_all(&gateway).await;
        let all = taken(&gateway, "billing desk").await;
        assert_eq!(all, (0..100).map(|number| number.to_string()).collect::<Vec<_>>(), "in order, once");
    });
}

#[test]
fn a_webhook_that_fails_keeps_events_from_no_other() {
    on_redis(async |world| {
        let gateway = world.instance_with(FILE);
        publish(&gateway, "orders.1", "1").await;
        let key = Keys::new(PREFIX).queue_part("billing desk", "d");
        world.tell(&["SET", key.as_str(), "of another type", "EX", "99"]).await;
        assert_eq!(handle(&gateway.app, &ring("orders.1")).await, Handled::Failed);
        assert_eq!(taken(&gateway, "audit").await, ["1"]);
        world.tell(&["DEL", key.as_str()]).await;
        ring_all(&gateway).await;
        assert_eq!(taken(&gateway, "billing desk").await, ["1"], "and it gets what it did not get");
    });
}

#[test]
fn a_webhook_begins_with_what_is_published_once_it_is_there() {
    on_redis(async |world| {
        let before = world.instance();
        publish(&before, "orders.1", "before").await;
        let gateway = world.instance_with(FILE);
        ring_all(&gateway).await;
        publish(&gateway, "orders.1", "1").await;
        ring_all(&gateway).await;
        // A publisher that does not know the webhook sends no notification, and its events are found with the next.
        publish(&before, "orders.1", "2").await;
        publish(&gateway, "orders.1", "3").await;
        ring_all(&gateway).await;
        assert_eq!(taken(&gateway, "billing desk").await, ["1", "2", "3"]);
    });
}

#[test]
fn what_was_trimmed_before_a_webhook_got_it_is_logged_and_counted() {
    on_redis(async |world| {
        let gateway = world.instance_with(&format!("{FILE}[metrics]\n"));
        for data in ["1", "2", "3"] {
            publish(&gateway, "orders.1", data).await;
        }
        let stream = Keys::new(PREFIX).topic("orders.1").as_str().to_owned();
        world.tell(&["XTRIM", &stream, "MAXLEN", "1"]).await;
        ring_all(&gateway).await;
        assert_eq!(taken(&gateway, "billing desk").await, ["3"]);
        assert!(gateway.env.logged("events of orders.1 were deleted"), "{:?}", gateway.env.log_lines());
        publish(&gateway, "orders.1", "4").await;
        world.tell(&["UNLINK", &stream]).await;
        ring_all(&gateway).await;
        publish(&gateway, "orders.1", "5").await;
        ring_all(&gateway).await;
        assert_eq!(taken(&gateway, "billing desk").await, ["5"]);
        let counters = gateway.channel().counters().await.unwrap();
        assert!(
            counters.contains(&("webhook_gaps_total".to_owned(), 4)),
            "two for each webhook: {counters:?}"
        );
    });
}

#[test]
fn a_failure_half_way_is_made_good_and_makes_no_second_job() {
    on_redis(async |world| {
        let gateway = world.instance_with(FILE);
        for number in 0..30 {
            publish(&gateway, "orders.1", &number.to_string()).await;
        }
        for lost in 1..12 {
            // The reply to each command in turn is lost, together with the connection.
            let proxy = Proxy::start(world.server.port()).await;
            let subscriber = world.instance_at(&proxy.url(), FILE);
            subscriber.redis().call("PING", vec![]).await.unwrap();
            let handling = handle(&subscriber.app, RING_ALL);
            let breaking = async {
                for _ in 0..lost {
                    tokio::task::yield_now().await;
                }
                proxy.set(Mode::LoseReply);
            };
            let _ = futures_util::future::join(handling, breaking).await;
            publish(&gateway, "orders.1", &(29 + lost).to_string()).await;
        }
        ring_all(&gateway).await;
        let all = taken(&gateway, "billing desk").await;
        assert_eq!(all, (0..=40).map(|number| number.to_string()).collect::<Vec<_>>());
    });
}

#[test]
fn a_topic_leaves_the_list_only_when_nothing_can_be_on_its_way_any_more() {
    on_redis(async |world| {
        let gateway = world.instance_with(FILE);
        let list = Keys::new(PREFIX).topics_pending().as_str().to_owned();
        publish(&gateway, "orders.1", "1").await;
        ring_all(&gateway).await;
        assert_eq!(world.ask::<u32>(&["ZCARD", &list]).await, 1, "it was noted a moment ago");
        world.tell(&["EVAL", LONG_AGO, "1", &list]).await;
        publish(&gateway, "orders.2", "2").await;
        ring_all(&gateway).await;
        assert_eq!(world.ask::<Vec<String>>(&["ZRANGE", &list, "0", "-1"]).await, ["orders.2"]);
    });
}

/// Moves the times of all notes back by ten minutes.
const LONG_AGO: &str = "for _, topic in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do \
                        redis.call('ZINCRBY', KEYS[1], -600000, topic) end";

#[test]
fn what_is_too_large_for_a_webhook_is_refused_where_one_wants_it() {
    on_redis(async |world| {
        let file = format!("{FILE}[topics]\nmax_event = \"1MiB\"\n");
        let (gateway, plain) =
            (world.instance_with(&file), world.instance_with("[topics]\nmax_event = \"1MiB\"\n"));
        let large = [NewEvent::new("x".repeat(300 * 1024))];
        let refused = gateway.topics().publish(&topic("orders.1"), &large, None).await;
        assert!(matches!(refused, Err(PublishError::Undeliverable { at: 0, .. })), "{refused:?}");
        publish(&gateway, "orders.1", "1").await;
        plain.topics().publish(&topic("orders.1"), &large, None).await.unwrap();
        publish(&gateway, "orders.1", "2").await;
        ring_all(&gateway).await;
        assert_eq!(taken(&gateway, "billing desk").await, ["1", "2"], "one does not stop the others");
        assert!(gateway.env.logged("expected at most"), "{:?}", gateway.env.log_lines());
    });
}

#[test]
fn a_message_publishes_an_event_once() {
    on_redis(async |world| {
        let subscribers = [world.instance_with(FILE), world.instance_with(FILE)];
        let message =
            br#"{"v":1,"topic":"event","id":"m-1","data":{"topic":"orders.1","type":"t","data":"x"}}"#;
        let mut handled = Vec::new();
        for subscriber in &subscribers {
            handled.push(handle(&subscriber.app, message).await);
        }
        assert_eq!(handled, [Handled::Done, Handled::Duplicate]);
        let without = br#"{"v":1,"topic":"event","data":{"topic":"orders.1","data":"x"}}"#;
        assert_eq!(handle(&subscribers[0].app, without).await, Handled::Malformed);
        ring_all(&subscribers[0]).await;
        assert_eq!(taken(&subscribers[0], "billing desk").await, ["x"]);
    });
}

#[test]
fn the_permissions_in_the_manual_are_enough() {
    on_redis(async |world| {
        let mut user = vec!["ACL", "SETUSER", "spindrift", "on", ">p", "resetkeys", "resetchannels", "-@all"];
        user.extend(["~sd:*", "&spindrift", "&spindrift-work", "&sd:*"]);
        user.extend(crate::jobs::redis::commands_of_the_manual());
        world.tell(&user).await;
        let address = format!("redis://spindrift:p@127.0.0.1:{}", world.server.port());
        let instance = world.instance_at(&address, &format!("{FILE}[topics]\nmirror = [\"*\"]\n"));
        publish(&instance, "orders.1", "1").await;
        instance.topics().notify(&topic("orders.1"), &[NewEvent::new("2")]).await.unwrap();
        let mut follower = instance.topics().follow([(topic("orders.1"), Some(Position::Earliest))]);
        follower.enter().await.unwrap();
        assert_eq!(follower.heard_now().len(), 1);
        let list = Keys::new(PREFIX).topics_pending().as_str().to_owned();
        assert_eq!(handle(&instance.app, &ring("orders.1")).await, Handled::Done);
        world.tell(&["EVAL", LONG_AGO, "1", &list]).await;
        ring_all(&instance).await;
        assert_eq!(world.ask::<u32>(&["ZCARD", &list]).await, 0);
        assert_eq!(taken(&instance, "billing desk").await, ["1"]);
        world.clock.advance_secs(2);
        publish(&instance, "orders.1", "3").await;
        let until = world.clock.now().plus(Duration::from_secs(60));
        assert_eq!(follower.next(until).await.unwrap().len(), 1);
        assert!(instance.env.log_lines().is_empty(), "{:?}", instance.env.log_lines());
    });
}

#[derive(Clone, Debug)]
enum Step {
    Publish { topic: u8, count: u8 },
    Ring { topic: u8 },
    RingAll,
    Tidy,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3u8, 1..4u8).prop_map(|(topic, count)| Step::Publish { topic, count }),
        2 => (0..3u8).prop_map(|topic| Step::Ring { topic }),
        1 => Just(Step::RingAll),
        1 => Just(Step::Tidy),
    ]
}

#[test]
fn in_random_histories_every_event_becomes_one_job_in_order() {
    let steps = proptest::collection::vec(step(), 1..30);
    crate::support::property(25, &steps, &async |world: &World, steps: Vec<Step>| {
        let instances = [world.instance_with(FILE), world.instance_with(FILE)];
        let list = Keys::new(PREFIX).topics_pending().as_str().to_owned();
        let mut published: [Vec<String>; 3] = Default::default();
        for (at, step) in steps.into_iter().enumerate() {
            let instance: &Instance = &instances[at % 2];
            match step {
                Step::Publish { topic, count } => {
                    for number in 0..count {
                        let data = format!("{topic}.{at}.{number}");
                        publish(instance, &format!("orders.{topic}"), &data).await;
                        published[usize::from(topic)].push(data);
                    }
                }
                Step::Ring { topic } => {
                    let message = ring(&format!("orders.{topic}"));
                    assert_eq!(handle(&instance.app, &message).await, Handled::Done);
                }
                Step::RingAll => ring_all(instance).await,
                Step::Tidy => world.tell(&["EVAL", LONG_AGO, "1", &list]).await,
            }
        }
        ring_all(&instances[0]).await;
        let all = taken(&instances[0], "billing desk").await;
        for (topic, expected) in published.iter().enumerate() {
            let found: Vec<&String> =
                all.iter().filter(|data| data.starts_with(&format!("{topic}."))).collect();
            assert_eq!(found, expected.iter().collect::<Vec<_>>());
        }
        assert_eq!(all.len(), published.iter().map(Vec::len).sum::<usize>());
    });
}

async fn subscribed(world: &World, channel: &str) -> redis::aio::PubSub {
    let client = redis::Client::open(world.server.url()).unwrap();
    let mut messages = client.get_async_pubsub().await.unwrap();
    messages.subscribe(channel).await.unwrap();
    messages
}
