//! The request as it arrives, and as it leaves for the origin.

use super::admit::Admission;
use super::session::Visit;
use crate::app::App;
use crate::body::Body;
use crate::cache::key;
use crate::cache::selecting::Digest;
use crate::config::{CachePolicy, Config, KeyRules, RequestCookies};
use crate::env::Env;
use crate::field::accept;
use crate::field::forward::{self, Hop};
use crate::field::range::Ranges;
use crate::field::variable::{self, Names};
use crate::field::{cookies, hop, max_forwards, proxied, spin};
use crate::role::Role;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_LENGTH, COOKIE, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, PRAGMA, RANGE,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::LazyLock;

/// A request, without the fields that end here and the claims that a client may not make.
#[derive(Debug)]
pub struct Incoming {
    /// Its method.
    pub method: Method,
    /// Its effective URI: scheme, authority, path and query. Scheme and authority are those that a trusted proxy reports.
    pub uri: Uri,
    /// The URI as the host reports it, where a trusted proxy reports another. In a box, since that is rare.
    pub received: Option<Box<Uri>>,
    /// Its end-to-end fields.
    pub headers: HeaderMap,
    /// Its content.
    pub body: Body,
    /// The address of the peer, as the host reports it.
    pub client: Option<IpAddr>,
    /// The address of the client: the peer's, or the one for which a trusted proxy speaks.
    pub visitor: Option<IpAddr>,
    /// The rate limits that apply to it.
    pub admission: Rc<Admission>,
    /// Its session, on a route with sessions.
    pub visit: Option<Rc<Visit>>,
    /// The bytes it asks for, where its `Range` is to be honoured.
    pub range: Option<Ranges>,
    /// Fields for the next component only: the host's `spin-*` fields, and the client's claims about itself, where these
    /// are not trusted here. Empty before an origin.
    pub for_next: HeaderMap,
}

/// Takes a request in: reads the client's address, then drops every `spin-*` field, the hop-by-hop fields
/// and, unless they are trusted, the client's claims about itself. A middleware keeps aside those that the
/// next component is to see.
pub fn receive(request: Request<Body>, role: Role, config: &Config) -> Incoming {
    let (parts, body) = request.into_parts();
    let mut headers = parts.headers;
    let client = forward::client_address(&headers);
    let visitor = config.client.client(client, &headers);
    let trust_forwarded = config.origin.trust_forwarded;
    let for_next = match role {
        Role::Gateway => HeaderMap::new(),
        Role::Middleware => for_next(&headers, trust_forwarded),
    };
    hop::strip_with(&mut headers, |name| {
        forward::is_spin(name)
            || if trust_forwarded { forward::is_disguised(name) } else { forward::is_claim(name) }
    });
    let range = Ranges::of(&parts.method, &headers, config.cache.max_ranges);
    let (method, admission, visit) = (parts.method, Rc::default(), None);
    let told = if trust_forwarded { proxied::target(&parts.uri, &headers) } else { None };
    let (uri, received) = match told {
        Some(told) => (told, Some(Box::new(parts.uri))),
        None => (parts.uri, None),
    };
    Incoming { method, uri, received, headers, body, client, visitor, admission, visit, for_next, range }
}

fn for_next(headers: &HeaderMap, trust_forwarded: bool) -> HeaderMap {
    let mut fields = spin::said_by_host(headers);
    let claims = headers.iter().filter(|(name, _)| !trust_forwarded && forward::is_claim(name));
    for (name, value) in claims {
        fields.append(name, value.clone());
    }
    fields
}

/// Fields that are reduced to what the origin can answer.
static REDUCED: LazyLock<Names> = LazyLock::new(|| [ACCEPT_ENCODING, ACCEPT_LANGUAGE].into_iter().collect());

impl Incoming {
    /// Returns the request as the cache itself would send it: a GET, or a QUERY, under no limit, and without the client's cache
    /// directives, which are about the response to the client's own request (RFC 9111 §5.2.1).
    pub fn as_plain_get(&self) -> Self {
        let (uri, mut headers, client) = (self.uri.clone(), self.headers.clone(), self.client);
        for name in [CACHE_CONTROL, PRAGMA] {
            headers.remove(name);
        }
        let (visitor, admission, visit) = (self.visitor, Rc::default(), None);
        let method = if self.is_query() { self.method.clone() } else { Method::GET };
        let (for_next, received) = (self.for_next.clone(), self.received.clone());
        let (body, range) = (self.held(), None);
        Self { method, uri, received, headers, body, client, visitor, admission, visit, for_next, range }
    }

    /// Returns whether it is a QUERY (RFC 10008).
    pub fn is_query(&self) -> bool {
        self.method.as_str() == "QUERY"
    }

