//! Comma-separated lists over all lines of a field (RFC 9110 §5.6.1), with regard to quoted strings.

use http::HeaderMap;
use http::header::AsHeaderName;

/// Returns the members of the list field `name`, over all its lines, without white space around them.
///
/// Empty members are skipped, and so are lines that are not visible ASCII.
pub fn members(headers: &HeaderMap, name: impl AsHeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).iter().filter_map(|line| line.to_str().ok()).flat_map(split)
}

/// Splits one line at commas that are not inside a quoted string (RFC 9110 §5.6.4).
pub fn split(line: &str) -> impl Iterator<Item = &str> {
    split_at(line, b',')
}

/// Splits at `separator` outside of quoted strings, without white space around the pieces, and without empty pieces.
pub fn split_at(line: &str, separator: u8) -> impl Iterator<Item = &str> {
    pieces(line, separator).filter(|piece| !piece.is_empty())
}

/// Like [`split_at`], with empty pieces.
pub fn pieces(line: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let end = end_of_piece(line, separator);
        rest = (end < line.len()).then(|| &line[end + 1..]);
        Some(line[..end].trim_matches([' ', '\t']))
    })
}

/// Returns the members of one line, the last one first. Whoever appends a member appends a complete one, so it is read
/// correctly whatever stands before it: a quoted string without an end, or bytes that are not text.
pub fn from_end(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let comma = last_comma(line);
        rest = comma.map(|at| &line[..at]);
        Some(line[comma.map_or(0, |at| at + 1)..].trim_ascii())
    })
    .filter(|member| !member.is_empty())
}

/// Returns the position of the last comma that is not in a quoted string, reading from the end.
fn last_comma(line: &[u8]) -> Option<usize> {
    let mut quoted = false;
    // After a backslash that is not itself escaped, a quote belongs to its string.
    let escapes = |at: usize| line[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
    (0..line.len()).rev().find(|&at| {
        quoted ^= line[at] == b'"' && escapes(at) % 2 == 0;
        line[at] == b',' && !quoted
    })
}

/// Returns whether every quoted string in `text` has its end there.
#[must_use]
pub fn is_closed(text: &str) -> bool {
    scan(text, None).is_ok()
}

fn end_of_piece(line: &str, separator: u8) -> usize {
    scan(line, Some(separator)).unwrap_or(line.len())
}

/// Finds the first `separator` outside of quoted strings, or the end of `line`; an error if a quoted string has no end.
fn scan(line: &str, separator: Option<u8>) -> Result<usize, Unclosed> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            byte if Some(byte) == separator && !quoted => return Ok(at),
            _ => {}
        }
    }
    if quoted { Err(Unclosed) } else { Ok(line.len()) }
}

struct Unclosed;

/// Returns the content of a quoted string (RFC 9110 §5.6.4); `None` when `text` is not exactly one.
#[must_use]
pub fn unquote(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"')?.strip_suffix('"').filter(|_| text.len() >= 2)?;
    let mut content = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(next) = chars.next() {
        match next {
            '\\' => content.push(chars.next()?),
            '"' => return None,
            other => content.push(other),
        }
    }
    Some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_quoted_strings_do_not_separate() {
        let found: Vec<_> = split(r#"a , b="x, \", y",, c"#).collect();
        assert_eq!(found, ["a", r#"b="x, \", y""#, "c"]);
    }

    #[test]
    fn an_unclosed_quote_swallows_the_rest() {
        assert!(
            !is_closed(r#"a="x, b"#)
                && !is_closed(r#"""x""#)
                && !is_closed(r#""\""#)
                && is_closed(r#"a="x, b""#)
        );
        assert_eq!(split(r#"a="x, b"#).collect::<Vec<_>>(), [r#"a="x, b"#]);
    }

    #[test]
    fn from_the_end_a_list_has_the_same_members() {
        let line = r#"a , b="x, \", y",, "\\", c"#;
        let mut found: Vec<_> = from_end(line.as_bytes()).collect();
        found.reverse();
        assert_eq!(found, split(line).map(str::as_bytes).collect::<Vec<_>>());
        assert_eq!(from_end(b" ,").count(), 0);
    }

    #[test]
    fn quoted_strings_are_unescaped() {
        assert_eq!(unquote(r#""a\"b""#).as_deref(), Some("a\"b"));
        assert_eq!(unquote(r#"""#), None);
        assert_eq!(unquote(r#""a"b""#), None);
        assert_eq!(unquote("a"), None);
        assert_eq!(unquote(r#""a\""#), None);
    }

    proptest::proptest! {
        #[test]
        fn nothing_hides_a_member_that_is_added(before in "[\",\\\\a =;é]{0,12}") {
            let added = r#"for="[::1]:80";host="a,\"b\\""#;
            let line = format!("{before}, {added}");
            proptest::prop_assert_eq!(from_end(line.as_bytes()).next(), Some(added.as_bytes()));
        }

        #[test]
        fn splitting_never_panics_and_loses_only_separators_and_space(line in "\\PC*") {
            let total: usize = split(&line).map(str::len).sum();
            proptest::prop_assert!(total <= line.len());
        }
    }
}
