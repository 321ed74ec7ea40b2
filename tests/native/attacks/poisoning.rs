//! Attacks that make the cache store something harmful for others: unkeyed input, provoked errors, and pages that
//! look like files.

use super::{FRESH, reflect};
use crate::support::exchange::{get, request};
use crate::support::on_redis;
use crate::support::origin::{reply, streamed};
use bytes::Bytes;
use spindrift::body::Body;

const A: &str = "http://h/a";

/// Attack 6.
#[test]
fn unkeyed_override_fields_reflected_by_the_origin_poison_nobody() {
    on_redis(async |world| {
        let instance = world.instance();
        reflect(world);
        for field in [
            "x-forwarded-host",
            "x-forwarded-scheme",
            "x-forwarded-proto",
            "x-forwarded-port",
            "x-forwarded-prefix",
            "x-forwarded-server",
            "x-forwarded-ssl",
            "x-forwarded-path",
            "x-forwarded-uri",
            "x-original-url",
            "x-original-host",
            "x-original-uri",
            "x-rewrite-url",
            "x-host",
            "x-http-host-override",
            "x-http-method",
            "x-http-method-override",
            "x-method-override",
            "x-url-scheme",
            "front-end-https",
            "forwarded",
            "surrogate-capability",
        ] {
            world.tell(&["FLUSHALL"]).await;
            let poison = instance.get_with(A, &[(field, "evil")]).await;
            assert!(poison.is_stored() && !poison.text().contains("evil"), "{field}: {}", poison.text());
            let clean = instance.get(A).await;
            assert!(clean.is_hit() && !clean.text().contains("evil"), "{field}");
        }
    });
}

/// Attack 1: What a proxy in front says about scheme and host makes redirects and links, so it is part of the key.
#[test]
fn unkeyed_claims_of_a_trusted_proxy_are_keyed_and_told_as_they_are_in_the_key() {
    on_redis(async |world| {
        let instance = world.instance_with("[origin]\ntrust_forwarded = true");
        reflect(world);
        let of = [
            &[("x-forwarded-proto", "http")][..],
            &[("x-forwarded-proto", "https")],
            &[("x-forwarded-host", "A.example:80")],
            &[("x-forwarded-host", "b.example"), ("x-forwarded-port", "8080")],
            &[("forwarded", "for=192.0.2.1;host=c.example;proto=https")],
            &[("x-forwarded-host", "d.example"), ("forwarded", "host=evil.example")],
        ];
        let hosts = ["h", "h", "a.example", "b.example:8080", "c.example", "d.example"];
        for (claims, host) in of.into_iter().zip(hosts) {
            assert!(instance.get_with(A, claims).await.is_stored(), "{claims:?}");
            let asked = world.origin.last();
            assert_eq!(asked.header("x-forwarded-host"), host);
            assert!(asked.header("forwarded").contains(&format!("host=\"{host}\";proto=")), "{asked:?}");
            assert!(
                !asked.header("forwarded").contains("evil") && asked.header("x-forwarded-port").is_empty()
            );
            assert!(instance.get_with(A, claims).await.is_hit(), "{claims:?}");
        }
        assert!(instance.get("http://b.example:8080/a").await.is_hit());
        instance.purge_url("https://c.example/a").await;
        assert!(!instance.get_with(A, of[4]).await.is_hit());
    });
}

/// Attack 1: What makes no difference to the key must make none to the origin, which may write links with it.
#[test]
fn unkeyed_spellings_of_the_host_are_told_to_no_origin() {
    on_redis(async |world| {
        let instance = world.instance();
        reflect(world);
        for (odd, plain) in [
            ("http://H.Example:80/a", "http://h.example/a"),
            ("https://h.EXAMPLE:443/a", "https://h.example/a"),
            ("https://H.example:80/a", "https://h.example:80/a"),
        ] {
            assert!(instance.get(odd).await.is_stored(), "{odd}");
            let asked = world.origin.last();
            let host = plain.split('/').nth(2).unwrap();
            assert_eq!(asked.header("x-forwarded-host"), host);
            assert!(asked.header("forwarded").contains(&format!(";host=\"{host}\";")), "{asked:?}");
            assert!(instance.get(plain).await.is_hit(), "{plain}");
        }
    });
}

