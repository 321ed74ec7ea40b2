//! The command line of `up`.

use std::net::{SocketAddr, ToSocketAddrs};

use lexopt::{Arg, Parser, ValueExt};

use crate::failure::{Result, fail};
use crate::runner::Kind;
use crate::variables::Variables;

/// The options of the command line.
pub(super) struct Options {
    pub(super) listen: SocketAddr,
    pub(super) host: Option<Kind>,
    /// The variables; `--origin` and `--redis` are other names for two of them.
    pub(super) variables: Variables,
}

impl Options {
    /// Parses the rest of the command line.
    pub(super) fn parse(mut parser: Parser) -> Result<Self> {
        let mut options = Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 3000)),
            host: None,
            variables: Variables::default(),
        };
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("listen") => options.listen = address(&parser.value()?.string()?)?,
                Arg::Long("origin") => options.variables.set("origin_url", &parser.value()?.string()?),
                Arg::Long("redis") => options.variables.set("redis_url", &parser.value()?.string()?),
                Arg::Long("host") => options.host = Some(Kind::parse(&parser.value()?.string()?)?),
                Arg::Long("variable") => options.variables.set_pair(&parser.value()?.string()?)?,
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }
}

/// Parses `127.0.0.1:3000`, `localhost:3000`, `[::1]:3000`; of several addresses of a name, IPv4 is preferred.
fn address(text: &str) -> Result<SocketAddr> {
    let all: Vec<SocketAddr> = text.to_socket_addrs().map(Iterator::collect).unwrap_or_default();
    match all.iter().find(|address| address.is_ipv4()).or(all.first()) {
        Some(address) => Ok(*address),
        None => fail(format!(
            "--listen: expected host:port like 127.0.0.1:3000, or [::1]:3000 for IPv6, found `{text}`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options> {
        Options::parse(Parser::from_args(arguments))
    }

    #[test]
    fn reads_every_option() {
        let options = parse(&[
            "--listen",
            "127.0.0.1:8080",
            "--origin=http://a.example",
            "--redis",
            "redis://b",
            "--host",
            "spin",
            "--variable",
            "redis_channel=c=d",
        ])
        .unwrap();
        assert_eq!(options.listen.port(), 8080);
        assert_eq!(options.host, Some(Kind::Spin));
        assert_eq!(options.variables.get("origin_url").as_deref(), Some("http://a.example"));
        assert_eq!(options.variables.get("redis_url").as_deref(), Some("redis://b"));
        assert_eq!(options.variables.get("redis_channel").as_deref(), Some("c=d"));
    }

    #[test]
    fn says_what_it_does_not_understand() {
        let text = |arguments: &[&str]| parse(arguments).err().unwrap().to_string();
        for address in ["3000", "::1", "[::1]"] {
            assert!(text(&["--listen", address]).contains("[::1]:3000 for IPv6"), "{address}");
        }
        assert!(text(&["--host", "nginx"]).contains("embedded"));
        assert!(text(&["--no-such"]).contains("--no-such"));
    }
}
