//! Resuming stored content that cannot be read to its end, because Redis went away or evicted a piece while it was being
//! sent. The head is sent by then, so the origin is asked for the rest of the same representation.

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

/// A body with bytes of a stored representation.
#[derive(Clone, Copy)]
pub(super) struct Stored<'a> {
    /// The fields of the representation.
    pub(super) headers: &'a HeaderMap,
    /// Which of its bytes the body has; `None` for none.
    pub(super) span: Option<Span>,
    /// How many bytes the representation has in all.
    pub(super) complete: u64,
}

impl<'a> Stored<'a> {
    /// A body with all bytes.
    pub(super) fn whole(headers: &'a HeaderMap, length: u64) -> Self {
        Self { headers, span: Span::new(0, length), complete: length }
    }
}

/// Guards the body with bytes of a stored representation. If it breaks off after it has begun, it continues with what the
/// origin sends.
///
/// That requires a strong validator: bytes of two representations must not be mixed (RFC 9110 §15.3.7.3). Without
/// one the body just breaks off, as it does with a session, for which the origin may not answer the same again.
pub(super) fn guarded<E: Env>(want: &Want<'_, E>, stored: Stored<'_>, body: Body) -> Body {
    from(want, stored, body, Begun::No)
}

/// Like [`guarded`], for a body sent after another one: it also continues if it breaks off before it has begun.
pub(super) fn guarded_behind<E: Env>(want: &Want<'_, E>, stored: Stored<'_>, body: Body) -> Body {
    from(want, stored, body, Begun::Yes)
}

fn from<E: Env>(want: &Want<'_, E>, stored: Stored<'_>, body: Body, begun: Begun) -> Body {
    let Stored { headers, span, complete } = stored;
    let (Body::Stream(_), Some(span), None) = (&body, span, &want.incoming.visit) else { return body };
    let Some(validator) = StrongValidator::value(headers) else { return body };
    let mut request = want.incoming.unconditional(want.app, &want.policy.key);
    request.headers_mut().insert(IF_RANGE, validator.clone());
    let rest = Rest {
        app: Rc::clone(want.app),
        url: want.key.url().to_owned(),
        request,
        stored: validators(headers),
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

/// Returns the fields that tell this representation from others.
fn validators(stored: &HeaderMap) -> HeaderMap {
    let names = [ETAG, LAST_MODIFIED, DATE];
    names.into_iter().filter_map(|name| Some((name.clone(), stored.get(name)?.clone()))).collect()
}

/// Whether the client has received any of the response. If not, it can still be answered in another way.
#[derive(PartialEq, Eq)]
enum Begun {
    No,
    Yes,
}

struct Guarded<E: Env> {
    body: Body,
    begun: Begun,
    at: u64,
    /// The request for the rest; `None` once it was sent.
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

/// The request for the rest, in case it is needed.
struct Rest<E: Env> {
    app: Rc<App<E>>,
    url: String,
    request: Request<Body>,
    /// The validators of the representation that was sent so far.
    stored: HeaderMap,
    end: u64,
    complete: u64,
}

impl<E: Env> Rest<E> {
    /// Asks for the bytes from `at` on; `None` where the origin does not send exactly these.
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
