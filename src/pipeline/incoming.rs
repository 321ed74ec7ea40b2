//! The request as it arrives, and as it leaves for the origin.

use super::session::Visit;
use crate::app::App;
use crate::body::Body;
use crate::cache::key;
use crate::config::KeyRules;
use crate::env::Env;
use crate::field::accept;
use crate::field::forward::{self, Hop};
use crate::field::hop;
use http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Uri};
use std::net::IpAddr;
use std::rc::Rc;

/// A request, without anything that is not the client's to say or that ends here.
#[derive(Debug)]
pub struct Incoming {
    /// Its method.
    pub method: Method,
    /// Its effective URI: scheme, authority, path and query.
    pub uri: Uri,
    /// Its end-to-end fields.
    pub headers: HeaderMap,
    /// Its content.
    pub body: Body,
    /// Who sent it, as the host says.
    pub client: Option<IpAddr>,
    /// Its session, on a route with sessions.
    pub visit: Option<Rc<Visit>>,
}

/// Takes a request in: reads the client's address, then drops every `spin-*` field, the hop-by-hop fields
/// and, unless they are trusted, the client's own claims on who it is.
pub fn receive(request: Request<Body>, trust_forwarded: bool) -> Incoming {
    let (parts, body) = request.into_parts();
    let mut headers = parts.headers;
    let client = forward::client_address(&headers);
    hop::strip_with(&mut headers, |name| {
        forward::is_spin(name) || (!trust_forwarded && forward::is_claim(name))
    });
    Incoming { method: parts.method, uri: parts.uri, headers, body, client, visit: None }
}

impl Incoming {
    /// A GET for the same, as a cache would send it for itself.
    pub fn as_plain_get(&self) -> Self {
        let (uri, headers, client) = (self.uri.clone(), self.headers.clone(), self.client);
        Self { method: Method::GET, uri, headers, body: Body::Empty, client, visit: None }
    }

    /// The authority the client asked for; empty if it named none.
    pub fn authority(&self) -> &str {
        self.uri.authority().map_or("", |authority| authority.as_str())
    }

    /// Reduces what the client accepts to what can be answered: for the key, and for the origin alike.
    pub fn reduce(&mut self, rules: &KeyRules) {
        accept::reduce_encoding(&mut self.headers, &rules.encodings);
        accept::reduce_language(&mut self.headers, &rules.languages);
    }

    /// The request for the origin: its address, our marks, and of the query what counts under `rules`.
    pub fn outgoing<E: Env>(&self, app: &App<E>, rules: Option<&KeyRules>, body: Body) -> Request<Body> {
        let origin = &app.settings.origin;
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(origin.scheme().clone());
        uri.authority = Some(origin.authority().clone());
        uri.path_and_query = Some(self.path_and_query(rules));
        let mut headers = self.headers.clone();
        let hop = Hop {
            client: self.client,
            host: self.authority(),
            scheme: self.uri.scheme_str().unwrap_or("http"),
            forwarded: app.config.origin.forwarded,
        };
        forward::announce(&mut headers, &hop, app.config.name.as_str());
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
        *request.headers_mut() = headers;
        request
    }

    /// The same without the client's conditions: they are answered from what comes back.
    pub fn unconditional<E: Env>(&self, app: &App<E>, rules: &KeyRules) -> Request<Body> {
        let mut request = self.outgoing(app, Some(rules), Body::Empty);
        for condition in [IF_NONE_MATCH, IF_MODIFIED_SINCE] {
            request.headers_mut().remove(condition);
        }
        app.config.cache.targets.announce(request.headers_mut());
        request
    }

    /// Byte for byte as it came, unless parameters are left out of the key: those the origin must not see.
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
