//! Taking in the origin's response: it is stored as it passes through, if it may be stored.

use super::fetch::{Ending, Fetch, Received};
use super::selected::unchanged;
use super::{Answer, end_to_end};
use crate::body::Body;
use crate::cache::compress;
use crate::cache::entry::{Content, Entry};
use crate::cache::fill::Fill;
use crate::cache::freshness::{Times, initial_age};
use crate::cache::invalidate::is_unsafe;
use crate::cache::lease::FillLease;
use crate::cache::respond::only_metadata;
use crate::cache::storable::{Exchange, Storable, Unstorable, judge};
use crate::cache::store::Store;
use crate::cache::tags::tags;
use crate::env::Env;
use crate::field::cache_status::{CacheStatus, Detail};
use crate::field::conditional::not_modified;
use crate::time::Timestamp;
use futures_util::future::LocalBoxFuture;
use http::header::{CONTENT_LENGTH, DATE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use std::rc::Rc;
use std::time::Duration;

impl<'a, E: Env> Fetch<'a, E> {
    /// Takes in a whole response: stores it as it passes through, if it may be stored, and answers with it. Boxed, because
    /// every path ends here and would otherwise carry the size of this future.
    pub(super) fn absorb(self, received: Received, status: CacheStatus) -> LocalBoxFuture<'a, Answer> {
        Box::pin(self.take_in(received, status))
    }

    async fn take_in(self, received: Received, mut status: CacheStatus) -> Answer {
        let (app, incoming) = (self.want.app, self.want.incoming);
        let Received { response, times, supersedes } = received;
        let (mut head, mut body) = response.into_parts();
        date(&mut head.headers, times.response_time);
        let declared = declared_length(&head.headers);
        let plan = self.compression(head.status, &head.headers);
        let mut stored = head.headers.clone();
        if let Some(plan) = plan {
            plan.apply_to_fields(&mut stored);
        }
        let (declared_stored, marked) = (declared_length(&stored), self.want.policy.hit_for_miss);
        let begin = |begin: Begin<E>| {
            Fill::begin(begin.store, begin.lease, begin.spec, begin.entry, declared_stored, begin.limit)
                .map(|fill| fill.superseding(supersedes).marking(marked))
        };
        let fill = self.fill(head.status, &stored, times, begin);
        let body = match fill {
            Ok((fill, ttl)) => {
                (status.stored, status.ttl, head.headers) = (true, Some(ttl), stored);
                if let Some(plan) = plan {
                    body = plan.apply_to_content(body, declared);
                }
                fill.pass(body).await
            }
            Err(why) => {
                status.detail.get_or_insert(Detail::Unstored(why));
                body
            }
        };
        end_to_end(app, &mut head.headers);
        // The conditions of an unsafe request are for the origin to evaluate.
        let unchanged = head.status == StatusCode::OK
            && !is_unsafe(&incoming.method)
            && not_modified(&incoming.headers, &head.headers);
        if unchanged {
            return unchanged_for_client(&head.headers, body, status);
        }
        Answer { response: Response::from_parts(head, body), status }
    }

    /// Begins to store this response, and returns for how many seconds it will be fresh. Ends the lead where it may not
    /// be stored.
    pub(super) fn fill(
        mut self,
        code: StatusCode,
        headers: &HeaderMap,
        times: Times,
        begin: impl FnOnce(Begin<E>) -> Result<Fill<E>, (Unstorable, Box<FillLease>)>,
    ) -> Result<(Fill<E>, i64), Unstorable> {
        let received = times.response_time;
        let (storable, spec) = self.storable(code, headers, received).map_err(|why| self.refused(why))?;
        let lease = self.lease.take().ok_or(Unstorable::NoLease)?;
        let entry = Entry {
            key: self.want.key.text().to_owned(),
            selecting: self.want.selecting.values(&spec),
            received,
            initial_age: initial_age(headers, times),
            policy: storable.policy,
            ledger: lease.ledger().clone(),
            status: code,
            tags: self.tags(tags(headers, self.want.key.origin())),
            headers: storable.headers,
            content: Content::NONE,
        };
        let ttl = entry.ttl(received);
        let limit = self.want.app.config.cache.max_object_size;
        let store = Rc::clone(&self.want.shared.store);
        begin(Begin { store, lease, spec, entry, limit }).map(|fill| (fill, ttl)).map_err(|(why, lease)| {
            self.lease = Some(*lease);
            self.refused(why)
        })
    }

    /// Returns whether and how a response is compressed on its way into the store.
    pub(super) fn compression(&self, code: StatusCode, headers: &HeaderMap) -> Option<compress::Plan> {
        // The size of what is for one visitor would tell others about its content (BREACH).
        if self.want.selecting.is_personal() {
            return None;
        }
        let (codings, targets) = (&self.want.policy.compress, &self.want.app.config.cache.targets);
        compress::plan(codings, &self.want.incoming.headers, code, headers, targets)
    }

    /// Ends the lead because the response is not stored, and returns `why`.
    pub(super) fn refused(&self, why: Unstorable) -> Unstorable {
        self.end(Ending::Unstored(self.waiting_is_no_use(why)));
        why
    }

    fn storable(
        &self,
        code: StatusCode,
        headers: &HeaderMap,
        received: Timestamp,
    ) -> Result<(Storable, String), Unstorable> {
        let incoming = self.want.incoming;
        let counts_as_get = match incoming.method {
            Method::GET => true,
            Method::POST => self.answers_get(code, headers),
            _ => incoming.is_query(),
        };
        if !counts_as_get {
            return Err(Unstorable::Method);
        }
        let storable = self.judge(code, headers, received)?;
        let spec = self.place(&storable, code, headers)?;
        Ok((storable, spec))
    }

    /// Returns why a whole response is not stored, as far as its head tells.
    pub(super) fn unstorable(
        &self,
        code: StatusCode,
        headers: &HeaderMap,
        received: Timestamp,
    ) -> Option<Unstorable> {
        if let Err(why) = self.storable(code, headers, received) {
            return Some(why);
        }
        // The length of compressed content is not known yet.
        let compressed = self.compression(code, headers).is_some_and(|plan| plan.coding.is_some());
        let declared = declared_length(headers).filter(|_| !compressed);
        let too_large = declared.is_some_and(|length| length > self.want.app.config.cache.max_object_size);
        too_large.then_some(Unstorable::TooLarge)
    }

    /// For how long other requests for this resource should not wait, because this one could not be stored. Zero where
    /// only this request is the reason.
    fn waiting_is_no_use(&self, why: Unstorable) -> Duration {
        if why.is_lasting() { self.want.policy.hit_for_miss } else { Duration::ZERO }
    }

    pub(super) fn judge(
        &self,
        status: StatusCode,
        response: &HeaderMap,
        received: Timestamp,
    ) -> Result<Storable, Unstorable> {
        if self.want.incoming.used_session(self.want.policy.key.visitor) {
            return Err(Unstorable::Session);
        }
        let request = &self.want.incoming.headers;
        let exchange = Exchange { method: &Method::GET, request, status, response, received };
        judge(&exchange, self.want.policy, &self.want.app.config.cache)
    }

    /// Adds the tags of the route to those of the response.
    pub(super) fn tags(&self, mut tags: Vec<String>) -> Vec<String> {
        tags.extend(self.want.policy.rules.tags.iter().cloned());
        tags.sort_unstable();
        tags.dedup();
        tags
    }

    /// Returns the names of the fields that select this response among the variants of its resource.
    pub(super) fn place(
        &self,
        storable: &Storable,
        code: StatusCode,
        headers: &HeaderMap,
    ) -> Result<String, Unstorable> {
        let spec = self.want.selecting.spec(&storable.vary).ok_or(Unstorable::Vary)?;
        let Some(search) = &self.want.search else { return Ok(spec) };
        search.learn(&self.want.shared.variances, &self.want.app.env, code, headers);
        if search.keeps(headers) { Ok(spec) } else { Err(Unstorable::NoVarySearch) }
    }
}

