//! Starting a host on a free port, and waiting until it is ready.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::console::last_lines;
use crate::failure::{Context, Result, fail};
use crate::net::on_free_port;
use crate::process::{self, Group};
use crate::runner::Runner;
use crate::variables::Variables;
use crate::workspace::Workspace;

/// How long starting may take: a large component takes a while to compile, more so on a busy machine.
const READY_LIMIT: Duration = Duration::from_secs(120);

/// An app on a free port, which ends on drop.
pub(crate) struct App {
    address: SocketAddr,
    _group: Group,
}

impl App {
    /// Starts the app of `manifest`; its output is appended to the file `log` in the target directory, which
    /// `--quiet` among the `arguments` keeps short.
    pub(crate) fn start(
        workspace: &Workspace,
        runner: &Runner,
        manifest: &str,
        variables: &Variables,
        (log, arguments): (&str, &[&str]),
    ) -> Result<Self> {
        let app = on_free_port(|port| {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            let mut command = runner.up(&workspace.path(manifest));
            command.current_dir(workspace.path("")).args(["--listen", &address.to_string()]).args(arguments);
            variables.export(&mut command);
            let group = spawn_ready(&mut command, address, &workspace.target(log))?;
            Ok(Self { address, _group: group })
        });
        app.or_else(|failure| fail(format!("{manifest}: {failure}")))
    }

    /// Returns where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Starts a server and waits until it listens; its output is appended to `log`.
pub(crate) fn spawn_ready(command: &mut Command, address: SocketAddr, log: &Path) -> Result<Group> {
    let opened = File::options().create(true).append(true).open(log);
    let file = opened.cannot(format_args!("write {}", log.display()))?;
    command.stdout(file.try_clone().cannot("write a log")?).stderr(file);
    let mut group = Group::spawn(command)?;
    let ready = wait_until_ready(address, || group.how_it_ended());
    ready.or_else(|failure| fail(format!("{failure}\n{}", last_lines(log, 10))))?;
    Ok(group)
}

/// Waits until it listens; fails when it ends before, which `ended` tells.
pub(crate) fn wait_until_ready(listen: SocketAddr, mut ended: impl FnMut() -> Option<String>) -> Result<()> {
    let end = Instant::now() + READY_LIMIT;
    while Instant::now() < end {
        if let Some(how) = ended() {
            process::check_interrupted()?;
            return fail(format!(
                "the host ended during its start ({how}); see its output above for the reason"
            ));
        }
        if TcpStream::connect_timeout(&reachable(listen), Duration::from_secs(1)).is_ok() {
            return Ok(());
        }
        process::sleep(Duration::from_millis(30))?;
    }
    fail(format!(
        "expected the host to listen on {listen} within {} s, found that it does not",
        READY_LIMIT.as_secs()
    ))
}

/// Returns the address to connect to: 0.0.0.0 and [::] are only for listening.
pub(crate) fn reachable(listen: SocketAddr) -> SocketAddr {
    let local: IpAddr = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(local, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_to_listen_on_becomes_one_to_connect_to() {
        assert_eq!(reachable("0.0.0.0:3000".parse().unwrap()).to_string(), "127.0.0.1:3000");
        assert_eq!(reachable("[::]:3000".parse().unwrap()).to_string(), "[::1]:3000");
        assert_eq!(reachable("10.0.0.1:80".parse().unwrap()).to_string(), "10.0.0.1:80");
    }
}
