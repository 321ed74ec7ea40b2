//! Redis Cluster: all features work on it, while slots move and masters fail.

use crate::lock::{demand, owner};
use crate::session::{data, user};
use crate::support::cluster::{Cluster, on_cluster, slot_of};
use crate::support::entries::resource;
use crate::support::exchange::Got;
use crate::support::origin::{reply, streamed};
use crate::support::proxy::{Mode, Proxy};
use crate::support::{Instance, PREFIX, on_redis};
use crate::value;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::{join, join_all};
use spindrift::event::{Handled, handle, work_channel};
use spindrift::job::{
    Claim, Cron, Data, Idle, JobError, Missed, NewJob, Priority, QueueName, Schedule, ScheduleName, State,
};
use spindrift::limit::{Algorithm, Demand, Verdict};
use spindrift::lock::{Acquired, Name, Released};
use spindrift::purge::Purge;
use spindrift::redis::{Condition, Key, Keys, RedisError, Slot};
use spindrift::topic::{NewEvent, Position, TopicName};
use std::cell::Cell;
use std::time::Duration;

/// Longer than any backoff, and than the pause between two reads of the slot map.
const LONG: Duration = Duration::from_millis(5_200);
const BUDGET: Duration = Duration::from_secs(60);

fn url(number: usize) -> String {
    format!("http://h/{number}")
}

fn keys() -> Keys {
    Keys::new(PREFIX)
}

fn resource_key(number: usize) -> Key {
    keys().resource(resource(&format!("/{number}")).id())
}

async fn get_all(instance: &Instance, count: usize) -> Vec<Got> {
    join_all((0..count).map(async |number| instance.get(&url(number)).await)).await
}

fn hits(all: &[Got]) -> usize {
    all.iter().filter(|got| got.is_hit()).count()
}

async fn purge(instance: &Instance, purge: Purge) {
    instance.purge(&purge).await.unwrap();
}

#[test]
fn everything_works_on_a_cluster() {
    on_cluster(&[], async |cluster| {
        responses(cluster).await;
        large_and_varying_responses(cluster).await;
        sweeps(cluster).await;
        key_values(cluster).await;
        jobs(cluster).await;
        locks_and_limits(cluster).await;
        sessions(cluster).await;
        topics_and_messages(cluster).await;
        what_takes_long(cluster).await;
        for at in 0..3 {
            assert!(!cluster.keys(at).await.is_empty(), "each master has its part");
        }
    });
}

async fn responses(cluster: &Cluster) {
    let (one, other) = (cluster.instance(), cluster.instance());
    cluster.world.origin.answers(|seen| {
        let tag = if seen.uri.path() == "/1" { "odd" } else { "even" };
        Ok(reply(200, &[("cache-control", "max-age=600"), ("cache-tag", tag), ("etag", "\"1\"")], "hello"))
    });
    assert_eq!(hits(&get_all(&one, 40).await), 0);
    assert_eq!(hits(&get_all(&other, 40).await), 40);
    assert_eq!(cluster.world.origin.count(), 40);
    // The commands go to two masters, or to two slots of one master, at the same time.
    for number in 0..40 {
        other.env.wire().take_commands();
        assert!(other.get(&url(number)).await.is_hit());
        assert_eq!(other.env.wire().round_trips(), 1);
        assert!(other.env.wire().take_commands().iter().all(|command| command == "MGET"));
    }
    assert_eq!(other.env.wire().opened(), 3, "one connection to each master");

    purge(&one, Purge { tags: vec!["odd".to_owned()], ..Purge::default() }).await;
    assert_eq!(hits(&get_all(&other, 40).await), 39);
    purge(&one, Purge { urls: vec![url(1), url(2)], ..Purge::default() }).await;
    assert_eq!(hits(&get_all(&other, 40).await), 38);
    purge(&one, Purge { patterns: vec!["http://h/1?".to_owned()], ..Purge::default() }).await;
    assert_eq!(hits(&get_all(&other, 40).await), 30);
    purge(&one, Purge { prefixes: vec!["/".to_owned()], soft: true, ..Purge::default() }).await;
    let all = get_all(&other, 40).await;
    assert!(all.iter().all(|got| got.forwarded() == "stale"), "{:?}", all[0].headers);
    assert_eq!(hits(&get_all(&other, 40).await), 40);
}

