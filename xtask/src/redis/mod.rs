//! Providing a Redis: the one given, one that runs, one of our own, one installed for the purpose, or none.

mod directory;
mod install;
mod ping;
mod server;
mod url;

use std::path::PathBuf;

use crate::console::say;
use crate::failure::{Result, fail};
use crate::process;
use crate::workspace::{Workspace, named, which};

use ping::{Answer, ping};
pub(crate) use server::Server;
pub(crate) use url::RedisUrl;

/// The variable with the server to start, a path or a name on PATH.
const SERVER: &str = "SPINDRIFT_REDIS_SERVER";

/// How to get one, for messages.
const HOW: &str = "install redis or valkey with your package manager (Debian: `apt install redis-server`, macOS: \
                   `brew install redis`)";

/// The Redis to use.
pub(crate) enum Redis {
    /// An existing one, at this URL.
    Given(RedisUrl),
    /// One started by us, which ends with us.
    Private(Server),
    /// None: everything is served from the origin.
    None,
}

impl Redis {
    /// Returns the URL, if there is one.
    pub(crate) fn url(&self) -> Option<RedisUrl> {
        match self {
            Self::Given(url) => Some(url.clone()),
            Self::Private(server) => Some(server.url()),
            Self::None => None,
        }
    }
}

/// Returns the first of these that is available, and says if it is too old.
pub(crate) fn provide(workspace: &Workspace, given: Option<RedisUrl>) -> Result<Redis> {
    if let Some(url) = given {
        say_about_given(&url);
        return Ok(Redis::Given(url));
    }
    let local = RedisUrl::local(6379);
    match ping(&local) {
        Answer::Pong => {
            say("redis", format_args!("using the Redis that answers on {}", local.host()));
            say_if_old(&local);
            return Ok(Redis::Given(local));
        }
        Answer::Refused(why) => say("redis", format_args!("not using the Redis on {}: {why}", local.host())),
        Answer::Silent(_) => {}
    }
    let Some(program) = program(workspace)? else {
        say(
            "redis",
            format_args!(
                "none: serving everything from the origin. To cache, {HOW}, or pass `--redis redis://host:6379`"
            ),
        );
        return Ok(Redis::None);
    };
    let server = Server::start(&program)?;
    say_if_old(&server.url());
    Ok(Redis::Private(server))
}

/// Asks a Redis that answers for its version.
fn say_if_old(url: &RedisUrl) {
    if let Some(version) = ping::version(url).filter(|version| is_old(version)) {
        let host = url.host();
        say(
            "redis",
            format_args!("{host} is version {version}. Spindrift needs 7.0 or newer: parts of it will fail"),
        );
    }
}

/// Returns whether a version is older than 7.0, as the packages of Debian 11 and Ubuntu 22.04 are.
fn is_old(version: &str) -> bool {
    version.split('.').next().and_then(|major| major.parse::<u32>().ok()).is_some_and(|major| major < 7)
}

fn say_about_given(url: &RedisUrl) {
    match ping(url) {
        Answer::Pong if url.is_tls() => say("redis", format_args!("{} accepts connections", url.host())),
        Answer::Pong => {
            say("redis", format_args!("{} answers", url.host()));
            say_if_old(url);
        }
        Answer::Refused(why) => say(
            "redis",
            format_args!(
                "{} refuses: {}. Serving from the origin until it accepts",
                url.host(),
                why.trim_end_matches('.')
            ),
        ),
        Answer::Silent(why) => say(
            "redis",
            format_args!("{} does not answer ({why}). Serving from the origin until it does", url.host()),
        ),
    }
}

/// Returns a server's program, installed if necessary and permitted; `None` after saying why not.
pub(crate) fn program(workspace: &Workspace) -> Result<Option<PathBuf>> {
    if let Some(program) = chosen(named(SERVER))?.or_else(installed) {
        return Ok(Some(program));
    }
    let _lock = workspace.lock()?;
    if let Err(reason) = install::by_apt(&workspace.target("xtask")) {
        process::check_interrupted()?;
        say("redis", format_args!("not installed: {reason}"));
    }
    Ok(installed())
}

/// Returns the program that was named: another one must not replace it unnoticed.
fn chosen(named: Option<PathBuf>) -> Result<Option<PathBuf>> {
    let Some(named) = named else { return Ok(None) };
    match which(&named.to_string_lossy()) {
        Some(program) => Ok(Some(program)),
        None => fail(format!("{SERVER}: expected a program, found none at {}", named.display())),
    }
}

/// Returns a server's program on this machine.
fn installed() -> Option<PathBuf> {
    which("redis-server").or_else(|| which("valkey-server"))
}

/// Returns how to get one, for messages of commands that require it.
pub(crate) fn how_to_get_one() -> &'static str {
    HOW
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn versions_before_7_are_old() {
        assert!(is_old("6.0.16") && is_old("5.0"));
        assert!(!is_old("7.0.15") && !is_old("8.1.0") && !is_old("unstable"));
    }

    #[test]
    fn a_server_that_refuses_is_not_asked_for_its_version() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = RedisUrl::local(listener.local_addr().unwrap().port());
        let refusing = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"-NOAUTH Authentication required.\r\n").unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
            listener
        });
        provide(&Workspace::find().unwrap(), Some(url)).unwrap();
        let listener = refusing.join().unwrap();
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "there is no second connection");
    }

    #[test]
    fn a_server_that_was_named_is_the_one_or_none() {
        assert_eq!(chosen(None), Ok(None));
        assert_eq!(chosen(Some("sh".into())).unwrap(), which("sh"));
        assert_eq!(chosen(Some("/bin/sh".into())).unwrap(), Some("/bin/sh".into()));
        let failure = chosen(Some("/no/such/server".into())).unwrap_err().to_string();
        assert!(failure.contains(SERVER) && failure.contains("/no/such/server"), "{failure}");
    }
}
