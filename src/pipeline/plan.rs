//! How a request is handled, decided before Redis is asked anything.

use super::Incoming;
use crate::app::{App, Shared};
use crate::cache::key::{self, ResourceKey};
use crate::config::{CachePolicy, RoutePolicy, Visitor};
use crate::env::Env;
use crate::field::cache_status::{CacheStatus, Detail, Forward};
use http::Method;
use http::header::{CONTENT_LENGTH, IF_MATCH, IF_UNMODIFIED_SINCE};

/// How a request is handled, as decided before Redis is asked anything.
pub(super) enum Plan<'a, E: Env> {
    /// Pass it to the origin, and the response to the client.
    Pass(CacheStatus),
    /// The same, and store the response where it declares that it may answer a GET.
    Post { shared: &'a Shared<E>, policy: &'a CachePolicy, key: ResourceKey },
    /// Look it up in the cache.
    Cache { shared: &'a Shared<E>, policy: &'a CachePolicy, key: ResourceKey },
}

/// Decides how a request is handled.
pub(super) fn plan<'a, E: Env>(app: &'a App<E>, route: &'a RoutePolicy, incoming: &Incoming) -> Plan<'a, E> {
    let bypass = |why| Plan::Pass(CacheStatus::forward(Forward::Bypass).because(why));
    let is_query = incoming.is_query() && app.config.cache.max_query_content > 0;
    if incoming.method == Method::POST {
        return plan_post(app, route, incoming);
    }
    if incoming.method != Method::GET && incoming.method != Method::HEAD && !is_query {
        return Plan::Pass(CacheStatus::forward(Forward::Method));
    }
    let RoutePolicy::Cache(policy) = route else {
        return bypass(incoming.kept_from_cache(Visitor::Nobody).unwrap_or(Detail::Route));
    };
    if let Some(why) = incoming.kept_from_cache(policy.key.visitor) {
        return bypass(why);
    }
    let Some(shared) = &app.shared else { return bypass(Detail::RedisDisabled) };
    if !policy.rules.methods.contains(&incoming.method) {
        return Plan::Pass(CacheStatus::forward(Forward::Method));
    }
    let named = || policy.rules.bypass.why(&incoming.uri, &incoming.headers);
    if let Some(why) = not_for_a_cache(incoming).or_else(named) {
        return bypass(why);
    }
    match ResourceKey::of(&incoming.uri, &policy.key) {
        Some(key) => Plan::Cache { shared, policy, key: if is_query { key.of_query() } else { key } },
        None => bypass(Detail::NoAuthority),
    }
}

fn plan_post<'a, E: Env>(app: &'a App<E>, route: &'a RoutePolicy, incoming: &Incoming) -> Plan<'a, E> {
    let pass = Plan::Pass(CacheStatus::forward(Forward::Method));
    let (RoutePolicy::Cache(policy), Some(shared)) = (route, &app.shared) else { return pass };
    let named = policy.rules.bypass.why(&incoming.uri, &incoming.headers);
    if incoming.kept_from_cache(Visitor::Nobody).or(named).is_some() {
        return pass;
    }
    // The origin must see the same query that a GET would be looked up by.
    let whole = key::query(&incoming.uri, &policy.key).as_deref() == incoming.uri.query();
    match ResourceKey::of(&incoming.uri, &policy.key) {
        Some(key) if policy.semantics.store_post && whole => Plan::Post { shared, policy, key },
        _ => pass,
    }
}

/// Returns why only the origin can answer the request: it has conditions that are the origin's to evaluate (RFC
/// 9111 §4.3.2), or content, which has no meaning in a GET (RFC 9110 §9.3.1) but may well change what an
/// origin answers.
fn not_for_a_cache(incoming: &Incoming) -> Option<Detail> {
    let has = |name| incoming.headers.contains_key(name);
    if has(IF_MATCH) || has(IF_UNMODIFIED_SINCE) {
        return Some(Detail::Precondition);
    }
    let length = incoming.headers.get(CONTENT_LENGTH).map(http::HeaderValue::as_bytes);
    (!incoming.is_query() && length.is_some_and(|length| length != b"0")).then_some(Detail::RequestContent)
}
