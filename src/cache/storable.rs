//! Whether a response may be stored, and how it may be used (RFC 9111 §3).

mod unstorable;

pub use unstorable::Unstorable;

use super::entry::Policy;
use super::freshness::{Heuristic, Lifetime, can_be_confirmed, is_heuristically_cacheable, lifetime};
use super::invalidate::is_content_of;
use super::tags;
use crate::config::{CacheConfig, CachePolicy, SetCookiePolicy};
use crate::field::cache_control::{RequestDirectives, ResponseDirectives, Scope};
use crate::field::targeted::Governing;
use crate::field::vary::Vary;
use crate::field::{hop, rate_limit};
use crate::time::{DeltaSeconds, Timestamp};
use http::header::{AUTHORIZATION, CONTENT_ENCODING, ETAG, EXPIRES, LAST_MODIFIED, SET_COOKIE};
use http::{HeaderMap, HeaderName, Method, StatusCode, Uri};
use std::time::Duration;

/// One exchange with the origin, as far as the decision depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// The request's fields.
    pub request: &'a HeaderMap,
    /// The response's status code.
    pub status: StatusCode,
    /// The response's fields.
    pub response: &'a HeaderMap,
    /// When the response was received.
    pub received: Timestamp,
}

/// A response that may be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storable {
    /// What may be done with it.
    pub policy: Policy,
    /// The fields to store.
    pub headers: HeaderMap,
    /// The request fields it varies on.
    pub vary: Vec<HeaderName>,
}

/// Decides whether a response may be stored. Each clause follows the sentence of RFC 9111 §3 that it implements.
///
/// # Errors
/// The first reason not to store it.
pub fn judge(
    exchange: &Exchange<'_>,
    route: &CachePolicy,
    cache: &CacheConfig,
) -> Result<Storable, Unstorable> {
    let mut governing = Governing::of(exchange.response, &cache.targets);
    if exchange.response.contains_key(CONTENT_ENCODING) {
        without_coding_nothing(&mut governing.directives);
    }
    let directives = &governing.directives;
    permitted(exchange, directives)?;
    private_enough(exchange, directives, route)?;
    if !route.rules.takes(exchange.response) {
        return Err(Unstorable::ContentType);
    }
    let lifetime = route_lifetime(exchange, &governing, route, cache);
    reusable(exchange, &governing, lifetime, route)?;
    let Vary::Fields(vary) = Vary::of(exchange.response) else { return Err(Unstorable::Vary) };
    Ok(Storable {
        policy: Policy {
            lifetime: lifetime.seconds(),
            always_validate: directives.no_cache == Scope::All,
            forbids_stale: directives.forbids_stale(),
            immutable: directives.immutable,
            stale_if_error: stale_if_error(directives, route),
            stale_while_revalidate: stale_while_revalidate(directives, route),
        },
        headers: stored_fields(exchange.response, directives, route, cache.strip_tags),
        vary,
    })
}

/// Encoded content is unusable without `Content-Encoding`: where `no-cache` or `private` names that field, it is
/// taken to mean the whole response, as many caches do whatever is named (RFC 9111 §5.2.2.4, §5.2.2.7).
fn without_coding_nothing(directives: &mut ResponseDirectives) {
    for scope in [&mut directives.no_cache, &mut directives.private] {
        if scope.fields().contains(&CONTENT_ENCODING) {
            *scope = Scope::All;
        }
    }
}

/// Returns whether the response to a POST of `target` may answer a later GET: "when they include explicit freshness information
/// ... and a Content-Location header field that has the same value as the POST's target URI" (RFC 9110 §9.3.3). Only a 200
/// is the representation of the target with which a GET would be answered.
#[must_use]
pub fn post_answers_get(target: &Uri, status: StatusCode, response: &HeaderMap, cache: &CacheConfig) -> bool {
    let governing = Governing::of(response, &cache.targets);
    let explicit = governing.directives.max_age.valid().is_some()
        || governing.directives.s_maxage.valid().is_some()
        || response.contains_key(EXPIRES) && !governing.targeted;
    status == StatusCode::OK && explicit && is_content_of(target, response)
}

