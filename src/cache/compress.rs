//! Compressing what is stored, once, for all who accept it.
//!
//! Where the route says so, a response that the origin sends uncompressed may be compressed on its way into the store. It
//! is another representation then (RFC 9110 §8.4): it varies on `Accept-Encoding`, its entity tag is weak, and the
//! store keeps one for each coding that clients accept. What is not stored passes through unchanged: the size of
//! compressed content can reveal what is private in it.

use crate::body::{Body, BodyError};
use crate::field::cache_control::ResponseDirectives;
use crate::field::conditional::EntityTag;
use crate::field::digest;
use crate::field::list;
use crate::field::targeted::{Governing, Targets};
use brotli::CompressorWriter;
use bytes::Bytes;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::io::Write as _;

/// Below this size, in bytes, compression gains nothing.
const SMALLEST: u64 = 860;

/// The compression effort: CPU time at the edge is worth more than the last per cent.
const BROTLI_QUALITY: u32 = 5;
const BROTLI_WINDOW: u32 = 20;
const BROTLI_BUFFER: usize = 16 * 1024;
const GZIP_LEVEL: u32 = 6;

/// A content coding (RFC 9110 §8.4.1) that we can apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// `br` (RFC 7932).
    Brotli,
    /// `gzip` (RFC 1952).
    Gzip,
}

impl Coding {
    /// Returns its name in `Content-Encoding`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }
}

/// The decision about a response that could be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The coding for this client; `None` where the client accepts none that we offer.
    pub coding: Option<Coding>,
}

/// Decides whether and how a response is compressed, preferring `codings` in the order of the route. `None` where it
/// passes unchanged for every client. `targets` are the targeted fields that address this cache.
#[must_use]
pub fn plan(
    codings: &[Coding],
    request: &HeaderMap,
    status: StatusCode,
    response: &HeaderMap,
    targets: &Targets,
) -> Option<Plan> {
    let has = |name: HeaderName| response.contains_key(name);
    let length = response.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()).and_then(|it| it.parse().ok());
    let gains = length.is_none_or(|length: u64| length >= SMALLEST);
    if codings.is_empty() || status != StatusCode::OK || has(CONTENT_ENCODING) || !gains {
        return None;
    }
    // RFC 9111 §5.2.2.6: no-transform "indicates that an intermediary ... MUST NOT transform the content". That is addressed
    // to all intermediaries, and a targeted field, which is about caching, does not revoke it.
    let forbidden = ResponseDirectives::of(response).no_transform
        || Governing::of(response, targets).directives.no_transform;
    if forbidden || !is_compressible(response) {
        return None;
    }
    let accepts = |coding: &&Coding| {
        // The field was reduced to the accepted codings before (see `field::accept`).
        list::members(request, ACCEPT_ENCODING).any(|member| member.eq_ignore_ascii_case(coding.name()))
    };
    Some(Plan { coding: codings.iter().find(accepts).copied() })
}

/// Returns whether the content is text in some form. Pictures, archives and the like are compressed already.
fn is_compressible(response: &HeaderMap) -> bool {
    const OTHERS: [&str; 9] = [
        "application/javascript",
        "application/json",
        "application/manifest+json",
        "application/wasm",
        "application/x-javascript",
        "application/xml",
        "font/otf",
        "font/ttf",
        "image/svg+xml",
    ];
    let Some(media_type) = response.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    // The events of a stream must not wait in a buffer.
    (media_type.starts_with("text/") && media_type != "text/event-stream")
        || OTHERS.contains(&media_type.as_str())
        || media_type.ends_with("+json")
        || media_type.ends_with("+xml")
}

impl Plan {
    /// Changes the fields to those of the response that is stored in place of the one that came.
    pub fn apply_to_fields(self, headers: &mut HeaderMap) {
        vary_on_encoding(headers);
        let Some(coding) = self.coding else { return };
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        for name in of_the_bytes() {
            headers.remove(name);
        }
        weaken(headers);
    }

    /// Returns the content that is stored. It breaks off where what came is not as long as was declared: the compressed content
    /// has no declared length by which the store would notice that it is incomplete (RFC 9111 §3.3).
    #[must_use]
    pub fn apply_to_content(self, body: Body, declared: Option<u64>) -> Body {
        let Some(coding) = self.coding else { return body };
        let body = match declared {
            Some(declared) => body.exactly(declared),
            None => body,
        };
        match body {
            // Empty content has a compressed form, too: zero bytes are not valid gzip (RFC 1952 §2.2).
            Body::Empty => whole(coding, &Bytes::new()),
            Body::Full(content) => whole(coding, &content),
            body => streamed(coding, body),
        }
    }
}

/// Fields about the exact bytes that came. The digest of a representation covers its encoded form (RFC 9530 §3).
fn of_the_bytes() -> impl Iterator<Item = HeaderName> {
    let digests = digest::OF_CONTENT.into_iter().chain(digest::OF_REPRESENTATION);
    [CONTENT_LENGTH, ACCEPT_RANGES].into_iter().chain(digests)
}

