//! Fetching into the cache before the first request.

use crate::support::exchange::request;
use crate::support::on_redis;
use crate::support::origin::reply;
use spindrift::body::Body;
use spindrift::pipeline::warm::{Warm, warm};

fn targets(urls: &[&str]) -> Vec<http::Uri> {
    Warm { urls: urls.iter().map(|&url| url.to_owned()).collect() }.targets().unwrap()
}

#[test]
fn what_is_warmed_is_a_hit() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let urls = ["http://h/a", "http://h/b?c", "https://other/a"];
        let warmed = warm(&one.app, targets(&urls)).await;
        assert!(warmed.iter().all(|it| it.stored && it.status == 200), "{warmed:?}");
        assert_eq!(warmed.iter().map(|it| it.url.as_str()).collect::<Vec<_>>(), urls);
        for url in urls {
            assert!(other.get(url).await.is_hit(), "{url}");
        }
        let again = warm(&one.app, targets(&urls)).await;
        assert!(again.iter().all(|it| it.stored));
        assert_eq!(world.origin.count(), 3);
    });
}

#[test]
fn what_is_warmed_is_a_hit_for_browsers_where_it_is_encoded() {
    on_redis(async |world| {
        let instance = world.instance_with(
            "[cache]\ncompress = [\"br\"]\n[[route]]\npath = \"/gzip/*\"\ncache = { compress = [], key.encodings = [\"gzip\"] }\n",
        );
        let text = "a text of some length ".repeat(100);
        let fields = [("cache-control", "max-age=60"), ("content-type", "text/plain")];
        world.origin.answers(move |seen| {
            let is_encoded = seen.uri.path() == "/gzip/a";
            let coding: &[_] =
                if is_encoded { &[("content-encoding", "gzip"), ("vary", "accept-encoding")] } else { &[] };
            Ok(reply(200, &[&fields, coding].concat(), text.clone()))
        });
        let urls = ["http://h/a", "http://h/gzip/a"];
        assert!(warm(&instance.app, targets(&urls)).await.iter().all(|it| it.stored));
        for (url, coding) in urls.into_iter().zip(["br", "gzip"]) {
            let browser = request("GET", url, &[("accept-encoding", "gzip, deflate, br, zstd")], Body::Empty);
            let got = instance.send(browser).await;
            assert_eq!((got.is_hit(), got.header("content-encoding")), (true, coding), "{url}");
        }
    });
}

#[test]
fn what_cannot_be_stored_says_why() {
    on_redis(async |world| {
        let instance = world.instance_with("[[route]]\npath = \"/api/*\"\ncache.mode = \"bypass\"\n");
        world.origin.answers(|seen| match seen.uri.path() {
            "/private" => Ok(reply(200, &[("cache-control", "private")], "x")),
            "/missing" => Ok(reply(404, &[], "x")),
            _ => Err(spindrift::env::UpstreamError::TimedOut("slow".to_owned())),
        });
        let urls = ["http://h/private", "http://h/missing", "http://h/slow", "http://h/api/x"];
        let warmed = warm(&instance.app, targets(&urls)).await;
        let found: Vec<_> = warmed.iter().map(|it| (it.stored, it.status, it.detail)).collect();
        assert_eq!(
            found,
            [
                (false, 200, Some("private")),
                (false, 404, Some("no-freshness")),
                (false, 504, None),
                (false, 200, Some("route")),
            ]
        );
        assert_eq!(world.origin.count(), 3, "what is never stored is not fetched");
    });
}

#[test]
fn no_more_than_some_are_fetched_at_once() {
    on_redis(async |world| {
        let instance = world.instance();
        let urls: Vec<String> = (0..50).map(|number| format!("http://h/{number}")).collect();
        let urls = Warm { urls }.targets().unwrap();
        world.origin.hold();
        let (warmed, at_once) = tokio::join!(warm(&instance.app, urls), world.origin.asked_at_once(8));
        assert_eq!((warmed.iter().filter(|it| it.stored).count(), at_once), (50, 8));
    });
}

#[test]
fn what_is_no_url_is_refused_with_its_place() {
    let wanted = Warm { urls: vec!["http://h/a".to_owned(), "/b".to_owned(), "ftp://h/c".to_owned()] };
    let problems = wanted.targets().unwrap_err();
    assert!(problems[0].starts_with("urls[1]: expected an http:// or https:// URL"), "{problems:?}");
    assert_eq!(problems.len(), 2);
    assert!(Warm::default().targets().is_err());
}
