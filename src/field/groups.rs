//! `Cache-Groups` and `Cache-Group-Invalidation` (RFC 9875): lists of strings, scoped to the origin.

use http::{HeaderMap, HeaderName, HeaderValue};
use sfv::{BareItem, List, ListEntry, Parser};

/// The groups to which a response belongs.
pub const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");

/// The groups that the response to an unsafe request invalidates.
pub const CACHE_GROUP_INVALIDATION: HeaderName = HeaderName::from_static("cache-group-invalidation");

/// Returns the groups that a field names; none if it is not a list of strings. Parameters are ignored (RFC 9875 §2, §3).
#[must_use]
pub fn named(headers: &HeaderMap, field: &HeaderName) -> Vec<String> {
    if !headers.contains_key(field) {
        return Vec::new();
    }
    let lines: Vec<&[u8]> = headers.get_all(field).iter().map(HeaderValue::as_bytes).collect();
    let Ok(members) = Parser::new(&lines.join(&b", "[..])).parse::<List>() else { return Vec::new() };
    let string = |member: &ListEntry| match member {
        ListEntry::Item(item) => match &item.bare_item {
            BareItem::String(name) => Some(name.as_str().to_owned()),
            _ => None,
        },
        ListEntry::InnerList(_) => None,
    };
    members.iter().map(string).collect::<Option<Vec<_>>>().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(lines: &[&'static str]) -> Vec<String> {
        let lines = lines.iter().map(|line| (CACHE_GROUPS, HeaderValue::from_static(line)));
        named(&lines.collect(), &CACHE_GROUPS)
    }

    #[test]
    fn groups_are_strings_over_all_lines() {
        assert_eq!(groups(&["\"a b\", \"c\\\"\";x=1", "\"d\""]), ["a b", "c\"", "d"]);
        assert_eq!(groups(&["\"\""]), [""]);
        assert!(groups(&[]).is_empty() && groups(&[""]).is_empty());
    }

    #[test]
    fn what_is_no_list_of_strings_names_none() {
        for line in ["a", "\"a\", b", "\"a\" \"b\"", "(\"a\")", "\"a", "1", "\"a\",", ":YQ==:"] {
            assert!(groups(&[line]).is_empty(), "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(value in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64), text in "[ -~]{0,40}") {
            for bytes in [value.as_slice(), text.as_bytes()] {
                let Ok(value) = HeaderValue::from_bytes(bytes) else { continue };
                let _ = named(&[(CACHE_GROUPS, value)].into_iter().collect(), &CACHE_GROUPS);
            }
        }
    }
}
