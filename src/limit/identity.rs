//! Identities: whom a policy counts, from the values that a request has for the parts of the policy's key.
//!
//! Values may be personal: addresses, tokens, user names. Redis gets a hash of them, keyed with the
//! prefix of this cache, so that it cannot be read, nor compared with that of another cache. Somebody who knows the
//! prefix and can read Redis can still try values one by one.

use super::address::AddressRules;
use crate::redis::hex;
use http::{HeaderMap, HeaderName};
use std::fmt;
use std::net::IpAddr;

/// A part of the key by which a policy counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyPart {
    /// The client's address; for IPv6, its network.
    Client,
    /// All values of a request field.
    Header(HeaderName),
    /// The first value of a cookie.
    Cookie(String),
    /// The session.
    Session,
    /// The user of the session.
    User,
    /// The requested host, without port.
    Host,
    /// The path, without query.
    Path,
    /// The method.
    Method,
    /// The name of the route.
    Route,
}

impl KeyPart {
    /// Parses a part as it is configured: `client`, `header:x-api-key`, `cookie:sid`, `session`, `user`,
    /// `host`, `path`, `method` or `route`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.split_once(':') {
            Some(("header", name)) => Self::Header(HeaderName::try_from(name).ok()?),
            // A cookie name is a token (RFC 6265 §4.1.1), and so is a method.
            Some(("cookie", name)) => {
                Self::Cookie(http::Method::from_bytes(name.as_bytes()).ok()?.to_string())
            }
            Some(_) => return None,
            None => match text {
                "client" => Self::Client,
                "session" => Self::Session,
                "user" => Self::User,
                "host" => Self::Host,
                "path" => Self::Path,
                "method" => Self::Method,
                "route" => Self::Route,
                _ => return None,
            },
        })
    }

    /// Returns its kind and, for a field or a cookie, the name.
    fn label(&self) -> (&'static str, &str) {
        match self {
            Self::Client => ("client", ""),
            Self::Header(name) => ("header", name.as_str()),
            Self::Cookie(name) => ("cookie", name),
            Self::Session => ("session", ""),
            Self::User => ("user", ""),
            Self::Host => ("host", ""),
            Self::Path => ("path", ""),
            Self::Method => ("method", ""),
            Self::Route => ("route", ""),
        }
    }
}

impl fmt::Display for KeyPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.label() {
            (kind, "") => f.write_str(kind),
            (kind, name) => write!(f, "{kind}:{name}"),
        }
    }
}

/// The properties of a request by which it can be counted.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The client's address, as [`AddressRules::client`] determines it.
    pub client: Option<IpAddr>,
    /// The request fields.
    pub headers: &'a HeaderMap,
    /// The method.
    pub method: &'a str,
    /// The host, without port and in lower case.
    pub host: &'a str,
    /// The path, in the form that routes compare.
    pub path: &'a str,
    /// The name of the route.
    pub route: &'a str,
    /// The session, if the request has proved that it is its own: otherwise anybody could evade the limit with invented ones.
    pub session: Option<&'a str>,
    /// The user of that session.
    pub user: Option<&'a str>,
}

/// An identity, as 128 bits in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity(String);

impl Identity {
    /// Returns the text in Redis keys.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Makes identities, for one cache: equal for equal values.
#[derive(Clone)]
pub struct Identifier {
    key: [u8; 32],
    rules: AddressRules,
}

impl Identifier {
    /// Makes identities for the cache whose keys have this `prefix`.
    #[must_use]
    pub fn new(prefix: &str, rules: AddressRules) -> Self {
        Self { key: blake3::derive_key("spindrift rate limit identity v1", prefix.as_bytes()), rules }
    }

    /// Returns the identity of a request under a key. A missing value is a value of its own: all requests
    /// without it have one identity.
    #[must_use]
    pub fn of(&self, key: &[KeyPart], subject: &Subject<'_>) -> Identity {
        let mut writer = self.writer();
        for part in key {
            match part {
                KeyPart::Client => writer.part(part, self.address(subject.client).as_deref()),
                KeyPart::Header(name) => writer.part(part, lines(subject.headers, name).as_deref()),
                KeyPart::Cookie(name) => {
                    writer.part(part, cookie(subject, name).map(str::as_bytes));
                }
                KeyPart::Session => writer.part(part, subject.session.map(str::as_bytes)),
                KeyPart::User => writer.part(part, subject.user.map(str::as_bytes)),
                KeyPart::Host => writer.part(part, Some(subject.host.as_bytes())),
                KeyPart::Path => writer.part(part, Some(subject.path.as_bytes())),
                KeyPart::Method => writer.part(part, Some(subject.method.as_bytes())),
                KeyPart::Route => writer.part(part, Some(subject.route.as_bytes())),
            }
        }
        writer.finish()
    }

    /// Returns the identity of a request with these values; `None` unless there is one for each part. An
    /// address is treated like the client's.
    #[must_use]
    pub fn of_values(&self, key: &[KeyPart], values: &[String]) -> Option<Identity> {
        if key.len() != values.len() {
            return None;
        }
        let mut writer = self.writer();
        for (part, value) in key.iter().zip(values) {
            let address = (*part == KeyPart::Client).then(|| value.parse().ok()).flatten();
            let value = self.address(address).unwrap_or_else(|| value.as_bytes().to_vec());
            writer.part(part, Some(&value));
        }
        Some(writer.finish())
    }

