//! Asking the origin for something that may be stored, and taking in what it answers.

use super::content::first_piece;
use super::{Answer, Incoming, answer, upstream_failed};
use crate::app::{App, Shared};
use crate::body::Body;
use crate::cache::entry::{Content, Entry, tags};
use crate::cache::fill::Fill;
use crate::cache::freshness::{Heuristic, initial_age};
use crate::cache::key::{ResourceKey, Selecting};
use crate::cache::respond::only_metadata;
use crate::cache::reuse::Stale;
use crate::cache::storable::{Exchange, Storable, Unstorable, judge};
use crate::cache::store::FillLease;
use crate::config::CachePolicy;
use crate::env::{Env, Timeouts, UpstreamError};
use crate::field::cache_status::CacheStatus;
use crate::field::conditional::{not_modified, validate_with};
use crate::field::hop;
use crate::time::Timestamp;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, DATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use std::rc::Rc;

/// What a fetch needs to know.
pub(super) struct Fetch<'a, E: Env> {
    pub(super) app: &'a Rc<App<E>>,
    pub(super) shared: &'a Shared<E>,
    pub(super) policy: &'a CachePolicy,
    pub(super) incoming: &'a Incoming,
    pub(super) selecting: Selecting<'a>,
    pub(super) key: ResourceKey,
    /// The right to store; `None` when Redis gave none.
    pub(super) lease: Option<FillLease>,
}

/// A response of the origin, and when it was asked for and came.
struct Received {
    response: Response<Body>,
    requested: Timestamp,
    received: Timestamp,
}

impl<E: Env> Fetch<'_, E> {
    /// Nothing is stored: asks for all of it.
    pub(super) async fn missing(self, status: CacheStatus) -> Answer {
        let request = self.incoming.unconditional(self.app, &self.policy.key);
        match self.send(request).await {
            Ok(received) => self.absorb(received, status).await,
            Err(error) => Answer { response: upstream_failed(self.app, self.incoming, &error), status },
        }
    }

    /// What is stored is stale: asks whether it is still good, where there is something to ask with.
    pub(super) async fn stale(self, stale: Stale) -> Answer {
        let mut status = CacheStatus::forward(stale.reason);
        let mut request = self.incoming.unconditional(self.app, &self.policy.key);
        let conditional = validate_with(request.headers_mut(), &stale.entry.headers);
        match self.send(request).await {
            Ok(received) => {
                let code = received.response.status();
                status.forward_status = Some(code.as_u16());
                match code {
                    StatusCode::NOT_MODIFIED if conditional => self.validated(stale.entry, &received, status),
                    code if is_error(code) && stale.covers_error() => {
                        self.reuse(stale.entry, status.because("stale-if-error"))
                    }
                    _ => self.absorb(received, status).await,
                }
            }
            Err(error) => match stale.when_disconnected() {
                Some(entry) => self.reuse(entry, status.because("origin-unreachable")),
                None => Answer { response: upstream_failed(self.app, self.incoming, &error), status },
            },
        }
    }

    async fn send(&self, request: Request<Body>) -> Result<Received, UpstreamError> {
        let requested = self.app.env.now();
        let response = self.app.env.send(request, timeouts(self.app)).await?;
        Ok(Received { response, requested, received: self.app.env.now() })
    }

    fn reuse(self, entry: Entry, mut status: CacheStatus) -> Answer {
        let now = self.app.env.now();
        status.ttl = Some(entry.ttl(now));
        answer(self.shared, self.incoming, self.key, entry, status, now)
    }

    /// The origin said 304: what is stored is good again, and takes over what the 304 says (RFC 9111 §4.3.4).
    fn validated(self, mut entry: Entry, received: &Received, mut status: CacheStatus) -> Answer {
        let (shared, incoming, now) = (self.shared, self.incoming, received.received);
        let resource = self.key.clone();
        let mut update = received.response.headers().clone();
        date(&mut update, received.received);
        entry.freshen(&update);
        let judged = self.judge(entry.status, &entry.headers, received.received);
        entry.received = received.received;
        entry.initial_age = initial_age(&entry.headers, received.requested, received.received);
        status.ttl = Some(entry.ttl(received.received));
        match judged.and_then(|storable| self.spec(&storable).map(|spec| (storable, spec))) {
            Ok((storable, spec)) => {
                entry.policy = storable.policy;
                entry.headers = storable.headers;
                status.ttl = Some(entry.ttl(received.received));
                status.stored = self.refresh(&mut entry, spec);
                answer(shared, incoming, resource, entry, status, now)
            }
            Err(why) => {
                self.forget();
                answer(shared, incoming, resource, entry, status.because(why.as_str()), now)
            }
        }
    }

    /// Writes a validated entry back, in the background; `false` without the right to.
    fn refresh(self, entry: &mut Entry, spec: String) -> bool {
        let Some(lease) = self.lease else { return false };
        entry.selecting = self.selecting.values(&spec);
        entry.ledger = lease.ledger().clone();
        let (env, store, entry) = (self.app.env.clone(), Rc::clone(&self.shared.store), entry.clone());
        self.app.env.spawn(async move {
            if let Err(error) = store.refresh(&lease, &spec, &entry, env.now()).await {
                env.log(&format!("not refreshed: {}: {error}", lease.resource.url()));
            }
        });
        true
    }

    /// What must not be stored any more goes, in the background.
    fn forget(&self) {
        let (env, store, resource) = (self.app.env.clone(), Rc::clone(&self.shared.store), self.key.clone());
        self.app.env.spawn(async move {
            if let Err(error) = store.forget(&resource).await {
                env.log(&format!("not forgotten: {}: {error}", resource.url()));
            }
        });
    }

    fn judge(
        &self,
        status: StatusCode,
        response: &HeaderMap,
        received: Timestamp,
    ) -> Result<Storable, Unstorable> {
        let request = &self.incoming.headers;
        let exchange = Exchange { method: &Method::GET, request, status, response, received };
        let cache = &self.app.config.cache;
        judge(
            &exchange,
            self.policy,
            Heuristic { fraction: cache.heuristic_fraction, max: cache.heuristic_max },
        )
    }

    fn spec(&self, storable: &Storable) -> Result<String, Unstorable> {
        self.selecting.spec(&storable.vary).ok_or(Unstorable::Vary)
    }

    /// Takes in a whole response: stores it as it passes by, if it may be stored, and answers with it.
    async fn absorb(self, received: Received, mut status: CacheStatus) -> Answer {
        let (app, incoming) = (self.app, self.incoming);
        let Received { response, requested, received } = received;
        let (mut head, body) = response.into_parts();
        date(&mut head.headers, received);
        let declared = declared_length(&head.headers);
        let fill = if incoming.method == Method::GET {
            self.fill(head.status, &head.headers, declared, requested, received)
        } else {
            Err(Unstorable::Method)
        };
        hop::strip(&mut head.headers);
        let body = first_piece(&app.env, body, declared).await;
        let body = match fill {
            Ok((fill, ttl)) => {
                (status.stored, status.ttl) = (true, Some(ttl));
                store_passing(&app.env, fill, body)
            }
            Err(why) => {
                status.detail = Some(why.as_str());
                body
            }
        };
        let unchanged = head.status == StatusCode::OK && not_modified(&incoming.headers, &head.headers);
        if unchanged {
            return unchanged_for_client(app, &head.headers, body, status);
        }
        Answer { response: Response::from_parts(head, body), status }
    }

    /// The right to store this response, and how long it will be fresh, in seconds.
    fn fill(
        self,
        code: StatusCode,
        headers: &HeaderMap,
        declared: Option<u64>,
        requested: Timestamp,
        received: Timestamp,
    ) -> Result<(Fill<E>, i64), Unstorable> {
        let storable = self.judge(code, headers, received)?;
        let spec = self.spec(&storable)?;
        let lease = self.lease.ok_or(Unstorable::NoLease)?;
        let entry = Entry {
            key: self.key.text().to_owned(),
            selecting: self.selecting.values(&spec),
            received,
            initial_age: initial_age(headers, requested, received),
            policy: storable.policy,
            ledger: lease.ledger().clone(),
            status: code,
            tags: tags(&storable.headers),
            headers: storable.headers,
            content: Content::Inline(Bytes::new()),
        };
        let ttl = entry.ttl(received);
        let limit = self.app.config.cache.max_object_size;
        let fill = Fill::begin(Rc::clone(&self.shared.store), lease, spec, entry, declared, limit)?;
        Ok((fill, ttl))
    }
}

