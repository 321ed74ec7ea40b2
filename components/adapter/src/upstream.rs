//! Requests to the upstream, which is the origin or the next component, and to other targets.

use crate::env::SpinEnv;
use crate::{incoming, outgoing};
use futures_util::future::{Either, select};
use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response, Uri};
use spin_sdk::wasip3;
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{self, ErrorCode, HeaderError, RequestOptions};
use spindrift::body::Body;
use spindrift::env::{Clock, Timeouts, Upstream, UpstreamError};
use spindrift::role::Role;
use std::pin::Pin;
use std::time::Duration;

/// A request under way to the next component.
pub type Handling = Pin<Box<dyn Future<Output = Result<types::Response, ErrorCode>>>>;

/// Who answers what the cache does not.
#[derive(Clone, Copy, Debug)]
pub enum Behind {
    /// The origin, over the network.
    Origin,
    /// The next component of the app, through this function of `wasi:http/handler`. The component that imports it
    /// passes it in, so that no other component does: one that imports it is middleware, and cannot run by itself.
    Next(fn(types::Request) -> Handling),
    /// Nobody: the component answers by itself, and uses the library otherwise ([`crate::app`]).
    Nobody,
}

impl Behind {
    pub(crate) const fn role(self) -> Role {
        match self {
            Self::Origin => Role::Gateway,
            // Like a middleware, it shares its variables with an app.
            Self::Next(_) | Self::Nobody => Role::Middleware,
        }
    }
}

impl Upstream for SpinEnv {
    async fn send(
        &self,
        request: Request<Body>,
        timeouts: Timeouts,
    ) -> Result<Response<Body>, UpstreamError> {
        match self.behind {
            Behind::Origin => self.send_abroad(request, timeouts).await,
            Behind::Next(handle) => {
                let request = outgoing_request(request, None).await?;
                received(self.in_time(handle(request), timeouts.first_byte).await?)
            }
            Behind::Nobody => Err(UpstreamError::Failed("there is no component behind this one".to_owned())),
        }
    }

    async fn send_abroad(
        &self,
        request: Request<Body>,
        timeouts: Timeouts,
    ) -> Result<Response<Body>, UpstreamError> {
        let request = outgoing_request(sized(request), Some(options(timeouts))).await?;
        received(client::send(request).await.map_err(|code| error(&code))?)
    }
}

impl SpinEnv {
    /// Awaits the next component's response. The host sets no deadline between components, so this does. A
    /// component that is late continues by itself: cancelling it would mean waiting until it notices.
    async fn in_time(&self, handling: Handling, limit: Duration) -> Result<types::Response, UpstreamError> {
        match select(handling, Box::pin(self.sleep(limit))).await {
            Either::Left((response, _)) => response.map_err(|code| UpstreamError::Failed(code.to_string())),
            Either::Right(((), late)) => {
                wasip3::spawn(async move { drop(late.await) });
                Err(UpstreamError::TimedOut(format!("no response within {limit:?}")))
            }
        }
    }
}

/// RFC 9110 §15: a status code above 599 is invalid, and the host does not accept one from us. One below 200 is not a final
/// response: of these, clients pass on only 101, and nobody asked for another protocol (§7.8).
fn received(response: types::Response) -> Result<Response<Body>, UpstreamError> {
    let response = incoming::response(response);
    match response.status().as_u16() {
        200..=599 => Ok(response),
        status => {
            Err(UpstreamError::Invalid(format!("expected a status code from 200 to 599, found {status}")))
        }
    }
}

/// Declares the length of the content, if it is known. Otherwise the host sends chunks, even for no content at
/// all; but not for a GET or HEAD, which it sends without content.
fn sized(mut request: Request<Body>) -> Request<Body> {
    let is_bare = request.method() == Method::GET || request.method() == Method::HEAD;
    if let Some(length) = request.body().length().filter(|_| !is_bare) {
        request.headers_mut().entry(CONTENT_LENGTH).or_insert(length.into());
    }
    request
}

async fn outgoing_request(
    request: Request<Body>,
    options: Option<RequestOptions>,
) -> Result<types::Request, UpstreamError> {
    let (head, body) = request.into_parts();
    let fields = outgoing::fields(&head.headers).map_err(|error| match error {
        HeaderError::SizeExceeded => UpstreamError::TooLarge(error.to_string()),
        _ => UpstreamError::Invalid(error.to_string()),
    })?;
    let (contents, trailers) = outgoing::start(body, None).await;
    let (request, _sent) = types::Request::new(fields, contents, trailers, options);
    target(&request, &head.method, &head.uri).map_err(|()| {
        UpstreamError::Invalid(format!("the host refuses {} {}", head.method, head.uri.path()))
    })?;
    Ok(request)
}

fn target(request: &types::Request, method: &Method, uri: &Uri) -> Result<(), ()> {
    let scheme = match uri.scheme_str() {
        Some("https") => types::Scheme::Https,
        _ => types::Scheme::Http,
    };
    request.set_method(&wasi_method(method))?;
    request.set_scheme(Some(&scheme))?;
    request.set_authority(uri.authority().map(http::uri::Authority::as_str))?;
    request.set_path_with_query(uri.path_and_query().map(http::uri::PathAndQuery::as_str))
}

fn wasi_method(method: &Method) -> types::Method {
    match method.as_str() {
        "GET" => types::Method::Get,
        "HEAD" => types::Method::Head,
        "POST" => types::Method::Post,
        "PUT" => types::Method::Put,
        "DELETE" => types::Method::Delete,
        "CONNECT" => types::Method::Connect,
        "OPTIONS" => types::Method::Options,
        "TRACE" => types::Method::Trace,
        "PATCH" => types::Method::Patch,
        other => types::Method::Other(other.to_owned()),
    }
}

/// Sets the timeouts. A host that does not support one keeps its own, which is longer.
fn options(timeouts: Timeouts) -> RequestOptions {
    let nanos = |duration: Duration| Some(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    let options = RequestOptions::new();
    let _ = options.set_connect_timeout(nanos(timeouts.connect));
    let _ = options.set_first_byte_timeout(nanos(timeouts.first_byte));
    let _ = options.set_between_bytes_timeout(nanos(timeouts.between_bytes));
    options
}

fn error(code: &ErrorCode) -> UpstreamError {
    let text = code.to_string();
    match code {
        ErrorCode::DnsTimeout
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => UpstreamError::TimedOut(text),
        ErrorCode::HttpRequestDenied => UpstreamError::Denied(text),
        ErrorCode::HttpProtocolError
        | ErrorCode::HttpResponseHeaderSectionSize(_)
        | ErrorCode::HttpResponseHeaderSize(_)
        | ErrorCode::HttpResponseTransferCoding(_)
        | ErrorCode::HttpResponseContentCoding(_) => UpstreamError::Invalid(text),
        _ => UpstreamError::Unreachable(text),
    }
}
