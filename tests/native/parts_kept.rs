//! Stored parts: how they are purged, kept apart and replaced, in any history.

use crate::parts::{A, answers, put, range, thousand};
use crate::support::origin::reply;
use crate::support::ranged::{Representation, content};
use crate::support::{on_redis, property};
use proptest::prelude::*;
use spindrift::purge::Purge;

#[test]
fn purges_are_for_parts_too() {
    on_redis(async |world| {
        let (instance, representation) = thousand(world);
        let fields = [("cache-control", "max-age=60"), ("etag", "\"1\""), ("cache-tag", "news")];
        representation.becomes(content(1000, 0), &fields);
        put(&instance, &["bytes=0-499", "bytes=600-699"]).await;
        instance.purge_url(A).await;
        assert!(!answers(&instance, "bytes=0-499").await);
        put(&instance, &["bytes=0-499"]).await;
        instance.purge_tag("news").await;
        assert!(!answers(&instance, "bytes=0-499").await);
        put(&instance, &["bytes=0-499"]).await;
        assert!(
            !answers(&instance, "bytes=600-699").await,
            "what was purged does not come back with the next part"
        );
        let soft = Purge { tags: vec!["news".to_owned()], soft: true, ..Purge::default() };
        instance.purge(&soft).await.unwrap();
        let got = range(&instance, "bytes=0-9").await;
        assert_eq!((got.forwarded(), got.parameter("fwd-status")), ("stale", "304"));
        assert!(range(&instance, "bytes=0-9").await.is_hit(), "validated since");
        instance.send(crate::support::exchange::request("POST", A, &[], spindrift::body::Body::Empty)).await;
        assert!(!answers(&instance, "bytes=0-9").await, "and an unsafe request invalidates them");
    });
}

#[test]
fn tags_stay_where_a_later_part_names_none() {
    on_redis(async |world| {
        let instance = world.instance_with("[cache]\ntags = [\"all\"]\n");
        let representation = Representation::of(world, content(1000, 0), "\"1\"");
        let fields = [("cache-control", "max-age=60"), ("etag", "\"1\""), ("cache-tag", "news")];
        for tag in ["news", "all"] {
            representation.becomes(content(1000, 0), &fields);
            put(&instance, &["bytes=0-499"]).await;
            representation.becomes(content(1000, 0), &fields[..2]);
            let resumed = instance.get_with(A, &[("range", "bytes=600-"), ("if-range", "\"1\"")]).await;
            assert!(resumed.is_stored() && answers(&instance, "bytes=0-499").await);
            instance.purge_tag(tag).await;
            assert!(!answers(&instance, "bytes=0-499").await, "{tag}");
        }
    });
}

#[test]
fn a_part_whose_resource_was_purged_while_it_was_fetched_is_not_stored() {
    on_redis(async |world| {
        for purge in ["url", "tag"] {
            let (instance, representation) = thousand(world);
            let fields = [("cache-control", "max-age=60"), ("etag", "\"1\""), ("cache-tag", "news")];
            representation.becomes(content(1000, 0), &fields);
            world.tell(&["FLUSHALL"]).await;
            put(&instance, &["bytes=0-499"]).await;
            let asked = world.origin.count();
            world.origin.hold();
            let purged = async {
                world.origin.asked(asked + 1).await;
                match purge {
                    "url" => instance.purge_url(A).await,
                    _ => instance.purge_tag("news").await,
                }
                world.origin.release();
            };
            let (got, ()) = futures_util::future::join(range(&instance, "bytes=500-599"), purged).await;
            assert_eq!(got.status, 206);
            assert!(
                !answers(&instance, "bytes=500-599").await && !answers(&instance, "bytes=0-0").await,
                "{purge}"
            );
        }
    });
}

#[test]
fn a_whole_that_came_meanwhile_is_not_replaced_by_a_part() {
    on_redis(async |world| {
        let (instance, representation) = thousand(world);
        let asked = world.origin.count();
        world.origin.hold();
        let whole = async {
            world.origin.asked(asked + 1).await;
            world.origin.release();
            let other = world.instance();
            other.get(A).await
        };
        let (part, whole) = futures_util::future::join(range(&instance, "bytes=0-9"), whole).await;
        assert!(part.status == 206 && whole.is_stored());
        let hit = instance.get(A).await;
        assert_eq!((hit.is_hit(), hit.bytes()), (true, &representation.slice(0, 1000)));
    });
}

#[test]
fn parts_of_variants_keep_apart() {
    on_redis(async |world| {
        let instance = world.instance();
        world.origin.answers(|seen| {
            let text = format!("all that is in {}", seen.header("accept-language"));
            let tag = format!("\"{}\"", seen.header("accept-language"));
            let fields = [
                ("cache-control", "max-age=60"),
                ("vary", "accept-language"),
                ("etag", &tag),
                ("content-range", &format!("bytes 12-16/{}", text.len())),
            ];
            Ok(reply(206, &fields, text[12..17].to_owned()))
        });
        let part = async |language| {
            instance.get_with(A, &[("accept-language", language), ("range", "bytes=12-16")]).await
        };
        for language in ["de", "en"] {
            assert_eq!(part(language).await.text(), format!("in {language}"));
        }
        for language in ["de", "en"] {
            let hit = part(language).await;
            assert_eq!((hit.is_hit(), hit.text().to_owned()), (true, format!("in {language}")));
        }
        assert_eq!(world.origin.count(), 2);
    });
}

