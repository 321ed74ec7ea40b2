//! A stream of Server-Sent Events as a response body.
//!
//! The host does not tell when a client has gone, and some hosts end every request after a while. So a stream
//! ends by itself after a bounded time; the client reconnects with the last id that it saw, and nothing is lost.

use super::follow::{Follower, Heard, News};
use super::message::GAP;
use super::sse;
use super::store::Topics;
use crate::body::Body;
use crate::env::Env;
use crate::time::Timestamp;
use bytes::Bytes;
use serde_json::json;
use std::rc::Rc;
use std::time::Duration;

/// The settings of a stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamRules {
    /// When it ends.
    pub until: Timestamp,
    /// The longest silence.
    pub keep_alive: Duration,
    /// How long clients wait after its end before they reconnect.
    pub retry: Duration,
    /// Whether data is wrapped in JSON with topic and type.
    pub wrap: bool,
}

/// Makes the stream of what `follower` receives.
#[must_use]
pub fn body<E: Env>(topics: Rc<Topics<E>>, follower: Follower<E>, rules: StreamRules) -> Body {
    let sending = Sending { topics, follower, rules, begun: false, failing: false, events: 0, gaps: 0 };
    let pieces = futures_util::stream::unfold(sending, |mut sending| async move {
        let piece = sending.piece().await?;
        Some((Ok(Bytes::from(piece)), sending))
    });
    Body::from_pieces(None, pieces)
}

struct Sending<E: Env> {
    topics: Rc<Topics<E>>,
    follower: Follower<E>,
    rules: StreamRules,
    begun: bool,
    failing: bool,
    events: usize,
    gaps: usize,
}

impl<E: Env> Sending<E> {
    /// Returns the next piece of the stream. The first is available at once: the head of the response waits for it.
    async fn piece(&mut self) -> Option<String> {
        let mut out = String::new();
        if !self.begun {
            self.begun = true;
            sse::preamble(&mut out, self.rules.retry, self.follower.cursor().as_deref());
            let heard = self.follower.heard_now();
            self.write(&mut out, heard);
            return Some(out);
        }
        let now = self.topics.env.now();
        if now >= self.rules.until {
            self.count();
            return None;
        }
        match self.follower.next(self.rules.until.min(now.plus(self.rules.keep_alive))).await {
            Ok(heard) => {
                self.failing = false;
                if heard.is_empty() {
                    sse::comment(&mut out, "");
                    self.count();
                }
                self.write(&mut out, heard);
            }
            Err(error) => {
                let left = self.rules.until.since(self.topics.env.now());
                self.topics.env.sleep(self.topics.rules().max_delay.min(left)).await;
                // Only once: a client that reads comments may want to know why nothing comes.
                sse::comment(&mut out, if self.failing { "" } else { error.reason() });
                self.failing = true;
            }
        }
        Some(out)
    }

    fn write(&mut self, out: &mut String, heard: Vec<Heard>) {
        for Heard { topic, news, cursor } in heard {
            match news {
                News::Gap => {
                    self.gaps += 1;
                    sse::event(out, &cursor, GAP, &json!({"topic": topic.as_str()}).to_string());
                }
                News::Event(event) if self.rules.wrap => {
                    self.events += 1;
                    let data = json!({"topic": topic.as_str(), "type": event.kind, "data": event.data});
                    sse::event(out, &cursor, &event.kind, &data.to_string());
                }
                News::Event(event) => {
                    self.events += 1;
                    sse::event(out, &cursor, &event.kind, &event.data);
                }
            }
        }
    }

    fn count(&mut self) {
        for (what, count) in
            [("events_streamed_total", &mut self.events), ("event_gaps_total", &mut self.gaps)]
        {
            match std::mem::take(count) {
                0 => {}
                count => self.topics.count(what, count),
            }
        }
    }
}
