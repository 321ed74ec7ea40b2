//! Topics in Redis: publishing, reading, and the bounds of what is kept.

use crate::support::proxy::{Mode, Proxy};
use crate::support::{Instance, PREFIX, World, on_redis};
use futures_util::StreamExt as _;
use futures_util::future::{join, join_all};
use spindrift::redis::{Keys, RedisError};
use spindrift::topic::{Event, EventId, NewEvent, Position, PublishError, Published, TopicName};

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn key(name: &str) -> String {
    Keys::new(PREFIX).topic(name).as_str().to_owned()
}

fn events(data: &[&str]) -> Vec<NewEvent> {
    data.iter().map(|&data| NewEvent::new(data)).collect()
}

async fn publish(instance: &Instance, name: &str, data: &[&str]) -> Vec<EventId> {
    instance.topics().publish(&topic(name), &events(data), None).await.unwrap().ids
}

async fn read(instance: &Instance, name: &str, position: Position) -> Vec<Event> {
    instance.topics().read(&topic(name), position).await.unwrap()
}

fn data(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.data.as_str()).collect()
}

#[test]
fn events_are_read_in_the_order_they_were_published_in() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let mut ids = publish(&one, "t", &["1"]).await;
        ids.extend(publish(&other, "t", &["2", "3", ""]).await);
        ids.extend(publish(&one, "t", &["\r\n\u{0}é"]).await);
        let found = read(&one, "t", Position::Earliest).await;
        assert_eq!(data(&found), ["1", "2", "3", "", "\r\n\u{0}é"]);
        assert_eq!(found.iter().map(|event| event.id).collect::<Vec<_>>(), ids);
        assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
        let links: Vec<_> = found.iter().map(|event| event.previous).collect();
        let expected: Vec<_> = [None].into_iter().chain(ids[..4].iter().map(|&id| Some(id))).collect();
        assert_eq!(links, expected, "each names the one before it");
        assert_eq!(data(&read(&other, "t", Position::After(ids[2])).await), ["", "\r\n\u{0}é"]);
        assert_eq!(read(&other, "t", Position::After(ids[4])).await, []);
        assert_eq!(read(&other, "other", Position::Earliest).await, []);
    });
}

#[test]
fn the_type_of_an_event_is_kept() {
    on_redis(async |world| {
        let instance = world.instance();
        let event = NewEvent::new("x").typed("created").unwrap();
        instance.topics().publish(&topic("t"), &[event, NewEvent::new("y")], None).await.unwrap();
        let found = read(&instance, "t", Position::Earliest).await;
        assert_eq!(found.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>(), ["created", ""]);
    });
}

#[test]
fn names_from_outside_stay_apart_and_harmless() {
    on_redis(async |world| {
        let instance = world.instance();
        let names = ["a", "{a}", "a}:c", "a}:m:x", "%61", "a%7B", "A", "a:b", "topic:a", "~/!\"'"];
        for name in names {
            publish(&instance, name, &[name]).await;
        }
        for name in names {
            assert_eq!(data(&read(&instance, name, Position::Earliest).await), [name]);
        }
        for key in world.keys().await {
            assert_eq!((key.matches('{').count(), key.matches('}').count()), (1, 1), "{key}");
        }
    });
}

#[test]
fn what_has_the_same_key_is_published_once() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let publish = |instance: &Instance, data: &str| {
            let topics = instance.topics().clone();
            let events = events(&[data, "second"]);
            async move { topics.publish(&topic("t"), &events, Some("order-7")).await }
        };
        let (first, second) = join(publish(&one, "x"), publish(&other, "x")).await;
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_eq!(first.ids, second.ids);
        assert_ne!(first.repeated, second.repeated);
        assert_eq!(publish(&one, "y").await, Err(PublishError::KeyReused));
        assert_eq!(data(&read(&one, "t", Position::Earliest).await), ["x", "second"]);
        let again = one.topics().publish(&topic("u"), &events(&["y"]), Some("order-7")).await.unwrap();
        assert!(!again.repeated, "a key belongs to its topic");
    });
}

#[test]
fn a_request_that_is_sent_again_publishes_once() {
    on_redis(async |world| {
        let proxy = Proxy::start(world.server.port()).await;
        let instance = world.instance_at(&proxy.url(), "");
        publish(&instance, "t", &["1"]).await;
        proxy.cut();
        publish(&instance, "t", &["2"]).await;
        assert_eq!(data(&read(&instance, "t", Position::Earliest).await), ["1", "2"]);

        // The server has carried it out, but the reply is lost with the connection.
        proxy.set(Mode::LoseReply);
        publish(&instance, "t", &["3"]).await;
        assert_eq!(data(&read(&instance, "t", Position::Earliest).await), ["1", "2", "3"]);
    });
}

