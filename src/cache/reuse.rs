//! What may be done with a stored response (RFC 9111 §4).

use super::entry::Entry;
use super::freshness::can_be_confirmed;
use crate::field::cache_control::{MaxStale, RequestDirectives};
use crate::field::cache_status::Forward;
use crate::field::conditional::validate_with;
use crate::time::{DeltaSeconds, Timestamp};
use http::HeaderMap;

/// What a lookup found, judged for one request. Each variant owns the only permitted next steps.
#[derive(Debug)]
pub enum Verdict {
    /// It may answer the request as it is.
    Fresh(Fresh),
    /// It may answer the request as it is, and is refreshed in the background (RFC 5861 §3).
    Refresh(Stale),
    /// It must be validated first.
    Stale(Stale),
    /// Nothing is stored.
    Missing,
    /// The client wants a stored response or none (`only-if-cached`, RFC 9111 §5.2.1.7).
    Unsatisfiable,
}

/// A stored response that may answer the request as it is.
#[derive(Debug)]
pub struct Fresh {
    /// The response.
    pub entry: Entry,
}

/// A stored response that must be validated before it is used.
#[derive(Debug)]
pub struct Stale {
    entry: Entry,
    /// Why it cannot be used as it is.
    pub reason: Forward,
    on_error: OnError,
}

#[derive(Clone, Copy, Debug)]
struct OnError {
    disconnected: bool,
    error_status: bool,
    /// Whether the response itself permits it, and not only this request.
    for_all: bool,
}

impl Stale {
    /// Returns the fields of the response.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.entry.headers
    }

    /// Returns the response, to be validated.
    #[must_use]
    pub fn into_entry(self) -> Entry {
        self.entry
    }

    /// Returns the response as an answer to [`Verdict::Refresh`], while it is refreshed.
    #[must_use]
    pub fn while_refreshed(&self) -> Entry {
        self.entry.clone()
    }

    /// Returns the response for use while the origin cannot be reached: "A cache MUST
    /// NOT generate a stale response unless it is disconnected or doing so is explicitly permitted" (RFC
    /// 9111 §4.2.4). `None` when it must not be used even then.
    #[must_use]
    pub fn when_disconnected(self) -> Option<Entry> {
        self.on_error.disconnected.then_some(self.entry)
    }

    /// Returns the seconds of freshness left, for `Cache-Status`. There are none if it was soft-purged or must always be
    /// validated, whatever is left of its lifetime.
    #[must_use]
    pub fn ttl(&self, now: Timestamp) -> i64 {
        match self.reason {
            Forward::Stale => self.entry.ttl(now).min(0),
            _ => self.entry.ttl(now),
        }
    }

    /// Makes `request` ask whether it is still valid; `false` if no answer could confirm it.
    pub fn make_conditional(&self, request: &mut HeaderMap) -> bool {
        can_be_confirmed(self.entry.status) && validate_with(request, &self.entry.headers)
    }

    /// Returns whether the response to another request may answer this one too. It may not if it is "not to be used to
    /// satisfy any other request without forwarding it for validation" (RFC 9111 §5.2.2.4).
    #[must_use]
    pub const fn can_be_shared(&self) -> bool {
        !self.entry.policy.always_validate
    }

    /// Returns whether it may be used in place of a 500, 502, 503 or 504 of the origin (RFC 5861 §4).
    #[must_use]
    pub const fn covers_error(&self) -> bool {
        self.on_error.error_status
    }

    /// Returns whether every request may be answered with it in that case, and not only one that accepts a stale response.
    #[must_use]
    pub const fn covers_error_for_all(&self) -> bool {
        self.on_error.for_all
    }
}

/// What a request demands of a stored response.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a> {
    /// Its directives.
    pub directives: &'a RequestDirectives,
    /// When it arrived, if it has waited for others since: what was received after that is as recent as it can demand.
    pub waited: Option<Timestamp>,
    /// The current time.
    pub now: Timestamp,
}

/// Judges what is stored. `soft_purged` makes it stale whatever its freshness.
#[must_use]
pub fn evaluate(demand: Demand<'_>, entry: Option<Entry>, soft_purged: bool) -> Verdict {
    let Demand { directives, now, .. } = demand;
    match entry {
        None if directives.only_if_cached => Verdict::Unsatisfiable,
        None => Verdict::Missing,
        Some(entry) => match why_not(demand, &entry, soft_purged) {
            None => Verdict::Fresh(Fresh { entry }),
            Some(reason) => {
                let on_error = on_error(directives, &entry, soft_purged, now);
                let refresh = reason == Forward::Stale && may_be_refreshed_later(directives, &entry, now);
                let stale = Stale { entry, reason, on_error };
                match (refresh, directives.only_if_cached) {
                    (true, _) => Verdict::Refresh(stale),
                    (false, true) => Verdict::Unsatisfiable,
                    (false, false) => Verdict::Stale(stale),
                }
            }
        },
    }
}

/// Returns whether a response may answer a request as it is, as far as time is concerned; see [`evaluate`].
#[must_use]
pub fn answers(demand: Demand<'_>, entry: &Entry) -> bool {
    why_not(demand, entry, false).is_none()
}

