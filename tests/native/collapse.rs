//! One fetch for many requests: on one instance and on several, and what ends a fetch that others wait for.

use crate::support::exchange::{Got, get};
use crate::support::origin::{reply, streamed, with_body};
use crate::support::proxy::{Mode, Proxy};
use crate::support::{Instance, World, on_redis};
use bytes::Bytes;
use futures_util::future::join_all;
use spindrift::body::{Body, BodyError};
use spindrift::env::UpstreamError;
use std::cell::Cell;
use std::time::Duration;

const A: &str = "http://h/a";

/// The pause of a request that waits for another's fetch, before it looks for the first time.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// The number of instances.
fn instances(world: &World, count: usize, file: &str) -> Vec<Instance> {
    (0..count).map(|_| world.instance_with(file)).collect()
}

/// Sends this many requests to each instance at the same time.
async fn crowd(instances: &[Instance], each: usize, fields: &[(&str, &str)]) -> Vec<Got> {
    join_all(instances.iter().flat_map(|it| (0..each).map(move |_| it.get_with(A, fields)))).await
}

/// Lets the origin answer as soon as this many requests wait for another request's fetch.
async fn release_when_waiting(world: &World, instances: &[Instance], requests: usize) {
    let waiting = || instances.iter().map(|it| it.shared().flights.waiting()).sum::<usize>();
    while waiting() < requests {
        tokio::task::yield_now().await;
    }
    world.origin.release();
}

#[test]
fn a_cold_key_is_fetched_once_whoever_asks() {
    on_redis(async |world| {
        let instances = instances(world, 4, "");
        world.origin.hold();
        let (all, ()) =
            tokio::join!(crowd(&instances, 250, &[]), release_when_waiting(world, &instances, 999));
        assert_eq!(all.len(), 1000);
        assert!(all.iter().all(|got| got.status == 200 && got.text() == "hello"));
        assert_eq!(world.origin.count(), 1);
        let spared = |got: &&Got| got.header("cache-status").contains("; collapsed");
        let stored = all.iter().filter(|got| got.is_stored()).count();
        assert_eq!((all.iter().filter(spared).count(), stored), (999, 1));
    });
}

#[test]
fn who_comes_just_after_the_fetch_does_not_fetch_again() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        // The other instance has looked the response up, but has not begun to fetch when the first has finished.
        other.env.wire().hold("EVALSHA");
        let late = async {
            let got = other.get(A).await;
            assert_eq!(got.text(), "hello");
        };
        let first = async {
            other.env.wire().held("EVALSHA").await;
            assert!(one.get(A).await.is_stored());
            other.env.wire().release();
        };
        tokio::join!(late, first);
        assert_eq!(world.origin.count(), 1);
    });
}

#[test]
fn each_variant_is_fetched_once() {
    on_redis(async |world| {
        world.origin.answers(|seen| {
            let fields = [("cache-control", "max-age=60"), ("vary", "accept-language")];
            Ok(reply(200, &fields, seen.header("accept-language").to_owned()))
        });
        let instances = instances(world, 2, "");
        let languages =
            [[("accept-language", "de")], [("accept-language", "en")], [("accept-language", "fr")]];
        let crowds = languages.iter().map(|fields| crowd(&instances, 20, fields));
        let all = join_all(crowds).await;
        for (fields, got) in languages.iter().zip(&all) {
            assert!(got.iter().all(|got| got.text() == fields[0].1), "{fields:?}");
        }
        assert_eq!(world.origin.count(), 3);
    });
}

#[test]
fn a_dead_leader_is_replaced() {
    on_redis(async |world| {
        let (dead, alive) = (world.instance(), world.instance());
        world.origin.hold();
        let lead = async { dead.send_only(get(A, &[])).await };
        let follow = async {
            world.origin.asked(1).await;
            let waiting = async { alive.get(A).await };
            let kill = async {
                while alive.env.wire().count("EVALSHA") == 0 {
                    tokio::task::yield_now().await;
                }
                // The lease has expired, as it does when nobody renews it.
                for key in world.keys().await.iter().filter(|key| key.contains("}:f:")) {
                    world.tell(&["DEL", key]).await;
                }
                world.origin.asked(2).await;
                world.origin.release();
            };
            tokio::join!(waiting, kill).0
        };
        let (_, got) = tokio::join!(lead, follow);
        dead.env.settle().await;
        assert_eq!((got.text(), got.is_stored()), ("hello", true));
    });
}