/// The client has what just came: it gets a 304 while the content is read for the store alone.
fn unchanged_for_client<E: Env>(
    app: &App<E>,
    headers: &HeaderMap,
    mut body: Body,
    status: CacheStatus,
) -> Answer {
    app.env.spawn(async move { while let Some(Ok(_)) = body.chunk().await {} });
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    *response.headers_mut() = only_metadata(headers);
    Answer { response, status }
}

/// RFC 9110 §6.6.1: "A recipient with a clock that receives a response message without a Date header field
/// MUST record the time it was received and append a corresponding Date header field ... if it is cached".
fn date(headers: &mut HeaderMap, received: Timestamp) {
    if !headers.contains_key(DATE)
        && let Ok(value) = HeaderValue::from_str(&received.to_http_date())
    {
        headers.insert(DATE, value);
    }
}

fn store_passing<E: Env>(env: &E, fill: Fill<E>, body: Body) -> Body {
    match body {
        Body::Full(content) => {
            env.spawn(fill.whole(content.clone()));
            Body::Full(content)
        }
        Body::Empty => {
            env.spawn(fill.whole(Bytes::new()));
            Body::Empty
        }
        Body::Stream(_) => fill.tee(body),
    }
}

/// The one `Content-Length` there is; several lines or anything but digits count as none.
pub(super) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    let mut lines = headers.get_all(CONTENT_LENGTH).iter();
    let first = lines.next()?.to_str().ok()?;
    let digits = lines.next().is_none() && first.bytes().all(|byte| byte.is_ascii_digit());
    first.parse().ok().filter(|_| digits)
}

/// RFC 5861 §4: what counts as an error is "any situation that would result in a 500, 502, 503, or 504".
const fn is_error(code: StatusCode) -> bool {
    matches!(code.as_u16(), 500 | 502 | 503 | 504)
}

pub(super) fn timeouts<E: Env>(app: &App<E>) -> Timeouts {
    let origin = &app.config.origin;
    Timeouts {
        connect: origin.connect_timeout,
        first_byte: origin.first_byte_timeout,
        between_bytes: origin.between_bytes_timeout,
    }
}
