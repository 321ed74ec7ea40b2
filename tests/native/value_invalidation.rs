//! Values that are invalidated by pattern and tag: they are not found, and nothing else is lost.

use crate::support::entries::resource;
use crate::support::{PREFIX, on_redis};
use crate::value::{get, invalidate, key, set, set_tagged, stands, values};
use spindrift::purge::Purge;
use spindrift::redis::Keys;
use spindrift::value::{NewValue, Pattern, Tag};
use std::time::Duration;

#[test]
fn a_pattern_invalidates_what_it_matches_and_nothing_else() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let all = ["user:1", "user:12", "user:", "users:1", "User:1", "x:user:1", "user/1", "*", "user:*"];
        for (pattern, matched) in [
            ("user:*", vec!["user:1", "user:12", "user:", "user:*"]),
            ("user:?", vec!["user:1", "user:*"]),
            ("*:1", vec!["user:1", "users:1", "User:1", "x:user:1"]),
            ("user:1", vec!["user:1"]),
            ("?", vec!["*"]),
            ("*", all.to_vec()),
        ] {
            for at in all {
                set(&one, at, at).await;
            }
            invalidate(&one, &[pattern], &[]).await;
            for at in all {
                let gone = matched.contains(&at);
                assert_eq!(get(&other, at).await.is_none(), gone, "{pattern} {at}");
                assert_eq!(!values(&one).exists(&key(at)).await.unwrap(), gone, "{pattern} {at}");
            }
        }
    });
}

#[test]
fn every_other_character_of_a_pattern_is_itself() {
    on_redis(async |world| {
        let instance = world.instance();
        for special in r#"[]{}()\^$.+|/%&=#"'<>~`!@,;: é€😀-_"#.chars() {
            let (at, other) = (format!("a{special}b"), "axb");
            set(&instance, &at, "1").await;
            set(&instance, other, "2").await;
            invalidate(&instance, &[&at], &[]).await;
            assert_eq!(get(&instance, &at).await, None, "{special:?}");
            assert_eq!(get(&instance, other).await.as_deref(), Some("2"), "{special:?}");
            set(&instance, &at, "1").await;
            invalidate(&instance, &["[a-z]{1,9}\\*", "a.b", "a[^x]b", "(a)*"], &[]).await;
            let literal = at == "a.b";
            assert_eq!(get(&instance, &at).await.is_none(), literal, "{special:?}");
        }
    });
}

#[test]
fn a_tag_invalidates_the_values_that_have_it() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        set_tagged(&one, "a", "1", &["news", "sport"]).await;
        set_tagged(&one, "b", "2", &["sport"]).await;
        set_tagged(&one, "c", "3", &["sports", "news*"]).await;
        set(&one, "news", "4").await;
        invalidate(&other, &[], &["news"]).await;
        assert_eq!(get(&one, "a").await, None);
        for at in ["b", "c", "news"] {
            assert!(get(&one, at).await.is_some(), "{at}");
        }
        invalidate(&other, &["ne?s"], &["sport", "sports"]).await;
        for at in ["b", "c", "news"] {
            assert_eq!(get(&one, at).await, None, "{at}");
        }
    });
}

#[test]
fn what_is_set_after_an_invalidation_is_found() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        for round in 0..5 {
            set(&one, "a", "old").await;
            invalidate(&other, &["*"], &[]).await;
            assert_eq!(get(&one, "a").await, None, "{round}");
            set(&one, "a", "new").await;
            assert_eq!(get(&other, "a").await.as_deref(), Some("new"), "{round}");
        }
    });
}

#[test]
fn a_thousand_patterns_and_tags_are_one_round_trip() {
    on_redis(async |world| {
        let instance = world.instance();
        set(&instance, "k999", "1").await;
        let patterns: Vec<_> = (0..500).map(|n| Pattern::new(&format!("k{}*", n + 500)).unwrap()).collect();
        let tags: Vec<_> = (0..500).map(|n| Tag::new(&format!("t{n}")).unwrap()).collect();
        invalidate(&instance, &["warm"], &[]).await;
        instance.env.wire().take_commands();
        values(&instance).invalidate(&patterns, &tags).await.unwrap();
        assert_eq!(instance.env.wire().take_commands(), ["EVALSHA"]);
        assert_eq!(get(&instance, "k999").await, None);
    });
}

