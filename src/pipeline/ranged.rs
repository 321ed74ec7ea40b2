//! Range requests (RFC 9110 §14).
//!
//! A stored response answers them by itself. Otherwise the route's `range` decides: `pass` asks the origin for the
//! part alone and stores it as a part; `whole` asks for everything, stores it as it passes through and cuts the
//! part out of it. A part that cannot be stored is passed on all the same.

use super::absorb::{Begin, date, declared_length};
use super::collapse;
use super::cut;
use super::fetch::{Ending, Fetch, Received, is_error};
use super::held::Held;
use super::selected::unchanged;
use super::{Answer, end_to_end};
use crate::cache::fill::Fill;
use crate::cache::freshness::Times;
use crate::cache::lease::FlightFailure;
use crate::cache::partial::{Carried, Part};
use crate::cache::respond::only_metadata;
use crate::cache::storable::Unstorable;
use crate::config::RangePolicy;
use crate::env::Env;
use crate::field::cache_status::{CacheStatus, Detail};
use crate::field::conditional::not_modified;
use crate::field::range::Ranges;
use crate::field::validator::same_representation;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, IF_RANGE};
use http::{HeaderMap, Response, StatusCode};
use std::time::Duration;

impl<E: Env> Fetch<'_, E> {
    /// Asks the origin for what `held` does not have.
    pub(super) async fn fetch(self, held: Held, status: CacheStatus) -> Answer {
        if let Err(refused) = self.admitted().await {
            return *refused;
        }
        let Some(range) = &self.want.incoming.range else { return Box::pin(self.all(held, status)).await };
        let want = self.want.again();
        let too_large = held.complete().is_some_and(|length| length > want.app.config.cache.max_object_size);
        if want.policy.range == RangePolicy::Pass || too_large {
            return cut::out_of(&want, Box::pin(self.part(range, held, status)).await);
        }
        let answer = Box::pin(self.all(held, status)).await;
        if !cut::is_wasted(&want, &answer) {
            return cut::out_of(&want, answer);
        }
        // Otherwise every request for one byte of a response that cannot be stored would fetch all of it.
        let status = CacheStatus { forward_status: None, ..answer.status };
        drop(answer);
        let lease = collapse::alone(&want).await;
        Box::pin(Fetch { want, lease }.part(range, Held::Nothing, status)).await
    }

    /// Asks for the whole response.
    async fn all(self, held: Held, status: CacheStatus) -> Answer {
        match held {
            Held::Nothing => self.missing(status).await,
            Held::Stale(stale) => self.stale(*stale, status).await,
            Held::Parts(partial) => self.complete(*partial, status).await,
            Held::StaleParts(stale) => self.complete(stale.into_partial(), status).await,
        }
    }

    /// Asks for the requested part, and validates what is stored of it in the same request.
    pub(super) async fn part(self, range: &Ranges, held: Held, mut status: CacheStatus) -> Answer {
        let mut request = self.want.incoming.partial(self.want.app, &self.want.policy.key, range);
        let conditional = held.make_conditional(request.headers_mut());
        let mut received = match self.send(request).await {
            Ok(received) => received,
            Err(error) => return self.unreachable(held, &error, status).await,
        };
        let code = received.response.status();
        if held.to_validate().is_some() {
            status.forward_status = Some(code.as_u16());
        }
        if !matches!(held, Held::Nothing) {
            // Only a whole response or the part is stored.
            self.supersede(&mut received, (code != StatusCode::OK).then_some(Unstorable::Status));
        }
        match (code, held) {
            (StatusCode::NOT_MODIFIED, Held::Stale(stale)) if conditional => {
                self.validated(stale.into_entry(), &received, status).await
            }
            (StatusCode::NOT_MODIFIED, Held::StaleParts(stale)) if conditional => {
                self.parts_validated(range, stale.into_partial(), &received, status).await
            }
            (StatusCode::OK, _) => self.absorb(received, status).await,
            (StatusCode::PARTIAL_CONTENT, held) => self.absorb_part(received, &held, status).await,
            (code, held) if is_error(code) => {
                let ending = held.ending(code);
                match held.instead(&self.want, FlightFailure::Origin(code), status).await {
                    Some(answer) => {
                        self.end(ending);
                        answer
                    }
                    None => self.unstored(received, status).await,
                }
            }
            _ => self.unstored(received, status).await,
        }
    }

    /// Passes on anything but a 200 or a 206 without storing it, since it may be about this range alone (416), or
    /// about whatever the client put into `Range`.
    async fn unstored(self, received: Received, mut status: CacheStatus) -> Answer {
        let (mut head, body) = received.response.into_parts();
        end_to_end(self.want.app, &mut head.headers);
        status.detail = Some(Detail::Unstored(self.refused(Unstorable::Status)));
        Answer { response: Response::from_parts(head, body), status }
    }

    /// Takes in a part: stores it as it passes through, if it may be stored, and answers with it.
    async fn absorb_part(self, received: Received, held: &Held, mut status: CacheStatus) -> Answer {
        let (app, incoming) = (self.want.app, self.want.incoming);
        let Received { response, times, .. } = received;
        let (mut head, body) = response.into_parts();
        date(&mut head.headers, times.response_time);
        if not_modified(&incoming.headers, &head.headers) {
            self.end(Ending::Unstored(Duration::ZERO));
            let status = status.made_of(head.status);
            return Answer { response: unchanged(only_metadata(&head.headers)), status };
        }
        let declared = declared_length(&head.headers);
        let superseding = Fetch { want: self.want.again(), lease: None };
        let superseding = held.is_outdated_by(&head.headers).then_some(superseding);
        let fill = self.fill_part(&head.headers, declared, times, held.base());
        end_to_end(app, &mut head.headers);
        let body = match fill {
            Ok((fill, ttl)) => {
                (status.stored, status.ttl) = (true, Some(ttl));
                fill.pass(body).await
            }
            Err(why) => {
                if let Some(fetch) = superseding {
                    fetch.supersede_by(why);
                }
                status.detail = Some(Detail::Unstored(why));
                body
            }
        };
        Answer { response: Response::from_parts(head, body), status }
    }

    /// Begins to store this part beside the stored parts with the fields `base`, and returns for how many seconds it will
    /// be fresh. A part that covers everything is stored as a whole response.
    fn fill_part(
        self,
        headers: &HeaderMap,
        declared: Option<u64>,
        times: Times,
        base: Option<&HeaderMap>,
    ) -> Result<(Fill<E>, i64), Unstorable> {
        let carried = Carried::of(headers, declared).map_err(|why| self.refused(why))?;
        let (request, rules) = (self.want.incoming.headers.clone(), self.want.policy.key.clone());
        let for_if_range = request.contains_key(IF_RANGE);
        if for_if_range && !base.is_some_and(|base| same_representation(base, headers)) {
            return Err(self.refused(Unstorable::IfRange));
        }
        if self.would_be_compressed(headers, carried) {
            return Err(self.refused(Unstorable::Compress));
        }
        let visitor = self.want.incoming.told_apart(rules.visitor);
        let part = Part { carried, request, rules, visitor, for_if_range };
        self.fill(StatusCode::OK, headers, times, |begin| {
            let Begin { store, lease, spec, mut entry, limit } = begin;
            if part.carried.is_whole() && !for_if_range {
                entry.headers.remove(CONTENT_RANGE);
                return Fill::begin(store, lease, spec, entry, Some(part.carried.complete), limit);
            }
            Fill::begin_part(store, lease, spec, entry, part, limit)
        })
    }
    /// Returns whether the whole would be compressed to be stored. Then this part is of another representation.
    fn would_be_compressed(&self, headers: &HeaderMap, carried: Carried) -> bool {
        if self.want.policy.compress.is_empty() {
            return false;
        }
        let mut whole = headers.clone();
        whole.insert(CONTENT_LENGTH, carried.complete.into());
        self.compression(StatusCode::OK, &whole).is_some()
    }
}
