//! Responses to QUERY and POST, and `No-Vary-Search`: the aspects that depend on Redis, on time and on order.

use crate::support::exchange::{Got, get, request};
use crate::support::origin::{reply, streamed};
use crate::support::{Instance, on_redis};
use bytes::Bytes;
use futures_util::future::join;
use http::Request;
use spindrift::body::{Body, BodyError};

const A: &str = "http://h/a";

fn post() -> Request<Body> {
    request("POST", A, &[], Body::from("x".to_owned()))
}

async fn query(instance: &Instance, content: &str) -> Got {
    let content = Body::from(content.to_owned());
    instance.send(request("QUERY", A, &[("content-type", "text/plain")], content)).await
}

#[test]
fn a_query_is_one_round_trip_and_there_may_be_any_number_of_them() {
    on_redis(async |world| {
        let instance = world.instance_with("[cache]\nmax_variants = 2\n");
        world.origin.answers(|seen| Ok(reply(200, &[("cache-control", "max-age=60")], seen.body.clone())));
        for number in 0..20 {
            assert!(query(&instance, &number.to_string()).await.is_stored());
        }
        let index: String = world.ask(&["EVAL", INDEX, "0"]).await;
        for number in 0..20 {
            instance.env.wire().take_commands();
            let hit = query(&instance, &number.to_string()).await;
            assert!(hit.is_hit() && hit.text() == number.to_string());
            assert_eq!(instance.env.wire().take_commands(), ["MGET"]);
        }
        assert!(index.len() < 64, "the index names no contents: {index}");
    });
}

#[test]
fn an_answer_to_a_query_whose_content_is_damaged_goes() {
    on_redis(async |world| {
        let instance = world.instance();
        world.origin.answers(|_| Ok(reply(200, &[("cache-control", "max-age=60")], vec![b'x'; 300_000])));
        assert!(query(&instance, "q").await.is_stored());
        world.tell(&["SET", &world.chunks().await[0], "damaged", "KEEPTTL"]).await;
        let got = query(&instance, "q").await;
        assert!(got.text().len() == 300_000 && got.is_stored(), "{got:?}", got = got.headers);
        assert!(query(&instance, "q").await.is_hit());
    });
}

/// The only index in Redis.
const INDEX: &str = "for _, key in ipairs(redis.call('KEYS', '*}')) do
  local value = redis.call('TYPE', key).ok == 'string' and redis.call('GET', key)
  if value and string.sub(value, 1, 1) == 'V' then return value end
end";

#[test]
fn many_who_ask_the_same_query_at_once_cause_one_fetch_and_others_do_not_wait_for_it() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        world.origin.answers(|seen| Ok(reply(200, &[("cache-control", "max-age=60")], seen.body.clone())));
        world.origin.hold();
        let asking = join(join(query(&one, "a"), query(&other, "a")), query(&one, "b"));
        let released = async {
            world.origin.asked(2).await;
            world.origin.release();
        };
        let (((first, second), third), ()) = join(asking, released).await;
        assert_eq!((first.text(), second.text(), third.text()), ("a", "a", "b"));
        assert_eq!(world.origin.count(), 2);
    });
}

/// The origin's answers to POST, and to everything else.
fn posted(world: &crate::support::World) {
    world.origin.answers(|seen| {
        let fields = [("cache-control", "max-age=60"), ("content-location", "/a")];
        Ok(reply(200, &fields, if seen.method == "POST" { "posted" } else { "got" }))
    });
}

const STORE_POST: &str = "[cache]\nstore_post = true\n";

#[test]
fn a_post_invalidates_also_where_its_response_breaks_off() {
    on_redis(async |world| {
        for config in [STORE_POST, ""] {
            let instance = world.instance_with(config);
            world.origin.answers(|seen| {
                let fields = [("cache-control", "max-age=60"), ("content-location", "/a")];
                let broken = vec![Ok(Bytes::from_static(b"po")), Err(BodyError("reset".to_owned()))];
                Ok(if seen.method == "POST" {
                    streamed(200, &fields, broken)
                } else {
                    reply(200, &fields, "got")
                })
            });
            instance.get(A).await;
            assert!(instance.get(A).await.is_hit());
            instance.send(post()).await;
            assert!(!instance.get(A).await.is_hit(), "{config}");
            instance.purge_url(A).await;
        }
    });
}

#[test]
fn what_a_post_brought_is_not_stored_when_it_was_purged_meanwhile() {
    on_redis(async |world| {
        for by_tag in [false, true] {
            let (instance, other) = (world.instance_with(STORE_POST), world.instance());
            world.origin.answers(|_| {
                let fields =
                    [("cache-control", "max-age=60"), ("content-location", "/a"), ("cache-tag", "t")];
                Ok(reply(200, &fields, "posted"))
            });
            world.origin.hold();
            let asked = world.origin.count();
            let purged = async {
                world.origin.asked(asked + 1).await;
                if by_tag {
                    other.purge_tag("t").await;
                } else {
                    other.purge_url(A).await;
                }
                world.origin.release();
            };
            let (answer, ()) = join(instance.send(post()), purged).await;
            assert_eq!(answer.text(), "posted");
            assert!(!instance.get(A).await.is_hit(), "by tag: {by_tag}");
            other.purge_url(A).await;
        }
    });
}