#[test]
fn a_topic_keeps_about_so_many_events() {
    on_redis(async |world| {
        let instance = world.instance_with("[topics]\nmax_length = 100\n");
        let batch = events(&["x"; 100]);
        for _ in 0..20 {
            instance.topics().publish(&topic("t"), &batch, None).await.unwrap();
        }
        let length: u64 = world.ask(&["XLEN", &key("t")]).await;
        assert!((100..=300).contains(&length), "{length}");
    });
}

#[test]
fn a_topic_keeps_events_for_about_so_long() {
    on_redis(async |world| {
        let instance = world.instance_with("[topics]\nmax_age = \"1h\"\n");
        for number in 1..=150 {
            let id = format!("{number}-0");
            world.tell(&["XADD", &key("t"), &id, "p", "", "t", "", "d", "old"]).await;
        }
        publish(&instance, "t", &["new"]).await;
        let length: u64 = world.ask(&["XLEN", &key("t")]).await;
        assert!(length <= 51, "Redis drops whole nodes of 100: {length}");
        assert_eq!(read(&instance, "t", Position::Since(world.clock.now())).await.len(), 1);
    });
}

#[test]
fn every_key_of_a_topic_ends_after_its_last_event() {
    on_redis(async |world| {
        let instance = world.instance_with("[topics]\nmax_age = \"1h\"\n");
        publish(&instance, "t", &["x"]).await;
        let ttl: i64 = world.ask(&["PTTL", &key("t")]).await;
        assert!((3_500_000..=3_600_000).contains(&ttl), "{ttl}");
        world.tell(&["PEXPIRE", &key("t"), "60000"]).await;
        publish(&instance, "t", &["y"]).await;
        let ttl: i64 = world.ask(&["PTTL", &key("t")]).await;
        assert!((3_500_000..=3_600_000).contains(&ttl), "{ttl}");
        world.check_keys().await;
    });
}

#[test]
fn what_is_too_large_or_too_many_is_refused_and_nothing_is_published() {
    on_redis(async |world| {
        let instance = world.instance_with("[topics]\nmax_event = \"10B\"\n");
        let publish = async |events: &[NewEvent]| instance.topics().publish(&topic("t"), events, None).await;
        let fits = NewEvent::new("12345").typed("67890").unwrap();
        assert!(publish(&[fits]).await.is_ok());
        let long = NewEvent::new("123456").typed("67890").unwrap();
        assert_eq!(
            publish(&[NewEvent::new("x"), long]).await,
            Err(PublishError::TooLarge { at: 1, most: 10, found: 11 })
        );
        assert_eq!(publish(&[]).await, Err(PublishError::Count(0)));
        assert_eq!(publish(&events(&["x"; 101])).await, Err(PublishError::Count(101)));
        assert_eq!(read(&instance, "t", Position::Earliest).await.len(), 1);
    });
}

#[test]
fn a_large_topic_is_read_piece_by_piece() {
    on_redis(async |world| {
        let instance = world.instance();
        let large = "x".repeat(60_000);
        for _ in 0..3 {
            let batch = events(&[large.as_str(); 12]);
            instance.topics().publish(&topic("t"), &batch, None).await.unwrap();
        }
        let (mut position, mut count) = (Position::Earliest, 0);
        loop {
            let found = read(&instance, "t", position).await;
            let size: usize = found.iter().map(Event::size).sum();
            assert!(size <= 1024 * 1024, "{size}");
            let Some(last) = found.last() else { break };
            (position, count) = (Position::After(last.id), count + found.len());
        }
        assert_eq!(count, 36);
    });
}

#[test]
fn subscribers_of_redis_get_what_is_mirrored_and_what_is_sent_to_them_alone() {
    on_redis(async |world| {
        let instance = world.instance_with("[topics]\nmirror = [\"m.*\"]\n");
        let mut orders = subscribed(world, "sd:m.orders").await;
        let mut others = subscribed(world, "sd:other").await;
        instance.topics().publish(&topic("m.orders"), &events(&["1", "2"]), None).await.unwrap();
        publish(&instance, "other", &["not mirrored"]).await;
        let reached = instance.topics().notify(&topic("other"), &events(&["alone"])).await.unwrap();
        assert_eq!(reached, [1]);
        assert_eq!(instance.topics().notify(&topic("nobody"), &events(&["x", "y"])).await.unwrap(), [0, 0]);
        assert_eq!(payload(&mut orders).await, "1");
        assert_eq!(payload(&mut orders).await, "2");
        assert_eq!(payload(&mut others).await, "alone");
        assert_eq!(data(&read(&instance, "other", Position::Earliest).await), ["not mirrored"]);
    });
}

