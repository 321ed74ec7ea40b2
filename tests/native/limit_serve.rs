//! Limits in the request path: what clients are told, what is counted, and what applies without Redis.

use crate::support::exchange::{Got, get, request};
use crate::support::origin::reply;
use crate::support::proxy::Proxy;
use crate::support::{Instance, World, on_redis};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::{join, join_all};
use spindrift::body::Body;
use spindrift::pipeline;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;

const A: &str = "http://h/a";
/// Longer than any backoff, and than anything that an instance remembers.
const LONGEST: Duration = Duration::from_millis(5_200);

/// One limit that applies to every route.
fn limited(keys: &str) -> String {
    format!("limits = [\"a\"]\n[[limit]]\nname = \"a\"\n{keys}\n")
}

const TWO_AN_HOUR: &str = "limit = 2\nperiod = \"1h\"";

/// Deadlines that a slow machine does not miss.
const PATIENT: &str = "[redis]\ntimeout = \"1m\"\nconnect_timeout = \"1m\"\n";

impl World {
    /// An instance with metrics, which counts its decisions.
    fn counting(&self, file: &str) -> Instance {
        self.counting_at(&self.server.url(), file)
    }

    fn counting_at(&self, address: &str, file: &str) -> Instance {
        let file = format!("{file}\n{PATIENT}");
        self.instance_given(&[("redis_url", address), ("config", &file)], "")
    }

    fn limited(&self, file: &str) -> Instance {
        self.counting(&format!("{file}\n[metrics]\nenabled = false\n"))
    }

    fn limited_off(&self, file: &str) -> Instance {
        self.instance_given(&[("redis_enabled", "false"), ("config", file)], "")
    }
}

async fn statuses(instance: &Instance, urls: &[&str]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for url in urls {
        statuses.push(instance.get(url).await.status);
    }
    statuses
}

fn problem(got: &Got) -> serde_json::Value {
    assert_eq!(got.header("content-type"), "application/problem+json");
    serde_json::from_str(got.text()).unwrap()
}

