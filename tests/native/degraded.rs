//! Requests while Redis is down, silent, read-only, full or refusing access: the origin answers, and the cache
//! recovers.

use crate::support::exchange::{Got, request};
use crate::support::proxy::{Mode, Proxy};
use crate::support::{Instance, World, on_redis};
use futures_util::future::{join, join_all};
use spindrift::body::Body;
use std::time::Duration;

const A: &str = "http://h/a";
/// Longer than any backoff.
const LONGEST: Duration = Duration::from_millis(5_200);

/// Checks that the origin answered, and returns why the cache did not.
fn passed(got: &Got) -> &str {
    assert_eq!((got.status, got.text()), (200, "hello"));
    assert!(!got.is_hit() && !got.is_stored(), "{got:?}");
    assert_eq!(got.forwarded(), "bypass");
    got.detail()
}

async fn recovers(world: &World, instance: &Instance) {
    world.clock.advance(LONGEST);
    instance.get(A).await;
    assert!(instance.get(A).await.is_hit());
}

#[test]
fn a_refusing_redis_is_named_and_then_known_to_be_down() {
    on_redis(async |world| {
        let mut proxy = Proxy::start(world.server.port()).await;
        let instance = world.instance_at(&proxy.url(), "");
        proxy.refuse().await;
        assert_eq!(passed(&instance.get(A).await), "redis-unreachable");
        instance.env.wire().take_commands();
        for _ in 0..3 {
            assert_eq!(passed(&instance.get(A).await), "redis-down");
        }
        assert_eq!(instance.env.wire().opened(), 1, "nothing is tried while it is known to be down");
        proxy.listen().await;
        recovers(world, &instance).await;
    });
}

#[test]
fn what_a_redis_refuses_is_in_the_log_once_a_minute() {
    on_redis(async |world| {
        world.tell(&["ACL", "SETUSER", "some", "on", ">p", "~*", "+@all", "-mget"]).await;
        let instance = world.instance_at(&world.server.url().replace("redis://", "redis://some:p@"), "");
        for minute in 1..=2 {
            for _ in 0..3 {
                assert_eq!(passed(&instance.get(A).await), "redis-refused");
            }
            let lines = instance.env.log_lines();
            assert_eq!(lines.len(), minute, "{lines:?}");
            assert!(lines[0].contains("NOPERM"), "{lines:?}");
            world.clock.advance_secs(60);
        }
    });
}

#[test]
fn a_wrong_password_is_a_refusal() {
    on_redis(async |world| {
        let url = world.server.url().replace("redis://", "redis://some:wrong@");
        assert_eq!(passed(&world.instance_at(&url, "").get(A).await), "redis-refused");
    });
}

#[test]
fn a_silent_redis_costs_one_deadline_for_all_requests_together() {
    on_redis(async |world| {
        let proxy = Proxy::start(world.server.port()).await;
        let instance = world.instance_at(&proxy.url(), "");
        instance.get(A).await;
        proxy.set(Mode::Silent);
        let requests = join_all((0..10).map(|_| instance.send_only(request("GET", A, &[], Body::Empty))));
        let expire = async {
            proxy.heard_more_than(0).await;
            instance.env.expire_deadlines();
        };
        for got in join(requests, expire).await.0 {
            assert_eq!(passed(&got), "redis-timeout");
        }
        assert_eq!(passed(&instance.get(A).await), "redis-down");
        assert_eq!(proxy.accepted(), 1);
        proxy.set(Mode::Forward);
        recovers(world, &instance).await;
    });
}

#[test]
fn a_redis_that_falls_silent_while_a_response_passes_by_does_not_break_it() {
    on_redis(async |world| {
        let proxy = Proxy::start(world.server.port()).await;
        let instance = world.instance_at(&proxy.url(), "");
        world.origin.hold();
        let silence = async {
            world.origin.asked(1).await;
            proxy.set(Mode::Silent);
            world.origin.release();
        };
        let (got, ()) = join(instance.send_only(request("GET", A, &[], Body::Empty)), silence).await;
        assert_eq!(got.text(), "hello");
        proxy.heard_more_than(0).await;
        instance.env.expire_deadlines();
        instance.env.settle().await;
        assert!(instance.env.logged("not stored: http://h/a"), "{:?}", instance.env.log_lines());
        proxy.set(Mode::Forward);
        recovers(world, &instance).await;
    });
}

