//! Attacks that fill the cache, or load the origin through it.

use super::FRESH;
use crate::support::exchange::get;
use crate::support::on_redis;
use crate::support::origin::reply;
use futures_util::future::join_all;

const A: &str = "http://h/a";

/// Attack 18.
#[test]
fn vary_flood_random_values_leave_a_bounded_number_of_variants() {
    on_redis(async |world| {
        let instance = world.instance_with("[cache]\nmax_variants = 8\n");
        let fields = [("cache-control", "max-age=60"), ("vary", "x-a, user-agent")];
        world.origin.answers(move |seen| Ok(reply(200, &fields, seen.header("x-a").to_owned())));
        for number in 0..100 {
            let value = format!("{number}");
            instance.get_with(A, &[("x-a", &value), ("user-agent", &value)]).await;
            let got = instance.get_with(A, &[("x-a", &value), ("user-agent", &value)]).await;
            assert!(got.is_hit() && got.text() == value);
        }
        assert_eq!(world.variants().await.len(), 8);
        let index =
            world.keys().await.into_iter().find(|key| key.ends_with('}') && !key.contains("purge")).unwrap();
        assert!(world.ask::<u64>(&["STRLEN", &index]).await < 2048);
        instance.env.wire().take_commands();
        instance.get_with(A, &[("x-a", "99"), ("user-agent", "99")]).await;
        assert_eq!(instance.env.wire().take_commands(), ["MGET"], "a lookup costs what it did");
    });
}

/// Attack 19.
#[test]
fn random_query_flood_is_held_off_the_origin_by_a_limit_on_misses() {
    on_redis(async |world| {
        const CONFIG: &str = "[[limit]]\nname = \"misses\"\nlimit = 5\nperiod = \"1h\"\ncounts = \"misses\"\n\
            key = [\"host\"]\n[[route]]\npath = \"/*\"\nlimits = [\"misses\"]\n";
        let instance = world.instance_with(CONFIG);
        assert_eq!(instance.get(A).await.status, 200);
        for number in 0..50 {
            instance.get(&format!("{A}?{number}")).await;
        }
        assert_eq!(world.origin.count(), 5);
        assert_eq!(instance.get(&format!("{A}?50")).await.status, 429);
        assert!(instance.get(A).await.is_hit(), "what is stored still answers");
        assert_eq!(instance.get("http://other/a").await.status, 200, "other hosts have a limit of their own");
    });
}

/// Attack 19.
#[test]
fn random_query_flood_reaches_neither_key_nor_origin_where_the_query_does_not_count() {
    on_redis(async |world| {
        let instance = world.instance_with("[cache]\nkey.query = \"none\"\n");
        for number in 0..50 {
            instance.get(&format!("{A}?{number}")).await;
        }
        assert_eq!(world.origin.count(), 1);
    });
}

/// Attack 19.
#[test]
fn random_query_flood_in_a_full_redis_evicts_and_never_mixes() {
    on_redis(async |world| {
        for setting in [["maxmemory-policy", "allkeys-lru"], ["maxmemory", "3mb"]] {
            world.tell(&["CONFIG", "SET", setting[0], setting[1]]).await;
        }
        let instance = world.instance();
        world.origin.answers(|seen| {
            let text = seen.uri.query().unwrap_or_default();
            Ok(reply(200, FRESH, format!("{text} {}", "x".repeat(20_000))))
        });
        for number in 0..300 {
            let got = instance.get(&format!("{A}?{}", number % 150)).await;
            assert!(got.text().starts_with(&format!("{} ", number % 150)), "{number}");
        }
        let evicted: String = world.ask(&["INFO", "stats"]).await;
        assert!(!evicted.contains("evicted_keys:0\r\n"), "the flood was too small to test anything");
        world.tell(&["CONFIG", "SET", "maxmemory", "0"]).await;
    });
}