async fn large_and_varying_responses(cluster: &Cluster) {
    let (one, other) = (cluster.instance(), cluster.instance());
    cluster.world.origin.answers(|seen| {
        let fields = [("cache-control", "max-age=600"), ("vary", "accept-language"), ("cache-tag", "varies")];
        let text = seen.header("accept-language").repeat(300_000);
        Ok(streamed(200, &fields, vec![Ok(Bytes::from(text))]))
    });
    for language in ["de", "en"] {
        one.get_with("http://h/large", &[("accept-language", language)]).await;
        let hit = other.get_with("http://h/large", &[("accept-language", language)]).await;
        assert!(hit.is_hit());
        assert_eq!(hit.body.unwrap().len(), 600_000);
    }
    one.purge_url("http://h/large").await;
    assert!(!other.get_with("http://h/large", &[("accept-language", "de")]).await.is_hit());
}

async fn sweeps(cluster: &Cluster) {
    let instance = cluster.instance();
    for number in 100..140 {
        instance.put(&format!("/{number}"), &["swept"], "text").await;
    }
    instance.purge_tag("swept").await;
    let swept = instance.store().sweep(BUDGET).await.unwrap().expect("nobody else sweeps");
    assert!(swept.finished && swept.dropped >= 40, "{swept:?}");
}

async fn key_values(cluster: &Cluster) {
    let (one, other) = (cluster.instance(), cluster.instance());
    let names: Vec<String> = (0..30).map(|number| format!("user:{number}")).collect();
    for name in &names {
        value::set(&one, name, name).await;
    }
    let all: Vec<_> = names.iter().map(|name| value::key(name)).collect();
    let found = value::values(&other).get_many(&all).await.unwrap();
    for (name, found) in names.iter().zip(found) {
        assert_eq!(found.unwrap().content, name.as_bytes());
    }
    value::values(&one).delete(&all[0]).await.unwrap();
    assert_eq!(value::get(&other, &names[0]).await, None);
    value::invalidate(&one, &["user:1*"], &[]).await;
    assert_eq!(value::get(&other, "user:12").await, None, "and it is dropped behind that");
    other.env.settle().await;
    assert_eq!(value::get(&other, "user:2").await.as_deref(), Some("user:2"));
    let swept = value::values(&one).sweep(BUDGET).await.unwrap().unwrap();
    assert!(swept.finished && swept.dropped == 10, "{swept:?}");
}

async fn jobs(cluster: &Cluster) {
    let (one, other) = (cluster.instance(), cluster.instance());
    for name in ["mail", "orders", "images"] {
        let queue = QueueName::new(name).unwrap();
        let jobs: Vec<NewJob> = (0..5).map(|number| NewJob::new(Data::json(&number).unwrap())).collect();
        one.jobs().enqueue_all(&queue, jobs).await.unwrap();
        let claimed = other.jobs().claim(&queue, Claim::default().count(3)).await.unwrap();
        assert_eq!(claimed.len(), 3);
        for (number, job) in claimed.into_iter().enumerate() {
            if number == 0 {
                let _ = job.retry("later").await.unwrap();
            } else {
                job.ack().await.unwrap();
            }
        }
        let counted = one.jobs().statistics(&queue).await.unwrap();
        assert_eq!((counted.ready, counted.delayed, counted.leased), (2, 1, 0));
        assert_eq!(other.jobs().empty(&queue, &Idle::ALL).await.unwrap().done, 3);
        one.jobs().pause(&queue).await.unwrap();
    }
    assert_eq!(one.jobs().queues(0, 10).await.unwrap().len(), 3);
}

