//! The reserved paths below `/_spindrift/`.

use spindrift_e2e::{Gateway, Origin, Redis, Reply, Request, TOKEN};

fn origin() -> Origin {
    Origin::always(Reply::fresh("of the origin"))
}

#[test]
fn health_says_that_the_instance_runs() {
    let origin = origin();
    let gateway = Gateway::before(&origin).start();
    let health = gateway.get("/_spindrift/health");
    assert_eq!((health.status, health.header("content-type")), (200, Some("application/json")));
    assert_eq!(
        (health.json()["status"].as_str(), health.header("cache-control")),
        (Some("ok"), Some("no-store"))
    );
    assert!(health.json()["version"].is_string());
    assert_eq!(origin.count(), 0);
}

#[test]
fn readiness_follows_redis() {
    let origin = origin();
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    let ready = gateway.get("/_spindrift/health/redis");
    assert_eq!((ready.status, ready.json()["status"].as_str()), (200, Some("ok")));
    redis.stop();
    let down = gateway.until(&Request::get("/_spindrift/health/redis"), |it| it.status == 503);
    assert_eq!(down.json()["status"], "unavailable");
    assert!(down.json()["reason"].as_str().unwrap().starts_with("redis-"), "{down:?}");
    redis.restart();
    gateway.until(&Request::get("/_spindrift/health/redis"), |it| it.status == 200);
    let off = Gateway::before(&origin).variable("redis_enabled", "false").start();
    assert_eq!(off.get("/_spindrift/health/redis").json()["status"], "disabled");
}

#[test]
fn nothing_below_the_prefix_reaches_the_origin_or_the_cache() {
    let origin = origin();
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).managed().start();
    for target in ["/_spindrift/x", "/_spindrift/health/x", "/_spindrift//health"] {
        let _ = gateway.get(target).problem(404);
    }
    let _ = gateway.get("/_spindrift/v1/x").problem(401);
    let _ = gateway.send(&Request::get("/_spindrift/v1/x").bearer(TOKEN)).problem(404);
    assert_eq!(origin.count(), 0);
    assert!(redis.entries().is_empty());
    assert_eq!(gateway.get("/_spindrifts").text(), "of the origin");
    assert_eq!(gateway.get("/x/_spindrift/health").text(), "of the origin");
}

#[test]
fn every_path_of_our_own_carries_cache_status_too() {
    let origin = origin();
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).managed().start();
    for request in [
        Request::get("/_spindrift/health"),
        Request::get("/_spindrift/health/redis"),
        Request::get("/_spindrift/nothing"),
        Request::get("/_spindrift/v1/purge"),
        Request::post("/_spindrift/v1/purge", "{}"),
        Request::get("/_spindrift/stats").bearer(TOKEN),
    ] {
        let status = gateway.send(&request).cache_status();
        assert_eq!((status.cache.as_str(), status.is_hit(), status.is_stored()), ("spindrift", false, false));
    }
}

#[test]
fn without_a_token_configured_the_management_api_is_403_and_says_how_to_set_it() {
    let origin = origin();
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).start();
    for request in [
        Request::post("/_spindrift/v1/purge", r#"{"tags":["t"]}"#),
        Request::post("/_spindrift/v1/purge", "").bearer(""),
        Request::get("/_spindrift/stats").bearer("x"),
    ] {
        let problem = gateway.send(&request).problem(403);
        assert!(problem["detail"].as_str().unwrap().contains("admin_token"), "{problem}");
    }
}

#[test]
fn a_missing_or_wrong_token_is_401_with_a_challenge() {
    let origin = origin();
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).managed().start();
    let purge = || Request::post("/_spindrift/v1/purge", r#"{"tags":["t"]}"#);
    for request in [
        purge(),
        purge().bearer("wrong"),
        purge().bearer(""),
        purge().bearer(&TOKEN[..TOKEN.len() - 1]),
        purge().bearer(&format!("{TOKEN}x")),
        purge().bearer(&TOKEN.to_uppercase()),
        purge().header("authorization", &format!("Basic {TOKEN}")),
        purge().header("authorization", TOKEN),
        purge().header("x-authorization", &format!("Bearer {TOKEN}")),
        Request::get("/_spindrift/stats"),
        Request::get(&format!("/_spindrift/stats?token={TOKEN}")),
    ] {
        let response = gateway.send(&request);
        let problem = response.problem(401);
        assert!(response.header("www-authenticate").unwrap().starts_with("Bearer"), "{response:?}");
        assert!(!problem.to_string().contains(TOKEN));
    }
    let right = purge().header("authorization", &format!("bEARER {TOKEN}"));
    assert_eq!(gateway.send(&right).status, 200);
    assert!(!gateway.log().contains(TOKEN));
}

