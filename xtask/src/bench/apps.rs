//! The two apps that are measured, side by side on the same host.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::cell::{Cell, Plan, What};
use super::load::Load;
use crate::console::say;
use crate::failure::{Context, Result, fail};
use crate::process::Group;
use crate::redis::{RedisUrl, Server, free_port};
use crate::runner::Runner;
use crate::serving;
use crate::variables::Variables;
use crate::workspace::Workspace;

/// Running.
pub(super) struct Apps {
    host: String,
    empty: App,
    gateway: App,
}

struct App {
    address: SocketAddr,
    _group: Group,
}

impl Apps {
    /// Starts both.
    pub(super) fn start(
        workspace: &Workspace,
        runner: &Runner,
        redis: &RedisUrl,
        origin: SocketAddr,
    ) -> Result<Self> {
        let mut variables = Variables::default();
        variables.set("origin_url", &format!("http://{origin}"));
        variables.set("redis_url", redis.secret());
        variables.set("redis_host", &redis.host());
        variables.set("redis_enabled", "true");
        variables.set("config", "");
        let empty = App::start(workspace, runner, "benches/empty/spin.toml", &Variables::default())?;
        let gateway = App::start(workspace, runner, "spin.toml", &variables)?;
        Ok(Self { host: runner.name(), empty, gateway })
    }

    /// One cell.
    pub(super) fn measure(&self, plan: Plan, time: Duration, redis: &Server) -> Result<Cell> {
        let Plan { what, kilobytes, connections } = plan;
        let app = if what == What::Empty { &self.empty } else { &self.gateway };
        let load = Load { address: app.address, what, kilobytes };
        load.prepare()?;
        let sample = load.run(connections, time)?;
        if sample.wrong > 0 {
            say("bench", format_args!("{} responses were not what was expected", sample.wrong));
        }
        if what == What::Miss {
            // Thousands of entries would be in the way of what is measured next.
            redis.flush()?;
        }
        Ok(Cell { host: self.host.clone(), plan, sample })
    }
}

impl App {
    fn start(workspace: &Workspace, runner: &Runner, manifest: &str, variables: &Variables) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let log = workspace.target("bench.log");
        let mut command = runner.up(&workspace.path(manifest));
        command.current_dir(workspace.path("")).args(["--listen", &address.to_string(), "--quiet"]);
        variables.export(&mut command);
        let file = File::options().create(true).append(true).open(&log).cannot("write target/bench.log")?;
        command.stdout(file.try_clone().cannot("write target/bench.log")?).stderr(file);
        let mut group = Group::spawn(&mut command)?;
        let ready = serving::wait_until_ready(address, || group.how_it_ended());
        ready.or_else(|failure| fail(format!("{manifest}: {failure}\n{}", last_lines(&log))))?;
        Ok(Self { address, _group: group })
    }
}

fn last_lines(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}
