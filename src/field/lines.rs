//! Header fields for tests.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Makes a map of these field lines, several of which may have the same name.
pub(crate) fn map(lines: &[(&str, &str)]) -> HeaderMap {
    let field = |(name, value): &(&str, &str)| {
        (HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
    };
    lines.iter().map(field).collect()
}
