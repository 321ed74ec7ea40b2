//! Entity tags and preconditions (RFC 9110 §8.8.3, §13), as far as caches evaluate them.

use crate::time::Timestamp;
use http::header::{DATE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue};

/// An entity tag (RFC 9110 §8.8.3). There is no `==`: it is compared strongly or weakly (§8.8.3.2).
///
/// | a | b | strong | weak |
/// |---|---|---|---|
/// | `W/"1"` | `W/"1"` | no | yes |
/// | `W/"1"` | `W/"2"` | no | no |
/// | `W/"1"` | `"1"` | no | yes |
/// | `"1"` | `"1"` | yes | yes |
#[derive(Clone, Copy, Debug)]
pub struct EntityTag<'a> {
    weak: bool,
    opaque: &'a str,
}

impl<'a> EntityTag<'a> {
    /// Parses `[ "W/" ] DQUOTE *etagc DQUOTE`.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (weak, quoted) = text.strip_prefix("W/").map_or((false, text), |rest| (true, rest));
        let opaque = quoted.strip_prefix('"')?.strip_suffix('"').filter(|_| quoted.len() >= 2)?;
        (!opaque.contains('"')).then_some(Self { weak, opaque })
    }

    /// Returns whether the tag is weak.
    #[must_use]
    pub const fn is_weak(&self) -> bool {
        self.weak
    }

    /// Returns the text between the quotes.
    #[must_use]
    pub const fn opaque(&self) -> &'a str {
        self.opaque
    }

    /// Returns whether the tag is strong.
    #[must_use]
    pub const fn is_strong(&self) -> bool {
        !self.weak
    }

    /// Compares strongly: equal, and both strong.
    #[must_use]
    pub fn strong_eq(&self, other: &Self) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Compares weakly: equal, whether weak or not.
    #[must_use]
    pub fn weak_eq(&self, other: &Self) -> bool {
        self.opaque == other.opaque
    }
}

/// Returns whether the client already has this response, so that the answer is 304 (RFC 9110 §13.1.2, §13.1.3).
///
/// In the order of §13.2.2: `If-None-Match`, and only without it `If-Modified-Since`. `If-Match` and
/// `If-Unmodified-Since` are for the origin (RFC 9111 §4.3.2).
#[must_use]
pub fn not_modified(request: &HeaderMap, response: &HeaderMap) -> bool {
    since(request, response, || single_date(response, &LAST_MODIFIED))
}

/// Like [`not_modified`], for a response that was stored before the request came: without `Last-Modified` its `Date` counts
/// (RFC 9111 §4.3.2). A response that has just come "does not have a modification date available" in that case, and the
/// condition is ignored (RFC 9110 §13.1.3).
#[must_use]
pub fn not_modified_since_stored(request: &HeaderMap, stored: &HeaderMap) -> bool {
    since(request, stored, || single_date(stored, &LAST_MODIFIED).or_else(|| single_date(stored, &DATE)))
}

fn since(request: &HeaderMap, response: &HeaderMap, modified: impl FnOnce() -> Option<Timestamp>) -> bool {
    if request.contains_key(IF_NONE_MATCH) {
        return none_match_fails(request, response);
    }
    // A field of several lines, or without a valid date, is ignored.
    let since = single_date(request, &IF_MODIFIED_SINCE);
    since.is_some_and(|since| modified().is_some_and(|modified| modified <= since))
}

/// The condition of `If-None-Match` is false when a listed tag matches weakly, or for `*` (§13.1.2).
fn none_match_fails(request: &HeaderMap, response: &HeaderMap) -> bool {
    let stored = response.get(ETAG).and_then(|tag| tag.to_str().ok()).and_then(EntityTag::parse);
    let lines = request.get_all(IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(candidates).any(|candidate| {
        candidate == "*"
            || match (EntityTag::parse(candidate), &stored) {
                (Some(candidate), Some(stored)) => candidate.weak_eq(stored),
                _ => false,
            }
    })
}

/// Returns the members of a list of entity tags. A backslash is an ordinary character in them, and escapes no quote: they
/// are not quoted strings (§8.8.3).
fn candidates(line: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let ends = move |c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    };
    line.split(ends).map(|member| member.trim_matches([' ', '\t']))
}

/// Returns the date of a field that has exactly one line, which is a date.
#[must_use]
pub fn single_date(headers: &HeaderMap, name: &http::HeaderName) -> Option<Timestamp> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?;
    if lines.next().is_some() {
        return None;
    }
    Timestamp::from_http_date(first.to_str().ok()?.trim())
}