#[test]
fn each_variant_is_fetched_once_although_the_first_who_leads_dies() {
    on_redis(async |world| {
        let (open, gate) = tokio::sync::watch::channel(0);
        let mut asked = 0;
        world.origin.answers(move |seen| {
            asked += 1;
            let fields = [("cache-control", "max-age=60"), ("vary", "accept-language")];
            let (language, mut gate) = (Bytes::from(seen.header("accept-language").to_owned()), gate.clone());
            let stage = if asked > 2 { 2 } else { asked - 1 };
            let body = futures_util::stream::once(async move {
                drop(gate.wait_for(|open| *open >= stage).await);
                Ok::<_, BodyError>(language)
            });
            Ok(with_body(200, &fields, Body::from_pieces(None, body)))
        });
        let (dead, alive) = (world.instance(), instances(world, 2, ""));
        world.origin.hold_those_with("x-slow");
        let mut lead = Box::pin(dead.send_only(get(A, &[("accept-language", "de"), ("x-slow", "1")])));
        tokio::select! {
            _ = &mut lead => unreachable!("the origin holds it"),
            () = world.origin.asked(1) => {}
        }
        let languages =
            [[("accept-language", "de")], [("accept-language", "en")], [("accept-language", "fr")]];
        let crowds = join_all(languages.iter().map(|fields| crowd(&alive, 5, fields)));
        let waiting = || alive.iter().map(|it| it.shared().flights.waiting()).sum::<usize>();
        let kill = async {
            while waiting() < 30 {
                tokio::task::yield_now().await;
            }
            // The lease has expired, as it does when nobody renews it.
            for key in world.keys().await.iter().filter(|key| key.contains("}:f:")) {
                world.tell(&["DEL", key]).await;
            }
            world.origin.asked(2).await;
            while waiting() < 29 && world.origin.count() == 2 {
                tokio::task::yield_now().await;
            }
            open.send(1).unwrap();
            world.origin.asked(4).await;
            while waiting() < 18 && world.origin.count() == 4 {
                tokio::task::yield_now().await;
            }
            open.send(2).unwrap();
        };
        let (all, ()) = tokio::join!(crowds, kill);
        for (fields, got) in languages.iter().zip(&all) {
            assert!(got.iter().all(|got| got.text() == fields[0].1), "{fields:?}");
        }
        assert_eq!(world.origin.count(), 1 + 3);
    });
}

#[test]
fn a_stalled_leader_is_replaced_after_the_configured_time() {
    on_redis(async |world| {
        let file = "[cache]\ncollapse = \"50ms\"\n";
        let instances = instances(world, 2, file);
        world.origin.hold();
        let stalled = async { instances[0].send_only(get(A, &[])).await };
        let follow = async {
            world.origin.asked(1).await;
            // The clocks advance whenever the request pauses.
            let clock = async {
                while world.origin.count() < 2 {
                    if instances[1].env.waits_for(FIRST_PAUSE) {
                        world.clock.advance(Duration::from_millis(50));
                        instances[1].env.expire_waits_of(FIRST_PAUSE);
                    }
                    tokio::task::yield_now().await;
                }
                world.origin.release();
            };
            tokio::join!(instances[1].get(A), clock).0
        };
        let (_, got) = tokio::join!(stalled, follow);
        instances[0].env.settle().await;
        assert_eq!(got.text(), "hello");
        assert_eq!(world.origin.count(), 2);
    });
}

