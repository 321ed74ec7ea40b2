//! Streams of Server-Sent Events.

use crate::support::EACH_REUSE;
use spindrift_e2e::{Events, FaultyRedis, Gateway, Origin, Redis, Reply, Request, Setup, TOKEN, eventually};
use std::io::Write as _;
use std::net::TcpStream;

fn setup(redis: &Redis) -> Setup {
    let origin = Origin::always(Reply::fresh("of the origin"));
    Gateway::before(&origin).redis(redis).managed()
}

/// Streams that last longer than any test, and that look for events often.
const LIVELY: &str = "[topics]\nstream_time = \"1m\"\nmax_delay = \"20ms\"\n";

/// Streams that end soon.
const SHORT: &str = "[topics]\nstream_time = \"1s\"\nmax_delay = \"20ms\"\nretry = \"100ms\"\n";

fn stream(query: &str) -> Request {
    Request::get(&format!("/_spindrift/v1/channels/orders{query}")).bearer(TOKEN)
}

fn publish(gateway: &Gateway, channel: &str, data: &str) -> String {
    let json = serde_json::json!({"data": data}).to_string();
    let response = gateway.manage(&format!("/_spindrift/v1/channels/{channel}"), &json);
    assert_eq!(response.status, 200, "{response:?}");
    response.json()["ids"][0].as_str().unwrap().to_owned()
}

/// Opens a stream and waits until it has begun.
macro_rules! events {
    ($events:ident, $gateway:expr, $request:expr) => {
        let mut client = $gateway.client();
        #[allow(unused_mut, reason = "not all tests read on")]
        let mut $events = Events::open(&mut client, &$request);
    };
}

#[test]
fn live_events_arrive_one_by_one() {
    for (requests, at_once) in EACH_REUSE {
        let redis = Redis::start();
        let gateway = setup(&redis).config(LIVELY).reuse(requests, at_once).start();
        publish(&gateway, "orders", "before");
        events!(events, gateway, stream(""));
        let begin = events.block().unwrap();
        assert!(begin.data.is_none() && begin.id.is_some() && begin.retry.is_some(), "{begin:?}");
        assert_eq!(events.headers().get("cache-control"), Some("no-store"));
        assert_eq!(events.headers().get("x-accel-buffering"), Some("no"));
        assert_eq!(events.headers().get("last-event-id"), begin.id.as_deref());
        for number in 0..5 {
            let id = publish(&gateway, "orders", &number.to_string());
            let event = events.event();
            assert_eq!((event.data, event.id), (Some(number.to_string()), Some(id)));
        }
    }
}

#[test]
fn several_streams_hear_the_same() {
    let redis = Redis::start();
    let gateway = setup(&redis).config(LIVELY).one_instance().start();
    let mut clients: Vec<_> = (0..8).map(|_| gateway.client()).collect();
    let mut streams: Vec<_> = clients.iter_mut().map(|client| Events::open(client, &stream(""))).collect();
    for round in 0..3 {
        publish(&gateway, "orders", &format!("{round}"));
        for events in &mut streams {
            assert_eq!(events.data(1), [format!("{round}")]);
        }
    }
}

#[test]
fn type_and_awkward_data_arrive_as_they_were_published() {
    let redis = Redis::start();
    let gateway = setup(&redis).config(LIVELY).start();
    events!(events, gateway, stream(""));
    let json = serde_json::json!([
        {"data": "a\r\n\r\nid: 9-9\revent: evil\ndata: forged\n\n", "type": "order.created"},
        {"data": ": no comment"},
        {"data": ""},
        {"data": "\u{feff}é\u{0} "},
    ]);
    assert_eq!(gateway.manage("/_spindrift/v1/channels/orders", &json.to_string()).status, 200);
    let forged = events.event();
    assert_eq!(forged.data.as_deref(), Some("a\n\nid: 9-9\nevent: evil\ndata: forged\n\n"));
    assert_eq!(forged.kind.as_deref(), Some("order.created"));
    assert_ne!(forged.id.as_deref(), Some("9-9"));
    let plain = events.event();
    assert_eq!((plain.data.as_deref(), plain.kind), (Some(": no comment"), None));
    assert_eq!(events.data(2), ["", "\u{feff}é\u{0} "]);
}