#[test]
fn what_is_sent_to_subscribers_alone_reaches_them_as_a_whole() {
    on_redis(async |world| {
        let proxy = Proxy::start(world.server.port()).await;
        let instance = world.instance_at(&proxy.url(), "");
        let mut subscriber = subscribed(world, "sd:t").await;
        instance.topics().notify(&topic("t"), &events(&["1", "2"])).await.unwrap();
        assert_eq!(
            (payload(&mut subscriber).await, payload(&mut subscriber).await),
            ("1".into(), "2".into())
        );
        // It is carried out, but the reply is lost with the connection.
        proxy.set(Mode::LoseReply);
        let lost = instance.topics().notify(&topic("t"), &events(&["3", "4"])).await;
        assert!(matches!(lost, Err(PublishError::Redis(RedisError::Unreachable(_)))), "{lost:?}");
        instance.topics().notify(&topic("t"), &events(&["5"])).await.unwrap();
        for expected in ["3", "4", "5"] {
            assert_eq!(payload(&mut subscriber).await, expected);
        }
    });
}

#[test]
fn channels_may_have_any_prefix_but_never_be_our_own_channel() {
    on_redis(async |world| {
        let instance = world.instance_with("[topics]\nchannel_prefix = \"\"\nmirror = [\"*\"]\n");
        let mut plain = subscribed(world, "orders").await;
        publish(&instance, "orders", &["x"]).await;
        assert_eq!(payload(&mut plain).await, "x");
        let own = topic(&instance.app.settings.channel);
        assert_eq!(instance.topics().notify(&own, &events(&["x"])).await, Err(PublishError::Reserved));
        assert_eq!(instance.topics().publish(&own, &events(&["x"]), None).await, Err(PublishError::Reserved));
    });
}

#[test]
fn entries_of_another_form_are_an_error_rather_than_wrong_events() {
    on_redis(async |world| {
        let instance = world.instance();
        world.tell(&["XADD", &key("t"), "*", "d", "x"]).await;
        world.tell(&["EXPIRE", &key("t"), "60"]).await;
        let found = instance.topics().read(&topic("t"), Position::Earliest).await;
        assert!(matches!(found, Err(RedisError::Reply(_))), "{found:?}");
        world.tell(&["SET", &key("u"), "x", "EX", "60"]).await;
        let published = instance.topics().publish(&topic("u"), &events(&["x"]), None).await;
        assert!(matches!(published, Err(PublishError::Redis(RedisError::Refused(_)))), "{published:?}");
    });
}

#[test]
fn a_full_server_publishes_nothing_and_says_so() {
    on_redis(async |world| {
        let instance = world.instance();
        publish(&instance, "t", &["1"]).await;
        world.tell(&["CONFIG", "SET", "maxmemory", "1"]).await;
        let published = instance.topics().publish(&topic("t"), &events(&["2"]), None).await;
        assert!(matches!(published, Err(PublishError::Redis(RedisError::Unavailable(_)))), "{published:?}");
        assert_eq!(data(&read(&instance, "t", Position::Earliest).await), ["1"]);
        world.tell(&["CONFIG", "SET", "maxmemory", "0"]).await;
        publish(&instance, "t", &["3"]).await;
        assert_eq!(data(&read(&instance, "t", Position::Earliest).await), ["1", "3"]);
    });
}

#[test]
fn concurrent_publishers_lose_nothing() {
    on_redis(async |world| {
        let instances = [world.instance(), world.instance(), world.instance()];
        let all = (0..90).map(|number: usize| {
            let topics = instances[number % 3].topics().clone();
            async move {
                let events = [NewEvent::new(number.to_string())];
                let Published { ids, repeated } = topics.publish(&topic("t"), &events, None).await.unwrap();
                (ids[0], number.to_string(), repeated)
            }
        });
        let mut published = join_all(all).await;
        published.sort();
        let found = read(&instances[0], "t", Position::Earliest).await;
        let found: Vec<_> = found.into_iter().map(|event| (event.id, event.data, false)).collect();
        assert_eq!(found, published[..found.len()]);
        assert_eq!(world.ask::<usize>(&["XLEN", &key("t")]).await, 90);
    });
}

#[test]
fn what_was_published_is_counted() {
    on_redis(async |world| {
        let instance = world.instance_with("[metrics]\n");
        publish(&instance, "t", &["1", "2", "3"]).await;
        instance.topics().notify(&topic("t"), &events(&["x"])).await.unwrap();
        instance.shared().metrics.flush().await;
        let mut counters = instance.channel().counters().await.unwrap();
        counters.retain(|(name, _)| name.starts_with("event"));
        counters.sort();
        assert_eq!(
            counters,
            [("events_notified_total".to_owned(), 1), ("events_published_total".to_owned(), 3)]
        );
    });
}

async fn subscribed(world: &World, channel: &str) -> redis::aio::PubSub {
    let client = redis::Client::open(world.server.url()).unwrap();
    let mut messages = client.get_async_pubsub().await.unwrap();
    messages.subscribe(channel).await.unwrap();
    messages
}

async fn payload(messages: &mut redis::aio::PubSub) -> String {
    messages.on_message().next().await.unwrap().get_payload().unwrap()
}
