//! Which fields are sent to the origin and to the client, and which ones the gateway adds.

use crate::support::beginning_with;
use spindrift_e2e::{Gateway, Origin, Reply, Request};

#[test]
fn hop_by_hop_fields_end_at_the_gateway_in_both_directions() {
    let origin = Origin::always(
        Reply::ok("x")
            .header("keep-alive", "timeout=5")
            .header("proxy-authenticate", "Basic")
            .header("proxy-authentication-info", "x")
            .header("proxy-connection", "keep-alive")
            .header("trailer", "x-t")
            .header("te", "trailers")
            .header("upgrade", "h2c")
            .header("x-end-to-end", "kept"),
    );
    let gateway = Gateway::before(&origin).start();
    let request = Request::post("/h", "x")
        .header("keep-alive", "timeout=5")
        .header("proxy-authorization", "Basic c2VjcmV0")
        .header("proxy-connection", "keep-alive")
        .header("te", "trailers")
        .header("trailer", "x-t")
        .header("upgrade", "h2c")
        .header("http2-settings", "AAMAAABkAAQAAP__")
        .header("x-end-to-end", "kept");
    let response = gateway.send(&request);
    let asked = origin.last();
    for name in [
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
        "http2-settings",
    ] {
        assert!(!asked.headers.has(name), "to the origin: {name}");
        assert!(!response.headers.has(name), "to the client: {name}");
    }
    assert_eq!(asked.header("x-end-to-end"), Some("kept"));
    assert_eq!(response.header("x-end-to-end"), Some("kept"));
}

#[test]
fn fields_keep_their_number_and_order_and_odd_values() {
    let origin = Origin::always(
        Reply::ok("x")
            .header("x-many", "1")
            .header("x-many", "2, 3")
            .header("x-empty", "")
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2; HttpOnly")
            .header("x-utf8", "grün"),
    );
    let gateway = Gateway::before(&origin).start();
    let request = Request::get("/f")
        .header("x-many", "1")
        .header("x-many", "2, 3")
        .header("x-empty", "")
        .header("cookie", "a=1; b=2")
        .header("x-utf8", "grün");
    let response = gateway.send(&request);
    for headers in [&origin.last().headers, &response.headers] {
        assert_eq!(headers.all("x-many"), ["1", "2, 3"]);
        assert_eq!(headers.all("x-empty"), [""]);
        assert_eq!(headers.all("x-utf8"), ["grün"]);
    }
    assert_eq!(origin.last().headers.all("cookie"), ["a=1; b=2"]);
    assert_eq!(response.headers.all("set-cookie"), ["a=1", "b=2; HttpOnly"]);
}

#[test]
fn nothing_a_client_writes_turns_lines_of_a_field_around() {
    let origin = Origin::always(Reply::ok("x"));
    let gateway = Gateway::before(&origin).config("[origin]\ntrust_forwarded = true\n").start();
    // The client sends a line for every field that Spin adds; these lines come first.
    let of_spin = [
        "spin-path-info",
        "spin-full-url",
        "spin-matched-route",
        "spin-base-path",
        "spin-raw-component-route",
        "spin-component-route",
        "spin-client-addr",
    ];
    let request = of_spin.iter().fold(Request::get("/f"), |request, name| request.header(name, "x"));
    // The last line is that of a proxy in front, with the client's address.
    let request = request.header("x-forwarded-for", "192.0.2.6").header("x-forwarded-for", "192.0.2.1");
    for request in [request.clone().header("x-last", "x"), request] {
        gateway.send(&request);
        assert_eq!(origin.last().header("x-forwarded-for"), Some("192.0.2.6, 192.0.2.1, 127.0.0.1"));
    }
}