#[test]
fn who_waited_in_vain_looks_again_before_asking() {
    on_redis(async |world| {
        let instances = instances(world, 3, "[cache]\ncollapse = \"50ms\"\n");
        let (open, mut gates): (Vec<_>, Vec<_>) =
            (0..2).map(|_| tokio::sync::oneshot::channel::<()>()).unzip();
        gates.reverse();
        world.origin.answers(move |_| {
            let gate = gates.pop();
            let body = futures_util::stream::once(async move {
                if let Some(gate) = gate {
                    let _ = gate.await;
                }
                Ok::<_, BodyError>(Bytes::from_static(b"hello"))
            });
            Ok(with_body(200, &[("cache-control", "max-age=60")], Body::from_pieces(None, body)))
        });
        let first = Cell::new(false);
        let slow = async {
            instances[0].get(A).await;
            first.set(true);
        };
        let others = async {
            world.origin.asked(1).await;
            crowd(&instances[1..], 1, &[]).await
        };
        let waiting = || instances.iter().map(|it| it.shared().flights.waiting()).sum::<usize>();
        let time = async {
            while waiting() < 2 {
                tokio::task::yield_now().await;
            }
            let lead = world.keys().await.into_iter().find(|key| key.contains("}:f:")).unwrap();
            let text: String = world.ask(&["GET", &lead]).await;
            let since = (text.len() - 13).to_string();
            world.tell(&["SETRANGE", &lead, &since, "0000000000000"]).await;
            world.clock.advance(Duration::from_millis(50));
            world.origin.asked(2).await;
            while waiting() != 1 {
                tokio::task::yield_now().await;
            }
            let [one, other] = open.try_into().unwrap();
            one.send(()).unwrap();
            while !first.get() {
                tokio::task::yield_now().await;
            }
            world.clock.advance(Duration::from_millis(50));
            while waiting() > 0 {
                tokio::task::yield_now().await;
            }
            other.send(()).unwrap();
        };
        let ((), all, ()) = tokio::join!(slow, others, time);
        assert!(all.iter().all(|got| got.text() == "hello"));
        assert_eq!(world.origin.count(), 2, "what was stored meanwhile answers");
    });
}

#[test]
fn nobody_waits_for_what_could_not_be_stored() {
    on_redis(async |world| {
        let instances = instances(world, 2, "");
        world.origin.gives(200, &[("cache-control", "private, max-age=60")], "mine");
        let first = crowd(&instances, 10, &[]).await;
        assert!(first.iter().all(|got| got.text() == "mine" && !got.is_hit()));
        assert_eq!(world.origin.count(), 20);
        // It is known now that the response cannot be stored: all requests go to the origin at once, although it has
        // answered none of them yet.
        world.origin.hold();
        let (second, ()) = tokio::join!(crowd(&instances, 10, &[]), async {
            world.origin.asked(40).await;
            world.origin.release();
        });
        assert!(second.iter().all(|got| got.text() == "mine" && got.detail() == "private"));
    });
}

#[test]
fn nobody_follows_what_was_too_large_the_last_time() {
    on_redis(async |world| {
        let instances = instances(world, 2, "[cache]\nmax_object_size = \"300KiB\"\n");
        world.origin.answers(|_| {
            let pieces = vec![Ok(Bytes::from(vec![b'a'; 200_000])); 3];
            Ok(streamed(200, &[("cache-control", "max-age=60")], pieces))
        });
        let whole = |got: &Got| got.body.as_ref().is_ok_and(|body| body.len() == 600_000);
        assert!(whole(&instances[0].get(A).await));
        assert!(world.keys().await.iter().any(|key| key.contains("}:m:")), "that is remembered");
        assert!(crowd(&instances, 5, &[]).await.iter().all(whole));
    });
}

#[test]
fn a_hit_for_miss_ends_by_itself_and_what_can_be_stored_then_is() {
    on_redis(async |world| {
        let instance = world.instance_with("[cache]\nhit_for_miss = \"7s\"\n");
        world.origin.gives(200, &[("cache-control", "no-store")], "hello");
        instance.get(A).await;
        let marker = world.keys().await.into_iter().find(|key| key.contains("}:m:")).unwrap();
        let ttl: i64 = world.ask(&["PTTL", &marker]).await;
        assert!((6_000..=7_000).contains(&ttl), "{ttl}");
        world.origin.gives(200, &[("cache-control", "max-age=60")], "hello");
        assert!(instance.get(A).await.is_stored(), "although nobody would have waited for it");
        assert!(instance.get(A).await.is_hit());
    });
}

#[test]
fn what_one_request_forbids_does_not_mark_the_url() {
    on_redis(async |world| {
        let instance = world.instance();
        instance.get_with(A, &[("authorization", "Bearer x")]).await;
        instance.get_with(A, &[("cache-control", "no-store")]).await;
        assert!(!world.keys().await.iter().any(|key| key.contains("}:m:")));
    });
}

/// What a client is told, except whether it waited for another request.
fn told(got: &Got) -> (u16, &str, String) {
    (got.status, got.text(), got.header("cache-status").replace("; collapsed", ""))
}

