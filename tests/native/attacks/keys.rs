//! Attacks on what separates stored responses from each other.

use super::{FRESH, echo};
use crate::support::entries::resource;
use crate::support::exchange::{get, request};
use crate::support::{PREFIX, on_redis, property};
use spindrift::body::Body;
use spindrift::redis::Keys;

/// Attack 1.
#[test]
fn host_confusion_other_hosts_ports_schemes_and_methods_never_share() {
    on_redis(async |world| {
        let instance = world.instance();
        echo(world);
        let urls = [
            "http://a.example/x",
            "https://a.example/x",
            "http://b.example/x",
            "http://a.example:8080/x",
            "http://a.example:443/x",
            "https://a.example:80/x",
            "http://a.example./x",
            "http://aa.example/x",
            "http://[::1]/x",
            "http://127.0.0.1/x",
        ];
        let mut first = Vec::new();
        for url in urls {
            first.push(instance.get(url).await.text().to_owned());
        }
        for (url, text) in urls.iter().zip(&first) {
            let again = instance.get(url).await;
            assert!(again.is_hit(), "{url}");
            assert_eq!(again.text(), text);
            assert_eq!(first.iter().filter(|other| *other == text).count(), 1, "{text}");
        }
        for method in ["QUERY", "POST", "PUT", "DELETE", "OPTIONS", "get", "PURGE"] {
            let got = instance.send(request(method, urls[0], &[], Body::Empty)).await;
            assert!(!got.is_hit() && got.text().starts_with(&format!("{method} ")), "{method}: {got:?}");
        }
        // These URLs are equivalent (RFC 9110 §4.2.3).
        for same in ["http://A.Example:80/x", "https://a.EXAMPLE:443/x"] {
            instance.get(&same.to_lowercase().replace(":80/", "/").replace(":443/", "/")).await;
            assert!(instance.get(same).await.is_hit(), "{same}");
        }
    });
}

/// Attack 2.
#[test]
fn path_confusion_nothing_is_decoded_or_resolved_before_it_is_looked_up() {
    on_redis(async |world| {
        let instance = world.instance();
        echo(world);
        let targets = [
            "/x", "/X", "/x/", "//x", "/%78", "/./x", "/y/../x", "/x?", "/x?a", "/x?a=", "/x?A", "/x?a&b",
            "/x?b&a", "/x%3Fa", "/x;a", "/x%2F", "/x%2f", "/x%00", "/x%23", "/x%0A", "/x?a%26b", "/x?a?b",
            "/x:1", "/x-1", "/x%20", "/x+", "/x.", "/x%2E", "/..%2Fx", "/x\\",
        ];
        for target in targets {
            let got = instance.get(&format!("http://h{target}")).await;
            assert!(got.is_stored() && got.text().ends_with(&format!(" {target}")), "{target}: {got:?}");
        }
        for target in targets {
            let got = instance.get(&format!("http://h{target}")).await;
            assert!(got.is_hit() && got.text().ends_with(&format!(" {target}")), "{target}: {got:?}");
        }
    });
}

/// Attack 3.
#[test]
fn key_injection_no_path_query_field_or_cookie_equals_another_key() {
    const CONFIG: &str = "[cache.key]\nheaders = [\"x-key\"]\ncookies = [\"c\"]\n";
    let one = ("(/|/[0-9a:;=&|~.%-]{0,6}|/4:http|/1:a1:b-)", proptest::option::of("[0-9a:;=&|~.%/?-]{0,6}"));
    let field = || proptest::option::of("[0-9a:=&|~.%{}-]{0,6}|x-key:1|cookie:63:1|content::0");
    let requests = proptest::collection::vec((one, field(), field()), 2..6);
    property(24, &requests, &async |world, requests| {
        let instance = world.instance_with(CONFIG);
        world.origin.answers(|seen| {
            let said =
                format!("{}\n{:?}\n{:?}", seen.uri, seen.headers.get("x-key"), seen.headers.get("cookie"));
            Ok(crate::support::origin::reply(200, FRESH, said))
        });
        for _ in 0..2 {
            for ((path, query), key, cookie) in &requests {
                let query = query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
                let Ok(uri) = format!("http://h{path}{query}").parse::<http::Uri>() else { continue };
                let mut asked = get("http://h/", &[]);
                *asked.uri_mut() = uri.clone();
                let cookie = cookie.as_ref().map(|value| format!("c={value}"));
                for (name, value) in [("x-key", key.as_ref()), ("cookie", cookie.as_ref())] {
                    if let Some(value) = value {
                        asked.headers_mut().insert(name, value.parse().unwrap());
                    }
                }
                let (key, cookie) =
                    (asked.headers().get("x-key").cloned(), asked.headers().get("cookie").cloned());
                let got = instance.send(asked).await;
                let target = uri.path_and_query().unwrap();
                assert_eq!(got.text(), format!("http://origin.test{target}\n{key:?}\n{cookie:?}"));
            }
        }
    });
}

/// Attack 4: Both keys have the same hash, as far as Redis can tell.
#[test]
fn hash_collision_an_entry_of_another_key_is_a_miss() {
    on_redis(async |world| {
        let instance = world.instance();
        echo(world);
        instance.get("http://h/victim").await;
        let key = |path| Keys::new(PREFIX).resource(resource(path).id()).as_str().to_owned();
        world.tell(&["COPY", &key("/victim"), &key("/collides"), "REPLACE"]).await;
        let got = instance.get("http://h/collides").await;
        assert!(!got.is_hit() && got.text().ends_with("/collides"), "{got:?}");
        assert!(instance.get("http://h/victim").await.text().ends_with("/victim"));
    });
}

/// Attack 5.
#[test]
fn spoofed_internal_fields_neither_reach_the_origin_nor_change_what_is_asked_for() {
    on_redis(async |world| {
        let instance = world.instance();
        echo(world);
        let spoofed = [
            ("spin-full-url", "http://evil.example/evil"),
            ("spin-path-info", "/evil"),
            ("spin-client-addr", "6.6.6.6:1"),
            ("spin-component-route", "/evil"),
            ("spin_full_url", "http://evil.example/evil"),
            ("spin.client_addr", "6.6.6.6:1"),
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-proto", "evil"),
            ("x-forwarded-port", "666"),
            ("x-real-ip", "6.6.6.6"),
            ("forwarded", "for=6.6.6.6;host=evil.example"),
            ("spindrift-session", "evil"),
            ("spindrift-session-user", "evil"),
            ("spindrift-session-id", "evil"),
        ];
        let got = instance.get_with("http://h/x", &spoofed).await;
        assert!(got.is_stored(), "{got:?}");
        let seen = world.origin.last();
        for (name, value) in &seen.headers {
            let value = value.to_str().unwrap();
            // The host appends the client's address. Without a host, as here, the forged value is the last one.
            let address = name == "x-forwarded-for" || name == "forwarded";
            assert!(address || !(value.contains("evil") || value.contains("666")), "{name}: {value}");
        }
        assert!(!seen.header("forwarded").contains("evil"));
        let clean = instance.get("http://h/x").await;
        assert!(clean.is_hit() && !clean.text().contains("evil"), "{clean:?}");
    });
}
