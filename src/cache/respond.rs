//! Responses made from what is stored (RFC 9111 §4), conditional or not (RFC 9110 §13).

use super::entry::Entry;
use crate::field::conditional::not_modified_since_stored;
use crate::time::Timestamp;
use http::header::{
    AGE, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY_REPORT_ONLY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

/// Whether the stored content is sent with the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Send {
    /// Head and content.
    Content,
    /// The head only: for HEAD, or a 304.
    HeadOnly,
}

/// Makes the head of the response to a request from `entry`, and takes the fields out of the entry.
///
/// It is 304 when the client has the response already (RFC 9110 §13.1.2, §13.1.3); only a 200 can become one.
#[must_use]
pub fn head(
    method: &Method,
    request: &HeaderMap,
    entry: &mut Entry,
    now: Timestamp,
) -> (StatusCode, HeaderMap, Send) {
    let mut headers = std::mem::take(&mut entry.headers);
    // RFC 9111 §5.1: "a cache MUST generate an Age header field" for what it serves without validation.
    headers.insert(AGE, HeaderValue::from(entry.age(now)));
    if entry.status == StatusCode::OK && not_modified_since_stored(request, &headers) {
        return (StatusCode::NOT_MODIFIED, only_metadata(&headers), Send::HeadOnly);
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(entry.content.length()));
    let send = if *method == Method::HEAD { Send::HeadOnly } else { Send::Content };
    (entry.status, headers, send)
}

/// Returns the fields of a 304: those RFC 9110 §15.4.5 requires, and nothing that describes content, "unless said
/// metadata exists for the purpose of guiding cache updates". `Content-Security-Policy` does not describe content in spite
/// of its name: without it the client would keep the policy it has (RFC 9111 §4.3.4).
#[must_use]
pub fn only_metadata(headers: &HeaderMap) -> HeaderMap {
    const KEPT: [HeaderName; 3] =
        [CONTENT_LOCATION, CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY_REPORT_ONLY];
    let mut kept = HeaderMap::new();
    for (name, value) in headers {
        if KEPT.contains(name) || !name.as_str().starts_with("content-") {
            kept.append(name, value.clone());
        }
    }
    kept
}
