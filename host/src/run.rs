//! `up`: loads the app, starts its triggers, and ends with the first of them or at a signal.

use crate::app::App;
use crate::cli::Up;
use crate::console::line;
use crate::error::Error;
use crate::http::{Options, serve};
use crate::subscriber::subscribe;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Runs the app until SIGINT or SIGTERM.
///
/// # Errors
/// The app cannot be loaded, the address cannot be listened on, or a Redis trigger lost its connection.
pub fn up(up: &Up) -> Result<(), Error> {
    let app = App::load(&up.manifest(), &up.load_options()?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Error::io("starting", e))?;
    let result = runtime.block_on(run(&app, up));
    // Idle instances are left to the end of the process: dropping them one by one would look like failures in the log.
    std::mem::forget(runtime);
    result
}

async fn run(app: &App, up: &Up) -> Result<(), Error> {
    let http = async {
        if !app.has_http() {
            return std::future::pending().await;
        }
        let listener = listen(app, up).await?;
        let served = serve(app, listener, Options { tcp_nodelay: up.tcp_nodelay }, stop()).await;
        served.map_err(|e| Error::io("accepting connections", e))
    };
    let redis = async {
        if !app.has_redis() {
            return std::future::pending().await;
        }
        tokio::select! {
            () = stop() => std::future::pending().await,
            ended = subscribe(app) => ended,
        }
    };
    let only_redis = async {
        stop().await;
        if app.has_http() { std::future::pending().await } else { Ok(()) }
    };
    tokio::select! { ended = http => ended, ended = redis => ended, ended = only_redis => ended }
}

async fn listen(app: &App, up: &Up) -> Result<TcpListener, Error> {
    let failed = |e| Error::io(format!("listening on {}", up.listen), e);
    let listener = TcpListener::bind(up.listen).await.map_err(failed)?;
    let url = format!("http://{}", listener.local_addr().map_err(failed)?);
    line(format_args!("\nServing {url}\nAvailable Routes:"));
    for (route, component) in app.routes() {
        line(format_args!("  {component}: {url}{route}"));
    }
    Ok(listener)
}

/// Ready on SIGINT or SIGTERM.
async fn stop() {
    let wait = |kind| async move {
        match signal(kind) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! { () = wait(SignalKind::interrupt()) => {}, () = wait(SignalKind::terminate()) => {} }
}
