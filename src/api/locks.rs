//! Locks, semaphores and the check of fences over HTTP.

use super::call::{Call, unavailable};
use super::nothing_here;
use super::reply::{Outcome, json};
use super::seconds::{Seconds, retry_after, seconds, unix};
use crate::env::Env;
use crate::lock::{
    Acquired, Checked, Demand, Fence, Lease, LeaseTime, Name, Owner, Permits, Released, Renewed, State, Wait,
};
use crate::problem::Problem;
use crate::redis::RedisError;
use http::header::RETRY_AFTER;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Acquire {
    ttl: Seconds,
    wait: Option<Seconds>,
    owner: Option<String>,
    permits: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Renew {
    token: String,
    ttl: Seconds,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Release {
    token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Check {
    fence: u64,
}

/// Serves `/_spindrift/v1/locks/{name}`.
pub(super) async fn lock<E: Env>(call: Call<'_, E>, name: &str, method: Method) -> Outcome {
    let name = Name::new(name)?;
    match method {
        Method::POST => acquire(call, name).await,
        Method::PUT => renew(call, name).await,
        Method::DELETE => release(call, name).await,
        Method::GET => inspect(call, name).await,
        _ => Err(nothing_here(&call)),
    }
}

async fn acquire<E: Env>(mut call: Call<'_, E>, name: Name) -> Outcome {
    call.only_query(&[])?;
    let shared = call.shared()?;
    let asked: Acquire = call.json(r#"{"ttl":30,"wait":5}"#).await?;
    let owner = match &asked.owner {
        Some(owner) => Owner::new(owner)?,
        None => Owner::random(&call.app.env),
    };
    let ttl = LeaseTime::new(asked.ttl.0)?;
    let wait = asked.wait.map_or(Ok(Wait::default()), |wait| Wait::new(wait.0))?;
    let permits = asked.permits.map_or(Ok(Permits::ONE), Permits::new)?;
    let demand = Demand::new(name, owner.clone(), ttl).permits(permits).waiting(wait);
    match shared.locks.acquire(&demand).await {
        Ok(Acquired::Granted(lease)) => Ok(granted(&owner, &lease)),
        Ok(Acquired::Held { ends_in }) => Ok(held("held", "the lock is held", ends_in)),
        Ok(Acquired::OtherPermits { in_force, ends_in }) => Ok(held(
            "permits",
            &format!("the lock is held with another number of permits, {in_force}"),
            ends_in,
        )),
        Ok(Acquired::TooLate) => Err(too_late("the lease was given back").with("outcome", "not_done")),
        Err(error) => Err(failed(&error, &owner)),
    }
}

async fn renew<E: Env>(mut call: Call<'_, E>, name: Name) -> Outcome {
    call.only_query(&[])?;
    let shared = call.shared()?;
    let asked: Renew = call.json(r#"{"token":"..","ttl":30}"#).await?;
    let owner = Owner::new(&asked.token)?;
    let ttl = LeaseTime::new(asked.ttl.0)?;
    match shared.locks.renew(&name, &owner, ttl).await {
        Ok(Renewed::Prolonged(lease)) => Ok(granted(&owner, &lease)),
        Ok(Renewed::Ended) => {
            let detail = "the lease has ended or never existed: acquire the lock again";
            Err(Problem::new(StatusCode::CONFLICT, detail).with("reason", "ended"))
        }
        Ok(Renewed::TooLate) => Err(too_late("the lease may have ended").with("outcome", "unknown")),
        Err(error) => Err(failed(&error, &owner)),
    }
}

async fn release<E: Env>(mut call: Call<'_, E>, name: Name) -> Outcome {
    call.only_query(&["token"])?;
    let shared = call.shared()?;
    // Content has no generally defined meaning in DELETE (RFC 9110 §9.3.5), and not every client can send it.
    let token = match call.query("token") {
        Some(token) => token.to_owned(),
        None => call.json::<Release>(r#"{"token":".."}, or ?token="#).await?.token,
    };
    let owner = Owner::new(&token)?;
    let answer = match shared.locks.release(&name, &owner).await {
        Ok(Released::Released) => json!({"released": true}),
        Ok(Released::NotHeld) => json!({"released": false, "reason": "not_held"}),
        Ok(Released::HeldByOthers) => json!({"released": false, "reason": "held_by_others"}),
        Err(error) => return Err(failed(&error, &owner)),
    };
    Ok(json(StatusCode::OK, &answer))
}

async fn inspect<E: Env>(call: Call<'_, E>, name: Name) -> Outcome {
    call.only_query(&[])?;
    let State { holders, permits, last_fence, now } =
        call.shared()?.locks.inspect(&name).await.map_err(|error| unavailable(&error))?;
    let listed: Vec<_> = holders
        .iter()
        .map(|holder| {
            json!({
                "token": holder.owner,
                "fence": holder.fence.get(),
                "expires_at": unix(holder.expires_at),
                "expires_in": seconds(holder.expires_at.since(now)),
            })
        })
        .collect();
    let answer = json!({
        "held": !holders.is_empty(),
        "permits": permits,
        "holders": listed,
        "last_fence": last_fence.map(Fence::get),
    });
    Ok(json(StatusCode::OK, &answer))
}

/// Serves `/_spindrift/v1/fences/{resource}/check`.
pub(super) async fn check<E: Env>(mut call: Call<'_, E>, resource: &str) -> Outcome {
    call.only_query(&[])?;
    let resource = Name::new(resource)?;
    let shared = call.shared()?;
    let asked: Check = call.json(r#"{"fence":17}"#).await?;
    let fence = Fence::new(asked.fence).ok_or_else(|| {
        let expected = format!("expected a fence of at most {}, found {}", Fence::MAX.get(), asked.fence);
        Problem::new(StatusCode::BAD_REQUEST, expected)
    })?;
    match shared.locks.check(&resource, fence).await.map_err(|error| unavailable(&error))? {
        Checked::Accepted => Ok(json(StatusCode::OK, &json!({"accepted": true, "greatest": fence.get()}))),
        // A client that looks only at the status must not write.
        Checked::Refused { greatest } => {
            let detail = "a greater fence was seen: another owner has acquired the lock since";
            let problem = Problem::new(StatusCode::CONFLICT, detail).with("reason", "fenced");
            Err(problem.with("accepted", false).with("greatest", greatest.get()))
        }
    }
}

fn granted(owner: &Owner, lease: &Lease) -> http::Response<crate::body::Body> {
    let answer = json!({
        "token": owner.as_str(),
        "fence": lease.fence.get(),
        "expires_at": unix(lease.expires_at),
        "valid_for": seconds(lease.valid_for),
    });
    json(StatusCode::OK, &answer)
}

/// 409 with `Retry-After`.
fn held(reason: &str, detail: &str, ends_in: Duration) -> http::Response<crate::body::Body> {
    let problem = Problem::new(StatusCode::CONFLICT, detail).with("reason", reason);
    let mut response = problem.with("retry_after", seconds(ends_in)).into_response();
    response.headers_mut().insert(RETRY_AFTER, retry_after(ends_in).into());
    response
}

fn too_late(so: &str) -> Problem {
    let detail = format!("Redis took longer to answer than the lease lasts: {so}");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).with("reason", "too-late")
}

/// 503 that says whether it may have been carried out, and with which token to continue.
fn failed(error: &RedisError, owner: &Owner) -> Problem {
    unavailable(error).with("token", owner.as_str())
}
