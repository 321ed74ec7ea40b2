//! What Prometheus gets, parsed as strictly as its format is specified (exposition format 0.0.4).

use crate::permissions::documented_user;
use crate::support::exchange::{get, request};
use crate::support::{Instance, PREFIX, World, on_redis};
use serde_json::{Value, json};
use spindrift::body::Body;
use spindrift::redis::Keys;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

const CONFIG: &str = r#"
limits = ["visitors", "watched"]
[redis]
timeout = "1m"
connect_timeout = "1m"
[metrics]
enabled = true
[[limit]]
name = "visitors"
limit = 4
period = "1h"
[[limit]]
name = "watched"
limit = 1
period = "1h"
shadow = true
[[route]]
name = "a,b}c"
path = "/odd/*"
[[queue]]
name = "mail"
[[webhook]]
name = "hook"
topics = ["orders"]
target = "http://hooks.test/"
"#;

/// A sample: its labels, and its value.
type Sample = (BTreeMap<String, String>, f64);

/// A family: its type, and its samples by their full names.
#[derive(Default, Debug)]
struct Family {
    kind: String,
    samples: Vec<(String, Sample)>,
}

/// Parses the whole text; panics at the first line that is not valid.
fn parse(text: &str) -> BTreeMap<String, Family> {
    assert!(text.ends_with('\n'), "the last line has an end too");
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let (mut helped, mut current) = (BTreeSet::new(), String::new());
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help has a text");
            assert!(helped.insert(name.to_owned()), "{line}: twice");
            assert!(!help.is_empty() && !help.contains('\\'), "{line}");
            current = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, current, "the type follows the help");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            let family = Family { kind: kind.to_owned(), samples: Vec::new() };
            assert!(families.insert(name.to_owned(), family).is_none(), "{line}: twice");
        } else {
            let (name, sample) = sample(line);
            assert!(seen.insert((name.clone(), sample.0.clone())), "{line}: twice");
            let family = families.get_mut(&current).expect("samples follow their type");
            let ending =
                name.strip_prefix(current.as_str()).unwrap_or_else(|| panic!("{line} is not of {current}"));
            let endings: &[&str] =
                if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(endings.contains(&ending), "{line}");
            family.samples.push((name, sample));
        }
    }
    families.iter().for_each(|(name, family)| check(name, family));
    families
}

fn sample(line: &str) -> (String, Sample) {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("{line}: no value"));
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{line}: no label"));
            assert!(is_label(label), "{line}: {label}");
            let (value, after) = quoted(after);
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}: {label} twice");
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line}: one blank before the value"));
    assert!(!value.contains(' '), "{line}: no time");
    (name.to_owned(), (labels, value.parse().unwrap_or_else(|_| panic!("{line}: no number"))))
}

fn is_label(text: &str) -> bool {
    let first = |c: char| c.is_ascii_lowercase() || c == '_';
    text.starts_with(first) && text.chars().all(|c| first(c) || c.is_ascii_digit())
}

fn quoted(text: &str) -> (String, &str) {
    let (mut value, mut characters) = (String::new(), text.char_indices());
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => match characters.next().unwrap().1 {
                'n' => value.push('\n'),
                c @ ('\\' | '"') => value.push(c),
                other => panic!("\\{other} is no escape"),
            },
            c => value.push(c),
        }
    }
    panic!("no end of {text}")
}

/// Conventions: the prefix, base units, `_total` for counters only; buckets that add up.
fn check(name: &str, family: &Family) {
    assert!(
        name.starts_with("spindrift_") && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
        "{name}"
    );
    assert_eq!(name.ends_with("_total"), family.kind == "counter", "{name}");
    assert!(!name.contains("milli") && !name.ends_with("_ms"), "{name}");
    assert!(!family.samples.is_empty(), "{name} has no samples");
    assert!(family.samples.iter().all(|(_, (_, value))| *value >= 0.0), "{name}");
    if family.kind != "histogram" {
        return;
    }
    let mut series: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
    for (_, (labels, value)) in family.samples.iter().filter(|(name, _)| name.ends_with("_bucket")) {
        let mut labels = labels.clone();
        let bound = labels.remove("le").expect("a bucket has a bound");
        let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() };
        series.entry(labels).or_default().push((bound, *value));
    }
    for (labels, buckets) in series {
        assert!(
            buckets.windows(2).all(|two| two[0].0 < two[1].0 && two[0].1 <= two[1].1),
            "{name} {buckets:?}"
        );
        let find = |ending: &str| {
            let wanted = format!("{name}{ending}");
            let found = family.samples.iter().find(|(name, its)| *name == wanted && its.0 == labels);
            found.unwrap_or_else(|| panic!("{wanted} {labels:?} is missing")).1.1
        };
        let last = buckets.last().unwrap();
        assert_eq!((last.0, last.1), (f64::INFINITY, find("_count")), "{name}");
        find("_sum");
    }
}

impl World {
    fn counted(&self) -> Instance {
        self.instance_given(&[("admin_token", TOKEN), ("config", CONFIG)], "")
    }
}

