//! An origin with one representation that answers ranges, and helpers for the responses.

use super::World;
use super::exchange::Got;
use super::origin::{Seen, reply};
use bytes::Bytes;
use http::Response;
use spindrift::body::Body;
use std::cell::RefCell;
use std::rc::Rc;

/// Bytes that differ wherever two could be confused.
pub(crate) fn content(length: usize, version: u8) -> Bytes {
    (0..length).map(|at| (at % 251) as u8 ^ (at / 251) as u8 ^ version.wrapping_mul(37)).collect()
}

/// The representation, which can be changed during the test.
#[derive(Clone)]
pub(crate) struct Representation(Rc<RefCell<State>>);

struct State {
    content: Bytes,
    fields: Vec<(String, String)>,
}

impl Representation {
    /// A representation with this content and entity tag, fresh for a minute, which the origin of `world` serves from
    /// now on.
    pub(crate) fn of(world: &World, content: Bytes, tag: &str) -> Self {
        let this = Self(Rc::new(RefCell::new(State { content: Bytes::new(), fields: vec![] })));
        this.becomes(content, &[("cache-control", "max-age=60"), ("etag", tag)]);
        let origin = this.clone();
        world.origin.answers(move |seen| Ok(origin.answer(seen)));
        this
    }

    /// Changes the representation.
    pub(crate) fn becomes(&self, content: Bytes, fields: &[(&str, &str)]) {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        *self.0.borrow_mut() = State { content, fields };
    }

    /// Its bytes from `start` up to `end`.
    pub(crate) fn slice(&self, start: usize, end: usize) -> Bytes {
        self.0.borrow().content.slice(start..end)
    }

    /// The response of RFC 9110 to a request for it, with one range or none.
    pub(crate) fn answer(&self, seen: &Seen) -> Response<Body> {
        let state = self.0.borrow();
        let mut fields: Vec<(&str, &str)> =
            state.fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let tag = fields.iter().find(|(name, _)| *name == "etag").map_or("", |(_, tag)| *tag);
        if !tag.is_empty() && seen.header("if-none-match") == tag {
            return reply(304, &fields, "");
        }
        let if_range = seen.header("if-range");
        let range = Some(seen.header("range")).filter(|_| if_range.is_empty() || if_range == tag);
        let length = state.content.len();
        let Some(spec) = range.and_then(|range| range.strip_prefix("bytes=")) else {
            let declared = length.to_string();
            fields.push(("content-length", &declared));
            return reply(200, &fields, state.content.clone());
        };
        let (first, last) = spec.split_once('-').unwrap();
        let number = |text: &str| text.parse::<usize>().unwrap();
        let (start, end) = match (first, last) {
            ("", length_of) => (length.saturating_sub(number(length_of)), length),
            (first, "") => (number(first), length),
            (first, last) => (number(first), length.min(number(last) + 1)),
        };
        if start >= end {
            let all = format!("bytes */{length}");
            return reply(416, &[("content-range", &all), ("cache-control", "max-age=60")], "not there");
        }
        let part = format!("bytes {start}-{}/{length}", end - 1);
        fields.push(("content-range", &part));
        let body = state.content.slice(start..end);
        let declared = body.len().to_string();
        fields.push(("content-length", &declared));
        reply(206, &fields, body)
    }
}

impl Got {
    /// Its content.
    pub(crate) fn bytes(&self) -> &Bytes {
        self.body.as_ref().unwrap()
    }

    /// The parts of `multipart/byteranges` content: `Content-Range`, type and bytes. Checks that everything else is
    /// exactly as in RFC 2046 §5.1.1.
    pub(crate) fn multipart(&self) -> Vec<(String, String, Bytes)> {
        let boundary = self.header("content-type").strip_prefix("multipart/byteranges; boundary=").unwrap();
        let (delimiter, end) = (format!("\r\n--{boundary}\r\n"), format!("\r\n--{boundary}--\r\n"));
        let all = [b"\r\n", &self.bytes()[..]].concat();
        let mut rest = all.strip_suffix(end.as_bytes()).expect("it has an end");
        let mut parts = Vec::new();
        while !rest.is_empty() {
            rest = rest.strip_prefix(delimiter.as_bytes()).expect("a part begins");
            let head_end = find(rest, b"\r\n\r\n").unwrap();
            let head = std::str::from_utf8(&rest[..head_end]).unwrap();
            let field = |name: &str| {
                let line = head.split("\r\n").find_map(|line| line.strip_prefix(name));
                line.and_then(|line| line.strip_prefix(": ")).unwrap_or_default().to_owned()
            };
            let body = &rest[head_end + 4..];
            let length = find(body, delimiter.as_bytes()).unwrap_or(body.len());
            parts.push((
                field("Content-Range"),
                field("Content-Type"),
                Bytes::copy_from_slice(&body[..length]),
            ));
            rest = &body[length..];
        }
        parts
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
