//! Stored content that cannot be read completely: the rest comes from the origin.

use crate::support::exchange::Got;
use crate::support::origin::reply;
use crate::support::ranged::{Representation, content};
use crate::support::{Instance, World, on_redis};
use bytes::Bytes;

const A: &str = "http://h/a";
const LENGTH: usize = 700_000;

/// An instance that has stored a response in three pieces.
async fn stored(world: &World) -> (Instance, Representation) {
    stored_by(world, world.instance()).await
}

async fn stored_by(world: &World, instance: Instance) -> (Instance, Representation) {
    let representation = Representation::of(world, content(LENGTH, 0), "\"1\"");
    assert!(instance.get(A).await.is_stored());
    (instance, representation)
}

/// Damages the piece of this number.
async fn damage(world: &World, number: usize) {
    world.tell(&["SET", &world.chunks().await[number], "damaged", "KEEPTTL"]).await;
}

fn is_broken_hit(got: &Got) -> bool {
    got.is_hit() && got.body.is_err()
}

#[test]
fn the_rest_of_a_damaged_body_comes_from_the_origin() {
    on_redis(async |world| {
        for number in [1, 2] {
            world.tell(&["FLUSHALL"]).await;
            let (instance, representation) = stored(world).await;
            damage(world, number).await;
            let got = instance.get(A).await;
            assert!(got.is_hit());
            assert_eq!(got.bytes(), &representation.slice(0, LENGTH));
            let asked = world.origin.last();
            assert_eq!(asked.header("range"), format!("bytes={}-699999", number * 262_144));
            assert_eq!(asked.header("if-range"), "\"1\"");
            assert!(!instance.get(A).await.is_hit(), "what is stored is of no use to anybody");
            assert!(instance.get(A).await.is_hit());
        }
    });
}

#[test]
fn what_went_on_from_the_origin_is_counted() {
    on_redis(async |world| {
        let counting = world.instance_with("[metrics]\nenabled = true\n");
        let (instance, _) = stored_by(world, counting).await;
        damage(world, 1).await;
        assert!(instance.get(A).await.body.is_ok());
        instance.app.metrics.flush().await;
        let counters = instance.channel().counters().await.unwrap();
        assert!(counters.contains(&("resumed_total".to_owned(), 1)), "{counters:?}");
        instance.env.expire_deadlines();
        instance.env.settle().await;
    });
}

#[test]
fn it_does_too_where_redis_fails() {
    on_redis(async |world| {
        let (instance, representation) = stored(world).await;
        let second = &world.chunks().await[1];
        for command in [["DEL", second, ""], ["LPUSH", second, "no piece"], ["EXPIRE", second, "60"]] {
            let words: Vec<&str> = command.into_iter().filter(|word| !word.is_empty()).collect();
            world.tell(&words).await;
        }
        for _ in 0..2 {
            let got = instance.get(A).await;
            assert!(got.is_hit());
            assert_eq!(got.bytes(), &representation.slice(0, LENGTH));
        }
    });
}

#[test]
fn the_rest_of_a_part_comes_from_the_origin() {
    on_redis(async |world| {
        let (instance, representation) = stored(world).await;
        damage(world, 1).await;
        let got = instance.get_with(A, &[("range", "bytes=100-599999")]).await;
        assert_eq!((got.status, got.is_hit()), (206, true));
        assert_eq!(got.bytes(), &representation.slice(100, 600_000));
        assert_eq!(world.origin.last().header("range"), "bytes=262144-599999");
    });
}

#[test]
fn what_is_another_by_now_is_not_put_behind_it() {
    on_redis(async |world| {
        let (instance, representation) = stored(world).await;
        damage(world, 1).await;
        representation.becomes(content(LENGTH, 1), &[("cache-control", "max-age=60"), ("etag", "\"2\"")]);
        assert!(is_broken_hit(&instance.get(A).await));
        let again = instance.get(A).await;
        assert_eq!(again.bytes(), &representation.slice(0, LENGTH));
    });
}

#[test]
fn what_the_origin_gives_must_be_the_rest() {
    on_redis(async |world| {
        let range = |start: usize, complete: usize| format!("bytes {start}-699999/{complete}");
        let right = range(262_144, LENGTH);
        let (short, all) = (LENGTH - 262_145, LENGTH - 262_144);
        for (status, carried, tag, length) in [
            (206, range(262_143, LENGTH), "\"1\"", LENGTH - 262_143),
            (206, range(262_144, LENGTH + 1), "\"1\"", all),
            (206, right.clone(), "\"2\"", all),
            (206, right.clone(), "W/\"1\"", all),
            (206, right.clone(), "\"1\"", short),
            (206, String::new(), "\"1\"", all),
            (200, right, "\"1\"", all),
            (416, String::new(), "\"1\"", 0),
        ] {
            world.tell(&["FLUSHALL"]).await;
            let (instance, _) = stored(world).await;
            damage(world, 1).await;
            let fields = [("content-range", carried.clone()), ("etag", tag.to_owned())];
            world.origin.answers(move |_| {
                let fields: Vec<(&str, &str)> =
                    fields.iter().map(|(name, value)| (*name, &**value)).collect();
                Ok(reply(status, &fields, Bytes::from(vec![b'x'; length])))
            });
            assert!(is_broken_hit(&instance.get(A).await), "{status} {carried:?} {tag} {length}");
        }
    });
}

#[test]
fn what_stands_behind_something_else_goes_on_where_it_is_lost_before_it_has_begun() {
    on_redis(async |world| {
        let (instance, representation) = stored(world).await;
        damage(world, 0).await;
        let got = instance.get_with(A, &[("range", "bytes=100-199,300000-300099")]).await;
        assert_eq!((got.status, got.is_hit()), (206, true));
        let parts: Vec<Bytes> = got.multipart().into_iter().map(|(_, _, bytes)| bytes).collect();
        assert_eq!(parts, [representation.slice(100, 200), representation.slice(300_000, 300_100)]);
        assert_eq!(world.origin.last().header("range"), "bytes=100-199");
    });
}

#[test]
fn a_whole_that_is_made_complete_goes_on_where_one_of_its_parts_is_lost() {
    on_redis(async |world| {
        for (part, lost, rest) in [
            ("bytes=0-599999", 1, "bytes=262144-599999"),
            ("bytes=0-599999", 0, "bytes=0-599999"),
            ("bytes=-600000", 0, "bytes=100000-699999"),
        ] {
            world.tell(&["FLUSHALL"]).await;
            let instance = world.instance();
            let representation = Representation::of(world, content(LENGTH, 0), "\"1\"");
            assert!(instance.get_with(A, &[("range", part)]).await.is_stored());
            damage(world, lost).await;
            let got = instance.get(A).await;
            assert_eq!((got.status, got.forwarded()), (200, "partial"), "{part} {lost}");
            assert_eq!(got.bytes(), &representation.slice(0, LENGTH), "{part} {lost}");
            assert_eq!(world.origin.last().header("range"), rest, "{part} {lost}");
            assert_eq!(instance.get(A).await.bytes(), &representation.slice(0, LENGTH));
        }
    });
}

#[test]
fn without_a_strong_validator_it_breaks() {
    on_redis(async |world| {
        let (instance, representation) = stored(world).await;
        representation.becomes(content(LENGTH, 0), &[("cache-control", "max-age=60"), ("etag", "W/\"1\"")]);
        world.tell(&["FLUSHALL"]).await;
        instance.get(A).await;
        damage(world, 1).await;
        let before = world.origin.count();
        assert!(is_broken_hit(&instance.get(A).await));
        assert_eq!(world.origin.count(), before);
    });
}
