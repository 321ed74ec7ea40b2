//! The keys in Redis, and what happens if they are damaged or lost.

use crate::support::{hit, miss, stored, stored_as};
use spindrift_e2e::{Gateway, Origin, Redis, RedisReply, Reply, Request, Subscriber, eventually};

/// Uses everything that writes to Redis.
fn played(redis: &Redis, config: &str) -> Gateway {
    let origin = Origin::start(|exchange| {
        let request = &exchange.request;
        let reply = match request.target.as_str() {
            "/large" => Reply::fresh(vec![b'x'; 600 * 1024]),
            "/stale" if request.headers.has("if-none-match") => Reply::status(304),
            "/stale" => Reply::stale("x", "\"1\""),
            "/private" => Reply::ok("x").header("cache-control", "private"),
            _ => Reply::fresh("x").header("vary", "x-a").header("cache-tag", "t"),
        };
        exchange.reply(&reply);
    });
    let subscriber = Subscriber::start_with(redis, "spindrift", config);
    let gateway = Gateway::before(&origin).redis(redis).managed().config(config).start();
    for (count, target) in ["/a", "/b", "/large", "/stale"].into_iter().enumerate() {
        stored_as(&gateway, redis, &Request::get(target), count + 1);
    }
    stored_as(&gateway, redis, &Request::get("/a").header("x-a", "1"), 5);
    for target in ["/a", "/large", "/stale", "/private"] {
        let _ = gateway.get(target);
    }
    gateway.purge(r#"{"tags":["u"],"urls":["/c","http://h/d"],"prefixes":["/e"],"soft":true}"#);
    for message in [r#"{"v":1,"topic":"purge","id":"m","data":{"tags":["v"]}}"#, "nonsense"] {
        let _: i64 = redis.query(&["PUBLISH", "spindrift", message]);
    }
    eventually("the messages are handled", || {
        gateway.counter("messages_done") == 1 && gateway.counter("messages_malformed") == 1
    });
    let _ = gateway.send(&Request::post("/b", "x"));
    let event = gateway.manage("/_spindrift/v1/channels/orders", r#"{"data":"x"}"#);
    assert_eq!(event.status, 200, "{event:?}");
    drop(subscriber);
    gateway
}

#[test]
fn every_key_has_a_time_to_live_and_stands_below_the_prefix() {
    for (config, prefix) in [("", "sd:"), ("[redis]\nprefix = \"my-cache\"", "my-cache:")] {
        let redis = Redis::start();
        let _gateway = played(&redis, config);
        let keys = redis.keys();
        assert!(keys.len() >= 8, "{keys:?}");
        for key in &keys {
            let ttl: i64 = redis.query(&["PTTL", key]);
            assert!(ttl > 0, "{key} lives for ever ({ttl})");
            assert!(key.starts_with(prefix), "{key}");
            assert!(key.contains('{') && key.contains('}'), "{key} has no hash tag");
        }
    }
}

#[test]
fn keys_of_one_resource_share_their_hash_tag() {
    let redis = Redis::start();
    let _gateway = played(&redis, "");
    let tag = |key: &str| key.split(['{', '}']).nth(1).unwrap().to_owned();
    let resources: Vec<String> = redis.resources().keys().map(|key| tag(key)).collect();
    let chunks = redis.chunks();
    assert_eq!(chunks.len(), 3);
    for chunk in chunks {
        assert!(resources.contains(&tag(&chunk)), "{chunk}");
    }
}

#[test]
fn no_dangerous_command_is_ever_used() {
    let redis = Redis::start();
    let _gateway = played(&redis, "");
    let stats: String = redis.query(&["INFO", "commandstats"]);
    for never in
        ["flushdb", "flushall", "keys", "del", "subscribe:psubscribe", "multi", "watch", "select", "blpop"]
    {
        assert!(!stats.contains(&format!("cmdstat_{never}:")), "{never} in {stats}");
    }
}

#[test]
fn an_entry_lives_as_long_as_it_is_of_use_and_no_longer_than_configured() {
    let origin = Origin::always(Reply::ok("x").header("cache-control", "max-age=31536000"));
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).config("[cache]\nmax_ttl = \"1d\"").start();
    stored(&gateway, &redis, &Request::get("/a"));
    for key in redis.resources().keys() {
        let ttl: i64 = redis.query(&["TTL", key]);
        assert!((3600..=86_400).contains(&ttl), "{ttl}");
    }
}

/// The only stored response: its key and value.
fn only_entry(redis: &Redis) -> (String, Vec<u8>) {
    let mut entries = redis.entries();
    let entry = entries.pop_first().unwrap();
    assert!(entries.is_empty());
    entry
}

/// Ways to damage a stored response, other than in its content.
fn damaged(good: &[u8]) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = vec![
        vec![],
        b"E".to_vec(),
        b"V".to_vec(),
        b"V 1 2 3".to_vec(),
        b"Vabc accept abc".to_vec(),
        b"nonsense".to_vec(),
        vec![0xff; 1000],
        good[..good.len() - 1].to_vec(),
        good[..good.len() / 2].to_vec(),
        [good, b"x"].concat(),
        // Another version.
        [b"E\xfe", &good[2..]].concat(),
        [b"E\x00", &good[2..]].concat(),
        // A length beyond all limits.
        [&good[..6], &[0xff; 4], &good[10..]].concat(),
    ];
    for at in [3, 8, 12, 20, 40, 80] {
        let mut flipped = good.to_vec();
        flipped[at] ^= 0x40;
        all.push(flipped);
    }
    all
}

