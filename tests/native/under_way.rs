//! Bodies that others follow while they are being received: which requests may, and what happens to them.

use crate::support::exchange::{Got, get};
use crate::support::origin::with_body;
use crate::support::ranged::{Representation, content};
use crate::support::{Instance, World, on_redis};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{iter, once};
use spindrift::body::{Body, BodyError};
use std::time::Duration;
use tokio::sync::oneshot::{Sender, channel};

const A: &str = "http://h/a";

/// How often a lease is renewed while nothing is received.
const RENEW_EVERY: Duration = Duration::from_secs(1);

/// How often it is checked whether a client still reads.
const LOOKS_EVERY: Duration = Duration::from_millis(500);

const FIELDS: [(&str, &str); 2] = [("cache-control", "max-age=60"), ("cache-tag", "t")];

/// The first response of the origin has these fields and `halves`, the second of them only after the gate is opened;
/// every further response is short.
fn in_halves(
    world: &World,
    fields: &'static [(&'static str, &'static str)],
    halves: [Bytes; 2],
) -> Sender<()> {
    let (open, gate) = channel();
    let [first, second] = halves;
    let mut body = Some(iter([Ok(first)]).chain(once(async move {
        let _ = gate.await;
        Ok::<_, BodyError>(second)
    })));
    world.origin.answers(move |_| {
        let body =
            body.take().map_or_else(|| Bytes::from_static(b"short").into(), |it| Body::from_pieces(None, it));
        Ok(with_body(200, fields, body))
    });
    open
}

fn halves() -> [Bytes; 2] {
    [vec![b'a'; 300_000].into(), vec![b'b'; 300_000].into()]
}

/// Returns the key of the fetch in progress, once there is one.
async fn lead(world: &World) -> String {
    loop {
        if let Some(key) = world.keys().await.into_iter().find(|key| key.contains("}:f:")) {
            return key;
        }
    }
}

/// Returns once others can follow the fetch.
async fn published(world: &World) {
    let key = lead(world).await;
    while !world.ask::<String>(&["GETRANGE", &key, "0", "0"]).await.starts_with('P') {}
}

/// `leader` requests A, and as soon as others can follow, `meanwhile` runs.
async fn while_under_way<T>(
    world: &World,
    leader: &Instance,
    meanwhile: impl Future<Output = T>,
) -> (Got, T) {
    let meanwhile = async {
        published(world).await;
        meanwhile.await
    };
    tokio::join!(async { leader.get(A).await }, meanwhile)
}

#[test]
fn a_lost_ledger_lets_nobody_follow_what_was_purged() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let open = in_halves(world, &FIELDS, halves());
        let after_the_purge = async {
            one.purge_tag("t").await;
            world.tell(&["DEL", "sd:{purge}"]).await;
            let response = spindrift::pipeline::serve(&other.app, get(A, &[])).await;
            open.send(()).unwrap();
            response.into_body().collect(usize::MAX).await.unwrap()
        };
        let (_, got) = while_under_way(world, &one, after_the_purge).await;
        assert_eq!(got.len(), 5, "what was begun before the purge is not for those who come after it");
    });
}

#[test]
fn who_insists_does_not_follow_what_had_come_before() {
    on_redis(async |world| {
        for insists in ["no-cache", "max-age=2", "min-fresh=59"] {
            world.tell(&["FLUSHALL"]).await;
            let (one, other) = (world.instance(), world.instance());
            let (asked, open) = (world.origin.count(), in_halves(world, &FIELDS, halves()));
            let later = async {
                world.clock.advance_secs(3);
                let fields = [("cache-control", insists)];
                let response = spindrift::pipeline::serve(&other.app, get(A, &fields)).await;
                open.send(()).unwrap();
                response.into_body().collect(usize::MAX).await.unwrap()
            };
            let (_, got) = while_under_way(world, &one, later).await;
            assert_eq!((got.len(), world.origin.count() - asked), (5, 2), "{insists}");
        }
    });
}

#[test]
fn who_reads_slowly_gets_the_end_though_the_fetch_is_forgotten() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let open = in_halves(world, &FIELDS, halves());
        let begin = async {
            let mut response = spindrift::pipeline::serve(&other.app, get(A, &[])).await;
            let first = response.body_mut().chunk().await.unwrap().unwrap();
            open.send(()).unwrap();
            (response, first.len())
        };
        let (_, (response, first)) = while_under_way(world, &one, begin).await;
        // As after two seconds.
        world.tell(&["DEL", &lead(world).await]).await;
        let rest = response.into_body().collect(usize::MAX).await.unwrap();
        assert_eq!(first + rest.len(), 600_000);
    });
}