#[test]
fn the_origin_learns_who_asked_for_what_and_through_whom() {
    let origin = Origin::always(Reply::ok("x"));
    let gateway = Gateway::before(&origin).start();
    let _ = gateway.send(&Request::get("/a").host("site.example:8080"));
    let asked = origin.last();
    assert_eq!(asked.headers.all("host"), [origin.authority()]);
    assert_eq!(asked.headers.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(asked.headers.all("x-forwarded-host"), ["site.example:8080"]);
    assert_eq!(asked.headers.all("x-forwarded-proto"), ["http"]);
    assert_eq!(asked.headers.all("forwarded"), ["for=127.0.0.1;host=\"site.example:8080\";proto=http"]);
    assert_eq!(asked.headers.all("via"), ["1.1 spindrift"]);
    assert_eq!(asked.headers.all("cdn-loop"), ["spindrift"]);
}

#[test]
fn claims_of_the_client_about_itself_do_not_reach_the_origin() {
    let origin = Origin::always(Reply::ok("x"));
    let gateway = Gateway::before(&origin).start();
    let request = Request::get("/a")
        .host("site.example")
        .header("x-forwarded-for", "6.6.6.6")
        .header("x-forwarded-host", "evil.example")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-port", "6")
        .header("x-real-ip", "6.6.6.6")
        .header("forwarded", "for=6.6.6.6;host=evil.example");
    let _ = gateway.send(&request);
    let asked = origin.last();
    assert_eq!(asked.headers.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(asked.headers.all("x-forwarded-host"), ["site.example"]);
    assert_eq!(asked.headers.all("x-forwarded-proto"), ["http"]);
    assert_eq!(asked.headers.all("forwarded"), ["for=127.0.0.1;host=\"site.example\";proto=http"]);
    assert!(!asked.headers.has("x-real-ip") && !asked.headers.has("x-forwarded-port"));
}

#[test]
fn a_trusted_proxy_in_front_is_added_to() {
    let origin = Origin::always(Reply::ok("x"));
    let gateway =
        Gateway::before(&origin).config("[origin]\ntrust_forwarded = true\nforwarded = false").start();
    let request = Request::get("/a")
        .header("x-forwarded-for", "192.0.2.7")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "public.example")
        .header("via", "2 front")
        .header("cdn-loop", "front");
    let _ = gateway.send(&request);
    let asked = origin.last();
    assert_eq!(asked.headers.all("x-forwarded-for"), ["192.0.2.7, 127.0.0.1"]);
    assert_eq!(asked.headers.all("x-forwarded-proto"), ["https"]);
    assert_eq!(asked.headers.all("x-forwarded-host"), ["public.example"]);
    assert_eq!(asked.headers.all("via"), ["2 front, 1.1 spindrift"]);
    assert_eq!(asked.headers.all("cdn-loop"), ["front, spindrift"]);
    assert!(!asked.headers.has("forwarded"));
}

#[test]
fn fields_between_spin_and_the_component_never_reach_the_origin() {
    let origin = Origin::always(Reply::ok("x"));
    let gateway = Gateway::before(&origin).start();
    let request = Request::get("/a")
        .header("spin-client-addr", "6.6.6.6:1")
        .header("Spin-Full-Url", "http://evil.example/")
        .header("spin-anything", "x")
        .header("spinner", "kept");
    let _ = gateway.send(&request);
    let asked = origin.last();
    assert_eq!(beginning_with(&asked.headers, "spin-"), Vec::<&str>::new());
    assert_eq!(asked.header("spinner"), Some("kept"));
    // Spin's line about the client comes last, and is the only one that counts.
    assert_eq!(asked.headers.all("x-forwarded-for"), ["127.0.0.1"]);
}

#[test]
fn a_loop_ends_with_508() {
    let origin = Origin::always(Reply::ok("x"));
    let gateway = Gateway::before(&origin).start();
    let response = gateway.send(&Request::get("/a").header("CDN-Loop", "other; v=1, Spindrift"));
    let _ = response.problem(508);
    assert_eq!(response.cache_status().detail(), Some("loop"));
    assert_eq!(origin.count(), 0);
    assert_eq!(gateway.send(&Request::get("/a").header("cdn-loop", "spindrift2")).status, 200);
}