fn permitted(exchange: &Exchange<'_>, directives: &ResponseDirectives) -> Result<(), Unstorable> {
    // "the request method is understood by the cache": what is stored answers GET (and HEAD) only. A QUERY counts as a
    // GET of a resource of its own.
    if *exchange.method != Method::GET {
        return Err(Unstorable::Method);
    }
    // "the response status code is final", and "if the response status code is 206 or 304, or the
    // must-understand cache directive is present: the cache understands the response status code". A 206 is
    // stored as a part of a 200 (see `cache::partial`), and judged as one.
    let status = exchange.status.as_u16();
    if status < 200 || status == 206 || status == 304 || is_of_one_request(status) {
        return Err(Unstorable::Status);
    }
    if directives.must_understand && !is_understood(exchange.status) {
        return Err(Unstorable::Status);
    }
    // "the no-store cache directive is not present in the response". With must-understand, a cache that
    // knows the status code "SHOULD ignore the no-store directive" (§5.2.2.3).
    if directives.no_store && !directives.must_understand {
        return Err(Unstorable::NoStore);
    }
    // §5.2.1.5: no-store in a request forbids to store "any part of either this request or any response to it".
    if RequestDirectives::of(exchange.request).no_store {
        return Err(Unstorable::RequestNoStore);
    }
    Ok(())
}

/// Statuses about one particular request. Four of them "MUST NOT be stored by a cache" (RFC 6585 §3 to §6), and
/// one means that the same request may succeed later (RFC 8470 §5.2). A stored challenge (RFC 9110 §15.5.2, §15.5.8)
/// would answer clients that have credentials.
const fn is_of_one_request(status: u16) -> bool {
    matches!(status, 401 | 407 | 425 | 428 | 429 | 431 | 511)
}

/// Status codes whose caching rules are known: the registered final ones of RFC 9110 §15.
const fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200..=206 | 300..=305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 500..=505
    )
}

fn private_enough(
    exchange: &Exchange<'_>,
    directives: &ResponseDirectives,
    route: &CachePolicy,
) -> Result<(), Unstorable> {
    // "if the cache is shared: the private response directive is either not present or allows a shared
    // cache to store a modified response".
    if directives.private == Scope::All {
        return Err(Unstorable::Private);
    }
    // "if the cache is shared: the Authorization header field is not present in the request or a response
    // directive is present that explicitly allows shared caching" (§3.5).
    // An invalid number allows nothing.
    let shared = directives.public || directives.must_revalidate || directives.s_maxage.valid().is_some();
    if exchange.request.contains_key(AUTHORIZATION) && !shared {
        return Err(Unstorable::Authorization);
    }
    // Stricter than the RFC: "responses that set cookies" are cacheable (§7.3), but sharing one hands a visitor's
    // session to everybody.
    let named = directives.private.fields().contains(&SET_COOKIE);
    let refuse = matches!(route.set_cookie, SetCookiePolicy::Refuse);
    if exchange.response.contains_key(SET_COOKIE) && refuse && !named {
        return Err(Unstorable::SetCookie);
    }
    Ok(())
}

/// The route's settings for freshness precede the origin's; `no-cache` and `no-store` of the origin still apply.
fn route_lifetime(
    exchange: &Exchange<'_>,
    governing: &Governing,
    route: &CachePolicy,
    cache: &CacheConfig,
) -> Lifetime {
    let fixed = |ttl: Duration| Lifetime::Explicit(DeltaSeconds::from_secs(ttl.as_secs()));
    if let Some(ttl) = route.ttl(exchange.status) {
        return fixed(ttl);
    }
    let heuristic = Heuristic { fraction: cache.heuristic_fraction, max: cache.heuristic_max };
    let said = lifetime(exchange.status, exchange.response, governing, heuristic, exchange.received);
    match (said, route.default_ttl(exchange.status)) {
        (Lifetime::Unknown | Lifetime::Heuristic(_), Some(ttl)) => fixed(ttl),
        _ => said,
    }
}

