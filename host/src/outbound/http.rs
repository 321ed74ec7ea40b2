//! Requests from components: permitted, then sent to another component or over the network.

use super::body::with_timeout;
use super::connect::{CONNECT_TIMEOUT, Connector};
use super::permission::Permission;
use crate::app::Shared;
use crate::config::address::chained_component;
use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use http_body_util::BodyExt;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::TokioExecutor;
use std::error::Error as _;
use std::future::Future;
use std::sync::Weak;
use std::time::Duration;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// How long connecting, the first byte and every pause may take, unless the component sets it.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

/// The host name by which components mean their own app.
const SELF_HOST: &str = "self.alt";

/// The connection pool that all components of the app share.
pub(crate) type HttpClient = Client<Connector, WasiBody>;

/// Makes an empty pool.
pub(crate) fn client() -> HttpClient {
    Client::builder(TokioExecutor::new()).build(Connector::new())
}

type Sent = (Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

/// What an instance needs to send requests.
#[derive(Clone)]
pub(crate) struct HttpHooks {
    permission: Permission,
    client: HttpClient,
    /// Weak, because the app holds the instances; empty without an HTTP trigger.
    app: Weak<Shared>,
}

impl HttpHooks {
    pub(crate) fn new(permission: Permission, client: HttpClient, app: Weak<Shared>) -> Self {
        Self { permission, client, app }
    }
}

impl WasiHttpHooks for HttpHooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        // Tells how the component fared with the response's body, which is not needed here.
        _fut: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        let hooks = self.clone();
        Box::new(async move {
            let response = hooks.send(request, options.unwrap_or_default()).await?;
            // Errors of the connection arrive in the body.
            Ok((response, Box::new(std::future::ready(Ok(()))) as Box<_>))
        })
    }
}

impl HttpHooks {
    async fn send(
        self,
        mut request: Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<Response<WasiBody>, Error> {
        let app = self.app.upgrade();
        self.permit(&mut request, app.as_deref())?;
        let pause = options.between_bytes_timeout.unwrap_or(DEFAULT_TIMEOUT);
        let target = request.uri().authority().and_then(|it| chained_component(it.host())).map(str::to_owned);
        let response = match app.zip(target) {
            Some((app, component)) => crate::http::chain(&app, &component, request).await?,
            None => self.exchange(request, options).await?,
        };
        Ok(response.map(|body| with_timeout(body, pause)))
    }

    /// Checks a request against the component's list, and redirects one to the app itself to its listener.
    fn permit(&self, request: &mut Request<WasiBody>, app: Option<&Shared>) -> Result<(), Error> {
        let uri = request.uri();
        let itself = uri.authority().is_none_or(|it| it.host().is_empty() || it.host() == SELF_HOST);
        let allowed = if itself {
            self.permission.allows_self()
        } else {
            self.permission.allows(&uri.to_string(), "https").unwrap_or(false)
        };
        if !allowed {
            return Err(Error::HttpRequestDenied);
        }
        if itself {
            *request.uri_mut() = app.and_then(|app| own_uri(uri, app)).ok_or(Error::HttpRequestUriInvalid)?;
        }
        // The client sets it again from the URI: a component cannot choose it.
        request.headers_mut().remove(HOST);
        Ok(())
    }

    async fn exchange(
        &self,
        request: Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<Response<WasiBody>, Error> {
        let connect = options.connect_timeout.unwrap_or(DEFAULT_TIMEOUT);
        let first_byte = options.first_byte_timeout.unwrap_or(DEFAULT_TIMEOUT);
        let sent = CONNECT_TIMEOUT.scope(connect, self.client.request(request));
        let response =
            tokio::time::timeout(first_byte, sent).await.map_err(|_| Error::ConnectionReadTimeout)?;
        Ok(response.map_err(|e| from_client(&e))?.map(|body| body.map_err(Error::from).boxed_unsync()))
    }
}

/// Returns the same path and query on this host's own listener.
fn own_uri(uri: &Uri, app: &Shared) -> Option<Uri> {
    let authority = Authority::try_from(app.listener()?.to_string()).ok()?;
    let mut parts = uri.clone().into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority);
    parts.path_and_query.get_or_insert_with(|| http::uri::PathAndQuery::from_static("/"));
    Uri::from_parts(parts).ok()
}

/// Returns the connector's error if there is one below, otherwise that of a broken exchange.
fn from_client(error: &legacy::Error) -> Error {
    let cause = error.source().and_then(|it| it.downcast_ref::<Error>());
    cause.and_then(copy_of).unwrap_or(Error::HttpProtocolError)
}

/// Copies the errors that our own parts put below the client's; the type itself cannot be cloned.
fn copy_of(error: &Error) -> Option<Error> {
    Some(match error {
        Error::ConnectionRefused => Error::ConnectionRefused,
        Error::ConnectionTimeout => Error::ConnectionTimeout,
        Error::TlsProtocolError => Error::TlsProtocolError,
        Error::HttpRequestUriInvalid => Error::HttpRequestUriInvalid,
        Error::DnsError { rcode, info_code } => {
            Error::DnsError { rcode: rcode.clone(), info_code: *info_code }
        }
        _ => return None,
    })
}
