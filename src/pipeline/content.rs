//! Content on its way to and from the origin: how much of it is awaited before the head is sent.

use super::absorb::declared_length;
use crate::app::App;
use crate::body::{Body, BodyError};
use crate::env::{Env, UpstreamError};
use crate::role::Role;
use bytes::Bytes;
use futures_util::future::{Either, select};
use http::Response;
use std::pin::pin;
use std::time::Duration;

/// How long the head of a response waits for its content: no longer than the delay that is saved by sending both
/// together.
const FIRST_PIECE: Duration = Duration::from_millis(40);

/// How long content of unknown length is given to end, once it has begun. Its end would otherwise be a small
/// write of its own. A component of the same app needs less, as does an origin that sends the end along with the last
/// piece; a stream that goes on begins later by this time.
const END: Duration = Duration::from_millis(5);

/// Content up to this length, in bytes, is awaited as a whole.
const WHOLE: u64 = 256 * 1024;

/// Prepares the content of a request for the origin. Where no length is declared, the fields that the host leaves do not
/// tell whether there is content, so its beginning is awaited briefly: absent content must not be sent as chunks. "A client
/// MUST NOT send content in a TRACE request" (RFC 9110 §9.3.8), and origins refuse it with other methods.
pub(super) async fn of_request<E: Env>(env: &E, mut body: Body) -> Body {
    if body.length().is_some() {
        return body;
    }
    let first = match select(pin!(body.chunk()), pin!(env.sleep(FIRST_PIECE))).await {
        Either::Left((first, _)) => Some(first),
        Either::Right(_) => None,
    };
    match first {
        Some(Some(first)) => body.after(first, None),
        Some(None) => Body::Empty,
        None => body,
    }
}

/// Content that broke off before its head was sent.
pub(super) struct Broken {
    held: Bytes,
    declared: Option<u64>,
    error: BodyError,
}

impl Broken {
    /// The content as it came, failing where it broke off.
    fn into_body(self) -> Body {
        Body::from_pieces(self.declared, futures_util::stream::iter([Ok(self.held), Err(self.error)]))
    }

    /// The failure that it means for the origin, or for the component behind a middleware.
    fn into_failure(self, role: Role) -> UpstreamError {
        let text = format!("its content ended early: {}", self.error);
        match role {
            Role::Gateway => UpstreamError::Invalid(text),
            Role::Middleware => UpstreamError::Failed(text),
        }
    }
}

/// Returns the response of the origin, with [`first_piece`] of its content. If that breaks off, there is no response: the
/// client can still be told, or be given a stored one. Not so where it `goes_on`: a part of a range may precede the break.
pub(super) async fn begun<E: Env>(
    app: &App<E>,
    response: Response<Body>,
    goes_on: bool,
) -> Result<Response<Body>, UpstreamError> {
    let (head, body) = response.into_parts();
    let body = match first_piece(&app.env, body, declared_length(&head.headers)).await {
        Ok(body) => body,
        Err(broken) if goes_on => broken.into_body(),
        Err(broken) => return Err(broken.into_failure(app.role)),
    };
    Ok(Response::from_parts(head, body))
}

/// Awaits [`first_piece`] of content that goes to the client even if it breaks off.
pub(super) async fn ahead<E: Env>(env: &E, body: Body, declared: Option<u64>) -> Body {
    first_piece(env, body, declared).await.unwrap_or_else(Broken::into_body)
}

/// Waits briefly for the first piece, or for small content as a whole, so that it can be sent together with
/// the head. Consecutive small writes cost a client with delayed acknowledgements 40 ms each.
async fn first_piece<E: Env>(env: &E, mut body: Body, declared: Option<u64>) -> Result<Body, Broken> {
    let Body::Stream(_) = &body else { return Ok(body) };
    let wanted = match declared {
        Some(length) if length > WHOLE => 1,
        length => length.unwrap_or(WHOLE),
    };
    let mut held = Vec::new();
    let mut late = pin!(env.sleep(FIRST_PIECE));
    while (held.len() as u64) < wanted {
        let next = match select(pin!(body.chunk()), late.as_mut()).await {
            Either::Left((next, _)) => Some(next),
            Either::Right(_) => None,
        };
        match next {
            Some(Some(Ok(piece))) if held.is_empty() => {
                held = piece.into();
                if declared.is_none() {
                    late.set(env.sleep(END));
                }
            }
            Some(Some(Ok(piece))) => held.extend_from_slice(&piece),
            Some(Some(Err(error))) => return Err(Broken { held: held.into(), declared, error }),
            Some(None) => return Ok(held.into()),
            None => break,
        }
    }
    Ok(match held {
        held if declared == Some(held.len() as u64) => held.into(),
        held if held.is_empty() => body,
        held => body.after(Ok(held.into()), declared),
    })
}
