//! The cookies of a request (RFC 6265 §4.2.1), as bytes: what is not text may still be a cookie to the origin.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

/// Returns name and value of every cookie, over all lines in their order, without white space around them. What has no `=`
/// is not a cookie.
pub fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';')).filter_map(
        |pair| {
            let at = pair.iter().position(|byte| *byte == b'=')?;
            Some((pair[..at].trim_ascii(), pair[at + 1..].trim_ascii()))
        },
    )
}

/// Returns all values of one cookie, as text that is equal exactly when the values are; `None` if the cookie is absent.
/// Origins differ on which of several cookies of one name counts.
#[must_use]
pub fn values(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut all = pairs(headers).filter(|(found, _)| *found == name.as_bytes()).map(|(_, value)| value);
    let mut text = latin(all.next()?);
    for value in all {
        text.push(';');
        text.push_str(&latin(value));
    }
    Some(text)
}

/// Returns the first value of a cookie, if that is text.
#[must_use]
pub fn first<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let (_, value) = pairs(headers).find(|(found, _)| *found == name.as_bytes())?;
    std::str::from_utf8(value).ok()
}

/// Keeps only the cookies with these names, in one line.
pub fn retain(headers: &mut HeaderMap, names: &[String]) {
    let kept: Vec<Vec<u8>> = pairs(headers)
        .filter(|(found, _)| names.iter().any(|name| name.as_bytes() == *found))
        .map(|(name, value)| [name, value].join(&b'='))
        .collect();
    headers.remove(COOKIE);
    if let (false, Ok(line)) = (kept.is_empty(), HeaderValue::from_bytes(&kept.join(&b"; "[..]))) {
        headers.insert(COOKIE, line);
    }
}

/// Maps each byte to one character.
fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(lines: &[&[u8]]) -> HeaderMap {
        lines.iter().map(|line| (COOKIE, HeaderValue::from_bytes(line).unwrap())).collect()
    }

    #[test]
    fn cookies_are_read_over_all_lines_and_whatever_stands_beside_them() {
        let headers = lines(&[b"a=1;b = 2 ;c; =d", b"e=\xff; a=3;b=x=y"]);
        assert_eq!(values(&headers, "a").as_deref(), Some("1;3"));
        assert_eq!(values(&headers, "b").as_deref(), Some("2;x=y"));
        assert_eq!(values(&headers, "e").as_deref(), Some("\u{ff}"));
        assert_eq!((values(&headers, "c"), first(&headers, "e")), (None, None));
        assert_eq!(first(&headers, "a"), Some("1"));
    }

    #[test]
    fn those_that_are_kept_are_kept_as_they_are() {
        let mut headers = lines(&[b"a=1; sid=x", b"b=\xff;a=2"]);
        retain(&mut headers, &["a".to_owned(), "b".to_owned()]);
        assert_eq!(headers.get_all(COOKIE).iter().collect::<Vec<_>>(), [&b"a=1; b=\xff; a=2"[..]]);
        retain(&mut headers, &[]);
        assert!(headers.is_empty());
    }

    proptest! {
        #[test]
        fn what_is_kept_selects_as_before(line in proptest::collection::vec(any::<u8>(), 0..40)) {
            let Ok(value) = HeaderValue::from_bytes(&line) else { return Ok(()) };
            let mut headers: HeaderMap = [(COOKIE, value)].into_iter().collect();
            let names: Vec<String> = pairs(&headers).filter_map(|(name, _)| String::from_utf8(name.to_vec()).ok()).collect();
            let before: Vec<_> = names.iter().map(|name| values(&headers, name)).collect();
            retain(&mut headers, &names);
            let after: Vec<_> = names.iter().map(|name| values(&headers, name)).collect();
            prop_assert_eq!(before, after);
        }
    }
}
