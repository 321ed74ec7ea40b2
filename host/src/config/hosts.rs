//! `allowed_outbound_hosts`: which addresses a component may reach.

use super::address::{Address, chaining_host};
use super::template::Template;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::Range;
use url::Host;

/// The suffix that stands for every component of the app.
const EVERY_COMPONENT: &str = ".spin.internal";

/// The whole list of a component. One invalid entry makes all of it unusable: a list that allows
/// less than its author meant must not seem to work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedHosts {
    entries: Vec<Entry>,
}

impl AllowedHosts {
    /// Resolves and parses a component's list; `components` are the ids for which `*.spin.internal` stands.
    ///
    /// # Errors
    /// The first entry that is not `scheme://host[:port]`, or whose variables have no value.
    pub fn parse(
        list: &[String],
        values: &BTreeMap<String, String>,
        components: &[String],
    ) -> Result<Self, String> {
        let mut entries = Vec::with_capacity(list.len());
        for text in list {
            let template = Template::parse(text)?;
            let resolved = template.resolve(values).map_err(|e| format!("{text:?}: {e}"))?;
            // A variable that is empty may switch an endpoint off; an entry that is written empty is a mistake.
            let switched_off = matches!(resolved.as_str(), "" | "http://" | "https://");
            if switched_off && !template.is_literal() {
                continue;
            }
            let entry = Entry::parse(&resolved).map_err(|e| format!("{text:?}: {e}"))?;
            entries.extend(entry.expand(components));
        }
        Ok(Self { entries })
    }

    /// Returns whether some entry allows `address`.
    #[must_use]
    pub fn allow(&self, address: &Address) -> bool {
        self.entries.iter().any(|entry| entry.allows(address))
    }

    /// Returns whether some entry allows requests of the app to itself (`http://self`).
    #[must_use]
    pub fn allow_self(&self) -> bool {
        let http = |scheme: &Scheme| scheme.allows("http") || scheme.allows("https");
        let itself = |host: &HostRule| matches!(host, HostRule::Any | HostRule::Itself);
        self.entries.iter().any(|entry| http(&entry.scheme) && itself(&entry.host))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    scheme: Scheme,
    host: HostRule,
    ports: Ports,
}

impl Entry {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").ok_or_else(|| {
            format!(
                "expected <scheme>://<host>[:<port>], `*` allowed for each, found {:?}",
                without_user(text)
            )
        })?;
        if rest.parse::<Ipv6Addr>().is_ok() {
            return Err(format!("expected an IPv6 address in brackets, like [::1]:8080, found {rest:?}"));
        }
        let (host, port) = split_port(rest)?;
        Ok(Self {
            ports: Ports::parse(port, scheme)?,
            scheme: Scheme::parse(scheme)?,
            host: HostRule::parse(host)?,
        })
    }

    fn allows(&self, address: &Address) -> bool {
        self.scheme.allows(&address.scheme)
            && self.host.allows(&address.host)
            && self.ports.allow(address.port, &address.scheme)
    }

    /// Expands `*.spin.internal` to the components of this app: it does not mean any name that a resolver may know.
    fn expand(self, components: &[String]) -> Vec<Self> {
        match &self.host {
            HostRule::Subdomains(suffix) if suffix == EVERY_COMPONENT => components
                .iter()
                .map(|id| Self { host: HostRule::Exact(Host::Domain(chaining_host(id))), ..self.clone() })
                .collect(),
            _ => vec![self],
        }
    }
}

/// Returns what an error message may show of an entry, which may be an address with a password.
fn without_user(text: &str) -> &str {
    text.rsplit_once('@').map_or(text, |(_, rest)| rest)
}

