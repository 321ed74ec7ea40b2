//! `Vary` (RFC 9110 §12.5.5): which request fields select a stored response (RFC 9111 §4.1).

use super::list;
use http::header::{ACCEPT_ENCODING, ACCEPT_LANGUAGE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::borrow::Cow;

/// What a response varies on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vary {
    /// `*`, also among other members, or anything that is no field name: no request ever matches (RFC 9111 §4.1).
    Any,
    /// These fields, sorted, without repetition. Usually there are none.
    Fields(Vec<HeaderName>),
}

impl Vary {
    /// Parses the field of a response.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let named: Option<Vec<_>> = list::members(headers, VARY)
            .map(|member| (member != "*").then(|| HeaderName::from_bytes(member.as_bytes()).ok()).flatten())
            .collect();
        let unreadable = headers.get_all(VARY).iter().any(|line| line.to_str().is_err());
        match named {
            Some(mut fields) if !unreadable => {
                fields.sort_by(|a, b| a.as_str().cmp(b.as_str()));
                fields.dedup();
                Self::Fields(fields)
            }
            _ => Self::Any,
        }
    }
}

/// Returns the value of a request field in the form in which it is compared: all lines as one list, white space around
/// members removed, and for `Accept-Encoding` and `Accept-Language` members in lower case and sorted, since neither
/// case nor order changes their meaning. `None` where the request does not have the field.
///
/// RFC 9111 §4.1 permits "adding or removing whitespace", "combining multiple header field lines with the
/// same field name" and "normalizing both header field values in a way that is known to have identical
/// semantics". That is not known of empty members: to an origin, `a,` may differ from `a`.
#[must_use]
pub fn selecting_value(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut lines = headers.get_all(name).iter().peekable();
    lines.peek()?;
    let Ok(lines) = lines.map(HeaderValue::to_str).collect::<Result<Vec<_>, _>>() else {
        return Some(opaque(headers, name));
    };
    if name != ACCEPT_ENCODING && name != ACCEPT_LANGUAGE {
        let pieces: Vec<&str> = lines.into_iter().flat_map(|line| list::pieces(line, b',')).collect();
        return Some(pieces.join(","));
    }
    let mut members: Vec<Cow<'_, str>> = list::members(headers, name).map(plain).collect();
    members.sort_unstable();
    Some(members.join(","))
}

/// Returns a member in lower case and without white space.
fn plain(member: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| !byte.is_ascii_uppercase() && byte != b' ' && byte != b'\t';
    if member.bytes().all(is_plain) {
        return Cow::Borrowed(member);
    }
    let kept = member.chars().filter(|c| *c != ' ' && *c != '\t');
    Cow::Owned(kept.map(|c| c.to_ascii_lowercase()).collect())
}

/// Returns values that are not text, in a form that compares them byte for byte.
fn opaque(headers: &HeaderMap, name: &HeaderName) -> String {
    let lines: Vec<_> = headers.get_all(name).iter().map(|line| crate::redis::hex(line.as_bytes())).collect();
    format!("\u{0}{}", lines.join("\u{0}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vary(lines: &[&'static str]) -> Vary {
        Vary::of(&lines.iter().map(|line| (VARY, HeaderValue::from_static(line))).collect())
    }

    #[test]
    fn a_star_anywhere_matches_nothing() {
        for lines in [&["*"][..], &["*, *"], &["*", "*"], &[", *"], &["", "*"], &["*, foo"], &["foo, *"]] {
            assert_eq!(vary(lines), Vary::Any, "{lines:?}");
        }
    }

    #[test]
    fn names_are_sorted_and_each_once() {
        let names = ["accept", "foo"].map(HeaderName::from_static).to_vec();
        assert_eq!(vary(&["Foo, ACCEPT", "foo"]), Vary::Fields(names));
        assert_eq!(vary(&[]), Vary::Fields(vec![]));
    }

    fn value(name: &'static str, lines: &[&'static str]) -> Option<String> {
        let name = HeaderName::from_static(name);
        let headers = lines.iter().map(|line| (name.clone(), HeaderValue::from_static(line))).collect();
        selecting_value(&headers, &name)
    }

    #[test]
    fn white_space_and_lines_do_not_matter_but_order_does() {
        assert_eq!(value("foo", &["1, 2"]), value("foo", &["1", "2 "]));
        assert_ne!(value("foo", &["1, 2"]), value("foo", &["2, 1"]));
        assert_ne!(value("foo", &[""]), value("foo", &[]));
    }

    #[test]
    fn empty_members_count_where_it_is_not_known_that_they_mean_nothing() {
        for lines in [&["a,"][..], &[",a"], &["a,,"], &["a", ""]] {
            assert_ne!(value("foo", lines), value("foo", &["a"]), "{lines:?}");
        }
        assert_ne!(value("foo", &[","]), value("foo", &[""]));
        assert_eq!(value("accept-encoding", &["gzip,"]), value("accept-encoding", &["gzip"]));
    }

    #[test]
    fn accept_encoding_and_language_are_normalised() {
        assert_eq!(value("accept-encoding", &["gzip, BR"]), value("accept-encoding", &["br,gzip"]));
        assert_eq!(value("accept-language", &["en, de;q=0.5"]), value("accept-language", &["DE; q=0.5, EN"]));
        assert_ne!(value("accept-encoding", &["gzip;q=0"]), value("accept-encoding", &["gzip"]));
    }
}