/// Attack 20.
#[test]
fn accept_encoding_is_normalised_only_so_far_as_everybody_can_read_the_answer() {
    on_redis(async |world| {
        let instance = world.instance();
        world.origin.answers(|seen| {
            let accepts = seen.header("accept-encoding").to_owned();
            let coding =
                ["br", "gzip"].into_iter().find(|coding| accepts.contains(coding)).unwrap_or("identity");
            let fields =
                [("cache-control", "max-age=60"), ("vary", "accept-encoding"), ("content-encoding", coding)];
            Ok(reply(200, &fields, coding))
        });
        for (accepts, readable) in [
            (Some("gzip"), &["gzip", "identity"][..]),
            (Some("br, gzip"), &["br", "gzip", "identity"]),
            (Some("gzip;q=0"), &["identity"]),
            (Some("gzip;q=0.0, br;q=0"), &["identity"]),
            (Some("identity"), &["identity"]),
            (Some(""), &["identity"]),
            (None, &["identity"]),
            (Some("*;q=0, gzip"), &["gzip"]),
            (Some("GZip;Q=1"), &["gzip", "identity"]),
            (Some("deflate"), &["deflate", "identity"]),
            (Some("xgzip"), &["identity"]),
        ] {
            for _ in 0..2 {
                let fields: Vec<_> = accepts.iter().map(|accepts| ("accept-encoding", *accepts)).collect();
                let got = instance.get_with(A, &fields).await;
                assert!(readable.contains(&got.text()), "{accepts:?} gets {}", got.text());
            }
        }
    });
}

/// Attack 20.
#[test]
fn accept_language_is_reduced_to_what_the_client_likes_best() {
    on_redis(async |world| {
        let instance = world.instance_with("[cache]\nkey.languages = [\"en\", \"de\"]\n");
        let fields = [("cache-control", "max-age=60"), ("vary", "accept-language")];
        world.origin.answers(move |seen| Ok(reply(200, &fields, seen.header("accept-language").to_owned())));
        for (likes, gets) in [
            ("de", "de"),
            ("de-AT, en;q=0.5", "de"),
            ("de;q=0, en;q=0.1", "en"),
            ("fr, de;q=0.2", "de"),
            ("fr", "en"),
            ("", "en"),
        ] {
            for _ in 0..2 {
                assert_eq!(instance.get_with(A, &[("accept-language", likes)]).await.text(), gets, "{likes}");
            }
        }
        assert_eq!(world.origin.count(), 2);
    });
}

/// Attack 21: Larger requests are refused by the host before they get here: see the end-to-end tests in `framing.rs`.
#[test]
fn oversize_fields_and_urls_are_stored_whole_or_not_at_all() {
    on_redis(async |world| {
        let instance = world.instance();
        let long = "x".repeat(60_000);
        let field = long.clone();
        world.origin.answers(move |seen| {
            let fields = [("cache-control", "max-age=60"), ("x-long", field.as_str()), ("vary", "x-sent")];
            Ok(reply(200, &fields, seen.uri.to_string()))
        });
        for length in [1_000, 60_000] {
            let url = format!("http://h/{}", "y".repeat(length));
            let sent = "z".repeat(length);
            for hit in [false, true] {
                let got = instance.get_with(&url, &[("x-sent", &sent)]).await;
                assert_eq!((got.is_hit(), got.text().len()), (hit, "http://origin.test/".len() + length));
                assert_eq!(got.header("x-long").len(), 60_000);
            }
            let shorter = &sent[..length - 1];
            assert!(!instance.get_with(&url, &[("x-sent", shorter)]).await.is_hit());
        }
    });
}

/// Attack 22.
#[test]
fn no_cache_flood_is_one_fetch_at_a_time_and_none_where_the_route_says_so() {
    on_redis(async |world| {
        let deaf = world.instance_with("[cache]\nclient_revalidation = false\n");
        deaf.get(A).await;
        for directive in ["no-cache", "max-age=0", "min-fresh=1000"] {
            assert!(deaf.get_with(A, &[("cache-control", directive)]).await.is_hit(), "{directive}");
        }
        assert!(deaf.get_with(A, &[("pragma", "no-cache")]).await.is_hit());
        assert_eq!(world.origin.count(), 1);
        let instances = [world.instance(), world.instance()];
        world.clock.advance_secs(1);
        world.origin.hold();
        let clock = world.clock.clone();
        world.origin.answers(move |_| {
            clock.advance_secs(1);
            Ok(reply(200, FRESH, "new"))
        });
        let insists = [("cache-control", "no-cache")];
        let all = join_all((0..40).map(|number| instances[number % 2].send_only(get(A, &insists))));
        let release = async {
            let waiting = || instances.iter().map(|it| it.shared().flights.waiting()).sum::<usize>();
            while waiting() < 39 {
                tokio::task::yield_now().await;
            }
            world.origin.release();
        };
        let (all, ()) = tokio::join!(all, release);
        assert!(all.iter().all(|got| got.text() == "new"));
        assert_eq!(world.origin.count(), 2);
        for instance in &instances {
            instance.env.settle().await;
        }
    });
}
