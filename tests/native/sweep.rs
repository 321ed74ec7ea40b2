//! Freeing the space of purged responses.

use crate::support::entries::{resource, selecting};
use crate::support::origin::{reply, streamed};
use crate::support::{Instance, World, on_redis};
use bytes::Bytes;
use spindrift::cache::pieces::{CHUNK, content};
use spindrift::purge::Swept;
use std::time::Duration;

const BUDGET: Duration = Duration::from_secs(60);

async fn sweep(instance: &Instance) -> Swept {
    instance.store().sweep(BUDGET).await.unwrap().expect("nobody else sweeps")
}

/// How many stored responses there are in Redis, purged or not.
async fn stored(world: &World) -> usize {
    let is_response = |key: &String| key.ends_with('}') && key.len() > 30 || key.contains("}:v:");
    world.keys().await.iter().filter(|key| is_response(key)).count()
}

#[test]
fn what_was_purged_goes_and_the_rest_stays() {
    on_redis(async |world| {
        let instance = world.instance();
        for number in 0..500 {
            let tag = if number % 5 == 0 { "a" } else { "b" };
            instance.put(&format!("/{number}"), &[tag], "text").await;
        }
        instance.purge_tag("a").await;
        assert_eq!(stored(world).await, 500, "the purge itself drops nothing");
        assert_eq!(sweep(&instance).await, Swept { seen: 500, dropped: 100, finished: true });
        assert_eq!(stored(world).await, 400);
        assert_eq!(instance.content("/1").await.as_deref(), Some("text"));
        assert_eq!(instance.content("/5").await, None);
        assert_eq!(sweep(&instance).await.dropped, 0);
    });
}

#[test]
fn variants_and_pieces_go_too() {
    on_redis(async |world| {
        let instance = world.instance();
        world.origin.answers(|seen| {
            let fields = [("cache-control", "max-age=60"), ("vary", "accept-language"), ("cache-tag", "t")];
            let size = if seen.header("accept-language") == "de" { 600_000 } else { 3 };
            Ok(streamed(200, &fields, vec![Ok(Bytes::from(vec![b'x'; size]))]))
        });
        for language in ["de", "en", "fr"] {
            instance.get_with("http://h/a", &[("accept-language", language)]).await;
        }
        assert_eq!((world.variants().await.len(), world.chunks().await.len()), (3, 3));
        instance.purge_tag("t").await;
        assert_eq!(sweep(&instance).await.dropped, 3);
        assert_eq!(world.variants().await.len(), 0);
        pieces_stay_for_readers(world, 3).await;
    });
}

/// A reader that began before the purge can read the pieces to the end.
async fn pieces_stay_for_readers(world: &World, count: usize) {
    let pieces = world.chunks().await;
    assert_eq!(pieces.len(), count);
    for piece in pieces {
        let left: i64 = world.ask(&["PTTL", &piece]).await;
        assert!((1..=60_000).contains(&left), "{left}");
    }
}

#[test]
fn the_pieces_of_a_purged_url_go_too() {
    on_redis(async |world| {
        for vary in ["", "accept-language"] {
            world.tell(&["FLUSHALL"]).await;
            let instance = world.instance();
            let fields = [("cache-control", "max-age=86400"), ("vary", vary)];
            world
                .origin
                .answers(move |_| Ok(streamed(200, &fields, vec![Ok(Bytes::from(vec![b'x'; 600_000]))])));
            for language in ["de", "en"] {
                instance.get_with("http://h/a", &[("accept-language", language)]).await;
            }
            instance.purge_url("http://h/a").await;
            pieces_stay_for_readers(world, if vary.is_empty() { 3 } else { 6 }).await;
        }
    });
}