async fn call(instance: &Instance, method: &str, path: &str, content: Value) -> String {
    let bearer = format!("Bearer {TOKEN}");
    let body = Body::from(content.to_string().into_bytes());
    let got = instance
        .send(request(method, &format!("http://h/_spindrift/{path}"), &[("authorization", &bearer)], body))
        .await;
    assert!((200..300).contains(&got.status), "{method} {path}: {got:?}");
    got.text().to_owned()
}

fn value(families: &BTreeMap<String, Family>, name: &str, labels: &[(&str, &str)]) -> f64 {
    let family = families.get(name).unwrap_or_else(|| panic!("{name} is missing: {:?}", families.keys()));
    let labels: BTreeMap<_, _> = labels.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let found = family.samples.iter().find(|(_, its)| its.0 == labels);
    found.unwrap_or_else(|| panic!("{name} {labels:?} is missing: {family:?}")).1.1
}

/// An instance lives until it has sent its counts, and some hosts use each instance for one request.
#[test]
fn counts_are_gathered_for_a_short_while_the_first_time() {
    on_redis(async |world| {
        let instance = world.instance_with("[metrics]\nenabled = true\n");
        for (gather, other) in [(50, 500), (500, 50)] {
            let [gather, other] = [gather, other].map(Duration::from_millis);
            assert_eq!(instance.send_only(get("http://h/a", &[])).await.status, 200);
            while !instance.env.waits_for(gather) {
                assert!(!instance.env.waits_for(other), "{other:?}");
                tokio::task::yield_now().await;
            }
            instance.env.expire_waits_of(gather);
            instance.env.settle().await;
        }
        let counters: BTreeMap<_, _> = instance.channel().counters().await.unwrap().into_iter().collect();
        let requests: i64 = counters.iter().filter(|of| of.0.starts_with("requests")).map(|of| of.1).sum();
        assert_eq!(requests, 2, "{counters:?}");
    });
}

#[test]
fn everything_that_is_counted_and_looked_at_is_there_and_well_formed() {
    on_redis(async |world| {
        let instance = world.counted();
        for path in ["a", "a", "odd/x", "a", "a"] {
            instance.get(&format!("http://h/{path}")).await;
        }
        for delay in [0, 0, 60] {
            call(&instance, "POST", "v1/queues/mail/jobs", json!({"data": 1, "delay": delay})).await;
        }
        call(&instance, "POST", "v1/queues/mail/claim", json!({})).await;
        call(&instance, "POST", "v1/queues/odd%22%5Cname/jobs", json!({"data": 1})).await;
        call(&instance, "POST", "v1/queues/mail/pause", json!({})).await;
        call(&instance, "POST", "v1/channels/orders", json!({"data": 1})).await;
        call(&instance, "POST", "v1/purge", json!({"tags": ["news"], "soft": true})).await;
        let found = parse(&call(&instance, "GET", "metrics", json!({})).await);
        let requests = |route, outcome| {
            value(&found, "spindrift_requests_total", &[("route", route), ("outcome", outcome)])
        };
        assert_eq!((requests("default", "miss"), requests("default", "hit")), (1.0, 2.0));
        assert_eq!((requests("a,b}c", "miss"), requests("default", "refused")), (1.0, 1.0));
        let decided = |policy, outcome| {
            value(&found, "spindrift_limit_decisions_total", &[("policy", policy), ("outcome", outcome)])
        };
        assert_eq!((decided("visitors", "allowed"), decided("visitors", "denied")), (4.0, 1.0));
        assert_eq!(decided("watched", "shadow_denied"), 4.0);
        for (state, count) in [("ready", 1.0), ("delayed", 1.0), ("leased", 1.0), ("dead", 0.0)] {
            assert_eq!(
                value(&found, "spindrift_queue_jobs", &[("queue", "mail"), ("state", state)]),
                count,
                "{state}"
            );
        }
        assert_eq!(
            value(&found, "spindrift_queue_jobs", &[("queue", "odd\"\\name"), ("state", "ready")]),
            1.0
        );
        assert_eq!(value(&found, "spindrift_queue_paused", &[("queue", "mail")]), 1.0);
        assert!(
            value(&found, "spindrift_topic_lag_seconds", &[("topic", "orders"), ("webhook", "hook")]) > 0.0
        );
        assert_eq!(value(&found, "spindrift_purge_ledger_entries", &[]), 1.0);
        assert_eq!(value(&found, "spindrift_redis_up", &[]), 1.0);
        assert_eq!(value(&found, "spindrift_requests_waiting", &[]), 0.0);
        for histogram in ["spindrift_response_seconds", "spindrift_origin_seconds", "spindrift_redis_seconds"]
        {
            assert_eq!(found[histogram].kind, "histogram");
        }
        let stats: Value = serde_json::from_str(&call(&instance, "GET", "stats", json!({})).await).unwrap();
        assert_eq!(stats["limits"]["watched"]["shadow_denied"], 4);
        assert_eq!(stats["purges"], json!([{"kind": "tag", "target": "news", "soft": true}]));
        assert_eq!((&stats["redis"]["status"], &stats["requests"]["hits"]), (&json!("ok"), &json!(2)));
        assert_eq!(
            (&stats["queues"][0]["name"], &stats["queues"][0]["paused"]),
            (&json!("mail"), &json!(true))
        );
        assert!(stats["latency"]["redis"]["count"].as_u64().unwrap() > 5);
    });
}

