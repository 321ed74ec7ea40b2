//! The apps that are measured, side by side on the same host.

use std::net::SocketAddr;
use std::time::Duration;

use super::cell::{Cell, Plan, What};
use super::load::Load;
use crate::console::say;
use crate::failure::Result;
use crate::redis::{RedisUrl, Server};
use crate::runner::Runner;
use crate::serving::App;
use crate::variables::Variables;
use crate::workspace::Workspace;

/// The log of the hosts, in the target directory: kept short, since printing would be measured, too.
const LOG: (&str, &[&str]) = ("bench.log", &["--quiet"]);

/// The running apps.
pub(super) struct Apps {
    host: String,
    empty: App,
    get: App,
    gateway: App,
    middleware: App,
}

impl Apps {
    /// Starts the apps.
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
        let empty = App::start(workspace, runner, "benches/empty/spin.toml", &Variables::default(), LOG)?;
        let get = App::start(workspace, runner, "benches/get/spin.toml", &variables, LOG)?;
        let gateway = App::start(workspace, runner, "spin.toml", &variables, LOG)?;
        let middleware = App::start(workspace, runner, "benches/middleware/spin.toml", &variables, LOG)?;
        Ok(Self { host: runner.name().to_owned(), empty, get, gateway, middleware })
    }

    /// Measures one cell.
    pub(super) fn measure(&self, plan: Plan, time: Duration, redis: &Server) -> Result<Cell> {
        let Plan { what, kilobytes, connections } = plan;
        let app = match what {
            What::Empty => &self.empty,
            What::Get => &self.get,
            What::MiddlewareHit => &self.middleware,
            What::Hit | What::Miss | What::Pass => &self.gateway,
        };
        let load = Load { address: app.address(), what, kilobytes };
        load.prepare()?;
        let sample = load.run(connections, time)?;
        if sample.wrong > 0 {
            say("bench", format_args!("{} responses were not what was expected", sample.wrong));
        }
        if what == What::Miss {
            // Thousands of entries would affect the next measurement.
            redis.flush()?;
        }
        Ok(Cell { host: self.host.clone(), plan, sample })
    }
}
