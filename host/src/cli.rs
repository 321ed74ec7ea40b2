//! The command line: the part of `spin up` that this host understands, with the same names.

use crate::app::LoadOptions;
use crate::config::source::VariableSource;
use crate::error::Error;
use crate::http::reuse::{self, Range, Reuse};
use clap::{Args, Parser, Subcommand};
use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

/// Runs the app that a spin.toml describes, where Spin is not installed.
#[derive(Debug, Parser)]
#[command(name = "spindrift-host", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the app and serve it until a signal ends it
    Up(Up),
}

/// `spindrift-host up`
#[derive(Debug, Args)]
pub struct Up {
    /// The manifest, or the directory that contains it
    #[arg(short = 'f', long = "from", alias = "file", default_value = "spin.toml")]
    pub from: PathBuf,
    /// Address and port to listen on; port 0 picks a free one
    #[arg(long, env = "SPIN_HTTP_LISTEN_ADDR", default_value = "127.0.0.1:3000", value_parser = parse_listen)]
    pub listen: SocketAddr,
    /// The value of a variable: name=value or name=@file; or of several: @file.json or @file.toml
    #[arg(long = "variable", value_name = "SOURCE")]
    pub variables: Vec<VariableSource>,
    /// An environment variable for all components: NAME=value
    #[arg(short = 'e', long = "env", value_name = "NAME=VALUE", value_parser = parse_env)]
    pub env: Vec<(String, String)>,
    /// Hide what components print
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// How many requests an instance serves before it is replaced: a number, or a range such as 1..8 [default: 128]
    #[arg(long, value_parser = reuse::parse_count)]
    pub max_instance_reuse_count: Option<Range<usize>>,
    /// How many requests an instance serves at the same time: a number or a range [default: 16]
    #[arg(long, value_parser = reuse::parse_count)]
    pub max_instance_concurrent_reuse_count: Option<Range<usize>>,
    /// How long a request may take, in seconds or with a unit (s, ms, us, ns): a time or a range [default: no limit]
    #[arg(long, value_parser = reuse::parse_duration)]
    pub request_timeout: Option<Range<Duration>>,
    /// How long an idle instance waits for another request: a time or a range [default: 1s]
    #[arg(long, value_parser = reuse::parse_duration)]
    pub idle_instance_timeout: Option<Range<Duration>>,
    /// How many bytes of memory an instance may use [default: no limit]
    #[arg(long, env = "SPIN_MAX_INSTANCE_MEMORY")]
    pub max_instance_memory: Option<usize>,
    /// Set TCP_NODELAY on connections. Spin does not do this, so measurements with it say nothing about Spin
    #[arg(long)]
    pub tcp_nodelay: bool,
}

impl Up {
    /// The manifest's path.
    #[must_use]
    pub fn manifest(&self) -> PathBuf {
        if self.from.is_dir() { self.from.join("spin.toml") } else { self.from.clone() }
    }

    /// What loading the app needs from the command line.
    ///
    /// # Errors
    /// A `--variable` that names a file which cannot be read.
    pub fn load_options(&self) -> Result<LoadOptions, Error> {
        let mut variables = BTreeMap::new();
        for source in &self.variables {
            variables.extend(source.read()?);
        }
        let default = Reuse::default();
        let reuse = Reuse {
            requests: self.max_instance_reuse_count.unwrap_or(default.requests),
            concurrent: self.max_instance_concurrent_reuse_count.unwrap_or(default.concurrent),
            request_timeout: self.request_timeout,
            idle: self.idle_instance_timeout.unwrap_or(default.idle),
        };
        Ok(LoadOptions {
            variables,
            environment: self.env.clone(),
            reuse,
            max_instance_memory: self.max_instance_memory,
            print: !self.quiet,
        })
    }
}

/// Reads a host and port; of several addresses 127.0.0.1 is taken, else the first.
fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let wrong = |e| format!("expected host:port like 127.0.0.1:3000, or [::1]:3000 for IPv6: {e}");
    let all: Vec<SocketAddr> = text.to_socket_addrs().map_err(wrong)?.collect();
    let local = all.iter().find(|it| it.ip() == std::net::Ipv4Addr::LOCALHOST);
    local.or(all.first()).copied().ok_or_else(|| "expected an address, found none".to_owned())
}

fn parse_env(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=value, found no `=`")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up(arguments: &[&str]) -> Result<Up, String> {
        let all = ["spindrift-host", "up"].iter().chain(arguments);
        let Command::Up(up) = Cli::try_parse_from(all).map_err(|e| e.to_string())?.command;
        Ok(up)
    }

    #[test]
    fn flags_of_spin_up_are_understood() {
        let line = "-f x/spin.toml --listen 127.0.0.1:0 --variable a=b --variable a=c -e A=1 --quiet \
                    --max-instance-reuse-count 1 --max-instance-concurrent-reuse-count 1..3 \
                    --idle-instance-timeout 1s --request-timeout 500ms --tcp-nodelay";
        let up = up(&line.split_whitespace().collect::<Vec<_>>()).unwrap();
        let options = up.load_options().unwrap();
        assert_eq!(up.listen.port(), 0);
        assert_eq!(options.variables["a"], "c");
        assert_eq!(options.environment, [("A".to_owned(), "1".to_owned())]);
        assert_eq!(options.reuse.requests, Range::Value(1));
        assert_eq!(options.reuse.concurrent, Range::Bounds(1, 3));
        assert_eq!(options.reuse.request_timeout, Some(Range::Value(Duration::from_millis(500))));
        assert!(!options.print && up.tcp_nodelay);
    }

    #[test]
    fn defaults_are_spins() {
        let options = up(&[]).unwrap().load_options().unwrap();
        assert_eq!(options.reuse.requests, Range::Value(128));
        assert_eq!(options.reuse.concurrent, Range::Value(16));
        assert_eq!(options.reuse.request_timeout, None);
        assert!(options.print);
    }

    #[test]
    fn mistakes_are_said() {
        for address in ["nonsense", "::1", "[::1]", "::"] {
            assert!(up(&["--listen", address]).unwrap_err().contains("[::1]:3000 for IPv6"), "{address}");
        }
        assert!(up(&["--variable", "nonsense"]).unwrap_err().contains("<name>=<value>"));
        assert!(up(&["--no-such-flag"]).is_err());
    }
}
