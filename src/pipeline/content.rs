//! Content on its way from the origin and to it: what of it is awaited before the head is sent.

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

/// How long the head of a response waits for its content: no longer than the wait that leaving together
/// saves.
const FIRST_PIECE: Duration = Duration::from_millis(40);

/// How long a content of unknown length, once it has begun, is given to end. The mark of its end would otherwise
/// be a small write of its own. A component of the same app, or an origin that sends it along with the last
/// piece, needs less; a stream that goes on begins so much later.
const END: Duration = Duration::from_millis(5);

/// A content up to this, in bytes, is awaited whole.
const WHOLE: u64 = 256 * 1024;

/// The content of a request on its way to the origin. Where no length is declared, the fields that the host leaves do not say
/// whether there is any, so its beginning is awaited a little: what is not there must not go out as chunks. "A client MUST
/// NOT send content in a TRACE request" (RFC 9110 §9.3.8), and origins refuse it in others.
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

/// A content that broke off before its head was sent.
pub(super) struct Broken {
    held: Bytes,
    declared: Option<u64>,
    error: BodyError,
}

impl Broken {
    /// The content as it came, up to where it breaks.
    fn into_body(self) -> Body {
        Body::from_pieces(self.declared, futures_util::stream::iter([Ok(self.held), Err(self.error)]))
    }

    /// What it means of the origin, or of the component that is behind.
    fn into_failure(self, role: Role) -> UpstreamError {
        let text = format!("its content broke off: {}", self.error);
        match role {
            Role::Gateway => UpstreamError::Invalid(text),
            Role::Middleware => UpstreamError::Failed(text),
        }
    }
}

/// The response of the origin, with [`first_piece`] of its content. One that breaks in it is none: the client can still be
/// told so, or given what is stored. But not where it `goes_on` all the same: of a range, a part may have come before it broke.
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

/// [`first_piece`] of a content that goes to the client in any case.
pub(super) async fn ahead<E: Env>(env: &E, body: Body, declared: Option<u64>) -> Body {
    first_piece(env, body, declared).await.unwrap_or_else(Broken::into_body)
}

/// Waits a little for the first piece, or for a small content as a whole, so that it can leave together with
/// the head. Small writes one after the other cost a client with delayed acknowledgements 40 ms each.
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
