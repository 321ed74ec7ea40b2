//! `redis://[user:password@]host[:port][/database]`, and the part of it that components may reach.

use std::fmt;

use crate::failure::{Result, fail};

const DEFAULT_PORT: u16 = 6379;

/// A checked URL. `Debug` shows no credentials.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RedisUrl {
    text: String,
    scheme: &'static str,
    user: Option<String>,
    password: Option<String>,
    /// With brackets if it is an IPv6 address.
    host: String,
    port: u16,
}

impl RedisUrl {
    /// Makes the URL of a server on this machine.
    pub(crate) fn local(port: u16) -> Self {
        let host = "127.0.0.1".to_owned();
        let text = format!("redis://{host}:{port}");
        Self { text, scheme: "redis", user: None, password: None, host, port }
    }

    /// Parses a URL; the error never repeats it, because it may contain a password.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let expected = "expected a Redis URL like redis://host:6379 or rediss://user:password@host:6380/0";
        let (scheme, rest) = match text.split_once("://") {
            Some(("redis", rest)) => ("redis", rest),
            Some(("rediss", rest)) => ("rediss", rest),
            Some((other, _)) => return fail(format!("{expected}, found the scheme `{other}`")),
            None => return fail(format!("{expected}, found no `://`")),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (credentials, address) = match authority.rsplit_once('@') {
            Some((credentials, address)) => (Some(credentials), address),
            None => (None, authority),
        };
        let Some((host, port)) = split_port(address) else {
            return fail(format!("{expected}, with special characters of user and password percent-encoded"));
        };
        let (user, password) = split_credentials(credentials);
        Ok(Self { text: text.to_owned(), scheme, user, password, host: host.to_owned(), port })
    }

    /// Returns the whole URL, for the variable `redis_url`: a secret.
    pub(crate) fn secret(&self) -> &str {
        &self.text
    }

    /// Returns scheme, host and port, for the variable `redis_host`: Spin knows no default port for `rediss`.
    pub(crate) fn host(&self) -> String {
        format!("{}://{}:{}", self.scheme, self.host, self.port)
    }

    /// Returns the address to connect to.
    pub(super) fn address(&self) -> (&str, u16) {
        (self.host.trim_start_matches('[').trim_end_matches(']'), self.port)
    }

    /// Returns whether the connection is encrypted.
    pub(super) fn is_tls(&self) -> bool {
        self.scheme == "rediss"
    }

    /// Returns the arguments of AUTH, if there is a password.
    pub(super) fn auth(&self) -> Option<Vec<&str>> {
        let password = self.password.as_deref()?;
        Some(self.user.as_deref().into_iter().chain([password]).collect())
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.host())
    }
}

/// Parses `host`, `host:6379`, `[::1]`, `[::1]:6379`.
fn split_port(address: &str) -> Option<(&str, u16)> {
    let after_brackets = address.rfind(']').unwrap_or(0);
    let (host, port) = match address[after_brackets..].rfind(':') {
        Some(colon) => {
            let (host, port) = address.split_at(after_brackets + colon);
            (host, port[1..].parse().ok()?)
        }
        None => (address, DEFAULT_PORT),
    };
    let bare_ipv6 = host.contains(':') && !host.starts_with('[');
    (!host.is_empty() && !bare_ipv6 && port != 0).then_some((host, port))
}

fn split_credentials(credentials: Option<&str>) -> (Option<String>, Option<String>) {
    let Some((user, password)) = credentials.map(|text| text.split_once(':').unwrap_or((text, ""))) else {
        return (None, None);
    };
    let filled = |text: &str| (!text.is_empty()).then(|| percent_decoded(text));
    (filled(user), filled(password))
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        if let Some(byte) = code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> String {
        RedisUrl::parse(text).unwrap().host()
    }

    #[test]
    fn the_host_has_neither_credentials_nor_path() {
        assert_eq!(host("redis://127.0.0.1:6379"), "redis://127.0.0.1:6379");
        assert_eq!(host("redis://cache"), "redis://cache:6379");
        assert_eq!(host("rediss://me:p%40ss@cache.example:6380/2?x=y"), "rediss://cache.example:6380");
        assert_eq!(host("redis://:se@cret@[::1]/0"), "redis://[::1]:6379");
        assert_eq!(host("redis://[::1]:7000"), "redis://[::1]:7000");
    }

    #[test]
    fn credentials_are_decoded_for_auth_and_never_printed() {
        let url = RedisUrl::parse("redis://me:p%40ss%@cache").unwrap();
        assert_eq!(url.auth(), Some(vec!["me", "p@ss%"]));
        assert_eq!(RedisUrl::parse("redis://:only@cache").unwrap().auth(), Some(vec!["only"]));
        assert_eq!(RedisUrl::parse("redis://cache").unwrap().auth(), None);
        assert_eq!(format!("{url:?}"), "redis://cache:6379");
        for text in ["redis://me:hunter2@cache:port", "redis://:hunter2/x@cache", "redis://me:hunter2"] {
            let failure = RedisUrl::parse(text).unwrap_err().to_string();
            assert!(!failure.contains("hunter2"), "{failure}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for text in
            ["cache:6379", "http://cache", "redis://", "redis://:6379", "redis://cache:0", "redis://::1"]
        {
            assert!(RedisUrl::parse(text).is_err(), "{text}");
        }
    }
}
