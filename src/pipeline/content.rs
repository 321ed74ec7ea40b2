//! Content on its way from the origin and to it: what of it is awaited before the head is sent.

use crate::body::Body;
use crate::env::Env;
use futures_util::future::{Either, select};
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

/// Waits a little for the first piece, or for a small content as a whole, so that it can leave together with
/// the head. Small writes one after the other cost a client with delayed acknowledgements 40 ms each.
pub(super) async fn first_piece<E: Env>(env: &E, mut body: Body, declared: Option<u64>) -> Body {
    let Body::Stream(_) = &body else { return body };
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
            Some(Some(Err(error))) => {
                return Body::from_pieces(
                    declared,
                    futures_util::stream::iter([Ok(held.into()), Err(error)]),
                );
            }
            Some(None) => return held.into(),
            None => break,
        }
    }
    match held {
        held if declared == Some(held.len() as u64) => held.into(),
        held if held.is_empty() => body,
        held => body.after(Ok(held.into()), declared),
    }
}
