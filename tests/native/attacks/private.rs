//! Attacks on responses that are for one visitor only.

use super::FRESH;
use crate::support::exchange::get;
use crate::support::on_redis;
use crate::support::origin::reply;
use futures_util::future::join_all;

const A: &str = "http://h/a";

/// Attack 12.
#[test]
fn authorised_responses_are_shared_only_where_the_origin_permits_it() {
    on_redis(async |world| {
        for (cache_control, stored) in [
            ("max-age=60", false),
            ("max-age=60, private", false),
            ("s-maxage=60, private", false),
            ("public, private, max-age=60", false),
            ("max-age=60, proxy-revalidate", false),
            ("max-age=60, public", true),
            ("s-maxage=60", true),
            ("max-age=60, must-revalidate", true),
        ] {
            // A lifetime set for the route is not a permission to share the response.
            for config in ["", "[cache]\nttl = \"1h\"\n"] {
                world.tell(&["FLUSHALL"]).await;
                let instance = world.instance_with(config);
                world.origin.answers(move |_| Ok(reply(200, &[("cache-control", cache_control)], "secret")));
                let got = instance.get_with(A, &[("authorization", "Bearer secret")]).await;
                assert_eq!(got.is_stored(), stored, "{cache_control} {config}");
                assert_eq!(instance.get(A).await.is_hit(), stored, "{cache_control} {config}");
            }
        }
    });
}

/// Attack 12: Where the response varies on `Authorization`, it is not stored and no other client gets it.
#[test]
fn authorised_requests_are_not_told_apart_by_a_hash_of_their_secret() {
    on_redis(async |world| {
        let instance = world.instance();
        world.origin.gives(200, &[("cache-control", "public, max-age=60"), ("vary", "Authorization")], "x");
        let got = instance.get_with(A, &[("authorization", "Bearer secret")]).await;
        assert_eq!((got.is_stored(), got.detail()), (false, "vary"));
    });
}

/// Attack 13.
#[test]
fn set_cookie_replay_nobody_gets_the_cookie_of_another() {
    on_redis(async |world| {
        const COOKIE: &[(&str, &str)] =
            &[("cache-control", "max-age=10"), ("set-cookie", "sid=1"), ("etag", "\"1\"")];
        let instance = world.instance();
        world.origin.gives(200, COOKIE, "x");
        for _ in 0..2 {
            let got = instance.get(A).await;
            assert_eq!((got.detail(), got.header("set-cookie")), ("set-cookie", "sid=1"));
        }
        // `Set-Cookie` in a 304.
        let plain = &[("cache-control", "max-age=10, stale-while-revalidate=60"), ("etag", "\"1\"")];
        for (wait, status) in [(11, 304), (80, 304), (11, 200)] {
            world.tell(&["FLUSHALL"]).await;
            world.origin.gives(200, plain, "x");
            assert!(instance.get(A).await.is_stored());
            world.clock.advance_secs(wait);
            world.origin.gives(status, COOKIE, "x");
            instance.get(A).await;
            for _ in 0..2 {
                let got = instance.get(A).await;
                assert!(!got.is_hit() || got.header("set-cookie").is_empty(), "{wait} {status}: {got:?}");
            }
        }
        // Stored without `Set-Cookie`, where the configuration asks for that.
        world.tell(&["FLUSHALL"]).await;
        let strips = world.instance_with("[cache]\nset_cookie = \"strip\"\n");
        world.origin.gives(200, COOKIE, "x");
        assert!(strips.get(A).await.is_stored());
        let hit = strips.get(A).await;
        assert_eq!((hit.is_hit(), hit.header("set-cookie")), (true, ""));
    });
}

/// Attack 14.
#[test]
fn private_in_any_spelling_is_private() {
    on_redis(async |world| {
        let instance = world.instance();
        for lines in [
            &["private"][..],
            &["PRIVATE, max-age=60"],
            &["max-age=60", "private"],
            &["max-age=60 , Private"],
            &["max-age=60,,private"],
            &["private=\"\", max-age=60"],
            &["private=\"unterminated, max-age=60"],
            &["private=, max-age=60"],
            &["max-age=60, no-store"],
            &["max-age=60", "No-Store"],
            &["no-store=\"x\", max-age=60"],
            &["max-age=60; private", "private"],
        ] {
            world.tell(&["FLUSHALL"]).await;
            world.origin.answers(move |_| {
                let fields: Vec<_> = lines.iter().map(|line| ("cache-control", *line)).collect();
                Ok(reply(200, &fields, "secret"))
            });
            assert!(!instance.get(A).await.is_stored(), "{lines:?}");
            assert!(!instance.get(A).await.is_hit(), "{lines:?}");
        }
        // With field names the directive applies to these fields only.
        for lines in [
            "private=\"X-User\", max-age=60",
            "no-cache=\"x-user\", max-age=60",
            "max-age=60, private=x-user",
        ] {
            world.tell(&["FLUSHALL"]).await;
            world
                .origin
                .answers(move |_| Ok(reply(200, &[("cache-control", lines), ("x-user", "anna")], "x")));
            instance.get(A).await;
            let got = instance.get(A).await;
            assert!(!got.is_hit() || got.header("x-user").is_empty(), "{lines}: {got:?}");
        }
    });
}

