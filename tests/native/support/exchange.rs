//! Requests to an instance, and its responses.

use super::Instance;
use bytes::Bytes;
use http::{HeaderMap, Request};
use spindrift::body::{Body, CollectError};
use spindrift::pipeline;

/// A complete response.
#[derive(Debug)]
pub(crate) struct Got {
    /// Its status code.
    pub(crate) status: u16,
    /// Its fields.
    pub(crate) headers: HeaderMap,
    /// Its content, or why it ended early.
    pub(crate) body: Result<Bytes, CollectError>,
}

impl Got {
    /// The content as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(self.body.as_ref().unwrap()).unwrap()
    }

    /// A field; empty if it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Whether it was answered from the cache.
    pub(crate) fn is_hit(&self) -> bool {
        self.flag("hit")
    }

    /// Whether it was stored.
    pub(crate) fn is_stored(&self) -> bool {
        self.flag("stored")
    }

    /// Why the request was forwarded, according to `Cache-Status`; empty if it was not.
    pub(crate) fn forwarded(&self) -> &str {
        self.parameter("fwd")
    }

    /// The detail of `Cache-Status`; empty if there is none.
    pub(crate) fn detail(&self) -> &str {
        self.parameter("detail")
    }

    /// The remaining freshness in seconds, according to `Cache-Status`.
    pub(crate) fn ttl(&self) -> i64 {
        self.parameter("ttl").parse().unwrap()
    }

    /// A parameter of `Cache-Status`; empty if it is missing.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        self.parameters()
            .find_map(|part| part.split_once('=').filter(|it| it.0 == name))
            .map_or("", |it| it.1)
    }

    fn flag(&self, name: &str) -> bool {
        self.parameters().any(|part| part == name)
    }

    fn parameters(&self) -> impl Iterator<Item = &str> {
        self.header("cache-status").rsplit(',').next().unwrap_or_default().split("; ").map(str::trim)
    }
}

/// A GET request.
pub(crate) fn get(url: &str, fields: &[(&str, &str)]) -> Request<Body> {
    request("GET", url, fields, Body::Empty)
}

/// A request.
pub(crate) fn request(method: &str, url: &str, fields: &[(&str, &str)], body: Body) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(body).unwrap()
}

impl Instance {
    /// Sends a request, reads the whole response, and waits for the background work.
    pub(crate) async fn send(&self, request: Request<Body>) -> Got {
        let got = self.send_only(request).await;
        self.env.settle().await;
        got
    }

    /// The same without waiting for the background work.
    pub(crate) async fn send_only(&self, request: Request<Body>) -> Got {
        // Boxed: without optimisation, a future that a test joins is copied from frame to frame.
        let response = Box::pin(pipeline::serve(&self.app, request)).await;
        let (head, body) = response.into_parts();
        let body = body.collect(usize::MAX).await;
        Got { status: head.status.as_u16(), headers: head.headers, body }
    }

    /// Gets `url`.
    pub(crate) async fn get(&self, url: &str) -> Got {
        self.send(get(url, &[])).await
    }

    /// Gets `url` with these fields.
    pub(crate) async fn get_with(&self, url: &str, fields: &[(&str, &str)]) -> Got {
        self.send(get(url, fields)).await
    }
}
