//! Whether a Redis answers: a PING by hand, so that no client library has to be compiled first.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::RedisUrl;

const LIMIT: Duration = Duration::from_secs(2);

/// The answer of a server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It can be used.
    Pong,
    /// It answers, but refuses us: for lack of a password, for instance.
    Refused(String),
    /// There is no connection, or no answer.
    Silent(String),
}

/// Connects, authenticates and sends PING. With an encrypted server, only the connection is tried.
pub(crate) fn ping(url: &RedisUrl) -> Answer {
    match connect(url) {
        Ok(_) if url.is_tls() => Answer::Pong,
        Ok(stream) => converse(&stream, url).unwrap_or_else(|error| Answer::Silent(error.to_string())),
        Err(error) => Answer::Silent(error.to_string()),
    }
}

/// Returns the first line of the reply to a command without arguments.
pub(super) fn ask(url: &RedisUrl, command: &str) -> std::io::Result<String> {
    call(&connect(url)?, command, &[])
}

fn connect(url: &RedisUrl) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::other("the host name has no address");
    for address in url.address().to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, LIMIT) {
            Ok(stream) => {
                stream.set_read_timeout(Some(LIMIT))?;
                stream.set_write_timeout(Some(LIMIT))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn converse(stream: &TcpStream, url: &RedisUrl) -> std::io::Result<Answer> {
    if let Some(arguments) = url.auth() {
        let reply = call(stream, "AUTH", &arguments)?;
        if reply != "+OK" {
            return Ok(Answer::Refused(reply.trim_start_matches('-').to_owned()));
        }
    }
    let reply = call(stream, "PING", &[])?;
    Ok(if reply == "+PONG" {
        Answer::Pong
    } else {
        Answer::Refused(reply.trim_start_matches('-').to_owned())
    })
}

/// Returns the version of a server that tells it; an encrypted one is not asked.
pub(super) fn version(url: &RedisUrl) -> Option<String> {
    if url.is_tls() {
        return None;
    }
    let stream = connect(url).ok()?;
    if let Some(arguments) = url.auth() {
        call(&stream, "AUTH", &arguments).ok()?;
    }
    send(&stream, "INFO", &["server"]).ok()?;
    let lines =
        BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.starts_with('-'));
    lines.take(100).find_map(|line| Some(line.strip_prefix("redis_version:")?.trim().to_owned()))
}

fn call(stream: &TcpStream, name: &str, arguments: &[&str]) -> std::io::Result<String> {
    send(stream, name, arguments)?;
    let mut line = String::new();
    if BufReader::new(stream).read_line(&mut line)? == 0 {
        return Err(std::io::Error::other("it closed the connection"));
    }
    Ok(line.trim_end().to_owned())
}

fn send(mut stream: &TcpStream, name: &str, arguments: &[&str]) -> std::io::Result<()> {
    let mut request = format!("*{}\r\n${}\r\n{name}\r\n", arguments.len() + 1, name.len());
    for argument in arguments {
        request.push_str(&format!("${}\r\n{argument}\r\n", argument.len()));
    }
    stream.write_all(request.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn server_that_says(reply: &'static str) -> RedisUrl {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(reply.as_bytes()).unwrap();
            thread::sleep(Duration::from_millis(200));
        });
        RedisUrl::local(port)
    }

    #[test]
    fn tells_a_redis_from_what_is_none() {
        assert_eq!(ping(&server_that_says("+PONG\r\n")), Answer::Pong);
        let locked = ping(&server_that_says("-NOAUTH Authentication required.\r\n"));
        assert_eq!(locked, Answer::Refused("NOAUTH Authentication required.".to_owned()));
        assert!(matches!(ping(&server_that_says("")), Answer::Silent(_)));
    }

    #[test]
    fn a_version_is_found_or_not() {
        let info = "$52\r\n# Server\r\nredis_version:6.0.16\r\nredis_mode:standalone\r\n\r\n";
        assert_eq!(version(&server_that_says(info)).as_deref(), Some("6.0.16"));
        assert_eq!(version(&server_that_says("-NOPERM no\r\n")), None);
    }
}
