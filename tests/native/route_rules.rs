//! The rules of a route for requests and responses, except those about freshness.

use crate::session_route::{KEY, encoded};
use crate::support::exchange::{Got, request};
use crate::support::on_redis;
use crate::support::origin::reply;
use crate::support::{Instance, World};
use spindrift::body::Body;

const A: &str = "http://h/a";

#[test]
fn methods_that_are_not_named_are_passed_on() {
    on_redis(async |world| {
        let instance = world.instance_with("[cache]\nmethods = [\"GET\"]\n");
        assert!(instance.get(A).await.is_stored());
        for method in ["HEAD", "QUERY"] {
            let got = instance.send(request(method, A, &[], Body::Empty)).await;
            assert_eq!((got.forwarded(), got.is_stored()), ("method", false), "{method}");
        }
        assert!(instance.get(A).await.is_hit());
    });
}

#[test]
fn a_request_that_a_rule_names_goes_to_the_origin_as_it_is_and_leaves_what_is_stored() {
    on_redis(async |world| {
        let config = "[cache]\nrequest_cookies = \"key\"\n\
                      bypass = { headers = [\"x-preview\"], cookies = [\"sess*\"], query = [\"draft\"] }\n";
        let instance = world.instance_with(config);
        instance.get(A).await;
        for (url, field, why) in [
            (A, ("x-preview", "1"), "bypass-header"),
            (A, ("cookie", "a=1; session=2"), "bypass-cookie"),
            (A, ("cookie", "a=\u{e9}; sess=2"), "bypass-cookie"),
            ("http://h/a?x=1&dr%61ft", ("x-other", "1"), "bypass-query"),
        ] {
            let got = instance.get_with(url, &[field]).await;
            assert_eq!((got.forwarded(), got.detail(), got.is_stored()), ("bypass", why, false), "{field:?}");
            assert!(world.origin.last().headers.contains_key(field.0), "{field:?}");
        }
        assert_eq!(world.origin.count(), 5);
        assert!(instance.get_with(A, &[("cookie", "a=1")]).await.is_hit());
    });
}

#[test]
fn clients_are_told_what_the_route_says() {
    on_redis(async |world| {
        let config = "[cache]\nttl = \"1h\"\nstrip_response = [\"server\"]\nclient_ttl = \"1m\"\n";
        let instance = world.instance_with(config);
        let fields = &[
            ("cache-control", "max-age=5, no-transform"),
            ("server", "x/1"),
            ("etag", "\"1\""),
            ("expires", "0"),
        ];
        world.origin.gives(200, fields, "hello");
        let miss = instance.get(A).await;
        world.clock.advance_secs(100);
        let hit = instance.get(A).await;
        let unchanged = instance.get_with(A, &[("if-none-match", "\"1\"")]).await;
        assert_eq!((hit.is_hit(), unchanged.status), (true, 304));
        for (got, lifetime) in [(miss, 60), (hit, 160), (unchanged, 160)] {
            assert_eq!(got.header("cache-control"), format!("no-transform, max-age={lifetime}"));
            assert_eq!((got.header("server"), got.header("expires")), ("", ""));
        }
        // A response for one client only is not changed.
        world.origin.gives(200, &[("cache-control", "private, max-age=5"), ("server", "x/1")], "hello");
        let private = instance.get("http://h/b").await;
        assert_eq!((private.header("cache-control"), private.header("server")), ("private, max-age=5", ""));
    });
}

#[test]
fn only_what_is_of_a_named_media_type_is_stored() {
    on_redis(async |world| {
        let instance = world.instance_with("[cache]\ncontent_types = [\"image/*\"]\n");
        world.origin.gives(200, &[("cache-control", "max-age=60"), ("content-type", "text/html")], "x");
        assert_eq!(instance.get(A).await.detail(), "content-type");
        world.origin.gives(200, &[("cache-control", "max-age=60"), ("content-type", "image/png")], "x");
        assert!(instance.get(A).await.is_stored());
    });
}

#[test]
fn a_route_is_purged_by_its_tag_after_a_validation_too() {
    on_redis(async |world| {
        let config = "[[route]]\npath = \"/a*\"\ncache.tags = [\"route a\"]\n";
        let instance = world.instance_with(config);
        let fields = &[("cache-control", "max-age=10"), ("etag", "\"1\""), ("cache-tag", "own")];
        for tag in ["route a", "own"] {
            world.origin.gives(200, fields, "x");
            instance.get(A).await;
            instance.get("http://h/b").await;
            world.clock.advance_secs(11);
            world.origin.gives(304, fields, "");
            assert_eq!(instance.get(A).await.forwarded(), "stale");
            assert!(instance.get(A).await.is_hit());
            instance.purge_tag(tag).await;
            world.origin.gives(200, fields, "x");
            assert_eq!(instance.get(A).await.forwarded(), "uri-miss", "{tag}");
        }
    });
}