fn why_not(demand: Demand<'_>, entry: &Entry, soft_purged: bool) -> Option<Forward> {
    let Demand { directives: request, waited, now } = demand;
    let (age, ttl) = (entry.age(now), entry.ttl(now));
    // §5.2.2.4: no-cache "MUST NOT be used to satisfy any other request without forwarding it for validation".
    if entry.policy.always_validate || soft_purged {
        return Some(Forward::Stale);
    }
    // §4: "the stored response is one of the following: fresh; allowed to be served stale; or
    // successfully validated".
    if ttl <= 0 && !accepts_stale(request, entry, ttl) {
        return Some(Forward::Stale);
    }
    if waited.is_some_and(|came| entry.received > came) {
        return None;
    }
    // §5.2.1: what the client demands beyond that. An immutable response would be no different if it were newer (RFC 8246 §2).
    let immutable = entry.policy.immutable && ttl > 0;
    let too_old = !immutable && request.max_age.valid().is_some_and(|max| age > max.as_secs());
    let too_short = request.min_fresh.valid().is_some_and(|min| ttl < i64::from(min));
    (request.no_cache || too_old || too_short).then_some(Forward::Request)
}

/// RFC 5861 §3: "caches MAY serve the response in which it appears after it becomes stale, up to the indicated
/// number of seconds". Not if the response forbids it or the client objects: with `max-age` alone it "does not
/// wish to receive a stale response" (RFC 9111 §5.2.1.1), and with a limit to `max-stale` none that is staler.
fn may_be_refreshed_later(request: &RequestDirectives, entry: &Entry, now: Timestamp) -> bool {
    let staleness = entry.ttl(now).saturating_neg().max(0);
    staleness < i64::from(entry.policy.stale_while_revalidate)
        && !entry.policy.forbids_stale
        && !entry.policy.always_validate
        && !request.no_cache
        && request.max_age.valid().is_none()
        && !request.min_fresh.is_present()
        && !matches!(request.max_stale, MaxStale::Within(_))
}

/// `max-stale` (§5.2.1.2), unless the response forbids it (§4.2.4).
fn accepts_stale(request: &RequestDirectives, entry: &Entry, ttl: i64) -> bool {
    !entry.policy.forbids_stale
        && match request.max_stale {
            MaxStale::No => false,
            MaxStale::Any => true,
            MaxStale::Within(limit) => ttl.saturating_neg() <= i64::from(limit),
        }
}

fn on_error(request: &RequestDirectives, entry: &Entry, soft_purged: bool, now: Timestamp) -> OnError {
    let staleness = entry.ttl(now).saturating_neg();
    // After a soft purge it counts as stale from now on at the latest, however long it would have been fresh.
    let staleness = if soft_purged { staleness.max(0) } else { staleness };
    let allowed = !entry.policy.forbids_stale;
    let within = |window: DeltaSeconds| allowed && staleness < i64::from(window);
    let for_all = within(entry.policy.stale_if_error);
    let error_status = for_all || request.stale_if_error.valid().is_some_and(within);
    OnError { disconnected: allowed, error_status, for_all }
}

