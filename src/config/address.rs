//! The addresses of the origin and of Redis.

use super::secret::Secret;
use http::uri::{Authority, Scheme};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A host and optionally a port, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    host: String,
    port: Option<u16>,
}

impl HostPort {
    /// Parses `host`, `host:port`, `192.0.2.1:port` or `[::1]:port`; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let end = match text.find(']') {
            Some(bracket) => bracket + 1,
            None => text.find(':').unwrap_or(text.len()),
        };
        let (host, rest) = text.split_at(end);
        let port = match rest.strip_prefix(':') {
            Some(digits) => Some(port(digits)?),
            None if rest.is_empty() => None,
            None => return None,
        };
        is_host(host).then(|| Self { host: host.to_ascii_lowercase(), port })
    }

    /// Returns the host in lower case, an IPv6 address in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port, if one was given.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Returns the same host with another port.
    #[must_use]
    pub fn with_port(&self, port: u16) -> Self {
        Self { host: self.host.clone(), port: Some(port) }
    }

    /// Returns whether the host is an IP address rather than a name.
    #[must_use]
    pub fn is_ip(&self) -> bool {
        self.host.starts_with('[') || self.host.parse::<Ipv4Addr>().is_ok()
    }

    fn or_port(self, default: Option<u16>) -> Self {
        Self { port: self.port.or(default), ..self }
    }
}

fn port(digits: &str) -> Option<u16> {
    let digits = Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok().filter(|port| *port > 0)
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => {
            let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            // A name that ends in a number is an address to URL parsers, or invalid: one such entry makes the host refuse all.
            let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
            let is_name = !last.is_empty() && !last.bytes().all(|byte| byte.is_ascii_digit());
            host.bytes().all(valid) && (is_name || host.parse::<Ipv4Addr>().is_ok())
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Where requests go that the cache does not answer: a scheme and an authority, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: Scheme,
    authority: Authority,
}

impl Origin {
    /// Parses `http://host[:port]` or `https://host[:port]`, with at most one `/` after it.
    ///
    /// `None` for anything else, including user information, a path, a query or a fragment.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        // Lower case only: hosts compare the scheme of an allowed address as it is written.
        let scheme = match scheme {
            "http" => Scheme::HTTP,
            "https" => Scheme::HTTPS,
            _ => return None,
        };
        let place = HostPort::parse(rest.strip_suffix('/').unwrap_or(rest))?;
        Some(Self { scheme, authority: place.to_string().parse().ok()? })
    }

    /// `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Host and optionally port, without user information.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }
}

