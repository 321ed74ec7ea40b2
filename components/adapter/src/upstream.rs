//! Requests to the origin.

use crate::env::SpinEnv;
use crate::{incoming, outgoing};
use http::{Method, Request, Response, Uri};
use spin_sdk::wasip3::http::types::{self, ErrorCode, RequestOptions};
use spindrift::body::Body;
use spindrift::env::{Timeouts, Upstream, UpstreamError};
use std::time::Duration;

impl Upstream for SpinEnv {
    async fn send(
        &self,
        request: Request<Body>,
        timeouts: Timeouts,
    ) -> Result<Response<Body>, UpstreamError> {
        let request = outgoing_request(request, timeouts).await?;
        let response = spin_sdk::wasip3::http::client::send(request).await.map_err(|code| error(&code))?;
        let response = incoming::response(response);
        // RFC 9110 §15: a status code outside of 100 to 599 is invalid, and the host takes none from us.
        match response.status().as_u16() {
            100..=599 => Ok(response),
            status => {
                Err(UpstreamError::Invalid(format!("expected a status code from 100 to 599, found {status}")))
            }
        }
    }
}

async fn outgoing_request(
    request: Request<Body>,
    timeouts: Timeouts,
) -> Result<types::Request, UpstreamError> {
    let (head, body) = request.into_parts();
    let fields =
        outgoing::fields(&head.headers).map_err(|error| UpstreamError::Invalid(error.to_string()))?;
    let (contents, trailers) = outgoing::start(body).await;
    let (request, _sent) = types::Request::new(fields, contents, trailers, Some(options(timeouts)));
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

/// A host that does not know a timeout keeps its own, which are longer.
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
