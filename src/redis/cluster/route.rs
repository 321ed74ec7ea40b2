//! Routing commands in a cluster by their keys.

use super::slot::Slot;
use crate::redis::{Arg, Value};

/// The destination of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Any node: it has no key.
    Anywhere,
    /// The owner of a slot.
    Slot(Slot),
    /// The owners of the slots of its keys, a part to each.
    Split(Vec<Part>),
    /// None: its keys are in several slots, and it must see all of them at once.
    Apart,
}

/// The keys of a command that are in one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The slot.
    pub slot: Slot,
    /// The positions of the keys among the arguments.
    pub at: Vec<usize>,
}

/// Decides where `command` goes, whose name is in upper case. A command that is not listed here is
/// taken to have one key, its first argument.
#[must_use]
pub fn route(command: &str, arguments: &[Arg]) -> Route {
    match command {
        "PING" | "TIME" | "PUBLISH" => Route::Anywhere,
        "EVAL" | "EVALSHA" => {
            let count = match arguments.get(1) {
                Some(Arg::Int(count)) => usize::try_from(*count).unwrap_or(0),
                _ => 0,
            };
            together(arguments.iter().skip(2).take(count))
        }
        "MGET" | "EXISTS" | "UNLINK" if arguments.len() > 1 => Route::Split(parts(arguments)),
        _ => together(arguments.iter().take(1)),
    }
}

fn together<'a>(keys: impl Iterator<Item = &'a Arg>) -> Route {
    let mut slots = keys.map(slot);
    let Some(first) = slots.next() else { return Route::Anywhere };
    if slots.all(|slot| slot == first) { Route::Slot(first) } else { Route::Apart }
}

fn parts(keys: &[Arg]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for (at, key) in keys.iter().enumerate() {
        let slot = slot(key);
        match parts.iter_mut().find(|part| part.slot == slot) {
            Some(part) => part.at.push(at),
            None => parts.push(Part { slot, at: vec![at] }),
        }
    }
    parts
}

fn slot(key: &Arg) -> Slot {
    match key {
        Arg::Bytes(bytes) => Slot::of(bytes),
        Arg::Int(number) => Slot::of(number.to_string().as_bytes()),
    }
}

/// Merges the replies to the parts of a command: values in the order of the keys, or a sum.
#[must_use]
pub(super) fn merged(command: &str, keys: usize, parts: Vec<(Vec<usize>, Vec<Value>)>) -> Vec<Value> {
    if command != "MGET" {
        let counts = parts.iter().flat_map(|(_, reply)| reply).filter_map(|count| count.int().ok());
        return vec![Value::Int(counts.sum())];
    }
    let mut values = vec![Value::Nil; keys];
    for (at, reply) in parts {
        for (at, value) in at.into_iter().zip(reply) {
            if let Some(place) = values.get_mut(at) {
                *place = value;
            }
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(words: &[&str]) -> Vec<Arg> {
        words.iter().map(|word| Arg::from(*word)).collect()
    }

    fn at(key: &str) -> Slot {
        Slot::of(key.as_bytes())
    }

    #[test]
    fn a_command_goes_where_its_first_key_is() {
        assert_eq!(route("GET", &words(&["foo"])), Route::Slot(at("foo")));
        assert_eq!(route("SET", &words(&["{foo}:1", "bar", "PX", "1"])), Route::Slot(at("foo")));
        assert_eq!(route("PING", &[]), Route::Anywhere);
        assert_eq!(route("PUBLISH", &words(&["foo", "bar"])), Route::Anywhere);
    }

    #[test]
    fn a_script_goes_where_all_its_keys_are_or_nowhere() {
        let call = |keys: &[&str]| {
            let mut all = vec![Arg::from("digest"), Arg::from(keys.len() as u64)];
            all.extend(words(keys));
            all.push(Arg::from("an argument"));
            route("EVALSHA", &all)
        };
        assert_eq!(call(&["{a}:1", "{a}:2"]), Route::Slot(at("a")));
        assert_eq!(call(&["{a}:1", "{b}:2"]), Route::Apart);
        assert_eq!(call(&[]), Route::Anywhere);
        assert_eq!(route("EVAL", &words(&["text"])), Route::Anywhere);
    }

    #[test]
    fn what_has_many_keys_is_divided_by_slot_in_order() {
        let parts = route("MGET", &words(&["{a}:1", "{b}", "{a}:2"]));
        let expected = vec![Part { slot: at("a"), at: vec![0, 2] }, Part { slot: at("b"), at: vec![1] }];
        assert_eq!(parts, Route::Split(expected));
        assert_eq!(route("MGET", &words(&["a"])), Route::Slot(at("a")));
    }

    #[test]
    fn replies_are_put_together_as_one_server_gives_them() {
        let value = |text: &str| Value::Bytes(text.into());
        let parts = vec![(vec![2, 0], vec![value("c"), value("a")]), (vec![1], vec![Value::Nil])];
        assert_eq!(merged("MGET", 3, parts), [value("a"), Value::Nil, value("c")]);
        let parts = vec![(vec![0, 1], vec![Value::Int(2)]), (vec![2], vec![Value::Int(1)])];
        assert_eq!(merged("EXISTS", 3, parts), [Value::Int(3)]);
    }

    proptest! {
        #[test]
        fn every_key_is_asked_for_once_and_answered_in_its_place(
            keys in proptest::collection::vec("[a-c{}]{0,4}", 2..12),
        ) {
            let all: Vec<Arg> = keys.iter().map(|key| Arg::from(key.as_str())).collect();
            let Route::Split(parts) = route("MGET", &all) else { return Err(TestCaseError::fail("not divided")) };
            let replies = parts.into_iter().map(|part| {
                for at in &part.at {
                    assert_eq!(Slot::of(keys[*at].as_bytes()), part.slot);
                }
                let values = part.at.iter().map(|at| Value::Bytes(keys[*at].clone().into_bytes())).collect();
                (part.at, values)
            });
            let whole = merged("MGET", keys.len(), replies.collect());
            let expected: Vec<Value> = keys.iter().map(|key| Value::Bytes(key.clone().into_bytes())).collect();
            prop_assert_eq!(whole, expected);
        }
    }
}