/// The demo origin of the same app.
impl Default for Origin {
    fn default() -> Self {
        Self { scheme: Scheme::HTTP, authority: Authority::from_static("demo-origin.spin.internal") }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

/// The address of Redis, and the credentials for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisAddress {
    url: Secret,
    /// Everything between `://` and the host.
    userinfo: Secret,
    tls: bool,
    place: HostPort,
    /// Everything after host and port: database, options, fragment.
    tail: String,
    nodes: Vec<HostPort>,
}

/// Why a `redis_url` is invalid. It does not show what was found, because a part of that may be the password.
pub(super) struct NotRedis(pub(super) &'static str);

impl RedisAddress {
    /// Parses `redis://[user][:password]@host[:port][/database]`, or with `rediss://` the same over TLS.
    pub(super) fn parse(text: &str) -> Result<Self, NotRedis> {
        let (tls, rest) = match text.split_once("://") {
            Some(("redis", rest)) => (false, rest),
            Some(("rediss", rest)) => (true, rest),
            _ => return Err(NotRedis("expected a URL that begins with redis:// or rediss://")),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let at = authority.rfind('@').map_or(0, |at| at + 1);
        let (userinfo, place) = authority.split_at(at);
        let ambiguous = tail.contains('@') || userinfo.matches('@').count() > 1;
        let problem = if ambiguous {
            "expected user and password percent-encoded (\"@\" is %40, \"/\" is %2F, \"#\" is %23, \"?\" is %3F)"
        } else {
            "expected a host name or address and a port from 1 to 65535 after redis://[user:password@]"
        };
        let place = HostPort::parse(place).filter(|_| !ambiguous).ok_or(NotRedis(problem))?;
        if tls && place.port.is_none() {
            return Err(NotRedis("expected a port: Spin has no default port for rediss://"));
        }
        check_tail(tail, tls)?;
        Ok(Self {
            url: Secret::new(text),
            userinfo: Secret::new(userinfo),
            tls,
            place: place.or_port(Some(DEFAULT_PORT)),
            tail: tail.to_owned(),
            nodes: Vec::new(),
        })
    }

    /// Adds the seed nodes of a cluster.
    pub(super) fn with_nodes(self, nodes: Vec<HostPort>) -> Self {
        Self { nodes, ..self }
    }

    /// Returns the URL as it was given, including credentials.
    #[must_use]
    pub fn url(&self) -> &Secret {
        &self.url
    }

    /// Returns the seed nodes of a cluster; empty for a single Redis.
    #[must_use]
    pub fn nodes(&self) -> &[HostPort] {
        &self.nodes
    }

    /// Returns the URL of another node of the same cluster: with the same scheme, credentials and options.
    #[must_use]
    pub fn url_of(&self, node: &HostPort) -> Secret {
        let node = node.clone().or_port(self.place.port);
        Secret::new(format!("{}://{}{node}{}", self.scheme(), self.userinfo.expose(), self.tail))
    }

    /// Returns the address without credentials and path, as `allowed_outbound_hosts` must contain it.
    #[must_use]
    pub fn outbound_host(&self) -> String {
        format!("{}://{}", self.scheme(), self.place)
    }

    /// Returns the same form of the address of a cluster node.
    #[must_use]
    pub fn outbound_host_of(&self, node: &HostPort) -> String {
        format!("{}://{node}", self.scheme())
    }

    /// Returns host and port.
    #[must_use]
    pub fn place(&self) -> &HostPort {
        &self.place
    }

    /// Returns whether the URL selects a database other than 0, the only one of a cluster.
    pub(super) fn selects_database(&self) -> bool {
        let path = self.tail.split(['?', '#']).next().unwrap_or_default();
        path.bytes().any(|byte| (b'1'..=b'9').contains(&byte))
    }

    /// Returns whether connections are encrypted.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        self.tls
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.tls { "rediss" } else { "redis" }
    }
}

/// The default port of `redis://`.
pub(super) const DEFAULT_PORT: u16 = 6379;

fn check_tail(tail: &str, tls: bool) -> Result<(), NotRedis> {
    let (rest, fragment) = tail.split_once('#').map_or((tail, None), |(rest, end)| (rest, Some(end)));
    let (path, query) = rest.split_once('?').map_or((rest, None), |(rest, end)| (rest, Some(end)));
    let database = path.strip_prefix('/').unwrap_or(path);
    if !database.bytes().all(|byte| byte.is_ascii_digit()) || database.len() > 5 {
        return Err(NotRedis("expected a database number or nothing as the path"));
    }
    if query.is_some_and(|query| query != "protocol=resp2") {
        return Err(NotRedis("expected no query: Spin understands the replies of RESP2 only"));
    }
    if fragment.is_some_and(|fragment| !tls || fragment != "insecure") {
        return Err(NotRedis("expected no fragment, or #insecure after rediss://"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_origin_is_a_scheme_and_an_authority() {
        for (text, expected) in [
            ("http://example.com", "http://example.com"),
            ("https://Example.com:8443/", "https://example.com:8443"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("http://demo-origin.spin.internal", "http://demo-origin.spin.internal"),
        ] {
            assert_eq!(Origin::parse(text).map(|origin| origin.to_string()).as_deref(), Some(expected));
        }
        for bad in [
            "",
            "example.com",
            "ftp://example.com",
            "http://",
            "http:///",
            "http://u@example.com",
            "http://example.com/a",
            "http://example.com?a",
            "http://example.com#a",
            "http://example.com:",
            "http://example.com:0",
            "http://example.com:99999",
            "http://[::1",
            "http://exa mple.com",
            "HTTPS://example.com",
            // A host name that ends in a number is an address, or not valid in a URL.
            "http://256.1.1.1",
            "http://shop.1",
        ] {
            assert_eq!(Origin::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_redis_url_keeps_its_credentials_for_other_nodes_only() {
        let address = RedisAddress::parse("rediss://user:p%40ss@Redis.example:6380/2#insecure").ok().unwrap();
        assert_eq!(address.outbound_host(), "rediss://redis.example:6380");
        assert!(address.selects_database());
        let node = HostPort::parse("10.0.0.2:7001").unwrap();
        assert_eq!(address.url_of(&node).expose(), "rediss://user:p%40ss@10.0.0.2:7001/2#insecure");
        assert!(!format!("{address:?}").contains("p%40ss"));
        let plain = RedisAddress::parse("redis://localhost").ok().unwrap();
        assert_eq!(plain.outbound_host(), "redis://localhost:6379");
        assert_eq!(plain.url().expose(), "redis://localhost");
        assert!(!plain.selects_database());
    }

    #[test]
    fn a_wrong_redis_url_is_refused() {
        for bad in [
            "",
            "localhost:6379",
            "http://localhost",
            "redis://",
            "redis://:pw@",
            "redis://h:0",
            "redis://h:70000",
            "redis://h:6379/db",
            "redis://h?protocol=resp3",
            "redis://h#insecure",
            "rediss://h",
            "rediss://h:6380#other",
            "redis://:a/b@h:6379",
            "redis://user:12/3@h",
            "redis://u:a@b@h",
        ] {
            assert!(RedisAddress::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_no_problem(text in "(rediss?|https?)?(://)?[a-z:@/?#\\[\\]0-9%.é]{0,20}") {
            let _ = (Origin::parse(&text), RedisAddress::parse(&text).is_ok(), HostPort::parse(&text));
            let address = RedisAddress::parse("redis://h").ok().unwrap();
            address.is_allowed_by(&text, address.place());
        }
    }
}
