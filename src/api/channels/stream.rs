//! `GET /_spindrift/v1/channels/{c}`: Server-Sent Events (HTML Living Standard §9.2).

use super::access;
use crate::api::call::{Call, unavailable};
use crate::api::reply::{Outcome, typed};
use crate::body::{Body, SendWithin};
use crate::config::TopicsConfig;
use crate::env::{Entropy, Env};
use crate::problem::Problem;
use crate::time::Timestamp;
use crate::topic::cursor::{self, MAX_TOPICS};
use crate::topic::stream::{StreamRules, body};
use crate::topic::{Follower, Position, TopicName, Topics};
use http::header::HeaderName;
use http::{HeaderValue, Response, StatusCode};
use std::rc::Rc;
use std::time::Duration;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// How much longer than the stream lasts a client may take to read it.
const READING: Duration = Duration::from_secs(5);

/// Where the client says it stands.
enum Stands {
    /// Nowhere: it wants what comes from now on.
    New,
    /// In its field `Last-Event-ID`: it was here before. `None` when that says nothing to us.
    Back(Option<Vec<Option<Position>>>),
    /// In the query.
    Asks(Vec<Option<Position>>),
}

/// Streams events of one or several topics.
pub(super) async fn stream<E: Env>(call: Call<'_, E>, first: TopicName) -> Outcome {
    call.only_query(&["topic", "last_event_id", "token", "wrap"])?;
    let topics = topics(&call, first)?;
    let expires = access::check(&call, &topics)?;
    let wrap = match call.query("wrap") {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => return Err(bad(format!("wrap: expected true or false, found {other:?}"))),
    };
    let stands = stands(&call, &topics)?;
    // An EventSource that comes back and is refused never comes again. So it gets its stream, which goes on as
    // soon as Redis does.
    let is_back = matches!(stands, Stands::Back(_));
    let store = Rc::clone(&call.shared()?.topics);
    let mut follower = follower(&store, topics, stands);
    match follower.enter().await {
        Err(error) if !is_back => return Err(unavailable(&error)),
        Ok(()) | Err(_) => {}
    }
    let rules = rules(&call.app.config.topics, &call.app.env, call.app.env.now(), expires, wrap);
    let last = follower.honest_cursor();
    Ok(response(body(store, follower, rules), last.as_deref(), rules, call.app.env.now()))
}

fn follower<E: Env>(store: &Rc<Topics<E>>, topics: Vec<TopicName>, stands: Stands) -> Follower<E> {
    let count = topics.len();
    let (wanted, is_lost) = match stands {
        Stands::New => (vec![None; count], false),
        Stands::Asks(positions) | Stands::Back(Some(positions)) => (positions, false),
        // Whatever it has seen: with everything that is kept it has all that can be had.
        Stands::Back(None) => (vec![Some(Position::Earliest); count], true),
    };
    let mut follower = store.follow(topics.into_iter().zip(wanted));
    if is_lost {
        follower.doubt();
    }
    follower
}

fn topics<E: Env>(call: &Call<'_, E>, first: TopicName) -> Result<Vec<TopicName>, Problem> {
    let mut topics = vec![first];
    for name in call.all_of_query("topic") {
        let topic = super::topic(name)?;
        if !topics.contains(&topic) {
            topics.push(topic);
        }
        // Who asks may have no token: each is compared with a few, and not with as many as a URL has room for.
        if topics.len() > MAX_TOPICS {
            return Err(bad(format!("expected at most {MAX_TOPICS} channels, found more")));
        }
    }
    Ok(topics)
}

/// The field wins over the query: a client that comes back repeats the URL it came with first.
fn stands<E: Env>(call: &Call<'_, E>, topics: &[TopicName]) -> Result<Stands, Problem> {
    match call.incoming.headers.get(LAST_EVENT_ID).map(HeaderValue::as_bytes) {
        None | Some(b"") => {}
        Some(id) => {
            let id = std::str::from_utf8(id).ok();
            return Ok(Stands::Back(id.and_then(|id| cursor::read(id, topics).ok())));
        }
    }
    match call.query("last_event_id") {
        None | Some("") => Ok(Stands::New),
        Some(id) => cursor::read(id, topics)
            .map(Stands::Asks)
            .map_err(|error| bad(format!("last_event_id: {error}, found {id:?}"))),
    }
}

/// Each stream lasts and rests a little differently, so that clients which came together do not come back
/// together.
fn rules(
    config: &TopicsConfig,
    entropy: &impl Entropy,
    now: Timestamp,
    expires: Option<Timestamp>,
    wrap: bool,
) -> StreamRules {
    let mut random = [0; 2];
    entropy.fill(&mut random);
    let [time, retry] = random.map(u32::from);
    // 80 to 100 %, and 100 to 150 %.
    let until = now.plus(config.stream_time - config.stream_time * time / 1280);
    let retry = config.retry + config.retry * retry / 512;
    let until = expires.map_or(until, |expires| until.min(expires));
    StreamRules { until, keep_alive: config.keep_alive, retry, wrap }
}

fn response(body: Body, last: Option<&str>, rules: StreamRules, now: Timestamp) -> Response<Body> {
    let mut response = typed(StatusCode::OK, "text/event-stream", body);
    let headers = response.headers_mut();
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    headers.extend(last.and_then(|last| Some((LAST_EVENT_ID, HeaderValue::from_str(last).ok()?))));
    response.extensions_mut().insert(SendWithin(rules.until.since(now) + READING));
    response
}

fn bad(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}
