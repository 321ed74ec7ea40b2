//! `Max-Forwards` (RFC 9110 §7.6.2): how often a request may be forwarded on its way.

use http::{HeaderMap, HeaderName, HeaderValue, Method};

const MAX_FORWARDS: HeaderName = HeaderName::from_static("max-forwards");

/// Returns how often a request may still be forwarded. `None` where that is not limited: the method is not OPTIONS or TRACE,
/// so that the field has no meaning, or the field is absent or not a single number.
#[must_use]
pub fn left(method: &Method, request: &HeaderMap) -> Option<u64> {
    let counts = matches!(*method, Method::OPTIONS | Method::TRACE);
    let mut lines = request.get_all(MAX_FORWARDS).iter();
    let first = lines.next().filter(|_| counts && lines.next().is_none())?;
    let digits = first.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    (!digits.is_empty()).then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Counts one forwarding: "the lesser of a) the received value decremented by one (1) or b) the recipient's maximum supported
/// value for Max-Forwards".
pub fn count(method: &Method, request: &mut HeaderMap) {
    if let Some(left) = left(method, request) {
        request.insert(MAX_FORWARDS, HeaderValue::from(left.saturating_sub(1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::lines::map;

    #[test]
    fn only_one_number_on_options_and_trace_counts() {
        let of = |method, values: &[&str]| {
            let lines: Vec<_> = values.iter().map(|value| ("max-forwards", *value)).collect();
            let mut headers = map(&lines);
            let before = left(&method, &headers);
            count(&method, &mut headers);
            (before, headers.get(MAX_FORWARDS).map(|value| value.to_str().unwrap().to_owned()))
        };
        assert_eq!(of(Method::OPTIONS, &["10"]), (Some(10), Some("9".to_owned())));
        assert_eq!(of(Method::TRACE, &["0"]).0, Some(0));
        assert_eq!(of(Method::TRACE, &["99999999999999999999"]).0, Some(u64::MAX));
        assert_eq!(of(Method::GET, &["3"]), (None, Some("3".to_owned())));
        for values in [&[][..], &[""], &["-1"], &["1x"], &["1", "1"]] {
            assert_eq!(of(Method::OPTIONS, values).0, None, "{values:?}");
        }
    }
}
