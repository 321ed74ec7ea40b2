//! Fields as servers hand them on in variables (RFC 3875 §4.1.18): there `X_Forwarded_For` is `X-Forwarded-For`.

use http::{HeaderMap, HeaderName};

/// Whether a server behind may take a field with this name for `field`: the same name, but for characters that are neither
/// letters nor digits. Where both are there, either may count.
#[must_use]
pub fn is_taken_for(name: &HeaderName, field: &HeaderName) -> bool {
    let (name, field) = (name.as_str().as_bytes(), field.as_str().as_bytes());
    name.len() == field.len() && begins(name, field)
}

/// Names of fields, among which one is looked for in that sense.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    names: Vec<HeaderName>,
    /// A bit for what each begins with: mostly that alone tells that a name is none of them.
    begins: u64,
}

impl Names {
    /// Whether a server behind may take a field with this name for one of them.
    #[must_use]
    pub fn has(&self, name: &HeaderName) -> bool {
        self.begins & begin(name) != 0 && self.names.iter().any(|one| is_taken_for(name, one))
    }

    /// The same of any field among these.
    #[must_use]
    pub fn has_any_of(&self, headers: &HeaderMap) -> bool {
        !self.names.is_empty() && headers.keys().any(|name| self.has(name))
    }

    /// Whether it is one of them, as it is spelled.
    #[must_use]
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.begins & begin(name) != 0 && self.names.contains(name)
    }

    /// As they were given.
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

/// Whether `name` begins as `field` does in that sense.
pub(crate) fn begins(name: &[u8], field: &[u8]) -> bool {
    name.len() >= field.len() && name.iter().zip(field).all(|(one, other)| plain(*one) == plain(*other))
}

/// A character of a name, as it stands in a variable.
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
