//! Redis Cluster, used by the real components: several connections, redirects, a master that fails.

use spindrift_e2e::{Gateway, Origin, Redis, RedisCluster, Reply, Request, Response, eventually};

const COUNT: usize = 24;

fn page() -> Origin {
    Origin::always(Reply::fresh("page").header("cache-tag", "t"))
}

fn get_all(gateway: &Gateway) -> Vec<Response> {
    (0..COUNT).map(|number| gateway.get(&format!("/{number}"))).collect()
}

fn hits(all: &[Response]) -> usize {
    all.iter().filter(|response| response.cache_status().is_hit()).count()
}

/// Requests all of them, until all are hits.
#[track_caller]
fn fill(gateway: &Gateway) {
    eventually("nothing but hits", || hits(&get_all(gateway)) == COUNT);
}

#[test]
fn a_cluster_is_used_and_one_master_that_goes_away_takes_its_share_along() {
    let origin = page();
    let cluster = RedisCluster::start();
    let gateway = Gateway::before(&origin).cluster(&cluster).managed().one_instance().start();
    fill(&gateway);
    for node in cluster.nodes() {
        assert!(!node.keys().is_empty(), "each master has its part");
    }
    let health = gateway.get("/_spindrift/health/redis");
    assert_eq!((health.status, &health.json()["status"]), (200, &"ok".into()), "{health:?}");
    assert_eq!(health.json()["nodes"].as_array().unwrap().len(), 3);

    let statistics = gateway.send(&Request::get("/_spindrift/stats").bearer(spindrift_e2e::TOKEN)).json();
    let nodes = statistics["redis_nodes"].as_array().unwrap();
    assert!(nodes.len() == 3 && nodes.iter().all(|node| node["state"] == "connected"), "{statistics}");

    gateway.purge(r#"{"tags":["t"]}"#);
    assert_eq!(hits(&get_all(&gateway)), 0);
    fill(&gateway);
    gateway.purge(r#"{"patterns":["*/1?"]}"#);
    assert_eq!(hits(&get_all(&gateway)), COUNT - 10);
    fill(&gateway);

    cluster.nodes()[2].stop();
    let all = get_all(&gateway);
    assert!(all.iter().all(|response| response.status == 200));
    let hit = hits(&all);
    assert!(hit > 0 && hit < COUNT, "{hit} hits");
    let health = gateway.get("/_spindrift/health/redis");
    assert_eq!((health.status, &health.json()["status"]), (503, &"degraded".into()), "{health:?}");
    let away = cluster.nodes()[2].address().to_string();
    let nodes = health.json()["nodes"].clone();
    let down = nodes.as_array().unwrap().iter().find(|node| node["node"] == *away).unwrap().clone();
    assert_eq!(down["status"], "unavailable");

    cluster.nodes()[2].restart();
    cluster.await_whole();
    fill(&gateway);
    let health = gateway.until(&Request::get("/_spindrift/health/redis"), |health| health.status == 200);
    assert_eq!(health.json()["slots_without_owner"], 0);
}

#[test]
fn a_slot_that_moves_is_followed() {
    let origin = page();
    let cluster = RedisCluster::start();
    let gateway = Gateway::before(&origin).cluster(&cluster).one_instance().start();
    fill(&gateway);
    let keys: Vec<String> = cluster.nodes()[0].keys();
    let resource = keys.iter().find(|key| key.ends_with('}') && key.len() > 30).unwrap();
    let slot: u16 = cluster.nodes()[0].query(&["CLUSTER", "KEYSLOT", resource]);
    let from = RedisCluster::number_of(slot);
    let to = (from + 1) % 3;
    let asked = origin.count();
    cluster.move_keys(slot, from, to);
    for _ in 0..2 {
        assert_eq!(hits(&get_all(&gateway)), COUNT, "ASK is followed");
    }
    cluster.end_move(slot, from, to);
    for _ in 0..2 {
        assert_eq!(hits(&get_all(&gateway)), COUNT, "MOVED is followed");
    }
    assert_eq!(origin.count(), asked);
}

#[test]
fn a_replica_that_takes_over_answers_with_what_it_has_and_knows_what_was_purged() {
    let (origin, cluster) = (page(), RedisCluster::start());
    let gateway = Gateway::before(&origin).cluster(&cluster).managed().one_instance().start();
    let kept = || (0..COUNT).map(|number| gateway.get(&format!("/kept/{number}"))).collect::<Vec<_>>();
    fill(&gateway);
    eventually("what is kept is stored", || hits(&kept()) == COUNT);
    let replica = cluster.replica_of(2);
    gateway.purge(r#"{"patterns":["*/kept/1?"]}"#);
    cluster.await_replica(2);
    cluster.nodes()[2].stop();
    eventually("the replica is a master", || {
        replica.query::<String>(&["INFO", "replication"]).contains("role:master")
    });
    gateway.until(&Request::get("/_spindrift/health/redis"), |health| health.status == 200);
    // The requests for other pages tell the client which node the new master is.
    fill(&gateway);
    let asked = origin.count();
    assert_eq!(hits(&kept()), COUNT - 10);
    assert_eq!(origin.count(), asked + 10);
    gateway.purge(r#"{"tags":["t"]}"#);
    assert_eq!(hits(&get_all(&gateway)), 0);
}

#[test]
fn a_node_that_the_host_forbids_is_named() {
    let origin = page();
    let cluster = RedisCluster::start();
    let first: &Redis = &cluster.nodes()[0];
    let gateway = Gateway::before(&origin).cluster(&cluster).variable("redis_host", &first.url()).start();
    let all = get_all(&gateway);
    assert!(all.iter().all(|response| response.status == 200));
    let detail = |response: &&Response| response.cache_status().detail() == Some("redis-denied");
    assert!(all.iter().any(|response| detail(&response)), "{all:?}");
    let forbidden = cluster.nodes()[2].url();
    gateway.await_log(&format!("the host does not allow {forbidden}, a node of the cluster"));
}
