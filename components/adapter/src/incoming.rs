//! Messages from the host: requests to us and responses to us.

use bytes::Bytes;
use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use spin_sdk::wasip3::http::types::{self, ErrorCode, Fields};
use spin_sdk::wasip3::wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamResult};
use spin_sdk::wasip3::wit_future;
use spindrift::body::{Body, BodyError};
use spindrift::role::Role;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

/// How many bytes of a body are read at once, at most.
const READ: usize = 64 * 1024;

type Trailers = Result<Option<types::Trailers>, ErrorCode>;

/// Converts a request to us, in this role.
pub(crate) fn request(request: types::Request, role: Role) -> Result<http::Request<Body>, ErrorCode> {
    let mut message = http::Request::new(Body::Empty);
    *message.method_mut() = method(request.get_method())?;
    *message.uri_mut() = uri(&request)?;
    let fields = request.get_headers();
    *message.headers_mut() = match role {
        Role::Gateway => without_spin(&fields),
        // The next component gets Spin's fields, too.
        Role::Middleware => headers(fields.copy_all()),
    };
    if has_content(message.method(), message.headers()) {
        let (done, result) = wit_future::new(|| Ok(()));
        let (stream, trailers) = types::Request::consume_body(request, result);
        *message.body_mut() = body(stream, trailers, done, content_length(message.headers()));
    }
    Ok(message)
}

/// Returns whether to read content. In a GET or HEAD it "has no generally defined semantics" (RFC 9110 §9.3.1), and is
/// read only if its length is declared.
fn has_content(method: &Method, headers: &HeaderMap) -> bool {
    match content_length(headers) {
        Some(length) => length > 0,
        None => *method != Method::GET && *method != Method::HEAD,
    }
}

/// Converts a response to us.
pub(crate) fn response(response: types::Response) -> http::Response<Body> {
    let mut message = http::Response::new(Body::Empty);
    *message.status_mut() = http::StatusCode::from_u16(response.get_status_code()).unwrap_or_default();
    *message.headers_mut() = headers(response.get_headers().copy_all());
    let (done, result) = wit_future::new(|| Ok(()));
    let (stream, trailers) = types::Response::consume_body(response, result);
    *message.body_mut() = body(stream, trailers, done, None);
    message
}

/// The field with the client's address: its last line is Spin's, which is appended to what the client sent.
const CLIENT: &str = "spin-client-addr";

/// Returns the fields of a request, without Spin's own and those a client sent under such names. Only the client's
/// address is needed of them, and removing the others from a map afterwards would cost more than everything else that
/// is done with it.
fn without_spin(fields: &Fields) -> HeaderMap {
    let mut all = fields.copy_all();
    let client = all.iter().rposition(|(name, _)| name == CLIENT);
    // Not `swap_remove`: with Spin's fields in front of all others, it would reorder the lines of another field.
    let client = client.map(|at| all.remove(at));
    all.retain(|(name, _)| !name.starts_with("spin-"));
    all.extend(client);
    headers(all)
}

/// Converts fields. The host has checked them; one that is invalid nevertheless is skipped.
fn headers(all: Vec<(String, Vec<u8>)>) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(all.len());
    for (name, value) in all {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_maybe_shared(Bytes::from(value)))
        {
            headers.append(name, value);
        }
    }
    headers
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn method(method: types::Method) -> Result<Method, ErrorCode> {
    Ok(match method {
        types::Method::Get => Method::GET,
        types::Method::Head => Method::HEAD,
        types::Method::Post => Method::POST,
        types::Method::Put => Method::PUT,
        types::Method::Delete => Method::DELETE,
        types::Method::Connect => Method::CONNECT,
        types::Method::Options => Method::OPTIONS,
        types::Method::Trace => Method::TRACE,
        types::Method::Patch => Method::PATCH,
        types::Method::Other(name) => {
            Method::from_bytes(name.as_bytes()).map_err(|_| ErrorCode::HttpRequestMethodInvalid)?
        }
    })
}

fn uri(request: &types::Request) -> Result<Uri, ErrorCode> {
    let mut parts = Parts::default();
    parts.scheme = Some(match request.get_scheme() {
        Some(types::Scheme::Https) => Scheme::HTTPS,
        Some(types::Scheme::Other(other)) => other.parse().map_err(invalid)?,
        Some(types::Scheme::Http) | None => Scheme::HTTP,
    });
    // A URI with a scheme needs an authority; a request without one names no host.
    parts.authority = Some(match request.get_authority() {
        Some(authority) => authority.try_into().map_err(invalid)?,
        None => Authority::from_static("localhost"),
    });
    parts.path_and_query = Some(match request.get_path_with_query() {
        Some(path) if !path.is_empty() => path.try_into().map_err(invalid)?,
        _ => PathAndQuery::from_static("/"),
    });
    Uri::from_parts(parts).map_err(invalid)
}

fn invalid<E>(_: E) -> ErrorCode {
    ErrorCode::HttpRequestUriInvalid
}

struct Reading {
    stream: StreamReader<u8>,
    end: End,
    _done: FutureWriter<Result<(), ErrorCode>>,
}

/// What is known of the end of the body.
enum End {
    /// Nothing yet: the trailers will tell.
    Awaited(Pin<Box<dyn Future<Output = Trailers>>>),
    /// It is complete when the stream ends.
    Whole,
    /// The end was reached.
    Reached,
}

fn body(
    stream: StreamReader<u8>,
    trailers: FutureReader<Trailers>,
    done: FutureWriter<Result<(), ErrorCode>>,
    length: Option<u64>,
) -> Body {
    let end = End::Awaited(Box::pin(trailers.into_future()));
    let reading = Reading { stream, end, _done: done };
    let pieces = futures_util::stream::unfold(reading, |mut reading| async move {
        let piece = reading.next().await?;
        Some((piece, reading))
    });
    Body::from_pieces(length, pieces)
}

impl Reading {
    /// Returns the next piece. The trailers tell whether the stream ended or broke. A component behind may send them
    /// while its stream is open, and wait until they are read; so both are polled.
    async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        let Self { stream, end, .. } = self;
        if matches!(end, End::Reached) {
            return None;
        }
        let mut read = pin!(stream.read(Vec::with_capacity(READ)));
        let piece = poll_fn(|cx| match read.as_mut().poll(cx) {
            Poll::Ready(read) => Poll::Ready(Ok(read)),
            Poll::Pending => end.poll_broken(cx).map(Err),
        });
        match piece.await {
            Ok((StreamResult::Complete(_), piece)) => Some(Ok(piece.into())),
            Ok((StreamResult::Dropped | StreamResult::Cancelled, piece)) => match end.reached().await {
                Ok(()) => (!piece.is_empty()).then(|| Ok(piece.into())),
                Err(error) => Some(Err(error)),
            },
            Err(error) => {
                *end = End::Reached;
                Some(Err(error))
            }
        }
    }
}

impl End {
    /// Is ready when the body is known to have broken.
    fn poll_broken(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        let Self::Awaited(trailers) = self else { return Poll::Pending };
        match trailers.as_mut().poll(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(broken(&error)),
            Poll::Ready(Ok(_)) => {
                *self = Self::Whole;
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Returns whether the body broke, once its stream has ended.
    async fn reached(&mut self) -> Result<(), BodyError> {
        match std::mem::replace(self, Self::Reached) {
            Self::Awaited(trailers) => trailers.await.map(drop).map_err(|error| broken(&error)),
            Self::Whole | Self::Reached => Ok(()),
        }
    }
}

fn broken(error: &ErrorCode) -> BodyError {
    BodyError(error.to_string())
}
