//! The key-value cache: values that are set are found, invalidated ones are not, and both cost little.

use crate::support::env::TestEnv;
use crate::support::{Instance, PREFIX, World, on_redis, property};
use futures_util::future::join_all;
use proptest::collection::vec;
use proptest::prelude::*;
use spindrift::redis::Keys;
use spindrift::value::{
    Condition, EntityTag, MediaType, NewValue, Pattern, Read, Swap, Tag, Terms, TypedError, ValueError,
    ValueKey, Values,
};
use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) fn key(text: &str) -> ValueKey {
    ValueKey::new(text).unwrap()
}

pub(crate) fn values(instance: &Instance) -> &Values<TestEnv> {
    &instance.shared().values
}

pub(crate) async fn set(instance: &Instance, at: &str, text: &str) {
    set_tagged(instance, at, text, &[]).await;
}

pub(crate) async fn set_tagged(instance: &Instance, at: &str, text: &str, tags: &[&str]) {
    let value = NewValue::text(text).tagged(tags.iter().map(|tag| Tag::new(tag).unwrap())).unwrap();
    values(instance).set(&key(at), &value, None).await.unwrap();
}

pub(crate) async fn get(instance: &Instance, at: &str) -> Option<String> {
    let found = values(instance).get(&key(at)).await.unwrap()?;
    Some(String::from_utf8(found.content.to_vec()).unwrap())
}

pub(crate) async fn invalidate(instance: &Instance, patterns: &[&str], tags: &[&str]) {
    let patterns: Vec<_> = patterns.iter().map(|text| Pattern::new(text).unwrap()).collect();
    let tags: Vec<_> = tags.iter().map(|text| Tag::new(text).unwrap()).collect();
    values(instance).invalidate(&patterns, &tags).await.unwrap();
}

pub(crate) fn redis_key(at: &str) -> String {
    Keys::new(PREFIX).value(at).as_str().to_owned()
}

pub(crate) async fn stands(world: &World, at: &str) -> bool {
    world.ask::<i64>(&["EXISTS", &redis_key(at)]).await == 1
}

#[test]
fn reads_are_counted_by_whether_they_found_something() {
    on_redis(async |world| {
        let instance = world.instance_with("[metrics]\nenabled = true\n");
        set(&instance, "a", "x").await;
        get(&instance, "a").await;
        get(&instance, "b").await;
        values(&instance).read_many(&["a", "b", "c"].map(key), 1000).await.unwrap();
        let make = async || Ok::<_, String>(NewValue::text("made"));
        for _ in 0..2 {
            values(&instance).get_or_set(&key("b"), &Terms::default(), make).await.unwrap();
        }
        assert!(values(&instance).exists(&key("a")).await.unwrap(), "not counted");
        instance.app.metrics.flush().await;
        let counters: BTreeMap<_, _> = instance.channel().counters().await.unwrap().into_iter().collect();
        let of = |outcome| counters.get(&format!("value_reads_total{{outcome=\"{outcome}\"}}")).copied();
        assert_eq!((of("hit"), of("miss")), (Some(3), Some(4)));
        instance.env.expire_deadlines();
        instance.env.settle().await;
    });
}

#[test]
fn what_one_instance_sets_every_other_finds_until_it_is_deleted() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        assert_eq!(get(&other, "user:1").await, None);
        let value = NewValue::new(MediaType::new("image/png").unwrap(), vec![0, 255, 10])
            .tagged([Tag::new("b").unwrap(), Tag::new("a").unwrap(), Tag::new("b").unwrap()])
            .unwrap();
        let ttl = Some(Duration::from_millis(90_500));
        let written = values(&one).set(&key("user:1"), &value, ttl).await.unwrap();
        assert!(!written.replaced);
        let found = values(&other).get(&key("user:1")).await.unwrap().unwrap();
        assert_eq!((found.media_type.as_str(), &found.content[..]), ("image/png", &[0, 255, 10][..]));
        assert_eq!((found.tags, found.etag), (vec!["a".to_owned(), "b".to_owned()], value.etag()));
        assert_eq!(found.expires_at, written.expires_at);
        let left: i64 = world.ask(&["PTTL", &redis_key("user:1")]).await;
        assert!((80_000..=90_500).contains(&left), "{left}");
        assert!(values(&other).exists(&key("user:1")).await.unwrap());
        assert!(values(&other).delete(&key("user:1")).await.unwrap().replaced);
        assert!(!values(&one).delete(&key("user:1")).await.unwrap().replaced);
        assert_eq!(get(&one, "user:1").await, None);
        assert!(!values(&one).exists(&key("user:1")).await.unwrap());
    });
}