#[test]
fn a_failing_origin_is_asked_once_and_all_who_wait_are_told_the_same() {
    on_redis(async |world| {
        let gateways = instances(world, 2, "");
        let middlewares: Vec<Instance> = (0..2).map(|_| world.middleware("")).collect();
        for (instances, error, status) in [
            (&gateways, UpstreamError::Unreachable("refused".to_owned()), 502),
            (&gateways, UpstreamError::TimedOut("slow".to_owned()), 504),
            (&gateways, UpstreamError::Denied("not allowed".to_owned()), 502),
            (&gateways, UpstreamError::Invalid("no head".to_owned()), 502),
            (&middlewares, UpstreamError::Failed("trap".to_owned()), 500),
        ] {
            let asked = world.origin.count();
            world.tell(&["FLUSHALL"]).await;
            let text = error.to_string();
            world.origin.answers(move |_| Err(error.clone()));
            world.origin.hold();
            let (all, ()) =
                tokio::join!(crowd(instances, 20, &[]), release_when_waiting(world, instances, 39));
            assert_eq!(told(&all[0]).0, status, "{text}");
            for got in &all {
                assert_eq!(told(got), told(&all[0]), "{text}");
            }
            assert_eq!(world.origin.count() - asked, 1);
        }
    });
}

#[test]
fn a_stale_response_covers_an_error_for_all_who_wait_in_the_same_way() {
    on_redis(async |world| {
        for status in [500, 502, 503, 504] {
            world.tell(&["FLUSHALL"]).await;
            let instances = instances(world, 2, "");
            world.origin.gives(200, &[("cache-control", "max-age=60, stale-if-error=600")], "hello");
            instances[0].get(A).await;
            world.clock.advance_secs(61);
            world.origin.gives(status, &[], "busy");
            world.origin.hold();
            let (all, ()) =
                tokio::join!(crowd(&instances, 5, &[]), release_when_waiting(world, &instances, 9));
            for got in &all {
                assert_eq!((got.text(), got.detail()), ("hello", "stale-if-error"), "{status}");
                assert_eq!(told(got), told(&all[0]), "{status}");
            }
        }
    });
}

#[test]
fn who_has_no_stale_response_gets_the_status_code_of_the_origin() {
    on_redis(async |world| {
        let instances = instances(world, 2, "");
        world.origin.gives(200, &[("cache-control", "max-age=60, stale-if-error=600")], "hello");
        instances[0].get(A).await;
        // The key of the resource is the only one that is a hash tag with an id in it.
        let stored = world.keys().await.into_iter().find(|key| key.ends_with('}') && key.len() > 30).unwrap();
        world.clock.advance_secs(61);
        world.origin.gives(503, &[], "busy");
        world.origin.hold();
        let evicted = async {
            world.origin.asked(2).await;
            world.tell(&["DEL", &stored]).await;
            instances[1].get(A).await
        };
        let (leader, follower, ()) =
            tokio::join!(instances[0].get(A), evicted, release_when_waiting(world, &instances[1..], 1));
        assert_eq!((leader.text(), leader.detail()), ("hello", "stale-if-error"));
        assert_eq!((follower.status, follower.parameter("fwd-status")), (503, "503"));
        assert!(follower.text().contains("the origin answered with an error"), "{}", follower.text());
    });
}

#[test]
fn nobody_gets_a_stale_response_because_another_accepts_one() {
    on_redis(async |world| {
        let instances = instances(world, 2, "");
        instances[0].get(A).await;
        world.clock.advance_secs(61);
        world.origin.hold();
        world.origin.gives(503, &[], "busy");
        let accepts = [("cache-control", "stale-if-error=600")];
        let other = async {
            world.origin.asked(2).await;
            instances[1].get(A).await
        };
        let (first, other, ()) = tokio::join!(
            instances[0].get_with(A, &accepts),
            other,
            release_when_waiting(world, &instances[1..], 1)
        );
        assert_eq!((first.text(), first.detail()), ("hello", "stale-if-error"));
        assert_eq!((other.status, other.text()), (503, "busy"));
    });
}

#[test]
fn who_leads_does_not_wait_for_itself_when_a_reply_was_lost() {
    on_redis(async |world| {
        let proxy = Proxy::start(world.server.port()).await;
        let instance = world.instance_at(&proxy.url(), "");
        instance.get("http://h/other").await;
        let wire = instance.env.wire();
        wire.take_commands();
        wire.hold("EVALSHA");
        let loss = async {
            wire.held("EVALSHA").await;
            proxy.set(Mode::LoseReply);
            wire.release();
        };
        let (got, ()) = tokio::join!(instance.get(A), loss);
        assert!(got.is_stored());
        assert_eq!(wire.count("MGET"), 1, "it looks once: {:?}", wire.take_commands());
    });
}

