//! Connections from the network.

use super::respond::answer;
use crate::app::App;
use crate::console::error_line;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use std::error::Error as _;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use wasmtime_wasi_http::Error as HttpError;

/// How long requests under way may take after the signal to stop.
const GRACE: Duration = Duration::from_secs(5);

/// Options of connections.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Sends every packet at once. Spin does not, so measurements with this say nothing about Spin.
    pub tcp_nodelay: bool,
}

/// Answers requests on `listener` until `stop` is ready, then gives those under way some seconds to finish.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    app: &App,
    listener: TcpListener,
    options: Options,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    app.shared().set_listener(listener.local_addr()?);
    let (stopping, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, client)) => {
                    // If the connection is gone already, this fails; that is noticed below.
                    _ = stream.set_nodelay(options.tcp_nodelay);
                    connections.spawn(connection(Arc::clone(app.shared()), stream, client, stopped.clone()));
                }
                Err(e) if is_transient(&e) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(e) => return Err(e),
            },
        }
    }
    drop(listener);
    _ = stopping.send(true);
    let finished = async { while connections.join_next().await.is_some() {} };
    _ = tokio::time::timeout(GRACE, finished).await;
    Ok(())
}

/// A client that left, or too many open files for the moment: neither is a reason to stop.
fn is_transient(error: &std::io::Error) -> bool {
    const TOO_MANY_FILES: [i32; 2] = [23, 24];
    matches!(error.kind(), std::io::ErrorKind::ConnectionAborted | std::io::ErrorKind::ConnectionReset)
        || error.raw_os_error().is_some_and(|code| TOO_MANY_FILES.contains(&code))
}

async fn connection(
    app: Arc<crate::app::Shared>,
    stream: TcpStream,
    client: SocketAddr,
    mut stopped: watch::Receiver<bool>,
) {
    let service = service_fn(|request: http::Request<Incoming>| {
        let app = Arc::clone(&app);
        async move {
            let request = request.map(|body| body.map_err(HttpError::from).boxed_unsync());
            answer(&app.front, request, client).await
        }
    });
    let builder = Builder::new(TokioExecutor::new());
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let result = tokio::select! {
        result = &mut connection => result,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    // Clients hang up every day; errors in the request itself were refused above.
    if let Err(error) = result
        && let Some(problem) = error.downcast_ref::<hyper::Error>().filter(|it| it.is_user())
    {
        let cause = problem.source().map(|it| format!(": {it}")).unwrap_or_default();
        error_line(format_args!("request from {client}: {problem}{cause}"));
    }
}