#[test]
fn over_the_limit_is_a_429_that_says_which_and_when() {
    on_redis(async |world| {
        let instance = world.limited(&limited(TWO_AN_HOUR));
        world.origin.gives(200, &[("cache-control", "no-store")], "hello");
        let first = instance.get(A).await;
        assert_eq!(first.status, 200);
        assert_eq!(first.header("ratelimit-policy"), "\"a\";q=2;w=3600");
        assert_eq!(first.header("ratelimit"), "\"a\";r=1;t=1800");
        assert_eq!(instance.get(A).await.header("ratelimit"), "\"a\";r=0;t=1800");
        for _ in 0..2 {
            let refused = instance.get(A).await;
            assert_eq!((refused.status, refused.header("retry-after")), (429, "1800"));
            assert_eq!(refused.header("ratelimit"), "\"a\";r=0;t=1800");
            assert_eq!(refused.header("ratelimit-policy"), "\"a\";q=2;w=3600");
            assert_eq!((refused.detail(), refused.header("cache-control")), ("rate-limited", "no-store"));
            let problem = problem(&refused);
            assert_eq!(problem["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
            assert_eq!(problem["violated-policies"], serde_json::json!(["a"]));
            assert_eq!((problem["status"].as_u64(), problem["title"].is_string()), (Some(429), true));
        }
        assert_eq!(world.origin.count(), 2);
    });
}

#[test]
fn a_hit_with_limits_is_one_round_trip() {
    on_redis(async |world| {
        let instance = world.limited(
            "limits = [\"a\", \"b\", \"c\"]\n[[limit]]\nname = \"a\"\nlimit = 100\nperiod = \"1m\"\n\
             [[limit]]\nname = \"b\"\nlimit = 100\nperiod = \"1m\"\nalgorithm = \"log\"\n\
             [[limit]]\nname = \"c\"\nlimit = 100\nperiod = \"1m\"\nkey = [\"host\"]\n",
        );
        instance.get(A).await;
        instance.env.wire().take_commands();
        let got = instance.send_only(get(A, &[])).await;
        assert!(got.is_hit());
        assert_eq!(instance.env.wire().round_trips(), 1);
        let mut commands = instance.env.wire().take_commands();
        commands.sort();
        assert_eq!(commands, ["EVALSHA", "EVALSHA", "MGET"], "one script for each identity");
        assert_eq!(got.header("ratelimit").matches(";r=98").count(), 3);
    });
}

#[test]
fn a_request_counts_whether_it_is_a_hit_or_not_unless_only_misses_do() {
    on_redis(async |world| {
        let all = world.limited(&limited(TWO_AN_HOUR));
        assert_eq!(statuses(&all, &[A, A, A]).await, [200, 200, 429]);
        let misses =
            world.limited(&limited(&format!("{TWO_AN_HOUR}\ncounts = \"misses\"\nkey = [\"route\"]")));
        assert_eq!(statuses(&misses, &[A, A, A, "http://h/b", A, "http://h/c", A]).await, [200; 7]);
        let hit = misses.get(A).await;
        assert!(hit.is_hit());
        assert_eq!(hit.header("ratelimit"), "", "it was not asked");
        let refused = misses.get("http://h/d").await;
        assert_eq!((refused.status, refused.detail()), (429, "rate-limited"));
        assert!(misses.get(A).await.is_hit());
        let post = misses.send(request("POST", "http://h/e", &[], Body::Empty)).await;
        assert_eq!(post.status, 429);
        assert_eq!(world.origin.count(), 3, "what is refused does not reach the origin");
    });
}

#[test]
fn a_miss_that_is_refused_takes_nothing_from_what_counts_requests() {
    on_redis(async |world| {
        let instance = world.limited(
            "limits = [\"requests\", \"misses\"]\n\
             [[limit]]\nname = \"requests\"\nlimit = 10\nperiod = \"1h\"\nkey = [\"host\"]\n\
             [[limit]]\nname = \"misses\"\nlimit = 1\nperiod = \"1h\"\ncounts = \"misses\"\n",
        );
        assert_eq!(
            instance.get(A).await.header("ratelimit"),
            "\"requests\";r=9;t=360, \"misses\";r=0;t=3600"
        );
        for number in 0..5 {
            let refused = instance.get(&format!("http://h/{number}")).await;
            assert_eq!(
                (refused.status, problem(&refused)["violated-policies"][0].as_str()),
                (429, Some("misses"))
            );
        }
        assert!(instance.get(A).await.header("ratelimit").starts_with("\"requests\";r=8"));
    });
}

#[test]
fn limits_hold_for_their_routes_and_methods() {
    on_redis(async |world| {
        let instance = world.limited(&format!(
            "[[limit]]\nname = \"a\"\n{TWO_AN_HOUR}\nmethods = [\"POST\"]\n\
             [[route]]\npath = \"/login\"\nlimits = [\"a\"]\n"
        ));
        let post = async |url| instance.send(request("POST", url, &[], Body::Empty)).await.status;
        for _ in 0..3 {
            assert_eq!(post("http://h/other").await, 200);
            assert_eq!(instance.get("http://h/login").await.status, 200);
        }
        for expected in [200, 200, 429] {
            assert_eq!(post("http://h/login").await, expected);
        }
        assert_eq!(post("http://h/%6Cogin").await, 429, "the same path, written otherwise");
    });
}

#[test]
fn whom_a_limit_counts_is_its_key() {
    on_redis(async |world| {
        let address = |address: &'static str| vec![("spin-client-addr", address)];
        let one = "limit = 1\nperiod = \"1h\"";
        for (key, other, same) in [
            ("client", address("192.0.2.2:1"), address("192.0.2.1:2")),
            ("header:x-key", vec![("x-key", "2")], vec![("x-key", "1"), ("x", "1")]),
            ("cookie:sid", vec![("cookie", "sid=2")], vec![("cookie", "x=1; sid=1")]),
        ] {
            let instance = world.limited(&limited(&format!("{one}\nkey = [\"{key}\", \"path\"]")));
            let first = [vec![("x-key", "1"), ("cookie", "sid=1")], address("192.0.2.1:1")].concat();
            assert_eq!(instance.get_with("http://h/x", &first).await.status, 200, "{key}");
            assert_eq!(instance.get_with("http://h/x", &other).await.status, 200, "{key}");
            assert_eq!(instance.get_with("http://h/x", &same).await.status, 429, "{key}");
            assert_eq!(instance.get_with("http://h/y", &same).await.status, 200, "{key}");
            world.tell(&["FLUSHALL"]).await;
        }
    });
}

#[test]
fn a_forwarded_address_counts_only_from_a_trusted_proxy() {
    on_redis(async |world| {
        let one = limited("limit = 1\nperiod = \"1h\"");
        let proxied = format!("{one}[client]\ntrusted_proxies = [\"10.0.0.0/8\"]\n");
        let from = |peer: &'static str, claim: &'static str| {
            [("x-forwarded-for", claim), ("spin-client-addr", peer)]
        };
        let instance = world.limited(&proxied);
        for (peer, claim, status) in [
            ("10.0.0.1:1", "6.6.6.6, 192.0.2.1", 200),
            ("10.0.0.1:1", "7.7.7.7, 192.0.2.1", 429),
            ("10.0.0.2:1", "192.0.2.1, 10.9.9.9", 429),
            ("10.0.0.1:1", "192.0.2.2", 200),
            ("192.0.2.1:1", "192.0.2.9", 429),
            ("192.0.2.3:1", "192.0.2.9", 200),
        ] {
            assert_eq!(instance.get_with(A, &from(peer, claim)).await.status, status, "{peer} {claim}");
        }
        world.tell(&["FLUSHALL"]).await;
        let instance = world.limited(&one);
        assert_eq!(instance.get_with(A, &from("10.0.0.1:1", "1.1.1.1")).await.status, 200);
        assert_eq!(instance.get_with(A, &from("10.0.0.1:1", "2.2.2.2")).await.status, 429);
        // The last address is the host's: an address that the client sends is not believed.
        let spoofed = [("spin-client-addr", "9.9.9.9:1"), ("spin-client-addr", "10.0.0.1:1")];
        assert_eq!(instance.get_with(A, &spoofed).await.status, 429);
    });
}

#[test]
fn a_client_cannot_hide_from_its_limit_what_a_trusted_proxy_says_of_it() {
    on_redis(async |world| {
        let one = limited("limit = 1\nperiod = \"1h\"");
        for field in ["x-forwarded-for", "forwarded"] {
            let config = format!(
                "{one}[client]\ntrusted_proxies = [\"10.0.0.0/8\"]\nforwarding_field = \"{field}\"\n"
            );
            let instance = world.limited(&config);
            let claim = if field == "forwarded" { "for=192.0.2.1" } else { "192.0.2.1" };
            let from = async |line: &str| {
                let fields = [(field, line), ("spin-client-addr", "10.0.0.1:1")];
                instance.get_with(A, &fields).await.status
            };
            assert_eq!(from(claim).await, 200);
            for before in ["\"", "\u{e9}", "for=\"6.6.6.6", "6.6.6.6, \"\\"] {
                assert_eq!(from(&format!("{before}, {claim}")).await, 429, "{field}: {before}");
            }
            world.tell(&["FLUSHALL"]).await;
        }
    });
}

#[test]
fn no_address_or_token_stands_in_redis() {
    on_redis(async |world| {
        let key = "key = [\"client\", \"header:authorization\", \"cookie:sid\", \"host\"]";
        let instance = world.limited(&limited(&format!("{TWO_AN_HOUR}\n{key}")));
        let fields = [
            ("spin-client-addr", "192.0.2.77:1"),
            ("authorization", "Bearer topsecret"),
            ("cookie", "sid=mysession"),
        ];
        instance.get_with("http://private.example/a", &fields).await;
        let limits: Vec<String> =
            world.keys().await.into_iter().filter(|key| key.contains("{limit:")).collect();
        assert_eq!(limits.len(), 1);
        for secret in ["192.0.2.77", "topsecret", "mysession", "private"] {
            assert!(!limits[0].contains(secret), "{limits:?}");
        }
    });
}

#[test]
fn what_an_origin_says_of_its_limits_is_not_stored_and_ours_takes_its_place() {
    on_redis(async |world| {
        let fields = [
            ("cache-control", "max-age=60"),
            ("ratelimit", "\"origin\";r=5"),
            ("ratelimit-policy", "\"origin\";q=5"),
            ("x-ratelimit-remaining", "5"),
        ];
        world.origin.answers(move |_| Ok(reply(200, &fields, "hello")));
        let plain = world.instance();
        assert_eq!(plain.get(A).await.header("ratelimit"), "\"origin\";r=5", "it is of this very request");
        let hit = plain.get(A).await;
        assert!(hit.is_hit());
        for name in ["ratelimit", "ratelimit-policy", "x-ratelimit-remaining"] {
            assert_eq!(hit.header(name), "", "{name}");
        }
        let limited = world.limited(&limited("limit = 100\nperiod = \"1h\""));
        let miss = limited.get("http://h/b").await;
        assert_eq!(
            (miss.header("ratelimit"), miss.headers.get_all("ratelimit").iter().count()),
            ("\"a\";r=99;t=36", 1)
        );
    });
}

#[test]
fn in_shadow_nobody_is_refused_or_told() {
    on_redis(async |world| {
        let instance = world.counting(&limited(&format!("{TWO_AN_HOUR}\nshadow = true")));
        for _ in 0..4 {
            let got = instance.get(A).await;
            assert_eq!((got.status, got.header("ratelimit"), got.header("ratelimit-policy")), (200, "", ""));
        }
        assert_eq!(counted(&instance).await, [("allowed", 2), ("shadow_denied", 2)].map(own));
    });
}

fn own((name, count): (&str, i64)) -> (String, i64) {
    (name.to_owned(), count)
}

/// The counters of limits, by policy and outcome.
async fn counted(instance: &Instance) -> Vec<(String, i64)> {
    instance.app.metrics.flush().await;
    let counters = instance.channel().counters().await.unwrap().into_iter();
    let name = |(name, count): (String, i64)| {
        let labels = name.strip_prefix("limit_decisions_total{policy=\"a\",outcome=\"")?;
        Some((labels.strip_suffix("\"}")?.to_owned(), count))
    };
    let mut counters: Vec<_> = counters.filter_map(name).collect();
    counters.sort();
    counters
}

#[test]
fn every_policy_counts_what_became_of_requests() {
    on_redis(async |world| {
        let (one, other) = (world.counting(&limited(TWO_AN_HOUR)), world.counting(&limited(TWO_AN_HOUR)));
        for instance in [&one, &one, &one, &one, &other, &other] {
            instance.get(A).await;
        }
        let expected = [("allowed", 2), ("denied", 2), ("denied_from_memory", 2)].map(own);
        other.app.metrics.flush().await;
        assert_eq!(counted(&one).await, expected);
    });
}

#[test]
fn without_redis_the_mode_of_each_limit_holds_and_with_it_the_limit_again() {
    on_redis(async |world| {
        let mut proxy = Proxy::start(world.server.port()).await;
        let [open, closed, local] =
            ["mode = \"open\"", "mode = \"closed\"", "mode = \"local\"\ninstances = 2"].map(|mode| {
                world.counting_at(&proxy.url(), &limited(&format!("limit = 4\nperiod = \"1h\"\n{mode}")))
            });
        proxy.refuse().await;
        let passed = open.get(A).await;
        assert_eq!((passed.status, passed.header("ratelimit")), (200, ""));
        assert_eq!(passed.header("ratelimit-policy"), "\"a\";q=4;w=3600");
        assert_eq!(statuses(&open, &[A; 5]).await, [200; 5]);

        let refused = closed.get(A).await;
        assert_eq!((refused.status, refused.header("retry-after")), (503, "5"));
        assert_eq!(refused.detail(), "limits-unavailable");
        let problem = problem(&refused);
        assert_eq!(
            problem["type"],
            "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"
        );
        assert_eq!(problem["violated-policies"], serde_json::json!(["a"]));

        assert_eq!(statuses(&local, &[A; 3]).await, [200, 200, 429], "half of the limit is this instance's");
        world.clock.advance_secs(1800);
        assert_eq!(local.get(A).await.status, 200, "and it comes back with time");

        proxy.listen().await;
        world.clock.advance(LONGEST);
        let all = [
            (&open, &["failed_open"][..]),
            (&closed, &["failed_closed"]),
            (&local, &["allowed_locally", "denied_locally"]),
        ];
        for (instance, names) in all {
            instance.get(A).await;
            let counters = counted(instance).await;
            for name in names {
                assert!(
                    counters.iter().any(|(found, _)| found == name),
                    "kept until now: {name} in {counters:?}"
                );
            }
            world.tell(&["FLUSHALL"]).await;
            world.clock.advance(LONGEST);
            assert_eq!(statuses(instance, &[A; 5]).await, [200, 200, 200, 200, 429]);
            world.clock.advance(LONGEST);
        }
    });
}

#[test]
fn without_redis_a_cost_over_the_share_of_an_instance_is_let_through_now_and_then() {
    on_redis(async |world| {
        let mut proxy = Proxy::start(world.server.port()).await;
        let config = "limit = 10\nperiod = \"1h\"\ncost = 5\nmode = \"local\"\ninstances = 4";
        let instance = world.counting_at(&proxy.url(), &limited(config));
        proxy.refuse().await;
        assert_eq!(statuses(&instance, &[A; 2]).await, [200, 429]);
        let refused = instance.get(A).await;
        assert_eq!(refused.header("retry-after"), "7200", "five units at a quarter of the rate");
        world.clock.advance_secs(7200);
        assert_eq!(statuses(&instance, &[A; 2]).await, [200, 429]);
    });
}

#[test]
fn redis_switched_off_is_redis_away() {
    on_redis(async |world| {
        let modes = ["open", "closed", "local"];
        let instances =
            modes.map(|mode| world.limited_off(&limited(&format!("{TWO_AN_HOUR}\nmode = \"{mode}\""))));
        for (instance, expected) in instances.iter().zip([[200; 3], [503; 3], [200, 200, 429]]) {
            assert_eq!(statuses(instance, &[A; 3]).await, expected);
        }
    });
}

#[test]
fn a_key_of_another_type_is_no_answer() {
    on_redis(async |world| {
        let instance = world.limited(&limited(&format!("{TWO_AN_HOUR}\nmode = \"closed\"")));
        instance.get(A).await;
        let key = world.keys().await.into_iter().find(|key| key.contains("{limit:")).unwrap();
        world.tell(&["DEL", &key]).await;
        world.tell(&["RPUSH", &key, "x"]).await;
        world.tell(&["EXPIRE", &key, "60"]).await;
        assert_eq!(statuses(&instance, &[A; 3]).await, [503; 3]);
        let (lines, told) = (instance.env.log_lines(), "limits are decided without Redis");
        assert_eq!(lines.iter().filter(|line| line.contains(told)).count(), 1, "{lines:?}");
    });
}

#[test]
fn a_read_only_or_full_redis_is_one_that_gives_no_answer() {
    on_redis(async |world| {
        let instance = world.limited(&limited(&format!("{TWO_AN_HOUR}\nmode = \"closed\"")));
        for (harm, cure) in [
            (&["REPLICAOF", "127.0.0.1", "1"][..], &["REPLICAOF", "NO", "ONE"][..]),
            (&["CONFIG", "SET", "maxmemory", "1"], &["CONFIG", "SET", "maxmemory", "0"]),
        ] {
            world.tell(harm).await;
            assert_eq!(instance.get(A).await.status, 503, "{harm:?}");
            world.tell(cure).await;
            assert_eq!(instance.get(A).await.status, 200, "{harm:?}");
        }
        assert_eq!(instance.get(A).await.status, 429);
    });
}

#[test]
fn exactly_the_limit_is_let_through_on_several_instances_at_once() {
    on_redis(async |world| {
        let file = limited("limit = 25\nperiod = \"1h\"");
        let instances: Vec<Instance> = (0..4).map(|_| world.limited(&file)).collect();
        let all = join_all((0..200).map(|number| instances[number % 4].send_only(get(A, &[])))).await;
        assert_eq!(all.iter().filter(|got| got.status == 200).count(), 25);
        assert_eq!(all.iter().filter(|got| got.status == 429).count(), 175);
    });
}

const ONE_AT_ONCE: &str = "algorithm = \"concurrency\"\nlimit = 1\nkey = []";

/// From now on the origin sends a first piece of content, and the last one when the test says so.
fn gives_in_two(world: &World) -> Rc<Notify> {
    let more = Rc::new(Notify::new());
    let wait = Rc::clone(&more);
    world.origin.answers(move |_| {
        let wait = Rc::clone(&wait);
        let pieces = futures_util::stream::iter([false, true]).then(move |last| {
            let wait = Rc::clone(&wait);
            async move {
                if last {
                    wait.notified().await;
                }
                Ok(Bytes::from_static(if last { b"last" } else { b"first" }))
            }
        });
        let mut response = reply(200, &[("cache-control", "no-store")], "");
        *response.body_mut() = Body::from_pieces(None, pieces);
        Ok(response)
    });
    more
}

#[test]
fn a_slot_is_held_until_the_content_has_been_sent_or_dropped() {
    on_redis(async |world| {
        let instance = world.limited(&limited(ONE_AT_ONCE));
        let more = gives_in_two(world);
        let refused = async || {
            let refused = instance.send_only(get(A, &[])).await;
            assert_eq!((refused.status, refused.headers.get("ratelimit").is_some()), (429, true));
        };
        for whole in [true, false] {
            let mut response = pipeline::serve(&instance.app, get(A, &[])).await;
            assert_eq!(response.headers()["ratelimit"], "\"a\";r=0");
            assert_eq!(response.headers()["ratelimit-policy"], "\"a\";q=1;qu=\"concurrent-requests\"");
            assert_eq!(response.body_mut().chunk().await.unwrap().unwrap(), "first");
            refused().await;
            if whole {
                more.notify_one();
                assert_eq!(response.body_mut().chunk().await.unwrap().unwrap(), "last");
                refused().await;
                assert!(response.body_mut().chunk().await.is_none());
            } else {
                drop(response);
            }
            instance.env.settle().await;
            more.notify_one();
            assert_eq!(instance.get(A).await.status, 200, "let go");
        }
    });
}

#[test]
fn a_slot_is_held_while_the_origin_is_asked_and_let_go_with_a_small_answer() {
    on_redis(async |world| {
        let instance = world.limited(&limited(ONE_AT_ONCE));
        world.origin.hold();
        let others = async {
            world.origin.asked(1).await;
            for _ in 0..3 {
                assert_eq!(instance.send_only(get("http://h/b", &[])).await.status, 429);
            }
            world.origin.release();
        };
        let (got, ()) = join(instance.send_only(get(A, &[])), others).await;
        assert_eq!(got.status, 200);
        instance.env.settle().await;
        assert_eq!(instance.get("http://h/b").await.status, 200);
        assert!(world.keys().await.iter().all(|key| !key.contains("{limit:")), "nothing is held");
    });
}

#[test]
fn a_slot_is_renewed_while_its_request_goes_on() {
    on_redis(async |world| {
        let instance = world.limited(&limited(&format!("{ONE_AT_ONCE}\nlease = \"33s\"")));
        let score = async || -> f64 {
            let key = world.keys().await.into_iter().find(|key| key.contains("{limit:")).unwrap();
            let scored: Vec<String> = world.ask(&["ZRANGE", &key, "0", "-1", "WITHSCORES"]).await;
            scored[1].parse().unwrap()
        };
        let renewed = async |instance: &Instance| {
            let before = score().await;
            // Only these waits expire, not the deadlines of calls to Redis, which would be taken for an outage.
            while score().await == before {
                instance.env.expire_waits_of(Duration::from_secs(11));
            }
        };
        let more = gives_in_two(world);
        // While the origin is silent ...
        world.origin.hold();
        let waiting = async {
            world.origin.asked(1).await;
            renewed(&instance).await;
            world.origin.release();
        };
        let (mut response, ()) = join(pipeline::serve(&instance.app, get(A, &[])), waiting).await;
        assert_eq!(response.body_mut().chunk().await.unwrap().unwrap(), "first");
        // ... and while its content comes slowly.
        let waiting = async {
            renewed(&instance).await;
            more.notify_one();
        };
        let (piece, ()) = join(response.body_mut().chunk(), waiting).await;
        assert_eq!(piece.unwrap().unwrap(), "last");
        more.notify_one();
        drop(response);
        instance.env.settle().await;
        assert_eq!(instance.get(A).await.status, 200);
    });
}

#[test]
fn a_request_that_another_limit_refuses_holds_no_slot() {
    on_redis(async |world| {
        let instance = world.limited(
            "limits = [\"slots\", \"few\"]\n\
             [[limit]]\nname = \"slots\"\nalgorithm = \"concurrency\"\nlimit = 5\nkey = [\"host\"]\n\
             [[limit]]\nname = \"few\"\nlimit = 1\nperiod = \"1h\"\n",
        );
        assert_eq!(statuses(&instance, &[A, A, A]).await, [200, 429, 429]);
        assert!(world.keys().await.iter().all(|key| !key.contains(":concurrency:")));
    });
}

#[test]
fn who_is_refused_as_the_first_of_many_lets_another_lead() {
    on_redis(async |world| {
        let keys = "limit = 1\nperiod = \"1h\"\ncounts = \"misses\"\nkey = [\"header:x-who\"]";
        let (one, other) = (world.limited(&limited(keys)), world.limited(&limited(keys)));
        let ask = async |instance: &Instance, url: &str, who: &str| {
            instance.send_only(get(url, &[("x-who", who)])).await
        };
        assert_eq!(ask(&one, "http://h/first", "a").await.status, 200);
        one.env.settle().await;
        // One request after the other: a request does not wait for one that was refused.
        assert_eq!(ask(&one, "http://h/x", "a").await.status, 429);
        one.env.settle().await;
        other.env.wire().take_commands();
        let got = ask(&other, "http://h/x", "b").await;
        assert_eq!((got.status, got.is_stored()), (200, true));
        let lookups = other.env.wire().take_commands().iter().filter(|command| *command == "MGET").count();
        assert!(lookups <= 2, "it looks again, and does not wait: {lookups}");
        // All requests at the same time.
        let all =
            [ask(&one, "http://h/y", "a"), ask(&one, "http://h/y", "c"), ask(&other, "http://h/y", "d")];
        let statuses: Vec<u16> = join_all(all).await.iter().map(|got| got.status).collect();
        assert_eq!(statuses[1..], [200, 200]);
        assert!([200, 429].contains(&statuses[0]), "it may be answered by what another fetched");
    });
}