#[test]
fn a_client_that_takes_nothing_holds_up_nobody_and_gets_the_rest_from_the_store() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let whole = content(1_000_000, 0);
        let pieces: Vec<_> =
            whole.chunks(100_000).map(Bytes::copy_from_slice).map(Ok::<_, BodyError>).collect();
        let mut body = Some(Body::from_pieces(None, iter(pieces)));
        world.origin.answers(move |_| Ok(with_body(200, &FIELDS, body.take().unwrap())));
        let mut leader = spindrift::pipeline::serve(&one.app, get(A, &[])).await;
        let mut had = Vec::new();
        while had.len() < 300_000 {
            had.extend(leader.body_mut().chunk().await.unwrap().unwrap());
        }
        let follower = async {
            spindrift::pipeline::serve(&other.app, get(A, &[])).await.into_body().collect(usize::MAX).await
        };
        let time = async {
            world.clock.advance_secs(2);
            one.env.expire_deadlines();
            one.env.settle().await;
        };
        let (followed, ()) = tokio::join!(follower, time);
        assert!(followed.unwrap() == whole, "all of it, although the leader stands still");
        had.extend(leader.into_body().collect(usize::MAX).await.unwrap());
        assert!(had == whole);
        assert_eq!(world.origin.count(), 1);
    });
}

#[test]
fn a_client_that_was_left_behind_gets_all_of_what_turns_out_to_be_too_large() {
    on_redis(async |world| {
        for size in [1000, 100_000, 262_144, 400_000] {
            world.tell(&["FLUSHALL"]).await;
            let instance = world.instance_with("[cache]\nmax_object_size = \"600KiB\"\n");
            let whole = content(1_000_000, 0);
            let first = whole.slice(..300_000);
            let rest = whole.slice(300_000..);
            let pieces: Vec<_> = std::iter::once(first)
                .chain(rest.chunks(size).map(Bytes::copy_from_slice))
                .map(Ok::<_, BodyError>)
                .collect();
            let mut body = Some(Body::from_pieces(None, iter(pieces)));
            world.origin.answers(move |_| Ok(with_body(200, &FIELDS, body.take().unwrap())));
            let mut leader = spindrift::pipeline::serve(&instance.app, get(A, &[])).await;
            let mut had = leader.body_mut().chunk().await.unwrap().unwrap().to_vec();
            while had.len() < 300_000 {
                had.extend(leader.body_mut().chunk().await.unwrap().unwrap());
            }
            world.clock.advance_secs(2);
            instance.env.expire_deadlines();
            instance.env.settle().await;
            assert!(instance.env.logged("not stored: http://h/a: too-large"));
            had.extend(leader.into_body().collect(usize::MAX).await.unwrap());
            assert!(had == whole, "in pieces of {size}");
        }
    });
}

#[test]
fn a_client_that_was_left_behind_gets_all_of_what_is_purged_meanwhile() {
    on_redis(async |world| {
        let (instance, other) = (world.instance(), world.instance());
        let open = in_halves(world, &FIELDS, halves());
        let mut leader = spindrift::pipeline::serve(&instance.app, get(A, &[])).await;
        let mut had = 0;
        while had < 300_000 {
            had += leader.body_mut().chunk().await.unwrap().unwrap().len();
        }
        while !instance.env.waits_for(LOOKS_EVERY) {
            tokio::task::yield_now().await;
        }
        world.clock.advance_secs(2);
        instance.env.expire_deadlines();
        // The tasks that are ready run before this one goes on: the client is left behind.
        tokio::task::yield_now().await;
        other.purge_url(A).await;
        let origin = async {
            // The client looks for the next piece, and finds that the fetch has lost its lead.
            instance.env.wire().take_commands();
            while instance.env.wire().count("MGET") < 2 {
                tokio::task::yield_now().await;
            }
            open.send(()).unwrap();
            std::future::pending::<()>().await;
        };
        let rest =
            tokio::select! { rest = leader.into_body().collect(usize::MAX) => rest, () = origin => return };
        assert_eq!(had + rest.unwrap().len(), 600_000);
        assert!(!instance.get(A).await.is_hit());
    });
}