/// Attack 14.
#[test]
fn private_or_no_store_in_a_newer_response_ends_the_older_one() {
    on_redis(async |world| {
        let instance = world.instance();
        for (status, newer) in [(200, "no-store"), (200, "private"), (304, "no-store"), (304, "private")] {
            world.tell(&["FLUSHALL"]).await;
            world.origin.gives(
                200,
                &[("cache-control", "max-age=10, stale-if-error=600"), ("etag", "\"1\"")],
                "old",
            );
            instance.get(A).await;
            world.clock.advance_secs(11);
            world.origin.answers(move |_| {
                Ok(reply(status, &[("cache-control", newer), ("etag", "\"1\"")], "secret"))
            });
            instance.get(A).await;
            world.origin.gives(200, FRESH, "now");
            assert_eq!(instance.get(A).await.text(), "now", "{status} {newer}");
        }
    });
}

/// Attack 15.
#[test]
fn vary_on_what_is_private_or_unknown_is_never_reused() {
    on_redis(async |world| {
        let instance = world.instance();
        for lines in [
            &["*"][..],
            &["*, *"],
            &["*", "*"],
            &[", *"],
            &["", "*"],
            &["x-a, *"],
            &["*, x-a"],
            &["x-a", " * "],
            &["Cookie"],
            &["accept, COOKIE"],
            &["Authorization"],
            &["proxy-authorization"],
            &["x-forwarded-for"],
            &["forwarded"],
            &["bad name"],
        ] {
            world.tell(&["FLUSHALL"]).await;
            world.origin.answers(move |_| {
                let vary = lines.iter().map(|line| ("vary", *line));
                let fields: Vec<_> = FRESH.iter().copied().chain(vary).collect();
                Ok(reply(200, &fields, "secret"))
            });
            for _ in 0..2 {
                let got = instance.get_with(A, &[("cookie", "sid=1")]).await;
                assert_eq!(
                    (got.is_hit(), got.is_stored(), got.detail()),
                    (false, false, "vary"),
                    "{lines:?}"
                );
            }
        }
    });
}

/// Attack 16.
#[test]
fn management_answers_and_refusals_are_never_cached() {
    on_redis(async |world| {
        const CONFIG: &str = "[cache]\nttl_by_status = { 4xx = \"1h\", 5xx = \"1h\" }\n\
            [[limit]]\nname = \"a\"\nlimit = 1\nperiod = \"1h\"\nkey = []\n\
            [[route]]\npath = \"/limited*\"\nlimits = [\"a\"]\n";
        let instance = world.instance_given(&[("admin_token", "0123456789abcdef")], CONFIG);
        for path in ["health", "health/redis", "stats", "metrics", "openapi.json", "v1/cache/x", "nothing"] {
            for fields in [&[][..], &[("authorization", "Bearer 0123456789abcdef")]] {
                let got = instance.get_with(&format!("http://h/_spindrift/{path}"), fields).await;
                assert!(!got.is_hit() && !got.is_stored(), "{path}");
                assert!(got.header("cache-control").contains("no-store"), "{path}: {:?}", got.headers);
            }
        }
        assert!(instance.get("http://h/limited").await.is_stored());
        let refused = instance.get("http://h/limited?b").await;
        assert_eq!(
            (refused.status, refused.is_stored(), refused.header("cache-control")),
            (429, false, "no-store")
        );
        // A stored challenge would be served to everyone, even to clients with credentials.
        for status in [401, 407, 429] {
            world.tell(&["FLUSHALL"]).await;
            world.origin.answers(move |_| Ok(reply(status, FRESH, "who are you?")));
            let got = instance.get(&format!("http://h/{status}")).await;
            assert_eq!((got.status, got.is_stored(), got.detail()), (status, false, "status"));
        }
    });
}

/// Attack 17.
#[test]
fn collapsed_requests_never_get_what_is_for_their_leader() {
    const FOR_ONE: [&[(&str, &str)]; 4] = [
        &[("cache-control", "private, max-age=60")],
        &[("cache-control", "max-age=60"), ("set-cookie", "sid=1")],
        &[("cache-control", "no-store")],
        &[("cache-control", "max-age=60"), ("vary", "x-visitor")],
    ];
    on_redis(async |world| {
        for fields in FOR_ONE {
            world.tell(&["FLUSHALL"]).await;
            let instances = [world.instance(), world.instance()];
            world
                .origin
                .answers(move |seen| Ok(reply(200, fields, format!("for {}", seen.header("x-visitor")))));
            let visitors: Vec<String> = (0..20).map(|number| number.to_string()).collect();
            let ask = |(number, visitor): (usize, &String)| {
                let instance = &instances[number % 2];
                let visitor = visitor.clone();
                async move {
                    let got = instance.send_only(get(A, &[("x-visitor", &visitor)])).await;
                    assert_eq!(got.text(), format!("for {visitor}"), "{fields:?}");
                }
            };
            join_all(visitors.iter().enumerate().map(ask)).await;
            for instance in &instances {
                instance.env.settle().await;
            }
        }
    });
}
