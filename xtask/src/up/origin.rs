//! The origin's URL, checked before minutes are spent on building.

use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::console::say;
use crate::failure::{Result, fail};
use crate::variables::Variables;

/// Refuses a URL that cannot be an origin, and says if it does not answer yet.
pub(super) fn check(variables: &Variables) -> Result<()> {
    let Some(url) = variables.get("origin_url").filter(|url| !url.is_empty()) else {
        say("origin", "the demo origin in the same app; `--origin https://example.com` for your own");
        return Ok(());
    };
    let (host, port) = parse(&url)?;
    if host.ends_with(".spin.internal") {
        return Ok(());
    }
    match reach(&host, port) {
        Ok(()) => say("origin", format_args!("{url} accepts connections")),
        Err(why) => {
            say("origin", format_args!("{url} cannot be reached ({why}): requests get 502 until it can"));
        }
    }
    Ok(())
}

fn reach(host: &str, port: u16) -> std::io::Result<()> {
    let mut last = std::io::Error::other("the host name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, Duration::from_secs(2)) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Returns host (without brackets) and port of `scheme://host[:port][/]`.
fn parse(url: &str) -> Result<(String, u16)> {
    let wrong = |found: &str| {
        fail(format!(
            "origin_url: expected http://host[:port] or https://host[:port], without a path, found {found}"
        ))
    };
    // Before anything else, because the other messages repeat the URL.
    if url.contains('@') {
        return wrong("an `@` or credentials in it");
    }
    let (rest, default) = match url.split_once("://") {
        Some(("http", rest)) => (rest, 80),
        Some(("https", rest)) => (rest, 443),
        _ => return wrong(&format!("`{url}`")),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return wrong(&format!("`{url}`"));
    }
    let after_brackets = authority.rfind(']').unwrap_or(0);
    let (host, port) = match authority[after_brackets..].rfind(':') {
        Some(colon) => {
            (&authority[..after_brackets + colon], authority[after_brackets + colon + 1..].parse())
        }
        None => (authority, Ok(default)),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match port {
        Ok(port) if !host.is_empty() => Ok((host.to_owned(), port)),
        _ => wrong(&format!("`{url}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_scheme_host_and_port() {
        assert_eq!(parse("http://a.example").unwrap(), ("a.example".to_owned(), 80));
        assert_eq!(parse("https://a.example/").unwrap(), ("a.example".to_owned(), 443));
        assert_eq!(parse("http://[::1]:8080").unwrap(), ("::1".to_owned(), 8080));
        for url in ["a.example", "ftp://a", "http://", "http://a/b", "http://a?b", "http://a:port"] {
            assert!(parse(url).is_err(), "{url}");
        }
        for url in ["http://me:hunter2@a", "http://me:hunter2@a/b", "ftp://me:hunter2@a", "me:hunter2@a"] {
            assert!(!parse(url).unwrap_err().to_string().contains("hunter2"), "{url}");
        }
    }
}
