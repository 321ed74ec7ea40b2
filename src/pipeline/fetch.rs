//! Asking the origin for something that may be stored, and taking in what it answers.

use super::absorb::date;
use super::held::{Failure, Held};
use super::{Answer, Want, answer, pass, session, upstream_failed};
use crate::app::App;
use crate::body::Body;
use crate::cache::compress;
use crate::cache::entry::Entry;
use crate::cache::freshness::initial_age;
use crate::cache::lease::{FillLease, RENEW_EVERY};
use crate::cache::reuse::Stale;
use crate::cache::storable::{Unstorable, post_answers_get};
use crate::env::{Env, Timeouts, UpstreamError};
use crate::field::cache_status::CacheStatus;
use crate::field::conditional::validate_with;
use crate::metrics::Timed;
use crate::time::Timestamp;
use futures_util::future::{Either, select};
use http::header::{AUTHORIZATION, CONTENT_ENCODING};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

/// What a fetch needs to know.
pub(super) struct Fetch<'a, E: Env> {
    pub(super) want: Want<'a, E>,
    /// The right to store; `None` when Redis gave none.
    pub(super) lease: Option<FillLease>,
}

/// A response of the origin, and when it was asked for and came.
pub(super) struct Received {
    pub(super) response: Response<Body>,
    pub(super) requested: Timestamp,
    pub(super) received: Timestamp,
}

/// How a response is stored that the origin said is still good.
pub(super) struct Freshened {
    /// What it varies on.
    pub(super) spec: String,
    /// Its fields, without those that were for one client.
    pub(super) headers: HeaderMap,
}

