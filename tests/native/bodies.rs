//! Bodies in pieces: sizes around the limit, missing and damaged pieces, time to live.

use crate::support::entries::{resource, selecting};
use crate::support::{Instance, World, on_redis};
use bytes::Bytes;
use spindrift::body::CollectError;
use spindrift::cache::entry::Content;
use spindrift::cache::pieces::{CHUNK, content};

/// Bytes that differ wherever two pieces could be confused.
fn body(length: usize) -> Bytes {
    (0..length).map(|at| (at / 7 % 251) as u8 ^ (at / CHUNK) as u8).collect::<Vec<_>>().into()
}

async fn read(instance: &Instance, path: &str) -> Option<Result<Bytes, CollectError>> {
    let found = instance.find(path).await.entry?;
    let body = content(instance.store(), resource(path), found.content);
    assert_eq!(body.length(), Some(found_length(instance, path).await));
    Some(body.collect(usize::MAX).await)
}

async fn found_length(instance: &Instance, path: &str) -> u64 {
    instance.find(path).await.entry.unwrap().content.length()
}

async fn stored(world: &World, length: usize) -> Instance {
    let instance = world.instance();
    instance.put_body("/a", body(length)).await;
    instance
}

#[test]
fn a_body_comes_back_as_it_was_whatever_its_size() {
    on_redis(async |world| {
        let sizes =
            [(0, 0), (1, 0), (CHUNK - 1, 0), (CHUNK, 0), (CHUNK + 1, 2), (2 * CHUNK, 2), (700_000, 3)];
        for (length, pieces) in sizes {
            world.tell(&["FLUSHALL"]).await;
            let instance = stored(world, length).await;
            assert_eq!(read(&instance, "/a").await, Some(Ok(body(length))), "{length}");
            assert_eq!(world.chunks().await.len(), pieces, "{length}");
            let inline = matches!(instance.find("/a").await.entry.unwrap().content, Content::Inline(_));
            assert_eq!(inline, pieces == 0, "{length}");
        }
    });
}

#[test]
fn a_body_without_one_of_its_pieces_is_a_miss() {
    on_redis(async |world| {
        for missing in 0..3 {
            world.tell(&["FLUSHALL"]).await;
            let instance = stored(world, 700_000).await;
            world.tell(&["DEL", &world.chunks().await[missing]]).await;
            assert!(read(&instance, "/a").await.is_none(), "{missing}");
        }
    });
}

#[test]
fn a_piece_that_goes_missing_while_the_body_is_read_breaks_the_body() {
    on_redis(async |world| {
        let instance = stored(world, 700_000).await;
        let found = instance.find("/a").await.entry.unwrap();
        let mut body = content(instance.store(), resource("/a"), found.content);
        assert_eq!(body.chunk().await.unwrap().unwrap().len(), CHUNK);
        world.tell(&["DEL", &world.chunks().await[1]]).await;
        assert!(body.chunk().await.unwrap().is_err());
    });
}

#[test]
fn a_damaged_piece_breaks_the_body_and_the_entry_goes() {
    on_redis(async |world| {
        for value in ["", "abc", "other bytes altogether"] {
            let instance = stored(world, 700_000).await;
            world.tell(&["SET", &world.chunks().await[1], value, "KEEPTTL"]).await;
            let result = read(&instance, "/a").await.unwrap();
            assert!(matches!(&result, Err(CollectError::Broken(_))), "{value:?}: {result:?}");
            assert!(read(&instance, "/a").await.is_none(), "it breaks nobody else");
            world.tell(&["FLUSHALL"]).await;
        }
    });
}

#[test]
fn a_slow_reader_of_what_was_replaced_does_not_take_the_new_response_along() {
    on_redis(async |world| {
        let instance = stored(world, 700_000).await;
        let old = world.chunks().await;
        let found = instance.find("/a").await.entry.unwrap();
        let mut reader = content(instance.store(), resource("/a"), found.content);
        assert_eq!(reader.chunk().await.unwrap().unwrap().len(), CHUNK);
        instance.purge_url("http://h/a").await;
        instance.put_body("/a", body(600_000)).await;
        for key in &old {
            world.tell(&["DEL", key]).await;
        }
        assert!(reader.chunk().await.unwrap().is_err());
        assert_eq!(read(&instance, "/a").await, Some(Ok(body(600_000))));
    });
}