/// Attack 6: Servers that pass fields on as variables (RFC 3875 §4.1.18) confuse `X_Forwarded_Host` with
/// `X-Forwarded-Host`.
#[test]
fn unkeyed_override_fields_in_the_spelling_of_cgi_poison_nobody() {
    on_redis(async |world| {
        let config = "[cache]\nstrip_request = [\"x-original-url\", \"x-host\"]\nkey.headers = [\"x-host\", \"x-device\"]\n";
        let instance = world.instance_with(config);
        reflect(world);
        for field in [
            "x_forwarded_host",
            "x-forwarded_for",
            "x_real-ip",
            "x.forwarded.proto",
            "x_original-url",
            "x_host",
            "x_device",
            "accept_encoding",
            "accept_language",
        ] {
            world.tell(&["FLUSHALL"]).await;
            let poison = instance.get_with(A, &[(field, "evil")]).await;
            assert!(poison.is_stored() && !poison.text().contains("evil"), "{field}: {}", poison.text());
            let clean = instance.get(A).await;
            assert!(clean.is_hit() && !clean.text().contains("evil"), "{field}");
        }
        // The address that a client claims does not reach the origin either, even where nothing is stored.
        let put = instance.send(request("PUT", A, &[("x_forwarded_for", "evil")], Body::Empty)).await;
        assert!(!put.text().contains("evil"), "{}", put.text());
    });
}

/// Attack 6: Other fields that a site's framework reads can be listed in `strip_request`; keyed fields are kept.
#[test]
fn unkeyed_fields_that_the_route_names_poison_nobody() {
    on_redis(async |world| {
        let config = "[cache]\nstrip_request = [\"x-theme\", \"x-host\"]\nkey.headers = [\"x-host\"]\n";
        let instance = world.instance_with(config);
        reflect(world);
        let poison = instance.get_with(A, &[("x-theme", "evil"), ("x-host", "keyed")]).await;
        assert!(!poison.text().contains("evil") && poison.text().contains("keyed"));
        let clean = instance.get(A).await;
        assert!(!clean.is_hit() && !clean.text().contains("keyed"));
        // A request that bypasses the cache is forwarded unchanged.
        let put = instance.send(request("PUT", A, &[("x-theme", "mine")], Body::Empty)).await;
        assert!(put.text().contains("mine"));
    });
}

/// Attack 7.
#[test]
fn fat_get_content_reaches_no_origin_whose_answer_others_get() {
    on_redis(async |world| {
        let instance = world.instance();
        world.origin.answers(|seen| Ok(reply(200, FRESH, format!("page {:?}", seen.body))));
        let fat = [("content-length", "4")];
        let got = instance.send(request("GET", A, &fat, Bytes::from_static(b"evil").into())).await;
        assert_eq!((got.forwarded(), got.detail(), got.is_stored()), ("bypass", "request-content", false));
        // In chunks, without a length.
        let pieces = futures_util::stream::iter([Ok(Bytes::from_static(b"evil"))]);
        let got = instance.send(request("GET", A, &[], Body::from_pieces(None, pieces))).await;
        assert_eq!(got.text(), "page b\"\"");
        assert_eq!(instance.get(A).await.text(), "page b\"\"");
    });
}

/// Attack 7 (CPDoS, HTTP method override).
#[test]
fn cpdos_hmo_a_method_override_does_not_fill_the_cache_with_an_error() {
    on_redis(async |world| {
        let instance = world.instance();
        world.origin.answers(|seen| {
            let overridden = seen.headers.keys().any(|name| name.as_str().contains("method"));
            Ok(if overridden { reply(404, FRESH, "no such method") } else { reply(200, FRESH, "page") })
        });
        for field in ["x-http-method-override", "x-http-method", "x-method-override"] {
            instance.get_with(A, &[(field, "DELETE")]).await;
            assert_eq!(instance.get(A).await.text(), "page", "{field}");
        }
    });
}

