//! What the origin says about a stored response: that it is still valid, or what replaces it (RFC 9111 §4.3.3 to §4.3.5).

use super::absorb::date;
use super::fetch::{Ending, Fetch, Received};
use super::{Answer, answer, pass};
use crate::cache::compress;
use crate::cache::entry::Entry;
use crate::cache::freshness::initial_age;
use crate::cache::lease::FillLease;
use crate::cache::storable::Unstorable;
use crate::env::Env;
use crate::field::cache_status::{CacheStatus, Detail};
use http::header::{AUTHORIZATION, CONTENT_ENCODING};
use http::{HeaderMap, Method};
use std::rc::Rc;
use std::time::Duration;

/// A response that the origin validated, as it is stored again.
pub(super) struct Freshened {
    /// The names of the fields that it varies on.
    pub(super) spec: String,
    /// Its fields, without those that were for one client only.
    pub(super) headers: HeaderMap,
}

impl<E: Env> Fetch<'_, E> {
    /// Another response came in place of the stored one: "none of the stored responses nominated in the conditional
    /// request are suitable" (RFC 9111 §4.3.3). If the new one must not be stored, the old one is dropped all the same, or it
    /// would be used again, stale. `refused` is why the new one is not stored, if that is known already.
    pub(super) fn supersede(&self, received: &mut Received, refused: Option<Unstorable>) {
        let (code, headers) = (received.response.status(), received.response.headers());
        let another = matches!(code.as_u16(), 200 | 300..=303 | 307 | 308 | 404 | 410);
        if !another || self.want.incoming.method == Method::HEAD {
            return;
        }
        match self.unstorable(code, headers, received.times.response_time).or(refused) {
            Some(why) => self.supersede_by(why),
            // That it is too large may only show at its end.
            None => received.supersedes = self.speaks_for_all(),
        }
    }

    /// Like [`Fetch::supersede`], for a response that is not stored because of `why`.
    pub(super) fn supersede_by(&self, why: Unstorable) {
        if !why.is_of_request() && self.speaks_for_all() {
            self.forget();
        }
    }

    /// Returns whether the response stands for all others: a response to credentials does not.
    fn speaks_for_all(&self) -> bool {
        !self.want.incoming.headers.contains_key(AUTHORIZATION)
    }

    /// The origin answered 304: the stored response is valid again, with the fields of the 304 (RFC 9111 §4.3.4).
    pub(super) async fn validated(
        self,
        entry: Entry,
        received: &Received,
        mut status: CacheStatus,
    ) -> Answer {
        // Pieces of its content may have been evicted while the origin was being asked.
        let Ok(Some(mut entry)) = self.want.shared.store.whole(entry, &self.want.key).await else {
            return Box::pin(self.anew(status)).await;
        };
        let read = entry.preamble();
        let freshened = self.freshen(&mut entry, received);
        let now = received.times.response_time;
        // Nothing confirms the stored response, and it must not be used "until it has been successfully validated" (RFC 9111
        // §5.2.2.2).
        if let Err(why @ Unstorable::AnotherValidator) = freshened {
            return Box::pin(self.anew(status.because(Detail::Unstored(why)))).await;
        }
        status.ttl = Some(entry.ttl(now));
        match freshened {
            Ok(freshened) => {
                status.stored = self.refresh(read, entry.clone(), freshened);
                answer(&self.want, entry, status, now)
            }
            Err(why) => {
                if !why.is_of_request() {
                    self.forget();
                }
                self.end(Ending::Unstored(Duration::ZERO));
                answer(&self.want, entry, status.because(Detail::Unstored(why)), now)
            }
        }
    }

    /// A 200 to HEAD validates the stored response, or shows that it is outdated (RFC 9111 §4.3.5).
    pub(super) async fn described(self, entry: Entry, received: Received, status: CacheStatus) -> Answer {
        // Not if its coding is another, as that of a response compressed here is. Only a response "that could have been
        // chosen for that request" is updated or ended by it.
        if received.response.headers().get(CONTENT_ENCODING) != entry.headers.get(CONTENT_ENCODING) {
            return self.absorb(received, status).await;
        }
        if entry.matches_head(received.response.headers()) {
            return self.validated(entry, &received, status).await;
        }
        let Received { response, times, .. } = &received;
        let refused = self.judge(response.status(), response.headers(), times.response_time).err();
        if self.speaks_for_all() && !refused.is_some_and(Unstorable::is_of_request) {
            self.forget();
        }
        self.absorb(received, status).await
    }

    /// Updates a stored response that the origin validated: its fields, and what may be done with it. The fields in `entry`
    /// are then for the client that asked, including what is for it alone, such as cookies.
    pub(super) fn freshen(&self, entry: &mut Entry, received: &Received) -> Result<Freshened, Unstorable> {
        let mut update = received.response.headers().clone();
        date(&mut update, received.times.response_time);
        compress::adapt(&mut update, &entry.headers);
        if !entry.freshen(&update, self.want.key.origin()) {
            return Err(Unstorable::AnotherValidator);
        }
        entry.tags = self.tags(std::mem::take(&mut entry.tags));
        pass::end_to_end(self.want.app, &mut entry.headers);
        let judged = self.judge(entry.status, &entry.headers, received.times.response_time);
        entry.received = received.times.response_time;
        entry.initial_age = initial_age(&entry.headers, received.times);
        let storable = judged?;
        let spec = self.place(&storable, entry.status, &entry.headers)?;
        entry.policy = storable.policy;
        Ok(Freshened { spec, headers: storable.headers })
    }

    /// Makes `entry` what is stored under `lease`, and returns the names of the fields that it varies on.
    pub(super) fn kept(&self, entry: &mut Entry, lease: &FillLease, freshened: Freshened) -> String {
        let Freshened { spec, headers } = freshened;
        entry.selecting = self.want.selecting.values(&spec);
        entry.ledger = lease.ledger().clone();
        entry.headers = headers;
        spec
    }

    /// Writes a validated entry back in place of what was `read`, in the background; `false` without the right to store. A 304
    /// that took long may be older than what has been stored meanwhile.
    pub(super) fn refresh(&self, read: Vec<u8>, mut entry: Entry, freshened: Freshened) -> bool {
        let Some(lease) = self.lease.clone().map(|lease| lease.over(read)) else { return false };
        let spec = self.kept(&mut entry, &lease, freshened);
        let (env, store) = (self.want.app.env.clone(), Rc::clone(&self.want.shared.store));
        self.want.app.env.spawn(async move {
            if let Err(error) = store.refresh(&lease, &spec, &entry, env.now()).await {
                env.log(&format!("not refreshed: {}: {error}", lease.resource.url()));
            }
        });
        true
    }
}