#[test]
fn json_goes_in_and_comes_out_as_its_type() {
    on_redis(async |world| {
        let instance = world.instance();
        let values = values(&instance);
        values.set(&key("a"), &NewValue::json(&vec![1, 2]).unwrap(), None).await.unwrap();
        assert_eq!(values.get_json::<Vec<u8>>(&key("a")).await.unwrap(), Some(vec![1, 2]));
        assert_eq!(values.get_json::<Vec<u8>>(&key("b")).await.unwrap(), None);
        let other = values.get_json::<String>(&key("a")).await;
        assert!(matches!(other, Err(TypedError::Json(_))), "{other:?}");
    });
}

#[test]
fn a_read_is_one_round_trip_and_a_write_is_two() {
    on_redis(async |world| {
        let instance = world.instance();
        set(&instance, "a", "1").await;
        let wire = instance.env.wire();
        for (expected, trips) in [("MGET", 1), ("GET GETRANGE", 1), ("EVALSHA EVALSHA", 2), ("EVALSHA", 1)] {
            wire.take_commands();
            match expected {
                "MGET" => assert!(get(&instance, "a").await.is_some()),
                "GET GETRANGE" => assert!(values(&instance).exists(&key("a")).await.unwrap()),
                "EVALSHA" => assert!(values(&instance).delete(&key("a")).await.unwrap().replaced),
                _ => set(&instance, "a", "2").await,
            }
            assert_eq!(wire.round_trips(), trips, "{expected}");
            let mut commands = wire.take_commands();
            commands.sort();
            assert_eq!(commands.join(" "), expected);
        }
    });
}

#[test]
fn of_many_who_set_what_is_absent_one_does() {
    on_redis(async |world| {
        let instances: Vec<Instance> = (0..4).map(|_| world.instance()).collect();
        for round in 0..3 {
            let at = key(&format!("k{round}"));
            let put = async |number: usize| {
                let value = NewValue::text(if number.is_multiple_of(2) {
                    "same".to_owned()
                } else {
                    number.to_string()
                });
                let values = values(&instances[number % 4]);
                values.set_if(&at, &value, None, Condition::Absent).await.unwrap()
            };
            let all = join_all((0..40).map(put)).await;
            let done = all.iter().filter(|swap| matches!(swap, Swap::Done(_))).count();
            assert_eq!(done, 1, "{round}");
        }
    });
}