#[test]
fn a_wrong_method_is_405_and_says_which_is_right() {
    let origin = origin();
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).managed().start();
    for (target, right) in [
        ("/_spindrift/v1/purge", "OPTIONS, POST"),
        ("/_spindrift/health", "GET, HEAD, OPTIONS"),
        ("/_spindrift/health/redis", "GET, HEAD, OPTIONS"),
        ("/_spindrift/stats", "GET, HEAD, OPTIONS"),
    ] {
        for method in
            ["GET", "POST", "PUT", "DELETE", "BREW"].into_iter().filter(|method| !right.contains(method))
        {
            let response = gateway.send(&Request::new(method, target).bearer(TOKEN));
            let _ = response.problem(405);
            assert_eq!(response.header("allow"), Some(right), "{method} {target}");
        }
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_malformed_purge_is_400_with_every_problem() {
    let origin = origin();
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).managed().start();
    for json in [
        "",
        "nonsense",
        "{\"tag\":[\"t\"]}",
        "{\"tags\":\"t\"}",
        "{\"tags\":[1]}",
        "{\"soft\":1}",
        "{",
        "\u{0}",
    ] {
        let problem = gateway.manage("/_spindrift/v1/purge", json).problem(400);
        assert!(problem["detail"].as_str().unwrap().starts_with("expected "), "{json}: {problem}");
    }
    let json = r#"{"urls":["ftp://x/","example.com/a",""],"prefixes":["x"],"tags":[""]}"#;
    let problem = gateway.manage("/_spindrift/v1/purge", json).problem(400);
    let errors: Vec<&str> =
        problem["errors"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    assert_eq!(errors.len(), 5, "{errors:?}");
    for (error, place) in errors.iter().zip(["urls[0]", "urls[1]", "urls[2]", "tags[0]", "prefixes[0]"]) {
        assert!(error.starts_with(place), "{error}");
    }
    for nothing in ["{}", "[]", r#"{"tags":[]}"#] {
        let _ = gateway.manage("/_spindrift/v1/purge", nothing).problem(400);
    }
    let many = format!("{{\"tags\":[{}]}}", vec!["\"t\""; 1001].join(","));
    let _ = gateway.manage("/_spindrift/v1/purge", &many).problem(400);
}

#[test]
fn a_purge_that_is_too_long_is_413() {
    let origin = origin();
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).managed().start();
    let _ = gateway.manage("/_spindrift/v1/purge", &" ".repeat(1024 * 1024 + 1)).problem(413);
    let padded = format!("{}{{\"tags\":[\"t\"]}}", " ".repeat(1000 * 1024));
    assert_eq!(gateway.manage("/_spindrift/v1/purge", &padded).status, 200);
}

