//! What several of the tests need.

use spindrift_e2e::{Gateway, Headers, Origin, Redis, Reply, Request, Response, Setup};

/// The two ways an instance lives that matter: for one request, and for many at once.
pub(crate) const EACH_REUSE: [(usize, usize); 2] = [(1, 1), (128, 16)];

/// The names of fields that begin so.
pub(crate) fn beginning_with<'a>(headers: &'a Headers, beginning: &str) -> Vec<&'a str> {
    headers.names().into_iter().filter(|name| name.to_ascii_lowercase().starts_with(beginning)).collect()
}

/// Method and target of every request, as `GET /a`.
pub(crate) fn names(origin: &Origin) -> Vec<String> {
    origin.requests().iter().map(|it| format!("{} {}", it.method, it.target)).collect()
}

/// Sends a request whose response is to be stored, and waits until it is the only one.
#[track_caller]
pub(crate) fn stored(gateway: &Gateway, redis: &Redis, request: &Request) -> Response {
    stored_as(gateway, redis, request, 1)
}

/// The same, as one of so many.
#[track_caller]
pub(crate) fn stored_as(gateway: &Gateway, redis: &Redis, request: &Request, count: usize) -> Response {
    let response = gateway.send(request);
    assert!(response.cache_status().is_stored(), "{response:?}");
    redis.await_entries(count);
    response
}

/// Sends a request that must be a hit.
#[track_caller]
pub(crate) fn hit(gateway: &Gateway, request: &Request) -> Response {
    let response = gateway.send(request);
    assert!(response.cache_status().is_hit(), "{response:?}");
    response
}

/// Sends a request that must go to the origin.
#[track_caller]
pub(crate) fn miss(gateway: &Gateway, request: &Request) -> Response {
    let response = gateway.send(request);
    assert!(!response.cache_status().is_hit(), "{response:?}");
    response
}

/// Pages with tags: `/tagged/a,b` has the tags a and b, by one of the two fields.
pub(crate) fn tagged() -> Origin {
    Origin::start(|exchange| {
        let target = exchange.request.target.clone();
        let reply = Reply::fresh(target.clone()).header("etag", "\"1\"");
        exchange.reply(&match target.split_once("/tagged/").map(|(_, tags)| tags) {
            Some(tags) => reply.header("cache-tag", tags),
            None => match target.split_once("/keyed/").map(|(_, tags)| tags) {
                Some(tags) => reply.header("surrogate-key", &tags.replace(',', " ")),
                None => reply,
            },
        });
    })
}

/// A gateway with one stored response for each of these paths of `site.example`.
pub(crate) fn filled(setup: Setup, redis: &Redis, targets: &[&str]) -> Gateway {
    let gateway = setup.redis(redis).managed().start();
    for (number, target) in targets.iter().enumerate() {
        stored_as(&gateway, redis, &at(target), number + 1);
    }
    gateway
}

/// A GET of `site.example`.
pub(crate) fn at(target: &str) -> Request {
    Request::get(target).host("site.example")
}
