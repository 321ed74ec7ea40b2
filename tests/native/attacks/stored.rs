//! Failures of stored responses: purges that race with fetches, keys that get lost, a Redis that fails.

use super::{FRESH, echo};
use crate::support::entries::resource;
use crate::support::exchange::{get, request};
use crate::support::origin::{reply, streamed};
use crate::support::proxy::{Mode, Proxy};
use crate::support::{Instance, PREFIX, World, on_redis};
use bytes::Bytes;
use futures_util::future::{join, join_all};
use spindrift::body::{Body, BodyError};
use spindrift::purge::Purge;
use spindrift::redis::Keys;
use std::time::Duration;

const A: &str = "http://h/a";

fn purge(kind: &str, target: &str) -> Purge {
    let list = vec![target.to_owned()];
    match kind {
        "url" => Purge { urls: list, ..Purge::default() },
        "tag" => Purge { tags: list, ..Purge::default() },
        "pattern" => Purge { patterns: list, ..Purge::default() },
        _ => Purge { prefixes: list, ..Purge::default() },
    }
}

/// Attack 31.
#[test]
fn purge_race_what_was_fetched_before_a_purge_is_not_stored_after_it() {
    on_redis(async |world| {
        for (kind, target) in [("url", A), ("tag", "t"), ("pattern", "*/a"), ("prefix", "http://h/")] {
            world.tell(&["FLUSHALL"]).await;
            let (one, other) = (world.instance(), world.instance());
            let tagged = &[("cache-control", "max-age=60"), ("cache-tag", "t")];
            world.origin.gives(200, tagged, "before");
            world.origin.hold();
            let asked = world.origin.count();
            let fetch = async { one.get(A).await };
            let purged = async {
                world.origin.asked(asked + 1).await;
                other.purge(&purge(kind, target)).await.unwrap();
                world.origin.gives(200, tagged, "after");
                world.origin.release();
            };
            join(fetch, purged).await;
            for instance in [&one, &other] {
                assert_eq!(instance.get(A).await.text(), "after", "{kind}");
            }
        }
    });
}

/// Attack 32.
#[test]
fn tag_confusion_a_tag_is_purged_whole_and_is_no_pattern() {
    on_redis(async |world| {
        let instance = world.instance();
        let long = "l".repeat(900);
        let tags = [
            "a", "ab", "a/b", "A", "a*", "a.b", ".*", "[a]", "a|b", "%61", "a%2C", "\\", "(", "$", "é", &long,
        ];
        for (number, tag) in tags.iter().enumerate() {
            instance.put(&format!("/{number}"), &[tag], tag).await;
        }
        instance.put("/none", &[], "none").await;
        for (number, tag) in tags.iter().enumerate() {
            instance.purge_tag(tag).await;
            assert_eq!(instance.content(&format!("/{number}")).await, None, "{tag}");
            for (other, text) in tags.iter().enumerate().skip(number + 1) {
                let content = instance.content(&format!("/{other}")).await;
                assert_eq!(content.as_deref(), Some(*text), "{tag} took {text}");
            }
        }
        assert_eq!(instance.content("/none").await.as_deref(), Some("none"));
        for wrong in ["", &"x".repeat(100_000)] {
            assert!(purge("tag", wrong).targets().is_err(), "{wrong:?}");
        }
    });
}

/// Attack 32: An empty member is not a tag, and a purge of the empty tag does not match a response without tags.
#[test]
fn tag_confusion_lists_with_empty_members_make_no_empty_tag() {
    on_redis(async |world| {
        let instance = world.instance();
        world.origin.gives(200, &[("cache-control", "max-age=60"), ("cache-tag", ",, a , ,b c,")], "x");
        instance.get(A).await;
        for tag in ["b", "c"] {
            instance.purge(&purge("tag", tag)).await.unwrap();
        }
        assert!(purge("tag", "a ").targets().is_err());
        let expected = Purge { tags: vec!["b c".to_owned()], ..Purge::default() };
        // `b` and `c` are not tags of this response, but `b c` is.
        world.tell(&["FLUSHALL"]).await;
        instance.get(A).await;
        instance.purge_tag("b").await;
        assert!(instance.get(A).await.is_hit());
        instance.purge(&expected).await.unwrap();
        assert!(!instance.get(A).await.is_hit());
    });
}