/// What is needed to store a response.
pub(super) struct Begin<E: Env> {
    pub(super) store: Rc<Store<E>>,
    pub(super) lease: FillLease,
    pub(super) spec: String,
    pub(super) entry: Entry,
    /// The largest content that is stored, in bytes.
    pub(super) limit: u64,
}

/// Answers 304: the client has the response that just came. Its content is dropped, which lets the store read on what is
/// being stored of it; content that nobody stores may be large, or endless.
pub(super) fn unchanged_for_client(headers: &HeaderMap, body: Body, status: CacheStatus) -> Answer {
    drop(body);
    Answer { response: unchanged(only_metadata(headers)), status: status.made_of(StatusCode::OK) }
}

/// RFC 9110 §6.6.1: "A recipient with a clock that receives a response message without a Date header field
/// MUST record the time it was received and append a corresponding Date header field ... if it is cached".
pub(super) fn date(headers: &mut HeaderMap, received: Timestamp) {
    if !headers.contains_key(DATE)
        && let Ok(value) = HeaderValue::from_str(&received.to_http_date())
    {
        headers.insert(DATE, value);
    }
}

/// Parses the single `Content-Length` line; several lines, or anything but digits, count as none.
pub(super) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    let mut lines = headers.get_all(CONTENT_LENGTH).iter();
    let first = lines.next()?.to_str().ok()?;
    let digits = lines.next().is_none() && first.bytes().all(|byte| byte.is_ascii_digit());
    first.parse().ok().filter(|_| digits)
}