#[test]
fn an_origin_that_pauses_in_its_body_keeps_the_lead() {
    on_redis(async |world| {
        let one = world.instance();
        let open = in_halves(world, &FIELDS, halves());
        let pause = async {
            let key = lead(world).await;
            world.tell(&["PEXPIRE", &key, "1000"]).await;
            let left = async || -> i64 { world.ask(&["PTTL", &key]).await };
            while left().await <= 1000 {
                one.env.expire_waits_of(RENEW_EVERY);
            }
            open.send(()).unwrap();
        };
        // The loop above ends because the fetch renews its lease.
        let (got, ()) = while_under_way(world, &one, pause).await;
        assert_eq!(got.body.unwrap().len(), 600_000);
    });
}

#[test]
fn a_wall_clock_that_is_set_back_does_not_end_the_lead() {
    on_redis(async |world| {
        let one = world.instance();
        let open = in_halves(world, &FIELDS, halves());
        let piece = async {
            let key = lead(world).await;
            world.tell(&["PEXPIRE", &key, "1000"]).await;
            world.clock.set_back(Duration::from_secs(3600));
            world.clock.advance_secs(2);
            one.env.wire().take_commands();
            open.send(()).unwrap();
        };
        let (got, ()) = while_under_way(world, &one, piece).await;
        assert!(got.is_stored());
        // One renewal, and one script that stores the response.
        assert_eq!(one.env.wire().count("EVALSHA"), 2);
    });
}

#[test]
fn what_others_follow_goes_on_from_the_origin_where_its_fetch_is_lost() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let whole = content(600_000, 0);
        let representation = Representation::of(world, whole.clone(), "\"1\"");
        let (open, gate) = channel::<()>();
        let mut gate = Some(gate);
        let (first, second) = (whole.slice(..300_000), whole.slice(300_000..));
        world.origin.answers(move |seen| {
            let Some(gate) = gate.take() else { return Ok(representation.answer(seen)) };
            let second = second.clone();
            let pieces = iter([Ok(first.clone())]).chain(once(async move {
                let _ = gate.await;
                Ok::<_, BodyError>(second)
            }));
            let fields = [("cache-control", "max-age=60"), ("etag", "\"1\""), ("content-length", "600000")];
            Ok(with_body(200, &fields, Body::from_pieces(Some(600_000), pieces)))
        });
        let follow = async {
            let mut response = spindrift::pipeline::serve(&other.app, get(A, &[])).await;
            let first = response.body_mut().chunk().await.unwrap().unwrap();
            one.purge_url(A).await;
            let rest = response.into_body().collect(usize::MAX).await;
            open.send(()).unwrap();
            rest.map(|rest| [first, rest].concat())
        };
        let (_, followed) = while_under_way(world, &one, follow).await;
        assert!(followed.unwrap() == whole);
    });
}

#[test]
fn what_others_follow_is_fetched_anew_where_it_is_lost_before_it_has_begun() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let open = in_halves(world, &FIELDS, halves());
        let follow = async {
            let [first] = &world.chunks().await[..] else { panic!("one piece was expected") };
            world.tell(&["DEL", first]).await;
            other.env.wire().take_commands();
            let end = async {
                other.env.wire().sent("GET").await;
                one.purge_url(A).await;
                open.send(()).unwrap();
            };
            tokio::join!(other.get(A), end).0
        };
        let (_, got) = while_under_way(world, &one, follow).await;
        assert_eq!((got.forwarded(), got.bytes().len()), ("uri-miss", 5), "nobody was sent its head yet");
        assert_eq!(world.origin.count(), 2);
    });
}

#[test]
fn nobody_waits_for_the_end_of_a_fetch_because_a_piece_was_evicted() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let open = in_halves(world, &FIELDS, [vec![b'a'; 600_000].into(), vec![b'b'; 1000].into()]);
        let follow = async {
            let first = loop {
                if let [first, _second] = &world.chunks().await[..] {
                    break first.clone();
                }
            };
            world.tell(&["DEL", &first]).await;
            let got = other.get(A).await;
            open.send(()).unwrap();
            got
        };
        let (led, got) = while_under_way(world, &one, follow).await;
        assert_eq!((led.bytes().len(), got.bytes().len(), got.detail()), (601_000, 5, "content-lost"));
    });
}

#[test]
fn a_304_for_who_follows_says_what_the_origin_gave() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let fields = &[("cache-control", "max-age=60"), ("etag", "\"1\"")];
        let open = in_halves(world, fields, halves());
        let follower = async {
            let got = other.get_with(A, &[("if-none-match", "\"1\"")]).await;
            open.send(()).unwrap();
            got
        };
        let (_, got) = while_under_way(world, &one, follower).await;
        assert_eq!((got.status, got.forwarded(), got.parameter("fwd-status")), (304, "uri-miss", "200"));
    });
}