/// Attack 33.
#[test]
fn lost_key_any_one_that_is_evicted_leaves_no_half_answer_and_nothing_unpurgeable() {
    on_redis(async |world| {
        let big = Bytes::from(vec![b'x'; 600_000]);
        let fields = [("cache-control", "max-age=60"), ("vary", "x-a"), ("cache-tag", "t")];
        let content = big.clone();
        world.origin.answers(move |_| Ok(streamed(200, &fields, vec![Ok(content.clone())])));
        let fill = async |instance: &Instance| {
            world.tell(&["FLUSHALL"]).await;
            instance.purge_tag("unrelated").await;
            for value in ["1", "2"] {
                instance.get_with(A, &[("x-a", value)]).await;
            }
        };
        fill(&world.instance()).await;
        let count = world.keys().await.len();
        for number in 0..count {
            let instance = world.instance();
            fill(&instance).await;
            let keys = world.keys().await;
            let Some(lost) = keys.get(number) else { continue };
            world.tell(&["DEL", lost]).await;
            for value in ["1", "2"] {
                let got = instance.get_with(A, &[("x-a", value)]).await;
                assert_eq!(got.body.unwrap(), big, "without {lost}");
            }
            instance.purge_tag("t").await;
            for value in ["1", "2"] {
                assert!(!instance.get_with(A, &[("x-a", value)]).await.is_hit(), "without {lost}");
            }
        }
        assert!(count > 6, "{count}");
    });
}

/// Attack 34.
#[test]
fn purge_covers_variants_head_stale_copies_parts_and_every_instance() {
    on_redis(async |world| {
        let instances = [world.instance(), world.instance(), world.instance()];
        let fields = [
            ("cache-control", "max-age=10, stale-while-revalidate=600, stale-if-error=600"),
            ("vary", "x-a"),
            ("etag", "\"1\""),
        ];
        for stale in [false, true] {
            world.origin.answers(move |_| Ok(reply(200, &fields, "old")));
            for instance in &instances {
                for value in ["1", "2"] {
                    instance.get_with(A, &[("x-a", value)]).await;
                }
            }
            world.clock.advance_secs(if stale { 20 } else { 0 });
            instances[0].purge_url(A).await;
            world.origin.is_away();
            for instance in &instances {
                for method in ["GET", "HEAD"] {
                    for value in ["1", "2"] {
                        let got = instance.send(request(method, A, &[("x-a", value)], Body::Empty)).await;
                        assert_eq!(
                            (got.status, got.is_hit()),
                            (502, false),
                            "{method} {value} stale: {stale}"
                        );
                    }
                    let got = instance.send(request(method, A, &[("range", "bytes=0-0")], Body::Empty)).await;
                    assert_eq!(got.status, 502, "{method}");
                }
            }
        }
    });
}

/// Attack 35.
#[test]
fn concurrent_writers_of_two_variants_both_survive() {
    on_redis(async |world| {
        let instances = [world.instance(), world.instance()];
        let fields = [("cache-control", "max-age=60"), ("vary", "x-a")];
        world.origin.answers(move |seen| Ok(reply(200, &fields, seen.header("x-a").to_owned())));
        let values: Vec<String> = (0..20).map(|number| number.to_string()).collect();
        let ask = |(number, value): (usize, &String)| {
            let (instance, value) = (&instances[number % 2], value.clone());
            async move { instance.send(get(A, &[("x-a", &value)])).await }
        };
        join_all(values.iter().enumerate().map(ask)).await;
        for value in &values {
            let got = instances[0].get_with(A, &[("x-a", value)]).await;
            assert!(got.is_hit() && got.text() == value, "{value}");
        }
    });
}

