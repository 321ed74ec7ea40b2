//! Cases of HTTP semantics as data, in `tests/cases/*.toml`, in the format of [`format`].

mod format;

use crate::support::exchange::{Got, request};
use crate::support::origin::reply;
use crate::support::server::RedisServer;
use crate::support::{Instance, World, run};
use format::{Case, Exchange, File, Kind, Origin};
use http::HeaderMap;
use spindrift::body::Body;
use spindrift::config::parse_duration;
use spindrift::env::UpstreamError;
use spindrift::time::Timestamp;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;

/// One test for each file; the last test checks that none is missing.
macro_rules! files {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            file(stringify!($name));
        })*

        #[test]
        fn every_file_of_cases_is_run_and_every_id_is_there_once() {
            let run: BTreeSet<String> = [$(stringify!($name)),*].map(str::to_owned).into();
            let there = std::fs::read_dir(directory()).unwrap().map(|entry| {
                entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()
            });
            assert_eq!(there.collect::<BTreeSet<_>>(), run);
            let ids = run.iter().flat_map(|name| read(name).case).map(|case| case.id);
            let mut once = BTreeSet::new();
            let twice: Vec<_> = ids.filter(|id| !once.insert(id.clone())).collect();
            assert!(twice.is_empty(), "{twice:?}");
        }
    };
}

files! {
    groups,
    no_vary_search,
    post,
    query,
    requests,
    storage,
    targeted,
    validation,
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

fn read(name: &str) -> File {
    let text = std::fs::read_to_string(directory().join(format!("{name}.toml"))).unwrap();
    toml::from_str(&text).unwrap_or_else(|error| panic!("{name}.toml: {error}"))
}

fn file(name: &'static str) {
    run(async || {
        let server = Rc::new(RedisServer::start());
        let mut failed = Vec::new();
        let cases = read(name).case;
        for case in &cases {
            let world = World::start(Rc::clone(&server)).await;
            world.tell(&["FLUSHALL"]).await;
            if let Err(why) = passes(&world, case).await {
                let kind = if case.kind == Kind::Required { "" } else { ", our choice" };
                failed.push(format!("{} ({}{kind}): {why}", case.id, case.section));
            }
            world.check_keys().await;
        }
        assert!(
            failed.is_empty(),
            "{} of {} in {name}.toml:\n{}",
            failed.len(),
            cases.len(),
            failed.join("\n")
        );
    });
}

async fn passes(world: &World, case: &Case) -> Result<(), String> {
    let mut instance = world.instance_with(&case.config);
    for (number, exchange) in case.exchange.iter().enumerate() {
        let place = |why| format!("exchange {}: {why}", number + 1);
        if let Some(after) = &exchange.after {
            world.clock.advance(parse_duration(after).ok_or_else(|| place(format!("no duration: {after}")))?);
        }
        if exchange.restart {
            instance = world.instance_with(&case.config);
        }
        if let Some(purge) = &exchange.purge {
            instance.purge(purge).await.map_err(|error| place(error.to_string()))?;
        }
        if exchange.request.is_some() {
            took_place(world, &instance, exchange).await.map_err(place)?;
        }
    }
    Ok(())
}

async fn took_place(world: &World, instance: &Instance, exchange: &Exchange) -> Result<(), String> {
    let Some(sent) = &exchange.request else { return Ok(()) };
    let now = world.clock.now();
    let origin = exchange.origin.clone();
    world.origin.answers(move |_| match &origin {
        Some(Origin { away: false, status, fields, content }) => {
            let fields = lines(fields, now);
            let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            Ok(reply(*status, &fields, content.clone()))
        }
        _ => Err(UpstreamError::Unreachable("away".to_owned())),
    });
    let before = world.origin.count();
    let url = if sent.url.starts_with('/') { format!("http://h{}", sent.url) } else { sent.url.clone() };
    let fields = lines(&sent.fields, now);
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let got = instance.send(request(&sent.method, &url, &fields, Body::from(sent.content.clone()))).await;
    check_origin(world, exchange, before, now)?;
    check_answer(exchange, &got, now)
}

/// What the origin saw.
fn check_origin(world: &World, exchange: &Exchange, before: usize, now: Timestamp) -> Result<(), String> {
    let asked = world.origin.count() > before;
    if asked != exchange.asked {
        return Err(if asked { "the origin was asked" } else { "the origin was not asked" }.to_owned());
    }
    if asked {
        let seen = world.origin.last();
        let url = seen.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
        if exchange.seen_url.as_deref().is_some_and(|wanted| wanted != url) {
            return Err(format!("the origin saw {url}"));
        }
        has(&seen.headers, &exchange.seen, now).map_err(|why| format!("the origin saw {why}"))?;
        has_not(&seen.headers, &exchange.unseen).map_err(|why| format!("the origin saw {why}"))?;
    }
    Ok(())
}

/// What the client got.
fn check_answer(exchange: &Exchange, got: &Got, now: Timestamp) -> Result<(), String> {
    let expect = &exchange.expect;
    let status = expect.status.unwrap_or(200);
    if got.status != status {
        return Err(format!("expected status {status}, found {} {:?}", got.status, got.body));
    }
    has(&got.headers, &expect.fields, now)?;
    has_not(&got.headers, &expect.without)?;
    let given = exchange.origin.as_ref().filter(|origin| exchange.asked && !origin.away);
    let given = given.map(|origin| &origin.content);
    if let Some(content) = expect.content.as_ref().or(given)
        && got.text() != content
    {
        return Err(format!("expected the content {content:?}, found {:?}", got.text()));
    }
    let cache = got.header("cache-status");
    let parameters: Vec<&str> =
        cache.rsplit(',').next().unwrap_or_default().split(';').map(str::trim).collect();
    match expect.cache.iter().find(|wanted| !parameters.contains(&wanted.as_str())) {
        Some(missing) => Err(format!("expected {missing} in Cache-Status, found {cache:?}")),
        None => Ok(()),
    }
}

/// One line `name: value` for each field.
fn lines(fields: &[String], now: Timestamp) -> Vec<(String, String)> {
    let line = |field: &String| {
        let (name, value) = field.split_once(':').unwrap_or((field, ""));
        (name.to_owned(), dated(value.trim(), now))
    };
    fields.iter().map(line).collect()
}

/// Puts dates in place of `{date:-60}`.
fn dated(value: &str, now: Timestamp) -> String {
    let Some((before, rest)) = value.split_once("{date:") else { return value.to_owned() };
    let (offset, after) = rest.split_once('}').unwrap();
    let offset: i64 = offset.parse().unwrap();
    let millis = now.as_millis().checked_add_signed(offset * 1000).unwrap();
    format!("{before}{}{after}", Timestamp::from_millis(millis).to_http_date())
}

fn has(headers: &HeaderMap, fields: &[String], now: Timestamp) -> Result<(), String> {
    for (name, expected) in lines(fields, now) {
        let found: Vec<_> =
            headers.get_all(&name).iter().map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
        if found.is_empty() || found.join(", ") != expected {
            return Err(format!("{name}: expected {expected:?}, found {found:?}"));
        }
    }
    Ok(())
}

fn has_not(headers: &HeaderMap, names: &[String]) -> Result<(), String> {
    match names.iter().find(|name| headers.contains_key(name.as_str())) {
        Some(name) => Err(format!("{name}: expected none, found {:?}", headers[name.as_str()])),
        None => Ok(()),
    }
}
