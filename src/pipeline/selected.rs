//! Responses to range requests, from what is stored.

use super::absorb::declared_length;
use super::content;
use super::resume::{self, Stored};
use super::{Answer, Want};
use crate::body::Body;
use crate::cache::entry::Content;
use crate::cache::range::{Selected, describe, select, unsatisfied};
use crate::cache::slice::{Source, read};
use crate::env::Env;
use crate::field::range::Span;
use crate::nonce;
use crate::problem::Problem;
use bytes::Bytes;
use http::header::CONTENT_RANGE;
use http::{HeaderMap, Response, StatusCode};

/// Returns the response to a range request from a stored 200 with this content, and takes its `headers` then. `None`
/// when the request gets the whole.
pub(super) fn of_stored<E: Env>(
    want: &Want<'_, E>,
    headers: &mut HeaderMap,
    content: &Content,
) -> Option<Response<Body>> {
    let (range, complete) = (want.incoming.range.as_ref()?, content.length());
    let boundary = || nonce::random(&want.app.env);
    let selected = select(range, &want.incoming.headers, headers, complete, boundary);
    let source = Source::from(content.clone());
    (selected != Selected::Whole)
        .then(|| written(want, &source, std::mem::take(headers), complete, &selected))
}

/// Makes the response with the part that was selected of `complete` bytes; not for the whole.
pub(super) fn written<E: Env>(
    want: &Want<'_, E>,
    source: &Source,
    mut headers: HeaderMap,
    complete: u64,
    selected: &Selected,
) -> Response<Body> {
    let body = match selected {
        Selected::Whole | Selected::Unsatisfiable => return not_satisfiable(complete),
        Selected::One(span) => {
            let body = read(&want.shared.store, &want.key, source, *span);
            resume::guarded(want, Stored { headers: &headers, span: Some(*span), complete }, body)
        }
        Selected::Several(multipart) => {
            let part = |(head, span): &(Bytes, Span)| {
                let body = read(&want.shared.store, &want.key, source, *span);
                let stored = Stored { headers: &headers, span: Some(*span), complete };
                let body = resume::guarded_behind(want, stored, body);
                [head.clone().into(), body]
            };
            let mut bodies: Vec<Body> = multipart.parts.iter().flat_map(part).collect();
            bodies.push(multipart.end.clone().into());
            Body::chained(bodies)
        }
    };
    describe(&mut headers, selected, complete);
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    *response.headers_mut() = headers;
    response
}

/// Makes a 304: the client has the response already.
pub(super) fn unchanged(metadata: HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    *response.headers_mut() = metadata;
    response
}

/// RFC 9110 §15.5.17: "A server that generates a 416 response to a byte-range request SHOULD generate a
/// Content-Range header field specifying the current length of the selected representation".
pub(super) fn not_satisfiable(complete: u64) -> Response<Body> {
    let detail = format!("expected a range within the {complete} bytes of the content, found none");
    let mut response = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, detail).into_response();
    response.headers_mut().insert(CONTENT_RANGE, unsatisfied(complete));
    response
}

/// Waits briefly for the first piece of a part, so that it is sent together with the head.
pub(super) async fn ahead<E: Env>(env: &E, mut answer: Answer) -> Answer {
    if answer.response.status() == StatusCode::PARTIAL_CONTENT {
        let declared = declared_length(answer.response.headers());
        let body = std::mem::take(answer.response.body_mut());
        *answer.response.body_mut() = content::ahead(env, body, declared).await;
    }
    answer
}
