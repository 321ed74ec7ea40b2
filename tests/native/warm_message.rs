//! Messages that say which URLs to warm.

use crate::support::origin::reply;
use crate::support::{Instance, on_redis};
use spindrift::event::{Handled, handle};
use std::time::Duration;

fn message(urls: &[String]) -> Vec<u8> {
    serde_json::json!({"v": 1, "topic": "warm", "id": "w-1", "data": {"urls": urls}}).to_string().into_bytes()
}

fn urls(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("http://h/{number}")).collect()
}

async fn counter(instance: &Instance, name: &str) -> i64 {
    let counters = instance.channel().counters().await.unwrap();
    counters.into_iter().find(|(found, _)| found == name).map_or(0, |(_, count)| count)
}

#[test]
fn what_a_message_names_is_a_hit_for_the_first_client() {
    on_redis(async |world| {
        let (gateway, subscriber) = (world.instance(), world.instance_with("[metrics]\nenabled = true\n"));
        let urls = urls(20);
        assert_eq!(handle(&subscriber.app, &message(&urls)).await, Handled::Done);
        assert_eq!(handle(&subscriber.app, &message(&urls)).await, Handled::Duplicate);
        subscriber.env.settle().await;
        for url in &urls {
            assert!(gateway.get(url).await.is_hit(), "{url}");
        }
        assert_eq!(world.origin.count(), 20);
        assert!(subscriber.env.logged("warmed 20 of 20 URLs, 0 left for later"));
        assert_eq!(counter(&subscriber, r#"warmed_total{result="stored"}"#).await, 20);
    });
}

#[test]
fn no_more_than_eight_are_fetched_at_once() {
    on_redis(async |world| {
        let subscriber = world.instance();
        world.origin.hold();
        let message = message(&urls(30));
        let (handled, at_once) =
            tokio::join!(handle(&subscriber.app, &message), world.origin.asked_at_once(8));
        assert_eq!((handled, at_once, world.origin.count()), (Handled::Done, 8, 30));
    });
}

#[test]
fn what_takes_too_long_makes_way_for_other_messages() {
    on_redis(async |world| {
        let subscriber = world.instance();
        let clock = world.clock.clone();
        // Each fetch takes one of the five seconds.
        world.origin.answers(move |_| {
            clock.advance(Duration::from_secs(1));
            Ok(reply(200, &[("cache-control", "max-age=3600")], "x"))
        });
        let client = redis::Client::open(world.server.url()).unwrap();
        let mut channel = client.get_async_pubsub().await.unwrap();
        channel.subscribe("spindrift").await.unwrap();
        assert_eq!(handle(&subscriber.app, &message(&urls(30))).await, Handled::Done);
        let first = world.origin.count();
        assert!((5..30).contains(&first), "{first}");
        let mut rest = {
            use futures_util::StreamExt as _;
            channel.on_message().next().await.unwrap().get_payload_bytes().to_vec()
        };
        let said: serde_json::Value = serde_json::from_slice(&rest).unwrap();
        assert_eq!(said["data"]["urls"].as_array().unwrap().len(), 30 - first);
        assert!(said["id"].as_str().is_some_and(|id| id.len() == 32), "one of several subscribers goes on");
        while world.origin.count() < 30 {
            assert_eq!(handle(&subscriber.app, &rest).await, Handled::Done);
            if world.origin.count() < 30 {
                use futures_util::StreamExt as _;
                rest = channel.on_message().next().await.unwrap().get_payload_bytes().to_vec();
            }
        }
        subscriber.env.settle().await;
    });
}

#[test]
fn what_cannot_be_stored_is_told_and_not_tried_again() {
    on_redis(async |world| {
        let subscriber = world.instance_with("[metrics]\nenabled = true\n");
        world.origin.gives(200, &[("cache-control", "private")], "x");
        assert_eq!(handle(&subscriber.app, &message(&urls(2))).await, Handled::Done);
        assert!(
            subscriber
                .env
                .logged("warmed 0 of 2 URLs, 0 left for later; not http://h/0: status 200, private")
        );
        assert_eq!(counter(&subscriber, r#"warmed_total{result="not_stored"}"#).await, 2);
        world.origin.is_away();
        let other = br#"{"v":1,"topic":"warm","data":{"urls":["http://h/x"]}}"#;
        assert_eq!(handle(&subscriber.app, other).await, Handled::Done);
        assert!(subscriber.env.logged("not http://h/x: status 502"));
    });
}
