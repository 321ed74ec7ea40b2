//! TCP and TLS connections for the HTTP client that all components share.

use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wasmtime_wasi_http::Error;

tokio::task_local! {
    /// How long connecting may take for the current request; the client has no parameter for it.
    pub(crate) static CONNECT_TIMEOUT: Duration;
}

/// Connects to the host of a URI.
#[derive(Clone)]
pub(crate) struct Connector {
    tls: TlsConnector,
}

impl Connector {
    /// Makes a connector that trusts the web's certificate authorities.
    pub(crate) fn new() -> Self {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self { tls: TlsConnector::from(Arc::new(config)) }
    }

    async fn connect(self, uri: http::Uri, limit: Duration) -> Result<TokioIo<Stream>, Error> {
        let https = uri.scheme() == Some(&http::uri::Scheme::HTTPS);
        let tcp = connect_tcp(&uri, if https { 443 } else { 80 }, limit).await?;
        if !https {
            return Ok(TokioIo::new(Stream::Plain(tcp)));
        }
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let name = ServerName::try_from(host).map_err(|_| dns_error("invalid dns name"))?.to_owned();
        let tls = self.tls.connect(name, tcp).await.map_err(|_| Error::TlsProtocolError)?;
        Ok(TokioIo::new(Stream::Tls(Box::new(tls))))
    }
}

async fn connect_tcp(uri: &http::Uri, default_port: u16, limit: Duration) -> Result<TcpStream, Error> {
    let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
    let address = match authority.port() {
        Some(_) => authority.as_str().to_owned(),
        None => format!("{}:{default_port}", authority.as_str()),
    };
    let addresses: Vec<_> =
        tokio::net::lookup_host(address).await.map_err(|_| dns_error("address not available"))?.collect();
    let connected = tokio::time::timeout(limit, TcpStream::connect(&*addresses)).await;
    connected.map_err(|_| Error::ConnectionTimeout)?.map_err(|e| match e.kind() {
        io::ErrorKind::AddrNotAvailable => dns_error("address not available"),
        _ => Error::ConnectionRefused,
    })
}

fn dns_error(rcode: &str) -> Error {
    Error::DnsError { rcode: Some(rcode.to_owned()), info_code: Some(0) }
}

impl tower_service::Service<http::Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        // Read here, because the client may go on connecting in another task when a pooled connection becomes free.
        let limit = CONNECT_TIMEOUT.try_with(|limit| *limit).unwrap_or(super::http::DEFAULT_TIMEOUT);
        Box::pin(self.clone().connect(uri, limit))
    }
}

/// A connection, with or without TLS.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        match self {
            Self::Tls(tls) if tls.get_ref().1.alpn_protocol() == Some(b"h2") => {
                Connected::new().negotiated_h2()
            }
            Self::Tls(_) | Self::Plain(_) => Connected::new(),
        }
    }
}

/// Calls the same method on either kind of stream.
macro_rules! either {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Plain(tcp) => {
                let $stream = Pin::new(tcp);
                $call
            }
            Stream::Tls(tls) => {
                let $stream = Pin::new(&mut **tls);
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(tcp) => tcp.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }
}
