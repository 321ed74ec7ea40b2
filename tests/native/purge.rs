//! Purges of every kind, seen by an instance that has read the ledger before.

use crate::parts::{put, range};
use crate::support::exchange::{Got, get};
use crate::support::origin::reply;
use crate::support::ranged::{Representation, content};
use crate::support::{Instance, World, on_redis};
use futures_util::future::join;
use spindrift::purge::Purge;

fn list(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

/// The paths below that are still served after `purge`, by an instance that knew the ledger before.
async fn left(world: &World, purge: Purge) -> Vec<&'static str> {
    const ALL: [(&str, &[&str]); 4] = [
        ("/img/1.png", &["img", "a"]),
        ("/img/2.png", &["img", "b c"]),
        ("/news", &["a"]),
        ("/IMG/1.png", &[]),
    ];
    world.tell(&["FLUSHALL"]).await;
    let (one, other) = (world.instance(), world.instance());
    for (path, tags) in ALL {
        one.put(path, tags, path).await;
    }
    one.purge_tag("unrelated").await;
    for (path, _) in ALL {
        assert!(other.find(path).await.entry.is_some());
    }
    one.purge(&purge).await.unwrap();
    let mut left = Vec::new();
    for (path, _) in ALL {
        if other.find(path).await.entry.is_some() {
            left.push(path);
        }
    }
    left
}

#[test]
fn tags_are_compared_whole() {
    on_redis(async |world| {
        let purge = |tags: &[&str]| Purge { tags: list(tags), ..Purge::default() };
        assert_eq!(left(world, purge(&["a"])).await, ["/img/2.png", "/IMG/1.png"]);
        assert_eq!(left(world, purge(&["b c"])).await, ["/img/1.png", "/news", "/IMG/1.png"]);
        assert_eq!(left(world, purge(&["b", "c", "im", "img*", "A"])).await.len(), 4);
        assert_eq!(left(world, purge(&["a", "img"])).await, ["/IMG/1.png"]);
    });
}

#[test]
fn paths_mean_every_host() {
    on_redis(async |world| {
        let purge = |urls: &[&str]| Purge { urls: list(urls), ..Purge::default() };
        assert_eq!(left(world, purge(&["/news"])).await, ["/img/1.png", "/img/2.png", "/IMG/1.png"]);
        assert_eq!(left(world, purge(&["/new", "/news?", "/news/", "/img/"])).await.len(), 4);
        assert_eq!(left(world, purge(&["http://other/news"])).await.len(), 4);
        assert_eq!(left(world, purge(&["http://h/news", "/img/1.png"])).await, ["/img/2.png", "/IMG/1.png"]);
    });
}

#[test]
fn patterns_are_globs_over_the_whole_url() {
    on_redis(async |world| {
        let purge = |patterns: &[&str]| Purge { patterns: list(patterns), ..Purge::default() };
        assert_eq!(left(world, purge(&["*/img/*.png"])).await, ["/news", "/IMG/1.png"]);
        assert_eq!(left(world, purge(&["https://h/img/?.png"])).await, ["/news", "/IMG/1.png"]);
        assert_eq!(left(world, purge(&["http://h/IMG/*.pn", "http://img/*", "*.PNG"])).await.len(), 4);
        assert_eq!(left(world, purge(&["*"])).await, Vec::<&str>::new());
    });
}

#[test]
fn prefixes_are_beginnings_of_urls_or_of_paths() {
    on_redis(async |world| {
        let purge = |prefixes: &[&str]| Purge { prefixes: list(prefixes), ..Purge::default() };
        assert_eq!(left(world, purge(&["/img/"])).await, ["/news", "/IMG/1.png"]);
        assert_eq!(left(world, purge(&["http://h/img"])).await, ["/news", "/IMG/1.png"]);
        assert_eq!(left(world, purge(&["http://other/", "/img/*"])).await.len(), 4);
    });
}

#[test]
fn all_kinds_at_once() {
    on_redis(async |world| {
        let purge = Purge {
            urls: list(&["http://h/img/1.png"]),
            tags: list(&["b c"]),
            patterns: list(&["*/IMG/*"]),
            prefixes: list(&["/ne"]),
            soft: false,
            ..Purge::default()
        };
        assert_eq!(left(world, purge).await, Vec::<&str>::new());
    });
}

