//! Fetching from the origin what may be stored, and taking in the response.

use super::held::Held;
use super::{Answer, Want, content, pass, session, upstream_failed};
use crate::app::App;
use crate::body::Body;
use crate::cache::freshness::Times;
use crate::cache::invalidate::is_unsafe;
use crate::cache::lease::{FillLease, FlightFailure};
use crate::cache::reuse::Stale;
use crate::cache::storable::post_answers_get;
use crate::env::{Env, Timeouts, UpstreamError};
use crate::field::cache_status::{CacheStatus, Detail};
use crate::metrics::Timed;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use std::rc::Rc;
use std::time::Duration;

/// A fetch from the origin.
pub(super) struct Fetch<'a, E: Env> {
    pub(super) want: Want<'a, E>,
    /// The right to store the response; `None` when Redis gave none.
    pub(super) lease: Option<FillLease>,
}

/// A response of the origin, with the times when it was requested and received.
pub(super) struct Received {
    pub(super) response: Response<Body>,
    pub(super) times: Times,
    /// Whether it replaces what is stored.
    pub(super) supersedes: bool,
}

impl<E: Env> Fetch<'_, E> {
    /// Nothing is stored: asks for the whole response.
    pub(super) async fn missing(self, status: CacheStatus) -> Answer {
        let request = self.want.incoming.unconditional(self.want.app, &self.want.policy.key);
        match self.send(request).await {
            Ok(received) => self.absorb(received, status).await,
            Err(error) => self.failed(&error, status),
        }
    }

    /// The stored response cannot be used: asks for the whole response, which replaces it.
    pub(super) async fn anew(self, mut status: CacheStatus) -> Answer {
        status.forward_status = None;
        let request = self.want.incoming.unconditional(self.want.app, &self.want.policy.key);
        match self.send(request).await {
            Ok(mut received) => {
                status.forward_status = Some(received.response.status().as_u16());
                self.supersede(&mut received, None);
                self.absorb(received, status).await
            }
            Err(error) => self.failed(&error, status),
        }
    }

    /// The stored response is stale: validates it if it has a validator, or asks for the whole response.
    pub(super) async fn stale(self, stale: Stale, mut status: CacheStatus) -> Answer {
        let mut request = self.want.incoming.unconditional(self.want.app, &self.want.policy.key);
        let conditional = stale.make_conditional(request.headers_mut());
        let mut received = match self.send(request).await {
            Ok(received) => received,
            Err(error) => return self.unreachable(Held::Stale(Box::new(stale)), &error, status).await,
        };
        let code = received.response.status();
        status.forward_status = Some(code.as_u16());
        match code {
            StatusCode::NOT_MODIFIED if conditional => {
                self.validated(stale.into_entry(), &received, status).await
            }
            StatusCode::OK if self.want.incoming.method == Method::HEAD => {
                self.described(stale.into_entry(), received, status).await
            }
            code if is_error(code) => self.erred(Held::Stale(Box::new(stale)), received, status).await,
            _ => {
                self.supersede(&mut received, None);
                self.absorb(received, status).await
            }
        }
    }

    /// The origin answered with an error, where `held` was to be validated.
    async fn erred(self, held: Held, received: Received, status: CacheStatus) -> Answer {
        let code = received.response.status();
        let ending = held.ending(code);
        match held.instead(&self.want, FlightFailure::Origin(code), status).await {
            Some(answer) => {
                self.end(ending);
                answer
            }
            None => self.absorb(received, status).await,
        }
    }

    /// The origin gave no response.
    pub(super) async fn unreachable(self, held: Held, error: &UpstreamError, status: CacheStatus) -> Answer {
        let Some(failure) = FlightFailure::of(error) else { return self.failed(error, status) };
        match held.instead(&self.want, failure, status).await {
            Some(answer) => {
                self.end(Ending::Failed(failure));
                answer
            }
            None => self.failed(error, status),
        }
    }

    /// A POST: first drops what it made invalid; then its response may be stored.
    pub(super) async fn posted(mut self, request: Request<Body>, mut status: CacheStatus) -> Answer {
        let received = match self.send(request).await {
            Ok(received) => received,
            Err(error) => return self.failed(&error, status),
        };
        let response = &received.response;
        let keeps = self.answers_get(response.status(), response.headers());
        let invalidated = match self.lease.take_if(|_| keeps) {
            Some(lease) => {
                let (kept, invalidated) = pass::change(&self.want, lease, response).await;
                self.lease = kept;
                invalidated
            }
            None => pass::changed(&self.want, response).await,
        };
        if !invalidated {
            status = status.because(Detail::InvalidationFailed);
        }
        self.absorb(received, status).await
    }

    pub(super) fn answers_get(&self, status: StatusCode, response: &HeaderMap) -> bool {
        let (uri, cache) = (&self.want.incoming.uri, &self.want.app.config.cache);
        post_answers_get(uri, status, response, cache)
    }

    /// Checks the limits that count requests to the origin. A refused request gives up its lead, so that another may lead.
    pub(super) async fn admitted(&self) -> Result<(), Box<Answer>> {
        self.want.incoming.admission.origin(self.want.app).await.inspect_err(|_| {
            self.end(Ending::Unstored(Duration::ZERO));
        })
    }

    pub(super) fn failed(self, error: &UpstreamError, status: CacheStatus) -> Answer {
        self.end(Ending::of(error));
        Answer { response: upstream_failed(self.want.app, self.want.incoming, error), status }
    }

    /// Sends the request to the origin. A leader shows signs of life meanwhile.
    pub(super) async fn send(&self, request: Request<Body>) -> Result<Received, UpstreamError> {
        let app = self.want.app;
        let (request_time, began) = (app.env.now(), app.env.instant());
        let asking = app.env.send(request, timeouts(app));
        let mut response = self.want.shared.store.leading(self.lease.as_ref(), asking).await?;
        app.metrics.time(Timed::Origin, app.env.instant().since(began));
        let times = Times { request_time, response_time: app.env.now() };
        session::settle(app, self.want.incoming, response.headers_mut()).await;
        // What an unsafe request has changed is invalidated, however its response ends (RFC 9111 §4.4).
        let is_unsafe = is_unsafe(&self.want.incoming.method);
        let goes_on = is_unsafe || self.want.incoming.range.is_some();
        let response = content::begun(app, response, goes_on).await?;
        Ok(Received { response, times, supersedes: false })
    }

    /// Ends the lead without a stored response, in the background.
    pub(super) fn end(&self, ending: Ending) {
        let Some(lease) = self.lease.as_ref().filter(|lease| lease.leads()) else { return };
        let (env, store, lease) = (&self.want.app.env, Rc::clone(&self.want.shared.store), lease.clone());
        env.spawn(async move {
            let ended = match ending {
                Ending::Failed(failure) => store.fail(&lease, failure).await,
                Ending::Unstored(marked) => store.give_up(&lease, marked).await,
            };
            if let Err(error) = ended {
                store.env.log(&format!("a fill lease was not released: {}: {error}", lease.resource.url()));
            }
        });
    }

    /// Drops what must not stay stored, in the background.
    pub(super) fn forget(&self) {
        let (env, store) = (self.want.app.env.clone(), Rc::clone(&self.want.shared.store));
        let resource = self.want.key.clone();
        self.want.app.env.spawn(async move {
            if let Err(error) = store.forget(&resource).await {
                env.log(&format!("not forgotten: {}: {error}", resource.url()));
            }
        });
    }
}

/// How a lead ends without a stored response.
pub(super) enum Ending {
    /// It failed, and all who wait are answered in the same way.
    Failed(FlightFailure),
    /// The response is not stored; for this long nobody waits for the same.
    Unstored(Duration),
}

impl Ending {
    /// An error that only this request caused is not passed on to those who wait.
    fn of(error: &UpstreamError) -> Self {
        FlightFailure::of(error).map_or(Self::Unstored(Duration::ZERO), Self::Failed)
    }
}

/// RFC 5861 §4: what counts as an error is "any situation that would result in a 500, 502, 503, or 504".
pub(super) const fn is_error(code: StatusCode) -> bool {
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
