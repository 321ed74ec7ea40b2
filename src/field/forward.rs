//! What an intermediary says of itself and of the client: `Via` (RFC 9110 §7.6.3), `CDN-Loop` (RFC 8586),
//! `Forwarded` (RFC 7239) and the usual `X-Forwarded-*` fields.

use super::proxied;
use super::variable::{self, Names};
use http::header::{FORWARDED, HOST, VIA};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const SURROGATE_CAPABILITY: HeaderName = HeaderName::from_static("surrogate-capability");
const SPIN_CLIENT_ADDR: HeaderName = HeaderName::from_static("spin-client-addr");

/// Claims about the client and earlier hops that only a trusted proxy in front may make.
static CLAIMS: LazyLock<Names> = LazyLock::new(|| {
    let names = [
        FORWARDED,
        X_FORWARDED_FOR,
        X_FORWARDED_HOST,
        X_FORWARDED_PROTO,
        X_FORWARDED_PORT,
        X_REAL_IP,
        // What a surrogate in front can do: origins send it pages with instructions (ESI) instead of content.
        SURROGATE_CAPABILITY,
    ];
    names.into_iter().collect()
});

/// Returns the address of the peer, as the host reports it: the *last* `spin-client-addr`, since Spin appends its own
/// to what the client sent. `None` for a chained request, which has no address (`0.0.0.0:0`).
#[must_use]
pub fn client_address(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all(SPIN_CLIENT_ADDR).iter().next_back()?.to_str().ok()?;
    let ip =
        last.parse::<SocketAddr>().map(|address| address.ip()).or_else(|_| last.parse::<IpAddr>()).ok()?;
    (!ip.is_unspecified()).then_some(ip)
}

/// Returns whether a field is one of `spin-*`, or may be taken for one by a server behind us, in the sense of [`variable`]:
/// these are for this component, not for the origin, and clients can send their own.
#[must_use]
pub fn is_spin(name: &HeaderName) -> bool {
    variable::begins(name.as_str().as_bytes(), b"spin-")
}

/// How a request reached us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop<'a> {
    /// The client's address, if the host knows it.
    pub client: Option<IpAddr>,
    /// The authority the client asked for.
    pub host: &'a str,
    /// `http` or `https`, as the host saw it.
    pub scheme: &'a str,
    /// Whether `Forwarded` is sent, too.
    pub forwarded: bool,
}

/// Returns whether a field makes a claim about the client or earlier hops, or may be taken for one that does. Such a field is
/// not to be trusted unless a trusted proxy is in front.
#[must_use]
pub fn is_claim(name: &HeaderName) -> bool {
    CLAIMS.has(name)
}

/// Returns whether a field may be taken for such a claim, but is spelled differently. No proxy writes such fields.
#[must_use]
pub fn is_disguised(name: &HeaderName) -> bool {
    is_claim(name) && !CLAIMS.contains(name)
}

/// Tells the origin who asked, for what and through whom. `name` is our pseudonym. Our member is appended to the fields that
/// are lists. Host and scheme are told as they are in the key, and nowhere else: what an earlier hop said about them is
/// in `hop` if it is trusted, and the port is in `X-Forwarded-Host`.
pub fn announce(headers: &mut HeaderMap, hop: &Hop<'_>, name: &str) {
    headers.remove(HOST);
    if let Some(client) = hop.client {
        append_member(headers, &X_FORWARDED_FOR, &client.to_string());
    }
    insert(headers, &X_FORWARDED_HOST, hop.host);
    insert(headers, &X_FORWARDED_PROTO, hop.scheme);
    headers.remove(X_FORWARDED_PORT);
    if headers.contains_key(FORWARDED) {
        proxied::forget_targets(headers);
    }
    if hop.forwarded {
        append_member(headers, &FORWARDED, &forwarded_element(hop));
    }
    append_member(headers, &VIA, &via(name));
    append_member(headers, &CDN_LOOP, name);
}

/// Returns our member of `Via`: the received protocol is HTTP/1.1, all that Spin's listener speaks.
#[must_use]
pub fn via(name: &str) -> String {
    format!("1.1 {name}")
}

/// Returns whether the request has been through here before (RFC 8586 §2): to forward it would be a loop.
#[must_use]
pub fn loops(headers: &HeaderMap, name: &str) -> bool {
    // Nothing a client writes before our name, such as an open quote or bytes that are not text, must hide it.
    let lines = headers.get_all(CDN_LOOP).iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).any(|member| {
        let id = member.trim_ascii().split(|byte| b"; \t".contains(byte)).next();
        id.is_some_and(|id| id.eq_ignore_ascii_case(name.as_bytes()))
    })
}

/// Returns our element of `Forwarded` (RFC 7239 §4): `for=192.0.2.1;host="example.com:8080";proto=http`.
fn forwarded_element(hop: &Hop<'_>) -> String {
    let node = match hop.client {
        None => "unknown".to_owned(),
        Some(IpAddr::V4(ip)) => ip.to_string(),
        // RFC 7239 §6: IPv6 in brackets, hence quoted.
        Some(IpAddr::V6(ip)) => format!("\"[{ip}]\""),
    };
    format!("for={node};host=\"{}\";proto={}", hop.host.replace(['"', '\\'], ""), hop.scheme)
}

