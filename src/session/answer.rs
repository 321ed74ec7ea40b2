//! The fields of an answer from a route with sessions, for browsers and for caches in front of us.

use super::Cookie;
use crate::field::forward::append_member;
use crate::field::list;
use crate::field::vary::Vary;
use http::header::{CACHE_CONTROL, COOKIE, SET_COOKIE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Returns whether a field could permit caches in front of us what `Cache-Control` forbids: the targeted ones (RFC 9213
/// §2) and the older one of the Edge Architecture Specification.
fn is_targeted(name: &HeaderName) -> bool {
    name.as_str().ends_with("-cache-control") || name.as_str() == "surrogate-control"
}

/// Ensures that no shared cache stores an answer that used a session (RFC 9111 §5.2.2.7), and that a
/// browser asks again if the origin does not say how long the answer is fresh.
pub(crate) fn keep_private(headers: &mut HeaderMap) {
    let targeted: Vec<HeaderName> = headers.keys().filter(|name| is_targeted(name)).cloned().collect();
    for name in targeted {
        headers.remove(name);
    }
    let said: Vec<&str> = list::members(headers, CACHE_CONTROL).collect();
    if said.iter().any(|directive| is(directive, "no-store") || directive.eq_ignore_ascii_case("private")) {
        return;
    }
    let shared = |directive: &&&str| ["public", "s-maxage", "private"].iter().any(|name| is(directive, name));
    let mut value: Vec<&str> = said.iter().filter(|directive| !shared(directive)).copied().collect();
    if value.is_empty() {
        value.push("no-cache");
    }
    value.push("private");
    if let Ok(value) = HeaderValue::try_from(value.join(", ")) {
        headers.insert(CACHE_CONTROL, value);
    }
}

/// Returns whether a directive has this name, with or without an argument.
fn is(directive: &str, name: &str) -> bool {
    directive.split('=').next().is_some_and(|found| found.trim().eq_ignore_ascii_case(name))
}

/// Adds `Vary: cookie`: with another cookie the answer may be another, even from the browser's own cache after a login.
pub(crate) fn vary_on_cookies(headers: &mut HeaderMap) {
    let there = match Vary::of(headers) {
        Vary::Any => true,
        Vary::Fields(fields) => fields.contains(&COOKIE),
    };
    if !there {
        append_member(headers, &VARY, "cookie");
    }
}

/// Sets our cookie, and removes every `Set-Cookie` of the origin with the same name.
pub(crate) fn set_cookie(headers: &mut HeaderMap, cookie: &Cookie, ours: Option<HeaderValue>) {
    if headers.get_all(SET_COOKIE).iter().any(|line| cookie.is_set_by(line)) {
        let lines: Vec<HeaderValue> = headers.get_all(SET_COOKIE).iter().cloned().collect();
        headers.remove(SET_COOKIE);
        for line in lines.into_iter().filter(|line| !cookie.is_set_by(line)) {
            headers.append(SET_COOKIE, line);
        }
    }
    if let Some(line) = ours {
        headers.append(SET_COOKIE, line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SessionConfig;

    fn map(name: &HeaderName, lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), HeaderValue::from_static(line))).collect()
    }

    fn lines(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
        headers.get_all(name).iter().map(|line| line.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn an_answer_for_one_visitor_is_private() {
        for (before, after) in [
            (&[][..], "no-cache, private"),
            (&["public"], "no-cache, private"),
            (&["max-age=60"], "max-age=60, private"),
            (&["Public, s-maxage=60", "max-age=5"], "max-age=5, private"),
            (&["private=\"x-user\", max-age=5"], "max-age=5, private"),
            (&["no-store"], "no-store"),
            (&["Private, max-age=60"], "Private, max-age=60"),
            (&["x=\"private\""], "x=\"private\", private"),
        ] {
            let mut headers = map(&CACHE_CONTROL, before);
            for name in ["cdn-cache-control", "some-cdn-cache-control", "surrogate-control"] {
                headers.insert(name, HeaderValue::from_static("max-age=60"));
            }
            keep_private(&mut headers);
            assert_eq!(lines(&headers, &CACHE_CONTROL), [after], "{before:?}");
            assert_eq!(headers.len(), 1, "{headers:?}");
        }
    }

    #[test]
    fn it_varies_on_cookies_once() {
        for (before, after) in [
            (&[][..], &["cookie"][..]),
            (&["accept"], &["accept, cookie"]),
            (&["Cookie, accept"], &["Cookie, accept"]),
            (&["*"], &["*"]),
        ] {
            let mut headers = map(&VARY, before);
            vary_on_cookies(&mut headers);
            assert_eq!(lines(&headers, &VARY), after, "{before:?}");
        }
    }

    #[test]
    fn a_cookie_of_our_name_is_ours_alone() {
        let cookie = Cookie::new(&SessionConfig::default(), &"https://h/".parse().unwrap());
        let mut headers = map(&SET_COOKIE, &["a=1", "__Host-sid=forged; Path=/", "b=2"]);
        set_cookie(&mut headers, &cookie, None);
        assert_eq!(lines(&headers, &SET_COOKIE), ["a=1", "b=2"]);
        set_cookie(&mut headers, &cookie, Some(HeaderValue::from_static("__Host-sid=ours")));
        assert_eq!(lines(&headers, &SET_COOKIE), ["a=1", "b=2", "__Host-sid=ours"]);
    }
}