#[test]
fn what_a_post_brought_stays_where_it_purges_its_path_for_every_query() {
    on_redis(async |world| {
        let instance = world.instance_with("[cache]\nstore_post = true\nno_vary_search = true\n");
        let fields = &[
            ("cache-control", "max-age=60"),
            ("content-location", "/a"),
            ("no-vary-search", "params=(\"u\")"),
        ];
        world.origin.gives(200, fields, "before");
        instance.get("http://h/a?u=1").await;
        instance.get("http://h/a?u=2").await;
        world.origin.gives(200, fields, "posted");
        let posted = instance.send(request("POST", "http://h/a", &[], Body::Empty)).await;
        assert!(posted.is_stored(), "{posted:?}");
        for url in ["http://h/a", "http://h/a?u=3"] {
            let got = instance.get(url).await;
            assert_eq!((got.is_hit(), got.text()), (true, "posted"), "{url}");
        }
    });
}

#[test]
fn what_was_fetched_before_a_post_does_not_replace_what_it_brought() {
    on_redis(async |world| {
        let (instance, other) = (world.instance_with(STORE_POST), world.instance());
        posted(world);
        world.origin.hold_all_but("POST");
        let writing = async {
            world.origin.asked(1).await;
            assert!(instance.send(post()).await.is_stored());
            world.origin.release();
        };
        let (got, ()) = join(other.send(get(A, &[])), writing).await;
        assert_eq!(got.text(), "got");
        let hit = instance.get(A).await;
        assert!(hit.is_hit() && hit.text() == "posted", "{hit:?}");
    });
}

#[test]
fn a_post_is_answered_and_invalidates_while_nothing_can_be_stored() {
    on_redis(async |world| {
        let instance = world.instance_with(STORE_POST);
        posted(world);
        assert!(instance.get(A).await.is_stored());
        world.tell(&["CONFIG", "SET", "maxmemory", "1"]).await;
        let answer = instance.send(post()).await;
        assert_eq!((answer.status, answer.text()), (200, "posted"));
        world.tell(&["CONFIG", "SET", "maxmemory", "0"]).await;
        let next = instance.get(A).await;
        assert!(!next.is_hit() && next.text() == "got", "{next:?}");
    });
}

const FOLLOW: &str = "[cache]\nno_vary_search = true\n";

#[test]
fn what_of_a_query_makes_no_difference_is_remembered_so_that_a_hit_is_one_round_trip() {
    on_redis(async |world| {
        let (one, other) = (world.instance_with(FOLLOW), world.instance_with(FOLLOW));
        world.origin.gives(200, &[("cache-control", "max-age=60"), ("no-vary-search", "params")], "hello");
        assert!(one.get(A).await.is_stored());
        let mut commands = Vec::new();
        for (instance, number) in [(&one, 1), (&one, 2), (&other, 3), (&other, 4)] {
            instance.env.wire().take_commands();
            assert!(instance.get(&format!("{A}?x={number}")).await.is_hit());
            commands.push(instance.env.wire().take_commands().join(" "));
        }
        assert_eq!(commands, ["MGET", "MGET", "GET MGET", "MGET"]);
    });
}

#[test]
fn an_instance_that_knew_nothing_of_a_path_looks_again_after_a_while() {
    on_redis(async |world| {
        let (one, other) = (world.instance_with(FOLLOW), world.instance_with(FOLLOW));
        world.origin.gives(404, &[], "");
        other.get(&format!("{A}?x")).await;
        world.origin.gives(200, &[("cache-control", "max-age=60"), ("no-vary-search", "params")], "hello");
        assert!(one.get(A).await.is_stored());
        world.origin.gives(404, &[], "");
        assert!(!other.get(&format!("{A}?y")).await.is_hit());
        world.clock.advance_secs(5);
        assert!(other.get(&format!("{A}?y")).await.is_hit());
    });
}

#[test]
fn what_is_stored_under_a_declaration_that_was_lost_is_purged_all_the_same() {
    on_redis(async |world| {
        let instance = world.instance_with(FOLLOW);
        world.origin.gives(200, &[("cache-control", "max-age=60"), ("no-vary-search", "params")], "hello");
        assert!(instance.get(A).await.is_stored());
        for key in world.keys().await.iter().filter(|key| key.ends_with(":n")) {
            world.tell(&["DEL", key]).await;
        }
        let other = world.instance_with(FOLLOW);
        other.purge_url(&format!("{A}?x")).await;
        assert!(!instance.get(&format!("{A}?x")).await.is_hit());
    });
}

#[test]
fn requests_under_way_are_shared_only_where_the_response_says_so() {
    on_redis(async |world| {
        let instance = world.instance_with(FOLLOW);
        world.origin.gives(
            200,
            &[("cache-control", "max-age=60"), ("no-vary-search", "params=(\"u\")")],
            "first",
        );
        assert!(instance.get(A).await.is_stored());
        world.clock.advance_secs(61);
        // Both requests are looked up as /a. The new response shows that the second one is different.
        world.origin.answers(|seen| {
            let fields = [("cache-control", "max-age=60"), ("no-vary-search", "params=(\"v\")")];
            Ok(reply(200, &fields, seen.uri.to_string()))
        });
        world.origin.hold();
        let asked = world.origin.count();
        let released = async {
            world.origin.asked(asked + 1).await;
            world.origin.release();
        };
        let both =
            join(instance.send(get(&format!("{A}?u=1"), &[])), instance.send(get(&format!("{A}?u=2"), &[])));
        let ((first, second), ()) = join(both, released).await;
        assert!(first.text().ends_with("u=1") && second.text().ends_with("u=2"), "{first:?} {second:?}");
    });
}