/// Attack 35: Instances whose clocks differ compute ages that differ by as much; nothing else depends on their clocks.
#[test]
fn clock_skew_between_instances_revives_nothing_that_was_purged() {
    on_redis(async |world| {
        let instance = world.instance();
        instance.get(A).await;
        world.clock.advance_secs(30);
        instance.purge_url(A).await;
        instance.purge_tag("t").await;
        world.origin.gives(200, &[("cache-control", "max-age=60"), ("cache-tag", "t")], "new");
        // The clock of this instance is a minute behind, earlier than all that was purged.
        let behind = World::start(std::rc::Rc::clone(&world.server)).await;
        behind.origin.gives(200, &[("cache-control", "max-age=60"), ("cache-tag", "t")], "of who is behind");
        let late = behind.instance();
        assert!(!late.get(A).await.is_hit());
        let got = instance.get(A).await;
        assert!(got.is_hit() && got.header("age").parse::<u64>().unwrap() <= 30, "{got:?}");
        instance.purge_tag("t").await;
        assert!(!late.get(A).await.is_hit());
    });
}

/// Attack 36: Tested end to end in `redis_failure.rs`.
#[test]
fn redis_failure_costs_bounded_time_and_gives_nobody_the_reply_of_another() {
    on_redis(async |world| {
        let proxy = Proxy::start(world.server.port()).await;
        let instance = world.instance_at(&proxy.url(), "");
        echo(world);
        for number in 0..10 {
            instance.get(&format!("http://h/{number}")).await;
        }
        for mode in [Mode::LoseReply, Mode::Hangup, Mode::Drop, Mode::Silent] {
            proxy.set(mode);
            let all = join_all((0..10).map(|number| {
                let instance = &instance;
                async move { (number, instance.send_only(get(&format!("http://h/{number}"), &[])).await) }
            }));
            let expire = async {
                if mode == Mode::Silent {
                    loop {
                        instance.env.expire_deadlines();
                        tokio::task::yield_now().await;
                    }
                }
                std::future::pending().await
            };
            let all = tokio::select! {
                all = all => all,
                never = expire => never,
            };
            for (number, got) in all {
                assert!(
                    got.status == 200 && got.text().ends_with(&format!(" /{number}")),
                    "{mode:?}: {got:?}"
                );
                assert!(got.is_hit() || got.detail().starts_with("redis-"), "{mode:?}: {got:?}");
            }
            proxy.set(Mode::Forward);
            proxy.cut();
            world.clock.advance(Duration::from_secs(6));
        }
        instance.env.settle().await;
        assert!(instance.get("http://h/1").await.is_hit());
    });
}

/// Attack 37.
#[test]
fn chunk_edges_content_of_any_size_comes_back_as_it_was() {
    on_redis(async |world| {
        const PIECE: usize = 256 * 1024;
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE - 1, 2 * PIECE, 2 * PIECE + 1, 5_000_000]
        {
            let instance = world.instance();
            let content: Bytes = (0..length).map(|at| (at % 251) as u8 ^ (at / 65_536) as u8).collect();
            let given = content.clone();
            world.origin.answers(move |_| {
                let pieces = given.chunks(100_003).map(|piece| Ok(given.slice_ref(piece))).collect();
                Ok(streamed(200, FRESH, pieces))
            });
            let url = format!("http://h/{length}");
            instance.get(&url).await;
            let got = instance.get(&url).await;
            assert!(got.is_hit() && got.body.unwrap() == content, "{length}");
        }
        // When the content ends early, nothing is stored.
        let instance = world.instance();
        world.origin.answers(|_| {
            let pieces = vec![Ok(Bytes::from(vec![b'x'; 600_000])), Err(BodyError("reset".to_owned()))];
            Ok(streamed(200, FRESH, pieces))
        });
        assert!(instance.get(A).await.body.is_err());
        world.origin.gives(200, FRESH, "whole");
        assert_eq!(instance.get(A).await.text(), "whole");
    });
}

