//! The purge ledger: what was purged stays purged, whatever Redis loses, and this costs little.

use crate::support::{Instance, PREFIX, World, on_redis};
use spindrift::purge::{MAX_TARGETS, Purge};
use spindrift::redis::Keys;

/// Tags `prefix0`, `prefix1` and so on.
fn tags(prefix: &str, count: usize) -> Purge {
    Purge { tags: (0..count).map(|number| format!("{prefix}{number}")).collect(), ..Purge::default() }
}

async fn drop_head(world: &World) {
    world.tell(&["DEL", Keys::new(PREFIX).ledger().as_str()]).await;
}

async fn drop_entries(world: &World) {
    world.tell(&["DEL", Keys::new(PREFIX).ledger_entries().as_str()]).await;
}

async fn there(instance: &Instance, path: &str) -> bool {
    instance.find(path).await.entry.is_some()
}

#[test]
fn a_lost_head_leaves_nothing_purged_servable() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        one.put("/a", &["news"], "a").await;
        assert!(there(&other, "/a").await);
        one.purge_tag("news").await;
        drop_head(world).await;
        assert!(!there(&one, "/a").await && !there(&other, "/a").await);
        // A new ledger begins, and reaches the same number.
        one.put("/b", &[], "b").await;
        one.purge_tag("other").await;
        assert!(!there(&one, "/a").await && !there(&other, "/a").await);
    });
}

#[test]
fn lost_entries_leave_nothing_purged_servable() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        one.put("/a", &["news"], "a").await;
        one.purge_tag("news").await;
        drop_entries(world).await;
        assert!(!there(&one, "/a").await && !there(&other, "/a").await);
        one.purge_tag("other").await;
        assert!(!there(&one, "/a").await && !there(&other, "/a").await);
        assert!(!there(&world.instance(), "/a").await);
    });
}

#[test]
fn after_a_loss_purges_work_as_before() {
    on_redis(async |world| {
        for (number, lose) in [0, 1, 2, 3].into_iter().enumerate() {
            let (one, other) = (world.instance(), world.instance());
            one.purge(&tags("many", 20)).await.unwrap();
            if lose & 1 != 0 {
                drop_head(world).await;
            }
            if lose & 2 != 0 {
                drop_entries(world).await;
            }
            for round in 0..3 {
                let (path, tag) = (format!("/{number}/{round}"), format!("t{number}{round}"));
                one.put(&path, &[&tag], "x").await;
                one.put("/kept", &["kept"], "x").await;
                assert!(there(&other, &path).await, "lost {lose}, round {round}");
                one.purge_tag(&tag).await;
                assert!(!there(&other, &path).await, "lost {lose}, round {round}");
                assert!(!there(&one, &path).await, "lost {lose}, round {round}");
                assert!(there(&other, "/kept").await, "lost {lose}, round {round}");
            }
        }
    });
}

#[test]
fn entries_of_a_lost_ledger_do_not_count_in_the_next() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        one.purge(&tags("many", 50)).await.unwrap();
        drop_head(world).await;
        one.put("/a", &["many7"], "a").await;
        one.purge_tag("other").await;
        assert!(there(&other, "/a").await, "it was stored after its tag was purged");
        one.purge_tag("many7").await;
        assert!(!there(&other, "/a").await);
    });
}

#[test]
fn a_lost_ledger_does_not_let_a_fetch_store_what_was_purged_meanwhile() {
    on_redis(async |world| {
        let instance = world.instance();
        let lease = instance.begin("/a").await;
        instance.purge_tag("news").await;
        drop_head(world).await;
        instance.keep(&lease, "old").await;
        assert!(!there(&instance, "/a").await);
        let _ = instance.begin("/b").await;
        assert!(!there(&instance, "/a").await);
    });
}

#[test]
fn more_purges_than_the_ledger_holds_count_as_purges_of_everything_older() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        one.put("/a", &["news"], "a").await;
        one.purge_tag("news").await;
        one.put("/b", &[], "b").await;
        assert!(there(&other, "/b").await);
        for round in 0..11 {
            one.purge(&tags(&format!("r{round}-"), MAX_TARGETS)).await.unwrap();
        }
        let entries: u64 = world.ask(&["ZCARD", Keys::new(PREFIX).ledger_entries().as_str()]).await;
        assert_eq!(entries, 10_000);
        for instance in [&one, &other, &world.instance()] {
            assert!(!there(instance, "/a").await && !there(instance, "/b").await);
        }
        one.put("/c", &["x"], "c").await;
        assert!(there(&other, "/c").await);
        one.purge(&tags("last", 3)).await.unwrap();
        assert!(there(&other, "/c").await);
        one.purge_tag("x").await;
        assert!(!there(&other, "/c").await);
    });
}

#[test]
fn purging_the_same_again_and_again_does_not_fill_the_ledger() {
    on_redis(async |world| {
        let instance = world.instance();
        instance.put("/a", &["other"], "a").await;
        for _ in 0..30 {
            instance.purge(&tags("same", MAX_TARGETS)).await.unwrap();
        }
        assert!(there(&instance, "/a").await);
    });
}

#[test]
fn a_thousand_targets_are_one_round_trip() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        one.put("/a", &["t999"], "a").await;
        one.purge_tag("warm").await;
        one.env.wire().take_commands();
        let before = world.commandstats().await["evalsha"];
        let report = one.purge(&tags("t", MAX_TARGETS)).await.unwrap();
        assert_eq!((report.urls, report.ledger), (0, MAX_TARGETS));
        assert_eq!(one.env.wire().take_commands(), ["EVALSHA"]);
        assert_eq!(world.commandstats().await["evalsha"] - before, 1);
        assert!(!there(&other, "/a").await);
    });
}

