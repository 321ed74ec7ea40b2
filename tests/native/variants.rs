//! Several responses for one resource.

use crate::support::entries::{entry, selecting};
use crate::support::{Instance, on_redis};
use futures_util::future::{join, join_all};

async fn put(instance: &Instance, spec: &str, by: &[(&'static str, &str)], text: &str) -> bool {
    let by = selecting(by);
    let lease = instance.begin("/a").await;
    instance.keep_by(&lease, spec, &by, text).await
}

async fn content(instance: &Instance, by: &[(&'static str, &str)]) -> Option<String> {
    instance.content_by("/a", &selecting(by)).await
}

#[test]
fn each_request_finds_the_response_that_its_fields_select() {
    on_redis(async |world| {
        let instance = world.instance();
        for language in ["de", "en", "fr", ""] {
            assert!(put(&instance, "accept-language", &[("accept-language", language)], language).await);
        }
        assert!(put(&instance, "accept-language", &[], "none").await);
        for language in ["de", "en", "fr", ""] {
            let found = content(&instance, &[("accept-language", language), ("accept", "x")]).await;
            assert_eq!(found.as_deref(), Some(language));
        }
        assert_eq!(content(&instance, &[]).await.as_deref(), Some("none"));
        let found = instance.find_by("/a", &selecting(&[("accept-language", "it")])).await;
        assert!(found.entry.is_none() && found.other_variants);
    });
}

#[test]
fn several_fields_select_together() {
    on_redis(async |world| {
        let instance = world.instance();
        let all = [("1", "2"), ("2", "1"), ("1", "1"), ("1\t2", ""), ("", "1,2")];
        for (a, b) in all {
            assert!(put(&instance, "a,ab", &[("a", a), ("ab", b)], &format!("{a}|{b}")).await);
        }
        for (a, b) in all {
            assert_eq!(content(&instance, &[("ab", b), ("a", a)]).await, Some(format!("{a}|{b}")));
        }
        assert_eq!(content(&instance, &[("a", "1")]).await, None);
        assert_eq!(content(&instance, &[("ab", "1")]).await, None);
    });
}

#[test]
fn two_variants_stored_at_the_same_time_both_stay() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let by = |value| selecting(&[("accept", value)]);
        let (by_a, by_b) = (by("a"), by("b"));
        let (a, b) = join(one.begin("/a"), other.begin("/a")).await;
        let stored =
            join(one.keep_by(&a, "accept", &by_a, "of a"), other.keep_by(&b, "accept", &by_b, "of b"));
        assert_eq!(stored.await, (true, true));
        assert_eq!(content(&other, &[("accept", "a")]).await.as_deref(), Some("of a"));
        assert_eq!(content(&one, &[("accept", "b")]).await.as_deref(), Some("of b"));
    });
}

#[test]
fn many_instances_storing_variants_at_once_lose_none() {
    on_redis(async |world| {
        let instances: Vec<_> = (0..4).map(|_| world.instance()).collect();
        let names: Vec<String> = (0..20).map(|number| format!("v{number}")).collect();
        let puts = names.iter().zip(instances.iter().cycle()).map(|(name, instance)| async move {
            let by = selecting(&[("accept", name)]);
            let lease = instance.begin("/a").await;
            instance.keep_by(&lease, "accept", &by, name).await
        });
        assert!(join_all(puts).await.into_iter().all(|stored| stored));
        for name in &names {
            assert_eq!(content(&instances[0], &[("accept", name)]).await.as_ref(), Some(name));
        }
    });
}

#[test]
fn a_changed_vary_drops_what_was_stored_under_the_old_one() {
    on_redis(async |world| {
        let instance = world.instance();
        assert!(put(&instance, "accept", &[("accept", "a")], "1").await);
        assert!(put(&instance, "accept", &[("accept", "b")], "2").await);
        assert!(put(&instance, "accept,dnt", &[("accept", "a")], "3").await);
        assert_eq!(content(&instance, &[("accept", "a")]).await.as_deref(), Some("3"));
        assert_eq!(content(&instance, &[("accept", "b")]).await, None);
        assert!(put(&instance, "", &[], "4").await);
        assert_eq!(content(&instance, &[("accept", "b")]).await.as_deref(), Some("4"));
    });
}

#[test]
fn a_purge_drops_every_variant_whatever_is_stored_next() {
    on_redis(async |world| {
        let instance = world.instance();
        for name in ["a", "b", "c"] {
            assert!(put(&instance, "accept", &[("accept", name)], "old").await);
        }
        instance.purge_url("http://h/a").await;
        assert!(put(&instance, "accept", &[("accept", "a")], "new").await);
        assert_eq!(content(&instance, &[("accept", "a")]).await.as_deref(), Some("new"));
        for name in ["b", "c"] {
            assert_eq!(content(&instance, &[("accept", name)]).await, None);
        }
    });
}

#[test]
fn a_lost_index_does_not_bring_back_what_was_purged() {
    on_redis(async |world| {
        let instance = world.instance();
        assert!(put(&instance, "accept", &[("accept", "a")], "old").await);
        assert!(put(&instance, "accept", &[("accept", "b")], "old").await);
        let index = world.keys().await.into_iter().find(|key| key.ends_with('}') && !key.contains("purge"));
        world.tell(&["DEL", &index.unwrap()]).await;
        assert_eq!(content(&instance, &[("accept", "a")]).await, None);
        instance.purge_url("http://h/a").await;
        assert!(put(&instance, "accept", &[("accept", "a")], "new").await);
        assert_eq!(content(&instance, &[("accept", "b")]).await, None);
    });
}

#[test]
fn a_resource_has_no_more_variants_than_allowed_and_the_newest_is_among_them() {
    on_redis(async |world| {
        let instance = world.instance_with("[cache]\nmax_variants = 5\n");
        for number in 0..30 {
            let name = format!("v{number}");
            assert!(put(&instance, "accept", &[("accept", &name)], &name).await);
            assert_eq!(content(&instance, &[("accept", &name)]).await, Some(name));
            assert!(world.variants().await.len() <= 5);
        }
        let before = world.variants().await;
        assert!(put(&instance, "accept", &[("accept", "v29")], "again").await);
        assert_eq!(world.variants().await, before, "replacing a variant drops no other");
    });
}

#[test]
fn a_variant_is_found_in_one_round_trip_once_it_is_known_what_responses_vary_on() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        for instance in [&one, &other] {
            assert!(put(instance, "accept", &[("accept", "a")], "x").await);
        }
        let by = selecting(&[("accept", "a"), ("accept-encoding", "gzip")]);
        let mut commands = Vec::new();
        for _ in 0..3 {
            one.env.wire().take_commands();
            assert!(one.find_by("/a", &by).await.entry.is_some());
            commands.push(one.env.wire().take_commands().join(" "));
        }
        assert_eq!(commands, ["MGET GET", "MGET", "MGET"]);
    });
}

#[test]
fn an_empty_body_and_a_large_head_are_stored_too() {
    on_redis(async |world| {
        let instance = world.instance();
        let by = selecting(&[]);
        let lease = instance.begin("/a").await;
        let mut large = entry(&instance.env, &lease, "", &by, "");
        large.headers.insert("x-large", "x".repeat(100_000).parse().unwrap());
        assert!(instance.store().store(&lease, "", &large, world.clock.now()).await.unwrap());
        assert_eq!(instance.find("/a").await.entry, Some(large));
    });
}
