//! The `spin-*` fields, in which the host tells a component about its route and its client.
//!
//! The host appends them after those that a client sent under the same names. A component that reads the first
//! of several believes the client, and a cache in front of it would serve the outcome to everybody.

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

/// The beginning of the names, as the host writes them.
const SPIN: &str = "spin-";
const PATH_MATCH: &str = "spin-path-match-";
const ROUTE: HeaderName = HeaderName::from_static("spin-raw-component-route");
const FULL_URL: HeaderName = HeaderName::from_static("spin-full-url");

/// Returns what the host says: the last line of each field, and of `spin-path-match-*` only those that the route has.
#[must_use]
pub fn said_by_host(headers: &HeaderMap) -> HeaderMap {
    let route = headers.get_all(ROUTE).iter().next_back().and_then(|route| route.to_str().ok());
    let mut said = HeaderMap::new();
    for (name, value) in headers {
        let foreign = |matched: &str| route.is_some_and(|route| !captures(route, matched));
        if name.as_str().starts_with(SPIN) && !name.as_str().strip_prefix(PATH_MATCH).is_some_and(foreign) {
            said.insert(name, value.clone());
        }
    }
    said
}

/// Returns whether `route` has a segment `:name` for the field whose name ends in `matched`.
fn captures(route: &str, matched: &str) -> bool {
    let names = route.split('/').filter_map(|segment| segment.strip_prefix(':'));
    names.map(|name| name.replace('_', "-")).any(|name| name.eq_ignore_ascii_case(matched))
}

/// Gives `spin-full-url` the query of the forwarded request: no component behind may see what the key leaves out.
pub fn follow(said: &mut HeaderMap, target: &PathAndQuery) {
    let Some(url) = said.get(FULL_URL).and_then(|url| url.to_str().ok()) else { return };
    let before = url.split_once('?').map_or(url, |(before, _)| before);
    let followed = match target.query() {
        Some(query) => format!("{before}?{query}"),
        None => before.to_owned(),
    };
    if let Ok(followed) = HeaderValue::from_str(&followed) {
        said.insert(FULL_URL, followed);
    }
}

/// Returns the fields that Spin sets for a request from within the app, which matched `/...` and has no client.
#[must_use]
pub fn inside(uri: &Uri) -> HeaderMap {
    let url = uri.to_string();
    let fields = [
        ("spin-path-info", uri.path()),
        ("spin-full-url", url.as_str()),
        ("spin-matched-route", "/..."),
        ("spin-base-path", "/"),
        ("spin-raw-component-route", "/..."),
        ("spin-component-route", ""),
        ("spin-client-addr", "0.0.0.0:0"),
    ];
    let valid = |(name, value)| Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?));
    fields.into_iter().filter_map(valid).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::lines::map;

    #[test]
    fn only_what_the_host_appended_is_believed() {
        let headers = map(&[
            ("spin-path-info", "/forged"),
            ("spin_path_info", "/forged"),
            ("accept", "*/*"),
            ("spin-path-match-user-id", "forged"),
            ("spin-path-match-other", "forged"),
            ("spin-path-info", "/real"),
            ("spin-path-match-user-id", "7"),
            ("spin-raw-component-route", "/forged/:other"),
            ("spin-raw-component-route", "/u/:User_id/..."),
        ]);
        let said = said_by_host(&headers);
        let lines: Vec<_> =
            said.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(
            lines,
            [
                ("spin-path-info", "/real"),
                ("spin-path-match-user-id", "7"),
                ("spin-raw-component-route", "/u/:User_id/..."),
            ]
        );
    }

    #[test]
    fn a_host_that_names_no_route_is_believed_in_its_last_lines() {
        let said = said_by_host(&map(&[("spin-path-match-a", "1"), ("spin-path-match-a", "2")]));
        assert_eq!(said, map(&[("spin-path-match-a", "2")]));
    }

    #[test]
    fn the_full_url_follows_the_query() {
        let followed = |url: &'static str, target: &'static str| {
            let mut said = map(&[("spin-full-url", url)]);
            follow(&mut said, &PathAndQuery::from_static(target));
            said["spin-full-url"].to_str().unwrap().to_owned()
        };
        assert_eq!(followed("http://h/a?q=1&utm=x", "/a?q=1"), "http://h/a?q=1");
        assert_eq!(followed("http://h/a?utm=x", "/a"), "http://h/a");
        assert_eq!(followed("http://h/a", "/a"), "http://h/a");
        let mut none = HeaderMap::new();
        follow(&mut none, &PathAndQuery::from_static("/a"));
        assert!(none.is_empty());
    }

    #[test]
    fn a_request_inside_the_app_matches_everything() {
        let said = inside(&Uri::from_static("http://h/a/b?q=1"));
        assert_eq!(said["spin-path-info"], "/a/b");
        assert_eq!(said["spin-full-url"], "http://h/a/b?q=1");
        assert_eq!(said_by_host(&said), said);
    }
}