fn vary_on_encoding(headers: &mut HeaderMap) {
    let there = list::members(headers, VARY)
        .any(|member| member == "*" || member.eq_ignore_ascii_case(ACCEPT_ENCODING.as_str()));
    if !there {
        headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    }
}

/// Weakens the entity tag: two representations must not share a strong validator (RFC 9110 §8.8.1), but may a weak one.
fn weaken(headers: &mut HeaderMap) {
    let tag = headers.get(ETAG).and_then(|tag| tag.to_str().ok());
    let strong = tag.filter(|tag| !tag.starts_with("W/") && EntityTag::parse(tag).is_some());
    if let Some(Ok(weak)) = strong.map(|tag| HeaderValue::from_str(&format!("W/{tag}"))) {
        headers.insert(ETAG, weak);
    }
}

/// Adapts the fields of a 304 to a stored response that was compressed here.
pub fn adapt(update: &mut HeaderMap, stored: &HeaderMap) {
    let varies =
        list::members(stored, VARY).any(|member| member.eq_ignore_ascii_case(ACCEPT_ENCODING.as_str()));
    if varies && update.contains_key(VARY) {
        vary_on_encoding(update);
    }
    // Fields that were removed at compression must not come back.
    let encoded = stored.contains_key(CONTENT_ENCODING);
    for name in of_the_bytes().filter(|name| encoded && !stored.contains_key(name)) {
        update.remove(name);
    }
    let weak = stored.get(ETAG).is_some_and(|tag| tag.as_bytes().starts_with(b"W/"));
    if weak && encoded {
        weaken(update);
    }
}

/// A compressor that takes content piece by piece.
enum Encoder {
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Gzip(Box<GzEncoder<Vec<u8>>>),
}

impl Encoder {
    fn new(coding: Coding) -> Self {
        match coding {
            Coding::Brotli => Self::Brotli(Box::new(CompressorWriter::new(
                Vec::new(),
                BROTLI_BUFFER,
                BROTLI_QUALITY,
                BROTLI_WINDOW,
            ))),
            Coding::Gzip => {
                Self::Gzip(Box::new(GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL))))
            }
        }
    }

    /// Takes in a piece, and returns the output that is ready; often none yet.
    fn push(&mut self, piece: &[u8]) -> std::io::Result<Bytes> {
        let ready = match self {
            Self::Brotli(encoder) => {
                encoder.write_all(piece)?;
                std::mem::take(encoder.get_mut())
            }
            Self::Gzip(encoder) => {
                encoder.write_all(piece)?;
                std::mem::take(encoder.get_mut())
            }
        };
        Ok(ready.into())
    }

    /// Returns the rest of the output.
    fn finish(self) -> std::io::Result<Bytes> {
        match self {
            Self::Brotli(encoder) => Ok(encoder.into_inner().into()),
            Self::Gzip(encoder) => encoder.finish().map(Bytes::from),
        }
    }
}

fn failed(error: &std::io::Error) -> BodyError {
    BodyError(format!("compressing failed: {error}"))
}

fn whole(coding: Coding, content: &Bytes) -> Body {
    let mut encoder = Encoder::new(coding);
    let compressed = encoder.push(content).and_then(|first| Ok([first, encoder.finish()?].concat()));
    match compressed {
        Ok(compressed) => compressed.into(),
        Err(error) => Body::from_pieces(None, futures_util::stream::iter([Err(failed(&error))])),
    }
}

