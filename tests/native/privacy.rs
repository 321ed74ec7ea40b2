//! What must not be stored, and which requests invalidate stored responses.

use crate::support::exchange::request;
use crate::support::origin::reply;
use crate::support::{Instance, World, on_redis};
use spindrift::body::Body;

const A: &str = "http://h/a";

/// Why a response with these fields to a request with those is not stored; empty when it is.
async fn refused(
    world: &World,
    asked: &[(&str, &str)],
    given: &'static [(&'static str, &'static str)],
) -> String {
    world.tell(&["FLUSHALL"]).await;
    let instance = world.instance();
    world.origin.gives(200, given, "hello");
    let got = instance.get_with(A, asked).await;
    assert_eq!(got.text(), "hello");
    let why = if got.is_stored() { String::new() } else { got.detail().to_owned() };
    let next = instance.get(A).await;
    assert_eq!(next.is_hit(), why.is_empty(), "{given:?}: {why}");
    assert_eq!(next.is_hit(), got.is_stored());
    why
}

#[test]
fn what_the_origin_forbids_to_share_is_not_stored() {
    on_redis(async |world| {
        assert_eq!(refused(world, &[], &[("cache-control", "no-store, max-age=60")]).await, "no-store");
        assert_eq!(refused(world, &[], &[("cache-control", "private, max-age=60")]).await, "private");
        assert_eq!(refused(world, &[], &[("cache-control", "max-age=60"), ("vary", "*")]).await, "vary");
        assert_eq!(refused(world, &[], &[("cache-control", "max-age=60"), ("vary", "cookie")]).await, "vary");
        let cookie = &[("cache-control", "max-age=60"), ("set-cookie", "sid=1")];
        assert_eq!(refused(world, &[], cookie).await, "set-cookie");
        assert_eq!(refused(world, &[], &[("cache-control", "max-age=60")]).await, "");
    });
}

#[test]
fn an_authorised_response_is_shared_only_where_the_origin_says_so() {
    on_redis(async |world| {
        let asked = [("authorization", "Bearer secret")];
        let plain = &[("cache-control", "max-age=60")];
        assert_eq!(refused(world, &asked, plain).await, "authorization");
        assert_eq!(world.origin.last().header("authorization"), "");
        assert_eq!(refused(world, &asked, &[("cache-control", "public, max-age=60")]).await, "");
        assert_eq!(refused(world, &asked, &[("cache-control", "s-maxage=60")]).await, "");
        assert_eq!(refused(world, &asked, &[("cache-control", "max-age=60, private")]).await, "private");
    });
}

#[test]
fn a_malformed_s_maxage_does_not_share_an_authorised_response_that_the_route_has_a_lifetime_for() {
    on_redis(async |world| {
        let instance = world.instance_with("[cache]\nttl = \"1m\"\n");
        for (malformed, shared) in [("s-maxage=x", false), ("s-maxage", false), ("s-maxage=0", true)] {
            world.tell(&["FLUSHALL"]).await;
            let field = [("cache-control", malformed)];
            world.origin.answers(move |_| Ok(reply(200, &field, "hello")));
            let got = instance.get_with(A, &[("authorization", "Bearer secret")]).await;
            assert_eq!((got.is_stored(), instance.get(A).await.is_hit()), (shared, shared), "{malformed}");
        }
    });
}

#[test]
fn an_authorised_request_is_answered_from_what_is_stored_for_all() {
    on_redis(async |world| {
        let instance = world.instance();
        instance.get(A).await;
        assert!(instance.get_with(A, &[("authorization", "Bearer secret")]).await.is_hit());
    });
}

#[test]
fn nothing_of_a_request_that_forbids_storing_is_stored() {
    on_redis(async |world| {
        let asked = [("cache-control", "no-store")];
        assert_eq!(refused(world, &asked, &[("cache-control", "max-age=60")]).await, "request-no-store");
    });
}

