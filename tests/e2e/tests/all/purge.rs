//! Purges through the management API.

use crate::support::{EACH_REUSE, at, filled, hit, miss, stored_as, tagged};
use spindrift_e2e::{Gateway, Origin, Redis, Reply, Request};

/// Those targets that are not answered from the cache.
fn gone<'a>(gateway: &Gateway, targets: &[&'a str]) -> Vec<&'a str> {
    let is_gone = |target: &&str| !gateway.send(&at(target)).cache_status().is_hit();
    targets.iter().copied().filter(is_gone).collect()
}

#[test]
fn a_url_is_purged_with_all_its_variants_and_no_other() {
    for (requests, at_once) in EACH_REUSE {
        let origin = Origin::start(|exchange| exchange.reply(&Reply::fresh("x").header("vary", "x-a")));
        let redis = Redis::start();
        let setup = Gateway::before(&origin).redis(&redis).managed().reuse(requests, at_once);
        let gateway = setup.start();
        stored_as(&gateway, &redis, &at("/a?b").header("x-a", "1"), 1);
        stored_as(&gateway, &redis, &at("/a?b").header("x-a", "2"), 2);
        stored_as(&gateway, &redis, &at("/a"), 3);
        stored_as(&gateway, &redis, &Request::get("/a?b").host("other.example"), 4);
        let report = gateway.purge(r#"{"urls":["http://site.example/a?b"]}"#);
        assert_eq!(report["urls"], 1, "{report}");
        redis.await_entries(2);
        miss(&gateway, &at("/a?b").header("x-a", "1"));
        miss(&gateway, &at("/a?b").header("x-a", "2"));
        miss(&gateway, &Request::head("/a?b").host("site.example").header("x-a", "3"));
        hit(&gateway, &at("/a"));
        hit(&gateway, &Request::get("/a?b").host("other.example"));
    }
}

#[test]
fn a_url_is_purged_whichever_scheme_and_host_spelling_it_has() {
    for url in ["https://site.example/a", "http://SITE.example/a", "http://site.example:80/a"] {
        let origin = tagged();
        let redis = Redis::start();
        let gateway = filled(Gateway::before(&origin), &redis, &["/a", "/b"]);
        gateway.purge(&format!(r#"{{"urls":["{url}"]}}"#));
        assert_eq!(gone(&gateway, &["/a", "/b"]), ["/a"], "{url}");
    }
}

#[test]
fn a_url_is_purged_by_the_key_rules_of_its_route() {
    let origin = tagged();
    let redis = Redis::start();
    let setup = Gateway::before(&origin).config("[[route]]\npath = \"/p/*\"\ncache.key.query = \"none\"");
    let gateway = filled(setup, &redis, &["/p/x?session=1", "/q?session=1"]);
    gateway.purge(r#"{"urls":["http://site.example/p/x?anything"]}"#);
    assert_eq!(gone(&gateway, &["/p/x?session=2", "/q?session=1"]), ["/p/x?session=2"]);
}

#[test]
fn a_path_is_purged_on_every_host_and_whole() {
    for (requests, at_once) in EACH_REUSE {
        let origin = tagged();
        let redis = Redis::start();
        let setup = Gateway::before(&origin).reuse(requests, at_once);
        let all = ["/a", "/a?b", "/a/b", "/ab"];
        let gateway = filled(setup, &redis, &all);
        stored_as(&gateway, &redis, &Request::get("/a").host("other.example"), 5);
        let report = gateway.purge(r#"{"urls":["/a"]}"#);
        assert_eq!((&report["urls"], &report["ledger"]), (&0.into(), &1.into()));
        assert_eq!(gone(&gateway, &all), ["/a"]);
        miss(&gateway, &Request::get("/a").host("other.example"));
    }
}

#[test]
fn tags_are_compared_whole_in_both_fields() {
    for (requests, at_once) in EACH_REUSE {
        let origin = tagged();
        let redis = Redis::start();
        let setup = Gateway::before(&origin).reuse(requests, at_once);
        let all = [
            "/tagged/a",
            "/tagged/a,b",
            "/tagged/b",
            "/tagged/ab",
            "/tagged/A",
            "/tagged/a/b",
            "/tagged/a%62",
            "/keyed/a",
            "/keyed/b,a",
            "/keyed/ab",
            "/a",
        ];
        let gateway = filled(setup, &redis, &all);
        gateway.purge(r#"{"tags":["a"]}"#);
        assert_eq!(gone(&gateway, &all), ["/tagged/a", "/tagged/a,b", "/keyed/a", "/keyed/b,a"]);
        assert_eq!(gone(&gateway, &["/tagged/a%62"]), Vec::<&str>::new());
    }
}

#[test]
fn tags_with_unusual_characters_are_just_text() {
    let tags = ["a*", "a?", "[a]", "a.b", "\\\\d", "%61", "a b", "'; --", "{a}"];
    let origin = Origin::start(|exchange| {
        let tag = exchange.request.header("x-tag").unwrap_or_default().to_owned();
        exchange.reply(&Reply::fresh("x").header("cache-tag", &tag));
    });
    for tag in tags {
        let redis = Redis::start();
        let gateway = Gateway::before(&origin).redis(&redis).managed().start();
        let text: String = serde_json::from_str(&format!("\"{tag}\"")).unwrap();
        stored_as(&gateway, &redis, &at("/it").header("x-tag", &text), 1);
        stored_as(&gateway, &redis, &at("/aa").header("x-tag", "aa"), 2);
        gateway.purge(&format!(r#"{{"tags":["{tag}"]}}"#));
        assert_eq!(gone(&gateway, &["/it", "/aa"]), ["/it"], "{tag}");
    }
}

#[test]
fn a_tag_beyond_ascii_takes_no_other_tag_with_it() {
    for tag in ["größe", "news"] {
        let origin = Origin::always(Reply::fresh("x").header("cache-tag", "news, größe"));
        let redis = Redis::start();
        let gateway = filled(Gateway::before(&origin), &redis, &["/a"]);
        gateway.purge(&format!(r#"{{"tags":["{tag}"]}}"#));
        assert_eq!(gone(&gateway, &["/a"]), ["/a"], "{tag}");
    }
}

#[test]
fn a_pattern_is_a_glob_over_the_whole_url() {
    let all = ["/img/1.png", "/img/12.png", "/img/1.jpg", "/x/img/1.png", "/img/a*b?c", "/a"];
    for (pattern, expected) in [
        ("http://site.example/img/*", &["/img/1.png", "/img/12.png", "/img/1.jpg", "/img/a*b?c"][..]),
        ("https://site.example/img/?.png", &["/img/1.png"]),
        ("*.png", &["/img/1.png", "/img/12.png", "/x/img/1.png"]),
        ("*://*.example/a", &["/a"]),
        ("http://site.example/img", &[]),
        ("https://site.example/img/?", &[]),
        ("*", &all),
    ] {
        let origin = tagged();
        let redis = Redis::start();
        let gateway = filled(Gateway::before(&origin), &redis, &all);
        gateway.purge(&format!(r#"{{"patterns":["{pattern}"]}}"#));
        assert_eq!(gone(&gateway, &all), expected, "{pattern}");
    }
}

#[test]
fn a_prefix_is_the_beginning_of_a_url_or_of_a_path_and_no_glob() {
    let all = ["/a", "/a/b", "/ab?c", "/b/a", "/a*c"];
    for (prefix, expected) in [
        ("http://site.example/a", &["/a", "/a/b", "/ab?c", "/a*c"][..]),
        ("https://site.example/a/", &["/a/b"]),
        ("/a", &["/a", "/a/b", "/ab?c", "/a*c"]),
        ("/a*", &["/a*c"]),
        ("/ab?", &["/ab?c"]),
        ("http://site.example", &all),
        ("http://other.example", &[]),
    ] {
        let origin = tagged();
        let redis = Redis::start();
        let gateway = filled(Gateway::before(&origin), &redis, &all);
        gateway.purge(&format!(r#"{{"prefixes":["{prefix}"]}}"#));
        assert_eq!(gone(&gateway, &all), expected, "{prefix}");
    }
}

#[test]
fn several_targets_go_in_one_purge() {
    let origin = tagged();
    let redis = Redis::start();
    let all = ["/u", "/tagged/t", "/p/1", "/x/1", "/stays"];
    let gateway = filled(Gateway::before(&origin), &redis, &all);
    let report = gateway
        .purge(r#"{"urls":["http://site.example/u"],"tags":["t"],"patterns":["*/p/*"],"prefixes":["/x/"]}"#);
    assert_eq!((&report["urls"], &report["ledger"]), (&1.into(), &3.into()));
    assert_eq!(gone(&gateway, &all), ["/u", "/tagged/t", "/p/1", "/x/1"]);
    assert_eq!(gone(&gateway, &["/stays"]), Vec::<&str>::new());
}

#[test]
fn what_is_fetched_after_a_purge_is_stored_again() {
    let origin = tagged();
    let redis = Redis::start();
    let gateway = filled(Gateway::before(&origin).one_instance(), &redis, &["/tagged/t"]);
    for purge in [r#"{"tags":["t"]}"#, r#"{"patterns":["*"]}"#, r#"{"urls":["/tagged/t"]}"#] {
        gateway.purge(purge);
        let before = redis.entries();
        miss(&gateway, &at("/tagged/t"));
        redis.await_other_entries(&before);
        hit(&gateway, &at("/tagged/t"));
        hit(&gateway, &at("/tagged/t"));
    }
}

#[test]
fn a_soft_purge_makes_stale_and_a_304_makes_fresh_again() {
    for purge in [
        r#"{"urls":["http://site.example/tagged/t"],"soft":true}"#,
        r#"{"urls":["/tagged/t"],"soft":true}"#,
        r#"{"tags":["t"],"soft":true}"#,
        r#"{"patterns":["*"],"soft":true}"#,
        r#"{"prefixes":["/tagged"],"soft":true}"#,
    ] {
        let origin = Origin::start(|exchange| {
            let reply = if exchange.request.headers.has("if-none-match") {
                Reply::status(304)
            } else {
                Reply::fresh("page").header("etag", "\"1\"")
            };
            exchange.reply(&reply.header("cache-tag", "t"));
        });
        let redis = Redis::start();
        let gateway = filled(Gateway::before(&origin), &redis, &["/tagged/t"]);
        gateway.purge(purge);
        let before = redis.entries();
        let response = gateway.send(&at("/tagged/t"));
        assert_eq!(response.text(), "page");
        let status = response.cache_status();
        assert_eq!((status.forward(), status.forward_status()), (Some("stale"), Some("304")), "{purge}");
        redis.await_other_entries(&before);
        hit(&gateway, &at("/tagged/t"));
        assert_eq!(origin.count(), 2);
    }
}

#[test]
fn softly_purged_content_still_answers_while_the_origin_is_away() {
    let origin = Origin::sequence([Reply::fresh("page").header("etag", "\"1\""), Reply::raw("")]);
    let redis = Redis::start();
    let gateway = filled(Gateway::before(&origin), &redis, &["/a"]);
    gateway.purge(r#"{"urls":["http://site.example/a"],"soft":true}"#);
    let response = gateway.send(&at("/a"));
    assert_eq!(
        (response.text(), response.cache_status().detail()),
        ("page".into(), Some("origin-unreachable"))
    );
    gateway.purge(r#"{"urls":["http://site.example/a"]}"#);
    assert_eq!(gateway.send(&at("/a")).status, 502);
}

#[test]
fn a_hard_purge_after_a_soft_one_is_hard() {
    let origin = tagged();
    let redis = Redis::start();
    let gateway = filled(Gateway::before(&origin).one_instance(), &redis, &["/tagged/t"]);
    gateway.purge(r#"{"tags":["t"],"soft":true}"#);
    gateway.purge(r#"{"tags":["t"]}"#);
    gateway.purge(r#"{"tags":["t"],"soft":true}"#);
    assert_eq!(gateway.send(&at("/tagged/t")).cache_status().forward(), Some("uri-miss"));
}

#[test]
fn an_invalid_tag_purge_touches_nothing() {
    let origin = tagged();
    let redis = Redis::start();
    let gateway = filled(Gateway::before(&origin), &redis, &["/tagged/t"]);
    let response = gateway.manage("/_spindrift/v1/purge", r#"{"tags":["t",""]}"#);
    assert_eq!(response.problem(400)["errors"].as_array().unwrap().len(), 1);
    stays(&gateway);
    let unsigned = gateway.send(&Request::post("/_spindrift/v1/purge", r#"{"tags":["t"]}"#));
    let _ = unsigned.problem(401);
    stays(&gateway);
    // The purge method of other caches is an ordinary method here.
    let _ = gateway.send(&Request::new("PURGE", "/other").host("site.example"));
    stays(&gateway);
}

#[track_caller]
fn stays(gateway: &Gateway) {
    hit(gateway, &at("/tagged/t"));
}