fn reusable(
    exchange: &Exchange<'_>,
    governing: &Governing,
    lifetime: Lifetime,
    route: &CachePolicy,
) -> Result<(), Unstorable> {
    let directives = &governing.directives;
    // "the response contains at least one of: a public response directive; ... an Expires header field; a
    // max-age response directive; if the cache is shared, an s-maxage response directive; ... or a status
    // code that is defined as heuristically cacheable".
    let explicit = directives.public
        || exchange.response.contains_key(EXPIRES) && !governing.targeted
        || directives.max_age.is_present()
        || directives.s_maxage.is_present()
        || matches!(lifetime, Lifetime::Explicit(_))
        || is_heuristically_cacheable(exchange.status);
    // A response that is stale at once and cannot be validated would never be used.
    let has_validator = exchange.response.contains_key(ETAG) || exchange.response.contains_key(LAST_MODIFIED);
    let validator = has_validator && can_be_confirmed(exchange.status);
    let useful = lifetime.seconds() > DeltaSeconds::ZERO
        || validator
        || stale_if_error(directives, route).max(stale_while_revalidate(directives, route))
            > DeltaSeconds::ZERO
            && !directives.forbids_stale();
    if explicit && useful { Ok(()) } else { Err(Unstorable::NoFreshness) }
}

fn stale_if_error(directives: &ResponseDirectives, route: &CachePolicy) -> DeltaSeconds {
    let configured = route.stale_if_error.map(|window| DeltaSeconds::from_secs(window.as_secs()));
    directives.stale_if_error.valid().or(configured).unwrap_or_default()
}

fn stale_while_revalidate(directives: &ResponseDirectives, route: &CachePolicy) -> DeltaSeconds {
    let configured = route.stale_while_revalidate.map(|window| DeltaSeconds::from_secs(window.as_secs()));
    directives.stale_while_revalidate.valid().or(configured).unwrap_or_default()
}

