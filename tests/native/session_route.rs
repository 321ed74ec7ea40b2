//! Sessions in the request path: the cookie, what the origin reads and changes, and what others never get.

use crate::support::exchange::{Got, get, request};
use crate::support::origin::reply;
use crate::support::{Instance, World, on_redis};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::{join, join_all};
use spindrift::body::Body;
use spindrift::pipeline;

pub(crate) const KEY: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const ROUTES: &str = "[[route]]\npath = \"/s*\"\nsession = true\n";
pub(crate) const S: &str = "https://h/s";
pub(crate) const PLAIN: &str = "https://h/a";

pub(crate) fn instance(world: &World) -> Instance {
    with(world, ROUTES)
}

fn with(world: &World, config: &str) -> Instance {
    world.instance_given(&[("session_keys", KEY)], config)
}

pub(crate) fn encoded(json: &str) -> String {
    URL_SAFE_NO_PAD.encode(json)
}

impl World {
    /// From now on the origin sends these session fields in every response, by the ends of their names.
    pub(crate) fn origin_says(&self, said: &[(&str, &str)]) {
        let said: Vec<(String, String)> = said
            .iter()
            .map(|(name, value)| (format!("spindrift-session-{name}"), (*value).to_owned()))
            .chain([("cache-control".to_owned(), "max-age=60".to_owned())])
            .collect();
        self.origin.answers(move |_| {
            let fields: Vec<(&str, &str)> =
                said.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            Ok(reply(200, &fields, "hello"))
        });
    }

    /// The session data that the origin received.
    pub(crate) fn told(&self) -> String {
        let seen = self.origin.last();
        let data = URL_SAFE_NO_PAD.decode(seen.header("spindrift-session")).unwrap();
        String::from_utf8(data).unwrap()
    }