#[test]
fn a_body_that_is_being_read_is_read_to_its_end() {
    on_redis(async |world| {
        let instance = world.instance();
        let fields = [("cache-control", "max-age=60"), ("cache-tag", "t")];
        world.origin.answers(move |_| Ok(streamed(200, &fields, vec![Ok(Bytes::from(vec![b'x'; 600_000]))])));
        instance.get("http://h/a").await;
        let found = instance.find("/a").await.entry.unwrap();
        let mut body = content(instance.store(), resource("/a"), found.content);
        assert!(body.chunk().await.unwrap().is_ok());
        instance.purge_tag("t").await;
        assert_eq!(sweep(&instance).await.dropped, 1);
        assert_eq!(body.collect(usize::MAX).await.unwrap().len(), 600_000 - CHUNK);
    });
}

#[test]
fn a_long_head_is_read_whole() {
    on_redis(async |world| {
        let instance = world.instance();
        world.origin.answers(|_| {
            let tags = (0..200).map(|number| format!("tag-number-{number}")).collect::<Vec<_>>().join(",");
            Ok(reply(200, &[("cache-control", "max-age=60"), ("cache-tag", &tags)], "text"))
        });
        instance.get("http://h/a").await;
        instance.purge_tag("tag-number-199").await;
        assert_eq!(sweep(&instance).await.dropped, 1);
    });
}

#[test]
fn what_was_stored_after_the_purge_stays() {
    on_redis(async |world| {
        let instance = world.instance();
        instance.put("/a", &["t"], "old").await;
        instance.purge_tag("t").await;
        instance.put("/a", &["t"], "new").await;
        assert_eq!(sweep(&instance).await.dropped, 0);
        assert_eq!(instance.content("/a").await.as_deref(), Some("new"));
    });
}

#[test]
fn a_soft_purge_drops_nothing() {
    on_redis(async |world| {
        let instance = world.instance();
        instance.put("/a", &["t"], "text").await;
        let soft = spindrift::purge::Purge { tags: vec!["t".to_owned()], soft: true, ..Default::default() };
        instance.purge(&soft).await.unwrap();
        assert_eq!(sweep(&instance).await.dropped, 0);
    });
}

#[test]
fn one_sweeps_at_a_time_and_nothing_else_is_touched() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        one.put("/a", &["t"], "text").await;
        one.purge_tag("t").await;
        let foreign = "other:{0123456789abcdef0123456789abcdef}";
        world.tell(&["SET", foreign, "Ewhatever"]).await;
        let ours = "sd:{0123456789abcdef0123456789abcdef}";
        world.tell(&["SET", ours, "nonsense", "PX", "60000"]).await;
        world.tell(&["SET", "sd:{sweep}", "somebody", "PX", "60000"]).await;
        assert_eq!(other.store().sweep(BUDGET).await.unwrap(), None);
        world.tell(&["DEL", "sd:{sweep}"]).await;
        assert_eq!(sweep(&one).await.dropped, 1);
        let kept: i64 = world.ask(&["EXISTS", foreign, ours]).await;
        assert_eq!(kept, 2);
        world.tell(&["DEL", foreign]).await;
    });
}

#[test]
fn what_is_purged_during_a_sweep_is_swept_too() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        one.put("/a", &["a"], "text").await;
        one.put("/b", &["b"], "text").await;
        one.purge_tag("a").await;
        one.env.wire().take_commands();
        one.env.wire().hold("PEXPIRE");
        let meanwhile = async {
            // The sweep has seen all responses.
            one.env.wire().held("PEXPIRE").await;
            other.purge_tag("b").await;
            assert_eq!(other.store().sweep(BUDGET).await.unwrap(), None);
            one.env.wire().release();
        };
        let (swept, ()) = tokio::join!(sweep(&one), meanwhile);
        assert_eq!(swept, Swept { seen: 3, dropped: 2, finished: true });
        assert_eq!(stored(world).await, 0);
    });
}

#[test]
fn a_purged_url_takes_its_variants_along() {
    on_redis(async |world| {
        let instance = world.instance();
        for language in ["de", "en"] {
            let lease = instance.begin("/a").await;
            let by = selecting(&[("accept-language", language)]);
            assert!(instance.keep_by(&lease, "accept-language", &by, language).await);
        }
        assert_eq!(world.variants().await.len(), 2);
        instance.purge_url("http://h/a").await;
        assert_eq!(world.variants().await.len(), 0);
    });
}