#[test]
fn a_connection_that_was_closed_is_not_noticed_by_the_client() {
    on_redis(async |world| {
        let proxy = Proxy::start(world.server.port()).await;
        let instance = world.instance_at(&proxy.url(), "");
        instance.get(A).await;
        proxy.cut();
        assert!(instance.get(A).await.is_hit());
    });
}

#[test]
fn a_read_only_replica_still_answers_what_it_has() {
    on_redis(async |world| {
        let instance = world.instance();
        instance.get(A).await;
        world.tell(&["REPLICAOF", "127.0.0.1", "1"]).await;
        assert!(instance.get(A).await.is_hit());
        assert_eq!(passed(&instance.get("http://h/b").await), "redis-unavailable");
        world.tell(&["REPLICAOF", "NO", "ONE"]).await;
        assert!(instance.get("http://h/b").await.is_stored());
    });
}

#[test]
fn a_full_redis_still_answers_what_it_has() {
    on_redis(async |world| {
        let instance = world.instance();
        instance.get(A).await;
        world.tell(&["CONFIG", "SET", "maxmemory", "1"]).await;
        assert!(instance.get(A).await.is_hit());
        assert_eq!(passed(&instance.get("http://h/b").await), "redis-unavailable");
        world.tell(&["CONFIG", "SET", "maxmemory", "0"]).await;
        assert!(instance.get("http://h/b").await.is_stored());
    });
}

#[test]
fn a_redis_that_wants_a_password_refuses() {
    on_redis(async |world| {
        world.tell(&["CONFIG", "SET", "requirepass", "secret"]).await;
        let instance = world.instance();
        assert_eq!(passed(&instance.get(A).await), "redis-refused");
        world.tell(&["CONFIG", "SET", "requirepass", ""]).await;
        assert!(world.instance().get(A).await.is_stored());
    });
}

#[test]
fn a_change_that_could_not_invalidate_says_so() {
    on_redis(async |world| {
        let mut proxy = Proxy::start(world.server.port()).await;
        let instance = world.instance_at(&proxy.url(), "");
        proxy.refuse().await;
        let got = instance.send(request("POST", A, &[], Body::Empty)).await;
        assert_eq!((got.status, got.detail()), (200, "invalidation-failed"));
    });
}

#[test]
fn a_lost_script_cache_is_not_noticed() {
    on_redis(async |world| {
        let instance = world.instance();
        for path in ["http://h/a", "http://h/b"] {
            assert!(instance.get(path).await.is_stored());
            world.tell(&["SCRIPT", "FLUSH"]).await;
            assert!(instance.get(path).await.is_hit());
        }
        instance.purge_tag("x").await;
        assert!(instance.get(A).await.is_hit());
    });
}

#[test]
fn a_redis_that_lost_everything_is_filled_again() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        for _ in 0..2 {
            one.get(A).await;
            one.purge_tag("x").await;
            assert!(other.get(A).await.is_hit());
            world.tell(&["FLUSHALL"]).await;
            assert!(!other.get(A).await.is_hit());
            assert!(one.get(A).await.is_hit());
        }
    });
}

#[test]
fn a_stale_response_covers_an_absent_origin_on_a_read_only_redis_too() {
    on_redis(async |world| {
        let instance = world.instance();
        instance.get(A).await;
        world.clock.advance_secs(61);
        world.tell(&["REPLICAOF", "127.0.0.1", "1"]).await;
        world.origin.is_away();
        let got = instance.get(A).await;
        assert_eq!((got.status, got.text()), (200, "hello"));
    });
}

#[test]
fn who_wants_what_is_stored_or_nothing_gets_nothing_without_redis() {
    on_redis(async |world| {
        let mut proxy = Proxy::start(world.server.port()).await;
        let instance = world.instance_at(&proxy.url(), "");
        proxy.refuse().await;
        let got = instance.get_with(A, &[("cache-control", "only-if-cached")]).await;
        assert_eq!((got.status, got.detail(), world.origin.count()), (504, "only-if-cached", 0));
    });
}
