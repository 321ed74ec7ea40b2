//! Whether an entry of `allowed_outbound_hosts` covers a node of Redis, by the rules of the host.

use super::address::{DEFAULT_PORT, HostPort, RedisAddress};
use std::net::IpAddr;

impl RedisAddress {
    /// Returns whether `entry`, one of `allowed_outbound_hosts`, allows connections to `node` with our scheme.
    pub(super) fn is_allowed_by(&self, entry: &str, node: &HostPort) -> bool {
        let Some((scheme, rest)) = entry.split_once("://") else { return false };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let colon = rest.rfind(':').filter(|colon| !rest[*colon..].contains(']'));
        let (host, port) = colon.map_or((rest, ""), |colon| (&rest[..colon], &rest[colon + 1..]));
        (scheme == "*" || scheme == self.scheme())
            && host_allows(host, node.host())
            && port_allows(port, node.port().or(self.place().port()), self.is_tls())
    }
}

fn host_allows(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some("") => true,
        Some(suffix) => suffix.starts_with('.') && host.len() > suffix.len() && host.ends_with(suffix),
        None => pattern.eq_ignore_ascii_case(host) || in_network(pattern, host),
    }
}

/// Returns whether an address is in a network such as `10.0.0.0/8`.
fn in_network(network: &str, host: &str) -> bool {
    let ip = |text: &str| text.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    let Some((base, bits)) = network.split_once('/') else { return false };
    let (Some(base), Some(host), Ok(bits)) = (ip(base), ip(host), bits.parse::<u32>()) else { return false };
    match (base, host) {
        (IpAddr::V4(a), IpAddr::V4(b)) if bits <= 32 => {
            (a.to_bits() ^ b.to_bits()).checked_shr(32 - bits).unwrap_or(0) == 0
        }
        (IpAddr::V6(a), IpAddr::V6(b)) if bits <= 128 => {
            (a.to_bits() ^ b.to_bits()).checked_shr(128 - bits).unwrap_or(0) == 0
        }
        _ => false,
    }
}

fn port_allows(pattern: &str, port: Option<u16>, tls: bool) -> bool {
    let port = port.unwrap_or(DEFAULT_PORT);
    let number = |text: &str| text.parse::<u16>().ok();
    match pattern.split_once("..") {
        Some((low, high)) => {
            number(low).zip(number(high)).is_some_and(|(low, high)| (low..high).contains(&port))
        }
        None if pattern.is_empty() => !tls && port == DEFAULT_PORT,
        None => pattern == "*" || number(pattern) == Some(port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outbound_host_entry_allows_what_spin_allows() {
        let address = RedisAddress::parse("redis://a.example:6379").ok().unwrap();
        let node = address.place().clone();
        for entry in [
            "redis://a.example:6379",
            "redis://A.example",
            "redis://a.example/",
            "redis://*.example:6379",
            "redis://*:*",
            "*://*:*",
            "redis://a.example:6000..7000",
        ] {
            assert!(address.is_allowed_by(entry, &node), "{entry}");
        }
        for entry in
            ["", "a.example", "rediss://a.example:6379", "redis://b.example", "redis://a.example:6380"]
        {
            assert!(!address.is_allowed_by(entry, &node), "{entry}");
        }
    }

    #[test]
    fn an_outbound_host_entry_may_be_a_network() {
        let address = RedisAddress::parse("redis://10.0.1.7:7001").ok().unwrap();
        let node = address.place().clone();
        for entry in ["redis://10.0.0.0/16:7001", "redis://10.0.1.7/32:7000..7003", "redis://0.0.0.0/0:*"] {
            assert!(address.is_allowed_by(entry, &node), "{entry}");
        }
        for entry in [
            "redis://10.0.0.0/24:7001",
            "redis://10.0.0.0/33:7001",
            "redis://10.0.0.0/16",
            "redis://::/0:7001",
        ] {
            assert!(!address.is_allowed_by(entry, &node), "{entry}");
        }
        let node = HostPort::parse("[fd00::7]:7001").unwrap();
        assert!(address.is_allowed_by("redis://fd00::/8:7001", &node));
    }
}
