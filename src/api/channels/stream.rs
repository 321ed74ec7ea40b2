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

/// The position that the client claims.
enum Stands {
    /// None: it wants the events from now on.
    New,
    /// The one in its field `Last-Event-ID`: it has been here before. `None` if that is not understood.
    Back(Option<Vec<Option<Position>>>),
    /// The one in the query.
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
    // An EventSource that reconnects and is refused never tries again. So it gets its stream, which continues as
    // soon as Redis answers.
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
        // It is unknown what the client has seen; with all events that are kept it has everything that it can get.
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
        // The client may have no token yet: each topic is compared with a few others, not with as many as fit into a URL.
        if topics.len() > MAX_TOPICS {
            return Err(bad(format!("expected at most {MAX_TOPICS} channels, found more")));
        }
    }
    Ok(topics)
}

/// Reads the claimed position. The field takes precedence: a client that reconnects repeats its first URL.
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

/// Makes rules in which duration and pause vary a little, so that clients that came together do not reconnect
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
