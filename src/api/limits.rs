//! Rate limits by HTTP.
//!
//! | request | does |
//! |---|---|
//! | `GET limits` | lists the policies of the configuration |
//! | `POST limits/{policy}/check`, `.../peek` | asks one policy |
//! | `POST limits/check`, `limits/peek` | asks several, all or none |
//! | `POST limits/{policy}/refund` | gives units or a lease back |
//! | `POST limits/{policy}/penalty` | takes units, or blocks for a time |
//! | `DELETE limits/{policy}?key=` | forgets |

mod ask;
mod show;

use super::call::{Call, unavailable};
use super::reply::{Outcome, empty, json};
use super::seconds::seconds;
use crate::env::Env;
use crate::limit::{Demand, MAX_POLICIES, Policy, is_name};
use crate::problem::Problem;
use ask::{Ask, Asks, Field, Resolved};
use http::{Method, StatusCode};
use serde_json::json;

/// Whether a question takes units.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Question {
    Check,
    Peek,
}

/// Answers requests to `limits` and below.
pub(super) async fn serve<E: Env>(call: Call<'_, E>, rest: &[&str], method: Method) -> Outcome {
    match (rest, method) {
        ([], Method::GET) => list(&call),
        (["check"], Method::POST) => several(call, Question::Check).await,
        (["peek"], Method::POST) => several(call, Question::Peek).await,
        ([policy], Method::DELETE) => reset(&call, policy).await,
        ([policy, "check"], Method::POST) => one(call, policy, Question::Check).await,
        ([policy, "peek"], Method::POST) => one(call, policy, Question::Peek).await,
        ([policy, "refund"], Method::POST) => refund(call, policy).await,
        ([policy, "penalty"], Method::POST) => penalty(call, policy).await,
        _ => Err(super::nothing_here(&call)),
    }
}

fn list<E: Env>(call: &Call<'_, E>) -> Outcome {
    call.only_query(&[])?;
    let limits: Vec<_> = call.app.config.limits().map(|limit| show::limit(limit)).collect();
    Ok(json(StatusCode::OK, &json!({"limits": limits})))
}

