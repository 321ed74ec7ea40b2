//! The cache as middleware: which requests the next component gets, and how its responses are treated.

use crate::support::exchange::{get, request};
use crate::support::on_redis;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::Uri;
use spindrift::body::Body;
use spindrift::env::UpstreamError;
use spindrift::pipeline;

const URL: &str = "https://shop.example:8443/a%2Fb?q=1&utm_source=x";

/// The fields that Spin 4.1 adds to a request, after those that a client sent under the same names.
const SPIN: [(&str, &str); 8] = [
    ("spin-path-info", "/forged"),
    ("spin-path-match-id", "forged"),
    ("spin-path-info", "/a%2Fb"),
    ("spin-full-url", "https://shop.example:8443/a%2Fb?q=1&utm_source=x"),
    ("spin-raw-component-route", "/:page"),
    ("spin-path-match-page", "a%2Fb"),
    ("spin-client-addr", "192.0.2.7:4711"),
    ("spin-base-path", "/"),
];

const CLAIMS: [(&str, &str); 3] =
    [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-host", "evil.example"), ("forwarded", "for=_x")];

#[test]
fn the_next_component_is_asked_what_the_client_asked() {
    on_redis(async |world| {
        let instance = world.middleware("");
        let fields = [&SPIN[..], &[("accept", "text/html"), ("x-a", "1"), ("x-a", "2")]].concat();
        assert!(instance.get_with(URL, &fields).await.is_stored());
        let asked = world.origin.last();
        assert_eq!((asked.method.as_str(), asked.uri.to_string().as_str()), ("GET", URL));
        assert_eq!(asked.headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(asked.header("spin-full-url"), URL);
        assert_eq!(
            (asked.header("spin-client-addr"), asked.header("accept")),
            ("192.0.2.7:4711", "text/html")
        );
        for ours in ["via", "cdn-loop", "x-forwarded-for", "x-forwarded-host", "forwarded", "host"] {
            assert!(!asked.headers.contains_key(ours), "{ours}");
        }
    });
}

#[test]
fn what_a_client_says_in_the_hosts_name_reaches_nobody() {
    on_redis(async |world| {
        let instance = world.middleware("");
        for request in [get(URL, &SPIN), request("POST", URL, &SPIN, Body::Empty)] {
            instance.send(request).await;
            let asked = world.origin.last();
            assert_eq!(asked.headers.get_all("spin-path-info").iter().collect::<Vec<_>>(), ["/a%2Fb"]);
            assert_eq!(asked.header("spin-path-match-page"), "a%2Fb");
            assert!(!asked.headers.contains_key("spin-path-match-id"));
        }
    });
}

#[test]
fn what_the_key_leaves_out_the_next_component_does_not_see_anywhere() {
    on_redis(async |world| {
        let instance = world.middleware("[cache]\nkey.query = { except = [\"utm_*\"] }");
        instance.get_with(URL, &SPIN).await;
        let asked = world.origin.last();
        assert_eq!(asked.uri.to_string(), "https://shop.example:8443/a%2Fb?q=1");
        assert_eq!(asked.header("spin-full-url"), "https://shop.example:8443/a%2Fb?q=1");
        assert!(instance.get("https://shop.example:8443/a%2Fb?q=1&utm_source=y").await.is_hit());
    });
}

#[test]
fn what_a_client_claims_stays_out_of_what_others_get() {
    on_redis(async |world| {
        let instance = world.middleware("");
        instance.get_with(URL, &CLAIMS).await;
        let shared = world.origin.last();
        assert!(CLAIMS.iter().all(|(name, _)| !shared.headers.contains_key(*name)), "{shared:?}");
        for alone in [
            request("POST", URL, &CLAIMS, Body::Empty),
            get(URL, &[&CLAIMS[..], &[("if-match", "\"1\"")]].concat()),
        ] {
            instance.send(alone).await;
            assert_eq!(world.origin.last().header("x-forwarded-host"), "evil.example");
            assert_eq!(world.origin.last().header("x-forwarded-for"), "198.51.100.1");
        }
        let trusting = world.middleware("[origin]\ntrust_forwarded = true");
        trusting.get_with("https://shop.example/other", &CLAIMS).await;
        assert_eq!(world.origin.last().header("x-forwarded-host"), "evil.example");
        assert_eq!(world.origin.last().header("x-forwarded-for"), "198.51.100.1", "nothing is added to it");
        assert_eq!(world.origin.last().uri.host(), Some("shop.example"), "as the host reports it");
        assert!(!trusting.get("https://shop.example/other").await.is_hit(), "the host is part of the key");
    });
}

#[test]
fn what_a_client_claims_with_a_post_stays_out_of_what_others_get() {
    on_redis(async |world| {
        let instance = world.middleware("[cache]\nstore_post = true");
        world.origin.answers(|seen| {
            let fields = [("cache-control", "max-age=60"), ("content-location", "/a")];
            Ok(crate::support::origin::reply(200, &fields, format!("{:?}", seen.headers)))
        });
        let url = "https://shop.example/a";
        assert!(instance.send(request("POST", url, &CLAIMS, Body::Empty)).await.is_stored());
        let others = instance.get(url).await;
        assert!(others.is_hit() && !others.text().contains("evil"), "{}", others.text());
    });
}

#[test]
fn a_cache_of_the_same_name_in_front_is_no_loop() {
    on_redis(async |world| {
        let through = [("cdn-loop", "spindrift"), ("via", "1.1 spindrift")];
        assert_eq!(world.instance().get_with(URL, &through).await.status, 508);
        let got = world.middleware("").get_with(URL, &through).await;
        assert_eq!(got.status, 200);
        assert_eq!(world.origin.last().header("cdn-loop"), "spindrift");
    });
}

#[test]
fn a_component_that_fails_is_a_500_and_stale_only_where_that_is_allowed() {
    on_redis(async |world| {
        for (cache_control, status) in [("max-age=60", 500), ("max-age=60, stale-if-error=60", 200)] {
            world.tell(&["FLUSHALL"]).await;
            let instance = world.middleware("");
            world.origin.answers(move |_| {
                Ok(crate::support::origin::reply(200, &[("cache-control", cache_control)], "page"))
            });
            instance.get(URL).await;
            world.origin.answers(|_| Err(UpstreamError::Failed("InternalError(secret)".to_owned())));
            assert!(instance.get(URL).await.is_hit());
            world.clock.advance_secs(61);
            let got = instance.get(URL).await;
            assert_eq!(got.status, status, "{cache_control}");
            if status == 500 {
                assert_eq!(got.header("content-type"), "application/problem+json");
                assert!(!got.text().contains("secret"), "{}", got.text());
                assert!(instance.env.logged("the component behind the cache failed: InternalError(secret)"));
            } else {
                assert_eq!((got.text(), got.detail()), ("page", "stale-if-error"));
            }
        }
    });
}

#[test]
fn reserved_paths_do_not_reach_the_next_component() {
    on_redis(async |world| {
        let instance = world.middleware("");
        assert_eq!(instance.get("https://shop.example/_spindrift/health").await.status, 200);
        assert_eq!(instance.get("https://shop.example/_spindrift/stats").await.status, 403);
        assert_eq!(world.origin.count(), 0);
    });
}

/// A component often does not declare the length of its content. If the content ends at once, it is sent as a whole,
/// with a length: otherwise the end of the chunks would be a small packet of its own, which a client acknowledges
/// late.
#[test]
fn content_of_unknown_length_that_ends_at_once_is_whole_and_a_stream_goes_on() {
    on_redis(async |world| {
        let instance = world.middleware("");
        let pieces = || vec![Ok(Bytes::from("first, ")), Ok(Bytes::from("second"))];
        world.origin.answers(move |seen| {
            let ends = Body::from_pieces(None, stream::iter(pieces()));
            let goes_on = Body::from_pieces(None, stream::iter(pieces()).chain(stream::pending()));
            let ended = seen.uri.path() == "/ends";
            let (directive, body) = if ended { ("max-age=60", ends) } else { ("no-store", goes_on) };
            Ok(crate::support::origin::with_body(200, &[("cache-control", directive)], body))
        });
        for method in ["GET", "POST"] {
            let asked = |path| request(method, &format!("https://shop.example{path}"), &[], Body::Empty);
            let whole = pipeline::serve(&instance.app, asked("/ends")).await.into_body();
            assert!(matches!(&whole, Body::Full(all) if all == "first, second"), "{method}: {whole:?}");
            let mut rest = pipeline::serve(&instance.app, asked("/goes-on")).await.into_body();
            assert_eq!(rest.chunk().await.unwrap().unwrap(), "first, second", "{method}");
        }
    });
}

#[test]
fn what_is_warmed_comes_to_the_next_component_like_a_request_inside_the_app() {
    on_redis(async |world| {
        let instance = world.middleware("");
        let warmed =
            pipeline::warm::warm(&instance.app, vec![Uri::from_static("https://shop.example/a?q=1")]).await;
        assert!(warmed[0].stored, "{warmed:?}");
        let asked = world.origin.last();
        assert_eq!(asked.uri.to_string(), "https://shop.example/a?q=1");
        assert_eq!(
            (asked.header("spin-path-info"), asked.header("spin-full-url")),
            ("/a", "https://shop.example/a?q=1")
        );
        instance.env.settle().await;
        assert!(instance.get("https://shop.example/a?q=1").await.is_hit());
    });
}

#[test]
fn what_is_refreshed_behind_the_answer_is_asked_as_it_was_before() {
    on_redis(async |world| {
        let instance = world.middleware("");
        world.origin.gives(200, &[("cache-control", "max-age=60, stale-while-revalidate=60")], "page");
        instance.get_with(URL, &SPIN).await;
        world.clock.advance_secs(61);
        assert_eq!(instance.get_with(URL, &SPIN).await.detail(), "stale-while-revalidate");
        assert_eq!(world.origin.count(), 2);
        assert_eq!(world.origin.last().header("spin-full-url"), URL);
    });
}
