//! Several responses of one URL (RFC 9111 §4.1).

use crate::support::{hit, stored_as};
use spindrift_e2e::{Gateway, Origin, Redis, Reply, Request};

/// An origin whose page repeats the fields of the request.
fn varying(vary: &'static str, fields: &'static [&'static str]) -> Origin {
    Origin::start(move |exchange| {
        let said: Vec<_> = fields.iter().map(|name| exchange.request.headers.all(name).join(",")).collect();
        exchange.reply(&Reply::fresh(said.join("|")).header("vary", vary));
    })
}

#[test]
fn each_variant_is_stored_and_found() {
    let origin = varying("accept-language", &["accept-language"]);
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    let ask = |language: &str| Request::get("/a").header("accept-language", language);
    assert_eq!(stored_as(&gateway, &redis, &ask("de"), 1).cache_status().forward(), Some("uri-miss"));
    assert_eq!(stored_as(&gateway, &redis, &ask("fr"), 2).cache_status().forward(), Some("vary-miss"));
    stored_as(&gateway, &redis, &Request::get("/a"), 3);
    for _ in 0..2 {
        assert_eq!(hit(&gateway, &ask("de")).text(), "de");
        assert_eq!(hit(&gateway, &ask("fr")).text(), "fr");
        assert_eq!(hit(&gateway, &Request::get("/a")).text(), "");
    }
    assert_eq!(origin.count(), 3);
    assert_eq!(redis.resources().len(), 1);
}

#[test]
fn all_fields_count_together() {
    let origin = varying("x-a, X-B", &["x-a", "x-b"]);
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    let ask = |a: &str, b: &str| Request::get("/a").header("x-a", a).header("x-b", b);
    stored_as(&gateway, &redis, &ask("1", "2"), 1);
    stored_as(&gateway, &redis, &ask("2", "1"), 2);
    assert_eq!(hit(&gateway, &ask("1", "2")).text(), "1|2");
    assert_eq!(hit(&gateway, &ask("2", "1")).text(), "2|1");
    assert!(!gateway.send(&ask("1", "1")).cache_status().is_hit());
}

#[test]
fn values_that_mean_the_same_find_the_same() {
    let origin = varying("accept-encoding, accept-language, x-a", &[]);
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    let first = Request::get("/a")
        .header("accept-encoding", "gzip, BR")
        .header("accept-language", "de, en;q=0.5")
        .header("x-a", "1, 2");
    stored_as(&gateway, &redis, &first, 1);
    let same = Request::get("/a")
        .header("x-a", "1")
        .header("x-a", "2")
        .header("accept-language", "EN; q=0.5, DE")
        .header("accept-encoding", "br,gzip");
    hit(&gateway, &same);
    assert_eq!(origin.count(), 1);
}

#[test]
fn values_that_mean_something_else_do_not() {
    let origin = varying("accept-encoding, x-a", &[]);
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    stored_as(
        &gateway,
        &redis,
        &Request::get("/a").header("accept-encoding", "gzip").header("x-a", "1, 2"),
        1,
    );
    for other in [
        Request::get("/a").header("accept-encoding", "gzip;q=0").header("x-a", "1, 2"),
        Request::get("/a").header("accept-encoding", "gzip").header("x-a", "2, 1"),
        Request::get("/a").header("accept-encoding", "gzip").header("x-a", ""),
        Request::get("/a").header("accept-encoding", "gzip"),
        Request::get("/a").header("x-a", "1, 2"),
    ] {
        assert!(!gateway.send(&other).cache_status().is_hit(), "{other:?}");
    }
}

#[test]
fn a_star_in_any_spelling_is_never_reused() {
    for vary in ["*", "*, *", "x-a, *", "*, x-a", ", *", "bad name"] {
        let origin = varying(vary, &[]);
        let redis = Redis::start();
        let gateway = Gateway::before(&origin).redis(&redis).start();
        for _ in 0..2 {
            let response = gateway.get("/a");
            assert_eq!(response.cache_status().detail(), Some("vary"), "{vary}");
        }
        assert!(redis.entries().is_empty(), "{vary}");
    }
}

#[test]
fn private_fields_cannot_select() {
    for vary in ["cookie", "authorization", "accept, Cookie"] {
        let origin = varying(vary, &[]);
        let redis = Redis::start();
        let gateway = Gateway::before(&origin).redis(&redis).start();
        for _ in 0..2 {
            let response = gateway.send(&Request::get("/a").header("cookie", "sid=1"));
            assert_eq!(response.cache_status().detail(), Some("vary"), "{vary}");
        }
    }
}

#[test]
fn configured_cookies_select_and_answer_vary_cookie() {
    let origin = varying("cookie", &["cookie"]);
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).config("[cache]\nkey.cookies = [\"lang\"]").start();
    let ask = |cookie: &str| Request::get("/a").header("cookie", cookie);
    stored_as(&gateway, &redis, &ask("lang=de"), 1);
    assert_eq!(hit(&gateway, &ask("other=1; lang=de")).text(), "lang=de");
    assert!(!gateway.send(&ask("lang=fr")).cache_status().is_hit());
    assert!(!gateway.send(&Request::get("/a")).cache_status().is_hit());
}

