//! Attacks on the management API, and information about others that the cache could reveal.

use crate::support::exchange::{Got, get, request};
use crate::support::on_redis;
use crate::support::origin::reply;
use crate::support::{Instance, World};
use spindrift::body::Body;

const A: &str = "http://h/a";
const TOKEN: &str = "0123456789abcdef";
const PURGE: &str = "http://h/_spindrift/v1/purge";

fn managed(world: &World) -> Instance {
    world.instance_given(&[("admin_token", TOKEN)], "")
}

async fn post(instance: &Instance, url: &str, authorization: &str, json: &str) -> Got {
    let fields = [("authorization", authorization), ("content-type", "application/json")];
    instance
        .send(request("POST", url, &fields, Body::from(bytes::Bytes::copy_from_slice(json.as_bytes()))))
        .await
}

/// Attack 40.
#[test]
fn unauthenticated_purge_by_method_api_or_forged_form_does_nothing() {
    const ALL: &str = r#"{"prefixes":["/"]}"#;
    on_redis(async |world| {
        let (instance, closed) = (managed(world), world.instance());
        instance.get(A).await;
        for wrong in
            ["", "Bearer ", "Bearer 0123456789abcde", "Bearer 0123456789abcdefg", "Basic 0123456789abcdef"]
        {
            assert_eq!(post(&instance, PURGE, wrong, ALL).await.status, 401, "{wrong}");
        }
        assert_eq!(
            post(&closed, PURGE, &format!("Bearer {TOKEN}"), ALL).await.status,
            403,
            "it is switched off"
        );
        // A page of another site can send forms with cookies, but no bearer token.
        let form = [("cookie", "admin_token=0123456789abcdef"), ("content-type", "text/plain")];
        let query = format!("{PURGE}?admin_token={TOKEN}&access_token={TOKEN}");
        assert_eq!(instance.send(request("POST", &query, &form, Body::Empty)).await.status, 401);
        // The purge methods of Squid and nginx are ordinary methods here, which the origin refuses.
        world.origin.gives(405, &[], "no");
        for method in ["PURGE", "BAN", "INVALIDATE"] {
            assert_eq!(instance.send(request(method, A, &[], Body::Empty)).await.status, 405);
        }
        assert!(instance.get(A).await.is_hit(), "it is still there");
        assert_eq!(post(&instance, PURGE, &format!("Bearer {TOKEN}"), ALL).await.status, 200);
        assert!(!instance.get(A).await.is_hit());
    });
}

/// Attack 40.
#[test]
fn ssrf_no_request_chooses_where_it_is_sent() {
    on_redis(async |world| {
        let instance = managed(world);
        for host in ["169.254.169.254", "localhost:6379", "evil.example"] {
            instance.get(&format!("http://{host}/latest/meta-data")).await;
            assert_eq!(world.origin.last().uri.authority().unwrap(), "origin.test");
            let json = format!("{{\"urls\":[\"http://{host}/warmed\"]}}");
            let bearer = format!("Bearer {TOKEN}");
            assert_eq!(post(&instance, "http://h/_spindrift/v1/warm", &bearer, &json).await.status, 200);
            assert_eq!(world.origin.last().uri.authority().unwrap(), "origin.test");
        }
        let fields = [
            ("x-forwarded-host", "evil.example"),
            ("forwarded", "host=evil.example"),
            ("host", "evil.example"),
        ];
        instance.get_with("http://h/b", &fields).await;
        assert_eq!(world.origin.last().uri.authority().unwrap(), "origin.test");
    });
}

/// Attack 41.
#[test]
fn cache_status_oracle_shows_no_key_to_who_is_not_trusted_and_nothing_where_it_is_off() {
    on_redis(async |world| {
        let from = |address| [("spin-client-addr", address)];
        let shown = async |config: &str, address| {
            let instance = world.instance_with(config);
            instance.get(A).await;
            instance.get_with(A, &from(address)).await.header("cache-status").to_owned()
        };
        let all = shown("", "192.0.2.1:1").await;
        assert!(all.contains("hit") && !all.contains("key="), "{all}");
        let trusted = "[cache]\ncache_status = \"trusted\"\ntrusted = [\"10.0.0.0/8\"]\n";
        assert_eq!(shown(trusted, "192.0.2.1:1").await, "");
        assert!(shown(trusted, "10.1.2.3:1").await.contains("key="));
        // A client cannot pretend to have another address.
        let instance = world.instance_with(trusted);
        let mut forged = get(A, &[("spin-client-addr", "10.1.2.3:1"), ("x-forwarded-for", "10.1.2.3")]);
        forged.headers_mut().append("spin-client-addr", "192.0.2.1:1".parse().unwrap());
        assert_eq!(instance.send(forged).await.header("cache-status"), "");
        assert_eq!(shown("[cache]\ncache_status = \"none\"\n", "10.1.2.3:1").await, "");
    });
}

/// Attack 42 (RFC 9842).
#[test]
fn dictionary_compressed_responses_are_only_for_who_has_that_dictionary() {
    on_redis(async |world| {
        let config = "[cache]\nkey.encodings = [\"dcz\", \"dcb\", \"zstd\"]\n";
        let instance = world.instance_with(config);
        world.origin.answers(|seen| {
            let dictionary = seen.header("available-dictionary").to_owned();
            let coded = !dictionary.is_empty() && seen.header("accept-encoding").contains("dcz");
            let coding = if coded { "dcz" } else { "identity" };
            let fields = [
                ("cache-control", "max-age=60"),
                ("vary", "accept-encoding, available-dictionary"),
                ("content-encoding", coding),
            ];
            Ok(reply(200, &fields, format!("{coding} {dictionary}")))
        });
        let with = |dictionary| [("accept-encoding", "dcz, zstd"), ("available-dictionary", dictionary)];
        for _ in 0..2 {
            assert_eq!(instance.get_with(A, &with(":YQ==:")).await.text(), "dcz :YQ==:");
            assert_eq!(instance.get_with(A, &with(":Yg==:")).await.text(), "dcz :Yg==:");
            assert_eq!(instance.get_with(A, &[("accept-encoding", "dcz, zstd")]).await.text(), "identity ");
            assert_eq!(instance.get(A).await.text(), "identity ");
            // Another site may use the same dictionary for pages of its own.
            assert_eq!(instance.get_with("http://other/a", &with(":YQ==:")).await.text(), "dcz :YQ==:");
        }
        assert_eq!(world.origin.count(), 5);
    });
}