/// RFC 9111 §3.1: "Caches MUST include all received response header fields ... when storing a response",
/// except those of the connection, and those that `no-cache` and `private` name. The origin's rate limit fields are about
/// one request, and are left out, too.
fn stored_fields(
    response: &HeaderMap,
    directives: &ResponseDirectives,
    route: &CachePolicy,
    strip_tags: bool,
) -> HeaderMap {
    let mut headers = response.clone();
    hop::strip(&mut headers);
    rate_limit::strip(&mut headers);
    for name in directives.private.fields().iter().chain(directives.no_cache.fields()) {
        headers.remove(name);
    }
    if matches!(route.set_cookie, SetCookiePolicy::Strip) {
        headers.remove(SET_COOKIE);
    }
    if strip_tags {
        tags::strip(&mut headers);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::lines::map;
    use http::HeaderValue;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn policy(keys: &str) -> CachePolicy {
        let config = crate::config::Config::parse(&format!("[cache]\n{keys}"), "test").unwrap();
        match &config.route("h", "/").policy {
            crate::config::RoutePolicy::Cache(policy) => CachePolicy::clone(policy),
            crate::config::RoutePolicy::Bypass => panic!("bypass"),
        }
    }

    type Lines<'a> = &'a [(&'static str, &'static str)];

    fn judged(
        request: Lines<'_>,
        status: u16,
        response: Lines<'_>,
        route: &CachePolicy,
    ) -> Result<Storable, Unstorable> {
        let (request, response) = (map(request), map(response));
        let status = StatusCode::from_u16(status).unwrap();
        let exchange =
            Exchange { method: &Method::GET, request: &request, status, response: &response, received: NOW };
        judge(&exchange, route, &CacheConfig::default())
    }

    fn get(status: u16, response: Lines<'_>) -> Result<Storable, Unstorable> {
        judged(&[], status, response, &policy(""))
    }

    #[test]
    fn directives_that_forbid_storing() {
        let with = |cc| get(200, &[("cache-control", cc)]).map(|_| ());
        assert_eq!(with("max-age=60"), Ok(()));
        assert_eq!(with("max-age=60, no-store"), Err(Unstorable::NoStore));
        assert_eq!(with("max-age=60, private"), Err(Unstorable::Private));
        assert_eq!(with("max-age=60, PRIVATE=\"not a field\""), Err(Unstorable::Private));
        assert_eq!(
            judged(&[("cache-control", "no-store")], 200, &[("cache-control", "max-age=60")], &policy(""))
                .map(|_| ()),
            Err(Unstorable::RequestNoStore)
        );
        assert_eq!(with(""), Err(Unstorable::NoFreshness));
    }

    #[test]
    fn must_understand_lifts_no_store_for_known_status_codes_only() {
        let lines = [("cache-control", "max-age=60, no-store, must-understand")];
        assert!(get(200, &lines).is_ok());
        assert_eq!(get(599, &lines).map(|_| ()), Err(Unstorable::Status));
    }

    #[test]
    fn authorised_responses_need_permission() {
        let with = |cc: &'static str| {
            judged(&[("authorization", "Basic x")], 200, &[("cache-control", cc)], &policy("")).map(|_| ())
        };
        assert_eq!(with("max-age=60"), Err(Unstorable::Authorization));
        for permission in ["max-age=60, public", "s-maxage=60", "max-age=60, must-revalidate"] {
            assert_eq!(with(permission), Ok(()), "{permission}");
        }
        assert_eq!(with("s-maxage=60, private"), Err(Unstorable::Private));
    }

    #[test]
    fn cookies_are_not_shared_by_default() {
        let lines = [("cache-control", "max-age=60"), ("set-cookie", "sid=1")];
        assert_eq!(get(200, &lines).map(|_| ()), Err(Unstorable::SetCookie));
        let strip = policy("set_cookie = \"strip\"");
        assert!(!judged(&[], 200, &lines, &strip).unwrap().headers.contains_key(SET_COOKIE));
        let store = policy("set_cookie = \"store\"");
        assert!(judged(&[], 200, &lines, &store).unwrap().headers.contains_key(SET_COOKIE));
        let named =
            get(200, &[("cache-control", "max-age=60, private=\"set-cookie\""), ("set-cookie", "sid=1")]);
        assert!(!named.unwrap().headers.contains_key(SET_COOKIE));
    }

    #[test]
    fn partial_and_unfinished_responses_are_not_stored() {
        for status in [206, 304, 101] {
            assert_eq!(get(status, &[("cache-control", "max-age=60")]).map(|_| ()), Err(Unstorable::Status));
        }
    }

    #[test]
    fn any_status_with_explicit_freshness_is_stored() {
        for status in [200, 201, 302, 404, 500, 503, 599] {
            assert!(get(status, &[("cache-control", "max-age=60")]).is_ok(), "{status}");
        }
        assert_eq!(get(500, &[("etag", "\"a\"")]).map(|_| ()), Err(Unstorable::NoFreshness));
        assert!(get(200, &[("etag", "\"a\"")]).is_ok());
    }

    #[test]
    fn the_routes_ttl_comes_first_but_never_over_no_store() {
        let route = policy("ttl = \"5s\"");
        let with = |cc: &'static str| judged(&[], 200, &[("cache-control", cc)], &route);
        assert_eq!(with("max-age=60").unwrap().policy.lifetime.as_secs(), 5);
        assert_eq!(with("no-store").map(|_| ()), Err(Unstorable::NoStore));
        assert!(with("no-cache").unwrap().policy.always_validate);
        let default = policy("default_ttl = \"7s\"");
        assert_eq!(judged(&[], 200, &[], &default).unwrap().policy.lifetime.as_secs(), 7);
        assert_eq!(
            judged(&[], 200, &[("cache-control", "max-age=60")], &default).unwrap().policy.lifetime.as_secs(),
            60
        );
    }

    #[test]
    fn a_targeted_field_decides_alone() {
        let with = |target, cc| get(200, &[("cdn-cache-control", target), ("cache-control", cc)]);
        assert_eq!(with("max-age=60", "no-store").unwrap().policy.lifetime.as_secs(), 60);
        assert_eq!(with("no-store", "max-age=60").map(|_| ()), Err(Unstorable::NoStore));
        assert_eq!(with("private", "max-age=60").map(|_| ()), Err(Unstorable::Private));
        assert_eq!(with("max-age=60, no-cache", "").unwrap().policy.lifetime.as_secs(), 60);
        assert_eq!(with("max-age=\"60\"", "no-store").map(|_| ()), Err(Unstorable::NoStore), "ignored");
        let stored = with("max-age=60, stale-while-revalidate=5, immutable", "").unwrap();
        assert_eq!((stored.policy.stale_while_revalidate.as_secs(), stored.policy.immutable), (5, true));
        assert!(stored.headers.contains_key("cdn-cache-control"), "passed on to caches behind us");
    }

    #[test]
    fn a_post_answers_get_where_it_says_so_and_for_how_long() {
        let target = Uri::from_static("http://h/a?b");
        let answers = |status, lines: Lines<'_>| {
            let status = StatusCode::from_u16(status).unwrap();
            post_answers_get(&target, status, &map(lines), &CacheConfig::default())
        };
        let (itself, fresh) = (("content-location", "/a?b"), ("cache-control", "max-age=60"));
        assert!(answers(200, &[itself, fresh]) && answers(200, &[itself, ("expires", "0")]));
        assert!(answers(200, &[("content-location", "http://h/a?b"), ("cdn-cache-control", "max-age=60")]));
        assert!(!answers(201, &[itself, fresh]) && !answers(200, &[fresh]) && !answers(200, &[itself]));
        for other in ["/a", "/a?c", "http://other/a?b", "https://h/a?b"] {
            assert!(!answers(200, &[("content-location", other), fresh]), "{other}");
        }
    }

    proptest::proptest! {
        /// Whatever else the fields say, these are never stored for others.
        #[test]
        fn what_must_not_be_shared_is_not(more in "[a-z-]{1,12}(=(\"[a-z0-9, ]{0,9}\"|[a-z0-9]{0,9}))?(, [a-z-]{1,12}(=[0-9]{1,9})?){0,3}", at in 0usize..5, first: bool) {
            proptest::prop_assume!(!more.contains("must-understand"));
            let forbidden = ["no-store", "private", "NO-STORE=x", "Private=\"", "private=\"\""][at];
            let value = if first { format!("{forbidden}, {more}, max-age=60") } else { format!("{more}, max-age=60, {forbidden}") };
            let response = [(http::header::CACHE_CONTROL, HeaderValue::from_str(&value)?)].into_iter().collect();
            let (method, request, status) = (&Method::GET, &HeaderMap::new(), StatusCode::OK);
            let exchange = Exchange { method, request, status, response: &response, received: NOW };
            let judged = judge(&exchange, &policy(""), &CacheConfig::default());
            proptest::prop_assert!(matches!(judged, Err(Unstorable::NoStore | Unstorable::Private)), "{} {:?}", value, judged);
        }

        #[test]
        fn no_fields_panic(lines in proptest::collection::vec((0usize..7, proptest::collection::vec(proptest::prelude::any::<u8>(), 0..24)), 0..8), status in 100u16..600) {
            let names = ["cache-control", "cdn-cache-control", "vary", "set-cookie", "etag", "cache-groups", "no-vary-search"];
            let mut response = HeaderMap::new();
            for (at, bytes) in lines {
                if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                    response.append(names[at], value);
                }
            }
            let (method, request, status) = (&Method::GET, &HeaderMap::new(), StatusCode::from_u16(status)?);
            let exchange = Exchange { method, request, status, response: &response, received: NOW };
            let _ = judge(&exchange, &policy("set_cookie = \"strip\""), &CacheConfig::default());
        }
    }

    #[test]
    fn hop_by_hop_fields_are_not_stored() {
        let stored = get(
            200,
            &[
                ("cache-control", "max-age=60"),
                ("connection", "x-a"),
                ("x-a", "1"),
                ("te", "x"),
                ("x-b", "2"),
            ],
        );
        let names: Vec<_> = stored.unwrap().headers.keys().map(|name| name.as_str().to_owned()).collect();
        assert_eq!(names, ["cache-control", "x-b"]);
    }
}