#[test]
fn a_part_with_a_missing_piece_is_asked_of_the_origin_and_goes_with_the_next() {
    on_redis(async |world| {
        let instance = world.instance();
        let representation = Representation::of(world, content(900_000, 0), "\"1\"");
        put(&instance, &["bytes=0-299999"]).await;
        world.tell(&["DEL", &world.chunks().await[1]]).await;
        assert!(range(&instance, "bytes=0-9").await.is_hit(), "the other piece is there");
        let got = range(&instance, "bytes=270000-270009").await;
        assert_eq!((got.forwarded(), got.bytes()), ("partial", &representation.slice(270_000, 270_010)));
        assert!(answers(&instance, "bytes=270000-270009").await);
        let whole = instance.get(A).await;
        assert_eq!((whole.status, whole.bytes()), (200, &representation.slice(0, 900_000)));
    });
}

#[test]
fn pieces_live_as_long_as_the_last_part_that_came() {
    on_redis(async |world| {
        let (instance, _) = thousand(world);
        put(&instance, &["bytes=0-99"]).await;
        world.tell(&["PEXPIRE", &world.chunks().await[0], "1000"]).await;
        put(&instance, &["bytes=200-299"]).await;
        for key in world.chunks().await {
            assert!(world.ask::<i64>(&["PTTL", &key]).await > 3_600_000, "{key}");
        }
        world.clock.advance_secs(61);
        for key in world.chunks().await {
            world.tell(&["PEXPIRE", &key, "1000000"]).await;
        }
        assert_eq!(range(&instance, "bytes=0-9").await.parameter("fwd-status"), "304");
        for key in world.chunks().await {
            assert!(world.ask::<i64>(&["PTTL", &key]).await > 3_600_000, "{key}");
        }
    });
}

#[test]
fn parts_of_what_is_too_large_to_be_stored_are_stored_up_to_the_limit() {
    on_redis(async |world| {
        let instance = world.instance_with("[cache]\nmax_object_size = \"500B\"\n");
        let representation = Representation::of(world, content(1000, 0), "\"1\"");
        put(&instance, &["bytes=0-299", "bytes=300-399"]).await;
        put(&instance, &["bytes=500-749"]).await;
        assert!(answers(&instance, "bytes=0-299").await && !answers(&instance, "bytes=300-399").await);
        let got = range(&instance, "bytes=0-500").await;
        assert_eq!((got.is_stored(), got.detail()), (false, "too-large"));
        let whole = instance.get(A).await;
        assert_eq!(whole.detail(), "too-large");
        assert!(whole.bytes() == &representation.slice(0, 1000));
        assert_eq!(world.origin.last().header("range"), "", "what cannot be stored is not put together");
    });
}

#[test]
fn two_instances_may_store_parts_at_the_same_time() {
    on_redis(async |world| {
        let (one, representation) = thousand(world);
        let other = world.instance();
        let (a, b) =
            futures_util::future::join(range(&one, "bytes=0-99"), range(&other, "bytes=200-299")).await;
        assert!(a.is_stored() && b.is_stored());
        for (asked, start) in [("bytes=0-99", 0), ("bytes=200-299", 200)] {
            assert_eq!(range(&one, asked).await.bytes(), &representation.slice(start, start + 100));
        }
        assert_eq!(one.get(A).await.bytes(), &representation.slice(0, 1000));
    });
}

/// The steps of a history.
#[derive(Clone, Debug)]
enum Step {
    Range(usize, usize, usize),
    Whole(usize),
    Change,
    Purge,
    Wait(u64),
    Lose(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0usize..2, 0usize..600_000, 1usize..300_000).prop_map(|(by, start, length)| Step::Range(by, start, length)),
        3 => (0usize..2).prop_map(Step::Whole),
        1 => Just(Step::Change),
        1 => Just(Step::Purge),
        1 => (1u64..70).prop_map(Step::Wait),
        1 => (0usize..9).prop_map(Step::Lose),
    ]
}

#[test]
fn no_history_ever_mixes_two_representations_or_misplaces_a_byte() {
    let steps = proptest::collection::vec(any_step(), 1..25);
    property(60, &steps, &async |world, steps: Vec<Step>| {
        let instances = [world.instance(), world.instance()];
        let mut version = 1;
        let length = |version: usize| 600_000 + version;
        let fresh = |version: usize| content(length(version), u8::try_from(version).unwrap());
        let representation = Representation::of(world, fresh(version), "\"1\"");
        for step in steps {
            let got = match step {
                Step::Range(by, start, size) => {
                    range(&instances[by], &format!("bytes={start}-{}", start + size - 1)).await
                }
                Step::Whole(by) => instances[by].get(A).await,
                Step::Change => {
                    version += 1;
                    let tag = format!("\"{version}\"");
                    representation
                        .becomes(fresh(version), &[("cache-control", "max-age=60"), ("etag", &tag)]);
                    continue;
                }
                Step::Purge => {
                    instances[0].purge_url(A).await;
                    continue;
                }
                Step::Wait(seconds) => {
                    world.clock.advance_secs(seconds);
                    continue;
                }
                Step::Lose(number) => {
                    let chunks = world.chunks().await;
                    if let Some(key) = chunks.get(number) {
                        world.tell(&["DEL", key]).await;
                    }
                    continue;
                }
            };
            let of: usize = got.header("etag").trim_matches('"').parse().unwrap();
            let whole = fresh(of);
            match (got.status, got.header("content-range")) {
                (200, "") => assert_eq!(got.bytes(), &whole),
                (206, range) => {
                    let (span, complete) = range.strip_prefix("bytes ").unwrap().split_once('/').unwrap();
                    let (first, last) = span.split_once('-').unwrap();
                    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
                    assert_eq!(complete, length(of).to_string());
                    assert_eq!(got.bytes(), &whole.slice(first..=last));
                }
                other => panic!("{other:?}"),
            }
        }
    });
}