#[test]
fn a_purge_that_redis_cannot_do_is_503_with_the_reason() {
    let origin = origin();
    let gateway = Gateway::before(&origin).managed().start();
    let problem = gateway.manage("/_spindrift/v1/purge", r#"{"tags":["t"]}"#).problem(503);
    assert!(problem["reason"].as_str().unwrap().starts_with("redis-"), "{problem}");
    let off = Gateway::before(&origin).managed().variable("redis_enabled", "false").start();
    let problem = off.manage("/_spindrift/v1/purge", r#"{"tags":["t"]}"#).problem(503);
    assert!(problem["detail"].as_str().unwrap().contains("redis_enabled"), "{problem}");
}

#[test]
fn statistics_count_messages() {
    let origin = origin();
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).managed().start();
    let stats = gateway.send(&Request::get("/_spindrift/stats").bearer(TOKEN));
    assert_eq!((stats.status, stats.header("content-type")), (200, Some("application/json")));
    assert!(stats.json()["counters"].as_object().unwrap().is_empty());
}

#[test]
fn what_is_warmed_is_a_hit_for_the_first_client() {
    let origin = origin();
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).managed().start();
    let answer = gateway.manage(
        "/_spindrift/v1/warm",
        r#"{"urls":["http://site.example/a","http://site.example/b","http://site.example/c"]}"#,
    );
    assert_eq!((answer.status, answer.json()["stored"].as_i64()), (200, Some(3)), "{answer:?}");
    let hit = gateway.send(&Request::get("/b").host("site.example"));
    assert!(hit.cache_status().is_hit(), "{hit:?}");
    assert_eq!(origin.count(), 3);
    let wrong = gateway.manage("/_spindrift/v1/warm", r#"{"urls":["/b"]}"#).problem(400);
    assert!(wrong["errors"][0].as_str().unwrap().starts_with("urls[0]: expected"), "{wrong}");
}

#[test]
fn what_was_counted_on_all_instances_is_shown() {
    let origin = Origin::start(|exchange| {
        let private = exchange.request.target.starts_with("/private");
        exchange.reply(&if private {
            Reply::ok("x").header("cache-control", "private")
        } else {
            Reply::fresh("x")
        });
    });
    let redis = Redis::start();
    let config = "[metrics]\nenabled = true\n[[route]]\nname = \"p\"\npath = \"/private*\"\n";
    let gateway = Gateway::before(&origin).redis(&redis).managed().config(config).reuse(1, 1).start();
    for target in ["/a", "/a", "/a", "/private", "/private"] {
        assert_eq!(gateway.get(target).status, 200);
    }
    assert_eq!(gateway.send(&Request::post("/a", "x")).status, 200);
    let statistics = || gateway.send(&Request::get("/_spindrift/stats").bearer(TOKEN)).json();
    spindrift_e2e::eventually("all six", || {
        let counts = statistics()["requests"].clone();
        ["hits", "misses", "passes"].map(|name| counts[name].as_i64()) == [Some(2), Some(3), Some(1)]
    });
    let found = statistics();
    assert_eq!((&found["requests"]["hit_rate"], &found["routes"]["p"]["misses"]), (&0.4.into(), &2.into()));
    let metrics = gateway.send(&Request::get("/_spindrift/metrics").bearer(TOKEN));
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in [
        r#"spindrift_requests_total{route="default",outcome="hit"} 2"#,
        r#"spindrift_requests_total{route="p",outcome="miss"} 2"#,
        r#"spindrift_response_seconds_count{outcome="hit"} 2"#,
        "spindrift_origin_seconds_count 4",
        "spindrift_stored_total 1",
    ] {
        assert!(metrics.text().lines().any(|found| found == line), "{line}\n{}", metrics.text());
    }
    let _ = gateway.get("/_spindrift/metrics").problem(401);
}

#[test]
fn the_dashboard_is_served_and_its_script_runs_nowhere_but_there() {
    let origin = origin();
    let gateway = Gateway::before(&origin).managed().start();
    let page = gateway.get("/_spindrift/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .starts_with("default-src 'none'; script-src 'sha256-")
    );
    assert!(!page.text().contains(TOKEN));
    let moved = gateway.get("/_spindrift");
    assert_eq!((moved.status, moved.header("location")), (308, Some("/_spindrift/")));
    let head = gateway.send(&Request::new("HEAD", "/_spindrift/"));
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some(page.body.len().to_string().as_str()));
    assert_eq!(origin.count(), 0);
}

/// Conformance needs Node.js as well; without it only this check is left out.
#[test]
fn the_script_of_the_dashboard_has_no_mistakes_of_syntax() {
    let origin = origin();
    let gateway = Gateway::before(&origin).start();
    let page = gateway.get("/_spindrift/").text();
    let script = page.split_once("<script>").unwrap().1.split_once("</script>").unwrap().0;
    let file = std::env::temp_dir().join(format!("spindrift-dashboard-{}.js", std::process::id()));
    std::fs::write(&file, script).unwrap();
    let checked = std::process::Command::new("node").arg("--check").arg(&file).output();
    let _ = std::fs::remove_file(&file);
    match checked {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => eprintln!("not checked, because node cannot be run: {error}"),
    }
}

#[test]
fn wrong_tokens_are_limited_and_a_right_one_is_good_all_the_same() {
    let origin = origin();
    let redis = Redis::start();
    let config = "[api]\nfailures = 3\n";
    let gateway = Gateway::before(&origin).redis(&redis).managed().config(config).reuse(2, 1).start();
    let stats = |token: &str| gateway.send(&Request::get("/_spindrift/stats").bearer(token));
    let statuses: Vec<u16> = (0..5).map(|_| stats("wrong").status).collect();
    assert_eq!(statuses, [401, 401, 401, 429, 429], "counted over all instances");
    assert!(stats("wrong").header("retry-after").is_some());
    assert_eq!(stats(TOKEN).status, 200);
}

#[test]
fn the_description_has_every_status_that_the_component_answers() {
    let origin = origin();
    let redis = Redis::start();
    let gateway = Gateway::before(&origin).redis(&redis).managed().start();
    let document = gateway.get("/_spindrift/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters")
        {
            let target: Vec<&str> =
                path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect();
            let target = target.join("/");
            // A stream stays open for a while.
            let target =
                if target == "/_spindrift/v1/channels/x" { format!("{target}?nonsense=1") } else { target };
            for request in [
                Request::new(&method.to_uppercase(), &target),
                Request::new(&method.to_uppercase(), &target).bearer(TOKEN),
            ] {
                let answer = gateway.send(&request);
                let described = operation["responses"].get(answer.status.to_string());
                assert!(described.is_some() || method == "options", "{method} {target}: {answer:?}");
                assert_eq!(answer.header("cache-control"), Some("no-store"), "{method} {target}");
            }
        }
    }
}
