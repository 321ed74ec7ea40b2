//! Header fields between the network and components.

use super::route::RouteMatch;
use crate::config::address::chained_component;
use http::header::{CONNECTION, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use std::net::SocketAddr;

/// Removes fields about the connection itself, and a `Host` that has a meaning only within this app.
pub(crate) fn strip(headers: &mut HeaderMap) {
    let host = headers.get(HOST).and_then(|it| it.to_str().ok());
    if host.is_some_and(|host| chained_component(host).is_some()) {
        headers.remove(HOST);
    }
    headers.remove(CONNECTION);
}

/// Appends Spin's own fields. They follow any of the same name from the client, which may be
/// forged: a component must read the last one.
///
/// # Errors
/// The name of a field whose value is not UTF-8; such a request does not reach a component.
pub(crate) fn append(
    headers: &mut HeaderMap,
    uri: &Uri,
    found: &RouteMatch,
    client: SocketAddr,
) -> Result<(), String> {
    for (name, value) in headers.iter() {
        if std::str::from_utf8(value.as_bytes()).is_err() {
            return Err(format!("header field {name}: expected UTF-8, found other bytes"));
        }
    }
    for (name, value) in fields(headers, uri, found, client) {
        // A name or value that no field can have is left out, as Spin does.
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(value.as_bytes()))
        {
            headers.append(name, value);
        }
    }
    Ok(())
}

fn fields(headers: &HeaderMap, uri: &Uri, found: &RouteMatch, client: SocketAddr) -> Vec<(String, String)> {
    let host =
        headers.get(HOST).and_then(|it| std::str::from_utf8(it.as_bytes()).ok()).unwrap_or("localhost");
    let scheme = uri.scheme_str().unwrap_or("http");
    let path = uri.path_and_query().map_or("/", |it| it.as_str());
    let own = [
        ("spin-path-info", found.rest.clone()),
        ("spin-full-url", format!("{scheme}://{host}{path}")),
        ("spin-matched-route", found.normal.clone()),
        ("spin-base-path", "/".to_owned()),
        ("spin-raw-component-route", found.raw.clone()),
        ("spin-component-route", found.prefix().to_owned()),
        ("spin-client-addr", client.to_string()),
    ];
    let captured = found.names.iter().map(|(name, value)| {
        let name = format!("spin-path-match-{name}").replace('_', "-").to_ascii_lowercase();
        (name, value.clone())
    });
    own.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(captured).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::route::{Destination, Router};

    fn request(route: &str, uri: &str, given: &[(&str, &[u8])]) -> Result<HeaderMap, String> {
        let mut router = Router::default();
        router.add(route, Destination::Fixed(0)).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            let value = HeaderValue::from_bytes(value).unwrap();
            headers.append(name.parse::<HeaderName>().unwrap(), value);
        }
        let uri: Uri = uri.parse().unwrap();
        let found = router.find(uri.path()).unwrap();
        append(&mut headers, &uri, &found, "10.0.0.1:99".parse().unwrap())?;
        Ok(headers)
    }

    fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
        headers.get_all(name).iter().map(|it| it.to_str().unwrap()).collect()
    }

    #[test]
    fn every_field_of_spin_is_there() {
        let headers = request("/u/:user_id/...", "http://h:1/u/7/x/?q=1", &[("host", b"h:1")]).unwrap();
        for (name, value) in [
            ("spin-path-info", "/x/"),
            ("spin-full-url", "http://h:1/u/7/x/?q=1"),
            ("spin-matched-route", "/u/:user_id/..."),
            ("spin-base-path", "/"),
            ("spin-raw-component-route", "/u/:user_id/..."),
            ("spin-component-route", "/u/:user_id"),
            ("spin-client-addr", "10.0.0.1:99"),
            ("spin-path-match-user-id", "7"),
        ] {
            assert_eq!(all(&headers, name), [value], "{name}");
        }
    }

    #[test]
    fn a_clients_own_field_comes_first() {
        let given: &[(&str, &[u8])] = &[("spin-client-addr", b"1.2.3.4:5")];
        let headers = request("/...", "http://h/", given).unwrap();
        assert_eq!(all(&headers, "spin-client-addr"), ["1.2.3.4:5", "10.0.0.1:99"]);
    }

    #[test]
    fn without_a_host_the_url_says_localhost() {
        let headers = request("/...", "http://c.spin.internal/a", &[]).unwrap();
        assert_eq!(all(&headers, "spin-full-url"), ["http://localhost/a"]);
    }

    #[test]
    fn values_must_be_utf8() {
        assert!(request("/...", "http://h/", &[("x-a", "ä".as_bytes())]).is_ok());
        assert!(request("/...", "http://h/", &[("x-a", b"\xff")]).unwrap_err().contains("x-a"));
    }

    #[test]
    fn connection_and_chained_hosts_are_removed() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("a.spin.internal:80"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        strip(&mut headers);
        assert!(headers.is_empty());
        headers.insert(HOST, HeaderValue::from_static("example.com"));
        strip(&mut headers);
        assert_eq!(headers.len(), 1);
    }
}
