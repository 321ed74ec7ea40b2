//! Cutting a range out of content that passes through as a whole (RFC 9110 §14.2).

use super::absorb::declared_length;
use super::selected::not_satisfiable;
use super::{Answer, Want};
use crate::body::{Body, BodyError};
use crate::cache::range::{Selected, describe, select};
use crate::env::Env;
use crate::field::range::Span;
use crate::nonce;
use bytes::Bytes;
use http::{Response, StatusCode};

/// Cuts the requested range out of a whole that is being stored. Only a single range: several, in the order in
/// which they were requested, may need bytes that have already passed.
pub(super) fn out_of<E: Env>(want: &Want<'_, E>, answer: Answer) -> Answer {
    if !is_for_others(&answer) {
        return answer;
    }
    let (selected, complete) = (selected(want, &answer), complete(&answer));
    let Answer { response, status } = answer;
    let (mut head, body) = response.into_parts();
    let response = match selected {
        Selected::Whole | Selected::Several(_) => {
            return Answer { response: Response::from_parts(head, body), status };
        }
        Selected::One(span) => {
            describe(&mut head.headers, &selected, complete.unwrap_or_default());
            head.status = StatusCode::PARTIAL_CONTENT;
            Response::from_parts(head, cut(body, span))
        }
        // The store reads on what is dropped here.
        Selected::Unsatisfiable => not_satisfiable(complete.unwrap_or_default()),
    };
    Answer { response, status: status.made_of(StatusCode::OK) }
}

/// Returns whether the request is for a range, and the whole response arrived but was not stored.
pub(super) fn is_wasted<E: Env>(want: &Want<'_, E>, answer: &Answer) -> bool {
    !is_for_others(answer) && matches!(selected(want, answer), Selected::One(_) | Selected::Unsatisfiable)
}

/// Returns whether the answer is being stored, or is also received by another request.
const fn is_for_others(answer: &Answer) -> bool {
    answer.status.stored || answer.status.collapsed
}

/// Returns what the request selects of this answer, as far as that can be known.
fn selected<E: Env>(want: &Want<'_, E>, answer: &Answer) -> Selected {
    match (&want.incoming.range, complete(answer)) {
        (Some(range), Some(complete)) => {
            let (asked, headers) = (&want.incoming.headers, answer.response.headers());
            select(range, asked, headers, complete, || nonce::random(&want.app.env))
        }
        _ => Selected::Whole,
    }
}

/// Returns the length of a 200 in bytes, where it is known.
fn complete(answer: &Answer) -> Option<u64> {
    let known = declared_length(answer.response.headers()).or_else(|| answer.response.body().length());
    known.filter(|_| answer.response.status() == StatusCode::OK)
}

/// Returns the bytes of `span`, each as soon as it has arrived.
fn cut(body: Body, span: Span) -> Body {
    if let Body::Full(content) = &body
        && let (Ok(start), Ok(end)) = (usize::try_from(span.start()), usize::try_from(span.end()))
        && end <= content.len()
    {
        return content.slice(start..end).into();
    }
    let state = Cut { body: Some(body), at: 0, span };
    let pieces = futures_util::stream::unfold(state, |mut state| async move {
        let piece = state.next().await?;
        Some((piece, state))
    });
    Body::from_pieces(Some(span.length()), pieces)
}

struct Cut {
    /// `None` once the span has passed. Content that is being stored is read on after it is dropped.
    body: Option<Body>,
    at: u64,
    span: Span,
}

impl Cut {
    async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        loop {
            let piece = match self.body.as_mut()?.chunk().await {
                Some(Ok(piece)) => piece,
                Some(Err(error)) => return self.broken(error),
                None => return self.broken(BodyError("it has fewer bytes than declared".to_owned())),
            };
            let start = self.at;
            self.at += piece.len() as u64;
            if self.at >= self.span.end() {
                self.body = None;
            }
            let here = Span::new(start, self.at).and_then(|here| here.common(self.span));
            if let Some(here) = here {
                let position = |at: u64| usize::try_from(at - start).unwrap_or(usize::MAX).min(piece.len());
                return Some(Ok(piece.slice(position(here.start())..position(here.end()))));
            }
        }
    }

    fn broken(&mut self, error: BodyError) -> Option<Result<Bytes, BodyError>> {
        self.body = None;
        Some(Err(error))
    }
}