    /// Begins a session with `{"a":1}` by a response of the origin, and returns its cookie.
    pub(crate) async fn visitor(&self, instance: &Instance) -> String {
        self.origin_says(&[("set", &encoded(r#"{"a":1}"#))]);
        let cookie = cookie(&instance.get(S).await).unwrap();
        self.origin_says(&[]);
        cookie
    }

    pub(crate) async fn logged_in(&self, instance: &Instance, user: &str) -> String {
        self.origin_says(&[("set", &encoded(r#"{"a":1}"#)), ("user", user)]);
        let cookie = cookie(&instance.get(S).await).unwrap();
        self.origin_says(&[]);
        cookie
    }
}

/// The cookie that a response sets, as a browser sends it back.
pub(crate) fn cookie(got: &Got) -> Option<String> {
    let lines: Vec<&str> =
        got.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap()).collect();
    assert!(lines.len() <= 1, "{lines:?}");
    lines.first().map(|line| line.split(';').next().unwrap().to_owned())
}

pub(crate) async fn ask(instance: &Instance, cookie: &str) -> Got {
    instance.get_with(S, &[("cookie", cookie)]).await
}

/// Checks that the response used a session and says so.
pub(crate) fn used(got: &Got) {
    assert!(!got.is_hit() && !got.is_stored(), "{got:?}");
    assert_eq!(got.detail(), "session");
    assert!(got.header("cache-control").contains("private"), "{got:?}");
}

#[test]
fn an_anonymous_reader_costs_no_command_and_gets_no_cookie() {
    on_redis(async |world| {
        let instance = instance(world);
        let miss = instance.get(S).await;
        assert!(miss.is_stored() && cookie(&miss).is_none());
        assert_eq!(miss.header("vary"), "cookie");
        instance.env.wire().take_commands();
        let hit = instance.get(S).await;
        assert!(hit.is_hit() && cookie(&hit).is_none());
        assert_eq!((hit.header("vary"), hit.header("cache-control")), ("cookie", "max-age=60"));
        assert_eq!(instance.env.wire().take_commands(), ["MGET"]);
        assert!(world.session_keys().await.is_empty());
        assert_eq!(world.origin.last().header("spindrift-session"), "");
    });
}

#[test]
fn a_session_begins_when_the_origin_says_so_and_its_cookie_is_set_once() {
    on_redis(async |world| {
        let instance = instance(world);
        world.origin_says(&[("merge", &encoded(r#"{"a":1,"b":null}"#))]);
        let got = instance.get(S).await;
        used(&got);
        let line = got.header("set-cookie");
        assert!(line.starts_with("__Host-sid="), "{line}");
        assert!(line.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax"), "{line}");
        assert!(got.headers.keys().all(|name| !name.as_str().starts_with("spindrift-")), "{got:?}");
        let cookie_pair = cookie(&got).unwrap();
        world.origin_says(&[]);
        ask(&instance, &cookie_pair).await;
        for _ in 0..2 {
            instance.env.wire().take_commands();
            let got = ask(&instance, &format!("theme=dark; {cookie_pair}")).await;
            assert_eq!(instance.env.wire().take_commands(), ["EVALSHA"], "one round trip");
            used(&got);
            assert_eq!(cookie(&got), None, "it has it already");
            assert_eq!(world.told(), r#"{"a":1}"#);
            let seen = world.origin.last();
            assert_eq!(seen.header("cookie"), "theme=dark", "the secret is not the origin's business");
            assert!(seen.header("spindrift-session-id").starts_with("sid_"));
            assert_eq!(seen.header("spindrift-session-user"), "");
        }
        assert_eq!(world.session_keys().await.len(), 1);
    });
}

#[test]
fn on_this_machine_over_plain_http_the_cookie_needs_no_tls() {
    on_redis(async |world| {
        let instance = instance(world);
        world.origin_says(&[("set", &encoded(r#"{"a":1}"#))]);
        let got = instance.get("http://localhost:3000/s").await;
        let line = got.header("set-cookie").to_owned();
        assert!(line.starts_with("sid=") && line.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{line}");
        world.origin_says(&[]);
        let pair = cookie(&got).unwrap();
        instance.get_with("http://localhost:3000/s", &[("cookie", &pair)]).await;
        assert_eq!(world.told(), r#"{"a":1}"#);
        instance.get_with(S, &[("cookie", &pair)]).await;
        assert_eq!(world.origin.last().header("spindrift-session"), "", "elsewhere it counts for nothing");
        let plain = instance.get("http://h/s2").await;
        assert!(plain.header("set-cookie").is_empty());
    });
}

#[test]
fn what_is_stored_for_all_and_what_is_one_visitors_never_mix() {
    on_redis(async |world| {
        let instance = instance(world);
        let anna = world.logged_in(&instance, "anna").await;
        world.origin.answers(|seen| {
            let body = format!("for {}", seen.header("spindrift-session-user"));
            Ok(reply(200, &[("cache-control", "public, s-maxage=60, max-age=30")], body))
        });
        let got = ask(&instance, &anna).await;
        used(&got);
        assert_eq!((got.text(), got.header("cache-control")), ("for anna", "max-age=30, private"));
        let nobody = instance.get(S).await;
        assert_eq!((nobody.text(), nobody.is_stored()), ("for ", true));
        assert!(instance.get(S).await.is_hit());
        let again = ask(&instance, &anna).await;
        used(&again);
        assert_eq!(again.text(), "for anna");
        assert_eq!(instance.get(S).await.text(), "for ");
    });
}

#[test]
fn a_validation_that_begins_a_session_hands_it_to_nobody_else() {
    on_redis(async |world| {
        let instance = instance(world);
        world.origin.answers(|seen| {
            let fields = [("cache-control", "max-age=60"), ("etag", "\"1\""), ("age", "100")];
            let begun = encoded(r#"{"a":1}"#);
            let begin = ("spindrift-session-set", begun.as_str());
            Ok(match seen.header("if-none-match") {
                "" => reply(200, &fields, "page"),
                _ => reply(304, &[&fields[..2], &[begin]].concat(), ""),
            })
        });
        assert!(instance.get(S).await.is_stored());
        for _ in 0..2 {
            let got = instance.get(S).await;
            assert_eq!((got.status, got.text(), got.detail()), (200, "page", "session"));
            assert!(cookie(&got).is_some() && !got.is_stored(), "{got:?}");
        }
        let keys = world.session_keys().await;
        assert_eq!(keys.len(), 2, "each its own");
    });
}

#[test]
fn what_is_refreshed_behind_an_answer_begins_no_session_and_is_not_stored_if_it_would() {
    on_redis(async |world| {
        let instance = instance(world);
        let fields = [("cache-control", "max-age=1, stale-while-revalidate=100"), ("vary", "accept")];
        world.origin.answers(move |_| Ok(reply(200, &fields, "page")));
        assert!(instance.get(S).await.is_stored());
        world.clock.advance_secs(2);
        let begin = encoded(r#"{"a":1}"#);
        world.origin.answers(move |_| {
            let begin = [("spindrift-session-set", begin.as_str())];
            Ok(reply(200, &[&fields[..], &begin].concat(), "for one visitor"))
        });
        let got = instance.get(S).await;
        assert_eq!((got.text(), cookie(&got)), ("page", None));
        assert_eq!(world.origin.count(), 2, "it was refreshed behind the answer");
        assert_eq!(instance.get(S).await.text(), "page");
        assert!(world.session_keys().await.is_empty());
    });
}

#[test]
fn what_is_warmed_begins_no_session_and_is_not_stored_if_it_would() {
    on_redis(async |world| {
        let instance = instance(world);
        let warm = async || pipeline::warm::warm(&instance.app, vec![S.parse().unwrap()]).await.remove(0);
        world.origin_says(&[("set", &encoded(r#"{"a":1}"#))]);
        let warmed = warm().await;
        assert_eq!((warmed.stored, warmed.detail), (false, Some("session")));
        assert!(world.session_keys().await.is_empty());
        world.origin_says(&[]);
        assert!(warm().await.stored);
    });
}

#[test]
fn of_many_who_ask_at_once_each_gets_a_session_of_its_own() {
    on_redis(async |world| {
        let instance = instance(world);
        world.origin_says(&[("set", &encoded(r#"{"a":1}"#))]);
        let got = join_all((0..5).map(|_| instance.get(S))).await;
        let mut cookies: Vec<String> = got.iter().filter_map(cookie).collect();
        cookies.sort();
        cookies.dedup();
        assert_eq!((cookies.len(), world.origin.count()), (5, 5));
    });
}

#[test]
fn the_origin_changes_its_data() {
    on_redis(async |world| {
        let instance = instance(world);
        let visitor = world.visitor(&instance).await;
        world.origin_says(&[("merge", &encoded(r#"{"b":[2]}"#))]);
        let got =
            instance.send(request("POST", S, &[("cookie", &visitor)], Body::from("x".to_owned()))).await;
        assert_eq!((got.forwarded(), got.detail(), cookie(&got)), ("method", "session", None));
        world.origin_says(&[("set", &format!(":{}:", encoded(r#"{"c":3}"#)))]);
        ask(&instance, &visitor).await;
        assert_eq!(world.told(), r#"{"a":1,"b":[2]}"#);
        world.origin_says(&[]);
        ask(&instance, &visitor).await;
        assert_eq!(world.told(), r#"{"c":3}"#);
    });
}

#[test]
fn of_two_requests_that_replace_the_data_the_second_is_told() {
    on_redis(async |world| {
        let instance = instance(world);
        let visitor = world.visitor(&instance).await;
        world.origin_says(&[("set", &encoded(r#"{"b":2}"#))]);
        world.origin.hold();
        let release = async {
            world.origin.asked(3).await;
            world.origin.release();
        };
        let (got, ()) = join(join_all([ask(&instance, &visitor), ask(&instance, &visitor)]), release).await;
        let mut statuses: Vec<u16> = got.iter().map(|got| got.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409]);
        let late = got.iter().find(|got| got.status == 409).unwrap();
        assert_eq!(
            (late.detail(), late.header("content-type")),
            ("session-conflict", "application/problem+json")
        );
    });
}

#[test]
fn of_requests_that_merge_none_is_lost() {
    on_redis(async |world| {
        let instance = instance(world);
        let visitor = world.visitor(&instance).await;
        world.origin.answers(|seen| {
            let name = seen.uri.path().trim_start_matches("/s/").to_owned();
            let merge = encoded(&format!(r#"{{"{name}":1}}"#));
            Ok(reply(200, &[("spindrift-session-merge", &merge)], ""))
        });
        world.origin.hold();
        let requests = (0..10)
            .map(|number| instance.send(get(&format!("https://h/s/{number}"), &[("cookie", &visitor)])));
        let release = async {
            world.origin.asked(11).await;
            world.origin.release();
        };
        let (got, ()) = join(join_all(requests), release).await;
        assert!(got.iter().all(|got| got.status == 200));
        world.origin_says(&[]);
        ask(&instance, &visitor).await;
        let members: Vec<String> = (0..10).map(|number| format!(r#""{number}":1"#)).collect();
        assert_eq!(world.told(), format!(r#"{{{},"a":1}}"#, members.join(",")));
    });
}

#[test]
fn a_logout_is_not_undone_by_a_slow_request() {
    on_redis(async |world| {
        let (slow, quick) = (instance(world), instance(world));
        let visitor = world.logged_in(&slow, "anna").await;
        world.origin.answers(|seen| {
            let ends = seen.method == "POST";
            let merge = encoded(r#"{"seen":1}"#);
            let said =
                if ends { ("spindrift-session-destroy", "1") } else { ("spindrift-session-merge", &*merge) };
            Ok(reply(200, &[said], "hello"))
        });
        world.origin.hold_all_but("POST");
        let logout = async {
            world.origin.asked(2).await;
            let got = quick.send(request("POST", S, &[("cookie", &visitor)], Body::Empty)).await;
            world.origin.release();
            got
        };
        let (late, ended) = join(ask(&slow, &visitor), logout).await;
        assert_eq!(cookie(&ended).as_deref(), Some("__Host-sid="));
        assert!(ended.header("set-cookie").ends_with("; Max-Age=0"), "{ended:?}");
        assert_eq!((late.status, late.detail(), cookie(&late)), (200, "session-ended", None));
        assert!(world.session_keys().await.is_empty());
        world.origin_says(&[]);
        ask(&slow, &visitor).await;
        assert_eq!(world.origin.last().header("spindrift-session"), "");
    });
}

#[test]
fn of_ten_requests_at_once_one_gets_the_new_id_and_none_loses_its_session() {
    on_redis(async |world| {
        let instance = instance(world);
        let old = world.logged_in(&instance, "anna").await;
        world.origin_says(&[("rotate", "1")]);
        world.origin.hold();
        let release = async {
            world.origin.asked(11).await;
            world.origin.release();
        };
        let (got, ()) = join(join_all((0..10).map(|_| ask(&instance, &old))), release).await;
        assert!(got.iter().all(|got| got.status == 200));
        let new: Vec<String> = got.iter().filter_map(cookie).collect();
        assert_eq!(new.len(), 1);
        world.origin_says(&[("merge", &encoded(r#"{"late":1}"#))]);
        let late = ask(&instance, &old).await;
        assert_eq!(
            (late.status, late.detail(), world.told().as_str()),
            (200, "session-rotated", r#"{"a":1}"#)
        );
        assert_eq!(world.origin.last().header("spindrift-session-user"), "anna");
        world.origin_says(&[]);
        ask(&instance, &new[0]).await;
        assert_eq!(world.told(), r#"{"a":1}"#, "the old id wrote nothing");
        world.end_graces(&world.session_key().await).await;
        ask(&instance, &old).await;
        assert_eq!(world.origin.last().header("spindrift-session"), "");
        assert!(
            instance.env.logged("was ended: an id that had been replaced was used again"),
            "{:?}",
            instance.env.log_lines()
        );
        ask(&instance, &new[0]).await;
        assert_eq!(world.origin.last().header("spindrift-session"), "", "who stole which is not known");
    });
}

#[test]
fn an_id_planted_before_a_login_sees_nothing_of_it() {
    on_redis(async |world| {
        let instance = instance(world);
        let planted = world.visitor(&instance).await;
        world.origin_says(&[("user", "anna"), ("merge", &encoded(r#"{"role":"admin"}"#))]);
        let new = cookie(&ask(&instance, &planted).await).unwrap();
        world.origin_says(&[]);
        ask(&instance, &planted).await;
        assert_eq!(world.told(), r#"{"a":1}"#);
        assert_eq!(world.origin.last().header("spindrift-session-user"), "");
        ask(&instance, &new).await;
        assert_eq!(world.told(), r#"{"a":1,"role":"admin"}"#);
        assert_eq!(world.origin.last().header("spindrift-session-user"), "anna");
        assert_ne!(planted.split('.').next(), new.split('.').next(), "nothing of the id is kept");
    });
}

#[test]
fn a_login_sees_nothing_of_the_user_before() {
    on_redis(async |world| {
        let instance = instance(world);
        let anna = world.logged_in(&instance, "anna").await;
        world.origin_says(&[("user", "ben"), ("merge", &encoded(r#"{"b":2}"#))]);
        let ben = cookie(&ask(&instance, &anna).await).unwrap();
        world.origin_says(&[("user", "anna")]);
        let again = cookie(&ask(&instance, &ben).await).unwrap();
        assert_eq!(world.told(), r#"{"b":2}"#);
        world.origin_says(&[]);
        ask(&instance, &again).await;
        assert_eq!(world.told(), "{}");
    });
}

#[test]
fn the_cookie_of_a_persistent_session_ends_with_it() {
    on_redis(async |world| {
        let instance = with(world, &format!("[session]\npersistent = true\nabsolute = \"1h\"\n{ROUTES}"));
        world.origin_says(&[("set", &encoded(r#"{"a":1}"#))]);
        assert!(instance.get(S).await.header("set-cookie").ends_with("; Max-Age=3600"));
    });
}

#[test]
fn names_and_cookie_are_as_configured() {
    on_redis(async |world| {
        let config = "[session]\ncookie = \"shop\"\nheader = \"X-Shop-Session\"\n";
        let instance = with(world, &format!("{config}{ROUTES}"));
        world.origin.answers(|_| {
            Ok(reply(200, &[("x-shop-session-user", "anna"), ("spindrift-session-user", "eve")], ""))
        });
        let got = instance.get(S).await;
        let pair = cookie(&got).unwrap();
        assert!(pair.starts_with("__Host-shop="), "{pair}");
        assert_eq!(got.header("spindrift-session-user"), "eve", "a field like any other");
        ask(&instance, &pair).await;
        assert_eq!(world.origin.last().header("x-shop-session-user"), "anna");
    });
}