#[test]
fn a_soft_purge_of_any_kind_makes_stale_what_it_covers() {
    on_redis(async |world| {
        let instance = world.instance();
        let covering = [
            Purge { urls: list(&["http://h/a"]), ..Purge::default() },
            Purge { urls: list(&["https://H/a"]), ..Purge::default() },
            Purge { urls: list(&["/a"]), ..Purge::default() },
            Purge { tags: list(&["t"]), ..Purge::default() },
            Purge { patterns: list(&["*/a"]), ..Purge::default() },
            Purge { prefixes: list(&["/a"]), ..Purge::default() },
        ];
        for purge in covering {
            instance.put("/a", &["t"], "a").await;
            instance.put("/b", &["u"], "b").await;
            assert!(!instance.find("/a").await.soft_purged);
            instance.purge(&Purge { soft: true, ..purge.clone() }).await.unwrap();
            let (a, b) = (instance.find("/a").await, instance.find("/b").await);
            assert!(a.entry.is_some() && a.soft_purged, "{purge:?}");
            assert!(b.entry.is_some() && !b.soft_purged, "{purge:?}");
            instance.purge(&purge).await.unwrap();
            assert!(instance.find("/a").await.entry.is_none(), "a hard one after a soft one, {purge:?}");
        }
    });
}

/// Stores under a lease from before `purge`, and returns what is found then.
async fn stored_across(instance: &Instance, purge: Purge) -> Option<String> {
    let lease = instance.begin("/a").await;
    let mut entry = crate::support::entries::entry(
        &instance.env,
        &lease,
        "",
        &crate::support::entries::selecting(&[]),
        "old",
    );
    entry.tags = list(&["t"]);
    instance.purge(&purge).await.unwrap();
    let now = spindrift::env::Clock::now(&instance.env);
    let _ = instance.store().store(&lease, "", &entry, now).await.unwrap();
    instance.content("/a").await
}

#[test]
fn what_was_being_fetched_when_it_was_purged_is_not_brought_back() {
    on_redis(async |world| {
        let purges = [
            Purge { urls: list(&["http://h/a"]), ..Purge::default() },
            Purge { urls: list(&["/a"]), ..Purge::default() },
            Purge { tags: list(&["t"]), ..Purge::default() },
            Purge { patterns: list(&["*a"]), ..Purge::default() },
            Purge { prefixes: list(&["http://h/"]), ..Purge::default() },
        ];
        for purge in purges {
            assert_eq!(stored_across(&world.instance(), purge.clone()).await, None, "{purge:?}");
        }
        let other = Purge { tags: list(&["other"]), ..Purge::default() };
        assert_eq!(stored_across(&world.instance(), other).await.as_deref(), Some("old"));
    });
}

#[test]
fn purges_at_the_same_time_all_count() {
    on_redis(async |world| {
        let (one, other, reader) = (world.instance(), world.instance(), world.instance());
        for number in 0..20 {
            one.put(&format!("/{number}"), &[&format!("t{number}")], "x").await;
        }
        let purge = async |instance: &Instance, odd: usize| {
            for number in (odd..20).step_by(2) {
                instance.purge_tag(&format!("t{number}")).await;
                assert!(reader.find(&format!("/{number}")).await.entry.is_none(), "{number}");
            }
        };
        join(purge(&one, 0), purge(&other, 1)).await;
    });
}

#[test]
fn a_purge_of_nothing_known_is_no_error() {
    on_redis(async |world| {
        let instance = world.instance();
        instance.purge_url("http://nowhere/").await;
        instance.purge_tag("nothing").await;
        instance.put("/a", &[], "a").await;
        assert!(instance.find("/a").await.entry.is_some());
    });
}

#[test]
fn a_url_is_purged_under_the_key_rules_of_its_route() {
    on_redis(async |world| {
        let file = "[[route]]\npath = \"/a\"\ncache.key.sort_query = true\ncache.key.query = { except = [\"utm_*\"] }\n";
        let (one, other) = (world.instance_with(file), world.instance_with(file));
        for asked in ["http://h/a?x=1&y=2&utm_source=mail", "http://h/a?y=2&x=1"] {
            one.get("http://h/a?x=1&y=2").await;
            assert!(other.get(asked).await.is_hit(), "{asked}");
            other.purge_url(asked).await;
            assert!(!one.get("http://h/a?x=1&y=2").await.is_hit(), "{asked}");
        }
    });
}

