//! Sessions over HTTP, for holders of the management token: by their handles, or by ids that the caller chose.

mod answer;
mod asked;

use super::call::{Call, unavailable};
use super::reply::{Outcome, empty, json};
use crate::env::Env;
use crate::problem::Problem;
use crate::session::{
    Changes, Data, DataChange, DataError, Expected, New, Previous, Put, Session, SessionError, Sessions, User,
};
use answer::{Answer, loaded};
use asked::{Condition, Id, life};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Answers requests to `sessions` and `users`, and below.
pub(super) async fn serve<E: Env>(call: Call<'_, E>, segments: &[&str], method: Method) -> Outcome {
    let allowed: &[&str] = if matches!(segments, ["sessions", _]) && method == Method::GET {
        &["touch"]
    } else if matches!((segments, &method), (["users", ..], &Method::DELETE)) {
        &["except"]
    } else {
        &[]
    };
    call.only_query(allowed)?;
    match (segments, method) {
        (["sessions"], Method::POST) => create(call).await,
        (["sessions:verify"], Method::POST) => verify(call).await,
        (["sessions", id, "rotate"], Method::POST) => rotate(call, &Id::parse(id)?).await,
        (["sessions", id], Method::GET) => get(call, &Id::parse(id)?).await,
        (["sessions", id], Method::PUT) => put(call, &Id::parse(id)?).await,
        (["sessions", id], Method::PATCH) => patch(call, &Id::parse(id)?).await,
        (["sessions", id], Method::DELETE) => delete(call, &Id::parse(id)?).await,
        (["users", name, "sessions"], Method::GET) => list(call, &user(name)?).await,
        (["users", name, "sessions"], Method::DELETE) => end_user(call, &user(name)?).await,
        _ => Err(super::nothing_here(&call)),
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    id: Option<String>,
    user: Option<String>,
    data: Option<Box<RawValue>>,
    ttl: Option<u64>,
    max_age: Option<u64>,
}

async fn create<E: Env>(mut call: Call<'_, E>) -> Outcome {
    let sessions = sessions(&call)?;
    let asked: Create =
        call.form(r#"{"user":"..","data":{},"ttl":1800,"max_age":28800}, or {"id":"..","data":{}}"#).await?;
    let data = asked.data.map_or_else(|| Ok(Data::default()), |data| object(&data))?;
    let life = life(asked.ttl, asked.max_age)?;
    let Some(id) = asked.id else {
        let user = asked.user.as_deref().map(user).transpose()?;
        let new = sessions.create_for(user.as_ref(), &data, life).await.map_err(|error| problem(&error))?;
        let answer = issued(&call, &new).with_data(user.as_ref(), &data);
        return Ok(answer.into_response(StatusCode::CREATED));
    };
    let id = Id::parse(&id)?;
    let Id::Chosen(chosen) = &id else {
        return Err(bad_request("expected an id of your own choice, found one that begins with sid_"));
    };
    if asked.user.is_some() {
        return Err(bad_request("expected no user: a session with an id of your own choice has none"));
    }
    match sessions.put(chosen, &data, life, Expected::Nothing).await {
        Ok(Put::Created(receipt) | Put::Replaced(receipt)) => {
            Ok(Answer::of(&id).with_data(None, &data).at(receipt).into_response(StatusCode::CREATED))
        }
        Err(error) => Err(problem(&error)),
    }
}

/// Makes the answer with a session and the token for the client.
fn issued<E: Env>(call: &Call<'_, E>, new: &New) -> Answer {
    Answer::of(&Id::Ours(*new.id.handle())).at(new.receipt).with_token(call.app.ring.sign(&new.id))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Verify {
    token: String,
}

async fn verify<E: Env>(mut call: Call<'_, E>) -> Outcome {
    let sessions = sessions(&call)?;
    let asked: Verify = call.json(r#"{"token":".."}"#).await?;
    let verified = call.app.ring.verify(&asked.token).ok_or_else(|| problem(&SessionError::Gone))?;
    let answer = match sessions.load(&verified.id).await.map_err(|error| problem(&error))? {
        Session::Loaded(found) => {
            let token = verified.old_key.then(|| call.app.ring.sign(&verified.id)).flatten();
            loaded(&Id::Ours(found.handle), &found).with_token(token)
        }
        Session::Previous(Previous { handle, user, data }) => {
            Answer::of(&Id::Ours(handle)).with_data(user.as_ref(), &data).read_only()
        }
        Session::Absent | Session::Replayed(_) => return Err(problem(&SessionError::Gone)),
    };
    Ok(answer.into_response(StatusCode::OK))
}

async fn get<E: Env>(call: Call<'_, E>, id: &Id) -> Outcome {
    let sessions = sessions(&call)?;
    let found = match call.query("touch") {
        None | Some("false") => sessions.open(id.handle()).await,
        Some("true") => sessions.touch(id.handle()).await,
        Some(other) => return Err(bad_request(format!("touch: expected true or false, found {other:?}"))),
    };
    match found.map_err(|error| problem(&error))? {
        Some(found) => Ok(loaded(id, &found).into_response(StatusCode::OK)),
        None => Err(problem(&SessionError::Gone)),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Write {
    data: Box<RawValue>,
    ttl: Option<u64>,
}

async fn put<E: Env>(mut call: Call<'_, E>, id: &Id) -> Outcome {
    let sessions = sessions(&call)?;
    let condition = Condition::of(&call.incoming.headers)?;
    let asked: Write = call.json(r#"{"data":{},"ttl":1800}"#).await?;
    let (data, life) = (object(&asked.data)?, life(asked.ttl, None)?);
    let answer = |status, receipt| Answer::of(id).at(receipt).into_response(status);
    let result = match (id, condition) {
        (Id::Ours(_), Condition::Nothing) => Err(SessionError::Conflict),
        (Id::Chosen(chosen), Condition::None | Condition::Nothing | Condition::Version(_)) => {
            match sessions.put(chosen, &data, life, condition.expected()).await {
                Ok(Put::Created(receipt)) => return Ok(answer(StatusCode::CREATED, receipt)),
                Ok(Put::Replaced(receipt)) => Ok(receipt),
                Err(SessionError::Exists) => Err(SessionError::Conflict),
                Err(error) => Err(error),
            }
        }
        (id, _) => sessions.replace(id.handle(), &data, condition.version(), life.idle).await,
    };
    result.map(|receipt| answer(StatusCode::OK, receipt)).map_err(|error| problem(&error))
}

async fn patch<E: Env>(mut call: Call<'_, E>, id: &Id) -> Outcome {
    let sessions = sessions(&call)?;
    let condition = Condition::of(&call.incoming.headers)?;
    let asked: Write = call.json(r#"{"data":{"name":"value or null to remove it"},"ttl":1800}"#).await?;
    let changes = Changes::parse(asked.data.get().as_bytes()).map_err(|error| in_data(&error))?;
    let idle = life(asked.ttl, None)?.idle;
    let result = match condition {
        Condition::Nothing => Err(SessionError::Conflict),
        condition => sessions.change(id.handle(), &changes, condition.version(), idle).await,
    };
    let receipt = result.map_err(|error| problem(&error))?;
    Ok(Answer::of(id).at(receipt).into_response(StatusCode::OK))
}

async fn delete<E: Env>(call: Call<'_, E>, id: &Id) -> Outcome {
    sessions(&call)?.destroy(id.handle()).await.map_err(|error| problem(&error))?;
    Ok(empty())
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotate {
    user: Option<String>,
    ttl: Option<u64>,
    max_age: Option<u64>,
}

async fn rotate<E: Env>(mut call: Call<'_, E>, id: &Id) -> Outcome {
    let sessions = sessions(&call)?;
    let asked: Rotate = call.form(r#"no content or {"user":"..","ttl":1800,"max_age":28800}"#).await?;
    let user = asked.user.as_deref().map(user).transpose()?;
    let life = life(asked.ttl, asked.max_age)?;
    if user.is_none() && life.absolute.is_some() {
        return Err(bad_request("max_age: expected it only with a user: the end of a session does not move"));
    }
    let Id::Ours(handle) = id else {
        let detail = "a session with an id of your own choice has no secret to renew";
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    };
    if call.app.ring.is_empty() {
        let detail =
            "no token can be signed: the variable session_keys (SPIN_VARIABLE_SESSION_KEYS) is not set";
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    let found = sessions.open(handle).await.map_err(|error| problem(&error))?;
    let found = found.ok_or_else(|| problem(&SessionError::Gone))?;
    let new = match &user {
        Some(user) if found.user.as_ref() != Some(user) => {
            sessions.login_for(Some(handle), user, &found.data_for(user), life).await
        }
        _ => sessions.rotate_for(&found, &DataChange::None, life.idle).await,
    };
    let new = new.map_err(|error| problem(&error))?;
    Ok(issued(&call, &new).into_response(StatusCode::OK))
}

async fn list<E: Env>(call: Call<'_, E>, user: &User) -> Outcome {
    let listed = sessions(&call)?.list_user(user).await.map_err(|error| problem(&error))?;
    let all: Vec<Answer> =
        listed.iter().map(|one| Answer::of(&Id::Ours(one.handle)).at(one.receipt)).collect();
    Ok(json(StatusCode::OK, &serde_json::json!({"sessions": all})))
}

async fn end_user<E: Env>(call: Call<'_, E>, user: &User) -> Outcome {
    let except = call.query("except").map(Id::parse).transpose()?;
    if except.as_ref().is_some_and(|except| !except.handle().is_of(user)) {
        return Err(bad_request(
            "except: expected the id of a session of this user, found one of another user",
        ));
    }
    let ended = sessions(&call)?.end_user(user, except.as_ref().map(Id::handle)).await;
    let ended = ended.map_err(|error| problem(&error))?;
    Ok(json(StatusCode::OK, &serde_json::json!({"ended": ended})))
}

fn object(data: &RawValue) -> Result<Data, Problem> {
    Data::parse(data.get().as_bytes()).map_err(|error| in_data(&error))
}

fn in_data(error: &DataError) -> Problem {
    bad_request(format!("data: {error}"))
}

fn user(name: &str) -> Result<User, Problem> {
    User::new(name)
        .ok_or_else(|| bad_request("expected the name of a user: 1 to 256 bytes without control characters"))
}

fn sessions<'a, E: Env>(call: &Call<'a, E>) -> Result<&'a Sessions<E>, Problem> {
    call.shared().map(|shared| &shared.sessions)
}

fn bad_request(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

fn problem(error: &SessionError) -> Problem {
    let status = match error {
        SessionError::Gone => StatusCode::NOT_FOUND,
        SessionError::Exists | SessionError::Rotated => StatusCode::CONFLICT,
        SessionError::Conflict => StatusCode::PRECONDITION_FAILED,
        SessionError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        SessionError::Data(error) => return in_data(error),
        SessionError::Redis(error) => return unavailable(error),
    };
    Problem::new(status, error.to_string())
}
