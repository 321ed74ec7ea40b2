//! All sessions of a user; sessions with ids of the caller's own choice.

use crate::session::{changes, data, user};
use crate::support::on_redis;
use spindrift::config::Secret;
use spindrift::session::{ChosenId, Expected, Handle, KeyRing, Life, Put, Session, SessionError, SessionId};
use spindrift::time::Ttl;
use std::time::Duration;

fn named(listed: &[spindrift::session::Listed]) -> Vec<Handle> {
    listed.iter().map(|one| one.handle).collect()
}

#[test]
fn the_sessions_of_a_user_are_listed_while_they_are_there() {
    on_redis(async |world| {
        let (instance, anna) = (world.instance(), user("anna"));
        let sessions = instance.sessions();
        assert!(sessions.list_user(&anna).await.unwrap().is_empty());
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(instance.begun_by(&anna).await);
        }
        instance.begun_by(&user("ben")).await;
        let listed = sessions.list_user(&anna).await.unwrap();
        let mut handles = named(&listed);
        handles.sort_by_key(ToString::to_string);
        let mut expected: Vec<Handle> = ids.iter().map(|id| *id.handle()).collect();
        expected.sort_by_key(ToString::to_string);
        assert_eq!(handles, expected);
        assert!(listed.iter().all(|one| one.receipt.times.ends > one.receipt.times.expires));
        sessions.destroy(ids[0].handle()).await.unwrap();
        // A session that expired because it was not used.
        let idle = world.session_keys().await;
        let idle = idle.iter().find(|key| {
            let name = key.split("}:").nth(1).unwrap();
            instance_name(&ids[1]) == name
        });
        world.tell(&["UNLINK", idle.unwrap()]).await;
        assert_eq!(named(&sessions.list_user(&anna).await.unwrap()), [*ids[2].handle()]);
        let index = world.keys().await.into_iter().filter(|key| key.ends_with(":i"));
        let mut members = Vec::new();
        for key in index {
            members.push(world.ask::<u64>(&["ZCARD", &key]).await);
        }
        assert_eq!(members, [1, 1], "the list forgets what has ended");
    });
}

