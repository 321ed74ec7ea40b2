//! The session cookie (RFC 6265): taken out of requests, and set in responses.

use crate::config::{SameSite, SessionConfig};
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue, Uri};
use std::fmt::Write as _;

/// What a request presents as its session cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presented {
    /// No cookie with the name.
    Nothing,
    /// One value, which is a secret.
    Value(String),
    /// Several, one of which somebody else may have planted.
    Several,
}

/// The session cookie in the form for one connection.
///
/// Its name begins with `__Host-`, so that no other host and no unencrypted connection can plant one: a
/// browser accepts such a cookie only with `Secure`, `Path=/` and without `Domain`. With another path the prefix is
/// `__Secure-`. Over plain http to the local machine, which not every browser considers secure, there is
/// neither prefix nor `Secure`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    name: String,
    attributes: String,
}

impl Cookie {
    /// Makes the cookie for requests to `uri`.
    #[must_use]
    pub fn new(config: &SessionConfig, uri: &Uri) -> Self {
        let secure = !is_plain_and_local(uri);
        let prefix = match (secure, config.path.as_str()) {
            (false, _) => "",
            (true, "/") => "__Host-",
            (true, _) => "__Secure-",
        };
        let same_site = match config.same_site {
            SameSite::Lax => "Lax",
            SameSite::Strict => "Strict",
            SameSite::None => "None",
        };
        let secure = if secure { "; Secure" } else { "" };
        let attributes = format!("; Path={}{secure}; HttpOnly; SameSite={same_site}", config.path);
        Self { name: format!("{prefix}{}", config.cookie), attributes }
    }

    /// Takes the cookie out of a request. All other cookies stay as they are, byte for byte.
    #[must_use]
    pub fn take(&self, headers: &mut HeaderMap) -> Presented {
        let mut found = Vec::new();
        let mut rest = Vec::new();
        for line in headers.get_all(COOKIE) {
            let (ours, others): (Vec<&[u8]>, Vec<&[u8]>) =
                line.as_bytes().split(|byte| *byte == b';').partition(|pair| self.value(pair).is_some());
            found.extend(ours.iter().filter_map(|pair| self.value(pair)).map(<[u8]>::to_vec));
            rest.push(others.join(&b';').trim_ascii().to_vec());
        }
        let mut values = found.into_iter();
        let Some(value) = values.next() else { return Presented::Nothing };
        headers.remove(COOKIE);
        for line in rest.into_iter().filter(|line| !line.is_empty()) {
            if let Ok(line) = HeaderValue::from_bytes(&line) {
                headers.append(COOKIE, line);
            }
        }
        match values.next() {
            Some(_) => Presented::Several,
            None => Presented::Value(String::from_utf8_lossy(&value).into_owned()),
        }
    }

    /// Returns the value of a `name=value` pair that has our name.
    fn value<'a>(&self, pair: &'a [u8]) -> Option<&'a [u8]> {
        let pair = pair.trim_ascii();
        let at = pair.iter().position(|byte| *byte == b'=')?;
        (pair[..at].trim_ascii() == self.name.as_bytes()).then(|| pair[at + 1..].trim_ascii())
    }

    /// Returns the `Set-Cookie` with this token, for `max_age` seconds, or until the browser session ends.
    #[must_use]
    pub fn set(&self, token: &str, max_age: Option<u64>) -> Option<HeaderValue> {
        let mut line = format!("{}={token}{}", self.name, self.attributes);
        if let Some(seconds) = max_age {
            let _ = write!(line, "; Max-Age={seconds}");
        }
        let mut line = HeaderValue::try_from(line).ok()?;
        line.set_sensitive(true);
        Some(line)
    }

    /// Returns the `Set-Cookie` that removes it.
    #[must_use]
    pub fn clear(&self) -> Option<HeaderValue> {
        self.set("", Some(0))
    }

    /// Returns whether a `Set-Cookie` sets this cookie.
    #[must_use]
    pub fn is_set_by(&self, line: &HeaderValue) -> bool {
        let pair = line.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        self.value(pair).is_some()
    }
}

