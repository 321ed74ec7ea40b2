//! The cache as middleware: in front of the shop of `examples/middleware`, a component written with the SDK, and in
//! front of a component that answers like an origin of the test (`chained.toml`).

use crate::support::{
    EACH_REUSE, hit, miss, names, stored, stored_as, streams_from_the_client, streams_to_the_client,
};
use spindrift_e2e::{Origin, Redis, Reply, Request, Response, Setup, eventually};
use std::collections::BTreeSet;

/// The shop, which answers without delay.
fn shop() -> Setup {
    shop_with_delay("0")
}

fn shop_with_delay(milliseconds: &str) -> Setup {
    Setup::of("examples/middleware/spin.toml").variable("delay_ms", milliseconds)
}

/// The middleware in front of a component that answers like this origin.
fn before(origin: &Origin) -> Setup {
    Setup::of("tests/e2e/chained.toml").variable("origin_url", &origin.url())
}

fn product(number: u32) -> Request {
    Request::get(&format!("/products/{number}"))
}

#[test]
fn a_miss_is_stored_and_then_a_hit() {
    for (requests, at_once) in EACH_REUSE {
        let redis = Redis::start();
        let gateway = shop().redis(&redis).reuse(requests, at_once).start();
        let first = stored(&gateway, &redis, &product(7));
        assert_eq!((first.status, first.cache_status().forward()), (200, Some("uri-miss")));
        assert!(first.text().starts_with("Product 7: 16.95, worked out at "), "{first:?}");
        let second = hit(&gateway, &product(7));
        assert_eq!((second.text(), second.header("etag")), (first.text(), Some("\"7-en\"")));
        assert_ne!(miss(&gateway, &product(8)).text(), first.text());
    }
}

#[test]
fn the_component_confirms_what_is_stored_with_a_304() {
    let redis = Redis::start();
    let gateway = shop().redis(&redis).start();
    let first = stored(&gateway, &redis, &product(7));
    let confirmed = gateway.send(&product(7).header("cache-control", "no-cache"));
    let status = confirmed.cache_status();
    assert_eq!((status.forward(), status.forward_status()), (Some("request"), Some("304")), "{confirmed:?}");
    assert_eq!((confirmed.status, confirmed.text()), (200, first.text()));
    let known = gateway.send(&product(7).header("if-none-match", "\"7-en\""));
    assert_eq!((known.status, known.body.len()), (304, 0));
}

#[test]
fn a_response_varies_as_the_component_says() {
    let redis = Redis::start();
    let gateway = shop().redis(&redis).start();
    let german = product(7).header("accept-language", "de-AT, en;q=0.5");
    stored_as(&gateway, &redis, &product(7), 1);
    assert_eq!(gateway.send(&german).cache_status().forward(), Some("vary-miss"));
    redis.await_entries(2);
    assert!(hit(&gateway, &german).text().starts_with("Produkt 7"));
    assert!(hit(&gateway, &product(7)).text().starts_with("Product 7"));
}