async fn one<E: Env>(mut call: Call<'_, E>, policy: &str, question: Question) -> Outcome {
    call.only_query(&[])?;
    let ask: Ask = call.json(r#"{"key":"..","cost":1}"#).await?;
    let allowed = [Field::Key, Field::Cost, Field::Lease, Field::Quota];
    let asked = ask.resolve(call.app, Some(policy), &allowed).map_err(wrong)?;
    let demands = [asked.demand()];
    let decision = match (question, asked.lease.clone()) {
        (Question::Peek, _) => call.app.limiter.peek(&demands).await,
        (Question::Check, None) => call.app.limiter.check(&demands).await,
        (Question::Check, Some(lease)) => call.app.limiter.check_as(lease, &demands).await,
    };
    let standing = decision.standings.first();
    let mut shown = standing.map_or_else(|| json!({}), |standing| show::standing(&asked.policy, standing));
    shown["allowed"] = decision.allowed.into();
    if question == Question::Check && decision.allowed && asked.policy.leases() && asked.cost > 0 {
        shown["lease"] = decision.request.into();
    }
    Ok(json(StatusCode::OK, &shown))
}

async fn several<E: Env>(mut call: Call<'_, E>, question: Question) -> Outcome {
    call.only_query(&[])?;
    let asks: Asks = call.json(r#"{"checks":[{"policy":"..","key":"..","cost":1}]}"#).await?;
    if asks.checks.is_empty() || asks.checks.len() > MAX_POLICIES {
        let found = asks.checks.len();
        return Err(bad_request(format!("expected 1 to {MAX_POLICIES} checks, found {found}")));
    }
    let allowed = [Field::Policy, Field::Key, Field::Cost, Field::Quota];
    let mut asked: Vec<Resolved> = Vec::new();
    let mut errors = Vec::new();
    for (at, ask) in asks.checks.into_iter().enumerate() {
        match ask.resolve(call.app, None, &allowed) {
            Ok(one) => asked.push(one),
            Err((_, error)) => errors.push(format!("checks[{at}]: {error}")),
        }
    }
    if !errors.is_empty() {
        return Err(bad_request("some checks are not valid").with("errors", errors));
    }
    let demands: Vec<Demand<'_>> = asked.iter().map(Resolved::demand).collect();
    let decision = match question {
        Question::Check => call.app.limiter.check(&demands).await,
        Question::Peek => call.app.limiter.peek(&demands).await,
    };
    let leases = question == Question::Check && decision.allowed;
    let checks = asked.iter().zip(&decision.standings).map(|(one, standing)| {
        let mut shown = show::standing(&one.policy, standing);
        if leases && one.policy.leases() && one.cost > 0 {
            shown["lease"] = decision.request.as_str().into();
        }
        shown
    });
    let checks: Vec<_> = checks.collect();
    Ok(json(StatusCode::OK, &json!({"allowed": decision.allowed, "checks": checks})))
}

async fn refund<E: Env>(mut call: Call<'_, E>, policy: &str) -> Outcome {
    call.only_query(&[])?;
    let ask: Ask = call.json(r#"{"key":"..","cost":1} or {"key":"..","lease":".."}"#).await?;
    let allowed = [Field::Key, Field::Cost, Field::Lease, Field::Quota];
    let asked = ask.resolve(call.app, Some(policy), &allowed).map_err(wrong)?;
    let lease = asked.lease.clone().unwrap_or_default();
    if asked.policy.leases() && lease.is_empty() {
        return Err(bad_request("expected lease, the slot to give back; found none"));
    }
    changeable(&asked.policy, asked.cost)?;
    let standing = call.app.limiter.refund(&lease, &asked.demand()).await;
    let standing = standing.map_err(|error| unavailable(&error))?;
    Ok(json(StatusCode::OK, &show::level(&asked.policy, &standing)))
}

async fn penalty<E: Env>(mut call: Call<'_, E>, policy: &str) -> Outcome {
    call.only_query(&[])?;
    let ask: Ask = call.json(r#"{"key":"..","cost":5} or {"key":"..","block":60}"#).await?;
    let (cost, block) = (ask.cost, ask.block);
    let allowed = [Field::Key, Field::Cost, Field::Block, Field::Quota];
    let asked = ask.resolve(call.app, Some(policy), &allowed).map_err(wrong)?;
    match (cost, block) {
        (Some(_), None) if asked.policy.leases() => {
            Err(bad_request("expected block, found cost: a concurrency limit has no units to take"))
        }
        (Some(_), None) => {
            changeable(&asked.policy, asked.cost)?;
            let standing = call.app.limiter.penalty(&asked.demand()).await;
            let standing = standing.map_err(|error| unavailable(&error))?;
            Ok(json(StatusCode::OK, &show::level(&asked.policy, &standing)))
        }
        (None, Some(block)) => {
            let time = ask::time(block, "block").map_err(bad_request)?;
            let blocked = call.app.limiter.block(&asked.policy, &asked.identity, time).await;
            blocked.map_err(|error| unavailable(&error))?;
            Ok(json(StatusCode::OK, &json!({"policy": asked.policy.name(), "blocked_for": seconds(block.0)})))
        }
        _ => Err(bad_request("expected either cost or block")),
    }
}

/// Checks the cost of a change: the units of an exact log are changed only so many at once.
fn changeable(policy: &Policy, cost: u32) -> Result<(), Problem> {
    let most = policy.most();
    let log = policy.algorithm() == crate::limit::Algorithm::Log;
    if log && cost > most {
        Err(bad_request(format!("expected a cost of at most {most}, found {cost}")))
    } else {
        Ok(())
    }
}

async fn reset<E: Env>(call: &Call<'_, E>, policy: &str) -> Outcome {
    call.only_query(&["key"])?;
    if !is_name(policy) {
        return Err(bad_request(format!("{}, found {policy:?}", ask::NAME)));
    }
    let values: Vec<String> = call.all_of_query("key").map(str::to_owned).collect();
    let identity = ask::identity(call.app, policy, &values).map_err(bad_request)?;
    call.app.limiter.reset(policy, &identity).await.map_err(|error| unavailable(&error))?;
    Ok(empty())
}

fn wrong((status, detail): (StatusCode, String)) -> Problem {
    Problem::new(status, detail)
}

fn bad_request(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}