/// Returns whether a 304 is about this stored response (RFC 9111 §4.3.4): with a strong validator, only if the stored
/// response has the same; with weak ones, if they match; and without any, always.
#[must_use]
pub fn is_about(update: &HeaderMap, stored: &HeaderMap) -> bool {
    let tag = |headers: &HeaderMap| {
        headers.get(ETAG).map(|tag| String::from_utf8_lossy(tag.as_bytes()).into_owned())
    };
    match (tag(update), tag(stored)) {
        (None, _) => match (update.get(LAST_MODIFIED), stored.get(LAST_MODIFIED)) {
            (Some(new), Some(old)) => new == old,
            _ => true,
        },
        (Some(_), None) => false,
        (Some(new), Some(old)) => match (EntityTag::parse(&new), EntityTag::parse(&old)) {
            (Some(new), Some(old)) => {
                if new.weak {
                    new.weak_eq(&old)
                } else {
                    new.strong_eq(&old)
                }
            }
            // Values that are no entity tags can only be equal or not.
            _ => new == old,
        },
    }
}

/// Makes `request` ask whether the stored response is still valid (RFC 9111 §4.3.1). Returns `false` when the
/// stored response has no validator.
pub fn validate_with(request: &mut HeaderMap, stored: &HeaderMap) -> bool {
    let etag = stored.get(ETAG).filter(|tag| tag.to_str().is_ok_and(|tag| EntityTag::parse(tag).is_some()));
    let modified = stored.get(LAST_MODIFIED).filter(|_| single_date(stored, &LAST_MODIFIED).is_some());
    let mut set = |name, value: Option<&HeaderValue>| {
        if let Some(value) = value {
            request.insert(name, value.clone());
        }
    };
    set(IF_NONE_MATCH, etag);
    set(IF_MODIFIED_SINCE, modified);
    etag.is_some() || modified.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::lines::map;

    #[test]
    fn tags_compare_as_the_table_says() {
        let tag = |text| EntityTag::parse(text).unwrap();
        for (a, b, strong, weak) in [
            ("W/\"1\"", "W/\"1\"", false, true),
            ("W/\"1\"", "W/\"2\"", false, false),
            ("W/\"1\"", "\"1\"", false, true),
            ("\"1\"", "\"1\"", true, true),
        ] {
            assert_eq!((tag(a).strong_eq(&tag(b)), tag(a).weak_eq(&tag(b))), (strong, weak), "{a} {b}");
        }
        for bad in ["1", "\"", "w/\"1\"", "\"a\"b\"", ""] {
            assert!(EntityTag::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn if_none_match_takes_precedence_over_if_modified_since() {
        let stored = map(&[("etag", "\"a\""), ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")]);
        let since = ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert!(not_modified(&map(&[since]), &stored));
        assert!(not_modified(&map(&[("if-none-match", "\"x\", W/\"a\"")]), &stored));
        assert!(!not_modified(&map(&[("if-none-match", "\"b\""), since]), &stored));
        assert!(not_modified(&map(&[("if-none-match", "*")]), &stored));
    }

    #[test]
    fn without_last_modified_the_date_counts_of_what_was_stored() {
        let stored = map(&[("date", "Sun, 06 Nov 1994 08:49:37 GMT")]);
        let later = map(&[("if-modified-since", "Sunday, 06-Nov-94 08:49:38 GMT")]);
        assert!(not_modified_since_stored(&later, &stored) && !not_modified(&later, &stored));
        for other in ["Sun, 06 Nov 1994 08:49:36 GMT", "now"] {
            assert!(!not_modified_since_stored(&map(&[("if-modified-since", other)]), &stored), "{other}");
        }
    }

    #[test]
    fn a_304_is_about_the_response_with_the_same_validator() {
        let etag = |tag: &'static str| map(&[("etag", tag)]);
        for (new, old, about) in [
            ("\"a\"", "\"a\"", true),
            ("\"a\"", "\"b\"", false),
            ("\"a\"", "W/\"a\"", false),
            ("W/\"a\"", "\"a\"", true),
            ("W/\"a\"", "W/\"b\"", false),
            ("bare", "bare", true),
            ("bare", "\"bare\"", false),
        ] {
            assert_eq!(is_about(&etag(new), &etag(old)), about, "{new} {old}");
        }
        assert!(is_about(&map(&[]), &etag("\"a\"")) && !is_about(&etag("\"a\""), &map(&[])));
        let (one, other) = (("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"), ("last-modified", "x"));
        assert!(is_about(&map(&[one]), &map(&[one])) && !is_about(&map(&[one]), &map(&[other])));
        assert!(is_about(&map(&[one]), &map(&[])));
    }

    #[test]
    fn validation_uses_every_validator_there_is() {
        let mut request = HeaderMap::new();
        let stored = map(&[("etag", "\"a\""), ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")]);
        assert!(validate_with(&mut request, &stored));
        assert_eq!(request[IF_NONE_MATCH], "\"a\"");
        assert_eq!(request[IF_MODIFIED_SINCE], "Sun, 06 Nov 1994 08:49:37 GMT");
        assert!(!validate_with(&mut HeaderMap::new(), &map(&[("etag", "bare")])));
    }
}