#[test]
fn values_and_responses_do_not_share_their_invalidations() {
    on_redis(async |world| {
        let instance = world.instance();
        instance.put("/a", &["t"], "page").await;
        set_tagged(&instance, "http://h/a", "value", &["t"]).await;
        invalidate(&instance, &["*", "http://h/*", "/a"], &["t"]).await;
        assert_eq!(instance.content("/a").await.as_deref(), Some("page"));
        assert_eq!(get(&instance, "http://h/a").await, None);
        set_tagged(&instance, "http://h/a", "value", &["t"]).await;
        let purge = Purge {
            urls: vec![resource("/a").url().to_owned()],
            tags: vec!["t".into()],
            patterns: vec!["*".into()],
            prefixes: vec!["/".into()],
            ..Purge::default()
        };
        instance.purge(&purge).await.unwrap();
        assert_eq!(instance.content("/a").await, None);
        assert_eq!(get(&instance, "http://h/a").await.as_deref(), Some("value"));
    });
}

#[test]
fn a_lost_ledger_leaves_nothing_invalidated_to_be_found() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let keys = Keys::new(PREFIX);
        for lost in [keys.values(), keys.values_entries()] {
            set(&one, "a", "1").await;
            invalidate(&one, &["a"], &[]).await;
            world.tell(&["DEL", lost.as_str()]).await;
            assert_eq!((get(&one, "a").await, get(&other, "a").await), (None, None), "{lost:?}");
            set(&one, "b", "2").await;
            assert_eq!(get(&other, "b").await.as_deref(), Some("2"), "{lost:?}");
            assert_eq!((get(&one, "a").await, get(&other, "a").await), (None, None), "{lost:?}");
        }
    });
}

#[test]
fn the_ledger_outlives_what_refers_to_it() {
    on_redis(async |world| {
        let instance = world.instance();
        let keys = Keys::new(PREFIX);
        invalidate(&instance, &["x"], &[]).await;
        let long = Some(Duration::from_secs(30 * 86_400));
        for how in 0..2 {
            for part in [keys.values(), keys.values_entries()] {
                world.tell(&["PEXPIRE", part.as_str(), "5000"]).await;
            }
            if how == 0 {
                values(&instance).set(&key("a"), &NewValue::text("1"), long).await.unwrap();
            } else {
                let terms = spindrift::value::Terms { ttl: long, ..Default::default() };
                let make = async || Ok::<_, String>(NewValue::text("2"));
                values(&instance).get_or_set(&key("b"), &terms, make).await.unwrap();
            }
            for part in [keys.values(), keys.values_entries()] {
                let left: u64 = world.ask(&["TTL", part.as_str()]).await;
                assert!(left > 31 * 86_400, "{part:?} {left}");
            }
        }
    });
}

#[test]
fn who_reads_what_was_invalidated_removes_it() {
    on_redis(async |world| {
        let instance = world.instance();
        for at in ["a", "b", "c"] {
            set(&instance, at, "1").await;
        }
        invalidate(&instance, &["a", "b"], &[]).await;
        assert!(stands(world, "a").await && stands(world, "b").await);
        assert_eq!(get(&instance, "a").await, None);
        assert!(!values(&instance).exists(&key("b")).await.unwrap());
        instance.env.settle().await;
        assert!(!stands(world, "a").await && !stands(world, "b").await && stands(world, "c").await);
    });
}

#[test]
fn a_sweep_removes_what_was_invalidated_and_nothing_else() {
    on_redis(async |world| {
        let instance = world.instance();
        let odd = "{x}%:l*é";
        for number in 0..300 {
            set(&instance, &format!("old:{number}"), "1").await;
        }
        set(&instance, "new:1", "2").await;
        set(&instance, odd, "3").await;
        invalidate(&instance, &["old:*"], &[]).await;
        let budget = Duration::from_secs(60);
        let swept = values(&instance).sweep(budget).await.unwrap().unwrap();
        assert_eq!((swept.dropped, swept.finished), (300, true));
        assert!(swept.seen >= 302, "{swept:?}");
        assert_eq!(values(&world.instance()).sweep(budget).await.unwrap(), None, "not again at once");
        assert!(!stands(world, "old:7").await);
        assert_eq!(
            (get(&instance, "new:1").await, get(&instance, odd).await),
            (Some("2".into()), Some("3".into()))
        );
    });
}
