//! What is stored answers the next request.

use crate::support::EACH_REUSE;
use spindrift_e2e::{Gateway, Origin, Redis, Reply, Request};

#[test]
fn a_miss_is_stored_and_the_next_request_is_a_hit() {
    for (requests, at_once) in EACH_REUSE {
        let origin = Origin::always(Reply::fresh("page").header("x-custom", "kept"));
        let redis = Redis::start();
        let gateway = Gateway::before(&origin).redis(&redis).reuse(requests, at_once).start();
        let miss = gateway.get("/a");
        assert_eq!((miss.status, miss.text()), (200, "page".into()));
        let status = miss.cache_status();
        assert_eq!((status.forward(), status.is_stored(), status.ttl()), (Some("uri-miss"), true, Some(60)));
        redis.await_entries(1);
        let hit = gateway.get("/a");
        assert_eq!((hit.status, hit.text(), hit.header("x-custom")), (200, "page".into(), Some("kept")));
        assert!(hit.cache_status().is_hit(), "{hit:?}");
        assert_eq!(origin.count(), 1);
    }
}

#[test]
fn a_warm_hit_is_one_command_to_redis() {
    let origin = Origin::always(Reply::fresh("page"));
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).one_instance().start();
    gateway.get("/a");
    redis.await_entries(1);
    assert!(gateway.get("/a").cache_status().is_hit());
    let mut monitor = redis.monitor();
    let _ = monitor.commands();
    for _ in 0..10 {
        assert!(gateway.get("/a").cache_status().is_hit());
    }
    assert_eq!(monitor.commands(), ["EVALSHA"; 10]);
    assert!(gateway.send(&Request::head("/a")).cache_status().is_hit());
    assert_eq!(monitor.commands(), ["EVALSHA"]);
}
