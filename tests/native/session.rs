//! Sessions in Redis: how they begin, change and end, by expiry and on request.

use crate::support::proxy::{Mode, Proxy};
use crate::support::server::RedisServer;
use crate::support::{Instance, World, on_redis, run};
use spindrift::config::Secret;
use spindrift::session::{
    Changes, Data, DataChange, KeyRing, Life, Loaded, New, Session, SessionError, SessionId, Sessions, User,
};
use spindrift::time::Ttl;
use std::rc::Rc;
use std::time::Duration;

use crate::support::env::TestEnv;

impl Instance {
    /// The sessions of this instance.
    pub(crate) fn sessions(&self) -> &Sessions<TestEnv> {
        &self.shared().sessions
    }

    /// A new session without a user that holds `{"a":1}`.
    pub(crate) async fn begun(&self) -> SessionId {
        self.sessions().create(None, &data(r#"{"a":1}"#)).await.unwrap().id
    }

    /// A new session of this user.
    pub(crate) async fn begun_by(&self, user: &User) -> SessionId {
        self.sessions().create(Some(user), &data(r#"{"a":1}"#)).await.unwrap().id
    }

    /// The current state of the session of `id`.
    pub(crate) async fn session(&self, id: &SessionId) -> Session {
        self.sessions().load(id).await.unwrap()
    }

    /// The session of `id`, which must exist.
    pub(crate) async fn loaded(&self, id: &SessionId) -> Loaded {
        match self.session(id).await {
            Session::Loaded(loaded) => loaded,
            other => panic!("expected a session, found {other:?}"),
        }
    }

    /// The data at a previous `id`, within its grace period.
    pub(crate) async fn past(&self, id: &SessionId) -> String {
        match self.session(id).await {
            Session::Previous(previous) => previous.data.to_json(),
            other => panic!("expected what was before, found {other:?}"),
        }
    }
}

pub(crate) fn data(text: &str) -> Data {
    Data::parse(text.as_bytes()).unwrap()
}

pub(crate) fn changes(text: &str) -> Changes {
    Changes::parse(text.as_bytes()).unwrap()
}

pub(crate) fn user(name: &str) -> User {
    User::new(name).unwrap()
}

impl World {
    /// The keys of sessions themselves, not of their past, epochs and indexes.
    pub(crate) async fn session_keys(&self) -> Vec<String> {
        let name = |key: &String| key.split("}:").nth(1).is_some_and(|name| name.len() == 32);
        self.keys().await.into_iter().filter(name).collect()
    }

    /// The key of the only session.
    pub(crate) async fn session_key(&self) -> String {
        let keys = self.session_keys().await;
        assert_eq!(keys.len(), 1, "{keys:?}");
        keys[0].clone()
    }

    /// Ends the grace periods of all previous ids of a session.
    pub(crate) async fn end_graces(&self, key: &str) {
        let past: String = self.ask(&["HGET", key, "p"]).await;
        let ended: Vec<String> =
            past.split(' ').filter_map(|one| one.split('=').next()).map(|hash| format!("{hash}=1")).collect();
        self.tell(&["HSET", key, "p", &ended.join(" ")]).await;
        for past in self.keys().await.iter().filter(|one| one.starts_with(&format!("{key}:"))) {
            self.tell(&["UNLINK", past]).await;
        }
    }

    pub(crate) async fn ttl(&self, key: &str) -> i64 {
        self.ask(&["PTTL", key]).await
    }

    /// The clock of Redis, in milliseconds.
    pub(crate) async fn redis_time(&self) -> i64 {
        let time: (i64, i64) = self.ask(&["TIME"]).await;
        time.0 * 1000 + time.1 / 1000
    }
}

#[test]
fn a_session_is_found_by_its_id_on_every_instance() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let id = one.begun().await;
        let loaded = other.loaded(&id).await;
        assert_eq!(loaded.data.to_json(), r#"{"a":1}"#);
        assert_eq!((loaded.handle, loaded.version, loaded.user), (*id.handle(), 1, None));
        let times = loaded.times;
        assert_eq!(times.ends.since(times.begun), Duration::from_secs(8 * 3600));
        assert!(times.expires.since(times.now) <= Duration::from_secs(1800));
        let unknown = SessionId::random(None, &other.env);
        assert_eq!(other.session(&unknown).await, Session::Absent);
        assert_eq!(world.keys().await.len(), 1, "an unknown id is not adopted");
    });
}

#[test]
fn who_reads_redis_cannot_open_a_session() {
    on_redis(async |world| {
        let instance = world.instance();
        let id = instance.begun_by(&user("anna")).await;
        let ring = KeyRing::new("x", vec![Secret::new("key")]);
        let token = ring.sign(&id).unwrap();
        let secret = token.split('.').nth(1).unwrap();
        for key in world.keys().await {
            let kind: String = world.ask(&["TYPE", &key]).await;
            let dump: redis::Value = match kind.as_str() {
                "hash" => world.ask(&["HGETALL", &key]).await,
                "zset" => world.ask(&["ZRANGE", &key, "0", "-1"]).await,
                _ => world.ask(&["GET", &key]).await,
            };
            let dump = format!("{key} {dump:?}");
            assert!(!dump.contains(secret) && !dump.contains(&secret[..10]), "{dump}");
        }
    });
}

#[test]
fn all_keys_of_a_user_have_one_hash_tag_and_the_scripts_run_on_a_cluster() {
    run(async || {
        let options = ["--save", "", "--cluster-enabled", "yes"];
        let world = World::start(Rc::new(RedisServer::start_with(&options, &[], "Ready to accept"))).await;
        world.tell(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
        while !world.ask::<String>(&["CLUSTER", "INFO"]).await.contains("cluster_state:ok") {}
        let (instance, anna) = (world.instance(), user("an{na}"));
        let nobody = instance.begun().await;
        let sessions = instance.sessions();
        let New { id, .. } = sessions.login(Some(nobody.handle()), &anna, &data("{}")).await.unwrap();
        let loaded = instance.loaded(&id).await;
        let New { id, .. } =
            sessions.rotate(&loaded, &DataChange::Merge(changes(r#"{"b":2}"#))).await.unwrap();
        instance.begun_by(&anna).await;
        assert_eq!(sessions.list_user(&anna).await.unwrap().len(), 2);
        assert_eq!(sessions.end_user(&anna, Some(id.handle())).await, Ok(1));
        let loaded = instance.loaded(&id).await;
        sessions.save(&loaded, &data(r#"{"c":3}"#)).await.unwrap();
        let keys = world.keys().await;
        let tags: Vec<&str> = keys.iter().map(|key| key.split(['{', '}']).nth(1).unwrap()).collect();
        let mut distinct = tags.clone();
        distinct.dedup();
        assert!(tags.len() >= 5 && distinct.len() == 2, "{keys:?}");
        assert!(sessions.destroy(id.handle()).await.unwrap());
        world.check_keys().await;
    });
}

#[test]
fn a_session_ends_when_it_is_not_used_and_lives_on_when_it_is() {
    on_redis(async |world| {
        let instance = world.instance();
        let id = instance.begun().await;
        let key = world.session_key().await;
        assert!((1_790_000..=1_800_000).contains(&world.ttl(&key).await));
        world.tell(&["PEXPIRE", &key, "1000000"]).await;
        let loaded = instance.loaded(&id).await;
        assert!(world.ttl(&key).await > 1_790_000, "a use prolongs it");
        assert!(loaded.times.expires.since(loaded.times.now) > Duration::from_secs(1790));
        world.tell(&["UNLINK", &key]).await;
        assert_eq!(instance.session(&id).await, Session::Absent);
    });
}

#[test]
fn a_use_that_prolongs_little_writes_nothing() {
    on_redis(async |world| {
        let instance = world.instance();
        let id = instance.begun().await;
        let key = world.session_key().await;
        world.tell(&["PEXPIRE", &key, "1700000"]).await;
        for _ in 0..5 {
            instance.loaded(&id).await;
        }
        assert!(world.ttl(&key).await <= 1_700_000);
        let ran = world.commandstats().await;
        assert_eq!(ran.get("pexpire"), Some(&2), "that of its begin, and the one by hand");
        assert!(instance.sessions().touch(id.handle()).await.unwrap().is_some());
        assert!(world.ttl(&key).await > 1_700_000, "unless it is asked for");
    });
}

#[test]
fn a_short_idle_time_is_prolonged_by_use_as_well() {
    on_redis(async |world| {
        let short = world.instance_with("[session]\nidle = \"1m\"");
        let id = short.begun().await;
        let key = world.session_key().await;
        world.tell(&["PEXPIRE", &key, "30000"]).await;
        short.loaded(&id).await;
        assert!(world.ttl(&key).await > 50_000, "of all sessions");
        short.sessions().destroy(id.handle()).await.unwrap();
        let instance = world.instance();
        let life = Life { idle: Ttl::new(Duration::from_secs(60)), absolute: None };
        let id = instance.sessions().create_for(None, &data(r#"{"a":1}"#), life).await.unwrap().id;
        let key = world.session_key().await;
        world.tell(&["PEXPIRE", &key, "30000"]).await;
        instance.loaded(&id).await;
        assert!(world.ttl(&key).await > 50_000, "and of one session");
        world.tell(&["PEXPIRE", &key, "57000"]).await;
        instance.loaded(&id).await;
        assert!(world.ttl(&key).await <= 57_000, "unless it prolongs little");
    });
}

#[test]
fn no_use_moves_the_end() {
    on_redis(async |world| {
        let instance = world.instance();
        let id = instance.begun().await;
        let key = world.session_key().await;
        let end = world.redis_time().await + 60_000;
        world.tell(&["HSET", &key, "x", &end.to_string()]).await;
        let loaded = instance.loaded(&id).await;
        instance.sessions().touch(id.handle()).await.unwrap();
        instance.sessions().merge(&loaded, &changes(r#"{"b":2}"#)).await.unwrap();
        let ttl = world.ttl(&key).await;
        assert!(ttl <= 1_800_000);
        world.tell(&["PEXPIRE", &key, "10000"]).await;
        instance.loaded(&id).await;
        assert!(world.ttl(&key).await <= 60_000, "a touch does not go beyond the end");
        instance.sessions().merge(&loaded, &changes(r#"{"c":3}"#)).await.unwrap();
        assert!(world.ttl(&key).await <= 60_000, "nor does a write");
        world.tell(&["HSET", &key, "x", &(end - 60_001).to_string()]).await;
        assert_eq!(instance.sessions().merge(&loaded, &changes("{}")).await, Err(SessionError::Gone));
        assert_eq!(instance.session(&id).await, Session::Absent);
        assert!(world.keys().await.is_empty());
    });
}

#[test]
fn a_save_replaces_what_it_saw_and_nothing_newer() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let id = one.begun().await;
        let (first, second) = (one.loaded(&id).await, other.loaded(&id).await);
        let receipt = one.sessions().save(&first, &data(r#"{"b":2}"#)).await.unwrap();
        assert_eq!(receipt.version, 2);
        assert_eq!(other.sessions().save(&second, &data(r#"{"c":3}"#)).await, Err(SessionError::Conflict));
        let now = other.loaded(&id).await;
        assert_eq!((now.data.to_json().as_str(), now.version), (r#"{"b":2}"#, 2));
        other.sessions().save(&now, &data("{}")).await.unwrap();
        assert!(one.loaded(&id).await.data.is_empty());
    });
}

#[test]
fn merges_of_two_writers_both_count() {
    on_redis(async |world| {
        let (one, other) = (world.instance(), world.instance());
        let id = one.begun().await;
        let (first, second) = (one.loaded(&id).await, other.loaded(&id).await);
        one.sessions().merge(&first, &changes(r#"{"b":2,"ü\"":[1,{"x":null}]}"#)).await.unwrap();
        let receipt = other.sessions().merge(&second, &changes(r#"{"a":null,"c":"x"}"#)).await.unwrap();
        assert_eq!(receipt.version, 3);
        assert_eq!(one.loaded(&id).await.data, data(r#"{"b":2,"c":"x","ü\"":[1,{"x":null}]}"#));
    });
}

#[test]
fn data_that_would_be_too_large_is_refused_and_nothing_is_written() {
    on_redis(async |world| {
        let instance = world.instance_with("[session]\nmax_size = \"100B\"");
        let limit = Err(SessionError::TooLarge { limit: 100 });
        let text = |length: usize| format!("{{\"t\":\"{}\"}}", "x".repeat(length - 8));
        let sessions = instance.sessions();
        assert!(sessions.create(None, &data(&text(101))).await.is_err());
        let id = sessions.create(None, &data(&text(100))).await.unwrap().id;
        let loaded = instance.loaded(&id).await;
        assert_eq!(sessions.merge(&loaded, &changes(r#"{"a":1}"#)).await, limit);
        assert_eq!(sessions.save(&loaded, &data(&text(101))).await, limit);
        let rotated = sessions.rotate(&loaded, &DataChange::Set(data(&text(101)))).await;
        assert!(matches!(rotated, Err(SessionError::TooLarge { .. })));
        let now = instance.loaded(&id).await;
        assert_eq!((now.data, now.version), (loaded.data.clone(), 1), "neither data, nor id, nor version");
        sessions
            .merge(&loaded, &changes(&format!(r#"{{"t":null,"u":"{}"}}"#, "x".repeat(92))))
            .await
            .unwrap();
        assert_eq!(instance.loaded(&id).await.data.size(), 100);
    });
}

#[test]
fn there_are_at_most_a_hundred_members_however_they_come() {
    on_redis(async |world| {
        let instance = world.instance();
        let id = instance.begun().await;
        let loaded = instance.loaded(&id).await;
        let many = |from: usize| {
            let members: Vec<String> = (from..from + 99).map(|number| format!("\"{number}\":0")).collect();
            changes(&format!("{{{}}}", members.join(",")))
        };
        instance.sessions().merge(&loaded, &many(0)).await.unwrap();
        let more = instance.sessions().merge(&loaded, &changes(r#"{"b":0}"#)).await;
        assert!(matches!(more, Err(SessionError::TooLarge { .. })));
        instance.sessions().merge(&loaded, &changes(r#"{"a":null,"b":0}"#)).await.unwrap();
        instance.sessions().merge(&loaded, &many(0)).await.unwrap();
    });
}

#[test]
fn what_is_configured_holds_where_a_session_says_nothing_of_its_own() {
    on_redis(async |world| {
        let config = "[session]\nidle = \"10m\"\nabsolute = \"1h\"";
        let instance = world.instance_with(config);
        let life = Life { idle: Ttl::new(Duration::from_secs(7200)), absolute: None };
        let id = instance.sessions().create_for(None, &data("{}"), life).await.unwrap().id;
        let key = world.session_key().await;
        world.tell(&["PEXPIRE", &key, "1000"]).await;
        let loaded = instance.loaded(&id).await;
        assert!(world.ttl(&key).await > 7_100_000, "its own idle time, and a life that is no shorter");
        instance.sessions().save(&loaded, &data("{}")).await.unwrap();
        assert!(world.ttl(&key).await > 7_000_000);
        let shorter = Ttl::new(Duration::from_secs(60));
        instance.sessions().replace(&loaded.handle, &data("{}"), None, shorter).await.unwrap();
        assert!(world.ttl(&key).await <= 60_000);
    });
}

#[test]
fn a_forgotten_script_is_sent_again() {
    on_redis(async |world| {
        let instance = world.instance();
        let id = instance.begun().await;
        for _ in 0..2 {
            let loaded = instance.loaded(&id).await;
            world.tell(&["SCRIPT", "FLUSH"]).await;
            instance.sessions().merge(&loaded, &changes("{}")).await.unwrap();
            world.tell(&["SCRIPT", "FLUSH"]).await;
        }
        assert!(instance.sessions().destroy(id.handle()).await.unwrap());
    });
}

#[test]
fn a_write_whose_answer_was_lost_is_sent_again_and_counts_once() {
    on_redis(async |world| {
        let proxy = Proxy::start(world.server.port()).await;
        let instance = world.instance_at(&proxy.url(), "");
        let sessions = instance.sessions();
        // Redis knows all scripts now, and the connection is open.
        let other = world.instance();
        let id = other.begun().await;
        let loaded = other.loaded(&id).await;
        other.sessions().merge(&loaded, &changes(r#"{"b":2}"#)).await.unwrap();
        let loaded = instance.loaded(&id).await;
        let lossy = || {
            instance.env.wire().take_commands();
            proxy.set(Mode::LoseReply);
        };
        let twice = || assert_eq!(instance.env.wire().take_commands(), ["EVALSHA", "EVALSHA"]);
        lossy();
        let receipt = sessions.save(&loaded, &data(r#"{"c":3}"#)).await.unwrap();
        assert_eq!(receipt.version, 3, "not a conflict with itself");
        twice();
        let loaded = instance.loaded(&id).await;
        lossy();
        let new = sessions.rotate(&loaded, &DataChange::None).await.unwrap();
        twice();
        assert_eq!(instance.loaded(&new.id).await.data.to_json(), r#"{"c":3}"#);
        lossy();
        let begun = sessions.create(None, &data("{}")).await.unwrap();
        twice();
        instance.loaded(&begun.id).await;
    });
}

#[test]
fn the_permissions_in_the_manual_are_enough() {
    on_redis(async |world| {
        let manual = include_str!("../../docs/operations.md");
        let command = manual.split("ACL SETUSER").nth(1).unwrap().split("```").next().unwrap();
        let words: Vec<&str> =
            command.split_whitespace().map(|word| if word.starts_with('>') { ">p" } else { word }).collect();
        world.tell(&[&["ACL", "SETUSER"], &words[..]].concat()).await;
        let url = world.server.url().replace("redis://", &format!("redis://{}:p@", words[0]));
        let (instance, anna) = (world.instance_at(&url, "[session]\nmax_per_user = 2"), user("anna"));
        let sessions = instance.sessions();
        let nobody = instance.begun().await;
        let id = sessions.login(Some(nobody.handle()), &anna, &data(r#"{"a":1}"#)).await.unwrap().id;
        let loaded = instance.loaded(&id).await;
        let id = sessions.rotate(&loaded, &DataChange::Merge(changes(r#"{"a":null}"#))).await.unwrap().id;
        for _ in 0..2 {
            instance.begun_by(&anna).await;
        }
        sessions.touch(id.handle()).await.unwrap();
        assert_eq!(sessions.list_user(&anna).await.unwrap().len(), 2);
        sessions.end_user(&anna, Some(id.handle())).await.unwrap();
        sessions.destroy(id.handle()).await.unwrap();
        assert!(!format!("{:?}", instance.env.log_lines()).contains("refused"));
    });
}

#[test]
fn foreign_values_under_our_keys_are_errors_and_no_sessions() {
    on_redis(async |world| {
        let instance = world.instance();
        let id = instance.begun().await;
        let loaded = instance.loaded(&id).await;
        let key = world.session_key().await;
        world.tell(&["UNLINK", &key]).await;
        world.tell(&["SET", &key, "nonsense", "PX", "60000"]).await;
        assert!(matches!(instance.sessions().load(&id).await, Err(SessionError::Redis(_))));
        assert!(matches!(instance.sessions().save(&loaded, &data("{}")).await, Err(SessionError::Redis(_))));
        world.tell(&["UNLINK", &key]).await;
        let far = (world.redis_time().await + 60_000).to_string();
        for fields in [
            &["x", "y"][..],
            &["v", "many", "x", &far, "u", "", "h", "", "p", "", "c", "1"],
            &["v", "1", "x", &far, "u", "", "h", "h", "p", "", "c", "1", "\"a\"", "nonsense"],
        ] {
            world.tell(&[&["HSET", key.as_str()], fields].concat()).await;
            world.tell(&["PEXPIRE", &key, "60000"]).await;
            let found = instance.sessions().open(&loaded.handle).await;
            assert!(!matches!(found, Ok(Some(_))), "{fields:?}: {found:?}");
            world.tell(&["UNLINK", &key]).await;
        }
    });
}
