//! Pushing jobs to a target: signed, retried, bounded, and found again when no worker was notified of them.

use crate::support::origin::{Outcome, Seen, reply};
use crate::support::{Instance, OLD_WEBHOOK_KEY, PREFIX, WEBHOOK_KEY, World, on_redis};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use futures_util::future::join;
use spindrift::env::UpstreamError;
use spindrift::event::{Handled, handle};
use spindrift::job::{Data, JobError, JobId, NewJob, QueueName, State, Tally, Ticked, drain, tick};
use spindrift::redis::Keys;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

const FILE: &str = "[[queue]]\nname = \"orders\"\ntarget = \"https://hooks.test/orders?of=us\"\n\
                    max_attempts = 3\nbackoff = \"1m\"\nconcurrency = 4\n";

fn orders() -> QueueName {
    QueueName::new("orders").unwrap()
}

fn part(part: &'static str) -> String {
    Keys::new(PREFIX).queue_part("orders", part).as_str().to_owned()
}

async fn put(instance: &Instance, number: u32) -> JobId {
    let id = instance.jobs().enqueue(&orders(), Data::json(&number).unwrap()).await.unwrap();
    instance.env.settle().await;
    id
}

async fn push(instance: &Instance) -> Tally {
    drain(&instance.app, instance.shared(), &orders(), soon(instance)).await.unwrap()
}

fn soon(instance: &Instance) -> spindrift::time::Instant {
    use spindrift::env::Clock as _;
    instance.env.instant().plus(Duration::from_secs(5))
}

async fn view(instance: &Instance, id: &JobId) -> spindrift::job::View {
    instance.jobs().view(&orders(), id).await.unwrap()
}

fn one(delivered: u64, failed: u64, died: u64) -> Tally {
    Tally { delivered, failed, died }
}

/// Verifies a message as its receiver would, with a different implementation of HMAC.
fn verified(seen: &Seen, key: &str) -> bool {
    let key = STANDARD.decode(key.strip_prefix("whsec_").unwrap()).unwrap();
    let mut signed =
        format!("{}.{}.", seen.header("webhook-id"), seen.header("webhook-timestamp")).into_bytes();
    signed.extend_from_slice(&seen.body);
    let expected = format!("v1,{}", STANDARD.encode(hmac_sha256::HMAC::mac(&signed, &key)));
    seen.header("webhook-signature").split(' ').any(|signature| signature == expected)
}

#[test]
fn a_job_is_posted_signed_and_done_when_the_target_took_it() {
    on_redis(async |world| {
        let instance = world.instance_with(FILE);
        world.origin.gives(204, &[], "");
        let id = put(&instance, 7).await;
        assert_eq!(push(&instance).await, one(1, 0, 0));
        let seen = world.origin.last();
        assert_eq!(
            (seen.method.as_str(), seen.uri.to_string()),
            ("POST", "https://hooks.test/orders?of=us".to_owned())
        );
        assert_eq!((seen.header("content-type"), seen.body.as_ref()), ("application/json", &b"7"[..]));
        assert_eq!(seen.header("webhook-id"), id.as_str());
        assert_eq!(seen.header("webhook-timestamp"), world.clock.now().as_secs().to_string());
        assert!(
            verified(&seen, WEBHOOK_KEY) && verified(&seen, OLD_WEBHOOK_KEY),
            "each key of the ring signs"
        );
        assert!(!verified(&seen, "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYY"));
        assert_eq!(view(&instance, &id).await.state, State::Done);
    });
}

#[test]
fn a_failure_is_tried_again_with_the_same_id_until_the_last_attempt() {
    on_redis(async |world| {
        let instance = world.instance_with(FILE);
        let id = put(&instance, 1).await;
        let answers = [(500, one(0, 1, 0)), (302, one(0, 1, 0)), (404, one(0, 0, 1))];
        for (attempt, (status, expected)) in (1..).zip(answers) {
            world.origin.answers(move |_| Ok(reply(status, &[("location", "https://elsewhere.test/")], "")));
            assert_eq!(push(&instance).await, expected, "{status}");
            assert_eq!(
                (world.origin.count(), world.origin.last().header("webhook-id")),
                (attempt, id.as_str())
            );
            assert!(verified(&world.origin.last(), WEBHOOK_KEY));
            assert_eq!(push(&instance).await, one(0, 0, 0), "it waits for its backoff");
            world.tell(&["EVAL", DUE, "1", &part("d")]).await;
            world.clock.advance_secs(60);
        }
        let view = view(&instance, &id).await;
        assert_eq!((view.state, view.attempts), (State::Dead, 3));
        assert_eq!(view.error.as_deref(), Some("the target answered 404"));
        assert!(instance.env.logged("redirects are not followed"));
    });
}

