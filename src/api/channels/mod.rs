//! Topics by HTTP: publishing, and streams of Server-Sent Events.

mod access;
mod publish;
mod stream;

pub(super) use access::token;

use super::call::Call;
use super::cors::Rule;
use super::nothing_here;
use super::reply::Outcome;
use crate::env::Env;
use crate::problem::Problem;
use crate::topic::TopicName;
use http::{Method, StatusCode};

/// Answers a request below `channels/`.
pub(super) async fn serve<E: Env>(call: Call<'_, E>, rest: &[&str], method: Method) -> Outcome {
    match (rest, method) {
        ([channel], Method::POST) => {
            call.authorised()?;
            publish::publish(call, &topic(channel)?).await
        }
        ([channel], Method::GET) => {
            let rule = Rule::new(&call.app.config.topics.allow_origins, &call.incoming.headers);
            let topic = topic(channel);
            let answer = match topic {
                Ok(topic) => stream::stream(call, topic).await,
                Err(problem) => Err(problem),
            };
            // A page may read the reason for a refusal.
            Ok(rule.allow(answer.unwrap_or_else(Problem::into_response)))
        }
        _ => Err(nothing_here(&call)),
    }
}

fn topic(text: &str) -> Result<TopicName, Problem> {
    TopicName::new(text).map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST, format!("the name of a channel: {error}; found {text:?}"))
    })
}