#[test]
fn a_queue_or_a_topic_that_cannot_be_looked_at_hides_no_other() {
    on_redis(async |world| {
        let instance = world.counted();
        for queue in ["mail", "other"] {
            call(&instance, "POST", &format!("v1/queues/{queue}/jobs"), json!({"data": 1})).await;
        }
        call(&instance, "POST", "v1/channels/orders", json!({"data": 1})).await;
        let keys = Keys::new(PREFIX);
        for key in [keys.queue_part("other", "r"), keys.topic_state("orders")] {
            world.tell(&["SET", key.as_str(), "of another type", "EX", "99"]).await;
        }
        let found = parse(&call(&instance, "GET", "metrics", json!({})).await);
        assert_eq!(value(&found, "spindrift_redis_up", &[]), 1.0);
        assert_eq!(value(&found, "spindrift_queue_jobs", &[("queue", "mail"), ("state", "ready")]), 1.0);
        assert!(instance.env.logged("other"), "{:?}", instance.env.log_lines());
    });
}

#[test]
fn without_redis_gauges_say_so() {
    on_redis(async |world| {
        for given in [("redis_enabled", "false"), ("redis_url", "redis://127.0.0.1:1")] {
            let instance = world.instance_given(&[("admin_token", TOKEN), ("config", CONFIG), given], "");
            let found = parse(&call(&instance, "GET", "metrics", json!({})).await);
            assert_eq!(value(&found, "spindrift_redis_up", &[]), 0.0);
            assert!(found.values().all(|family| family.kind == "gauge"), "{found:?}");
            let stats: Value =
                serde_json::from_str(&call(&instance, "GET", "stats", json!({})).await).unwrap();
            assert_eq!((&stats["requests"], &stats["queues"]), (&Value::Null, &json!([])));
            assert_ne!(stats["redis"]["status"], "ok");
        }
    });
}

#[test]
fn who_waits_for_a_fetch_is_seen() {
    on_redis(async |world| {
        let instance = world.counted();
        world.origin.hold();
        let look = async {
            world.origin.asked(1).await;
            loop {
                let found = parse(&call_only(&instance).await);
                if value(&found, "spindrift_requests_waiting", &[]) == 2.0 {
                    break;
                }
                tokio::task::yield_now().await;
            }
            world.origin.release();
        };
        let get = || instance.send_only(request("GET", "http://h/a", &[], Body::Empty));
        tokio::join!(get(), get(), get(), look);
        instance.env.settle().await;
    });
}

/// Calls without waiting for the background work of other requests.
async fn call_only(instance: &Instance) -> String {
    let bearer = format!("Bearer {TOKEN}");
    let fields = [("authorization", bearer.as_str())];
    instance
        .send_only(request("GET", "http://h/_spindrift/metrics", &fields, Body::Empty))
        .await
        .text()
        .to_owned()
}

#[test]
fn a_hit_asks_redis_once_however_much_is_counted() {
    on_redis(async |world| {
        let instance = world.instance_given(&[], "[metrics]\nenabled = true\n");
        instance.get("http://h/a").await;
        instance.env.settle().await;
        let before = world.commandstats().await;
        let hit = instance.send_only(request("GET", "http://h/a", &[], Body::Empty)).await;
        assert!(hit.is_hit());
        let after = world.commandstats().await;
        let more = |name: &str| after.get(name).unwrap_or(&0) - before.get(name).unwrap_or(&0);
        assert_eq!(
            (more("mget"), more("evalsha"), more("hincrby")),
            (1, 0, 0),
            "nothing is sent before the answer"
        );
        instance.env.settle().await;
        assert!(
            world.commandstats().await.get("hincrby").unwrap_or(&0) > before.get("hincrby").unwrap_or(&0)
        );
    });
}

#[test]
fn looking_needs_no_other_permissions_than_the_manual_names() {
    on_redis(async |world| {
        let address = documented_user(world).await;
        let given = [("admin_token", TOKEN), ("config", CONFIG), ("redis_url", address.as_str())];
        let instance = world.instance_given(&given, "");
        call(&instance, "POST", "v1/queues/mail/jobs", json!({"data": 1})).await;
        call(&instance, "POST", "v1/purge", json!({"tags": ["news"]})).await;
        let found = parse(&call(&instance, "GET", "metrics", json!({})).await);
        assert_eq!(value(&found, "spindrift_redis_up", &[]), 1.0);
        assert_eq!(value(&found, "spindrift_queue_jobs", &[("queue", "mail"), ("state", "ready")]), 1.0);
        let stats: Value = serde_json::from_str(&call(&instance, "GET", "stats", json!({})).await).unwrap();
        assert_eq!(stats["redis"]["status"], "ok");
    });
}
