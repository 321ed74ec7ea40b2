//! Origins that are unreachable, late, or send invalid responses.

use spindrift_e2e::{Gate, Gateway, Origin, Redis, Reply, Request};

#[test]
fn a_status_that_no_component_may_send_is_502() {
    for status in ["999 No", "600 No", "101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade"] {
        let origin = Origin::always(Reply::raw(format!("HTTP/1.1 {status}\r\n\r\n")));
        let gateway = Gateway::before(&origin).start();
        let mut client = gateway.client();
        for _ in 0..2 {
            let response = client.send(&Request::get("/"));
            let _ = response.problem(502);
            let _ = response.cache_status();
        }
        assert!(client.interim().is_empty(), "{status}");
    }
}

#[test]
fn an_origin_that_cannot_be_reached_is_502_without_its_name() {
    let nobody = Redis::stopped().url().replace("redis://", "http://");
    let gateway = Gateway::before_url(&nobody).start();
    for request in [Request::get("/secret-path"), Request::post("/secret-path", "x"), Request::head("/")] {
        let response = gateway.send(&request);
        assert_eq!(response.status, 502);
        assert!(!response.text().contains("127.0.0.1"), "{response:?}");
        let _ = response.cache_status();
    }
    let _ = gateway.get("/").problem(502);
    gateway.await_log("GET /secret-path");
}

#[test]
fn an_origin_that_breaks_off_before_its_response_is_502() {
    for nonsense in ["", "HTTP/1.1 200 OK\r\nx-half: ", "220 smtp.example ready\r\n\r\n"] {
        let origin = Origin::always(Reply::raw(nonsense));
        let gateway = Gateway::before(&origin).start();
        let response = gateway.get("/");
        let _ = response.problem(502);
        let _ = response.cache_status();
        assert_eq!(origin.count(), 1, "a request is never repeated: {nonsense:?}");
    }
}

#[test]
fn an_origin_that_does_not_answer_in_time_is_504() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |_| held.pass());
    let gateway = Gateway::before(&origin).config("[origin]\nfirst_byte_timeout = \"200ms\"").start();
    let response = gateway.get("/");
    let _ = response.problem(504);
    let _ = response.cache_status();
    gate.open();
}

#[test]
fn an_origin_that_stalls_in_the_middle_breaks_the_connection_off() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |exchange| {
        exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
        held.pass();
    });
    let gateway = Gateway::before(&origin).config("[origin]\nbetween_bytes_timeout = \"200ms\"").start();
    let response = gateway.get("/");
    assert_eq!((response.status, response.text(), response.complete), (200, "half".into(), false));
    gate.open();
}

#[test]
fn interim_responses_do_not_reach_the_client_and_do_no_harm() {
    let origin = Origin::always(Reply::raw(
        "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n\
         HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nfinal",
    ));
    let gateway = Gateway::before(&origin).start();
    let response = gateway.get("/");
    assert_eq!((response.status, response.text()), (200, "final".into()));
    assert!(!response.headers.has("link"));
}

#[test]
fn redirects_and_errors_of_the_origin_are_the_clients_business() {
    let origin = Origin::always(Reply::status(302).header("location", "http://127.0.0.1:1/elsewhere"));
    let gateway = Gateway::before(&origin).start();
    let response = gateway.get("/");
    assert_eq!((response.status, response.header("location")), (302, Some("http://127.0.0.1:1/elsewhere")));
    assert_eq!(origin.count(), 1);
}