#[test]
fn jobs_behind_any_number_of_lost_ones_are_pushed() {
    on_redis(async |world| {
        let instance = world.instance_with(FILE);
        world.origin.gives(200, &[], "");
        // More than one claim passes over, all gone at once as when their time to live has ended.
        world.tell(&["EVAL", LOST, "1", &part("r")]).await;
        let id = put(&instance, 1).await;
        assert_eq!(push(&instance).await, one(1, 0, 0));
        assert_eq!(view(&instance, &id).await.state, State::Done);
        assert_eq!(instance.jobs().statistics(&orders()).await.unwrap().ready, 0);
    });
}

/// Adds the ids of jobs that are nowhere, as urgent as any.
const LOST: &str = "for i = 1, 3000 do redis.call('ZADD', KEYS[1], i, 'gone' .. i) end \
                    redis.call('PEXPIRE', KEYS[1], 3600000)";

/// Makes all members of a sorted set due.
const DUE: &str =
    "for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do redis.call('ZADD', KEYS[1], 1, id) end";

#[test]
fn retry_after_holds_the_whole_queue() {
    on_redis(async |world| {
        let instance = world.instance_with(FILE);
        let first = put(&instance, 1).await;
        world.origin.gives(503, &[("retry-after", "600")], "");
        assert_eq!(push(&instance).await, one(0, 1, 0));
        let due = view(&instance, &first).await.at.unwrap();
        let statistics = instance.jobs().statistics(&orders()).await.unwrap();
        assert!(statistics.hold > Duration::from_secs(500) && statistics.hold <= Duration::from_secs(600));
        let second = put(&instance, 2).await;
        world.origin.gives(200, &[], "");
        assert_eq!(push(&instance).await, one(0, 0, 0), "nothing at all is pushed");
        assert_eq!(view(&instance, &second).await.state, State::Ready);
        let hold: u64 = world.ask(&["HGET", "sd:{q:orders}", "hold"]).await;
        assert!(due.as_millis().abs_diff(hold) < 1000, "both are ten minutes from then");
        world.tell(&["HSET", "sd:{q:orders}", "hold", "1"]).await;
        assert_eq!(push(&instance).await, one(1, 0, 0));
    });
}

#[test]
fn a_hold_from_a_clock_that_was_ahead_ends() {
    on_redis(async |world| {
        let instance = world.instance_with(FILE);
        world.origin.gives(503, &[("retry-after", "86400")], "");
        let id = put(&instance, 1).await;
        assert_eq!(push(&instance).await, one(0, 1, 0));
        put(&instance, 2).await;
        world.origin.gives(200, &[], "");
        assert_eq!(push(&instance).await, one(0, 0, 0), "the longest hold is valid");
        let ahead = view(&instance, &id).await.at.unwrap().as_millis() + 600_000;
        world.tell(&["HSET", "sd:{q:orders}", "hold", &ahead.to_string()]).await;
        assert_eq!(instance.jobs().statistics(&orders()).await.unwrap().hold, Duration::ZERO);
        world.origin.gives(503, &[("retry-after", "600")], "");
        assert_eq!(push(&instance).await, one(0, 1, 0));
        let hold = instance.jobs().statistics(&orders()).await.unwrap().hold;
        assert!(hold > Duration::from_secs(500) && hold <= Duration::from_secs(600), "{hold:?}");
    });
}

#[test]
fn of_several_that_hold_the_queue_the_longest_counts() {
    on_redis(async |world| {
        let instance = world.instance_with(FILE);
        for number in 0..2 {
            put(&instance, number).await;
        }
        let answers = Cell::new(0);
        world.origin.answers(move |_| {
            let after = if answers.replace(1) == 0 { "600" } else { "1" };
            Ok(reply(503, &[("retry-after", after)], ""))
        });
        assert_eq!(push(&instance).await, one(0, 2, 0));
        let hold = instance.jobs().statistics(&orders()).await.unwrap().hold;
        assert!(hold > Duration::from_secs(500), "{hold:?}");
    });
}

#[test]
fn a_target_that_is_gone_stops_the_queue_and_loses_no_job() {
    on_redis(async |world| {
        let instance = world.instance_with(FILE);
        let id = put(&instance, 1).await;
        world.origin.gives(410, &[], "");
        assert_eq!(push(&instance).await, one(0, 1, 0));
        let statistics = instance.jobs().statistics(&orders()).await.unwrap();
        assert_eq!((statistics.paused.as_deref(), statistics.ready), (Some("gone"), 1));
        world.origin.gives(200, &[], "");
        assert_eq!(push(&instance).await, one(0, 0, 0));
        assert_eq!((world.origin.count(), view(&instance, &id).await.attempts), (1, 0));
        instance.jobs().go_on(&orders()).await.unwrap();
        assert_eq!(push(&instance).await, one(1, 0, 0));
    });
}