/// Appends a member to a list field, and joins all its lines into one.
pub fn append_member(headers: &mut HeaderMap, name: &HeaderName, member: &str) {
    let mut all: Vec<u8> = Vec::new();
    for line in headers.get_all(name) {
        all.extend_from_slice(line.as_bytes());
        all.extend_from_slice(b", ");
    }
    all.extend_from_slice(member.as_bytes());
    if let Ok(value) = HeaderValue::from_bytes(&all) {
        headers.insert(name, value);
    }
}

fn insert(headers: &mut HeaderMap, name: &HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::lines::map;

    fn hop(client: &str) -> Hop<'static> {
        Hop { client: client.parse().ok(), host: "example.com:8080", scheme: "http", forwarded: true }
    }

    #[test]
    fn nothing_a_client_writes_hides_that_a_request_was_here() {
        for before in [&b"\""[..], b"\xff", b"a;b=\"", b"x,, "] {
            let mut headers: HeaderMap =
                [(CDN_LOOP, HeaderValue::from_bytes(before).unwrap())].into_iter().collect();
            assert!(!loops(&headers, "spindrift"));
            append_member(&mut headers, &CDN_LOOP, "spindrift");
            assert!(loops(&headers, "spindrift"), "{}", before.escape_ascii());
        }
    }

    #[test]
    fn the_last_client_address_is_the_hosts() {
        let spoofed = map(&[("spin-client-addr", "6.6.6.6:1"), ("spin-client-addr", "192.0.2.1:5000")]);
        assert_eq!(client_address(&spoofed), "192.0.2.1".parse().ok());
        assert_eq!(client_address(&map(&[("spin-client-addr", "0.0.0.0:0")])), None);
        assert_eq!(client_address(&map(&[("spin-client-addr", "[::1]:80")])), "::1".parse().ok());
    }

    #[test]
    fn claims_of_an_untrusted_client_are_replaced() {
        let mut headers = map(&[
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-host", "evil"),
            ("forwarded", "for=6.6.6.6"),
            ("x-real-ip", "6.6.6.6"),
            ("x-forwarded-port", "1"),
            ("surrogate-capability", "x=\"ESI/1.0\""),
        ]);
        crate::field::hop::strip_with(&mut headers, is_claim);
        announce(&mut headers, &hop("192.0.2.1"), "spindrift");
        assert_eq!(headers["x-forwarded-for"], "192.0.2.1");
        assert_eq!(headers["x-forwarded-host"], "example.com:8080");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["forwarded"], "for=192.0.2.1;host=\"example.com:8080\";proto=http");
        for name in ["x-real-ip", "x-forwarded-port", "surrogate-capability"] {
            assert!(!headers.contains_key(name), "{name}");
        }
    }

    #[test]
    fn what_a_server_behind_takes_for_a_claim_is_one() {
        for (name, claim, disguised) in [
            ("x-forwarded-for", true, false),
            ("x_forwarded_for", true, true),
            ("x-forwarded_host", true, true),
            ("x.real.ip", true, true),
            ("x-forwarded-fo", false, false),
            ("x-forwarded-form", false, false),
            ("xxforwarded-for", false, false),
        ] {
            let name = HeaderName::from_static(name);
            assert_eq!((is_claim(&name), is_disguised(&name)), (claim, disguised), "{name}");
        }
    }

    #[test]
    fn a_trusted_proxys_claims_are_added_to() {
        let mut headers = map(&[
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-port", "1"),
            ("forwarded", "for=1.1.1.1;proto=https"),
            ("via", "2 front"),
        ]);
        announce(&mut headers, &hop("::1"), "spindrift");
        assert_eq!(headers["x-forwarded-for"], "1.1.1.1, ::1");
        assert_eq!(headers["x-forwarded-proto"], "http", "as in the key");
        assert!(!headers.contains_key("x-forwarded-port"));
        assert_eq!(headers["via"], "2 front, 1.1 spindrift");
        let ours = "for=\"[::1]\";host=\"example.com:8080\";proto=http";
        assert_eq!(headers["forwarded"], format!("for=1.1.1.1, {ours}"));
    }

    #[test]
    fn a_loop_is_seen_by_our_own_name_only() {
        assert!(loops(&map(&[("cdn-loop", "other; v=1, Spindrift; x=\"a,b\"")]), "spindrift"));
        assert!(!loops(&map(&[("cdn-loop", "spindrift2, other")]), "spindrift"));
    }

    #[test]
    fn no_spin_field_survives() {
        let mut headers =
            map(&[("spin-full-url", "x"), ("spin-x", "y"), ("spin_full_url", "x"), ("spinner", "z")]);
        crate::field::hop::strip_with(&mut headers, is_spin);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["spinner"]);
    }
}
