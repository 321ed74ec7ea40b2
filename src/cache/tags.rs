//! What a response can be purged by besides its URL: tags, and the cache groups of RFC 9875.

use crate::field::groups::{self, CACHE_GROUPS};
use crate::field::list;
use http::{HeaderMap, HeaderName};

/// The greatest length of a tag in bytes; longer ones are ignored.
pub const MAX_TAG: usize = 1024;
/// How many tags of a response count, cache groups included.
pub const MAX_TAGS: usize = 256;

const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");
const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");

/// Returns the tags of a response from `origin` (`scheme://authority`): `Cache-Tag`, separated by commas, `Surrogate-Key`,
/// separated by spaces, and `Cache-Groups`, each in the form of [`of_group`].
#[must_use]
pub fn tags(headers: &HeaderMap, origin: &str) -> Vec<String> {
    let lines = |name| headers.get_all(name).iter().filter_map(|line| str::from_utf8(line.as_bytes()).ok());
    let named = lines(CACHE_TAG)
        .flat_map(|line| list::split_at(line, b','))
        .chain(lines(SURROGATE_KEY).flat_map(str::split_ascii_whitespace))
        .map(str::to_owned);
    let grouped = groups::named(headers, &CACHE_GROUPS).into_iter().map(|group| of_group(origin, &group));
    let mut tags: Vec<String> =
        named.chain(grouped).filter(|tag| tag.len() <= MAX_TAG).take(MAX_TAGS).collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}

/// Returns the tag that stands for a cache group. Only responses of one origin share a group (RFC 9875 §2.1). No tag in a
/// field contains a line end, so that the two cannot be confused.
#[must_use]
pub fn of_group(origin: &str, group: &str) -> String {
    format!("\n{origin}\n{group}")
}

/// Returns the origin and the name of the cache group for which a tag stands.
#[must_use]
pub fn group_of(tag: &str) -> Option<(&str, &str)> {
    tag.strip_prefix('\n')?.split_once('\n')
}

/// Returns whether a response has fields with tags or groups.
#[must_use]
pub fn are_named(headers: &HeaderMap) -> bool {
    [CACHE_TAG, SURROGATE_KEY, CACHE_GROUPS].iter().any(|name| headers.contains_key(name))
}

/// Removes the fields with tags and groups.
pub fn strip(headers: &mut HeaderMap) {
    for name in [CACHE_TAG, SURROGATE_KEY, CACHE_GROUPS] {
        headers.remove(name);
    }
}

/// Returns the tags of a stored response after an update (RFC 9111 §3.2): `before` are those it had, and `headers` its fields
/// now. If the fields were stripped when it was stored, nothing shows the former tags to be outdated: they stay.
#[must_use]
pub fn updated(before: Vec<String>, stripped: bool, headers: &HeaderMap, origin: &str) -> Vec<String> {
    let tags = tags(headers, origin);
    if stripped { joined(tags, before) } else { tags }
}

/// Returns the `newer` tags and as many of the `older` ones as there is room for, sorted, each once.
#[must_use]
pub fn joined(mut newer: Vec<String>, mut older: Vec<String>) -> Vec<String> {
    older.retain(|tag| !newer.contains(tag));
    older.truncate(MAX_TAGS.saturating_sub(newer.len()));
    newer.extend(older);
    newer.sort_unstable();
    newer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::lines::map;

    #[test]
    fn tags_come_from_all_fields() {
        let headers =
            map(&[("cache-tag", "a, b/c,, a"), ("surrogate-key", "x  y,z"), ("cache-groups", "\"g 1\"")]);
        assert_eq!(tags(&headers, "http://h"), ["\nhttp://h\ng 1", "a", "b/c", "x", "y,z"]);
    }

    #[test]
    fn a_tag_beyond_ascii_is_a_tag_and_takes_no_other_with_it() {
        assert_eq!(tags(&map(&[("cache-tag", "news, größe")]), ""), ["größe", "news"]);
    }

    #[test]
    fn a_group_of_one_origin_is_no_group_of_another_and_no_tag() {
        let of = |origin: &str| tags(&map(&[("cache-groups", "\"a\"")]), origin);
        assert_ne!(of("http://h"), of("https://h"));
        assert_ne!(of("http://h"), of("http://h:8080"));
        assert_ne!(of("http://h"), ["a"]);
    }

    #[test]
    fn what_was_stripped_is_not_lost_with_an_update() {
        let update = map(&[("cache-tag", "b")]);
        assert_eq!(updated(vec!["a".to_owned()], true, &update, ""), ["a", "b"]);
        assert_eq!(updated(vec!["a".to_owned()], false, &update, ""), ["b"]);
        let before = (0..MAX_TAGS).map(|number| format!("a{number}")).collect();
        let after = updated(before, true, &update, "");
        assert!(after.len() == MAX_TAGS && after.contains(&"b".to_owned()), "what is named now counts first");
    }
}
