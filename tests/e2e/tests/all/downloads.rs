//! Downloads in progress when their source fails or is replaced.

use crate::support::{hit, stored};
use spindrift_e2e::{Client, Gateway, Origin, Received, Redis, Reply, Request, Streaming};

/// More than fits into the socket buffers between Redis and a client that does not read.
const LENGTH: usize = 20_000_000;

/// How many downloads are in progress.
const DOWNLOADS: usize = 4;

fn content() -> Vec<u8> {
    (0..LENGTH).map(|at| (at / 251 + at % 251) as u8).collect()
}

/// An origin with one large page, which it sends whole or in part.
fn origin() -> Origin {
    let all = content();
    Origin::start(move |exchange| exchange.reply(&answer(&all, &exchange.request)))
}

fn answer(all: &[u8], request: &Received) -> Reply {
    let reply = |content: &[u8]| Reply::fresh(content).header("etag", "\"1\"").header("cache-tag", "t");
    let asked = request.header("range").filter(|_| request.header("if-range") == Some("\"1\""));
    let Some((first, last)) = asked.and_then(|range| range.strip_prefix("bytes=")?.split_once('-')) else {
        return reply(all);
    };
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    let carried = format!("bytes {first}-{last}/{LENGTH}");
    reply(&all[first..=last]).with_status(206).header("content-range", &carried)
}

/// Begins to read a stored response, does `what`, and reads to the end.
fn interrupted(gateway: &Gateway, redis: &Redis, what: impl FnOnce()) {
    let page = Request::get("/large");
    stored(gateway, redis, &page);
    hit(gateway, &page);
    let mut clients: Vec<Client> = (0..DOWNLOADS).map(|_| gateway.client()).collect();
    let mut downloads: Vec<(Vec<u8>, Streaming<'_>)> = Vec::new();
    for client in &mut clients {
        client.start(&page);
        let mut download = client.response(false);
        let first = download.piece().unwrap();
        downloads.push((first, download));
    }
    what();
    let content = content();
    for (first, download) in downloads {
        let rest = download.read();
        assert!(rest.cache_status().is_hit() && rest.complete, "{:?}", rest.headers);
        assert!([first, rest.body].concat() == content, "it is as it was");
    }
}

#[test]
fn they_go_on_from_the_origin_when_redis_goes_away() {
    let (origin, redis) = (origin(), Redis::start());
    let gateway = Gateway::before(&origin).redis(&redis).start();
    interrupted(&gateway, &redis, || redis.stop());
    let requests = origin.requests();
    let rests = requests.iter().filter(|it| it.header("range").is_some()).count();
    assert_eq!((requests.len(), rests), (1 + DOWNLOADS, DOWNLOADS));
}

#[test]
fn they_go_on_from_the_store_when_it_is_purged() {
    let (origin, redis) = (origin(), Redis::start());
    let gateway = Gateway::before(&origin).redis(&redis).managed().start();
    interrupted(&gateway, &redis, || {
        gateway.purge(r#"{"tags":["t"]}"#);
        gateway.await_log("swept: 1 of 1");
    });
    assert_eq!(origin.count(), 1);
}
