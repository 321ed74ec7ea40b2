//! The examples for `sh` and curl.

use spindrift_e2e::{Gateway, Origin, Redis, Reply, Request, Script, TOKEN, eventually};
use std::sync::{Arc, Mutex};

/// A script that is given the address of the gateway and its token.
fn sh(path: &str, gateway: &Gateway) -> Script {
    let url = format!("http://{}", gateway.address());
    Script::sh(path).variable("SPINDRIFT_URL", &url).variable("SPINDRIFT_TOKEN", TOKEN)
}

fn managed(redis: &Redis) -> Gateway {
    Gateway::before_demo().redis(redis).managed().start()
}

#[test]
fn a_purge_after_a_deploy_makes_the_next_request_a_miss() {
    let redis = Redis::start();
    let gateway = managed(&redis);
    assert!(gateway.get("/tagged").cache_status().is_stored());
    redis.await_entries(1);
    assert!(gateway.get("/tagged").cache_status().is_hit());
    let printed = sh("purge-after-deploy/purge.sh", &gateway).arguments(&["demo", "another"]).succeed();
    assert!(printed.contains(r#""ledger":2"#), "{printed}");
    assert!(printed.contains("/ -> spindrift; fwd=uri-miss; stored"), "{printed}");
    assert!(!gateway.get("/tagged").cache_status().is_hit());
}

#[test]
fn a_soft_purge_makes_stale() {
    let redis = Redis::start();
    let gateway = managed(&redis);
    assert!(gateway.get("/tagged").cache_status().is_stored());
    redis.await_entries(1);
    sh("purge-after-deploy/purge.sh", &gateway).arguments(&["--soft", "demo"]).succeed();
    assert_eq!(gateway.get("/tagged").cache_status().forward(), Some("stale"));
}

#[test]
fn a_refused_purge_ends_the_script_and_shows_why() {
    let gateway = managed(&Redis::start());
    let refused = sh("purge-after-deploy/purge.sh", &gateway)
        .variable("SPINDRIFT_TOKEN", "a-wrong-token-of-a-test")
        .argument("demo")
        .run();
    assert_ne!(refused.status, Some(0));
    assert!(refused.printed.contains("401"), "{}", refused.printed);
}

#[test]
fn a_sitemap_is_warmed_and_what_cannot_be_is_named() {
    let redis = Redis::start();
    let host = Arc::new(Mutex::new(String::new()));
    let of_sitemap = Arc::clone(&host);
    let origin = Origin::start(move |exchange| {
        let target = exchange.request.target.clone();
        let reply = match target.as_str() {
            "/sitemap.xml" => {
                let host = of_sitemap.lock().unwrap().clone();
                let page = |path: &str| {
                    format!("<url>\n  <loc>http://{host}{path}</loc><priority>1</priority></url>")
                };
                let pages: String = ["/a", "/b?x=1&amp;y=2", "/private", "/c"].map(page).concat();
                Reply::ok(format!("<?xml version=\"1.0\"?>\n<urlset>{pages}</urlset>"))
                    .header("cache-control", "no-store")
            }
            "/private" => Reply::ok("mine").header("cache-control", "private"),
            _ => Reply::fresh(target.clone()),
        };
        exchange.reply(&reply);
    });
    let gateway = Gateway::before(&origin).redis(&redis).managed().start();
    *host.lock().unwrap() = gateway.address().to_string();
    // Batches of three: the last one is not full.
    let printed = sh("warm-sitemap/warm.sh", &gateway).variable("BATCH", "3").succeed();
    assert!(printed.starts_with("4 pages in "), "{printed}");
    assert!(printed.contains("stored: 2\n") && printed.contains("stored: 1"), "{printed}");
    let not: Vec<&str> = printed.lines().filter(|line| line.starts_with('{')).collect();
    assert_eq!(not.len(), 1, "{printed}");
    assert!(not[0].contains("/private") && not[0].contains(r#""detail":"private""#), "{printed}");
    for target in ["/a", "/b?x=1&y=2", "/c"] {
        assert!(gateway.get(target).cache_status().is_hit(), "{target}");
    }
}

#[test]
fn jobs_live_through_retry_dead_letters_and_replay() {
    let redis = Redis::start();
    let gateway = managed(&redis);
    let printed = sh("jobs-curl/jobs.sh", &gateway).variable("QUEUE", "mail").succeed();
    assert!(printed.contains("one job") && printed.contains("no such address"), "{printed}");
    let queue = gateway.send(&Request::get("/_spindrift/v1/queues/mail").bearer(TOKEN)).json();
    for (name, count) in [("enqueued", 2), ("completed", 2), ("retried", 1), ("died", 1), ("replayed", 1)] {
        assert_eq!(queue["counts"][name], count, "{name}: {queue}");
    }
    assert_eq!((&queue["dead"], &queue["ready"]), (&0.into(), &0.into()));
}

#[test]
fn a_command_runs_with_the_lock_and_another_is_told_to_come_back() {
    let redis = Redis::start();
    let gateway = managed(&redis);
    let with_lock =
        |command: &[&str]| sh("with-lock/with-lock.sh", &gateway).argument("nightly").arguments(command);
    let printed = with_lock(&["sh", "-c", r#"echo "fence $FENCE""#]).succeed();
    let fence: u64 = printed.trim().strip_prefix("fence ").unwrap().parse().unwrap();
    let holder = with_lock(&["sleep", "60"]).start();
    let is_held = || redis.query::<i64>(&["EXISTS", "sd:{lock:nightly}"]) == 1;
    eventually("the lock", is_held);
    let refused = with_lock(&["echo", "mine too"]).run();
    assert_eq!(refused.status, Some(75), "{}", refused.printed);
    assert!(refused.printed.contains(r#""reason":"held""#), "{}", refused.printed);
    drop(holder);
    // The lock becomes free when its lease ends, or when an operator removes it.
    let _: i64 = redis.query(&["UNLINK", "sd:{lock:nightly}"]);
    let again = with_lock(&["sh", "-c", r#"echo "$FENCE"; exit 3"#]).run();
    assert_eq!(again.status, Some(3), "its status is that of the command");
    assert!(again.printed.trim().parse::<u64>().unwrap() > fence);
    eventually("the lock is given back", || !is_held());
}

#[test]
fn a_command_whose_lease_was_lost_is_ended() {
    let redis = Redis::start();
    let gateway = managed(&redis);
    let script = sh("with-lock/with-lock.sh", &gateway).variable("TTL", "3");
    let running = script.arguments(&["nightly", "sleep", "60"]).start();
    eventually("the lock", || redis.query::<i64>(&["UNLINK", "sd:{lock:nightly}"]) == 1);
    let ended = running.finish();
    assert_eq!(ended.status, Some(75), "{}", ended.printed);
    assert!(ended.printed.contains("the lease was lost"), "{}", ended.printed);
}

#[test]
fn a_purge_is_sent_again_while_redis_is_away() {
    let redis = Redis::start();
    let gateway = managed(&redis);
    redis.stop();
    let purging = sh("purge-after-deploy/purge.sh", &gateway).argument("demo").start();
    // The script is retrying when Redis comes back.
    purging.line(|line| line.contains("503").then_some(()));
    redis.restart();
    let finished = purging.finish();
    assert_eq!(finished.status, Some(0), "{}", finished.printed);
    assert!(finished.printed.contains(r#""ledger":1"#), "{}", finished.printed);
}
