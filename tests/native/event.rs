//! Messages from the channel: handled once, counted, retried.

use crate::support::entries::resource;
use crate::support::proxy::{Mode, Proxy};
use crate::support::{Instance, PREFIX, World, on_redis};
use futures_util::StreamExt as _;
use futures_util::future::{join, join_all};
use spindrift::event::{Handled, handle};
use spindrift::purge::Purge;
use spindrift::redis::Keys;
use spindrift::topic::{Position, TopicName};

fn purge_message(id: &str) -> Vec<u8> {
    format!(r#"{{"v":1,"topic":"purge","id":"{id}","data":{{"tags":["news"]}}}}"#).into_bytes()
}

async fn counter(instance: &Instance, name: &str) -> i64 {
    let counters = instance.channel().counters().await.unwrap();
    counters.into_iter().find(|(found, _)| found == name).map_or(0, |(_, count)| count)
}

async fn there(instance: &Instance) -> bool {
    instance.find("/a").await.entry.is_some()
}

#[test]
fn a_purge_message_is_acted_on() {
    on_redis(async |world| {
        let (gateway, subscriber) = (world.instance(), world.instance());
        gateway.put("/a", &["news"], "a").await;
        assert_eq!(handle(&subscriber.app, &purge_message("1")).await, Handled::Done);
        assert!(!there(&gateway).await);
        assert_eq!(counter(&gateway, "messages_done").await, 1);
    });
}

#[test]
fn a_message_of_two_subscribers_acts_once() {
    on_redis(async |world| {
        let (gateway, one, other) = (world.instance(), world.instance(), world.instance());
        let message = purge_message("same");
        let both = join(handle(&one.app, &message), handle(&other.app, &message)).await;
        assert!(
            matches!(both, (Handled::Done, Handled::Duplicate) | (Handled::Duplicate, Handled::Done)),
            "{both:?}"
        );
        gateway.put("/a", &["news"], "new").await;
        assert_eq!(handle(&one.app, &message).await, Handled::Duplicate);
        assert!(there(&gateway).await, "what was stored after the purge stays");
        assert_eq!(handle(&one.app, &purge_message("next")).await, Handled::Done);
        assert!(!there(&gateway).await);
        let counts = (counter(&one, "messages_done").await, counter(&one, "messages_duplicate").await);
        assert_eq!(counts, (2, 2));
    });
}

#[test]
fn a_message_without_id_is_acted_on_by_every_subscriber() {
    on_redis(async |world| {
        let message = br#"{"v":1,"topic":"purge","data":{"urls":["http://h/a"]}}"#;
        let instances = [world.instance(), world.instance()];
        let handled = join_all(instances.iter().map(|instance| handle(&instance.app, message))).await;
        assert_eq!(handled, [Handled::Done; 2]);
    });
}

#[test]
fn a_malformed_message_is_logged_counted_and_does_no_harm() {
    on_redis(async |world| {
        let instance = world.instance();
        instance.put("/a", &["news"], "a").await;
        let malformed: [&[u8]; 8] = [
            b"",
            b"nonsense",
            b"\xff\xfe",
            br#"{"v":2,"topic":"purge","data":{"tags":["news"]}}"#,
            br#"{"v":1,"topic":"explode","data":{}}"#,
            br#"{"v":1,"topic":"purge","id":"a b","data":{"tags":["news"]}}"#,
            br#"{"v":1,"topic":"purge","data":{"tags":["news"],"urls":["no url"]}}"#,
            &vec![b' '; spindrift::event::MAX_MESSAGE + 1],
        ];
        for (number, payload) in (1..).zip(malformed) {
            assert_eq!(handle(&instance.app, payload).await, Handled::Malformed);
            assert_eq!(counter(&instance, "messages_malformed").await, number);
            assert_eq!(instance.env.log_lines().len(), usize::try_from(number).unwrap());
        }
        assert!(there(&instance).await);
    });
}

#[test]
fn a_failed_message_can_be_tried_again() {
    on_redis(async |world| {
        let (gateway, subscriber) = (world.instance(), world.instance());
        gateway.put("/a", &["news"], "a").await;
        let entries = Keys::new(PREFIX).ledger_entries();
        // A key of another type makes the purge fail after the message was claimed.
        gateway.purge_tag("before").await;
        world.tell(&["SET", entries.as_str(), "of another type", "EX", "99"]).await;
        assert_eq!(handle(&subscriber.app, &purge_message("1")).await, Handled::Failed);
        assert_eq!(counter(&gateway, "messages_failed").await, 1);
        world.tell(&["DEL", entries.as_str()]).await;
        assert_eq!(handle(&subscriber.app, &purge_message("1")).await, Handled::Done);
        assert!(!there(&gateway).await);
    });
}

#[test]
fn a_message_that_could_not_be_claimed_can_be_tried_again() {
    on_redis(async |world| {
        let subscriber = world.instance();
        world.tell(&["CONFIG", "SET", "maxmemory", "1"]).await;
        assert_eq!(handle(&subscriber.app, &purge_message("1")).await, Handled::Failed);
        world.tell(&["CONFIG", "SET", "maxmemory", "0"]).await;
        assert_eq!(handle(&subscriber.app, &purge_message("1")).await, Handled::Done);
    });
}

#[test]
fn a_message_whose_claim_was_sent_again_is_done() {
    on_redis(async |world| {
        let proxy = Proxy::start(world.server.port()).await;
        let (gateway, subscriber) = (world.instance(), world.instance_at(&proxy.url(), ""));
        gateway.put("/a", &["news"], "a").await;
        assert_eq!(handle(&subscriber.app, &purge_message("before")).await, Handled::Done);
        gateway.put("/a", &["news"], "a").await;
        // The claim is set, but its reply is lost with the connection.
        proxy.set(Mode::LoseReply);
        assert_eq!(handle(&subscriber.app, &purge_message("1")).await, Handled::Done);
        assert!(!there(&gateway).await);
        assert_eq!(handle(&gateway.app, &purge_message("1")).await, Handled::Duplicate);
    });
}

#[test]
fn an_event_is_published_as_its_data_was_written() {
    on_redis(async |world| {
        let subscriber = world.instance();
        let data = r#"{"z":12345678901234567890123, "a":1.10}"#;
        let message = format!(r#"{{"v":1,"topic":"event","id":"e","data":{{"topic":"t","data":{data}}}}}"#);
        assert_eq!(handle(&subscriber.app, message.as_bytes()).await, Handled::Done);
        let topic = TopicName::new("t").unwrap();
        let found = subscriber.topics().read(&topic, Position::Earliest).await.unwrap();
        assert_eq!(found[0].data, data);
    });
}

#[test]
fn an_announcement_reaches_subscribers_and_is_done_already() {
    on_redis(async |world| {
        let (gateway, subscriber) = (world.instance(), world.instance());
        let mut messages = subscribed(world, &gateway.app.settings.channel).await;
        let purge = Purge { tags: vec!["news".into()], ..Purge::default() };
        gateway.purge(&purge).await.unwrap();
        gateway.channel().announce_purge(&purge).await.unwrap();
        gateway.put("/a", &["news"], "new").await;
        let payload: Vec<u8> = messages.on_message().next().await.unwrap().get_payload().unwrap();
        assert_eq!(handle(&subscriber.app, &payload).await, Handled::Duplicate);
        assert!(there(&gateway).await);
    });
}

async fn next(channel: &mut redis::aio::PubSub) -> Vec<u8> {
    channel.on_message().next().await.unwrap().get_payload().unwrap()
}

fn warm_message(id: &str) -> Vec<u8> {
    format!(r#"{{"v":1,"topic":"warm","id":"{id}","data":{{"urls":["http://h/w"]}}}}"#).into_bytes()
}

#[test]
fn what_takes_long_is_handed_over_to_who_listens_for_it() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let mut work = subscribed(world, "spindrift-work").await;
        assert_eq!(handle(&one.app, &warm_message("1")).await, Handled::HandedOver);
        assert_eq!(handle(&other.app, &warm_message("1")).await, Handled::Duplicate);
        assert_eq!(world.origin.count(), 0);
        let handed = next(&mut work).await;
        assert_eq!(handle(&one.app, &handed).await, Handled::Done);
        assert_eq!(handle(&other.app, &handed).await, Handled::Taken, "of several who listen one does it");
        assert_eq!(world.origin.count(), 1);
        assert_eq!(counter(&one, "messages_handed_over").await, 1);
        let bell = br#"{"v":1,"topic":"job","data":{"queue":"mail"}}"#;
        let ring = br#"{"v":1,"topic":"event","data":{}}"#;
        for message in [&bell[..], ring] {
            assert_eq!(handle(&one.app, message).await, Handled::HandedOver);
        }
        let event = br#"{"v":1,"topic":"event","id":"e","data":{"topic":"t","data":"x"}}"#;
        assert_eq!(handle(&one.app, event).await, Handled::Done, "events keep their order");
    });
}

