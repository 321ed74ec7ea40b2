//! Who sent a request: the address of the client, or of the one for whom a trusted proxy speaks.
//!
//! Anybody can write a forwarding field, and only what a trusted proxy added to it is believed: the list is read from
//! its end, and the first address that is not a trusted proxy's is the client's. What precedes it may have been written
//! by the client. It must not hide what follows, neither by a quote without an end nor by bytes that are not
//! text.

use crate::field::list;
use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The field in which trusted proxies forward the client's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardingField {
    /// `X-Forwarded-For`: addresses, separated by commas.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239): the `for` of each element.
    Forwarded,
}

/// How the client's address is determined, and how much of it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressRules {
    /// The networks of proxies that are trusted. None by default.
    pub trusted_proxies: Vec<IpNet>,
    /// The field that they write.
    pub field: ForwardingField,
    /// How many bits of an IPv6 address count, 1 to 128. Default 64: whoever has one address of such a network has
    /// all of them (RFC 6177).
    pub ipv6_prefix: u8,
}

impl Default for AddressRules {
    fn default() -> Self {
        Self { trusted_proxies: Vec::new(), field: ForwardingField::default(), ipv6_prefix: 64 }
    }
}

impl AddressRules {
    /// Returns the client of a request from `peer` with these fields. `None` if the host knows no peer.
    #[must_use]
    pub fn client(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        let mut client = peer?.to_canonical();
        if !self.trusts(client) {
            return Some(client);
        }
        let (name, address): (_, fn(&str) -> Option<IpAddr>) = match self.field {
            ForwardingField::XForwardedFor => (HeaderName::from_static("x-forwarded-for"), node),
            ForwardingField::Forwarded => (FORWARDED, forwarded_for),
        };
        for claim in headers.get_all(name).iter().rev().flat_map(|line| list::from_end(line.as_bytes())) {
            // What is not an address ends the search: the client is whoever the last proxy saw.
            let Some(address) = str::from_utf8(claim).ok().and_then(address) else { break };
            client = address.to_canonical();
            if !self.trusts(client) {
                break;
            }
        }
        Some(client)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }

    /// Returns the part of an address that counts. An IPv4-mapped IPv6 address (`::ffff:192.0.2.1`) is that IPv4
    /// address.
    #[must_use]
    pub fn counted(&self, address: IpAddr) -> IpAddr {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let kept = u128::MAX.checked_shl(128 - u32::from(self.ipv6_prefix.min(128))).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from(u128::from(address) & kept))
            }
            address => address,
        }
    }
}