/// Attack 7.
#[test]
fn parameter_cloaking_what_the_key_leaves_out_the_origin_does_not_see() {
    on_redis(async |world| {
        let config = "[cache.key]\nquery = { except = [\"utm_*\"] }\n";
        let instance = world.instance_with(config);
        world.origin.answers(|seen| Ok(reply(200, FRESH, seen.uri.to_string())));
        for (asked, sees) in [
            ("?q=1&utm_content=evil", "?q=1"),
            ("?utm_content=x;q=evil&q=1", "?q=1"),
            ("?utm_content=x%26q=evil&q=1", "?q=1"),
            ("?%75tm_content=evil&q=1", "?q=1"),
            ("?q=1&utm%5fcontent=evil", "?q=1"),
            ("?q=1&q=evil", "?q=1&q=evil"),
            ("?q=evil&q=1", "?q=evil&q=1"),
            ("?q=1;utm_content=x", "?q=1;utm_content=x"),
            ("?q=1", "?q=1"),
        ] {
            let got = instance.get(&format!("{A}{asked}")).await;
            assert_eq!(got.text(), format!("http://origin.test/a{sees}"), "{asked}");
        }
    });
}

/// Attack 8 (CPDoS, HTTP header oversize and HTTP meta character).
#[test]
fn cpdos_hho_hmc_an_error_that_a_broken_field_provokes_is_not_kept() {
    on_redis(async |world| {
        for (config, explicit) in [("", false), ("[cache]\nttl = \"1h\"\n", false), ("", true)] {
            let instance = world.instance_with(config);
            // RFC 6585: these must not be stored, whatever they say about their freshness.
            let codes: &[u16] = if explicit {
                &[401, 407, 428, 429, 431, 511]
            } else {
                &[400, 403, 404, 413, 414, 431, 500, 501]
            };
            for code in codes {
                world.tell(&["FLUSHALL"]).await;
                let code = *code;
                world.origin.answers(move |seen| {
                    let broken = seen.header("x-long").len() > 1000 || seen.headers.contains_key("x-meta");
                    let fields = if explicit { FRESH } else { &[] };
                    Ok(if broken { reply(code, fields, "error") } else { reply(200, FRESH, "page") })
                });
                let long = "x".repeat(8000);
                for broken in [("x-long", long.as_str()), ("x-meta", "\t")] {
                    let got = instance.get_with(A, &[broken]).await;
                    assert_eq!((got.status, got.is_stored()), (code, false), "{code}");
                    assert_eq!(instance.get(A).await.text(), "page", "{code}");
                    world.tell(&["FLUSHALL"]).await;
                }
            }
        }
    });
}

/// Attack 9.
#[test]
fn empty_body_poisoning_nothing_empty_takes_the_place_of_a_page() {
    on_redis(async |world| {
        let instance = world.instance();
        for (status, fields) in [
            (204, &[][..]),
            (200, &[("content-length", "0")][..]),
            (200, &[("cache-control", "max-age=60"), ("content-length", "4")][..]),
        ] {
            world.tell(&["FLUSHALL"]).await;
            world.origin.gives(200, &[("cache-control", "max-age=60"), ("etag", "\"1\"")], "page");
            instance.get(A).await;
            world.clock.advance_secs(61);
            world.origin.answers(move |_| Ok(streamed(status, fields, vec![])));
            instance.send_only(get(A, &[])).await;
            instance.env.settle().await;
            world.origin.gives(200, FRESH, "page");
            assert_eq!(instance.get(A).await.text(), "page", "{status} {fields:?}");
        }
    });
}

/// Attack 10.
#[test]
fn unkeyed_framework_fields_select_where_the_response_says_so_and_go_where_the_route_says_so() {
    on_redis(async |world| {
        let instance = world.instance();
        world.origin.answers(|seen| {
            let text = if seen.headers.contains_key("rsc") { "payload" } else { "page" };
            Ok(reply(200, &[("cache-control", "max-age=60"), ("vary", "RSC")], text))
        });
        assert_eq!(instance.get_with(A, &[("rsc", "1")]).await.text(), "payload");
        assert_eq!(instance.get(A).await.text(), "page");
        // The origin sends no `Vary` for the fields that it uses.
        world.tell(&["FLUSHALL"]).await;
        let config = "[cache]\nstrip_request = [\"rsc\", \"x-now-route-matches\"]\n";
        let instance = world.instance_with(config);
        reflect(world);
        let fields = [("rsc", "evil"), ("x-now-route-matches", "evil")];
        assert!(!instance.get_with(A, &fields).await.text().contains("evil"));
        assert!(instance.get(A).await.is_hit());
    });
}