async fn locks_and_limits(cluster: &Cluster) {
    let (one, other) = (cluster.instance(), cluster.instance());
    for name in ["a", "b", "c", "d"] {
        let locks = (&one.shared().locks, &other.shared().locks);
        assert!(matches!(locks.0.acquire(&demand(name, "one")).await.unwrap(), Acquired::Granted(_)));
        assert!(matches!(locks.1.acquire(&demand(name, "other")).await.unwrap(), Acquired::Held { .. }));
        let name = Name::new(name).unwrap();
        assert_eq!(locks.1.inspect(&name).await.unwrap().holders.len(), 1);
        assert_eq!(locks.0.release(&name, &owner("one")).await.unwrap(), Released::Released);
    }
    let policies = ["p", "q"].map(|name| crate::limit::policy(name, Algorithm::Log, 10, 3_600_000));
    let who = ["anna", "bert", "carl"].map(|name| one.app.limiter.identifier().of_caller(&[name.to_owned()]));
    for identity in &who {
        let demands = policies.each_ref().map(|policy| Demand { policy, identity, cost: 1 });
        let all = join_all((0..20).map(|number| {
            let instance = if number % 2 == 0 { &one } else { &other };
            instance.app.limiter.check(&demands)
        }));
        assert_eq!(all.await.iter().filter(|decision| decision.allowed).count(), 10);
    }
    // Several identities are in several slots: one script call for each.
    let [policy, _] = &policies;
    one.app.limiter.reset("p", &who[0]).await.unwrap();
    let both = [0, 1].map(|at| Demand { policy, identity: &who[at], cost: 1 });
    let decision = one.app.limiter.check(&both).await;
    assert!(!decision.allowed && matches!(decision.standings[1].verdict, Verdict::Exhausted { .. }));
}