/// Returns whether it is plain http to `localhost`, a name below it (RFC 6761 §6.3), or a loopback address.
fn is_plain_and_local(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
    let host = host.strip_suffix('.').unwrap_or(&host);
    let is_loopback = || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    uri.scheme_str() == Some("http") && (host == "localhost" || host.ends_with(".localhost") || is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cookie(uri: &str) -> Cookie {
        Cookie::new(&SessionConfig::default(), &uri.parse().unwrap())
    }

    fn lines(lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|line| (COOKIE, HeaderValue::from_static(line))).collect()
    }

    fn left(headers: &HeaderMap) -> Vec<&str> {
        headers.get_all(COOKIE).iter().map(|line| line.to_str().unwrap()).collect()
    }

    #[test]
    fn it_has_the_host_prefix_except_on_this_very_machine() {
        for uri in
            ["https://a.example/", "http://a.example/", "https://localhost/", "http://localhost.example/"]
        {
            assert_eq!(
                cookie(uri).set("x", None).unwrap(),
                "__Host-sid=x; Path=/; Secure; HttpOnly; SameSite=Lax",
                "{uri}"
            );
        }
        for uri in
            ["http://localhost:3000/", "http://app.localhost/", "http://127.0.0.1/", "http://[::1]:80/"]
        {
            assert_eq!(cookie(uri).set("x", None).unwrap(), "sid=x; Path=/; HttpOnly; SameSite=Lax", "{uri}");
        }
    }

    #[test]
    fn what_is_configured_stands_in_it() {
        let config = SessionConfig {
            cookie: "shop".to_owned(),
            path: "/shop".to_owned(),
            same_site: SameSite::Strict,
            ..SessionConfig::default()
        };
        let cookie = Cookie::new(&config, &"https://a.example/".parse().unwrap());
        assert_eq!(
            cookie.set("x", Some(60)).unwrap(),
            "__Secure-shop=x; Path=/shop; Secure; HttpOnly; SameSite=Strict; Max-Age=60"
        );
        assert_eq!(
            cookie.clear().unwrap(),
            "__Secure-shop=; Path=/shop; Secure; HttpOnly; SameSite=Strict; Max-Age=0"
        );
    }

    #[test]
    fn it_is_taken_out_and_the_others_stay() {
        let cookie = cookie("https://h/");
        for (before, found, after) in [
            (&[][..], Presented::Nothing, &[][..]),
            (&["a=1; b=2"], Presented::Nothing, &["a=1; b=2"]),
            (
                &["sid=1; x__Host-sid=2; __host-sid=3"],
                Presented::Nothing,
                &["sid=1; x__Host-sid=2; __host-sid=3"],
            ),
            (&["__Host-sid"], Presented::Nothing, &["__Host-sid"]),
            (&["__Host-sid=t"], Presented::Value("t".to_owned()), &[]),
            (&["a=1; __Host-sid=t; b=\"x y\""], Presented::Value("t".to_owned()), &["a=1; b=\"x y\""]),
            (&["__Host-sid=t;a=1"], Presented::Value("t".to_owned()), &["a=1"]),
            (&["a=1", " __Host-sid = t ", "b=2"], Presented::Value("t".to_owned()), &["a=1", "b=2"]),
            (&["__Host-sid=\"t\""], Presented::Value("\"t\"".to_owned()), &[]),
            (&["__Host-sid=t; __Host-sid=t"], Presented::Several, &[]),
            (&["__Host-sid=t; a=1", "__Host-sid="], Presented::Several, &["a=1"]),
        ] {
            let mut headers = lines(before);
            assert_eq!(cookie.take(&mut headers), found, "{before:?}");
            assert_eq!(left(&headers), after, "{before:?}");
        }
    }

    #[test]
    fn a_set_cookie_of_its_name_is_recognised() {
        let cookie = cookie("https://h/");
        for (line, ours) in [
            ("__Host-sid=x; Path=/", true),
            (" __Host-sid =; Max-Age=0", true),
            ("a=__Host-sid=x", false),
            ("__Host-sid", false),
            ("__Host-side=x", false),
        ] {
            assert_eq!(cookie.is_set_by(&HeaderValue::from_static(line)), ours, "{line}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_no_cookie_of_the_name_is_left(line in "[ -~]{0,60}", at in 0usize..60) {
            let cookie = cookie("https://h/");
            let at = at.min(line.len());
            let line = format!("{};__Host-sid=t;{}", &line[..at], &line[at..]);
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, HeaderValue::try_from(line).unwrap());
            prop_assert_ne!(cookie.take(&mut headers), Presented::Nothing);
            prop_assert_eq!(cookie.take(&mut headers), Presented::Nothing);
        }
    }
}