#[test]
fn who_reconnects_with_the_last_id_loses_nothing() {
    let redis = Redis::start();
    let gateway = setup(&redis).config(LIVELY).start();
    let mut last = {
        events!(events, gateway, stream(""));
        let _ = events.block();
        events.last_id().to_owned()
    };
    let (mut published, mut heard) = (Vec::new(), Vec::new());
    for round in 0..6 {
        for number in 0..round {
            let data = format!("{round}.{number}");
            publish(&gateway, "orders", &data);
            published.push(data);
        }
        // The clients reconnect in two ways: with the field, as an EventSource does, or with the query.
        let request = match round % 2 {
            0 => stream("?last_event_id=0-0").header("last-event-id", &last),
            _ => stream(&format!("?last_event_id={last}")),
        };
        events!(events, gateway, request);
        assert_eq!(events.headers().get("last-event-id"), Some(last.as_str()), "no gap");
        heard.extend(events.data(round));
        assert_eq!(heard, published);
        last = events.last_id().to_owned();
        if round == 0 {
            let _ = events.block();
            last = events.last_id().to_owned();
        }
    }
}

#[test]
fn a_stream_ends_by_itself_and_the_next_one_goes_on() {
    let redis = Redis::start();
    let gateway = setup(&redis).config(SHORT).start();
    let writer = setup(&redis).start();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            let mut count = 0u32;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                publish(&writer, "orders", &count.to_string());
                count += 1;
            }
            count
        });
        let mut heard: Vec<String> = Vec::new();
        let mut last = "earliest".to_owned();
        for _ in 0..3 {
            events!(events, gateway, stream("").header("last-event-id", &last));
            assert_ne!(events.headers().get("last-event-id"), Some(""));
            heard.extend(events.rest());
            last = events.last_id().to_owned();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        let count = publishing.join().unwrap();
        events!(events, gateway, stream("").header("last-event-id", &last));
        heard.extend(events.rest());
        let expected: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        assert_eq!(heard, expected, "in four streams");
    });
}

#[test]
fn in_a_storm_of_reconnects_nobody_loses_anything() {
    const EVENTS: usize = 300;
    let redis = Redis::start();
    let gateway = setup(&redis).config(SHORT).start();
    let expected: Vec<String> = (0..EVENTS).map(|number| number.to_string()).collect();
    std::thread::scope(|scope| {
        for client in 0..20 {
            let (gateway, expected) = (&gateway, &expected);
            scope.spawn(move || {
                let (mut heard, mut last) = (Vec::new(), "0".to_owned());
                while heard.len() < EVENTS {
                    events!(events, gateway, stream("").header("last-event-id", &last));
                    // Some clients disconnect in the middle of a stream, the others read to its end.
                    let most = if client % 2 == 0 { 7 } else { usize::MAX };
                    heard.extend(
                        (0..most)
                            .map_while(|_| events.try_event()?.data)
                            .filter(|it| it.parse::<u32>().is_ok()),
                    );
                    last = events.last_id().to_owned();
                }
                assert_eq!(heard, *expected, "client {client}");
            });
        }
        for data in &expected {
            publish(&gateway, "orders", data);
        }
    });
}