#[test]
fn a_request_that_cannot_be_sent_fails_alone() {
    on_redis(async |world| {
        let instances = instances(world, 2, "");
        world.origin.answers(|seen| match seen.header("x-large") {
            "" => Ok(reply(200, &[("cache-control", "max-age=60")], "page")),
            _ => Err(UpstreamError::TooLarge("by far".to_owned())),
        });
        world.origin.hold();
        let large = instances[0].send(get(A, &[("x-large", "x")]));
        let others = async {
            world.origin.asked(1).await;
            let release = release_when_waiting(world, &instances[1..], 5);
            tokio::join!(crowd(&instances[1..], 5, &[]), release).0
        };
        let (large, others) = tokio::join!(large, others);
        assert_eq!(large.status, 431);
        assert!(others.iter().all(|got| got.status == 200 && got.text() == "page"));
    });
}

#[test]
fn a_request_with_authorization_never_waits() {
    on_redis(async |world| {
        let instance = world.instance();
        world.origin.hold();
        let private = async {
            world.origin.asked(1).await;
            instance.send_only(get(A, &[("authorization", "Bearer x")])).await
        };
        let release = async {
            world.origin.asked(2).await;
            world.origin.release();
        };
        let (_, got, ()) = tokio::join!(instance.send_only(get(A, &[])), private, release);
        assert_eq!(got.detail(), "authorization");
        instance.env.settle().await;
    });
}

#[test]
fn those_who_insist_share_one_validation() {
    on_redis(async |world| {
        let instances = instances(world, 2, "");
        instances[0].get(A).await;
        world.clock.advance_secs(3);
        world.origin.hold();
        let insist = [("cache-control", "no-cache")];
        // The new response is newer than the requests that wait for it.
        world.origin.answers({
            let clock = world.clock.clone();
            move |_| {
                clock.advance_secs(1);
                Ok(reply(200, &[("cache-control", "max-age=60")], "new"))
            }
        });
        let (all, ()) =
            tokio::join!(crowd(&instances, 20, &insist), release_when_waiting(world, &instances, 39));
        assert!(all.iter().all(|got| got.text() == "new"));
        assert_eq!(world.origin.count(), 2);
    });
}

#[test]
fn a_purge_while_others_wait_is_not_undone() {
    on_redis(async |world| {
        let instances = instances(world, 3, "");
        world.origin.gives(200, &[("cache-control", "max-age=60"), ("cache-tag", "t")], "old");
        for purge in [true, false] {
            world.tell(&["FLUSHALL"]).await;
            world.origin.gives(200, &[("cache-control", "max-age=60"), ("cache-tag", "t")], "old");
            let asked = world.origin.count();
            world.origin.hold();
            let before = async { instances[0].get(A).await };
            let after = async {
                world.origin.asked(asked + 1).await;
                if purge {
                    instances[2].purge_url(A).await;
                } else {
                    instances[2].purge_tag("t").await;
                }
                world.origin.gives(200, &[("cache-control", "max-age=60"), ("cache-tag", "t")], "new");
                let turns = instances[1].env.wire().count("EVALSHA");
                let release = async {
                    while instances[1].env.wire().count("EVALSHA") == turns {
                        tokio::task::yield_now().await;
                    }
                    world.origin.release();
                };
                tokio::join!(instances[1].get(A), release).0
            };
            let (_, got) = tokio::join!(before, after);
            assert_eq!(got.text(), "new", "by url: {purge}");
            assert_eq!(instances[2].get(A).await.text(), "new", "by url: {purge}");
        }
    });
}

/// A body whose second half is sent only after `gate` is opened.
fn halves(
    gate: tokio::sync::oneshot::Receiver<()>,
) -> impl futures_util::Stream<Item = Result<Bytes, BodyError>> {
    let first = futures_util::stream::iter([Ok(Bytes::from(vec![b'a'; 300_000]))]);
    let second = futures_util::stream::once(async move {
        let _ = gate.await;
        Ok(Bytes::from(vec![b'b'; 300_000]))
    });
    futures_util::StreamExt::chain(first, second)
}

