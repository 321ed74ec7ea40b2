//! Stale responses that are refreshed in the background.

use crate::support::origin::reply;
use crate::support::{World, on_redis};
use futures_util::future::join_all;
use spindrift::purge::Purge;

const A: &str = "http://h/a";

fn versions(world: &World, cache_control: &'static str) {
    let mut version = 0;
    world.origin.answers(move |_| {
        version += 1;
        Ok(reply(200, &[("cache-control", cache_control)], format!("v{version}")))
    });
}

#[test]
fn within_its_window_a_stale_response_answers_and_is_refreshed() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        versions(world, "max-age=10, stale-while-revalidate=20");
        assert_eq!(one.get(A).await.text(), "v1");
        world.clock.advance_secs(15);
        let stale = one.get(A).await;
        assert_eq!((stale.text(), stale.detail(), stale.ttl()), ("v1", "stale-while-revalidate", -5));
        assert!(stale.is_hit());
        assert_eq!(world.origin.count(), 2, "behind the answer");
        let fresh = other.get(A).await;
        assert_eq!((fresh.text(), fresh.is_hit(), world.origin.count()), ("v2", true, 2));
    });
}

#[test]
fn after_its_window_it_is_validated_first() {
    on_redis(async |world| {
        let instance = world.instance();
        versions(world, "max-age=10, stale-while-revalidate=20");
        instance.get(A).await;
        world.clock.advance_secs(30);
        let got = instance.get(A).await;
        assert_eq!((got.text(), got.forwarded()), ("v2", "stale"));
    });
}

#[test]
fn many_who_find_it_stale_cause_one_refresh() {
    on_redis(async |world| {
        let instances: Vec<_> = (0..3).map(|_| world.instance()).collect();
        versions(world, "max-age=10, stale-while-revalidate=20");
        instances[0].get(A).await;
        world.clock.advance_secs(15);
        world.origin.hold();
        let all = join_all(
            instances
                .iter()
                .flat_map(|it| (0..20).map(move |_| it.send_only(crate::support::exchange::get(A, &[])))),
        )
        .await;
        assert!(all.iter().all(|got| got.text() == "v1" && got.is_hit()), "nobody waits for the origin");
        world.origin.asked(2).await;
        world.origin.release();
        for instance in &instances {
            instance.env.settle().await;
        }
        assert_eq!(world.origin.count(), 2);
        assert_eq!(instances[1].get(A).await.text(), "v2");
    });
}

#[test]
fn a_route_may_allow_it_where_the_response_says_nothing_and_must_revalidate_forbids_it() {
    on_redis(async |world| {
        let instance = world.instance_with("[cache]\nstale_while_revalidate = \"20s\"\n");
        versions(world, "max-age=10");
        instance.get(A).await;
        world.clock.advance_secs(15);
        assert_eq!(instance.get(A).await.detail(), "stale-while-revalidate");
        world.tell(&["FLUSHALL"]).await;
        for forbids in ["max-age=10, must-revalidate", "s-maxage=10", "max-age=10, stale-while-revalidate=0"]
        {
            world.tell(&["FLUSHALL"]).await;
            versions(world, forbids);
            instance.get(A).await;
            world.clock.advance_secs(15);
            assert_eq!(instance.get(A).await.forwarded(), "stale", "{forbids}");
        }
    });
}

#[test]
fn a_refresh_that_fails_leaves_what_is_there() {
    on_redis(async |world| {
        let instance = world.instance();
        versions(world, "max-age=10, stale-while-revalidate=20");
        instance.get(A).await;
        world.clock.advance_secs(15);
        world.origin.is_away();
        for _ in 0..3 {
            assert_eq!(instance.get(A).await.text(), "v1");
        }
    });
}

#[test]
fn a_refresh_that_brings_nothing_is_not_tried_behind_every_answer() {
    on_redis(async |world| {
        for (status, fields) in
            [(500, &[][..]), (200, &[("cache-control", "max-age=10"), ("set-cookie", "a=b")])]
        {
            world.tell(&["FLUSHALL"]).await;
            let instance = world.instance();
            versions(world, "max-age=10, stale-while-revalidate=60");
            instance.get(A).await;
            world.clock.advance_secs(15);
            let asked = world.origin.count();
            world.origin.gives(status, fields, "not to be stored");
            for _ in 0..20 {
                assert_eq!(instance.get(A).await.text(), "v1");
            }
            assert_eq!(world.origin.count() - asked, 1, "{status}");
            versions(world, "max-age=10");
            // As after the end of `hit_for_miss`.
            let marker = world.keys().await.into_iter().find(|key| key.contains("}:m:")).unwrap();
            world.tell(&["DEL", &marker]).await;
            assert_eq!(instance.get(A).await.text(), "v1");
            assert!(instance.get(A).await.ttl() > 0, "{status}");
        }
    });
}

#[test]
fn a_soft_purge_is_refreshed_behind_the_answer_and_a_hard_one_is_not() {
    on_redis(async |world| {
        let instance = world.instance();
        versions(world, "max-age=10, stale-while-revalidate=20");
        instance.get(A).await;
        let soft = Purge { urls: vec![A.to_owned()], soft: true, ..Default::default() };
        instance.purge(&soft).await.unwrap();
        let stale = instance.get(A).await;
        assert_eq!((stale.text(), stale.detail()), ("v1", "stale-while-revalidate"));
        assert_eq!(stale.ttl(), 0, "whatever is left of its lifetime");
        assert_eq!(instance.get(A).await.text(), "v2");
        instance.purge_url(A).await;
        assert_eq!(instance.get(A).await.text(), "v3");
    });
}

#[test]
fn what_a_client_asks_of_caches_is_not_asked_in_its_name() {
    on_redis(async |world| {
        for directive in ["no-store", "only-if-cached"] {
            world.tell(&["FLUSHALL"]).await;
            let instance = world.instance();
            versions(world, "max-age=10, stale-while-revalidate=20");
            instance.get(A).await;
            world.clock.advance_secs(15);
            let stale = instance.get_with(A, &[("cache-control", directive)]).await;
            assert_eq!((stale.text(), stale.detail()), ("v1", "stale-while-revalidate"), "{directive}");
            assert_eq!(world.origin.last().header("cache-control"), "", "{directive}");
            let fresh = instance.get(A).await;
            assert_eq!((fresh.text(), fresh.is_hit()), ("v2", true), "{directive}");
        }
    });
}
