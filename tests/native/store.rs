//! Storing and finding: round trips, generations, damage, time to live.

use crate::support::entries::{entry, resource, selecting};
use crate::support::{Instance, PREFIX, World, on_redis};
use spindrift::cache::store::FILL_TIME;
use spindrift::purge::Purge;
use spindrift::redis::Keys;
use std::time::Duration;

fn key(path: &str) -> String {
    Keys::new(PREFIX).resource(resource(path).id()).as_str().to_owned()
}

fn generation(path: &str) -> String {
    Keys::new(PREFIX).generation(resource(path).id()).as_str().to_owned()
}

async fn purge_softly(instance: &Instance, url: &str) {
    let purge = Purge { urls: vec![url.to_owned()], soft: true, ..Purge::default() };
    instance.purge(&purge).await.unwrap();
}

#[test]
fn what_is_stored_is_found_by_every_instance_as_it_was() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let lease = one.begin("/a").await;
        let mut stored = entry(&one.env, &lease, "", &selecting(&[]), "content \0 of a");
        stored.headers.insert("x-opaque", http::HeaderValue::from_bytes(b"caf\xe9").unwrap());
        stored.headers.append("x-twice", "1".parse().unwrap());
        stored.headers.append("x-twice", "2".parse().unwrap());
        stored.tags = vec!["a".to_owned(), "b c".to_owned()];
        assert!(one.store().store(&lease, "", &stored, world.clock.now()).await.unwrap());
        for instance in [&one, &other] {
            let found = instance.find("/a").await;
            assert_eq!(found.entry.as_ref(), Some(&stored));
            assert!(!found.soft_purged && !found.other_variants);
        }
        assert!(one.find("/b").await.entry.is_none());
    });
}

#[test]
fn a_lookup_is_one_round_trip_whether_it_finds_or_not() {
    on_redis(async |world| {
        let instance = world.instance();
        instance.put("/a", &[], "a").await;
        for path in ["/a", "/none"] {
            instance.env.wire().take_commands();
            instance.find(path).await;
            assert_eq!(instance.env.wire().take_commands(), ["MGET"], "{path}");
        }
    });
}

#[test]
fn a_fetch_that_began_before_a_purge_stores_nothing() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let lease = one.begin("/a").await;
        other.purge_url("http://h/a").await;
        assert!(!one.keep(&lease, "old").await);
        assert_eq!(other.content("/a").await, None);
        assert!(!one.keep(&lease, "old").await, "a lookup after the purge gives no right to earlier fetches");
        let lease = one.begin("/a").await;
        assert!(one.keep(&lease, "new").await);
        assert_eq!(other.content("/a").await.as_deref(), Some("new"));
    });
}

#[test]
fn a_purge_as_https_reaches_what_was_asked_for_as_http() {
    on_redis(async |world| {
        let instance = world.instance();
        let lease = instance.begin("/a").await;
        instance.purge_url("https://H/a").await;
        assert!(!instance.keep(&lease, "old").await);
    });
}

#[test]
fn a_fetch_whose_generation_was_evicted_stores_nothing() {
    on_redis(async |world| {
        let instance = world.instance();
        let lease = instance.begin("/a").await;
        world.tell(&["DEL", &generation("/a")]).await;
        assert!(!instance.keep(&lease, "old").await);
        assert!(instance.find("/a").await.entry.is_none());
    });
}

#[test]
fn a_soft_purge_marks_what_is_stored_and_what_is_on_its_way() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        one.put("/a", &[], "stored").await;
        let before = one.begin("/a").await;
        purge_softly(&other, "https://h/a").await;
        assert!(one.find("/a").await.soft_purged);
        let after = one.begin("/a").await;
        assert!(one.keep(&before, "on its way").await);
        let found = one.find("/a").await;
        assert!(found.entry.is_some() && found.soft_purged, "what was fetched before the purge is stale");
        assert!(one.keep(&after, "validated").await);
        let found = other.find("/a").await;
        assert!(found.entry.is_some() && !found.soft_purged, "what was fetched after it is not");
    });
}

#[test]
fn a_lookup_leaves_nothing_behind_and_a_fetch_only_what_ends_with_it() {
    on_redis(async |world| {
        let instance = world.instance();
        instance.find("/a").await;
        assert_eq!(world.keys().await, Vec::<String>::new());
        let _ = instance.begin("/a").await;
        assert!(lifetime(world, &generation("/a")).await <= FILL_TIME);
    });
}

#[test]
fn a_generation_lasts_as_long_as_the_last_fetch_under_it_may_take() {
    on_redis(async |world| {
        let instance = world.instance();
        let _ = instance.begin("/a").await;
        world.tell(&["PEXPIRE", &generation("/a"), "5000"]).await;
        let _ = instance.begin("/a").await;
        assert!(lifetime(world, &generation("/a")).await > Duration::from_secs(30));
    });
}

async fn replace_entry(world: &World, path: &str, bytes: &[u8]) {
    let (key, value) = (key(path), [b"E", bytes].concat());
    world.ask_bytes::<redis::Value>(&[b"SET", key.as_bytes(), &value, b"KEEPTTL"]).await;
}