    /// Returns the identity that a caller of the API names for a policy of its own.
    #[must_use]
    pub fn of_caller(&self, values: &[String]) -> Identity {
        let mut writer = self.writer();
        for value in values {
            writer.text(b"caller");
            writer.text(value.as_bytes());
        }
        writer.finish()
    }

    fn address(&self, address: Option<IpAddr>) -> Option<Vec<u8>> {
        Some(self.rules.counted(address?).to_string().into_bytes())
    }

    fn writer(&self) -> Writer {
        Writer(blake3::Hasher::new_keyed(&self.key))
    }
}

impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identifier").finish_non_exhaustive()
    }
}

/// Writes each text after its length, so that no two keys have the same encoding.
struct Writer(blake3::Hasher);

impl Writer {
    fn part(&mut self, part: &KeyPart, value: Option<&[u8]>) {
        let (kind, name) = part.label();
        self.text(kind.as_bytes());
        self.text(name.as_bytes());
        self.0.update(&[u8::from(value.is_some())]);
        self.text(value.unwrap_or_default());
    }

    fn text(&mut self, text: &[u8]) {
        self.0.update(&(text.len() as u64).to_be_bytes());
        self.0.update(text);
    }

    fn finish(self) -> Identity {
        Identity(hex(&self.0.finalize().as_bytes()[..16]))
    }
}

/// Joins all lines of a field, byte for byte.
fn lines(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let lines: Vec<&[u8]> = headers.get_all(name).iter().map(http::HeaderValue::as_bytes).collect();
    (!lines.is_empty()).then(|| lines.join(&b","[..]))
}

fn cookie<'a>(subject: &Subject<'a>, name: &str) -> Option<&'a str> {
    crate::field::cookies::first(subject.headers, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::lines::map;

    fn identifier() -> Identifier {
        Identifier::new("sd", AddressRules::default())
    }

    fn key(parts: &[&str]) -> Vec<KeyPart> {
        parts.iter().map(|part| KeyPart::parse(part).unwrap()).collect()
    }

    fn with<T>(
        fields: &[(&'static str, &'static str)],
        client: &str,
        look: impl FnOnce(&Subject<'_>) -> T,
    ) -> T {
        look(&Subject {
            client: client.parse().ok(),
            headers: &map(fields),
            method: "GET",
            host: "h",
            path: "/a",
            route: "default",
            session: None,
            user: None,
        })
    }

    fn id(parts: &[&str], fields: &[(&'static str, &'static str)], client: &str) -> Identity {
        with(fields, client, |subject| identifier().of(&key(parts), subject))
    }

    #[test]
    fn parts_are_read_and_written_alike() {
        for text in
            ["client", "header:x-api-key", "cookie:sid", "session", "user", "host", "path", "method", "route"]
        {
            assert_eq!(KeyPart::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "ip", "header", "header:", "header:a b", "cookie:", "cookie:a;b", "client:1"] {
            assert_eq!(KeyPart::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_identity_is_that_of_its_values_and_of_nothing_else() {
        let one = id(&["client"], &[("x", "1")], "192.0.2.1");
        assert_eq!(one, id(&["client"], &[("x", "2")], "::ffff:192.0.2.1"));
        assert_ne!(one, id(&["client"], &[], "192.0.2.2"));
        assert_eq!(id(&["client"], &[], "2001:db8::1"), id(&["client"], &[], "2001:db8::2"));
        assert_ne!(id(&["header:a"], &[("a", "1")], ""), id(&["header:b"], &[("b", "1")], ""));
        assert_ne!(id(&["header:a"], &[("a", "")], ""), id(&["header:a"], &[], ""), "empty is not missing");
        assert_eq!(
            id(&["cookie:sid"], &[("cookie", "a=1; sid=x")], ""),
            id(&["cookie:sid"], &[("cookie", "sid=x")], "")
        );
        assert_eq!(one.as_str().len(), 32);
        let other = Identifier::new("other", AddressRules::default());
        assert_ne!(one, with(&[], "192.0.2.1", |subject| other.of(&key(&["client"]), subject)));
    }

    #[test]
    fn values_do_not_run_together() {
        let parts = ["header:a", "header:b"];
        let fields = |a, b| id(&parts, &[("a", a), ("b", b)], "");
        assert_ne!(fields("xy", "z"), fields("x", "yz"));
        assert_ne!(fields("x", ""), fields("", "x"));
        let caller = |values: &[&str]| {
            identifier().of_caller(&values.iter().map(|&value| value.to_owned()).collect::<Vec<_>>())
        };
        assert_ne!(caller(&["ab", "c"]), caller(&["a", "bc"]));
        assert_ne!(caller(&["a"]), caller(&["a", ""]));
    }

    #[test]
    fn values_given_by_hand_are_those_of_the_request() {
        let by_hand = |parts: &[&str], values: &[&str]| {
            let values: Vec<String> = values.iter().map(|&value| value.to_owned()).collect();
            identifier().of_values(&key(parts), &values)
        };
        assert_eq!(
            by_hand(&["client", "path"], &["192.0.2.1", "/a"]),
            Some(id(&["client", "path"], &[], "192.0.2.1"))
        );
        assert_eq!(by_hand(&["client"], &["2001:db8::99"]), Some(id(&["client"], &[], "2001:db8::1")));
        assert_eq!(by_hand(&["header:a"], &["1"]), Some(id(&["header:a"], &[("a", "1")], "")));
        assert_eq!(by_hand(&["client"], &[]), None);
        assert_eq!(by_hand(&[], &[]), Some(id(&[], &[], "192.0.2.1")));
    }
}