#[test]
fn of_the_variants_of_a_resource_only_the_one_that_lost_a_piece_goes() {
    on_redis(async |world| {
        let instance = world.instance();
        let by = ["br", "gzip", "zstd"].map(|coding| selecting(&[("accept-encoding", coding)]));
        instance.put_body_by("/a", "accept-encoding", &by[0], body(300_000)).await;
        let lost = world.chunks().await;
        instance.put_body_by("/a", "accept-encoding", &by[1], body(400_000)).await;
        assert!(instance.keep_by(&instance.begin("/a").await, "accept-encoding", &by[2], "small").await);
        world.tell(&["DEL", &lost[1]]).await;
        // A reader that looked the response up before the piece was lost continues to read.
        let body_name = lost[1].rsplit(':').nth(1).unwrap().to_owned();
        let chunked = Content::Chunked { body: body_name, chunks: 2, length: 300_000 };
        let mut reader = content(instance.store(), resource("/a"), chunked);
        assert!(reader.chunk().await.unwrap().is_ok() && reader.chunk().await.unwrap().is_err());
        assert_eq!(world.variants().await.len(), 2);
        assert!(instance.find_by("/a", &by[0]).await.entry.is_none());
        assert!(instance.find_by("/a", &by[1]).await.entry.is_some());
        assert_eq!(instance.content_by("/a", &by[2]).await.as_deref(), Some("small"));
    });
}

#[test]
fn a_body_of_a_resource_that_was_purged_meanwhile_is_stored_nowhere() {
    on_redis(async |world| {
        let instance = world.instance();
        let lease = instance.begin("/a").await;
        instance.purge_url("http://h/a").await;
        assert!(!instance.keep(&lease, "x").await);
        instance.put_body("/b", body(700_000)).await;
        instance.purge_url("http://h/b").await;
        assert!(read(&instance, "/b").await.is_none());
        world.check_keys().await;
    });
}

async fn shortest(world: &World) -> i64 {
    let mut all = Vec::new();
    for key in world.chunks().await {
        all.push(world.ask::<i64>(&["PTTL", &key]).await);
    }
    all.into_iter().min().unwrap()
}

#[test]
fn pieces_live_longer_than_the_entry_that_names_them() {
    on_redis(async |world| {
        let instance = stored(world, 700_000).await;
        let found = instance.find("/a").await.entry.unwrap();
        let entry = instance.store().ttl(&found, world.clock.now()).as_millis();
        assert!(shortest(world).await > i64::try_from(entry).unwrap());
    });
}

#[test]
fn a_refresh_prolongs_the_pieces_too() {
    on_redis(async |world| {
        let instance = stored(world, 700_000).await;
        for key in world.chunks().await {
            world.tell(&["PEXPIRE", &key, "100000"]).await;
        }
        let lease = instance.begin("/a").await;
        let entry = instance.find("/a").await.entry.unwrap();
        let refreshed = instance.store().refresh(&lease, "", &entry, world.clock.now()).await;
        assert!(refreshed.unwrap());
        let ttl = instance.store().ttl(&entry, world.clock.now()).as_millis();
        assert!(shortest(world).await > i64::try_from(ttl).unwrap());
        assert_eq!(read(&instance, "/a").await, Some(Ok(body(700_000))));
    });
}

#[test]
fn two_bodies_of_two_variants_keep_apart() {
    on_redis(async |world| {
        let instance = stored(world, 300_000).await;
        let first = instance.find("/a").await.entry.unwrap();
        instance.put_body("/a", body(600_000)).await;
        assert_eq!(read(&instance, "/a").await, Some(Ok(body(600_000))));
        // A reader that began with the replaced response can read it to its end.
        let old = content(instance.store(), resource("/a"), first.content);
        assert_eq!(old.collect(usize::MAX).await, Ok(body(300_000)));
        assert!(instance.find_by("/a", &selecting(&[("accept", "x")])).await.entry.is_some());
    });
}