/// Attack 10.
#[test]
fn unkeyed_cookies_do_not_reach_an_origin_that_may_not_see_them() {
    on_redis(async |world| {
        let config = "[cache]\nrequest_cookies = \"key\"\nkey.cookies = [\"lang\", \"theme\"]\n";
        let instance = world.instance_with(config);
        reflect(world);
        let cookie = |value| [("cookie", value)];
        let poison = instance.get_with(A, &cookie("sid=evil; lang=de; x=evil; theme=\"a\"")).await;
        assert_eq!(world.origin.last().header("cookie"), "lang=de; theme=\"a\"");
        assert!(poison.is_stored() && !poison.text().contains("evil"));
        assert!(instance.get_with(A, &cookie("theme=\"a\"; lang=de")).await.is_hit());
        assert!(!instance.get_with(A, &cookie("theme=b; lang=de")).await.is_hit());
        let none = world.instance_with("[cache]\nrequest_cookies = \"key\"\n");
        none.get_with("http://h/b", &cookie("sid=evil")).await;
        assert!(!world.origin.last().headers.contains_key("cookie"));
    });
}

/// Attack 10: All cookies with a keyed name are part of the key, in whatever position and number, as the origin may use
/// any of them.
#[test]
fn unkeyed_copies_of_a_keyed_cookie_are_keyed_too() {
    on_redis(async |world| {
        let instance = world.instance_with("[cache]\nkey.cookies = [\"lang\"]\n");
        instance.get(A).await;
        for cookie in ["lang=evil", "lang=; lang=evil", "x=\u{e9}; lang=worse", " lang =worst"] {
            let got = instance.get_with(A, &[("cookie", cookie)]).await;
            assert!(!got.is_hit(), "{cookie}");
        }
        assert!(instance.get_with(A, &[("cookie", "x=\u{e9}")]).await.is_hit());
    });
}

/// Attack 11 (Web cache deception).
#[test]
fn deception_a_page_that_looks_like_a_file_is_not_kept() {
    const PATHS: [&str; 7] = [
        "/account/x.css",
        "/account%2Fx.css",
        "/account;x.css",
        "/account%0Ax.css",
        "/account%00.js",
        "/static/..%2Faccount.css",
        "/account.css?x.css",
    ];
    on_redis(async |world| {
        world.origin.gives(200, &[("content-type", "text/html")], "secret");
        let instance = world.instance();
        for path in PATHS {
            let got = instance.get(&format!("http://h{path}")).await;
            assert_eq!((got.is_stored(), got.detail()), (false, "no-freshness"), "{path}");
        }
        // A rule for files does not override what the origin forbids, and it can require a content type.
        let rule = "[[route]]\npath = \"*.css\"\ncache = { ttl = \"7d\", content_types = [\"text/css\"] }\n";
        let instance = world.instance_with(rule);
        let got = instance.get("http://h/account/x.css").await;
        assert_eq!((got.is_stored(), got.detail()), (false, "content-type"));
        for fields in [
            &[("content-type", "text/css"), ("cache-control", "private")][..],
            &[("content-type", "text/css"), ("cache-control", "no-store")],
            &[("content-type", "text/css"), ("set-cookie", "sid=1")],
            &[("content-type", "text/css"), ("vary", "cookie")],
        ] {
            world.origin.gives(200, fields, "secret");
            assert!(!instance.get("http://h/account/x.css").await.is_stored(), "{fields:?}");
        }
        world.origin.gives(200, &[("content-type", "Text/CSS; charset=utf-8")], "a{}");
        let authorised = [("authorization", "Bearer x")];
        assert!(!instance.get_with("http://h/account/x.css", &authorised).await.is_stored());
        assert!(instance.get("http://h/x.css").await.is_stored());
    });
}