#[test]
fn an_entry_of_another_resource_is_a_miss_and_logged() {
    on_redis(async |world| {
        let instance = world.instance();
        instance.put("/a", &[], "a").await;
        let mut foreign = instance.find("/a").await.entry.unwrap();
        foreign.key = resource("/b").text().to_owned();
        replace_entry(world, "/a", &foreign.encode()).await;
        assert_eq!(instance.content("/a").await, None);
        assert!(instance.env.logged("http://h/a"), "{:?}", instance.env.log_lines());
    });
}

#[test]
fn an_entry_selected_by_other_values_is_a_miss_and_logged() {
    on_redis(async |world| {
        let instance = world.instance();
        instance.put("/a", &[], "a").await;
        let mut foreign = instance.find("/a").await.entry.unwrap();
        foreign.selecting = "accept:text/html\n".to_owned();
        replace_entry(world, "/a", &foreign.encode()).await;
        assert_eq!(instance.content("/a").await, None);
        assert!(instance.env.logged("http://h/a"), "{:?}", instance.env.log_lines());
    });
}

#[test]
fn damaged_bytes_are_a_miss_logged_and_replaced_by_the_next_response() {
    on_redis(async |world| {
        let instance = world.instance();
        instance.put("/a", &[], "a").await;
        let whole = instance.find("/a").await.entry.unwrap().encode();
        let mut version = whole.clone();
        version[0] += 1;
        let mut flipped = whole.clone();
        flipped[20] ^= 1;
        let longer = [&whole[..], b"x"].concat();
        let damaged: [&[u8]; 7] =
            [b"", b"\x01", b"random bytes", &whole[..whole.len() - 1], &version, &flipped, &longer];
        for (count, bytes) in damaged.iter().enumerate() {
            replace_entry(world, "/a", bytes).await;
            assert_eq!(instance.content("/a").await, None, "{bytes:?}");
            let lines = instance.env.log_lines();
            assert_eq!(lines.len(), count + 1, "{bytes:?}: {lines:?}");
            assert!(lines[count].contains("ignoring a stored response of http://h/a"), "{lines:?}");
        }
        instance.put("/a", &[], "again").await;
        assert_eq!(instance.content("/a").await.as_deref(), Some("again"));
    });
}

#[test]
fn what_is_no_entry_and_no_index_is_a_miss_and_replaced_by_the_next_response() {
    on_redis(async |world| {
        let instance = world.instance();
        instance.put("/a", &[], "a").await;
        let key = key("/a");
        let by = selecting(&[("accept", "x")]);
        for bytes in [&b"V"[..], b"V\xff accept", b"V1", b"V1 ", b"V  ", b"Vxyz accept 12", b"", b"X", b"E"] {
            world.ask_bytes::<redis::Value>(&[b"SET", key.as_bytes(), bytes, b"EX", b"99"]).await;
            assert_eq!(instance.content("/a").await, None, "{bytes:?}");
            assert_eq!(instance.content_by("/a", &by).await, None, "{bytes:?}");
            let lease = instance.begin("/a").await;
            assert!(instance.keep_by(&lease, "accept", &by, "varies").await, "{bytes:?}");
            assert_eq!(instance.content_by("/a", &by).await.as_deref(), Some("varies"), "{bytes:?}");
        }
    });
}

async fn lifetime(world: &World, key: &str) -> Duration {
    Duration::from_millis(world.ask(&["PTTL", key]).await)
}

#[test]
fn nothing_lives_longer_than_max_ttl() {
    on_redis(async |world| {
        let instance = world.instance_with("[cache]\nmax_ttl = \"30s\"\n");
        let lease = instance.begin("/a").await;
        let mut entry = entry(&instance.env, &lease, "", &selecting(&[]), "a");
        entry.policy.lifetime = spindrift::time::DeltaSeconds::MAX;
        entry.policy.stale_if_error = spindrift::time::DeltaSeconds::MAX;
        assert_eq!(instance.store().ttl(&entry, world.clock.now()).as_millis(), 30_000);
        assert!(instance.store().store(&lease, "", &entry, world.clock.now()).await.unwrap());
        assert!(lifetime(world, &key("/a")).await <= Duration::from_secs(30));
    });
}

#[test]
fn a_resource_lives_as_long_as_its_longest_response() {
    on_redis(async |world| {
        let instance = world.instance();
        let lease = instance.begin("/a").await;
        let by = |value| selecting(&[("accept", value)]);
        let mut long = entry(&instance.env, &lease, "accept", &by("long"), "long");
        long.policy.lifetime = spindrift::time::DeltaSeconds::from_secs(50_000);
        let short = entry(&instance.env, &lease, "accept", &by("short"), "short");
        for entry in [long, short] {
            assert!(instance.store().store(&lease, "accept", &entry, world.clock.now()).await.unwrap());
        }
        assert!(lifetime(world, &key("/a")).await > Duration::from_secs(50_000));
    });
}

#[test]
fn another_prefix_is_another_cache() {
    on_redis(async |world| {
        let instance = world.instance();
        let other = world.instance_at(&world.server.url(), "prefix = \"sdb\"\n");
        instance.put("/a", &[], "a").await;
        assert_eq!(other.content("/a").await, None);
        other.put("/a", &[], "other").await;
        other.purge_tag("x").await;
        assert_eq!(instance.content("/a").await.as_deref(), Some("a"));
    });
}
