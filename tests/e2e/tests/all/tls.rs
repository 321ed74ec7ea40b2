//! Redis with TLS: `rediss://`, by the gateway, by the trigger of the subscriber, and in a cluster.

use crate::support::{hit, stored};
use spindrift_e2e::{Gateway, Origin, Redis, RedisCluster, Reply, Request, Setup, Subscriber, eventually};

fn page() -> Origin {
    Origin::always(Reply::fresh("page").header("cache-tag", "t"))
}

/// Uses TLS without verifying the certificate.
fn over_tls(setup: Setup, redis: &Redis) -> Setup {
    let address = redis.tls_address();
    setup
        .variable("redis_url", &format!("rediss://{address}#insecure"))
        .variable("redis_host", &format!("rediss://{address}"))
}

#[test]
fn a_redis_behind_tls_is_used() {
    let (origin, redis) = (page(), Redis::start_with_tls());
    let gateway = over_tls(Gateway::before(&origin), &redis).managed().start();
    stored(&gateway, &redis, &Request::get("/a"));
    hit(&gateway, &Request::get("/a"));
    assert_eq!(gateway.get("/_spindrift/health/redis").status, 200);
    gateway.purge(r#"{"tags":["t"]}"#);
    assert!(!gateway.get("/a").cache_status().is_hit());
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_and_the_log_says_so() {
    let (origin, redis) = (page(), Redis::start_with_tls());
    let host = format!("rediss://{}", redis.tls_address());
    let gateway = Gateway::before(&origin).redis_url(&host).start();
    let response = gateway.get("/a");
    assert_eq!((response.status, response.text()), (200, "page".into()));
    assert_eq!(response.cache_status().detail(), Some("redis-unreachable"), "{response:?}");
    eventually("the reason in the log", || gateway.log().to_lowercase().contains("certificate"));
}

#[test]
fn the_subscriber_hears_over_tls() {
    let (origin, redis) = (page(), Redis::start_with_tls());
    let gateway = over_tls(Gateway::before(&origin), &redis).start();
    let _subscriber = Subscriber::start_as(&redis, "spindrift", |setup| over_tls(setup, &redis));
    stored(&gateway, &redis, &Request::get("/a"));
    let _: i64 = redis.query(&["PUBLISH", "spindrift", r#"{"v":1,"topic":"purge","data":{"tags":["t"]}}"#]);
    gateway.until(&Request::get("/a"), |response| !response.cache_status().is_hit());
}

#[test]
fn a_cluster_behind_tls_is_used() {
    let (origin, cluster) = (page(), RedisCluster::start_with_tls());
    let addresses: Vec<String> = cluster.nodes().iter().map(Redis::tls_address).collect();
    let gateway = over_tls(Gateway::before(&origin), &cluster.nodes()[0])
        .variable("redis_host", "rediss://127.0.0.1:*")
        .variable("redis_cluster_nodes", &addresses.join(","))
        .start();
    let all = || (0..24).map(|number| gateway.get(&format!("/{number}")));
    eventually("nothing but hits", || all().all(|response| response.cache_status().is_hit()));
    assert!(cluster.nodes().iter().all(|node| !node.keys().is_empty()), "each master has its part");
}