fn split_port(rest: &str) -> Result<(&str, &str), String> {
    let Some((host, tail)) = rest.rsplit_once(':') else {
        return Ok((rest, ""));
    };
    // An IPv6 address has colons of its own.
    if tail.is_empty() || HostRule::parse(rest).is_ok() {
        return Ok(if tail.is_empty() { (host, "") } else { (rest, "") });
    }
    match tail.split_once('/') {
        // What looks like a path may be the rest of a password with a slash in it.
        Some((_, path)) if !path.is_empty() => {
            Err("expected nothing after the port, found a path".to_owned())
        }
        Some((port, _)) => Ok((host, port)),
        None => Ok((host, tail)),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Scheme {
    Any,
    Exact(String),
}

impl Scheme {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "*" => Ok(Self::Any),
            _ if text.chars().all(char::is_alphabetic) => Ok(Self::Exact(text.to_owned())),
            _ => Err(format!("expected a scheme of letters or `*`, found {text:?}")),
        }
    }

    fn allows(&self, scheme: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(it) => it == scheme,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostRule {
    Any,
    /// `self`: the app's own routes.
    Itself,
    /// A suffix that begins with a dot.
    Subdomains(String),
    Network(IpAddr, u8),
    Exact(Host),
}

impl HostRule {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        match text {
            "*" => return Ok(Self::Any),
            "self" | "self.alt" => return Ok(Self::Itself),
            _ => {}
        }
        if let Some(network) = parse_network(text) {
            return Ok(network);
        }
        let text = text.strip_suffix('/').unwrap_or(text);
        if text.contains('/') {
            return Err(format!("expected a host without a path, found {:?}", without_user(text)));
        }
        let invalid = |e| format!("expected a host, found {:?}: {e}", without_user(text));
        if let Some(domain) = text.strip_prefix("*.") {
            return match Host::parse(domain).map_err(invalid)? {
                Host::Domain(domain) if !domain.contains('*') => Ok(Self::Subdomains(format!(".{domain}"))),
                _ => Err(format!("expected a domain after `*.`, found {text:?}")),
            };
        }
        if text.contains('*') {
            return Err(format!("expected `*` for a whole host or its subdomains, found {text:?}"));
        }
        Host::parse(text).map(Self::Exact).map_err(invalid)
    }

    fn allows(&self, host: &str) -> bool {
        let Ok(host) = Host::parse(host) else {
            return false;
        };
        match (self, &host) {
            (Self::Any, _) => true,
            (Self::Exact(it), _) => *it == host,
            (Self::Subdomains(suffix), Host::Domain(domain)) => domain.ends_with(suffix),
            (Self::Network(base, bits), Host::Ipv4(ip)) => in_network((*ip).into(), *base, *bits),
            (Self::Network(base, bits), Host::Ipv6(ip)) => in_network((*ip).into(), *base, *bits),
            (Self::Subdomains(_) | Self::Network(..) | Self::Itself, _) => false,
        }
    }
}

fn parse_network(text: &str) -> Option<HostRule> {
    let (ip, bits) = text.split_once('/')?;
    let ip: IpAddr = ip.parse().ok()?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let bits = bits.parse().ok().filter(|bits| *bits <= most)?;
    Some(HostRule::Network(ip, bits))
}

fn in_network(ip: IpAddr, base: IpAddr, bits: u8) -> bool {
    let (difference, width) = match (ip, base) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits() ^ b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits(), 128),
        _ => return false,
    };
    difference.checked_shr(width - u32::from(bits)).unwrap_or(0) == 0
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Ports {
    Any,
    One(u16),
    /// The end is exclusive.
    Span(Range<u16>),
}

impl Ports {
    fn parse(text: &str, scheme: &str) -> Result<Self, String> {
        let number = |it: &str| {
            it.parse().map_err(|_| format!("expected a port number, found {:?}", without_user(it)))
        };
        match (text, text.split_once("..")) {
            ("", _) => well_known_port(scheme)
                .map(Self::One)
                .ok_or_else(|| format!("expected a port: the scheme {scheme:?} has no well-known one")),
            ("*", _) => Ok(Self::Any),
            (_, Some((start, end))) => Ok(Self::Span(number(start)?..number(end)?)),
            (_, None) => number(text).map(Self::One),
        }
    }

    fn allow(&self, port: Option<u16>, scheme: &str) -> bool {
        let port = port.or_else(|| well_known_port(scheme));
        match (self, port) {
            (Self::Any, _) => true,
            (_, None) => false,
            (Self::One(it), Some(port)) => *it == port,
            (Self::Span(range), Some(port)) => range.contains(&port),
        }
    }
}

