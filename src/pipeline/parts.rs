//! Responses of which only parts are stored (RFC 9111 §3.3, §3.4): they answer requests for the bytes they have, and
//! are completed for requests that want the whole.

use super::absorb::{declared_length, unchanged_for_client};
use super::content::ahead;
use super::fetch::{Ending, Fetch, Received};
use super::held::Held;
use super::resume::{self, Stored};
use super::selected::{unchanged, written};
use super::validated::Freshened;
use super::{Answer, Judgement, Want, end_to_end, unsatisfiable};
use crate::body::Body;
use crate::cache::fill::Fill;
use crate::cache::partial::{Judged, Partial};
use crate::cache::range::{Selected, select};
use crate::cache::respond;
use crate::cache::reuse::Demand;
use crate::cache::slice::{Run, Source, covers, read};
use crate::cache::storable::Unstorable;
use crate::env::Env;
use crate::field::cache_status::{CacheStatus, Detail, Forward};
use crate::field::conditional::not_modified;
use crate::field::range::{Ranges, Span};
use crate::nonce;
use crate::time::Timestamp;
use http::header::{CONTENT_LENGTH, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use std::rc::Rc;
use std::time::Duration;

/// Decides what to do with stored parts of a response.
pub(super) async fn judge<E: Env>(
    want: &Want<'_, E>,
    demand: Demand<'_>,
    partial: Partial,
    soft_purged: bool,
) -> Judgement {
    let Demand { directives, waited, now } = demand;
    match partial.evaluate(demand, soft_purged) {
        Judged::Unsatisfiable => Judgement::Answer(unsatisfiable()),
        Judged::Fresh(partial) => {
            let ttl = partial.entry().ttl(now);
            let status = match waited {
                None => CacheStatus::hit(ttl),
                Some(_) => CacheStatus::collapsed(Forward::Partial, ttl),
            };
            match answered_by(want, partial, status, now).await {
                Ok(answer) => Judgement::Answer(answer),
                Err(_) if directives.only_if_cached => Judgement::Answer(unsatisfiable()),
                Err(partial) => Judgement::Ask(Held::Parts(partial), CacheStatus::forward(Forward::Partial)),
            }
        }
        Judged::Stale(stale) => {
            let status = CacheStatus::forward(stale.reason());
            // Validating parts that do not answer the request would not answer it either.
            let answers = selected(want, stale.headers(), stale.complete(), stale.runs()).is_some();
            let held = if answers {
                Held::StaleParts(Box::new(stale))
            } else {
                Held::Parts(Box::new(stale.into_partial()))
            };
            Judgement::Ask(held, status)
        }
    }
}

/// Returns what these runs give a request by themselves; `None` where it wants bytes that they lack.
fn selected<E: Env>(
    want: &Want<'_, E>,
    headers: &HeaderMap,
    complete: u64,
    runs: &[Run],
) -> Option<Selected> {
    let boundary = || nonce::random(&want.app.env);
    let range = want.incoming.range.as_ref()?;
    let selected = select(range, &want.incoming.headers, headers, complete, boundary);
    selected.spans()?.iter().all(|span| covers(runs, *span)).then_some(selected)
}

/// Answers with stored parts alone, or gives the parts back where they do not suffice.
pub(super) async fn answered_by<E: Env>(
    want: &Want<'_, E>,
    mut partial: Partial,
    status: CacheStatus,
    now: Timestamp,
) -> Result<Answer, Box<Partial>> {
    let complete = partial.complete();
    let selected = selected(want, partial.headers(), complete, partial.runs());
    let Some(selected) = selected else { return Err(Box::new(partial)) };
    let spans = selected.spans().unwrap_or_default();
    if !want.shared.store.holds(&want.key, partial.runs(), &spans).await.is_ok_and(|all| all) {
        return Err(Box::new(partial));
    }
    let source = Source::Runs(partial.runs().into());
    let (code, headers, _) =
        respond::head(&want.incoming.method, &want.incoming.headers, partial.entry_mut(), now);
    let response = if code == StatusCode::NOT_MODIFIED {
        unchanged(headers)
    } else {
        written(want, &source, headers, complete, &selected)
    };
    Ok(Answer { response, status })
}

impl<E: Env> Fetch<'_, E> {
    /// The origin answered 304: the parts are valid again, with the fields of the 304.
    pub(super) async fn parts_validated(
        self,
        range: &Ranges,
        mut partial: Partial,
        received: &Received,
        mut status: CacheStatus,
    ) -> Answer {
        let read = partial.preamble();
        let freshened = self.freshen(partial.entry_mut(), received);
        if let Err(why @ Unstorable::AnotherValidator) = freshened {
            (status.forward_status, status.detail) = (None, Some(Detail::Unstored(why)));
            return Box::pin(self.part(range, Held::Parts(Box::new(partial)), status)).await;
        }
        status.ttl = Some(partial.entry().ttl(received.times.response_time));
        match freshened {
            Ok(freshened) => status.stored = self.refresh_parts(read, partial.clone(), freshened),
            Err(why) => {
                if !why.is_of_request() {
                    self.forget();
                }
                self.end(Ending::Unstored(Duration::ZERO));
                status = status.because(Detail::Unstored(why));
            }
        }
        match answered_by(&self.want, partial, status, received.times.response_time).await {
            Ok(answer) => answer,
            // A piece was lost in the meantime.
            Err(_) => {
                status.forward_status = None;
                Box::pin(self.part(range, Held::Nothing, status)).await
            }
        }
    }

    /// Writes validated parts back in place of those that were `read`, in the background; `false` without the right to store.
    fn refresh_parts(&self, read: Vec<u8>, mut partial: Partial, freshened: Freshened) -> bool {
        let Some(lease) = self.lease.clone().map(|lease| lease.over(read)) else { return false };
        let spec = self.kept(partial.entry_mut(), &lease, freshened);
        let (env, store) = (self.want.app.env.clone(), Rc::clone(&self.want.shared.store));
        self.want.app.env.spawn(async move {
            if let Err(error) = store.refresh_partial(&lease, &spec, partial, env.now()).await {
                env.log(&format!("stored parts were not refreshed: {}: {error}", lease.resource.url()));
            }
        });
        true
    }

    /// Answers a request for the whole: asks the origin for the missing part if that helps, and joins it to the stored ones.
    pub(super) async fn complete(self, partial: Partial, status: CacheStatus) -> Answer {
        let complete = partial.complete();
        let storable = complete <= self.want.app.config.cache.max_object_size;
        let gap = partial.gap().filter(|gap| storable && gap.length() < complete);
        let Some(gap) = gap else { return self.anew(status).await };
        let kept: Vec<Span> = kept(gap, complete).collect();
        if !self.want.shared.store.holds(&self.want.key, partial.runs(), &kept).await.is_ok_and(|all| all) {
            return self.anew(status).await;
        }
        let mut request = self.want.incoming.unconditional(self.want.app, &self.want.policy.key);
        if !self.still_has(&partial).await || !ask_for(request.headers_mut(), gap, &partial) {
            return self.anew(status).await;
        }
        match self.send(request).await {
            Ok(received) => self.completed(partial, gap, received, status).await,
            Err(error) => self.failed(&error, status),
        }
    }

    /// Returns whether these parts are still stored. They were looked up before there was a right to store, so that a purge in
    /// between had none to take away.
    async fn still_has(&self, partial: &Partial) -> bool {
        let found = self.want.shared.store.lookup(&self.want.key, self.want.selecting).await;
        let stored = found.ok().and_then(|found| found.partial);
        let kept = |runs: &[Run]| partial.runs().iter().all(|run| runs.contains(run));
        stored.is_some_and(|stored| kept(stored.runs()))
    }

    /// Takes in the response to a question that the client did not ask. Only the missing part of the same representation or
    /// a whole 200 answers the client; after anything else, the origin is asked for the whole.
    async fn completed(
        self,
        partial: Partial,
        gap: Span,
        mut received: Received,
        status: CacheStatus,
    ) -> Answer {
        let headers = received.response.headers();
        match received.response.status() {
            StatusCode::PARTIAL_CONTENT
                if partial.is_continued_by(headers, declared_length(headers), gap) =>
            {
                self.joined(partial, gap, received, status).await
            }
            StatusCode::OK => {
                self.supersede(&mut received, None);
                self.absorb(received, status).await
            }
            _ => self.anew(status).await,
        }
    }

    /// Joins stored bytes and those that come into the whole, which is stored as it passes through.
    async fn joined(
        mut self,
        mut partial: Partial,
        gap: Span,
        mut received: Received,
        mut status: CacheStatus,
    ) -> Answer {
        let (app, complete) = (self.want.app, partial.complete());
        let source = Source::Runs(partial.runs().into());
        let store = Rc::clone(&self.want.shared.store);
        let kept = |span: Option<Span>| {
            let Some(bytes) = span else { return Body::Empty };
            let body = read(&store, &self.want.key, &source, bytes);
            let stored = Stored { headers: partial.headers(), span, complete };
            resume::guarded_behind(&self.want, stored, body)
        };
        let bodies = vec![
            kept(Span::new(0, gap.start())),
            std::mem::take(received.response.body_mut()).exactly(gap.length()),
            kept(Span::new(gap.end(), complete)),
        ];
        let freshened = self.freshen(partial.entry_mut(), &received);
        let mut headers = partial.headers().clone();
        end_to_end(app, &mut headers);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(complete));
        let body = ahead(&app.env, Body::chained(bodies), Some(complete)).await;
        status.ttl = Some(partial.entry().ttl(received.times.response_time));
        status.forward_status = Some(StatusCode::PARTIAL_CONTENT.as_u16());
        let body = match freshened.and_then(|freshened| self.fill_whole(partial, freshened)) {
            Ok(fill) => {
                status.stored = true;
                fill.pass(body).await
            }
            Err(why) => {
                status.detail = Some(Detail::Unstored(self.refused(why)));
                body
            }
        };
        if not_modified(&self.want.incoming.headers, &headers) {
            return unchanged_for_client(&headers, body, status);
        }
        let mut response = Response::new(body);
        *response.headers_mut() = headers;
        Answer { response, status }
    }

    fn fill_whole(&mut self, partial: Partial, freshened: Freshened) -> Result<Fill<E>, Unstorable> {
        let lease = self.lease.take().ok_or(Unstorable::NoLease)?;
        let complete = partial.complete();
        let mut entry = partial.into_entry();
        let spec = self.kept(&mut entry, &lease, freshened);
        let (store, limit) = (Rc::clone(&self.want.shared.store), self.want.app.config.cache.max_object_size);
        Fill::begin(store, lease, spec, entry, Some(complete), limit).map_err(|(why, lease)| {
            self.lease = Some(*lease);
            why
        })
    }
}

/// Returns what lies on either side of the gap.
fn kept(gap: Span, complete: u64) -> impl Iterator<Item = Span> {
    [Span::new(0, gap.start()), Span::new(gap.end(), complete)].into_iter().flatten()
}

/// Makes the request one for the bytes of `gap`, or for the whole if the representation has changed by now.
fn ask_for(request: &mut HeaderMap, gap: Span, partial: &Partial) -> bool {
    let range = if gap.end() == partial.complete() {
        format!("bytes={}-", gap.start())
    } else {
        format!("bytes={gap}")
    };
    let (Ok(range), Some(validator)) = (HeaderValue::try_from(range), partial.if_range()) else {
        return false;
    };
    request.insert(RANGE, range);
    request.insert(IF_RANGE, validator.clone());
    true
}