impl<E: Env> Fetch<'_, E> {
    /// Nothing is stored: asks for all of it.
    pub(super) async fn missing(self, status: CacheStatus) -> Answer {
        let request = self.want.incoming.unconditional(self.want.app, &self.want.policy.key);
        match self.send(request).await {
            Ok(received) => self.absorb(received, status).await,
            Err(error) => self.failed(&error, status),
        }
    }

    /// What is stored is stale: asks whether it is still good, where there is something to ask with.
    pub(super) async fn stale(self, stale: Stale, mut status: CacheStatus) -> Answer {
        let mut request = self.want.incoming.unconditional(self.want.app, &self.want.policy.key);
        let conditional = validate_with(request.headers_mut(), &stale.entry.headers);
        let received = match self.send(request).await {
            Ok(received) => received,
            Err(error) => return self.unreachable(Held::Stale(Box::new(stale)), &error, status).await,
        };
        let code = received.response.status();
        status.forward_status = Some(code.as_u16());
        match code {
            StatusCode::NOT_MODIFIED if conditional => self.validated(stale.entry, &received, status).await,
            StatusCode::OK if self.want.incoming.method == Method::HEAD => {
                self.described(stale.entry, received, status).await
            }
            code if is_error(code) => self.erred(Held::Stale(Box::new(stale)), received, status).await,
            _ => {
                self.supersede(&received);
                self.absorb(received, status).await
            }
        }
    }

    /// Another response came in place of what is stored: "none of the stored responses nominated in the conditional
    /// request are suitable" (RFC 9111 §4.3.3). Where the new one must not be stored the old one goes all the same: it
    /// would be used again, stale.
    pub(super) fn supersede(&self, received: &Received) {
        let (code, headers) = (received.response.status(), received.response.headers());
        let another = matches!(code.as_u16(), 200 | 300..=303 | 307 | 308 | 404 | 410);
        let request = self.want.incoming;
        // What comes for credentials is not what comes without.
        if !another || request.method == Method::HEAD || request.headers.contains_key(AUTHORIZATION) {
            return;
        }
        let refused = self.judge(code, headers, received.received).err();
        // A cookie is for one client, and what it came with mostly for all.
        if refused.is_some_and(|why| why != Unstorable::SetCookie && !why.is_of_request()) {
            self.forget();
        }
    }

    /// The origin gave an error in place of what `held` was to be validated with.
    async fn erred(self, held: Held, received: Received, status: CacheStatus) -> Answer {
        match held.instead(&self.want, Failure::Error, status).await {
            Some(answer) => {
                self.end(Ending::Failed(received.response.status()));
                answer
            }
            None => self.absorb(received, status).await,
        }
    }

    /// The origin gave no response.
    pub(super) async fn unreachable(self, held: Held, error: &UpstreamError, status: CacheStatus) -> Answer {
        match held.instead(&self.want, Failure::of(error), status).await {
            Some(answer) => {
                self.end(Ending::Failed(code_of(error)));
                answer
            }
            None => self.failed(error, status),
        }
    }

    /// A POST: what it made invalid goes first, and then its response may be stored.
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
            status = status.because("invalidation-failed");
        }
        self.absorb(received, status).await
    }

    pub(super) fn answers_get(&self, status: StatusCode, response: &HeaderMap) -> bool {
        let (uri, cache) = (&self.want.incoming.uri, &self.want.app.config.cache);
        post_answers_get(uri, status, response, cache)
    }

    /// The limits that count what goes to the origin. Who is refused leads nobody: another may.
    pub(super) async fn admitted(&self) -> Result<(), Box<Answer>> {
        self.want.incoming.admission.origin(self.want.app).await.inspect_err(|_| {
            self.end(Ending::Unstored(Duration::ZERO));
        })
    }

    pub(super) fn failed(self, error: &UpstreamError, status: CacheStatus) -> Answer {
        self.end(Ending::Failed(code_of(error)));
        Answer { response: upstream_failed(self.want.app, self.want.incoming, error), status }
    }

    /// Asks the origin. Whoever leads gives signs of life meanwhile.
    pub(super) async fn send(&self, request: Request<Body>) -> Result<Received, UpstreamError> {
        let app = self.want.app;
        let (requested, began) = (app.env.now(), app.env.elapsed());
        let mut asking = pin!(app.env.send(request, timeouts(app)));
        let leading = self.lease.as_ref().filter(|lease| lease.leads());
        let mut response = loop {
            let Some(lease) = leading else { break asking.await? };
            match select(asking.as_mut(), pin!(app.env.sleep(RENEW_EVERY))).await {
                Either::Left((response, _)) => break response?,
                Either::Right(_) => {
                    // One that cannot renew its lead goes on without: another may then take over.
                    let _ = self.want.shared.store.renew(lease, false).await;
                }
            }
        };
        app.metrics.time(Timed::Origin, app.env.elapsed().saturating_sub(began));
        let received = app.env.now();
        session::settle(app, self.want.incoming, response.headers_mut()).await;
        Ok(Received { response, requested, received })
    }

    /// Ends the lead without anything stored, in the background.
    pub(super) fn end(&self, ending: Ending) {
        let Some(lease) = self.lease.as_ref().filter(|lease| lease.leads()) else { return };
        let (env, store, lease) = (&self.want.app.env, Rc::clone(&self.want.shared.store), lease.clone());
        env.spawn(async move {
            let ended = match ending {
                Ending::Failed(code) => store.fail(&lease, code.as_u16()).await,
                Ending::Unstored(marked) => store.give_up(&lease, marked).await,
            };
            if let Err(error) = ended {
                store.env.log(&format!("a lead was not ended: {}: {error}", lease.resource.url()));
            }
        });
    }

    /// The origin said 304: what is stored is good again, and takes over what the 304 says (RFC 9111 §4.3.4).
    pub(super) async fn validated(
        self,
        entry: Entry,
        received: &Received,
        mut status: CacheStatus,
    ) -> Answer {
        // Pieces of its content may have been evicted while the origin was asked.
        let Ok(Some(mut entry)) = self.want.shared.store.whole(entry, &self.want.key).await else {
            return Box::pin(self.missing(status)).await;
        };
        let freshened = self.freshen(&mut entry, received);
        let now = received.received;
        status.ttl = Some(entry.ttl(now));
        match freshened {
            Ok(freshened) => {
                status.stored = self.refresh(&entry, freshened);
                answer(&self.want, entry, status, now)
            }
            Err(why) => {
                if !why.is_of_request() {
                    self.forget();
                }
                self.end(Ending::Unstored(Duration::ZERO));
                answer(&self.want, entry, status.because(why.as_str()), now)
            }
        }
    }

    /// A 200 to HEAD makes what is stored good again, or shows that it is not (RFC 9111 §4.3.5).
    async fn described(self, entry: Entry, received: Received, status: CacheStatus) -> Answer {
        // Not where the origin speaks of another coding, of what was compressed here for one. Only a response "that could
        // have been chosen for that request" is updated or ended by it.
        if received.response.headers().get(CONTENT_ENCODING) != entry.headers.get(CONTENT_ENCODING) {
            return self.absorb(received, status).await;
        }
        if entry.matches_head(received.response.headers()) {
            return self.validated(entry, &received, status).await;
        }
        self.forget();
        self.absorb(received, status).await
    }

    /// Takes over what the origin says of a response that it says is still good: its fields, and what may be done
    /// with it. The fields in `entry` are then for the client that asked: with what came for it alone, such as cookies.
    pub(super) fn freshen(&self, entry: &mut Entry, received: &Received) -> Result<Freshened, Unstorable> {
        let mut update = received.response.headers().clone();
        date(&mut update, received.received);
        compress::adapt(&mut update, &entry.headers);
        if !entry.freshen(&update, self.want.key.origin()) {
            return Err(Unstorable::AnotherValidator);
        }
        entry.tags = self.tags(std::mem::take(&mut entry.tags));
        pass::end_to_end(self.want.app, &mut entry.headers);
        let judged = self.judge(entry.status, &entry.headers, received.received);
        entry.received = received.received;
        entry.initial_age = initial_age(&entry.headers, received.requested, received.received);
        let storable = judged?;
        let spec = self.place(&storable, &entry.headers)?;
        entry.policy = storable.policy;
        Ok(Freshened { spec, headers: storable.headers })
    }

    /// Writes a validated entry back, in the background; `false` without the right to.
    pub(super) fn refresh(&self, entry: &Entry, Freshened { spec, headers }: Freshened) -> bool {
        let Some(lease) = self.lease.clone() else { return false };
        let selecting = self.want.selecting.values(&spec);
        let entry = Entry { selecting, ledger: lease.ledger().clone(), headers, ..entry.clone() };
        let (env, store) = (self.want.app.env.clone(), Rc::clone(&self.want.shared.store));
        self.want.app.env.spawn(async move {
            if let Err(error) = store.refresh(&lease, &spec, &entry, env.now()).await {
                env.log(&format!("not refreshed: {}: {error}", lease.resource.url()));
            }
        });
        true
    }

    /// What must not be stored any more goes, in the background.
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

/// How a lead ends without anything stored.
pub(super) enum Ending {
    /// The origin gave no response, or an error: as much is known to all who wait.
    Failed(StatusCode),
    /// What it gave is not stored; for so long nobody waits for the same.
    Unstored(Duration),
}

/// What is stored, although it is stale.
pub(super) fn reuse<E: Env>(want: &Want<'_, E>, entry: Entry, mut status: CacheStatus) -> Answer {
    let now = want.app.env.now();
    status.ttl = Some(entry.ttl(now));
    answer(want, entry, status, now)
}

/// The status code that stands for an error.
pub(super) const fn code_of(error: &UpstreamError) -> StatusCode {
    match error {
        UpstreamError::TimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
        UpstreamError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_GATEWAY,
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