fn well_known_port(scheme: &str) -> Option<u16> {
    Some(match scheme {
        "http" => 80,
        "https" => 443,
        "redis" => 6379,
        "postgres" => 5432,
        "mysql" => 3306,
        "mqtt" => 1883,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> Result<AllowedHosts, String> {
        let values = [("host", "redis://10.0.0.7:6390"), ("empty", "")];
        let values = values.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let entries: Vec<String> = entries.iter().map(|it| (*it).to_owned()).collect();
        AllowedHosts::parse(&entries, &values, &["one".to_owned(), "two".to_owned()])
    }

    fn allows(entry: &str, address: &str) -> bool {
        list(&[entry]).unwrap().allow(&Address::parse(address, "http").unwrap())
    }

    #[test]
    fn scheme_host_and_port_must_all_match() {
        assert!(allows("https://example.com", "https://example.com/path?q"));
        assert!(!allows("https://example.com", "http://example.com"));
        assert!(!allows("https://example.com", "https://example.com:8443"));
        assert!(!allows("https://example.com", "https://www.example.com"));
        assert!(allows("http://EXAMPLE.com/", "http://example.com"));
        assert!(allows("*://example.com:*", "ftp://example.com:2121"));
        assert!(allows("*://*:*", "redis://u:p@somewhere:1/2"));
        assert!(allows("redis://db", "redis://db:6379"));
        assert!(allows("rediss://db:6380", "rediss://:pw@db:6380"));
    }

    #[test]
    fn wildcards_ranges_and_networks() {
        assert!(allows("http://*.example.com", "http://a.b.example.com"));
        assert!(!allows("http://*.example.com", "http://example.com"));
        assert!(allows("http://h:6000..6002", "http://h:6001"));
        assert!(!allows("http://h:6000..6002", "http://h:6002"));
        assert!(allows("redis://10.1.0.0/16:6379", "redis://10.1.255.3"));
        assert!(!allows("redis://10.1.0.0/16:6379", "redis://10.2.0.1"));
        assert!(allows("http://[::1]:8080", "http://[::1]:8080"));
        assert!(allows("http://::1/128:8080", "http://[::1]:8080"));
        assert!(allows("http://127.0.0.1:3000", "http://127.0.0.1:3000"));
        assert!(allows("http://0.0.0.0/0:*", "http://1.2.3.4:5"));
    }

    #[test]
    fn mistakes_are_errors() {
        let wrong = [
            "",
            "*",
            "example.com",
            "redis://h:6379/0",
            "https://h/x",
            "rediss://h",
            "http://h:x",
            "http://a.*.b",
            "http://u:p@h",
            "x-y://h:1",
            "http://",
            "{{ nope }}",
            "{{ open",
        ];
        for entry in wrong {
            assert!(list(&[entry]).is_err(), "{entry}");
        }
        assert!(list(&["http://fine", "rediss://h"]).is_err(), "one wrong entry spoils the list");
    }

    #[test]
    fn an_ipv6_address_needs_brackets() {
        for entry in ["http://::1", "http://::1:8080", "redis://2001:db8::1"] {
            assert!(list(&[entry]).is_err_and(|problem| problem.contains("in brackets")), "{entry}");
        }
    }

    #[test]
    fn messages_never_show_a_password() {
        for entry in
            ["hunter2@h", "http://u:hunter2@h", "redis://u:hunter2@h:6379/0", "redis://u:a/hunter2@h"]
        {
            let message = Entry::parse(entry).unwrap_err();
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn templates_resolve_and_empty_ones_vanish() {
        assert!(allows("{{ host }}", "redis://user:pw@10.0.0.7:6390/1"));
        assert_eq!(list(&["{{ empty }}", "https://{{ empty }}"]).unwrap(), AllowedHosts::default());
        assert!(list(&["redis://{{ empty }}"]).is_err());
    }

    #[test]
    fn chaining_covers_the_components_of_the_app() {
        assert!(allows("http://one.spin.internal", "http://one.spin.internal/x"));
        assert!(allows("http://*.spin.internal", "http://two.spin.internal"));
        assert!(!allows("http://*.spin.internal", "http://three.spin.internal"));
    }

    #[test]
    fn requests_to_itself_need_self_or_any() {
        assert!(list(&["http://self"]).unwrap().allow_self());
        assert!(list(&["*://*:*"]).unwrap().allow_self());
        assert!(!list(&["http://example.com"]).unwrap().allow_self());
        assert!(!allows("http://self", "http://self"));
    }
}