/// The name of a session in its key: the last 16 bytes of the handle.
fn instance_name(id: &SessionId) -> String {
    use base64::Engine as _;
    let text = id.handle().to_string();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(&text[4..]).unwrap();
    bytes[16..].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn beyond_the_most_sessions_of_a_user_the_oldest_ends() {
    on_redis(async |world| {
        let instance = world.instance_with("[session]\nmax_per_user = 2");
        let anna = user("anna");
        let mut ids = Vec::new();
        for number in 0..4 {
            ids.push(instance.begun_by(&anna).await);
            // Redis counts milliseconds; sessions that begin in the same millisecond have no order.
            let before = world.redis_time().await;
            while world.redis_time().await == before {}
            let alive = world.session_keys().await.len();
            assert_eq!(alive, (number + 1).min(2));
        }
        for (number, id) in ids.iter().enumerate() {
            assert_eq!(matches!(instance.session(id).await, Session::Loaded(_)), number >= 2, "{number}");
        }
        assert_eq!(instance.sessions().list_user(&anna).await.unwrap().len(), 2);
    });
}

#[test]
fn what_has_ended_is_none_of_the_most_sessions_of_a_user() {
    on_redis(async |world| {
        let instance = world.instance_with("[session]\nmax_per_user = 2");
        let anna = user("anna");
        let used = instance.begun_by(&anna).await;
        let before = world.redis_time().await;
        while world.redis_time().await == before {}
        let idle = instance.begun_by(&anna).await;
        // Expired because it was not used.
        let keys = world.session_keys().await;
        let key = keys.iter().find(|key| key.ends_with(&instance_name(&idle))).unwrap();
        world.tell(&["UNLINK", key]).await;
        let new = instance.begun_by(&anna).await;
        for id in [&used, &new] {
            instance.loaded(id).await;
        }
    });
}

#[test]
fn all_sessions_of_a_user_end_at_once_also_those_in_no_list() {
    on_redis(async |world| {
        let (instance, anna) = (world.instance(), user("anna"));
        let (one, two) = (instance.begun_by(&anna).await, instance.begun_by(&anna).await);
        let other = instance.begun_by(&user("ben")).await;
        let writer = instance.loaded(&one).await;
        // The list of sessions is lost.
        for key in world.keys().await.iter().filter(|key| key.ends_with(":i")) {
            world.tell(&["UNLINK", key]).await;
        }
        assert_eq!(instance.sessions().end_user(&anna, None).await, Ok(0));
        for id in [&one, &two] {
            assert_eq!(instance.session(id).await, Session::Absent);
        }
        assert_eq!(instance.sessions().merge(&writer, &changes("{}")).await, Err(SessionError::Gone));
        instance.loaded(&other).await;
        let again = instance.begun_by(&anna).await;
        instance.loaded(&again).await;
        assert_eq!(instance.session(&one).await, Session::Absent, "a new session brings none back");
    });
}

#[test]
fn all_sessions_of_a_user_but_one_end() {
    on_redis(async |world| {
        let (instance, anna) = (world.instance(), user("anna"));
        let (here, there) = (instance.begun_by(&anna).await, instance.begun_by(&anna).await);
        let sessions = instance.sessions();
        assert_eq!(sessions.end_user(&anna, Some(here.handle())).await, Ok(1));
        assert_eq!(instance.session(&there).await, Session::Absent);
        instance.loaded(&here).await;
        assert_eq!(named(&sessions.list_user(&anna).await.unwrap()), [*here.handle()]);
        // An id that has ended, or belongs to another user, is not spared.
        sessions.destroy(here.handle()).await.unwrap();
        let last = instance.begun_by(&anna).await;
        assert_eq!(sessions.end_user(&anna, Some(here.handle())).await, Ok(1));
        assert_eq!(instance.session(&last).await, Session::Absent);
        let other = instance.begun_by(&user("ben")).await;
        let last = instance.begun_by(&anna).await;
        sessions.end_user(&anna, Some(other.handle())).await.unwrap();
        assert_eq!(instance.session(&last).await, Session::Absent);
        instance.loaded(&other).await;
    });
}

#[test]
fn losing_any_key_ends_sessions_and_brings_none_back() {
    on_redis(async |world| {
        let (instance, anna) = (world.instance(), user("anna"));
        let ended = instance.begun_by(&anna).await;
        instance.sessions().end_user(&anna, None).await.unwrap();
        let id = instance.begun_by(&anna).await;
        for key in world.keys().await.iter().filter(|key| key.ends_with(":e")) {
            world.tell(&["UNLINK", key]).await;
        }
        assert_eq!(instance.session(&id).await, Session::Absent);
        let next = instance.begun_by(&anna).await;
        for gone in [&ended, &id] {
            assert_eq!(instance.session(gone).await, Session::Absent);
        }
        instance.loaded(&next).await;
    });
}

#[test]
fn an_epoch_lives_as_long_as_any_session_of_its_user() {
    on_redis(async |world| {
        let (instance, anna) = (world.instance(), user("anna"));
        let year = Ttl::new(Duration::from_secs(365 * 86_400));
        let life = Life { idle: year, absolute: year };
        let _ = instance.sessions().create_for(Some(&anna), &data("{}"), life).await.unwrap();
        let short = instance.begun_by(&anna).await;
        let stay = Some(short.handle());
        for _ in 0..2 {
            for key in world.keys().await.iter().filter(|key| key.ends_with(":e")) {
                assert!(world.ttl(key).await > 364 * 86_400_000, "{key}");
            }
            instance.sessions().end_user(&anna, stay).await.unwrap();
        }
    });
}

#[test]
fn a_session_with_a_chosen_id_is_put_read_and_ended() {
    on_redis(async |world| {
        let instance = world.instance();
        let (sessions, id) = (instance.sessions(), ChosenId::new("user:42 {x}").unwrap());
        let life = Life { idle: Ttl::new(Duration::from_secs(60)), absolute: None };
        let put = async |text: &str, expected| sessions.put(&id, &data(text), life, expected).await;
        let Ok(Put::Created(first)) = put(r#"{"a":1,"b":2}"#, Expected::Any).await else { panic!("not new") };
        assert_eq!(put("{}", Expected::Nothing).await, Err(SessionError::Exists));
        let Ok(Put::Replaced(second)) = put(r#"{"c":3}"#, Expected::Version(first.version)).await else {
            panic!("not replaced")
        };
        assert!(second.version > first.version);
        assert_eq!(put("{}", Expected::Version(first.version)).await, Err(SessionError::Conflict));
        let found = sessions.open(id.handle()).await.unwrap().unwrap();
        assert_eq!(found.data.to_json(), r#"{"c":3}"#);
        assert!(world.ttl(&world.session_key().await).await <= 60_000);
        sessions.destroy(id.handle()).await.unwrap();
        assert_eq!(sessions.open(id.handle()).await, Ok(None));
        let Ok(Put::Created(third)) = put("{}", Expected::Any).await else { panic!("not new") };
        assert!(third.version > second.version, "no version is used twice");
        assert_eq!(put("{}", Expected::Version(second.version)).await, Err(SessionError::Conflict));
    });
}

/// A token for this handle, as a holder of the key could forge it.
fn forged(handle: &Handle, key: &str) -> String {
    use base64::Engine as _;
    use hmac::{KeyInit as _, Mac as _};
    let encode = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let text = format!("{}.{}", &handle.to_string()[4..], encode(&[7; 32]));
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(format!("spindrift session 1\0x\0{text}\0").as_bytes());
    format!("{text}.{}", encode(&mac.finalize().into_bytes()))
}

#[test]
fn no_secret_opens_a_session_with_a_chosen_id_not_even_one_that_is_signed() {
    on_redis(async |world| {
        let instance = world.instance();
        let id = ChosenId::new("mine").unwrap();
        instance.sessions().put(&id, &data(r#"{"a":1}"#), Life::default(), Expected::Any).await.unwrap();
        let ring = KeyRing::new("x", vec![Secret::new("key")]);
        let signed = ring.verify(&forged(id.handle(), "key")).unwrap();
        assert_eq!(instance.session(&signed.id).await, Session::Absent);
        assert!(instance.sessions().open(id.handle()).await.unwrap().is_some(), "nor does it end it");
    });
}
