//! `cargo xtask up`: prepares everything that serving requires, then serves until Ctrl-C.

mod banner;
mod options;
mod origin;
mod service;
mod supervisor;
mod ticker;
mod token;

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use crate::console::say;
use crate::failure::{Context, Failure, Result, fail};
use crate::process;
use crate::redis::{self, Redis, RedisUrl, Server};
use crate::runner::{Choice, Runner};
use crate::variables::Variables;
use crate::workspace::Workspace;
use crate::{build, serving, wasm_target};
use options::Options;
use service::{Program, Service};
use supervisor::Supervised;
use ticker::Ticker;

const TICK: Duration = Duration::from_millis(100);

/// Prepares and serves.
pub(crate) fn run(parser: lexopt::Parser) -> Result<()> {
    let options = Options::parse(parser)?;
    let workspace = Workspace::find()?;
    let listen = free_address(options.listen)?;
    let mut variables = options.variables;
    report_undeclared(&workspace, &variables)?;
    origin::check(&variables)?;
    let given = given_redis(&variables)?;
    let host = Choice::make(options.host)?;
    wasm_target::ensure(&workspace)?;
    build::components(&workspace)?;
    let runner = host.build(&workspace)?;
    let redis = provide_redis(&workspace, &mut variables, given)?;
    let token = token::provide(&mut variables)?;
    let app = App { workspace, runner, variables, listen };
    app.serve(redis, token.as_deref())
}

/// Checks at once that nobody else listens on the address; port 0 becomes a free one.
fn free_address(listen: SocketAddr) -> Result<SocketAddr> {
    match TcpListener::bind(listen).and_then(|listener| listener.local_addr()) {
        Ok(address) => Ok(address),
        Err(error) => fail(format!(
            "cannot listen on {listen}: {error}\nPass another address, for example `--listen 127.0.0.1:3001`, \
             or port 0 for a free one."
        )),
    }
}

/// Reports variables that nothing reads, most likely because they are misspelt.
fn report_undeclared(workspace: &Workspace, variables: &Variables) -> Result<()> {
    let manifest = std::fs::read_to_string(workspace.path("spin.toml")).cannot("read spin.toml")?;
    for name in variables.undeclared(&manifest) {
        say("variables", format_args!("`{name}` is not declared in spin.toml, so nothing reads it"));
    }
    Ok(())
}

/// Returns the Redis in the variables, checked before minutes are spent on building.
fn given_redis(variables: &Variables) -> Result<Option<RedisUrl>> {
    if is_without_redis(variables) {
        return Ok(None);
    }
    let given = variables.get("redis_url").filter(|text| !text.is_empty());
    let given = given.map(|text| RedisUrl::parse(&text)).transpose()?;
    let cluster = variables.get("redis_cluster_nodes").is_some_and(|nodes| !nodes.is_empty());
    if cluster && given.is_none() {
        return fail("redis_cluster_nodes also needs --redis with the URL of one of the nodes");
    }
    Ok(given)
}

fn is_without_redis(variables: &Variables) -> bool {
    variables.get("redis_enabled").is_some_and(|value| value == "false")
}

/// Finds or starts a Redis, unless the variables switch it off.
fn provide_redis(workspace: &Workspace, variables: &mut Variables, given: Option<RedisUrl>) -> Result<Redis> {
    if is_without_redis(variables) {
        say("redis", "none: redis_enabled is false, everything comes from the origin");
        return Ok(Redis::None);
    }
    let is_given = given.is_some();
    let redis = redis::provide(workspace, given)?;
    if let Some(url) = redis.url() {
        variables.set("redis_url", url.secret());
        // An address meant for another Redis would keep components from this one.
        if is_given {
            variables.set_default("redis_host", &url.host());
        } else {
            variables.set("redis_host", &url.host());
        }
    } else {
        variables.set("redis_enabled", "false");
    }
    Ok(redis)
}

/// What is served, and how.
struct App {
    workspace: Workspace,
    runner: Runner,
    variables: Variables,
    listen: SocketAddr,
}

impl App {
    /// Starts Redis, host and subscriber in this order, and ends them in the opposite one.
    fn serve(&self, redis: Redis, token: Option<&str>) -> Result<()> {
        let subscribed = redis.url().is_some();
        let mut redis = match redis {
            Redis::Private(server) => Some(Supervised::started(server)),
            Redis::Given(_) | Redis::None => None,
        };
        let mut host =
            Program::new("host", || self.command("spin.toml", &["--listen", &self.listen.to_string()]));
        host.start()?;
        serving::wait_until_ready(self.listen, || host.ended())?;
        let subscriber = Program::new("subscriber", || self.command("subscriber.toml", &[]));
        let mut subscriber = subscribed.then(|| Supervised::to_start(subscriber));
        banner::print(self, token);
        // Any of several tokens is valid.
        let token = self.variables.get("admin_token").filter(|_| subscribed);
        let token = token
            .and_then(|all| all.split(',').map(str::trim).find(|one| !one.is_empty()).map(str::to_owned));
        let mut ticker = token.map(|token| Ticker::new(serving::reachable(self.listen), token));
        let ended = watch(&mut host, &mut redis, &mut subscriber, &mut ticker);
        drop((subscriber, host, redis));
        match ended {
            Err(Failure::Interrupted) => {
                say("stopped", "all processes that were started have ended");
                Ok(())
            }
            other => other,
        }
    }

    fn command(&self, manifest: &str, arguments: &[&str]) -> std::process::Command {
        let mut command = self.runner.up(&self.workspace.path(manifest));
        command.current_dir(self.workspace.path("")).args(arguments);
        self.variables.export(&mut command);
        command
    }
}

/// Supervises until a signal comes, or the host ends by itself.
fn watch(
    host: &mut impl Service,
    redis: &mut Option<Supervised<Server>>,
    subscriber: &mut Option<Supervised<impl Service>>,
    ticker: &mut Option<Ticker>,
) -> Result<()> {
    loop {
        process::sleep(TICK)?;
        if let Some(how) = host.ended() {
            process::check_interrupted()?;
            return fail(format!("the host ended by itself ({how}); see its output above for the reason"));
        }
        if let Some(redis) = redis {
            redis.tick()?;
        }
        if let Some(subscriber) = subscriber {
            subscriber.tick()?;
        }
        if let Some(ticker) = ticker {
            ticker.tick();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_said_at_once() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let failure = free_address(taken.local_addr().unwrap()).unwrap_err();
        assert!(failure.to_string().contains("--listen"));
    }

    #[test]
    fn a_redis_that_cannot_be_one_is_said_without_building() {
        let given = |pairs: &[&str]| {
            let mut variables = Variables::default();
            pairs.iter().for_each(|pair| variables.set_pair(pair).unwrap());
            given_redis(&variables)
        };
        assert!(given(&["redis_url=cache:6379"]).unwrap_err().to_string().contains("redis://host:6379"));
        assert!(given(&["redis_url=", "redis_cluster_nodes=redis://a:1"]).is_err());
        assert_eq!(given(&["redis_url=cache:6379", "redis_enabled=false"]), Ok(None));
    }
}