#[test]
fn a_large_body_reaches_those_who_wait_while_it_comes() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let (open, gate) = tokio::sync::oneshot::channel();
        let mut gate = Some(gate);
        world.origin.answers(move |_| {
            let body = Body::from_pieces(None, halves(gate.take().unwrap()));
            Ok(http::Response::builder().header("cache-control", "max-age=60").body(body).unwrap())
        });
        let lead = async { one.send(get(A, &[])).await };
        let follow = async {
            world.origin.asked(1).await;
            let response = spindrift::pipeline::serve(&other.app, get(A, &[])).await;
            let (head, mut body) = response.into_parts();
            let first = body.chunk().await.unwrap().unwrap();
            assert!(first.iter().all(|byte| *byte == b'a'), "a piece, before the rest has come");
            open.send(()).unwrap();
            let rest = body.collect(usize::MAX).await.unwrap();
            (head, first.len() + rest.len())
        };
        let (led, (head, length)) = tokio::join!(lead, follow);
        assert_eq!((led.body.unwrap().len(), length), (600_000, 600_000));
        assert!(head.headers["cache-status"].to_str().unwrap().contains("; collapsed"));
        assert_eq!(world.origin.count(), 1);
        assert!(other.get(A).await.is_hit());
    });
}

#[test]
fn each_variant_of_a_large_body_is_fetched_once_while_the_first_comes() {
    on_redis(async |world| {
        let (open, gate) = tokio::sync::watch::channel(false);
        world.origin.answers(move |seen| {
            let language = seen.header("accept-language").as_bytes()[0];
            let mut gate = gate.clone();
            let first = futures_util::stream::iter([Ok(Bytes::from(vec![language; 300_000]))]);
            let second = futures_util::stream::once(async move {
                drop(gate.wait_for(|open| *open).await);
                Ok(Bytes::from(vec![language; 300_000]))
            });
            let fields = [("cache-control", "max-age=60"), ("vary", "accept-language")];
            let pieces = futures_util::StreamExt::chain(first, second);
            Ok(with_body(200, &fields, Body::from_pieces(None, pieces)))
        });
        let instances = instances(world, 2, "");
        let waiting = || instances.iter().map(|it| it.shared().flights.waiting()).sum::<usize>();
        world.origin.hold();
        let languages =
            [[("accept-language", "de")], [("accept-language", "en")], [("accept-language", "fr")]];
        let crowds = join_all(languages.iter().map(|fields| crowd(&instances, 5, fields)));
        let control = async {
            while waiting() < 29 {
                tokio::task::yield_now().await;
            }
            world.origin.release();
            world.origin.asked(3).await;
            while waiting() > 0 {
                tokio::task::yield_now().await;
            }
            open.send(true).unwrap();
        };
        let (all, ()) = tokio::join!(crowds, control);
        for (fields, got) in languages.iter().zip(&all) {
            let whole = vec![fields[0].1.as_bytes()[0]; 600_000];
            assert!(got.iter().all(|got| got.body.as_ref().unwrap() == &whole), "{fields:?}");
        }
        assert_eq!(world.origin.count(), 3);
    });
}

#[test]
fn a_body_that_breaks_breaks_for_all_who_follow_it() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let (open, gate) = tokio::sync::oneshot::channel::<()>();
        let mut gate = Some(gate);
        world.origin.answers(move |_| {
            let (gate, first) = (gate.take().unwrap(), Bytes::from(vec![b'a'; 300_000]));
            let broken = futures_util::stream::once(async move {
                let _ = gate.await;
                Err(BodyError("reset".to_owned()))
            });
            let pieces = futures_util::StreamExt::chain(futures_util::stream::iter([Ok(first)]), broken);
            let body = Body::from_pieces(None, pieces);
            Ok(http::Response::builder().header("cache-control", "max-age=60").body(body).unwrap())
        });
        let lead = async { one.send(get(A, &[])).await };
        let follow = async {
            world.origin.asked(1).await;
            let mut response = spindrift::pipeline::serve(&other.app, get(A, &[])).await;
            assert!(response.body_mut().chunk().await.unwrap().is_ok());
            open.send(()).unwrap();
            response.into_body().collect(usize::MAX).await
        };
        let (led, followed) = tokio::join!(lead, follow);
        assert!(led.body.is_err() && followed.is_err());
        world.origin.answers(|_| Ok(streamed(200, &[("cache-control", "max-age=60")], vec![])));
        assert!(!other.get(A).await.is_hit());
    });
}

#[test]
fn without_collapsing_everybody_fetches() {
    on_redis(async |world| {
        let instances = instances(world, 2, "[cache]\ncollapse = \"0s\"\n");
        world.origin.hold();
        let (all, ()) = tokio::join!(crowd(&instances, 5, &[]), async {
            world.origin.asked(10).await;
            world.origin.release();
        });
        assert!(all.iter().all(|got| got.text() == "hello"));
    });
}