#[test]
fn a_target_that_does_not_answer_in_time_is_tried_again() {
    on_redis(async |world| {
        let instance = world.instance_with(FILE);
        let id = put(&instance, 1).await;
        world.origin.hold();
        let (tally, ()) = join(push(&instance), async {
            world.origin.asked(1).await;
            instance.env.expire_deadlines();
        })
        .await;
        assert_eq!(tally, one(0, 1, 0));
        let error = view(&instance, &id).await.error.unwrap();
        assert_eq!(error, "the target did not answer within 15000 ms");
    });
}

#[test]
fn what_the_host_forbids_costs_no_attempt() {
    on_redis(async |world| {
        let instance = world.instance_with(FILE);
        let id = put(&instance, 1).await;
        world.origin.answers(|_| Err(UpstreamError::Denied("no".to_owned())));
        push(&instance).await;
        let found = view(&instance, &id).await;
        assert_eq!((found.state, found.attempts, world.origin.count()), (State::Ready, 0, 1));
        assert!(instance.jobs().statistics(&orders()).await.unwrap().hold > Duration::from_secs(50));
        assert!(instance.env.logged("allowed_outbound_hosts"));
    });
}

#[test]
fn no_more_are_under_way_than_the_queue_allows_over_all_instances() {
    on_redis(async |world| {
        let instances = [world.instance_with(FILE), world.instance_with(FILE), world.instance_with(FILE)];
        for number in 0..40 {
            put(&instances[0], number).await;
        }
        world.origin.gives(200, &[], "");
        world.origin.hold();
        let pushing = join(push(&instances[0]), join(push(&instances[1]), push(&instances[2])));
        let watching = async {
            world.origin.asked(4).await;
            for instance in &instances {
                assert_eq!(instance.jobs().statistics(&orders()).await.unwrap().leased, 4);
            }
            assert_eq!(world.origin.count(), 4);
            world.origin.release();
        };
        let ((a, (b, c)), ()) = join(pushing, watching).await;
        let all = a.plus(b).plus(c);
        assert_eq!((all, world.origin.count()), (one(40, 0, 0), 40));
    });
}

#[test]
fn the_bell_is_rung_when_there_is_something_to_do_and_wakes_the_subscriber() {
    on_redis(async |world| {
        let (gateway, subscriber) = (world.instance_with(FILE), world.instance_with(FILE));
        let client = ::redis::Client::open(world.server.url()).unwrap();
        let mut bell = client.get_async_pubsub().await.unwrap();
        bell.subscribe(&gateway.app.settings.channel).await.unwrap();
        world.origin.gives(200, &[], "");
        put(&gateway, 1).await;
        let message: Vec<u8> = bell.on_message().next().await.unwrap().get_payload().unwrap();
        assert_eq!(
            std::str::from_utf8(&message).unwrap(),
            r#"{"v":1,"topic":"job","data":{"queue":"orders"}}"#
        );
        for number in 2..=9 {
            put(&gateway, number).await;
        }
        assert_eq!(handle(&subscriber.app, &message).await, Handled::Done);
        assert_eq!(world.origin.count(), 9, "until there are none");
        assert_eq!(handle(&subscriber.app, &message).await, Handled::Done, "and for nothing");
        // The last notification was sent while the clock of Redis was ahead.
        put(&gateway, 10).await;
        world.tell(&["HSET", "sd:{q:orders}", "rung", "99999999999999"]).await;
        gateway.env.wire().take_commands();
        put(&gateway, 11).await;
        gateway.env.settle().await;
        assert!(gateway.env.wire().take_commands().ends_with(&["PUBLISH".to_owned()]));
        // No notification is sent for a queue without a target.
        let other = QueueName::new("other").unwrap();
        gateway.jobs().enqueue(&other, Data::json(&1).unwrap()).await.unwrap();
        gateway.env.settle().await;
        assert!(!gateway.env.wire().take_commands().ends_with(&["PUBLISH".to_owned()]));
    });
}

#[test]
fn who_runs_out_of_time_rings_for_the_rest() {
    on_redis(async |world| {
        let instance = world.instance_with(FILE);
        for number in 0..10 {
            put(&instance, number).await;
        }
        let clock = world.clock.clone();
        let answered = Rc::new(Cell::new(0));
        let count = Rc::clone(&answered);
        world.origin.answers(move |_| -> Outcome {
            count.set(count.get() + 1);
            // The fourth push takes all the remaining time, whatever the wall clock shows.
            if count.get() == 4 {
                clock.advance_secs(6);
                clock.set_back(Duration::from_secs(3600));
            }
            Ok(reply(200, &[], ""))
        });
        instance.env.wire().take_commands();
        let tally = push(&instance).await;
        assert!((4..10).contains(&tally.delivered), "{tally:?}");
        assert_eq!(instance.env.wire().take_commands().last().map(String::as_str), Some("PUBLISH"));
        assert_eq!(push(&instance).await.delivered, 10 - tally.delivered);
    });
}