#[test]
fn configured_headers_select_without_vary() {
    let origin = Origin::start(|exchange| {
        let country = exchange.request.header("x-country").unwrap_or("none").to_owned();
        exchange.reply(&Reply::fresh(country));
    });
    let redis = Redis::start();
    let gateway =
        Gateway::before(&origin).redis(&redis).config("[cache]\nkey.headers = [\"x-country\"]").start();
    let ask = |country: &str| Request::get("/a").header("x-country", country);
    stored_as(&gateway, &redis, &ask("de"), 1);
    stored_as(&gateway, &redis, &ask("fr"), 2);
    assert_eq!(hit(&gateway, &ask("de")).text(), "de");
    assert_eq!(hit(&gateway, &ask("fr")).text(), "fr");
    assert_eq!(gateway.get("/a").text(), "none");
}

#[test]
fn variants_of_one_url_are_bounded() {
    let origin = varying("x-a", &["x-a"]);
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).config("[cache]\nmax_variants = 3").start();
    let ask = |number: usize| Request::get("/a").header("x-a", &number.to_string());
    for number in 1..=3 {
        stored_as(&gateway, &redis, &ask(number), number);
    }
    for number in 4..=12 {
        let before = redis.entries();
        assert_eq!(gateway.send(&ask(number)).text(), number.to_string());
        redis.await_other_entries(&before);
        assert_eq!(redis.entries().len(), 3);
        hit(&gateway, &ask(number));
    }
}

#[test]
fn a_response_that_varies_on_other_fields_takes_the_place_of_the_old_ones() {
    let origin = Origin::start(|exchange| {
        let vary = exchange.request.header("x-vary").unwrap_or("x-a").to_owned();
        exchange.reply(&Reply::fresh(vary.clone()).header("vary", &vary));
    });
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    stored_as(&gateway, &redis, &Request::get("/a").header("x-a", "1"), 1);
    let before = redis.entries();
    let other = Request::get("/a").header("x-a", "2").header("x-vary", "x-b").header("x-b", "1");
    assert_eq!(gateway.send(&other).text(), "x-b");
    redis.await_other_entries(&before);
    // Now selected by x-b only, whatever x-a is.
    assert_eq!(hit(&gateway, &Request::get("/a").header("x-a", "1").header("x-b", "1")).text(), "x-b");
    assert!(!gateway.send(&Request::get("/a").header("x-a", "1")).cache_status().is_hit());
}

#[test]
fn fields_that_are_rewritten_or_unkeyed_do_not_poison() {
    let origin = Origin::start(|exchange| {
        let host = exchange.request.header("x-forwarded-host").unwrap_or("none").to_owned();
        exchange.reply(&Reply::fresh(host));
    });
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    let poison = Request::get("/a").host("site.example").header("x-forwarded-host", "evil.example");
    assert_eq!(stored_as(&gateway, &redis, &poison, 1).text(), "site.example");
    assert_eq!(hit(&gateway, &Request::get("/a").host("site.example")).text(), "site.example");
}
