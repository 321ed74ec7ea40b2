//! Fields that belong to one connection and are not forwarded (RFC 9110 §7.6.1).

use super::list;
use super::variable::Names;
use http::header::{
    CONNECTION, CONTENT_LENGTH, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::LazyLock;

/// Fields that are always removed: those of RFC 9110 §7.6.1, and those that Spin's host forbids to set.
static HOP_BY_HOP: LazyLock<Names> = LazyLock::new(|| {
    let names = [
        CONNECTION,
        HeaderName::from_static("keep-alive"),
        PROXY_AUTHENTICATE,
        HeaderName::from_static("proxy-authentication-info"),
        PROXY_AUTHORIZATION,
        HeaderName::from_static("proxy-connection"),
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
        HeaderName::from_static("http2-settings"),
    ];
    names.into_iter().collect()
});

/// Removes the hop-by-hop fields and every field that `Connection` names.
///
/// "Intermediaries MUST parse a received Connection header field before a message is forwarded and, for each
/// connection-option in this field, remove any header or trailer field(s) from the message with the same
/// name" (RFC 9110 §7.6.1). Spin 4.1 removes `Connection` itself before a component sees it, so there the
/// fields it named cannot be known.
pub fn strip(headers: &mut HeaderMap) {
    strip_with(headers, |_| false);
}

/// Like [`strip`], and also removes every field for which `also` returns true.
pub fn strip_with(headers: &mut HeaderMap, also: impl Fn(&HeaderName) -> bool) {
    let mut gone: Vec<HeaderName> = list::members(headers, CONNECTION)
        .filter_map(|option| HeaderName::from_bytes(option.as_bytes()).ok())
        .collect();
    // One pass over the fields that are present: there is mostly nothing to remove.
    gone.extend(headers.keys().filter(|name| HOP_BY_HOP.contains(name) || also(name)).cloned());
    for name in gone {
        headers.remove(name);
    }
    single_length(headers);
}

/// "A recipient of a message with multiple field lines having the same Content-Length value ... MUST either
/// reject the message as invalid or replace" them with one (RFC 9110 §8.6). The host has read the content by
/// that value and refuses to send more than one line; where the values differ, it has rejected the message.
fn single_length(headers: &mut HeaderMap) {
    let mut all = list::members(headers, CONTENT_LENGTH);
    let first = all.next().map(HeaderValue::from_str);
    let several = all.next().is_some();
    drop(all);
    if let (true, Some(Ok(length))) = (several, first) {
        headers.insert(CONTENT_LENGTH, length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_named_by_connection_go_and_the_rest_stays() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("proxy-authentication-info", "x"),
            ("x-end-to-end", "1"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        strip(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-end-to-end"]);
    }

    #[test]
    fn lengths_that_agree_become_one() {
        for lines in [&["4"][..], &["4", "4"], &["4, 4"]] {
            let mut headers: HeaderMap =
                lines.iter().map(|line| (CONTENT_LENGTH, HeaderValue::from_static(line))).collect();
            strip(&mut headers);
            assert_eq!(headers.get_all(CONTENT_LENGTH).iter().collect::<Vec<_>>(), ["4"], "{lines:?}");
        }
    }
}