#[test]
fn what_nobody_listens_for_is_done_at_once() {
    on_redis(async |world| {
        let instance = world.instance();
        assert_eq!(handle(&instance.app, &warm_message("1")).await, Handled::Done);
        assert_eq!(world.origin.count(), 1);
        // A user who may not publish on that channel does not pass messages on either.
        world
            .tell(&["ACL", "SETUSER", "some", "on", ">p", "~*", "+@all", "resetchannels", "&spindrift"])
            .await;
        let url = world.server.url().replace("redis://", "redis://some:p@");
        let confined = world.instance_at(&url, "");
        assert_eq!(handle(&confined.app, &warm_message("2")).await, Handled::Done);
        assert!(confined.env.logged("a message was not passed on"));
    });
}

#[test]
fn what_is_too_large_to_be_handed_over_is_done_at_once() {
    on_redis(async |world| {
        let instance = world.instance();
        let _work = subscribed(world, "spindrift-work").await;
        let mut urls: Vec<String> =
            (0..20).map(|number| format!("http://h/w?{number}{}", "x".repeat(52_000))).collect();
        let message = |urls: &[String]| {
            serde_json::json!({"v": 1, "topic": "warm", "id": "1", "data": {"urls": urls}}).to_string()
        };
        let room = spindrift::event::MAX_MESSAGE - message(&urls).len();
        urls[0].push_str(&"x".repeat(room));
        assert_eq!(handle(&instance.app, message(&urls).as_bytes()).await, Handled::Done);
        assert_eq!(world.origin.count(), 20);
    });
}

