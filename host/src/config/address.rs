//! Addresses that components want to reach, reduced to what matters for permission.

use url::Url;

/// The domain whose subdomains are components of the same app.
const CHAINING_DOMAIN: &str = "spin.internal";

/// Scheme, host and port of an address; user, path and query do not matter for permission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// In lower case, without `://`.
    pub scheme: String,
    /// As written, IPv6 in brackets; compared case-insensitively.
    pub host: String,
    /// As written; `None` if it is absent or the scheme's default.
    pub port: Option<u16>,
}

impl Address {
    /// Parses `text`, with `default_scheme` if it has none.
    ///
    /// # Errors
    /// The error of the URL parser. The message never repeats `text`, which may contain a password.
    pub fn parse(text: &str, default_scheme: &str) -> Result<Self, String> {
        let text = encode_user_info(text);
        let url = match Url::parse(&text) {
            Ok(url) if url.has_host() => url,
            first => {
                let second = Url::parse(&format!("{default_scheme}://{text}"));
                second.map_err(|e| format!("expected a URL: {}", first.err().unwrap_or(e)))?
            }
        };
        let host = url.host_str().ok_or("expected a URL with a host, found none")?;
        Ok(Self { scheme: url.scheme().to_owned(), host: host.to_owned(), port: url.port() })
    }
}

/// Passwords may contain characters that would end the host in a URL, so the part before `@` is
/// encoded before parsing. It is not used afterwards, so encoding it twice does no harm.
fn encode_user_info(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + 3);
    let path = text[start..].find('/').map_or(usize::MAX, |at| at + start);
    let Some(at) = text.find('@').filter(|at| (start..path).contains(at)) else {
        return text.to_owned();
    };
    let mut encoded = text[..start].to_owned();
    for byte in text[start..at].bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded + &text[at..]
}

/// Returns the component for which `host`, with or without a port, stands: `x` for `x.spin.internal`.
#[must_use]
pub fn chained_component(host: &str) -> Option<&str> {
    let host = host.trim().rsplit_once(':').map_or(host.trim(), |(host, _)| host);
    let (component, domain) = host.split_once('.')?;
    (domain == CHAINING_DOMAIN).then_some(component)
}

/// Returns the host that stands for `component`.
#[must_use]
pub fn chaining_host(component: &str) -> String {
    format!("{component}.{CHAINING_DOMAIN}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (String, String, Option<u16>) {
        let it = Address::parse(text, "redis").unwrap();
        (it.scheme, it.host, it.port)
    }

    #[test]
    fn credentials_path_and_query_are_dropped() {
        let expected = ("redis".to_owned(), "db.example".to_owned(), Some(6380));
        assert_eq!(parse("redis://user:pa#ss?w:rd@db.example:6380/3?x=1"), expected);
        assert_eq!(parse("redis://:p%20w@db.example:6380"), expected);
        assert_eq!(parse("db.example:6380"), expected);
    }

    #[test]
    fn a_default_port_counts_as_absent() {
        assert_eq!(parse("http://example:80/x").2, None);
        assert_eq!(parse("redis://example").2, None);
        assert_eq!(parse("redis://[::1]:7").1, "[::1]");
    }

    #[test]
    fn nonsense_is_an_error_that_keeps_the_password() {
        let message = Address::parse("u:hunter2@[::x", "redis").unwrap_err();
        assert!(!message.contains("hunter2"), "{message}");
    }

    #[test]
    fn chaining_hosts_name_a_component() {
        assert_eq!(chained_component("demo-origin.spin.internal"), Some("demo-origin"));
        assert_eq!(chained_component("a.spin.internal:80"), Some("a"));
        assert_eq!(chained_component("a.b.spin.internal"), None);
        assert_eq!(chained_component("spin.internal"), None);
        assert_eq!(chaining_host("a"), "a.spin.internal");
    }
}