#[test]
fn a_purge_by_tag_or_url_reaches_what_the_component_answered() {
    let redis = Redis::start();
    let gateway = shop().redis(&redis).managed().start();
    stored_as(&gateway, &redis, &product(7), 1);
    stored_as(&gateway, &redis, &product(8), 2);
    gateway.purge(r#"{"tags":["product-7"]}"#);
    let again = miss(&gateway, &product(7));
    assert!(again.cache_status().is_stored());
    hit(&gateway, &product(8));
    gateway.purge(r#"{"urls":["/products/8"]}"#);
    miss(&gateway, &product(8));
}

#[test]
fn the_reserved_paths_are_answered_before_the_component() {
    let redis = Redis::start();
    let gateway = shop().redis(&redis).managed().start();
    assert_eq!(gateway.get("/_spindrift/health").status, 200);
    assert_eq!(gateway.get("/_spindrift/health/redis").json()["status"], "ok");
    assert_eq!(gateway.get("/_spindrift/stats").status, 401);
    assert_eq!(gateway.get("/_spindrift/none").status, 404);
    assert_eq!(shop().start().get("/_spindrift/stats").status, 403, "no token, no API");
}

#[test]
fn a_head_is_answered_from_a_stored_get_and_otherwise_by_the_component() {
    let redis = Redis::start();
    let gateway = shop().redis(&redis).start();
    let head = Request::head("/products/7");
    let asked = miss(&gateway, &head);
    assert_eq!((asked.status, asked.header("etag"), asked.body.len()), (200, Some("\"7-en\""), 0));
    let got = stored(&gateway, &redis, &product(7));
    let answered = hit(&gateway, &head);
    assert_eq!(answered.header("content-length"), Some(got.body.len().to_string().as_str()));
    assert_eq!(answered.body.len(), 0);
}

#[test]
fn other_methods_reach_the_component_with_their_content() {
    for (requests, at_once) in EACH_REUSE {
        let redis = Redis::start();
        let gateway = shop().redis(&redis).reuse(requests, at_once).start();
        for content in [vec![], b"one of 7".to_vec(), vec![b'x'; 300_000]] {
            let ordered = gateway.send(&Request::post("/orders", content.clone()));
            assert_eq!((ordered.status, ordered.body.len()), (201, content.len()));
            assert!(ordered.body == content && ordered.complete);
            assert_eq!(ordered.cache_status().forward(), Some("method"));
        }
        let unknown = gateway.send(&Request::new("BREW", "/products/7"));
        assert_eq!((unknown.status, unknown.header("allow")), (405, Some("GET")), "{unknown:?}");
        assert_eq!(gateway.get("/nowhere").status, 404);
    }
}

#[test]
fn a_list_that_the_component_streams_is_stored_whole() {
    let redis = Redis::start();
    let gateway = shop().redis(&redis).start();
    let list = Request::get("/products.csv");
    let first = stored(&gateway, &redis, &list);
    assert!(first.complete);
    assert_eq!(first.text().lines().count(), 1000);
    assert_eq!(hit(&gateway, &list).text(), first.text());
}

#[test]
fn without_redis_the_component_answers() {
    let redis = Redis::start();
    let gateway = shop().redis(&redis).one_instance().start();
    let first = stored(&gateway, &redis, &product(7));
    redis.stop();
    let without = gateway.send(&product(7));
    assert_eq!(without.cache_status().forward(), Some("bypass"), "{without:?}");
    assert!(without.cache_status().detail().unwrap().starts_with("redis-"));
    assert!(without.status == 200 && without.text() != first.text());
    redis.restart();
    gateway.until(&product(7), |response| response.cache_status().is_hit());
}

#[test]
fn many_at_once_get_what_each_asked_for() {
    for (requests, at_once) in EACH_REUSE {
        let redis = Redis::start();
        let gateway = shop_with_delay("20").redis(&redis).reuse(requests, at_once).start();
        let texts: Vec<BTreeSet<String>> = std::thread::scope(|scope| {
            let ask = |number| {
                let gateway = &gateway;
                scope.spawn(move || (0..4).map(|_| gateway.send(&product(number)).text()).collect())
            };
            let threads: Vec<_> = (1..=24).map(ask).collect();
            threads.into_iter().map(|it| it.join().unwrap()).collect()
        });
        for (number, texts) in (1..).zip(texts) {
            let own = format!("Product {number}: ");
            assert!(texts.iter().all(|text| text.starts_with(&own)), "{own}{texts:?}");
        }
    }
}

#[test]
fn a_component_that_takes_too_long_is_given_up() {
    let redis = Redis::start();
    let late = shop_with_delay("600000").redis(&redis).one_instance();
    let gateway = late.config("[origin]\nfirst_byte_timeout = \"100ms\"").start();
    for _ in 0..2 {
        let response = gateway.send(&product(7));
        assert_eq!(
            (response.status, response.header("content-type")),
            (504, Some("application/problem+json"))
        );
    }
    assert_eq!(gateway.get("/nowhere").status, 404, "the instance goes on");
    gateway.await_log("GET /products/7: the origin did not answer in time: no response within 100ms");
}

#[test]
fn a_configuration_that_is_wrong_is_said_under_the_name_it_has() {
    let gateway = shop().variable("redis_host", "redis://elsewhere.example:6379").start();
    let response = gateway.send(&product(7));
    assert_eq!(response.status, 500);
    let errors = response.json()["errors"].to_string();
    assert!(errors.contains("variable spindrift_redis_host: expected redis://127.0.0.1:"), "{errors}");
}

#[test]
fn content_streams_to_the_client_before_the_component_has_sent_it_all() {
    streams_to_the_client(before);
}

#[test]
fn content_streams_to_the_component_before_the_client_has_sent_it_all() {
    streams_from_the_client(before);
}

#[test]
fn large_content_is_stored_as_it_passes() {
    let page: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
    let chunks: Vec<&[u8]> = page.chunks(70_000).collect();
    for reply in [Reply::fresh(page.clone()), Reply::fresh("").chunks(&chunks)] {
        let origin = Origin::always(reply);
        let redis = Redis::start();
        let gateway = before(&origin).redis(&redis).start();
        let first = stored(&gateway, &redis, &Request::get("/large"));
        assert!(first.body == page && first.complete);
        let second = hit(&gateway, &Request::get("/large"));
        assert!(second.body == page && second.complete);
        assert_eq!(names(&origin), ["GET /large"]);
    }
}

#[test]
fn content_that_breaks_off_is_not_stored_nor_passed_off_as_whole() {
    let origin = Origin::always(Reply::fresh("only a part").declaring(100_000));
    let redis = Redis::start();
    let gateway = before(&origin).redis(&redis).start();
    for count in 1..=2 {
        let mut client = gateway.client();
        client.start(&Request::get("/a"));
        if let Some(response) = client.try_response(false) {
            let response = response.read();
            // If its head was not sent yet, the client gets an error.
            assert!(!response.complete || response.status == 502, "{response:?}");
        }
        assert_eq!(origin.count(), count, "nothing was stored");
    }
}

#[test]
fn fields_of_the_connection_end_at_the_component() {
    let origin = Origin::always(
        Reply::fresh("page")
            .header("keep-alive", "timeout=5")
            .header("proxy-authenticate", "Basic")
            .header("upgrade", "h2c")
            .header("x-kept", "yes"),
    );
    let redis = Redis::start();
    let gateway = before(&origin).redis(&redis).start();
    let request = Request::get("/a").header("keep-alive", "timeout=5").header("te", "trailers");
    let request = request.header("proxy-authorization", "Basic eA==").header("x-asked", "yes");
    let answers: [Response; 2] = [stored(&gateway, &redis, &request), hit(&gateway, &request)];
    for answer in answers {
        assert_eq!((answer.status, answer.header("x-kept")), (200, Some("yes")), "{answer:?}");
        for name in ["keep-alive", "proxy-authenticate", "upgrade"] {
            assert_eq!(answer.header(name), None, "{name}");
        }
    }
    let asked = origin.last();
    assert_eq!(asked.header("x-asked"), Some("yes"));
    for name in ["keep-alive", "te", "proxy-authorization"] {
        assert_eq!(asked.header(name), None, "{name}");
    }
}

#[test]
fn any_status_of_the_component_comes_back() {
    let origin = Origin::start(|exchange| {
        let status = exchange.request.target[1..].parse().unwrap();
        exchange.reply(&Reply::status(status).body("said").header("x-status", "kept"));
    });
    let redis = Redis::start();
    let gateway = before(&origin).redis(&redis).start();
    for status in [200, 201, 206, 301, 401, 404, 410, 418, 500, 503, 599] {
        let response = gateway.get(&format!("/{status}"));
        assert_eq!((response.status, response.text()), (status, "said".into()));
        assert_eq!(response.header("x-status"), Some("kept"));
    }
    assert_eq!(gateway.get("/204").body, b"");
}

/// Jobs are pushed to their target, not to the component behind the middleware.
#[test]
fn jobs_are_pushed_over_the_network() {
    let (origin, target) = (Origin::always(Reply::fresh("page")), Origin::always(Reply::status(204)));
    let redis = Redis::start();
    let queue = format!("[[queue]]\nname = \"orders\"\ntarget = \"{}/hook\"\n", target.url());
    let setup = before(&origin).redis(&redis).managed().config(&queue);
    let setup = setup.variable("webhook_keys", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let gateway = setup.variable("webhook_host", &target.url()).start();
    let put = gateway.manage("/_spindrift/v1/queues/orders/jobs", r#"{"data":"one of 7"}"#);
    assert_eq!(put.status, 201, "{put:?}");
    eventually("the job is pushed", || {
        gateway.manage("/_spindrift/v1/queues:tick", "{}");
        target.count() > 0
    });
    assert_eq!(
        (names(&target), target.last().body),
        (vec!["POST /hook".to_owned()], b"\"one of 7\"".to_vec())
    );
    assert_eq!(origin.count(), 0);
}

/// The component gets session fields like an origin.
#[test]
fn a_component_has_sessions() {
    let origin = Origin::start(|exchange| {
        let known = exchange.request.header("spindrift-session").map(str::to_owned);
        let reply = Reply::ok(known.unwrap_or_default());
        // {"cart":[7]}
        exchange.reply(&reply.header("spindrift-session-merge", "eyJjYXJ0IjpbN119"));
    });
    let redis = Redis::start();
    let setup = before(&origin).redis(&redis).variable("session_keys", "0123456789abcdef0123456789abcdef");
    let gateway = setup.config("[[route]]\npath = \"/*\"\nsession = true\n").start();
    let first = gateway.get("/");
    let cookie = first.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(first.header("spindrift-session-merge"), None, "{first:?}");
    let second = gateway.send(&Request::get("/").header("cookie", &cookie));
    assert_ne!(second.text(), first.text(), "now it is told of one");
}

#[test]
fn who_inherits_nothing_passes_requests_on_and_says_why() {
    let redis = Redis::start();
    let gateway = Setup::of("tests/e2e/uninherited.toml").redis(&redis).start();
    for details in [&["redis-denied"][..], &["redis-denied", "redis-down"]] {
        let response = gateway.get("/");
        assert!(response.status == 200 && response.text().starts_with("The demo origin answered"));
        assert!(details.contains(&response.cache_status().detail().unwrap()), "{response:?}");
    }
    gateway.await_log("does the middleware inherit \"variables\"?");
    gateway.await_log("a middleware inherits allowed_outbound_hosts");
}