    /// Reads the content into memory, at most `limit` bytes of it. Returns `false` where it is longer or ends early; the body
    /// then still yields all of it.
    pub async fn hold(&mut self, limit: usize) -> bool {
        let declared = self.body.length();
        if declared.is_some_and(|length| length > limit as u64) {
            return false;
        }
        let mut held = Vec::new();
        while let Some(piece) = self.body.chunk().await {
            match piece {
                Ok(piece) => held.extend_from_slice(&piece),
                Err(error) => {
                    let pieces = futures_util::stream::iter([Ok(held.into()), Err(error)]);
                    self.body = Body::from_pieces(declared, pieces);
                    return false;
                }
            }
            if held.len() > limit {
                self.body = std::mem::take(&mut self.body).after(Ok(held.into()), declared);
                return false;
            }
        }
        self.body = held.into();
        true
    }

    /// Returns the content, as far as it is in memory.
    fn held(&self) -> Body {
        match &self.body {
            Body::Full(content) => Body::Full(content.clone()),
            Body::Empty | Body::Stream(_) => Body::Empty,
        }
    }

    /// Returns the hash of a QUERY's content and of the fields that describe it: those that begin with `Content-`, except its
    /// length. The length of every part is hashed, too.
    pub fn digest(&self) -> Option<Digest> {
        let content: &[u8] = match &self.body {
            _ if !self.is_query() => return None,
            Body::Full(content) => content,
            Body::Empty | Body::Stream(_) => &[],
        };
        let describes = |name: &HeaderName| name.as_str().starts_with("content-") && *name != CONTENT_LENGTH;
        let mut fields: Vec<_> = self.headers.iter().filter(|(name, _)| describes(name)).collect();
        fields.sort_by(|one, other| one.0.as_str().cmp(other.0.as_str()));
        let mut hasher = blake3::Hasher::new();
        let parts = fields.iter().flat_map(|(name, value)| [name.as_str().as_bytes(), value.as_bytes()]);
        for part in parts.chain([content]) {
            hasher.update(&(part.len() as u64).to_be_bytes()).update(part);
        }
        hasher.finalize().as_bytes().first_chunk().copied()
    }

    /// Returns the authority that the client asked for; empty if it named none.
    pub fn authority(&self) -> &str {
        self.uri.authority().map_or("", |authority| authority.as_str())
    }

    /// Reduces the `Accept-*` fields to what can be answered, and removes the fields that must not influence an answer for
    /// others: from the key and from the request to the origin alike.
    pub fn reduce(&mut self, policy: &CachePolicy) {
        let (key, rules) = (&policy.key, &policy.rules);
        accept::reduce_encoding(&mut self.headers, &key.encodings);
        accept::reduce_language(&mut self.headers, &key.languages);
        let kept = |name: &HeaderName| key.headers.contains(name) || REDUCED.contains(name);
        // The origin must not read a field of the key from another spelling of its name, which the key does not count.
        let named = |name: &HeaderName| {
            let is_of_key = || key.headers.iter().any(|field| variable::is_taken_for(name, field));
            rules.strip_request.has(name) || REDUCED.has(name) || is_of_key()
        };
        let stripped = |name: &&HeaderName| named(name) && !kept(name);
        // There is mostly nothing to remove, and looking up each of many names in the map would cost more.
        let gone: Vec<HeaderName> = self.headers.keys().filter(stripped).cloned().collect();
        for name in gone {
            self.headers.remove(name);
        }
        if rules.request_cookies == RequestCookies::Key && self.headers.contains_key(COOKIE) {
            cookies::retain(&mut self.headers, &key.cookies);
        }
    }

    /// Returns the request as one whose response others may get: without the client's claims about itself, unless
    /// they are trusted. A link made from a forged `X-Forwarded-Host` must not reach anybody else.
    #[must_use]
    pub fn shareable(mut self) -> Self {
        hop::strip_with(&mut self.for_next, forward::is_claim);
        self
    }

