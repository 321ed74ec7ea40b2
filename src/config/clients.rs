//! Who sees what the cache reveals about itself.

use super::table::Table;
use super::value::{one_of, string};
use ipnet::{IpNet, Ipv4Net};
use std::net::IpAddr;

/// Who sees `Cache-Status` (RFC 9211), which shows what others have requested (RFC 9211 §6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusAudience {
    see: See,
    trusted: Vec<IpNet>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum See {
    #[default]
    All,
    Trusted,
    None,
}

/// How much of it one client sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Nothing.
    Nothing,
    /// How the request was handled.
    Outcome,
    /// The same, and the key of the lookup.
    Everything,
}

impl StatusAudience {
    /// Returns what the client at this address sees; one without an address is not trusted.
    #[must_use]
    pub fn shows(&self, client: Option<IpAddr>) -> Shown {
        if self.see == See::None {
            return Shown::Nothing;
        }
        // In the usual configuration there is nothing to compare.
        let trusted = !self.trusted.is_empty() && client.is_some_and(|client| self.trusts(client));
        match (self.see, trusted) {
            (_, true) => Shown::Everything,
            (See::All, false) => Shown::Outcome,
            (See::Trusted | See::None, false) => Shown::Nothing,
        }
    }

    fn trusts(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.trusted.iter().any(|network| network.contains(&client))
    }

    /// Reads the keys `cache_status` and `trusted`.
    pub(super) fn read(table: &mut Table<'_, '_>) -> Self {
        let words = [("all", See::All), ("trusted", See::Trusted), ("none", See::None)];
        let see = table.read("cache_status", one_of(&words)).unwrap_or_default();
        let what = "a network like \"10.0.0.0/8\" or an address like \"::1\"";
        let trusted = table.strings("trusted", string(what, network)).unwrap_or_default();
        let named = table.has("trusted");
        if see == See::Trusted && trusted.is_empty() && !named {
            table.fail(
                "cache_status",
                "expected the list `trusted`, found none: without it no client gets the field",
            );
        }
        if see == See::None && named {
            table.fail_key("trusted", "has no effect, because cache_status is \"none\"".to_owned());
        }
        Self { see, trusted }
    }
}

fn network(text: &str) -> Option<IpNet> {
    let network = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    network.map(canonical)
}

/// Converts a network of IPv4-mapped IPv6 addresses (`::ffff:10.0.0.0/104`) to the IPv4 network, since the addresses of
/// clients are compared in that form.
pub(super) fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    let bits = mapped.prefix_len().checked_sub(96);
    let plain = mapped.addr().to_ipv4_mapped().zip(bits);
    plain.and_then(|(address, bits)| Ipv4Net::new(address, bits).ok()).map_or(network, IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn shown(text: &str, client: &str) -> Shown {
        let config = Config::parse(&format!("[cache]\n{text}"), "f").unwrap();
        config.cache.cache_status.shows(client.parse().ok())
    }

    #[test]
    fn whoever_is_trusted_sees_everything() {
        let both =
            "trusted = [\"10.0.0.0/8\", \"2001:db8::1\", \"::ffff:192.0.2.0/120\", \"::ffff:203.0.113.1\"]";
        let only = format!("cache_status = \"trusted\"\n{both}");
        for (client, trusted) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("2001:db8::1", true),
            ("192.0.2.7", true),
            ("::ffff:203.0.113.1", true),
            ("203.0.113.2", false),
            ("11.1.2.3", false),
            ("2001:db8::2", false),
            ("nobody", false),
        ] {
            let (open, closed) = (shown(both, client), shown(&only, client));
            assert_eq!(open, if trusted { Shown::Everything } else { Shown::Outcome }, "{client}");
            assert_eq!(closed, if trusted { Shown::Everything } else { Shown::Nothing }, "{client}");
        }
        assert_eq!(shown("", "10.0.0.1"), Shown::Outcome);
        assert_eq!(shown("cache_status = \"none\"", "10.0.0.1"), Shown::Nothing);
    }

    #[test]
    fn what_would_show_it_to_nobody_is_an_error() {
        for (text, part) in [
            ("cache_status = \"trusted\"", "expected the list `trusted`"),
            ("cache_status = \"none\"\ntrusted = [\"::1\"]", "has no effect"),
            ("cache_status = true", "expected \"all\" or \"trusted\" or \"none\", found true"),
            ("trusted = [\"10.0.0.0/33\"]", "cache.trusted[0]: expected a network like"),
            ("trusted = [\"localhost\"]", "cache.trusted[0]: expected a network like"),
        ] {
            let problem = Config::parse(&format!("[cache]\n{text}"), "f").unwrap_err().to_string();
            assert!(problem.contains(part) && problem.lines().count() == 1, "{problem}");
        }
    }
}