#[test]
fn when_redis_fails_what_is_under_way_comes_to_its_end() {
    on_redis(async |world| {
        let instance = world.instance_with(FILE);
        let ids = [put(&instance, 1).await, put(&instance, 2).await];
        world.origin.gives(200, &[], "");
        world.origin.hold();
        let until = soon(&instance);
        let queue = orders();
        let (result, ()) = join(drain(&instance.app, instance.shared(), &queue, until), async {
            world.origin.asked(2).await;
            // A key of another type makes every further claim fail, but not the end of a lease.
            world.tell(&["SET", &part("d"), "of another type", "EX", "99"]).await;
            world.origin.release();
        })
        .await;
        assert!(matches!(result, Err(JobError::Redis(_))), "{result:?}");
        for id in &ids {
            assert_eq!(view_state(world, id).await, "done");
        }
        world.tell(&["DEL", &part("d")]).await;
    });
}

/// The state of a job, as stored in Redis.
async fn view_state(world: &World, id: &JobId) -> String {
    let key = Keys::new(PREFIX).queue_item("orders", "j", id.as_str());
    world.ask(&["HGET", key.as_str(), "z"]).await
}

#[test]
fn a_tick_finds_jobs_for_which_nobody_was_woken_and_leases_that_are_over() {
    on_redis(async |world| {
        let instance = world.instance_with(FILE);
        put(&instance, 1).await;
        let delayed = NewJob::new(Data::json(&2).unwrap()).delay(Duration::from_secs(60));
        instance.jobs().enqueue_with(&orders(), delayed).await.unwrap();
        put(&instance, 3).await;
        // A subscriber that died with a job in flight.
        let claimed = instance.jobs().claim(&orders(), spindrift::job::Claim::default()).await.unwrap();
        drop(claimed);
        for due in ["d", "l"] {
            world.tell(&["EVAL", DUE, "1", &part(due)]).await;
        }
        world.origin.gives(200, &[], "");
        let ticked = tick(&instance.app, instance.shared(), Duration::from_secs(5)).await.unwrap();
        assert_eq!(ticked, Ticked { fired: 0, pushed: one(3, 0, 0) });
    });
}

#[test]
fn an_instance_looks_after_the_queues_behind_a_request_now_and_then() {
    on_redis(async |world| {
        let instance = world.instance_with(FILE);
        put(&instance, 1).await;
        world
            .origin
            .answers(|seen| Ok(reply(200, &[("cache-control", "no-store")], seen.uri.path().to_owned())));
        let got = instance.get("http://h/page").await;
        assert_eq!(got.text(), "/page");
        assert_eq!(world.origin.count(), 2, "the page, and the job behind it");
        put(&instance, 2).await;
        instance.get("http://h/page").await;
        assert_eq!(world.origin.count(), 3, "not each time");
        world.clock.advance_secs(11);
        // Another instance ticked a moment ago, according to the clock of Redis.
        instance.get("http://h/page").await;
        assert_eq!(world.origin.count(), 4);
        world.tell(&["DEL", Keys::new(PREFIX).queues_tick().as_str()]).await;
        world.clock.advance_secs(11);
        instance.get("http://h/page").await;
        assert_eq!(world.origin.count(), 6);
        // A wall clock that is set back does not prevent a tick.
        world.tell(&["DEL", Keys::new(PREFIX).queues_tick().as_str()]).await;
        put(&instance, 3).await;
        world.clock.set_back(Duration::from_secs(3600));
        world.clock.advance_secs(11);
        instance.get("http://h/page").await;
        assert_eq!(world.origin.count(), 8);
        // Where no queue is configured, no tick is attempted in Redis.
        let plain = world.instance();
        plain.env.wire().take_commands();
        plain.get("http://h/other").await;
        assert!(!plain.env.wire().take_commands().contains(&"SET".to_owned()));
    });
}

#[test]
fn a_queue_whose_keys_are_missing_is_a_mistake_in_the_configuration() {
    let variables = |name: &str| (name == "origin_url").then(|| "http://origin.test".to_owned());
    let world = crate::support::env::ManualClock::new();
    let env = crate::support::env::TestEnv::new(world, Rc::new(crate::support::origin::Origin::new()), 1);
    let wrong = spindrift::app::App::new(env, &variables, Ok(FILE.as_bytes())).err().unwrap().to_string();
    assert_eq!(
        wrong,
        "variable webhook_keys: expected whsec_<base64> to sign the jobs that queue \"orders\" pushes, found \
         none"
    );
}