fn streamed(coding: Coding, body: Body) -> Body {
    let state = (body, Some(Encoder::new(coding)));
    let pieces = futures_util::stream::unfold(state, |(mut body, encoder)| async move {
        let mut encoder = encoder?;
        loop {
            let ready = match body.chunk().await {
                Some(Ok(piece)) => encoder.push(&piece),
                Some(Err(error)) => return Some((Err(error), (body, None))),
                None => {
                    let last = encoder.finish().map_err(|error| failed(&error));
                    return Some((last, (body, None)));
                }
            };
            match ready {
                Ok(ready) if ready.is_empty() => {}
                Ok(ready) => return Some((Ok(ready), (body, Some(encoder)))),
                Err(error) => return Some((Err(failed(&error)), (body, None))),
            }
        }
    });
    Body::from_pieces(None, pieces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::lines::map;
    use futures_util::FutureExt as _;
    use proptest::prelude::*;
    use std::io::Read as _;

    const BOTH: [Coding; 2] = [Coding::Brotli, Coding::Gzip];

    fn planned(accepts: &'static str, response: &[(&'static str, &'static str)]) -> Option<Option<Coding>> {
        let (request, targets) = (map(&[("accept-encoding", accepts)]), Targets::default());
        plan(&BOTH, &request, StatusCode::OK, &map(response), &targets).map(|plan| plan.coding)
    }

    #[test]
    fn text_is_compressed_as_the_client_accepts_and_the_route_prefers() {
        let text = [("content-type", "text/html; charset=utf-8")];
        assert_eq!(planned("br, gzip", &text), Some(Some(Coding::Brotli)));
        assert_eq!(planned("gzip", &text), Some(Some(Coding::Gzip)));
        assert_eq!(planned("identity", &text), Some(None), "for others it is compressed");
        for media_type in ["application/json", "image/svg+xml", "application/ld+json", "TEXT/CSS"] {
            assert_eq!(
                planned("gzip", &[("content-type", media_type)]),
                Some(Some(Coding::Gzip)),
                "{media_type}"
            );
        }
    }

    #[test]
    fn what_must_not_or_need_not_be_compressed_passes_as_it_is() {
        for fields in [
            &[("content-type", "image/png")][..],
            &[],
            &[("content-type", "text/event-stream")],
            &[("content-type", "text/html"), ("content-encoding", "gzip")],
            &[("content-type", "text/html"), ("cache-control", "max-age=5, No-Transform")],
            &[("content-type", "text/html"), ("cache-control", "no-transform, x=\"\u{e9}\"")],
            &[("content-type", "text/html"), ("cache-control", "x=\"y, no-transform")],
            &[("content-type", "text/html"), ("cdn-cache-control", "max-age=5, no-transform")],
            &[
                ("content-type", "text/html"),
                ("cache-control", "no-transform"),
                ("cdn-cache-control", "max-age=5"),
            ],
            &[("content-type", "text/html"), ("content-length", "859")],
        ] {
            assert_eq!(planned("br, gzip", fields), None, "{fields:?}");
        }
        let (text, targets) = (map(&[("content-type", "text/html")]), Targets::default());
        assert_eq!(plan(&BOTH, &text, StatusCode::PARTIAL_CONTENT, &text, &targets), None);
        assert_eq!(plan(&[], &text, StatusCode::OK, &text, &targets), None);
    }

    #[test]
    fn a_compressed_response_is_another_representation() {
        let mut headers = map(&[
            ("etag", "\"a\""),
            ("content-length", "9"),
            ("vary", "Accept"),
            ("accept-ranges", "bytes"),
        ]);
        Plan { coding: Some(Coding::Gzip) }.apply_to_fields(&mut headers);
        assert_eq!(
            (&headers[ETAG], &headers[CONTENT_ENCODING]),
            (&"W/\"a\"".parse().unwrap(), &"gzip".parse().unwrap())
        );
        assert_eq!(headers.get_all(VARY).iter().collect::<Vec<_>>(), ["Accept", "accept-encoding"]);
        assert!(!headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(ACCEPT_RANGES));
        let mut update = map(&[("etag", "\"a\""), ("vary", "Accept")]);
        adapt(&mut update, &headers);
        assert_eq!((&update[ETAG], update.get_all(VARY).iter().count()), (&headers[ETAG], 2));
    }

    #[test]
    fn what_is_not_compressed_for_one_client_varies_all_the_same() {
        let mut headers = map(&[("etag", "\"a\""), ("content-length", "9")]);
        Plan { coding: None }.apply_to_fields(&mut headers);
        assert_eq!(
            (&headers[ETAG], &headers[VARY], &headers[CONTENT_LENGTH]),
            (&"\"a\"".parse().unwrap(), &"accept-encoding".parse().unwrap(), &"9".parse().unwrap())
        );
    }

    fn decoded(coding: Coding, content: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        match coding {
            Coding::Brotli => brotli::Decompressor::new(content, 4096).read_to_end(&mut plain),
            Coding::Gzip => flate2::read::GzDecoder::new(content).read_to_end(&mut plain),
        }
        .unwrap();
        plain
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_is_compressed_comes_back(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..5000), 0..6)) {
            let plain = pieces.concat();
            for coding in BOTH {
                let plan = Plan { coding: Some(coding) };
                let stream = futures_util::stream::iter(pieces.clone().into_iter().map(|piece| Ok(piece.into())));
                for body in [Body::from_pieces(None, stream), Body::Full(plain.clone().into())] {
                    let compressed = plan.apply_to_content(body, None).collect(usize::MAX).now_or_never().unwrap().unwrap();
                    prop_assert_eq!(decoded(coding, &compressed), plain.clone());
                }
            }
        }
    }

    #[test]
    fn a_body_that_breaks_breaks_compressed_too() {
        let broken =
            futures_util::stream::iter([Ok(Bytes::from_static(b"abc")), Err(BodyError("reset".to_owned()))]);
        let body =
            Plan { coding: Some(Coding::Gzip) }.apply_to_content(Body::from_pieces(None, broken), None);
        assert!(body.collect(usize::MAX).now_or_never().unwrap().is_err());
    }
}
