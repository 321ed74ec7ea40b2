//! Fields as servers hand them on in variables (RFC 3875 §4.1.18): there `X_Forwarded_For` is `X-Forwarded-For`.

use http::HeaderName;

/// Whether a server behind may take a field with this name for `field`: the same name, but for characters that are neither
/// letters nor digits. Where both are there, either may count.
#[must_use]
pub fn is_taken_for(name: &HeaderName, field: &HeaderName) -> bool {
    let (name, field) = (name.as_str().as_bytes(), field.as_str().as_bytes());
    name.len() == field.len() && begins(name, field)
}

/// Whether `name` begins as `field` does in that sense.
pub(crate) fn begins(name: &[u8], field: &[u8]) -> bool {
    name.len() >= field.len() && name.iter().zip(field).all(|(one, other)| plain(*one) == plain(*other))
}

/// A character of a name, as it stands in a variable.
pub(crate) const fn plain(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte } else { b'-' }
}