#[test]
fn a_damaged_entry_counts_as_none_and_is_replaced() {
    let origin = Origin::always(Reply::fresh("page"));
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).one_instance().start();
    stored(&gateway, &redis, &Request::get("/a"));
    let (key, good) = only_entry(&redis);
    for bytes in damaged(&good) {
        redis.replace(&key, &bytes);
        let answer = miss(&gateway, &Request::get("/a"));
        assert_eq!((answer.status, answer.text()), (200, "page".into()), "{bytes:?}");
        eventually("it is replaced", || redis.resources()[&key] != bytes);
        hit(&gateway, &Request::get("/a"));
    }
}

#[test]
fn an_entry_of_another_url_in_its_place_counts_as_none() {
    let origin = Origin::start(|exchange| {
        let target = exchange.request.target.clone();
        exchange.reply(&Reply::fresh(target));
    });
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    stored(&gateway, &redis, &Request::get("/secret"));
    let (secret, foreign) = only_entry(&redis);
    let _: i64 = redis.query(&["UNLINK", &secret]);
    stored(&gateway, &redis, &Request::get("/a"));
    redis.replace(&only_entry(&redis).0, &foreign);
    assert_eq!(miss(&gateway, &Request::get("/a")).text(), "/a");
}

#[test]
fn an_entry_of_another_variant_in_its_place_counts_as_none() {
    let origin = Origin::start(|exchange| {
        let a = exchange.request.header("x-a").unwrap_or_default().to_owned();
        exchange.reply(&Reply::fresh(a).header("vary", "x-a"));
    });
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    let ask = |a: &str| Request::get("/a").header("x-a", a);
    stored_as(&gateway, &redis, &ask("1"), 1);
    stored_as(&gateway, &redis, &ask("2"), 2);
    let entries: Vec<_> = redis.entries().into_iter().collect();
    let [(one, a), (other, b)] = &entries[..] else { panic!("{entries:?}") };
    redis.replace(one, b);
    redis.replace(other, a);
    for a in ["1", "2"] {
        assert_eq!(miss(&gateway, &ask(a)).text(), a);
    }
}

#[test]
fn foreign_values_under_our_keys_harm_nobody() {
    let origin = Origin::always(Reply::fresh("page"));
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).managed().one_instance().start();
    stored(&gateway, &redis, &Request::get("/a"));
    for key in redis.keys() {
        for command in [&["SET", &key, "nonsense", "PX", "60000"][..], &["SADD", &key, "x"]] {
            let _: i64 = redis.query(&["UNLINK", &key]);
            let _: RedisReply = redis.query(command);
            let answer = gateway.get("/a");
            assert_eq!((answer.status, answer.text()), (200, "page".into()), "{key} {command:?}");
            let _ = answer.cache_status();
            assert_eq!(gateway.get("/_spindrift/health").status, 200);
            let _: i64 = redis.query(&["UNLINK", &key]);
        }
    }
    let again = gateway.until(&Request::get("/a"), |it| it.cache_status().is_hit());
    assert_eq!(again.text(), "page");
}

#[test]
fn losing_any_one_key_is_a_miss_and_then_a_hit_again() {
    let origin = Origin::start(|exchange| {
        let length = if exchange.request.target == "/large" { 600 * 1024 } else { 4 };
        exchange.reply(&Reply::fresh(vec![b'x'; length]));
    });
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).one_instance().start();
    for (target, length) in [("/small", 4), ("/large", 600 * 1024)] {
        let request = Request::get(target);
        gateway.until(&request, |it| it.cache_status().is_hit());
        for key in redis.keys() {
            let _: i64 = redis.query(&["UNLINK", &key]);
            let answer = gateway.send(&request);
            assert_eq!((answer.body.len(), answer.complete), (length, true), "{target} without {key}");
            let again = gateway.until(&request, |it| it.cache_status().is_hit());
            assert_eq!((again.body.len(), again.complete), (length, true));
        }
    }
}

#[test]
fn the_server_may_evict_what_it_likes() {
    let origin = Origin::start(|exchange| {
        let body = vec![b'x'; 20_000];
        let _ = &exchange.request;
        exchange.reply(&Reply::fresh(body));
    });
    let redis = Redis::start();
    let _: String = redis.query(&["CONFIG", "SET", "maxmemory-policy", "allkeys-random"]);
    let _: String = redis.query(&["CONFIG", "SET", "maxmemory", "3mb"]);
    let gateway = Gateway::before(&origin).redis(&redis).start();
    let mut client = gateway.client();
    for round in 0..300 {
        let answer = client.send(&Request::get(&format!("/{}", round % 150)));
        assert_eq!((answer.status, answer.body.len(), answer.complete), (200, 20_000, true));
    }
    let evicted: String = redis.query(&["INFO", "stats"]);
    assert!(!evicted.contains("evicted_keys:0\r"), "nothing was evicted: the test shows nothing");
}