fn with_visitors(world: &World, by: &str) -> Instance {
    let config = format!("[[route]]\npath = \"/s*\"\nsession = true\ncache.key.visitor = \"{by}\"\n");
    world.instance_given(&[("session_keys", KEY)], &config)
}

const S: &str = "https://h/s";

async fn as_visitor(instance: &Instance, cookie: &str) -> Got {
    instance.get_with("https://h/s/page", &[("cookie", cookie)]).await
}

/// The origin greets the user of the session, and allows storing for a minute.
fn greets(world: &World) {
    world.origin.answers(|seen| {
        let who = seen.header("spindrift-session-user").to_owned();
        let fields = [("cache-control", "max-age=60, stale-while-revalidate=600")];
        Ok(reply(200, &fields, format!("hello {who}")))
    });
}

#[test]
fn pages_of_a_user_are_stored_for_that_user_alone() {
    on_redis(async |world| {
        let instances = [with_visitors(world, "user"), with_visitors(world, "user")];
        let anna = world.logged_in(&instances[0], "anna").await;
        let again = world.logged_in(&instances[1], "anna").await;
        let bert = world.logged_in(&instances[1], "bert").await;
        let nobody = world.visitor(&instances[0]).await;
        greets(world);
        assert_eq!(as_visitor(&instances[0], &anna).await.text(), "hello anna");
        for (instance, cookie, hit, text) in [
            (0, &anna, true, "hello anna"),
            (1, &again, true, "hello anna"),
            (1, &bert, false, "hello bert"),
            (0, &bert, true, "hello bert"),
            (0, &nobody, false, "hello "),
            (1, &nobody, false, "hello "),
        ] {
            let got = as_visitor(&instances[instance], cookie).await;
            assert_eq!((got.is_hit(), got.text()), (hit, text), "{cookie}");
            assert!(got.header("cache-control").contains("private"), "{got:?}");
        }
        // Visitors without a session share a page of their own.
        assert!(!instances[0].get("https://h/s/page").await.is_hit());
        let anonymous = instances[1].get("https://h/s/page").await;
        assert_eq!((anonymous.is_hit(), anonymous.text()), (true, "hello "));
        // A stale page of a visitor is not refreshed in the background, where there is no session. A purge applies to
        // all.
        world.clock.advance_secs(70);
        let cached = [("cookie", anna.as_str()), ("cache-control", "only-if-cached")];
        assert_eq!(instances[0].get_with("https://h/s/page", &cached).await.status, 504);
        assert_eq!(as_visitor(&instances[0], &anna).await.forwarded(), "stale");
        assert_eq!(as_visitor(&instances[1], &again).await.text(), "hello anna");
        instances[0].purge_url("https://h/s/page").await;
        assert!(!as_visitor(&instances[1], &anna).await.is_hit());
    });
}

#[test]
fn pages_of_a_session_are_stored_for_that_session_and_changes_of_it_are_not() {
    on_redis(async |world| {
        let instance = with_visitors(world, "session");
        let (one, other) = (world.visitor(&instance).await, world.visitor(&instance).await);
        greets(world);
        assert!(as_visitor(&instance, &one).await.is_stored());
        assert!(as_visitor(&instance, &one).await.is_hit());
        assert!(!as_visitor(&instance, &other).await.is_hit());
        world.origin_says(&[("merge", &encoded(r#"{"b":1}"#))]);
        let changed = instance.get_with(S, &[("cookie", &one)]).await;
        assert!(!changed.is_stored(), "{changed:?}");
    });
}

#[test]
fn more_visitors_than_max_variants_have_a_page_each() {
    on_redis(async |world| {
        let config = "[cache]\nmax_variants = 2\n[[route]]\npath = \"/s*\"\nsession = true\ncache.key.visitor = \"user\"\n";
        let instance = world.instance_given(&[("session_keys", KEY)], config);
        let mut cookies = Vec::new();
        for number in 0..5 {
            cookies.push(world.logged_in(&instance, &format!("user{number}")).await);
        }
        greets(world);
        for hit in [false, true] {
            for (number, cookie) in cookies.iter().enumerate() {
                let got = as_visitor(&instance, cookie).await;
                assert_eq!((got.is_hit(), got.text()), (hit, format!("hello user{number}").as_str()));
            }
        }
    });
}
