//! The examples that are Spin components and use the library in process. The middleware has a file of its own.

mod node;
mod shell;

use spindrift_e2e::{Gateway, Redis, Request, Response, Setup, eventually};

fn app(manifest: &'static str, redis: &Redis) -> Gateway {
    Setup::of(manifest).redis(redis).start()
}

fn forecast(city: &str) -> Request {
    Request::get(&format!("/forecast/{city}"))
}

#[test]
fn a_forecast_is_made_once_for_all_who_ask_at_the_same_time() {
    let redis = Redis::start();
    let gateway = Setup::of("examples/cache-aside/spin.toml").redis(&redis).reuse(1, 1).start();
    let all: Vec<Response> = std::thread::scope(|scope| {
        let ask = || gateway.send(&forecast("Oslo"));
        let asking: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(all.iter().all(|one| one.status == 200 && one.text() == all[0].text()), "{all:?}");
    let made = all.iter().filter(|one| one.header("forecast") == Some("made, and stored for all"));
    assert_eq!(made.count(), 1, "{all:?}");
    assert_eq!(gateway.send(&forecast("Oslo")).header("forecast"), Some("found"));
}

#[test]
fn forecasts_are_set_deleted_and_invalidated() {
    let redis = Redis::start();
    let gateway = app("examples/cache-aside/spin.toml", &redis);
    let head = |city: &str| gateway.send(&Request::head(&format!("/forecast/{city}"))).status;
    assert_eq!(head("Rome"), 404);
    assert_eq!(gateway.send(&Request::new("PUT", "/forecast/Rome").body("21")).status, 204);
    assert_eq!(head("Rome"), 200);
    assert_eq!(gateway.send(&forecast("Rome")).json()["degrees"], 21);
    assert_eq!(
        gateway.send(&Request::new("PUT", "/forecast/Rome").body("warm")).problem(400)["title"],
        "Bad Request"
    );
    assert_eq!(gateway.send(&Request::new("DELETE", "/forecast/Rome")).status, 204);
    assert_eq!(head("Rome"), 404);
    gateway.send(&forecast("Oslo"));
    gateway.send(&forecast("Bergen"));
    assert_eq!(gateway.send(&Request::new("DELETE", "/forecast")).status, 204);
    assert_eq!((head("Oslo"), head("Bergen")), (404, 404));
}

#[test]
fn without_redis_every_caller_makes_a_forecast() {
    let gateway = Setup::of("examples/cache-aside/spin.toml").start();
    for _ in 0..2 {
        let made = gateway.send(&forecast("Oslo"));
        assert_eq!((made.status, made.header("forecast")), (200, Some("made, and not stored")), "{made:?}");
    }
    let refused = gateway.send(&Request::new("DELETE", "/forecast")).problem(503);
    assert!(refused["reason"].as_str().unwrap().starts_with("redis-"), "{refused}");
}

#[test]
fn a_component_with_a_wrong_configuration_says_what_is_wrong() {
    let gateway =
        Setup::of("examples/cache-aside/spin.toml").config("[values]\nmax_sice = \"1MiB\"\n").start();
    let problem = gateway.send(&forecast("Oslo")).problem(500);
    assert!(problem["errors"][0].as_str().unwrap().contains("did you mean \"max_size\"?"), "{problem}");
}

#[test]
fn an_api_key_is_limited_by_its_plan() {
    let redis = Redis::start();
    let gateway = Setup::of("examples/rate-limit/spin.toml").redis(&redis).reuse(1, 1).start();
    let ask = |path: &str, key: &str| gateway.send(&Request::get(path).header("x-api-key", key));
    assert_eq!(ask("/search", "invented").problem(401)["title"], "Unauthorized");
    let first = ask("/export", "demo-free");
    assert_eq!(first.header("ratelimit-policy"), Some(r#""free";q=10;w=60"#), "{first:?}");
    assert!(first.header("ratelimit").unwrap().starts_with(r#""free";r=5"#), "{first:?}");
    assert_eq!(ask("/export", "demo-free").status, 200);
    let refused = ask("/search", "demo-free");
    let problem = refused.problem(429);
    assert_eq!(problem["violated-policies"][0], "free");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{refused:?}");
    assert_eq!(ask("/search", "demo-paid").status, 200, "another key is not affected");
}

#[test]
fn of_two_runs_of_the_nightly_task_one_is_refused() {
    let redis = Redis::start();
    let gateway = Setup::of("examples/nightly/spin.toml").redis(&redis).variable("step_ms", "150").start();
    let run = || gateway.send(&Request::post("/run", ""));
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(run);
        eventually("the lock", || redis.query::<i64>(&["EXISTS", "sd:{lock:nightly}"]) == 1);
        (run(), first.join().unwrap())
    });
    assert_eq!(first.problem(409)["reason"], "held");
    assert!(first.header("retry-after").is_some());
    assert_eq!((second.status, second.json()["steps"].as_u64()), (200, Some(4)), "{second:?}");
    assert_eq!(gateway.get("/report").text(), second.text());
    let again = run();
    assert!(again.json()["fence"].as_u64() > second.json()["fence"].as_u64(), "{again:?}");
}

#[test]
fn a_nightly_task_that_lost_its_lock_stops_and_writes_nothing() {
    let redis = Redis::start();
    let gateway = Setup::of("examples/nightly/spin.toml").redis(&redis).variable("step_ms", "150").start();
    let ended = std::thread::scope(|scope| {
        let running = scope.spawn(|| gateway.send(&Request::post("/run", "")));
        eventually("the lock", || redis.query::<i64>(&["UNLINK", "sd:{lock:nightly}"]) == 1);
        running.join().unwrap()
    });
    assert_eq!(ended.problem(409)["reason"], "lost");
    assert_eq!(gateway.get("/report").status, 404);
}

#[test]
fn thumbnails_are_made_retried_and_buried() {
    let redis = Redis::start();
    let gateway = app("examples/thumbnails/spin.toml", &redis);
    let enqueue = |image: &str| {
        let asked = Request::post("/thumbnails", format!(r#"{{"image":"{image}","width":100}}"#));
        let response = gateway.send(&asked);
        assert_eq!(response.status, 202, "{response:?}");
        (response.json()["id"].as_str().unwrap().to_owned(), response.json()["new"] == true)
    };
    let state =
        |id: &str| gateway.get(&format!("/thumbnails/{id}")).json()["state"].as_str().map(str::to_owned);
    let (good, _) = enqueue("a.png");
    assert_eq!(enqueue("a.png"), (good.clone(), false), "asked for twice, it is made once");
    let ((broken, _), (text, _)) = (enqueue("broken.png"), enqueue("a.txt"));
    let work = || gateway.send(&Request::post("/work", "")).json();
    let first = work();
    assert_eq!((&first["done"], &first["retried"], &first["buried"]), (&1.into(), &1.into(), &1.into()));
    assert_eq!((state(&good), state(&text)), (Some("done".into()), Some("dead".into())));
    eventually("the last attempt", || {
        work();
        state(&broken).as_deref() == Some("dead")
    });
    let dead = gateway.get(&format!("/thumbnails/{broken}")).json();
    assert_eq!(
        (&dead["attempts"], &dead["error"]),
        (&3.into(), &"the image cannot be read".into()),
        "{dead}"
    );
    assert_eq!(gateway.send(&Request::post("/thumbnails", "{}")).status, 400);
}
