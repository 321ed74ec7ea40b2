//! Field names as servers pass them on in variables (RFC 3875 §4.1.18), where `X_Forwarded_For` equals `X-Forwarded-For`.

use http::{HeaderMap, HeaderName};

/// Returns whether an origin may take a field with this name for `field`: both names are equal, except for characters that
/// are neither letters nor digits. If a request has both, the origin may use either.
#[must_use]
pub fn is_taken_for(name: &HeaderName, field: &HeaderName) -> bool {
    let (name, field) = (name.as_str().as_bytes(), field.as_str().as_bytes());
    name.len() == field.len() && begins(name, field)
}

/// A set of field names, which also finds names that an origin may take for one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    names: Vec<HeaderName>,
    /// A bit for the first character of each: for most names this alone tells that they are not in the set.
    begins: u64,
}

impl Names {
    /// Returns whether an origin may take a field with this name for one of them (see [`is_taken_for`]).
    #[must_use]
    pub fn has(&self, name: &HeaderName) -> bool {
        self.begins & begin(name) != 0 && self.names.iter().any(|one| is_taken_for(name, one))
    }

    /// Returns whether an origin may take any field of `headers` for one of them.
    #[must_use]
    pub fn has_any_of(&self, headers: &HeaderMap) -> bool {
        !self.names.is_empty() && headers.keys().any(|name| self.has(name))
    }

    /// Returns whether it is one of them, with exactly this spelling.
    #[must_use]
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.begins & begin(name) != 0 && self.names.contains(name)
    }

    /// Returns the names in the order in which they were given.
    #[must_use]
    pub fn as_slice(&self) -> &[HeaderName] {
        &self.names
    }
}

impl FromIterator<HeaderName> for Names {
    fn from_iter<I: IntoIterator<Item = HeaderName>>(names: I) -> Self {
        let names: Vec<HeaderName> = names.into_iter().collect();
        let begins = names.iter().fold(0, |bits, name| bits | begin(name));
        Self { names, begins }
    }
}

fn begin(name: &HeaderName) -> u64 {
    name.as_str().bytes().next().map_or(0, |byte| 1 << (plain(byte) & 63))
}

/// Returns whether `name` begins with `field`, compared as in [`is_taken_for`].
pub(crate) fn begins(name: &[u8], field: &[u8]) -> bool {
    name.len() >= field.len() && name.iter().zip(field).all(|(one, other)| plain(*one) == plain(*other))
}

/// Returns a character of a name as variables spell it.
pub(crate) const fn plain(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte } else { b'-' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_as_servers_take_them() {
        let names: Names = ["x-host", "forwarded"].map(HeaderName::from_static).into_iter().collect();
        for (name, has, contains) in [
            ("x-host", true, true),
            ("x_host", true, false),
            ("x-hosts", false, false),
            ("forwarded", true, true),
            ("accept", false, false),
        ] {
            let name = HeaderName::from_static(name);
            assert_eq!((names.has(&name), names.contains(&name)), (has, contains), "{name}");
            let headers = [(name, http::HeaderValue::from_static(""))].into_iter().collect();
            assert_eq!(names.has_any_of(&headers), has);
        }
        assert!(!Names::default().has(&HeaderName::from_static("x-host")));
    }
}