#[test]
fn secrets_of_requests_do_not_reach_redis() {
    on_redis(async |world| {
        let instance = world.instance();
        world.tell(&["CONFIG", "SET", "slowlog-log-slower-than", "0"]).await;
        world.tell(&["CONFIG", "SET", "slowlog-max-len", "1000"]).await;
        let fields = [("authorization", "Bearer hunter2"), ("cookie", "sid=hunter2"), ("spin-x", "hunter2")];
        world.origin.gives(200, &[("cache-control", "public, max-age=60"), ("vary", "accept")], "hello");
        instance.get_with(A, &fields).await;
        assert!(instance.get_with(A, &fields).await.is_hit());
        let said: redis::Value = world.ask(&["SLOWLOG", "GET", "-1"]).await;
        let said = format!("{said:?}");
        assert!(said.to_lowercase().contains("mget") && !said.contains("hunter2"), "{said}");
    });
}

async fn stored(world: &World, urls: &[&str]) -> Instance {
    let instance = world.instance();
    world.origin.gives(200, &[("cache-control", "max-age=600")], "hello");
    for url in urls {
        instance.get(url).await;
        assert!(instance.get(url).await.is_hit());
    }
    instance
}

#[test]
fn a_request_that_changed_something_invalidates_its_target_on_every_instance() {
    on_redis(async |world| {
        for method in ["POST", "PUT", "DELETE", "PATCH", "BREW"] {
            let instance = stored(world, &[A]).await;
            world.instance().send(request(method, A, &[], Body::from("x".to_owned()))).await;
            assert_eq!(world.origin.last().body, "x");
            assert!(!instance.get(A).await.is_hit(), "{method}");
        }
        for method in ["OPTIONS", "QUERY"] {
            let instance = stored(world, &[A]).await;
            instance.send(request(method, A, &[], Body::Empty)).await;
            assert!(instance.get(A).await.is_hit(), "{method}");
        }
    });
}

#[test]
fn an_error_invalidates_nothing() {
    on_redis(async |world| {
        for status in [400, 404, 500, 503] {
            let instance = stored(world, &[A]).await;
            world.origin.gives(status, &[], "");
            instance.send(request("POST", A, &[], Body::Empty)).await;
            assert!(instance.get(A).await.is_hit(), "{status}");
        }
    });
}

#[test]
fn what_an_answer_points_to_is_invalidated_within_the_origin() {
    on_redis(async |world| {
        let urls = ["http://h/b", "http://h/c?d", "http://other/b"];
        let instance = stored(world, &urls).await;
        world.origin.answers(|seen| {
            let place = if seen.uri.path() == "/1" { "/b" } else { "http://other/b" };
            Ok(reply(201, &[("location", place), ("content-location", "/c?d")], ""))
        });
        instance.send(request("POST", "http://h/1", &[], Body::Empty)).await;
        instance.send(request("POST", "http://h/2", &[], Body::Empty)).await;
        assert!(instance.get("http://other/b").await.is_hit());
        assert!(!instance.get("http://h/b").await.is_hit());
        assert!(!instance.get("http://h/c?d").await.is_hit());
    });
}

#[test]
fn a_fetch_that_began_before_a_change_stores_nothing_of_what_was() {
    on_redis(async |world| {
        let (reader, writer) = (world.instance(), world.instance());
        world.origin.gives(200, &[("cache-control", "max-age=60")], "old");
        world.origin.hold();
        let change = async {
            world.origin.asked(1).await;
            // The response to the reader is generated before the change, but arrives only after the change was
            // answered.
            world.origin.hold_all_but("POST");
            writer.send(request("POST", A, &[], Body::Empty)).await;
            world.origin.release();
        };
        let (first, ()) = futures_util::future::join(reader.get(A), change).await;
        assert_eq!(first.text(), "old");
        world.origin.gives(200, &[("cache-control", "max-age=60")], "new");
        assert_eq!(reader.get(A).await.text(), "new");
    });
}
