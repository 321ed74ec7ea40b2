//! Property: a request finds a variant exactly when the fields it varies on say the same.

use crate::support::entries::{By, selecting};
use crate::support::property;
use proptest::collection::vec;
use proptest::prelude::*;

const NAMES: [&str; 5] = ["a", "ab", "accept", "accept-language", "x-b"];
/// Few values, so that requests often agree, and some that would look alike if they were simply joined.
const VALUES: [&str; 8] = ["", "1", "2", "1,2", "A", "a", "\t2 ,", "b:1"];

type Fields = Vec<(&'static str, &'static str)>;

fn fields() -> impl Strategy<Value = Fields> {
    vec((prop::sample::select(&NAMES[..]), prop::sample::select(&VALUES[..])), 0..5)
}

fn spec() -> impl Strategy<Value = Vec<&'static str>> {
    prop::sample::subsequence(&NAMES[..], 1..=3)
}

/// What a field of a request means: nothing, or the members of its list. In `accept-language`, empty members, case and order
/// do not count.
fn meaning(fields: &Fields, name: &str) -> Option<Vec<String>> {
    let lines: Vec<_> = fields.iter().filter(|(found, _)| *found == name).collect();
    let members = lines.iter().flat_map(|(_, line)| line.split(',')).map(|member| member.trim().to_owned());
    let mut members: Vec<String> = members.collect();
    if name == "accept-language" {
        members.retain(|member| !member.is_empty());
        members.iter_mut().for_each(|member| member.make_ascii_lowercase());
        members.sort();
    }
    (!lines.is_empty()).then_some(members)
}

fn agree(one: &Fields, other: &Fields, spec: &[&str]) -> bool {
    spec.iter().all(|name| meaning(one, name) == meaning(other, name))
}

#[test]
fn a_variant_is_found_by_the_requests_that_agree_with_its_own_and_no_other() {
    let input = (spec(), vec(fields(), 1..4), vec(fields(), 1..6));
    property(64, &input, &async |world, (spec, stored, asked)| {
        let (writer, reader) = (world.instance(), world.instance());
        let list = spec.join(",");
        for (number, fields) in stored.iter().enumerate() {
            let by: By = selecting(fields);
            let lease = writer.begin("/a").await;
            assert!(writer.keep_by(&lease, &list, &by, &number.to_string()).await);
        }
        for fields in stored.iter().chain(&asked) {
            // Among those that agree, the one stored last has replaced the others.
            let expected = stored.iter().rposition(|other| agree(fields, other, &spec));
            let found = reader.content_by("/a", &selecting(fields)).await;
            assert_eq!(found, expected.map(|number| number.to_string()), "{fields:?}");
        }
    });
}