    /// Returns the request to the origin or the next component, with those parts of the query that count under `rules`.
    pub fn outgoing<E: Env>(&self, app: &App<E>, rules: Option<&KeyRules>, body: Body) -> Request<Body> {
        let target = self.path_and_query(rules);
        let (uri, headers) = match app.role {
            Role::Gateway => self.to_origin(app, target),
            Role::Middleware => self.to_next(target),
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
        *request.headers_mut() = headers;
        request
    }

    /// Returns URI and fields for the origin: its address, and the fields an intermediary adds.
    fn to_origin<E: Env>(&self, app: &App<E>, target: PathAndQuery) -> (http::uri::Parts, HeaderMap) {
        let origin = &app.settings.origin;
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(origin.scheme().clone());
        uri.authority = Some(origin.authority().clone());
        uri.path_and_query = Some(target);
        let mut headers = self.headers.clone();
        let scheme = self.uri.scheme_str().unwrap_or("http");
        let hop = Hop {
            client: self.client,
            host: &key::authority(scheme, self.authority()),
            scheme,
            forwarded: app.config.origin.forwarded,
        };
        forward::announce(&mut headers, &hop, app.config.name.as_str());
        max_forwards::count(&self.method, &mut headers);
        (uri, headers)
    }

    /// Returns URI and fields for the next component: as received, without added fields. Nothing was forwarded over a network;
    /// and a cache of the same name may well stand before the app, which `CDN-Loop` would take for a loop.
    fn to_next(&self, target: PathAndQuery) -> (http::uri::Parts, HeaderMap) {
        let mut for_next = self.for_next.clone();
        if self.uri.path_and_query() != Some(&target) {
            spin::follow(&mut for_next, &target);
        }
        let mut headers = self.headers.clone();
        headers.extend(for_next);
        let mut uri = self.received.as_deref().unwrap_or(&self.uri).clone().into_parts();
        uri.path_and_query = Some(target);
        (uri, headers)
    }

    /// Like [`Incoming::outgoing`], for the whole response and without the client's conditions: these, and its range, are
    /// applied to what comes back.
    pub fn unconditional<E: Env>(&self, app: &App<E>, rules: &KeyRules) -> Request<Body> {
        let mut request = self.outgoing(app, Some(rules), self.held());
        for condition in [IF_NONE_MATCH, IF_MODIFIED_SINCE, RANGE, IF_RANGE] {
            request.headers_mut().remove(condition);
        }
        app.config.cache.targets.announce(request.headers_mut());
        request
    }

    /// Like [`Incoming::unconditional`], for `range`. `If-Range` stays: it names what the client has, which we do not know.
    pub fn partial<E: Env>(&self, app: &App<E>, rules: &KeyRules, range: &Ranges) -> Request<Body> {
        let mut request = self.unconditional(app, rules);
        if let Ok(range) = HeaderValue::try_from(range.coalesced().to_string()) {
            request.headers_mut().insert(RANGE, range);
        }
        for line in self.headers.get_all(IF_RANGE) {
            request.headers_mut().append(IF_RANGE, line.clone());
        }
        request
    }

    /// Returns path and query byte for byte as received, except for parameters outside the key: the origin must not see them.
    fn path_and_query(&self, rules: Option<&KeyRules>) -> PathAndQuery {
        let whole = self.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let Some(rules) = rules else { return whole };
        let counts = key::query(&self.uri, rules);
        if counts.as_deref() == self.uri.query() {
            return whole;
        }
        let text = match counts {
            Some(query) => format!("{}?{query}", self.uri.path()),
            None => self.uri.path().to_owned(),
        };
        PathAndQuery::try_from(text).unwrap_or(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn query(fields: &[(&'static str, &'static str)], content: &'static str) -> Incoming {
        let fields = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let (method, uri) = (Method::from_bytes(b"QUERY").unwrap(), Uri::from_static("http://h/a"));
        let body = Body::from(Bytes::from_static(content.as_bytes()));
        Incoming {
            method,
            uri,
            received: None,
            headers: fields.collect(),
            body,
            client: None,
            visitor: None,
            admission: Rc::default(),
            for_next: HeaderMap::new(),
            visit: None,
            range: None,
        }
    }

    #[test]
    fn the_digest_is_of_the_content_and_of_what_it_is() {
        let json = ("content-type", "application/json");
        let same = query(&[json, ("content-length", "2"), ("accept", "x")], "{}");
        assert_eq!(query(&[json], "{}").digest(), same.digest());
        let all = [
            query(&[json], "{}"),
            query(&[json], "{ }"),
            query(&[("content-type", "text/plain")], "{}"),
            query(&[], "{}"),
            query(&[json, ("content-encoding", "gzip")], "{}"),
            query(&[json], ""),
            query(&[("content-type", "application/json{}")], ""),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(all[at + 1..].iter().all(|other| one.digest() != other.digest()), "{one:?}");
        }
        assert_eq!(Incoming { method: Method::GET, ..query(&[], "x") }.digest(), None);
    }

    #[test]
    fn what_is_too_long_to_hold_is_passed_on_whole() {
        let pieces = || {
            futures_util::stream::iter(
                ["abc", "def", "g"].map(|piece| Ok(Bytes::from_static(piece.as_bytes()))),
            )
        };
        for (limit, held) in [(7, true), (6, false), (2, false)] {
            let mut incoming = query(&[], "");
            incoming.body = Body::from_pieces(None, pieces());
            let holds = futures_util::FutureExt::now_or_never(incoming.hold(limit));
            assert_eq!(holds, Some(held), "{limit}");
            let all = futures_util::FutureExt::now_or_never(incoming.body.collect(100)).unwrap().unwrap();
            assert_eq!(all, "abcdefg");
        }
    }
}
