//! A single attempt to deliver a message.

use super::{KeyRing, Outcome, judge};
use crate::body::Body;
use crate::env::{Env, Timeouts, UpstreamError};
use bytes::Bytes;
use futures_util::future::{Either, select};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use std::pin::pin;
use std::time::Duration;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// How much of a response is read, in bytes, so that its connection can be used again.
const DRAIN: usize = 16 * 1024;
/// How long that may take.
const DRAINING: Duration = Duration::from_millis(100);

/// A message and its target.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The target: an absolute `http://` or `https://` URI.
    pub target: &'a Uri,
    /// Its id, the same for every attempt: visible ASCII, and preferably without a dot.
    pub id: &'a str,
    /// Its content, which is JSON.
    pub content: &'a Bytes,
    /// The keys that sign it.
    pub keys: &'a KeyRing,
    /// How long the target may take to answer.
    pub timeout: Duration,
}

/// Sends a message once, signed, and waits for the head of the response, at most for its timeout. The head
/// decides; the content does not matter.
pub async fn deliver<E: Env>(env: &E, message: Message<'_>) -> Outcome {
    let limit = message.timeout;
    let timeouts = Timeouts { connect: limit, first_byte: limit, between_bytes: limit };
    let sending = env.send_abroad(request(&message, env.now().as_secs()), timeouts);
    let (head, body) = match select(pin!(sending), pin!(env.sleep(limit))).await {
        Either::Left((Ok(response), _)) => response.into_parts(),
        // The host's own timer may fire first.
        Either::Left((Err(UpstreamError::TimedOut(_)), _)) | Either::Right(_) => {
            return Outcome::TimedOut(limit);
        }
        Either::Left((Err(error), _)) => return Outcome::Failed(error),
    };
    let outcome = judge(head.status, &head.headers, env.now());
    let _ = select(pin!(body.collect(DRAIN)), pin!(env.sleep(DRAINING))).await;
    outcome
}

fn request(message: &Message<'_>, timestamp: u64) -> Request<Body> {
    let signature = message.keys.sign(message.id, timestamp, message.content);
    let fields = [
        (ID, HeaderValue::from_str(message.id).ok()),
        (TIMESTAMP, Some(timestamp.into())),
        (SIGNATURE, HeaderValue::from_str(&signature).ok()),
        (CONTENT_TYPE, Some(HeaderValue::from_static("application/json"))),
        (CONTENT_LENGTH, Some(message.content.len().into())),
        (USER_AGENT, Some(HeaderValue::from_static(concat!("spindrift/", env!("CARGO_PKG_VERSION"))))),
    ];
    let mut request = Request::new(Body::from(message.content.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = message.target.clone();
    request.headers_mut().extend(fields.into_iter().filter_map(|(name, value)| Some((name, value?))));
    request
}
