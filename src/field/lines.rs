//! Header sections as tests write them down.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The fields of these lines, of which several may have one name.
pub(crate) fn map(lines: &[(&str, &str)]) -> HeaderMap {
    let field = |(name, value): &(&str, &str)| {
        (HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
    };
    lines.iter().map(field).collect()
}
