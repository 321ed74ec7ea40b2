//! Different requests never share a response.

use crate::support::{hit, stored, stored_as};
use spindrift_e2e::{Gateway, Origin, Redis, Reply, Request};

/// An origin whose page repeats the request line.
fn echo() -> Origin {
    Origin::start(|exchange| {
        let host = exchange.request.header("x-forwarded-host").unwrap_or_default();
        let said = format!("{host} {}", exchange.request.target);
        exchange.reply(&Reply::fresh(said));
    })
}

#[test]
fn hosts_and_ports_do_not_share() {
    let origin = echo();
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    let hosts = [
        "a.example",
        "b.example",
        "a.example:8080",
        "a.example:443",
        "a.example.",
        "xn--a.example",
        "[::1]",
        "127.0.0.1",
    ];
    for (number, host) in hosts.into_iter().enumerate() {
        let response = stored_as(&gateway, &redis, &Request::get("/x").host(host), number + 1);
        assert_eq!(response.text(), format!("{host} /x"));
    }
    for host in hosts {
        assert_eq!(hit(&gateway, &Request::get("/x").host(host)).text(), format!("{host} /x"));
    }
    // These URLs are equivalent (RFC 9110 §4.2.3).
    for same in ["A.Example", "a.example:80"] {
        hit(&gateway, &Request::get("/x").host(same));
    }
}

#[test]
fn paths_and_queries_do_not_share() {
    let origin = echo();
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    let targets = [
        "/x", "/X", "/x/", "//x", "/%78", "/./x", "/y/../x", "/x?", "/x?a", "/x?a=", "/x?A", "/x?a&b",
        "/x?b&a", "/x%3Fa", "/x;a", "/x%2F", "/x%2f", "/x%00", "/x%23", "/x?a%26b", "/x|a", "/x?a?b", "/x:1",
        "/x-1",
    ];
    for (number, target) in targets.into_iter().enumerate() {
        stored_as(&gateway, &redis, &Request::get(target).host("h"), number + 1);
    }
    for target in targets {
        assert_eq!(hit(&gateway, &Request::get(target).host("h")).text(), format!("h {target}"));
    }
    assert_eq!(origin.count(), targets.len());
}

#[test]
fn query_rules_leave_out_the_same_for_the_key_and_for_the_origin() {
    let origin = echo();
    let redis = Redis::start();
    let config = "[cache.key]\nquery = { except = [\"utm_*\", \"fbclid\"] }\nsort_query = true";
    let gateway = Gateway::before(&origin).redis(&redis).config(config).start();
    let first = stored(&gateway, &redis, &Request::get("/x?b=2&utm_source=evil&a=1&fbclid=z").host("h"));
    assert_eq!(first.text(), "h /x?a=1&b=2", "what the key leaves out, the origin must not see");
    for same in ["/x?a=1&b=2", "/x?b=2&a=1", "/x?a=1&utm_medium=other&b=2", "/x?a=1&%75tm_x=1&b=2"] {
        hit(&gateway, &Request::get(same).host("h"));
    }
    assert!(!gateway.send(&Request::get("/x?a=2&b=1").host("h")).cache_status().is_hit());
}

#[test]
fn spoofed_fields_of_spin_do_not_change_what_is_asked_for() {
    let origin = echo();
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    let spoofed = Request::get("/x")
        .host("good.example")
        .header("spin-full-url", "http://evil.example/y")
        .header("spin-path-info", "/y")
        .header("x-original-url", "/y")
        .header("x-rewrite-url", "/y")
        .header("x-http-method-override", "POST");
    assert_eq!(stored(&gateway, &redis, &spoofed).text(), "good.example /x");
    assert_eq!(hit(&gateway, &Request::get("/x").host("good.example")).text(), "good.example /x");
    assert!(!gateway.send(&Request::get("/y").host("evil.example")).cache_status().is_hit());
}

#[test]
fn gateways_with_other_prefixes_share_a_redis_and_nothing_in_it() {
    let redis = Redis::start();
    let (origin_a, origin_b) = (Origin::always(Reply::fresh("of a")), Origin::always(Reply::fresh("of b")));
    let a = Gateway::before(&origin_a).redis(&redis).config("[redis]\nprefix = \"a\"").managed().start();
    let b = Gateway::before(&origin_b).redis(&redis).config("[redis]\nprefix = \"b\"").managed().start();
    let request = Request::get("/x").host("h");
    stored_as(&a, &redis, &request, 1);
    assert_eq!(stored_as(&b, &redis, &request, 2).text(), "of b");
    a.purge(r#"{"prefixes":["/"]}"#);
    assert!(!a.send(&request).cache_status().is_hit());
    assert_eq!(hit(&b, &request).text(), "of b");
}

#[test]
fn concurrent_requests_each_get_their_own_answer() {
    let origin = echo();
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let gateway = &gateway;
            scope.spawn(move || {
                let mut client = gateway.client();
                for round in 0..40 {
                    let target = format!("/{}", (thread + round) % 10);
                    let answer = client.send(&Request::get(&target).host("h"));
                    assert_eq!(answer.text(), format!("h {target}"));
                }
            });
        }
    });
}
