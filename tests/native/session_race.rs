//! Sessions used by several requests at the same time: new ids, logins, logouts.

use crate::session::{changes, data, user};
use crate::support::proxy::{Mode, Proxy};
use crate::support::{Instance, World, on_redis, property};
use futures_util::future::{join, join_all};
use proptest::prelude::*;
use spindrift::session::{Changes, Data, DataChange, Loaded, New, Session, SessionError, SessionId};

async fn rotated(instance: &Instance, id: &SessionId, change: DataChange) -> SessionId {
    let loaded = instance.loaded(id).await;
    instance.sessions().rotate(&loaded, &change).await.unwrap().id
}

#[test]
fn no_slow_writer_brings_back_what_was_ended() {
    on_redis(async |world| {
        let (slow, quick) = (world.instance(), world.instance());
        for of in [None, Some(user("anna"))] {
            let id = quick.sessions().create(of.as_ref(), &data("{}")).await.unwrap().id;
            let loaded = slow.loaded(&id).await;
            assert!(quick.sessions().destroy(id.handle()).await.unwrap());
            let sessions = slow.sessions();
            assert_eq!(sessions.save(&loaded, &data(r#"{"a":1}"#)).await, Err(SessionError::Gone));
            assert_eq!(sessions.merge(&loaded, &changes(r#"{"a":1}"#)).await, Err(SessionError::Gone));
            let late = sessions.rotate(&loaded, &DataChange::None).await;
            assert!(matches!(late, Err(SessionError::Gone)));
            assert_eq!(sessions.touch(id.handle()).await, Ok(None));
            assert_eq!(slow.session(&id).await, Session::Absent);
            assert!(!quick.sessions().destroy(id.handle()).await.unwrap());
            assert!(world.session_keys().await.is_empty());
        }
    });
}

#[test]
fn of_parallel_renewals_one_counts_and_every_request_still_reads() {
    on_redis(async |world| {
        let instances: Vec<Instance> = (0..10).map(|_| world.instance()).collect();
        let old = instances[0].begun_by(&user("anna")).await;
        let loaded = join_all(instances.iter().map(|instance| instance.loaded(&old))).await;
        let change = DataChange::Merge(changes(r#"{"role":"admin"}"#));
        let renewals = instances.iter().zip(&loaded);
        let renewals =
            join_all(renewals.map(|(instance, loaded)| instance.sessions().rotate(loaded, &change))).await;
        let (won, lost): (Vec<_>, Vec<_>) = renewals.into_iter().partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, 9));
        assert!(lost.iter().all(|lost| matches!(lost, Err(SessionError::Rotated))));
        let New { id: new, .. } = won.into_iter().next().unwrap().unwrap();
        for past in join_all(instances.iter().map(|instance| instance.past(&old))).await {
            assert_eq!(past, r#"{"a":1}"#, "nothing of what came with the new id");
        }
        let now = instances[1].loaded(&new).await;
        assert_eq!(now.data.to_json(), r#"{"a":1,"role":"admin"}"#);
        assert_eq!(new.handle(), old.handle());
    });
}

#[test]
fn a_renewal_that_is_sent_again_after_the_write_of_another_still_counts() {
    on_redis(async |world| {
        let proxy = Proxy::start(world.server.port()).await;
        let (instance, other) = (world.instance_at(&proxy.url(), ""), world.instance());
        let id = rotated(&other, &other.begun().await, DataChange::None).await;
        let (ours, theirs) = (instance.loaded(&id).await, other.loaded(&id).await);
        let wire = instance.env.wire();
        wire.take_commands();
        proxy.set(Mode::LoseReply);
        let meanwhile = async {
            wire.held("EVALSHA").await;
            wire.hold("EVALSHA");
            while wire.count("EVALSHA") < 2 {
                tokio::task::yield_now().await;
            }
            other.sessions().merge(&theirs, &changes(r#"{"b":2}"#)).await.unwrap();
            wire.release();
        };
        let (renewed, ()) = join(instance.sessions().rotate(&ours, &DataChange::None), meanwhile).await;
        let renewed = renewed.unwrap();
        let now = other.loaded(&renewed.id).await;
        assert_eq!(now.data.to_json(), r#"{"a":1,"b":2}"#);
        assert_eq!((renewed.receipt.version, now.version), (1, 2), "the version before that of the other");
    });
}

#[test]
fn who_loaded_a_session_before_its_id_changed_may_finish() {
    on_redis(async |world| {
        let instance = world.instance();
        let old = instance.begun().await;
        let loaded = instance.loaded(&old).await;
        let new = rotated(&instance, &old, DataChange::None).await;
        let receipt = instance.sessions().merge(&loaded, &changes(r#"{"b":2}"#)).await.unwrap();
        assert_eq!(instance.loaded(&new).await.data.to_json(), r#"{"a":1,"b":2}"#);
        assert_eq!(instance.past(&old).await, r#"{"a":1}"#);
        assert_eq!(receipt.version, 2);
        assert_eq!(instance.sessions().save(&loaded, &data("{}")).await, Err(SessionError::Conflict));
    });
}

#[test]
fn an_id_that_comes_back_after_its_grace_ends_the_session() {
    on_redis(async |world| {
        let instance = world.instance();
        let old = instance.begun_by(&user("anna")).await;
        let new = rotated(&instance, &old, DataChange::None).await;
        world.end_graces(&world.session_key().await).await;
        instance.loaded(&new).await;
        assert_eq!(instance.session(&old).await, Session::Replayed(*old.handle()));
        assert_eq!(instance.session(&new).await, Session::Absent);
        assert_eq!(instance.session(&old).await, Session::Absent);
        assert!(instance.sessions().list_user(&user("anna")).await.unwrap().is_empty());
    });
}

#[test]
fn an_old_id_reads_until_its_own_grace_ends_however_often_ids_change() {
    on_redis(async |world| {
        let instance = world.instance();
        let mut ids = vec![instance.begun().await];
        for number in 0..4 {
            let change = DataChange::Merge(changes(&format!(r#"{{"a":{}}}"#, number + 2)));
            ids.push(rotated(&instance, &ids[number], change).await);
        }
        for (number, id) in ids[..4].iter().enumerate() {
            assert_eq!(instance.past(id).await, format!(r#"{{"a":{}}}"#, number + 1));
        }
        for _ in 0..20 {
            ids.push(rotated(&instance, ids.last().unwrap(), DataChange::None).await);
        }
        let past = world.keys().await.len() - 1;
        assert_eq!(past, 8, "what they read is bounded");
        instance.loaded(ids.last().unwrap()).await;
    });
}

#[test]
fn without_grace_an_old_id_ends_the_session_at_once() {
    on_redis(async |world| {
        let instance = world.instance_with("[session]\nrotation_grace = \"0s\"");
        let old = instance.begun().await;
        let new = rotated(&instance, &old, DataChange::None).await;
        assert_eq!(world.keys().await.len(), 1);
        instance.loaded(&new).await;
        assert_eq!(instance.session(&old).await, Session::Replayed(*old.handle()));
        assert_eq!(instance.session(&new).await, Session::Absent);
    });
}

#[test]
fn what_an_old_id_reads_may_be_evicted_without_harm_to_the_session() {
    on_redis(async |world| {
        let instance = world.instance();
        let old = instance.begun().await;
        let new = rotated(&instance, &old, DataChange::None).await;
        let session = world.session_key().await;
        for past in world.keys().await.iter().filter(|key| **key != session) {
            world.tell(&["UNLINK", past]).await;
        }
        assert_eq!(instance.session(&old).await, Session::Absent);
        instance.loaded(&new).await;
    });
}

#[test]
fn an_old_id_reads_nothing_after_a_logout() {
    on_redis(async |world| {
        let (instance, anna) = (world.instance(), user("anna"));
        let old = instance.begun_by(&anna).await;
        let new = rotated(&instance, &old, DataChange::None).await;
        instance.sessions().destroy(new.handle()).await.unwrap();
        assert_eq!(instance.session(&old).await, Session::Absent);
        let old = instance.begun_by(&anna).await;
        rotated(&instance, &old, DataChange::None).await;
        instance.sessions().end_user(&anna, None).await.unwrap();
        assert_eq!(instance.session(&old).await, Session::Absent);
    });
}

#[test]
fn a_login_gives_the_id_before_no_way_into_what_comes() {
    on_redis(async |world| {
        let (instance, anna) = (world.instance(), user("anna"));
        let planted = instance.begun().await;
        let slow = instance.loaded(&planted).await;
        let sessions = instance.sessions();
        let new = sessions.login(Some(planted.handle()), &anna, &data(r#"{"a":1,"b":2}"#)).await.unwrap().id;
        assert_ne!(new.handle(), planted.handle());
        assert_eq!(instance.past(&planted).await, r#"{"a":1}"#);
        assert_eq!(sessions.merge(&slow, &changes("{}")).await, Err(SessionError::Gone));
        assert!(matches!(sessions.rotate(&slow, &DataChange::None).await, Err(SessionError::Gone)));
        let before = world.session_keys().await;
        let nobodys = before.iter().find(|key| !key.is_empty() && is_nobodys(key)).unwrap();
        assert!(world.ttl(nobodys).await <= 30_000);
        world.tell(&["UNLINK", nobodys]).await;
        assert_eq!(instance.session(&planted).await, Session::Absent);
        let loaded = instance.loaded(&new).await;
        assert_eq!((loaded.user, loaded.data.to_json().as_str()), (Some(anna), r#"{"a":1,"b":2}"#));
    });
}

/// The hash tag of a session without a user is its name.
fn is_nobodys(key: &str) -> bool {
    let mut parts = key.split(['{', '}']);
    let tag = parts.nth(1).unwrap().trim_start_matches("s:").to_owned();
    parts.next().unwrap().trim_start_matches(':') == tag
}

#[derive(Clone, Debug)]
enum Act {
    /// A visitor uses the id that was issued this many ids ago.
    Come(usize),
    /// A change of the state that was loaded then is written.
    Merge(u8),
    Save(u8),
    Rotate(u8),
    EndGraces,
    LogOut,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0usize..4).prop_map(Act::Come),
        4 => any::<u8>().prop_map(Act::Merge),
        3 => any::<u8>().prop_map(Act::Save),
        4 => any::<u8>().prop_map(Act::Rotate),
        1 => Just(Act::EndGraces),
        1 => Just(Act::LogOut),
    ]
}

/// The expected state of one session.
struct Model {
    /// Its data; `None` once it has ended.
    now: Option<u8>,
    /// The data that each previous id reads.
    past: Vec<u8>,
    /// How many of the ids have no grace period any more.
    beyond: usize,
    version: u64,
}

/// The session that is played with, beside what must hold of it.
struct Game<'w> {
    world: &'w World,
    instance: Instance,
    /// All ids of the session, the newest last.
    ids: Vec<SessionId>,
    /// What was loaded last, and with which id.
    held: (Loaded, usize),
    model: Model,
}

async fn play(world: &World, acts: Vec<Act>) {
    let mut game = Game::begin(world).await;
    for act in acts {
        game.play(act).await;
        let lives = game.model.now.is_some();
        assert_eq!(world.session_keys().await.len(), usize::from(lives));
    }
}

impl<'w> Game<'w> {
    async fn begin(world: &'w World) -> Self {
        let instance = world.instance();
        let id = instance.sessions().create(None, &object(0)).await.unwrap().id;
        let held = (instance.loaded(&id).await, 0);
        let model = Model { now: Some(0), past: vec![], beyond: 0, version: 1 };
        Self { world, instance, ids: vec![id], held, model }
    }

    async fn play(&mut self, act: Act) {
        let lives = self.model.now.is_some();
        match act {
            Act::Come(ago) => self.come(self.ids.len().saturating_sub(ago + 1)).await,
            Act::Merge(number) => {
                let result = self.instance.sessions().merge(&self.held.0, &change(number)).await;
                assert_eq!(result.is_ok(), lives, "{result:?}");
                self.model.wrote(lives, number);
            }
            Act::Save(number) => {
                let result = self.instance.sessions().save(&self.held.0, &object(number)).await;
                let expected = lives && self.held.0.version == self.model.version;
                assert_eq!(result.is_ok(), expected, "{result:?}");
                self.model.wrote(expected, number);
            }
            Act::Rotate(number) => self.rotate(number).await,
            Act::EndGraces if lives => {
                self.world.end_graces(&self.world.session_key().await).await;
                self.model.beyond = self.ids.len() - 1;
            }
            Act::EndGraces => {}
            Act::LogOut => {
                let handle = self.ids[0].handle();
                assert_eq!(self.instance.sessions().destroy(handle).await, Ok(lives));
                self.model.now = None;
            }
        }
    }

    /// Somebody comes with the id at this place.
    async fn come(&mut self, at: usize) {
        let expected = self.model.reads(at, self.ids.len());
        let found = match self.instance.session(&self.ids[at]).await {
            Session::Absent => "absent".to_owned(),
            Session::Replayed(_) => "replayed".to_owned(),
            Session::Previous(previous) => format!("was {}", previous.data.get::<u8>("n").unwrap()),
            Session::Loaded(loaded) => {
                assert_eq!(loaded.version, self.model.version);
                let found = format!("is {}", loaded.data.get::<u8>("n").unwrap());
                self.held = (loaded, at);
                found
            }
        };
        assert_eq!(found, expected);
        if found == "replayed" {
            self.model.now = None;
        }
    }

    async fn rotate(&mut self, number: u8) {
        let change = DataChange::Merge(change(number));
        let result = self.instance.sessions().rotate(&self.held.0, &change).await;
        let expected = self.model.now.is_some() && self.held.1 + 1 == self.ids.len();
        assert_eq!(result.is_ok(), expected, "{result:?}");
        if let Ok(new) = result {
            self.model.past.push(self.model.now.unwrap());
            // No more than eight of them still read.
            self.model.beyond = self.model.beyond.max(self.ids.len().saturating_sub(8));
            self.ids.push(new.id);
            self.model.wrote(true, number);
        }
    }
}

fn object(number: u8) -> Data {
    data(&format!(r#"{{"n":{number}}}"#))
}

fn change(number: u8) -> Changes {
    changes(&format!(r#"{{"n":{number}}}"#))
}

impl Model {
    /// What the id at a place, of so many ids, reads.
    fn reads(&self, at: usize, count: usize) -> String {
        match self.now {
            None => "absent".to_owned(),
            Some(number) if at + 1 == count => format!("is {number}"),
            Some(_) if at >= self.beyond => format!("was {}", self.past[at]),
            Some(_) => "replayed".to_owned(),
        }
    }

    fn wrote(&mut self, did: bool, number: u8) {
        if did {
            self.now = Some(number);
            self.version += 1;
        }
    }
}

#[test]
fn whatever_happens_in_whatever_order_old_ids_write_nothing_and_what_ended_stays_so() {
    let acts = proptest::collection::vec(act(), 1..30);
    property(48, &acts, &async |world, acts| play(world, acts).await);
}
