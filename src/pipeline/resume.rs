//! Stored content that cannot be read to its end: Redis went away, or evicted a piece, while it was sent. The head is
//! gone by then, so the origin is asked for the rest of the same representation.

use super::Want;
use super::absorb::declared_length;
use super::fetch::timeouts;
use crate::app::App;
use crate::body::{Body, BodyError};
use crate::cache::partial::Carried;
use crate::env::Env;
use crate::field::range::Span;
use crate::field::validator::{StrongValidator, same_representation};
use crate::metrics::Series;
use bytes::Bytes;
use http::header::{DATE, ETAG, IF_RANGE, LAST_MODIFIED, RANGE};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use std::rc::Rc;

/// The bytes of `span` of a stored representation with these fields and `complete` bytes. What breaks after it has begun
/// goes on with what the origin sends.
///
/// That takes a strong validator: bytes of two representations must not be put together (RFC 9110 §15.3.7.3). Without
/// one the body breaks, as does one of a session, which the origin may not answer as it did.
pub(super) fn guarded<E: Env>(
    want: &Want<'_, E>,
    stored: &HeaderMap,
    bytes: (Option<Span>, u64),
    body: Body,
) -> Body {
    from(want, stored, bytes, (body, Begun::No))
}

/// The same of a body that stands behind another: what breaks before it has begun goes on, too.
pub(super) fn guarded_behind<E: Env>(
    want: &Want<'_, E>,
    stored: &HeaderMap,
    bytes: (Option<Span>, u64),
    body: Body,
) -> Body {
    from(want, stored, bytes, (body, Begun::Yes))
}

fn from<E: Env>(
    want: &Want<'_, E>,
    stored: &HeaderMap,
    (span, complete): (Option<Span>, u64),
    (body, begun): (Body, Begun),
) -> Body {
    let (Body::Stream(_), Some(span), None) = (&body, span, &want.incoming.visit) else { return body };
    let Some(validator) = StrongValidator::value(stored) else { return body };
    let mut request = want.incoming.unconditional(want.app, &want.policy.key);
    request.headers_mut().insert(IF_RANGE, validator.clone());
    let rest = Rest {
        app: Rc::clone(want.app),
        url: want.key.url().to_owned(),
        request,
        stored: validators(stored),
        end: span.end(),
        complete,
    };
    let guarded = Guarded { body, begun, at: span.start(), rest: Some(rest) };
    let pieces = futures_util::stream::unfold(guarded, |mut guarded| async move {
        let piece = guarded.next().await?;
        Some((piece, guarded))
    });
    Body::from_pieces(Some(span.length()), pieces)
}

/// What tells a representation from others.
fn validators(stored: &HeaderMap) -> HeaderMap {
    let names = [ETAG, LAST_MODIFIED, DATE];
    names.into_iter().filter_map(|name| Some((name.clone(), stored.get(name)?.clone()))).collect()
}

/// Whether the client has something of the response. What has not begun can still be answered otherwise.
#[derive(PartialEq, Eq)]
enum Begun {
    No,
    Yes,
}

struct Guarded<E: Env> {
    body: Body,
    begun: Begun,
    at: u64,
    /// Until it was asked for.
    rest: Option<Rest<E>>,
}

impl<E: Env> Guarded<E> {
    async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        let error = match self.body.chunk().await? {
            Ok(piece) => return Some(Ok(self.counted(piece))),
            Err(error) => error,
        };
        let rest = self.rest.take().filter(|_| self.begun == Begun::Yes);
        let Some(rest) = rest else { return Some(Err(error)) };
        rest.app.env.log(&format!("{}: {error}; the origin is asked for the rest", rest.url));
        let metrics = Rc::clone(&rest.app.metrics);
        let Some(body) = Box::pin(rest.from(self.at)).await else { return Some(Err(error)) };
        metrics.count(Series::Other("resumed_total", None));
        self.body = body;
        self.body.chunk().await.map(|piece| piece.map(|piece| self.counted(piece)))
    }

    fn counted(&mut self, piece: Bytes) -> Bytes {
        self.at += piece.len() as u64;
        self.begun = Begun::Yes;
        piece
    }
}

/// What is asked of the origin, should it be needed.
struct Rest<E: Env> {
    app: Rc<App<E>>,
    url: String,
    request: Request<Body>,
    /// The validators of what was sent so far.
    stored: HeaderMap,
    end: u64,
    complete: u64,
}

impl<E: Env> Rest<E> {
    /// The bytes from `at` on; `None` where the origin does not give just these.
    async fn from(self, at: u64) -> Option<Body> {
        let (wanted, mut request) = (Span::new(at, self.end)?, self.request);
        request.headers_mut().insert(RANGE, HeaderValue::try_from(format!("bytes={wanted}")).ok()?);
        let response = self.app.env.send(request, timeouts(&self.app)).await.ok()?;
        let headers = response.headers();
        let carried = Carried::of(headers, declared_length(headers)).ok()?;
        let fits = response.status() == StatusCode::PARTIAL_CONTENT
            && carried == Carried { span: wanted, complete: self.complete }
            && same_representation(&self.stored, headers);
        fits.then(|| response.into_body().exactly(wanted.length()))
    }
}