#[test]
fn what_was_trimmed_is_told_in_the_field_and_in_the_stream() {
    let redis = Redis::start();
    let gateway = setup(&redis).config(LIVELY).start();
    let first = publish(&gateway, "orders", "1");
    let ids: Vec<String> = ["2", "3", "4"].map(|data| publish(&gateway, "orders", data)).to_vec();
    let _: i64 = redis.query(&["XTRIM", "sd:{topic:orders}", "MAXLEN", "2"]);
    events!(events, gateway, stream("").header("last-event-id", &first));
    assert_eq!(events.headers().get("last-event-id"), Some("earliest"));
    let gap = events.event();
    assert_eq!((gap.kind.as_deref(), gap.data.as_deref()), (Some("gap"), Some(r#"{"topic":"orders"}"#)));
    assert_eq!(gap.id.as_ref(), Some(&ids[0]), "what the next event follows on");
    assert_eq!(events.data(2), ["3", "4"]);
    events!(again, gateway, stream("").header("last-event-id", &ids[0]));
    assert_eq!(again.headers().get("last-event-id"), Some(ids[0].as_str()));
    assert_eq!(again.data(2), ["3", "4"], "the gap is told once");
}

#[test]
fn an_id_that_means_nothing_gets_everything_and_is_told_so() {
    let redis = Redis::start();
    let gateway = setup(&redis).config(LIVELY).start();
    publish(&gateway, "orders", "1");
    for id in ["nonsense", "1-2-3", "*", "99999999999999999999-0"] {
        events!(events, gateway, stream("").header("last-event-id", id));
        assert_eq!(events.headers().get("last-event-id"), Some("earliest"), "{id}");
        assert_eq!(events.event().kind.as_deref(), Some("gap"));
        assert_eq!(events.data(1), ["1"]);
        let _ = gateway.send(&stream(&format!("?last_event_id={id}"))).problem(400);
    }
    for query in ["?last_id=1", "?wrap=1", "?topic=a%20b", &"?".to_owned().add_topics(17)] {
        let _ = gateway.send(&stream(query)).problem(400);
    }
}

trait AddTopics {
    fn add_topics(self, count: usize) -> String;
}

impl AddTopics for String {
    fn add_topics(mut self, count: usize) -> String {
        for number in 0..count {
            self.push_str(&format!("topic=t{number}&"));
        }
        self
    }
}

#[test]
fn several_topics_in_one_stream_go_on_together() {
    let redis = Redis::start();
    let gateway = setup(&redis).config(LIVELY).start();
    let request = |from: &str| stream("?topic=chat.1&topic=chat.2&wrap=true").header("last-event-id", from);
    let last = {
        events!(events, gateway, request(""));
        publish(&gateway, "orders", "1");
        publish(&gateway, "chat.2", "2");
        let mut found: Vec<serde_json::Value> =
            events.data(2).iter().map(|data| serde_json::from_str(data).unwrap()).collect();
        found.sort_by_key(|value| value["data"].to_string());
        assert_eq!(found[0], serde_json::json!({"topic": "orders", "type": "", "data": "1"}));
        assert_eq!(found[1], serde_json::json!({"topic": "chat.2", "type": "", "data": "2"}));
        events.last_id().to_owned()
    };
    for (channel, data) in [("chat.1", "3"), ("orders", "4"), ("chat.2", "5")] {
        publish(&gateway, channel, data);
    }
    events!(events, gateway, request(&last));
    assert_eq!(events.headers().get("last-event-id"), Some(last.as_str()));
    let mut found: Vec<String> = events.data(3);
    found.sort();
    let data = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()["data"].to_string();
    let mut found: Vec<String> = found.iter().map(|text| data(text)).collect();
    found.sort();
    assert_eq!(found, ["\"3\"", "\"4\"", "\"5\""]);
}

#[test]
fn a_silent_stream_is_kept_alive_by_comments() {
    let redis = Redis::start();
    let config = "[topics]\nstream_time = \"1m\"\nkeep_alive = \"100ms\"\n";
    let gateway = setup(&redis).config(config).start();
    events!(events, gateway, stream(""));
    let _ = events.block();
    for _ in 0..3 {
        let block = events.block().unwrap();
        assert_eq!((block.comments.len(), block.data, block.id), (1, None, None));
    }
}

#[test]
fn a_client_that_does_not_read_loses_nothing_and_does_not_hold_on_for_ever() {
    let redis = Redis::start();
    let gateway = setup(&redis).config(SHORT).reuse(1, 1).start();
    let writer = setup(&redis).one_instance().start();
    let large = "x".repeat(60_000);
    publish(&writer, "orders", "first");
    let connections = || {
        let list: String = redis.query(&["CLIENT", "LIST", "TYPE", "normal"]);
        list.lines().count()
    };
    let before = connections();
    let mut silent = TcpStream::connect(gateway.address()).unwrap();
    let head = "GET /_spindrift/v1/channels/orders?last_event_id=earliest HTTP/1.1\r\nhost: h\r\n";
    silent.write_all(format!("{head}authorization: Bearer {TOKEN}\r\n\r\n").as_bytes()).unwrap();
    eventually("its stream has begun", || connections() > before);
    // More than fits into the buffers between gateway and client.
    for _ in 0..400 {
        publish(&writer, "orders", &large);
    }
    eventually("its stream was given up", || connections() <= before);
    drop(silent);
    let (mut last, mut count) = ("earliest".to_owned(), 0);
    while count < 401 {
        events!(events, gateway, stream("").header("last-event-id", &last));
        count += events.rest().len();
        last = events.last_id().to_owned();
    }
    assert_eq!(count, 401);
}

#[test]
fn a_stream_outlives_a_failure_of_redis() {
    let redis = Redis::start();
    let proxy = FaultyRedis::before(redis.address());
    let config = format!("{LIVELY}[redis]\ntimeout = \"250ms\"\nconnect_timeout = \"250ms\"\n");
    let gateway = setup(&redis).faulty(&proxy).config(&config).one_instance().start();
    let writer = setup(&redis).start();
    events!(events, gateway, stream(""));
    let _ = events.block();
    proxy.silence();
    proxy.cut();
    let told = std::iter::from_fn(|| events.block()).find(|block| !block.comments.concat().is_empty());
    assert!(told.unwrap().comments[0].starts_with("redis-"));
    let last = events.last_id().to_owned();
    publish(&writer, "orders", "meanwhile");

    // A client that reconnects now gets a stream that waits: an EventSource does not reconnect after a refusal.
    events!(back, gateway, stream("").header("last-event-id", &last));
    assert!(!back.headers().has("last-event-id"));
    assert_eq!(back.block().unwrap().id, None, "the client keeps the id it has");
    let _ = gateway.send(&stream("")).problem(503);
    proxy.speak();
    assert_eq!(events.data(1), ["meanwhile"]);
    assert_eq!(back.data(1), ["meanwhile"]);
}

#[test]
fn pages_of_other_origins_may_read_where_that_is_configured() {
    let redis = Redis::start();
    let plain = setup(&redis).config(SHORT).start();
    let response = plain.send(&stream("").header("origin", "https://app.example"));
    assert!(!response.headers.has("access-control-allow-origin") && !response.headers.has("vary"));
    let config = format!("{SHORT}allow_origins = [\"https://app.example\"]\n");
    let gateway = setup(&redis).config(&config).start();
    let allowed = gateway.send(&stream("").header("origin", "https://app.example"));
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!((allowed.header("vary"), allowed.status), (Some("origin"), 200));
    let refused = gateway.get("/_spindrift/v1/channels/orders");
    assert_eq!((refused.header("vary"), refused.status), (Some("origin"), 401));
    let other = gateway.send(&stream("").header("origin", "https://evil.example"));
    assert!(!other.headers.has("access-control-allow-origin"));
    let preflight = Request::new("OPTIONS", "/_spindrift/v1/channels/orders")
        .header("origin", "https://app.example")
        .header("access-control-request-method", "GET");
    let preflight = gateway.send(&preflight);
    assert_eq!((preflight.status, preflight.header("access-control-allow-methods")), (204, Some("GET")));
}

#[test]
fn streams_are_counted() {
    let redis = Redis::start();
    let gateway = setup(&redis).config(&format!("{SHORT}[metrics]\n")).start();
    let first = publish(&gateway, "orders", "1");
    publish(&gateway, "orders", "2");
    publish(&gateway, "orders", "3");
    let _: i64 = redis.query(&["XTRIM", "sd:{topic:orders}", "MAXLEN", "1"]);
    events!(events, gateway, stream("").header("last-event-id", &first));
    events.rest();
    eventually("they are counted", || {
        gateway.counter("events_streamed_total") == 1 && gateway.counter("event_gaps_total") == 1
    });
}