#[test]
fn a_thousand_urls_are_purged_side_by_side() {
    on_redis(async |world| {
        let instance = world.instance();
        instance.put("/999", &[], "a").await;
        let urls = (0..MAX_TARGETS).map(|number| format!("http://h/{number}")).collect();
        instance.env.wire().take_commands();
        let report = instance.purge(&Purge { urls, ..Purge::default() }).await.unwrap();
        assert_eq!((report.urls, report.ledger), (MAX_TARGETS, 0));
        assert_eq!(instance.env.wire().round_trips(), 1);
        assert!(!there(&instance, "/999").await);
    });
}

#[test]
fn after_a_purge_each_instance_reads_what_is_new_once() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        one.put("/a", &["kept"], "a").await;
        one.purge(&tags("t", 100)).await.unwrap();
        let mut found = Vec::new();
        for _ in 0..3 {
            other.env.wire().take_commands();
            assert!(there(&other, "/a").await);
            found.push(other.env.wire().take_commands().join(" "));
        }
        assert_eq!(found, ["MGET ZRANGEBYSCORE", "MGET", "MGET"]);
        one.purge_tag("more").await;
        // If more than the new entries were read, it would notice this.
        world.tell(&["ZREMRANGEBYRANK", Keys::new(PREFIX).ledger_entries().as_str(), "0", "99"]).await;
        assert!(there(&other, "/a").await);
        assert_eq!(other.env.wire().take_commands(), ["MGET", "ZRANGEBYSCORE"]);
        one.put("/new", &[], "x").await;
        other.env.wire().take_commands();
        assert!(there(&other, "/new").await);
        assert_eq!(other.env.wire().take_commands(), ["MGET"], "what was stored after a purge needs no look");
    });
}

#[test]
fn the_ledger_outlives_what_refers_to_it() {
    on_redis(async |world| {
        let instance = world.instance();
        instance.purge_tag("x").await;
        let keys = Keys::new(PREFIX);
        for key in [keys.ledger(), keys.ledger_entries()] {
            world.tell(&["PEXPIRE", key.as_str(), "5000"]).await;
        }
        instance.put("/a", &[], "a").await;
        let entry = instance.find("/a").await.entry.unwrap();
        let needed = instance.store().ttl(&entry, world.clock.now()).as_millis();
        for key in [keys.ledger(), keys.ledger_entries()] {
            let left: u64 = world.ask(&["PTTL", key.as_str()]).await;
            assert!(left > needed, "{key:?}");
        }
    });
}

#[test]
fn purges_hold_after_a_failover_to_a_replica_that_lagged() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let keys = Keys::new(PREFIX);
        one.put("/x", &["x"], "x").await;
        one.purge_tag("first").await;
        let head: String = world.ask(&["GET", keys.ledger().as_str()]).await;
        for tag in ["lost", "lost too"] {
            one.purge_tag(tag).await;
        }
        one.put("/after", &["t"], "stored under what is lost").await;
        assert!(there(&other, "/x").await, "it has read them");
        world.tell(&["SET", keys.ledger().as_str(), &head, "KEEPTTL"]).await;
        world.tell(&["ZREMRANGEBYRANK", keys.ledger_entries().as_str(), "-2", "-1"]).await;
        one.put("/before", &["t"], "stored under what is left").await;
        one.purge_tag("t").await;
        for instance in [&other, &world.instance()] {
            assert_eq!((there(instance, "/after").await, there(instance, "/before").await), (false, false));
        }
        assert!(there(&other, "/x").await);
    });
}

#[test]
fn a_purge_that_leaves_a_full_ledger_while_it_is_read_holds() {
    on_redis(async |world| {
        let (one, fresh) = (world.instance(), world.instance());
        one.put("/a", &["news"], "a").await;
        one.purge_tag("news").await;
        for thousand in 0..10 {
            one.purge(&tags(&format!("{thousand}-"), MAX_TARGETS - usize::from(thousand == 0)))
                .await
                .unwrap();
        }
        fresh.env.wire().hold("ZRANGEBYSCORE");
        let meanwhile = async {
            fresh.env.wire().held("ZRANGEBYSCORE").await;
            one.purge_tag("one more").await;
            fresh.env.wire().release();
        };
        let (found, ()) = tokio::join!(there(&fresh, "/a"), meanwhile);
        assert!(!found);
    });
}

#[test]
fn a_purge_after_a_full_ledger_was_read_is_not_one_of_everything() {
    on_redis(async |world| {
        let (one, fresh) = (world.instance(), world.instance());
        for thousand in 0..10 {
            one.purge(&tags(&format!("{thousand}-"), MAX_TARGETS)).await.unwrap();
            if thousand == 8 {
                one.put("/a", &["news"], "a").await;
                one.put("/b", &["one more"], "b").await;
            }
        }
        fresh.env.wire().hold("GET");
        let meanwhile = async {
            fresh.env.wire().held("GET").await;
            one.purge_tag("one more").await;
            fresh.env.wire().release();
        };
        let (found, ()) = tokio::join!(there(&fresh, "/a"), meanwhile);
        assert!(found);
        assert!(!there(&fresh, "/b").await);
    });
}