impl From<DeltaSeconds> for i64 {
    fn from(seconds: DeltaSeconds) -> Self {
        Self::try_from(seconds.as_secs()).unwrap_or(Self::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::entry::{Content, LedgerMark, Policy};
    use http::{HeaderValue, StatusCode};
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn entry(lifetime: u64, change: impl FnOnce(&mut Policy)) -> Entry {
        let mut policy = Policy {
            lifetime: DeltaSeconds::from_secs(lifetime),
            always_validate: false,
            forbids_stale: false,
            immutable: false,
            stale_if_error: DeltaSeconds::ZERO,
            stale_while_revalidate: DeltaSeconds::ZERO,
        };
        change(&mut policy);
        Entry {
            key: String::new(),
            selecting: String::new(),
            received: NOW,
            initial_age: 0,
            policy,
            ledger: LedgerMark::default(),
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            tags: vec![],
            content: Content::Inline(bytes::Bytes::new()),
        }
    }

    fn request(cache_control: &'static str) -> RequestDirectives {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static(cache_control));
        RequestDirectives::of(&headers)
    }

    const fn demand(directives: &RequestDirectives, now: Timestamp) -> Demand<'_> {
        Demand { directives, waited: None, now }
    }

    fn verdict(cache_control: &'static str, entry: Entry, after: u64) -> &'static str {
        let now = NOW.plus(Duration::from_secs(after));
        match evaluate(demand(&request(cache_control), now), Some(entry), false) {
            Verdict::Fresh(_) => "fresh",
            Verdict::Refresh(_) => "refresh",
            Verdict::Stale(stale) if stale.reason == Forward::Request => "request",
            Verdict::Stale(_) => "stale",
            Verdict::Missing => "missing",
            Verdict::Unsatisfiable => "unsatisfiable",
        }
    }

    #[test]
    fn fresh_until_the_lifetime_is_over() {
        assert_eq!(verdict("x", entry(10, |_| {}), 9), "fresh");
        assert_eq!(verdict("x", entry(10, |_| {}), 10), "stale");
    }

    #[test]
    fn no_cache_responses_are_always_validated() {
        assert_eq!(verdict("max-stale", entry(10, |p| p.always_validate = true), 0), "stale");
    }

    #[test]
    fn the_client_may_want_more() {
        assert_eq!(verdict("no-cache", entry(10, |_| {}), 0), "request");
        assert_eq!(verdict("max-age=1", entry(10, |_| {}), 2), "request");
        assert_eq!(verdict("max-age=2", entry(10, |_| {}), 2), "fresh");
        assert_eq!(verdict("min-fresh=9", entry(10, |_| {}), 2), "request");
        assert_eq!(verdict("min-fresh=8", entry(10, |_| {}), 2), "fresh");
    }

    #[test]
    fn what_is_immutable_is_not_validated_because_a_client_reloads() {
        let immutable = || entry(10, |p| p.immutable = true);
        assert_eq!(verdict("max-age=0", immutable(), 5), "fresh");
        assert_eq!(verdict("no-cache", immutable(), 5), "request");
        assert_eq!(verdict("max-age=0", immutable(), 10), "stale");
    }

    #[test]
    fn the_client_may_want_less_unless_the_response_forbids_it() {
        assert_eq!(verdict("max-stale", entry(10, |_| {}), 99), "fresh");
        assert_eq!(verdict("max-stale=5", entry(10, |_| {}), 15), "fresh");
        assert_eq!(verdict("max-stale=5", entry(10, |_| {}), 16), "stale");
        assert_eq!(verdict("max-stale", entry(10, |p| p.forbids_stale = true), 99), "stale");
    }

    #[test]
    fn only_if_cached_never_goes_forward() {
        assert_eq!(verdict("only-if-cached", entry(10, |_| {}), 1), "fresh");
        assert_eq!(verdict("only-if-cached", entry(10, |_| {}), 11), "unsatisfiable");
        assert!(matches!(
            evaluate(demand(&request("only-if-cached"), NOW), None, false),
            Verdict::Unsatisfiable
        ));
    }

    #[test]
    fn within_its_window_a_stale_response_is_refreshed_behind_the_answer() {
        let window = |p: &mut Policy| p.stale_while_revalidate = DeltaSeconds::from_secs(5);
        assert_eq!(verdict("x", entry(10, window), 9), "fresh");
        assert_eq!(verdict("x", entry(10, window), 14), "refresh");
        assert_eq!(verdict("x", entry(10, window), 15), "stale");
        assert_eq!(verdict("only-if-cached", entry(10, window), 14), "refresh");
        for insists in ["no-cache", "max-age=5", "max-age=60", "min-fresh=1", "max-stale=3"] {
            assert_eq!(verdict(insists, entry(10, window), 14), "stale", "{insists}");
        }
        let forbids: fn(&mut Policy) = |p| p.forbids_stale = true;
        assert_eq!(verdict("x", entry(10, |p| (window(p), forbids(p)).1), 14), "stale");
    }

    #[test]
    fn what_came_while_waiting_is_as_new_as_can_be_asked_for() {
        let judged = |cache_control, change: fn(&mut Policy), came| {
            let directives = request(cache_control);
            let demand = Demand { directives: &directives, waited: Some(came), now: NOW };
            let verdict = evaluate(demand, Some(entry(10, change)), false);
            matches!(verdict, Verdict::Fresh(_))
        };
        let before = Timestamp::from_millis(NOW.as_millis() - 1);
        assert!(judged("no-cache", |_| {}, before));
        assert!(!judged("no-cache", |_| {}, NOW));
        assert!(!judged("x", |p| p.always_validate = true, before));
        assert!(!judged("x", |p| p.lifetime = DeltaSeconds::ZERO, before));
    }

    #[test]
    fn a_soft_purge_makes_it_stale_but_still_usable_on_error() {
        let entry = entry(10, |p| p.stale_if_error = DeltaSeconds::from_secs(60));
        let Verdict::Stale(stale) = evaluate(demand(&request("x"), NOW), Some(entry), true) else {
            panic!("fresh")
        };
        assert!(stale.covers_error());
    }

    #[test]
    fn stale_on_error_ends_with_its_window_and_never_beats_must_revalidate() {
        let covers = |change: fn(&mut Policy), after| match evaluate(
            demand(&request("x"), NOW.plus(Duration::from_secs(after))),
            Some(entry(10, change)),
            false,
        ) {
            Verdict::Stale(stale) => (stale.covers_error(), stale.when_disconnected().is_some()),
            _ => panic!("not stale"),
        };
        assert_eq!(covers(|p| p.stale_if_error = DeltaSeconds::from_secs(5), 14), (true, true));
        assert_eq!(covers(|p| p.stale_if_error = DeltaSeconds::from_secs(5), 15), (false, true));
        assert_eq!(
            covers(|p| (p.stale_if_error, p.forbids_stale) = (DeltaSeconds::MAX, true), 11),
            (false, false)
        );
    }
}
