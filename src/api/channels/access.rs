//! Access to topics.

use crate::api::auth;
use crate::api::call::Call;
use crate::api::reply::{Outcome, json};
use crate::env::Env;
use crate::problem::Problem;
use crate::time::Timestamp;
use crate::topic::token::{MAX_PATTERNS, sign, verify};
use crate::topic::{Pattern, TopicName};
use http::StatusCode;
use http::header::WWW_AUTHENTICATE;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;

/// The longest and the default lifetime of a token, in seconds.
const MAX_TTL: u64 = 86_400;
const TTL: u64 = 3600;

/// Checks that a request may read all of `topics`: with the management token in the field `Authorization`, or with a
/// signed token there or in the query. `EventSource` cannot set fields, and the management token does not belong
/// into a URL. Returns until when, if that is limited.
///
/// # Errors
/// 401 without a valid token, 403 if it does not permit these topics.
pub(super) fn check<E: Env>(call: &Call<'_, E>, topics: &[TopicName]) -> Result<Option<Timestamp>, Problem> {
    let Err(refused) = call.authorised() else { return Ok(None) };
    let bearer = auth::bearer_of(&call.incoming.headers).and_then(|token| std::str::from_utf8(token).ok());
    // A signed token has three parts; anything else was meant as the management token.
    let bearer = bearer.filter(|token| token.matches('.').count() == 2);
    let Some(token) = call.query("token").or(bearer) else { return Err(refused) };
    let now = call.app.env.now();
    let claims = verify(&call.app.settings.session_keys, token, now).map_err(|error| {
        let challenge = "Bearer realm=\"spindrift\", error=\"invalid_token\"";
        Problem::new(StatusCode::UNAUTHORIZED, error.to_string()).with_field(WWW_AUTHENTICATE, challenge)
    })?;
    match topics.iter().find(|topic| !claims.allow(topic)) {
        None => Ok(Some(claims.expires)),
        Some(topic) => {
            let challenge = "Bearer realm=\"spindrift\", error=\"insufficient_scope\"";
            let detail = format!("the token does not allow the channel {:?}", topic.as_str());
            Err(Problem::new(StatusCode::FORBIDDEN, detail).with_field(WWW_AUTHENTICATE, challenge))
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    topics: Vec<String>,
    #[serde(default = "ttl")]
    ttl: u64,
}

const fn ttl() -> u64 {
    TTL
}

/// Makes a token.
pub(in crate::api) async fn token<E: Env>(mut call: Call<'_, E>) -> Outcome {
    call.only_query(&[])?;
    let Some(key) = call.app.settings.session_keys.first() else {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "tokens cannot be signed: set the variable session_keys (SPIN_VARIABLE_SESSION_KEYS)",
        ));
    };
    let wanted: Wanted = call.json(r#"{"topics":["orders","chat.*"],"ttl":3600}"#).await?;
    let topics = patterns(&wanted.topics)?;
    if !(1..=MAX_TTL).contains(&wanted.ttl) {
        let detail = format!("ttl: expected 1 to {MAX_TTL} seconds, found {}", wanted.ttl);
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    let (token, expires) = sign(key, &topics, Duration::from_secs(wanted.ttl), call.app.env.now());
    Ok(json(StatusCode::OK, &json!({"token": token, "expires_at": expires.as_secs()})))
}

fn patterns(texts: &[String]) -> Result<Vec<Pattern>, Problem> {
    let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail);
    if !(1..=MAX_PATTERNS).contains(&texts.len()) {
        return Err(bad(format!("topics: expected 1 to {MAX_PATTERNS}, found {}", texts.len())));
    }
    let pattern = |(at, text): (usize, &String)| {
        Pattern::new(text).ok_or_else(|| {
            bad(format!("topics[{at}]: expected 1 to 128 visible ASCII characters, found {text:?}"))
        })
    };
    texts.iter().enumerate().map(pattern).collect()
}
