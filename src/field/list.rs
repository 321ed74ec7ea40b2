//! Comma-separated lists over all lines of a field (RFC 9110 §5.6.1), aware of quoted strings.

use http::HeaderMap;
use http::header::AsHeaderName;

/// The members of the list field `name`, over all its lines, without white space around them.
///
/// Empty members are passed over. Lines that are not visible ASCII are passed over too.
pub fn members(headers: &HeaderMap, name: impl AsHeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).iter().filter_map(|line| line.to_str().ok()).flat_map(split)
}

/// Splits one line at commas that are not inside a quoted string (RFC 9110 §5.6.4).
pub fn split(line: &str) -> impl Iterator<Item = &str> {
    split_at(line, b',')
}

/// Splits at `separator` outside of quoted strings; white space around a piece and empty pieces go.
pub fn split_at(line: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let end = end_of_piece(line, separator);
        rest = (end < line.len()).then(|| &line[end + 1..]);
        Some(line[..end].trim_matches([' ', '\t']))
    })
    .filter(|piece| !piece.is_empty())
}

/// Whether every quoted string in `text` ends there.
#[must_use]
pub fn is_closed(text: &str) -> bool {
    scan(text, None).is_ok()
}

fn end_of_piece(line: &str, separator: u8) -> usize {
    scan(line, Some(separator)).unwrap_or(line.len())
}

/// Where `separator` stands first outside of quoted strings, or the end of `line`; an error where a quoted string has no end.
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

/// The content of a quoted string (RFC 9110 §5.6.4); `None` when `text` is not one whole.
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
    fn quoted_strings_are_unescaped() {
        assert_eq!(unquote(r#""a\"b""#).as_deref(), Some("a\"b"));
        assert_eq!(unquote(r#"""#), None);
        assert_eq!(unquote(r#""a"b""#), None);
        assert_eq!(unquote("a"), None);
        assert_eq!(unquote(r#""a\""#), None);
    }

    proptest::proptest! {
        #[test]
        fn splitting_never_panics_and_loses_only_separators_and_space(line in "\\PC*") {
            let total: usize = split(&line).map(str::len).sum();
            proptest::prop_assert!(total <= line.len());
        }
    }
}
