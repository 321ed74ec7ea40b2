//! A Redis of our own: on a free port of this machine, in a temporary directory, without persistence.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::directory::Directory;
use super::ping::{self, Answer, ping};
use super::url::RedisUrl;
use crate::console::{last_lines, say};
use crate::failure::{Result, fail};
use crate::net::on_free_port;
use crate::process::{self, Group};

/// The server's log, in its directory.
const LOG: &str = "redis.log";

const START_LIMIT: Duration = Duration::from_secs(10);

/// A running server, which ends on drop; its directory is removed.
pub(crate) struct Server {
    group: Group,
    program: PathBuf,
    port: u16,
    directory: Directory,
}

impl Server {
    /// Starts `program`.
    pub(crate) fn start(program: &Path) -> Result<Self> {
        let directory = Directory::create()?;
        let started = on_free_port(|port| Ok((launch(program, port, &directory)?, port)));
        let (group, port) = started.or_else(|reason| {
            process::check_interrupted()?;
            fail(format!("{} did not start: {reason}", program.display()))
        })?;
        say("redis", format_args!("private {} on {}", program.display(), RedisUrl::local(port).host()));
        Ok(Self { group, program: program.to_owned(), port, directory })
    }

    /// Starts it again after it has ended: on the same port, empty.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        self.group = launch(&self.program, self.port, &self.directory)?;
        Ok(())
    }

    /// Returns its URL.
    pub(crate) fn url(&self) -> RedisUrl {
        RedisUrl::local(self.port)
    }

    /// Describes how it ended, if it has.
    pub(crate) fn how_it_ended(&mut self) -> Option<String> {
        self.group.how_it_ended()
    }

    /// Deletes all data, which is only ours.
    pub(crate) fn flush(&self) -> Result<()> {
        match ping::ask(&self.url(), "FLUSHALL") {
            Ok(reply) if reply == "+OK" => Ok(()),
            Ok(reply) => fail(format!("expected +OK from FLUSHALL, found {reply}")),
            Err(error) => fail(format!("cannot flush Redis: {error}")),
        }
    }
}

fn launch(program: &Path, port: u16, directory: &Directory) -> Result<Group> {
    let mut group = Group::spawn(&mut command(program, port, directory.path()))?;
    if let Err(failure) = wait_for_pong(&group, port) {
        group.end();
        let log = last_lines(&directory.path().join(LOG), 5);
        let shown = if log.is_empty() { log } else { format!("; its last log lines:\n{log}") };
        return fail(format!("{failure}{shown}"));
    }
    Ok(group)
}

fn command(program: &Path, port: u16, directory: &Path) -> Command {
    let mut command = process::command(program);
    command.current_dir(directory).stdout(Stdio::null()).stderr(Stdio::null());
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--logfile", LOG]);
    command.args(["--save", "", "--appendonly", "no", "--daemonize", "no"]);
    // All our keys have a TTL; the memory of a machine used for a trial is not filled up.
    command.args(["--maxmemory", "512mb", "--maxmemory-policy", "volatile-lru"]);
    command
}

fn wait_for_pong(group: &Group, port: u16) -> Result<()> {
    let end = Instant::now() + START_LIMIT;
    let mut last = Answer::Silent("not asked".to_owned());
    while Instant::now() < end {
        if group.ended() {
            return fail("it ended immediately");
        }
        last = ping(&RedisUrl::local(port));
        if last == Answer::Pong {
            return Ok(());
        }
        process::sleep(Duration::from_millis(20))?;
    }
    fail(format!("expected PONG within {} s, last found {last:?}", START_LIMIT.as_secs()))
}