async fn sessions(cluster: &Cluster) {
    let (one, other) = (cluster.instance(), cluster.instance());
    for name in ["anna", "bert", "carl"] {
        let user = user(name);
        let nobody = one.begun().await;
        let new = one.sessions().login(Some(nobody.handle()), &user, &data(r#"{"a":1}"#)).await.unwrap();
        let loaded = other.loaded(&new.id).await;
        let saved = other.sessions().save(&loaded, &data(r#"{"a":2}"#)).await;
        saved.unwrap();
        assert_eq!(one.loaded(&new.id).await.data.to_json(), r#"{"a":2}"#);
        one.begun_by(&user).await;
        assert_eq!(one.sessions().list_user(&user).await.unwrap().len(), 2);
        assert_eq!(other.sessions().end_user(&user, None).await, Ok(2));
        assert!(one.session(&new.id).await.handle().is_none());
    }
}

async fn topics_and_messages(cluster: &Cluster) {
    let (one, other) = (cluster.instance(), cluster.instance());
    for name in ["t", "u", "v", "w"] {
        let topic = TopicName::new(name).unwrap();
        let events: Vec<NewEvent> = ["1", "2", "3"].map(NewEvent::new).into();
        one.topics().publish(&topic, &events, None).await.unwrap();
        let read = other.topics().read(&topic, Position::Earliest).await.unwrap();
        assert_eq!(read.iter().map(|event| event.data.as_str()).collect::<Vec<_>>(), ["1", "2", "3"]);
    }
    // A message published on any node reaches the subscribers of every node.
    for at in 0..3 {
        let client = ::redis::Client::open(format!("redis://{}", cluster.place(at))).unwrap();
        let mut messages = client.get_async_pubsub().await.unwrap();
        messages.subscribe(&one.app.settings.channel).await.unwrap();
        let announced = Purge { tags: vec!["news".to_owned()], ..Purge::default() };
        let id = one.channel().announce_purge(&announced).await.unwrap();
        // A message of the previous round may still be on its way between the nodes.
        let mut messages = messages.on_message();
        while !messages.next().await.unwrap().get_payload::<String>().unwrap().contains(&id) {}
    }
}

/// The subscriber of the work channel may be connected to another node than the one published on, and gets the
/// message later.
async fn what_takes_long(cluster: &Cluster) {
    let (one, other) = (cluster.instance(), cluster.instance());
    for at in 0..3 {
        let client = ::redis::Client::open(format!("redis://{}", cluster.place(at))).unwrap();
        let mut messages = client.get_async_pubsub().await.unwrap();
        messages.subscribe(work_channel(&one.app.settings.channel)).await.unwrap();
        let message = format!(r#"{{"v":1,"topic":"event","id":"long-{at}"}}"#);
        assert_eq!(handle(&one.app, message.as_bytes()).await, Handled::HandedOver, "{at}");
        let handed: Vec<u8> = messages.on_message().next().await.unwrap().get_payload().unwrap();
        assert_eq!(handle(&other.app, &handed).await, Handled::Done, "{at}");
    }
}

#[test]
fn a_slot_moves_while_requests_run() {
    on_cluster(&[], async |cluster| {
        let (one, other) = (cluster.instance(), cluster.instance());
        get_all(&one, 20).await;
        let slot = slot_of(&resource_key(7));
        let from = Cluster::node_of_slot(slot);
        let to = (from + 1) % 3;
        let before = cluster.world.origin.count();

        let done = Cell::new(false);
        let served = Cell::new(0);
        let requests = async |instance: &Instance| {
            while !done.get() {
                for got in get_all(instance, 20).await {
                    assert!(got.is_hit(), "{:?}", got.headers);
                    served.set(served.get() + 1);
                }
            }
        };
        let at_least = async |count: usize| {
            let until = served.get() + count;
            while served.get() < until {
                tokio::task::yield_now().await;
            }
        };
        let moving = async {
            at_least(40).await;
            cluster.begin_move(slot, from, to).await;
            at_least(40).await;
            // From now on the old owner answers ASK.
            cluster.move_keys(&cluster.keys_in(slot, from).await, from, to).await;
            at_least(80).await;
            assert!(one.env.wire().count("ASKING") > 0 && other.env.wire().count("ASKING") > 0);
            cluster.end_move(slot, from, to).await;
            // From now on it answers MOVED.
            at_least(80).await;
            done.set(true);
        };
        join(join(requests(&one), requests(&other)), moving).await;
        assert_eq!(cluster.world.origin.count(), before, "every request was a hit");

        // The new owner is known: there are no more redirects.
        for instance in [&one, &other] {
            instance.env.wire().take_commands();
            assert!(instance.get(&url(7)).await.is_hit());
            assert!(instance.env.wire().take_commands().len() <= 2);
        }
        one.purge_url(&url(7)).await;
        assert!(!other.get(&url(7)).await.is_hit());
        assert!(one.get(&url(7)).await.is_hit());
        let fresh = cluster.instance();
        assert!(fresh.get(&url(7)).await.is_hit());
        while_keys_are_apart(cluster, &one).await;
    });
}

/// Nodes redirect clients to addresses, unless `cluster-preferred-endpoint-type` is set. But the certificates, or the
/// addresses that the host allows, may only have names.
#[test]
fn a_redirect_to_the_address_of_a_node_goes_to_its_name() {
    on_cluster(&["--cluster-announce-hostname", "localhost"], async |cluster| {
        let instance = cluster.instance_by_name("localhost");
        instance.env.wire().forbid("127.0.0.1");
        instance.get(&url(7)).await;
        let (slot, from) = (slot_of(&resource_key(7)), Cluster::node_of(&resource_key(7)));
        let to = (from + 1) % 3;
        cluster.begin_move(slot, from, to).await;
        cluster.move_keys(&cluster.keys_in(slot, from).await, from, to).await;
        let asked = instance.get(&url(7)).await;
        assert!(asked.is_hit() && instance.env.wire().count("ASKING") > 0, "{:?}", asked.headers);
        cluster.end_move(slot, from, to).await;
        let moved = instance.get(&url(7)).await;
        assert!(moved.is_hit(), "{:?}", moved.headers);
    });
}

/// A script whose keys are on different nodes cannot run until the slot has moved: after a while it fails with that
/// reason.
async fn while_keys_are_apart(cluster: &Cluster, instance: &Instance) {
    let key = keys().lock("moving");
    let (slot, from) = (slot_of(&key), Cluster::node_of(&key));
    let to = (from + 1) % 3;
    let locks = &instance.shared().locks;
    let Acquired::Granted(_) = locks.acquire(&demand("moving", "one")).await.unwrap() else { panic!("held") };
    cluster.begin_move(slot, from, to).await;
    cluster.move_keys(&[key.as_str().to_owned()], from, to).await;
    let refused = locks.acquire(&demand("moving", "other")).await;
    assert!(
        matches!(&refused, Err(RedisError::Unavailable(text)) if text.contains("TryAgain")),
        "{refused:?}"
    );
    cluster.move_keys(&cluster.keys_in(slot, from).await, from, to).await;
    let held = locks.acquire(&demand("moving", "other")).await.unwrap();
    assert!(matches!(held, Acquired::Held { .. }), "with ASKING: {held:?}");
    cluster.end_move(slot, from, to).await;
    let name = Name::new("moving").unwrap();
    assert_eq!(locks.release(&name, &owner("one")).await.unwrap(), Released::Released);
}

/// No node changes a queue while any of its jobs could be on another one.
#[test]
fn no_job_is_lost_while_the_slot_of_its_queue_moves() {
    on_cluster(&[], async |cluster| {
        let instance = cluster.instance();
        let (jobs, queue) = (instance.jobs(), QueueName::new("mail").unwrap());
        let new = |number: u32| NewJob::new(Data::json(&number).unwrap());
        let put = async |job: NewJob| jobs.enqueue_with(&queue, job).await.unwrap().id;
        put(new(0)).await;
        put(new(1)).await;
        let lease = Claim::default().count(2).lease(Duration::from_secs(3600));
        let mut claimed = jobs.claim(&queue, lease).await.unwrap();
        let _ = claimed.pop().unwrap().bury("broken").await.unwrap();
        let leased = claimed.pop().unwrap();
        put(new(2)).await;
        let delayed = put(new(3).delay(Duration::from_secs(3600))).await;
        let tidy = ScheduleName::new("tidy").unwrap();
        let cron = Cron::parse("* * * * *", cluster.world.clock.now()).unwrap();
        let (missed, data, priority) = (Missed::RunOnce, Data::json(&4).unwrap(), Priority::default());
        let schedule = Schedule { cron, missed, data, priority, max_attempts: None };
        jobs.set_schedule(&queue, &tidy, &schedule).await.unwrap();

        let (slot, from) = (slot_of(&keys().queue("mail")), Cluster::node_of(&keys().queue("mail")));
        let to = (from + 1) % 3;
        for (part, name) in [("d", delayed.as_str()), ("n", "tidy")] {
            cluster.tell(from, &["ZADD", keys().queue_part("mail", part).as_str(), "XX", "1", name]).await;
        }
        cluster.begin_move(slot, from, to).await;
        let first = keys().queue_item("mail", "j", delayed.as_str());
        cluster.move_keys(&[first.as_str().to_owned()], from, to).await;
        let retry = async || {
            let lease = jobs.resume(&queue, leased.id().clone(), leased.token().clone());
            lease.retry_after(Duration::ZERO, "busy").await
        };
        let nothing_runs = async || {
            assert!(matches!(retry().await, Err(JobError::Redis(_))));
            assert!(jobs.fire(&queue).await.is_err());
            assert!(jobs.sentence_all(&queue, spindrift::job::Verdict::Replay).await.is_err());
            assert!(jobs.empty(&queue, &[Idle::Ready, Idle::Delayed]).await.is_err());
        };
        nothing_runs().await;
        // Now the new node has all that the scripts know of before they begin, but most jobs are still here.
        let whole = |part| keys().queue_part("mail", part).as_str().to_owned();
        let lists = ["r", "d", "l", "x", "c", "n"].map(whole);
        cluster
            .move_keys(&[&lists[..], &[keys().queue("mail").as_str().to_owned()]].concat(), from, to)
            .await;
        nothing_runs().await;
        cluster.move_keys(&cluster.keys_in(slot, from).await, from, to).await;
        cluster.end_move(slot, from, to).await;

        assert_eq!(jobs.view(&queue, leased.id()).await.unwrap().state, State::Leased);
        assert_eq!(jobs.view(&queue, &delayed).await.unwrap().state, State::Delayed);
        assert_eq!(jobs.fire(&queue).await.unwrap(), 1);
        assert_eq!(retry().await.unwrap().state, State::Ready);
        assert_eq!(jobs.sentence_all(&queue, spindrift::job::Verdict::Replay).await.unwrap().done, 1);
        let all = jobs.claim(&queue, Claim::default().count(10)).await.unwrap();
        let mut all: Vec<u32> = all.iter().map(|one| one.job.data.parse().unwrap()).collect();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4]);
    });
}

#[test]
fn what_a_command_did_before_its_connection_broke_is_not_said_to_be_undone() {
    on_cluster(&[], async |cluster| {
        let proxy = Proxy::start(cluster.port(1)).await;
        let url = proxy.url();
        let (_, place) = url.split_once("://").unwrap();
        let (_, port) = place.rsplit_once(':').unwrap();
        cluster.tell(1, &["CONFIG", "SET", "cluster-announce-port", port]).await;
        let given = [("redis_url", url.as_str()), ("redis_cluster_nodes", place)];
        let instance = cluster.world.instance_given(&given, "");
        let mut all = (0..).map(|number| keys().value(&number.to_string()));
        let key = all.find(|key| Cluster::node_of(key) == 1).unwrap();
        let set = async |value: &str| {
            let arguments = vec![(&key).into(), value.into(), "PX".into(), "9000".into()];
            instance.redis().call("SET", arguments).await
        };
        set("first").await.unwrap();
        let (wire, slot) = (instance.env.wire(), slot_of(&key).to_string());
        wire.take_commands();
        proxy.set(Mode::LoseReply);
        let meanwhile = async {
            wire.held("SET").await;
            wire.hold("SET");
            while wire.count("SET") < 2 {
                tokio::task::yield_now().await;
            }
            assert_eq!(cluster.ask::<String>(1, &["GET", key.as_str()]).await, "second");
            cluster.tell(1, &["CLUSTER", "DELSLOTS", &slot]).await;
            wire.release();
        };
        let (reply, ()) = join(set("second"), meanwhile).await;
        assert!(reply.as_ref().is_err_and(|error| !error.was_not_carried_out()), "{reply:?}");
        cluster.tell(1, &["CLUSTER", "ADDSLOTS", &slot]).await;
        let reply = set("third").await;
        assert!(reply.is_ok(), "{reply:?}");
    });
}

#[test]
fn a_master_that_goes_away_takes_only_its_share_along() {
    on_cluster(&[], async |cluster| {
        let instance = cluster.instance();
        get_all(&instance, COUNT).await;
        assert_eq!(hits(&get_all(&instance, COUNT).await), COUNT);
        for number in 0..COUNT {
            value::set(&instance, &number.to_string(), "value").await;
        }
        cluster.kill(AWAY);
        for _ in 0..2 {
            let opened = instance.env.wire().opened();
            only_its_responses_are_missing(&instance).await;
            assert!(instance.env.wire().opened() <= opened + 1, "it is known to be down");
        }
        only_its_values_are_missing(&instance).await;
        only_it_is_said_to_be_down(cluster, &instance).await;
        what_it_did_not_hear_is_not_said_to_be_done(&instance).await;

        cluster.start_again(AWAY).await;
        cluster.world.clock.advance(LONG);
        // One of the requests tries the node again, and the others do not wait for it; in the second round all are
        // stored.
        for _ in 0..2 {
            assert!(get_all(&instance, COUNT).await.iter().all(|got| got.status == 200));
        }
        assert_eq!(hits(&get_all(&instance, COUNT).await), COUNT);
        instance.env.settle().await;
        assert!(instance.redis().probe().await.unwrap().is_whole());
        instance.purge_tag("t").await;
    });
}

/// The master that goes away, and how many responses and values are spread over all.
const AWAY: usize = 2;
const COUNT: usize = 60;

/// Where a sixteenth of the slots is divided between two masters, its ledger is on one of them.
fn is_divided(key: &Key) -> bool {
    matches!(slot_of(key) / 1024, 5 | 10)
}

async fn only_its_responses_are_missing(instance: &Instance) {
    let all = get_all(instance, COUNT).await;
    for (number, got) in all.iter().enumerate().filter(|(number, _)| !is_divided(&resource_key(*number))) {
        let away = Cluster::node_of(&resource_key(number)) == AWAY;
        assert_eq!(got.status, 200);
        assert_eq!(got.is_hit(), !away, "{number} {:?}", got.headers);
        if away {
            assert!(["redis-down", "redis-unreachable"].contains(&got.detail()), "{}", got.detail());
        }
    }
    assert!(hits(&all) >= COUNT / 2);
}

async fn only_its_values_are_missing(instance: &Instance) {
    for number in 0..COUNT {
        let key = keys().value(&number.to_string());
        if !is_divided(&key) {
            let got = value::values(instance).get(&value::key(&number.to_string())).await;
            let found = got.is_ok_and(|value| value.is_some());
            assert_eq!(found, Cluster::node_of(&key) != AWAY, "{key:?}");
        }
    }
}

async fn only_it_is_said_to_be_down(cluster: &Cluster, instance: &Instance) {
    let health = instance.redis().probe().await.unwrap();
    assert!(health.serves_some() && !health.is_whole());
    let down = health.nodes.iter().filter(|node| node.answer.is_err());
    assert_eq!(down.map(|node| node.place.to_string()).collect::<Vec<_>>(), [cluster.place(AWAY)]);
    let known = instance.redis().nodes().into_iter();
    let known: Vec<_> = known.filter(|(_, how)| matches!(how, Condition::Down { .. })).collect();
    assert_eq!(known.len(), 1, "{known:?}");
}

/// A purge that does not reach every master is not said to be done, and an invalidation that reached some is not said to
/// have reached none.
async fn what_it_did_not_hear_is_not_said_to_be_done(instance: &Instance) {
    let purge = instance.purge(&Purge { tags: vec!["t".to_owned()], ..Purge::default() }).await;
    assert!(purge.is_err(), "{purge:?}");
    // Nor is a purge that reached some of them reported as one that reached none.
    let urls = (0..COUNT).map(url).collect();
    let purge = instance.purge(&Purge { urls, ..Purge::default() }).await;
    assert!(purge.as_ref().is_err_and(|error| !error.was_not_carried_out()), "{purge:?}");
    let pattern = [spindrift::value::Pattern::new("x*").unwrap()];
    let refused = value::values(instance).invalidate(&pattern, &[]).await;
    assert!(refused.as_ref().is_err_and(|error| !error.was_not_carried_out()), "{refused:?}");
    assert!(["redis-down", "redis-unreachable"].contains(&refused.unwrap_err().reason()));
}

#[test]
fn what_is_wrong_with_a_cluster_is_said() {
    on_cluster(&[], async |cluster| {
        the_host_forbids_a_node(cluster).await;
        the_nodes_are_not_named(cluster).await;
        a_user_of_its_own(cluster).await;
        the_first_seed_is_away(cluster).await;
        nobody_has_a_slot(cluster).await;
        the_cluster_is_down(cluster).await;
    });
}

async fn the_host_forbids_a_node(cluster: &Cluster) {
    let instance = cluster.instance();
    instance.env.wire().forbid(&cluster.place(2));
    let key = |at: usize| {
        (0..).map(|n| keys().lock(&format!("{n}"))).find(|key| Cluster::node_of(key) == at).unwrap()
    };
    let get = async |at: usize| instance.redis().call("GET", vec![(&key(at)).into()]).await;
    get(0).await.unwrap();
    let Err(error) = get(2).await else { panic!("allowed") };
    assert!(matches!(error, RedisError::NodeDenied(_)) && error.reason() == "redis-denied", "{error:?}");
    let (text, node) = (error.to_string(), format!("redis://{}", cluster.place(2)));
    assert!(text.contains(&node) && text.contains("allowed_outbound_hosts"), "{text}");
    assert!(instance.env.logged(&node), "{:?}", instance.env.log_lines());
    get(1).await.unwrap();
}

async fn the_nodes_are_not_named(cluster: &Cluster) {
    let instance = cluster.world.instance_at(&format!("redis://{}", cluster.place(0)), "");
    let errors = join_all((0..20).map(async |n| {
        let key = keys().lock(&format!("{n}"));
        instance.redis().call("GET", vec![(&key).into()]).await.err()
    }));
    let errors: Vec<RedisError> = errors.await.into_iter().flatten().collect();
    assert!(!errors.is_empty());
    for error in errors {
        assert!(matches!(error, RedisError::Redirected(_)) && error.reason() == "redis-moved", "{error:?}");
        assert!(error.to_string().contains("set redis_cluster_nodes"), "{error}");
    }
}

/// The permissions in the manual, and those that it names for a cluster in addition.
async fn a_user_of_its_own(cluster: &Cluster) {
    let manual = include_str!("../../docs/operations.md");
    for permission in ["+cluster|nodes", "+cluster|info", "+asking"] {
        assert!(manual.contains(permission), "{permission}");
    }
    for at in 0..3 {
        let mut words = crate::permissions::documented();
        words.extend(["+cluster|nodes", "+cluster|info", "+asking"]);
        cluster.tell(at, &words).await;
    }
    let instance = cluster.instance_as("spindrift:PASSWORD@", "");
    get_all(&instance, 20).await;
    assert_eq!(hits(&get_all(&instance, 20).await), 20, "{:?}", instance.env.log_lines());
    assert!(instance.redis().probe().await.unwrap().is_whole());
    let wrong = cluster.instance_as("spindrift:wrong-word@", "");
    let got = wrong.get(&url(0)).await;
    assert_eq!((got.status, got.is_hit()), (200, false));
    assert!(!format!("{:?}", wrong.env.log_lines()).contains("wrong-word"));
    assert!(wrong.env.logged(&cluster.place(0)), "{:?}", wrong.env.log_lines());
}

async fn the_first_seed_is_away(cluster: &Cluster) {
    let nobody = format!("127.0.0.1:{}", crate::support::server::free_port());
    let url = format!("redis://{nobody}");
    let nodes = format!("{nobody},{}", cluster.place(1));
    let given = [("redis_url", url.as_str()), ("redis_cluster_nodes", nodes.as_str())];
    let instance = cluster.world.instance_given(&given, "");
    assert_eq!(hits(&get_all(&instance, 20).await), 20);
    assert_eq!(instance.env.wire().count("CLUSTER"), 1, "all wait for one answer");
}

async fn nobody_has_a_slot(cluster: &Cluster) {
    let slot = Slot::of(b"sd:{lock:lost}").number();
    let at = Cluster::node_of_slot(slot);
    let old = cluster.instance();
    old.redis().call("GET", vec![(&keys().lock("lost")).into()]).await.unwrap();
    cluster.tell(at, &["CLUSTER", "DELSLOTS", &slot.to_string()]).await;
    // A client with the previous map: the node answers that the slot is not served, and keeps serving the others.
    let refused = old.redis().call("GET", vec![(&keys().lock("lost")).into()]).await;
    assert!(matches!(refused, Err(RedisError::Unavailable(_))), "{refused:?}");
    old.env.settle().await;
    cluster.tell(at, &["CLUSTER", "ADDSLOTS", &slot.to_string()]).await;
    cluster.settled().await;
    cluster.world.clock.advance(LONG);
    let _ = old.redis().call("GET", vec![(&keys().lock("lost")).into()]).await;
    old.env.settle().await;
    old.redis().call("GET", vec![(&keys().lock("lost")).into()]).await.unwrap();
}

async fn the_cluster_is_down(cluster: &Cluster) {
    let instance = cluster.instance();
    let (lost, kept) = (Slot::of(b"sd:{lock:lost}").number(), keys().lock("lost"));
    let at = Cluster::node_of_slot(lost);
    let key =
        (0..).map(|n| keys().lock(&n.to_string())).find(|key| Cluster::node_of(key) == at && *key != kept);
    let key = key.unwrap();
    let get = async || instance.redis().call("GET", vec![(&key).into()]).await;
    get().await.unwrap();
    cluster.tell(at, &["CONFIG", "SET", "cluster-require-full-coverage", "yes"]).await;
    cluster.tell(at, &["CLUSTER", "DELSLOTS", &lost.to_string()]).await;
    cluster.until(at, |info| info.contains("cluster_state:fail")).await;
    instance.env.wire().take_commands();
    let refused = get().await;
    assert!(
        matches!(&refused, Err(RedisError::Unavailable(text)) if text.contains("ClusterDown")),
        "{refused:?}"
    );
    assert_eq!(instance.env.wire().count("GET"), 7, "it is tried again, and not for ever");
    let refused = get().await;
    assert!(matches!(refused, Err(RedisError::Down { .. })), "then it is known: {refused:?}");
    assert!(!instance.redis().probe().await.unwrap().is_whole());
    cluster.tell(at, &["CLUSTER", "ADDSLOTS", &lost.to_string()]).await;
    cluster.tell(at, &["CONFIG", "SET", "cluster-require-full-coverage", "no"]).await;
    cluster.settled().await;
    cluster.world.clock.advance(LONG);
    get().await.unwrap();
}

#[test]
fn a_single_redis_is_not_taken_for_a_cluster() {
    on_redis(async |world| {
        let place = format!("127.0.0.1:{}", world.server.port());
        let instance = world.instance_given(&[("redis_cluster_nodes", &place)], "");
        let got = instance.get("http://h/a").await;
        assert_eq!((got.status, got.detail()), (200, "redis-refused"));
        let refused = instance.redis().call("GET", vec!["sd:a".into()]).await.unwrap_err();
        let expected = format!("{place} is not a node of a cluster: leave redis_cluster_nodes empty");
        assert!(refused.to_string().contains(&expected), "{refused}");
        let said = instance.env.log_lines();
        assert_eq!(said.iter().filter(|line| line.contains(&expected)).count(), 1, "{said:?}");
    });
}