/// Parses `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
fn node(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let plain = || text.parse::<IpAddr>().ok();
    plain().or_else(bracketed).or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

/// Returns the `for` of an element of `Forwarded`; `None` for `unknown` and for names that hide the address.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let value = list::split_at(element, b';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(value.trim())
    })?;
    node(&list::unquote(value).unwrap_or_else(|| value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::lines::map;

    fn rules(field: ForwardingField) -> AddressRules {
        let trusted = ["10.0.0.0/8", "2001:db8:1::/48"];
        let trusted_proxies = trusted.iter().map(|network| network.parse().unwrap()).collect();
        AddressRules { trusted_proxies, field, ..AddressRules::default() }
    }

    fn client(rules: &AddressRules, peer: &str, lines: &[(&'static str, &str)]) -> String {
        rules
            .client(peer.parse().ok(), &map(lines))
            .map_or("nobody".to_owned(), |address| address.to_string())
    }

    #[test]
    fn nobody_is_believed_unless_he_is_trusted() {
        let spoofed = [("x-forwarded-for", "1.1.1.1"), ("forwarded", "for=1.1.1.1")];
        assert_eq!(client(&AddressRules::default(), "192.0.2.1", &spoofed), "192.0.2.1");
        assert_eq!(client(&AddressRules::default(), "10.0.0.1", &spoofed), "10.0.0.1");
        for field in [ForwardingField::XForwardedFor, ForwardingField::Forwarded] {
            assert_eq!(client(&rules(field), "192.0.2.1", &spoofed), "192.0.2.1");
        }
        assert_eq!(client(&AddressRules::default(), "", &spoofed), "nobody");
    }

    #[test]
    fn the_rightmost_address_that_is_no_trusted_proxy_is_the_client() {
        let rules = rules(ForwardingField::XForwardedFor);
        for (lines, expected) in [
            (vec!["198.51.100.7"], "198.51.100.7"),
            (vec!["6.6.6.6, 198.51.100.7, 10.1.1.1"], "198.51.100.7"),
            (vec!["6.6.6.6", "198.51.100.7", "10.1.1.1"], "198.51.100.7"),
            (vec!["198.51.100.7:4711"], "198.51.100.7"),
            (vec!["[2001:db8:2::7]:4711,2001:db8:1::1"], "2001:db8:2::7"),
            (vec!["::ffff:198.51.100.7"], "198.51.100.7"),
            (vec!["6.6.6.6, nonsense, 10.1.1.1"], "10.1.1.1"),
            (vec!["6.6.6.6, 300.0.0.1"], "10.0.0.1"),
            (vec!["10.2.2.2, 10.1.1.1"], "10.2.2.2"),
            (vec![""], "10.0.0.1"),
            (vec![], "10.0.0.1"),
        ] {
            let lines: Vec<_> = lines.into_iter().map(|line| ("x-forwarded-for", line)).collect();
            assert_eq!(client(&rules, "10.0.0.1", &lines), expected, "{lines:?}");
            assert_eq!(client(&rules, "::ffff:10.0.0.1", &lines), expected, "{lines:?}");
        }
        assert_eq!(
            client(&rules, "10.0.0.1", &[("forwarded", "for=1.1.1.1")]),
            "10.0.0.1",
            "the other field"
        );
    }

    #[test]
    fn nothing_a_client_writes_hides_what_a_trusted_proxy_adds() {
        for (field, name) in
            [(ForwardingField::XForwardedFor, "x-forwarded-for"), (ForwardingField::Forwarded, "forwarded")]
        {
            let rules = rules(field);
            for before in
                ["\"", "é", "for=\"", "for=\"6.6.6.6", "for=6.6.6.6;by=\"\\", "6.6.6.6, \"\\\"", ",,"]
            {
                for (added, expected) in [
                    ("198.51.100.7", "198.51.100.7"),
                    ("\"198.51.100.7:80\"", "198.51.100.7"),
                    ("\"[2001:db8:2::7]:4711\"", "2001:db8:2::7"),
                ] {
                    let added = match field {
                        ForwardingField::XForwardedFor => added.replace('"', ""),
                        ForwardingField::Forwarded => format!("for={added};host=\"a,\\\",b\""),
                    };
                    // The address is appended to the same line, and on a line of its own.
                    let line = format!("{before}, {added}");
                    assert_eq!(client(&rules, "10.0.0.1", &[(name, &line)]), expected, "{line}");
                    let lines = [(name, before), (name, &added)];
                    assert_eq!(client(&rules, "10.0.0.1", &lines), expected, "{lines:?}");
                }
            }
            // A line that cannot be parsed ends the search: the lines before it come from the client.
            let lines = [(name, "for=6.6.6.6"), (name, "6.6.6.6"), (name, "é")];
            assert_eq!(client(&rules, "10.0.0.1", &lines), "10.0.0.1");
        }
    }

    #[test]
    fn forwarded_is_read_as_its_rfc_has_it() {
        let rules = rules(ForwardingField::Forwarded);
        for (value, expected) in [
            ("for=6.6.6.6, for=198.51.100.7;proto=http;by=10.0.0.1", "198.51.100.7"),
            ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("proto=https;for=\"198.51.100.7:80\"", "198.51.100.7"),
            ("for=6.6.6.6, for=_hidden, for=10.1.1.1", "10.1.1.1"),
            ("for=6.6.6.6, for=unknown", "10.0.0.1"),
            ("for=6.6.6.6, proto=http", "10.0.0.1"),
            ("for=\"6.6.6.6, for=198.51.100.7", "198.51.100.7"),
            ("for=6.6.6.6, for=\"198.51.100.7", "10.0.0.1"),
        ] {
            assert_eq!(client(&rules, "10.0.0.1", &[("forwarded", value)]), expected, "{value}");
        }
    }

    #[test]
    fn an_ipv6_address_counts_by_its_network() {
        let counted = |prefix, address: &str| {
            let rules = AddressRules { ipv6_prefix: prefix, ..AddressRules::default() };
            rules.counted(address.parse().unwrap()).to_string()
        };
        for (prefix, address, expected) in [
            (64, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            (56, "2001:db8:1:2ff:3:4:5:6", "2001:db8:1:200::"),
            (48, "2001:db8:1:2::", "2001:db8:1::"),
            (128, "2001:db8::1", "2001:db8::1"),
            (1, "ffff::1", "8000::"),
            (64, "::ffff:192.0.2.1", "192.0.2.1"),
            (64, "::ffff:c000:201", "192.0.2.1"),
            (64, "192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(counted(prefix, address), expected, "{address}/{prefix}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_field_panics(text in "[0-9a-f.:,;=\\[\\]\"for_ ]{0,60}") {
            for field in [ForwardingField::XForwardedFor, ForwardingField::Forwarded] {
                let _ = client(&rules(field), "10.0.0.1", &[("x-forwarded-for", &text), ("forwarded", &text)]);
            }
        }
    }
}