#[test]
fn a_purge_while_a_body_streams_by_keeps_it_out_of_the_store() {
    on_redis(async |world| {
        let instance = world.instance();
        for purge in [
            Purge { urls: list(&["http://h/a"]), ..Purge::default() },
            Purge { tags: list(&["t"]), ..Purge::default() },
        ] {
            world.origin.answers(|_| {
                let piece = || Ok(bytes::Bytes::from(vec![b'x'; 300_000]));
                let fields = [("cache-control", "max-age=60"), ("cache-tag", "t")];
                Ok(crate::support::origin::streamed(200, &fields, vec![piece(), piece()]))
            });
            let request = get("http://h/a", &[]);
            let mut response = spindrift::pipeline::serve(&instance.app, request).await;
            assert!(response.body_mut().chunk().await.unwrap().is_ok());
            instance.purge(&purge).await.unwrap();
            while let Some(piece) = response.body_mut().chunk().await {
                assert!(piece.is_ok());
            }
            instance.env.settle().await;
            assert!(!instance.get("http://h/a").await.is_hit(), "{purge:?}");
        }
    });
}

#[test]
fn a_path_is_purged_with_every_query_only_where_no_vary_search_is_followed() {
    on_redis(async |world| {
        let instance = world.instance_with(
            r#"
            [[route]]
            path = "/search/*"
            cache.no_vary_search = true
            [[route]]
            host = "other"
            path = "/plain/*"
            cache.no_vary_search = true
            [[route]]
            path = "/both/*"
            "#,
        );
        world.origin.gives(200, &[("cache-control", "max-age=60")], "hello");
        for (path, with_every_query) in [
            ("/search/a", true),
            ("/se%61rch/a", true),
            ("/both/a", false),
            ("/a", false),
            ("/plain/a", true),
        ] {
            let urls = ["", "?x=1"].map(|query| format!("http://h{path}{query}"));
            for url in &urls {
                instance.get(url).await;
                assert!(instance.get(url).await.is_hit(), "{url}");
            }
            instance.purge(&Purge { urls: list(&[path]), ..Purge::default() }).await.unwrap();
            let hits = [instance.get(&urls[0]).await.is_hit(), instance.get(&urls[1]).await.is_hit()];
            assert_eq!(hits, [false, !with_every_query], "{path}");
        }
    });
}

/// Purges what is stored for a request once `instance` has found it, and before it begins to ask the origin.
async fn purged_in_between(world: &World, instance: &Instance, fields: &[(&str, &str)]) -> Got {
    let wire = instance.env.wire();
    wire.take_commands();
    wire.hold("EVALSHA");
    let purge = async {
        wire.held("EVALSHA").await;
        world.instance().purge_url("http://h/a").await;
        wire.release();
    };
    join(instance.send(get("http://h/a", fields)), purge).await.0
}

#[test]
fn what_was_purged_before_its_validation_began_is_not_brought_back_by_it() {
    on_redis(async |world| {
        for vary in ["host", "accept"] {
            for cache_control in ["max-age=60", "max-age=60, stale-while-revalidate=600"] {
                world.tell(&["FLUSHALL"]).await;
                let instance = world.instance();
                let fields = move |text| {
                    let known = [("cache-control", cache_control), ("etag", "\"1\""), ("vary", vary)];
                    reply(200, &known, text)
                };
                world.origin.answers(move |_| Ok(fields("old")));
                instance.get("http://h/a").await;
                world.clock.advance_secs(61);
                world.origin.answers(move |seen| {
                    let known = seen.header("if-none-match") == "\"1\"";
                    Ok(if known { reply(304, &[("etag", "\"1\"")], "") } else { fields("new") })
                });
                assert_eq!(purged_in_between(world, &instance, &[]).await.text(), "old");
                assert_eq!(world.instance().get("http://h/a").await.text(), "new", "{vary} {cache_control}");
            }
        }
    });
}

#[test]
fn parts_that_were_purged_before_a_fetch_began_are_not_brought_back_by_it() {
    on_redis(async |world| {
        for (stale, asked) in [(false, &[][..]), (true, &[]), (true, &[("range", "bytes=0-9")])] {
            world.tell(&["FLUSHALL"]).await;
            let instance = world.instance();
            let representation = Representation::of(world, content(1000, 0), "\"1\"");
            put(&instance, &["bytes=0-499"]).await;
            world.clock.advance_secs(if stale { 61 } else { 0 });
            representation.becomes(content(1000, 1), &[("cache-control", "max-age=60"), ("etag", "\"1\"")]);
            purged_in_between(world, &instance, asked).await;
            let after = range(&world.instance(), "bytes=0-9").await;
            assert_eq!(after.bytes(), &representation.slice(0, 10), "stale {stale}, asked for {asked:?}");
        }
    });
}
