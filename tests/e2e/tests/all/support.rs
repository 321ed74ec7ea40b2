//! Helpers that several of the tests need.

use spindrift_e2e::{
    FaultyRedis, Gate, Gateway, Headers, Origin, Redis, Reply, Request, Response, Setup, eventually_some,
};

/// The two relevant ways to use an instance: for one request, and for many at the same time.
pub(crate) const EACH_REUSE: [(usize, usize); 2] = [(1, 1), (128, 16)];

/// The names of fields with this prefix.
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

/// The same, when this many responses are stored in total.
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

/// Sends a request that must be forwarded to the origin.
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

/// A gateway with the management API, for tests that do not use its origin.
pub(crate) fn managed(redis: &Redis, (requests, at_once): (usize, usize)) -> Gateway {
    let setup = Gateway::before(&Origin::always(Reply::ok("x"))).redis(redis);
    setup.managed().reuse(requests, at_once).start()
}

/// The same with a single instance, which gives up on Redis after a second.
pub(crate) fn managed_behind(proxy: &FaultyRedis) -> Gateway {
    let setup = Gateway::before(&Origin::always(Reply::ok("x"))).faulty(proxy);
    setup.config("[redis]\ntimeout = \"1s\"").managed().one_instance().start()
}

/// Returns the problem for `request`, to which Redis did not reply; Redis stays silent. `before` opens a connection.
pub(crate) fn unanswered(
    gateway: &Gateway,
    proxy: &FaultyRedis,
    before: &Request,
    request: &Request,
) -> serde_json::Value {
    eventually_some("a request on a connection that falls silent", || {
        (gateway.send(before).status == 200).then_some(())?;
        proxy.silence();
        let problem = gateway.send(request).problem(503);
        assert_eq!(problem["reason"], "redis-timeout");
        if problem["outcome"] == "unknown" {
            return Some(problem);
        }
        // Another instance got the request, and had no connection yet.
        assert_eq!(problem["outcome"], "not_done");
        proxy.speak();
        None
    })
}

/// Content is streamed to the client while it is still being sent: with both kinds of reuse, without the cache and
/// through it.
pub(crate) fn streams_to_the_client(before: impl Fn(&Origin) -> Setup) {
    let redis = Redis::start();
    for (reuse, cache) in EACH_REUSE.into_iter().flat_map(|reuse| [(reuse, false), (reuse, true)]) {
        let gate = Gate::new();
        let held = gate.clone();
        let origin = Origin::start(move |exchange| {
            exchange.send(b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\n");
            exchange.send(b"transfer-encoding: chunked\r\n\r\n");
            exchange.send(b"5\r\nfirst\r\n");
            held.pass();
            exchange.send(b"6\r\nsecond\r\n0\r\n\r\n");
        });
        let setup = before(&origin);
        let setup = if cache { setup.redis(&redis) } else { setup };
        let gateway = setup.reuse(reuse.0, reuse.1).start();
        let mut client = gateway.client();
        client.start(&Request::get("/stream"));
        let mut response = client.response(false);
        // Waiting for the end would never return: the gate is opened only after the first piece.
        assert_eq!(response.exactly(5), b"first");
        gate.open();
        let rest = response.read();
        assert_eq!((rest.text(), rest.complete), ("second".into(), true));
    }
}

/// Content is streamed from the client while it is still being sent.
pub(crate) fn streams_from_the_client(before: impl Fn(&Origin) -> Setup) {
    let gate = Gate::new();
    let arrived = gate.clone();
    let origin = Origin::start(move |exchange| {
        assert_eq!(exchange.piece().as_deref(), Some(&b"first"[..]));
        arrived.pass();
        exchange.reply(&Reply::ok("thanks"));
    });
    let gateway = before(&origin).start();
    let mut client = gateway.client();
    client.write(b"POST /up HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    gate.await_arrivals(1);
    gate.open();
    client.write(b"6\r\nsecond\r\n0\r\n\r\n");
    assert_eq!(client.response(false).read().text(), "thanks");
    assert_eq!(origin.last().body, b"firstsecond");
}