#[test]
fn counting_by_compare_and_set_loses_nothing() {
    on_redis(async |world| {
        let instances: Vec<Instance> = (0..4).map(|_| world.instance()).collect();
        set(&instances[0], "n", "0").await;
        let count = async |number: usize| {
            let values = values(&instances[number % 4]);
            loop {
                let found = values.get(&key("n")).await.unwrap().unwrap();
                let n: u64 = found.json().unwrap();
                let next = NewValue::text((n + 1).to_string());
                let only = [found.etag];
                match values.set_if(&key("n"), &next, None, Condition::OneOf(&only)).await {
                    Ok(Swap::Done(written)) => return assert!(written.replaced),
                    Ok(Swap::Refused(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        };
        join_all((0..20).map(count)).await;
        assert_eq!(get(&instances[0], "n").await.as_deref(), Some("20"));
    });
}

#[test]
fn conditions_see_what_counts_and_not_what_was_invalidated() {
    on_redis(async |world| {
        let instance = world.instance();
        let values = values(&instance);
        let (old, new) = (NewValue::text("old"), NewValue::text("new"));
        let done = |swap: &Swap| matches!(swap, Swap::Done(_));
        let refused = |swap: Swap| match swap {
            Swap::Refused(glance) => glance.map(|glance| glance.etag),
            Swap::Done(_) => panic!("it was done"),
        };
        assert_eq!(refused(values.set_if(&key("a"), &new, None, Condition::Present).await.unwrap()), None);
        values.set(&key("a"), &old, None).await.unwrap();
        let absent = values.set_if(&key("a"), &new, None, Condition::Absent).await.unwrap();
        assert_eq!(refused(absent), Some(old.etag()));
        let only = [new.etag()];
        assert_eq!(
            refused(values.set_if(&key("a"), &new, None, Condition::OneOf(&only)).await.unwrap()),
            Some(old.etag())
        );
        invalidate(&instance, &["a"], &[]).await;
        let only = [old.etag()];
        assert_eq!(
            refused(values.set_if(&key("a"), &new, None, Condition::OneOf(&only)).await.unwrap()),
            None
        );
        assert!(done(&values.set_if(&key("a"), &new, None, Condition::Absent).await.unwrap()));
        assert!(done(&values.set_if(&key("a"), &old, None, Condition::NoneOf(&only)).await.unwrap()));
        assert_eq!(
            refused(values.delete_if(&key("a"), Condition::NoneOf(&only)).await.unwrap()),
            Some(old.etag())
        );
        assert!(done(&values.delete_if(&key("a"), Condition::OneOf(&only)).await.unwrap()));
        assert_eq!(get(&instance, "a").await, None);
    });
}

#[test]
fn many_values_are_read_in_few_round_trips() {
    on_redis(async |world| {
        let instance = world.instance();
        let large = "x".repeat(10_000);
        let all: Vec<(ValueKey, NewValue, Option<Duration>)> = (0..1000)
            .map(|n| {
                let text = if n % 100 == 7 { format!("{n}{large}") } else { n.to_string() };
                (key(&format!("k{n}")), NewValue::text(text), Some(Duration::from_secs(60)))
            })
            .collect();
        set(&instance, "warm", "1").await;
        instance.env.wire().take_commands();
        let written = values(&instance).set_many(&all).await;
        assert!(written.iter().all(|written| written.as_ref().is_ok_and(|written| !written.replaced)));
        assert_eq!(instance.env.wire().round_trips(), 2);
        assert_eq!(instance.env.wire().take_commands().len(), 1001);
        let keys: Vec<ValueKey> = (0..1001).map(|n| key(&format!("k{n}"))).collect();
        let found = values(&instance).get_many(&keys).await.unwrap();
        assert_eq!(instance.env.wire().round_trips(), 2, "one more for those over 4 KiB");
        assert_eq!(
            instance.env.wire().take_commands().iter().filter(|command| *command == "MGET").count(),
            1
        );
        for (n, (found, (_, expected, _))) in found.iter().zip(&all).enumerate() {
            let found = found.as_ref().unwrap_or_else(|| panic!("{n}"));
            assert_eq!(
                (found.etag, found.content.len()),
                (expected.etag(), {
                    let digits = n.to_string().len();
                    if n % 100 == 7 { digits + 10_000 } else { digits }
                })
            );
        }
        assert_eq!(found[1000], None);
        instance.env.wire().take_commands();
        let few = values(&instance).get_many(&keys[5..8]).await.unwrap();
        assert!(few.iter().all(Option::is_some));
        assert_eq!(instance.env.wire().take_commands(), ["MGET"]);
        let glances = values(&instance).glance_many(&keys).await.unwrap();
        assert_eq!(glances.iter().filter(|glance| glance.is_some()).count(), 1000);
        let deleted = values(&instance).delete_many(&keys).await;
        assert_eq!(deleted.iter().filter(|it| it.as_ref().is_ok_and(|it| it.replaced)).count(), 1000);
    });
}

#[test]
fn what_has_no_room_is_left_out_and_not_read() {
    on_redis(async |world| {
        let instance = world.instance();
        let sizes = [100usize, 5000, 100, 9000, 100, 1, 1, 1, 1, 4000];
        for (n, size) in sizes.iter().enumerate() {
            set(&instance, &n.to_string(), &"x".repeat(*size)).await;
        }
        for count in [5, 10] {
            let keys: Vec<ValueKey> = (0..count).map(|n| key(&n.to_string())).collect();
            let read = values(&instance).read_many(&keys, 5310).await.unwrap();
            for (n, read) in read.iter().enumerate() {
                match read {
                    Read::Value(value) => assert_eq!(value.content.len(), sizes[n], "{n}"),
                    Read::LeftOut(glance) => {
                        assert!(n == 3 || n == 9, "{n}");
                        assert_eq!(glance.length, sizes[n] as u64);
                    }
                    Read::Missing => panic!("{n}"),
                }
            }
        }
    });
}

#[test]
fn a_head_that_is_longer_than_what_is_read_first_is_read_whole() {
    on_redis(async |world| {
        let instance = world.instance();
        let tags: Vec<String> = (0..64).map(|n| format!("{n:0>256}")).collect();
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        for n in 0..9 {
            set_tagged(&instance, &n.to_string(), "x", &tags).await;
        }
        let keys: Vec<ValueKey> = (0..9).map(|n| key(&n.to_string())).collect();
        assert!(values(&instance).get_many(&keys).await.unwrap().iter().all(Option::is_some));
        let glance = values(&instance).glance(&keys[0]).await.unwrap().unwrap();
        assert_eq!((glance.tags.len(), glance.length), (64, 1));
        assert!(matches!(
            values(&instance).set_if(&keys[0], &NewValue::text("y"), None, Condition::Absent).await.unwrap(),
            Swap::Refused(Some(_))
        ));
        invalidate(&instance, &[], &[tags[63]]).await;
        assert!(values(&instance).get_many(&keys).await.unwrap().iter().all(Option::is_none));
    });
}

#[test]
fn a_damaged_value_is_none_and_is_logged() {
    on_redis(async |world| {
        let instance = world.instance();
        let many: Vec<ValueKey> = (0..9).map(|_| key("a")).collect();
        let at = redis_key("a");
        for damage in 0..5 {
            set(&instance, "a", "content").await;
            let whole: Vec<u8> = world.ask(&["GET", &at]).await;
            let mut damaged = whole.clone();
            match damage {
                0 => damaged[0] = 9,
                1 => damaged.truncate(20),
                2 => damaged[40] ^= 1,
                3 => *damaged.last_mut().unwrap() ^= 1,
                _ => damaged = b"x".to_vec(),
            }
            world.ask_bytes::<redis::Value>(&[b"SET", at.as_bytes(), &damaged, b"KEEPTTL"]).await;
            assert_eq!(get(&instance, "a").await, None, "{damage}");
            assert!(values(&instance).get_many(&many).await.unwrap().iter().all(Option::is_none), "{damage}");
            assert!(instance.env.logged("ignoring the value of \"a\""));
            // It can be set again, also with conditions.
            let again =
                values(&instance).set_if(&key("a"), &NewValue::text("new"), None, Condition::Absent).await;
            if damage != 3 {
                assert!(matches!(again, Ok(Swap::Done(_))), "{damage} {again:?}");
            }
        }
    });
}

#[test]
fn what_is_out_of_bounds_is_refused_before_redis_is_asked() {
    on_redis(async |world| {
        let instance = world.instance_with("[values]\nmax_size = \"10B\"\nmax_ttl = \"1m\"");
        let values = values(&instance);
        let large = values.set(&key("a"), &NewValue::text("01234567890"), None).await;
        assert_eq!(large, Err(ValueError::TooLarge { limit: 10, found: 11 }));
        for ttl in [0, 61_000] {
            let wrong = values.set(&key("a"), &NewValue::text("x"), Some(Duration::from_millis(ttl))).await;
            assert!(matches!(wrong, Err(ValueError::Invalid(_))), "{wrong:?}");
        }
        assert!(instance.env.wire().take_commands().is_empty());
        values.set(&key("a"), &NewValue::text("0123456789"), None).await.unwrap();
        let left: i64 = world.ask(&["PTTL", &redis_key("a")]).await;
        assert!((50_000..=60_000).contains(&left), "{left}");
        assert!(NewValue::text("x").tagged((0..65).map(|n| Tag::new(&n.to_string()).unwrap())).is_err());
    });
}

#[test]
fn scripts_that_the_server_forgot_are_sent_again() {
    on_redis(async |world| {
        let instance = world.instance();
        for round in 0..2 {
            world.tell(&["SCRIPT", "FLUSH"]).await;
            set(&instance, "a", "1").await;
            world.tell(&["SCRIPT", "FLUSH"]).await;
            invalidate(&instance, &["a"], &[]).await;
            world.tell(&["SCRIPT", "FLUSH"]).await;
            let all: Vec<_> = (0..50).map(|n| (key(&n.to_string()), NewValue::text("x"), None)).collect();
            assert!(values(&instance).set_many(&all).await.iter().all(Result::is_ok), "{round}");
        }
    });
}

#[test]
fn keys_that_look_alike_are_different_values_and_steer_no_slot() {
    on_redis(async |world| {
        let instance = world.instance();
        let all = [
            "a", "a}:l", "{a}", "a%7D", "a}", "A", "a b", "a+b", "é", "e\u{301}", "a:l", "values", "a/b", "%",
        ];
        for at in all {
            set(&instance, at, at).await;
        }
        for at in all {
            assert_eq!(get(&instance, at).await.as_deref(), Some(at));
        }
        let mut readable = 0;
        for stored in world.keys().await {
            assert_eq!(stored.matches('{').count(), 1, "{stored}");
            readable +=
                usize::from(["sd:{value:a}", "sd:{value:a/b}", "sd:{value:a:l}"].contains(&stored.as_str()));
        }
        assert_eq!(readable, 3);
    });
}

#[test]
fn the_same_value_has_the_same_tag_wherever_it_is_set() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        set(&one, "a", "x").await;
        set(&other, "b", "x").await;
        let tag = async |at| values(&one).glance(&key(at)).await.unwrap().unwrap().etag;
        let (a, b): (EntityTag, EntityTag) = (tag("a").await, tag("b").await);
        assert_eq!(a, b);
        set(&one, "a", "y").await;
        assert_ne!(tag("a").await, b);
    });
}

#[test]
fn on_a_full_redis_values_are_read_deleted_and_invalidated_and_none_is_set() {
    on_redis(async |world| {
        let instance = world.instance();
        for at in ["a", "b", "c"] {
            set(&instance, at, at).await;
        }
        world.tell(&["CONFIG", "SET", "maxmemory", "1"]).await;
        let refused = values(&instance).set(&key("a"), &NewValue::text("new"), None).await.unwrap_err();
        let ValueError::Redis(error) = refused else { panic!("{refused:?}") };
        assert!(error.was_not_carried_out(), "{error:?}");
        assert_eq!(get(&instance, "a").await.as_deref(), Some("a"));
        assert!(values(&instance).delete(&key("a")).await.unwrap().replaced);
        invalidate(&instance, &["b"], &[]).await;
        assert_eq!((get(&instance, "a").await, get(&instance, "b").await), (None, None));
        assert_eq!(get(&instance, "c").await.as_deref(), Some("c"));
    });
}

#[derive(Clone, Debug)]
enum Step {
    Set(&'static str, &'static [&'static str]),
    SetIfAbsent(&'static str),
    Delete(&'static str),
    Pattern(&'static str),
    Tag(&'static str),
    LoseLedger,
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    let at = || prop::sample::select(vec!["a:1", "a:2", "b:1", "b"]);
    prop_oneof![
        6 => (at(), prop::sample::select(vec![&[][..], &["t"], &["u"], &["t", "u"]]))
            .prop_map(|(at, tags)| Step::Set(at, tags)),
        2 => at().prop_map(Step::SetIfAbsent),
        1 => at().prop_map(Step::Delete),
        3 => prop::sample::select(vec!["a:*", "*:1", "b", "?:?", "*"]).prop_map(Step::Pattern),
        2 => prop::sample::select(vec!["t", "u"]).prop_map(Step::Tag),
        1 => Just(Step::LoseLedger),
        1 => Just(Step::Sweep),
    ]
}

/// The meaning of the patterns of [`step`].
fn matches(pattern: &str, at: &str) -> bool {
    match pattern {
        "a:*" => at.starts_with("a:"),
        "*:1" => at.ends_with(":1"),
        "b" => at == "b",
        "?:?" => at.len() == 3,
        _ => true,
    }
}

#[test]
fn any_history_on_three_instances_gives_what_one_map_would() {
    property(48, &vec((step(), 0usize..3), 1..40), &async |world: &World, steps| {
        let instances: Vec<Instance> = (0..3).map(|_| world.instance()).collect();
        let mut model: BTreeMap<&str, (String, &[&str])> = BTreeMap::new();
        for (number, (step, on)) in steps.iter().enumerate() {
            let (instance, text) = (&instances[*on], number.to_string());
            match step {
                Step::Set(at, tags) => {
                    set_tagged(instance, at, &text, tags).await;
                    model.insert(at, (text, tags));
                }
                Step::SetIfAbsent(at) => {
                    let value = NewValue::text(&text);
                    let swap =
                        values(instance).set_if(&key(at), &value, None, Condition::Absent).await.unwrap();
                    assert_eq!(matches!(swap, Swap::Done(_)), !model.contains_key(at), "{steps:?}");
                    model.entry(at).or_insert((text, &[]));
                }
                Step::Delete(at) => {
                    values(instance).delete(&key(at)).await.unwrap();
                    model.remove(at);
                }
                Step::Pattern(pattern) => {
                    invalidate(instance, &[pattern], &[]).await;
                    model.retain(|at, _| !matches(pattern, at));
                }
                Step::Tag(tag) => {
                    invalidate(instance, &[], &[tag]).await;
                    model.retain(|_, (_, tags)| !tags.contains(tag));
                }
                Step::LoseLedger => {
                    world.tell(&["DEL", Keys::new(PREFIX).values().as_str()]).await;
                    model.clear();
                }
                Step::Sweep => {
                    world.tell(&["DEL", Keys::new(PREFIX).values_sweep().as_str()]).await;
                    values(instance).sweep(Duration::from_secs(60)).await.unwrap();
                }
            }
            for (at, reader) in ["a:1", "a:2", "b:1", "b"].into_iter().zip([0, 1, 2, number % 3]) {
                let expected = model.get(at).map(|(text, _)| text.clone());
                assert_eq!(get(&instances[reader], at).await, expected, "{at} after {number} of {steps:?}");
            }
        }
        for instance in &instances {
            instance.env.settle().await;
        }
    });
}