#[test]
fn one_sweep_is_asked_for_by_all_purges_before_it_begins() {
    on_redis(async |world| {
        let subscriber = world.instance();
        subscriber.put("/a", &["news"], "a").await;
        let mut work = subscribed(world, "spindrift-work").await;
        for id in ["1", "2", "3"] {
            assert_eq!(handle(&subscriber.app, &purge_message(id)).await, Handled::Done);
        }
        let key = Keys::new(PREFIX).resource(resource("/a").id());
        assert_eq!(world.ask::<i64>(&["EXISTS", key.as_str()]).await, 1, "no purge waits for a sweep");
        let handed = next(&mut work).await;
        assert_eq!(handle(&subscriber.app, &handed).await, Handled::Swept);
        assert_eq!(world.ask::<i64>(&["EXISTS", key.as_str()]).await, 0);
        assert_eq!(handle(&subscriber.app, &purge_message("4")).await, Handled::Done);
        assert_ne!(next(&mut work).await, handed, "the next purge asks for the next");
    });
}

async fn subscribed(world: &World, channel: &str) -> redis::aio::PubSub {
    let client = redis::Client::open(world.server.url()).unwrap();
    let mut messages = client.get_async_pubsub().await.unwrap();
    messages.subscribe(channel).await.unwrap();
    messages
}