/// Attack 38.
#[test]
fn flush_of_everything_removes_what_is_ours_and_nothing_else() {
    on_redis(async |world| {
        let (ours, theirs) = (world.instance(), world.instance_with("prefix = \"sdb\"\n"));
        for instance in [&ours, &theirs] {
            instance.get(A).await;
            instance.get("https://other/b?c").await;
        }
        world.tell(&["SET", "sd:of-somebody-else", "x", "EX", "100"]).await;
        ours.purge(&purge("prefix", "/")).await.unwrap();
        ours.store().sweep(Duration::from_secs(60)).await.unwrap();
        for url in [A, "https://other/b?c"] {
            assert!(!ours.get(url).await.is_hit());
            assert!(theirs.get(url).await.is_hit());
        }
        assert_eq!(world.ask::<String>(&["GET", "sd:of-somebody-else"]).await, "x");
        let stats = world.commandstats().await;
        // The tests use FLUSHALL; an instance sends neither it nor KEYS.
        assert!(!["flushdb", "del", "select"].iter().any(|name| stats.contains_key(*name)), "{stats:?}");
    });
}

/// Attack 38: An instance that knows of the purge keeps it in effect after a failover to a replica that lacks it.
#[test]
fn failover_to_a_replica_without_the_purge_is_noticed_by_who_purged() {
    on_redis(async |world| {
        let instance = world.instance();
        instance.put("/a", &["t"], "old").await;
        let ledger = Keys::new(PREFIX).ledger().as_str().to_owned();
        let entries = Keys::new(PREFIX).ledger_entries().as_str().to_owned();
        instance.purge_tag("unrelated").await;
        for key in [&ledger, &entries] {
            world.tell(&["COPY", key, &format!("{key}:before"), "REPLACE"]).await;
        }
        instance.purge_tag("t").await;
        assert_eq!(instance.content("/a").await, None);
        for key in [&ledger, &entries] {
            world.tell(&["RENAME", &format!("{key}:before"), key]).await;
        }
        assert_eq!(instance.content("/a").await, None, "this instance has read the purge");
    });
}

/// Attack 39.
#[test]
fn corrupt_or_foreign_entries_are_a_miss_and_replaced() {
    on_redis(async |world| {
        let instance = world.instance();
        echo(world);
        let key = |path| Keys::new(PREFIX).resource(resource(path).id()).as_str().to_owned();
        instance.get(A).await;
        instance.get("http://h/b").await;
        let whole: Vec<u8> = world.ask(&["GET", &key("/a")]).await;
        let foreign: Vec<u8> = world.ask(&["GET", &key("/b")]).await;
        let mut all = vec![foreign, vec![], b"E".to_vec(), b"V".to_vec(), b"{}".to_vec(), vec![0; 100]];
        for at in (0..whole.len()).step_by(whole.len() / 40) {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x41;
            all.push(flipped);
            all.push(whole[..at].to_vec());
        }
        for bytes in all {
            world.ask_bytes::<redis::Value>(&[b"SET", key("/a").as_bytes(), &bytes, b"EX", b"99"]).await;
            let got = instance.get(A).await;
            assert!(!got.is_hit() && got.text().ends_with(" /a"), "{bytes:?}: {got:?}");
            assert!(instance.get(A).await.is_hit(), "{bytes:?}");
        }
        // A value of another type is not an entry either.
        world.tell(&["DEL", &key("/a")]).await;
        world.tell(&["RPUSH", &key("/a"), "x"]).await;
        world.tell(&["EXPIRE", &key("/a"), "99"]).await;
        assert_eq!(instance.get(A).await.status, 200);
    });
}
