//! Sessions against forgers, smugglers and faulty origins, and without Redis.

use crate::session_route::{KEY, PLAIN, ROUTES, S, ask, cookie, encoded, instance, used};
use crate::support::exchange::request;
use crate::support::on_redis;
use crate::support::origin::reply;
use crate::support::proxy::{Mode, Proxy};
use futures_util::future::join;
use spindrift::body::Body;
use spindrift::config::Secret;
use spindrift::session::{KeyRing, SessionId};

const OLD: &str = "the old key of 32 characters....";

#[test]
fn a_forged_or_broken_id_is_never_adopted_and_costs_no_command() {
    on_redis(async |world| {
        let instance = instance(world);
        let visitor = world.visitor(&instance).await;
        let token = visitor.strip_prefix("__Host-sid=").unwrap();
        let unsigned = KeyRing::new("sid", vec![Secret::new("another key of 32 characters....")]);
        let foreign = unsigned.sign(&SessionId::random(None, &instance.env)).unwrap();
        let other_purpose = KeyRing::new("other", vec![Secret::new(KEY)]);
        let elsewhere = other_purpose.sign(&SessionId::random(None, &instance.env)).unwrap();
        let other_secret = format!("{}.{}.{}", &token[..43], &foreign[44..87], &token[88..]);
        assert!(instance.get(S).await.is_stored());
        world.origin_says(&[("merge", &encoded(r#"{"b":1}"#))]);
        for value in [
            "",
            "x",
            "..",
            &foreign,
            &elsewhere,
            &other_secret,
            &format!("{token}x"),
            &token[1..],
            &token.to_uppercase(),
            &format!("\"{token}\""),
            &"x".repeat(60_000),
        ] {
            let all = [
                format!("__Host-sid={value}"),
                format!("__Host-sid={value}; a=1"),
                format!("__Host-sid={token}; __Host-sid={value}"),
                format!("__Host-sid={value}; __Host-sid={token}"),
            ];
            for pair in all {
                instance.env.wire().take_commands();
                let got = instance.get_with("https://h/s", &[("cookie", &pair)]).await;
                assert!(got.is_hit(), "{value}: {got:?}");
                assert_eq!(instance.env.wire().take_commands(), ["MGET"]);
                assert_eq!(cookie(&got), None);
            }
        }
        let both = format!("__Host-sid={token}; __Host-sid={token}");
        assert!(ask(&instance, &both).await.is_hit(), "which is meant is not ours to guess");
        assert_eq!(world.session_keys().await.len(), 1);
    });
}

#[test]
fn an_id_that_was_signed_and_is_not_there_is_not_adopted() {
    on_redis(async |world| {
        let instance = instance(world);
        let ring = KeyRing::new("sid", vec![Secret::new(KEY)]);
        let token = ring.sign(&SessionId::random(None, &instance.env)).unwrap();
        world.origin_says(&[("merge", &encoded(r#"{"b":1}"#))]);
        let got = ask(&instance, &format!("__Host-sid={token}")).await;
        let new = cookie(&got).unwrap();
        assert_ne!(new, format!("__Host-sid={token}"));
        assert_ne!(new.split('.').next(), Some(&*format!("__Host-sid={}", &token[..43])));
    });
}

#[test]
fn an_id_signed_with_an_old_key_is_signed_anew() {
    on_redis(async |world| {
        let before = world.instance_given(&[("session_keys", OLD)], ROUTES);
        let old = world.visitor(&before).await;
        let keys = format!("{KEY}, {OLD}");
        let both = world.instance_given(&[("session_keys", &keys)], ROUTES);
        let got = ask(&both, &old).await;
        used(&got);
        assert_eq!(world.told(), r#"{"a":1}"#);
        let new = cookie(&got).unwrap();
        assert_eq!((new[..new.len() - 43] == old[..old.len() - 43], new == old), (true, false));
        let after = instance(world);
        assert_eq!(cookie(&ask(&after, &new).await), None);
        assert_eq!(world.told(), r#"{"a":1}"#);
        ask(&after, &old).await;
        assert_eq!(world.origin.last().header("spindrift-session"), "", "the old key is out");
    });
}

#[test]
fn a_slow_answer_does_not_bring_back_an_id_that_was_replaced_meanwhile() {
    on_redis(async |world| {
        let before = world.instance_given(&[("session_keys", OLD)], ROUTES);
        let keys = format!("{KEY}, {OLD}");
        let both = world.instance_given(&[("session_keys", &keys)], ROUTES);
        for (changes, also, graces_end) in [
            ("rotate", ("vary", "accept"), false),
            ("rotate", ("vary", "accept"), true),
            ("user", ("vary", "accept"), false),
            ("rotate", ("spindrift-session-rotate", "1"), false),
            ("destroy", ("vary", "accept"), false),
        ] {
            let old = world.logged_in(&before, "anna").await;
            world.origin.answers(move |seen| {
                let said =
                    (format!("spindrift-session-{changes}"), if changes == "user" { "ben" } else { "1" });
                let said = if seen.method == "POST" { (&*said.0, said.1) } else { also };
                Ok(reply(200, &[said], "hello"))
            });
            let asked = world.origin.count();
            world.origin.hold_all_but("POST");
            let change = async {
                world.origin.asked(asked + 1).await;
                let got = both.send(request("POST", S, &[("cookie", &old)], Body::Empty)).await;
                if graces_end {
                    world.end_graces(&world.session_key().await).await;
                }
                world.origin.release();
                got
            };
            let (late, quick) = join(ask(&both, &old), change).await;
            assert_eq!(
                (late.status, quick.status, cookie(&late)),
                (200, 200, None),
                "{changes} {graces_end}"
            );
            let new = cookie(&quick).unwrap();
            world.origin_says(&[]);
            ask(&both, &new).await;
            let lives = !world.origin.last().header("spindrift-session").is_empty();
            assert_eq!(lives, changes != "destroy", "{changes}: the slow answer ended nothing");
            world.tell(&["FLUSHALL"]).await;
        }
    });
}

#[test]
fn signing_an_id_anew_takes_one_more_command_and_only_once() {
    on_redis(async |world| {
        let before = world.instance_given(&[("session_keys", OLD)], ROUTES);
        let (other, old) = (world.visitor(&before).await, world.visitor(&before).await);
        let keys = format!("{KEY}, {OLD}");
        let both = world.instance_given(&[("session_keys", &keys)], ROUTES);
        let commands = async |cookie: &str| {
            both.env.wire().take_commands();
            let got = ask(&both, cookie).await;
            (both.env.wire().take_commands().len(), got)
        };
        ask(&both, &other).await;
        let (first, got) = commands(&old).await;
        let (then, _) = commands(&cookie(&got).unwrap()).await;
        assert_eq!((first, then), (2, 1));
    });
}

#[test]
fn nobody_but_us_speaks_in_our_fields() {
    on_redis(async |world| {
        let instance = instance(world);
        let forged = [
            ("spindrift-session", "e30"),
            ("Spindrift-Session-User", "admin"),
            ("spindrift-session-id", "sid_x"),
            ("spindrift_session_user", "admin"),
            ("spindrift-session-x", "admin"),
        ];
        for url in [S, PLAIN] {
            for method in ["GET", "POST"] {
                instance.send(request(method, url, &forged, Body::Empty)).await;
                let seen = world.origin.last();
                assert!(
                    seen.headers.keys().all(|name| !name.as_str().starts_with("spindrift")),
                    "{method} {url}: {seen:?}"
                );
            }
        }
        let visitor = world.visitor(&instance).await;
        let named =
            [("cookie", visitor.as_str()), ("connection", "close, spindrift-session, spindrift-session-id")];
        instance.get_with(S, &[&forged[..], &named].concat()).await;
        assert_eq!(world.told(), r#"{"a":1}"#);
        assert_eq!(world.origin.last().headers.get_all("spindrift-session").iter().count(), 1);
        assert_eq!(world.origin.last().header("spindrift-session-user"), "");
    });
}

#[test]
fn an_origin_says_nothing_of_sessions_on_a_route_without() {
    on_redis(async |world| {
        let instance = instance(world);
        let visitor = world.logged_in(&instance, "anna").await;
        world.origin_says(&[("user", "eve"), ("destroy", "1"), ("set", "nonsense"), ("x", "y")]);
        let before = world.commandstats().await;
        for method in ["GET", "POST"] {
            let got = instance.send(request(method, PLAIN, &[("cookie", &visitor)], Body::Empty)).await;
            assert_eq!((got.status, cookie(&got)), (200, None));
            assert!(got.headers.keys().all(|name| !name.as_str().starts_with("spindrift-")), "{got:?}");
            assert_eq!(world.origin.last().header("cookie"), "", "the secret stays here");
        }
        let hit = instance.get(PLAIN).await;
        assert!(hit.headers.keys().all(|name| !name.as_str().starts_with("spindrift-")), "{hit:?}");
        assert_eq!(
            world.commandstats().await.get("hgetall"),
            before.get("hgetall"),
            "no session was looked at"
        );
        for key in world.keys().await {
            if world.ask::<String>(&["TYPE", &key]).await == "string" {
                let stored: Vec<u8> = world.ask(&["GET", &key]).await;
                assert!(!String::from_utf8_lossy(&stored).contains("spindrift-session"), "{key}");
            }
        }
        world.origin_says(&[]);
        ask(&instance, &visitor).await;
        assert_eq!(world.told(), r#"{"a":1}"#);
    });
}

#[test]
fn without_sessions_configured_a_cookie_of_that_name_is_the_origins() {
    on_redis(async |world| {
        let instance = world.instance();
        instance.get_with(PLAIN, &[("cookie", "__Host-sid=x; a=1")]).await;
        assert_eq!(world.origin.last().header("cookie"), "__Host-sid=x; a=1");
    });
}

#[test]
fn what_the_origin_says_wrongly_is_its_own_error() {
    on_redis(async |world| {
        let instance = instance(world);
        let visitor = world.visitor(&instance).await;
        for said in [
            &[("set", "nonsense!")][..],
            &[("set", "e30"), ("merge", "e30")],
            &[("dance", "1")],
            &[("destroy", "1"), ("user", "anna")],
        ] {
            world.origin_says(said);
            for got in [ask(&instance, &visitor).await, instance.get("https://h/s?fresh").await] {
                assert_eq!((got.status, got.detail()), (502, "session-invalid"), "{said:?}");
                assert!(!got.is_stored() && cookie(&got).is_none(), "{got:?}");
            }
        }
        assert!(instance.env.logged("expected base64url"), "{:?}", instance.env.log_lines());
        let large = encoded(&format!(r#"{{"t":"{}"}}"#, "x".repeat(5000)));
        world.origin_says(&[("merge", &large)]);
        for got in [ask(&instance, &visitor).await, instance.get("https://h/s?fresh").await] {
            assert_eq!((got.status, got.detail()), (502, "session-too-large"));
        }
        world.origin_says(&[]);
        ask(&instance, &visitor).await;
        assert_eq!(world.told(), r#"{"a":1}"#);
    });
}

#[test]
fn a_cookie_of_our_name_that_the_origin_sets_never_leaves() {
    on_redis(async |world| {
        let instance = instance(world);
        world.origin.answers(|_| {
            let data = encoded(r#"{"a":1}"#);
            let fields = [
                ("set-cookie", "__Host-sid=planted; Path=/; Secure"),
                ("set-cookie", "theme=dark"),
                ("spindrift-session-set", data.as_str()),
            ];
            Ok(reply(200, &fields, ""))
        });
        let got = instance.get(S).await;
        let lines: Vec<&str> =
            got.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap()).collect();
        assert_eq!((lines.len(), lines[0]), (2, "theme=dark"), "{lines:?}");
        assert!(lines[1].starts_with("__Host-sid=") && !lines[1].contains("planted"));
    });
}

#[test]
fn without_redis_a_route_goes_on_anonymously_or_refuses_as_it_says() {
    on_redis(async |world| {
        let proxy = Proxy::start(world.server.port()).await;
        let config = "[[route]]\npath = \"/s\"\nsession = true\n\
                      [[route]]\npath = \"/s/pay\"\nsession = { on_redis_failure = \"refuse\" }\n";
        let (url, keys) = (proxy.url(), ("session_keys", KEY));
        let broken = world.instance_given(&[("redis_url", &url), keys], config);
        let visitor = world.visitor(&instance(world)).await;
        proxy.set(Mode::Drop);
        let got = ask(&broken, &visitor).await;
        assert_eq!((got.status, got.text(), got.detail()), (200, "hello", "redis-unreachable"));
        assert_eq!(world.origin.last().header("spindrift-session"), "");
        let count = world.origin.count();
        let pay = broken.get_with("https://h/s/pay", &[("cookie", &visitor)]).await;
        assert_eq!((pay.status, pay.detail()), (503, "redis-down"));
        assert_eq!(world.origin.count(), count, "the origin is not asked");
        assert_eq!(broken.get("https://h/s/pay").await.status, 200, "who claims nothing needs no Redis");
        world.origin_says(&[("merge", &encoded(r#"{"b":1}"#))]);
        let lost = broken.get("https://h/s").await;
        assert_eq!((lost.status, lost.detail(), cookie(&lost)), (200, "redis-down", None));
        assert_eq!(broken.get("https://h/s/pay").await.status, 503);
        world.origin_says(&[("destroy", "1")]);
        let logout = ask(&broken, &visitor).await;
        assert_eq!(
            (logout.status, cookie(&logout)),
            (503, None),
            "a logout that was not done is not reported"
        );
        let off = world.instance_given(&[("redis_enabled", "false"), keys], config);
        world.origin_says(&[]);
        assert_eq!(ask(&off, &visitor).await.detail(), "redis-disabled");
        let pay = off.get_with("https://h/s/pay", &[("cookie", &visitor)]).await;
        assert_eq!((pay.status, pay.detail()), (503, "redis-disabled"));
        ask(&instance(world), &visitor).await;
        assert_eq!(world.told(), r#"{"a":1}"#, "the session is as it was");
    });
}

#[test]
fn a_login_needs_nothing_of_a_session_that_cannot_be_read() {
    on_redis(async |world| {
        let proxy = Proxy::start(world.server.port()).await;
        let (url, keys) = (proxy.url(), ("session_keys", KEY));
        let instance = world.instance_given(&[("redis_url", &url), keys], ROUTES);
        let visitor = world.visitor(&instance).await;
        proxy.set(Mode::Silent);
        world.origin_says(&[("user", "anna")]);
        world.origin.hold();
        let back = async {
            proxy.heard_more_than(0).await;
            instance.env.expire_deadlines();
            world.origin.asked(2).await;
            proxy.set(Mode::Forward);
            world.clock.advance_secs(10);
            world.origin.release();
        };
        let (got, ()) = join(ask(&instance, &visitor), back).await;
        let new = cookie(&got).unwrap();
        world.origin_says(&[]);
        ask(&instance, &new).await;
        assert_eq!(world.origin.last().header("spindrift-session-user"), "anna");
    });
}

#[test]
fn the_secret_of_a_visitor_never_reaches_redis_or_the_log() {
    on_redis(async |world| {
        let instance = instance(world);
        let visitor = world.logged_in(&instance, "anna").await;
        world.tell(&["CONFIG", "SET", "slowlog-log-slower-than", "0"]).await;
        world.tell(&["CONFIG", "SET", "slowlog-max-len", "1000"]).await;
        world.origin_says(&[("rotate", "1")]);
        let new = cookie(&ask(&instance, &visitor).await).unwrap();
        ask(&instance, &visitor).await;
        world.end_graces(&world.session_key().await).await;
        ask(&instance, &visitor).await;
        let said: redis::Value = world.ask(&["SLOWLOG", "GET", "-1"]).await;
        let seen = format!("{said:?} {:?}", instance.env.log_lines());
        for pair in [&visitor, &new] {
            let secret = pair.split('.').nth(1).unwrap();
            assert!(!seen.contains(&secret[..20]), "{seen}");
        }
    });
}
